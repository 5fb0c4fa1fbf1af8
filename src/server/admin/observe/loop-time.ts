/**
 * The turns and the busy time of the event loop: INFO's eventloop_* fields. Node.js counts both
 * itself, so that nothing is measured per turn. Node.js before 20.18 does not count the turns; the
 * field is 0 then.
 */
import { type EventLoopUtilization, performance } from 'node:perf_hooks';

interface LoopMetrics {
  readonly uvMetricsInfo?: { readonly loopCount: number };
}

const SAMPLES = 16;
const SAMPLE_MS = 100;
const MICROS_PER_MS = 1000;

/** Turns so far, and microseconds of work in them. */
interface Totals {
  readonly cycles: number;
  readonly micros: number;
}

export class LoopTime {
  readonly #utilization: EventLoopUtilization = performance.eventLoopUtilization();
  readonly #perSecond: number[] = new Array<number>(SAMPLES).fill(0);
  readonly #microsPerCycle: number[] = new Array<number>(SAMPLES).fill(0);
  #next = 0;
  #sampledMs = 0;
  #last: Totals = { cycles: 0, micros: 0 };
  #zero: Totals = { cycles: 0, micros: 0 };

  /** Takes a sample for the rates, about each tenth of a second. */
  tick(monotonicMs: number): void {
    const ms = monotonicMs - this.#sampledMs;
    if (ms < SAMPLE_MS) return;
    const now = this.#totals();
    const cycles = now.cycles - this.#last.cycles;
    this.#perSecond[this.#next] = (cycles * 1000) / ms;
    this.#microsPerCycle[this.#next] = cycles === 0 ? 0 : (now.micros - this.#last.micros) / cycles;
    this.#next = (this.#next + 1) % SAMPLES;
    this.#sampledMs = monotonicMs;
    this.#last = now;
  }

  /** Resets the sums, but not the rates. */
  reset(): void {
    this.#zero = this.#totals();
  }

  get cycles(): number {
    return this.#totals().cycles - this.#zero.cycles;
  }

  get micros(): number {
    return this.#totals().micros - this.#zero.micros;
  }

  get cyclesPerSecond(): number {
    return mean(this.#perSecond);
  }

  get microsPerCycle(): number {
    return mean(this.#microsPerCycle);
  }

  #totals(): Totals {
    const { uvMetricsInfo } = performance.nodeTiming as LoopMetrics;
    const { active } = performance.eventLoopUtilization(this.#utilization);
    return { cycles: uvMetricsInfo?.loopCount ?? 0, micros: Math.round(active * MICROS_PER_MS) };
  }
}

const mean = (values: readonly number[]): number =>
  Math.round(values.reduce((sum, value) => sum + value, 0) / values.length);
