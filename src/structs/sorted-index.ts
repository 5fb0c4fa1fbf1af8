/**
 * Hot path. The members of a large sorted set in their order, with ranks: a B+tree in the arena
 * whose nodes count what is below them.
 *
 *   header   word 0 ROOT     the top node; while the tree is being freed, the node that is next
 *            word 1 COUNT    entries; while the tree is being freed, the first node of the level below
 *            word 2 HEIGHT   levels above the leaves; while the tree is being freed, -1 - the level of that node
 *            word 3 TABLE    the owner's: sorted-set.ts keeps its hash table here
 *
 * Its nodes are drawn in sorted-index-nodes.ts.
 *
 * Entries are ordered by score and then by member, as memcmp has it. A member is the ref of an
 * object that sorted-set-member.ts draws; it is looked at only where scores are equal.
 *
 * Every range, be it of scores, of members or of ranks, is one of ranks: `countBefore…` tell how
 * many entries lie before a bound, `seekRank` puts a cursor there, `removeSome` takes entries from
 * there.
 *
 * A full node is split in the middle, except at the ends of the tree: there the new node begins
 * with one entry, so that ascending or descending insertions fill all nodes. A node that falls
 * below a quarter is merged with a neighbour, or shares with it. Insertion allocates all nodes that
 * it needs before it changes anything; removal never fails.
 *
 * Stale after an insertion or removal: all cursors. Main thread, or the thread that fills the
 * arena.
 */
import { bytePosition, SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';
import { assert } from '../base/assert.ts';
import { compareBytes } from '../base/bytes.ts';
import { asRef, NIL, type Ref } from '../base/units.ts';
import {
  COUNTS_WORD,
  INDEX_BYTES,
  INNER_CHILDREN,
  INNER_MEMBERS_WORD,
  IndexNodes,
  IndexWord,
  LEAF_ENTRIES,
  LEAF_MEMBERS_WORD,
  NODE_BYTES,
  NodeWord,
  placesAt,
  SCORES_WORD,
} from './sorted-index-nodes.ts';
import { MEMBER_HEADER_BYTES, MEMBER_LENGTH_WORD } from './sorted-set-member.ts';

/** A node of n places with fewer than n / SPARSE_PART entries looks for company. */
const SPARSE_PART = 4;
/** More levels than 2^31 entries can need. */
const LEVELS_MAX = 16;

/** What entries are compared with: score and member, the score alone, the member alone. */
const Order = { BOTH: 0, SCORE: 1, MEMBER: 2 } as const;
type Order = (typeof Order)[keyof typeof Order];

/** A place in an index and the entry there. */
export class IndexCursor {
  leaf: Ref = NIL;
  place = 0;
  score = 0;
  member: Ref = NIL;
}

const NO_BYTES = new Uint8Array(0);

export class SortedIndex extends IndexNodes {
  /** The bound that a search looks for. */
  #score = 0;
  #bytes: Uint8Array = NO_BYTES;
  #start = 0;
  #length = 0;
  /** The way that the last descent took, by level: nodes, and the place in each. */
  readonly #nodes = new Int32Array(LEVELS_MAX);
  readonly #places = new Int32Array(LEVELS_MAX);
  /** Nodes allocated ahead of an insertion. */
  readonly #spare = new Int32Array(LEVELS_MAX);
  #spares = 0;

  create(): Ref {
    const arena = this.arena;
    const index = arena.alloc(INDEX_BYTES);
    let root: Ref;
    try {
      root = arena.alloc(NODE_BYTES);
    } catch (error) {
      arena.free(index);
      throw error;
    }
    this.clearNode(root);
    this.setWord(index, IndexWord.ROOT, root);
    this.setWord(index, IndexWord.COUNT, 0);
    this.setWord(index, IndexWord.HEIGHT, 0);
    this.setWord(index, IndexWord.TABLE, NIL);
    return index;
  }

  count(index: Ref): number {
    return this.word(index, IndexWord.COUNT);
  }

  /** Bytes of the index without its members. Looks at the inner nodes. */
  bytes(index: Ref): number {
    let nodes = 1;
    let first = asRef(this.word(index, IndexWord.ROOT));
    for (let level = this.word(index, IndexWord.HEIGHT); level > 0; level--) {
      for (let node = first; node !== NIL; node = asRef(this.word(node, NodeWord.NEXT)))
        nodes += this.word(node, NodeWord.COUNT);
      first = this.child(first, 0);
    }
    return INDEX_BYTES + nodes * NODE_BYTES;
  }

  /** The word that belongs to the owner of the index. */
  table(index: Ref): Ref {
    return asRef(this.word(index, IndexWord.TABLE));
  }

  setTable(index: Ref, table: Ref): void {
    this.setWord(index, IndexWord.TABLE, table);
  }

  /**
   * Adds an entry that is not there. Throws ARENA_FULL, having changed nothing, when there is no
   * memory.
   */
  insert(index: Ref, score: number, member: Ref): void {
    const height = this.#descendTo(index, score, member);
    this.#reserveNodes(height);
    this.setWord(index, IndexWord.COUNT, this.word(index, IndexWord.COUNT) + 1);
    this.#addToCounts(height, 1);
    const leaf = asRef(this.#nodes[0]!);
    const place = this.#places[0]!;
    if (place === 0) this.#renewFirst(0, height, score, member);
    if (this.word(leaf, NodeWord.COUNT) < LEAF_ENTRIES) this.putEntry(leaf, place, score, member);
    else this.#splitLeaf(index, leaf, place, score, member);
  }

  /** Takes out an entry that is there. */
  remove(index: Ref, score: number, member: Ref): void {
    this.#descendTo(index, score, member);
    const leaf = asRef(this.#nodes[0]!);
    const place = this.#places[0]!;
    const found =
      place < this.word(leaf, NodeWord.COUNT) && this.memberAt(leaf, place, 0) === member;
    assert(found, 'an entry that is removed is in its index');
    this.#removeRun(index, 1);
  }

  /** Gives an entry that is there another score. Throws as {@link insert}. */
  move(index: Ref, score: number, member: Ref, newScore: number): void {
    const height = this.#descendTo(index, score, member);
    const leaf = asRef(this.#nodes[0]!);
    const place = this.#places[0]!;
    // Where it stays between its neighbours in the leaf, only the score is written. Zeros differ in
    // their sign alone.
    if (newScore === score || this.#fitsBetween(leaf, place, newScore)) {
      assert(this.memberAt(leaf, place, 0) === member, 'an entry that moves is in its index');
      this.arena.touch(leaf, 0, NODE_BYTES);
      this.setScore(leaf, place, newScore);
      if (place === 0) this.#renewFirst(0, height, newScore, member);
      return;
    }
    this.insert(index, newScore, member);
    this.remove(index, score, member);
  }

  #fitsBetween(leaf: Ref, place: number, score: number): boolean {
    return (
      place > 0 &&
      place + 1 < this.word(leaf, NodeWord.COUNT) &&
      this.scoreAt(leaf, place - 1) < score &&
      score < this.scoreAt(leaf, place + 1)
    );
  }

  /** How many entries lie before this score and member. */
  countBeforeEntry(
    index: Ref,
    score: number,
    bytes: Uint8Array,
    start: number,
    length: number,
  ): number {
    this.#aim(score, bytes, start, length);
    const count = this.#countBefore(index, Order.BOTH, false);
    this.#bytes = NO_BYTES;
    return count;
  }

  /** How many entries have a score below `score`, or up to it with `orEqual`. */
  countBeforeScore(index: Ref, score: number, orEqual: boolean): number {
    this.#score = score;
    return this.#countBefore(index, Order.SCORE, orEqual);
  }

  /**
   * How many members lie before these bytes, or are these with `orEqual`; all scores are supposed
   * to be equal.
   */
  countBeforeMember(
    index: Ref,
    bytes: Uint8Array,
    start: number,
    length: number,
    orEqual: boolean,
  ): number {
    this.#aim(0, bytes, start, length);
    const count = this.#countBefore(index, Order.MEMBER, orEqual);
    this.#bytes = NO_BYTES;
    return count;
  }

  /**
   * Puts the cursor at the entry of a rank, from 0; returns false, and leaves the cursor, when
   * there is none.
   */
  seekRank(index: Ref, rank: number, cursor: IndexCursor): boolean {
    if (rank < 0 || rank >= this.word(index, IndexWord.COUNT)) return false;
    this.#descendToRank(index, rank);
    this.#load(cursor, asRef(this.#nodes[0]!), this.#places[0]!);
    return true;
  }

  /** Moves the cursor to the next entry; returns false, and leaves it, at the end. */
  next(cursor: IndexCursor): boolean {
    let leaf = cursor.leaf;
    let place = cursor.place + 1;
    if (place >= this.word(leaf, NodeWord.COUNT)) {
      leaf = asRef(this.word(leaf, NodeWord.NEXT));
      place = 0;
      if (leaf === NIL) return false;
    }
    this.#load(cursor, leaf, place);
    return true;
  }

  /** Moves the cursor to the entry before; returns false, and leaves it, at the start. */
  previous(cursor: IndexCursor): boolean {
    let leaf = cursor.leaf;
    let place = cursor.place - 1;
    if (place < 0) {
      leaf = asRef(this.word(leaf, NodeWord.PREVIOUS));
      if (leaf === NIL) return false;
      place = this.word(leaf, NodeWord.COUNT) - 1;
    }
    this.#load(cursor, leaf, place);
    return true;
  }

  /**
   * Takes out up to `count` entries from a rank on, as many as their leaf holds, and puts their
   * members into `removed`, which has LEAF_ENTRIES places. Returns how many they were, at least
   * one.
   */
  removeSome(index: Ref, rank: number, count: number, removed: Int32Array): number {
    assert(count > 0 && rank >= 0 && rank < this.count(index), 'what is removed is there');
    this.#descendToRank(index, rank);
    const leaf = asRef(this.#nodes[0]!);
    const place = this.#places[0]!;
    const taken = Math.min(count, this.word(leaf, NodeWord.COUNT) - place);
    for (let i = 0; i < taken; i++) removed[i] = this.word(leaf, LEAF_MEMBERS_WORD + place + i);
    this.#removeRun(index, taken);
    return taken;
  }

  /**
   * Frees up to `budget` nodes of an index that nobody reads any more; returns whether all is
   * freed, the header too. The members are the owner's to free.
   */
  freeSome(index: Ref, budget: number): boolean {
    const arena = this.arena;
    let node = asRef(this.word(index, IndexWord.ROOT));
    let level = this.word(index, IndexWord.HEIGHT);
    let below = asRef(this.word(index, IndexWord.COUNT));
    if (level >= 0) below = level > 0 ? this.child(node, 0) : NIL;
    else level = -1 - level;
    // Level by level, along the links between the nodes of each.
    for (let done = 0; done < budget && node !== NIL; done++) {
      const next = asRef(this.word(node, NodeWord.NEXT));
      arena.free(node);
      node = next;
      if (node !== NIL || level === 0) continue;
      level--;
      node = below;
      below = level > 0 ? this.child(node, 0) : NIL;
    }
    if (node === NIL) {
      arena.free(index);
      return true;
    }
    this.setWord(index, IndexWord.ROOT, node);
    this.setWord(index, IndexWord.COUNT, below);
    this.setWord(index, IndexWord.HEIGHT, -1 - level);
    return false;
  }

  /** Lets go of views into segments, which may be gone. */
  forgetViews(): void {
    this.#bytes = NO_BYTES;
  }

  /**
   * To be called after the arena was rolled back: an insertion that failed may have left nodes
   * behind.
   */
  rolledBack(): void {
    this.#spares = 0;
  }

  #aim(score: number, bytes: Uint8Array, start: number, length: number): void {
    this.#score = score;
    this.#bytes = bytes;
    this.#start = start;
    this.#length = length;
  }

  #aimAt(score: number, member: Ref): void {
    const segment = member >>> SEGMENT_SHIFT;
    this.#aim(
      score,
      this.arena.u8[segment]!,
      bytePosition(member) + MEMBER_HEADER_BYTES,
      this.arena.i32[segment]![wordPosition(member) + MEMBER_LENGTH_WORD]!,
    );
  }

  #compareMember(member: Ref): number {
    const segment = member >>> SEGMENT_SHIFT;
    return compareBytes(
      this.arena.u8[segment]!,
      bytePosition(member) + MEMBER_HEADER_BYTES,
      this.arena.i32[segment]![wordPosition(member) + MEMBER_LENGTH_WORD]!,
      this.#bytes,
      this.#start,
      this.#length,
    );
  }

  /** Goes down to the place of this entry, be it there or not, and returns the height. */
  #descendTo(index: Ref, score: number, member: Ref): number {
    this.#aimAt(score, member);
    const height = this.word(index, IndexWord.HEIGHT);
    let node = asRef(this.word(index, IndexWord.ROOT));
    for (let level = height; level > 0; level--) {
      const place = Math.max(0, this.#search(node, level, Order.BOTH, true) - 1);
      this.#nodes[level] = node;
      this.#places[level] = place;
      node = this.child(node, place);
    }
    this.#nodes[0] = node;
    this.#places[0] = this.#search(node, 0, Order.BOTH, false);
    return height;
  }

  #descendToRank(index: Ref, rank: number): void {
    let node = asRef(this.word(index, IndexWord.ROOT));
    let left = rank;
    for (let level = this.word(index, IndexWord.HEIGHT); level > 0; level--) {
      let place = 0;
      const counts = wordPosition(node) + COUNTS_WORD;
      const i32 = this.arena.i32[node >>> SEGMENT_SHIFT]!;
      while (left >= i32[counts + place]!) left -= i32[counts + place++]!;
      this.#nodes[level] = node;
      this.#places[level] = place;
      node = this.child(node, place);
    }
    this.#nodes[0] = node;
    this.#places[0] = left;
  }

  #countBefore(index: Ref, order: Order, orEqual: boolean): number {
    let node = asRef(this.word(index, IndexWord.ROOT));
    let before = 0;
    for (let level = this.word(index, IndexWord.HEIGHT); level > 0; level--) {
      const place = Math.max(0, this.#search(node, level, order, orEqual) - 1);
      const counts = wordPosition(node) + COUNTS_WORD;
      const i32 = this.arena.i32[node >>> SEGMENT_SHIFT]!;
      for (let i = 0; i < place; i++) before += i32[counts + i]!;
      node = this.child(node, place);
    }
    return before + this.#search(node, 0, order, orEqual);
  }

  /** How many entries or separators of a node lie before the bound, or at it with `orEqual`. */
  #search(node: Ref, level: number, order: Order, orEqual: boolean): number {
    const segment = node >>> SEGMENT_SHIFT;
    const f64 = this.arena.f64[segment]!;
    const i32 = this.arena.i32[segment]!;
    const word = wordPosition(node);
    const scores = (word + SCORES_WORD) >>> 1;
    const members = word + (level === 0 ? LEAF_MEMBERS_WORD : INNER_MEMBERS_WORD);
    const bound = this.#score;
    let from = 0;
    let until = i32[word]!;
    while (from < until) {
      const middle = (from + until) >>> 1;
      const score = f64[scores + middle]!;
      let before = score < bound;
      if (order === Order.MEMBER || (score === bound && order === Order.BOTH)) {
        const difference = this.#compareMember(asRef(i32[members + middle]!));
        before = difference < 0 || (orEqual && difference === 0);
      } else if (score === bound) before = orEqual;
      if (before) from = middle + 1;
      else until = middle;
    }
    return from;
  }

  /**
   * Allocates the nodes that an insertion along the present way needs; nothing is changed before.
   */
  #reserveNodes(height: number): void {
    let needed = 0;
    while (needed <= height && this.word(asRef(this.#nodes[needed]!), 0) === placesAt(needed))
      needed++;
    // The root is split, and a new one put over its halves.
    if (needed > height) needed++;
    try {
      while (this.#spares < needed) this.#spare[this.#spares++] = this.arena.alloc(NODE_BYTES);
    } catch (error) {
      // The place that alloc failed to fill was counted already.
      this.#spares--;
      while (this.#spares > 0) this.arena.free(asRef(this.#spare[--this.#spares]!));
      throw error;
    }
  }

  #takeSpare(): Ref {
    assert(this.#spares > 0, 'nodes for a split are allocated before');
    const node = asRef(this.#spare[--this.#spares]!);
    this.clearNode(node);
    return node;
  }

  #addToCounts(height: number, change: number): void {
    for (let level = 1; level <= height; level++) {
      const node = asRef(this.#nodes[level]!);
      const word = COUNTS_WORD + this.#places[level]!;
      this.setWord(node, word, this.word(node, word) + change);
    }
  }

  /** Notes in the nodes above that the node of `level` begins with this entry now. */
  #renewFirst(level: number, height: number, score: number, member: Ref): void {
    for (let above = level + 1; above <= height; above++) {
      const node = asRef(this.#nodes[above]!);
      const place = this.#places[above]!;
      this.arena.touch(node, 0, NODE_BYTES);
      this.setScore(node, place, score);
      this.store(node, INNER_MEMBERS_WORD + place, member);
      if (place > 0) return;
    }
  }

  #splitLeaf(index: Ref, leaf: Ref, place: number, score: number, member: Ref): void {
    let kept = LEAF_ENTRIES >>> 1;
    if (place === LEAF_ENTRIES && this.word(leaf, NodeWord.NEXT) === NIL) kept = LEAF_ENTRIES;
    else if (place === 0 && this.word(leaf, NodeWord.PREVIOUS) === NIL) kept = 0;
    const right = this.#splitNode(leaf, 0, kept);
    if (place > kept || kept === LEAF_ENTRIES) this.putEntry(right, place - kept, score, member);
    else this.putEntry(leaf, place, score, member);
    this.#addAbove(index, 0, leaf, right);
  }

  /**
   * Moves what is behind the first `kept` places of a node into a new one beside it, which is
   * returned.
   */
  #splitNode(node: Ref, level: number, kept: number): Ref {
    const right = this.#takeSpare();
    this.arena.touch(node, 0, NODE_BYTES);
    const next = asRef(this.word(node, NodeWord.NEXT));
    this.store(right, NodeWord.PREVIOUS, node);
    this.store(right, NodeWord.NEXT, next);
    this.store(node, NodeWord.NEXT, right);
    if (next !== NIL) this.setWord(next, NodeWord.PREVIOUS, right);
    this.transfer(node, kept, right, 0, this.word(node, NodeWord.COUNT) - kept, level);
    return right;
  }

  /**
   * Hangs `right`, split off from `left` at `level`, into the node above, or puts a new root over
   * both.
   */
  #addAbove(index: Ref, level: number, left: Ref, right: Ref): void {
    const height = this.word(index, IndexWord.HEIGHT);
    const score = this.scoreAt(right, 0);
    const member = this.memberAt(right, 0, level);
    const below = this.countBelow(right, level);
    if (level === height) {
      const root = this.#takeSpare();
      const first = this.memberAt(left, 0, level);
      this.putChild(root, 0, this.scoreAt(left, 0), first, left, this.countBelow(left, level));
      this.putChild(root, 1, score, member, right, below);
      this.arena.touch(index, 0, INDEX_BYTES);
      this.store(index, IndexWord.ROOT, root);
      this.store(index, IndexWord.HEIGHT, height + 1);
      return;
    }
    const parent = asRef(this.#nodes[level + 1]!);
    const counted = COUNTS_WORD + this.#places[level + 1]!;
    this.setWord(parent, counted, this.word(parent, counted) - below);
    const place = this.#places[level + 1]! + 1;
    if (this.word(parent, NodeWord.COUNT) < INNER_CHILDREN) {
      this.putChild(parent, place, score, member, right, below);
      return;
    }
    let kept = INNER_CHILDREN >>> 1;
    if (place === INNER_CHILDREN && this.word(parent, NodeWord.NEXT) === NIL) kept = INNER_CHILDREN;
    else if (place === 1 && this.word(parent, NodeWord.PREVIOUS) === NIL) kept = 1;
    const beside = this.#splitNode(parent, level + 1, kept);
    if (place > kept || kept === INNER_CHILDREN)
      this.putChild(beside, place - kept, score, member, right, below);
    else this.putChild(parent, place, score, member, right, below);
    this.#addAbove(index, level + 1, parent, beside);
  }

  /** Takes `run` entries out of the leaf at the end of the present way. */
  #removeRun(index: Ref, run: number): void {
    const height = this.word(index, IndexWord.HEIGHT);
    const leaf = asRef(this.#nodes[0]!);
    const place = this.#places[0]!;
    const left = this.word(leaf, NodeWord.COUNT) - run;
    this.setWord(index, IndexWord.COUNT, this.word(index, IndexWord.COUNT) - run);
    this.#addToCounts(height, -run);
    this.arena.touch(leaf, 0, NODE_BYTES);
    this.moveScores(leaf, place + run, leaf, place, left - place);
    this.moveWords(
      leaf,
      LEAF_MEMBERS_WORD + place + run,
      leaf,
      LEAF_MEMBERS_WORD + place,
      left - place,
    );
    this.store(leaf, NodeWord.COUNT, left);
    this.#repair(index, 0, height, place === 0);
    this.#lowerRoot(index);
  }

  /** Makes the node of `level` on the present way fit again after something was taken out of it. */
  #repair(index: Ref, level: number, height: number, firstGone: boolean): void {
    if (level === height) return;
    const node = asRef(this.#nodes[level]!);
    const count = this.word(node, NodeWord.COUNT);
    const parent = asRef(this.#nodes[level + 1]!);
    const place = this.#places[level + 1]!;
    if (count === 0) {
      this.unlink(node);
      this.dropChild(parent, place);
      this.#repair(index, level + 1, height, place === 0);
      return;
    }
    if (firstGone)
      this.#renewFirst(level, height, this.scoreAt(node, 0), this.memberAt(node, 0, level));
    const children = this.word(parent, NodeWord.COUNT);
    if (count * SPARSE_PART >= placesAt(level) || children === 1) return;
    const at = place + 1 < children ? place : place - 1;
    if (this.#merge(parent, at, level)) this.#repair(index, level + 1, height, false);
  }

  /**
   * Joins the children `at` and `at` + 1 and returns true, or lets them share when they are too
   * many for one.
   */
  #merge(parent: Ref, at: number, level: number): boolean {
    const left = this.child(parent, at);
    const right = this.child(parent, at + 1);
    const leftCount = this.word(left, NodeWord.COUNT);
    const rightCount = this.word(right, NodeWord.COUNT);
    const both = leftCount + rightCount;
    this.arena.touch(left, 0, NODE_BYTES);
    this.arena.touch(right, 0, NODE_BYTES);
    this.arena.touch(parent, 0, NODE_BYTES);
    const joined = both * SPARSE_PART <= placesAt(level) * (SPARSE_PART - 1);
    const kept = joined ? both : both >>> 1;
    if (leftCount > kept) {
      this.shiftUp(right, leftCount - kept, level);
      this.transfer(left, kept, right, 0, leftCount - kept, level);
    } else {
      const moved = kept - leftCount;
      this.transfer(right, 0, left, leftCount, moved, level);
      this.shiftDown(right, moved, rightCount, level);
    }
    this.store(parent, COUNTS_WORD + at, this.countBelow(left, level));
    if (joined) {
      this.unlink(right);
      this.dropChild(parent, at + 1);
      return true;
    }
    this.store(parent, COUNTS_WORD + at + 1, this.countBelow(right, level));
    this.setScore(parent, at + 1, this.scoreAt(right, 0));
    this.store(parent, INNER_MEMBERS_WORD + at + 1, this.memberAt(right, 0, level));
    return false;
  }

  #lowerRoot(index: Ref): void {
    let root = asRef(this.word(index, IndexWord.ROOT));
    let height = this.word(index, IndexWord.HEIGHT);
    while (height > 0 && this.word(root, NodeWord.COUNT) === 1) {
      const child = this.child(root, 0);
      this.arena.free(root);
      root = child;
      height--;
    }
    this.arena.touch(index, 0, INDEX_BYTES);
    this.store(index, IndexWord.ROOT, root);
    this.store(index, IndexWord.HEIGHT, height);
  }

  #load(cursor: IndexCursor, leaf: Ref, place: number): void {
    cursor.leaf = leaf;
    cursor.place = place;
    cursor.score = this.scoreAt(leaf, place);
    cursor.member = asRef(this.word(leaf, LEAF_MEMBERS_WORD + place));
  }
}
