/**
 * Measuring again while the host is slow.
 *
 * A virtual machine's host slows its cores down at times, by a fifth and for seconds. The generator
 * does the same for each server, so its processor time per request tells: a measurement in which
 * that is far above the least so far is made again, for either server.
 */
import { pause } from './scenario.ts';

/** The host is slow when the generator takes more than so many times the least. */
const SLOW = 1.06;
const MEASUREMENTS_MAX = 6;
const AGAIN_AFTER_MS = 1000;

export interface Sample {
  /** Processor time of the generator per request, in us. */
  readonly generatorMicros: number;
  /** Replies that were errors: such a measurement is not made again. */
  readonly errors: number;
}

/**
 * The least of `generatorMicros` by what was measured: of all measurements of this run of the
 * bench, of both servers.
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
   * Calls `once` until the host is not slow, at most six times, and returns the sample with the
   * fastest generator. `before` makes ready for another time. A smoke run measures once.
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

  /** What a reader must know of it. */
  get notes(): string[] {
    if (this.#slow === 0) return [];
    return [`the host stayed slow at ${this.#slow} of ${this.#measured} measurements of a run`];
  }
}
