/**
 * Output buffers on their way between replies and sockets. Hot path.
 *
 * Sizes are powers of two from 16 KiB to 4 MiB, and SLACK_BYTES more, since values often have such
 * a length themselves and come with a header. A reply takes one, a socket writes it, and the
 * write's callback gives it back; the pool holds at most 64 MiB for the next taker, and lets go
 * what nobody has needed for a while. Large requests are read into such buffers, too. Larger ones
 * are made for the occasion and left to the garbage collector. One pool serves all connections of a
 * node. Main thread.
 *
 * What a socket is given is a view of the buffer's first bytes. To make one costs as much as a
 * short command, and replies often have the same length again and again, so each buffer keeps the
 * last one that was made of it.
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
 * A fresh megabyte costs as many page faults as it takes to send it: some of those that were used
 * lie ready.
 */
const HELD_BYTES_MAX = 64 * MIB;
/** So much stays also while nobody needs it. */
const HELD_IDLE_BYTES_MAX = 2 * MIB;

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
  /** The least that lay ready since the last {@link releaseIdle}: nobody has needed it. */
  #idleBytes = 0;

  constructor() {
    for (let size = SIZE_MIN; size <= SIZE_MAX; size *= 2) this.#free.push([]);
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
    if (buffer === undefined) return made(classBytes(sizeClass));
    this.#heldBytes -= buffer.length;
    if (this.#heldBytes < this.#idleBytes) this.#idleBytes = this.#heldBytes;
    return buffer;
  }

  /** Takes back a buffer that `take` has given out, or a part of one. Stale: every view of it. */
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
   * Lets go of as much as has lain ready since the last call, large buffers first; to be called now
   * and then.
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
