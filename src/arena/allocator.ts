/**
 * Hot path. The arena's allocator: slabs of one size class for small objects, runs of pages for large ones, a segment
 * of its own for what is larger still. All bookkeeping lies outside the data pages, so that giving an object back
 * dirties nothing; all of it is in shared memory, so that a worker can fill an arena and hand it over.
 *
 * Memory goes back to the system with its segment only: when the whole arena is dropped, or a single-object segment
 * is freed.
 *
 *   heads   word c               number + 1 of the first slab of class c that has a free object
 *   used    USED_BYTES           sum of the sizes of all objects, rounded up to their class or page
 *           RESERVED_PAGES_BYTES bytes of pages in slabs and runs
 */
import { assert } from '../base/assert.ts';
import { ErrorCode, OperatingError } from '../base/errors.ts';
import { asRef, type Ref } from '../base/units.ts';
import {
  BLOCK_GRANULES,
  BLOCK_PAGES,
  GRANULE_BYTES,
  LARGE_BYTES_MAX,
  OBJECT_BYTES_MAX,
  PAGE_BYTES,
  SEGMENT_BLOCKS,
  SEGMENT_BYTES,
  SEGMENT_MASK,
  SEGMENT_PAGES,
  SEGMENT_SHIFT,
  SEGMENTS_MAX,
} from './layout.ts';
import type { Pages } from './pages.ts';
import {
  BITMAP_WORDS_PER_BLOCK,
  reserveSegment,
  type Segment,
  SLAB_INNER,
  SLAB_WORDS,
  SlabWord,
} from './segment.ts';
import {
  CLASS_COUNT,
  classBlocks,
  classBytes,
  classCapacity,
  classFor,
  classGranules,
  SMALL_BYTES_MAX,
} from './size-classes.ts';

const USED_BYTES = 0;
const PAGE_USE_BYTES = 1;

const PAGE_GRANULES = PAGE_BYTES / GRANULE_BYTES;
const BLOCK_SHIFT = 13;

export interface AllocatorShare {
  readonly heads: SharedArrayBuffer;
  readonly used: SharedArrayBuffer;
}

export function newAllocatorShare(): AllocatorShare {
  return { heads: new SharedArrayBuffer(CLASS_COUNT * 4), used: new SharedArrayBuffer(16) };
}

export class Allocator {
  readonly share: AllocatorShare;
  readonly #pages: Pages;
  readonly #segments: Segment[];
  readonly #heads: Int32Array;
  readonly #used: Float64Array;
  readonly #onSegment: (number: number) => void;
  /** Segment in which the last run was found. */
  #runSegment = 0;
  /** By segment: the page from which a search for a run begins. */
  readonly #runHint: number[] = [];

  /** `onSegment` is called with the number of each segment that is added to `pages.segments`, or replaced there. */
  constructor(pages: Pages, share: AllocatorShare, onSegment: (number: number) => void) {
    this.share = share;
    this.#pages = pages;
    this.#segments = pages.segments;
    this.#heads = new Int32Array(share.heads);
    this.#used = new Float64Array(share.used);
    this.#onSegment = onSegment;
  }

  get usedBytes(): number {
    return this.#used[USED_BYTES]!;
  }

  get pageUseBytes(): number {
    return this.#used[PAGE_USE_BYTES]!;
  }

  /**
   * Returns a new object of at least `bytes` bytes whose content is undefined. All of it may be written in this turn
   * without {@link Pages.touch}. Throws ARENA_FULL when there is no memory.
   */
  alloc(bytes: number): Ref {
    if (bytes > SMALL_BYTES_MAX) return this.#allocLarge(bytes);
    const index = classFor(bytes);
    const slab = this.#heads[index]! - 1;
    return this.#takeFrom(slab >= 0 ? slab : this.#newSlab(index), index);
  }

  /** Gives an object back. Its bytes stay as they are, for an image may still read them. */
  free(ref: Ref): void {
    assert(ref > 0, 'free of no object');
    const segment = this.#segments[ref >>> SEGMENT_SHIFT]!;
    if (segment.share.meta === undefined) {
      this.#freeSingle(ref >>> SEGMENT_SHIFT);
      return;
    }
    const block = (ref & SEGMENT_MASK) >>> BLOCK_SHIFT;
    const kind = segment.slabs[block * SLAB_WORDS + SlabWord.KIND]!;
    if (kind === 0) this.#freeRun(segment, ref);
    else this.#freeSmall(segment, ref, kind === SLAB_INNER ? block & ~3 : block);
  }

  /** Bytes that the object at `ref` may use: what was asked for, rounded up. */
  blockBytes(ref: Ref): number {
    const segment = this.#segments[ref >>> SEGMENT_SHIFT]!;
    if (segment.share.meta === undefined) return segment.pages * PAGE_BYTES;
    const block = (ref & SEGMENT_MASK) >>> BLOCK_SHIFT;
    let kind = segment.slabs[block * SLAB_WORDS + SlabWord.KIND]!;
    if (kind === 0) return segment.runPages[(ref & SEGMENT_MASK) / PAGE_GRANULES]! * PAGE_BYTES;
    if (kind === SLAB_INNER) kind = segment.slabs[(block & ~3) * SLAB_WORDS + SlabWord.KIND]!;
    return classBytes[kind - 1]!;
  }

  #takeFrom(slab: number, index: number): Ref {
    const segment = this.#segments[slab >>> 10]!;
    const block = slab & (SEGMENT_BLOCKS - 1);
    const slabs = segment.slabs;
    const at = block * SLAB_WORDS;
    const bitmap = segment.slabBitmap;
    const base = block * BITMAP_WORDS_PER_BLOCK;
    let word = slabs[at + SlabWord.HINT]!;
    let bits = bitmap[base + word]!;
    while (bits === 0) bits = bitmap[base + ++word]!;
    const low = bits & -bits;
    bitmap[base + word] = bits ^ low;
    slabs[at + SlabWord.HINT] = word;
    const free = slabs[at + SlabWord.FREE]! - 1;
    slabs[at + SlabWord.FREE] = free;
    if (free === 0) this.#unlink(segment, slab, index);
    const bytes = classBytes[index]!;
    this.#used[USED_BYTES]! += bytes;
    const object = (word << 5) + 31 - Math.clz32(low);
    const ref = (slab >>> 10) * (SEGMENT_MASK + 1) + block * BLOCK_GRANULES + object * classGranules[index]!;
    this.#pages.touch(ref, 0, bytes);
    return asRef(ref);
  }

  #freeSmall(segment: Segment, ref: Ref, block: number): void {
    const slabs = segment.slabs;
    const at = block * SLAB_WORDS;
    const index = slabs[at + SlabWord.KIND]! - 1;
    const inSlab = (ref & SEGMENT_MASK) - block * BLOCK_GRANULES;
    const object = Math.trunc(inSlab / classGranules[index]!);
    assert(object * classGranules[index]! === inSlab, 'free inside an object');
    const word = object >>> 5;
    const bit = 1 << (object & 31);
    const base = block * BITMAP_WORDS_PER_BLOCK;
    assert((segment.slabBitmap[base + word]! & bit) === 0, 'object freed twice');
    segment.slabBitmap[base + word]! |= bit;
    if (word < slabs[at + SlabWord.HINT]!) slabs[at + SlabWord.HINT] = word;
    this.#used[USED_BYTES]! -= classBytes[index]!;
    const free = slabs[at + SlabWord.FREE]! + 1;
    slabs[at + SlabWord.FREE] = free;
    const slab = (ref >>> SEGMENT_SHIFT) * SEGMENT_BLOCKS + block;
    if (free === 1) this.#link(segment, slab, index);
    else if (free === classCapacity[index] && !this.#isOnly(segment, slab))
      this.#dropSlab(segment, slab, index);
  }

  #newSlab(index: number): number {
    const blocks = classBlocks[index]!;
    const { number, page } = this.#findRun(blocks * BLOCK_PAGES, blocks * BLOCK_PAGES);
    const segment = this.#segments[number]!;
    const block = page / BLOCK_PAGES;
    const slabs = segment.slabs;
    const capacity = classCapacity[index]!;
    const base = block * BITMAP_WORDS_PER_BLOCK;
    const wholeWords = capacity >>> 5;
    segment.slabBitmap.fill(-1, base, base + wholeWords);
    if ((capacity & 31) !== 0) segment.slabBitmap[base + wholeWords] = (1 << (capacity & 31)) - 1;
    for (let i = 1; i < blocks; i++) slabs[(block + i) * SLAB_WORDS + SlabWord.KIND] = SLAB_INNER;
    slabs[block * SLAB_WORDS + SlabWord.KIND] = index + 1;
    slabs[block * SLAB_WORDS + SlabWord.FREE] = capacity;
    slabs[block * SLAB_WORDS + SlabWord.HINT] = 0;
    const slab = number * SEGMENT_BLOCKS + block;
    this.#link(segment, slab, index);
    return slab;
  }

  /** Whether no other slab of its class has a free object. Such a slab is kept when it empties, against flutter. */
  #isOnly(segment: Segment, slab: number): boolean {
    const at = (slab & (SEGMENT_BLOCKS - 1)) * SLAB_WORDS;
    return segment.slabs[at + SlabWord.NEXT] === 0 && segment.slabs[at + SlabWord.PREVIOUS] === 0;
  }

  /** Gives the pages of an empty slab back. */
  #dropSlab(segment: Segment, slab: number, index: number): void {
    this.#unlink(segment, slab, index);
    const block = slab & (SEGMENT_BLOCKS - 1);
    for (let i = 0; i < classBlocks[index]!; i++) segment.slabs[(block + i) * SLAB_WORDS + SlabWord.KIND] = 0;
    this.#giveBack(segment, slab >>> 10, block * BLOCK_PAGES, classBlocks[index]! * BLOCK_PAGES);
  }

  #link(segment: Segment, slab: number, index: number): void {
    const at = (slab & (SEGMENT_BLOCKS - 1)) * SLAB_WORDS;
    const next = this.#heads[index]!;
    segment.slabs[at + SlabWord.NEXT] = next;
    segment.slabs[at + SlabWord.PREVIOUS] = 0;
    if (next !== 0) this.#setLink(next, SlabWord.PREVIOUS, slab + 1);
    this.#heads[index] = slab + 1;
  }

  #unlink(segment: Segment, slab: number, index: number): void {
    const at = (slab & (SEGMENT_BLOCKS - 1)) * SLAB_WORDS;
    const next = segment.slabs[at + SlabWord.NEXT]!;
    const previous = segment.slabs[at + SlabWord.PREVIOUS]!;
    if (next !== 0) this.#setLink(next, SlabWord.PREVIOUS, previous);
    if (previous !== 0) this.#setLink(previous, SlabWord.NEXT, next);
    else this.#heads[index] = next;
  }

  #setLink(link: number, word: number, value: number): void {
    const slab = link - 1;
    this.#segments[slab >>> 10]!.slabs[(slab & (SEGMENT_BLOCKS - 1)) * SLAB_WORDS + word] = value;
  }

  #allocLarge(bytes: number): Ref {
    if (bytes > OBJECT_BYTES_MAX) {
      throw new OperatingError(
        ErrorCode.ARENA_FULL,
        `an object of ${bytes} bytes is beyond the arena's limit`,
      );
    }
    const pages = Math.ceil(bytes / PAGE_BYTES);
    if (bytes > LARGE_BYTES_MAX) {
      const number = this.#addSegment(pages * PAGE_BYTES, true);
      this.#used[USED_BYTES]! += pages * PAGE_BYTES;
      this.#used[PAGE_USE_BYTES]! += pages * PAGE_BYTES;
      this.#pages.handOut(this.#segments[number]!, 0, pages);
      return asRef(number * (SEGMENT_MASK + 1));
    }
    const { number, page } = this.#findRun(pages, 1);
    this.#used[USED_BYTES]! += pages * PAGE_BYTES;
    const segment = this.#segments[number]!;
    segment.runPages[page] = pages;
    const ref = number * (SEGMENT_MASK + 1) + page * PAGE_GRANULES;
    this.#pages.touch(ref, 0, pages * PAGE_BYTES);
    return asRef(ref);
  }

  #freeRun(segment: Segment, ref: Ref): void {
    const page = (ref & SEGMENT_MASK) / PAGE_GRANULES;
    const pages = segment.runPages[page]!;
    assert(pages > 0, 'free of no run');
    segment.runPages[page] = 0;
    this.#used[USED_BYTES]! -= pages * PAGE_BYTES;
    this.#giveBack(segment, ref >>> SEGMENT_SHIFT, page, pages);
  }

  /** An image may still read the segment through its own views; here its number is free for another. */
  #freeSingle(number: number): void {
    const bytes = this.#segments[number]!.pages * PAGE_BYTES;
    assert(bytes > 0, 'object freed twice');
    this.#used[USED_BYTES]! -= bytes;
    this.#used[PAGE_USE_BYTES]! -= bytes;
    this.#segments[number] = NO_SEGMENT;
    this.#onSegment(number);
  }

  #giveBack(segment: Segment, number: number, page: number, pages: number): void {
    markPages(segment.pageBitmap, page, pages, false);
    this.#used[PAGE_USE_BYTES]! -= pages * PAGE_BYTES;
    if (page < this.#runHint[number]!) this.#runHint[number] = page;
    this.#pages.takeBack(segment, page, pages);
  }

  /** Finds `pages` free pages in a row, the first a multiple of `align`, and marks them used. */
  #findRun(pages: number, align: number): { number: number; page: number } {
    const count = this.#segments.length;
    for (let i = 0; i < count; i++) {
      const number = (this.#runSegment + i) % count;
      const page = this.#searchSegment(number, pages, align);
      if (page >= 0) return this.#takeRun(number, page, pages);
    }
    const number = this.#addSegment(SEGMENT_BYTES, false);
    return this.#takeRun(number, this.#searchSegment(number, pages, align), pages);
  }

  #takeRun(number: number, page: number, pages: number): { number: number; page: number } {
    const segment = this.#segments[number]!;
    markPages(segment.pageBitmap, page, pages, true);
    this.#used[PAGE_USE_BYTES]! += pages * PAGE_BYTES;
    this.#runSegment = number;
    this.#pages.handOut(segment, page, pages);
    return { number, page };
  }

  /** First fit in one segment; -1 when there is none. The hint moves past the pages that are known to be in use. */
  #searchSegment(number: number, pages: number, align: number): number {
    const segment = this.#segments[number]!;
    if (segment.share.meta === undefined) return -1;
    const bitmap = segment.pageBitmap;
    let page = nextPage(bitmap, this.#runHint[number] ?? 0, FREE);
    this.#runHint[number] = page;
    page = Math.ceil(page / align) * align;
    while (page + pages <= SEGMENT_PAGES) {
      const end = nextPage(bitmap, page, USED);
      if (end - page >= pages) return page;
      page = Math.ceil(nextPage(bitmap, end, FREE) / align) * align;
    }
    return -1;
  }

  #addSegment(bytes: number, singleObject: boolean): number {
    // By length, not by identity: an adopted arena has its own absent segments.
    let number = this.#segments.findIndex((segment) => segment.pages === 0);
    if (number < 0) number = this.#segments.length;
    if (number >= SEGMENTS_MAX)
      throw new OperatingError(ErrorCode.ARENA_FULL, 'the arena has no segment number left');
    let segment: Segment;
    try {
      segment = reserveSegment(bytes, singleObject);
    } catch (error) {
      // RangeError is what V8 throws when the system refuses the memory.
      if (!(error instanceof RangeError)) throw error;
      throw new OperatingError(ErrorCode.ARENA_FULL, `the system refuses ${bytes} bytes of memory`);
    }
    this.#segments[number] = segment;
    this.#runHint[number] = 0;
    // Granule 0 of segment 0 is NIL: its page is never handed out.
    if (number === 0) segment.pageBitmap[0] = 1;
    this.#onSegment(number);
    return number;
  }

  /** Reserves segment 0, so that no object of its own segment gets ref NIL. */
  prepare(): void {
    if (this.#segments.length === 0) this.#addSegment(SEGMENT_BYTES, false);
  }

  /** Checks all slabs and runs against each other; for tests. Cost: all pages. */
  validate(): void {
    let pageUse = 0;
    for (const [number, segment] of this.#segments.entries()) {
      if (segment.share.meta === undefined) {
        pageUse += segment.pages * PAGE_BYTES;
        continue;
      }
      const first = number === 0 ? 1 : 0;
      const owned = new Uint8Array(SEGMENT_PAGES);
      for (let block = 0; block < SEGMENT_BLOCKS; block++) {
        const at = block * SLAB_WORDS;
        if (segment.slabs[at + SlabWord.KIND] === 0) continue;
        owned.fill(1, block * BLOCK_PAGES, (block + 1) * BLOCK_PAGES);
        if (segment.slabs[at + SlabWord.KIND] === SLAB_INNER) continue;
        const index = segment.slabs[at + SlabWord.KIND]! - 1;
        let free = 0;
        for (let i = 0; i < classCapacity[index]!; i++) {
          const word = segment.slabBitmap[block * BITMAP_WORDS_PER_BLOCK + (i >>> 5)]!;
          if ((word & (1 << (i & 31))) !== 0) free++;
        }
        assert(free === segment.slabs[at + SlabWord.FREE], 'the free count of a slab is that of its bitmap');
      }
      for (let page = first; page < SEGMENT_PAGES; page++) {
        const run = segment.runPages[page]!;
        for (let i = 0; i < run; i++) {
          assert(owned[page + i] === 0, 'a run overlaps nothing');
          owned[page + i] = 1;
        }
      }
      for (let page = first; page < SEGMENT_PAGES; page++) {
        const used = (segment.pageBitmap[page >>> 5]! & (1 << (page & 31))) !== 0;
        assert(used === (owned[page] === 1), 'a page is in use when a slab or a run has it');
        if (used) pageUse += PAGE_BYTES;
      }
    }
    assert(pageUse === this.pageUseBytes, 'the count of page bytes is that of the bitmaps');
  }
}

/** What {@link nextPage} turns over, so that the pages that it looks for are ones. */
const USED = 0;
const FREE = -1;

/** The first page from `page` on that is used, or free; SEGMENT_PAGES when there is none. Looks at 32 pages at once. */
function nextPage(bitmap: Int32Array, page: number, wanted: number): number {
  if (page >= SEGMENT_PAGES) return SEGMENT_PAGES;
  let word = page >>> 5;
  let bits = (bitmap[word]! ^ wanted) & (-1 << (page & 31));
  while (bits === 0) {
    if (++word === SEGMENT_PAGES >>> 5) return SEGMENT_PAGES;
    bits = bitmap[word]! ^ wanted;
  }
  return (word << 5) + 31 - Math.clz32(bits & -bits);
}

/** Sets or clears the bits of `pages` pages from `page` on. */
function markPages(bitmap: Int32Array, page: number, pages: number, isUsed: boolean): void {
  const end = page + pages;
  for (let at = page; at < end; ) {
    const inWord = at & 31;
    const count = Math.min(32 - inWord, end - at);
    const mask = (count === 32 ? -1 : (1 << count) - 1) << inWord;
    if (isUsed) bitmap[at >>> 5]! |= mask;
    else bitmap[at >>> 5]! &= ~mask;
    at += count;
  }
}

/** Stands where a single-object segment was. */
const NO_SEGMENT: Segment = reserveSegment(0, true);
