/**
 * Listpacks and intsets beside those of a real server: its dumps are our bytes, and it restores
 * ours.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { bytePosition, SEGMENT_SHIFT } from '../../src/arena/layout.ts';
import { Prng } from '../../src/base/prng.ts';
import type { Ref } from '../../src/base/units.ts';
import { Int64, parseInt64Halves } from '../../src/structs/int64.ts';
import { Intset } from '../../src/structs/intset.ts';
import { validateIntset } from '../../src/structs/intset-read.ts';
import { validateListpack } from '../../src/structs/listpack-check.ts';
import { END } from '../../src/structs/listpack-read.ts';
import { type RealRedis, startRedis } from '../support/real-redis.ts';
import type { RespClient } from '../support/resp-client.ts';
import { testSeed } from '../support/seed.ts';
import { blobOf, PayloadType, payloadOf } from './dump-payload.ts';
import { ListpackFixture, randomText } from './listpack-fixture.ts';

const ROUNDS = 30;

let redis: RealRedis;
let client: RespClient;
beforeAll(async () => {
  redis = await startRedis({ args: ['--rdbcompression', 'no', '--sanitize-dump-payload', 'yes'] });
  client = await redis.client({ bulk: 'latin1' });
  for (const type of ['hash', 'zset']) {
    await client.call('CONFIG', 'SET', `${type}-max-listpack-entries`, '10000');
    await client.call('CONFIG', 'SET', `${type}-max-listpack-value`, '100000');
  }
  await client.call('CONFIG', 'SET', 'list-max-listpack-size', '10000');
});
afterAll(() => redis.stop());

let fixture: ListpackFixture;
beforeEach(() => {
  fixture = new ListpackFixture();
});

const latin1Texts = async (...command: string[]): Promise<string[]> =>
  (await client.call(...command)) as string[];

async function dumpOf(key: string): Promise<{ type: number; blob: Buffer }> {
  const payload = (await client.call('DUMP', key)) as string;
  return blobOf(Buffer.from(payload, 'latin1'));
}

async function restore(type: number, blob: Uint8Array): Promise<void> {
  const payload = payloadOf(type, blob);
  expect(await client.call('RESTORE', 'restored', '0', payload, 'REPLACE')).toBe('OK');
}

const append = (ref: Ref, text: string): Ref => fixture.append(ref, text);

describe('lists', () => {
  test('pushed at both ends, changed, removed', async () => {
    const prng = new Prng(testSeed('lists'));
    for (let round = 0; round < ROUNDS; round++) {
      await client.call('DEL', 'list');
      const { listpack } = fixture;
      let ref = listpack.create();
      for (let i = 0; i < 40; i++) {
        const text = randomText(prng, 200);
        const bytes = Buffer.from(text, 'latin1');
        const index = prng.below(listpack.count(ref) + 1);
        const at = listpack.seek(ref, index);
        if (prng.below(3) === 0 || at === END) {
          ref = append(ref, text);
          client.send('RPUSH', 'list', text);
        } else if (prng.below(2) === 0) {
          ref = listpack.prepend(ref, bytes, 0, bytes.length);
          client.send('LPUSH', 'list', text);
        } else {
          ref = listpack.replace(ref, at, bytes, 0, bytes.length);
          client.send('LSET', 'list', index, text);
        }
        await client.reply();
      }
      const { type, blob } = await dumpOf('list');
      expect(type).toBe(PayloadType.QUICKLIST_2);
      expect(blob.equals(fixture.bytes(ref))).toBe(true);
      expect(validateListpack(blob, 0, blob.length, true)).toBe(true);
      await restore(PayloadType.QUICKLIST_2, fixture.bytes(ref));
      expect(await latin1Texts('LRANGE', 'restored', '0', '-1')).toEqual(fixture.texts(ref));
    }
  });

  test('with elements at the bounds of the back length', async () => {
    for (const length of [127, 16376, 16377, 16378, 16379, 2097144, 2097145, 2097146, 2097147]) {
      await client.call('CONFIG', 'SET', 'list-max-listpack-size', '10');
      const texts = ['a', 'x'.repeat(length), '-7'];
      const ref = fixture.of(texts);
      await restore(PayloadType.QUICKLIST_2, fixture.bytes(ref));
      expect(await client.call('LINDEX', 'restored', '-3')).toBe('a');
      expect(((await client.call('LINDEX', 'restored', '1')) as string).length).toBe(length);
    }
  });
});

test('hashes', async () => {
  const prng = new Prng(testSeed('hashes'));
  for (let round = 0; round < ROUNDS; round++) {
    await client.call('DEL', 'hash');
    const { listpack } = fixture;
    let ref = listpack.create();
    for (let i = 0; i < 30; i++) {
      const field = prng.below(2) === 0 ? String(prng.below(20)) : randomText(prng, 20);
      const value = randomText(prng, 200);
      const at = fixture.find(ref, listpack.first(ref), field, 1);
      if (prng.below(4) === 0) {
        await client.call('HDEL', 'hash', field);
        if (at !== END) ref = listpack.deleteEntries(ref, at, 2);
      } else {
        await client.call('HSET', 'hash', field, value);
        const bytes = Buffer.from(value, 'latin1');
        if (at !== END) ref = listpack.replace(ref, listpack.next(ref, at), bytes, 0, bytes.length);
        else ref = append(append(ref, field), value);
      }
    }
    const { type, blob } = await dumpOf('hash');
    expect(type).toBe(PayloadType.HASH_LISTPACK);
    expect(blob.equals(fixture.bytes(ref))).toBe(true);
    await restore(PayloadType.HASH_LISTPACK, blob);
    expect(await latin1Texts('HGETALL', 'restored')).toEqual(fixture.texts(ref));
  }
});

test('sorted sets', async () => {
  await client.call('DEL', 'zset');
  const scores = [
    '-inf',
    '-9223372036854775000',
    '-4097',
    '-1.5',
    '0',
    '3',
    '127',
    '4096',
    '1e+30',
    'inf',
  ];
  for (const [i, score] of scores.entries()) await client.call('ZADD', 'zset', score, `member${i}`);
  const { type, blob } = await dumpOf('zset');
  expect(type).toBe(PayloadType.ZSET_LISTPACK);
  const texts = await latin1Texts('ZRANGE', 'zset', '0', '-1', 'WITHSCORES');
  const ref = fixture.of(texts);
  expect(blob.equals(fixture.bytes(ref))).toBe(true);
  await restore(PayloadType.ZSET_LISTPACK, fixture.bytes(ref));
  expect(await latin1Texts('ZRANGE', 'restored', '0', '-1', 'WITHSCORES')).toEqual(texts);
});

test('intsets', async () => {
  const prng = new Prng(testSeed('intsets'));
  const { arena } = fixture;
  const intset = new Intset(arena);
  const value = new Int64();
  for (let round = 0; round < ROUNDS; round++) {
    await client.call('DEL', 'set');
    let ref = intset.create();
    const widest = [14, 30, 62][prng.below(3)]!;
    const texts = new Set<string>();
    for (let i = 1 + prng.below(60); i > 0; i--) {
      const wide = (BigInt(prng.u32()) << 32n) | BigInt(prng.u32());
      texts.add(String(BigInt.asIntN(2 + prng.below(widest), wide)));
    }
    for (const text of texts) {
      const bytes = Buffer.from(text);
      expect(parseInt64Halves(bytes, 0, bytes.length, value)).toBe(true);
      ref = intset.add(ref, value.high, value.low);
    }
    await client.call('SADD', 'set', ...texts);
    const { type, blob } = await dumpOf('set');
    expect(type).toBe(PayloadType.INTSET);
    const base = bytePosition(ref);
    const own = arena.u8[ref >>> SEGMENT_SHIFT]!.slice(base, base + intset.byteLength(ref));
    expect(blob.equals(own)).toBe(true);
    expect(validateIntset(blob, 0, blob.length)).toBe(true);
    await restore(PayloadType.INTSET, own);
    expect(new Set(await latin1Texts('SMEMBERS', 'restored'))).toEqual(texts);
  }
});
