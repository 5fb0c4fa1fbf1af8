/**
 * Removes all elements of a listpack that are equal to some bytes, in one pass. The remaining
 * elements move down run by run, so each byte moves at most once, however many elements go.
 *
 *   before   [ a │ x │ b c │ x │ d ]
 *   after    [ a │ b c │ d ]
 *
 * The block is not shortened. For the thread that owns the arena.
 */
import type { Arena } from '../arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT } from '../arena/layout.ts';
import type { Ref } from '../base/units.ts';
import type { ByteMover } from './byte-mover.ts';
import { writeU32 } from './listpack-encode.ts';
import {
  behindEntry,
  COUNT_AT,
  COUNT_UNKNOWN,
  countEntries,
  END,
  findElement,
  LISTPACK_HEADER_BYTES,
  listpackBytes,
} from './listpack-read.ts';

const NONE = -1;

export class ListpackFilter {
  /** The number of elements that the last call of {@link remove} removed. */
  removed = 0;
  readonly #mover: ByteMover;
  readonly #arena: Arena;

  constructor(mover: ByteMover, arena: Arena) {
    this.#mover = mover;
    this.#arena = arena;
  }

  /**
   * Removes up to `max` equal elements, the first or the last ones, of the listpack at byte `from`
   * of a block.
   */
  remove(
    block: Ref,
    from: number,
    bytes: Uint8Array,
    start: number,
    length: number,
    max: number,
    last: boolean,
  ): void {
    const segment = block >>> SEGMENT_SHIFT;
    const u8 = this.#arena.u8[segment]!;
    const base = bytePosition(block) + from;
    const end = base + listpackBytes(u8, base);
    const count = countEntries(u8, base);
    let skip = 0;
    if (last) skip = Math.max(0, countEqual(u8, base, bytes, start, length) - max);
    let removed = 0;
    /**
     * `to` is the position where the next run goes, and `run` the position where that run begins.
     */
    let to = NONE;
    let run = 0;
    let at = findElement(u8, base + LISTPACK_HEADER_BYTES, bytes, start, length, 0);
    while (at !== END && removed < max) {
      const behind = behindEntry(u8, at);
      if (--skip < 0) {
        if (to === NONE) {
          this.#arena.touch(block, from, end - base);
          to = at;
        } else {
          this.#mover.within(segment, run, to, at - run);
          to += at - run;
        }
        run = behind;
        removed++;
      }
      at = findElement(u8, behind, bytes, start, length, 0);
    }
    this.removed = removed;
    if (removed === 0) return;
    this.#mover.within(segment, run, to, end - run);
    writeU32(u8, base, to + end - run - base);
    const noted = Math.min(count - removed, COUNT_UNKNOWN);
    u8[base + COUNT_AT] = noted;
    u8[base + COUNT_AT + 1] = noted >>> 8;
  }
}

function countEqual(
  u8: Uint8Array,
  base: number,
  bytes: Uint8Array,
  start: number,
  length: number,
): number {
  let count = 0;
  let at = findElement(u8, base + LISTPACK_HEADER_BYTES, bytes, start, length, 0);
  for (; at !== END; count++) at = findElement(u8, behindEntry(u8, at), bytes, start, length, 0);
  return count;
}
