/**
 * Hot path. Turns socket reads into requests.
 *
 * A chunk is parsed in place. At the end of the turn its rest is copied to the reader's own buffer:
 * an incomplete request, or requests that a blocked client may not run yet. When more bytes arrive,
 * only those that complete that request are copied behind it. Then parsing continues in the chunk:
 *
 *   own    [ consumed | tail of the last chunk | copied ]
 *                     ^request.start           ^^^^^^^^ the same bytes
 *   chunk                                     [ ^^^^^^^^ | not parsed yet … ]
 *                                                        ^#chunkPosition
 *
 * The own buffer grows with the bytes that have arrived. A length that the client only announces
 * makes it grow to the size of a pool's buffer at most. The reader remembers where it stopped
 * inside a request, so parsing takes linear time however a request is cut.
 *
 * A large argument does not come through chunks. While it is incomplete,
 * {@link RequestReader.target} is the place behind its received bytes, and the socket is read into
 * that place. So it is copied only once, by the command that keeps it:
 *
 *   own    [ *3 $3 SET $1 k $1048576 xxxxxxxxxxx | target, to the end of the argument ]
 *                                                ^#end
 *
 * Invariant: from `target` to the following `filled` or `push` the target belongs to the system,
 * which may write to it at any time. During this time the own buffer is not moved and not given
 * back to the pool.
 *
 * There are two ways to parse. `lookAhead` finds many requests of the chunk at once and fast, if
 * they are complete and spelled plainly, as nearly all are. `next` finds the others: cut ones,
 * inline ones, unusual and wrong ones.
 *
 * Behaviour and error texts are those of Redis 7.0, which tolerates some errors: the two bytes
 * after an argument and the one after a CR may be anything (such a request is not `canonical`), and
 * a NUL hides the end of a line, which is then never found. One rule is stricter: a line is too
 * long by its length alone, however it was cut into reads.
 *
 * Bytes of a returned request may be lent (base/lease.ts). The reader reclaims them before it moves
 * or overwrites its own buffer. The owner of the chunk reclaims those of the chunk.
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
  /** `proto-max-bulk-len`: the limit of one argument, in bytes. */
  bulkBytesMax: number;
  /**
   * `client-query-buffer-limit`: the limit of one incomplete request with all its arguments, in
   * bytes.
   */
  queryBytesMax: number;
  /** The limit of an inline request, and of a line with a number, without its line end. */
  inlineBytesMax: number;
  argumentsMax: number;
}

/** Returns a new object for every caller, because limits may change while readers use them. */
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

/** Positions are 32-bit integers, so no limit may be greater. */
const QUERY_BYTES_HARD_MAX = 0x7fff_ffff;

/** Minimum size of the own buffer, and the minimum that is copied to it in one step. */
const OWN_BYTES_MIN = KIB;
/** A larger own buffer is released as soon as it is empty, a smaller one by `releaseIdle`. */
const OWN_BYTES_KEPT_MAX = MIB;
/** An argument that lacks fewer bytes comes through the shared chunks. */
const TARGET_BYTES_MIN = 32 * KIB;
/** Longer argument arrays are released together with their request. */
const ARGUMENTS_KEPT_MAX = 1024;

/** The shortest request: "*1", "$0" and three line ends. */
const REQUEST_BYTES_MIN = 10;
/** Little-endian words: CR LF; "*" or "$" with a digit, which is left out, and CR LF. */
const LINE_END = 0x0a0d;
const SHORT_LINE_MASK = 0xffff_00ff | 0;
const SHORT_ARRAY = (LINE_END << 16) | Token.ARRAY;
const SHORT_BULK = (LINE_END << 16) | Token.BULK;

/** The result of {@link RequestReader.next}. */
export const Parse = {
  /** `request` holds a request. */
  REQUEST: 0,
  /** There is no complete request. */
  MORE: 1,
  /** The client broke the protocol. Reply `error`, or nothing if it is empty, and close. Final. */
  ERROR: 2,
  /** An empty line, or an array without elements. It has no reply, but counts as activity. */
  EMPTY: 3,
} as const;
export type Parse = (typeof Parse)[keyof typeof Parse];

const NONE = -1;
/** Results of #line that are not positions. */
const LINE_INCOMPLETE = -1;
const LINE_TOO_LONG = -2;

const NO_BYTES = new Uint8Array(0);

export class RequestReader {
  readonly limits: RequestLimits;
  readonly request = new Request();
  /** True until the client has authenticated. */
  authRequired = false;
  /** Without "-ERR " and the line end. Empty when the query buffer limit was passed. */
  error = '';

  /** The bytes that are parsed now: the chunk, or the own buffer. */
  #source: Uint8Array = NO_BYTES;
  #position = 0;
  #end = 0;
  /** Arguments of the current request that are not parsed yet; 0 between requests. */
  #remaining = 0;
  /** Announced length of the argument at #position, or NONE. */
  #bulk = NONE;
  /** The current line has no end before this position. */
  #scanned = 0;

  #own: Uint8Array = NO_BYTES;
  #inOwn = false;
  #ownUsed = false;
  /** While the own buffer is parsed: the uncopied part of the chunk, and the copied bytes. */
  #chunk: Uint8Array = NO_BYTES;
  #chunkPosition = 0;
  #chunkEnd = 0;
  #copied = 0;
  #failed = false;
  /** The lease of the bytes of requests. */
  readonly #lease: Lease;
  /** The pool of own buffers, if they have more than a few KiB. */
  readonly #pool: BufferPool | undefined;
  /** Whether the system may write behind #end of the own buffer. */
  #lent = false;

  constructor(limits: RequestLimits, lease: Lease = noLease(), pool?: BufferPool) {
    this.limits = limits;
    this.#lease = lease;
    this.#pool = pool;
  }

  /** Received bytes that were not yet returned. An incomplete request counts as a whole. */
  get pendingBytes(): number {
    return this.#end - this.#unreturned() + this.#chunkEnd - this.#chunkPosition;
  }

  /** Returns the first pending bytes, at most `bytesMax`, as a string with a char per byte. */
  firstBytes(bytesMax: number): string {
    const start = this.#unreturned();
    return latin1(this.#source, start, Math.min(bytesMax, this.#end - start));
  }

  /** Bytes of memory that the reader holds, for the client's memory statistics. */
  get ownBytes(): number {
    return this.#own.length;
  }

  /** Passes the bytes that were just read. They must not change until `keep` has returned. */
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
   * Returns the place for the next bytes of the socket: room for the missing bytes of a large
   * argument, or for a part of them. Returns undefined when they shall come as a chunk. Call it
   * after {@link keep}. Then call {@link filled}, or `push` with a chunk after all.
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

  /** Notes that `bytes` bytes were read into the {@link target}. */
  filled(bytes: number): void {
    assert(this.#lent, 'what is filled was asked for');
    this.#lent = false;
    this.#end += bytes;
  }

  /** Drops everything. The reader is not used any more. */
  release(): void {
    this.#forget();
    this.#giveBack();
  }

  /**
   * Fills `requests` with the next requests of the chunk that are complete and spelled plainly.
   * Returns how many elements of `requests` it used. A request that comes several times in a row
   * uses one element and has the number of its repetitions. Together with repetitions there are at
   * most as many requests as `requests` has elements. The reader does not move: call {@link take}
   * for each request when it runs.
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
    // Pipelines of one repeated request are common, such as pops. Others cost one comparison.
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

  /**
   * Moves past a request that {@link lookAhead} found. The requests before it must be taken
   * already.
   */
  take(request: Request): void {
    this.#position = request.end;
    this.#scanned = request.end;
  }

  /** Parses the next request into `request`. */
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

  /** Ends the turn: copies the bytes of requests that were not returned, and drops the chunk. */
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

  /** Releases an own buffer that was not used since the last call. Call it regularly. */
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

  /** Reads "*<count>" at #position. The result REQUEST means that #remaining arguments follow. */
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

  /** Reads "$<length>" at #position. The result REQUEST means that #bulk bytes follow. */
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

  /** Returns the position of the CR of the line at #position, once the next byte has arrived. */
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

  /** Returns the first position from #scanned on with `byte` or NUL, or `limit`. Remembers it. */
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

  /** Returns the first position behind the returned requests. */
  #unreturned(): number {
    return this.#remaining === 0 ? this.#position : this.request.start;
  }

  /** Continues in the chunk. Its copied bytes include all bytes that are left in the own buffer. */
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
   * Copies the missing bytes of the current request. Copies more each time if their number is
   * unknown.
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

  /** Makes room behind #end. Moves the bytes to the front when that frees half of the buffer. */
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
   * Returns the new size of the own buffer: twice the bytes that have arrived. It is the known
   * length of the current request instead, when that is less or when the pool has a buffer of that
   * size.
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
   * Drops the own buffer. A buffer that the system may still write to is left to the garbage
   * collector.
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
   * Adjusts all positions after the bytes at `from` have moved to 0. This happens only once while a
   * request grows.
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

  /** No bytes are left: drops the chunk, and an own buffer that is too large to keep. */
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
 * Reads the request at `position` into `request` and returns its end. Returns NONE, and leaves
 * `request` in an undefined state, unless all of the request is before `end`, is spelled plainly
 * and correctly, and has not too many arguments. `view` is the view of `source`: it reads "*3" or
 * "$7" with its line end as one word.
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
    // The loop ends after at most five digits, so it stays within REQUEST_BYTES_MIN bytes.
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
      // A length must not have a leading zero, as in "$007".
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

/** Returns the canonical integer in a line, possibly beyond all limits, or NaN. */
function announced(source: Uint8Array, start: number, length: number): number {
  const value = parseInteger(source, start, length);
  return Number.isNaN(value) ? Number(parseInt64(source, start, length)) : value;
}

/**
 * Makes an array that is not zeroed, since all its bytes are written before they are read. It is a
 * Buffer, as the buffers of sockets are. V8 would discard compiled code if it met both kinds.
 */
function newBytes(length: number): Uint8Array {
  return withView(Buffer.allocUnsafeSlow(length));
}
