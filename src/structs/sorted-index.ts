/**
 * Hot path. The members of a large sorted set in their order, with ranks. It is a B+tree in the
 * arena, whose nodes count the entries below them.
 *
 *   header                   in use                       while the tree is being freed
 *            word 0 ROOT     the top node                 the node to free next
 *            word 1 COUNT    entries                      the first node of the level below
 *            word 2 HEIGHT   levels above the leaves      -1 - the level of that node
 *            word 3 TABLE    belongs to the owner: sorted-table.ts keeps its hash table here
 *
 * sorted-index-nodes.ts draws the nodes.
 *
 * Entries are ordered by score and then by member, as memcmp orders bytes. A member is the ref of
 * an object that sorted-set-member.ts draws. The object is read only where scores are equal.
 *
 * A range of scores or of members is converted to a range of ranks: `countBefore…` returns the
 * number of entries before a bound, `seekRank` puts a cursor there, `removeSome` removes entries
 * from there.
 *
 * A full node is split in the middle. At the ends of the tree the new node begins with one entry
 * instead, so that ascending or descending insertions fill all nodes. A node less than a quarter
 * full is merged with a neighbour, or takes entries from it. An insertion allocates all nodes that
 * it needs before it changes anything; a removal never fails.
 *
 * Stale after an insertion or removal: all cursors. For the main thread, or the thread that fills
 * the arena.
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

/**
 * A node of n places with fewer than n / SPARSE_PART entries is merged with a neighbour, or takes
 * entries from it.
 */
const SPARSE_PART = 4;
/** 2^31 entries need fewer levels. */
const LEVELS_MAX = 16;

/** The parts that are compared: score and member, the score alone, or the member alone. */
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
  /** The bound of the current search. */
  #score = 0;
  #bytes: Uint8Array = NO_BYTES;
  #start = 0;
  #length = 0;
  /** The path of the last descent, by level: the nodes and the place in each. */
  readonly #nodes = new Int32Array(LEVELS_MAX);
  readonly #places = new Int32Array(LEVELS_MAX);
  /** Nodes that were allocated ahead of an insertion. */
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

  /** Returns the bytes of the index without its members. Walks over the inner nodes. */
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

  /** Returns the word that belongs to the owner of the index. */
  table(index: Ref): Ref {
    return asRef(this.word(index, IndexWord.TABLE));
  }

  setTable(index: Ref, table: Ref): void {
    this.setWord(index, IndexWord.TABLE, table);
  }

  /** Adds an absent entry. Throws ARENA_FULL when there is no memory; then nothing has changed. */
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

  /** Removes an entry, which must be there. */
  remove(index: Ref, score: number, member: Ref): void {
    this.#descendTo(index, score, member);
    const leaf = asRef(this.#nodes[0]!);
    const place = this.#places[0]!;
    const found =
      place < this.word(leaf, NodeWord.COUNT) && this.memberAt(leaf, place, 0) === member;
    assert(found, 'an entry that is removed is in its index');
    this.#removeRun(index, 1);
  }

  /** Gives an entry, which must be there, another score. Throws as {@link insert}. */
  move(index: Ref, score: number, member: Ref, newScore: number): void {
    const height = this.#descendTo(index, score, member);
    const leaf = asRef(this.#nodes[0]!);
    const place = this.#places[0]!;
    // When the entry keeps its place between its neighbours in the leaf, only the score is written.
    // This includes 0 and -0, which are equal.
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

  /** Returns the number of entries before this score and member. */
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

  /**
   * Returns the number of entries with a score below `score`; with `orEqual`, also those equal to
   * it.
   */
  countBeforeScore(index: Ref, score: number, orEqual: boolean): number {
    this.#score = score;
    return this.#countBefore(index, Order.SCORE, orEqual);
  }

  /**
   * Returns the number of members before these bytes; with `orEqual`, also a member equal to them.
   * All scores in the set must be equal.
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
   * Puts the cursor at the entry of a rank, counted from 0. Returns false and leaves the cursor
   * when there is none.
   */
  seekRank(index: Ref, rank: number, cursor: IndexCursor): boolean {
    if (rank < 0 || rank >= this.word(index, IndexWord.COUNT)) return false;
    this.#descendToRank(index, rank);
    this.#load(cursor, asRef(this.#nodes[0]!), this.#places[0]!);
    return true;
  }

  /** Moves the cursor to the next entry. At the end returns false and leaves the cursor. */
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

  /** Moves the cursor to the previous entry. At the start returns false and leaves the cursor. */
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
   * Removes up to `count` entries from a rank on, but only those in the same leaf. Writes their
   * members to `removed`, which has LEAF_ENTRIES places. Returns the number removed, at least one.
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
   * Frees up to `budget` nodes of an index that nobody reads any more. Returns true once all of it
   * is freed, the header included. The owner frees the members.
   */
  freeSome(index: Ref, budget: number): boolean {
    const arena = this.arena;
    let node = asRef(this.word(index, IndexWord.ROOT));
    let level = this.word(index, IndexWord.HEIGHT);
    let below = asRef(this.word(index, IndexWord.COUNT));
    if (level >= 0) below = level > 0 ? this.child(node, 0) : NIL;
    else level = -1 - level;
    // Frees level by level, along the links between the nodes of each level.
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

  /** Drops views into segments, which may be gone. */
  forgetViews(): void {
    this.#bytes = NO_BYTES;
  }

  /**
   * Call this after a rollback of the arena. Drops the nodes that a failed insertion may have left.
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

  /** Goes down to the place of this entry, or to the place where it belongs. Returns the height. */
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

  /**
   * Returns the number of entries or separators of a node before the bound; with `orEqual`, also
   * those equal to it.
   */
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
   * Allocates the nodes that an insertion along the current path needs, before anything changes.
   */
  #reserveNodes(height: number): void {
    let needed = 0;
    while (needed <= height && this.word(asRef(this.#nodes[needed]!), 0) === placesAt(needed))
      needed++;
    // The root is split, too, and its halves get a new root.
    if (needed > height) needed++;
    try {
      while (this.#spares < needed) this.#spare[this.#spares++] = this.arena.alloc(NODE_BYTES);
    } catch (error) {
      // The failed allocation was counted already.
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

  /** Notes in the nodes above that the node of `level` now begins with this entry. */
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
   * Moves the places behind the first `kept` ones of a node to a new node beside it. Returns the
   * new node.
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
   * Adds `right`, which was split off from `left` at `level`, to the node above. When there is
   * none, puts a new root over both.
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

  /** Removes `run` entries from the leaf at the end of the current path. */
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

  /** Repairs the nodes from `level` of the current path upwards, after a removal from that node. */
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
   * Joins the children `at` and `at` + 1 and returns true. When they have too many entries for one
   * node, divides the entries between them and returns false.
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
