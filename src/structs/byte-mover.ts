/**
 * Hot path. Moves bytes inside an arena, and into it. On shared memory V8's own `copyWithin` and
 * `set` copy byte by byte unless source and target have the same alignment. So there are four ways:
 *
 *   a few bytes       a loop
 *   alike in words    copyWithin
 *   up to a KiB       a loop of unaligned 32-bit loads and stores
 *   more              Buffer.fill, whose memcpy ignores sharing: three to five times as fast as the
 *                     loop. It must not overlap, so within a segment the bytes go through a
 *                     scratch buffer
 *
 * Positions are those in a segment. The caller calls the write barrier. For the thread that owns
 * the arena; no other thread may write to the bytes. bench: micro/listpack
 */

import type { Arena } from '../arena/arena.ts';
import { copyBytes, type ViewedBytes } from '../base/byte-copy.ts';

/** From this length on a native call is faster, unless it copies byte by byte. */
const NATIVE_BYTES = 128;
/** From this length on the two calls of a move through the scratch buffer are faster. */
const FILL_BYTES = 1024;
const SCRATCH_BYTES = 65536;
const WORD_MASK = 7;

export class ByteMover {
  readonly #arena: Arena;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  /** Moves `length` bytes within one segment; the ranges may overlap. */
  within(segment: number, from: number, to: number, length: number): void {
    const bytes: ViewedBytes = this.#arena.u8[segment]!;
    if (((to - from) & WORD_MASK) === 0 && length >= NATIVE_BYTES) {
      bytes.copyWithin(to, from, from + length);
      return;
    }
    if (length >= FILL_BYTES) this.#bounce(segment, from, to, length);
    else if (to > from) moveUp(bytes.view!, bytes, from, to, length);
    else moveDown(bytes.view!, bytes, from, to, length);
  }

  /** Copies `length` bytes from one object to another. */
  across(fromSegment: number, from: number, toSegment: number, to: number, length: number): void {
    if (fromSegment === toSegment && length < FILL_BYTES)
      this.within(fromSegment, from, to, length);
    else this.copyIn(this.#arena.u8[fromSegment]!, from, toSegment, to, length);
  }

  /** Copies `length` bytes of any array into a segment; source and target must not overlap. */
  copyIn(bytes: Uint8Array, start: number, segment: number, to: number, length: number): void {
    if (length < FILL_BYTES) copyBytes(bytes, start, this.#arena.u8[segment]!, to, length);
    else this.#arena.buffers[segment]!.fill(bytes.subarray(start, start + length), to, to + length);
  }

  /**
   * Moves the bytes through the scratch buffer. The order of the pieces makes sure that no piece
   * overwrites bytes that are still to be moved.
   */
  #bounce(segment: number, from: number, to: number, length: number): void {
    const buffer = this.#arena.buffers[segment]!;
    for (let done = 0; done < length; ) {
      const piece = Math.min(length - done, SCRATCH_BYTES);
      const at = to > from ? length - done - piece : done;
      scratch.fill(buffer.subarray(from + at, from + at + piece), 0, piece);
      // The value is longer than the range when the piece is short. `fill` does not copy the
      // excess.
      buffer.fill(scratch, to + at, to + at + piece);
      done += piece;
    }
  }
}

/** One buffer for the thread. It holds nothing between two calls. */
const scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);

/** Moves to a lower position, from the first byte to the last. */
function moveDown(
  view: DataView,
  bytes: Uint8Array,
  from: number,
  to: number,
  length: number,
): void {
  let i = 0;
  // All four words are loaded before the first is stored, so that the ranges may overlap even when
  // they lie less than 16 bytes apart.
  for (const whole = length & ~15; i < whole; i += 16) {
    const a = view.getInt32(from + i, true);
    const b = view.getInt32(from + i + 4, true);
    const c = view.getInt32(from + i + 8, true);
    const d = view.getInt32(from + i + 12, true);
    view.setInt32(to + i, a, true);
    view.setInt32(to + i + 4, b, true);
    view.setInt32(to + i + 8, c, true);
    view.setInt32(to + i + 12, d, true);
  }
  for (; i < length; i++) bytes[to + i] = bytes[from + i]!;
}

/** Moves to a higher position, from the last byte to the first. */
function moveUp(view: DataView, bytes: Uint8Array, from: number, to: number, length: number): void {
  let i = length;
  for (; i >= 16; i -= 16) {
    const a = view.getInt32(from + i - 16, true);
    const b = view.getInt32(from + i - 12, true);
    const c = view.getInt32(from + i - 8, true);
    const d = view.getInt32(from + i - 4, true);
    view.setInt32(to + i - 16, a, true);
    view.setInt32(to + i - 12, b, true);
    view.setInt32(to + i - 8, c, true);
    view.setInt32(to + i - 4, d, true);
  }
  while (i > 0) {
    i--;
    bytes[to + i] = bytes[from + i]!;
  }
}
