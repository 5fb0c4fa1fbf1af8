/**
 * Hot path. Latencies of a load generator, counted in buckets of 1 % width. It is cheaper than the
 * histogram of Node.js, which makes a native call for each latency. A generator records half a
 * million of them per second.
 */

/**
 * Buckets per doubling, and the number of doublings from 100 ns on. They reach up to half an hour.
 */
const PER_DOUBLING = 70;
const DOUBLINGS = 34;
const FIRST_MS = 1e-4;

export class Latencies {
  readonly #counts = new Uint32Array(PER_DOUBLING * DOUBLINGS);
  #count = 0;

  record(ms: number): void {
    const bucket = Math.floor(Math.log2(Math.max(ms, FIRST_MS) / FIRST_MS) * PER_DOUBLING);
    const index = Math.min(bucket, this.#counts.length - 1);
    this.#counts[index] = this.#counts[index]! + 1;
    this.#count++;
  }

  /**
   * Returns the latency in ms that the share `q` (0 … 1) of all did not exceed, to within 1 %.
   * Returns 0 when there are none.
   */
  quantileMs(q: number): number {
    const wanted = Math.max(1, Math.ceil(q * this.#count));
    let seen = 0;
    for (let index = 0; index < this.#counts.length; index++) {
      seen += this.#counts[index]!;
      if (seen >= wanted) return FIRST_MS * 2 ** ((index + 0.5) / PER_DOUBLING);
    }
    return 0;
  }
}
