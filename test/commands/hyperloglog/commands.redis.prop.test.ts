/**
 * Random commands on HyperLogLogs beside a real server: replies, stream, key events, counts of
 * changes, and the bytes of all keys are the same. An image of our memory is frozen and thawed
 * meanwhile.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { CommandHarness } from '../../support/command-harness.ts';
import { Differential } from '../../support/differential.ts';
import { RecordedRedis } from '../../support/recorded-redis.ts';
import type { Argument } from '../../support/resp-client.ts';
import { RespError } from '../../support/resp-parser.ts';
import { testSeed } from '../../support/seed.ts';

const BATCH = 120;
const BATCHES = 8;
const FREEZE_EVERY = 50;
const KEYS = 5;

function element(prng: Prng): Argument {
  const length = prng.below(20);
  if (length < 3) return prng.below(1000);
  return Buffer.from(Array.from({ length: length - 3 }, () => prng.below(256)));
}

function command(prng: Prng): Argument[][] {
  const key = (): string => `h${prng.below(KEYS)}`;
  const elements = (): Argument[] => Array.from({ length: prng.below(40) }, () => element(prng));
  switch (prng.below(12)) {
    case 0:
      return [['PFCOUNT', key(), key(), 'none']];
    case 1:
      return [['PFMERGE', key(), key(), key()].slice(0, 2 + prng.below(2))];
    case 2:
      return [['PFDEBUG', ['DECODE', 'ENCODING', 'encoding', 'x'][prng.below(4)]!, key()]];
    case 3:
      return prng.below(4) === 0 ? [['PFDEBUG', ['TODENSE', 'GETREG'][prng.below(2)]!, key()]] : [];
    case 4:
      return prng.below(4) === 0 ? [['DEL', key()]] : [];
    case 5:
      return [['PFCOUNT', key()]];
    case 6:
      return [['EXPIRE', key(), 100_000]];
    default:
      return [['PFADD', key(), ...elements()]];
  }
}

describe.each([3000, 100, 0])('HyperLogLogs, sparse up to %i bytes,', (hllSparseMaxBytes) => {
  let redis: RecordedRedis;

  beforeAll(async () => {
    redis = await RecordedRedis.start(['--hll-sparse-max-bytes', String(hllSparseMaxBytes)]);
  });

  afterAll(async () => {
    await redis.stop();
  });

  test('are as those of the real server', async () => {
    const prng = new Prng(testSeed('hyperloglog'));
    const differential = new Differential(redis, { settings: { hllSparseMaxBytes } });
    const { keyspace } = differential.harness;
    for (let batch = 0; batch < BATCHES; batch++) {
      const commands: Argument[][] = [];
      while (commands.length < BATCH) commands.push(...command(prng));
      await differential.run(commands, (index) => {
        if (index % FREEZE_EVERY !== 0) return;
        if (keyspace.arena.frozen) keyspace.thaw();
        keyspace.freeze(
          64 << 20,
          () => undefined,
          () => expect.unreachable('the image was lost'),
        );
      });
    }
    if (keyspace.arena.frozen) keyspace.thaw();
    await differential.compareKeyspace([0], (_, key) => ['GET', key]);
  });
});

describe('what is no HyperLogLog', () => {
  let redis: RecordedRedis;
  let differential: Differential;

  beforeAll(async () => {
    redis = await RecordedRedis.start();
    differential = new Differential(redis);
  });

  afterAll(async () => {
    await redis.stop();
  });

  const header = (encoding: number): string =>
    `HYLL${String.fromCharCode(encoding)}\0\0\0\0\0\0\0\0\0\0\x80`;

  test.each([
    ['a text', 'text'],
    ['an integer', '12345678901234567890'],
    ['a short header', 'HYLL\x01\0\0\0'],
    ['another encoding', `${header(2)}\x7f\xff`],
    ['another magic', `HYLN${header(1).slice(4)}\x7f\xff`],
    ['a short dense one', `${header(0)}\x7f\xff`],
    ['a sparse one without runs', header(1)],
    ['a sparse one with too few registers', `${header(1)}\x7f\xfe`],
    ['a sparse one with too many registers', `${header(1)}\x7f\xff\x80`],
    ['a sparse one that ends in a run', `${header(1)}\x7f\xfe\x40`],
    ['a long one of nothing', `${header(1)}${'\x80'.repeat(40_000)}`],
  ])('%s is told by PFCOUNT and PFMERGE', async (_, text) => {
    const value = Buffer.from(text, 'latin1');
    await differential.run([
      ['FLUSHALL'],
      ['SET', 'bad', value],
      ['PFADD', 'good', 'a'],
      ['PFCOUNT', 'bad', 'good'],
      ['PFMERGE', 'new', 'bad'],
      ['PFDEBUG', 'TODENSE', 'bad'],
      ['PFCOUNT', 'bad'],
      ['EXISTS', 'new'],
      ['DEL', 'bad'],
      ['SADD', 'bad', 1],
      ['PFADD', 'bad', 1],
      ['PFCOUNT', 'bad'],
      ['PFCOUNT', 'good', 'bad'],
      ['PFMERGE', 'bad', 'good'],
      ['PFDEBUG', 'ENCODING', 'bad'],
      ['PFDEBUG', 'ENCODING', 'none'],
    ]);
  });

  test('PFADD refuses runs that end before the register, and changes nothing', () => {
    const harness = new CommandHarness();
    const value = `${header(1)}\x00`;
    harness.call('SET', 'bad', Buffer.from(value, 'latin1'));
    const { reply, changes } = harness.run('PFADD', 'bad', 'a', 'b', 'c');
    expect((reply as RespError).message).toBe('INVALIDOBJ Corrupted HLL object detected');
    expect(changes).toBe(0);
    expect(harness.call('GET', 'bad')).toBe(value);
  });

  test('random runs are refused or counted', () => {
    const prng = new Prng(testSeed('runs'));
    const harness = new CommandHarness();
    for (let i = 0; i < 300; i++) {
      const runs = Array.from({ length: prng.below(60) }, () =>
        String.fromCharCode(prng.below(256)),
      ).join('');
      harness.call('SET', 'h', Buffer.from(header(1) + runs, 'latin1'));
      harness.call('PFADD', 'h', i, `${i}`.repeat(3));
      const count = harness.call('PFCOUNT', 'h');
      expect(count instanceof RespError || Number(count) >= 0).toBe(true);
    }
  });
});

test('a count that is written down is answered', () => {
  const harness = new CommandHarness();
  harness.call('PFADD', 'h', 'a', 'b');
  expect(harness.call('PFCOUNT', 'h')).toBe(2);
  expect(harness.run('PFCOUNT', 'h').changes).toBe(0);
  harness.call('SETRANGE', 'h', 8, Buffer.from([1, 2, 3, 4, 5, 6, 7, 0]));
  expect(String(harness.call('PFCOUNT', 'h'))).toBe(String(0x0007060504030201n));
  harness.call('SETRANGE', 'h', 8, Buffer.from([8, 7, 6, 5, 4, 3, 2, 0x7f]));
  expect(String(harness.call('PFCOUNT', 'h'))).toBe(String(0x7f02030405060708n));
});

test('the test of itself passes', () => {
  expect(new CommandHarness({ seed: testSeed('self') }).call('PFSELFTEST')).toBe('OK');
});
