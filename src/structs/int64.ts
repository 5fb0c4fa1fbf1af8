/**
 * Hot path. Signed 64-bit integers as two 32-bit halves: listpacks and intsets hold them, and a
 * double is exact only up to 2^53. No bigint, since each operation on one may allocate. No state
 * except the caller's, any thread.
 */
import { decimalLength, parseInteger, writeDecimal } from '../base/bytes.ts';

const ZERO = 0x30;
const MINUS = 0x2d;
const TWO_32 = 2 ** 32;
const BILLION = 1e9;
const BILLION_DIGITS = 9;
/**
 * The smallest integer with more than 15 digits has 16. {@link parseInteger} has handled the
 * shorter ones.
 */
const WIDE_DIGITS_MIN = 16;
const WIDE_DIGITS_MAX = 19;

/** "-9223372036854775808" */
export const INT64_TEXT_BYTES_MAX = 20;

/** A value in two halves, both signed 32-bit integers. `low` holds the low bits. */
export class Int64 {
  high = 0;
  low = 0;

  /** Sets the value to a safe integer. */
  setNumber(value: number): void {
    this.high = highHalf(value);
    this.low = value | 0;
  }
}

/** Returns the high half of a safe integer. The low half is `value | 0`. */
export const highHalf = (value: number): number => Math.floor(value / TWO_32) | 0;

/**
 * Returns the value as a double. It is exact if it is a safe integer; otherwise it is rounded to a
 * double that is not a safe integer.
 */
export const int64Number = (high: number, low: number): number => high * TWO_32 + (low >>> 0);

/** Returns a negative number, 0 or a positive number for a < b, a = b, a > b. */
export function compareInt64(aHigh: number, aLow: number, bHigh: number, bLow: number): number {
  return aHigh !== bHigh ? aHigh - bHigh : (aLow >>> 0) - (bLow >>> 0);
}

/**
 * Parses an integer in canonical form, as `string2ll` in Redis does, and sets `out`. Returns false,
 * and leaves `out` unchanged, when the bytes are not such an integer or it needs more than 64 bits.
 */
export function parseInt64Halves(
  bytes: Uint8Array,
  start: number,
  length: number,
  out: Int64,
): boolean {
  const value = parseInteger(bytes, start, length);
  if (!Number.isNaN(value)) {
    out.setNumber(value);
    return true;
  }
  const negative = bytes[start] === MINUS;
  const first = negative ? start + 1 : start;
  const end = start + length;
  const digits = end - first;
  if (digits < WIDE_DIGITS_MIN || digits > WIDE_DIGITS_MAX || bytes[first] === ZERO) return false;
  const split = end - BILLION_DIGITS;
  const head = digitsValue(bytes, first, split);
  const tail = digitsValue(bytes, split, end);
  if (head < 0 || tail < 0) return false;
  return joinWide(negative, head, tail, out);
}

/**
 * Sets `out` to ±(head · 10^9 + tail), for head below 10^10. Returns false when that needs more
 * than 64 bits.
 */
function joinWide(negative: boolean, head: number, tail: number, out: Int64): boolean {
  // The product is computed in 16-bit steps, so that each step stays below 2^53.
  const upper = Math.floor(head / 65536) * BILLION;
  const lower = (upper % 65536) * 65536 + (head % 65536) * BILLION + tail;
  const high = Math.floor(upper / 65536) + Math.floor(lower / TWO_32);
  const low = lower % TWO_32;
  if (high >= 0x8000_0000 && !(negative && high === 0x8000_0000 && low === 0)) return false;
  if (negative) {
    out.low = -low | 0;
    out.high = (low === 0 ? -high : ~high) | 0;
  } else {
    out.low = low | 0;
    out.high = high;
  }
  return true;
}

/** Returns the number that up to ten digits spell, or -1 when one of the bytes is not a digit. */
function digitsValue(bytes: Uint8Array, start: number, end: number): number {
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = bytes[at]! - ZERO;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/**
 * Writes the value in decimal at `at` and returns the position after it: up to
 * {@link INT64_TEXT_BYTES_MAX} bytes.
 */
export function writeInt64(bytes: Uint8Array, at: number, high: number, low: number): number {
  const value = int64Number(high, low);
  if (Number.isSafeInteger(value)) return writeDecimal(bytes, at, value);
  let upper = high >>> 0;
  let lower = low >>> 0;
  if (high < 0) {
    bytes[at++] = MINUS;
    upper = (low === 0 ? -high : ~high) >>> 0;
    lower = -low >>> 0;
  }
  // Long division by 10^9, 16 bits at a time.
  const middle = (upper % BILLION) * 65536 + (lower >>> 16);
  const last = (middle % BILLION) * 65536 + (lower & 0xffff);
  const head =
    Math.floor(upper / BILLION) * TWO_32 +
    Math.floor(middle / BILLION) * 65536 +
    Math.floor(last / BILLION);
  at = writeDecimal(bytes, at, head);
  return writePadded(bytes, at, last % BILLION);
}

function writePadded(bytes: Uint8Array, at: number, value: number): number {
  const end = at + BILLION_DIGITS;
  for (const firstDigit = end - decimalLength(value); at < firstDigit; at++) bytes[at] = ZERO;
  return writeDecimal(bytes, at, value);
}
