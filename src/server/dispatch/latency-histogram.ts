/**
 * Hot path. Counts calls by their time, in buckets whose width grows with the time, 16 per power of
 * two. A percentile is exact to about six percent from a nanosecond to two seconds; longer calls
 * count as two seconds.
 *
 *   bucket   0 … 15   nanoseconds 0 … 15
 *   then     16 per octave: octave = 31 - clz32(ns), sub = the four bits below its highest one
 *
 * A histogram that has recorded nothing has no buckets.
 */

const SUB_BITS = 4;
const SUBS = 1 << SUB_BITS;
const NS_MAX = 0x7fff_ffff;
const BUCKETS = (31 - SUB_BITS + 1) * SUBS;

export class LatencyHistogram {
  count = 0;
  #buckets: Float64Array | undefined = undefined;

  record(micros: number, calls = 1): void {
    const ns = micros < 2_000_000 ? (micros * 1000) | 0 : NS_MAX;
    if (this.#buckets === undefined) this.#buckets = new Float64Array(BUCKETS);
    this.#buckets[bucketOf(ns)]! += calls;
    this.count += calls;
  }

  reset(): void {
    this.count = 0;
    this.#buckets = undefined;
  }

  /** Microseconds that `percent` of the calls did not exceed: the upper edge of their bucket. */
  percentile(percent: number): number {
    const wanted = Math.max(1, Math.ceil((percent / 100) * this.count));
    let seen = 0;
    for (let bucket = 0; this.#buckets !== undefined && bucket < BUCKETS; bucket++) {
      seen += this.#buckets[bucket]!;
      if (seen >= wanted) return (lowestOf(bucket + 1) - 1) / 1000;
    }
    return 0;
  }

  /**
   * Pairs of a power of two, in microseconds, and the count of calls that took at most this long.
   * The last pair counts all calls.
   */
  cumulative(): [micros: number, calls: number][] {
    const pairs: [number, number][] = [];
    let calls = 0;
    let bucket = 0;
    for (let micros = 1; this.#buckets !== undefined && calls < this.count; micros *= 2) {
      const before = calls;
      while (bucket < BUCKETS && lowestOf(bucket) < micros * 1024)
        calls += this.#buckets[bucket++]!;
      if (calls > before) pairs.push([micros, calls]);
    }
    return pairs;
  }
}

function bucketOf(ns: number): number {
  if (ns < SUBS) return Math.max(ns, 0);
  const octave = 31 - Math.clz32(ns);
  return ((octave - SUB_BITS + 1) << SUB_BITS) + ((ns >>> (octave - SUB_BITS)) & (SUBS - 1));
}

/** The least nanoseconds that count in a bucket. */
function lowestOf(bucket: number): number {
  if (bucket < SUBS) return bucket;
  const octave = (bucket >>> SUB_BITS) + SUB_BITS - 1;
  return (SUBS + (bucket & (SUBS - 1))) * 2 ** (octave - SUB_BITS);
}
