/**
 * From socket reads to requests. Hot path.
 *
 * A chunk is parsed where it lies. Only the rest at the end of the turn, an incomplete request or
 * requests that a blocked client may not run yet, is copied to the reader's own buffer. When more
 * arrives, only the bytes that complete that request are copied after it, and then parsing goes on
 * in the chunk:
 *
 *   own    [ consumed | tail of the last chunk | copied ]
 *                     ^request.start           ^^^^^^^^ the same bytes
 *   chunk                                     [ ^^^^^^^^ | not looked at yet … ]
 *                                                        ^#chunkPosition
 *
 * The own buffer grows with the bytes that have arrived; by what a client announces it grows to a
 * buffer of the pool at most. Where parsing stopped inside a request is remembered, so a request
 * costs time in proportion to its bytes however they are cut.
 *
 * A large argument does not come through chunks: while one is incomplete,
 * {@link RequestReader.target} is the place after its received bytes, and the socket is read into
 * that place. Then it is copied once, by the command that keeps it:
 *
 *   own    [ *3 $3 SET $1 k $1048576 xxxxxxxxxxx | target, to the end of the argument ]
 *                                                ^#end
 *
 * Invariant: from `target` to the following `filled` or `push` the target belongs to the system,
 * which may write to it at any time. The own buffer is not moved then, and it does not go back to
 * the pool.
 *
 * There are two ways in. `lookAhead` finds the requests that lie in the chunk whole and spelled
 * plainly, which is nearly all of them, many at once and fast. `next` finds the others: cut ones,
 * inline ones, odd and wrong ones.
 *
 * Behaviour and error texts are those of Redis 7.0, its leniences included: the two bytes after an
 * argument and the one after a CR may be anything (such a request is not `canonical`), and a NUL
 * hides the end of a line, which then never comes. One thing is stricter: a line is too long by its
 * length alone, not by how it was cut into reads.
 *
 * Bytes of a returned request may be lent (base/lease.ts): before the own buffer is moved or
 * overwritten they are reclaimed. The chunk is its owner's to reclaim.
 *
 * Stale: a returned request, once `next`, `push` or `keep` is called again. Main thread.
 */
import { assert } from '../base/assert.ts';
import { equalBytes, type ViewedBytes, withView } from '../base/byte-copy.ts';
import { latin1, parseInt64, parseInteger } from '../base/bytes.ts';
import { type Lease, noLease, poison } from '../base/lease.ts';
import { GIB, KIB, MIB } from '../base/units.ts';
import {
  type BufferPool,
  POOLED_BYTES_MAX,
  POOLED_BYTES_MIN,
  type PooledBuffer,
} from './buffer-pool.ts';
import { splitWords } from './inline.ts';
import { Request } from './request.ts';
import { CR, DIGIT_0, DIGIT_9, LF, Token } from './tokens.ts';

export interface RequestLimits {
  /** `proto-max-bulk-len`; an argument may have as many bytes. */
  bulkBytesMax: number;
  /** `client-query-buffer-limit`: of one incomplete request with all its arguments. */
  queryBytesMax: number;
  /** An inline request, and a line that announces a count or a length, without its line end. */
  inlineBytesMax: number;
  argumentsMax: number;
}

/** A new object for every caller: limits may be changed while readers use them. */
export function defaultLimits(): RequestLimits {
  return {
    bulkBytesMax: 512 * MIB,
    queryBytesMax: GIB,
    inlineBytesMax: 64 * KIB,
    argumentsMax: 0x7fff_ffff,
  };
}

/** The limits of one request before the client has authenticated. */
const UNAUTHENTICATED_ARGUMENTS_MAX = 10;
const UNAUTHENTICATED_BULK_BYTES_MAX = 16 * KIB;

/** Positions are 32-bit integers, so no limit may be above. */
const QUERY_BYTES_HARD_MAX = 0x7fff_ffff;

/**
 * The least that the own buffer has, and that is copied to it from a following chunk in one step.
 */
const OWN_BYTES_MIN = KIB;
/** An emptied own buffer beyond this is released at once, a smaller one by `releaseIdle`. */
const OWN_BYTES_KEPT_MAX = MIB;
/** An argument that lacks fewer bytes than this comes through the shared chunks. */
const TARGET_BYTES_MIN = 32 * KIB;
/** Argument arrays beyond this are released with their request. */
const ARGUMENTS_KEPT_MAX = 1024;

/** "*1", "$0" and three line ends. */
const REQUEST_BYTES_MIN = 10;
/**
 * CR LF, "*" with one digit and them, "$" with one digit and them, as words of little-endian bytes
 * without the digit.
 */
const LINE_END = 0x0a0d;
const SHORT_LINE_MASK = 0xffff_00ff | 0;
const SHORT_ARRAY = (LINE_END << 16) | Token.ARRAY;
const SHORT_BULK = (LINE_END << 16) | Token.BULK;

/** What {@link RequestReader.next} found. */
export const Parse = {
  /** `request` holds one. */
  REQUEST: 0,
  /** Nothing complete is left. */
  MORE: 1,
  /**
   * The client breaks the protocol: reply `error`, or nothing if that is empty, and close. Final.
   */
  ERROR: 2,
  /**
   * An empty line or an array without elements: nothing to run and no reply, but a sign of life.
   */
  EMPTY: 3,
} as const;
export type Parse = (typeof Parse)[keyof typeof Parse];

const NONE = -1;
/** Results of #line besides a position. */
const LINE_INCOMPLETE = -1;
const LINE_TOO_LONG = -2;

const NO_BYTES = new Uint8Array(0);

export class RequestReader {
  readonly limits: RequestLimits;
  readonly request = new Request();
  /** Set until the client has authenticated. */
  authRequired = false;
  /** Without the leading "-ERR " and the line end; empty when the query buffer limit was passed. */
  error = '';

  /** The place of parsing: the chunk, or the own buffer. */
  #source: Uint8Array = NO_BYTES;
  #position = 0;
  #end = 0;
  /** Arguments of the current request that are still to come; 0 between requests. */
  #remaining = 0;
  /** Announced length of the argument at #position, or NONE. */
  #bulk = NONE;
  /** The current line is known to have no end before this position. */
  #scanned = 0;

  #own: Uint8Array = NO_BYTES;
  #inOwn = false;
  #ownUsed = false;
  /**
   * While parsing is in the own buffer: the part of the chunk that was not copied, and how much
   * was.
   */
  #chunk: Uint8Array = NO_BYTES;
  #chunkPosition = 0;
  #chunkEnd = 0;
  #copied = 0;
  #failed = false;
  /** The borrower of bytes of requests. */
  readonly #lease: Lease;
  /** The source of own buffers of more than a few KiB. */
  readonly #pool: BufferPool | undefined;
  /** The system may write after #end of the own buffer. */
  #lent = false;

  constructor(limits: RequestLimits, lease: Lease = noLease(), pool?: BufferPool) {
    this.limits = limits;
    this.#lease = lease;
    this.#pool = pool;
  }

  /**
   * Bytes received and not yet returned as a request; those of an incomplete request count as a
   * whole.
   */
  get pendingBytes(): number {
    return this.#end - this.#unreturned() + this.#chunkEnd - this.#chunkPosition;
  }

  /** The first of the bytes that are pending, a char each. */
  firstBytes(bytesMax: number): string {
    const start = this.#unreturned();
    return latin1(this.#source, start, Math.min(bytesMax, this.#end - start));
  }

  /** Bytes of memory that the reader holds, for the client's own accounting. */
  get ownBytes(): number {
    return this.#own.length;
  }

  /** Gives the reader the bytes just read. They must stay as they are until `keep` has returned. */
  push(bytes: Uint8Array, start: number, end: number): void {
    this.#lent = false;
    if (this.pendingBytes !== 0 || this.#source !== NO_BYTES) this.keep();
    if (this.#inOwn) {
      this.#chunk = bytes;
      this.#chunkPosition = start;
      this.#chunkEnd = end;
      this.#copied = 0;
      return;
    }
    this.#source = bytes;
    this.#position = start;
    this.#scanned = start;
    this.#end = end;
  }

  /**
   * Where the next bytes of the socket are to be read to, when that is not a chunk: what an
   * argument lacks, or a part of it. To be asked after {@link keep}. The bytes come with
   * {@link filled}, or others with `push` after all.
   */
  target(): Uint8Array | undefined {
    if (!this.#inOwn || this.#remaining === 0 || this.#bulk === NONE) return undefined;
    const lacking = this.#position + this.#bulk + 2 - this.#end;
    if (lacking < TARGET_BYTES_MIN || this.#failed) return undefined;
    if (this.#own.length - this.#end < TARGET_BYTES_MIN) this.#makeRoom(TARGET_BYTES_MIN);
    this.#lent = true;
    const end = Math.min(this.#end + lacking, this.#own.length);
    poison(this.#own, this.#end, end);
    return this.#own.subarray(this.#end, end);
  }

  /** Notes that this many bytes were read to the {@link target}. */
  filled(bytes: number): void {
    assert(this.#lent, 'what is filled was asked for');
    this.#lent = false;
    this.#end += bytes;
  }

  /** Drops everything: the reader is no longer used. */
  release(): void {
    this.#forget();
    this.#giveBack();
  }

  /**
   * Fills `requests` with those that lie next in the chunk, as many as are whole and spelled
   * plainly, and returns how many of `requests` that took: one that comes several times in a row
   * takes one, and tells how often it is repeated. No more than `requests` has are found, repeated
   * ones included. The reader itself stays where it is: {@link take} moves it past each of them as
   * it is run.
   */
  lookAhead(requests: readonly Request[]): number {
    if (this.#remaining !== 0 || this.#inOwn || this.authRequired || this.#failed) return 0;
    const source: ViewedBytes = this.#source;
    if (source.view === undefined) withView(source);
    const view = source.view!;
    const end = this.#end;
    const { bulkBytesMax } = this.limits;
    let position = this.#position;
    let taken = 0;
    let left = requests.length;
    // Pipelines of one request are common: a queue that is emptied, a counter. Others cost one
    // comparison.
    let mayRepeat = true;
    while (left > 0) {
      const request = requests[taken]!;
      position = parseWhole(request, source, view, position, end, bulkBytesMax);
      if (position === NONE) break;
      taken++;
      left--;
      if (!mayRepeat) continue;
      const { start } = request;
      const bytes = position - start;
      while (
        left > 0 &&
        position + bytes <= end &&
        equalBytes(source, start, source, position, bytes)
      ) {
        request.repeats++;
        position += bytes;
        left--;
      }
      mayRepeat = request.repeats > 0;
    }
    return taken;
  }

  /** Moves past a request that {@link lookAhead} has found; those before it must be taken. */
  take(request: Request): void {
    this.#position = request.end;
    this.#scanned = request.end;
  }

  /** Looks for the following request and leaves it in `request`. */
  next(): Parse {
    if (this.#failed) return Parse.ERROR;
    let found = this.#parse();
    while (found === Parse.MORE && this.#inOwn && this.#chunkPosition < this.#chunkEnd) {
      if (this.#remaining === 0 && this.#end - this.#position <= this.#copied)
        this.#returnToChunk();
      else this.#copyFromChunk();
      found = this.#parse();
    }
    if (found === Parse.MORE) {
      if (this.pendingBytes > Math.min(this.limits.queryBytesMax, QUERY_BYTES_HARD_MAX))
        return this.#fail('');
    }
    return found;
  }

  /** Ends the turn: copies the bytes that were not returned, and drops the chunk. */
  keep(): void {
    if (this.#failed) {
      this.#forget();
      return;
    }
    if (this.#inOwn) {
      if (this.#remaining === 0 && this.#end - this.#position <= this.#copied)
        this.#returnToChunk();
      else this.#appendRest();
    }
    if (this.pendingBytes === 0) this.#forget();
    else if (!this.#inOwn) this.#moveToOwn();
    if (this.#remaining === 0 && this.request.position.length > ARGUMENTS_KEPT_MAX)
      this.request.shrink();
  }

  /** Releases an own buffer that was not used since the last call. Must be called now and then. */
  releaseIdle(): void {
    if (!this.#ownUsed && !this.#inOwn) this.#giveBack();
    this.#ownUsed = this.#inOwn;
  }

  #parse(): Parse {
    const request = this.request;
    const source = this.#source;

    if (this.#remaining === 0) {
      if (this.#position === this.#end) return Parse.MORE;
      request.begin(source, this.#position, 0);
      if (source[this.#position] !== Token.ARRAY) return this.#inline();
      const count = this.#count();
      if (count !== Parse.REQUEST) return count;
    }

    while (this.#remaining !== 0) {
      if (this.#bulk === NONE) {
        const found = this.#bulkLength();
        if (found !== Parse.REQUEST) return found;
      }
      const start = this.#position;
      const after = start + this.#bulk;
      if (after + 2 > this.#end) return Parse.MORE;
      if (source[after] !== CR || source[after + 1] !== LF) request.canonical = false;
      request.add(start, this.#bulk);
      this.#position = after + 2;
      this.#scanned = this.#position;
      this.#bulk = NONE;
      this.#remaining--;
    }
    request.end = this.#position;
    return Parse.REQUEST;
  }

  /** Reads "*<count>" at #position. REQUEST means that #remaining arguments follow. */
  #count(): Parse {
    const lineEnd = this.#line();
    if (lineEnd === LINE_INCOMPLETE) return Parse.MORE;
    if (lineEnd === LINE_TOO_LONG) return this.#fail('Protocol error: too big mbulk count string');
    const position = this.#position;
    const count = announced(this.#source, position + 1, lineEnd - position - 1);
    if (Number.isNaN(count) || count > this.limits.argumentsMax) {
      return this.#fail('Protocol error: invalid multibulk length');
    }
    if (count > UNAUTHENTICATED_ARGUMENTS_MAX && this.authRequired) {
      return this.#fail('Protocol error: unauthenticated multibulk length');
    }
    this.#endLine(lineEnd);
    if (count > 0) {
      this.#remaining = count;
      return Parse.REQUEST;
    }
    this.request.end = this.#position;
    return Parse.EMPTY;
  }

  /** Reads "$<length>" at #position. REQUEST means that #bulk bytes follow. */
  #bulkLength(): Parse {
    const lineEnd = this.#line();
    if (lineEnd === LINE_INCOMPLETE) return Parse.MORE;
    if (lineEnd === LINE_TOO_LONG) return this.#fail('Protocol error: too big bulk count string');
    const position = this.#position;
    const first = this.#source[position]!;
    if (first !== Token.BULK) {
      return this.#fail(`Protocol error: expected '$', got '${String.fromCharCode(first)}'`);
    }
    const length = announced(this.#source, position + 1, lineEnd - position - 1);
    if (Number.isNaN(length) || length < 0 || length > this.limits.bulkBytesMax) {
      return this.#fail('Protocol error: invalid bulk length');
    }
    if (this.authRequired && length > UNAUTHENTICATED_BULK_BYTES_MAX) {
      return this.#fail('Protocol error: unauthenticated bulk length');
    }
    this.#endLine(lineEnd);
    this.#bulk = length;
    return Parse.REQUEST;
  }

  /** The position of the CR of the line at #position, once the byte after it has arrived too. */
  #line(): number {
    const limit = Math.min(this.#end, this.#position + this.limits.inlineBytesMax + 1);
    const at = this.#scan(CR, limit);
    if (at !== limit && this.#source[at] === CR) return at + 1 < this.#end ? at : LINE_INCOMPLETE;
    return this.#end - this.#position > this.limits.inlineBytesMax
      ? LINE_TOO_LONG
      : LINE_INCOMPLETE;
  }

  /** Moves past the CR at `lineEnd` and the byte after it. */
  #endLine(lineEnd: number): void {
    if (this.#source[lineEnd + 1] !== LF) this.request.canonical = false;
    this.#position = lineEnd + 2;
    this.#scanned = this.#position;
  }

  /** The first position from #scanned on that holds `byte` or NUL, or `limit`; remembers it. */
  #scan(byte: number, limit: number): number {
    const source = this.#source;
    let at = this.#scanned;
    while (at < limit && source[at] !== byte && source[at] !== 0) at++;
    this.#scanned = at;
    return at;
  }

  #inline(): Parse {
    const request = this.request;
    const start = this.#position;
    const limit = Math.min(this.#end, start + this.limits.inlineBytesMax + 1);
    const at = this.#scan(LF, limit);
    if (at === limit || this.#source[at] !== LF) {
      const tooLong = this.#end - start > this.limits.inlineBytesMax;
      return tooLong ? this.#fail('Protocol error: too big inline request') : Parse.MORE;
    }
    this.#position = at + 1;
    this.#scanned = at + 1;
    request.end = at + 1;
    request.canonical = false;
    request.inline = true;
    const contentEnd = at > start && this.#source[at - 1] === CR ? at - 1 : at;
    if (!splitWords(request, this.#source, start, contentEnd)) {
      return this.#fail('Protocol error: unbalanced quotes in request');
    }
    return request.argc === 0 ? Parse.EMPTY : Parse.REQUEST;
  }

  #fail(error: string): Parse {
    this.#failed = true;
    this.error = error;
    return Parse.ERROR;
  }

  /** The first position that no returned request covers. */
  #unreturned(): number {
    return this.#remaining === 0 ? this.#position : this.request.start;
  }

  /** Goes on in the chunk, whose copied bytes cover all that is left in the own buffer. */
  #returnToChunk(): void {
    const left = this.#end - this.#position;
    this.#source = this.#chunk;
    this.#position = this.#chunkPosition - left;
    this.#scanned = this.#position;
    this.#end = this.#chunkEnd;
    this.#chunkDone();
    this.#inOwn = false;
  }

  /**
   * Copies the bytes that the current request is known to lack, or else a little more every time.
   */
  #copyFromChunk(): void {
    const lacking = this.#bulk === NONE ? 0 : this.#position + this.#bulk + 2 - this.#end;
    const wanted = Math.max(lacking, this.#copied, OWN_BYTES_MIN);
    const bytes = Math.min(wanted, this.#chunkEnd - this.#chunkPosition);
    this.#append(bytes);
    this.#copied += bytes;
  }

  #append(bytes: number): void {
    if (bytes === 0) return;
    this.#makeRoom(bytes);
    this.#own.set(
      this.#chunk.subarray(this.#chunkPosition, this.#chunkPosition + bytes),
      this.#end,
    );
    this.#chunkPosition += bytes;
    this.#end += bytes;
  }

  #appendRest(): void {
    this.#append(this.#chunkEnd - this.#chunkPosition);
    this.#chunkDone();
  }

  #chunkDone(): void {
    this.#copied = 0;
    this.#chunk = NO_BYTES;
    this.#chunkPosition = 0;
    this.#chunkEnd = 0;
  }

  /**
   * Makes room for this many bytes after #end. Moves the bytes to the front when that frees half of
   * the buffer.
   */
  #makeRoom(bytes: number): void {
    const own = this.#own;
    if (own.length - this.#end >= bytes) return;
    assert(!this.#lent, 'nothing moves while the system reads into the buffer');
    const from = this.#unreturned();
    const used = this.#end - from;
    this.#lease.reclaim(own);
    if (from >= used && own.length - used >= bytes) {
      own.copyWithin(0, from, this.#end);
      poison(own, used, this.#end);
    } else {
      const grown = this.#newOwn(this.#roomFor(used + bytes));
      grown.set(own.subarray(from, this.#end));
      this.#giveBack();
      this.#own = grown;
      this.#source = grown;
      this.request.bytes = grown;
    }
    this.#rebase(from);
  }

  #moveToOwn(): void {
    const from = this.#unreturned();
    const used = this.#end - from;
    assert(!this.#lent, 'nothing moves while the system reads into the buffer');
    this.#lease.reclaim(this.#own);
    const room = this.#roomFor(used);
    if (this.#own.length < used || (this.#bulk > TARGET_BYTES_MIN && this.#own.length < room)) {
      this.#giveBack();
      this.#own = this.#newOwn(room);
    }
    this.#own.set(this.#source.subarray(from, this.#end));
    this.#source = this.#own;
    this.request.bytes = this.#own;
    this.#inOwn = true;
    this.#ownUsed = true;
    this.#copied = 0;
    this.#rebase(from);
  }

  /**
   * Twice what has arrived, or what the current request is known to need when that is less or the
   * pool has it.
   */
  #roomFor(used: number): number {
    const needed = this.#bulk === NONE ? 0 : this.#position - this.#unreturned() + this.#bulk + 2;
    const doubled = Math.max(used * 2, OWN_BYTES_MIN);
    if (needed < used) return doubled;
    if (this.#pool !== undefined && needed <= POOLED_BYTES_MAX)
      return Math.max(needed, OWN_BYTES_MIN);
    return Math.min(needed + OWN_BYTES_MIN, doubled);
  }

  #newOwn(bytes: number): Uint8Array {
    const pool = this.#pool;
    return pool === undefined || bytes < POOLED_BYTES_MIN / 2 ? newBytes(bytes) : pool.take(bytes);
  }

  /**
   * Drops the own buffer. A buffer that the system may write to is left to the garbage collector.
   */
  #giveBack(): void {
    const own = this.#own;
    this.#own = NO_BYTES;
    if (own === NO_BYTES) return;
    this.#lease.reclaim(own);
    if (this.#lent) return;
    if (this.#pool === undefined || own.length < POOLED_BYTES_MIN) poison(own);
    else this.#pool.give(own as PooledBuffer);
  }

  /**
   * Adjusts all positions after the bytes at `from` have moved to 0; a request is moved only once
   * while it grows.
   */
  #rebase(from: number): void {
    if (from === 0) return;
    this.#position -= from;
    this.#scanned -= from;
    this.#end -= from;
    if (this.#remaining === 0) return;
    const request = this.request;
    request.start -= from;
    for (let i = 0; i < request.argc; i++) request.position[i]! -= from;
  }

  /** Nothing is left: drops chunk and source, and an own buffer that is too large to keep. */
  #forget(): void {
    this.#source = NO_BYTES;
    this.request.bytes = NO_BYTES;
    this.#position = 0;
    this.#scanned = 0;
    this.#end = 0;
    this.#remaining = 0;
    this.#bulk = NONE;
    this.#inOwn = false;
    this.#chunkDone();
    this.#lease.reclaim(this.#own);
    if (this.#own.length >= (this.#pool === undefined ? OWN_BYTES_KEPT_MAX : POOLED_BYTES_MIN))
      this.#giveBack();
    else poison(this.#own);
  }
}

/**
 * Reads the request at `position` into `request` when all of it lies before `end`, has neither odd
 * nor wrong spellings, and not too many arguments; returns where it ends, or NONE. `request` is
 * spoiled then. `view` is that of `source`: "*3" or "$7" with its line end is one word.
 */
function parseWhole(
  request: Request,
  source: Uint8Array,
  view: DataView,
  position: number,
  end: number,
  bulkBytesMax: number,
): number {
  if (end - position < REQUEST_BYTES_MIN) return NONE;
  const head = view.getInt32(position, true);
  let count = ((head >>> 8) & 0xff) - DIGIT_0;
  if ((head & 0xff) !== Token.ARRAY || count < 1 || count > 9) return NONE;
  let at = position + 4;
  if ((head & SHORT_LINE_MASK) !== SHORT_ARRAY) {
    // The count ends before the least that a request has.
    at = position + 2;
    for (let byte = source[at]!; byte !== CR; byte = source[++at]!) {
      if (byte < DIGIT_0 || byte > DIGIT_9) return NONE;
      count = count * 10 + byte - DIGIT_0;
      if (count > ARGUMENTS_KEPT_MAX) return NONE;
    }
    if (source[at + 1] !== LF) return NONE;
    at += 2;
  }
  request.begin(source, position, count);
  const starts = request.position;
  const lengths = request.length;
  for (let i = 0; i < count; i++) {
    if (at + 4 > end) return NONE;
    const word = view.getInt32(at, true);
    let length = ((word >>> 8) & 0xff) - DIGIT_0;
    if ((word & 0xff) !== Token.BULK || length < 0 || length > 9) return NONE;
    if ((word & SHORT_LINE_MASK) === SHORT_BULK) {
      at += 4;
    } else {
      // "$100": no zero before others.
      if (length === 0) return NONE;
      at += 2;
      for (let byte = source[at]!; byte !== CR; byte = source[at]!) {
        if (byte < DIGIT_0 || byte > DIGIT_9 || ++at + 1 >= end) return NONE;
        length = length * 10 + byte - DIGIT_0;
      }
      if (length > bulkBytesMax || source[at + 1] !== LF) return NONE;
      at += 2;
    }
    const after = at + length;
    if (after + 2 > end) return NONE;
    if (view.getInt16(after, true) !== LINE_END) request.canonical = false;
    starts[i] = at;
    lengths[i] = length;
    at = after + 2;
  }
  request.argc = count;
  request.end = at;
  return at;
}

/**
 * The integer that a line announces, which may be a double beyond all limits; NaN when it is none
 * in canonical form.
 */
function announced(source: Uint8Array, start: number, length: number): number {
  const value = parseInteger(source, start, length);
  return Number.isNaN(value) ? Number(parseInt64(source, start, length)) : value;
}

/**
 * Bytes that are not zeroed, since all of them are written before they are read. A Buffer as what
 * sockets are read into: code that V8 has compiled for the one is not thrown away when it meets the
 * other.
 */
function newBytes(length: number): Uint8Array {
  return withView(Buffer.allocUnsafeSlow(length));
}
