/**
 * Entries that find no memory, without a unit around them: each random operation has its first
 * allocation refused, then its second, and so on. A refused one throws ARENA_FULL, and both
 * databases hold what they held.
 */
import { expect, test } from 'vitest';
import { bytesOf, latin1 } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { NIL, type Ref } from '../../src/base/units.ts';
import { BytesView, Encoding } from '../../src/keyspace/entry.ts';
import { Keyspace } from '../../src/keyspace/keyspace.ts';
import { Refusals } from '../support/refusals.ts';
import { testSeed } from '../support/seed.ts';

const STEPS = 6000;
const KEYS = 300;

interface Value {
  readonly text: string;
  /** -1 without one. */
  readonly deadline: number;
}

test('entries that find no memory are as before', { timeout: 180_000 }, () => {
  const prng = new Prng(testSeed('refused entries'));
  const refusals = new Refusals();
  const keyspace = new Keyspace(2, { key0: 1, key1: 2 }, undefined, { refuses: refusals.refuses });
  const empty = keyspace.arena.usedBytes;
  const models = [new Map<string, Value>(), new Map<string, Value>()] as const;
  const view = new BytesView();

  const textOf = (): string => {
    const kind = prng.below(20);
    return String.fromCharCode(97 + prng.below(26)).repeat(
      kind < 15 ? prng.below(100) : prng.below(kind < 19 ? 5000 : 60_000),
    );
  };
  const keyOf = (): string =>
    `key:${prng.below(KEYS)}`.padEnd(prng.below(20) === 0 ? 1500 : 0, '-');
  const find = (db: number, key: string): Ref =>
    keyspace.databases[db]!.find(bytesOf(key), 0, key.length);
  const contentOf = (db: number): [string, Value][] => {
    const database = keyspace.databases[db]!;
    const pairs = new Map<string, Value>();
    let cursor = 0;
    do {
      cursor = database.scan(cursor, (entry) => {
        database.keyInto(entry, view);
        const key = latin1(view.bytes, view.position, view.length);
        database.stringInto(entry, view);
        const text = latin1(view.bytes, view.position, view.length);
        pairs.set(key, { text, deadline: database.deadline(entry) });
      });
    } while (cursor !== 0);
    return [...pairs].sort(([a], [b]) => (a < b ? -1 : 1));
  };
  const expectSame = (): void => {
    for (const db of [0, 1]) {
      expect(contentOf(db)).toEqual([...models[db]!].sort(([a], [b]) => (a < b ? -1 : 1)));
    }
  };

  let refused = 0;
  for (let step = 0; step < STEPS; step++) {
    const index = prng.below(2);
    const database = keyspace.databases[index]!;
    const model = models[index]!;
    const [chosen] = [...model.keys()].slice(prng.below(Math.max(1, model.size)));
    const key = prng.below(3) === 0 || chosen === undefined ? keyOf() : chosen;
    const text = textOf();
    const bytes = bytesOf(text);
    const deadline = 1e12 + prng.below(1e6);
    const kind = prng.below(12);
    const before = model.get(key);
    const keeps = prng.below(2) === 0;
    const to = 1 - index;
    const toKey = keyOf();
    let run: () => void;
    let note: () => void;
    if (before === undefined) {
      run = () => {
        find(index, key);
        database.addString(bytesOf(key), 0, key.length, bytes, 0, text.length, Encoding.RAW);
      };
      note = () => model.set(key, { text, deadline: -1 });
    } else if (kind < 4) {
      run = () => {
        database.overwriteString(find(index, key), bytes, 0, text.length, Encoding.RAW, keeps);
      };
      // One string by another as long stays where it is; whether the deadline goes is asked for
      // otherwise, too.
      note = () => model.set(key, { text, deadline: keeps ? before.deadline : -1 });
    } else if (kind < 6) {
      run = () => {
        const entry = database.growString(find(index, key), before.text.length + text.length);
        database.writeString(entry, before.text.length, bytes, 0, text.length);
      };
      note = () => model.set(key, { text: before.text + text, deadline: before.deadline });
    } else if (kind < 8) {
      run = () => void database.setDeadline(find(index, key), deadline);
      note = () => model.set(key, { text: before.text, deadline });
    } else if (kind < 10 && !models[to].has(toKey)) {
      run = () => {
        const entry = find(index, key);
        keyspace.databases[to]!.find(bytesOf(toKey), 0, toKey.length);
        database.moveTo(entry, keyspace.databases[to]!, bytesOf(toKey), 0, toKey.length);
      };
      note = () => {
        model.delete(key);
        models[to].set(toKey, before);
      };
    } else {
      refusals.all = true;
      run = () => database.remove(find(index, key));
      note = () => model.delete(key);
    }
    for (let n = 0; ; n++) {
      refusals.refuse(n);
      if (!isRefused(run)) break;
      refusals.none();
      refused++;
      expect(find(index, key) === NIL).toBe(before === undefined);
      if (refused % 20 === 0) expectSame();
      if (refused % 20 === 0) keyspace.validate();
    }
    refusals.none();
    note();
    if (step % 100 === 0) expectSame();
  }
  expectSame();
  expect(refused).toBeGreaterThan(STEPS / 4);
  for (const db of [0, 1]) {
    for (const key of models[db]!.keys()) keyspace.databases[db]!.remove(find(db, key));
  }
  keyspace.validate();
  expect(keyspace.arena.usedBytes).toBe(empty);
});

function isRefused(run: () => void): boolean {
  try {
    run();
    return false;
  } catch (error) {
    if (codeOf(error) !== 'ARENA_FULL') throw error;
    return true;
  }
}
