/**
 * Hot path. Reads a listpack from any byte array: in the arena, in a worker's scratch memory, or in
 * a dump.
 *
 *   byte 0   TOTAL   u32 LE: all bytes, header and terminator included
 *   byte 4   COUNT   u16 LE: entries, or 65535 when there are that many or more
 *   byte 6   entries
 *   last     0xff
 *
 *   entry    encoding and data                      back length
 *            0xxxxxxx            0 … 127
 *            10xxxxxx            string, 6 bits
 *            110xxxxx x          integer, 13 bits
 *            1110xxxx x          string, 12 bits
 *            f0 xxxx             string, 32 bits
 *            f1 f2 f3 f4         integers of 16, 24, 32, 64 bits, LE
 *
 * The back length is the number of bytes of encoding and data, in 1 to 5 groups of 7 bits. It is
 * read backwards: the last byte has the low group, and all bytes but the first have bit 7 set.
 *
 * All functions take positions in `u8` and trust the bytes. Bytes of unknown origin must pass
 * listpack-check.ts first. No state, any thread. Specified in https://github.com/antirez/listpack.
 */
import { equalBytes } from '../base/byte-copy.ts';
import { GIB } from '../base/units.ts';
import { INT64_TEXT_BYTES_MAX, Int64, int64Number, parseInt64Halves, writeInt64 } from './int64.ts';

export const LISTPACK_HEADER_BYTES = 6;
export const LISTPACK_EMPTY_BYTES = 7;
export const LISTPACK_BYTES_MAX = GIB;
export const COUNT_AT = 4;
/** This count in the header stands for 65535 entries or more. */
export const COUNT_UNKNOWN = 65535;
export const TERMINATOR = 0xff;

/** The position that stands for "no entry". */
export const END = -1;

export const ElementCode = {
  STRING_6: 0x80,
  INT_13: 0xc0,
  STRING_12: 0xe0,
  STRING_32: 0xf0,
  INT_16: 0xf1,
  INT_24: 0xf2,
  INT_32: 0xf3,
  INT_64: 0xf4,
} as const;

/** Mask of the length in the first byte of a STRING_6. */
export const SHORT_LENGTH_MASK = 0x3f;

/** Room for the text of an integer element, in bytes. */
export const ELEMENT_TEXT_BYTES_MAX = INT64_TEXT_BYTES_MAX;

/** An element that {@link readElement} has read. Stale after the next write to the listpack. */
export class ElementView {
  /** The place of a string's bytes. */
  bytes: Uint8Array = NO_BYTES;
  position = 0;
  length = 0;
  isInteger = false;
  /** The value of an integer. It is rounded when `isWide`. */
  int = 0;
  /** Whether an integer is beyond ±(2^53 - 1). */
  isWide = false;
  /** The halves of an integer, both signed. */
  high = 0;
  low = 0;

  /** Drops the reference to the bytes, so that their segment can be freed. */
  forget(): void {
    this.bytes = NO_BYTES;
  }
}
const NO_BYTES = new Uint8Array(0);

/**
 * Bytes of a whole entry, by its first byte. 0 where the first byte alone does not determine them.
 */
const ENTRY_BYTES = new Uint8Array(256);
for (let byte = 0; byte < ElementCode.STRING_12; byte++) {
  if (byte < ElementCode.STRING_6) ENTRY_BYTES[byte] = 2;
  else ENTRY_BYTES[byte] = byte < ElementCode.INT_13 ? (byte & 0x3f) + 2 : 3;
}
ENTRY_BYTES[ElementCode.INT_16] = 4;
ENTRY_BYTES[ElementCode.INT_24] = 5;
ENTRY_BYTES[ElementCode.INT_32] = 6;
ENTRY_BYTES[ElementCode.INT_64] = 10;

export function readU32(u8: Uint8Array, at: number): number {
  return (u8[at]! | (u8[at + 1]! << 8) | (u8[at + 2]! << 16) | (u8[at + 3]! << 24)) >>> 0;
}

/** Returns the bytes of the listpack at `base`. */
export const listpackBytes = readU32;

/** Returns the count of entries in the header, which may be {@link COUNT_UNKNOWN}. */
export function headerCount(u8: Uint8Array, base: number): number {
  return u8[base + COUNT_AT]! | (u8[base + COUNT_AT + 1]! << 8);
}

/** Returns the number of entries. Walks over them when the header does not have it. */
export function countEntries(u8: Uint8Array, base: number): number {
  const count = headerCount(u8, base);
  return count === COUNT_UNKNOWN
    ? countBetween(u8, base + LISTPACK_HEADER_BYTES, base + listpackBytes(u8, base) - 1)
    : count;
}

/**
 * Returns the number of entries from the one at `from` up to `until`, the position of an entry or
 * of the terminator.
 */
export function countBetween(u8: Uint8Array, from: number, until: number): number {
  let count = 0;
  for (let at = from; at < until; at = behindEntry(u8, at)) count++;
  return count;
}

/**
 * Returns the bytes of an entry's back length. As in Redis, each bound is one below the largest
 * value that would fit.
 */
export function backLengthBytes(encoded: number): number {
  if (encoded <= 127) return 1;
  if (encoded < 16383) return 2;
  if (encoded < 2097151) return 3;
  return encoded < 268435455 ? 4 : 5;
}

/**
 * Returns the bytes of the encoding and data of the entry at `at`, or 0 when its first byte is not
 * valid.
 */
export function encodedBytes(u8: Uint8Array, at: number): number {
  const byte = u8[at]!;
  const bytes = ENTRY_BYTES[byte]!;
  if (bytes !== 0) return bytes - 1;
  if (byte < ElementCode.STRING_32) return 2 + (((byte & 0x0f) << 8) | u8[at + 1]!);
  return byte === ElementCode.STRING_32 ? 5 + readU32(u8, at + 1) : 0;
}

/** Returns the position behind the entry at `at`: that of the next entry or of the terminator. */
export function behindEntry(u8: Uint8Array, at: number): number {
  const bytes = ENTRY_BYTES[u8[at]!]!;
  if (bytes !== 0) return at + bytes;
  const encoded = encodedBytes(u8, at);
  return at + encoded + backLengthBytes(encoded);
}

/** Returns the back length that ends before `at`, or -1 when it has more than five bytes. */
export function backLengthBefore(u8: Uint8Array, at: number): number {
  let byte = u8[--at]!;
  if (byte < 128) return byte;
  let value = byte & 127;
  // Multiplies instead of shifting, since five groups have 35 bits.
  for (let unit = 128; unit <= 2 ** 28; unit *= 128) {
    byte = u8[--at]!;
    value += (byte & 127) * unit;
    if (byte < 128) return value;
  }
  return -1;
}

/**
 * Returns the position of the entry before `at`, which is the position of an entry other than the
 * first, or of the terminator.
 */
export function beforeEntry(u8: Uint8Array, at: number): number {
  const encoded = backLengthBefore(u8, at);
  return at - encoded - backLengthBytes(encoded);
}

/** Returns the value of an integer entry of up to 32 bits whose first byte is `byte`. */
function narrowInteger(u8: Uint8Array, at: number, byte: number): number {
  if (byte < ElementCode.STRING_6) return byte;
  switch (byte) {
    case ElementCode.INT_16:
      return ((u8[at + 1]! << 16) | (u8[at + 2]! << 24)) >> 16;
    case ElementCode.INT_24:
      return ((u8[at + 1]! << 8) | (u8[at + 2]! << 16) | (u8[at + 3]! << 24)) >> 8;
    case ElementCode.INT_32:
      return readU32(u8, at + 1) | 0;
    default:
      return (((byte & 0x1f) << 27) | (u8[at + 1]! << 19)) >> 19;
  }
}

/** Returns whether this first byte of an entry begins a string. */
const isString = (byte: number): boolean =>
  (byte >= ElementCode.STRING_6 && byte < ElementCode.INT_13) ||
  (byte >= ElementCode.STRING_12 && byte <= ElementCode.STRING_32);

/** Returns the bytes before the data of a string entry whose first byte is `byte`. */
const stringHeaderBytes = (byte: number): number => {
  if (byte < ElementCode.INT_13) return 1;
  return byte === ElementCode.STRING_32 ? 5 : 2;
};

/** Fills `view` with the element at `at`. */
export function readElement(u8: Uint8Array, at: number, view: ElementView): void {
  const byte = u8[at]!;
  if (isString(byte)) {
    const header = stringHeaderBytes(byte);
    view.isInteger = false;
    view.bytes = u8;
    view.position = at + header;
    view.length = encodedBytes(u8, at) - header;
    return;
  }
  view.isInteger = true;
  if (byte === ElementCode.INT_64) {
    view.low = readU32(u8, at + 1) | 0;
    view.high = readU32(u8, at + 5) | 0;
    view.int = int64Number(view.high, view.low);
    view.isWide = !Number.isSafeInteger(view.int);
    return;
  }
  const value = narrowInteger(u8, at, byte);
  view.int = value;
  view.low = value;
  view.high = value >> 31;
  view.isWide = false;
}

/**
 * Sets `bytes`, `position` and `length` of a view to the element's text. An integer is written in
 * decimal to the start of `scratch`, which needs {@link ELEMENT_TEXT_BYTES_MAX} bytes. A string
 * stays where it is.
 */
export function elementToBytes(view: ElementView, scratch: Uint8Array): void {
  if (!view.isInteger) return;
  view.bytes = scratch;
  view.position = 0;
  view.length = writeInt64(scratch, 0, view.high, view.low);
}

/** The integer form of the bytes to find. It is not used beyond one call. */
const wanted = new Int64();

/**
 * Returns whether the element at `at` is equal to the bytes. An integer is equal to its canonical
 * decimal form.
 */
export function elementEquals(
  u8: Uint8Array,
  at: number,
  bytes: Uint8Array,
  start: number,
  length: number,
): boolean {
  const byte = u8[at]!;
  if (isString(byte)) {
    const header = stringHeaderBytes(byte);
    return (
      encodedBytes(u8, at) - header === length && equalBytes(u8, at + header, bytes, start, length)
    );
  }
  return parseInt64Halves(bytes, start, length, wanted) && integerEquals(u8, at, byte, wanted);
}

function integerEquals(u8: Uint8Array, at: number, byte: number, value: Int64): boolean {
  if (byte === ElementCode.INT_64)
    return (readU32(u8, at + 1) | 0) === value.low && (readU32(u8, at + 5) | 0) === value.high;
  return narrowInteger(u8, at, byte) === value.low && value.low >> 31 === value.high;
}

/**
 * Returns the position of the first element that is equal to the bytes, or {@link END}. Compares
 * the entry at `from`, passes over `skip` entries, compares the next one, and so on. Skip 1
 * compares only the fields of a hash.
 */
export function findElement(
  u8: Uint8Array,
  from: number,
  bytes: Uint8Array,
  start: number,
  length: number,
  skip: number,
): number {
  // An integer begins with a digit or a minus. Most fields are words.
  const first = length > 0 ? bytes[start]! : 0;
  const mayBeInteger =
    first <= 0x39 && first >= 0x2d && parseInt64Halves(bytes, start, length, wanted);
  // Compares the last byte first, since names of fields often begin alike. For an empty string this
  // is the byte of the encoding.
  const last = length > 0 ? bytes[start + length - 1]! : ElementCode.STRING_6;
  for (let at = from; ; ) {
    const byte = u8[at]!;
    if (byte >= ElementCode.STRING_6 && byte < ElementCode.INT_13) {
      if ((byte & 0x3f) === length && u8[at + length] === last) {
        if (equalBytes(u8, at + 1, bytes, start, length)) return at;
      }
    } else if (byte === TERMINATOR) return END;
    else if (isString(byte)) {
      if (elementEquals(u8, at, bytes, start, length)) return at;
    } else if (mayBeInteger && integerEquals(u8, at, byte, wanted)) return at;
    at = behindEntry(u8, at);
    for (let left = skip; left > 0 && u8[at] !== TERMINATOR; left--) at = behindEntry(u8, at);
  }
}
