/**
 * Output buffers on their way between replies and sockets. Hot path.
 *
 * Sizes are powers of two from 16 KiB to 1 MiB. A reply takes one, a socket writes it, and the write's callback gives
 * it back; the pool holds at most 8 MiB for the next taker. Larger buffers are made for the occasion and left to the
 * garbage collector. One pool serves all connections of a node. Main thread.
 *
 * What a socket is given is a view of the buffer's first bytes. To make one costs as much as a short command, and replies
 * often have the same length again and again, so each buffer keeps the last one that was made of it.
 */
import { withView } from '../base/byte-copy.ts';
import { KIB, MIB } from '../base/units.ts';

export const POOLED_BYTES_MIN = 16 * KIB;
const POOLED_BYTES_MAX = MIB;
const HELD_BYTES_MAX = 8 * MIB;

export interface PooledBuffer extends Buffer {
  view?: DataView;
  /** The view of its first bytes that was made last. */
  part?: PooledBuffer | undefined;
  /** Of a part: what it is a part of. */
  whole?: PooledBuffer | undefined;
}

/** The first `bytes` bytes of a buffer of the pool. */
export function partOf(buffer: PooledBuffer, bytes: number): PooledBuffer {
  const { part } = buffer;
  if (part !== undefined && part.length === bytes) return part;
  const made: PooledBuffer = buffer.subarray(0, bytes);
  made.whole = buffer;
  buffer.part = made;
  return made;
}

export class BufferPool {
  /** By size class: 16 KiB, 32 KiB, … */
  readonly #free: PooledBuffer[][] = [];
  #heldBytes = 0;

  constructor() {
    for (let bytes = POOLED_BYTES_MIN; bytes <= POOLED_BYTES_MAX; bytes *= 2) this.#free.push([]);
  }

  /** Bytes that lie ready. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** A buffer of at least so many bytes with arbitrary content. */
  take(bytes: number): PooledBuffer {
    if (bytes > POOLED_BYTES_MAX) return made(bytes);
    const sizeClass = classOf(bytes);
    const buffer = this.#free[sizeClass]!.pop();
    if (buffer === undefined) return made(POOLED_BYTES_MIN << sizeClass);
    this.#heldBytes -= buffer.length;
    return buffer;
  }

  /** Takes back a buffer that `take` has given out, or a part of one. Stale: every view of it. */
  give(buffer: PooledBuffer): void {
    const whole = buffer.whole ?? buffer;
    const bytes = whole.length;
    if (bytes < POOLED_BYTES_MIN || bytes > POOLED_BYTES_MAX) return;
    if (this.#heldBytes + bytes > HELD_BYTES_MAX) return;
    this.#heldBytes += bytes;
    this.#free[classOf(bytes)]!.push(whole);
  }
}

function made(bytes: number): PooledBuffer {
  const buffer: PooledBuffer = withView(Buffer.allocUnsafeSlow(bytes));
  buffer.part = undefined;
  return buffer;
}

function classOf(bytes: number): number {
  return bytes <= POOLED_BYTES_MIN ? 0 : 18 - Math.clz32(bytes - 1);
}
