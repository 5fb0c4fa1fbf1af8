/**
 * Sets in payloads and dumps: in every dialect, to and from a real server, in any form, and
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

const members = (harness: CommandHarness, key: string): string[] =>
  (harness.call('SMEMBERS', key) as string[]).sort();

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
  one: Encoding.INTSET,
  integers: Encoding.INTSET,
  wide: Encoding.INTSET,
  short: Encoding.LISTPACK,
  many: Encoding.HASHTABLE,
  long: Encoding.HASHTABLE,
} as const;
const KEYS = Object.keys(ENCODINGS) as (keyof typeof ENCODINGS)[];

/** Sets of every form. */
function fill(harness: CommandHarness, seed: number): void {
  const prng = new Prng(seed);
  harness.call('SADD', 'one', -1);
  for (let i = 0; i < 400; i++) harness.call('SADD', 'integers', prng.below(100_000) - 50_000);
  harness.call('SADD', 'wide', '9223372036854775807', '-9223372036854775808', 0, 70_000);
  for (let i = 0; i < 100; i++)
    harness.call('SADD', 'short', i % 3 === 0 ? prng.u32() : `member ${i}`);
  for (let i = 0; i < 1000; i++)
    harness.call('SADD', 'many', i % 3 === 0 ? prng.u32() : `member ${i}`);
  harness.call('SADD', 'long', '', 'x'.repeat(100), 'y'.repeat(50_000), 'z'.repeat(1_200_000), 5);
}

describe.each(DIALECTS)('version %i, plain types %s', (version, plainTypes) => {
  test('payloads and dumps give the sets back', () => {
    const harness = new CommandHarness();
    fill(harness, testSeed('sets'));
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
    loaded.keyspace.structures.members.validate(db.value(entryOf(loaded, 'many')));
  });

  test('small ones are written in the form that the version knows', () => {
    const harness = new CommandHarness();
    fill(harness, 1);
    const listpack = version >= 11 && !plainTypes;
    expect(dump(harness, 'short', version, plainTypes)[0]).toBe(
      listpack ? RdbType.SET_LISTPACK : RdbType.SET,
    );
    expect(dump(harness, 'one', version, plainTypes)[0]).toBe(
      plainTypes ? RdbType.SET : RdbType.SET_INTSET,
    );
    expect(dump(harness, 'many', version, plainTypes)[0]).toBe(RdbType.SET);
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
        const theirs = (await client.call('SMEMBERS', key)) as Buffer[];
        expect(theirs.map((each) => each.toString('latin1')).sort()).toEqual(members(harness, key));
        const payload = (await client.call('DUMP', key)) as Buffer;
        expect(codec.check(payload, 0, payload.length)).toBe(true);
        restore(harness, `${key} again`, payload);
        expect(members(harness, `${key} again`)).toEqual(members(harness, key));
      }
    },
  );
});

test.each([
  ['integers', { ...LIMITS, setMaxIntsetEntries: 10 }],
  ['short', { ...LIMITS, setMaxListpackEntries: 10 }],
] as const)('a blob of %s beyond the limits becomes a table', (key, limits) => {
  const harness = new CommandHarness();
  fill(harness, 1);
  restore(harness, 'copy', dump(harness, key, 11), limits);
  expect(members(harness, 'copy')).toEqual(members(harness, key));
  expect(harness.keyspace.databases[0]!.encoding(entryOf(harness, 'copy'))).toBe(
    Encoding.HASHTABLE,
  );
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
  ['a set without members', [RdbType.SET, 0]],
  ['a member twice', [RdbType.SET, 2, 1, 0x61, 1, 0x61]],
  ['an integer twice', [RdbType.SET, 2, 1, 0x31, 0xc0, 1]],
  ['an empty intset', [RdbType.SET_INTSET, 8, 2, 0, 0, 0, 0, 0, 0, 0]],
  ['an intset of another width', [RdbType.SET_INTSET, 11, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0]],
  ['an intset with a wrong count', [RdbType.SET_INTSET, 10, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0]],
  ['an intset that descends', [RdbType.SET_INTSET, 12, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 1, 0]],
  ['an intset with an integer twice', [RdbType.SET_INTSET, 12, 2, 0, 0, 0, 2, 0, 0, 0, 1, 0, 1, 0]],
  ['an empty listpack', [RdbType.SET_LISTPACK, 7, 7, 0, 0, 0, 0, 0, 0xff]],
  [
    'a listpack with a member twice',
    [RdbType.SET_LISTPACK, 11, 11, 0, 0, 0, 2, 0, 1, 1, 1, 1, 0xff],
  ],
  ['a listpack with a wrong count', [RdbType.SET_LISTPACK, 9, 9, 0, 0, 0, 2, 0, 1, 1, 0xff]],
])('%s is refused', (_, bytes) => {
  const harness = new CommandHarness();
  const before = harness.keyspace.arena.usedBytes;
  const payload = Buffer.concat([Buffer.from(bytes), FOOTER]);
  expect(codeThrown(() => restore(harness, 'set', payload))).toBe(ErrorCode.CORRUPT);
  expect(harness.keyspace.arena.usedBytes).toBe(before);
});

test('a count beyond the bytes is refused', () => {
  const harness = new CommandHarness();
  const payload = Buffer.concat([
    Buffer.from([RdbType.SET, 0x80, 0x7f, 0xff, 0xff, 0xff, 1, 0x61]),
    FOOTER,
  ]);
  expect(['SHORT', 'CORRUPT']).toContain(codeThrown(() => restore(harness, 'set', payload)));
});

test('damaged payloads are refused or are sets', () => {
  const prng = new Prng(testSeed('damage'));
  const source = new CommandHarness();
  fill(source, 1);
  const payloads = (['wide', 'short', 'integers'] as const).flatMap((key) =>
    DIALECTS.map(([version, plain]) => dump(source, key, version, plain)),
  );
  const harness = new CommandHarness();
  const before = harness.keyspace.arena.usedBytes;
  let refused = 0;
  for (let i = 0; i < 400; i++) {
    const bad = Buffer.from(payloads[i % payloads.length]!);
    // The type byte stays: another type's values are another test's.
    for (let n = 1 + prng.below(3); n > 0; n--)
      bad[1 + prng.below(bad.length - 11)] = prng.below(256);
    const code = codeThrown(() => {
      restore(harness, 'set', bad);
      expect(new Set(members(harness, 'set')).size).toBe(harness.call('SCARD', 'set'));
      harness.call('DEL', 'set');
      while (harness.keyspace.freeSome(1000));
    });
    if (code !== undefined) {
      expect(['SHORT', 'CORRUPT', 'UNSUPPORTED']).toContain(code);
      refused++;
    }
    expect(harness.keyspace.arena.usedBytes).toBe(before);
  }
  expect(refused).toBeGreaterThan(100);
});
