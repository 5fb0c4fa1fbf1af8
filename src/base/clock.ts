/**
 * Time, passed in wherever it is used, so that tests turn the hands themselves.
 *
 *   nowMs         wall clock, read once per turn of the event loop: what expiry compares with. Stale until the next tick().
 *   wallMicros    wall clock of this very moment, for TIME
 *   monotonicMs   never steps back, zero is arbitrary: timeouts, intervals
 *   micros        the same in microseconds: durations (SLOWLOG, commandstats)
 *
 * Whoever enters from the event loop (a socket's data, a timer) calls tick() first. Within a turn all commands see one time, as
 * Redis' commands do, and no key expires between two reads of one command.
 */
import { performance } from 'node:perf_hooks';

export interface Clock {
  nowMs(): number;
  wallMicros(): number;
  monotonicMs(): number;
  micros(): number;
  /** Starts a turn: reads the wall clock for {@link nowMs}. */
  tick(): void;
}

const WALL_DRIFT_MAX_MS = 2;

export class SystemClock implements Clock {
  #nowMs = Date.now();
  #originMs = performance.timeOrigin;

  nowMs(): number {
    return this.#nowMs;
  }

  tick(): void {
    this.#nowMs = Date.now();
  }

  /**
   * `Date.now()` ends at milliseconds, the monotonic clock has the digits below and knows no steps of the system's clock: so the latter is
   * read from an origin that is set anew when the two have come apart.
   */
  wallMicros(): number {
    const monotonicMs = performance.now();
    const wallMs = Date.now();
    if (Math.abs(this.#originMs + monotonicMs - wallMs) > WALL_DRIFT_MAX_MS)
      this.#originMs = wallMs - monotonicMs;
    return Math.floor((this.#originMs + monotonicMs) * 1000);
  }

  monotonicMs(): number {
    return performance.now();
  }

  micros(): number {
    return Math.floor(performance.now() * 1000);
  }
}

/** A clock for tests: stands still until it is told otherwise. */
export class ManualClock implements Clock {
  #wallMs: number;
  #elapsedMs = 0;
  #nowMs: number;

  constructor(startMs = 1_700_000_000_000) {
    this.#wallMs = startMs;
    this.#nowMs = startMs;
  }

  /** Lets `ms` pass and starts a turn. */
  advance(ms: number): void {
    this.passWithinTurn(ms);
    this.tick();
  }

  /** Lets `ms` pass in the middle of a turn: {@link nowMs} does not see it before the next tick. */
  passWithinTurn(ms: number): void {
    this.#wallMs += ms;
    this.#elapsedMs += ms;
  }

  /** Steps the wall clock, as an administrator or NTP does; the monotonic clock does not notice. */
  stepWall(ms: number): void {
    this.#wallMs += ms;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  tick(): void {
    this.#nowMs = this.#wallMs;
  }

  wallMicros(): number {
    return this.#wallMs * 1000;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  micros(): number {
    return this.#elapsedMs * 1000;
  }
}
