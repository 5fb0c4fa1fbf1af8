import { describe, expect, test } from 'vitest';
import { ManualClock, SystemClock } from '../../src/base/clock.ts';

describe('the system clock', () => {
  test('stands still within a turn and follows the wall at a tick', () => {
    const clock = new SystemClock();
    const first = clock.nowMs();
    const from = Date.now();
    while (Date.now() < from + 4);
    expect(clock.nowMs()).toBe(first);
    clock.tick();
    expect(clock.nowMs()).toBeGreaterThan(first);
  });

  test('never steps back where it must not, in whole microseconds', () => {
    const clock = new SystemClock();
    for (const read of [
      () => clock.micros(),
      () => clock.monotonicMs(),
      () => clock.wallMicros(),
    ]) {
      let last = read();
      for (let i = 0; i < 1000; i++) {
        const next = read();
        expect(next).toBeGreaterThanOrEqual(last);
        last = next;
      }
    }
    expect(Number.isSafeInteger(clock.micros()) && Number.isSafeInteger(clock.wallMicros())).toBe(
      true,
    );
  });

  test('goes with the wall to a millisecond', () => {
    const clock = new SystemClock();
    for (const until = Date.now() + 120; Date.now() < until; ) {
      const before = Date.now();
      clock.tick();
      const after = Date.now();
      expect(clock.nowMs()).toBeGreaterThanOrEqual(before - 1);
      expect(clock.nowMs()).toBeLessThanOrEqual(after + 1);
      expect(clock.turnMs()).toBeLessThanOrEqual(clock.monotonicMs());
    }
  });

  test('tells the microseconds of the wall that Date tells in milliseconds', () => {
    const early = Date.now();
    const micros = new SystemClock().wallMicros();
    const late = Date.now();
    expect(micros / 1000).toBeGreaterThan(early - 4);
    expect(micros / 1000).toBeLessThan(late + 4);
  });
});

describe('the manual clock', () => {
  test('moves all hands together', () => {
    const clock = new ManualClock(1000);
    clock.advance(5);
    expect([clock.nowMs(), clock.wallMicros(), clock.monotonicMs(), clock.micros()]).toEqual([
      1005, 1005000, 5, 5000,
    ]);
  });

  test('shows a passage within a turn only at the next tick', () => {
    const clock = new ManualClock(1000);
    clock.passWithinTurn(7);
    expect([clock.nowMs(), clock.monotonicMs()]).toEqual([1000, 7]);
    clock.tick();
    expect(clock.nowMs()).toBe(1007);
  });

  test('steps the wall without the monotonic clock', () => {
    const clock = new ManualClock(1000);
    clock.stepWall(-300);
    clock.tick();
    expect([clock.nowMs(), clock.monotonicMs()]).toEqual([700, 0]);
  });
});
