/**
 * The journal of a guarded unit. It restores the arena when a command fails halfway. The owner of
 * the arena begins a unit while memory is tight; at other times this file does nothing.
 *
 *   during the unit                           commit                rollback
 *   ----------------------------------------  --------------------  ----------------------------
 *   an allocation is noted                    forgotten             the object is freed
 *   a free of an older object is put off      the object is freed   forgotten
 *   a free of an object of the unit is done   -                     -
 *   the first write to a page copies it       forgotten             the copy is written back
 *
 * A page that is allocated during the unit had no content, so it is not copied. `unitMarks[page]`
 * holds the number of the unit that copied or allocated the page.
 *
 * Memory: 4 KiB on the heap for each page that the unit writes to. When the system refuses this
 * memory, the write throws ARENA_FULL, like an allocation, and the unit is rolled back.
 */
import { ErrorCode, OperatingError } from '../base/errors.ts';
import { PAGE_WORDS } from './layout.ts';
import type { Segment } from './segment.ts';

const CHUNK_PAGES = 16;

export class UnitPages {
  readonly #segments: Segment[] = [];
  readonly #pages: number[] = [];
  /** Chunks with copies of CHUNK_PAGES pages each. The first chunk is kept for the next unit. */
  readonly #chunks: Int32Array[] = [];

  /** Copies a page. Throws ARENA_FULL when there is no memory for the copy. */
  keep(segment: Segment, page: number): void {
    const slot = this.#pages.length;
    const chunk = this.#chunks[Math.trunc(slot / CHUNK_PAGES)] ?? this.#addChunk();
    const at = page * PAGE_WORDS;
    chunk.set(segment.i32.subarray(at, at + PAGE_WORDS), (slot % CHUNK_PAGES) * PAGE_WORDS);
    this.#segments.push(segment);
    this.#pages.push(page);
  }

  /** Writes all copies back to their pages. */
  restore(): void {
    for (let slot = 0; slot < this.#pages.length; slot++) {
      const chunk = this.#chunks[Math.trunc(slot / CHUNK_PAGES)]!;
      const from = (slot % CHUNK_PAGES) * PAGE_WORDS;
      const at = this.#pages[slot]! * PAGE_WORDS;
      this.#segments[slot]!.i32.set(chunk.subarray(from, from + PAGE_WORDS), at);
    }
  }

  forget(): void {
    this.#segments.length = 0;
    this.#pages.length = 0;
    if (this.#chunks.length > 1) this.#chunks.length = 1;
  }

  #addChunk(): Int32Array {
    try {
      const chunk = new Int32Array(CHUNK_PAGES * PAGE_WORDS);
      this.#chunks.push(chunk);
      return chunk;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new OperatingError(
        ErrorCode.ARENA_FULL,
        'the system refuses memory for the copy of a page',
      );
    }
  }
}
