/** Order statistics of a few samples. */

/**
 * Returns the value below which the share `q` (0 … 1) of `samples` lies, interpolated. NaN for no
 * samples.
 */
export function quantile(samples: readonly number[], q: number): number {
  if (samples.length === 0) return Number.NaN;
  const sorted = [...samples].sort((a, b) => a - b);
  const place = (sorted.length - 1) * q;
  const below = Math.floor(place);
  const low = sorted[below] as number;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] as number;
  return low + (high - low) * (place - below);
}

export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}
