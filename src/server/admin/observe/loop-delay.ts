/**
 * The delay of the event loop's timers: a client's longest wait, besides its own command.
 */
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 10;
const NS_PER_MS = 1e6;

export class LoopDelay {
  readonly #histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

  start(): void {
    this.#histogram.enable();
  }

  stop(): void {
    this.#histogram.disable();
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
