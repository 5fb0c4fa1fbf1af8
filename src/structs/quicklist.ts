/**
 * Hot path. Long lists: a chain of listpacks of some kilobytes each. Elements that are too long for
 * a listpack have plain nodes between them. quicklist-nodes.ts draws the list and its nodes;
 * list-cursor.ts reads them.
 *
 * list-max-listpack-size limits the length of a node ({@link Quicklist.configure}): -1 … -5 are 4,
 * 8, 16, 32, 64 KiB; a positive number is a count of elements, within 8 KiB. Loaded nodes may be
 * longer; nothing is pushed to those. Nodes are never compressed in memory.
 *
 * {@link ListCursor}s are places. Stale after a change: all cursors, and views of elements. Bytes
 * to be inserted must not lie in the list itself.
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

/** Bytes of a node, by -1 - list-max-listpack-size. */
const NODE_BYTES_MAX = [4096, 8192, 16384, 32768, 65536] as const;
/** Limit in bytes of nodes that are limited by a count. */
const COUNTED_NODE_BYTES_MAX = 8192;
const NODE_COUNT_MAX = 32767;
const NO_COUNT_LIMIT = 0x7fffffff;
/** The default of list-max-listpack-size. */
const SIZE_DEFAULT = -2;
/** When a range is removed, up to this many nodes are freed at once. */
const NODES_FREED_AT_ONCE = 8;

export class Quicklist {
  readonly #arena: Arena;
  readonly #nodes: QuicklistNodes;
  readonly #listpacks: Listpack;
  readonly #filter: ListpackFilter;
  #size = SIZE_DEFAULT;
  #bytesMax: number = COUNTED_NODE_BYTES_MAX;
  #countMax = NO_COUNT_LIMIT;
  /** Elements of this length in bytes or more get plain nodes: DEBUG QUICKLIST-PACKED-THRESHOLD. */
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

  /**
   * Returns whether one listpack of `bytes` bytes and `count` elements would be too long for a
   * node.
   */
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
   * Makes a list whose only node is `listpack`. Throws ARENA_FULL when there is no memory; then
   * nothing has changed.
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
   * Makes a list that has one node a listpack, which replaces the list. Returns NIL and changes
   * nothing unless there is one node within the limits. After a removal (`shrunk`) the limits are
   * halved, so that a list does not change its form back and forth.
   */
  toListpack(list: Ref, shrunk: boolean): Ref {
    const nodes = this.#nodes;
    if (nodes.word(list, ListWord.NODES) !== 1) return NIL;
    const node = nodes.ref(list, ListWord.HEAD);
    if (!nodes.isPacked(node)) return NIL;
    // When a count limits the nodes, only the count is checked.
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

  /**
   * Pushes an element and returns the new number of elements. {@link pushTail} does the same at the
   * other end.
   */
  pushHead(list: Ref, bytes: Uint8Array, start: number, length: number): number {
    return this.#push(list, true, bytes, start, length);
  }

  pushTail(list: Ref, bytes: Uint8Array, start: number, length: number): number {
    return this.#push(list, false, bytes, start, length);
  }

  /** Removes the first element of a list, which must not be empty. */
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

  /** Adds an element of any length as a plain node at the end. */
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
    // The position in the listpack, or END behind its last entry.
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

  /** Replaces the element at `cursor`. */
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
    // The old element is still in its place in its node. Only elements behind it may have moved to
    // another node.
    if (nodes.word(node, NodeWord.COUNT) === 1) nodes.remove(list, node);
    else nodes.changed(list, node, this.#listpacks.delete(nodes.settle(node), at), -1);
  }

  /**
   * Removes up to `max` elements that are equal to the bytes, from the head or from the tail.
   * Returns the number removed.
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

  /** As {@link removeEqual}, for a list that is one listpack. Returns its new place. */
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

  /** Returns the number of elements that {@link removeEqualInListpack} removed. */
  get removedInListpack(): number {
    return this.#filter.removed;
  }

  /**
   * Removes `count` elements from `index` on, all of which must exist. When many nodes are removed,
   * returns a list of them that the caller frees in slices, otherwise NIL.
   */
  removeRange(list: Ref, index: number, count: number): Ref {
    const nodes = this.#nodes;
    let node = nodes.ref(list, ListWord.HEAD);
    let skip = index;
    // Walks from the nearer end.
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

  /** Copies a list and returns the ref of the copy. */
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
      // There is no memory for the whole copy.
      this.freeSome(to, Number.POSITIVE_INFINITY);
      throw error;
    }
    return to;
  }

  /**
   * Frees up to `steps` nodes of a list that nobody reads any more. Returns true once all of it is
   * freed.
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
   * Returns the allocated bytes of a list. The size of a node is the mean of the first `samples`
   * nodes.
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

  /** Drops views into segments, which may be gone. */
  forgetViews(): void {
    this.#nodes.element.forget();
  }

  /**
   * Calls `tell` for each node with the place of its bytes, their length, and the number of
   * elements. For DEBUG.
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

  /** Checks the chain, the counts and every listpack. For tests. */
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

  /** Pushes the taken element into a node if it has room. See {@link QuicklistNodes.push}. */
  #pushTo(list: Ref, node: Ref, atHead: boolean): number {
    return this.#nodes.push(list, node, atHead, this.#bytesMax, this.#countMax);
  }

  #fits(node: Ref, entryBytes: number): boolean {
    const nodes = this.#nodes;
    return !this.exceedsNode(nodes.bytes(node) + entryBytes, nodes.word(node, NodeWord.COUNT) + 1);
  }

  /**
   * Makes a node with the taken element. The node is plain when the element is too long for a
   * listpack.
   */
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
   * Adds the taken element between two nodes, one of which may be NIL. It goes into one of them if
   * that has room, otherwise into a new node.
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
   * Adds the taken element before the entry at `at` of a node that has no room. For END it goes
   * behind the node, or before it when `behind` is false. When the place is in the middle, splits
   * the node and returns the new node with the entries behind the element; otherwise returns NIL.
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

  /** Moves the entries from `at` on to a new node behind `node`, and returns the new node. */
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
   * Joins two neighbours if both are listpacks, their elements fit into one node, and there is
   * memory.
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
   * Removes up to `count` elements from the one at index `skip` of a node, which is not the first.
   * Returns the number removed.
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

  /**
   * Removes `count` elements, beginning with the first of node `first`. See {@link removeRange}.
   */
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
    // A removal must not fail. When there is no memory for the list, all nodes are freed at once.
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
