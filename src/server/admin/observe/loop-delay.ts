/**
 * The delay of the event loop's timers: a client's longest wait, besides its own command. It is
 * measured since the last CONFIG RESETSTAT, and for LATENCY since the last look.
 */
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 10;
const NS_PER_MS = 1e6;

export class LoopDelay {
  readonly #histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #recent: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  #isWatched = false;

  start(): void {
    this.#histogram.enable();
  }

  stop(): void {
    this.#histogram.disable();
    this.#recent.disable();
  }

  /** The longest delay since the last call, in milliseconds; of the first call 0. */
  takeLongestMs(): number {
    if (!this.#isWatched) this.#recent.enable();
    this.#isWatched = true;
    const longest = late(this.#recent.count === 0 ? 0 : this.#recent.max);
    this.#recent.reset();
    return longest;
  }

  /** Nobody will ask {@link takeLongestMs} for now. */
  restLongest(): void {
    if (!this.#isWatched) return;
    this.#isWatched = false;
    this.#recent.disable();
    this.#recent.reset();
  }

  reset(): void {
    this.#histogram.reset();
  }

  /**
   * The percentile `percent` of the timers' delay, in milliseconds, without the interval between
   * two timers.
   */
  percentileMs(percent: number): number {
    return late(this.#histogram.percentile(percent));
  }

  maxMs(): number {
    return late(this.#histogram.count === 0 ? 0 : this.#histogram.max);
  }
}

const late = (ns: number): number => Math.max(0, ns / NS_PER_MS - RESOLUTION_MS);
