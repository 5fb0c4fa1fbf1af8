/**
 * Numbers and comparisons on bytes: parses a command's argument and prints a number. Hot path,
 * except the parsing and printing of fractions.
 *
 * All ranges are `(bytes, start, length)` and must lie inside `bytes`. No state, any thread. The
 * rules for numbers are those of Redis: string2ll for integers, strtod in the C locale for
 * fractions.
 */
import { binaryFloat64 } from './long-double.ts';

const ZERO = 0x30;
const NINE = 0x39;
const PLUS = 0x2b;
const MINUS = 0x2d;
const DOT = 0x2e;
const LOWER = 0x20;
const SPACE = 0x20;
const TAB = 0x09;
const CARRIAGE_RETURN = 0x0d;

/** Below this many bytes a loop over them is faster than a native call. */
const SHORT_TEXT_BYTES = 16;

/**
 * The integer that the bytes spell, or NaN when they are not one in canonical form (no sign but a
 * minus, no leading zero, no space, no "-0") or when it lies outside ±(2^53 - 1).
 */
export function parseInteger(bytes: Uint8Array, start: number, length: number): number {
  // "-9007199254740991" has 17 bytes.
  if (length < 1 || length > 17) return Number.NaN;
  const end = start + length;
  const negative = bytes[start] === MINUS;
  let at = negative ? start + 1 : start;
  if (at === end) return Number.NaN;
  let value = bytes[at]! - ZERO;
  if (value < 0 || value > 9) return Number.NaN;
  if (value === 0) return length === 1 ? 0 : Number.NaN;
  for (at++; at < end; at++) {
    const digit = bytes[at]! - ZERO;
    if (digit < 0 || digit > 9) return Number.NaN;
    // Sums up to 2^53 - 1 are exact. A greater sum is never rounded to a value below that.
    value = value * 10 + digit;
  }
  if (value > Number.MAX_SAFE_INTEGER) return Number.NaN;
  return negative ? -value : value;
}

const INT64_MAX = 0x7fff_ffff_ffff_ffffn;
const INT64_MIN = -0x8000_0000_0000_0000n;

/**
 * The same over the whole signed 64-bit range; undefined when it is not an integer or does not fit.
 * Allocates.
 */
export function parseInt64(bytes: Uint8Array, start: number, length: number): bigint | undefined {
  const small = parseInteger(bytes, start, length);
  if (!Number.isNaN(small)) return BigInt(small);
  if (length < 16 || length > 20) return undefined;
  const negative = bytes[start] === MINUS;
  const digits = negative ? start + 1 : start;
  if (bytes[digits] === ZERO) return undefined;
  for (let at = digits; at < start + length; at++) {
    if (bytes[at]! < ZERO || bytes[at]! > NINE) return undefined;
  }
  const value = BigInt(latin1(bytes, start, length));
  return value > INT64_MAX || value < INT64_MIN ? undefined : value;
}

/**
 * The double that the bytes spell, or undefined. Accepts what strtod accepts as a whole: decimals
 * with exponent, hex floats, inf and infinity in any case. Refuses NaN, the empty string, spaces at
 * either end, and numbers that overflow or whose nonzero digits round to zero, as Redis does.
 */
export function parseFloat64(bytes: Uint8Array, start: number, length: number): number | undefined {
  const integer = parseInteger(bytes, start, length);
  if (!Number.isNaN(integer)) return integer;
  const end = start + length;
  const first = bytes[start];
  const unsigned = length > 0 && (first === MINUS || first === PLUS) ? start + 1 : start;
  const form = decimalForm(bytes, unsigned, end);
  if (form !== NOT_DECIMAL) {
    const value = Number(latin1(bytes, start, length));
    if (value === 0 && form === DECIMAL) return undefined;
    return Number.isFinite(value) ? value : undefined;
  }
  const rest = end - unsigned;
  if (
    equalsIgnoreCase(bytes, unsigned, rest, 'INF') ||
    equalsIgnoreCase(bytes, unsigned, rest, 'INFINITY')
  ) {
    return first === MINUS ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }
  if (rest < 3 || bytes[unsigned] !== ZERO || (bytes[unsigned + 1]! | LOWER) !== 0x78)
    return undefined;
  return binaryFloat64(latin1(bytes, start, length));
}

/** Returns the number of bytes that a C library reads as text: those before the first zero byte. */
export function cStringLength(bytes: Uint8Array, start: number, length: number): number {
  for (let at = start; at < start + length; at++) if (bytes[at] === 0) return at - start;
  return length;
}

/** The number of blanks (C's isspace) at the start of the bytes. */
export function leadingSpaces(bytes: Uint8Array, start: number, length: number): number {
  let at = start;
  for (; at < start + length; at++) {
    const byte = bytes[at]!;
    if (byte !== SPACE && (byte < TAB || byte > CARRIAGE_RETURN)) break;
  }
  return at - start;
}

const NOT_DECIMAL = 0;
const DECIMAL = 1;
const DECIMAL_ZERO = 2;

/**
 * Tells whether [at, end) is an unsigned decimal fraction, and whether all its digits are zeros.
 * Takes linear time. A regular expression would run out of stack on an argument of many megabytes.
 */
function decimalForm(bytes: Uint8Array, at: number, end: number): number {
  let digits = 0;
  let form = DECIMAL_ZERO;
  let dots = 0;
  for (; at < end; at++) {
    const byte = bytes[at]!;
    if (byte >= ZERO && byte <= NINE) {
      digits++;
      if (byte !== ZERO) form = DECIMAL;
    } else if (byte !== DOT || ++dots > 1) break;
  }
  if (digits === 0) return NOT_DECIMAL;
  if (at === end) return form;
  if ((bytes[at]! | LOWER) !== 0x65) return NOT_DECIMAL;
  at++;
  if (at < end && (bytes[at] === PLUS || bytes[at] === MINUS)) at++;
  if (at === end) return NOT_DECIMAL;
  for (; at < end; at++) {
    if (bytes[at]! < ZERO || bytes[at]! > NINE) return NOT_DECIMAL;
  }
  return form;
}

/** Returns the number of bytes that {@link writeDecimal} writes for this safe integer. */
export function decimalLength(value: number): number {
  let length = 1;
  if (value < 0) {
    value = -value;
    length = 2;
  }
  if (value >= 1e8) {
    length += 8;
    value = Math.floor(value / 1e8);
    if (value >= 1e8) return length + 8;
  }
  return length - 1 + digitsOf(value | 0);
}

/** Digits of an integer from 0 up to 2^31 - 1. */
function digitsOf(value: number): number {
  if (value < 10_000) {
    if (value < 100) return value < 10 ? 1 : 2;
    return value < 1000 ? 3 : 4;
  }
  if (value < 100_000_000) {
    if (value < 1_000_000) return value < 100_000 ? 5 : 6;
    return value < 10_000_000 ? 7 : 8;
  }
  return value < 1_000_000_000 ? 9 : 10;
}

/** The digits of 0 to 99, two each. */
const PAIRS = new Uint8Array(200);
for (let value = 0; value < 100; value++) {
  PAIRS[value * 2] = ZERO + Math.floor(value / 10);
  PAIRS[value * 2 + 1] = ZERO + (value % 10);
}

/**
 * Writes an integer from 0 up to 2^31 - 1 so that it ends at `end`; returns where its digits begin.
 */
function writeDigits(bytes: Uint8Array, end: number, value: number): number {
  let rest = value;
  let back = end;
  if (rest >= 10_000) {
    // The lower four digits are separate: the two divisions then run in parallel.
    const quotient = (rest / 10_000) | 0;
    const lower = rest - quotient * 10_000;
    const high = (lower / 100) | 0;
    const low = (lower - high * 100) << 1;
    bytes[back - 4] = PAIRS[high << 1]!;
    bytes[back - 3] = PAIRS[(high << 1) + 1]!;
    bytes[back - 2] = PAIRS[low]!;
    bytes[back - 1] = PAIRS[low + 1]!;
    back -= 4;
    rest = quotient;
  }
  while (rest >= 100) {
    const quotient = (rest / 100) | 0;
    const pair = (rest - quotient * 100) << 1;
    back -= 2;
    bytes[back] = PAIRS[pair]!;
    bytes[back + 1] = PAIRS[pair + 1]!;
    rest = quotient;
  }
  if (rest >= 10) {
    back -= 2;
    bytes[back] = PAIRS[rest << 1]!;
    bytes[back + 1] = PAIRS[(rest << 1) + 1]!;
    return back;
  }
  bytes[--back] = ZERO + rest;
  return back;
}

/**
 * Writes a safe integer in decimal at `at` and returns the position after it. The caller has made
 * room.
 */
export function writeDecimal(bytes: Uint8Array, at: number, value: number): number {
  let start = at;
  if (value < 0) {
    bytes[start++] = MINUS;
    value = -value;
  }
  if (value <= 0x7fff_ffff) {
    const end = start + digitsOf(value | 0);
    writeDigits(bytes, end, value | 0);
    return end;
  }
  // Both halves are integers of 32 bits: up to 90,071,992 and 99,999,999.
  const head = Math.floor(value / 1e8);
  const middle = start + digitsOf(head | 0);
  writeDigits(bytes, middle, head | 0);
  const end = middle + 8;
  let back = writeDigits(bytes, end, (value - head * 1e8) | 0);
  while (back > middle) bytes[--back] = ZERO;
  return end;
}

/** Negative, 0 or positive, as memcmp over the common length. Then the shorter one comes first. */
export function compareBytes(
  a: Uint8Array,
  aStart: number,
  aLength: number,
  b: Uint8Array,
  bStart: number,
  bLength: number,
): number {
  const common = Math.min(aLength, bLength);
  for (let i = 0; i < common; i++) {
    const difference = a[aStart + i]! - b[bStart + i]!;
    if (difference !== 0) return difference;
  }
  return aLength - bLength;
}

/**
 * Whether the bytes spell `keyword`, which is given in upper-case ASCII, in any mixture of cases.
 */
export function equalsIgnoreCase(
  bytes: Uint8Array,
  start: number,
  length: number,
  keyword: string,
): boolean {
  if (length !== keyword.length) return false;
  for (let i = 0; i < length; i++) {
    let byte = bytes[start + i]!;
    if (byte >= 0x61 && byte <= 0x7a) byte -= LOWER;
    if (byte !== keyword.charCodeAt(i)) return false;
  }
  return true;
}

/** The bytes as a string whose char codes are the bytes. */
export function latin1(bytes: Uint8Array, start: number, length: number): string {
  if (length > SHORT_TEXT_BYTES) {
    return Buffer.from(bytes.buffer, bytes.byteOffset + start, length).toString('latin1');
  }
  let text = '';
  for (let i = 0; i < length; i++) text += String.fromCharCode(bytes[start + i]!);
  return text;
}

/** The reverse of {@link latin1}, in a new array. */
export function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/**
 * A double as printf prints it with "%.17g", which is how Redis 7.0 prints scores: 17 significant
 * digits without trailing zeros, so 3 is "3" and 0.1 is "0.10000000000000001".
 */
export function formatDouble(value: number): string {
  if (Number.isSafeInteger(value)) return Object.is(value, -0) ? '-0' : String(value);
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value < 0 ? '-inf' : 'inf';
  const sign = value < 0 ? '-' : '';
  const magnitude = Math.abs(value);
  // d.dddddddddddddddde±x
  const scientific = magnitude.toExponential(16);
  const mark = scientific.indexOf('e');
  const exponent = Number(scientific.slice(mark + 1));
  let digits = scientific[0] + scientific.slice(2, mark);
  if (isTie(magnitude, exponent)) digits = roundedToEven(digits);
  const kept = digits.replace(/0+$/, '');
  if (exponent < -4 || exponent >= 17) {
    const fraction = kept.length > 1 ? `.${kept.slice(1)}` : '';
    const power = Math.abs(exponent);
    return `${sign}${kept[0]}${fraction}e${exponent < 0 ? '-' : '+'}${power < 10 ? '0' : ''}${power}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${kept}`;
  const whole = digits.slice(0, exponent + 1);
  const fraction = kept.slice(exponent + 1);
  return fraction === '' ? sign + whole : `${sign}${whole}.${fraction}`;
}

/**
 * Whether the decimal expansion of `magnitude` has exactly 18 significant digits, the last of them
 * a 5. ECMAScript rounds such a tie away from zero, C to the even digit. With f digits after the
 * point the number is an odd multiple of 2^-f, and scaling by a power of two is exact. Example:
 * 12345678901234.0625.
 */
function isTie(magnitude: number, exponent: number): boolean {
  const fractionDigits = 17 - exponent;
  return fractionDigits > 0 && fractionDigits < 1000 && (magnitude * 2 ** fractionDigits) % 2 === 1;
}

/**
 * Undoes the rounding up of a tie when the last digit became odd. An odd digit is never 0, so there
 * is no borrow.
 */
function roundedToEven(digits: string): string {
  const last = digits.charCodeAt(digits.length - 1) - ZERO;
  return last % 2 === 0 ? digits : digits.slice(0, -1) + (last - 1);
}
