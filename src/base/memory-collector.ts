/**
 * Starts a collection when much shared memory is dead (shared-memory.ts), or when much of V8's own
 * memory has no known owner, and reports its cost. Main thread.
 *
 *   IDLE ── dead ≥ DEAD_BYTES_MAX, loop quiet or PATIENCE_MS over ─────────────────────▶ RUNNING
 *    ▲ └──────────────── purge ─────────────────────────────────────────────────────────▶ │
 *    └── V8 has collected ◀── STEPS_MS_MAX without an end: in steps again, then at once ──┘
 *
 * Memory that was dead at the beginning and is still there is held by someone, for example by a
 * write to a socket. So the next collection waits until as much has died again, or for RETRY_MS.
 * Memory that died during the collection may have been seen alive, and counts again.
 *
 * Large buffers that were collected go back to the system one after another, with pauses.
 *
 * Memory of V8 without an owner is left over from clients: replies that were never read, a long
 * queue of MULTI, a million keys of WATCH. V8 collects it only when it needs room, and a quiet node
 * needs none. This collection waits for a quiet loop, however long that takes: under load V8
 * collects by itself.
 */
import { constants, PerformanceObserver } from 'node:perf_hooks';
import { CollectionWatch, collectAtOnce, collectInSteps } from './collection.ts';
import type { SharedMemory } from './shared-memory.ts';
import { MIB } from './units.ts';

/** Dead bytes that are worth a collection. */
export const DEAD_BYTES_MAX = 32 * MIB;
/** Memory of V8 without an owner that is worth a collection. */
export const UNOWNED_BYTES_MAX = 32 * MIB;
/** A collection waits at most this long for a loop that has nothing else to do. */
const PATIENCE_MS = 1000;
/**
 * V8 should have ended its steps by then. It does not begin them during a collection of its own.
 */
const STEPS_MS_MAX = 1000;
const TRIES_IN_STEPS = 2;
const RETRY_MS = 60_000;
/**
 * Memory that a collection leaves may have died during it. This is the wait for the next try,
 * longer after each try in vain.
 */
const UNOWNED_RETRY_MS = 2000;
/** Between two large buffers that go back to the system. To unmap one takes about 5 ms. */
const RELEASE_PAUSE_MS = 25;
const MICROS_PER_MS = 1000;

interface Running {
  readonly watch: CollectionWatch;
  /** The time of the last request to V8, and the number of requests. */
  askedMs: number;
  tries: number;
  /** At the beginning: dead bytes, all bytes collected so far, and V8's memory without an owner. */
  readonly deadBytes: number;
  readonly collectedBytes: number;
  readonly unownedBytes: number;
  /** It has ended; its result is reported until the next tick. */
  hasEnded: boolean;
}

/** A performance entry of a collection. */
interface CollectionEntry {
  readonly duration: number;
  readonly detail: { readonly kind: number };
}

export class MemoryCollector {
  /** Collections that ended. */
  count = 0;
  /**
   * The longest time that the last collection, and any collection, has blocked the loop at a
   * stretch.
   */
  lastPauseMicros = 0;
  worstPauseMicros = 0;
  /** The total time that all of them have blocked the loop. */
  totalMicros = 0;
  readonly #memory: SharedMemory;
  readonly #pauses = new PerformanceObserver((entries) => {
    for (const entry of entries.getEntries() as unknown as CollectionEntry[]) {
      const isYoung = entry.detail.kind === constants.NODE_PERFORMANCE_GC_MINOR;
      if (!isYoung) this.#notePause(entry.duration);
    }
  });
  #running: Running | undefined = undefined;
  #releaseTimer: NodeJS.Timeout | undefined = undefined;
  #dueSinceMs = -1;
  /** Dead bytes that the last collection did not collect, and the time when it ended. */
  #leftBytes = 0;
  #endedMs = 0;
  #unownedBytes = 0;
  /** The lowest number of bytes without an owner since the last collection. */
  #unownedLeftBytes = 0;
  #unownedRetryMs = UNOWNED_RETRY_MS;

  constructor(memory: SharedMemory) {
    this.#memory = memory;
    memory.holdsBack = true;
  }

  get isRunning(): boolean {
    return this.#running !== undefined;
  }

  /**
   * Must be called some times per second, with the monotonic clock. `isQuiet`: the loop had little
   * to do since the last call. `unownedBytes`: V8's heap and its buffers, without the bytes that
   * clients are known to use.
   */
  tick(nowMs: number, isQuiet: boolean, unownedBytes = 0): void {
    this.#memory.tick(nowMs);
    this.#releaseSlowly();
    this.#unownedBytes = unownedBytes;
    this.#unownedLeftBytes = Math.min(this.#unownedLeftBytes, unownedBytes);
    if (this.#running !== undefined) {
      this.#follow(this.#running, nowMs);
      return;
    }
    if (!this.#isDue(nowMs)) {
      this.#dueSinceMs = -1;
      if (isQuiet && this.#isUnownedDue(nowMs)) this.#begin(nowMs);
      return;
    }
    if (this.#dueSinceMs === -1) this.#dueSinceMs = nowMs;
    if (isQuiet || nowMs - this.#dueSinceMs >= PATIENCE_MS) this.#begin(nowMs);
  }

  /** Begins a collection now and empties the pool. */
  purge(nowMs: number): void {
    this.#memory.purge();
    if (this.#running === undefined) this.#begin(nowMs);
  }

  stop(): void {
    this.#pauses.disconnect();
    clearTimeout(this.#releaseTimer);
    this.#memory.holdNothing();
  }

  /** Gives the collected buffers that are held back to the system, one in each pause. */
  #releaseSlowly(): void {
    if (this.#releaseTimer !== undefined || this.#memory.leavingBytes === 0) return;
    this.#releaseTimer = setTimeout(() => {
      this.#releaseTimer = undefined;
      this.#memory.release();
      this.#releaseSlowly();
    }, RELEASE_PAUSE_MS).unref();
  }

  #isDue(nowMs: number): boolean {
    const { deadBytes } = this.#memory;
    // Bytes that were left may have gone since then, without a collection of ours.
    this.#leftBytes = Math.min(this.#leftBytes, deadBytes);
    const isOld = nowMs - this.#endedMs >= RETRY_MS;
    return deadBytes - (isOld ? 0 : this.#leftBytes) >= DEAD_BYTES_MAX;
  }

  #isUnownedDue(nowMs: number): boolean {
    const isOld = nowMs - this.#endedMs >= this.#unownedRetryMs;
    const left = isOld ? 0 : this.#unownedLeftBytes;
    // Growth by half is required, so that a large live heap is not marked again for each small
    // growth.
    return this.#unownedBytes - left >= Math.max(UNOWNED_BYTES_MAX, left / 2);
  }

  #begin(nowMs: number): void {
    this.#dueSinceMs = -1;
    this.lastPauseMicros = 0;
    this.#pauses.observe({ entryTypes: ['gc'] });
    const { deadBytes, collectedBytes } = this.#memory;
    this.#running = {
      watch: new CollectionWatch(),
      askedMs: nowMs,
      tries: 1,
      deadBytes,
      collectedBytes,
      unownedBytes: this.#unownedBytes,
      hasEnded: false,
    };
    collectInSteps();
  }

  #follow(running: Running, nowMs: number): void {
    if (!running.watch.hasEnded) {
      if (nowMs - running.askedMs < STEPS_MS_MAX) return;
      running.askedMs = nowMs;
      if (running.tries++ < TRIES_IN_STEPS) collectInSteps();
      else collectAtOnce();
      return;
    }
    if (!running.hasEnded) {
      running.hasEnded = true;
      return;
    }
    this.count++;
    this.#running = undefined;
    const found = this.#memory.collectedBytes - running.collectedBytes;
    this.#leftBytes = Math.max(0, running.deadBytes - found);
    const inVain = this.#unownedBytes > running.unownedBytes / 2;
    this.#unownedRetryMs = inVain ? Math.min(this.#unownedRetryMs * 2, RETRY_MS) : UNOWNED_RETRY_MS;
    // Memory that lost its owner meanwhile may still be there.
    this.#unownedLeftBytes = Math.min(running.unownedBytes, this.#unownedBytes);
    this.#endedMs = nowMs;
    this.#pauses.disconnect();
  }

  #notePause(durationMs: number): void {
    const micros = Math.round(durationMs * MICROS_PER_MS);
    this.lastPauseMicros = Math.max(this.lastPauseMicros, micros);
    this.worstPauseMicros = Math.max(this.worstPauseMicros, micros);
    this.totalMicros += micros;
  }
}
