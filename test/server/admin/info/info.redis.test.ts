/**
 * INFO: the sections and fields that tools look for are all there, and nothing that would mislead
 * them.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startHeadwater } from '../../../support/headwater.ts';
import { startRedis } from '../../../support/real-redis.ts';
import type { RespClient } from '../../../support/resp-client.ts';
import type { TestServer } from '../../../support/server-process.ts';

let ours: TestServer;
let theirs: TestServer;
let mine: RespClient;
let real: RespClient;

beforeAll(async () => {
  [ours, theirs] = await Promise.all([startHeadwater(), startRedis()]);
  [mine, real] = await Promise.all([ours.client(), theirs.client()]);
  for (const client of [mine, real]) {
    await client.pipeline([
      ['SET', 'a', '1'],
      ['SET', 'b', '1', 'EX', '100'],
      ['NOSUCH'],
      ['INCR', 'a', 'b'],
      ['CLIENT', 'ID'],
      ['SELECT', '2'],
      ['SET', 'c', '1'],
    ]);
  }
});

afterAll(async () => {
  await Promise.all([mine.close(), real.close()]);
  await Promise.all([ours.stop(), theirs.stop()]);
});

/** Section titles with the names of their fields. */
function outline(text: string): Map<string, string[]> {
  const sections = new Map<string, string[]>();
  let names: string[] = [];
  for (const line of text.split('\r\n')) {
    if (line.startsWith('# ')) {
      names = [];
      sections.set(line.slice(2), names);
    } else if (line !== '') names.push(line.slice(0, line.indexOf(':')));
  }
  return sections;
}

const textOf = async (client: RespClient, ...sections: string[]): Promise<string> =>
  String(await client.call('INFO', ...sections));

test('every section and field of the real server is there, in its order', async () => {
  const [own, other] = (
    await Promise.all([mine, real].map((client) => textOf(client, 'everything')))
  ).map(outline);
  expect([...own!.keys()]).toEqual([...other!.keys(), 'Headwater']);
  for (const [section, names] of other!) {
    // In these sections a line stands for a command or an error that came.
    if (/stats$/.test(section) && section !== 'Stats') continue;
    expect(own!.get(section), section).toEqual(expect.arrayContaining(names));
  }
});

test.each([
  [[]],
  [['default']],
  [['Server', 'nosuch', 'KEYSPACE']],
  [['all']],
  [['memory', 'default']],
  [['commandstats']],
])('INFO %j shows the sections that the real server shows', async (sections) => {
  const [own, other] = await Promise.all([mine, real].map((client) => textOf(client, ...sections)));
  const titles = [...outline(own!).keys()].filter((title) => title !== 'Headwater');
  expect(titles).toEqual([...outline(other!).keys()]);
});

test('INFO names the system as the real server does', async () => {
  const [own, other] = await Promise.all([mine, real].map((client) => client.info('server')));
  for (const field of ['os', 'arch_bits']) expect(own!.get(field)).toBe(other!.get(field));
});

test('INFO headwater shows what is our own', async () => {
  expect([...outline(await textOf(mine, 'headwater')).keys()]).toEqual(['Headwater']);
});

test('the version is one: INFO, HELLO, the dump', async () => {
  const version = (await mine.info('server')).get('redis_version');
  const hello = (await mine.call('HELLO', '2')) as string[];
  expect(hello[hello.indexOf('version') + 1]).toBe(version);
  await mine.call('SAVE');
  const dump = readFileSync(join(ours.dir, 'dump.rdb'), 'latin1');
  expect(dump).toContain(`redis-ver\x05${version}`);
});

test('lines of commands, errors, latencies and databases have the real form', async () => {
  const text = await textOf(mine, 'everything');
  expect(text).toMatch(
    /^cmdstat_set:calls=3,usec=\d+,usec_per_call=\d+\.\d\d,rejected_calls=0,failed_calls=0\r$/m,
  );
  expect(text).toMatch(
    /^cmdstat_incr:calls=0,usec=0,usec_per_call=0\.00,rejected_calls=1,failed_calls=0\r$/m,
  );
  expect(text).toMatch(/^cmdstat_client\|id:calls=1,/m);
  expect(text).toMatch(/^errorstat_ERR:count=2\r$/m);
  expect(text).toMatch(/^latency_percentiles_usec_set:p50=[\d.]+,p99=[\d.]+,p99\.9=[\d.]+\r$/m);
  expect(text).toMatch(/^db0:keys=2,expires=1,avg_ttl=[1-9]\d*\r$/m);
  expect(text).toMatch(/^db2:keys=1,expires=0,avg_ttl=0\r$/m);
});

test('fields of our own come last and hide no field of Redis from who searches for substrings', async () => {
  const text = await textOf(mine, 'everything');
  const own = [...outline(text)].at(-1);
  expect(own![0]).toBe('Headwater');
  const redisNames = [...outline(await textOf(real, 'everything')).values()].flat();
  for (const name of own![1]) {
    expect(name).toMatch(/^headwater_[a-z0-9_]+$/);
    expect(redisNames.filter((redis) => redis.length > 3 && name.includes(redis))).toEqual([]);
  }
  const values = text
    .split('# Headwater\r\n')[1]!
    .split('\r\n')
    .map((line) => line.slice(line.indexOf(':') + 1));
  expect(values.filter((value) => /[,=]/.test(value))).toEqual([]);
  expect(text).not.toMatch(/valkey|keydb|dragonfly|garnet|elasticache/i);
});

test('values are honest about what can be checked', async () => {
  const fields = await mine.info('everything');
  expect(fields.get('process_id')).toBe(String(ours.pid));
  expect(fields.get('tcp_port')).toBe(String(ours.port));
  expect(fields.get('run_id')).toMatch(/^[0-9a-f]{40}$/);
  expect(fields.get('role')).toBe('master');
  expect(Number(fields.get('used_memory'))).toBe(
    Number(fields.get('used_memory_dataset')) + Number(fields.get('used_memory_overhead')),
  );
  expect(Number(fields.get('used_memory_rss'))).toBeGreaterThan(Number(fields.get('used_memory')));
  expect(Number(fields.get('used_memory_peak'))).toBeGreaterThanOrEqual(
    Number(fields.get('used_memory')) * 0.5,
  );
  expect(Number(fields.get('used_cpu_user'))).toBeGreaterThan(0);
});

test('RESETSTAT begins the statistics anew', async () => {
  const client = await ours.client();
  await client.call('CONFIG', 'RESETSTAT');
  const text = await textOf(client, 'stats', 'commandstats', 'errorstats');
  expect(text).toContain('total_error_replies:0\r\n');
  expect(text).not.toContain('cmdstat_set');
  expect(text).not.toContain('errorstat_ERR');
  await client.close();
});
