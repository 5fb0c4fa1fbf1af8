import { describe, expect, test } from 'vitest';
import {
  bytesThatHelp,
  pauseAfter,
  SyncTrials,
  TRIAL_PAUSE_MAX_MS,
  TRIAL_PAUSE_MIN_MS,
  type Trial,
  TrialEnd,
} from '../../src/replication/sync-trials.ts';

const MIB = 1024 * 1024;
const overflow: Trial = {
  end: TrialEnd.OVERFLOW,
  writeRate: 20e6,
  readRate: 2e6,
  dumpBytes: 1e6,
  dumpTotalBytes: 10e6,
  lag: 4e6,
};

describe('a replica', () => {
  test('waits longer each time from its second failure in a row on', () => {
    expect([1, 2, 3, 4, 9].map(pauseAfter)).toEqual([0, 5000, 10_000, 20_000, TRIAL_PAUSE_MAX_MS]);
    const trials = new SyncTrials();
    expect(trials.failed('a', overflow, 0)).toBe(1);
    expect(trials.leftMs('a', 20e6, 1)).toBe(0);
    expect(trials.failed('a', overflow, 100)).toBe(2);
    expect(trials.leftMs('a', 20e6, 100)).toBe(TRIAL_PAUSE_MIN_MS);
    expect(trials.leftMs('a', 20e6, 5100)).toBe(0);
    expect(trials.failed('a', overflow, 6000)).toBe(3);
    expect(trials.leftMs('a', 20e6, 6000)).toBe(10_000);
    expect(trials.leftMs('b', 20e6, 6000)).toBe(0);
  });

  test('does not wait once writes are slower than it reads, or after a success', () => {
    const trials = new SyncTrials();
    for (let i = 0; i < 3; i++) trials.failed('a', overflow, 0);
    expect(trials.leftMs('a', 0.9e6, 0)).toBe(0);
    expect(trials.leftMs('a', 1.1e6, 0)).toBe(10_000);
    trials.succeeded('a');
    expect(trials.failed('a', overflow, 0)).toBe(1);
    trials.failed('a', overflow, 0);
    trials.forgetAll();
    expect(trials.leftMs('a', 20e6, 0)).toBe(0);
  });

  test('that was cut off before its pace was known does not wait once writes are calm', () => {
    const trials = new SyncTrials();
    for (let i = 0; i < 3; i++) trials.failed('a', { ...overflow, readRate: 0 }, 0);
    expect(trials.leftMs('a', 1.1e6, 0)).toBe(10_000);
    expect(trials.leftMs('a', 0.9e6, 0)).toBe(0);
    expect(trials.leftMs('a', 0, 0)).toBe(0);
  });

  test('that fails in another way begins again', () => {
    const trials = new SyncTrials();
    trials.failed('a', overflow, 0);
    expect(trials.failed('a', { ...overflow, end: TrialEnd.UNREAD }, 0)).toBe(1);
    expect(trials.failed('a', { ...overflow, end: TrialEnd.UNREAD }, 0)).toBe(2);
    // No slower writes help one that cannot read its dump.
    expect(trials.leftMs('a', 0, 0)).toBe(5000);
  });

  test('is one of a bounded number', () => {
    const trials = new SyncTrials();
    for (let i = 0; i < 3000; i++) {
      trials.failed(`r${i}`, overflow, 0);
      trials.failed(`r${i}`, overflow, 0);
    }
    expect(trials.leftMs('r0', 20e6, 0)).toBe(0);
    expect(trials.leftMs('r2999', 20e6, 0)).toBe(5000);
  });
});

describe('the size that would help', () => {
  test('covers what is written while the rest of the dump is sent', () => {
    // 9 MB more at 2 MB/s are 4.5 s, in which 90 MB are written.
    const bytes = bytesThatHelp(overflow);
    expect(bytes % MIB).toBe(0);
    expect(bytes).toBeGreaterThanOrEqual(2 * 4e6 + 90e6);
    expect(bytes).toBeLessThan(2 * 4e6 + 90e6 + MIB);
  });

  test('covers a minute of what comes in excess behind the dump', () => {
    const bytes = bytesThatHelp({ ...overflow, dumpBytes: 10e6 });
    expect(bytes).toBeGreaterThanOrEqual(18e6 * 60);
    expect(bytesThatHelp({ ...overflow, dumpBytes: 10e6, writeRate: 1e6 })).toBe(8 * MIB);
  });
});
