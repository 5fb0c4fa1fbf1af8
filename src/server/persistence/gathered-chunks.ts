/**
 * Chunks that the main thread fills itself, from bytes that come in pieces of any size. A chunk can
 * be read while it still grows, so a small piece waits for nothing and takes no whole chunk.
 *
 *   memory   ┌ area ┬ area ┬ area ┬ area ┬ … ┐      chunkCount + spareCount areas of chunkBytes
 *   chunks   firstIndex … the last one, which grows         each lies in one area
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
  /** From `firstIndex` on. */
  readonly #chunks: Gathered[] = [];
  readonly #freeAreas: number[] = [];
  /** The first area that was never used. */
  #freshArea = 0;
  #detachedCount = 0;
  /** End the waits for data, and for room. */
  #onData: (() => void)[] = [];
  #onRoom: (() => void)[] = [];

  /** Throws ARENA_FULL when there is no memory. */
  constructor(
    { chunkBytes, chunkCount, spareCount }: Required<Omit<RingOptions, 'firstCount'>>,
    owner: SharedMemory,
  ) {
    this.chunkCount = chunkCount;
    this.#chunkBytes = chunkBytes;
    this.#spareCount = spareCount;
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
    if (from > start) wakeAll(this.#onData);
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
    wakeAll(this.#onData);
  }

  /** Gives the memory back: no chunk and no slice of one is read any more. */
  giveBack(): void {
    const touched = this.#freshArea * this.#chunkBytes;
    this.#owner.give(MemoryKind.RING, this.#memory, touched);
  }

  // For the spool.

  get available(): number {
    return this.#chunks.length;
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

  #hasMore(index: number, lastBytes: number): boolean {
    const end = this.firstIndex + this.#chunks.length;
    return end > index || (end > this.firstIndex && this.#chunks.at(-1)!.bytes.length > lastBytes);
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
