/**
 * Collects the bytes of a dump and publishes them in chunks. Runs on the thread of the snapshot,
 * and on the main thread for DUMP.
 *
 *   kernels' memory   start                         position                      start + areaBytes
 *                     │ bytes not yet published     │ room for what comes next    │
 *                     └ a full chunk leaves from here: checksum, copy to the target's chunk
 *
 * A writer stores to `memory` at `position`, moves `position` on, and then calls
 * {@link DumpSink.settle}. Between two calls there is room for `roomBytes`: one string and a few
 * fields. Positions into the area are stale after each settle. Hot path.
 */
import { assert } from '../base/assert.ts';
import { ErrorCode, OperatingError } from '../base/errors.ts';
import type { ByteKernels } from '../kernels/kernels.ts';
import { CHECKSUM_BYTES, LENGTH_14_BIT, LENGTH_32_BIT, LENGTH_64_BIT } from './opcodes.ts';

/** Takes the chunks of a dump; the producer of a byte ring is one. */
export interface ChunkTarget {
  readonly chunkBytes: number;
  /**
   * Returns memory of `chunkBytes` to fill. Blocks until there is some. Returns undefined once
   * nobody wants the dump any more.
   */
  acquire(): Uint8Array | undefined;
  /** Hands over the first `bytes` of what {@link acquire} returned. */
  publish(bytes: number): void;
}

const TWO_POW_32 = 0x1_0000_0000;

export class DumpSink {
  readonly memory: Uint8Array;
  /** Where the next byte goes. */
  position: number;
  /** A settled sink has at least this much room. */
  readonly roomBytes: number;
  /** Bytes that have left. */
  bytesPublished = 0;
  readonly #kernels: ByteKernels;
  readonly #target: ChunkTarget;
  readonly #checksum: boolean;
  readonly #start: number;
  readonly #end: number;
  readonly #full: number;

  /** The area of `areaBytes` from `start` must hold a chunk and something more. */
  constructor(
    kernels: ByteKernels,
    start: number,
    areaBytes: number,
    target: ChunkTarget,
    checksum: boolean,
  ) {
    assert(areaBytes > target.chunkBytes, 'a sink holds more than a chunk');
    assert(start + areaBytes <= kernels.memory.length, 'a sink lies in the memory of its kernels');
    this.memory = kernels.memory;
    this.position = start;
    this.roomBytes = areaBytes - target.chunkBytes;
    this.#kernels = kernels;
    this.#target = target;
    this.#checksum = checksum;
    this.#start = start;
    this.#end = start + areaBytes;
    this.#full = start + target.chunkBytes;
    kernels.crcReset();
  }

  /**
   * Publishes full chunks. The writer calls it after each string. Throws CANCELLED when nobody
   * wants the dump.
   */
  settle(): void {
    if (this.position >= this.#full) this.#publishChunks();
  }

  /**
   * Publishes all bytes so far. So the first bytes leave before the first key is read.
   */
  flush(): void {
    this.settle();
    if (this.position === this.#start) return;
    this.#publish(this.#start, this.position - this.#start, true);
    this.position = this.#start;
  }

  /** Writes the checksum, or 0 when there is none, and publishes the rest. */
  finish(): void {
    this.settle();
    const body = this.position - this.#start;
    if (this.#checksum) this.#kernels.crcUpdate(this.#start, body);
    this.u32(this.#checksum ? this.#kernels.crcLow() : 0);
    this.u32(this.#checksum ? this.#kernels.crcHigh() : 0);
    let from = this.#start;
    for (let left = body + CHECKSUM_BYTES; left > 0; ) {
      const bytes = Math.min(left, this.#target.chunkBytes);
      this.#publish(from, bytes, false);
      from += bytes;
      left -= bytes;
    }
    this.position = this.#start;
  }

  byte(value: number): void {
    this.memory[this.position++] = value;
  }

  length(value: number): void {
    const memory = this.memory;
    let at = this.position;
    if (value < 1 << 6) {
      memory[at++] = value;
    } else if (value < 1 << 14) {
      memory[at++] = LENGTH_14_BIT | (value >>> 8);
      memory[at++] = value;
    } else {
      if (value < TWO_POW_32) {
        memory[at++] = LENGTH_32_BIT;
      } else {
        memory[at++] = LENGTH_64_BIT;
        at = bigEndian32(memory, at, Math.floor(value / TWO_POW_32));
      }
      at = bigEndian32(memory, at, value >>> 0);
    }
    this.position = at;
  }

  /** Little-endian. */
  u32(value: number): void {
    const memory = this.memory;
    const at = this.position;
    memory[at] = value;
    memory[at + 1] = value >>> 8;
    memory[at + 2] = value >>> 16;
    memory[at + 3] = value >>> 24;
    this.position = at + 4;
  }

  /** A 64-bit integer, little-endian, from an integer of less than 2^53. */
  i64(value: number): void {
    this.u32(value >>> 0);
    this.u32(Math.floor(value / TWO_POW_32));
  }

  /** Bytes as they are, whatever their count. */
  raw(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const count = Math.min(bytes.length - at, this.#end - this.position);
      this.memory.set(bytes.subarray(at, at + count), this.position);
      this.position += count;
      at += count;
      this.settle();
    }
  }

  #publishChunks(): void {
    const chunkBytes = this.#target.chunkBytes;
    let from = this.#start;
    while (this.position - from >= chunkBytes) {
      this.#publish(from, chunkBytes, true);
      from += chunkBytes;
    }
    this.memory.copyWithin(this.#start, from, this.position);
    this.position -= from - this.#start;
  }

  #publish(from: number, bytes: number, sum: boolean): void {
    if (sum && this.#checksum) this.#kernels.crcUpdate(from, bytes);
    const chunk = this.#target.acquire();
    if (chunk === undefined)
      throw new OperatingError(ErrorCode.CANCELLED, 'the dump is not wanted any more');
    chunk.set(this.memory.subarray(from, from + bytes));
    this.#target.publish(bytes);
    this.bytesPublished += bytes;
  }
}

function bigEndian32(memory: Uint8Array, at: number, value: number): number {
  memory[at] = value >>> 24;
  memory[at + 1] = value >>> 16;
  memory[at + 2] = value >>> 8;
  memory[at + 3] = value;
  return at + 4;
}
