/**
 * Dumps of Redis 8.6, 8.8 and 8.10 (versions 13 to 15) and of Valkey 9 (80 and 81), none of which is
 * here: written by hand, as their format is documented. Each new part loads or is refused by its
 * name, is cut at every byte, and gets hostile lengths.
 */
import { describe, expect, test } from 'vitest';
import { bytesOf } from '../../src/base/bytes.ts';
import { codeOf, messageOf } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { MIB } from '../../src/base/units.ts';
import { PayloadCodec } from '../../src/rdb/payload.ts';
import { damagedDump, damagedPayload } from '../support/corrupt.ts';
import {
  bytesOfParts,
  dump,
  i64,
  length,
  listpack,
  MODULE_DATA,
  metadataClass,
  moduleId,
  type Part,
  pair,
  payload,
  rawId,
  str,
  stream,
  withChecksum,
  withoutKey,
} from '../support/dump-writer.ts';
import { testSeed } from '../support/seed.ts';
import {
  drippingFeed,
  dumpOf,
  LIMITS,
  loadBytes,
  loadFeed,
  loadOptions,
  newKeyspace,
  saveOptions,
} from './keyspaces.ts';

/** Less to set up than what a real load has. */
const SMALL_AREAS = { windowBytes: 4096, unpackedBytes: 4096 };
const MAY_BE_IGNORED = 1;
const metadata = (name: string, flags: number): Part => [
  ...[243, length(1), metadataClass(name, 3, flags)],
  MODULE_DATA,
];

/** The same keys as a dump of today, so that two loads can be compared. */
const contents = (bytes: Buffer): string =>
  dumpOf(
    loadBytes(bytes).keyspace,
    saveOptions({ dialect: { version: 11, plainTypes: false } }),
  ).toString('latin1');

/** A part that loads: what stands for it in an older dump, and what is passed over. */
interface Readable {
  readonly name: string;
  readonly magic: string;
  readonly records: Part;
  readonly same: Part;
  readonly skipped: readonly { name: string; count: number }[];
}

const PRODUCERS = { 'producer 1': { first: 1, second: 2 }, '': {} };
const readable: readonly Readable[] = [
  ...['REDIS0013', 'REDIS0014', 'REDIS0015', 'VALKEY080', 'VALKEY081'].map((magic) => ({
    ...{ name: 'a string', magic, skipped: [] },
    ...{ records: pair('k', 'v'), same: pair('k', 'v') },
  })),
  {
    name: 'a stream that remembers its producers',
    magic: 'REDIS0013',
    records: stream('s', { type: 26, producers: PRODUCERS }),
    same: stream('s', { type: 21 }),
    skipped: [{ name: 'idempotency data of stream producers', count: 1 }],
  },
  {
    name: 'a stream without producers',
    magic: 'REDIS0013',
    records: stream('s', { type: 26 }),
    same: stream('s', { type: 21 }),
    skipped: [],
  },
  {
    name: 'a stream whose pending entries all have a consumer',
    magic: 'REDIS0014',
    records: stream('s', { type: 27, producers: PRODUCERS }),
    same: stream('s', { type: 21 }),
    skipped: [{ name: 'idempotency data of stream producers', count: 1 }],
  },
  {
    name: 'metadata of keys that may be left out',
    magic: 'REDIS0013',
    records: [
      ...[252, i64(5_000_000_000_000), 248, length(7), metadata('KMT1', MAY_BE_IGNORED)],
      pair('a', '1'),
      ...[metadata('a_-9', MAY_BE_IGNORED), metadata('KMT1', MAY_BE_IGNORED), pair('b', '2')],
      ...[243, length(0), pair('c', '3')],
    ],
    same: [252, i64(5_000_000_000_000), 248, 7, pair('a', '1'), pair('b', '2'), pair('c', '3')],
    skipped: [
      { name: "key metadata of class 'KMT1'", count: 2 },
      { name: "key metadata of class 'a_-9'", count: 1 },
    ],
  },
  {
    name: 'sizes of slots',
    magic: 'REDIS0015',
    records: [
      ...[254, 0, 251, 2, 0, 244, length(16_383), length(100_000), 0, pair('a', '1')],
      ...[244, 0, 1, 1, pair('b', '2')],
    ],
    same: [pair('a', '1'), pair('b', '2')],
    skipped: [{ name: 'slot info', count: 2 }],
  },
  {
    name: "sizes of slots, Valkey's",
    magic: 'VALKEY081',
    records: [244, 5, 1, 0, pair('a', '1')],
    same: pair('a', '1'),
    skipped: [{ name: 'slot info', count: 1 }],
  },
  {
    name: "Valkey's slots on the move",
    magic: 'VALKEY080',
    records: [
      243,
      str('a job'),
      2,
      length(0),
      length(5),
      length(64),
      length(16_383),
      pair('a', '1'),
    ],
    same: pair('a', '1'),
    skipped: [{ name: 'slots on the move', count: 1 }],
  },
  {
    name: "Valkey's hash whose fields have no deadlines",
    magic: 'VALKEY080',
    records: [22, str('h'), 2, str('f'), str('v'), i64(-1), str('g'), str('w'), i64(-1)],
    same: [4, str('h'), 2, str('f'), str('v'), str('g'), str('w')],
    skipped: [],
  },
  {
    name: 'a hash whose fields had deadlines once',
    magic: 'REDIS0013',
    records: [
      ...[24, str('h'), i64(0), 1, 0, str('f'), str('v')],
      ...[25, str('i'), i64(0), str(listpack('f', 'v', 0))],
    ],
    same: [4, str('h'), 1, str('f'), str('v'), 16, str('i'), str(listpack('f', 'v'))],
    skipped: [],
  },
];

describe('a dump with', () => {
  test.each(readable)('$name ($magic) loads', ({ magic, records, same, skipped }) => {
    const bytes = dump(magic, records);
    expect(loadBytes(bytes).result.skipped).toEqual(skipped);
    expect(contents(bytes)).toBe(contents(dump('REDIS0011', same)));
    loadFeed(drippingFeed(bytes, 1)).keyspace.validate();
  });
});

/** A part that has no counterpart here: the words of its refusal. */
interface Refused {
  readonly name: string;
  readonly magic: string;
  readonly records: Part;
  readonly message: RegExp;
}

const refused: readonly Refused[] = [
  {
    name: 'a stream with entries of no consumer',
    magic: 'REDIS0014',
    records: stream('the key', { type: 27, unowned: [3] }),
    message:
      /^RDB version 14 .*'the key' in DB 0, with a group with 1 pending entries of no consumer/,
  },
  {
    name: 'metadata of a key that may not be left out',
    magic: 'REDIS0013',
    records: [254, 2, metadata('KMT1', 0), pair('k', 'v')],
    message: /^RDB version 13 .*'k' in DB 2, with key metadata of class 'KMT1', at position \d+$/,
  },
  {
    name: 'an array',
    magic: 'REDIS0014',
    records: [28, str('k'), 1, 0, 5, 1, 7],
    message: /^RDB version 14 .*'k' in DB 0, with a value of type 28 \(array\), at position \d+$/,
  },
  ...([29, 30, 31, 32] as const).map((type) => ({
    name: `a hash with a template, type ${type}`,
    magic: 'REDIS0015',
    records: [type, str('k'), str(listpack('1'))],
    message: new RegExp(
      `^RDB version 15 .*'k' in DB 0, with a value of type ${type} \\(hash-template`,
    ),
  })),
  {
    name: 'templates of hashes',
    magic: 'REDIS0015',
    records: [242, 1, 1, str('f'), pair('k', 'v')],
    message: /^RDB version 15 holds what this node cannot hold: hash templates, at position 10$/,
  },
  {
    name: 'a set of vectors',
    magic: 'REDIS0012',
    records: [7, str('k'), moduleId('vectorset', 1), MODULE_DATA],
    message: /'k' in DB 0, with a value of type 7 \(module-2\) of the module type 'vectorset'/,
  },
  {
    name: 'a hash whose fields have deadlines',
    magic: 'REDIS0013',
    records: [24, str('k'), i64(5_000_000_000_000), 1, 1, str('f'), str('v')],
    message: /^RDB version 13 .*'k' in DB 0, with a hash with fields that expire/,
  },
  {
    name: 'a small hash whose fields have deadlines',
    magic: 'REDIS0013',
    records: [25, str('k'), i64(5_000_000_000_000), str(listpack('f', 'v', 5_000_000_000_000))],
    message: /^RDB version 13 .*'k' in DB 0, with a hash with fields that expire/,
  },
  {
    name: "Valkey's hash whose fields have deadlines",
    magic: 'VALKEY080',
    records: [22, str('k\n'), 1, str('f'), str('v'), i64(5_000_000_000_000)],
    message: /^Valkey RDB version 80 .*'k\?' in DB 0, with a hash with fields that expire/,
  },
  {
    name: "Valkey's hash of paths",
    magic: 'VALKEY081',
    records: [23, str('k'), 1],
    message: /^Valkey RDB version 81 .*'k' in DB 0, with a value of type 23 \(path-hash\)/,
  },
  {
    name: 'commands between the keys',
    magic: 'VALKEY081',
    records: [242, '*1\r\n$4\r\nPING\r\n'],
    message: /^Valkey RDB version 81 .*commands between the keys/,
  },
];

function failureOf(bytes: Buffer): { code: unknown; message: string } {
  try {
    loadBytes(bytes, loadOptions(), SMALL_AREAS);
  } catch (error) {
    return { code: codeOf(error), message: messageOf(error) };
  }
  return expect.unreachable('the load was to fail');
}

describe('a dump is refused, by version, type and key, with', () => {
  test.each(refused)('$name', ({ magic, records, message }) => {
    const failure = failureOf(dump(magic, records));
    expect(failure.message).toMatch(message);
    expect(failure.message).toMatch(/at position \d+$/);
    expect(failure.code).toBe('UNSUPPORTED');
  });
});

describe('a dump is corrupt', () => {
  test.each<[string, string, Part, RegExp]>([
    ['with a type of Redis in a dump of Valkey', 'VALKEY080', [26, str('k')], /type 26,/],
    ['with a type that nobody has', 'REDIS0015', [33, str('k')], /type 33,/],
    ['with a slot that there is not', 'REDIS0015', [244, length(16_384), 0, 0], /Invalid slot/],
    ['with a slot beyond 64 bits', 'REDIS0015', [244, 0x81, 'xxxxxxxx', 0, 0], /2\^53/],
    ['with a slot that is a text', 'REDIS0015', [244, 0xc3, 0, 0], /is no length/],
    ['with too many classes', 'REDIS0013', [243, 8], /Too many metadata classes: 8/],
    ['with a part of no kind', 'REDIS0013', [243, 1, metadataClass('KMT1', 0, 1), 6], /kind 6/],
    ["with Valkey's version in Redis' dump", 'VALKEY079', [], /RDB format version 79/],
    [
      'with an entry of no consumer that is not told',
      'REDIS0014',
      // The group has three entries pending and its consumer two.
      [cut(stream('s', { type: 27, unowned: [3] }), 27), 0, 1, 1, 0, 1, 1],
      /NACK without consumer found/,
    ],
  ])('%s', (_name, magic, records, message) => {
    const failure = failureOf(dump(magic, records));
    expect(failure).toEqual({ code: 'CORRUPT', message: expect.stringMatching(message) });
  });

  /** The part without its last bytes: the unowned id, its count and what follows the groups. */
  function cut(part: Part, type: number): Buffer {
    const bytes = bytesOfParts(part);
    const tail = bytesOfParts([length(1), rawId(3, 0), length(100), length(200), 0, 5, 1]);
    expect([type, bytes.indexOf(tail)]).toEqual([27, bytes.length - tail.length]);
    return bytes.subarray(0, bytes.length - tail.length);
  }
});

const parts: readonly { name: string; magic: string; records: Part }[] = [...readable, ...refused];
const ENDINGS: ReadonlySet<unknown> = new Set(['SHORT', 'CORRUPT', 'UNSUPPORTED']);

describe('hostile bytes:', () => {
  test.each(parts)('$name ($magic), cut at every byte', ({ magic, records }) => {
    const bytes = bytesOfParts([magic, records, 255]);
    for (let end = magic.length; end < bytes.length; end++) {
      const { code, message } = failureOf(bytes.subarray(0, end));
      // A part that is refused may be so before its last byte.
      expect(['SHORT', 'UNSUPPORTED'], `${end}: ${message}`).toContain(code);
    }
  });

  test.each(parts)(
    '$name ($magic), with a length that lies at every byte',
    ({ magic, records }) => {
      const lies = [
        length(2n ** 64n - 1n),
        length(2n ** 53n),
        length(2 ** 31),
        length(63),
        [0xc3, 1, 60],
      ];
      const bytes = bytesOfParts([magic, records, 255]);
      const before = process.memoryUsage.rss();
      for (let at = magic.length; at < bytes.length; at++) {
        for (const lie of [lies[at % 5]!, lies[(at + 2) % 5]!]) {
          const bad = Buffer.concat([
            bytes.subarray(0, at),
            bytesOfParts(lie),
            bytes.subarray(at + 1),
          ]);
          try {
            loadBytes(withChecksum(bad), loadOptions(), SMALL_AREAS).keyspace.validate();
          } catch (error) {
            expect(ENDINGS, messageOf(error)).toContain(codeOf(error));
          }
        }
      }
      expect(process.memoryUsage.rss() - before).toBeLessThan(512 * MIB);
    },
  );

  test('all of them, damaged at random', () => {
    const prng = new Prng(testSeed('new dumps'));
    const seen = new Set<unknown>();
    for (let i = 0; i < 1000; i++) {
      const { magic, records } = parts[prng.below(parts.length)]!;
      try {
        const bad = damagedDump(dump(magic, records), prng);
        loadBytes(bad, loadOptions(), SMALL_AREAS).keyspace.validate();
        seen.add('loaded');
      } catch (error) {
        expect(ENDINGS, messageOf(error)).toContain(codeOf(error));
        seen.add(codeOf(error));
      }
    }
    expect([...seen].sort()).toEqual(['CORRUPT', 'SHORT', 'UNSUPPORTED', 'loaded']);
  });
});

describe('a payload', () => {
  const codec = new PayloadCodec();
  const keyspace = newKeyspace();
  const name = bytesOf('k');

  /** Restores a payload as key `k` of an empty database and gives the dump of it. */
  function restored(bytes: Buffer): string {
    expect(codec.check(bytes, 0, bytes.length)).toBe(true);
    const value = codec.load(bytes, 0, bytes.length, keyspace, LIMITS);
    const database = keyspace.databases[0]!;
    database.find(name, 0, name.length);
    const entry = value.add(database, name, 0, name.length);
    const again = dumpOf(keyspace).toString('latin1');
    database.remove(entry);
    while (keyspace.freeSome(1000));
    return again;
  }

  const NAMES = stream('k', { type: 26, producers: PRODUCERS });

  test.each([13, 14, 15])('of version %d restores', (version) => {
    const old = restored(payload(11, withoutKey(stream('k', { type: 21 }))));
    expect(restored(payload(version, withoutKey(NAMES)))).toBe(old);
    expect(restored(payload(version, metadata('KMT1', MAY_BE_IGNORED), withoutKey(NAMES)))).toBe(
      old,
    );
    expect(codec.skipped.list().map((part) => part.name)).toEqual([
      'idempotency data of stream producers',
      "key metadata of class 'KMT1'",
    ]);
  });

  test.each([80, 81])("of Valkey's version %d restores", (version) => {
    const hash: Part = [1, str('f'), str('v')];
    const valkey = [22, 1, str('f'), str('v'), i64(-1)];
    expect(restored(payload(version, valkey))).toBe(restored(payload(11, 4, hash)));
  });

  test.each([16, 79, 82, 0x0f0f])('of version %d fails the check', (version) => {
    const bytes = payload(version, 0, str('v'));
    expect(codec.check(bytes, 0, bytes.length)).toBe(false);
  });

  test.each<[string, number, Part, string]>([
    ['of an array', 14, [28, 1, 0, 5, 1, 7], 'UNSUPPORTED'],
    ['of a hash with a template', 15, [29, str(listpack('1'))], 'UNSUPPORTED'],
    ['of a module', 12, [7, moduleId('vectorset', 1), MODULE_DATA], 'UNSUPPORTED'],
    ['with metadata that counts', 13, [metadata('KMT1', 0), 0, str('v')], 'UNSUPPORTED'],
    ['of Valkey with metadata of Redis', 80, [metadata('KMT1', 1), 0, str('v')], 'CORRUPT'],
    ['of Redis with the hash of Valkey', 13, [22, 1, str('f'), str('v'), i64(-1)], 'UNSUPPORTED'],
    ['with metadata twice', 13, [metadata('KMT1', 1), metadata('KMT1', 1), 0, 0], 'CORRUPT'],
  ])('%s is refused', (_name, version, value, code) => {
    const bytes = payload(version, value);
    expect(codec.check(bytes, 0, bytes.length)).toBe(true);
    try {
      codec.load(bytes, 0, bytes.length, keyspace, LIMITS);
      expect.unreachable('the payload was to be refused');
    } catch (error) {
      expect(codeOf(error)).toBe(code);
    }
    keyspace.validate();
  });

  test('damaged at random restores or is refused, and leaves nothing behind', () => {
    const prng = new Prng(testSeed('new payloads'));
    const good = [
      payload(13, withoutKey(NAMES)),
      payload(14, metadata('KMT1', 1), withoutKey(stream('k', { type: 27, producers: PRODUCERS }))),
      payload(80, 22, 1, str('f'), str('v'), i64(-1)),
    ];
    for (let i = 0; i < 1000; i++) {
      const bytes = damagedPayload(good[i % good.length]!, prng);
      if (!codec.check(bytes, 0, bytes.length)) continue;
      try {
        codec.load(bytes, 0, bytes.length, keyspace, LIMITS).discard();
      } catch (error) {
        expect(ENDINGS, messageOf(error)).toContain(codeOf(error));
      }
    }
    while (keyspace.freeSome(1000));
    keyspace.validate();
  });
});
