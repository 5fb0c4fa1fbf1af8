/**
 * Hot path. Intsets in the arena: small sets of integers. Each set is one object, with the bytes
 * that Redis keeps and dumps. intset-read.ts draws the layout.
 *
 * The integers of a set have the width of the widest integer that was ever added. As in Redis, a
 * removal never narrows them. Values are passed as signed halves (int64.ts). Adding and removing
 * return the new place of the set and set `changed`. The place stays the same while the block has
 * room. Stale after a change: the ref that was passed in and every index.
 */
import type { Arena } from '../arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT } from '../arena/layout.ts';
import { assert, debugAssert } from '../base/assert.ts';
import type { Prng } from '../base/prng.ts';
import { NIL, type Ref } from '../base/units.ts';
import { ByteMover } from './byte-mover.ts';
import { Int64 } from './int64.ts';
import {
  INTSET_COUNT_AT,
  INTSET_HEADER_BYTES,
  indexOfInteger,
  intsetBytes,
  intsetCount,
  intsetWidth,
  lowerBound,
  NOT_FOUND,
  readInteger,
  validateIntset,
  widthFor,
} from './intset-read.ts';
import { writeU32 } from './listpack-encode.ts';

const WIDTH_MIN = 2;
/** A block up to this size is kept, even if most of it is unused. */
const KEPT_BLOCK_BYTES = 64;
const GROWTH_SHIFT = 3;

export class Intset {
  /** Whether the last {@link add} or {@link remove} changed the set. */
  changed = false;
  readonly #arena: Arena;
  readonly #mover: ByteMover;
  readonly #value = new Int64();

  constructor(arena: Arena) {
    this.#arena = arena;
    this.#mover = new ByteMover(arena);
  }

  create(): Ref {
    const ref = this.#arena.alloc(INTSET_HEADER_BYTES);
    this.#writeHeader(ref, WIDTH_MIN, 0);
    return ref;
  }

  /** Copies the intset at `start`, which must be valid, into a new block without spare room. */
  fromBytes(bytes: Uint8Array, start: number, length: number): Ref {
    debugAssert(validateIntset(bytes, start, length), 'an intset is made from a valid one');
    const ref = this.#arena.alloc(length);
    this.#mover.copyIn(bytes, start, ref >>> SEGMENT_SHIFT, bytePosition(ref), length);
    return ref;
  }

  copy(ref: Ref): Ref {
    const bytes = this.byteLength(ref);
    const to = this.#arena.alloc(bytes);
    this.#copyBytes(ref, 0, to, 0, bytes);
    return to;
  }

  free(ref: Ref): void {
    this.#arena.free(ref);
  }

  byteLength(ref: Ref): number {
    return intsetBytes(this.#arena.u8[ref >>> SEGMENT_SHIFT]!, bytePosition(ref));
  }

  count(ref: Ref): number {
    return intsetCount(this.#arena.u8[ref >>> SEGMENT_SHIFT]!, bytePosition(ref));
  }

  /** Returns the bytes per integer. */
  width(ref: Ref): number {
    return intsetWidth(this.#arena.u8[ref >>> SEGMENT_SHIFT]!, bytePosition(ref));
  }

  /** Sets `out` to the integer at an index from 0 to count - 1. They ascend. */
  get(ref: Ref, index: number, out: Int64): void {
    readInteger(this.#arena.u8[ref >>> SEGMENT_SHIFT]!, bytePosition(ref), index, out);
  }

  /** Returns the index of the value, or NOT_FOUND. */
  find(ref: Ref, high: number, low: number): number {
    return indexOfInteger(this.#arena.u8[ref >>> SEGMENT_SHIFT]!, bytePosition(ref), high, low);
  }

  /** Returns a random index. The set must not be empty. */
  random(ref: Ref, prng: Prng): number {
    return prng.below(this.count(ref));
  }

  add(ref: Ref, high: number, low: number): Ref {
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    const base = bytePosition(ref);
    this.changed = indexOfInteger(u8, base, high, low) === NOT_FOUND;
    if (!this.changed) return ref;
    const width = intsetWidth(u8, base);
    const index = lowerBound(u8, base, high, low);
    if (widthFor(high, low) > width) return this.#widenAndAdd(ref, high, low);
    const at = INTSET_HEADER_BYTES + index * width;
    const to = this.#splice(ref, at, 0, width);
    this.#writeHeader(to, width, this.count(to) + 1);
    this.#writeInteger(to, at, width, high, low);
    return to;
  }

  remove(ref: Ref, high: number, low: number): Ref {
    const index = this.find(ref, high, low);
    this.changed = index !== NOT_FOUND;
    return this.changed ? this.removeRange(ref, index, 1) : ref;
  }

  /** Removes `count` integers from `index` on, all of which must exist. */
  removeRange(ref: Ref, index: number, count: number): Ref {
    const width = this.width(ref);
    const to = this.#splice(ref, INTSET_HEADER_BYTES + index * width, count * width, 0);
    this.#writeHeader(to, width, this.count(to) - count);
    this.changed = count > 0;
    return to;
  }

  /** Checks every byte. For tests. */
  validate(ref: Ref): void {
    const bytes = this.byteLength(ref);
    assert(bytes <= this.#arena.blockBytes(ref), 'an intset lies within its block');
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    const isEmpty = bytes === INTSET_HEADER_BYTES;
    assert(isEmpty || validateIntset(u8, bytePosition(ref), bytes), 'an intset is well formed');
  }

  /**
   * Copies the set into wider integers and adds the value, which is below all others or above them.
   */
  #widenAndAdd(ref: Ref, high: number, low: number): Ref {
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    const count = this.count(ref);
    const width = widthFor(high, low);
    const to = this.#arena.alloc(INTSET_HEADER_BYTES + (count + 1) * width);
    this.#writeHeader(to, width, count + 1);
    let at = INTSET_HEADER_BYTES;
    if (high < 0) {
      this.#writeInteger(to, at, width, high, low);
      at += width;
    }
    for (let i = 0; i < count; i++, at += width) {
      readInteger(u8, bytePosition(ref), i, this.#value);
      this.#writeInteger(to, at, width, this.#value.high, this.#value.low);
    }
    if (high >= 0) this.#writeInteger(to, at, width, high, low);
    this.#arena.free(ref);
    return to;
  }

  /**
   * Makes the `oldBytes` bytes at `at` into `newBytes` bytes, in the same block or in another. The
   * caller may write them and the header without a barrier. Throws ARENA_FULL in the same cases as
   * the method of Listpack.
   */
  #splice(ref: Ref, at: number, oldBytes: number, newBytes: number): Ref {
    const arena = this.#arena;
    const total = this.byteLength(ref);
    const newTotal = total + newBytes - oldBytes;
    const block = arena.blockBytes(ref);
    const behind = at + oldBytes;
    const mustGrow = newTotal > block;
    let to: Ref = NIL;
    if (mustGrow || (newTotal < total && newTotal * 2 < block && block > KEPT_BLOCK_BYTES)) {
      const room = newTotal + (newTotal >>> GROWTH_SHIFT);
      to = mustGrow ? arena.alloc(room) : arena.tryAlloc(room);
    }
    if (to !== NIL) {
      this.#copyBytes(ref, 0, to, 0, at);
      this.#copyBytes(ref, behind, to, at + newBytes, total - behind);
      arena.free(ref);
      return to;
    }
    const base = bytePosition(ref);
    arena.touch(ref, 0, INTSET_HEADER_BYTES);
    if (newTotal > at) arena.touch(ref, at, newTotal - at);
    this.#mover.within(ref >>> SEGMENT_SHIFT, base + behind, base + at + newBytes, total - behind);
    return ref;
  }

  #copyBytes(from: Ref, fromAt: number, to: Ref, toAt: number, bytes: number): void {
    const source = bytePosition(from) + fromAt;
    const target = bytePosition(to) + toAt;
    this.#mover.across(from >>> SEGMENT_SHIFT, source, to >>> SEGMENT_SHIFT, target, bytes);
  }

  #writeHeader(ref: Ref, width: number, count: number): void {
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    writeU32(u8, bytePosition(ref), width);
    writeU32(u8, bytePosition(ref) + INTSET_COUNT_AT, count);
  }

  #writeInteger(ref: Ref, at: number, width: number, high: number, low: number): void {
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    const position = bytePosition(ref) + at;
    if (width === 2) {
      u8[position] = low;
      u8[position + 1] = low >>> 8;
      return;
    }
    writeU32(u8, position, low);
    if (width === 8) writeU32(u8, position + 4, high);
  }
}
