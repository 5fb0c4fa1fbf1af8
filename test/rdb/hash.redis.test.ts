/** Hashes in dumps to and from a real redis-server. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { bytesOf } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import { PayloadCodec } from '../../src/rdb/payload.ts';
import { digestDataset } from '../../src/server/admin/debug/digest.ts';
import { CommandHarness } from '../support/command-harness.ts';
import { digestOf } from '../support/digest.ts';
import { findRedisServer, type RealRedis, startRedis } from '../support/real-redis.ts';
import type { Argument } from '../support/resp-client.ts';
import { testSeed } from '../support/seed.ts';
import { temporaryDirectory } from '../support/server-process.ts';
import { dumpOf, LIMITS, loadBytes, newKeyspace, randomText, saveOptions } from './keyspaces.ts';

const servers: RealRedis[] = [];

async function redis(dir?: string): Promise<RealRedis> {
  const server = await startRedis(dir === undefined ? {} : { dir });
  servers.push(server);
  return server;
}

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

/** Commands that make hashes of every size and kind of element. */
function hashes(prng: Prng): Argument[][] {
  const commands: Argument[][] = [];
  for (let i = 0; i < 80; i++) {
    const size = [1, 2, 10, 100, 512, 513, 2000][prng.below(i < 12 ? 7 : 4)]!;
    const lengthMax = [10, 64, 65, 5000][prng.below(4)]!;
    const command: Argument[] = ['HSET', `hash:${i}`];
    for (let n = 0; n < size; n++) {
      const field = prng.below(5) === 0 ? String(n - 3) : `field:${n}`;
      command.push(field, Buffer.from(randomText(prng, lengthMax), 'latin1'));
    }
    commands.push(command);
    if (prng.below(4) === 0) commands.push(['PEXPIREAT', `hash:${i}`, 4_000_000_000_000 + i]);
  }
  commands.push(['HSET', 'long', 'x'.repeat(70_000), 'y'.repeat(3_000_000), 'other', 1]);
  return commands;
}

/** A server on our dump, which the checking tool has found to be in order. */
async function serverOn(dump: Uint8Array): Promise<RealRedis> {
  const dir = temporaryDirectory('hashes');
  const path = join(dir, 'dump.rdb');
  writeFileSync(path, dump);
  const check = spawnSync(findRedisServer(), [path], {
    argv0: 'redis-check-rdb',
    encoding: 'utf8',
  });
  expect(check.stdout).toContain('\\o/ RDB looks OK! \\o/');
  return redis(dir);
}

test.each([
  ['of version 10', saveOptions()],
  ['of version 9', saveOptions({ dialect: { version: 9, plainTypes: false } })],
  ['of plain types', saveOptions({ dialect: { version: 10, plainTypes: true }, compress: false })],
])('our dump %s has the same digest there', async (what, options) => {
  const harness = new CommandHarness({ settings: LIMITS });
  for (const command of hashes(new Prng(testSeed(what)))) harness.call(...command);
  const server = await serverOn(dumpOf(harness.keyspace, options));
  expect(await digestOf(server)).toBe(digestDataset(harness.keyspace));
});

test('their dump has the same digest here, and so has ours of it', async () => {
  const server = await redis();
  const client = await server.client();
  await client.pipeline(hashes(new Prng(testSeed('theirs'))));
  await client.call('SAVE');
  const { keyspace, result } = loadBytes(readFileSync(join(server.dir, 'dump.rdb')));
  keyspace.validate();
  expect(result.keysLoaded).toBe(81);
  const digest = await digestOf(server);
  expect(digestDataset(keyspace)).toBe(digest);
  expect(await digestOf(await serverOn(dumpOf(keyspace)))).toBe(digest);
  await client.close();
});

describe('payloads', () => {
  test('are restored there and here, and have the same digest', async () => {
    const server = await redis();
    const client = await server.client({ bulk: 'buffer' });
    const codec = new PayloadCodec();
    const harness = new CommandHarness({ settings: LIMITS });
    const target = newKeyspace();
    for (const command of hashes(new Prng(testSeed('payloads')))) {
      harness.call(...command);
      const key = bytesOf(String(command[1]));
      const entry = harness.keyspace.databases[0]!.find(key, 0, key.length);
      const ours = codec.dump(harness.keyspace.arena, entry, { version: 10, plainTypes: false });
      await client.call('RESTORE', Buffer.from(key), 0, ours, 'REPLACE');
      const theirs = (await client.call('DUMP', Buffer.from(key))) as Buffer;
      expect(codec.check(theirs, 0, theirs.length)).toBe(true);
      const db = target.databases[0]!;
      const existing = db.find(key, 0, key.length);
      if (existing !== 0) db.remove(existing);
      const loaded = codec.load(theirs, 0, theirs.length, target, LIMITS);
      db.find(key, 0, key.length);
      loaded.add(db, key, 0, key.length);
    }
    target.validate();
    expect(await digestOf(server)).toBe(digestDataset(target));
    await client.close();
  });
});
