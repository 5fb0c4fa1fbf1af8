/**
 * Hot path. How long calls took, for `commandstats`, latencies and SLOWLOG.
 *
 *   turn    │ call  │ call  │ call  │        long command        │ call │
 *   clock   ▲                       ▲                            ▲      ▲
 *           └── short ones of a pipeline share what passed ──┘
 *
 * A look at the clock costs about a twentieth of a short command. Calls are measured from look to look: a call begins
 * where the one before it in the same turn has ended, and up to SHARED_MAX short ones in a row are one stretch, of which each
 * gets its equal share. What a command must be to share is the dispatcher's to say; one that is not short has its
 * stretch to itself.
 */
import { performance } from 'node:perf_hooks';
import type { CommandRow } from './command-lookup.ts';

/** The clock has not been read yet in this turn. */
const NO_TIME = -1;
const SHARED_MAX = 8;

export class CallClock {
  /** Whether latencies of calls are kept per command. */
  trackLatency = true;
  /** When the present stretch began, in ms of the monotonic clock, or NO_TIME. */
  #startMs = NO_TIME;
  /** Rows of the calls in the present stretch that are over. */
  readonly #rows: CommandRow[] = [];
  #count = 0;

  /** A call begins; one that is `alone` in its stretch ends that of those before it. Returns when the stretch began. */
  begin(alone: boolean): number {
    if (this.#startMs === NO_TIME) this.#startMs = performance.now();
    else if (alone && this.#count > 0) this.#settle();
    return this.#startMs;
  }

  /**
   * The end of a call that began at `startMs`, alone. Returns its microseconds. Calls within it are measured, too. One that is called `again`, after it has waited, only adds to the time of its command.
   */
  end(row: CommandRow, startMs: number, again: boolean): number {
    const endMs = performance.now();
    this.#startMs = endMs;
    const micros = (endMs - startMs) * 1000;
    row.usec += micros;
    if (this.trackLatency && !again) row.latency.record(micros);
    return micros;
  }

  /** The end of a call that was not alone. Returns the microseconds of its stretch, or 0 while that may go on. */
  endShared(row: CommandRow, mayGoOn: boolean): number {
    // Mostly it is there from the last stretch, and a look is cheaper than to store it.
    if (this.#rows[this.#count] !== row) this.#rows[this.#count] = row;
    this.#count++;
    return mayGoOn && this.#count < SHARED_MAX ? 0 : this.#settle();
  }

  /** Time is not counted from the last call any more, but from the next one. */
  stop(): void {
    if (this.#count > 0) this.#settle();
    this.#startMs = NO_TIME;
  }

  #settle(): number {
    const endMs = performance.now();
    const micros = (endMs - this.#startMs) * 1000;
    this.#startMs = endMs;
    const rows = this.#rows;
    const share = micros / this.#count;
    for (let i = 0, end = this.#count; i < end; ) {
      const row = rows[i]!;
      let calls = 1;
      while (i + calls < end && rows[i + calls] === row) calls++;
      row.usec += share * calls;
      if (this.trackLatency) row.latency.record(share, calls);
      i += calls;
    }
    this.#count = 0;
    return micros;
  }
}
