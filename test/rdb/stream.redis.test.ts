/** Streams in payloads and dumps: in every dialect, to and from a real server, and damaged. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bytesOf } from '../../src/base/bytes.ts';
import { codeOf, ErrorCode } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import type { Ref } from '../../src/base/units.ts';
import type { RdbVersion } from '../../src/rdb/dialect.ts';
import { PayloadCodec } from '../../src/rdb/payload.ts';
import { CommandHarness } from '../support/command-harness.ts';
import { type RealRedis, startRedis } from '../support/real-redis.ts';
import type { Argument, RespClient } from '../support/resp-client.ts';
import { testSeed } from '../support/seed.ts';
import { dumpOf, LIMITS, loadBytes, saveOptions } from './keyspaces.ts';

const codec = new PayloadCodec();
const EXPECTED_CODES: ReadonlySet<string | undefined> = new Set([
  ErrorCode.SHORT,
  ErrorCode.CORRUPT,
  ErrorCode.UNSUPPORTED,
]);
const KEYS = ['log', 'groups', 'empty', 'sparse'];

const DIALECTS: readonly (readonly [RdbVersion, boolean])[] = [
  [9, true],
  [10, false],
  [11, false],
  [12, false],
  [12, true],
];

/** The commands that make streams of every form. */
function makers(): Argument[][] {
  const commands: Argument[][] = [];
  for (let i = 1; i <= 700; i++)
    commands.push(['XADD', 'log', `${i}-1`, 'field', i, 'text', 'x'.repeat(i % 50)]);
  commands.push(['XADD', 'log', '18446744073709551614-18446744073709551615', 'other', -1]);
  for (let i = 1; i <= 250; i++) commands.push(['XADD', 'groups', `1700000000000-${i}`, 'n', i]);
  commands.push(['XDEL', 'groups', '1700000000000-7', '1700000000000-100']);
  for (const group of ['one', 'two', '']) {
    commands.push(['XGROUP', 'CREATE', 'groups', group, 0]);
    for (const consumer of ['a', 'b', 'idle'])
      commands.push(['XGROUP', 'CREATECONSUMER', 'groups', group, consumer]);
    for (const consumer of ['a', 'b', 'a'])
      commands.push([
        'XREADGROUP',
        'GROUP',
        group,
        consumer,
        'COUNT',
        70,
        'STREAMS',
        'groups',
        '>',
      ]);
    commands.push(['XACK', 'groups', group, '1700000000000-3', '1700000000000-80']);
  }
  commands.push(['XGROUP', 'CREATE', 'empty', 'g', '$', 'MKSTREAM']);
  for (let i = 1; i <= 300; i++) commands.push(['XADD', 'sparse', `${i}-0`, `f${i % 3}`, i]);
  for (let i = 1; i <= 300; i += 2) commands.push(['XDEL', 'sparse', `${i}-0`]);
  commands.push(['XTRIM', 'sparse', 'MAXLEN', 90]);
  return commands;
}

function newHarness(): CommandHarness {
  const harness = new CommandHarness({ nowMs: Date.now() });
  for (const command of makers()) harness.run(...command);
  return harness;
}

/** What the commands that both know tell of a stream. */
const LOOKS: readonly ((key: string) => Argument[])[] = [
  (key) => ['XRANGE', key, '-', '+'],
  (key) => ['XREVRANGE', key, '+', '-', 'COUNT', 20],
  (key) => ['XLEN', key],
  (key) => ['XINFO', 'GROUPS', key],
  (key) => (key === 'groups' ? ['XPENDING', key, 'one'] : ['XLEN', key]),
];
const looksOf = (harness: CommandHarness, key: string): unknown[] =>
  LOOKS.map((look) => harness.call(...look(key)));

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

/** Adds the value of a payload under a key that is absent, and checks it. */
function restore(harness: CommandHarness, key: string, payload: Uint8Array): void {
  const value = codec.load(payload, 0, payload.length, harness.keyspace, LIMITS);
  const name = bytesOf(key);
  entryOf(harness, key);
  const entry = value.add(harness.keyspace.databases[0]!, name, 0, name.length);
  harness.keyspace.structures.streams.validate(harness.keyspace.databases[0]!.value(entry));
}

describe('beside a real server', () => {
  let redis: RealRedis;
  let client: RespClient;

  beforeAll(async () => {
    redis = await startRedis();
    client = await redis.client({ bulk: 'latin1' });
  });

  afterAll(async () => {
    await client.close();
    await redis.stop();
  });

  test.each(KEYS)('it reads %s of ours, and we read what it writes of it', async (key) => {
    const harness = newHarness();
    const payload = dump(harness, key, 10);
    expect(await client.call('RESTORE', key, 0, payload)).toBe('OK');
    const theirs = [];
    for (const look of LOOKS) theirs.push(await client.call(...look(key)));
    expect(looksOf(harness, key)).toEqual(theirs);
    const raw = await redis.client({ bulk: 'buffer' });
    const back = (await raw.call('DUMP', key)) as Buffer;
    await raw.close();
    const loaded = new CommandHarness({ nowMs: Date.now() });
    restore(loaded, key, back);
    expect(looksOf(loaded, key)).toEqual(theirs);
  });
});

test.each(DIALECTS)(
  'a stream survives RDB %i (plain: %s), as payload and as dump',
  (version, plainTypes) => {
    const harness = newHarness();
    const loaded = new CommandHarness({ nowMs: harness.server.nowMs });
    const old = version === 9 || plainTypes;
    for (const key of KEYS) restore(loaded, key, dump(harness, key, version, plainTypes));
    const dumped = dumpOf(harness.keyspace, saveOptions({ dialect: { version, plainTypes } }), 256);
    const { keyspace } = loadBytes(dumped);
    const other = new CommandHarness({ nowMs: harness.server.nowMs });
    other.server.keyspace = keyspace;
    for (const key of KEYS) {
      const looks = looksOf(harness, key);
      for (const found of [looksOf(loaded, key), looksOf(other, key)]) {
        // The old form does not know how much groups have read.
        if (old) {
          found[3] = undefined;
          looks[3] = undefined;
        }
        expect(found).toEqual(looks);
      }
    }
  },
);

test('a damaged stream is refused, or sound', () => {
  const prng = new Prng(testSeed('damage'));
  const harness = newHarness();
  const target = new CommandHarness();
  const empty = target.keyspace.arena.usedBytes;
  const refused = new Set<string | undefined>();
  for (const key of ['groups', 'sparse', 'empty']) {
    const payload = dump(harness, key, 11);
    for (let round = 0; round < 250; round++) {
      const damaged = Buffer.from(payload);
      for (let left = 1 + prng.below(2); left > 0; left--) {
        // Most of a stream is nodes; groups come at the end.
        const span = prng.below(2) === 0 ? damaged.length : Math.min(damaged.length, 400);
        damaged[damaged.length - 1 - prng.below(span)] = prng.below(256);
      }
      const cut =
        prng.below(4) === 0 ? damaged.subarray(0, 11 + prng.below(damaged.length - 11)) : damaged;
      try {
        if (cut[0] === 21 || cut[0] === 19 || cut[0] === 15) restore(target, 'key', cut);
      } catch (error) {
        expect(EXPECTED_CODES, String(error)).toContain(codeOf(error));
        refused.add(codeOf(error));
      }
      target.call('DEL', 'key');
      while (target.keyspace.freeSome(1000));
      expect(target.keyspace.arena.usedBytes).toBe(empty);
    }
  }
  expect(refused).toContain(ErrorCode.CORRUPT);
  expect(refused).toContain(ErrorCode.SHORT);
});
