/**
 * Bytes from one producer to one consumer on two threads, in chunks that the consumer can hand to
 * sockets without a copy.
 *
 *   +--------+---------------+--------+--------+--------+-----+-----------+--------+
 *   | header | chunk lengths | places | area 0 | area 1 |  …  | area n-1  | spares |
 *   +--------+---------------+--------+--------+--------+-----+-----------+--------+
 *
 * All of it is one SharedArrayBuffer; n is a power of two. Untouched memory costs nothing.
 *
 *   word              writer    meaning
 *   0  PUBLISHED      producer  chunks filled so far, modulo 2^32
 *   1  DATA_SIGNAL    producer  steps after every change that the consumer may wait for
 *   2  ENDING         producer  0 open, 1 ended, 2 failed; nothing is published afterwards
 *   3  FAILURE        producer  the word of an error code, when failed
 *   16 RELEASED       consumer  chunks given back so far, modulo 2^32   (a separate cache line)
 *   17 SPACE_SIGNAL   consumer  steps after every change that the producer may wait for
 *   18 CANCELLED      consumer  1 once no more bytes are wanted
 *   32 CHUNK_BYTES    creator   fixed
 *   33 CHUNK_COUNT    creator   fixed
 *   34 SPARE_COUNT    creator   fixed
 *   48 lengths        producer  bytes in each chunk, stored before PUBLISHED
 *      places         consumer  the area that each chunk lies in, stored before RELEASED
 *
 * A chunk with a view that is still in use, by a socket that does not take its bytes, would block
 * all chunks after it. So the consumer may move the chunk's place to a spare area (detach), release
 * it, and give the old area back later as a spare (reattach).
 *
 *        RELEASED ≤ index of a chunk the consumer may read < PUBLISHED ≤ RELEASED + CHUNK_COUNT
 *
 * Waiting never misses a change: load the signal, check the condition, then wait until the signal
 * differs from the loaded value. The other side changes the condition first and the signal
 * afterwards, so a change between the check and the wait ends the wait at once.
 *
 * A thread that may block waits in Atomics.wait (acquire, take), the main thread in
 * Atomics.waitAsync (waitForSpace, waitForData). In Node 20 a pending waitAsync does not keep the
 * process alive, with or without a timeout, and it is woken whenever something else does. So a ring
 * never blocks the exit. While a task fills or drains a ring, its pool's job keeps the process
 * alive.
 *
 * A dead thread signals nothing. The other side must then end its own side, which wakes its own
 * waits: consumer.cancel(), producer.fail().
 */
import { assert, debugChecks, onMainThread } from '../base/assert.ts';
import { ErrorCode, OperatingError } from '../base/errors.ts';
import { poison } from '../base/lease.ts';
import { MemoryKind, SharedMemory } from '../base/shared-memory.ts';
import { KIB } from '../base/units.ts';
import { errorCodeOf, errorWordOf } from './control-block.ts';

const RingWord = {
  PUBLISHED: 0,
  DATA_SIGNAL: 1,
  ENDING: 2,
  FAILURE: 3,
  RELEASED: 16,
  SPACE_SIGNAL: 17,
  CANCELLED: 18,
  CHUNK_BYTES: 32,
  CHUNK_COUNT: 33,
  SPARE_COUNT: 34,
} as const;

const Ending = { OPEN: 0, ENDED: 1, FAILED: 2 } as const;

const WORD_BYTES = 4;
const CACHE_LINE_WORDS = 16;
const HEADER_WORDS = 48;
/** Chunks start on a page, so that the first bytes touch no page of the lengths. */
const CHUNK_ALIGNMENT = 4096;
const CHUNK_COUNT_MAX = 65536;

assert(
  RingWord.RELEASED - RingWord.PUBLISHED >= CACHE_LINE_WORDS,
  'ring: each side writes its own cache line',
);
assert(RingWord.CHUNK_BYTES - RingWord.RELEASED >= CACHE_LINE_WORDS, 'ring: constants lie apart');
assert(HEADER_WORDS > RingWord.SPARE_COUNT, 'ring: lengths start behind the header');

export interface RingOptions {
  /** Multiple of 4. */
  readonly chunkBytes?: number;
  /** Power of two: chunk numbers run on when the counters wrap at 2^32. */
  readonly chunkCount?: number;
  /** Areas beyond the chunks, for {@link RingConsumer.detach}. */
  readonly spareCount?: number;
  /** The first value of the counters; tests start them shortly before they wrap. */
  readonly firstCount?: number;
}

/**
 * Memory of a new ring, 32 MiB by default, of `owner`. Pass it in a task and make one producer and
 * one consumer over it.
 */
export function createRingMemory(
  options: RingOptions = {},
  owner: SharedMemory = new SharedMemory(),
): SharedArrayBuffer {
  const { chunkBytes = 256 * KIB, chunkCount = 128, spareCount = 0, firstCount = 0 } = options;
  assert(chunkBytes > 0 && chunkBytes % WORD_BYTES === 0, 'ring: chunks are whole words');
  assert(
    chunkCount > 0 && chunkCount <= CHUNK_COUNT_MAX,
    'ring: a count of chunks within its limit',
  );
  assert((chunkCount & (chunkCount - 1)) === 0, 'ring: the count of chunks is a power of two');
  assert(
    spareCount >= 0 && spareCount <= CHUNK_COUNT_MAX,
    'ring: a count of spares within its limit',
  );
  const bytes = areasStart(chunkCount) + (chunkCount + spareCount) * chunkBytes;
  const memory = takeRingMemory(owner, bytes);
  const words = new Int32Array(memory, 0, HEADER_WORDS);
  // It may have been a ring before. Lengths are written before they are read.
  words.fill(0);
  words[RingWord.PUBLISHED] = firstCount;
  words[RingWord.RELEASED] = firstCount;
  words[RingWord.CHUNK_BYTES] = chunkBytes;
  words[RingWord.CHUNK_COUNT] = chunkCount;
  words[RingWord.SPARE_COUNT] = spareCount;
  const places = new Int32Array(memory, (HEADER_WORDS + chunkCount) * WORD_BYTES, chunkCount);
  for (let slot = 0; slot < chunkCount; slot++) places[slot] = slot;
  return memory;
}

/** Memory for chunks. Throws ARENA_FULL when the system refuses it. */
export function takeRingMemory(owner: SharedMemory, bytes: number): SharedArrayBuffer {
  try {
    return owner.take(MemoryKind.RING, bytes);
  } catch (error) {
    // RangeError is what V8 throws when the system refuses the memory.
    if (!(error instanceof RangeError)) throw error;
    throw new OperatingError(ErrorCode.ARENA_FULL, `no memory for a ring of ${bytes} bytes`);
  }
}

function areasStart(chunkCount: number): number {
  const placesEnd = (HEADER_WORDS + 2 * chunkCount) * WORD_BYTES;
  return Math.ceil(placesEnd / CHUNK_ALIGNMENT) * CHUNK_ALIGNMENT;
}

/** The layout as one side sees it. */
class RingView {
  readonly memory: SharedArrayBuffer;
  readonly chunkBytes: number;
  readonly chunkCount: number;
  readonly spareCount: number;
  protected readonly words: Int32Array<SharedArrayBuffer>;
  protected readonly lengths: Int32Array<SharedArrayBuffer>;
  protected readonly places: Int32Array<SharedArrayBuffer>;
  readonly #areasStart: number;

  constructor(memory: SharedArrayBuffer) {
    const words = new Int32Array(memory, 0, HEADER_WORDS);
    const chunkBytes = words[RingWord.CHUNK_BYTES]!;
    const chunkCount = words[RingWord.CHUNK_COUNT]!;
    const spareCount = words[RingWord.SPARE_COUNT]!;
    const start = areasStart(chunkCount);
    assert(
      memory.byteLength === start + (chunkCount + spareCount) * chunkBytes,
      'memory of a ring',
    );
    this.memory = memory;
    this.chunkBytes = chunkBytes;
    this.chunkCount = chunkCount;
    this.spareCount = spareCount;
    this.words = words;
    this.lengths = new Int32Array(memory, HEADER_WORDS * WORD_BYTES, chunkCount);
    this.places = new Int32Array(memory, (HEADER_WORDS + chunkCount) * WORD_BYTES, chunkCount);
    this.#areasStart = start;
  }

  /** Chunks that are published and not released. */
  protected filled(): number {
    const filled =
      (Atomics.load(this.words, RingWord.PUBLISHED) - Atomics.load(this.words, RingWord.RELEASED)) |
      0;
    assert(
      filled >= 0 && filled <= this.chunkCount,
      'ring: released <= published <= released + count',
    );
    return filled;
  }

  protected viewOf(slot: number, bytes: number): Buffer<SharedArrayBuffer> {
    return Buffer.from(this.memory, this.#areasStart + this.places[slot]! * this.chunkBytes, bytes);
  }

  /** Steps a signal of this side, after the change that it announces, and wakes its waiters. */
  protected signal(word: number): void {
    Atomics.add(this.words, word, 1);
    Atomics.notify(this.words, word);
  }

  get cancelled(): boolean {
    return Atomics.load(this.words, RingWord.CANCELLED) === 1;
  }

  get failure(): ErrorCode | undefined {
    if (Atomics.load(this.words, RingWord.ENDING) !== Ending.FAILED) return undefined;
    return errorCodeOf(Atomics.load(this.words, RingWord.FAILURE));
  }
}

/** The side that fills chunks. One per ring. */
export class RingProducer extends RingView {
  #published: number;
  #chunk: Buffer<SharedArrayBuffer> | undefined = undefined;

  constructor(memory: SharedArrayBuffer) {
    super(memory);
    this.#published = Atomics.load(this.words, RingWord.PUBLISHED);
  }

  /**
   * A free chunk to fill, or undefined once the consumer has cancelled. Blocks until there is one.
   * Returns the same chunk until it is published.
   */
  acquire(): Uint8Array<SharedArrayBuffer> | undefined {
    assert(!onMainThread(), 'acquire blocks: the main thread takes tryAcquire');
    for (;;) {
      const signal = Atomics.load(this.words, RingWord.SPACE_SIGNAL);
      if (this.cancelled) return undefined;
      const chunk = this.tryAcquire();
      if (chunk !== undefined) return chunk;
      Atomics.wait(this.words, RingWord.SPACE_SIGNAL, signal);
    }
  }

  /** A free chunk to fill, or undefined when there is none or the consumer has cancelled. */
  tryAcquire(): Uint8Array<SharedArrayBuffer> | undefined {
    assert(this.isOpen, 'acquire: the ring is open');
    if (this.cancelled) return undefined;
    if (this.#chunk === undefined && this.filled() < this.chunkCount) {
      this.#chunk = this.viewOf(this.#published & (this.chunkCount - 1), this.chunkBytes);
    }
    return this.#chunk;
  }

  /** Resolves when tryAcquire has a chunk, the consumer has cancelled, or this side has ended. */
  async waitForSpace(): Promise<void> {
    for (;;) {
      const signal = Atomics.load(this.words, RingWord.SPACE_SIGNAL);
      if (!this.isOpen || this.cancelled || this.filled() < this.chunkCount) return;
      const wait = Atomics.waitAsync(this.words, RingWord.SPACE_SIGNAL, signal);
      if (wait.async) await wait.value;
    }
  }

  /**
   * Hands over the acquired chunk with its first `bytes` bytes, at least one. Stale afterwards: the
   * view of it.
   */
  publish(bytes: number): void {
    assert(this.#chunk !== undefined, 'publish: a chunk is acquired');
    assert(bytes > 0 && bytes <= this.chunkBytes, 'publish: bytes fit the chunk');
    this.lengths[this.#published & (this.chunkCount - 1)] = bytes;
    this.#chunk = undefined;
    this.#published = (this.#published + 1) | 0;
    Atomics.store(this.words, RingWord.PUBLISHED, this.#published);
    this.signal(RingWord.DATA_SIGNAL);
  }

  /** Ends the data. A chunk that is acquired and not published is dropped. */
  end(): void {
    this.#close(Ending.ENDED);
  }

  /** Ends the data with an error. Published chunks may still be read. */
  fail(code: ErrorCode): void {
    Atomics.store(this.words, RingWord.FAILURE, errorWordOf(code));
    this.#close(Ending.FAILED);
  }

  #close(ending: number): void {
    assert(this.isOpen, 'the ring ends once');
    this.#chunk = undefined;
    Atomics.store(this.words, RingWord.ENDING, ending);
    this.signal(RingWord.DATA_SIGNAL);
    // This side's own waitForSpace.
    Atomics.notify(this.words, RingWord.SPACE_SIGNAL);
  }

  /** False once this side has ended or failed. */
  get isOpen(): boolean {
    return Atomics.load(this.words, RingWord.ENDING) === Ending.OPEN;
  }
}

/**
 * The side that empties chunks. One per ring. Chunks are named by their index since the ring's
 * start.
 */
export class RingConsumer extends RingView {
  readonly #firstCount: number;
  /** Areas that no place leads to. */
  readonly #spares: number[];
  #released = 0;

  constructor(memory: SharedArrayBuffer) {
    super(memory);
    this.#firstCount = Atomics.load(this.words, RingWord.RELEASED);
    this.#spares = Array.from({ length: this.spareCount }, (_, index) => this.chunkCount + index);
  }

  /** Index of the oldest chunk that is not released; it may not be published yet. */
  get firstIndex(): number {
    return this.#released;
  }

  /** Count of chunks from {@link firstIndex} on that can be read. */
  get available(): number {
    return this.filled();
  }

  /** True when the producer has ended or failed: `available`, read afterwards, is final. */
  get ended(): boolean {
    return Atomics.load(this.words, RingWord.ENDING) !== Ending.OPEN;
  }

  /**
   * The bytes of chunk `index`, firstIndex ≤ index < firstIndex + available. Stale once it is
   * released: the producer fills it again.
   */
  chunk(index: number): Buffer<SharedArrayBuffer> {
    assert(
      index >= this.#released && index < this.#released + this.filled(),
      'chunk: published, not released',
    );
    const slot = (this.#firstCount + index) & (this.chunkCount - 1);
    return this.viewOf(slot, this.lengths[slot]!);
  }

  /**
   * Lets views of the oldest chunk, which must be published, outlive its release: its place moves
   * to a spare area. Returns the area of the views, to be given to {@link reattach} once they are
   * not in use, or -1 when there is no spare. Release the chunk next.
   */
  detach(): number {
    assert(this.filled() > 0, 'detach: there is an oldest chunk');
    const spare = this.#spares.pop();
    if (spare === undefined) return -1;
    const slot = (this.#firstCount + this.#released) & (this.chunkCount - 1);
    const area = this.places[slot]!;
    this.places[slot] = spare;
    return area;
  }

  /** Makes an area that {@link detach} returned a spare again. */
  reattach(area: number): void {
    assert(this.#spares.length < this.spareCount, 'reattach: an area is given back once');
    this.#spares.push(area);
  }

  /** Releases the oldest `count` chunks. No view of them may be in use, not even by a socket. */
  release(count: number): void {
    assert(count >= 0 && count <= this.filled(), 'release: no more than is published');
    if (count === 0) return;
    if (debugChecks) {
      for (let i = 0; i < count; i++) poison(this.chunk(this.#released + i));
    }
    this.#released += count;
    Atomics.store(this.words, RingWord.RELEASED, (this.#firstCount + this.#released) | 0);
    this.signal(RingWord.SPACE_SIGNAL);
  }

  /**
   * Resolves when chunk `index` can be read, or when it never will: the producer has ended or
   * failed, or this side has cancelled.
   */
  async waitForData(index: number): Promise<void> {
    for (;;) {
      const signal = Atomics.load(this.words, RingWord.DATA_SIGNAL);
      if (this.#settled(index)) return;
      const wait = Atomics.waitAsync(this.words, RingWord.DATA_SIGNAL, signal);
      if (wait.async) await wait.value;
    }
  }

  /**
   * The oldest chunk that is not released, or undefined at the end of the data. Blocks until then;
   * release the chunk before the next call. Throws the producer's operating error, if it failed,
   * after the last chunk.
   */
  take(): Buffer<SharedArrayBuffer> | undefined {
    assert(!onMainThread(), 'take blocks: the main thread takes waitForData');
    for (;;) {
      const signal = Atomics.load(this.words, RingWord.DATA_SIGNAL);
      if (this.#settled(this.#released)) break;
      Atomics.wait(this.words, RingWord.DATA_SIGNAL, signal);
    }
    if (this.filled() > 0) return this.chunk(this.#released);
    const code = this.failure;
    if (code !== undefined)
      throw new OperatingError(code, 'the bytes end with a failure of their producer');
    return undefined;
  }

  /** Stops the transfer and ends the waits of both sides. Published chunks may still be read. */
  cancel(): void {
    Atomics.store(this.words, RingWord.CANCELLED, 1);
    this.signal(RingWord.SPACE_SIGNAL);
    // This side's own waitForData.
    Atomics.notify(this.words, RingWord.DATA_SIGNAL);
  }

  #settled(index: number): boolean {
    return this.ended || this.cancelled || index < this.#released + this.filled();
  }
}
