/**
 * Hot path. The replies to one connection in one turn.
 *
 * Handlers append replies in order, and the connection hands all of them to the socket at once.
 * They are in a chain of chunks from a pool. Nearly always there is one chunk. A longer reply gets
 * another one, so that written bytes stay in place. The first byte takes the first chunk, and
 * `take` hands it over, so an idle connection holds none.
 *
 *   #full   [ chunk, sealed ▓▓▓▓▓▓▓ ][ chunk of one large bulk ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓ ]   #before bytes
 *   #bytes  [ ▓▓▓▓▓▓▓▓░░░░░░░░░░░░░ ]                                              #at bytes
 *
 *   pool ──first byte──▶ reply ──take()──▶ socket.write ──callback: recycle()──▶ pool
 *
 * A bulk is in one chunk unless it is longer than CHUNK_BYTES_MAX, the limit of a chunk. So it is
 * copied once, to the place from which it is sent. The {@link ReplyGate} is asked before each chunk
 * except the first. When it refuses, the reply is cut: its bytes are dropped, and everything that
 * is appended later is dropped, too.
 *
 * Methods write the form of the connection's `protocol`: in RESP2 a map is an array of twice the
 * length, a double is a bulk string, and so on. In RESP a length precedes its elements, so an
 * aggregate of unknown length is opened with `deferArray` and gets its length later.
 *
 * Marks and tokens count the bytes before them, in all chunks. Stale: those behind the place of a
 * `truncate` or of a longer `setDeferred`, and all of them after `take`. Main thread.
 */
import { assert } from '../base/assert.ts';
import { copyBytes } from '../base/byte-copy.ts';
import { decimalLength, formatDouble, writeDecimal } from '../base/bytes.ts';
import { KIB } from '../base/units.ts';
import {
  BufferPool,
  POOLED_BYTES_MAX,
  POOLED_BYTES_MIN,
  type PooledBuffer,
  partOf,
} from './buffer-pool.ts';
import { CR, DIGIT_0, LF, SPACE, Token } from './tokens.ts';

/** The kind of aggregate that `setDeferred` makes. The length of a map counts its pairs. */
export const Aggregate = { ARRAY: 0, MAP: 1, SET: 2, PUSH: 3 } as const;
export type Aggregate = (typeof Aggregate)[keyof typeof Aggregate];

/** The longest header: token, sign, 16 digits, CR LF. */
const HEADER_BYTES_MAX = 20;
/** Shorter texts are written by a loop, since a native call costs 60 to 130 ns. */
const LOOP_CHARS = 24;
/**
 * "*0" with its line end: the place of a deferred length until it is known. A longer length moves
 * the elements.
 */
const DEFERRED_BYTES = 4;
/** The share of a chunk that is filled from which on the chunk itself may be kept for long. */
const KEPT_SHARE_MIN = 3 / 4;
/** The limit of a chunk. A longer bulk is split over several chunks. */
export const CHUNK_BYTES_MAX = POOLED_BYTES_MAX;
/** When small replies fill a chunk, the next chunk is twice as large, up to this. */
const GATHERED_BYTES_MAX = 256 * KIB;
/** Longer texts and bulks are split over chunks. */
const WHOLE_BYTES_MAX = CHUNK_BYTES_MAX - 64;
/** Longer strings are converted in pieces, in chars. */
const PIECE_CHARS = 64 * KIB;

/** Asked before a reply takes another chunk than its first. */
export interface ReplyGate {
  /** Returns whether the reply may grow to `bytes` bytes. False cuts it for good. */
  mayGrow(bytes: number): boolean;
}

const NO_BYTES: PooledBuffer = Buffer.alloc(0);

export class Reply {
  protocol: 2 | 3 = 2;
  /** Number of error replies so far. The dispatcher compares it before and after a command. */
  errors = 0;
  /**
   * The number of errors that have been counted, and the text of the last one. For the counting
   * code.
   */
  errorsNoted = 0;
  lastError = '';
  gate: ReplyGate | undefined = undefined;
  readonly #pool: BufferPool;
  /** The chunk that is being filled, and the end of its filled part. */
  #bytes: PooledBuffer = NO_BYTES;
  #at = 0;
  /** The full chunks, in order. Each is the filled part of a buffer. Then their bytes together. */
  readonly #full: PooledBuffer[] = [];
  #before = 0;
  #cut = false;

  /** Connections of one node share a pool. Without `pool` the reply has its own. */
  constructor(pool: BufferPool = new BufferPool()) {
    this.#pool = pool;
  }

  /** Bytes that are ready to be taken. */
  get size(): number {
    return this.#before + this.#at;
  }

  /** Bytes of memory of the chunks. */
  get heldBytes(): number {
    let bytes = this.#bytes.length;
    for (const part of this.#full) bytes += (part.whole ?? part).length;
    return bytes;
  }

  /** The filled length and the size of the current chunk. */
  get lastChunkSize(): number {
    return this.#at;
  }

  get lastChunkBytes(): number {
    return this.#bytes.length;
  }

  /** Number of full chunks. */
  get fullChunks(): number {
    return this.#full.length;
  }

  /** Whether the gate has refused. Then nothing of the reply may be sent. */
  get isCut(): boolean {
    return this.#cut;
  }

  ok(): void {
    const at = this.#room(5);
    const bytes = this.#bytes;
    bytes[at] = Token.SIMPLE;
    bytes[at + 1] = 0x4f;
    bytes[at + 2] = 0x4b;
    bytes[at + 3] = CR;
    bytes[at + 4] = LF;
    this.#at = at + 5;
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
    this.#at = at + 7;
  }

  queued(): void {
    this.simple('QUEUED');
  }

  /** Appends a status. `text` has a char per byte. Line ends in it become spaces. */
  simple(text: string): void {
    this.#line(Token.SIMPLE, text);
  }

  /**
   * Appends an error. `text` is the whole text from the code word on, without the dash, with a char
   * per byte. Line ends in it become spaces.
   */
  error(text: string): void {
    this.errors++;
    this.lastError = text;
    this.#line(Token.ERROR, text);
  }

  /** Appends a safe integer. */
  integer(value: number): void {
    this.#header(Token.INTEGER, value);
  }

  /** Appends an integer whose digits are bytes[position, position + length). */
  integerDigits(bytes: Uint8Array, position: number, length: number): void {
    const at = this.#room(length + 3);
    const to = this.#bytes;
    to[at] = Token.INTEGER;
    const end = at + 1 + length;
    for (let i = 0; i < length; i++) to[at + 1 + i] = bytes[position + i]!;
    to[end] = CR;
    to[end + 1] = LF;
    this.#at = end + 2;
  }

  integer64(value: bigint): void {
    this.#line(Token.INTEGER, value.toString());
  }

  /** Appends the bulk string bytes[position, position + length), which may be in shared memory. */
  bulk(bytes: Uint8Array, position: number, length: number): void {
    if (length > WHOLE_BYTES_MAX) {
      this.#header(Token.BULK, length);
      this.#spread(bytes, position, length);
      this.#lineEndWithRoom();
      return;
    }
    const at = this.#room(length + HEADER_BYTES_MAX + 2);
    const to = this.#bytes;
    to[at] = Token.BULK;
    const start = writeLineOf(to, at + 1, length);
    copyBytes(bytes, position, to, start, length);
    const end = start + length;
    to[end] = CR;
    to[end + 1] = LF;
    this.#at = end + 2;
  }

  /** Appends a bulk string in UTF-8. */
  bulkString(text: string): void {
    if (isShortAscii(text)) {
      this.bulkLatin1(text);
      return;
    }
    const length = Buffer.byteLength(text);
    this.#header(Token.BULK, length);
    this.#utf8(text, length);
    this.#lineEndWithRoom();
  }

  /** Appends a bulk string with a byte per char. */
  bulkLatin1(text: string): void {
    this.#header(Token.BULK, text.length);
    this.#latin1(text);
    this.#lineEndWithRoom();
  }

  /** Appends the digits of a safe integer as a bulk string. */
  bulkInteger(value: number): void {
    const length = decimalLength(value);
    this.#header(Token.BULK, length);
    const at = this.#room(length + 2);
    this.#at = writeDecimal(this.#bytes, at, value);
    this.#lineEnd();
  }

  /** Appends the nil for a missing value. */
  nil(): void {
    if (this.protocol === 3) this.#line(Token.NULL, '');
    else this.#header(Token.BULK, -1);
  }

  /** Appends the nil for a missing array. */
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

  /** Opens a map. The pairs follow, key before value. */
  map(pairs: number): void {
    this.aggregate(Aggregate.MAP, pairs);
  }

  set(count: number): void {
    this.aggregate(Aggregate.SET, count);
  }

  /** Opens an out-of-band message, which is an array in RESP2. */
  push(count: number): void {
    this.aggregate(Aggregate.PUSH, count);
  }

  aggregate(kind: Aggregate, count: number): void {
    this.#header(this.#token(kind), this.#elements(kind, count));
  }

  double(value: number): void {
    // Most scores are integers. Their digits need no string.
    if (this.protocol === 2 && Number.isSafeInteger(value) && !Object.is(value, -0))
      this.bulkInteger(value);
    else this.doubleText(formatDouble(value));
  }

  /** Appends a double that is already printed. */
  doubleText(text: string): void {
    if (this.protocol === 3) this.#line(Token.DOUBLE, text);
    else this.bulkLatin1(text);
  }

  boolean(value: boolean): void {
    if (this.protocol === 3) this.#line(Token.BOOLEAN, value ? 't' : 'f');
    else this.integer(value ? 1 : 0);
  }

  /** Appends decimal digits of any length. A bulk string in RESP2. */
  bigNumber(digits: string): void {
    if (this.protocol === 3) this.#line(Token.BIG_NUMBER, digits);
    else this.bulkLatin1(digits);
  }

  /**
   * Appends text for people, in UTF-8, with a format of three letters such as "txt". A bulk string
   * in RESP2.
   */
  verbatim(format: string, text: string): void {
    if (this.protocol === 2) {
      this.bulkString(text);
      return;
    }
    const length = Buffer.byteLength(text);
    this.#header(Token.VERBATIM, length + 4);
    this.#latin1(format);
    this.#latin1(':');
    this.#utf8(text, length);
    this.#lineEndWithRoom();
  }

  /** Appends bytes that already are a reply or a part of one. */
  raw(bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (length > WHOLE_BYTES_MAX) {
      this.#spread(bytes, start, length);
      return;
    }
    const at = this.#room(length);
    copyBytes(bytes, start, this.#bytes, at, length);
    this.#at = at + length;
  }

  /** Opens an aggregate of unknown length. Returns the token for {@link setDeferred}. */
  deferArray(): number {
    const at = this.#room(DEFERRED_BYTES);
    this.#at = at + DEFERRED_BYTES;
    return this.#before + at;
  }

  /**
   * Sets the length and kind of a deferred aggregate. Inner ones must come before outer ones,
   * because a length of more than one digit moves the bytes behind it in its chunk.
   */
  setDeferred(token: number, count: number, kind: Aggregate): void {
    if (this.#cut) return;
    const elements = this.#elements(kind, count);
    const longer = decimalLength(elements) + 3 - DEFERRED_BYTES;
    let index = this.#full.length;
    let start = this.#before;
    while (start > token) start -= this.#full[--index]!.length;
    const isLast = index === this.#full.length;
    const part = isLast ? this.#bytes : this.#full[index]!;
    const chunk = part.whole ?? part;
    const at = token - start;
    const used = isLast ? this.#at : part.length;
    let target = chunk;
    let to = at;
    if (used + longer > chunk.length) {
      target = this.#pool.take(used - at + longer);
      to = 0;
    }
    // The bytes behind the header move first, so that the header does not overwrite them when
    // source and target are one chunk.
    const rest = used - at - DEFERRED_BYTES;
    const restAt = to + DEFERRED_BYTES + longer;
    if (target !== chunk) copyBytes(chunk, at + DEFERRED_BYTES, target, restAt, rest);
    else if (longer !== 0) chunk.copyWithin(restAt, at + DEFERRED_BYTES, used);
    target[to] = this.#token(kind);
    const end = writeDecimal(target, to + 1, elements);
    target[end] = CR;
    target[end + 1] = LF;
    this.#relink(index, chunk, at, target, restAt + rest);
  }

  /** Returns the place of the next reply, for {@link truncate}. */
  mark(): number {
    return this.#before + this.#at;
  }

  /** Removes everything that was written since the mark. */
  truncate(mark: number): void {
    if (this.#cut) return;
    assert(mark >= 0 && mark <= this.size, 'a mark lies within the reply');
    while (mark < this.#before) {
      const part = this.#full.pop()!;
      this.#pool.give(this.#bytes);
      this.#bytes = part.whole ?? part;
      this.#before -= part.length;
    }
    this.#at = mark - this.#before;
  }

  /**
   * Hands over all bytes and starts again. The caller owns them. It may give them to
   * {@link recycle} once the socket has written them. Several chunks are copied together;
   * {@link takeChunks} avoids this copy.
   */
  take(): Buffer {
    if (this.#full.length > 0) {
      const chunks = this.takeChunks();
      const whole = Buffer.concat(chunks);
      for (const chunk of chunks) this.#pool.give(chunk);
      return whole;
    }
    const taken = partOf(this.#bytes, this.#at);
    this.#bytes = NO_BYTES;
    this.#at = 0;
    return taken;
  }

  /**
   * As {@link take}, for bytes that may be kept for long. Unless they fill most of their chunk, they
   * come in a new array, which is not recycled: a chunk has at least 17 KiB, whatever is in it, and
   * many replies may wait for a client that does not read.
   */
  takeToKeep(): Buffer {
    if (this.#full.length > 0 || this.#at >= this.#bytes.length * KEPT_SHARE_MIN)
      return this.take();
    const kept = Buffer.allocUnsafe(this.#at);
    copyBytes(this.#bytes, 0, kept, 0, this.#at);
    this.discard();
    return kept;
  }

  /** As {@link take}, but returns the chunks. */
  takeChunks(): PooledBuffer[] {
    const chunks = this.#full.splice(0);
    if (this.#at > 0) chunks.push(partOf(this.#bytes, this.#at));
    else this.#pool.give(this.#bytes);
    this.#bytes = NO_BYTES;
    this.#at = 0;
    this.#before = 0;
    return chunks;
  }

  /**
   * Takes back a buffer that {@link take} returned, from this reply or another one of the same
   * pool.
   */
  recycle(buffer: Buffer): void {
    this.#pool.give(buffer);
  }

  /** Drops what is there and all that will be appended: the gate has refused more. */
  cut(): void {
    this.discard();
    this.#cut = true;
  }

  /** Drops the appended bytes, for example when the connection has closed. */
  discard(): void {
    this.#pool.give(this.#bytes);
    this.#bytes = NO_BYTES;
    this.#at = 0;
    if (this.#before === 0) return;
    for (const part of this.#full) this.#pool.give(part);
    this.#full.length = 0;
    this.#before = 0;
  }

  /**
   * Makes room for `bytes` bytes in one chunk, at most CHUNK_BYTES_MAX, and returns their position
   * in it.
   */
  #room(bytes: number): number {
    if (this.#at + bytes > this.#bytes.length) this.#grow(bytes);
    return this.#at;
  }

  #grow(bytes: number): void {
    const old = this.#bytes;
    if (!this.#cut && bytes + this.size > POOLED_BYTES_MIN) {
      // The gate is asked for each chunk except a first one of the usual size.
      if (this.gate !== undefined && !this.gate.mayGrow(this.size + bytes)) this.cut();
    }
    if (this.#cut) {
      // The bytes are discarded, so they are always written to the same place.
      this.#at = 0;
      if (bytes <= this.#bytes.length) return;
      this.#pool.give(this.#bytes);
      this.#bytes = this.#pool.take(bytes);
      return;
    }
    this.#seal();
    const gathered = Math.min(old.length * 2, GATHERED_BYTES_MAX);
    this.#bytes = this.#pool.take(Math.max(bytes, gathered, POOLED_BYTES_MIN));
  }

  /** Adds the chunk that is being filled to the full ones, unless it is empty. */
  #seal(): void {
    if (this.#at > 0) {
      this.#full.push(partOf(this.#bytes, this.#at));
      this.#before += this.#at;
    } else {
      this.#pool.give(this.#bytes);
    }
    this.#bytes = NO_BYTES;
    this.#at = 0;
  }

  /**
   * Puts a changed chunk back at `index`. `chunk` has `at` bytes, unless it is `target` itself.
   * Behind them come `bytes` bytes of `target`.
   */
  #relink(
    index: number,
    chunk: PooledBuffer,
    at: number,
    target: PooledBuffer,
    bytes: number,
  ): void {
    const full = this.#full;
    const isSplit = target !== chunk && at > 0;
    if (target !== chunk && at === 0) this.#pool.give(chunk);
    if (index === full.length) {
      if (isSplit) {
        full.push(partOf(chunk, at));
        this.#before += at;
      }
      this.#bytes = target;
      this.#at = bytes;
      return;
    }
    const oldBytes = full[index]!.length;
    const part = partOf(target, bytes);
    if (isSplit) full.splice(index, 1, partOf(chunk, at), part);
    else full[index] = part;
    this.#before += (isSplit ? at : 0) + bytes - oldBytes;
  }

  /** Appends bytes that are too long for one chunk. */
  #spread(bytes: Uint8Array, position: number, length: number): void {
    let from = position;
    const end = position + length;
    while (from < end && !this.#cut) {
      let room = this.#bytes.length - this.#at;
      if (room === 0) {
        this.#grow(Math.min(end - from, CHUNK_BYTES_MAX));
        room = this.#bytes.length - this.#at;
        continue;
      }
      const count = Math.min(room, end - from);
      copyBytes(bytes, from, this.#bytes, this.#at, count);
      this.#at += count;
      from += count;
    }
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
    this.#at = end + 2;
  }

  #line(token: number, text: string): void {
    const length = text.length;
    if (length > PIECE_CHARS) {
      this.#longLine(token, text);
      return;
    }
    let at = this.#room(length + 3);
    const bytes = this.#bytes;
    bytes[at++] = token;
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      bytes[at++] = code === CR || code === LF ? SPACE : code;
    }
    this.#at = at;
    this.#lineEnd();
  }

  /** Appends a long line: one of MONITOR, or an error that quotes the client. */
  #longLine(token: number, text: string): void {
    this.#latin1(String.fromCharCode(token));
    for (let i = 0; i < text.length; i += PIECE_CHARS)
      this.#latin1(text.slice(i, i + PIECE_CHARS).replace(/[\r\n]/g, ' '));
    this.#lineEndWithRoom();
  }

  /** Appends a line end. There must be room. */
  #lineEnd(): void {
    const at = this.#at;
    this.#bytes[at] = CR;
    this.#bytes[at + 1] = LF;
    this.#at = at + 2;
  }

  #lineEndWithRoom(): void {
    this.#room(2);
    this.#lineEnd();
  }

  /** Appends a text with a byte per char. */
  #latin1(text: string): void {
    const length = text.length;
    if (length > PIECE_CHARS) {
      for (let i = 0; i < length; i += PIECE_CHARS) this.#latin1(text.slice(i, i + PIECE_CHARS));
      return;
    }
    const at = this.#room(length);
    if (length < LOOP_CHARS) {
      const bytes = this.#bytes;
      for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(i);
    } else {
      this.#bytes.write(text, at, length, 'latin1');
    }
    this.#at = at + length;
  }

  /** Appends a text in UTF-8. `length` is its length in bytes. */
  #utf8(text: string, length: number): void {
    if (length > PIECE_CHARS) {
      this.#spread(Buffer.from(text, 'utf8'), 0, length);
      return;
    }
    const at = this.#room(length);
    this.#bytes.write(text, at, length, 'utf8');
    this.#at = at + length;
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

/**
 * Writes a length and the line end, and returns the position behind them. Short lengths are very
 * common.
 */
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

/** Returns whether a text is short ASCII, such as a field name. It needs no encoder. */
function isShortAscii(text: string): boolean {
  if (text.length >= LOOP_CHARS) return false;
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) return false;
  }
  return true;
}
