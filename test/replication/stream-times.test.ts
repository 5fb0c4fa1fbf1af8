import { describe, expect, test } from 'vitest';
import { RateMeter, StreamTimes } from '../../src/replication/stream-times.ts';

describe('the lag of an offset', () => {
  test('is the age of the byte behind it', () => {
    const times = new StreamTimes();
    for (let i = 0; i <= 10; i++) times.note(1000 + i * 100, i * 500);
    expect(times.lagMs(5000, 5000, 2000)).toBe(0);
    expect(times.lagMs(4500, 5000, 2000)).toBe(100);
    // Between two samples the stream is taken to grow evenly.
    expect(times.lagMs(4250, 5000, 2000)).toBe(150);
    expect(times.lagMs(0, 5000, 2000)).toBe(1000);
  });

  test('counts from the write, not from the pause before it', () => {
    const times = new StreamTimes();
    times.note(0, 10);
    for (let ms = 100; ms <= 60_000; ms += 100) times.note(ms, 10);
    times.note(60_100, 20);
    expect(times.lagMs(10, 20, 60_200)).toBeLessThanOrEqual(200);
    expect(times.lagMs(10, 20, 60_200)).toBeGreaterThanOrEqual(100);
  });

  test('of a byte older than all samples is at least their age', () => {
    const times = new StreamTimes();
    times.note(5000, 1000);
    times.note(6000, 2000);
    expect(times.lagMs(10, 2000, 6500)).toBe(1500);
  });

  test('is known for long with bounded memory, and coarser', () => {
    const times = new StreamTimes(64);
    for (let i = 0; i <= 10_000; i++) times.note(i * 100, i * 7);
    const lagMs = times.lagMs(7 * 9000, 7 * 10_000, 1_000_000);
    expect(Math.abs(lagMs - 100_000)).toBeLessThan(1000);
  });

  test('of another stream is not taken from this one', () => {
    const times = new StreamTimes();
    times.note(0, 5000);
    times.note(100, 6000);
    times.note(200, 10);
    times.note(300, 20);
    expect(times.lagMs(10, 20, 300)).toBe(100);
  });
});

test('the rate is that of the last two seconds', () => {
  const times = new StreamTimes();
  expect(times.rate(0, 0)).toBe(0);
  for (let ms = 0; ms <= 10_000; ms += 100) times.note(ms, ms * 20);
  expect(times.rate(200_000, 10_000)).toBeCloseTo(20_000, 0);
  for (let ms = 10_100; ms <= 13_000; ms += 100) times.note(ms, 200_000);
  expect(times.rate(200_000, 13_000)).toBe(0);
});

test('a rate meter nears the rate of a count', () => {
  const meter = new RateMeter();
  for (let ms = 0; ms <= 10_000; ms += 100) meter.sample(ms, ms * 3);
  expect(meter.rate).toBeGreaterThan(2990);
  expect(meter.rate).toBeLessThan(3010);
  // Samples that are too close to tell a rate are left out.
  meter.sample(10_001, 40_000);
  expect(meter.rate).toBeLessThan(3010);
});
