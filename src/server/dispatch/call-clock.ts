/**
 * Hot path. Measures how long calls take, for `commandstats`, latencies and SLOWLOG.
 *
 *   turn    │ call  │ call  │ call  │        long command        │ call │
 *   clock   ▲                       ▲                            ▲      ▲
 *           └── short ones of a pipeline share what passed ──┘
 *
 * Reading the clock costs about a tenth of a short command. Calls are measured from reading to
 * reading: a call begins where the call before it in the same turn ended, and the first one where
 * the turn began. Up to SHARED_MAX short calls in a row are one stretch, and each gets an equal
 * share of it. The dispatcher decides which calls share; a long call has a stretch to itself.
 */
import type { Clock } from '../../base/clock.ts';
import type { CommandRow } from './command-lookup.ts';

const SHARED_MAX = 16;

export class CallClock {
  /** Whether latencies of calls are kept per command. */
  trackLatency = true;
  /** Start of the present stretch, in ms of the monotonic clock. */
  #startMs = 0;
  /** A stretch has begun. */
  #runs = false;
  readonly #clock: Clock;
  #isTurnFresh = false;
  /** Rows of the finished calls in the present stretch, and the counts of these rows and calls. */
  readonly #rows = new Array<CommandRow | undefined>(SHARED_MAX).fill(undefined);
  #rowCount = 0;
  #count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Begins a call that is alone in its stretch; the stretch before it ends. Returns the start of
   * the new stretch.
   */
  begin(): number {
    if (!this.#runs) this.#start();
    else if (this.#count > 0) this.#settle();
    return this.#startMs;
  }

  /** Begins a call that shares the stretch of the calls before it. */
  beginShared(): void {
    if (!this.#runs) this.#start();
  }

  /**
   * Ends a call that began at `startMs`, alone. Returns its microseconds; {@link note} counts them.
   * Calls within it are measured, too.
   */
  end(startMs: number): number {
    const endMs = this.#clock.monotonicMs();
    this.#startMs = endMs;
    return (endMs - startMs) * 1000;
  }

  /** Counts the microseconds of a command that was answered. */
  note(row: CommandRow, micros: number): void {
    row.usec += micros;
    if (this.trackLatency) row.latency.record(micros);
  }

  /**
   * Ends a call that shares a stretch. Returns the microseconds of the stretch, or 0 while it may
   * go on.
   */
  endShared(row: CommandRow, mayGoOn: boolean): number {
    if (row.callsInStretch++ === 0) this.#rows[this.#rowCount++] = row;
    this.#count++;
    return mayGoOn && this.#count < SHARED_MAX ? 0 : this.#settle();
  }

  /** A turn has begun just now. Its first call begins with it, without reading the clock again. */
  turnBegan(): void {
    this.#isTurnFresh = true;
  }

  /** Time is counted from the next call on, no longer from the last one. */
  stop(): void {
    if (this.#count > 0) this.#settle();
    this.#runs = false;
    this.#isTurnFresh = false;
  }

  #start(): void {
    this.#startMs = this.#isTurnFresh ? this.#clock.turnMs() : this.#clock.monotonicMs();
    this.#isTurnFresh = false;
    this.#runs = true;
  }

  #settle(): number {
    const endMs = this.#clock.monotonicMs();
    const micros = (endMs - this.#startMs) * 1000;
    this.#startMs = endMs;
    const rows = this.#rows;
    const share = micros / this.#count;
    for (let i = 0; i < this.#rowCount; i++) {
      const row = rows[i]!;
      const calls = row.callsInStretch;
      row.callsInStretch = 0;
      row.usec += share * calls;
      if (this.trackLatency) row.latency.record(share, calls);
    }
    this.#rowCount = 0;
    this.#count = 0;
    return micros;
  }
}
