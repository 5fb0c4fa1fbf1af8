/**
 * The checksum of a frozen image stays the same while random commands of all types change
 * everything. In debug mode a freeze takes a sum of every page in use, and the thaw compares: a
 * store that bypassed the write barrier throws.
 *
 * HEADWATER_IMAGE_COMMANDS sets how many commands run on one image.
 */
import { expect, test } from 'vitest';
import { debugChecks } from '../../src/base/assert.ts';
import { Prng } from '../../src/base/prng.ts';
import { payloadCommands } from '../../src/commands/keys/payload.ts';
import { commandTables } from '../../src/commands/tables.ts';
import { ValueType } from '../../src/keyspace/entry.ts';
import { CommandHarness } from '../support/command-harness.ts';
import { RandomCommands } from '../support/random-commands.ts';
import { RespError } from '../support/resp-parser.ts';
import { testSeed } from '../support/seed.ts';

const COMMANDS = Number(process.env['HEADWATER_IMAGE_COMMANDS'] ?? 12_000);
const SHORT_IMAGES = 10;
const SHADOW_BYTES_MAX = 2 ** 31;
/** Low, so that values often change their encoding. */
const SETTINGS = {
  hashMaxListpackEntries: 16,
  zsetMaxListpackEntries: 16,
  setMaxIntsetEntries: 16,
  setMaxListpackEntries: 16,
  listMaxListpackSize: 10,
  streamNodeMaxEntries: 10,
  hllSparseMaxBytes: 300,
};

test(`${COMMANDS} commands of all types leave the frozen image as it was`, {
  timeout: 3_600_000,
}, () => {
  expect(debugChecks, 'the sums are taken').toBe(true);
  const seed = testSeed('image of all types');
  const dialect = { version: 10, plainTypes: false } as const;
  const tables = [
    ...commandTables,
    payloadCommands(
      () => dialect,
      () => undefined,
    ),
  ];
  const harness = new CommandHarness({ seed, settings: SETTINGS, tables });
  // FLUSHALL takes another arena, and the image with it.
  const random = new RandomCommands(new Prng(seed), {
    connection: false,
    without: new Set(['FLUSHALL']),
  });
  const seen = new Set<string>();
  const run = (count: number): void => {
    for (const command of random.batch(count)) {
      const reply = harness.call(...command);
      if (!(reply instanceof RespError)) seen.add(String(command[0]));
    }
    harness.keyspace.freeSome(100);
  };
  run(5000);
  for (const key of harness.call('KEYS', '*') as string[]) {
    random.payloads.push(Buffer.from(String(harness.call('DUMP', key)), 'latin1'));
  }
  freeze(harness);
  for (let done = 0; done < COMMANDS; done += 1000) run(1000);
  expect(harness.keyspace.arena.shadowPages).toBeGreaterThan(0);
  harness.keyspace.thaw();
  for (let i = 0; i < SHORT_IMAGES; i++) {
    freeze(harness);
    run(300);
    harness.keyspace.thaw();
  }
  harness.keyspace.validate();
  for (const name of [
    'SET',
    'LPUSH',
    'SADD',
    'HSET',
    'ZADD',
    'XADD',
    'XREADGROUP',
    'PFADD',
    'RESTORE',
    'SORT',
  ]) {
    expect(seen, 'commands that worked').toContain(name);
  }
  expect(typesOf(harness)).toEqual(new Set(Object.values(ValueType)));
});

function freeze(harness: CommandHarness): void {
  harness.keyspace.freeze(SHADOW_BYTES_MAX, noChunk, () =>
    expect.unreachable('the image was lost'),
  );
}

function noChunk(): void {}

function typesOf(harness: CommandHarness): Set<number> {
  const types = new Set<number>();
  for (const db of harness.keyspace.databases) {
    let cursor = 0;
    do cursor = db.scan(cursor, (entry) => types.add(db.type(entry)));
    while (cursor !== 0);
  }
  return types;
}
