import { describe, expect, test } from 'vitest';
import { allowedRate, cutBytes, FairQueue } from '../../src/replication/throttle.ts';

const MB = 1e6;
const LIMIT = 4 * MB;
const online = (lag: number, readRate: number) => ({
  lag,
  readRate,
  takesStream: true,
  dumpLeftBytes: -1,
  dumpRate: 0,
});

describe('the limit', () => {
  test.each([
    [0, 0, 0],
    [10, 0, 10],
    [0, 7, 7],
    [10, 7, 7],
  ])('of hard %i and soft %i is %i', (hardBytes, softBytes, expected) => {
    expect(cutBytes({ hardBytes, softBytes, softMs: 1000 })).toBe(expected);
  });
});

describe('writers', () => {
  test('are free while no replica is near its limit, and while there is no limit', () => {
    expect(allowedRate(online(1.9 * MB, 2 * MB), LIMIT, false)).toBe(Number.POSITIVE_INFINITY);
    expect(allowedRate(online(1.5 * MB, 2 * MB), LIMIT, true)).toBe(Number.POSITIVE_INFINITY);
    expect(allowedRate(online(1e12, 0), 0, true)).toBe(Number.POSITIVE_INFINITY);
  });

  test('write as fast as the replica reads when its lag is where it shall be', () => {
    expect(allowedRate(online(3 * MB, 2 * MB), LIMIT, true)).toBe(2 * MB);
    expect(allowedRate(online(2 * MB, 2 * MB), LIMIT, true)).toBe(3 * MB);
    expect(allowedRate(online(3.4 * MB, 2 * MB), LIMIT, true)).toBeCloseTo(1 * MB, 0);
    expect(allowedRate(online(3.8 * MB, 20 * MB), LIMIT, true)).toBe(0);
  });

  test.each([
    [20 * MB, 2 * MB],
    [200 * MB, 0.1 * MB],
    [3 * MB, 2 * MB],
  ])(
    'who want %i bytes per second never bring a replica that reads %i to its limit',
    (want, reads) => {
      let lag = 0;
      let most = 0;
      let slowed = false;
      for (let ms = 0; ms < 60_000; ms += 10) {
        const rate = allowedRate(online(lag, reads), LIMIT, slowed);
        slowed = rate !== Number.POSITIVE_INFINITY;
        lag += (Math.min(want, rate) * 10) / 1000;
        lag = Math.max(0, lag - (reads * 10) / 1000);
        most = Math.max(most, lag);
      }
      expect(most).toBeLessThan(LIMIT);
      expect(lag).toBeGreaterThan(LIMIT * 0.7);
    },
  );

  test('never bring a replica to its limit that gets a dump, however long it takes', () => {
    let lag = 0;
    let slowed = false;
    for (let ms = 0; ms < 600_000; ms += 10) {
      const peer = {
        lag,
        readRate: 0,
        takesStream: false,
        dumpLeftBytes: Math.max(0, 100 * MB - (2 * MB * ms) / 1000),
        dumpRate: 2 * MB,
      };
      const rate = allowedRate(peer, LIMIT, slowed);
      slowed = rate !== Number.POSITIVE_INFINITY;
      lag += (Math.min(20 * MB, rate) * 10) / 1000;
    }
    expect(lag).toBeLessThan(LIMIT * 0.8);
  });
});

describe('the queue', () => {
  /** Serves `turns` writers, who come back at once, and returns the bytes that each has written. */
  function serve(writers: readonly { readonly bytes: number }[], turns: number): number[] {
    const queue = new FairQueue<{ readonly bytes: number }>();
    const written = new Map(writers.map((writer) => [writer, 0]));
    for (const writer of writers) queue.add(writer, 0);
    for (let i = 0; i < turns; i++) {
      const { writer } = queue.takeNext()!;
      queue.wrote(writer, writer.bytes);
      written.set(writer, written.get(writer)! + writer.bytes);
      queue.add(writer, i);
    }
    return [...written.values()];
  }

  test('gives each writer the same share of bytes', () => {
    const shares = serve([{ bytes: 100 }, { bytes: 10 }, { bytes: 1000 }, { bytes: 55 }], 5000);
    expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1000);
    expect(Math.min(...shares)).toBeGreaterThan(10_000);
  });

  test('gives turns in the order of coming to those who are equal', () => {
    const queue = new FairQueue<{ n: number }>();
    for (let n = 0; n < 5; n++) queue.add({ n }, n);
    expect([0, 1, 2, 3, 4].map(() => queue.takeNext()!.writer.n)).toEqual([0, 1, 2, 3, 4]);
    expect(queue.takeNext()).toBeUndefined();
  });

  test('lets nobody save up turns', () => {
    const queue = new FairQueue<{ name: string }>();
    const busy = { name: 'busy' };
    const late = { name: 'late' };
    for (let i = 0; i < 100; i++) {
      queue.add(busy, i);
      queue.takeNext();
      queue.wrote(busy, 10);
    }
    queue.add(late, 100);
    queue.add(busy, 100);
    const names: string[] = [];
    for (let i = 0; i < 6; i++) {
      const { writer } = queue.takeNext()!;
      names.push(writer.name);
      queue.wrote(writer, 10);
      queue.add(writer, i);
    }
    expect(names.filter((name) => name === 'late')).toHaveLength(3);
  });

  test('knows who has waited longest, and forgets who is gone', () => {
    const queue = new FairQueue<{ n: number }>();
    const writers = [0, 1, 2].map((n) => ({ n }));
    queue.wrote(writers[0]!, 1000);
    for (const writer of writers) queue.add(writer, 10 + writer.n);
    expect(queue.oldestMs).toBe(10);
    queue.remove(writers[1]!);
    expect(queue.takeOldest()!.writer).toBe(writers[0]);
    expect(queue.takeNext()!.writer).toBe(writers[2]);
    expect([queue.size, queue.oldestMs]).toEqual([0, Number.POSITIVE_INFINITY]);
  });
});
