/** The most resident memory that a server had, sampled. */
import { familyResidentBytes } from './process-stats.ts';

const SAMPLE_MS = 20;

export class ResidentPeak {
  readonly #pid: number;
  readonly #timer: NodeJS.Timeout;
  #most = 0;

  constructor(pid: number) {
    this.#pid = pid;
    this.#sample();
    this.#timer = setInterval(() => this.#sample(), SAMPLE_MS);
  }

  /** Ends the sampling and returns the bytes. */
  stop(): number {
    clearInterval(this.#timer);
    this.#sample();
    return this.#most;
  }

  #sample(): void {
    this.#most = Math.max(this.#most, familyResidentBytes(this.#pid));
  }
}
