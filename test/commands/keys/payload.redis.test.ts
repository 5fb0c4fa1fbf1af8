/**
 * DUMP and RESTORE beside a real server: replies, stream, key events, counts of changes, and what
 * is restored.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { payloadCommands } from '../../../src/commands/keys/payload.ts';
import { commandTables } from '../../../src/commands/tables.ts';
import { crc64 } from '../../../src/kernels/kernels.ts';
import type { RdbVersion } from '../../../src/rdb/dialect.ts';
import { CommandHarness, HARNESS_NOW_MS } from '../../support/command-harness.ts';
import { Differential } from '../../support/differential.ts';
import { RecordedRedis } from '../../support/recorded-redis.ts';
import type { Argument } from '../../support/resp-client.ts';

const tables = (version: RdbVersion) => [
  ...commandTables,
  payloadCommands(
    () => ({ version, plainTypes: false }),
    () => undefined,
  ),
];

let redis: RecordedRedis;
let differential: Differential;

beforeAll(async () => {
  redis = await RecordedRedis.start();
  differential = new Differential(redis, { tables: tables(10) });
});

afterAll(async () => {
  await redis.stop();
});

/** A payload, as bytes. */
async function payloadOf(...command: Argument[]): Promise<Buffer> {
  await differential.run([['FLUSHALL'], command]);
  return Buffer.from(differential.harness.call('DUMP', String(command[1])) as string, 'latin1');
}

test('payloads of small values are those of the real server', async () => {
  await differential.run([
    ['FLUSHALL'],
    ['SET', 'text', 'hello'],
    ['SET', 'integer', 123_456],
    ['HSET', 'hash', 'f', 'v', 'g', 17],
    ['SADD', 'intset', 3, 1, 2],
    ['ZADD', 'zset', 1, 'a', 2.5, 'b'],
    ...['text', 'integer', 'hash', 'intset', 'zset', 'none'].map((key) => ['DUMP', key]),
  ]);
});

test('payloads are restored with their deadlines', async () => {
  const string = await payloadOf('SET', 's', 'hello');
  const set = await payloadOf('SADD', 's', 1, 'a');
  const far = Date.now() + 100_000_000;
  await differential.run([
    ['FLUSHALL'],
    ['RESTORE', 'a', 0, string],
    ['RESTORE', 'a', 0, set],
    ['RESTORE', 'a', 0, set, 'REPLACE'],
    ['SMEMBERS', 'a'],
    ['RESTORE', 'b', 100_000, string],
    ['PTTL', 'b'],
    ['RESTORE', 'c', far, string, 'ABSTTL', 'IDLETIME', 100],
    ['OBJECT', 'IDLETIME', 'c'],
    ['PEXPIRETIME', 'c'],
    ['RESTORE', 'c', 200_000, set, 'replace', 'freq', 5],
    ['RESTORE', 'd', 1, string, 'ABSTTL'],
    ['EXISTS', 'd'],
    ['RESTORE', 'c', 1, string, 'ABSTTL', 'REPLACE'],
    ['EXISTS', 'c'],
    ['RESTORE', 'e', 0, string, 'IDLETIME', 2 ** 40],
  ]);
});

test('zeros of a sorted set keep their sign when it is restored as a large one', async () => {
  const long = 'x'.repeat(65);
  const large = await payloadOf('ZADD', 'z', -1, long, '-0', 'a', '-0', 'b');
  await differential.run([['RESTORE', 'large', 0, large]]);
  await differential.run([['ZRANGE', 'large', 0, -1, 'WITHSCORES']]);
  expect(differential.harness.call('ZSCORE', 'large', 'a')).toBe('-0');
  await differential.run([['ZREM', 'z', long]]);
  const short = Buffer.from(differential.harness.call('DUMP', 'z') as string, 'latin1');
  await differential.run([
    ['RESTORE', 'short', 0, short],
    ['OBJECT', 'ENCODING', 'short'],
    ['ZRANGE', 'short', 0, -1, 'WITHSCORES'],
  ]);
});

test('a time to live beyond 64 bits has passed, and a replica is told of none', async () => {
  const string = await payloadOf('SET', 's', 'hello');
  await differential.run([
    ['FLUSHALL'],
    ['RESTORE', 'a', '9223372036854775807', string],
    ['EXISTS', 'a'],
    ['RESTORE', 'a', 0, string],
    ['RESTORE', 'a', '9223372036854775807', string, 'REPLACE'],
    ['EXISTS', 'a'],
    ['RESTORE', 'b', '9223372036854775807', string, 'ABSTTL'],
    ['PEXPIRETIME', 'b'],
    ['RESTORE', 'c', '4611686018427387904', string],
    ['PEXPIRETIME', 'c'],
  ]);
});

test('what is wrong is refused in the order of the real server', async () => {
  const good = await payloadOf('SET', 's', 'hello');
  const bad = Buffer.from(good);
  bad[2]! ^= 1;
  const newer = Buffer.from(good);
  newer[newer.length - 10] = 99;
  const damaged = Buffer.from(await payloadOf('SADD', 's', 1, 2, 3));
  damaged[3] = 7;
  const { low, high } = crc64(damaged.subarray(0, -8));
  damaged.writeInt32LE(low | 0, damaged.length - 8);
  damaged.writeInt32LE(high | 0, damaged.length - 4);
  await differential.run([
    ['FLUSHALL'],
    ['SET', 'a', 'x'],
    ['RESTORE', 'a', 'x', bad, 'FOO'],
    ['RESTORE', 'a', 'x', bad],
    ['RESTORE', 'b', 'x', bad],
    ['RESTORE', 'b', -1, bad],
    ['RESTORE', 'b', 0, bad],
    ['RESTORE', 'b', 0, newer],
    ['RESTORE', 'b', 0, ''],
    ['RESTORE', 'b', 0, damaged],
    ['RESTORE', 'a', 0, damaged, 'REPLACE'],
    ['GET', 'a'],
    ['RESTORE', 'b', 0, good, 'IDLETIME', -1],
    ['RESTORE', 'b', 0, good, 'IDLETIME', 'x'],
    ['RESTORE', 'b', 0, good, 'IDLETIME'],
    ['RESTORE', 'b', 0, good, 'FREQ', 256],
    ['RESTORE', 'b', 0, good, 'FREQ', -1],
    ['RESTORE', 'b', 0, good, 'IDLETIME', 1, 'FREQ', 1],
    ['RESTORE', 'b', 0, good, 'FREQ', 1, 'IDLETIME', 1],
    ['EXISTS', 'b'],
  ]);
});

test('a payload newer than replicas read reaches them in their version', () => {
  const newer = new CommandHarness({ tables: tables(11) });
  newer.call('SADD', 's', 'a', 'b');
  const payload = Buffer.from(newer.call('DUMP', 's') as string, 'latin1');
  const older = new CommandHarness({ tables: tables(10) });
  const { stream } = older.run('RESTORE', 's', 5000, payload, 'REPLACE');
  const words = stream[0]!.words;
  expect(words.length).toBe(6);
  expect(words[2]).toBe(String(HARNESS_NOW_MS + 5000));
  expect(words[3]).toBe(older.call('DUMP', 's'));
  expect(words[3]).not.toBe(payload.toString('latin1'));
  expect(words.slice(4)).toEqual(['REPLACE', 'ABSTTL']);
  const again = new CommandHarness({ tables: tables(10) });
  again.call('RESTORE', 's', 0, Buffer.from(words[3]!, 'latin1'));
  expect((again.call('SMEMBERS', 's') as string[]).sort()).toEqual(['a', 'b']);
});
