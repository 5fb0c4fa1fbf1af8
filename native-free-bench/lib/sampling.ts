/** Repeats a task that reports its own duration, with tinybench. */
import { Bench } from 'tinybench';

/**
 * Runs `once` `count` times, one after another and without warm-up. Returns the reported
 * milliseconds, smallest first. A rejection ends the series.
 */
export async function timeSeries(
  name: string,
  count: number,
  once: () => Promise<number>,
): Promise<readonly number[]> {
  const bench = new Bench({
    iterations: count,
    time: 0,
    warmup: false,
    retainSamples: true,
    throws: true,
  });
  bench.add(name, async () => ({ overriddenDuration: await once() }), { async: true });
  const [task] = await bench.run();
  const result = task?.result;
  if (result?.state !== 'completed' || result.latency.samples === undefined) {
    throw new Error(`${name}: no samples`);
  }
  return result.latency.samples;
}
