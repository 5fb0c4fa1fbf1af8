/**
 * Hot path. How long calls took, for `commandstats`, latencies and SLOWLOG.
 *
 *   turn    │ call  │ call  │ call  │        long command        │ call │
 *   clock   ▲                       ▲                            ▲      ▲
 *           └── short ones of a pipeline share what passed ──┘
 *
 * A look at the clock costs about a tenth of a short command. Calls are measured from look to look:
 * a call begins where the one before it in the same turn has ended, the first one where the turn
 * began, and up to SHARED_MAX short ones in a row are one stretch, of which each gets its equal
 * share. What a command must be to share is the dispatcher's to say; one that is not short has its
 * stretch to itself.
 */
import type { Clock } from '../../base/clock.ts';
import type { CommandRow } from './command-lookup.ts';

const SHARED_MAX = 16;

export class CallClock {
  /** Whether latencies of calls are kept per command. */
  trackLatency = true;
  /** When the present stretch began, in ms of the monotonic clock. */
  #startMs = 0;
  /** A stretch has begun. */
  #runs = false;
  readonly #clock: Clock;
  #isTurnFresh = false;
  /**
   * Rows of the calls in the present stretch that are over, and how many rows and calls they are.
   */
  readonly #rows = new Array<CommandRow | undefined>(SHARED_MAX).fill(undefined);
  #rowCount = 0;
  #count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * A call begins that is alone in its stretch: that of those before it ends. Returns when the
   * stretch began.
   */
  begin(): number {
    if (!this.#runs) this.#start();
    else if (this.#count > 0) this.#settle();
    return this.#startMs;
  }

  /** A call begins that shares the stretch of those before it. */
  beginShared(): void {
    if (!this.#runs) this.#start();
  }

  /**
   * The end of a call that began at `startMs`, alone. Returns its microseconds. Calls within it are
   * measured, too. One that is called `again`, after it has waited, only adds to the time of its
   * command.
   */
  end(row: CommandRow, startMs: number, again: boolean): number {
    const endMs = this.#clock.monotonicMs();
    this.#startMs = endMs;
    const micros = (endMs - startMs) * 1000;
    row.usec += micros;
    if (this.trackLatency && !again) row.latency.record(micros);
    return micros;
  }

  /**
   * The end of a call that was not alone. Returns the microseconds of its stretch, or 0 while that
   * may go on.
   */
  endShared(row: CommandRow, mayGoOn: boolean): number {
    if (row.callsInStretch++ === 0) this.#rows[this.#rowCount++] = row;
    this.#count++;
    return mayGoOn && this.#count < SHARED_MAX ? 0 : this.#settle();
  }

  /**
   * A turn has begun just now: its first call begins then, and the clock is not looked at again.
   */
  turnBegan(): void {
    this.#isTurnFresh = true;
  }

  /** Time is not counted from the last call any more, but from the next one. */
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
