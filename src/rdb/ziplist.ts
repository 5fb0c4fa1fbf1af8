/**
 * Reads ziplists, which dumps before Redis 7 have in the place of listpacks. Nothing writes them: a
 * value of a ziplist is kept in the encoding of today.
 *
 *   byte 0   TOTAL   u32 LE: all bytes, header and terminator included
 *   byte 4   TAIL    u32 LE: where the last entry begins; 10 when there is none
 *   byte 8   COUNT   u16 LE: entries, or 65535 when there are that many or more
 *   byte 10  entries
 *   last     0xff
 *
 *   entry    bytes of the entry before    encoding and data
 *            one byte below 254           00xxxxxx                string, 6 bits
 *            254, u32 LE                  01xxxxxx x              string, 14 bits, big-endian
 *                                         10000000 xxxx           string, 32 bits, big-endian
 *                                         c0 d0 e0 f0 fe          16, 32, 64, 24, 8 bits, LE
 *                                         1111xxxx                0 … 12, plus one
 *
 * Bytes of unknown origin must pass {@link validateZiplist}. After that the reader trusts them.
 * There is no state. Any thread.
 *
 *   for (let at = firstInZiplist(base); bytes[at] !== ZIPLIST_END; ) {
 *     at = readZiplistElement(bytes, at, view);
 *     …
 *   }
 */
import { int64Number } from '../structs/int64.ts';
import { type ElementView, readU32 } from '../structs/listpack-read.ts';

const HEADER_BYTES = 10;
const EMPTY_BYTES = 11;
const TAIL_AT = 4;
const COUNT_AT = 8;
const COUNT_UNKNOWN = 65535;
/** The byte before which an entry cannot be. */
export const ZIPLIST_END = 0xff;
/** Before a length of four bytes. */
const LONG_BACK_LENGTH = 254;

const STRING_14 = 0x40;
const STRING_32 = 0x80;
const INT_16 = 0xc0;
const INT_32 = 0xd0;
const INT_64 = 0xe0;
const INT_24 = 0xf0;
const INT_8 = 0xfe;
const SMALL_MIN = 0xf1;
const SMALL_MAX = 0xfd;

/** Position of the first entry, or of the terminator, of the ziplist at `base`. */
export const firstInZiplist = (base: number): number => base + HEADER_BYTES;

/**
 * Returns the count of entries of [start, start + length) when that is a ziplist, else -1. Checks
 * every entry.
 */
export function validateZiplist(bytes: Uint8Array, start: number, length: number): number {
  if (length < EMPTY_BYTES || readU32(bytes, start) !== length) return -1;
  const end = start + length - 1;
  if (bytes[end] !== ZIPLIST_END) return -1;
  let count = 0;
  let before = 0;
  let last = start + HEADER_BYTES;
  for (let at = last; at !== end; count++) {
    const behind = behindChecked(bytes, at, end, before);
    if (behind < 0) return -1;
    before = behind - at;
    last = at;
    at = behind;
  }
  if (readU32(bytes, start + TAIL_AT) !== last - start) return -1;
  const noted = bytes[start + COUNT_AT]! | (bytes[start + COUNT_AT + 1]! << 8);
  return noted === COUNT_UNKNOWN || noted === count ? count : -1;
}

/**
 * Returns the position behind the entry at `at`. Returns -1 when the entry is malformed, reaches
 * beyond `end`, or tells a wrong length of the entry before.
 */
function behindChecked(bytes: Uint8Array, at: number, end: number, before: number): number {
  const backBytes = backLengthBytes(bytes, at);
  if (backBytes === 0 || at + backBytes >= end) return -1;
  if ((backBytes === 1 ? bytes[at]! : readU32(bytes, at + 1)) !== before) return -1;
  const encodingAt = at + backBytes;
  const headBytes = encodingBytes(bytes[encodingAt]!);
  if (headBytes === 0 || encodingAt + headBytes > end) return -1;
  const behind = encodingAt + headBytes + dataBytes(bytes, encodingAt);
  return behind <= end ? behind : -1;
}

/** Fills `view` with the element of the entry at `at` and returns the position behind that. */
export function readZiplistElement(bytes: Uint8Array, at: number, view: ElementView): number {
  const encodingAt = at + backLengthBytes(bytes, at);
  const encoding = bytes[encodingAt]!;
  const dataAt = encodingAt + encodingBytes(encoding);
  const length = dataBytes(bytes, encodingAt);
  if (encoding < INT_16) {
    view.isInteger = false;
    view.bytes = bytes;
    view.position = dataAt;
    view.length = length;
  } else {
    readInteger(bytes, dataAt, encoding, view);
  }
  return dataAt + length;
}

function readInteger(bytes: Uint8Array, at: number, encoding: number, view: ElementView): void {
  let low: number;
  switch (encoding) {
    case INT_8:
      low = (bytes[at]! << 24) >> 24;
      break;
    case INT_16:
      low = ((bytes[at]! << 16) | (bytes[at + 1]! << 24)) >> 16;
      break;
    case INT_24:
      low = ((bytes[at]! << 8) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 24)) >> 8;
      break;
    case INT_32:
    case INT_64:
      low = readU32(bytes, at) | 0;
      break;
    default:
      low = encoding - SMALL_MIN;
  }
  view.isInteger = true;
  view.low = low;
  view.high = encoding === INT_64 ? readU32(bytes, at + 4) | 0 : low >> 31;
  view.int = int64Number(view.high, view.low);
  view.isWide = !Number.isSafeInteger(view.int);
}

/** Bytes of what an entry says about the one before it; 0 when there is no entry. */
function backLengthBytes(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  if (first < LONG_BACK_LENGTH) return 1;
  return first === LONG_BACK_LENGTH ? 5 : 0;
}

/** Bytes of an encoding by its first; 0 when there is none that begins so. */
function encodingBytes(first: number): number {
  if (first < STRING_14) return 1;
  if (first < STRING_32) return 2;
  // The low bits of this byte have no meaning.
  if (first < INT_16) return 5;
  const integer = first === INT_16 || first === INT_32 || first === INT_64 || first === INT_24;
  return integer || first === INT_8 || (first >= SMALL_MIN && first <= SMALL_MAX) ? 1 : 0;
}

/** Bytes of the data behind the encoding at `at`. */
function dataBytes(bytes: Uint8Array, at: number): number {
  const first = bytes[at]!;
  if (first < STRING_14) return first;
  if (first < STRING_32) return ((first & 0x3f) << 8) | bytes[at + 1]!;
  switch (first) {
    case INT_8:
      return 1;
    case INT_16:
      return 2;
    case INT_24:
      return 3;
    case INT_32:
      return 4;
    case INT_64:
      return 8;
    default:
      return first < INT_16 ? bigEndian32(bytes, at + 1) : 0;
  }
}

function bigEndian32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
  );
}
