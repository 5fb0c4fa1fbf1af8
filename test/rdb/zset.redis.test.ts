/**
 * Sorted sets in payloads and dumps: in every dialect, to and from a real server, in any form, and
 * damaged.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bytesOf } from '../../src/base/bytes.ts';
import { codeOf, ErrorCode } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import type { Ref } from '../../src/base/units.ts';
import { Encoding } from '../../src/keyspace/entry.ts';
import type { RdbVersion } from '../../src/rdb/dialect.ts';
import { RdbType } from '../../src/rdb/opcodes.ts';
import { PayloadCodec } from '../../src/rdb/payload.ts';
import { CommandHarness } from '../support/command-harness.ts';
import { type RealRedis, startRedis } from '../support/real-redis.ts';
import type { RespClient } from '../support/resp-client.ts';
import { testSeed } from '../support/seed.ts';
import { dumpOf, LIMITS, loadBytes, saveOptions } from './keyspaces.ts';

const codec = new PayloadCodec();
const FOOTER = Buffer.from([11, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

const DIALECTS: readonly (readonly [RdbVersion, boolean])[] = [
  [9, true],
  [9, false],
  [10, false],
  [11, false],
  [12, false],
  [12, true],
];

/** Members and scores in their order. */
const members = (harness: CommandHarness, key: string): string[] =>
  harness.call('ZRANGE', key, 0, -1, 'WITHSCORES') as string[];

function entryOf(harness: CommandHarness, key: string): Ref {
  const name = bytesOf(key);
  return harness.keyspace.databases[0]!.find(name, 0, name.length);
}

function dump(
  harness: CommandHarness,
  key: string,
  version: RdbVersion,
  plainTypes = false,
): Buffer {
  return codec.dump(harness.keyspace.arena, entryOf(harness, key), { version, plainTypes });
}

/** Adds the value of a payload under a key that is absent. */
function restore(harness: CommandHarness, key: string, payload: Uint8Array, limits = LIMITS): void {
  const value = codec.load(payload, 0, payload.length, harness.keyspace, limits);
  const name = bytesOf(key);
  entryOf(harness, key);
  value.add(harness.keyspace.databases[0]!, name, 0, name.length);
}

const ENCODINGS = {
  one: Encoding.LISTPACK,
  short: Encoding.LISTPACK,
  some: Encoding.SKIPLIST,
  many: Encoding.SKIPLIST,
  long: Encoding.SKIPLIST,
} as const;
const KEYS = Object.keys(ENCODINGS) as (keyof typeof ENCODINGS)[];
const SCORES = [
  0,
  -1,
  5e-324,
  1.7976931348623157e308,
  0.1,
  'inf',
  '-inf',
  '9007199254740993',
  1e17,
  1e16,
];

/** Sorted sets of every form. */
function fill(harness: CommandHarness, seed: number): void {
  const prng = new Prng(seed);
  const score = (i: number): string | number =>
    i < SCORES.length ? SCORES[i]! : (prng.float() - 0.5) * 10 ** prng.below(10);
  const member = (i: number): string | number => (i % 3 === 0 ? prng.u32() : `member ${i}`);
  harness.call('ZADD', 'one', 1, '7');
  const pairs = (count: number): (string | number)[] =>
    Array.from({ length: count }, (_, i) => [score(i), member(i)]).flat();
  harness.call('ZADD', 'short', ...pairs(100), 5, 'same', 5, 'same too', 5, '77');
  harness.call('ZADD', 'some', ...pairs(140));
  harness.call('ZADD', 'many', ...pairs(2000));
  for (const [i, text] of [
    '',
    'x'.repeat(100),
    'y'.repeat(50_000),
    'z'.repeat(3_000_000),
    5,
  ].entries())
    harness.call('ZADD', 'long', i, text);
}

describe.each(DIALECTS)('version %i, plain types %s', (version, plainTypes) => {
  test('payloads and dumps give the sorted sets back', () => {
    const harness = new CommandHarness();
    fill(harness, testSeed('sorted-sets'));
    for (const key of KEYS) {
      restore(harness, 'copy', dump(harness, key, version, plainTypes));
      expect(members(harness, 'copy')).toEqual(members(harness, key));
      harness.call('DEL', 'copy');
    }
    const bytes = dumpOf(harness.keyspace, saveOptions({ dialect: { version, plainTypes } }));
    const loaded = new CommandHarness();
    loaded.server.keyspace = loadBytes(bytes).keyspace;
    const db = loaded.keyspace.databases[0]!;
    for (const key of KEYS) {
      expect(members(loaded, key)).toEqual(members(harness, key));
      expect(db.encoding(entryOf(loaded, key))).toBe(ENCODINGS[key]);
    }
    loaded.keyspace.structures.sortedTables.validate(db.value(entryOf(loaded, 'many')));
  });

  test('small ones are written in the form that the version knows', () => {
    const harness = new CommandHarness();
    fill(harness, 1);
    const listpack = version >= 10 && !plainTypes;
    const type = listpack ? RdbType.ZSET_LISTPACK : RdbType.ZSET_2;
    expect(dump(harness, 'short', version, plainTypes)[0]).toBe(type);
    expect(dump(harness, 'many', version, plainTypes)[0]).toBe(RdbType.ZSET_2);
  });
});

describe('with a real server', () => {
  let redis: RealRedis;
  let client: RespClient;

  beforeAll(async () => {
    redis = await startRedis();
    client = await redis.client({ bulk: 'buffer' });
  });

  afterAll(async () => {
    await client.close();
    await redis.stop();
  });

  test.each([
    [9, true],
    [10, false],
  ] as const)(
    'our payloads of version %i restore there, and its payloads here',
    async (version, plain) => {
      const harness = new CommandHarness();
      await client.call('FLUSHALL');
      fill(harness, testSeed('real'));
      for (const key of KEYS) {
        await client.call('RESTORE', key, 0, dump(harness, key, version, plain));
        const theirs = (await client.call('ZRANGE', key, 0, -1, 'WITHSCORES')) as Buffer[];
        expect(theirs.map((each) => each.toString('latin1'))).toEqual(members(harness, key));
        const payload = (await client.call('DUMP', key)) as Buffer;
        expect(codec.check(payload, 0, payload.length)).toBe(true);
        restore(harness, `${key} again`, payload);
        expect(members(harness, `${key} again`)).toEqual(members(harness, key));
      }
    },
  );
});

test.each([
  ['a listpack', 11, false],
  ['members one by one', 11, true],
] as const)('%s beyond the limits becomes a large set', (_, version, plain) => {
  const harness = new CommandHarness();
  fill(harness, 1);
  const limits = { ...LIMITS, zsetMaxListpackEntries: 10 };
  restore(harness, 'copy', dump(harness, 'short', version, plain), limits);
  expect(members(harness, 'copy')).toEqual(members(harness, 'short'));
  expect(harness.keyspace.databases[0]!.encoding(entryOf(harness, 'copy'))).toBe(Encoding.SKIPLIST);
});

/** A listpack of small integers as a value. */
const listpackOf = (...elements: number[]): number[] => {
  const bytes = 7 + elements.length * 2;
  const entries = elements.flatMap((element) => [element, 1]);
  return [RdbType.ZSET_LISTPACK, bytes, bytes, 0, 0, 0, elements.length, 0, ...entries, 0xff];
};
const DOUBLE_ONE = [0, 0, 0, 0, 0, 0, 0xf0, 0x3f];
const DOUBLE_NAN = [0, 0, 0, 0, 0, 0, 0xf8, 0x7f];

test('the forms of old are read', () => {
  const harness = new CommandHarness();
  // ZADD z 1 a 2.5 b inf c -inf d, in version 6 with scores as text.
  const text = [
    RdbType.ZSET,
    4,
    1,
    0x61,
    1,
    0x31,
    1,
    0x62,
    3,
    0x32,
    0x2e,
    0x35,
    1,
    0x63,
    254,
    1,
    0x64,
    255,
  ];
  restore(harness, 'text', Buffer.concat([Buffer.from(text), FOOTER]));
  expect(members(harness, 'text')).toEqual(['d', '-inf', 'a', '1', 'b', '2.5', 'c', 'inf']);
  // The ziplist of a:1 and b:2.5.
  const ziplist = [
    25, 0, 0, 0, 19, 0, 0, 0, 4, 0, 0, 1, 0x61, 3, 0xf2, 2, 1, 0x62, 3, 3, 0x32, 0x2e, 0x35, 0xff,
  ];
  ziplist[0] = ziplist.length;
  ziplist[4] = 18;
  const old = [RdbType.ZSET_ZIPLIST, ziplist.length, ...ziplist];
  restore(harness, 'ziplist', Buffer.concat([Buffer.from(old), FOOTER]));
  expect(members(harness, 'ziplist')).toEqual(['a', '1', 'b', '2.5']);
});

function codeThrown(run: () => void): string | undefined {
  try {
    run();
  } catch (error) {
    return codeOf(error);
  }
  return undefined;
}

test.each([
  ['a member twice', [RdbType.ZSET_2, 2, 1, 0x61, ...DOUBLE_ONE, 1, 0x61, ...DOUBLE_ONE]],
  ['a score that is no number', [RdbType.ZSET_2, 1, 1, 0x61, ...DOUBLE_NAN]],
  ['a text of a score that is no number', [RdbType.ZSET, 1, 1, 0x61, 253]],
  ['a text of a score that is a word', [RdbType.ZSET, 1, 1, 0x61, 1, 0x62]],
  ['a listpack with a member twice', listpackOf(1, 5, 1, 6)],
  ['a listpack that descends', listpackOf(1, 5, 2, 4)],
  ['a listpack whose members descend', listpackOf(2, 5, 1, 5)],
  ['a listpack without the last score', listpackOf(1, 5, 2)],
  ['a listpack with a wrong count', [RdbType.ZSET_LISTPACK, 9, 9, 0, 0, 0, 2, 0, 1, 1, 0xff]],
  [
    'a listpack with a word as a score',
    [RdbType.ZSET_LISTPACK, 12, 12, 0, 0, 0, 2, 0, 1, 1, 0x81, 0x61, 2, 0xff],
  ],
])('%s is refused', (_, bytes) => {
  const harness = new CommandHarness();
  const before = harness.keyspace.arena.usedBytes;
  const payload = Buffer.concat([Buffer.from(bytes), FOOTER]);
  expect(codeThrown(() => restore(harness, 'set', payload))).toBe(ErrorCode.CORRUPT);
  expect(harness.keyspace.arena.usedBytes).toBe(before);
});

test('an empty one is no value', () => {
  for (const bytes of [[RdbType.ZSET_2, 0], listpackOf()]) {
    const payload = Buffer.concat([Buffer.from(bytes), FOOTER]);
    const harness = new CommandHarness();
    expect(codeThrown(() => restore(harness, 'set', payload))).toBe(ErrorCode.CORRUPT);
  }
});

test('a count beyond the bytes is refused', () => {
  const harness = new CommandHarness();
  const payload = Buffer.concat([
    Buffer.from([RdbType.ZSET_2, 0x80, 0x7f, 0xff, 0xff, 0xff, 1, 0x61]),
    FOOTER,
  ]);
  expect(['SHORT', 'CORRUPT']).toContain(codeThrown(() => restore(harness, 'set', payload)));
});

test('damaged payloads are refused or are sorted sets', () => {
  const prng = new Prng(testSeed('damage'));
  const source = new CommandHarness();
  fill(source, 1);
  const payloads = (['one', 'short', 'some'] as const).flatMap((key) =>
    DIALECTS.map(([version, plain]) => dump(source, key, version, plain)),
  );
  const harness = new CommandHarness();
  const before = harness.keyspace.arena.usedBytes;
  let refused = 0;
  for (let i = 0; i < 900; i++) {
    const bad = Buffer.from(payloads[i % payloads.length]!);
    // The type byte stays: another type's values are another test's.
    for (let n = 1 + prng.below(3); n > 0; n--)
      bad[1 + prng.below(bad.length - 11)] = prng.below(256);
    const code = codeThrown(() => {
      restore(harness, 'set', bad);
      expect(members(harness, 'set').length / 2).toBe(harness.call('ZCARD', 'set'));
      harness.call('DEL', 'set');
      while (harness.keyspace.freeSome(1000));
    });
    if (code !== undefined) {
      expect(['SHORT', 'CORRUPT', 'UNSUPPORTED']).toContain(code);
      refused++;
    }
    expect(harness.keyspace.arena.usedBytes).toBe(before);
  }
  expect(refused).toBeGreaterThan(300);
});
