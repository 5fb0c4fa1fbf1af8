/**
 * Hot path. Long lists: a chain of listpacks of some kilobytes each, with elements too long for
 * that in plain nodes between them. quicklist-nodes.ts draws list and nodes, list-cursor.ts reads.
 *
 * How long a node may be, list-max-listpack-size tells ({@link Quicklist.configure}): -1 … -5 are
 * 4, 8, 16, 32, 64 KiB, a positive number is a count of elements, within 8 KiB. Nodes that were
 * loaded may be longer; nothing is pushed to them. Nodes are never compressed in memory.
 *
 * Places are {@link ListCursor}s. Stale after a change: all of them, and views of elements. What is
 * inserted must not lie in the list itself.
 */
import type { Arena } from '../arena/arena.ts';
import { SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';
import { assert } from '../base/assert.ts';
import { equalBytes } from '../base/byte-copy.ts';
import { NIL, type Ref } from '../base/units.ts';
import type { ListCursor } from './list-cursor.ts';
import type { Listpack } from './listpack.ts';
import { validateListpack } from './listpack-check.ts';
import { ListpackFilter } from './listpack-filter.ts';
import {
  behindEntry,
  COUNT_UNKNOWN,
  END,
  headerCount,
  LISTPACK_EMPTY_BYTES,
  LISTPACK_HEADER_BYTES,
  listpackBytes,
  TERMINATOR,
} from './listpack-read.ts';
import { LIST_BYTES, ListWord, NodeWord, PACKED, QuicklistNodes } from './quicklist-nodes.ts';

/** Bytes of a node by -1 - list-max-listpack-size. */
const NODE_BYTES_MAX = [4096, 8192, 16384, 32768, 65536] as const;
/** Of nodes that are limited by a count. */
const COUNTED_NODE_BYTES_MAX = 8192;
const NODE_COUNT_MAX = 32767;
const NO_COUNT_LIMIT = 0x7fffffff;
/** The value of list-max-listpack-size before it is told. */
const SIZE_DEFAULT = -2;
/** Up to so many nodes are freed at once when a range is taken out. */
const NODES_FREED_AT_ONCE = 8;

export class Quicklist {
  readonly #arena: Arena;
  readonly #nodes: QuicklistNodes;
  readonly #listpacks: Listpack;
  readonly #filter: ListpackFilter;
  #size = SIZE_DEFAULT;
  #bytesMax: number = COUNTED_NODE_BYTES_MAX;
  #countMax = NO_COUNT_LIMIT;
  /** Elements of so many bytes or more get nodes of their own: DEBUG QUICKLIST-PACKED-THRESHOLD. */
  plainBytesMin: number = Number.POSITIVE_INFINITY;

  constructor(arena: Arena, listpacks: Listpack) {
    this.#arena = arena;
    this.#nodes = new QuicklistNodes(arena);
    this.#listpacks = listpacks;
    this.#filter = new ListpackFilter(this.#nodes.mover, arena);
  }

  /** Takes the value of list-max-listpack-size. */
  configure(size: number): void {
    if (size === this.#size) return;
    this.#size = size;
    if (size < 0) {
      this.#bytesMax = NODE_BYTES_MAX[Math.min(-size, NODE_BYTES_MAX.length) - 1]!;
      this.#countMax = NO_COUNT_LIMIT;
    } else {
      this.#bytesMax = COUNTED_NODE_BYTES_MAX;
      this.#countMax = Math.min(Math.max(size, 1), NODE_COUNT_MAX);
    }
  }

  /** Whether one listpack of so many bytes and elements would be too long. */
  exceedsNode(bytes: number, count: number): boolean {
    return bytes > this.#bytesMax || count > this.#countMax;
  }

  create(): Ref {
    const list = this.#arena.alloc(LIST_BYTES);
    const i32 = this.#arena.i32[list >>> SEGMENT_SHIFT]!;
    i32.fill(0, wordPosition(list), wordPosition(list) + LIST_BYTES / 4);
    return list;
  }

  /**
   * A list of the elements of a listpack, which becomes a node of it. Throws ARENA_FULL, having
   * changed nothing.
   */
  fromListpack(listpack: Ref): Ref {
    const list = this.create();
    const count = this.#listpacks.count(listpack);
    try {
      if (count > 0) this.#append(list, this.#nodes.make(listpack, 0, count, PACKED));
    } catch (error) {
      this.#arena.free(list);
      throw error;
    }
    if (count === 0) this.#arena.free(listpack);
    return list;
  }

  /**
   * The only node of a list as a listpack, which replaces the list; NIL, and nothing is changed,
   * unless there is one node within the limits: of half the length when the list has shrunk, so
   * that it does not change to and fro.
   */
  toListpack(list: Ref, shrunk: boolean): Ref {
    const nodes = this.#nodes;
    if (nodes.word(list, ListWord.NODES) !== 1) return NIL;
    const node = nodes.ref(list, ListWord.HEAD);
    if (!nodes.isPacked(node)) return NIL;
    // A count alone limits nodes that have such a limit.
    const bytesMax = this.#size < 0 ? this.#bytesMax : Number.POSITIVE_INFINITY;
    const part = shrunk ? 2 : 1;
    if (nodes.bytes(node) > Math.floor(bytesMax / part)) return NIL;
    if (nodes.word(node, NodeWord.COUNT) > Math.floor(this.#countMax / part)) return NIL;
    const listpack = nodes.settle(node);
    this.#arena.free(node);
    this.#arena.free(list);
    return this.#listpacks.shrinkToFit(listpack);
  }

  count(list: Ref): number {
    return this.#nodes.word(list, ListWord.COUNT);
  }

  nodeCount(list: Ref): number {
    return this.#nodes.word(list, ListWord.NODES);
  }

  /** Returns how many elements there are then; so does {@link pushTail}. */
  pushHead(list: Ref, bytes: Uint8Array, start: number, length: number): number {
    return this.#push(list, true, bytes, start, length);
  }

  pushTail(list: Ref, bytes: Uint8Array, start: number, length: number): number {
    return this.#push(list, false, bytes, start, length);
  }

  /** Takes the first element of a list that is not empty. */
  dropHead(list: Ref): void {
    const nodes = this.#nodes;
    const node = nodes.ref(list, ListWord.HEAD);
    if (nodes.word(node, NodeWord.COUNT) === 1) nodes.remove(list, node);
    else nodes.dropFirst(list, node, 1);
  }

  dropTail(list: Ref): void {
    const nodes = this.#nodes;
    const node = nodes.ref(list, ListWord.TAIL);
    if (nodes.word(node, NodeWord.COUNT) === 1) nodes.remove(list, node);
    else nodes.dropLast(list, node, 1);
  }

  /**
   * Adds a new listpack of `count` elements, at least one, as the last node. When there is no
   * memory for the node, frees the listpack.
   */
  appendListpack(list: Ref, listpack: Ref, count: number): void {
    this.#append(list, this.#nodes.makeOfNew(listpack, 0, count, PACKED));
  }

  /** Adds an element as the last node, whatever its length. */
  appendPlain(list: Ref, bytes: Uint8Array, start: number, length: number): void {
    this.#append(list, this.#nodes.makePlain(bytes, start, length));
  }

  /** Inserts an element before or behind the one at `cursor`. */
  insert(
    list: Ref,
    cursor: ListCursor,
    behind: boolean,
    bytes: Uint8Array,
    start: number,
    length: number,
  ): void {
    const nodes = this.#nodes;
    const { node } = cursor;
    nodes.element.take(bytes, start, length);
    const packed = nodes.isPacked(node);
    // Position in the listpack; END behind its last entry.
    let at = packed ? cursor.inListpack : END;
    if (packed && behind) {
      const next = behindEntry(cursor.u8, cursor.at);
      at = cursor.u8[next] === TERMINATOR ? END : at + next - cursor.at;
    }
    if (packed && length < this.plainBytesMin && this.#fits(node, nodes.element.entryBytes)) {
      const block = this.#listpacks.insert(nodes.settle(node), at, bytes, start, length);
      nodes.changed(list, node, block, 1);
      nodes.element.drop();
      return;
    }
    const second = this.#insertBeside(list, node, at, behind, bytes, start, length);
    nodes.element.drop();
    if (second === NIL) return;
    this.#merge(list, second, nodes.ref(second, NodeWord.NEXT));
    this.#merge(list, nodes.ref(node, NodeWord.PREVIOUS), node);
  }

  /** Puts another element in the place of the one at `cursor`. */
  replace(list: Ref, cursor: ListCursor, bytes: Uint8Array, start: number, length: number): void {
    const nodes = this.#nodes;
    const { node } = cursor;
    nodes.element.take(bytes, start, length);
    const at = cursor.inListpack;
    if (nodes.isPacked(node)) {
      const old = behindEntry(cursor.u8, cursor.at) - cursor.at;
      const fits = nodes.bytes(node) - old + nodes.element.entryBytes <= this.#bytesMax;
      if (fits && length < this.plainBytesMin) {
        const block = this.#listpacks.replace(nodes.settle(node), at, bytes, start, length);
        nodes.changed(list, node, block, 0);
        nodes.element.drop();
        return;
      }
    }
    const behind = nodes.isPacked(node) ? behindEntry(cursor.u8, cursor.at) : cursor.at;
    const isLast = !nodes.isPacked(node) || cursor.u8[behind] === TERMINATOR;
    this.#insertBeside(
      list,
      node,
      isLast ? END : at + behind - cursor.at,
      true,
      bytes,
      start,
      length,
    );
    nodes.element.drop();
    // The old one is where it was in its node: what stood behind it may have gone to another.
    if (nodes.word(node, NodeWord.COUNT) === 1) nodes.remove(list, node);
    else nodes.changed(list, node, this.#listpacks.delete(nodes.settle(node), at), -1);
  }

  /**
   * Removes up to `max` elements equal to the bytes, the first or the last ones; returns how many
   * there were.
   */
  removeEqual(
    list: Ref,
    bytes: Uint8Array,
    start: number,
    length: number,
    max: number,
    fromTail: boolean,
  ): number {
    const nodes = this.#nodes;
    let removed = 0;
    let node = nodes.ref(list, fromTail ? ListWord.TAIL : ListWord.HEAD);
    while (node !== NIL && removed < max) {
      const next = nodes.ref(node, fromTail ? NodeWord.PREVIOUS : NodeWord.NEXT);
      removed += this.#removeIn(list, node, bytes, start, length, max - removed, fromTail);
      node = next;
    }
    return removed;
  }

  /** As {@link removeEqual} in a list that is one listpack. Returns its new place. */
  removeEqualInListpack(
    listpack: Ref,
    bytes: Uint8Array,
    start: number,
    length: number,
    max: number,
    fromTail: boolean,
  ): Ref {
    this.#filter.remove(listpack, 0, bytes, start, length, max, fromTail);
    return this.#filter.removed === 0 ? listpack : this.#listpacks.shrinkToFit(listpack);
  }

  /** What {@link removeEqualInListpack} has removed. */
  get removedInListpack(): number {
    return this.#filter.removed;
  }

  /**
   * Takes out `count` elements from `index` on; all of them exist. Where many nodes go, returns a
   * list of these, which the caller frees in slices, else NIL.
   */
  removeRange(list: Ref, index: number, count: number): Ref {
    const nodes = this.#nodes;
    let node = nodes.ref(list, ListWord.HEAD);
    let skip = index;
    // From the nearer end.
    if (index + count === this.count(list) && index > count) {
      node = nodes.ref(list, ListWord.TAIL);
      skip = index - this.count(list) + nodes.word(node, NodeWord.COUNT);
      for (; skip < 0; skip += nodes.word(node, NodeWord.COUNT))
        node = nodes.ref(node, NodeWord.PREVIOUS);
    } else {
      for (let inNode = nodes.word(node, NodeWord.COUNT); skip >= inNode; ) {
        skip -= inNode;
        node = nodes.ref(node, NodeWord.NEXT);
        inNode = nodes.word(node, NodeWord.COUNT);
      }
    }
    let left = count;
    if (skip > 0) {
      const next = nodes.ref(node, NodeWord.NEXT);
      left -= this.#removeWithin(list, node, skip, left);
      node = next;
    }
    return left > 0 ? this.#takeNodes(list, node, left) : NIL;
  }

  /** A list of its own with the same elements. */
  copy(list: Ref): Ref {
    const nodes = this.#nodes;
    const to = this.create();
    try {
      for (
        let node = nodes.ref(list, ListWord.HEAD);
        node !== NIL;
        node = nodes.ref(node, NodeWord.NEXT)
      ) {
        const u8 = nodes.u8(node);
        const base = nodes.base(node);
        const bytes = nodes.bytes(node);
        if (nodes.isPacked(node)) {
          const block = this.#listpacks.fromBytes(u8, base, bytes);
          this.appendListpack(to, block, nodes.word(node, NodeWord.COUNT));
        } else {
          this.appendPlain(to, u8, base, bytes);
        }
      }
    } catch (error) {
      // No memory for the whole of it.
      this.freeSome(to, Number.POSITIVE_INFINITY);
      throw error;
    }
    return to;
  }

  /**
   * Frees up to `steps` nodes of a list that nobody reads any more; returns whether that was all of
   * it.
   */
  freeSome(list: Ref, steps: number): boolean {
    const nodes = this.#nodes;
    let node = nodes.ref(list, ListWord.HEAD);
    for (let left = steps; node !== NIL && left > 0; left--) {
      const next = nodes.ref(node, NodeWord.NEXT);
      nodes.free(node);
      node = next;
    }
    if (node === NIL) {
      this.#arena.free(list);
      return true;
    }
    nodes.set(list, ListWord.HEAD, node);
    return false;
  }

  /**
   * Bytes of a list, as allocated; what its nodes take is the mean of the first `samples` of them.
   */
  bytes(list: Ref, samples: number): number {
    const nodes = this.#nodes;
    const arena = this.#arena;
    let bytes = 0;
    let seen = 0;
    let node = nodes.ref(list, ListWord.HEAD);
    for (; node !== NIL && seen < samples; node = nodes.ref(node, NodeWord.NEXT)) {
      bytes += arena.blockBytes(node) + arena.blockBytes(nodes.ref(node, NodeWord.BLOCK));
      seen++;
    }
    const mean = seen === 0 ? 0 : bytes / seen;
    return arena.blockBytes(list) + Math.round(mean * this.nodeCount(list));
  }

  /** Lets go of views into segments, which may be gone. */
  forgetViews(): void {
    this.#nodes.element.forget();
  }

  /**
   * Tells of each node where its bytes are, how many these are, and of how many elements; for
   * DEBUG.
   */
  eachNode(
    list: Ref,
    tell: (u8: Uint8Array, base: number, bytes: number, count: number, isPacked: boolean) => void,
  ): void {
    const nodes = this.#nodes;
    for (
      let node = nodes.ref(list, ListWord.HEAD);
      node !== NIL;
      node = nodes.ref(node, NodeWord.NEXT)
    ) {
      const count = nodes.word(node, NodeWord.COUNT);
      tell(nodes.u8(node), nodes.base(node), nodes.bytes(node), count, nodes.isPacked(node));
    }
  }

  /** Checks chain, counts and every listpack; for tests. */
  validate(list: Ref): void {
    const nodes = this.#nodes;
    let count = 0;
    let nodeCount = 0;
    let previous: Ref = NIL;
    for (
      let node = nodes.ref(list, ListWord.HEAD);
      node !== NIL;
      node = nodes.ref(node, NodeWord.NEXT)
    ) {
      assert(nodes.ref(node, NodeWord.PREVIOUS) === previous, 'a node knows the one before it');
      const inNode = nodes.word(node, NodeWord.COUNT);
      assert(inNode > 0, 'a node is not empty');
      const end = nodes.word(node, NodeWord.START) + nodes.bytes(node);
      const room = nodes.word(node, NodeWord.ROOM);
      assert(end <= room, 'a node lies within its block');
      assert(
        room === this.#arena.blockBytes(nodes.ref(node, NodeWord.BLOCK)),
        'a node knows its room',
      );
      if (nodes.isPacked(node)) this.#validatePacked(node, inNode);
      else
        assert(
          inNode === 1 && nodes.word(node, NodeWord.START) === 0,
          'a plain node has one element',
        );
      count += inNode;
      nodeCount++;
      previous = node;
    }
    assert(nodes.ref(list, ListWord.TAIL) === previous, 'a list knows its last node');
    assert(this.count(list) === count, 'a list counts its elements');
    assert(this.nodeCount(list) === nodeCount, 'a list counts its nodes');
  }

  #validatePacked(node: Ref, count: number): void {
    const nodes = this.#nodes;
    const u8 = nodes.u8(node);
    const base = nodes.base(node);
    assert(validateListpack(u8, base, listpackBytes(u8, base), true), 'a listpack is well formed');
    const noted = headerCount(u8, base);
    assert(noted === count || noted === COUNT_UNKNOWN, 'node and listpack count the same');
  }

  #push(list: Ref, atHead: boolean, bytes: Uint8Array, start: number, length: number): number {
    const nodes = this.#nodes;
    nodes.element.take(bytes, start, length);
    const end = nodes.ref(list, atHead ? ListWord.HEAD : ListWord.TAIL);
    let count = end === NIL || length >= this.plainBytesMin ? 0 : this.#pushTo(list, end, atHead);
    if (count === 0) {
      const node = this.#newNode(atHead, bytes, start, length);
      if (end !== NIL) nodes.trim(end);
      nodes.link(list, node, atHead ? NIL : end);
      count = this.count(list);
    }
    nodes.element.drop();
    return count;
  }

  /**
   * Pushes the element that was taken into a node if it may have one more; see
   * {@link QuicklistNodes.push}.
   */
  #pushTo(list: Ref, node: Ref, atHead: boolean): number {
    return this.#nodes.push(list, node, atHead, this.#bytesMax, this.#countMax);
  }

  #fits(node: Ref, entryBytes: number): boolean {
    const nodes = this.#nodes;
    return !this.exceedsNode(nodes.bytes(node) + entryBytes, nodes.word(node, NodeWord.COUNT) + 1);
  }

  /** A node of the element that was taken: a plain one when it is too long for a listpack. */
  #newNode(atHead: boolean, bytes: Uint8Array, start: number, length: number): Ref {
    const nodes = this.#nodes;
    const tooLong =
      LISTPACK_EMPTY_BYTES + nodes.element.entryBytes > this.#bytesMax ||
      length >= this.plainBytesMin;
    return tooLong
      ? nodes.makePlain(bytes, start, length)
      : nodes.makePacked(atHead, this.#bytesMax);
  }

  #append(list: Ref, node: Ref): void {
    this.#nodes.link(list, node, this.#nodes.ref(list, ListWord.TAIL));
  }

  /**
   * Adds the element that was taken between two nodes, of which one may be NIL: to one of them if
   * it has room.
   */
  #pushBetween(
    list: Ref,
    before: Ref,
    behind: Ref,
    bytes: Uint8Array,
    start: number,
    length: number,
  ): void {
    const isPlain = length >= this.plainBytesMin;
    if (!isPlain && before !== NIL && this.#pushTo(list, before, false) > 0) return;
    if (!isPlain && behind !== NIL && this.#pushTo(list, behind, true) > 0) return;
    this.#nodes.link(list, this.#newNode(false, bytes, start, length), before);
  }

  /**
   * Adds the element that was taken before the entry at `at` of a node that has no room, or behind
   * its last one or before the first. Returns the node of what was behind it, when that had to be
   * split off.
   */
  #insertBeside(
    list: Ref,
    node: Ref,
    at: number,
    behind: boolean,
    bytes: Uint8Array,
    start: number,
    length: number,
  ): Ref {
    const nodes = this.#nodes;
    if (behind && at === END) {
      this.#pushBetween(list, node, nodes.ref(node, NodeWord.NEXT), bytes, start, length);
      return NIL;
    }
    if (at === END || at === LISTPACK_HEADER_BYTES) {
      this.#pushBetween(list, nodes.ref(node, NodeWord.PREVIOUS), node, bytes, start, length);
      return NIL;
    }
    const second = this.#split(list, node, at);
    this.#pushBetween(list, node, second, bytes, start, length);
    return second;
  }

  /** Moves the entries from `at` on to a node of their own, behind `node`, and returns that. */
  #split(list: Ref, node: Ref, at: number): Ref {
    const nodes = this.#nodes;
    const listpacks = this.#listpacks;
    const block = nodes.settle(node);
    const second = listpacks.copyFrom(block, at);
    const count = listpacks.count(second);
    const made = nodes.makeOfNew(second, 0, count, PACKED);
    nodes.changed(list, node, listpacks.truncate(block, at), -count);
    nodes.link(list, made, node);
    return made;
  }

  /**
   * Joins two neighbours if both are listpacks, one node may hold what is in them, and there is
   * memory for that.
   */
  #merge(list: Ref, node: Ref, next: Ref): void {
    const nodes = this.#nodes;
    if (node === NIL || next === NIL || !nodes.isPacked(node) || !nodes.isPacked(next)) return;
    const count = nodes.word(next, NodeWord.COUNT);
    const bytes = nodes.bytes(node) + nodes.bytes(next) - LISTPACK_EMPTY_BYTES;
    if (this.exceedsNode(bytes, nodes.word(node, NodeWord.COUNT) + count)) return;
    const block = this.#listpacks.concat(nodes.settle(node), nodes.settle(next));
    if (block === NIL) return;
    nodes.unlink(list, next, next, count, 1);
    nodes.changed(list, node, block, count);
    this.#arena.free(next);
  }

  #removeIn(
    list: Ref,
    node: Ref,
    bytes: Uint8Array,
    start: number,
    length: number,
    max: number,
    fromTail: boolean,
  ): number {
    const nodes = this.#nodes;
    const filter = this.#filter;
    if (!nodes.isPacked(node)) {
      if (nodes.bytes(node) !== length) return 0;
      if (!equalBytes(nodes.u8(node), nodes.base(node), bytes, start, length)) return 0;
      nodes.remove(list, node);
      return 1;
    }
    const block = nodes.ref(node, NodeWord.BLOCK);
    filter.remove(block, nodes.word(node, NodeWord.START), bytes, start, length, max, fromTail);
    const { removed } = filter;
    if (removed === 0) return 0;
    nodes.changed(list, node, block, -removed);
    if (nodes.word(node, NodeWord.COUNT) === 0) nodes.remove(list, node);
    else nodes.trim(node);
    return removed;
  }

  /**
   * Takes up to `count` elements out of a node from that of index `skip`, which is not the first;
   * returns how many.
   */
  #removeWithin(list: Ref, node: Ref, skip: number, count: number): number {
    const nodes = this.#nodes;
    const inNode = nodes.word(node, NodeWord.COUNT);
    if (skip + count >= inNode) {
      nodes.dropLast(list, node, inNode - skip);
      return inNode - skip;
    }
    nodes.changed(list, node, this.#listpacks.deleteRange(nodes.settle(node), skip, count), -count);
    return count;
  }

  /** Takes `count` elements out from the first of `first` on; see {@link removeRange}. */
  #takeNodes(list: Ref, first: Ref, count: number): Ref {
    const nodes = this.#nodes;
    let left = count;
    let whole = 0;
    let last: Ref = NIL;
    let node = first;
    for (
      ;
      node !== NIL && left >= nodes.word(node, NodeWord.COUNT);
      node = nodes.ref(node, NodeWord.NEXT)
    ) {
      left -= nodes.word(node, NodeWord.COUNT);
      last = node;
      whole++;
    }
    if (left > 0) nodes.dropFirst(list, node, left);
    if (whole === 0) return NIL;
    nodes.unlink(list, first, last, count - left, whole);
    nodes.set(last, NodeWord.NEXT, NIL);
    let gone: Ref = NIL;
    // Removing needs no memory: without any for the list, all nodes are freed at once.
    if (whole > NODES_FREED_AT_ONCE) gone = this.#arena.tryAlloc(LIST_BYTES);
    let next = first;
    for (let freed = 0; next !== NIL && (gone === NIL || freed < NODES_FREED_AT_ONCE); freed++) {
      const behind = nodes.ref(next, NodeWord.NEXT);
      nodes.free(next);
      next = behind;
    }
    if (gone !== NIL) nodes.set(gone, ListWord.HEAD, next);
    return gone;
  }
}
