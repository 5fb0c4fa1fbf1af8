/**
 * Lists in payloads and dumps: in every dialect, to and from a real server, in the forms of old,
 * and damaged.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bytesOf } from '../../src/base/bytes.ts';
import { codeOf, ErrorCode } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { Encoding } from '../../src/keyspace/entry.ts';
import type { RdbVersion } from '../../src/rdb/dialect.ts';
import { ListContainer, RdbType } from '../../src/rdb/opcodes.ts';
import { PayloadCodec } from '../../src/rdb/payload.ts';
import { CommandHarness } from '../support/command-harness.ts';
import { type RealRedis, startRedis } from '../support/real-redis.ts';
import type { RespClient } from '../support/resp-client.ts';
import { testSeed } from '../support/seed.ts';
import { dumpOf, LIMITS, loadBytes, saveOptions } from './keyspaces.ts';
import { ziplistOf } from './ziplist-fixture.ts';

const codec = new PayloadCodec();
const FOOTER = Buffer.from([9, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

const DIALECTS: readonly (readonly [RdbVersion, boolean])[] = [
  [9, true],
  [9, false],
  [10, false],
  [11, false],
  [12, false],
  [12, true],
];

/** A list's elements by LRANGE, in latin1. */
const range = (harness: CommandHarness, key: string): unknown => harness.call('LRANGE', key, 0, -1);

function entryOf(harness: CommandHarness, key: string) {
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

/** Lists of every shape: short, long, shifted in their blocks, with elements of every length. */
function fill(harness: CommandHarness, seed: number): string[] {
  const prng = new Prng(seed);
  const element = (): string => {
    const n = prng.below(50);
    if (n === 0) return 'x'.repeat(prng.below(30_000));
    return n < 20
      ? String(prng.below(1_000_000) - 500_000)
      : `element ${prng.u32()}`.repeat(1 + (n % 3));
  };
  for (let i = 0; i < 2000; i++)
    harness.call(prng.below(3) === 0 ? 'LPUSH' : 'RPUSH', 'mixed', element());
  for (let i = 0; i < 3000; i++) harness.call('LPUSH', 'lpushed', element());
  for (let i = 0; i < 700; i++) harness.call('RPOP', 'lpushed');
  for (let i = 0; i < 3001; i++) harness.call('RPUSH', 'rpushed', element());
  for (let i = 0; i < 703; i++) harness.call('LPOP', 'rpushed');
  for (let i = 0; i < 50; i++) harness.call('RPUSH', 'short', i % 2 === 0 ? i : `element ${i}`);
  harness.call('RPUSH', 'one', '9223372036854775807');
  harness.call('RPUSH', 'huge', 'y'.repeat(3_000_000), 'z');
  return ['mixed', 'lpushed', 'rpushed', 'short', 'one', 'huge'];
}

describe.each(DIALECTS)('version %i, plain types %s', (version, plainTypes) => {
  test('payloads and dumps give the lists back', () => {
    const harness = new CommandHarness();
    const keys = fill(harness, testSeed('lists'));
    for (const key of keys) {
      restore(harness, 'copy', dump(harness, key, version, plainTypes));
      expect(range(harness, 'copy')).toEqual(range(harness, key));
      harness.call('DEL', 'copy');
    }
    const bytes = dumpOf(harness.keyspace, saveOptions({ dialect: { version, plainTypes } }));
    const loaded = new CommandHarness();
    loaded.server.keyspace = loadBytes(bytes).keyspace;
    for (const key of keys) expect(range(loaded, key)).toEqual(range(harness, key));
    const lists = loaded.keyspace.structures.quicklists;
    const db = loaded.keyspace.databases[0]!;
    lists.validate(db.value(entryOf(loaded, 'mixed')));
    expect(db.encoding(entryOf(loaded, 'mixed'))).toBe(Encoding.QUICKLIST);
    expect(db.encoding(entryOf(loaded, 'short'))).toBe(Encoding.LISTPACK);
    expect(db.encoding(entryOf(loaded, 'huge'))).toBe(Encoding.QUICKLIST);
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
      for (const key of fill(harness, testSeed('real'))) {
        await client.call('RESTORE', key, 0, dump(harness, key, version, plain));
        const theirs = (await client.call('LRANGE', key, 0, -1)) as Buffer[];
        expect(theirs.map((each) => each.toString('latin1'))).toEqual(range(harness, key));
        const payload = (await client.call('DUMP', key)) as Buffer;
        expect(codec.check(payload, 0, payload.length)).toBe(true);
        restore(harness, `${key} again`, payload);
        expect(range(harness, `${key} again`)).toEqual(range(harness, key));
      }
    },
  );
});

describe('the forms of old', () => {
  const texts = Array.from({ length: 3000 }, (_, i) =>
    i % 3 === 0 ? String(i * 1000) : `element ${i}`,
  );
  const string = (bytes: Uint8Array): Buffer => {
    const head = Buffer.alloc(5, 0x80);
    head.writeUInt32BE(bytes.length, 1);
    return Buffer.concat([head, bytes]);
  };
  const short = texts.slice(0, 40);
  const chain = [texts.slice(0, 400), [], texts.slice(400, 401), texts.slice(401, 1500)];

  test.each([
    [
      'elements',
      [RdbType.LIST, short.length],
      short.map((text) => string(Buffer.from(text))),
      short,
    ],
    ['a ziplist', [RdbType.LIST_ZIPLIST], [string(ziplistOf(short))], short],
    ['a long ziplist', [RdbType.LIST_ZIPLIST], [string(ziplistOf(texts))], texts],
    [
      'ziplists',
      [RdbType.LIST_QUICKLIST, chain.length],
      chain.map((part) => string(ziplistOf(part))),
      texts.slice(0, 1500),
    ],
  ] as const)('%s', (_, head, parts, expected) => {
    const harness = new CommandHarness();
    restore(harness, 'list', Buffer.concat([Buffer.from(head), ...parts, FOOTER]));
    expect(range(harness, 'list')).toEqual(expected);
    harness.call('DEL', 'list');
    expect(harness.keyspace.arena.usedBytes).toBe(new CommandHarness().keyspace.arena.usedBytes);
  });

  test('nodes of either container, and empty ones', () => {
    const harness = new CommandHarness();
    harness.call('RPUSH', 'source', 'a', '12');
    const packed = dump(harness, 'source', 10).subarray(3, -10);
    const payload = Buffer.concat([
      Buffer.from([RdbType.LIST_QUICKLIST_2, 4]),
      Buffer.from([ListContainer.PLAIN, 3]),
      Buffer.from('abc'),
      Buffer.from([ListContainer.PACKED, 7, 7, 0, 0, 0, 0, 0, 0xff]),
      Buffer.from([ListContainer.PACKED]),
      packed,
      Buffer.from([ListContainer.PLAIN, 0]),
      FOOTER,
    ]);
    restore(harness, 'list', payload);
    expect(range(harness, 'list')).toEqual(['abc', 'a', '12', '']);
  });

  test.each([
    ['a list without elements', [RdbType.LIST, 0]],
    ['a list without nodes', [RdbType.LIST_QUICKLIST_2, 0]],
    ['a container that is none', [RdbType.LIST_QUICKLIST_2, 1, 3, 1, 0x61]],
    ['a listpack that is none', [RdbType.LIST_QUICKLIST_2, 1, 2, 7, 8, 0, 0, 0, 0, 0, 0xff]],
    ['a ziplist that is none', [RdbType.LIST_ZIPLIST, 3, 1, 2, 3]],
  ])('%s is refused', (_, bytes) => {
    const harness = new CommandHarness();
    const before = harness.keyspace.arena.usedBytes;
    expect(
      codeThrown(() => restore(harness, 'list', Buffer.concat([Buffer.from(bytes), FOOTER]))),
    ).toBe(ErrorCode.CORRUPT);
    expect(harness.keyspace.arena.usedBytes).toBe(before);
  });
});

function codeThrown(run: () => void): string | undefined {
  try {
    run();
  } catch (error) {
    return codeOf(error);
  }
  return undefined;
}

test('damaged payloads are refused or are lists', () => {
  const prng = new Prng(testSeed('damage'));
  const source = new CommandHarness();
  for (let i = 0; i < 700; i++) source.call('RPUSH', 'l', i % 2 === 0 ? i : `element ${i}`);
  const payloads = DIALECTS.map(([version, plain]) => dump(source, 'l', version, plain));
  const harness = new CommandHarness();
  const before = harness.keyspace.arena.usedBytes;
  let refused = 0;
  for (let round = 0; round < 600; round++) {
    const payload = Buffer.from(payloads[prng.below(payloads.length)]!);
    for (let i = 1 + prng.below(3); i > 0; i--)
      payload[1 + prng.below(payload.length - 11)] = prng.below(256);
    const code = codeThrown(() => restore(harness, 'list', payload));
    if (code === undefined) {
      const length = harness.call('LLEN', 'list') as number;
      expect(range(harness, 'list')).toHaveLength(length);
      harness.call('DEL', 'list');
      while (harness.keyspace.freeSome(1000)) {}
    } else {
      refused++;
      expect([ErrorCode.CORRUPT, ErrorCode.SHORT]).toContain(code);
    }
    expect(harness.keyspace.arena.usedBytes).toBe(before);
  }
  expect(refused).toBeGreaterThan(100);
});
