/** The histogram of latencies: percentiles stay within its precision, counts add up. */
import { expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { LatencyHistogram } from '../../../src/server/dispatch/latency-histogram.ts';
import { testSeed } from '../../support/seed.ts';

test('an empty one has no percentiles and no pairs', () => {
  const histogram = new LatencyHistogram();
  expect([histogram.count, histogram.percentile(50), histogram.cumulative()]).toEqual([0, 0, []]);
});

test.each([0, 0.001, 0.015, 0.016, 1, 18.047, 999, 1e6, 1.99e6])(
  '%f microseconds come back within a sixteenth',
  (micros) => {
    const histogram = new LatencyHistogram();
    histogram.record(micros);
    const found = histogram.percentile(50);
    expect(found).toBeGreaterThanOrEqual(micros * 0.999);
    expect(found).toBeLessThanOrEqual(micros * (1 + 1 / 16) + 0.001);
  },
);

test('what took longer than can be told counts as two seconds', () => {
  const histogram = new LatencyHistogram();
  histogram.record(1e12);
  expect(histogram.percentile(100)).toBeGreaterThan(2e6);
  expect(histogram.cumulative()).toEqual([[expect.any(Number), 1]]);
});

test('percentiles of random latencies agree with those of the sorted list', () => {
  const prng = new Prng(testSeed('latencies'));
  const histogram = new LatencyHistogram();
  const all: number[] = [];
  for (let i = 0; i < 5000; i++) {
    const micros = prng.below(1 + 10 ** (1 + prng.below(5)));
    all.push(micros);
    histogram.record(micros);
  }
  all.sort((a, b) => a - b);
  for (const percent of [1, 10, 50, 90, 99, 99.9, 100]) {
    const exact = all[Math.max(1, Math.ceil((percent / 100) * all.length)) - 1]!;
    expect(histogram.percentile(percent)).toBeGreaterThanOrEqual(exact * 0.999);
    expect(histogram.percentile(percent)).toBeLessThanOrEqual(exact * (1 + 1 / 16) + 0.001);
  }
  const pairs = histogram.cumulative();
  expect(pairs.at(-1)![1]).toBe(5000);
  histogram.reset();
  expect(histogram.count).toBe(0);
});
