/**
 * One segment of an arena: its data, the marks of copy-on-write and the allocator's bookkeeping. All of it is
 * SharedArrayBuffers, so that a segment crosses to another thread as a {@link SegmentShare}.
 *
 *   buffer   who writes                      what
 *   data     the arena's owner               objects, from DATA_OFFSET_BYTES on
 *   marks    the arena's owner, after a      per page: the freeze epoch whose image no longer reads the live page
 *            page's copy is complete
 *   shadow   the arena's owner, before       per page: the shadow slot that holds the page, or NO_SHADOW when the
 *            the mark                        page was not part of the image at all
 *   meta     the arena's owner only          page bitmap, runs, slab bitmaps (layout below); images never read it
 */
import { withView } from '../base/byte-copy.ts';
import { MemoryKind, type SharedMemory } from '../base/shared-memory.ts';
import { BLOCK_BYTES, DATA_OFFSET_BYTES, PAGE_BYTES, SEGMENT_BLOCKS, SEGMENT_PAGES } from './layout.ts';
import { SMALL_BYTES_MIN } from './size-classes.ts';

/** Shadow slot of a page that was handed out after the freeze. */
export const NO_SHADOW = -1;

/** 32-bit words of slab bitmap per block: one bit for each object of the smallest class. */
export const BITMAP_WORDS_PER_BLOCK = BLOCK_BYTES / SMALL_BYTES_MIN / 32;

/**
 * What is known of the slab that begins at a block, in words of {@link Segment.slabs}. Slab numbers are
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
const META_WORDS =
  PAGE_BITMAP_WORDS +
  SEGMENT_PAGES * 2 +
  SEGMENT_BLOCKS * BITMAP_WORDS_PER_BLOCK +
  SEGMENT_BLOCKS * SLAB_WORDS;

export interface SegmentShare {
  readonly data: SharedArrayBuffer;
  readonly marks: SharedArrayBuffer;
  readonly shadow: SharedArrayBuffer;
  /** Absent for a segment that holds a single object. */
  readonly meta: SharedArrayBuffer | undefined;
}

/** The data of a segment as words, for who reads an image of it. */
export function dataWords(share: SegmentShare): Int32Array {
  return new Int32Array(share.data, DATA_OFFSET_BYTES);
}

export class Segment {
  readonly share: SegmentShare;
  readonly u8: Uint8Array;
  readonly i32: Int32Array;
  readonly f64: Float64Array;
  readonly pages: number;
  readonly marks: Int32Array;
  readonly shadow: Int32Array;
  /** One bit per page, set while the page is in use. */
  readonly pageBitmap: Int32Array;
  /** By first page: pages in the run of a large object, else 0. */
  readonly runPages: Int32Array;
  /** By page: the epoch during which the page was given back, else 0. */
  readonly freedEpoch: Int32Array;
  /** SLAB_WORDS words per block, see {@link SlabWord}. */
  readonly slabs: Int32Array;
  /** One bit per small object, set while it is free; BITMAP_WORDS_PER_BLOCK words per block. */
  readonly slabBitmap: Int32Array;

  constructor(share: SegmentShare) {
    this.share = share;
    this.u8 = withView(new Uint8Array(share.data, DATA_OFFSET_BYTES));
    this.i32 = dataWords(share);
    this.f64 = new Float64Array(share.data, DATA_OFFSET_BYTES);
    this.pages = this.u8.length / PAGE_BYTES;
    this.marks = new Int32Array(share.marks);
    this.shadow = new Int32Array(share.shadow);
    const meta = share.meta ?? NO_META;
    let word = 0;
    const take = (words: number): Int32Array => {
      const view = new Int32Array(meta, share.meta ? word * 4 : 0, share.meta ? words : 0);
      word += words;
      return view;
    };
    this.pageBitmap = take(PAGE_BITMAP_WORDS);
    this.runPages = take(SEGMENT_PAGES);
    this.freedEpoch = take(SEGMENT_PAGES);
    this.slabs = take(SEGMENT_BLOCKS * SLAB_WORDS);
    this.slabBitmap = take(SEGMENT_BLOCKS * BITMAP_WORDS_PER_BLOCK);
  }
}

const NO_META = new SharedArrayBuffer(0);

/**
 * Reserves a segment: `dataBytes` is a multiple of the page. Marks, shadow and meta are zeroed, as new memory is. Throws
 * RangeError when the system refuses the memory.
 */
export function reserveSegment(memory: SharedMemory, dataBytes: number, singleObject: boolean): Segment {
  const pages = dataBytes / PAGE_BYTES;
  const taken: SharedArrayBuffer[] = [];
  const take = (bytes: number): SharedArrayBuffer => {
    const buffer = memory.take(MemoryKind.SEGMENT, bytes);
    taken.push(buffer);
    return buffer;
  };
  try {
    return new Segment({
      data: take(DATA_OFFSET_BYTES + dataBytes),
      marks: take(pages * 4),
      shadow: take(pages * 4),
      meta: singleObject ? undefined : take(META_WORDS * 4),
    });
  } catch (error) {
    for (const buffer of taken) memory.drop(MemoryKind.SEGMENT, buffer, 0);
    throw error;
  }
}

/** Counts a segment as in use that another thread has filled. */
export function adoptSegment(memory: SharedMemory, share: SegmentShare): void {
  for (const buffer of buffersOf(share)) memory.adopt(MemoryKind.SEGMENT, buffer);
}

/** Gives a segment up, of whose data so many bytes were touched; images may still read it. */
export function dropSegment(memory: SharedMemory, share: SegmentShare, touchedBytes: number): void {
  for (const buffer of buffersOf(share))
    memory.drop(MemoryKind.SEGMENT, buffer, buffer === share.data ? touchedBytes : 0);
}

function buffersOf({ data, marks, shadow, meta }: SegmentShare): SharedArrayBuffer[] {
  return meta === undefined ? [data, marks, shadow] : [data, marks, shadow, meta];
}
