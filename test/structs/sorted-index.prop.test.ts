/**
 * Random operations on a sorted index beside a sorted array, with images of the arena begun and
 * checked in between.
 */
import { expect, test } from 'vitest';
import { Arena } from '../../src/arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT, wordPosition } from '../../src/arena/layout.ts';
import { bytesOf, latin1 } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import { MIB, NIL, type Ref } from '../../src/base/units.ts';
import { IndexCursor, SortedIndex } from '../../src/structs/sorted-index.ts';
import { validateIndex } from '../../src/structs/sorted-index-check.ts';
import { LEAF_ENTRIES } from '../../src/structs/sorted-index-nodes.ts';
import { MEMBER_HEADER_BYTES, MEMBER_LENGTH_WORD } from '../../src/structs/sorted-set-member.ts';
import { testSeed } from '../support/seed.ts';

interface Entry {
  readonly score: number;
  readonly text: string;
  readonly member: Ref;
}

const before = (a: Entry, score: number, text: string): boolean =>
  a.score < score || (a.score === score && a.text < text);

/** An index and the array that it is compared with. */
class Pair {
  readonly arena = new Arena();
  readonly tree = new SortedIndex(this.arena);
  readonly index = this.tree.create();
  readonly entries: Entry[] = [];
  readonly cursor = new IndexCursor();
  readonly #removed = new Int32Array(LEAF_ENTRIES);

  newMember(text: string): Ref {
    const member = this.arena.alloc(MEMBER_HEADER_BYTES + text.length);
    this.arena.i32[member >>> SEGMENT_SHIFT]![wordPosition(member) + MEMBER_LENGTH_WORD] =
      text.length;
    this.arena.u8[member >>> SEGMENT_SHIFT]!.set(
      bytesOf(text),
      bytePosition(member) + MEMBER_HEADER_BYTES,
    );
    return member;
  }

  text(member: Ref): string {
    const segment = member >>> SEGMENT_SHIFT;
    const length = this.arena.i32[segment]![wordPosition(member) + MEMBER_LENGTH_WORD]!;
    return latin1(this.arena.u8[segment]!, bytePosition(member) + MEMBER_HEADER_BYTES, length);
  }

  rank(score: number, text: string): number {
    let from = 0;
    let until = this.entries.length;
    while (from < until) {
      const middle = (from + until) >>> 1;
      if (before(this.entries[middle]!, score, text)) from = middle + 1;
      else until = middle;
    }
    return from;
  }

  insert(score: number, text: string): void {
    const rank = this.rank(score, text);
    const there = this.entries[rank];
    if (there !== undefined && there.score === score && there.text === text) return;
    const member = this.newMember(text);
    this.tree.insert(this.index, score, member);
    this.entries.splice(rank, 0, { score, text, member });
  }

  removeAt(rank: number): void {
    const [entry] = this.entries.splice(rank, 1);
    this.tree.remove(this.index, entry!.score, entry!.member);
    this.arena.free(entry!.member);
  }

  moveAt(rank: number, score: number): void {
    const { score: old, text, member } = this.entries[rank]!;
    // The same text may be there with the other score. Zeros of both signs are equal, and change
    // places with nobody.
    const there = this.entries[this.rank(score, text)];
    if (score !== old && there !== undefined && there.score === score && there.text === text)
      return;
    this.tree.move(this.index, old, member, score);
    this.entries.splice(rank, 1);
    this.entries.splice(this.rank(score, text), 0, { score, text, member });
  }

  removeRange(rank: number, count: number): void {
    for (let left = count; left > 0; ) {
      const taken = this.tree.removeSome(this.index, rank, left, this.#removed);
      const expected = this.entries.splice(rank, taken).map((entry) => entry.member);
      expect([...this.#removed.subarray(0, taken)]).toEqual(expected);
      for (const member of expected) this.arena.free(member);
      left -= taken;
    }
  }

  checkRanks(prng: Prng, scores: (prng: Prng) => number): void {
    const { tree, index, entries } = this;
    const score = scores(prng);
    const text = randomText(prng);
    const bytes = bytesOf(`_${text}`);
    expect(tree.countBeforeEntry(index, score, bytes, 1, text.length)).toBe(this.rank(score, text));
    expect(tree.countBeforeScore(index, score, false)).toBe(
      entries.filter((e) => e.score < score).length,
    );
    expect(tree.countBeforeScore(index, score, true)).toBe(
      entries.filter((e) => e.score <= score).length,
    );
    const rank = prng.below(entries.length + 3) - 1;
    expect(tree.seekRank(index, rank, this.cursor)).toBe(rank >= 0 && rank < entries.length);
    const entry = entries[rank];
    if (entry !== undefined) expect(this.cursor.member).toBe(entry.member);
  }

  check(): void {
    const { tree, index, cursor, entries } = this;
    validateIndex(tree, index);
    expect(tree.count(index)).toBe(entries.length);
    const seen: Entry[] = [];
    let more = tree.seekRank(index, 0, cursor);
    for (; more; more = tree.next(cursor)) {
      seen.push({ score: cursor.score, text: this.text(cursor.member), member: cursor.member });
    }
    expect(seen).toEqual(entries);
    const back: Ref[] = [];
    more = tree.seekRank(index, entries.length - 1, cursor);
    for (; more; more = tree.previous(cursor)) back.push(cursor.member);
    expect(back).toEqual(entries.map((entry) => entry.member).reverse());
  }

  freeAll(prng: Prng): void {
    for (const entry of this.entries) this.arena.free(entry.member);
    while (!this.tree.freeSome(this.index, 1 + prng.below(5)));
    expect(this.arena.usedBytes).toBe(0);
    this.arena.validate();
  }
}

function randomText(prng: Prng): string {
  const text = `${prng.below(3000)}`;
  return prng.below(4) === 0 ? `${text}\xff\x00${'x'.repeat(prng.below(40))}` : text;
}

const patterns: readonly (readonly [string, (prng: Prng) => number])[] = [
  ['all over', (prng) => prng.float() * 1e6],
  ['few', (prng) => prng.below(7) - 3],
  ['all equal', () => 0],
  ['extreme', (prng) => [-Infinity, Infinity, -0, 0, 5e-324, 1.7e308, -1.7e308][prng.below(7)]!],
];

test.each(patterns)('an index is a sorted list, with scores that are %s', (_, scores) => {
  const prng = new Prng(testSeed('sorted-index'));
  const pair = new Pair();
  const steps = 16_000;
  for (let step = 0; step < steps; step++) {
    const growing = step % (steps / 2) < steps / 4;
    const { entries } = pair;
    const kind = prng.below(10);
    if (entries.length === 0 || (growing ? kind < 7 : kind < 3))
      pair.insert(scores(prng), randomText(prng));
    else if (kind < 9) {
      const rank = prng.below(entries.length);
      if (prng.below(300) === 0) pair.removeRange(rank, 1 + prng.below(entries.length - rank));
      else if (prng.below(3) === 0) pair.moveAt(rank, scores(prng));
      else if (!growing) pair.removeAt(rank);
    } else if (prng.below(4) === 0) pair.checkRanks(prng, scores);
    if (step % 500 === 0) pair.arena.freeze(64 * MIB, ignore, ignore);
    if (step % 500 === 250) {
      pair.arena.thaw();
      pair.check();
    }
  }
  pair.check();
  pair.freeAll(prng);
});

const ignore = (): void => {};

test('members of one score are found by their bytes', () => {
  const prng = new Prng(testSeed('members'));
  const pair = new Pair();
  for (let i = 0; i < 2000; i++) pair.insert(1.5, randomText(prng));
  for (let i = 0; i < 500; i++) {
    const text = randomText(prng);
    for (const orEqual of [false, true]) {
      const count = pair.tree.countBeforeMember(pair.index, bytesOf(text), 0, text.length, orEqual);
      expect(count).toBe(
        pair.entries.filter((e) => e.text < text || (orEqual && e.text === text)).length,
      );
    }
  }
  pair.freeAll(prng);
});

test.each([
  ['ascending', (i: number) => i, 0.99],
  ['descending', (i: number) => -i, 0.99],
  ['random', (i: number) => Math.imul(i, 0x9e3779b1) >>> 0, 0.6],
] as const)('%s insertions fill the nodes', (_, scoreOf, fill) => {
  const pair = new Pair();
  const member = pair.newMember('x');
  const count = 30_000;
  for (let i = 0; i < count; i++) pair.tree.insert(pair.index, scoreOf(i), member);
  const nodes = validateIndex(pair.tree, pair.index);
  // Inner nodes are few: count them as if they were leaves too.
  expect(count / (nodes * LEAF_ENTRIES)).toBeGreaterThan(fill * 0.97);
  expect(pair.tree.countBeforeScore(pair.index, scoreOf(777), true)).toBeGreaterThan(0);
});

test('an insertion that finds no memory changes nothing', () => {
  const pair = new Pair();
  const full = new Error('full');
  const alloc = pair.arena.alloc.bind(pair.arena);
  const members = Array.from({ length: LEAF_ENTRIES * 60 }, (_, i) =>
    pair.newMember(`${i}`.padStart(6, '0')),
  );
  let refused = 0;
  for (const [i, member] of members.entries()) {
    const used = pair.arena.usedBytes;
    // Every allocation that the insertion makes fails once, the first, then the second, and so on.
    for (let allowed = 0; allowed < 5; allowed++) {
      let left = allowed;
      pair.arena.alloc = (bytes) => {
        if (left-- === 0) throw full;
        return alloc(bytes);
      };
      try {
        pair.tree.insert(pair.index, 1, member);
        break;
      } catch (error) {
        expect(error).toBe(full);
        refused++;
        expect(pair.arena.usedBytes).toBe(used);
        expect(pair.tree.count(pair.index)).toBe(i);
      }
    }
  }
  validateIndex(pair.tree, pair.index);
  expect(pair.tree.count(pair.index)).toBe(members.length);
  expect(refused).toBeGreaterThan(60);
  expect(pair.tree.seekRank(pair.index, 0, pair.cursor)).toBe(true);
  expect(pair.cursor.member).not.toBe(NIL);
});
