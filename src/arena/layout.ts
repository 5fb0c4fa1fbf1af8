/**
 * How an arena's memory is laid out: the numbers that everything in it agrees on.
 *
 *   ref (31 bits)    ┌─ segment number: 8 bits ─┬─ granule in the segment: 23 bits ─┐
 *   granule          8 bytes; every object starts on one
 *   page             4 KiB, the unit of copy-on-write
 *   block            64 KiB, 16 pages: what a slab of small objects is made of
 *   segment          64 MiB SharedArrayBuffer; untouched pages of it cost no memory
 *
 * 256 segments of 64 MiB are 16 GiB. An object beyond LARGE_BYTES_MAX has a segment of its own, as long as it must be;
 * refs point at the start of an object only, so its length is not limited by the granules of a ref.
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
 * Bytes in front of the data of a segment. A SharedArrayBuffer of this size comes from the C library's malloc, and that of
 * glibc puts 16 bytes of its own at the start of the pages that it maps. With these behind them the data begins on a page of
 * the system: a page of ours is one of its pages, and what is aligned to a cache line here lies in one. Elsewhere it
 * costs a page of addresses. Bench: get-set, GET at depth 64.
 */
export const DATA_OFFSET_BYTES = PAGE_BYTES - 16;

/** Beyond this an object gets a segment of its own. */
export const LARGE_BYTES_MAX = SEGMENT_BYTES / 2;
/** The longest object: a string of 512 MiB with its header and room to grow. */
export const OBJECT_BYTES_MAX = 1024 * 1024 * 1024;

/** Shadow pages come in chunks of one segment's size. */
export const SHADOW_CHUNK_PAGES = SEGMENT_PAGES;
export const SHADOW_CHUNK_SHIFT = 14;

/** Byte position of an object in its segment. */
export const bytePosition = (ref: number): number => (ref & SEGMENT_MASK) * GRANULE_BYTES;
/** Index of an object's first 32-bit word in its segment. */
export const wordPosition = (ref: number): number => (ref & SEGMENT_MASK) << 1;

assert(SEGMENT_BYTES === 64 * 1024 * 1024, 'a segment is 64 MiB');
assert(SEGMENTS_MAX * 2 ** SEGMENT_SHIFT === 2 ** 31, 'refs have 31 bits');
assert(1 << SHADOW_CHUNK_SHIFT === SHADOW_CHUNK_PAGES, 'a shadow slot number splits into chunk and page');
assert(1 << PAGE_SHIFT === PAGE_BYTES, 'the page shift is that of the page');
