/**
 * The owner of shared memory: what it reuses, what it counts, and that a collection is brought
 * about.
 */
import { describe, expect, test, vi } from 'vitest';
import { CollectionWatch, collectAtOnce } from '../../src/base/collection.ts';
import { HeldBuffer } from '../../src/base/held-buffer.ts';
import {
  DEAD_BYTES_MAX,
  MemoryCollector,
  UNOWNED_BYTES_MAX,
} from '../../src/base/memory-collector.ts';
import { MemoryKind, POOLED_BYTES_KEPT, SharedMemory } from '../../src/base/shared-memory.ts';
import { KIB, MIB } from '../../src/base/units.ts';
import { waitFor } from '../support/wait-for.ts';

const { SEGMENT, SHADOW, RING, LOG } = MemoryKind;

describe('the pool', () => {
  test('what was given back serves the next taker of the same kind and size', () => {
    const memory = new SharedMemory();
    const ring = memory.take(RING, MIB);
    memory.give(RING, ring, 100);
    expect([memory.usedBytes(RING), memory.pooledBytes, memory.deadBytes]).toEqual([0, 100, 0]);
    expect(memory.take(RING, 2 * MIB)).not.toBe(ring);
    expect(memory.take(SHADOW, MIB)).not.toBe(ring);
    expect(memory.take(RING, MIB)).toBe(ring);
    expect([memory.usedBytes(RING), memory.pooledBytes]).toEqual([3 * MIB, 0]);
  });

  test('what was dropped, and segments, are never used again', () => {
    const memory = new SharedMemory();
    const chunk = memory.take(SHADOW, MIB);
    memory.drop(SHADOW, chunk);
    expect(memory.take(SHADOW, MIB)).not.toBe(chunk);
    const segment = memory.take(SEGMENT, MIB);
    memory.give(SEGMENT, segment, KIB);
    expect(memory.take(SEGMENT, MIB)).not.toBe(segment);
    expect([memory.pooledBytes, memory.deadBytes]).toEqual([0, MIB + KIB]);
  });

  test('each kind has a bound, beyond which buffers die', () => {
    const memory = new SharedMemory();
    const blocks = Array.from({ length: 6 }, () => memory.take(LOG, 16 * KIB));
    for (const block of blocks) memory.give(LOG, block);
    expect([memory.pooledBytes, memory.deadBytes]).toEqual([64 * KIB, 32 * KIB]);
  });

  test('takes a ring that is longer than a typed array can be', () => {
    const memory = new SharedMemory();
    const ring = memory.take(RING, 4096 * MIB + KIB);
    memory.give(RING, ring, 100);
    expect([memory.usedBytes(RING), memory.pooledBytes]).toEqual([0, 100]);
  });

  test('pages that an earlier user has touched still count', () => {
    const memory = new SharedMemory();
    memory.give(RING, memory.take(RING, MIB), 900 * KIB);
    memory.give(RING, memory.take(RING, MIB), 10);
    expect(memory.pooledBytes).toBe(900 * KIB);
  });

  test('what nobody took for two seconds goes, when it is much', () => {
    const memory = new SharedMemory();
    memory.tick(1000);
    memory.give(LOG, memory.take(LOG, KIB));
    memory.tick(10_000);
    expect(memory.pooledBytes).toBe(KIB);
    const much = POOLED_BYTES_KEPT + KIB;
    memory.give(RING, memory.take(RING, much));
    memory.tick(11_999);
    expect(memory.pooledBytes).toBe(much);
    memory.tick(12_000);
    expect([memory.pooledBytes, memory.deadBytes]).toEqual([0, much + KIB]);
  });

  test('the debug mode overwrites what is given back', () => {
    const memory = new SharedMemory();
    const block = memory.take(LOG, KIB);
    new Uint8Array(block).fill(7);
    memory.give(LOG, block, 512);
    expect(new Uint8Array(block)[511]).not.toBe(7);
    expect(new Uint8Array(block)[512]).toBe(7);
  });

  test('a buffer is given back once', () => {
    const memory = new SharedMemory();
    const block = memory.take(LOG, KIB);
    memory.give(LOG, block);
    expect(() => memory.give(LOG, block)).toThrow(/given back once/);
  });
});

describe('collections', () => {
  /** Drops so many bytes; the buffer is out of reach afterwards. */
  const lose = (memory: SharedMemory, bytes: number): void => {
    memory.drop(SHADOW, memory.take(SHADOW, bytes));
  };

  /** Ticks until one collection has ended, by a clock that goes on from `fromMs`; returns its time then. */
  const untilEnded = async (collector: MemoryCollector, fromMs: number): Promise<number> => {
    const startMs = performance.now();
    const clock = (): number => fromMs + performance.now() - startMs;
    await waitFor(() => {
      collector.tick(clock(), true);
      return collector.count === 1;
    });
    return clock();
  };

  test('little that is dead brings none about, much does, once the loop is quiet', async () => {
    const memory = new SharedMemory();
    const collector = new MemoryCollector(memory);
    lose(memory, DEAD_BYTES_MAX - 1);
    collector.tick(0, true);
    expect(collector.isRunning).toBe(false);
    lose(memory, 1);
    collector.tick(100, false);
    collector.tick(1099, false);
    expect(collector.isRunning).toBe(false);
    collector.tick(1100, false);
    expect(collector.isRunning).toBe(true);
    await untilEnded(collector, 1100);
    expect(memory.deadBytes).toBe(0);
    expect(memory.collectedBytes).toBe(DEAD_BYTES_MAX);
    collector.stop();
  });

  test('large buffers keep their memory through the collection, and leave one by one', async () => {
    const memory = new SharedMemory();
    const collector = new MemoryCollector(memory);
    for (let i = 0; i < 3; i++) lose(memory, 32 * MIB);
    lose(memory, KIB);
    collector.tick(0, true);
    const leaving: number[] = [];
    await waitFor(() => {
      collector.tick(1, true);
      if (leaving.at(-1) !== memory.leavingBytes) leaving.push(memory.leavingBytes);
      return memory.collectedBytes > 0 && memory.leavingBytes === 0;
    });
    expect(leaving).toEqual([0, 96 * MIB, 64 * MIB, 32 * MIB, 0]);
    expect([memory.deadBytes, memory.collectedBytes]).toEqual([0, 96 * MIB + KIB]);
    collector.stop();
  });

  test('a held buffer keeps its bytes resident, and gives them back when it is released', async () => {
    const bytes = 256 * MIB;
    const before = process.memoryUsage.rss();
    let held: HeldBuffer | undefined;
    // Apart, so that nothing here refers to the buffer.
    const make = (): void => {
      const buffer = new SharedArrayBuffer(bytes);
      new Uint8Array(buffer).fill(1);
      held = new HeldBuffer(buffer);
    };
    make();
    const watch = new CollectionWatch();
    await waitFor(() => {
      collectAtOnce();
      return watch.hasEnded;
    });
    expect(process.memoryUsage.rss() - before).toBeGreaterThan(bytes * 0.8);
    held!.release();
    await waitFor(() => process.memoryUsage.rss() - before < bytes * 0.2);
  });

  test('nothing is held back from a taker whom the system refuses memory', async () => {
    const memory = new SharedMemory();
    const collector = new MemoryCollector(memory);
    const bytes = 256 * MIB;
    const before = process.memoryUsage.rss();
    // Apart, so that nothing here refers to the buffer.
    const make = (): void => {
      const buffer = memory.take(SHADOW, bytes);
      new Uint8Array(buffer).fill(1);
      memory.drop(SHADOW, buffer);
    };
    make();
    const Real = SharedArrayBuffer;
    let refusals = 0;
    vi.stubGlobal(
      'SharedArrayBuffer',
      class {
        constructor(length: number) {
          if (++refusals === 1) throw new RangeError('Array buffer allocation failed');
          // biome-ignore lint/correctness/noConstructorReturn: the real one serves behind it
          return new Real(length);
        }
      },
    );
    expect(memory.take(SHADOW, KIB).byteLength).toBe(KIB);
    vi.unstubAllGlobals();
    expect(refusals).toBe(2);
    await waitFor(() => {
      collectAtOnce();
      return process.memoryUsage.rss() - before < bytes * 0.2;
    });
    expect([memory.leavingBytes, memory.deadBytes]).toEqual([0, 0]);
    collector.stop();
  });

  test('once the collector has stopped, nothing is held back', async () => {
    const memory = new SharedMemory();
    const collector = new MemoryCollector(memory);
    lose(memory, 32 * MIB);
    collector.stop();
    lose(memory, 32 * MIB);
    await waitFor(() => {
      collectAtOnce();
      return memory.collectedBytes === 64 * MIB;
    });
    expect(memory.leavingBytes).toBe(0);
  });

  test('what a stopped collector held leaves the system, also when its owner is collected with it', async () => {
    const bytes = 256 * MIB;
    const before = process.memoryUsage.rss();
    // Apart, so that nothing here refers to any of it.
    const make = (): void => {
      const memory = new SharedMemory();
      const collector = new MemoryCollector(memory);
      const buffer = memory.take(SHADOW, bytes);
      new Uint8Array(buffer).fill(1);
      memory.drop(SHADOW, buffer);
      collector.stop();
    };
    make();
    expect(process.memoryUsage.rss() - before).toBeGreaterThan(bytes * 0.8);
    await waitFor(() => {
      collectAtOnce();
      return process.memoryUsage.rss() - before < bytes * 0.2;
    });
  });

  test('what somebody still holds brings no second one about for a while', async () => {
    const memory = new SharedMemory();
    const collector = new MemoryCollector(memory);
    const held = memory.take(SHADOW, DEAD_BYTES_MAX);
    memory.drop(SHADOW, held);
    collector.tick(0, true);
    const nowMs = await untilEnded(collector, 0);
    collector.tick(nowMs + 100, true);
    expect(collector.isRunning).toBe(false);
    collector.tick(nowMs + 60_100, true);
    expect(collector.isRunning).toBe(true);
    expect(held.byteLength).toBe(DEAD_BYTES_MAX);
    collector.stop();
  });

  test('what dies while a collection runs counts for the next one', async () => {
    const memory = new SharedMemory();
    const collector = new MemoryCollector(memory);
    lose(memory, DEAD_BYTES_MAX);
    collector.tick(0, true);
    const held = memory.take(SHADOW, DEAD_BYTES_MAX);
    memory.drop(SHADOW, held);
    collector.tick((await untilEnded(collector, 0)) + 100, true);
    expect(collector.isRunning).toBe(true);
    expect(held.byteLength).toBe(DEAD_BYTES_MAX);
    collector.stop();
  });

  test('memory without an owner brings one about, once the loop is quiet, and again when it has grown', async () => {
    const collector = new MemoryCollector(new SharedMemory());
    let nowMs = 0;
    const tick = (bytes: number, isQuiet = true): boolean => {
      collector.tick(++nowMs, isQuiet, bytes);
      return collector.isRunning;
    };
    expect(tick(UNOWNED_BYTES_MAX - 1)).toBe(false);
    expect(tick(UNOWNED_BYTES_MAX * 4, false)).toBe(false);
    expect(tick(UNOWNED_BYTES_MAX * 4)).toBe(true);
    await waitFor(() => !tick(UNOWNED_BYTES_MAX * 9));
    // What came while it ran may be dead by now; what was there before lives.
    expect(tick(UNOWNED_BYTES_MAX * 6 - 1)).toBe(false);
    expect(tick(UNOWNED_BYTES_MAX * 6)).toBe(true);
    await waitFor(() => !tick(UNOWNED_BYTES_MAX * 6));
    expect(tick(UNOWNED_BYTES_MAX * 6)).toBe(false);
    nowMs += 60_000;
    expect(tick(UNOWNED_BYTES_MAX * 6)).toBe(true);
    collector.stop();
  });

  test('a purge empties the pool and collects', async () => {
    const memory = new SharedMemory();
    const collector = new MemoryCollector(memory);
    memory.give(LOG, memory.take(LOG, KIB));
    collector.purge(0);
    expect([memory.pooledBytes, collector.isRunning]).toEqual([0, true]);
    await untilEnded(collector, 0);
    expect(memory.deadBytes).toBe(0);
    collector.stop();
  });
});
