/**
 * Back-pressure before a replica is cut off: how fast the stream may grow, and whose write is next.
 * Pure.
 *
 *   lag of a replica     0 ──── 0.4 L ──── 0.5 L ─────── 0.75 L ──────── 0.95 L ──── L, its limit
 *   writers               free    └ free again └ slowed:   │ as fast as   │ not at all  it is cut
 *                                                a bit     │ it reads ──▶ │
 *                                                faster than it reads     slower and slower
 *
 * With lag l, the rate below 0.75 L is what the replica reads and (0.75 L - l) / T more. Above, it
 * is a share of what it reads that falls to nothing at 0.95 L, so that a replica that has stopped to
 * read is not brought to its limit by what it has read before. A replica that reads no stream yet,
 * because it gets its dump, has a T of what the dump still takes. Its lag then nears 0.75 L and
 * never passes it, however long the dump takes.
 */
import type { OutputLimit } from './output-limit.ts';

/** Shares of the limit. */
const BEGIN_SHARE = 0.5;
const END_SHARE = 0.4;
const TARGET_SHARE = 0.75;
const STOP_SHARE = 0.95;
/** T of a replica that reads the stream. */
const STEER_MS = 1000;
/** Bounds of T for one that gets its dump, and T when nothing is known. */
const DUMP_MS_MIN = 1000;
const DUMP_MS_MAX = 60_000;
const DUMP_MS_UNKNOWN = 10_000;

/** A replica, as far as writers care. */
export interface PeerPressure {
  /** Bytes of the stream that it lacks. */
  readonly lag: number;
  /** Bytes per second of the stream that it reads. */
  readonly readRate: number;
  readonly takesStream: boolean;
  /** What is left of its dump, or -1 when nobody knows, and how fast it goes. */
  readonly dumpLeftBytes: number;
  readonly dumpRate: number;
}

/** The lag at which a replica may be cut off; 0 when it never is. */
export function cutBytes({ hardBytes, softBytes }: OutputLimit): number {
  if (hardBytes === 0 || softBytes === 0) return Math.max(hardBytes, softBytes);
  return Math.min(hardBytes, softBytes);
}

/**
 * Bytes per second by which the stream may grow for the sake of one replica; Infinity when it is
 * not near its limit. `isSlowed`: writers are slowed already.
 */
export function allowedRate(peer: PeerPressure, limitBytes: number, isSlowed: boolean): number {
  const { lag } = peer;
  if (limitBytes === 0 || lag < limitBytes * (isSlowed ? END_SHARE : BEGIN_SHARE))
    return Number.POSITIVE_INFINITY;
  const reads = peer.takesStream ? peer.readRate : 0;
  const roomBytes = limitBytes * TARGET_SHARE - lag;
  if (roomBytes < 0) {
    const left = limitBytes * STOP_SHARE - lag;
    return left <= 0 ? 0 : (reads * left) / (limitBytes * (STOP_SHARE - TARGET_SHARE));
  }
  return reads + (roomBytes * 1000) / (peer.takesStream ? STEER_MS : dumpMs(peer));
}

function dumpMs({ dumpLeftBytes, dumpRate }: PeerPressure): number {
  if (dumpLeftBytes < 0 || dumpRate <= 0) return DUMP_MS_UNKNOWN;
  const ms = (dumpLeftBytes * 1000) / dumpRate;
  return Math.min(DUMP_MS_MAX, Math.max(DUMP_MS_MIN, ms));
}

interface Held<T> {
  readonly writer: T;
  readonly sinceMs: number;
  /** Bytes at which its turn comes. */
  readonly tag: number;
}

/**
 * Writers that wait, each with the same share in bytes: a writer's next turn comes as many bytes
 * later as its last writes had, and the one whose turn is earliest goes first. One that was away
 * saves nothing up.
 *
 *   turns of A (3 bytes each) and B (1 byte each):   A B B B A B B B …
 */
export class FairQueue<T extends object> {
  /** In the order in which they came. */
  readonly #held = new Map<T, Held<T>>();
  /** By their turn, the earliest last. */
  readonly #order: Held<T>[] = [];
  /** Where a writer's next turn begins. */
  #turns = new WeakMap<T, number>();
  #now = 0;

  get size(): number {
    return this.#held.size;
  }

  has(writer: T): boolean {
    return this.#held.has(writer);
  }

  add(writer: T, nowMs: number): void {
    const held = { writer, sinceMs: nowMs, tag: Math.max(this.#now, this.#turns.get(writer) ?? 0) };
    this.#held.set(writer, held);
    let low = 0;
    let high = this.#order.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      // Of equal turns the one that came first is nearer to the end.
      if (this.#order[middle]!.tag > held.tag) low = middle + 1;
      else high = middle;
    }
    this.#order.splice(low, 0, held);
  }

  /** When the one that has waited longest began; Infinity when nobody waits. */
  get oldestMs(): number {
    for (const { sinceMs } of this.#held.values()) return sinceMs;
    return Number.POSITIVE_INFINITY;
  }

  /** Removes and returns who has waited longest. */
  takeOldest(): Held<T> | undefined {
    for (const held of this.#held.values()) {
      this.remove(held.writer);
      return held;
    }
    return undefined;
  }

  /** Removes and returns the one whose turn it is. */
  takeNext(): Held<T> | undefined {
    const held = this.#order.pop();
    if (held === undefined) return undefined;
    this.#held.delete(held.writer);
    this.#now = Math.max(this.#now, held.tag);
    return held;
  }

  remove(writer: T): void {
    const held = this.#held.get(writer);
    if (held === undefined) return;
    this.#held.delete(writer);
    this.#order.splice(this.#order.indexOf(held), 1);
  }

  /** `writer` has written `bytes`. */
  wrote(writer: T, bytes: number): void {
    const from = Math.max(this.#now, this.#turns.get(writer) ?? 0);
    this.#turns.set(writer, from + Math.max(1, bytes));
  }

  /** Forgets who wrote how much. */
  reset(): void {
    this.#turns = new WeakMap();
    this.#now = 0;
  }
}
