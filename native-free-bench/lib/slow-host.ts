/**
 * Repeats a measurement while the host is slow.
 *
 * The host of a virtual machine sometimes slows its cores by a fifth, for seconds. The generator
 * does the same work for each server, so its processor time per request shows this. When it is far
 * above the smallest value so far, the measurement is repeated, for either server.
 */
import { pause } from './scenario.ts';

/** The host is slow when the generator takes more than this many times the smallest time. */
const SLOW = 1.06;
const MEASUREMENTS_MAX = 6;
const AGAIN_AFTER_MS = 1000;

export interface Sample {
  /** Processor time of the generator per request, in us. */
  readonly generatorMicros: number;
  /** The number of error replies. A measurement with errors is not repeated. */
  readonly errors: number;
}

/**
 * The smallest `generatorMicros` for each kind of measurement, over all measurements of this run of
 * the bench and over both servers.
 */
const least = new Map<string, number>();

/** The measurements of one server in one run of a scenario. */
export class SlowHost {
  readonly #scenario: string;
  readonly #smoke: boolean;
  #measured = 0;
  #slow = 0;

  constructor(scenario: string, smoke: boolean) {
    this.#scenario = scenario;
    this.#smoke = smoke;
  }

  /**
   * Calls `once` until the host is not slow, at most six times. Returns the sample with the fastest
   * generator. `before` prepares a repetition. A smoke run measures once.
   */
  async best<S extends Sample>(
    id: string,
    once: () => Promise<S>,
    before: () => Promise<void> = async () => {},
  ): Promise<S> {
    const key = `${this.#scenario} ${id}`;
    this.#measured++;
    let best = await once();
    for (let left = MEASUREMENTS_MAX - 1; !this.#smoke; left--) {
      const fastest = Math.min(least.get(key) ?? best.generatorMicros, best.generatorMicros);
      least.set(key, fastest);
      if (best.errors > 0 || best.generatorMicros <= fastest * SLOW) break;
      if (left === 0) {
        this.#slow++;
        break;
      }
      await pause(AGAIN_AFTER_MS);
      await before();
      const again = await once();
      if (again.generatorMicros < best.generatorMicros || again.errors > 0) best = again;
    }
    return best;
  }

  /** Remarks for the report. */
  get notes(): string[] {
    if (this.#slow === 0) return [];
    return [`the host stayed slow at ${this.#slow} of ${this.#measured} measurements of a run`];
  }
}
