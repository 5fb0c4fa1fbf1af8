/** Rates of the last one and a half seconds, from counters that are read at each tick. */
import type { ServerStats } from '../../stats.ts';

const SAMPLES = 16;
const SAMPLE_MS = 100;

type Counter =
  | 'commandsProcessed'
  | 'netInputBytes'
  | 'netOutputBytes'
  | 'netReplInputBytes'
  | 'netReplOutputBytes';

class Rate {
  readonly #counter: Counter;
  readonly #perSecond: number[] = new Array<number>(SAMPLES).fill(0);
  #next = 0;
  #last = 0;

  constructor(counter: Counter) {
    this.#counter = counter;
  }

  sample(stats: ServerStats, ms: number): void {
    const value = stats[this.#counter];
    // A reset counter is below its earlier value.
    this.#perSecond[this.#next] = (Math.max(0, value - this.#last) * 1000) / ms;
    this.#next = (this.#next + 1) % SAMPLES;
    this.#last = value;
  }

  get perSecond(): number {
    return this.#perSecond.reduce((sum, rate) => sum + rate, 0) / SAMPLES;
  }
}

export class Rates {
  readonly commands = new Rate('commandsProcessed');
  readonly input = new Rate('netInputBytes');
  readonly output = new Rate('netOutputBytes');
  readonly replInput = new Rate('netReplInputBytes');
  readonly replOutput = new Rate('netReplOutputBytes');
  readonly #all = [this.commands, this.input, this.output, this.replInput, this.replOutput];
  #sampledMs = 0;

  tick(stats: ServerStats, monotonicMs: number): void {
    const ms = monotonicMs - this.#sampledMs;
    if (ms < SAMPLE_MS) return;
    for (const rate of this.#all) rate.sample(stats, ms);
    this.#sampledMs = monotonicMs;
  }
}
