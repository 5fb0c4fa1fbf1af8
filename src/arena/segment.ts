/**
 * Groups of segments: their data, the marks of copy-on-write and the allocator's bookkeeping. All
 * of it is in SharedArrayBuffers, so that a group can go to another thread as a {@link GroupShare}.
 *
 *   buffer   who writes                      what
 *   data     the arena's owner               objects, from DATA_OFFSET_BYTES on
 *   marks    the arena's owner, after a      per page: the freeze epoch whose image no longer
 *            page's copy is complete         reads the live page
 *   shadow   the arena's owner, before       per page: the shadow slot that holds the page, or
 *            the mark                        NO_SHADOW when the page was not part of the image
 *   meta     the arena's owner only          page bitmap, runs, slab bitmaps (layout below);
 *                                            images never read it
 *
 *   meta     PAGES bits         pageBitmap      runPages … slabBitmap: one array after the other,
 *            PAGES words        runPages        each for all segments of the group
 *            PAGES words        freedEpoch
 *            PAGES words        unitMarks
 *            BLOCKS x 5 words   slabs
 *            BLOCKS x 128 words slabBitmap
 *
 * A {@link Segment} has views of all that from its own start to the end of its group, because an
 * object may continue into the next segments. So one page has several indexes, one in each segment
 * up to its own; they lead to the same words.
 */
import { withView } from '../base/byte-copy.ts';
import { MemoryKind, type SharedMemory } from '../base/shared-memory.ts';
import {
  BLOCK_BYTES,
  DATA_OFFSET_BYTES,
  SEGMENT_BLOCKS,
  SEGMENT_BYTES,
  SEGMENT_PAGES,
} from './layout.ts';
import { SMALL_BYTES_MIN } from './size-classes.ts';

/** Shadow slot of a page that was handed out after the freeze. */
export const NO_SHADOW = -1;

/** 32-bit words of slab bitmap per block: one bit for each object of the smallest class. */
export const BITMAP_WORDS_PER_BLOCK = BLOCK_BYTES / SMALL_BYTES_MIN / 32;

/**
 * The state of the slab that begins at a block, in words of {@link Segment.slabs}. Slab numbers are
 * segment number x SEGMENT_BLOCKS + block; links hold a slab number + 1, 0 for none.
 */
export const SlabWord = {
  /** Size class + 1; 0 when no slab begins here; SLAB_INNER in the further blocks of a slab. */
  KIND: 0,
  /** Free objects left. */
  FREE: 1,
  /** First bitmap word that may have a free object. */
  HINT: 2,
  NEXT: 3,
  PREVIOUS: 4,
} as const;
export const SLAB_WORDS = 5;
export const SLAB_INNER = -1;

const PAGE_BITMAP_WORDS = SEGMENT_PAGES / 32;
/** Words of the meta buffer for one segment. */
const META_WORDS =
  PAGE_BITMAP_WORDS +
  SEGMENT_PAGES * 3 +
  SEGMENT_BLOCKS * BITMAP_WORDS_PER_BLOCK +
  SEGMENT_BLOCKS * SLAB_WORDS;

export interface GroupShare {
  /** Number of its first segment. */
  readonly first: number;
  /** The number of its segments; 0 where there is none. */
  readonly count: number;
  /** Whether the group was made for objects beyond LARGE_BYTES_MAX. */
  readonly isLarge: boolean;
  readonly data: SharedArrayBuffer;
  readonly marks: SharedArrayBuffer;
  readonly shadow: SharedArrayBuffer;
  readonly meta: SharedArrayBuffer;
}

/** The data of a group from its segment `index` on, as words, for readers of an image. */
export function dataWords(share: GroupShare, index: number): Int32Array {
  return new Int32Array(share.data, DATA_OFFSET_BYTES + index * SEGMENT_BYTES);
}

/** One word per page from segment `index` of a group on. */
export function pageWords(buffer: SharedArrayBuffer, index: number): Int32Array {
  return new Int32Array(buffer, index * SEGMENT_PAGES * 4);
}

export class Segment {
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly f64: Float64Array;
  readonly marks: Int32Array;
  readonly shadow: Int32Array;
  /** One bit per page, set while the page is in use. */
  readonly pageBitmap: Int32Array;
  /** By first page: pages in the run of a large object, else 0. */
  readonly runPages: Int32Array;
  /** By page: the epoch during which the page was freed, else 0. */
  readonly freedEpoch: Int32Array;
  /** By page: the unit (unit.ts) that has copied or allocated the page. */
  readonly unitMarks: Int32Array;
  /** SLAB_WORDS words per block, see {@link SlabWord}. */
  readonly slabs: Int32Array;
  /** One bit per small object, set while it is free; BITMAP_WORDS_PER_BLOCK words per block. */
  readonly slabBitmap: Int32Array;

  /** Segment `index` of a group. */
  constructor(share: GroupShare, index: number) {
    const dataAt = DATA_OFFSET_BYTES + index * SEGMENT_BYTES;
    this.u8 = withView(new Uint8Array(share.data, dataAt));
    this.i32 = dataWords(share, index);
    this.f64 = new Float64Array(share.data, dataAt);
    this.marks = pageWords(share.marks, index);
    this.shadow = pageWords(share.shadow, index);
    const { count, meta } = share;
    let at = 0;
    const take = (wordsPerSegment: number): Int32Array => {
      const from = at + index * wordsPerSegment;
      at += count * wordsPerSegment;
      return new Int32Array(meta, from * 4, at - from);
    };
    this.pageBitmap = take(PAGE_BITMAP_WORDS);
    this.runPages = take(SEGMENT_PAGES);
    this.freedEpoch = take(SEGMENT_PAGES);
    this.unitMarks = take(SEGMENT_PAGES);
    this.slabs = take(SEGMENT_BLOCKS * SLAB_WORDS);
    this.slabBitmap = take(SEGMENT_BLOCKS * BITMAP_WORDS_PER_BLOCK);
  }
}

export class Group {
  readonly share: GroupShare;
  readonly first: number;
  readonly count: number;
  readonly isLarge: boolean;
  readonly pages: number;
  readonly segments: readonly Segment[];
  /** Pages in use, including the first page of segment 0. */
  usedPages = 0;
  /** The number after the last page that was ever in use: about the resident memory. */
  touchedPages = 0;
  /** The page from which a search for a run begins. */
  runHint = 0;

  constructor(share: GroupShare) {
    this.share = share;
    this.first = share.first;
    this.count = share.count;
    this.isLarge = share.isLarge;
    this.pages = share.count * SEGMENT_PAGES;
    this.segments = Array.from({ length: share.count }, (_, index) => new Segment(share, index));
    const { pageBitmap } = this.segments[0]!;
    for (let i = 0; i < pageBitmap.length; i++) {
      if (pageBitmap[i] === 0) continue;
      this.usedPages += bitCount(pageBitmap[i]!);
      this.touchedPages = (i + 1) * 32;
    }
  }

  /** The views that reach over the whole group. */
  get all(): Segment {
    return this.segments[0]!;
  }
}

function bitCount(word: number): number {
  let count = 0;
  for (let rest = word; rest !== 0; rest &= rest - 1) count++;
  return count;
}

/**
 * Reserves the memory of `count` segments. Marks, shadow and meta are zeroed, as new memory is.
 * Throws RangeError when the system refuses it.
 */
export function reserveGroup(
  memory: SharedMemory,
  first: number,
  count: number,
  isLarge: boolean,
): GroupShare {
  const taken: SharedArrayBuffer[] = [];
  const take = (bytes: number): SharedArrayBuffer => {
    const buffer = memory.take(MemoryKind.SEGMENT, bytes);
    taken.push(buffer);
    return buffer;
  };
  try {
    return {
      first,
      count,
      isLarge,
      data: take(DATA_OFFSET_BYTES + count * SEGMENT_BYTES),
      marks: take(count * SEGMENT_PAGES * 4),
      shadow: take(count * SEGMENT_PAGES * 4),
      meta: take(count * META_WORDS * 4),
    };
  } catch (error) {
    for (const buffer of taken) memory.drop(MemoryKind.SEGMENT, buffer, 0);
    throw error;
  }
}

/** Counts a group from another thread as in use. */
export function adoptGroup(memory: SharedMemory, share: GroupShare): void {
  for (const buffer of buffersOf(share)) memory.adopt(MemoryKind.SEGMENT, buffer);
}

/** Gives a group to another arena of the same owner of memory, which adopts it. */
export function passGroup(memory: SharedMemory, share: GroupShare): void {
  for (const buffer of buffersOf(share)) memory.pass(MemoryKind.SEGMENT, buffer);
}

/** Gives up a group with `touchedBytes` touched bytes of data; images may still read it. */
export function dropGroup(memory: SharedMemory, share: GroupShare, touchedBytes: number): void {
  for (const buffer of buffersOf(share))
    memory.drop(MemoryKind.SEGMENT, buffer, buffer === share.data ? touchedBytes : 0);
}

function buffersOf({ data, marks, shadow, meta }: GroupShare): SharedArrayBuffer[] {
  return [data, marks, shadow, meta];
}

const NOTHING = new SharedArrayBuffer(0);

/** The segment under all numbers without a group. */
export const NO_SEGMENT = new Segment(
  {
    first: 0,
    count: 0,
    isLarge: false,
    data: new SharedArrayBuffer(DATA_OFFSET_BYTES),
    marks: NOTHING,
    shadow: NOTHING,
    meta: NOTHING,
  },
  0,
);
