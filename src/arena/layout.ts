/**
 * The layout of an arena's memory: the numbers that are common to all parts of it.
 *
 *   ref (31 bits)    ┌─ segment number: 8 bits ─┬─ granule in the segment: 23 bits ─┐
 *   granule          8 bytes; every object starts on one
 *   page             4 KiB, the unit of copy-on-write
 *   block            64 KiB, 16 pages: what a slab of small objects is made of
 *   segment          64 MiB of addresses under one number; untouched pages of it cost no memory
 *   group            1 to 16 segments of consecutive numbers in one SharedArrayBuffer
 *
 *   group     ┌─ segment k ──────┬─ segment k + 1 ──┬─ segment k + 2 ──┐
 *             │ object ┌ object that goes on into the next segments ┐  │
 *             └──────────────────┴──────────────────┴──────────────────┘
 *   views     u8[k]     ├────────────────────────────────────────────────────────┤
 *             u8[k + 1]                    ├─────────────────────────────────────┤
 *             u8[k + 2]                                       ├──────────────────┤
 *
 * 256 segments of 64 MiB are 16 GiB. A ref tells only the start of an object. The granules of a ref
 * do not limit its length, since the views of a segment reach to the end of its group. So an object
 * of any size is one run of adjacent pages.
 *
 * Small objects and runs up to LARGE_BYTES_MAX live in plain groups of one segment. Longer objects
 * live in large groups, see {@link groupSegmentsFor}. When no number is left, each kind fills the
 * gaps of the other.
 */
import { assert } from '../base/assert.ts';

export const GRANULE_BYTES = 8;
export const PAGE_BYTES = 4096;
export const PAGE_SHIFT = 12;
export const PAGE_WORDS = PAGE_BYTES / 4;

export const SEGMENT_SHIFT = 23;
export const SEGMENT_MASK = (1 << SEGMENT_SHIFT) - 1;
export const SEGMENT_BYTES = (1 << SEGMENT_SHIFT) * GRANULE_BYTES;
export const SEGMENT_PAGES = SEGMENT_BYTES / PAGE_BYTES;
export const SEGMENTS_MAX = 256;

export const BLOCK_BYTES = 65536;
export const BLOCK_PAGES = BLOCK_BYTES / PAGE_BYTES;
export const BLOCK_GRANULES = BLOCK_BYTES / GRANULE_BYTES;
export const SEGMENT_BLOCKS = SEGMENT_BYTES / BLOCK_BYTES;

/**
 * Bytes in front of the data of a segment. A SharedArrayBuffer of this size comes from the C
 * library's malloc, and glibc puts 16 bytes of its own at the start of the pages that it maps.
 * These bytes follow them, so that the data begins on a page of the system: our pages are then its
 * pages, and our cache lines its cache lines. With other libraries this costs a page of addresses.
 * Bench: get-set, GET at depth 64.
 */
export const DATA_OFFSET_BYTES = PAGE_BYTES - 16;

/** The longest object of a plain group. */
export const LARGE_BYTES_MAX = SEGMENT_BYTES / 2;
export const LARGE_PAGES_MAX = LARGE_BYTES_MAX / PAGE_BYTES;
/** The longest object: a string of 512 MiB with its header and room to grow. */
export const OBJECT_BYTES_MAX = 1024 * 1024 * 1024;

/** The most segments of one group. */
export const GROUP_SEGMENTS_MAX = OBJECT_BYTES_MAX / SEGMENT_BYTES;
/**
 * The greatest length of a group for several objects: its memory goes back only when all of them
 * are gone.
 */
const SHARED_GROUP_SEGMENTS_MAX = 8;
/** The part of a group that may stay unused at its end. */
const GROUP_WASTE_MAX = 1 / 16;

/**
 * Returns the number of segments of a new group for an object of `pages` pages and for others of
 * that size. It is the shortest group that such objects fill almost completely, or else the group
 * with the smallest unused part. Example: for 33 MiB 6 segments, with 11 objects. Beyond half a GiB
 * the group is fitted to one object.
 */
export function groupSegmentsFor(pages: number): number {
  const shortest = Math.ceil(pages / SEGMENT_PAGES);
  let best = shortest;
  let leastWaste = 1;
  for (let count = shortest; count <= SHARED_GROUP_SEGMENTS_MAX; count++) {
    const all = count * SEGMENT_PAGES;
    const waste = (all % pages) / all;
    if (waste < leastWaste) {
      best = count;
      leastWaste = waste;
    }
    if (leastWaste <= GROUP_WASTE_MAX) break;
  }
  return best;
}

/** Shadow pages come in chunks of one segment's size. */
export const SHADOW_CHUNK_PAGES = SEGMENT_PAGES;
export const SHADOW_CHUNK_SHIFT = 14;

/** Byte position of an object in the views of its segment. */
export const bytePosition = (ref: number): number => (ref & SEGMENT_MASK) * GRANULE_BYTES;
/** Index of an object's first 32-bit word in its segment. */
export const wordPosition = (ref: number): number => (ref & SEGMENT_MASK) << 1;

assert(SEGMENT_BYTES === 64 * 1024 * 1024, 'a segment is 64 MiB');
assert(SEGMENTS_MAX * 2 ** SEGMENT_SHIFT === 2 ** 31, 'refs have 31 bits');
assert(GROUP_SEGMENTS_MAX === 16, 'the longest object fills a group');
assert(
  1 << SHADOW_CHUNK_SHIFT === SHADOW_CHUNK_PAGES,
  'a shadow slot number splits into chunk and page',
);
assert(1 << PAGE_SHIFT === PAGE_BYTES, 'the page shift is that of the page');
