/**
 * Hot path. Copy-on-write of pages: freeze, the write barrier, shadow pages, thaw. Runs on the
 * thread that owns the arena; images on other threads read what this file writes (see image.ts for
 * their side).
 *
 *   owner, before the first write to a page after a freeze  reader, for each object
 *   ------------------------------------------------------  ---------------------------------------
 *   1. copy the page to a shadow slot                       1. copy the object out of the live page
 *   2. note the slot in `shadow[page]`                      2. read `marks[page]`
 *   3. exchange `marks[page]` to the epoch                  3. marked: throw the copy away and read
 *   4. write the live page                                     the shadow slot instead
 *
 * The exchange is a read-modify-write, and so is the reader's read of the mark. So neither the
 * owner's writes nor the reader's loads can pass the mark on any memory model that JavaScript runs
 * on.
 *
 * A page that is handed out after the freeze is not part of the image; it is marked at once and
 * never copied.
 *
 * Guarded units (unit.ts) use the same barrier: while one is on, the first write to a page keeps a
 * copy of it.
 */
import { assert } from '../base/assert.ts';
import { MemoryKind, type SharedMemory } from '../base/shared-memory.ts';
import {
  bytePosition,
  PAGE_BYTES,
  PAGE_SHIFT,
  PAGE_WORDS,
  SEGMENT_BYTES,
  SEGMENT_SHIFT,
  SEGMENTS_MAX,
  SHADOW_CHUNK_PAGES,
  SHADOW_CHUNK_SHIFT,
} from './layout.ts';
import { NO_SEGMENT, NO_SHADOW, type Segment } from './segment.ts';
import { UnitPages } from './unit.ts';

/**
 * Words that the owner and the readers of one image share.
 *
 *   word   writer   meaning
 *   LOST   owner    1 once shadow memory ran out: anything read after that is invalid
 */
export const FreezeWord = { LOST: 0 } as const;
export const FREEZE_WORDS = 1;

/** Called with each new chunk of shadow pages before any mark can lead to it. */
export type ShadowListener = (chunkIndex: number, chunk: SharedArrayBuffer) => void;

export interface Freeze {
  readonly epoch: number;
  readonly words: SharedArrayBuffer;
}

export class Pages {
  /** By number; NO_SEGMENT where there is none. */
  readonly segments: Segment[] = Array.from({ length: SEGMENTS_MAX }, () => NO_SEGMENT);
  /** Whether an image is being read or a unit is on, so that the barrier must act on writes. */
  watched = false;
  /** Number of the unit that is on, 0 while there is none. */
  unit = 0;
  readonly #unitPages = new UnitPages();
  /** The source of segments and shadow chunks, which also takes them back. */
  readonly memory: SharedMemory;
  /** Epoch of the image that is being read, 0 while nothing is frozen. */
  frozenEpoch = 0;
  /** Pages copied since the freeze; after a thaw, pages copied for the last image. */
  shadowPages = 0;
  #epoch: number;
  #shadowPagesMax = 0;
  #chunks: Int32Array[] = [];
  #freezeWords: Int32Array = new Int32Array(FREEZE_WORDS);
  #onChunk: ShadowListener | undefined;
  #onLost: (() => void) | undefined;

  /** `epoch` is that of the last image of the same segments, 0 when there was none. */
  constructor(epoch: number, memory: SharedMemory) {
    this.#epoch = epoch;
    this.memory = memory;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /**
   * Begins an image of the present content. O(1). `shadowBytesMax` bounds the memory of the copies;
   * when writes would exceed it, or the system has no memory for them, the image is lost. Then
   * `onLost` is called from within the write, readers are told, and writes go on without copying.
   */
  freeze(shadowBytesMax: number, onChunk: ShadowListener, onLost: () => void): Freeze {
    assert(this.frozenEpoch === 0, 'one image at a time');
    this.#epoch++;
    this.frozenEpoch = this.#epoch;
    this.watched = true;
    this.shadowPages = 0;
    this.#shadowPagesMax = Math.floor(shadowBytesMax / PAGE_BYTES);
    this.#onChunk = onChunk;
    this.#onLost = onLost;
    const words = new SharedArrayBuffer(FREEZE_WORDS * 4);
    this.#freezeWords = new Int32Array(words);
    return { epoch: this.#epoch, words };
  }

  /** Ends the image and frees the shadow pages. All readers must have finished. */
  thaw(): void {
    this.#end(true);
  }

  #end(readersDone: boolean): void {
    const { memory } = this;
    for (const [index, { buffer }] of this.#chunks.entries()) {
      const pages = Math.min(SHADOW_CHUNK_PAGES, this.shadowPages - index * SHADOW_CHUNK_PAGES);
      const chunk = buffer as SharedArrayBuffer;
      if (readersDone) memory.give(MemoryKind.SHADOW, chunk, pages * PAGE_BYTES);
      else memory.drop(MemoryKind.SHADOW, chunk, pages * PAGE_BYTES);
    }
    this.frozenEpoch = 0;
    this.watched = this.unit !== 0;
    this.#chunks = [];
    this.#onChunk = undefined;
    this.#onLost = undefined;
  }

  /**
   * Must be called before a store to bytes [from, from + bytes) of the object at `ref`. `bytes` is
   * at least 1.
   */
  touch(ref: number, from: number, bytes: number): void {
    if (this.watched) this.#watch(ref, from, bytes);
  }

  /** As {@link touch} for all of a new object: only an image needs its old content. */
  touchNew(ref: number, bytes: number): void {
    if (this.frozenEpoch !== 0) this.#capture(ref, 0, bytes);
  }

  /** Begins the unit with this number. From now on the first write to a page copies it. */
  beginUnit(unit: number): void {
    this.unit = unit;
    this.watched = true;
  }

  /** Ends the unit. With `restored`, all pages that it has written to are as they were before. */
  endUnit(restored: boolean): void {
    if (restored) this.#unitPages.restore();
    this.#unitPages.forget();
    this.unit = 0;
    this.watched = this.frozenEpoch !== 0;
  }

  /**
   * Notes that `count` pages from `page` on are in use again. They are not part of a running image
   * unless they were freed during it.
   */
  handOut(segment: Segment, page: number, count: number): void {
    if (this.unit !== 0) segment.unitMarks.fill(this.unit, page, page + count);
    if (this.frozenEpoch === 0) return;
    for (let i = page; i < page + count; i++) {
      if (segment.freedEpoch[i] === this.frozenEpoch || segment.marks[i] === this.frozenEpoch)
        continue;
      segment.shadow[i] = NO_SHADOW;
      Atomics.exchange(segment.marks, i, this.frozenEpoch);
    }
  }

  /** Notes that `count` pages from `page` on are no longer in use. */
  takeBack(segment: Segment, page: number, count: number): void {
    if (this.frozenEpoch !== 0) segment.freedEpoch.fill(this.frozenEpoch, page, page + count);
  }

  /** The result of `sum` for a page as in the image; for the debug mode. */
  imagePageSum(
    segment: Segment,
    page: number,
    sum: (words: Int32Array, page: number) => number,
  ): number {
    if (segment.marks[page] !== this.frozenEpoch) return sum(segment.i32, page);
    const slot = segment.shadow[page]!;
    assert(slot !== NO_SHADOW, 'a page that was in use at the freeze has a shadow or is unchanged');
    return sum(this.#chunks[slot >>> SHADOW_CHUNK_SHIFT]!, slot & (SHADOW_CHUNK_PAGES - 1));
  }

  #watch(ref: number, from: number, bytes: number): void {
    if (this.frozenEpoch !== 0) this.#capture(ref, from, bytes);
    if (this.unit === 0) return;
    const segment = this.segments[ref >>> SEGMENT_SHIFT]!;
    const start = bytePosition(ref) + from;
    const lastPage = (start + bytes - 1) >>> PAGE_SHIFT;
    for (let page = start >>> PAGE_SHIFT; page <= lastPage; page++) {
      if (segment.unitMarks[page] === this.unit) continue;
      this.#unitPages.keep(segment, page);
      segment.unitMarks[page] = this.unit;
    }
  }

  #capture(ref: number, from: number, bytes: number): void {
    const segment = this.segments[ref >>> SEGMENT_SHIFT]!;
    const start = bytePosition(ref) + from;
    const lastPage = (start + bytes - 1) >>> PAGE_SHIFT;
    for (let page = start >>> PAGE_SHIFT; page <= lastPage; page++) {
      if (segment.marks[page] !== this.frozenEpoch) {
        this.#copyPage(segment, page);
        if (this.frozenEpoch === 0) return;
      }
    }
  }

  #copyPage(segment: Segment, page: number): void {
    const slot = this.shadowPages;
    if (slot >= this.#shadowPagesMax) {
      this.#lose();
      return;
    }
    const chunk = this.#chunks[slot >>> SHADOW_CHUNK_SHIFT] ?? this.#addChunk();
    if (chunk === undefined) {
      this.#lose();
      return;
    }
    const to = (slot & (SHADOW_CHUNK_PAGES - 1)) * PAGE_WORDS;
    const at = page * PAGE_WORDS;
    // For a whole page, subarray and set cost a fifth less than a loop of words.
    chunk.set(segment.i32.subarray(at, at + PAGE_WORDS), to);
    this.shadowPages = slot + 1;
    segment.shadow[page] = slot;
    Atomics.exchange(segment.marks, page, this.frozenEpoch);
  }

  /** Undefined when the system refuses the memory. */
  #addChunk(): Int32Array | undefined {
    let buffer: SharedArrayBuffer;
    try {
      buffer = this.memory.take(MemoryKind.SHADOW, SEGMENT_BYTES);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return undefined;
    }
    const chunk = new Int32Array(buffer);
    this.#onChunk!(this.#chunks.length, buffer);
    this.#chunks.push(chunk);
    return chunk;
  }

  #lose(): void {
    Atomics.exchange(this.#freezeWords, FreezeWord.LOST, 1);
    const onLost = this.#onLost;
    // Readers go on until they check: their memory must not be reused before that.
    this.#end(false);
    onLost?.();
  }
}
