import { expect, test } from 'vitest';
import {
  RETRY_PAUSE_MAX_MS,
  RETRY_PAUSE_MIN_MS,
  RetryPauses,
} from '../../src/replication/retry-pauses.ts';

test('pauses double from a second to a minute, and begin again behind a success', () => {
  const pauses = new RetryPauses();
  const lengths = Array.from({ length: 8 }, (_, i) => pauses.failed('COW_LIMIT', i * 100_000));
  expect(lengths).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
  expect([lengths[0], lengths[7]]).toEqual([RETRY_PAUSE_MIN_MS, RETRY_PAUSE_MAX_MS]);
  pauses.succeeded('COW_LIMIT');
  expect(pauses.leftMs(700_000)).toBe(0);
  expect(pauses.failed('COW_LIMIT', 700_000)).toBe(RETRY_PAUSE_MIN_MS);
});

test('each cause has its own pause, and the longest that matters counts', () => {
  const pauses = new RetryPauses();
  pauses.failed('COW_LIMIT', 0);
  pauses.failed('COW_LIMIT', 0);
  pauses.failed('IO', 500);
  expect(pauses.leftMs(600)).toBe(1400);
  expect(pauses.leftMs(600, (cause) => cause === 'IO')).toBe(900);
  expect(pauses.leftMs(1600, (cause) => cause === 'IO')).toBe(0);
  expect(pauses.causes).toEqual(['COW_LIMIT', 'IO']);
  pauses.succeeded('COW_LIMIT');
  expect(pauses.leftMs(600)).toBe(900);
});
