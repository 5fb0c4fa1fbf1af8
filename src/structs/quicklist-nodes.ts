/**
 * Hot path. The nodes of long lists, and the chain of nodes.
 *
 *   list     word 0 HEAD       word 1 TAIL      nodes; NIL while the list is empty
 *            word 2 COUNT      elements
 *            word 3 NODES
 *
 *   node     word 0 PREVIOUS   word 1 NEXT
 *            word 2 BLOCK      where its bytes are
 *            word 3 START      packed: position of the listpack in the block
 *            word 4 COUNT      elements, at least 1
 *            word 5 PLAIN      bytes of the one element of a plain node, from 0 on; -1: packed
 *            word 6 ROOM       bytes of the block, so that pushing need not ask the allocator
 *
 *   block    ░░░░░░░░░[ header │ entry │ entry │ … │ terminator ]░░░░░░░░
 *                     START          there is room on both sides
 *
 * The listpack moves within its block. A push at the head writes the entry over the old header, and
 * a new header before it. A pop at the head moves the header up. So pushing and popping cost the
 * same at both ends, whatever the length of the node. The bytes are an ordinary listpack, and dumps
 * contain them unchanged.
 *
 * A change in the middle of a listpack needs it at the start of its block.
 * {@link QuicklistNodes.settle} moves it there.
 */
import type { Arena } from '../arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';
import { asRef, NIL, type Ref } from '../base/units.ts';
import { ByteMover } from './byte-mover.ts';
import { EncodedElement } from './encoded-element.ts';
import { writeHeader } from './listpack-encode.ts';
import {
  beforeEntry,
  behindEntry,
  LISTPACK_EMPTY_BYTES,
  LISTPACK_HEADER_BYTES,
  listpackBytes,
  TERMINATOR,
} from './listpack-read.ts';

export const ListWord = { HEAD: 0, TAIL: 1, COUNT: 2, NODES: 3 } as const;
export const LIST_BYTES = 16;
export const NodeWord = {
  PREVIOUS: 0,
  NEXT: 1,
  BLOCK: 2,
  START: 3,
  COUNT: 4,
  PLAIN: 5,
  ROOM: 6,
} as const;
export const NODE_BYTES = 28;
export const PACKED = -1;

/** Bytes of a node's first block. A full block is replaced by one of twice the size. */
const FIRST_BLOCK_BYTES = 512;
/**
 * A listpack moves in its block to make room while at least 1/8 of the block is free. So each
 * pushed byte moves at most about 8 other bytes.
 */
const SLACK_SHIFT = 3;
/**
 * When nothing will be pushed to a node any more, its block may have this much unused room, in
 * bytes.
 */
const KEPT_SLACK_BYTES = 64;

export class QuicklistNodes {
  readonly arena: Arena;
  readonly mover: ByteMover;
  /** The element to push. The caller sets it before {@link push}. */
  readonly element: EncodedElement;

  constructor(arena: Arena) {
    this.arena = arena;
    this.mover = new ByteMover(arena);
    this.element = new EncodedElement(this.mover);
  }

  /** A word of a list or a node. */
  word(ref: Ref, word: number): number {
    return this.arena.i32[ref >>> SEGMENT_SHIFT]![wordPosition(ref) + word]!;
  }

  set(ref: Ref, word: number, value: number): void {
    this.arena.touch(ref, word << 2, 4);
    this.arena.i32[ref >>> SEGMENT_SHIFT]![wordPosition(ref) + word] = value;
  }

  ref(ref: Ref, word: number): Ref {
    return asRef(this.word(ref, word));
  }

  isPacked(node: Ref): boolean {
    return this.word(node, NodeWord.PLAIN) === PACKED;
  }

  /** Returns the bytes of the segment that holds a node's block. */
  u8(node: Ref): Uint8Array {
    return this.arena.u8[this.word(node, NodeWord.BLOCK) >>> SEGMENT_SHIFT]!;
  }

  /** Returns the position in {@link u8} of a node's listpack or plain element. */
  base(node: Ref): number {
    return bytePosition(this.word(node, NodeWord.BLOCK)) + this.word(node, NodeWord.START);
  }

  /** Returns the bytes of a node's listpack, or of its plain element. */
  bytes(node: Ref): number {
    const plain = this.word(node, NodeWord.PLAIN);
    return plain === PACKED ? listpackBytes(this.u8(node), this.base(node)) : plain;
  }

  /** As {@link make} for a new block. Frees the block when there is no memory for the node. */
  makeOfNew(block: Ref, start: number, count: number, plain: number): Ref {
    try {
      return this.make(block, start, count, plain);
    } catch (error) {
      this.arena.free(block);
      throw error;
    }
  }

  /**
   * Makes a node for a block. The node is not yet in any list. When there is no memory for the
   * node, the caller still owns the block.
   */
  make(block: Ref, start: number, count: number, plain: number): Ref {
    const node = this.arena.alloc(NODE_BYTES);
    const i32 = this.arena.i32[node >>> SEGMENT_SHIFT]!;
    const word = wordPosition(node);
    i32[word + NodeWord.BLOCK] = block;
    i32[word + NodeWord.START] = start;
    i32[word + NodeWord.COUNT] = count;
    i32[word + NodeWord.PLAIN] = plain;
    i32[word + NodeWord.ROOM] = this.arena.blockBytes(block);
    return node;
  }

  makePlain(bytes: Uint8Array, start: number, length: number): Ref {
    const block = this.arena.alloc(length);
    this.mover.copyIn(bytes, start, block >>> SEGMENT_SHIFT, bytePosition(block), length);
    return this.makeOfNew(block, 0, 1, length);
  }

  /**
   * Makes a node with {@link element} alone, and with room for more on the side where it is pushed.
   */
  makePacked(atHead: boolean, bytesMax: number): Ref {
    const total = LISTPACK_EMPTY_BYTES + this.element.entryBytes;
    const block = this.arena.alloc(Math.max(total, Math.min(FIRST_BLOCK_BYTES, bytesMax)));
    const start = atHead ? this.arena.blockBytes(block) - total : 0;
    const segment = block >>> SEGMENT_SHIFT;
    const u8 = this.arena.u8[segment]!;
    const base = bytePosition(block) + start;
    writeHeader(u8, base, total, 1);
    this.element.write(u8, segment, base + LISTPACK_HEADER_BYTES);
    u8[base + total - 1] = TERMINATOR;
    return this.makeOfNew(block, start, 1, PACKED);
  }

  /** Links a node behind `after`, or at the head when that is NIL. */
  link(list: Ref, node: Ref, after: Ref): void {
    const next = after === NIL ? this.ref(list, ListWord.HEAD) : this.ref(after, NodeWord.NEXT);
    this.arena.touch(node, 0, 8);
    const i32 = this.arena.i32[node >>> SEGMENT_SHIFT]!;
    i32[wordPosition(node) + NodeWord.PREVIOUS] = after;
    i32[wordPosition(node) + NodeWord.NEXT] = next;
    this.#join(list, after, node);
    this.#join(list, node, next);
    this.#count(list, this.word(node, NodeWord.COUNT), 1);
  }

  /**
   * Unlinks the nodes from `first` to `last` from a list. They are `nodes` nodes with `elements`
   * elements.
   */
  unlink(list: Ref, first: Ref, last: Ref, elements: number, nodes: number): void {
    this.#join(list, this.ref(first, NodeWord.PREVIOUS), this.ref(last, NodeWord.NEXT));
    this.#count(list, -elements, -nodes);
  }

  /** Unlinks a node and frees it. */
  remove(list: Ref, node: Ref): void {
    this.unlink(list, node, node, this.word(node, NodeWord.COUNT), 1);
    this.free(node);
  }

  free(node: Ref): void {
    this.arena.free(this.ref(node, NodeWord.BLOCK));
    this.arena.free(node);
  }

  /**
   * Pushes {@link element} into a node and returns the new number of elements in the list. Returns
   * 0 when the node is plain, or has no room and none can be made at low cost.
   */
  push(list: Ref, node: Ref, atHead: boolean, bytesMax: number, countMax: number): number {
    const { arena, element } = this;
    const words = arena.i32[node >>> SEGMENT_SHIFT]!;
    const word = wordPosition(node);
    const count = words[word + NodeWord.COUNT]! + 1;
    if (words[word + NodeWord.PLAIN] !== PACKED || count > countMax) return 0;
    let block = words[word + NodeWord.BLOCK]!;
    let start = words[word + NodeWord.START]!;
    let segment = block >>> SEGMENT_SHIFT;
    let u8 = arena.u8[segment]!;
    let base = bytePosition(block) + start;
    const bytes = element.entryBytes;
    const total = listpackBytes(u8, base);
    if (total + bytes > bytesMax) return 0;
    const room = atHead ? start : words[word + NodeWord.ROOM]! - start - total;
    if (bytes > room) {
      if (!this.#makeRoom(node, atHead, total, bytes, bytesMax)) return 0;
      block = words[word + NodeWord.BLOCK]!;
      start = words[word + NodeWord.START]!;
      segment = block >>> SEGMENT_SHIFT;
      u8 = arena.u8[segment]!;
      base = bytePosition(block) + start;
    }
    arena.touch(node, NodeWord.START << 2, 8);
    if (atHead) {
      arena.touch(block, start - bytes, bytes + LISTPACK_HEADER_BYTES);
      writeHeader(u8, base - bytes, total + bytes, count);
      element.write(u8, segment, base - bytes + LISTPACK_HEADER_BYTES);
      words[word + NodeWord.START] = start - bytes;
    } else {
      arena.touch(block, start, LISTPACK_HEADER_BYTES);
      writeHeader(u8, base, total + bytes, count);
      arena.touch(block, start + total - 1, bytes + 1);
      element.write(u8, segment, base + total - 1);
      u8[base + total + bytes - 1] = TERMINATOR;
    }
    words[word + NodeWord.COUNT] = count;
    return this.#addTo(list, 1);
  }

  /** Removes the first `count` elements of a packed node that has more. */
  dropFirst(list: Ref, node: Ref, count: number): void {
    const { arena } = this;
    const words = arena.i32[node >>> SEGMENT_SHIFT]!;
    const word = wordPosition(node);
    const block = words[word + NodeWord.BLOCK]!;
    const u8 = arena.u8[block >>> SEGMENT_SHIFT]!;
    const base = bytePosition(block) + words[word + NodeWord.START]!;
    const total = listpackBytes(u8, base);
    let at = base + LISTPACK_HEADER_BYTES;
    for (let left = count; left > 0; left--) at = behindEntry(u8, at);
    const bytes = at - base - LISTPACK_HEADER_BYTES;
    const start = words[word + NodeWord.START]! + bytes;
    const inNode = words[word + NodeWord.COUNT]! - count;
    arena.touch(block, start, LISTPACK_HEADER_BYTES);
    writeHeader(u8, base + bytes, total - bytes, inNode);
    arena.touch(node, NodeWord.START << 2, 8);
    words[word + NodeWord.START] = start;
    words[word + NodeWord.COUNT] = inNode;
    this.#addTo(list, -count);
  }

  /** Removes the last `count` elements of a packed node that has more. */
  dropLast(list: Ref, node: Ref, count: number): void {
    const { arena } = this;
    const words = arena.i32[node >>> SEGMENT_SHIFT]!;
    const word = wordPosition(node);
    const block = words[word + NodeWord.BLOCK]!;
    const start = words[word + NodeWord.START]!;
    const u8 = arena.u8[block >>> SEGMENT_SHIFT]!;
    const base = bytePosition(block) + start;
    let at = base + listpackBytes(u8, base) - 1;
    for (let left = count; left > 0; left--) at = beforeEntry(u8, at);
    const inNode = words[word + NodeWord.COUNT]! - count;
    arena.touch(block, start, LISTPACK_HEADER_BYTES);
    writeHeader(u8, base, at + 1 - base, inNode);
    arena.touch(block, at - bytePosition(block), 1);
    u8[at] = TERMINATOR;
    arena.touch(node, NodeWord.COUNT << 2, 4);
    words[word + NodeWord.COUNT] = inNode;
    this.#addTo(list, -count);
  }

  /** Moves a packed node's listpack to the start of its block and returns the block. */
  settle(node: Ref): Ref {
    const block = this.ref(node, NodeWord.BLOCK);
    if (this.word(node, NodeWord.START) !== 0) this.#moveTo(node, 0, this.bytes(node));
    return block;
  }

  /**
   * Notes that the settled listpack of a node is now at `block`, with `countChange` more elements.
   */
  changed(list: Ref, node: Ref, block: Ref, countChange: number): void {
    this.#setBlock(node, block);
    this.#countIn(list, node, countChange);
  }

  /**
   * Moves the bytes of a node to a block without spare room, if there is memory for it. Call it
   * when nothing will be pushed to this node any more.
   */
  trim(node: Ref): void {
    if (!this.isPacked(node)) return;
    const total = this.bytes(node);
    const slack = this.word(node, NodeWord.ROOM) - total;
    if (slack > Math.max(KEPT_SLACK_BYTES, total >>> SLACK_SHIFT))
      this.#moveToBlock(node, this.arena.tryAlloc(total), false, total);
  }

  /**
   * Moves the listpack so that there are `bytes` bytes of room beside it. Returns false when that
   * is not worth the cost.
   */
  #makeRoom(node: Ref, atHead: boolean, total: number, bytes: number, bytesMax: number): boolean {
    const block = this.word(node, NodeWord.ROOM);
    const slack = block - total;
    const half = slack >>> 1;
    if (bytes <= half && slack >= block >>> SLACK_SHIFT) {
      // Moves to the middle, since the next push may be on the other side.
      this.#moveTo(node, half, total);
      return true;
    }
    if (block >= bytesMax) return false;
    this.#moveToBlock(
      node,
      this.arena.alloc(Math.min((total + bytes) * 2, bytesMax)),
      atHead,
      total,
    );
    return true;
  }

  #moveTo(node: Ref, start: number, total: number): void {
    const block = this.ref(node, NodeWord.BLOCK);
    const base = bytePosition(block);
    this.arena.touch(block, start, total);
    this.mover.within(
      block >>> SEGMENT_SHIFT,
      base + this.word(node, NodeWord.START),
      base + start,
      total,
    );
    this.set(node, NodeWord.START, start);
  }

  /** Moves the listpack to the end or to the start of block `to`. Does nothing when that is NIL. */
  #moveToBlock(node: Ref, to: Ref, toEnd: boolean, total: number): void {
    if (to === NIL) return;
    const { arena } = this;
    const from = this.ref(node, NodeWord.BLOCK);
    const start = toEnd ? arena.blockBytes(to) - total : 0;
    this.mover.across(
      from >>> SEGMENT_SHIFT,
      this.base(node),
      to >>> SEGMENT_SHIFT,
      bytePosition(to) + start,
      total,
    );
    this.#setBlock(node, to);
    this.set(node, NodeWord.START, start);
    arena.free(from);
  }

  #setBlock(node: Ref, block: Ref): void {
    this.set(node, NodeWord.BLOCK, block);
    this.set(node, NodeWord.ROOM, this.arena.blockBytes(block));
  }

  /** Makes `next` follow `node` in a list. NIL stands for the list itself. */
  #join(list: Ref, node: Ref, next: Ref): void {
    if (node === NIL) this.set(list, ListWord.HEAD, next);
    else this.set(node, NodeWord.NEXT, next);
    if (next === NIL) this.set(list, ListWord.TAIL, node);
    else this.set(next, NodeWord.PREVIOUS, node);
  }

  /** Adds to the count of a list's elements, and returns the new count. */
  #addTo(list: Ref, elements: number): number {
    this.arena.touch(list, ListWord.COUNT << 2, 4);
    const i32 = this.arena.i32[list >>> SEGMENT_SHIFT]!;
    const word = wordPosition(list) + ListWord.COUNT;
    const count = i32[word]! + elements;
    i32[word] = count;
    return count;
  }

  #count(list: Ref, elements: number, nodes: number): void {
    this.#addTo(list, elements);
    this.set(list, ListWord.NODES, this.word(list, ListWord.NODES) + nodes);
  }

  #countIn(list: Ref, node: Ref, change: number): void {
    this.set(node, NodeWord.COUNT, this.word(node, NodeWord.COUNT) + change);
    this.#addTo(list, change);
  }
}
