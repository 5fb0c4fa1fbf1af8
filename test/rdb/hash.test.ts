/**
 * Hashes in dumps: every form that was ever written, by hand, and what hostile bytes of them do.
 */
import { describe, expect, test } from 'vitest';
import { bytesOf, latin1 } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { asRef, NIL } from '../../src/base/units.ts';
import type { EncodingLimits } from '../../src/keyspace/encoding-limits.ts';
import { Encoding } from '../../src/keyspace/entry.ts';
import { PayloadCodec } from '../../src/rdb/payload.ts';
import { ListpackBuilder } from '../../src/structs/listpack-builder.ts';
import { testSeed } from '../support/seed.ts';
import { dumpOf, LIMITS, loadBytes, newKeyspace, saveOptions } from './keyspaces.ts';

type Pairs = Readonly<Record<string, string>>;

const codec = new PayloadCodec();
const keyspace = newKeyspace();
const TABLE_LIMITS: EncodingLimits = { ...LIMITS, hashMaxListpackEntries: 1 };
const name = bytesOf('key');

const bytes = (...values: number[]): Buffer => Buffer.from(values);
const u32 = (value: number): Buffer => {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
};
const i64 = (value: number): Buffer => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64LE(BigInt(value));
  return buffer;
};
/** A string of a dump behind its length. */
const str = (content: string | Buffer): Buffer => {
  const data = Buffer.from(content as string, 'latin1');
  const length =
    data.length < 64 ? bytes(data.length) : bytes(0x40 | (data.length >> 8), data.length & 255);
  return Buffer.concat([length, data]);
};
const flat = (pairs: Pairs): string[] => Object.entries(pairs).flat();

function listpack(elements: readonly (string | number)[]): Buffer {
  const builder = new ListpackBuilder();
  builder.begin();
  for (const element of elements) {
    const data = bytesOf(String(element));
    builder.append(data, 0, data.length);
  }
  builder.finish();
  return Buffer.from(builder.bytes.slice(0, builder.length));
}

function zipmap(pairs: Pairs, count = Object.keys(pairs).length): Buffer {
  const parts = Object.entries(pairs).map(([field, value], i) => {
    const free = i % 3;
    return Buffer.concat([
      zipmapString(field),
      zipmapString(value, free),
      Buffer.alloc(free, 0x78),
    ]);
  });
  return Buffer.concat([bytes(count), ...parts, bytes(255)]);
}

function zipmapString(text: string, free?: number): Buffer {
  const data = Buffer.from(text, 'latin1');
  const length =
    data.length < 254 ? bytes(data.length) : Buffer.concat([bytes(254), u32(data.length)]);
  return Buffer.concat([length, free === undefined ? bytes() : bytes(free), data]);
}

function ziplist(elements: readonly string[]): Buffer {
  let before = 0;
  let tail = 10;
  let at = 10;
  const entries = elements.map((element) => {
    const data = Buffer.from(element, 'latin1');
    const entry = Buffer.concat([bytes(before), bytes(data.length), data]);
    tail = at;
    at += entry.length;
    before = entry.length;
    return entry;
  });
  const count = Buffer.from([elements.length, 0]);
  return Buffer.concat([u32(at + 1), u32(tail), count, ...entries, bytes(255)]);
}

/** A payload of RESTORE with the checksum 0. */
function payload(type: number, ...parts: Buffer[]): Buffer {
  return Buffer.concat([bytes(type), ...parts, bytes(12, 0), Buffer.alloc(8)]);
}

interface Restored {
  readonly encoding: Encoding;
  readonly pairs: Record<string, string>;
}

/** What a payload holds. Checks that nothing of it stays in the arena. */
function restore(data: Buffer, limits: EncodingLimits = LIMITS): Restored {
  const before = keyspace.arena.usedBytes;
  const db = keyspace.databases[0]!;
  try {
    const loaded = codec.load(data, 0, data.length, keyspace, limits);
    expect(db.find(name, 0, name.length)).toBe(NIL);
    const entry = loaded.add(db, name, 0, name.length);
    const encoding = db.encoding(entry);
    const map = keyspace.structures.fieldMap;
    map.open(db.value(entry), encoding === Encoding.HASHTABLE);
    map.validate();
    const pairs: Record<string, string> = {};
    map.forEach((handle) => {
      map.readField(handle);
      map.readValue(handle);
      const { field, value } = map;
      pairs[latin1(field.bytes, field.position, field.length)] = latin1(
        value.bytes,
        value.position,
        value.length,
      );
    });
    db.remove(asRef(entry));
    return { encoding, pairs };
  } finally {
    while (keyspace.freeSome(100));
    expect(keyspace.arena.usedBytes).toBe(before);
  }
}

function codeOfRestoring(data: Buffer): string | undefined {
  try {
    restore(data);
    return undefined;
  } catch (error) {
    return codeOf(error);
  }
}

const two: Pairs = { name: 'value', number: '-1234567' };
const long: Pairs = { a: 'x'.repeat(300), b: '', c: '5' };
const metadata = (ttls: readonly number[], pairs: Pairs): Buffer[] => [
  i64(1_700_000_000_000),
  bytes(ttls.length),
  ...Object.entries(pairs).flatMap(([field, value], i) => [
    bytes(ttls[i]!),
    str(field),
    str(value),
  ]),
];

/** Each with its type, what follows that, and what it holds. */
const forms: readonly (readonly [string, number, readonly Buffer[], Pairs])[] = [
  ['fields', 4, [bytes(2), ...flat(two).map(str)], two],
  ['a zipmap', 9, [str(zipmap(two))], two],
  ['a zipmap with a long value', 9, [str(zipmap(long))], long],
  ['a zipmap that does not know its count', 9, [str(zipmap(two, 254))], two],
  ['a ziplist', 13, [str(ziplist(flat(two)))], two],
  ['a listpack', 16, [str(listpack(flat(two)))], two],
  ['fields with no deadlines', 24, metadata([0, 0], two), two],
  [
    'a listpack with no deadlines',
    25,
    [i64(0), str(listpack(['name', 'value', 0, 'number', -1234567, 0]))],
    two,
  ],
];

describe('a hash', () => {
  test.each(forms)('is loaded from %s', (_what, type, parts, pairs) => {
    const large = Object.values(pairs).some((value) => value.length > 64);
    expect(restore(payload(type, ...parts))).toEqual({
      encoding: large ? Encoding.HASHTABLE : Encoding.LISTPACK,
      pairs,
    });
  });

  test.each(forms)('beyond the limits becomes a table: %s', (_what, type, parts, pairs) => {
    expect(restore(payload(type, ...parts), TABLE_LIMITS)).toEqual({
      encoding: Encoding.HASHTABLE,
      pairs,
    });
  });

  test.each([
    ['a field', { short: '1', ['f'.repeat(65)]: '2', other: '3' }],
    ['a value', { short: '1', second: 'v'.repeat(65), other: '3' }],
  ])('becomes a table in the middle when %s is too long', (_what, pairs) => {
    const data = payload(4, bytes(3), ...flat(pairs as Pairs).map(str));
    expect(restore(data)).toEqual({ encoding: Encoding.HASHTABLE, pairs });
  });

  test.each([
    ['of fields that has one twice', 4, [bytes(2), ...['a', '1', 'a', '2'].map(str)], 'CORRUPT'],
    [
      'of fields that has one twice in a table',
      4,
      [bytes(3), ...['a', '1', 'b', 'x'.repeat(65), 'a', '2'].map(str)],
      'CORRUPT',
    ],
    ['without fields', 4, [bytes(0)], 'CORRUPT'],
    ['with fewer fields than it says', 4, [bytes(3), str('a'), str('1')], 'SHORT'],
    [
      'that says it has 2^63 fields',
      4,
      [bytes(0x81, 0x7f, 255, 255, 255, 255, 255, 255, 255)],
      'CORRUPT',
    ],
    ['of an empty zipmap', 9, [str(bytes(0, 255))], 'CORRUPT'],
    ['of a zipmap with another count', 9, [str(zipmap(two, 3))], 'CORRUPT'],
    [
      'of a zipmap with a field twice',
      9,
      [
        str(
          Buffer.concat([
            bytes(2),
            ...[1, 2].flatMap(() => [bytes(1, 0x61, 1, 0, 0x62)]),
            bytes(255),
          ]),
        ),
      ],
      'CORRUPT',
    ],
    ['of a zipmap without a value', 9, [str(bytes(1, 1, 0x61, 255))], 'CORRUPT'],
    [
      'of a zipmap with a length beyond its end',
      9,
      [str(bytes(1, 254, 255, 255, 255, 255, 0, 255))],
      'CORRUPT',
    ],
    [
      'of a zipmap with free bytes beyond its end',
      9,
      [str(bytes(1, 1, 0x61, 1, 9, 0x62, 255))],
      'CORRUPT',
    ],
    ['of a ziplist without a value', 13, [str(ziplist(['a', '1', 'b']))], 'CORRUPT'],
    ['of a ziplist with a field twice', 13, [str(ziplist(['a', '1', 'a', '2']))], 'CORRUPT'],
    ['of a listpack without a value', 16, [str(listpack(['a', '1', 'b']))], 'CORRUPT'],
    [
      'of a listpack with a field twice',
      16,
      [str(listpack(['7', '1', 'b', '2', '7', '3']))],
      'CORRUPT',
    ],
    ['of an empty listpack', 16, [str(listpack([]))], 'CORRUPT'],
    ['with a deadline', 24, metadata([0, 9], two), 'UNSUPPORTED'],
    [
      'of a listpack with a deadline',
      25,
      [i64(5), str(listpack(['a', '1', 0, 'b', '2', 5]))],
      'UNSUPPORTED',
    ],
    [
      'of a listpack with a deadline that is none',
      25,
      [i64(5), str(listpack(['a', '1', 'x']))],
      'UNSUPPORTED',
    ],
    [
      'of a listpack without a deadline',
      25,
      [i64(5), str(listpack(['a', '1', 0, 'b', '2']))],
      'CORRUPT',
    ],
    ['of a release candidate', 22, [bytes(1), str('a'), str('1')], 'UNSUPPORTED'],
    ['of a release candidate as a listpack', 23, [str(listpack([]))], 'UNSUPPORTED'],
  ] as const)('%s is refused', (_what, type, parts, code) => {
    expect(codeOfRestoring(payload(type, ...parts))).toBe(code);
  });

  test('with damage is refused, or is a sound hash', () => {
    const prng = new Prng(testSeed('damaged hashes'));
    const codes = new Set<string | undefined>();
    for (let i = 0; i < 3000; i++) {
      const [, type, parts] = forms[prng.below(forms.length)]!;
      const data = payload(type, ...parts);
      for (let n = prng.below(3); n >= 0; n--) data[prng.below(data.length - 10)] = prng.below(256);
      codes.add(codeOfRestoring(data));
    }
    codes.delete(undefined);
    expect([...codes].sort()).toEqual(['CORRUPT', 'SHORT', 'UNSUPPORTED']);
  });
});

describe("Valkey's hash with deadlines", () => {
  const dump = (expiry: number): Buffer =>
    Buffer.concat([
      Buffer.from('VALKEY080'),
      bytes(22),
      str('key'),
      bytes(1),
      str('a'),
      str('1'),
      i64(expiry),
      bytes(255),
      Buffer.alloc(8),
    ]);

  test('is a plain one when it has none', () => {
    const { keyspace: loaded, result } = loadBytes(dump(-1));
    expect(result.keysLoaded).toBe(1);
    const db = loaded.databases[0]!;
    const map = loaded.structures.fieldMap;
    map.open(db.value(db.find(name, 0, name.length)), false);
    expect(map.count()).toBe(1);
  });

  test('is refused when it has one', () => {
    expect(() => loadBytes(dump(1_700_000_000_000))).toThrow(/expire/);
  });
});

test('an empty hash is left out of a dataset, and counted', () => {
  const empty = Buffer.concat([bytes(4), str('empty'), bytes(0)]);
  const full = Buffer.concat([bytes(4), str('full'), bytes(1), str('a'), str('1')]);
  const dump = Buffer.concat([Buffer.from('REDIS0010'), empty, full, bytes(255), Buffer.alloc(8)]);
  expect(loadBytes(dump).result).toMatchObject({ keysLoaded: 1, keysEmpty: 1 });
});

test('a hash that has expired is not kept, and none of its memory', () => {
  const source = newKeyspace();
  const { fields } = source.structures;
  const table = fields.create();
  for (let i = 0; i < 500; i++) {
    const field = bytesOf(`field:${i}`);
    fields.find(table, field, 0, field.length);
    fields.add(table, field, 0, field.length, field, 0, field.length);
  }
  const db = source.databases[0]!;
  db.find(name, 0, name.length);
  db.setDeadline(db.addObject(name, 0, name.length, 4, Encoding.HASHTABLE, table), 5);
  const { keyspace: loaded, result } = loadBytes(dumpOf(source, saveOptions()));
  expect(result).toMatchObject({ keysLoaded: 0, keysExpired: 1 });
  expect(loaded.freeing).toBe(false);
  expect(loaded.arena.usedBytes).toBe(newKeyspace().arena.usedBytes);
});
