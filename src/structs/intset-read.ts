/**
 * Hot path. Reads an intset from any byte array, and checks whether bytes of unknown origin are
 * one.
 *
 *   byte 0   WIDTH   u32 LE: bytes per integer, 2, 4 or 8
 *   byte 4   COUNT   u32 LE
 *   byte 8   signed integers, LE, strictly ascending
 *
 * All functions take positions in `u8`. Only {@link validateIntset} checks the bytes; the others
 * trust them. No state, any thread.
 */
import { compareInt64, Int64 } from './int64.ts';
import { readU32 } from './listpack-read.ts';

export const INTSET_HEADER_BYTES = 8;
export const INTSET_COUNT_AT = 4;
/** The index of an absent value. */
export const NOT_FOUND = -1;

export const intsetWidth = readU32;

export function intsetCount(u8: Uint8Array, base: number): number {
  return readU32(u8, base + INTSET_COUNT_AT);
}

export function intsetBytes(u8: Uint8Array, base: number): number {
  return INTSET_HEADER_BYTES + intsetWidth(u8, base) * intsetCount(u8, base);
}

/** Returns the smallest width, in bytes, that holds the value. */
export function widthFor(high: number, low: number): number {
  if (low >> 31 !== high) return 8;
  return low >= -32768 && low <= 32767 ? 2 : 4;
}

/** Sets `out` to the integer at an existing index. */
export function readInteger(u8: Uint8Array, base: number, index: number, out: Int64): void {
  const width = intsetWidth(u8, base);
  const at = base + INTSET_HEADER_BYTES + index * width;
  if (width === 2) out.low = read16(u8, at);
  else out.low = readU32(u8, at) | 0;
  out.high = width === 8 ? readU32(u8, at + 4) | 0 : out.low >> 31;
}

/**
 * Returns the index of the first integer that is not below the value. This is the value's own
 * index, or the index where it belongs.
 */
export function lowerBound(u8: Uint8Array, base: number, high: number, low: number): number {
  const width = intsetWidth(u8, base);
  const start = base + INTSET_HEADER_BYTES;
  let from = 0;
  let until = intsetCount(u8, base);
  if (width < widthFor(high, low)) return high < 0 ? 0 : until;
  while (from < until) {
    const middle = (from + until) >>> 1;
    const at = start + middle * width;
    let difference: number;
    if (width === 2) difference = read16(u8, at) - low;
    else if (width === 4) difference = (readU32(u8, at) | 0) - low;
    else difference = compareInt64(readU32(u8, at + 4) | 0, readU32(u8, at), high, low);
    if (difference < 0) from = middle + 1;
    else until = middle;
  }
  return from;
}

/** Returns the index of the value, or {@link NOT_FOUND}. */
export function indexOfInteger(u8: Uint8Array, base: number, high: number, low: number): number {
  const index = lowerBound(u8, base, high, low);
  if (index === intsetCount(u8, base)) return NOT_FOUND;
  const width = intsetWidth(u8, base);
  if (width < widthFor(high, low)) return NOT_FOUND;
  const at = base + INTSET_HEADER_BYTES + index * width;
  if (width === 2) return read16(u8, at) === low ? index : NOT_FOUND;
  if ((readU32(u8, at) | 0) !== low) return NOT_FOUND;
  return width === 4 || (readU32(u8, at + 4) | 0) === high ? index : NOT_FOUND;
}

function read16(u8: Uint8Array, at: number): number {
  return ((u8[at]! << 16) | (u8[at + 1]! << 24)) >> 16;
}

/** Returns whether [start, start + length) of `bytes` is an intset with at least one integer. */
export function validateIntset(bytes: Uint8Array, start: number, length: number): boolean {
  if (length < INTSET_HEADER_BYTES) return false;
  const width = intsetWidth(bytes, start);
  if (width !== 2 && width !== 4 && width !== 8) return false;
  const count = intsetCount(bytes, start);
  if (count === 0 || INTSET_HEADER_BYTES + count * width !== length) return false;
  const before = new Int64();
  const value = new Int64();
  readInteger(bytes, start, 0, before);
  for (let i = 1; i < count; i++) {
    readInteger(bytes, start, i, value);
    if (compareInt64(before.high, before.low, value.high, value.low) >= 0) return false;
    before.high = value.high;
    before.low = value.low;
  }
  return true;
}
