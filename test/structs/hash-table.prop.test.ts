import { expect, test } from 'vitest';
import { Arena } from '../../src/arena/arena.ts';
import { Prng } from '../../src/base/prng.ts';
import { asRef, NIL, type Ref } from '../../src/base/units.ts';
import { HashTable } from '../../src/structs/hash-table.ts';
import { testSeed } from '../support/seed.ts';

/** Entries are numbers here: the table never looks into them. */
const hashes: readonly (readonly [string, (entry: number) => number])[] = [
  ['spread', (entry) => Math.imul(entry ^ (entry >>> 7), 0x9e3779b1) ^ (entry << 20)],
  ['few', (entry) => Math.imul(entry % 40, 0x9e3779b1)],
  ['all equal', () => 0x1234],
  ['equal in the low bits', (entry) => entry << 12],
  ['equal in the high bits', (entry) => entry & 0xfff],
];

class Model {
  readonly arena = new Arena();
  readonly tables: HashTable;
  readonly table: Ref;
  readonly entries: number[] = [];
  readonly places = new Map<number, number>();
  readonly hashOf: (entry: number) => number;

  constructor(hashOf: (entry: number) => number) {
    this.hashOf = hashOf;
    this.tables = new HashTable(this.arena, { hashOf });
    this.table = this.tables.create();
  }

  find(entry: number): Ref {
    const { tables } = this;
    let found = tables.first(this.table, this.hashOf(entry));
    while (found !== NIL && found !== entry) found = tables.next();
    return found;
  }

  insert(entry: number): void {
    this.tables.insert(this.table, this.hashOf(entry), asRef(entry));
    this.places.set(entry, this.entries.push(entry) - 1);
  }

  #forget(entry: number): void {
    const place = this.places.get(entry)!;
    const last = this.entries.pop()!;
    this.places.delete(entry);
    if (last === entry) return;
    this.entries[place] = last;
    this.places.set(last, place);
  }

  remove(entry: number, found: boolean): void {
    const hash = this.hashOf(entry);
    if (found) {
      expect(this.find(entry)).toBe(entry);
      this.tables.removeFound(this.table, hash);
    } else this.tables.remove(this.table, hash, asRef(entry));
    this.#forget(entry);
  }

  replace(from: number, to: number): void {
    this.tables.replace(this.table, this.hashOf(from), asRef(from), asRef(to));
    this.#forget(from);
    this.places.set(to, this.entries.push(to) - 1);
  }

  scanAll(): number[] {
    const seen: number[] = [];
    let cursor = 0;
    do cursor = this.tables.scan(this.table, cursor, (entry) => void seen.push(entry));
    while (cursor !== 0);
    return seen;
  }

  /** What is read ahead is what would be found, or nothing. */
  #validateAhead(): void {
    const some = Int32Array.from(this.entries.slice(0, 500), (entry) => this.hashOf(entry));
    const refs = new Int32Array(some.length);
    this.tables.firstOfEach(this.table, some, some.length, refs);
    const first = Array.from(some, (hash) => this.tables.first(this.table, hash));
    const missed = first.filter((ref, i) => refs[i] !== ref);
    expect(refs.filter((ref, i) => ref !== first[i]).every((ref) => ref === NIL)).toBe(true);
    // Few hashes, if they are any good, are in overflow buckets.
    if (this.hashOf === hashes[0]![1]) expect(missed.length).toBeLessThanOrEqual(first.length / 5);
  }

  validate(): void {
    this.tables.validate(this.table);
    this.#validateAhead();
    expect(this.tables.count(this.table)).toBe(this.entries.length);
  }
}

test.each(hashes)('behaves as a set, with hashes that are %s', (name, hashOf) => {
  const prng = new Prng(testSeed('hash-table'));
  const model = new Model(hashOf);
  const long = name === 'all equal' || name === 'equal in the low bits';
  const range = long ? 300 : 4000;
  const steps = long ? 6000 : 60_000;
  for (let step = 0; step < steps; step++) {
    const entry = 1 + prng.below(range);
    const has = model.places.has(entry);
    expect(model.find(entry)).toBe(has ? entry : NIL);
    const growing = step % (steps / 3) < steps / 6;
    if (!has && growing) model.insert(entry);
    else if (has && !growing && prng.below(3) !== 0) model.remove(entry, prng.below(2) === 0);
    else if (has && !model.places.has(entry + range) && hashOf(entry) === hashOf(entry + range))
      model.replace(entry, entry + range);
    if (step % (steps / 20) !== 0) continue;
    model.validate();
    expect(model.scanAll().toSorted()).toEqual(model.entries.toSorted());
    if (model.entries.length > 0)
      expect(model.places.has(model.tables.random(model.table, prng))).toBe(true);
  }
  while (model.entries.length > 0)
    model.remove(model.entries[prng.below(model.entries.length)]!, true);
  model.validate();
  expect(model.tables.buckets(model.table)).toBe(1);
  expect(model.tables.random(model.table, prng)).toBe(NIL);
  // Header, directory (it keeps its length), one bucket.
  expect(model.arena.usedBytes).toBeLessThan(16 + 64 + 512);
});

test('what stays in the table during a scan is seen, however it grows and shrinks meanwhile', () => {
  const prng = new Prng(testSeed('scan'));
  const [, hashOf] = hashes[0]!;
  for (let round = 0; round < 120; round++) {
    const model = new Model(hashOf);
    const stays = Array.from({ length: 1 + prng.below(400) }, (_, i) => i + 1);
    for (const entry of stays) model.insert(entry);
    const guests: number[] = [];
    let next = 10_000;
    const come = (count: number): void => {
      for (let i = 0; i < count; i++) {
        guests.push(next);
        model.insert(next++);
      }
    };
    const go = (count: number): void => {
      for (let i = 0; i < count && guests.length > 0; i++)
        model.remove(guests.splice(prng.below(guests.length), 1)[0]!, false);
    };
    come(prng.below(3000));
    const seen = new Set<number>();
    let cursor = 0;
    let calls = 0;
    do {
      cursor = model.tables.scan(model.table, cursor, (entry) => void seen.add(entry));
      expect(cursor).toBeGreaterThanOrEqual(0);
      calls++;
      if (prng.below(3) === 0) come(prng.below(400));
      if (prng.below(3) === 0) go(prng.below(800));
    } while (cursor !== 0 && calls < 100_000);
    expect(cursor).toBe(0);
    expect(stays.filter((entry) => !seen.has(entry))).toEqual([]);
    model.validate();
  }
});

test('a table that is dropped is freed slice by slice, each entry once', () => {
  const prng = new Prng(testSeed('free'));
  for (const [name, hashOf] of hashes) {
    for (const count of [0, 1, 12, 13, 100, 1000, name === 'all equal' ? 1000 : 5000]) {
      const model = new Model(hashOf);
      const before = new Arena().usedBytes;
      for (let entry = 1; entry <= count; entry++) model.insert(entry);
      const freed: number[] = [];
      let slices = 0;
      const buckets = model.tables.buckets(model.table);
      while (
        !model.tables.freeSome(model.table, 1 + prng.below(20), (entry) => void freed.push(entry))
      )
        slices++;
      expect(freed.toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: count }, (_, i) => i + 1),
      );
      expect(slices).toBeLessThan(buckets);
      expect(model.arena.usedBytes).toBe(before);
      model.arena.validate();
    }
  }
});

test('random choice finds every entry, in fair shares', () => {
  const prng = new Prng(testSeed('random'));
  const [, hashOf] = hashes[0]!;
  const model = new Model(hashOf);
  for (let entry = 1; entry <= 200; entry++) model.insert(entry);
  const times = new Map<number, number>();
  for (let i = 0; i < 40_000; i++) {
    const entry = model.tables.random(model.table, prng);
    times.set(entry, (times.get(entry) ?? 0) + 1);
  }
  expect(times.size).toBe(200);
  // 200 on average; entries of full buckets are drawn less often, those of nearly empty ones more.
  expect(Math.min(...times.values())).toBeGreaterThan(50);
  expect(Math.max(...times.values())).toBeLessThan(2400);
});
