/**
 * Passes a dump from the link to those who take it: the load worker, and the replicas below to which
 * it is passed on. When one of them has no room, the rest of a read waits for it here, and the link
 * reads no more until all have taken all. So at most one read is kept for each of them.
 *
 *   link ──take──▶ ┬ load worker's ring
 *                  └ the dump that is passed on
 *
 * Main thread.
 */
import type { DumpTaker } from '../snapshot-source.ts';

const NO_BYTES = new Uint8Array(0);

/** A taker, and the bytes for which it had no room. */
interface Lane {
  readonly taker: DumpTaker;
  waiting: Uint8Array;
}

export class DumpIntake {
  readonly #lanes: readonly Lane[];
  readonly #onChange: () => void;
  /** Lanes that have no room. */
  #fullLanes = 0;
  #ended = false;

  /** `onChange` is called when {@link isReady} may have changed. */
  constructor(takers: readonly DumpTaker[], onChange: () => void) {
    this.#lanes = takers.map((taker) => ({ taker, waiting: NO_BYTES }));
    this.#onChange = onChange;
  }

  /** Takes bytes[start, end) by copying them. */
  take(bytes: Uint8Array, start: number, end: number): void {
    for (const lane of this.#lanes) this.#give(lane, bytes, start, end);
  }

  /** The whole dump was taken. */
  end(): void {
    this.#ended = true;
    for (const { taker, waiting } of this.#lanes) if (waiting.length === 0) taker.end();
    this.#onChange();
  }

  /** Somebody has no room. */
  get isFull(): boolean {
    return this.#fullLanes > 0;
  }

  /** The link may be read: all have room, and the dump has not ended. */
  get isReady(): boolean {
    return !this.isFull && !this.#ended;
  }

  /** No more bytes will come. */
  fail(): void {
    for (const lane of this.#lanes) {
      lane.waiting = NO_BYTES;
      lane.taker.fail();
    }
  }

  #give(lane: Lane, bytes: Uint8Array, start: number, end: number): void {
    const { taker, waiting } = lane;
    const from = waiting.length === 0 ? taker.put(bytes, start, end) : start;
    if (from === end || !taker.wanted) return;
    const kept = new Uint8Array(waiting.length + end - from);
    kept.set(waiting);
    kept.set(bytes.subarray(from, end), waiting.length);
    lane.waiting = kept;
    if (waiting.length === 0) this.#drain(lane);
  }

  async #drain(lane: Lane): Promise<void> {
    const { taker } = lane;
    this.#fullLanes++;
    this.#onChange();
    while (lane.waiting.length > 0) {
      await taker.waitForRoom();
      // It has ended, with or without success: the rest is not needed.
      if (!taker.wanted) lane.waiting = NO_BYTES;
      const from = taker.put(lane.waiting, 0, lane.waiting.length);
      lane.waiting = lane.waiting.slice(from);
    }
    this.#fullLanes--;
    if (this.#ended) taker.end();
    this.#onChange();
  }
}
