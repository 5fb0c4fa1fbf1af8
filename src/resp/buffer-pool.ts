/**
 * Hot path. A pool of output buffers, which replies fill and sockets write.
 *
 * The sizes are powers of two from 16 KiB to 4 MiB, plus SLACK_BYTES: the length of a value is
 * often a power of two, and its header needs room, too. A reply takes a buffer, a socket writes it,
 * and the write's callback gives it back. Large requests are read into these buffers, too. The pool
 * holds at most 64 MiB for reuse, and drops buffers that were not needed for a while. Larger
 * buffers are made when needed and left to the garbage collector. All connections of a node share
 * one pool. Main thread.
 *
 * A socket gets a view of the buffer's first bytes. Making a view costs as much as a short command,
 * and consecutive replies often have the same length, so each buffer keeps its last view.
 */
import { withView } from '../base/byte-copy.ts';
import { poison } from '../base/lease.ts';
import { KIB, MIB } from '../base/units.ts';

const SLACK_BYTES = KIB;
const SIZE_MIN = 16 * KIB;
const SIZE_MAX = 4 * MIB;
export const POOLED_BYTES_MIN = SIZE_MIN + SLACK_BYTES;
export const POOLED_BYTES_MAX = SIZE_MAX + SLACK_BYTES;
/**
 * The page faults of a fresh megabyte cost as much as sending it, so the pool keeps used buffers.
 */
const HELD_BYTES_MAX = 64 * MIB;
/** This many bytes stay even when they are not needed. */
const HELD_IDLE_BYTES_MAX = 2 * MIB;

export interface PooledBuffer extends Buffer {
  view?: DataView;
  /** The last view of the buffer's first bytes. */
  part?: PooledBuffer | undefined;
  /** For a part: the whole buffer. */
  whole?: PooledBuffer | undefined;
}

/** Returns a view of the first `bytes` bytes of a buffer of the pool. */
export function partOf(buffer: PooledBuffer, bytes: number): PooledBuffer {
  const { part } = buffer;
  if (part !== undefined && part.length === bytes) return part;
  const made: PooledBuffer = buffer.subarray(0, bytes);
  made.whole = buffer;
  buffer.part = made;
  return made;
}

export class BufferPool {
  /** Free buffers by size class: 16 KiB, 32 KiB, … */
  readonly #free: PooledBuffer[][] = [];
  #heldBytes = 0;
  /**
   * The smallest number of free bytes since the last {@link releaseIdle}. This many were not
   * needed.
   */
  #idleBytes = 0;

  constructor() {
    for (let size = SIZE_MIN; size <= SIZE_MAX; size *= 2) this.#free.push([]);
  }

  /** Free bytes in the pool. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Returns a buffer of at least `bytes` bytes, with arbitrary content. */
  take(bytes: number): PooledBuffer {
    if (bytes > POOLED_BYTES_MAX) return made(bytes);
    const sizeClass = classOf(bytes);
    const buffer = this.#free[sizeClass]!.pop();
    if (buffer === undefined) return made(classBytes(sizeClass));
    this.#heldBytes -= buffer.length;
    if (this.#heldBytes < this.#idleBytes) this.#idleBytes = this.#heldBytes;
    return buffer;
  }

  /** Takes back a buffer that `take` returned, or a part of one. Stale: every view of it. */
  give(buffer: PooledBuffer): void {
    const whole = buffer.whole ?? buffer;
    const bytes = whole.length;
    if (bytes < POOLED_BYTES_MIN || bytes > POOLED_BYTES_MAX) return;
    if (this.#heldBytes + bytes > HELD_BYTES_MAX) return;
    this.#heldBytes += bytes;
    poison(whole);
    this.#free[classOf(bytes)]!.push(whole);
  }

  /**
   * Drops as many bytes as were free all the time since the last call, large buffers first. Call it
   * regularly.
   */
  releaseIdle(): void {
    let left = this.#idleBytes - HELD_IDLE_BYTES_MAX;
    for (let i = this.#free.length - 1; i >= 0; i--) {
      const free = this.#free[i]!;
      const bytes = classBytes(i);
      for (; left >= bytes && free.length > 0; left -= bytes) {
        free.pop();
        this.#heldBytes -= bytes;
      }
    }
    this.#idleBytes = this.#heldBytes;
  }
}

function made(bytes: number): PooledBuffer {
  const buffer: PooledBuffer = withView(Buffer.allocUnsafeSlow(bytes));
  buffer.part = undefined;
  return buffer;
}

function classOf(bytes: number): number {
  return bytes <= POOLED_BYTES_MIN ? 0 : 18 - Math.clz32(bytes - SLACK_BYTES - 1);
}

const classBytes = (sizeClass: number): number => (SIZE_MIN << sizeClass) + SLACK_BYTES;
