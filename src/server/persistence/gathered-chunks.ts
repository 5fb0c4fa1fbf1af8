/**
 * Chunks that the main thread fills itself, from bytes that come in pieces of any size. A chunk can
 * be read while it still grows, so a small piece takes no whole chunk. It waits for a moment in
 * which more may come: each hop of a chain pays for a write and a read of its own per piece.
 *
 *   memory   ┌ area ┬ area ┬ area ┬ area ┬ … ┐      chunkCount + spareCount areas of chunkBytes
 *   chunks   firstIndex … the last one, which grows         each lies in one area
 *   shown    firstIndex … shownEnd - 1                      all whole ones, and the last after a moment
 *   detached areas of released chunks that sockets still read     at most spareCount
 *
 * Areas are taken in the order in which they came back last, so memory that was never needed is
 * never touched. Main thread.
 */
import { assert, debugChecks } from '../../base/assert.ts';
import { copyBytes } from '../../base/byte-copy.ts';
import { poison } from '../../base/lease.ts';
import { MemoryKind, type SharedMemory } from '../../base/shared-memory.ts';
import { type RingOptions, takeRingMemory } from '../../workers/byte-ring.ts';
import type { ChunkSource } from './chunk-source.ts';

interface Gathered {
  readonly area: number;
  bytes: Uint8Array;
  isDetached: boolean;
}

export class GatheredChunks implements ChunkSource {
  readonly chunkCount: number;
  firstIndex = 0;
  ended = false;
  cancelled = false;
  readonly failure = undefined;
  readonly #owner: SharedMemory;
  readonly #memory: SharedArrayBuffer;
  readonly #chunkBytes: number;
  readonly #spareCount: number;
  readonly #growthDelayMs: number;
  /** Readers get the chunks before this index. */
  #shownEnd = 0;
  /** The chunks before this index are full. */
  #wholeEnd = 0;
  /** Runs while there are bytes that readers are not told of. */
  #growthTimer: NodeJS.Timeout | undefined = undefined;
  /** From `firstIndex` on. */
  readonly #chunks: Gathered[] = [];
  readonly #freeAreas: number[] = [];
  /** The first area that was never used. */
  #freshArea = 0;
  #detachedCount = 0;
  /** End the waits for data, and for room. */
  #onData: (() => void)[] = [];
  #onRoom: (() => void)[] = [];

  /**
   * Readers are told of the bytes of a chunk that still grows after `growthDelayMs`; 0: at once.
   * Throws ARENA_FULL when there is no memory.
   */
  constructor(
    { chunkBytes, chunkCount, spareCount }: Required<Omit<RingOptions, 'firstCount'>>,
    owner: SharedMemory,
    growthDelayMs = 0,
  ) {
    this.chunkCount = chunkCount;
    this.#chunkBytes = chunkBytes;
    this.#spareCount = spareCount;
    this.#growthDelayMs = growthDelayMs;
    this.#owner = owner;
    this.#memory = takeRingMemory(owner, (chunkCount + spareCount) * chunkBytes);
  }

  // For the maker.

  /** Copies as many of bytes[start, end) as have room, and returns the position where it stopped. */
  put(bytes: Uint8Array, start: number, end: number): number {
    assert(!this.ended, 'bytes are gathered before the end');
    if (this.cancelled) return end;
    let from = start;
    while (from < end) {
      const last = this.#roomyChunk();
      if (last === undefined) break;
      const used = last.bytes.length;
      const count = Math.min(end - from, this.#chunkBytes - used);
      last.bytes = this.#view(last.area, used + count);
      copyBytes(bytes, from, last.bytes, used, count);
      from += count;
    }
    if (from > start) this.#announce();
    return from;
  }

  /** Resolves when there is room, or when no more bytes are wanted. */
  waitForRoom(): Promise<void> {
    if (this.cancelled || this.#hasRoom) return Promise.resolve();
    return new Promise((resolve) => this.#onRoom.push(resolve));
  }

  /** The dump is complete. */
  end(): void {
    this.ended = true;
    this.#showAll();
  }

  /** Gives the memory back: no chunk and no slice of one is read any more. */
  giveBack(): void {
    const touched = this.#freshArea * this.#chunkBytes;
    this.#owner.give(MemoryKind.RING, this.#memory, touched);
  }

  // For the spool.

  get available(): number {
    return Math.max(0, this.#shownEnd - this.firstIndex);
  }

  chunk(index: number): Uint8Array {
    const chunk = this.#chunks[index - this.firstIndex];
    assert(chunk !== undefined, 'a chunk is read while it is there');
    return chunk.bytes;
  }

  waitForData(index: number, lastBytes: number): Promise<void> {
    if (this.ended || this.cancelled || this.#hasMore(index, lastBytes)) return Promise.resolve();
    return new Promise((resolve) => this.#onData.push(resolve));
  }

  release(count: number): void {
    for (const { area, bytes, isDetached } of this.#chunks.splice(0, count)) {
      this.firstIndex++;
      if (isDetached) continue;
      if (debugChecks) poison(bytes);
      this.#freeAreas.push(area);
    }
    wakeAll(this.#onRoom);
  }

  detach(): number {
    const oldest = this.#chunks[0];
    assert(oldest !== undefined, 'detach: there is an oldest chunk');
    if (this.#detachedCount === this.#spareCount) return -1;
    this.#detachedCount++;
    oldest.isDetached = true;
    return oldest.area;
  }

  reattach(area: number): void {
    assert(this.#detachedCount > 0, 'reattach: an area is given back once');
    this.#detachedCount--;
    this.#freeAreas.push(area);
  }

  cancel(): void {
    this.cancelled = true;
    this.#stopTimer();
    wakeAll(this.#onData);
    wakeAll(this.#onRoom);
  }

  get #hasRoom(): boolean {
    const last = this.#chunks.at(-1);
    return (
      this.#chunks.length < this.chunkCount ||
      (last !== undefined && last.bytes.length < this.#chunkBytes)
    );
  }

  /** Shows the chunks that are full, and the last one soon. */
  #announce(): void {
    const end = this.firstIndex + this.#chunks.length;
    const isWhole = this.#chunks.at(-1)!.bytes.length === this.#chunkBytes;
    const wholeEnd = isWhole ? end : end - 1;
    if (this.#growthDelayMs === 0) {
      this.#showAll();
    } else if (wholeEnd > this.#wholeEnd) {
      this.#wholeEnd = wholeEnd;
      this.#shownEnd = Math.max(this.#shownEnd, wholeEnd);
      this.#stopTimer();
      wakeAll(this.#onData);
    }
    if (isWhole || this.#growthDelayMs === 0) return;
    this.#growthTimer ??= setTimeout(() => this.#showAll(), this.#growthDelayMs);
  }

  #showAll(): void {
    this.#stopTimer();
    this.#shownEnd = this.firstIndex + this.#chunks.length;
    wakeAll(this.#onData);
  }

  #stopTimer(): void {
    clearTimeout(this.#growthTimer);
    this.#growthTimer = undefined;
  }

  #hasMore(index: number, lastBytes: number): boolean {
    const end = this.#shownEnd;
    if (end > index) return true;
    return end > this.firstIndex && this.chunk(end - 1).length > lastBytes;
  }

  /** The chunk that takes the next byte; undefined when all are full. */
  #roomyChunk(): Gathered | undefined {
    const last = this.#chunks.at(-1);
    if (last !== undefined && last.bytes.length < this.#chunkBytes) return last;
    if (this.#chunks.length === this.chunkCount) return undefined;
    const area = this.#freeAreas.pop() ?? this.#freshArea++;
    assert(area < this.chunkCount + this.#spareCount, 'there is an area for each chunk');
    const chunk: Gathered = { area, bytes: this.#view(area, 0), isDetached: false };
    this.#chunks.push(chunk);
    return chunk;
  }

  #view(area: number, bytes: number): Uint8Array {
    return Buffer.from(this.#memory, area * this.#chunkBytes, bytes);
  }
}

function wakeAll(waiters: (() => void)[]): void {
  for (const wake of waiters.splice(0)) wake();
}
