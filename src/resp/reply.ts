/**
 * What one connection is answered in one turn. Hot path.
 *
 * Handlers append replies in their order; the connection hands all of them to the socket at once. The buffer comes
 * from a pool with the first byte and leaves with `take`, so a quiet connection holds none:
 *
 *   pool ──first byte──▶ reply ──take()──▶ socket.write ──callback: recycle()──▶ pool
 *
 * Methods write what the connection's `protocol` asks for: a map is an array of twice the length in RESP2, a double
 * a bulk string, and so on. Lengths come first in RESP, so an aggregate of unknown length is opened with `deferArray`
 * and told its length afterwards.
 *
 * Stale: marks and tokens after `truncate` to before them and after `take`. Main thread.
 */
import { assert } from '../base/assert.ts';
import { copyBytes } from '../base/byte-copy.ts';
import { decimalLength, formatDouble, writeDecimal } from '../base/bytes.ts';
import { BufferPool, POOLED_BYTES_MIN, type PooledBuffer, partOf } from './buffer-pool.ts';
import { CR, DIGIT_0, LF, SPACE, Token } from './tokens.ts';

/** What `setDeferred` makes of the elements that followed. The length of a map counts its pairs. */
export const Aggregate = { ARRAY: 0, MAP: 1, SET: 2, PUSH: 3 } as const;
export type Aggregate = (typeof Aggregate)[keyof typeof Aggregate];

/** Token, sign, 16 digits, CR LF. */
const HEADER_BYTES_MAX = 20;
/** Texts below this are written by a loop: a native call costs 60 to 130 ns. */
const LOOP_CHARS = 24;
/** "*0" with its line end: what a deferred length occupies until it is known. Longer ones move the elements. */
const DEFERRED_BYTES = 4;
/** Less than this may leave in a small copy, so that the large buffer is free at once. */
const SMALL_BYTES = 2048;

const NO_BYTES: PooledBuffer = Buffer.alloc(0);

export class Reply {
  protocol: 2 | 3 = 2;
  /** Bytes that wait to be taken. */
  size = 0;
  /** Error replies ever written; the dispatcher compares before and after a command. */
  errors = 0;
  /** How many of them have been counted, and the text of the last one; for whoever counts. */
  errorsNoted = 0;
  lastError = '';
  readonly #pool: BufferPool;
  #bytes: PooledBuffer = NO_BYTES;

  /** Connections of one node share a pool; a reply without one has its own. */
  constructor(pool: BufferPool = new BufferPool()) {
    this.#pool = pool;
  }

  ok(): void {
    const at = this.#room(5);
    const bytes = this.#bytes;
    bytes[at] = Token.SIMPLE;
    bytes[at + 1] = 0x4f;
    bytes[at + 2] = 0x4b;
    bytes[at + 3] = CR;
    bytes[at + 4] = LF;
    this.size = at + 5;
  }

  pong(): void {
    const at = this.#room(7);
    const bytes = this.#bytes;
    bytes[at] = Token.SIMPLE;
    bytes[at + 1] = 0x50;
    bytes[at + 2] = 0x4f;
    bytes[at + 3] = 0x4e;
    bytes[at + 4] = 0x47;
    bytes[at + 5] = CR;
    bytes[at + 6] = LF;
    this.size = at + 7;
  }

  queued(): void {
    this.simple('QUEUED');
  }

  /** A status. `text` has a char per byte; line ends in it become spaces. */
  simple(text: string): void {
    this.#line(Token.SIMPLE, text);
  }

  /** An error: the whole text, code word first, without the dash. A char per byte; line ends become spaces. */
  error(text: string): void {
    this.errors++;
    this.lastError = text;
    this.#line(Token.ERROR, text);
  }

  /** A safe integer. */
  integer(value: number): void {
    this.#header(Token.INTEGER, value);
  }

  /** An integer that is printed already, as bytes[position, position + length). */
  integerDigits(bytes: Uint8Array, position: number, length: number): void {
    const at = this.#room(length + 3);
    const to = this.#bytes;
    to[at] = Token.INTEGER;
    const end = at + 1 + length;
    for (let i = 0; i < length; i++) to[at + 1 + i] = bytes[position + i]!;
    to[end] = CR;
    to[end + 1] = LF;
    this.size = end + 2;
  }

  integer64(value: bigint): void {
    this.#line(Token.INTEGER, value.toString());
  }

  /** A bulk string of bytes[position, position + length), which may lie in shared memory. */
  bulk(bytes: Uint8Array, position: number, length: number): void {
    const at = this.#room(length + HEADER_BYTES_MAX + 2);
    const to = this.#bytes;
    to[at] = Token.BULK;
    const start = writeLineOf(to, at + 1, length);
    copyBytes(bytes, position, to, start, length);
    const end = start + length;
    to[end] = CR;
    to[end + 1] = LF;
    this.size = end + 2;
  }

  /** A bulk string in UTF-8. */
  bulkString(text: string): void {
    if (isShortAscii(text)) {
      this.bulkLatin1(text);
      return;
    }
    const length = Buffer.byteLength(text);
    this.#reserve(length + HEADER_BYTES_MAX + 2);
    this.#header(Token.BULK, length);
    this.#bytes.write(text, this.size, length, 'utf8');
    this.size += length;
    this.#lineEnd();
  }

  /** A bulk string of a char per byte. */
  bulkLatin1(text: string): void {
    this.#reserve(text.length + HEADER_BYTES_MAX + 2);
    this.#header(Token.BULK, text.length);
    this.#text(text);
    this.#lineEnd();
  }

  /** A bulk string of a safe integer's digits. */
  bulkInteger(value: number): void {
    const length = decimalLength(value);
    this.#header(Token.BULK, length);
    this.#room(length + 2);
    this.size = writeDecimal(this.#bytes, this.size, value);
    this.#lineEnd();
  }

  /** No value where a value could be. */
  nil(): void {
    if (this.protocol === 3) this.#line(Token.NULL, '');
    else this.#header(Token.BULK, -1);
  }

  /** No value where an array could be. */
  nilArray(): void {
    if (this.protocol === 3) this.#line(Token.NULL, '');
    else this.#header(Token.ARRAY, -1);
  }

  array(count: number): void {
    this.#header(Token.ARRAY, count);
  }

  emptyArray(): void {
    this.#header(Token.ARRAY, 0);
  }

  /** Pairs follow, key before value. */
  map(pairs: number): void {
    this.aggregate(Aggregate.MAP, pairs);
  }

  set(count: number): void {
    this.aggregate(Aggregate.SET, count);
  }

  /** An out-of-band message; in RESP2 an array. */
  push(count: number): void {
    this.aggregate(Aggregate.PUSH, count);
  }

  aggregate(kind: Aggregate, count: number): void {
    this.#header(this.#token(kind), this.#elements(kind, count));
  }

  double(value: number): void {
    // Most scores are integers; their digits need no string.
    if (this.protocol === 2 && Number.isSafeInteger(value) && !Object.is(value, -0)) this.bulkInteger(value);
    else this.doubleText(formatDouble(value));
  }

  /** A double that is printed already. */
  doubleText(text: string): void {
    if (this.protocol === 3) this.#line(Token.DOUBLE, text);
    else this.bulkLatin1(text);
  }

  boolean(value: boolean): void {
    if (this.protocol === 3) this.#line(Token.BOOLEAN, value ? 't' : 'f');
    else this.integer(value ? 1 : 0);
  }

  /** Decimal digits of any length; a bulk string in RESP2. */
  bigNumber(digits: string): void {
    if (this.protocol === 3) this.#line(Token.BIG_NUMBER, digits);
    else this.bulkLatin1(digits);
  }

  /** Text for people, in UTF-8, with a format of three letters such as "txt"; a bulk string in RESP2. */
  verbatim(format: string, text: string): void {
    if (this.protocol === 2) {
      this.bulkString(text);
      return;
    }
    const length = Buffer.byteLength(text);
    this.#header(Token.VERBATIM, length + 4);
    this.#reserve(length + 6);
    this.#text(format);
    this.#bytes[this.size++] = 0x3a;
    this.#bytes.write(text, this.size, length, 'utf8');
    this.size += length;
    this.#lineEnd();
  }

  /** Bytes that are a reply, or a part of one, already. */
  raw(bytes: Uint8Array, start: number, end: number): void {
    this.#reserve(end - start);
    this.#copy(bytes, start, end - start);
  }

  /** Opens an aggregate whose length is told later, to {@link setDeferred} with the token returned. */
  deferArray(): number {
    const at = this.#room(DEFERRED_BYTES);
    this.size = at + DEFERRED_BYTES;
    return at;
  }

  /**
   * Tells the length and kind of a deferred aggregate. Inner ones come before outer ones: a length of more than one
   * digit moves all bytes behind it.
   */
  setDeferred(token: number, count: number, kind: Aggregate): void {
    const elements = this.#elements(kind, count);
    const longer = decimalLength(elements) + 3 - DEFERRED_BYTES;
    if (longer !== 0) {
      this.#reserve(longer);
      this.#bytes.copyWithin(token + DEFERRED_BYTES + longer, token + DEFERRED_BYTES, this.size);
    }
    this.#bytes[token] = this.#token(kind);
    const end = writeDecimal(this.#bytes, token + 1, elements);
    this.#bytes[end] = CR;
    this.#bytes[end + 1] = LF;
    this.size += longer;
  }

  /** Where the next reply will begin, for {@link truncate}. */
  mark(): number {
    return this.size;
  }

  /** Takes back all that was written since the mark. */
  truncate(mark: number): void {
    assert(mark >= 0 && mark <= this.size, 'a mark lies within the reply');
    this.size = mark;
  }

  /**
   * Hands over all bytes and starts anew. The caller owns them until it gives them to {@link recycle}, which it does
   * once the socket has written them, or never.
   */
  take(): Buffer {
    const taken = partOf(this.#bytes, this.size);
    this.#bytes = NO_BYTES;
    this.size = 0;
    return taken;
  }

  /** As {@link take}, where they may lie for long: few bytes come in an array of their own, which is not recycled. */
  takeToKeep(): Buffer {
    if (this.size >= SMALL_BYTES) return this.take();
    const kept = Buffer.allocUnsafe(this.size);
    copyBytes(this.#bytes, 0, kept, 0, this.size);
    this.discard();
    return kept;
  }

  /** Takes back a buffer that {@link take} has returned, from this or another reply of the same pool. */
  recycle(buffer: Buffer): void {
    this.#pool.give(buffer);
  }

  /** Drops what waits, as when the connection has closed. */
  discard(): void {
    this.#pool.give(this.#bytes);
    this.#bytes = NO_BYTES;
    this.size = 0;
  }

  /** Makes room for so many bytes and returns where they begin. */
  #room(bytes: number): number {
    if (this.size + bytes > this.#bytes.length) this.#grow(bytes);
    return this.size;
  }

  #reserve(bytes: number): void {
    if (this.size + bytes > this.#bytes.length) this.#grow(bytes);
  }

  #grow(bytes: number): void {
    const needed = this.size + bytes;
    const old = this.#bytes;
    const grown = this.#pool.take(Math.max(needed, old.length * 2, POOLED_BYTES_MIN));
    if (this.size > 0) grown.set(old.subarray(0, this.size));
    this.#bytes = grown;
    this.#pool.give(old);
  }

  #header(token: number, value: number): void {
    const at = this.#room(HEADER_BYTES_MAX);
    const bytes = this.#bytes;
    bytes[at] = token;
    let end = at + 2;
    if (value >= 0 && value < 10) bytes[at + 1] = DIGIT_0 + value;
    else end = writeDecimal(bytes, at + 1, value);
    bytes[end] = CR;
    bytes[end + 1] = LF;
    this.size = end + 2;
  }

  #line(token: number, text: string): void {
    const length = text.length;
    let at = this.#room(length + 3);
    const bytes = this.#bytes;
    bytes[at++] = token;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      bytes[at++] = code === CR || code === LF ? SPACE : code;
    }
    this.size = at;
    this.#lineEnd();
  }

  /** The room is there. */
  #lineEnd(): void {
    const at = this.size;
    this.#bytes[at] = CR;
    this.#bytes[at + 1] = LF;
    this.size = at + 2;
  }

  /** The room is there. */
  #text(text: string): void {
    const length = text.length;
    if (length < LOOP_CHARS) {
      const bytes = this.#bytes;
      const at = this.size;
      for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(i);
    } else {
      this.#bytes.write(text, this.size, length, 'latin1');
    }
    this.size += length;
  }

  /** The room is there. */
  #copy(bytes: Uint8Array, position: number, length: number): void {
    const at = this.size;
    copyBytes(bytes, position, this.#bytes, at, length);
    this.size = at + length;
  }

  #token(kind: Aggregate): number {
    if (this.protocol === 2) return Token.ARRAY;
    if (kind === Aggregate.MAP) return Token.MAP;
    if (kind === Aggregate.SET) return Token.SET;
    return kind === Aggregate.PUSH ? Token.PUSH : Token.ARRAY;
  }

  #elements(kind: Aggregate, count: number): number {
    return kind === Aggregate.MAP && this.protocol === 2 ? count * 2 : count;
  }
}

/** Writes a length and the line end, and returns the position behind them. Short ones come by the hundred. */
function writeLineOf(bytes: Uint8Array, at: number, length: number): number {
  let end = at;
  if (length < 1000) {
    let rest = length;
    if (length >= 100) {
      const hundreds = (length * 41) >>> 12;
      bytes[end++] = DIGIT_0 + hundreds;
      rest -= hundreds * 100;
    }
    const tens = (rest * 103) >>> 10;
    if (length >= 10) bytes[end++] = DIGIT_0 + tens;
    bytes[end++] = DIGIT_0 + rest - tens * 10;
  } else {
    end = writeDecimal(bytes, at, length);
  }
  bytes[end] = CR;
  bytes[end + 1] = LF;
  return end + 2;
}

/** Field names and the like, which need no encoder. */
function isShortAscii(text: string): boolean {
  if (text.length >= LOOP_CHARS) return false;
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) return false;
  }
  return true;
}
