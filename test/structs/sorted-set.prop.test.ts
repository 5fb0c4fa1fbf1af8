/**
 * Random operations on sorted sets of both forms beside a map, with images of the arena begun and
 * checked in between.
 */
import { expect, test } from 'vitest';
import { Arena } from '../../src/arena/arena.ts';
import { bytePosition } from '../../src/arena/layout.ts';
import { bytesOf, compareBytes, latin1 } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import { MIB } from '../../src/base/units.ts';
import { Listpack } from '../../src/structs/listpack.ts';
import { SortedSet } from '../../src/structs/sorted-set.ts';
import { SortedTable } from '../../src/structs/sorted-table.ts';
import { testSeed } from '../support/seed.ts';
import { randomText } from './listpack-fixture.ts';

/** Without -0, whose sign a listpack does not keep. */
const SCORES = [
  0,
  1,
  -1,
  0.1,
  1.5,
  -2.25,
  1e300,
  -1e300,
  Infinity,
  -Infinity,
  5e-324,
  2 ** 53,
  2 ** 63,
  1e17,
];

function randomScore(prng: Prng): number {
  if (prng.below(2) === 0) return SCORES[prng.below(SCORES.length)]!;
  return prng.below(2) === 0 ? prng.below(20) : (prng.float() - 0.5) * 1e4;
}

class Pair {
  readonly arena = new Arena();
  readonly #listpacks = new Listpack(this.arena);
  readonly #tables = new SortedTable(this.arena, 1, 2);
  readonly set = new SortedSet(this.arena, this.#listpacks, this.#tables);
  readonly model = new Map<string, number>();
  readonly #entriesMax: number;
  readonly #valueMax: number;

  constructor(entriesMax: number, valueMax: number) {
    this.#entriesMax = entriesMax;
    this.#valueMax = valueMax;
    this.set.create(entriesMax === 0);
  }

  put(text: string, score: number): void {
    const { set } = this;
    const bytes = bytesOf(`_${text}_`);
    const found = set.find(bytes, 1, text.length);
    expect(found).toBe(this.model.has(text));
    if (!found) set.add(score, bytes, 1, text.length, this.#entriesMax, this.#valueMax);
    else if (set.score === score) return;
    else set.setFoundScore(score);
    this.model.set(text, score);
  }

  remove(text: string): void {
    const bytes = bytesOf(text);
    if (!this.set.find(bytes, 0, bytes.length)) return;
    this.set.removeFound();
    this.model.delete(text);
  }

  sorted(): [string, number][] {
    return [...this.model].sort((a, b) => {
      if (a[1] !== b[1]) return a[1] < b[1] ? -1 : 1;
      return compareBytes(bytesOf(a[0]), 0, a[0].length, bytesOf(b[0]), 0, b[0].length);
    });
  }

  removeRange(prng: Prng): void {
    const sorted = this.sorted();
    if (sorted.length === 0) return;
    const rank = prng.below(sorted.length);
    const count = 1 + prng.below(Math.min(8, sorted.length - rank));
    this.set.removeRange(rank, count);
    for (const [text] of sorted.slice(rank, rank + count)) this.model.delete(text);
  }

  #text(): string {
    const { bytes, position, length } = this.set.member();
    return latin1(bytes, position, length);
  }

  check(prng: Prng): void {
    const { set } = this;
    const sorted = this.sorted();
    set.validate();
    expect(set.count()).toBe(sorted.length);
    const seen: [string, number][] = [];
    for (let more = set.seek(0); more; more = set.next()) seen.push([this.#text(), set.score]);
    expect(seen).toEqual(sorted);
    const back: [string, number][] = [];
    for (let more = set.seek(sorted.length - 1); more; more = set.previous())
      back.push([this.#text(), set.score]);
    expect(back.reverse()).toEqual(sorted);
    expect(set.seek(sorted.length)).toBe(false);
    const scanned = new Map<string, number>();
    let cursor = 0;
    do cursor = set.scan(cursor, () => void scanned.set(this.#text(), set.score));
    while (cursor !== 0);
    expect(scanned).toEqual(this.model);
    const score = randomScore(prng);
    expect(set.countBeforeScore(score, false)).toBe(sorted.filter(([, s]) => s < score).length);
    expect(set.countBeforeScore(score, true)).toBe(sorted.filter(([, s]) => s <= score).length);
    const [text] = sorted[prng.below(sorted.length)] ?? [];
    if (text === undefined) return;
    expect(set.find(bytesOf(text), 0, text.length)).toBe(true);
    expect(set.foundRank()).toBe(sorted.findIndex(([t]) => t === text));
    expect(latin1(set.copyMember(), 0, text.length)).toBe(text);
  }

  /** Works on a copy, which must not share memory with the set. */
  copyAndReduce(): void {
    const { set } = this;
    const { ref, large } = set;
    const copy = set.copy();
    const sorted = this.sorted();
    set.open(copy, large);
    set.validate();
    if (!large) set.enlarge();
    set.reduce(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
    expect(set.large).toBe(false);
    set.validate();
    for (const [text, score] of sorted) {
      expect(set.seek(0)).toBe(true);
      expect([this.#text(), set.score]).toEqual([text, score]);
      set.removeRange(0, 1);
    }
    set.free();
    set.open(ref, large);
  }
}

const ignore = (): void => {};

test.each([
  [0, 0, 60],
  [30, 20, 40],
  [1000, 100_000, 60],
  [10, 1000, 400],
] as const)(
  'a sorted set is a map in order, small up to %i members of %i bytes',
  (entries, bytes, members) => {
    const prng = new Prng(testSeed('sorted-set'));
    for (let round = 0; round < 3; round++) {
      const pair = new Pair(entries, bytes);
      const texts = Array.from({ length: members }, () => randomText(prng, 60));
      for (let step = 0; step < 1200; step++) {
        const text = texts[prng.below(members)]!;
        const kind = prng.below(10);
        if (kind < 6) pair.put(text, randomScore(prng));
        else if (kind < 9) pair.remove(text);
        else if (prng.below(5) === 0) pair.removeRange(prng);
        if (step % 40 === 0) pair.arena.freeze(64 * MIB, ignore, ignore);
        if (step % 40 === 20) {
          pair.arena.thaw();
          pair.check(prng);
          if (step % 400 === 20) pair.copyAndReduce();
        }
      }
      pair.check(prng);
      pair.set.free();
      expect(pair.arena.usedBytes).toBe(0);
    }
  },
);

test('members of one score are counted by their bytes in both forms', () => {
  for (const entriesMax of [0, 1000]) {
    const pair = new Pair(entriesMax, 1000);
    for (const text of ['', '0', '10', '2', 'a', 'aa', 'b', '\xff']) pair.put(text, 7);
    const counts = (orEqual: boolean): number[] =>
      ['', '1', '10', 'a', 'zz', '\xff\xff'].map((text) =>
        pair.set.countBeforeMember(bytesOf(text), 0, text.length, orEqual),
      );
    expect(counts(false)).toEqual([0, 2, 2, 4, 7, 8]);
    expect(counts(true)).toEqual([1, 2, 3, 5, 7, 8]);
  }
});

test('a large set is freed in slices', () => {
  const arena = new Arena();
  const tables = new SortedTable(arena, 1, 2);
  const set = tables.create();
  for (let i = 0; i < 5000; i++) {
    const bytes = bytesOf(String(i));
    tables.find(set, bytes, 0, bytes.length);
    tables.add(set, i % 100, bytes, 0, bytes.length);
  }
  tables.validate(set);
  let slices = 1;
  while (!tables.freeSome(set, 10)) slices++;
  expect(slices).toBeGreaterThan(40);
  expect(arena.usedBytes).toBe(0);
});

test('the bytes of a small set are those of Redis', () => {
  const pair = new Pair(100, 100);
  for (const [text, score] of [
    ['a', 1],
    ['7', 0.5],
    ['big', 1e16],
    ['n', -0],
  ] as const)
    pair.put(text, score);
  const { arena, set } = pair;
  const { u8 } = arena;
  const at = bytePosition(set.ref);
  const length = u8[0]![at]!;
  expect(Buffer.from(u8[0]!.slice(at, at + length)).toString('latin1')).toBe(
    // -0 is 0, and 1e16 an integer of 64 bits.
    `${String.fromCharCode(length)}\0\0\0\x08\0\x81n\x02\0\x01\x07\x01\x830.5\x04` +
      `\x81a\x02\x01\x01\x83big\x04\xf4\0\0\xc1\x6f\xf2\x86\x23\0\x09\xff`,
  );
});
