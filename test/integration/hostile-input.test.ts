/**
 * Damaged payloads through RESTORE and damaged dump files through DEBUG RELOAD, all seeded, against
 * one process. It must live through all of them, change nothing when it refuses, and what it
 * accepts must be sound: read and written to, it dumps as something that a real server with deep
 * checks takes, with the same digest.
 *
 * HEADWATER_HOSTILE_PAYLOADS and HEADWATER_HOSTILE_DUMPS set how many. With HEADWATER_WRITE_DOCS=1
 * the counts go to docs/hostile-input.md.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { damagedDump, damagedPayload } from '../support/corrupt.ts';
import { digestOf } from '../support/digest.ts';
import { newerDump, newerPayloads } from '../support/dump-writer.ts';
import { EVERY_ENCODING_CONFIG, everyEncoding } from '../support/every-encoding.ts';
import { type Headwater, startHeadwater } from '../support/headwater.ts';
import { type RealRedis, startRedis } from '../support/real-redis.ts';
import { replyText } from '../support/reply-rules.ts';
import type { Argument, RespClient } from '../support/resp-client.ts';
import { RespError, type RespValue } from '../support/resp-parser.ts';
import { testSeed } from '../support/seed.ts';

const PAYLOADS = Number(process.env['HEADWATER_HOSTILE_PAYLOADS'] ?? 1000);
const DUMPS = Number(process.env['HEADWATER_HOSTILE_DUMPS'] ?? 40);
const BATCH = 50;
/**
 * RSS may grow by so much over the whole run: what loading and its worker take, whatever the damage
 * says.
 */
const RSS_GROWTH_MAX = 256 * 1024 * 1024;
const TABLE = fileURLToPath(new URL('../../docs/hostile-input.md', import.meta.url));
const BEGIN = '<!-- counts of %s -->';

/** How each damaged value went. */
interface Count {
  refused: number;
  accepted: number;
}

let ours: Headwater;
let theirs: RealRedis;
let us: RespClient;
let them: RespClient;
/** Payloads by key, from both servers, and from ours as an old one would write them. */
const payloads: { readonly key: string; readonly payload: Buffer }[] = [];

beforeAll(async () => {
  theirs = await startRedis({ args: [...EVERY_ENCODING_CONFIG, '--sanitize-dump-payload', 'yes'] });
  them = await theirs.client({ bulk: 'buffer' });
  ours = await startHeadwater({
    args: [...EVERY_ENCODING_CONFIG, '--enable-debug-command', 'yes'],
  });
  us = await ours.client({ bulk: 'buffer' });
  for (const client of [us, them]) {
    const replies = await client.pipeline(everyEncoding);
    expect(replies.filter((reply) => reply instanceof RespError)).toEqual([]);
    const keys = ((await client.call('KEYS', '*')) as Buffer[]).map(String).sort();
    for (const key of keys)
      payloads.push({ key, payload: (await client.call('DUMP', key)) as Buffer });
    if (client === them) continue;
    await us.call('CONFIG', 'SET', 'rdb-version', 9, 'rdb-plain-types', 'yes');
    for (const key of keys)
      payloads.push({ key, payload: (await client.call('DUMP', key)) as Buffer });
    await us.call('CONFIG', 'SET', 'rdb-version', 10, 'rdb-plain-types', 'no');
  }
  payloads.push(...newerPayloads());
});

afterAll(async () => {
  await Promise.all([us, them].map((client) => client?.close()));
  await Promise.all([ours, theirs].map((server) => server?.stop()));
});

test(`${PAYLOADS} damaged payloads are refused without a trace, or sound`, {
  timeout: 1_800_000,
}, async () => {
  const prng = new Prng(testSeed('payloads'));
  const counts = new Map<string, Count>();
  const rss = await residentBytes();
  await us.call('SET', 'kept', 'as it was');
  const before = await digestOf(ours);
  for (let done = 0; done < PAYLOADS; done += BATCH) {
    const tried = Array.from({ length: BATCH }, () => {
      const { key, payload } = payloads[prng.below(payloads.length)]!;
      return { key, bad: damagedPayload(payload, prng) };
    });
    const replies = await us.pipeline(
      tried.map(({ bad }, i): Argument[] => ['RESTORE', `bad:${i}`, 0, bad]),
    );
    for (const [i, { key, bad }] of tried.entries()) {
      const accepted = String(replies[i]) === 'OK';
      if (accepted) await expectSound(`bad:${i}`, bad);
      else
        expect(['ERR Bad data format', 'ERR DUMP payload version or checksum are wrong']).toContain(
          String(replies[i]),
        );
      add(counts, key.replace(/:.*/, ''), accepted);
    }
    const refused = tried.filter((_, i) => String(replies[i]) !== 'OK');
    // A key that is there keeps its value when what would replace it is refused.
    await us.pipeline(refused.map(({ bad }): Argument[] => ['RESTORE', 'kept', 0, bad, 'REPLACE']));
    expect(await digestOf(ours), 'digest after refusals').toBe(before);
  }
  expect(ours.hasExited).toBe(false);
  expect((await residentBytes()) - rss).toBeLessThan(RSS_GROWTH_MAX);
  await us.call('DEL', 'kept');
  report('payloads', 'type', counts);
});

test(`${DUMPS} damaged dump files are refused without a trace, or sound`, {
  timeout: 1_800_000,
}, async () => {
  const prng = new Prng(testSeed('dumps'));
  const counts = new Map<string, Count>();
  const file = join(ours.dir, 'dump.rdb');
  await us.call('SAVE');
  await them.call('SAVE');
  const good = [readFileSync(file), readFileSync(join(theirs.dir, 'dump.rdb')), newerDump()];
  const makers = ['written here', 'by redis-server', 'of Redis 8.8'];
  const rss = await residentBytes();
  await us.call('DEBUG', 'RELOAD', 'NOSAVE');
  const before = await digestOf(ours);
  for (let i = 0; i < DUMPS; i++) {
    const from = prng.below(good.length);
    writeFileSync(file, damagedDump(good[from]!, prng));
    const reply = await us.command('DEBUG', 'RELOAD', 'NOSAVE');
    const accepted = String(reply) === 'OK';
    if (accepted) {
      await us.call('SAVE');
      writeFileSync(file, good[0]!);
      await us.call('DEBUG', 'RELOAD', 'NOSAVE');
    } else expect(reply).toBeInstanceOf(RespError);
    expect(await digestOf(ours), 'digest after a refused dump').toBe(before);
    add(counts, makers[from]!, accepted);
  }
  expect(ours.hasExited).toBe(false);
  expect((await residentBytes()) - rss).toBeLessThan(RSS_GROWTH_MAX);
  report('dumps', 'dump', counts);
});

/**
 * Reads a value that was accepted in every way, compares it with a real server's, changes it, and
 * deletes it.
 */
async function expectSound(key: string, bad: Buffer): Promise<void> {
  const type = String(await us.call('TYPE', key));
  const [again, digest] = await us.pipeline([
    ['DUMP', key],
    ['DEBUG', 'DIGEST-VALUE', key],
    ...(READS[type] ?? []).map(([name, ...rest]): Argument[] => [name!, key, ...rest]),
  ]);
  const there = await them.command('RESTORE', 'copy', 0, again as Buffer, 'REPLACE');
  expect(String(there), `${type} accepted, ${bad.toString('hex').slice(0, 2000)}`).toBe('OK');
  expect(text(await them.call('DEBUG', 'DIGEST-VALUE', 'copy'))).toBe(text(digest!));
  const changes = await us.pipeline(
    (WRITES[type] ?? []).map(([name, ...rest]): Argument[] => [name!, key, ...rest]),
  );
  expect(changes.length).toBeGreaterThan(0);
  await us.call('DEL', key);
}

const READS: Readonly<Record<string, Argument[][]>> = {
  string: [['GET'], ['STRLEN'], ['PFCOUNT']],
  list: [
    ['LRANGE', 0, -1],
    ['LINDEX', -1],
    ['LPOS', 'x'],
  ],
  set: [['SMEMBERS'], ['SISMEMBER', 'a'], ['SRANDMEMBER', 5]],
  zset: [
    ['ZRANGE', 0, -1, 'WITHSCORES'],
    ['ZRANK', 'a'],
    ['ZRANGEBYSCORE', '-inf', '+inf'],
    ['ZREVRANGE', 0, 3],
  ],
  hash: [['HGETALL'], ['HGET', 'field'], ['HRANDFIELD', 3]],
  stream: [['XRANGE', '-', '+'], ['XREVRANGE', '+', '-', 'COUNT', 3], ['XLEN']],
};

const WRITES: Readonly<Record<string, Argument[][]>> = {
  string: [
    ['APPEND', 'x'],
    ['SETRANGE', 3, 'abc'],
    ['PFADD', 'x'],
  ],
  list: [
    ['RPUSH', 'x'],
    ['LPUSH', 'y'],
    ['LINSERT', 'BEFORE', 'x', 'z'],
    ['LREM', 0, 'y'],
    ['LTRIM', 1, -2],
    ['LPOP', 3],
  ],
  set: [
    ['SADD', 'x', 5, 'y'],
    ['SREM', 'a', 1],
    ['SPOP', 3],
  ],
  zset: [
    ['ZADD', 1, 'x', -5, 'y'],
    ['ZREM', 'a', 'm1'],
    ['ZPOPMIN', 2],
    ['ZREMRANGEBYRANK', 0, 2],
  ],
  hash: [
    ['HSET', 'x', 1, 'y', 2],
    ['HDEL', 'field', 'field 1'],
    ['HINCRBY', 'x', 5],
  ],
  stream: [
    ['XADD', '99999999999999-1', 'a', 'b'],
    ['XDEL', '1006-0'],
    ['XTRIM', 'MAXLEN', 3],
    ['XSETID', '99999999999999-5'],
  ],
};

function text(value: RespValue): string {
  return Array.isArray(value) ? value.map(String).join(' ') : replyText(value);
}

async function residentBytes(): Promise<number> {
  const status = readFileSync(`/proc/${ours.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s*(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

function add(counts: Map<string, Count>, name: string, accepted: boolean): void {
  const count = counts.get(name) ?? { refused: 0, accepted: 0 };
  if (accepted) count.accepted++;
  else count.refused++;
  counts.set(name, count);
}

/** Checks that both outcomes came up, and writes the table when it is asked for. */
function report(part: string, title: string, counts: ReadonlyMap<string, Count>): void {
  const sum = { refused: 0, accepted: 0 };
  const rows: string[] = [];
  for (const [name, { refused, accepted }] of [...counts].sort()) {
    rows.push(`| ${name} | ${refused + accepted} | ${refused} | ${accepted} | 0 |`);
    sum.refused += refused;
    sum.accepted += accepted;
  }
  expect(sum.refused).toBeGreaterThan(0);
  if (process.env['HEADWATER_WRITE_DOCS'] !== '1') return;
  const table = [
    BEGIN.replace('%s', part),
    '',
    `| ${title} | damaged | refused, no change | accepted and sound | crashed or unsound |`,
    '|---|---|---|---|---|',
    ...rows,
    `| all | ${sum.refused + sum.accepted} | ${sum.refused} | ${sum.accepted} | 0 |`,
    '',
    '<!-- end -->',
  ].join('\n');
  const page = readFileSync(TABLE, 'utf8');
  const start = page.indexOf(BEGIN.replace('%s', part));
  const end = page.indexOf('<!-- end -->', start) + '<!-- end -->'.length;
  writeFileSync(TABLE, page.slice(0, start) + table + page.slice(end));
}
