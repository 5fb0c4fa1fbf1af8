/**
 * Hot path. The ids of stream entries: milliseconds and a sequence number. Both are unsigned 64-bit
 * integers, kept in halves.
 *
 *   text     1526919030474-55
 *   words    MS_HIGH · MS_LOW · SEQ_HIGH · SEQ_LOW, in the arena
 *   bytes    the same, big-endian, in dumps
 *
 * The halves are signed 32-bit integers, which are compared as unsigned ones. No state that
 * outlives a call, any thread.
 */
import { leadingSpaces } from '../base/bytes.ts';
import { writeInt64 } from './int64.ts';

export const ID_WORDS = 4;
export const ID_BYTES = 16;
/** Two numbers of up to 20 digits, and the dash between them. */
export const ID_TEXT_BYTES_MAX = 41;

const ZERO = 0x30;
const MINUS = 0x2d;
const PLUS = 0x2b;
const DIGITS_MAX = 20;
const TWO_32 = 2 ** 32;
/** A number of at most this many digits is a safe integer. */
const SAFE_DIGITS = 15;
const UINT64_MAX = 0xffff_ffff_ffff_ffffn;

export class StreamId {
  msHigh = 0;
  msLow = 0;
  seqHigh = 0;
  seqLow = 0;

  set(msHigh: number, msLow: number, seqHigh: number, seqLow: number): void {
    this.msHigh = msHigh;
    this.msLow = msLow;
    this.seqHigh = seqHigh;
    this.seqLow = seqLow;
  }

  copyFrom(other: StreamId): void {
    this.msHigh = other.msHigh;
    this.msLow = other.msLow;
    this.seqHigh = other.seqHigh;
    this.seqLow = other.seqLow;
  }

  /** Sets the id to 0-0. */
  setMin(): void {
    this.set(0, 0, 0, 0);
  }

  setMax(): void {
    this.set(-1, -1, -1, -1);
  }

  /** Sets the id to the first of a millisecond, which must be a safe integer. */
  setMs(ms: number): void {
    this.msHigh = Math.floor(ms / TWO_32) | 0;
    this.msLow = ms | 0;
    this.seqHigh = 0;
    this.seqLow = 0;
  }

  get isMin(): boolean {
    return (this.msHigh | this.msLow | this.seqHigh | this.seqLow) === 0;
  }

  get isMax(): boolean {
    return (this.msHigh & this.msLow & this.seqHigh & this.seqLow) === -1;
  }

  /**
   * Returns a negative number, 0 or a positive number when this id is before, equal to or behind
   * the other.
   */
  compare(other: StreamId): number {
    if (this.msHigh !== other.msHigh) return (this.msHigh >>> 0) - (other.msHigh >>> 0);
    if (this.msLow !== other.msLow) return (this.msLow >>> 0) - (other.msLow >>> 0);
    if (this.seqHigh !== other.seqHigh) return (this.seqHigh >>> 0) - (other.seqHigh >>> 0);
    return (this.seqLow >>> 0) - (other.seqLow >>> 0);
  }

  sameMs(other: StreamId): boolean {
    return this.msHigh === other.msHigh && this.msLow === other.msLow;
  }

  /** Goes to the next id. Behind the greatest id returns false and sets 0-0. */
  increment(): boolean {
    if (this.incrementSeq()) return true;
    this.msLow = (this.msLow + 1) | 0;
    if (this.msLow !== 0) return true;
    this.msHigh = (this.msHigh + 1) | 0;
    return this.msHigh !== 0;
  }

  /**
   * Goes to the next id of the same millisecond. Behind its last id returns false and sets its
   * first id.
   */
  incrementSeq(): boolean {
    this.seqLow = (this.seqLow + 1) | 0;
    if (this.seqLow !== 0) return true;
    this.seqHigh = (this.seqHigh + 1) | 0;
    return this.seqHigh !== 0;
  }

  /** Goes to the previous id. Before 0-0 returns false and sets the greatest id. */
  decrement(): boolean {
    this.seqLow = (this.seqLow - 1) | 0;
    if (this.seqLow !== -1) return true;
    this.seqHigh = (this.seqHigh - 1) | 0;
    if (this.seqHigh !== -1) return true;
    this.msLow = (this.msLow - 1) | 0;
    if (this.msLow !== -1) return true;
    this.msHigh = (this.msHigh - 1) | 0;
    return this.msHigh !== -1;
  }

  /**
   * Sets the id to `master` plus a number of ms and of sequence numbers, each in halves and modulo
   * 2^64.
   */
  setSum(master: StreamId, msHigh: number, msLow: number, seqHigh: number, seqLow: number): void {
    let low = (master.msLow >>> 0) + (msLow >>> 0);
    this.msLow = low | 0;
    this.msHigh = (master.msHigh + msHigh + (low >= TWO_32 ? 1 : 0)) | 0;
    low = (master.seqLow >>> 0) + (seqLow >>> 0);
    this.seqLow = low | 0;
    this.seqHigh = (master.seqHigh + seqHigh + (low >= TWO_32 ? 1 : 0)) | 0;
  }

  /** Sets the id to the distance from `master` to `id`, part by part and modulo 2^64. */
  setDifference(id: StreamId, master: StreamId): void {
    this.msHigh = (id.msHigh - master.msHigh - (id.msLow >>> 0 < master.msLow >>> 0 ? 1 : 0)) | 0;
    this.msLow = (id.msLow - master.msLow) | 0;
    this.seqHigh =
      (id.seqHigh - master.seqHigh - (id.seqLow >>> 0 < master.seqLow >>> 0 ? 1 : 0)) | 0;
    this.seqLow = (id.seqLow - master.seqLow) | 0;
  }

  fromWords(words: Int32Array, at: number): void {
    this.msHigh = words[at]!;
    this.msLow = words[at + 1]!;
    this.seqHigh = words[at + 2]!;
    this.seqLow = words[at + 3]!;
  }

  toWords(words: Int32Array, at: number): void {
    words[at] = this.msHigh;
    words[at + 1] = this.msLow;
    words[at + 2] = this.seqHigh;
    words[at + 3] = this.seqLow;
  }

  /** Reads 16 bytes, big-endian. */
  fromBytes(bytes: Uint8Array, at: number): void {
    this.msHigh = readBig32(bytes, at);
    this.msLow = readBig32(bytes, at + 4);
    this.seqHigh = readBig32(bytes, at + 8);
    this.seqLow = readBig32(bytes, at + 12);
  }

  toBytes(bytes: Uint8Array, at: number): void {
    writeBig32(bytes, at, this.msHigh);
    writeBig32(bytes, at + 4, this.msLow);
    writeBig32(bytes, at + 8, this.seqHigh);
    writeBig32(bytes, at + 12, this.seqLow);
  }

  /** Writes the text at `at` and returns the position behind it. */
  write(bytes: Uint8Array, at: number): number {
    return this.writeSeq(bytes, this.writeMs(bytes, at));
  }

  /** Writes the text up to the sequence number, with the dash. */
  writeMs(bytes: Uint8Array, at: number): number {
    const end = writeUint64(bytes, at, this.msHigh, this.msLow);
    bytes[end] = MINUS;
    return end + 1;
  }

  /** Writes the sequence number as text. */
  writeSeq(bytes: Uint8Array, at: number): number {
    return writeUint64(bytes, at, this.seqHigh, this.seqLow);
  }

  toString(): string {
    const bytes = Buffer.alloc(ID_TEXT_BYTES_MAX);
    return bytes.toString('latin1', 0, this.write(bytes, 0));
  }

  /**
   * Sets the milliseconds to the number in bytes[start, end). Returns false when the bytes are not
   * a number, or it needs more than 64 bits.
   */
  parseMs(bytes: Uint8Array, start: number, end: number): boolean {
    if (!parseUint64(bytes, start, end)) return false;
    this.msHigh = parsedHigh;
    this.msLow = parsedLow;
    return true;
  }

  parseSeq(bytes: Uint8Array, start: number, end: number): boolean {
    if (!parseUint64(bytes, start, end)) return false;
    this.seqHigh = parsedHigh;
    this.seqLow = parsedLow;
    return true;
  }
}

// The result of parseUint64. The caller reads it at once.
let parsedHigh = 0;
let parsedLow = 0;

/** Parses plain digits, and the other forms that strtoull accepts. */
function parseUint64(bytes: Uint8Array, start: number, end: number): boolean {
  return parseDigits(bytes, start, end) || parseSigned(bytes, start, end);
}

/**
 * Parses blanks and a sign before the digits. A negative number counts from 2^64 down. Redis first
 * tries a plain integer and refuses a negative one, so "-5" is not a number, but "-05" and " -5"
 * are.
 */
function parseSigned(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start + leadingSpaces(bytes, start, end - start);
  const negative = bytes[at] === MINUS;
  if (negative && at === start && bytes[at + 1] !== ZERO) return false;
  if (at < end && (negative || bytes[at] === PLUS)) at++;
  if (at === start || !parseDigits(bytes, at, end)) return false;
  if (negative) {
    parsedLow = -parsedLow | 0;
    parsedHigh = (~parsedHigh + (parsedLow === 0 ? 1 : 0)) | 0;
  }
  return true;
}

function parseDigits(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  if (at === end) return false;
  while (at < end - 1 && bytes[at] === ZERO) at++;
  const digits = end - at;
  if (digits > DIGITS_MAX) return false;
  if (digits > SAFE_DIGITS) return parseLong(bytes, at, end);
  let value = 0;
  for (; at < end; at++) {
    const digit = bytes[at]! - ZERO;
    if (digit < 0 || digit > 9) return false;
    value = value * 10 + digit;
  }
  parsedHigh = Math.floor(value / TWO_32) | 0;
  parsedLow = value | 0;
  return true;
}

/** Parses more than fifteen digits. Such ids are rare, so this may allocate. */
function parseLong(bytes: Uint8Array, start: number, end: number): boolean {
  let text = '';
  for (let at = start; at < end; at++) {
    const digit = bytes[at]! - ZERO;
    if (digit < 0 || digit > 9) return false;
    text += digit;
  }
  const value = BigInt(text);
  if (value > UINT64_MAX) return false;
  parsedHigh = Number(value >> 32n) | 0;
  parsedLow = Number(value & 0xffff_ffffn) | 0;
  return true;
}

function writeUint64(bytes: Uint8Array, at: number, high: number, low: number): number {
  if (high >= 0) return writeInt64(bytes, at, high, low);
  const text = ((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)).toString();
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i);
  return at + text.length;
}

function readBig32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}

function writeBig32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
