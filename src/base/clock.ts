/**
 * The clock. It is passed in wherever it is used, so that tests set the time.
 *
 *   nowMs         wall clock, read once per turn of the event loop, for expiry. Stale until the
 *                 next tick().
 *   turnMs        monotonicMs at that moment
 *   wallMicros    wall clock of this very moment, for TIME
 *   monotonicMs   never steps back, zero is arbitrary: timeouts, intervals
 *   micros        the same in microseconds: durations (SLOWLOG, commandstats)
 *
 * Every entry from the event loop (a socket's data, a timer) calls tick() first. All commands of a
 * turn see one time, as in Redis, and no key expires between two reads of one command.
 */
import { performance } from 'node:perf_hooks';

export interface Clock {
  nowMs(): number;
  wallMicros(): number;
  monotonicMs(): number;
  micros(): number;
  /** Starts a turn: reads the clock for {@link nowMs} and {@link turnMs}. */
  tick(): void;
  /** {@link monotonicMs} when the turn started. */
  turnMs(): number;
}

/** The two clocks are compared this often, so a step of the system's clock is noticed in time. */
const COMPARED_EACH_MS = 50;
/** Date.now() drops up to a millisecond. The two clocks may differ by this much more. */
const DRIFT_MAX_MS = 0.5;

/**
 * Reads only the monotonic clock each turn and adds an origin to get the wall time. The origin also
 * has the digits below a millisecond. It is reset when the two clocks have drifted apart.
 */
export class SystemClock implements Clock {
  #originMs = performance.timeOrigin;
  #turnMs = performance.now();
  #comparedMs = this.#turnMs;
  #nowMs = Date.now();

  constructor() {
    this.#compare(this.#turnMs);
    this.tick();
  }

  nowMs(): number {
    return this.#nowMs;
  }

  turnMs(): number {
    return this.#turnMs;
  }

  tick(): void {
    const monotonicMs = performance.now();
    if (monotonicMs - this.#comparedMs >= COMPARED_EACH_MS) this.#compare(monotonicMs);
    this.#turnMs = monotonicMs;
    this.#nowMs = Math.floor(this.#originMs + monotonicMs);
  }

  wallMicros(): number {
    const monotonicMs = performance.now();
    this.#compare(monotonicMs);
    return Math.floor((this.#originMs + monotonicMs) * 1000);
  }

  #compare(monotonicMs: number): void {
    this.#comparedMs = monotonicMs;
    const wallMs = Date.now();
    const beyond = this.#originMs + monotonicMs - wallMs;
    if (beyond < -DRIFT_MAX_MS || beyond > 1 + DRIFT_MAX_MS)
      this.#originMs = wallMs + 0.5 - monotonicMs;
  }

  monotonicMs(): number {
    return performance.now();
  }

  micros(): number {
    return Math.floor(performance.now() * 1000);
  }
}

/** A clock for tests. It stands still until a test moves it. */
export class ManualClock implements Clock {
  #wallMs: number;
  #elapsedMs = 0;
  #nowMs: number;
  #turnMs = 0;

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

  /** Steps the wall clock, as an administrator or NTP does; the monotonic clock does not change. */
  stepWall(ms: number): void {
    this.#wallMs += ms;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  turnMs(): number {
    return this.#turnMs;
  }

  tick(): void {
    this.#nowMs = this.#wallMs;
    this.#turnMs = this.#elapsedMs;
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
