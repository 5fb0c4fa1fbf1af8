/**
 * Hot path. The nodes of a sorted index: their contents, and moves of these. sorted-index.ts has
 * the tree.
 *
 *   node     1 KiB, within one page
 *            word 0 COUNT    entries of a leaf, children of an inner node
 *            word 1 PREVIOUS and word 2 NEXT node of the same level, NIL at the ends
 *   leaf     f64 2-85        scores            words 172-255   members
 *   inner    f64 2-51        scores            words 104-153   members
 *            words 154-203   children          words 204-253   entries below each child
 *            score and member are those of the first entry below each child
 *
 * The places of a node are filled in order, without a gap. Where a method says that the caller has
 * touched a node, the caller has called the write barrier.
 */
import type { Arena } from '../arena/arena.ts';
import { SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';
import { assert } from '../base/assert.ts';
import { asRef, NIL, type Ref } from '../base/units.ts';

export const IndexWord = { ROOT: 0, COUNT: 1, HEIGHT: 2, TABLE: 3 } as const;
export const INDEX_BYTES = 16;

export const NODE_BYTES = 1024;
export const NodeWord = { COUNT: 0, PREVIOUS: 1, NEXT: 2 } as const;
export const LEAF_ENTRIES = 84;
export const INNER_CHILDREN = 50;
/** Word of the first score in a node of either kind. Each score has two words. */
export const SCORES_WORD = 4;
export const LEAF_MEMBERS_WORD = SCORES_WORD + 2 * LEAF_ENTRIES;
export const INNER_MEMBERS_WORD = SCORES_WORD + 2 * INNER_CHILDREN;
export const CHILDREN_WORD = INNER_MEMBERS_WORD + INNER_CHILDREN;
export const COUNTS_WORD = CHILDREN_WORD + INNER_CHILDREN;

assert(LEAF_MEMBERS_WORD + LEAF_ENTRIES === NODE_BYTES / 4, 'a leaf fills its node');
assert(COUNTS_WORD + INNER_CHILDREN <= NODE_BYTES / 4, 'an inner node fits its node');
assert(SCORES_WORD % 2 === 0, 'scores are aligned');

/** Returns the number of places in a node of a level. Leaves have level 0. */
export const placesAt = (level: number): number => (level === 0 ? LEAF_ENTRIES : INNER_CHILDREN);

export class IndexNodes {
  readonly arena: Arena;

  constructor(arena: Arena) {
    this.arena = arena;
  }

  countBelow(node: Ref, level: number): number {
    const count = this.word(node, NodeWord.COUNT);
    if (level === 0) return count;
    let sum = 0;
    for (let i = 0; i < count; i++) sum += this.word(node, COUNTS_WORD + i);
    return sum;
  }

  /** Puts an entry into a leaf that has room. */
  putEntry(leaf: Ref, place: number, score: number, member: Ref): void {
    this.arena.touch(leaf, 0, NODE_BYTES);
    const count = this.word(leaf, NodeWord.COUNT);
    this.moveScores(leaf, place, leaf, place + 1, count - place);
    this.moveWords(
      leaf,
      LEAF_MEMBERS_WORD + place,
      leaf,
      LEAF_MEMBERS_WORD + place + 1,
      count - place,
    );
    this.setScore(leaf, place, score);
    this.store(leaf, LEAF_MEMBERS_WORD + place, member);
    this.store(leaf, NodeWord.COUNT, count + 1);
  }

  /** Puts a child into an inner node that has room. */
  putChild(node: Ref, place: number, score: number, member: Ref, child: Ref, below: number): void {
    this.arena.touch(node, 0, NODE_BYTES);
    const count = this.word(node, NodeWord.COUNT);
    this.moveScores(node, place, node, place + 1, count - place);
    for (let words = INNER_MEMBERS_WORD; words <= COUNTS_WORD; words += INNER_CHILDREN) {
      this.moveWords(node, words + place, node, words + place + 1, count - place);
    }
    this.setScore(node, place, score);
    this.store(node, INNER_MEMBERS_WORD + place, member);
    this.store(node, CHILDREN_WORD + place, child);
    this.store(node, COUNTS_WORD + place, below);
    this.store(node, NodeWord.COUNT, count + 1);
  }

  dropChild(node: Ref, place: number): void {
    this.arena.touch(node, 0, NODE_BYTES);
    const behind = this.word(node, NodeWord.COUNT) - place - 1;
    this.moveScores(node, place + 1, node, place, behind);
    for (let words = INNER_MEMBERS_WORD; words <= COUNTS_WORD; words += INNER_CHILDREN) {
      this.moveWords(node, words + place + 1, node, words + place, behind);
    }
    this.store(node, NodeWord.COUNT, place + behind);
  }

  /**
   * Moves `moved` places from `from` of one node to `at` of another, whose places there must be
   * free. Corrects both counts. Places behind them in the first node stay where they are.
   */
  transfer(source: Ref, from: number, target: Ref, at: number, moved: number, level: number): void {
    this.moveScores(source, from, target, at, moved);
    if (level === 0) {
      this.moveWords(source, LEAF_MEMBERS_WORD + from, target, LEAF_MEMBERS_WORD + at, moved);
    } else {
      for (let words = INNER_MEMBERS_WORD; words <= COUNTS_WORD; words += INNER_CHILDREN) {
        this.moveWords(source, words + from, target, words + at, moved);
      }
    }
    this.store(source, NodeWord.COUNT, this.word(source, NodeWord.COUNT) - moved);
    this.store(target, NodeWord.COUNT, this.word(target, NodeWord.COUNT) + moved);
  }

  /** Frees the first `room` places of a node by moving the others up. Does not change the count. */
  shiftUp(node: Ref, room: number, level: number): void {
    this.shift(node, 0, room, this.word(node, NodeWord.COUNT), level);
  }

  /**
   * Closes a gap of `gap` places at the start of a node by moving the others down. `count` is the
   * number before. The count in the node must be right already.
   */
  shiftDown(node: Ref, gap: number, count: number, level: number): void {
    this.shift(node, gap, 0, count - gap, level);
  }

  shift(node: Ref, from: number, to: number, count: number, level: number): void {
    this.moveScores(node, from, node, to, count);
    if (level === 0) {
      this.moveWords(node, LEAF_MEMBERS_WORD + from, node, LEAF_MEMBERS_WORD + to, count);
      return;
    }
    for (let words = INNER_MEMBERS_WORD; words <= COUNTS_WORD; words += INNER_CHILDREN) {
      this.moveWords(node, words + from, node, words + to, count);
    }
  }

  /** Unlinks a node from its level and frees it. */
  unlink(node: Ref): void {
    const previous = asRef(this.word(node, NodeWord.PREVIOUS));
    const next = asRef(this.word(node, NodeWord.NEXT));
    if (previous !== NIL) this.setWord(previous, NodeWord.NEXT, next);
    if (next !== NIL) this.setWord(next, NodeWord.PREVIOUS, previous);
    this.arena.free(node);
  }

  clearNode(node: Ref): void {
    for (let word = 0; word < SCORES_WORD; word++) this.store(node, word, 0);
  }

  child(node: Ref, place: number): Ref {
    return asRef(this.word(node, CHILDREN_WORD + place));
  }

  memberAt(node: Ref, place: number, level: number): Ref {
    return asRef(this.word(node, (level === 0 ? LEAF_MEMBERS_WORD : INNER_MEMBERS_WORD) + place));
  }

  scoreAt(node: Ref, place: number): number {
    return this.arena.f64[node >>> SEGMENT_SHIFT]![
      ((wordPosition(node) + SCORES_WORD) >>> 1) + place
    ]!;
  }

  /** Sets a score. The caller has touched the node. */
  setScore(node: Ref, place: number, score: number): void {
    this.arena.f64[node >>> SEGMENT_SHIFT]![((wordPosition(node) + SCORES_WORD) >>> 1) + place] =
      score;
  }

  /**
   * Moves scores within a node or to another. The ranges may overlap. The caller has touched the
   * target.
   */
  moveScores(source: Ref, from: number, target: Ref, at: number, count: number): void {
    const f64 = this.arena.f64[source >>> SEGMENT_SHIFT]!;
    const to = this.arena.f64[target >>> SEGMENT_SHIFT]!;
    const start = ((wordPosition(source) + SCORES_WORD) >>> 1) + from;
    const put = ((wordPosition(target) + SCORES_WORD) >>> 1) + at;
    if (source === target && at > from)
      for (let i = count - 1; i >= 0; i--) to[put + i] = f64[start + i]!;
    else for (let i = 0; i < count; i++) to[put + i] = f64[start + i]!;
  }

  moveWords(source: Ref, from: number, target: Ref, at: number, count: number): void {
    const i32 = this.arena.i32[source >>> SEGMENT_SHIFT]!;
    const to = this.arena.i32[target >>> SEGMENT_SHIFT]!;
    const start = wordPosition(source) + from;
    const put = wordPosition(target) + at;
    if (source === target && at > from)
      for (let i = count - 1; i >= 0; i--) to[put + i] = i32[start + i]!;
    else for (let i = 0; i < count; i++) to[put + i] = i32[start + i]!;
  }

  word(ref: Ref, word: number): number {
    return this.arena.i32[ref >>> SEGMENT_SHIFT]![wordPosition(ref) + word]!;
  }

  setWord(ref: Ref, word: number, value: number): void {
    this.arena.touch(ref, word * 4, 4);
    this.store(ref, word, value);
  }

  /** Writes a word. The caller has touched the object, or has allocated it in this turn. */
  store(ref: Ref, word: number, value: number): void {
    this.arena.i32[ref >>> SEGMENT_SHIFT]![wordPosition(ref) + word] = value;
  }
}
