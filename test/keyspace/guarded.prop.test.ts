/**
 * A command that finds no memory changes nothing: random commands of all types, each with its first
 * allocation refused, then its second, and so on, until it finds what it needs. Beside it another
 * dataset gets the same commands once.
 *
 * HEADWATER_GUARDED_COMMANDS sets how many commands run.
 */
import { expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { payloadCommands } from '../../src/commands/keys/payload.ts';
import { commandTables } from '../../src/commands/tables.ts';
import { digestDataset } from '../../src/server/admin/debug/digest.ts';
import { CommandHarness } from '../support/command-harness.ts';
import { RandomCommands } from '../support/random-commands.ts';
import { Refusals } from '../support/refusals.ts';
import type { Argument } from '../support/resp-client.ts';
import { testSeed } from '../support/seed.ts';
import { validateValues } from '../support/validate-values.ts';

const COMMANDS = Number(process.env['HEADWATER_GUARDED_COMMANDS'] ?? 3000);
const REFUSED_MAX = 40;
const IMAGE_COMMANDS = 200;
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
/** They take away and need no memory for that. */
const DELETING = new Set([
  ...[
    'DEL',
    'UNLINK',
    'GETDEL',
    'LPOP',
    'RPOP',
    'LTRIM',
    'LREM',
    'LMPOP',
    'HDEL',
    'SREM',
    'ZREM',
    'ZPOPMIN',
  ],
  ...[
    'ZPOPMAX',
    'ZMPOP',
    'ZREMRANGEBYRANK',
    'ZREMRANGEBYSCORE',
    'ZREMRANGEBYLEX',
    'XTRIM',
    'XACK',
    'PERSIST',
  ],
]);
const dialect = { version: 10, plainTypes: false } as const;

function harnessWith(refusals?: Refusals): CommandHarness {
  const tables = [
    ...commandTables,
    payloadCommands(
      () => dialect,
      () => undefined,
    ),
  ];
  const arena = refusals === undefined ? {} : { refuses: refusals.refuses };
  return new CommandHarness({ seed: 1, settings: SETTINGS, tables, arena });
}

function noChunk(): void {}

const stateOf = ({ keyspace }: CommandHarness): unknown[] => [
  digestDataset(keyspace),
  keyspace.arena.usedBytes,
  keyspace.databases.map((db) => [db.keyCount, db.deadlineCount]),
  keyspace.freeing,
];

test(`${COMMANDS} commands that find no memory change nothing`, { timeout: 3_600_000 }, () => {
  const seed = testSeed('guarded');
  const refusals = new Refusals();
  const harness = harnessWith(refusals);
  const plain = harnessWith();
  const random = new RandomCommands(new Prng(seed), {
    connection: false,
    without: new Set(['FLUSHALL']),
  });
  const { keyspace } = harness;
  let refused = 0;
  const refusedCommands = new Set<string>();

  const runRefused = (command: Argument[]): void => {
    const before = stateOf(harness);
    for (let n = 0; n < REFUSED_MAX; n++) {
      refusals.refuse(n);
      const outcome = harness.runGuarded(...command);
      if (outcome !== undefined) return;
      refusals.none();
      refused++;
      refusedCommands.add(String(command[0]).toUpperCase());
      const what = `${command.join(' ')} without allocation ${n}`;
      expect(stateOf(harness), what).toEqual(before);
      if (refused % 16 === 0) validateValues(keyspace);
    }
    harness.runGuarded(...command);
  };

  for (let done = 0, image = 0; done < COMMANDS; ) {
    // Half of the time an image is read; its sums are compared at the thaw.
    if (Math.floor(done / IMAGE_COMMANDS) > image) {
      image++;
      if (keyspace.arena.frozen) keyspace.thaw();
      else keyspace.freeze(2 ** 31, noChunk, () => expect.unreachable('the image was lost'));
    }
    for (const command of random.step()) {
      const name = String(command[0]).toUpperCase();
      // What is only read says the same of both.
      if (DELETING.has(name)) {
        refusals.all = true;
        expect(harness.runGuarded(...command), `${command.join(' ')} without memory`).toBeDefined();
      } else runRefused(command);
      refusals.none();
      plain.run(...command);
      done++;
    }
    if (done % 8 === 0) expect(digestDataset(keyspace)).toBe(digestDataset(plain.keyspace));
    if (done % 500 === 499) {
      const keys = harness.call('KEYS', '*') as string[];
      for (const key of keys.slice(0, 30))
        random.payloads.push(Buffer.from(String(harness.call('DUMP', key)), 'latin1'));
    }
    keyspace.freeSome(100);
    plain.keyspace.freeSome(100);
  }
  if (keyspace.arena.frozen) keyspace.thaw();
  expect(digestDataset(keyspace)).toBe(digestDataset(plain.keyspace));
  expect(validateValues(keyspace)).toBeGreaterThan(0);
  expect(refused).toBeGreaterThan(COMMANDS / 4);
  expect(new Set(refusedCommands).size, 'commands that were refused').toBeGreaterThan(25);
  // All memory comes back.
  while (keyspace.freeSome(1000));
  for (const [index] of keyspace.databases.entries()) keyspace.flush(index);
  while (keyspace.freeSome(1000));
  keyspace.validate();
  const empty = new CommandHarness({ seed: 1 }).keyspace;
  expect(keyspace.arena.usedBytes).toBe(empty.arena.usedBytes);
});
