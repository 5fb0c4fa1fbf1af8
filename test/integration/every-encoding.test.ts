/**
 * A dump by a real server that holds every type in every encoding loads, and ours of it loads
 * there, both with the same digest and the same consumer groups; redis-check-rdb finds nothing in
 * ours.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { onPath } from '../../bin/find-redis.js';
import { digestOf } from '../support/digest.ts';
import { EVERY_ENCODING_CONFIG, everyEncoding } from '../support/every-encoding.ts';
import { type Headwater, startHeadwater } from '../support/headwater.ts';
import { type RealRedis, startRedis } from '../support/real-redis.ts';
import { replyText } from '../support/reply-rules.ts';
import { RespError } from '../support/resp-parser.ts';
import { temporaryDirectory } from '../support/server-process.ts';

const FUNCTIONS = "#!lua name=lib\nredis.register_function('f', function() return 1 end)";

/** A directory with the dump that a server has just saved. */
async function savedBy(server: Headwater | RealRedis): Promise<string> {
  const client = await server.client();
  expect(await client.call('SAVE')).toBe('OK');
  await client.close();
  const dir = temporaryDirectory('dump');
  copyFileSync(join(server.dir, 'dump.rdb'), join(dir, 'dump.rdb'));
  return dir;
}

/** What the digest leaves out: groups with consumers and deliveries, deadlines. */
async function restOf(server: Headwater | RealRedis): Promise<string> {
  const client = await server.client({ bulk: 'latin1' });
  const replies = await client.pipeline([
    ['XPENDING', 'stream:groups', 'first', '-', '+', 1000],
    ['XPENDING', 'stream:groups', 'first'],
    ['XINFO', 'GROUPS', 'stream:groups'],
    ['XINFO', 'GROUPS', 'stream:empty'],
    ...['string:deadline', 'hash:table', 'stream:groups', 'list:short'].map((key) => [
      'PEXPIRETIME',
      key,
    ]),
    ...['first', 'last'].map((group) => ['XINFO', 'CONSUMERS', 'stream:groups', group]),
  ]);
  await client.close();
  // Names and counts only: how long ago something was is not the same twice.
  const deliveries = (replies[0] as [string, string, number, number][]).map(
    ([id, name, , count]) => [id, name, count],
  );
  const consumers = replies
    .slice(-2)
    .map((group) => (group as unknown[][]).map((fields) => fields.slice(0, 4)));
  return replyText([deliveries, ...replies.slice(1, -2), consumers]);
}

function check(dir: string): void {
  const tool = onPath('redis-check-rdb');
  expect(tool).not.toBeNull();
  const run = spawnSync(tool!, [join(dir, 'dump.rdb')], { encoding: 'utf8' });
  expect(`${run.stdout}${run.stderr}`).toContain('RDB looks OK');
  expect(run.status).toBe(0);
}

test('a dump of every encoding goes here and back', { timeout: 180_000 }, async () => {
  const first = await startRedis({ args: EVERY_ENCODING_CONFIG });
  const client = await first.client({ bulk: 'latin1' });
  const replies = await client.pipeline([...everyEncoding, ['FUNCTION', 'LOAD', FUNCTIONS]]);
  expect(replies.filter((reply) => reply instanceof RespError)).toEqual([]);
  const [digest, rest] = [await digestOf(first), await restOf(first)];
  const theirs = await savedBy(first);
  const functions = replyText(await client.call('FUNCTION', 'LIST', 'WITHCODE'));
  await client.close();
  await first.stop();
  for (const dialect of [['10'], ['9'], ['9', '--rdb-plain-types', 'yes']]) {
    const dir = temporaryDirectory('loads');
    copyFileSync(join(theirs, 'dump.rdb'), join(dir, 'dump.rdb'));
    const args = [
      '--rdb-version',
      ...dialect,
      '--enable-debug-command',
      'yes',
      ...EVERY_ENCODING_CONFIG,
    ];
    const ours = await startHeadwater({ dir, args });
    expect(await digestOf(ours), 'digest here').toBe(digest);
    expect(await restOf(ours), 'groups and deadlines here').toBe(rest);
    const saved = await savedBy(ours);
    await ours.stop();
    check(saved);
    const second = await startRedis({ dir: saved, args: EVERY_ENCODING_CONFIG });
    expect(await digestOf(second), `digest there, version ${dialect.join(' ')}`).toBe(digest);
    if (dialect.length === 1 && dialect[0] === '10') {
      expect(await restOf(second), 'groups and deadlines there').toBe(rest);
      const back = await second.client({ bulk: 'latin1' });
      expect(replyText(await back.call('FUNCTION', 'LIST', 'WITHCODE'))).toBe(functions);
      await back.close();
    }
    await second.stop();
  }
});
