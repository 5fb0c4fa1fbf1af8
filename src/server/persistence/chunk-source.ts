/**
 * The chunks of a dump, as a spool takes them. A worker's ring (workers/byte-ring.ts) is one source;
 * the dump that arrives from the primary of this node is another (gathered-chunks.ts). The spool
 * counts who uses a chunk; the source only hears when it may have it back.
 *
 *   index     0 … firstIndex-1 │ firstIndex … firstIndex+available-1 │ …
 *             released         │ may be read                         │ not there yet
 *
 * A chunk that a socket still holds a slice of would block all chunks after it. So it may be
 * detached: released, while its memory stays as it is until the spool gives it back by the number
 * that `detach` returned. Main thread.
 */
export interface ChunkSource {
  /** How many chunks there may be at a time that are not released. */
  readonly chunkCount: number;
  /** Index of the oldest chunk that is not released; it may not be there yet. */
  readonly firstIndex: number;
  /** Count of chunks from `firstIndex` on that may be read. */
  readonly available: number;
  /** No more bytes will come: `available`, read afterwards, is final. */
  readonly ended: boolean;
  /** The end is not the end of the dump. */
  readonly failure: string | undefined;
  /** {@link cancel} was called. */
  readonly cancelled: boolean;
  /** The bytes of a chunk that may be read. The newest chunk may be longer the next time. */
  chunk(index: number): Uint8Array;
  /**
   * Resolves when there is more than chunks below `index`, of which the last has `lastBytes` bytes;
   * or when there never will be.
   */
  waitForData(index: number, lastBytes: number): Promise<void>;
  /** Takes back the oldest `count` chunks, which nobody reads any more. */
  release(count: number): void;
  /** Lets the memory of the oldest chunk outlive its release, see above; -1 when it cannot. */
  detach(): number;
  reattach(area: number): void;
  /** No more bytes are wanted. */
  cancel(): void;
}
