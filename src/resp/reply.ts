/**
 * The replies to one connection in one turn. Hot path.
 *
 * Handlers append replies in their order; the connection hands all of them to the socket at once.
 * They lie in a chain of chunks from a pool. Nearly always there is one; a longer reply gets
 * another, so that written bytes stay in place. A connection takes the first chunk with the first
 * byte and hands it over with `take`: a quiet connection holds none.
 *
 *   #full   [ chunk, sealed ▓▓▓▓▓▓▓ ][ chunk of one large bulk ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓ ]   #before bytes
 *   #bytes  [ ▓▓▓▓▓▓▓▓░░░░░░░░░░░░░ ]                                              #at bytes
 *
 *   pool ──first byte──▶ reply ──take()──▶ socket.write ──callback: recycle()──▶ pool
 *
 * A bulk does not cross from chunk to chunk until it is larger than CHUNK_BYTES_MAX, which no chunk
 * passes: it is copied once, to where it is sent from. Before a chunk is taken besides the first,
 * the {@link ReplyGate} is asked. When it refuses, the reply is cut: what is there is dropped, and
 * so is all that is appended from then on.
 *
 * Methods write what the connection's `protocol` asks for: a map is an array of twice the length in
 * RESP2, a double a bulk string, and so on. Lengths come first in RESP, so an aggregate of unknown
 * length is opened with `deferArray` and told its length afterwards.
 *
 * Marks and tokens count the bytes before them, in all chunks. Stale: those after a `truncate` or a
 * longer `setDeferred`, and all of them after `take`. Main thread.
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

/**
 * The aggregate that `setDeferred` makes of the elements that followed. The length of a map counts
 * its pairs.
 */
export const Aggregate = { ARRAY: 0, MAP: 1, SET: 2, PUSH: 3 } as const;
export type Aggregate = (typeof Aggregate)[keyof typeof Aggregate];

/** Token, sign, 16 digits, CR LF. */
const HEADER_BYTES_MAX = 20;
/** Texts below this are written by a loop: a native call costs 60 to 130 ns. */
const LOOP_CHARS = 24;
/**
 * "*0" with its line end: what a deferred length occupies until it is known. Longer ones move the
 * elements.
 */
const DEFERRED_BYTES = 4;
/** Less than this may leave in a small copy, so that the large buffer is free at once. */
const SMALL_BYTES = 2048;
/** No chunk is larger; a bulk that is lies in several. */
export const CHUNK_BYTES_MAX = POOLED_BYTES_MAX;
/** Of chunks that gather small replies the next one is twice as large, up to this. */
const GATHERED_BYTES_MAX = 256 * KIB;
/** Longer texts and bulks are laid from chunk to chunk. */
const WHOLE_BYTES_MAX = CHUNK_BYTES_MAX - 64;
/** Strings of more chars are converted in pieces. */
const PIECE_CHARS = 64 * KIB;

/** Asked for each chunk that a reply takes besides its first. */
export interface ReplyGate {
  /** Whether the reply may have `bytes` bytes; false cuts it for good. */
  mayGrow(bytes: number): boolean;
}

const NO_BYTES: PooledBuffer = Buffer.alloc(0);

export class Reply {
  protocol: 2 | 3 = 2;
  /** Error replies ever written; the dispatcher compares before and after a command. */
  errors = 0;
  /** How many of them have been counted, and the text of the last one; for whoever counts. */
  errorsNoted = 0;
  lastError = '';
  gate: ReplyGate | undefined = undefined;
  readonly #pool: BufferPool;
  /** The chunk that is being filled, and up to where. */
  #bytes: PooledBuffer = NO_BYTES;
  #at = 0;
  /**
   * Chunks before it, in order, each as the part that is filled; and how many bytes they are
   * together.
   */
  readonly #full: PooledBuffer[] = [];
  #before = 0;
  #cut = false;

  /** Connections of one node share a pool; a reply without one has its own. */
  constructor(pool: BufferPool = new BufferPool()) {
    this.#pool = pool;
  }

  /** Bytes that wait to be taken. */
  get size(): number {
    return this.#before + this.#at;
  }

  /** Bytes of memory that the chunks have. */
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

  /** Chunks before the one that is being filled. */
  get fullChunks(): number {
    return this.#full.length;
  }

  /** The gate has refused: nothing of it may be sent. */
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

  /** A status. `text` has a char per byte; line ends in it become spaces. */
  simple(text: string): void {
    this.#line(Token.SIMPLE, text);
  }

  /**
   * An error: the whole text, code word first, without the dash. A char per byte; line ends become
   * spaces.
   */
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
    this.#at = end + 2;
  }

  integer64(value: bigint): void {
    this.#line(Token.INTEGER, value.toString());
  }

  /** A bulk string of bytes[position, position + length), which may lie in shared memory. */
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

  /** A bulk string in UTF-8. */
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

  /** A bulk string of a char per byte. */
  bulkLatin1(text: string): void {
    this.#header(Token.BULK, text.length);
    this.#latin1(text);
    this.#lineEndWithRoom();
  }

  /** A bulk string of a safe integer's digits. */
  bulkInteger(value: number): void {
    const length = decimalLength(value);
    this.#header(Token.BULK, length);
    const at = this.#room(length + 2);
    this.#at = writeDecimal(this.#bytes, at, value);
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
    if (this.protocol === 2 && Number.isSafeInteger(value) && !Object.is(value, -0))
      this.bulkInteger(value);
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

  /**
   * Text for people, in UTF-8, with a format of three letters such as "txt"; a bulk string in
   * RESP2.
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

  /** Bytes that are a reply, or a part of one, already. */
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

  /**
   * Opens an aggregate whose length is told later, to {@link setDeferred} with the token returned.
   */
  deferArray(): number {
    const at = this.#room(DEFERRED_BYTES);
    this.#at = at + DEFERRED_BYTES;
    return this.#before + at;
  }

  /**
   * Tells the length and kind of a deferred aggregate. Inner ones come before outer ones: a length
   * of more than one digit moves the bytes behind it in its chunk.
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
    // Behind the header first: where chunk and target are one, it moves away from under the header.
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

  /** Where the next reply will begin, for {@link truncate}. */
  mark(): number {
    return this.#before + this.#at;
  }

  /** Removes all that was written since the mark. */
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
   * Hands over all bytes and starts again. The caller owns them until it gives them to
   * {@link recycle}, which it does once the socket has written them, or never. Several chunks are
   * copied together: who sends them takes them as they are, with {@link takeChunks}.
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
   * As {@link take}, for bytes that may be kept for long: few bytes come in a new array, which is
   * not recycled.
   */
  takeToKeep(): Buffer {
    if (this.size >= SMALL_BYTES || this.#full.length > 0) return this.take();
    const kept = Buffer.allocUnsafe(this.#at);
    copyBytes(this.#bytes, 0, kept, 0, this.#at);
    this.discard();
    return kept;
  }

  /** As {@link take}, chunk by chunk. */
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
   * Takes back a buffer that {@link take} has returned, from this or another reply of the same
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

  /** Drops the waiting bytes, as when the connection has closed. */
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
   * Makes room for so many bytes in one chunk, at most CHUNK_BYTES_MAX, and returns where they
   * begin in it.
   */
  #room(bytes: number): number {
    if (this.#at + bytes > this.#bytes.length) this.#grow(bytes);
    return this.#at;
  }

  #grow(bytes: number): void {
    const old = this.#bytes;
    if (!this.#cut && bytes + this.size > POOLED_BYTES_MIN) {
      // Besides the first chunk of the usual size each one is asked for.
      if (this.gate !== undefined && !this.gate.mayGrow(this.size + bytes)) this.cut();
    }
    if (this.#cut) {
      // The bytes are discarded: they are written to the same place again and again.
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

  /** The chunk that is being filled joins those that are full, unless it is empty. */
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
   * Puts a chunk that has changed back into its place `index`: `chunk` has `at` bytes, if it is not
   * `target` itself, and behind them come `bytes` bytes of `target`.
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

  /** Appends bytes that are too many for one chunk. */
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

  /** A line of MONITOR, or an error that quotes the client. */
  #longLine(token: number, text: string): void {
    this.#latin1(String.fromCharCode(token));
    for (let i = 0; i < text.length; i += PIECE_CHARS)
      this.#latin1(text.slice(i, i + PIECE_CHARS).replace(/[\r\n]/g, ' '));
    this.#lineEndWithRoom();
  }

  /** The room is there. */
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

  /** A char per byte. */
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

  /** `length` is that of the text in UTF-8. */
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
 * Writes a length and the line end, and returns the position after them. Short ones are very
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

/** Field names and the like, which need no encoder. */
function isShortAscii(text: string): boolean {
  if (text.length >= LOOP_CHARS) return false;
  for (let i = 0; i < text.length; i++) {
    if (text.charCodeAt(i) > 0x7f) return false;
  }
  return true;
}
