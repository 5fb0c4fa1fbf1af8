/**
 * Output buffers on their way between replies and sockets. Hot path.
 *
 * Sizes are powers of two from 16 KiB to 1 MiB. A reply takes one, a socket writes it, and the write's callback gives
 * it back; the pool holds at most 8 MiB for the next taker. Larger buffers are made for the occasion and left to the
 * garbage collector. One pool serves all connections of a node. Main thread.
 */
import { KIB, MIB } from '../base/units.ts';

export const POOLED_BYTES_MIN = 16 * KIB;
const POOLED_BYTES_MAX = MIB;
const HELD_BYTES_MAX = 8 * MIB;

export class BufferPool {
  /** By size class: 16 KiB, 32 KiB, … */
  readonly #free: Buffer[][] = [];
  #heldBytes = 0;

  constructor() {
    for (let bytes = POOLED_BYTES_MIN; bytes <= POOLED_BYTES_MAX; bytes *= 2) this.#free.push([]);
  }

  /** Bytes that lie ready. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** A buffer of at least so many bytes with arbitrary content. */
  take(bytes: number): Buffer {
    if (bytes > POOLED_BYTES_MAX) return Buffer.allocUnsafeSlow(bytes);
    const sizeClass = classOf(bytes);
    const buffer = this.#free[sizeClass]!.pop();
    if (buffer === undefined) return Buffer.allocUnsafeSlow(POOLED_BYTES_MIN << sizeClass);
    this.#heldBytes -= buffer.length;
    return buffer;
  }

  /** Takes back a buffer, or the leading part of one, that `take` has given out. Stale: every view of it. */
  give(buffer: Buffer): void {
    const bytes = buffer.buffer.byteLength;
    if (bytes < POOLED_BYTES_MIN || bytes > POOLED_BYTES_MAX) return;
    if (this.#heldBytes + bytes > HELD_BYTES_MAX) return;
    this.#heldBytes += bytes;
    this.#free[classOf(bytes)]!.push(buffer.length === bytes ? buffer : Buffer.from(buffer.buffer));
  }
}

function classOf(bytes: number): number {
  return bytes <= POOLED_BYTES_MIN ? 0 : 18 - Math.clz32(bytes - 1);
}
