/**
 * The one owner of shared memory: segments, shadow chunks, rings, blocks of the stream log,
 * deadlines. It hands buffers out, takes them back, reuses some, and knows how many bytes wait for
 * a collection.
 *
 *             take                    give: nobody else reads or writes it any more
 *   (system) ─────▶ in use ──────────────────────────────▶ pooled ──── take ───▶ in use
 *                     │                                      │  kept too long, or too many of them
 *                     └── drop: another thread may read it ──┴──▶ dead ── V8 collects ──▶ (system)
 *                                                                         └▶ leaving ── release ┘
 *
 * V8 gives a SharedArrayBuffer back to the system when a full collection of each isolate that saw
 * it has found it dead. A server that keeps its data outside of V8's heap has a full collection
 * once in many minutes. So the owner counts the dead bytes, and memory-collector.ts starts a
 * collection when there are many. It also gives large buffers back one by one (held-buffer.ts).
 *
 * Untouched memory costs nothing. So a returned buffer is counted by its touched bytes, which the
 * giver knows best, and not by its length.
 *
 * `take` returns zeroed memory for kinds that are never pooled; for the others the content is
 * undefined. Under HEADWATER_DEBUG=1 pooled memory is overwritten at once, so that a late reader
 * finds no old bytes.
 *
 * One owner per node, on the main thread. A worker that fills a dataset has its own owner, and the
 * node's owner adopts the memory that it hands over.
 */
import { assert } from './assert.ts';
import { HeldBuffer } from './held-buffer.ts';
import { poison } from './lease.ts';
import { MIB } from './units.ts';

export const MemoryKind = { SEGMENT: 0, SHADOW: 1, RING: 2, LOG: 3, DEADLINES: 4 } as const;
export type MemoryKind = (typeof MemoryKind)[keyof typeof MemoryKind];

interface KindRule {
  readonly name: string;
  /** The most buffers of the kind in the pool, whatever their size. */
  readonly pooledMax: number;
}

/** By kind. Segments must be zeroed; a fresh buffer is zeroed, at no cost until it is touched. */
const RULES: readonly KindRule[] = [
  { name: 'segment', pooledMax: 0 },
  { name: 'shadow', pooledMax: 4 },
  { name: 'ring', pooledMax: 1 },
  { name: 'log', pooledMax: 4 },
  { name: 'deadlines', pooledMax: 16 },
];

/** A buffer that is pooled for longer than this has no use soon: the next snapshot is far away. */
const POOLED_MS_MAX = 2000;
/** Up to this many pooled bytes stay, for the log, whose blocks come and go all the time. */
export const POOLED_BYTES_KEPT = 4 * MIB;
/** Dead buffers with so many touched bytes are held back: to unmap them takes a millisecond. */
const HELD_BYTES_MIN = 8 * MIB;
/** The debug mode overwrites at most this many bytes of a buffer: tests drop thousands of them. */
const POISONED_BYTES_MAX = MIB;

interface Pooled {
  readonly buffer: SharedArrayBuffer;
  readonly touchedBytes: number;
  /** By the clock of {@link SharedMemory.tick}. */
  readonly sinceMs: number;
}

/** What is known of a buffer that died. */
interface Dead {
  readonly bytes: number;
  /** Keeps its memory from going with the collection. */
  readonly held: HeldBuffer | undefined;
}

export class SharedMemory {
  /**
   * Whether large dead buffers are held back until {@link release}: its caller sets this, and calls
   * {@link holdNothing} at the end.
   */
  holdsBack = false;
  /** By kind: bytes of buffers that are in use, touched or not. */
  readonly #usedBytes: number[] = RULES.map(() => 0);
  /** By kind; the buffer that was given back last is at the end. */
  readonly #pool: Pooled[][] = RULES.map(() => []);
  readonly #dead = new FinalizationRegistry<Dead>((dead) => {
    this.#deadBytes -= dead.bytes;
    this.#collectedBytes += dead.bytes;
    if (dead.held !== undefined) this.#leave(dead.held, dead.bytes);
  });
  /** All that are held back, collected or not. */
  readonly #held = new Set<HeldBuffer>();
  /** Collected buffers that are held back, and their touched bytes. */
  readonly #leaving: { readonly held: HeldBuffer; readonly bytes: number }[] = [];
  /** Touched bytes of reused buffers in use: the system has already provided these pages. */
  readonly #touchedBefore = new WeakMap<SharedArrayBuffer, number>();
  #pooledBytes = 0;
  #deadBytes = 0;
  #collectedBytes = 0;
  #leavingBytes = 0;
  #nowMs = 0;

  /** Bytes of a kind that are in use, touched or not. */
  usedBytes(kind: MemoryKind): number {
    return this.#usedBytes[kind]!;
  }

  /** Touched bytes in the pool. */
  get pooledBytes(): number {
    return this.#pooledBytes;
  }

  /** Touched bytes that are unused and that V8 has not yet found dead. */
  get deadBytes(): number {
    return this.#deadBytes;
  }

  /** Touched bytes that were dead and that V8 has found so. */
  get collectedBytes(): number {
    return this.#collectedBytes;
  }

  /** Touched bytes that V8 has found dead and that {@link release} will give to the system. */
  get leavingBytes(): number {
    return this.#leavingBytes;
  }

  /**
   * A buffer of `bytes` bytes; see the header for its content. Throws RangeError when the system
   * refuses the memory.
   */
  take(kind: MemoryKind, bytes: number): SharedArrayBuffer {
    const pool = this.#pool[kind]!;
    for (let i = pool.length - 1; i >= 0; i--) {
      const pooled = pool[i]!;
      if (pooled.buffer.byteLength !== bytes) continue;
      pool.splice(i, 1);
      this.#pooledBytes -= pooled.touchedBytes;
      this.#usedBytes[kind]! += bytes;
      this.#touchedBefore.set(pooled.buffer, pooled.touchedBytes);
      return pooled.buffer;
    }
    const buffer = this.#allocate(bytes);
    this.#usedBytes[kind]! += bytes;
    return buffer;
  }

  /** Counts a buffer from another thread as taken. */
  adopt(kind: MemoryKind, buffer: SharedArrayBuffer): void {
    this.#usedBytes[kind]! += buffer.byteLength;
  }

  /** Counts a buffer as no longer in use because its next owner adopts it. */
  pass(kind: MemoryKind, buffer: SharedArrayBuffer): void {
    this.#subtract(kind, buffer);
  }

  /** Takes back a buffer that no thread and no write to a socket uses any more. */
  give(kind: MemoryKind, buffer: SharedArrayBuffer, touchedNow: number = buffer.byteLength): void {
    const pool = this.#pool[kind]!;
    if (pool.length >= RULES[kind]!.pooledMax) {
      this.drop(kind, buffer, touchedNow);
      return;
    }
    const touchedBytes = this.#touched(buffer, touchedNow);
    this.#subtract(kind, buffer);
    // No view of all of it: a ring may be longer than a typed array can be.
    poison(new Uint8Array(buffer, 0, Math.min(touchedNow, POISONED_BYTES_MAX, buffer.byteLength)));
    pool.push({ buffer, touchedBytes, sinceMs: this.#nowMs });
    this.#pooledBytes += touchedBytes;
  }

  /**
   * Takes back a buffer that another thread, or a write to a socket, may still use. It is never
   * reused.
   */
  drop(
    kind: MemoryKind,
    buffer: SharedArrayBuffer,
    touchedBytes: number = buffer.byteLength,
  ): void {
    this.#subtract(kind, buffer);
    this.#die(buffer, this.#touched(buffer, touchedBytes));
  }

  /**
   * Drops buffers that have been in the pool for long, except the bytes that may stay. Must be
   * called some times per second.
   */
  tick(nowMs: number): void {
    this.#nowMs = nowMs;
    if (this.#pooledBytes > POOLED_BYTES_KEPT) this.#empty(nowMs - POOLED_MS_MAX);
  }

  /** Gives the next collected buffer that is held back to the system, in a later turn. */
  release(): void {
    const next = this.#leaving.shift();
    if (next === undefined) return;
    this.#leavingBytes -= next.bytes;
    this.#held.delete(next.held);
    next.held.release();
  }

  /**
   * Lets go of all that is held back, and holds nothing back any more. What V8 has not found dead yet
   * goes with its collection, also when it collects this object first.
   */
  holdNothing(): void {
    this.holdsBack = false;
    for (const held of this.#held) held.release();
    this.#forgetHeld();
  }

  /** Drops all pooled buffers. */
  purge(): void {
    this.#empty(Number.POSITIVE_INFINITY);
  }

  /** Drops buffers that were given back until `untilMs`. */
  #empty(untilMs: number): void {
    for (const pool of this.#pool) {
      while (pool.length > 0 && pool[0]!.sinceMs <= untilMs) {
        const { buffer, touchedBytes } = pool.shift()!;
        this.#pooledBytes -= touchedBytes;
        this.#die(buffer, touchedBytes);
      }
    }
  }

  #touched(buffer: SharedArrayBuffer, now: number): number {
    return Math.max(now, this.#touchedBefore.get(buffer) ?? 0);
  }

  #die(buffer: SharedArrayBuffer, touchedBytes: number): void {
    if (touchedBytes === 0) return;
    this.#deadBytes += touchedBytes;
    const isHeld = this.holdsBack && touchedBytes >= HELD_BYTES_MIN;
    const held = isHeld ? new HeldBuffer(buffer) : undefined;
    if (held !== undefined) this.#held.add(held);
    this.#dead.register(buffer, { bytes: touchedBytes, held });
  }

  #leave(held: HeldBuffer, bytes: number): void {
    // It was let go of meanwhile.
    if (!this.#held.has(held)) return;
    this.#leaving.push({ held, bytes });
    this.#leavingBytes += bytes;
  }

  #forgetHeld(): void {
    this.#held.clear();
    this.#leaving.length = 0;
    this.#leavingBytes = 0;
  }

  /** Before it refuses memory V8 collects. When that is not enough, nothing is held back. */
  #allocate(bytes: number): SharedArrayBuffer {
    try {
      return new SharedArrayBuffer(bytes);
    } catch (error) {
      if (!(error instanceof RangeError) || this.#held.size === 0) throw error;
      for (const held of this.#held) held.giveUp();
      this.#forgetHeld();
      return new SharedArrayBuffer(bytes);
    }
  }

  #subtract(kind: MemoryKind, buffer: SharedArrayBuffer): void {
    this.#usedBytes[kind]! -= buffer.byteLength;
    assert(
      this.#usedBytes[kind]! >= 0,
      'a buffer is given back once, as the kind that it was taken as',
    );
  }
}
