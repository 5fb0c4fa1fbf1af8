/**
 * What an arena takes of the owner of shared memory goes back to it: when, and whether it may be
 * used again.
 */
import { expect, test } from 'vitest';
import { Arena } from '../../src/arena/arena.ts';
import { LARGE_BYTES_MAX, PAGE_BYTES } from '../../src/arena/layout.ts';
import { MemoryKind, SharedMemory } from '../../src/base/shared-memory.ts';

const { SEGMENT, SHADOW } = MemoryKind;
const noChunk = (): void => {};
const notLost = (): void => {
  throw new Error('the image is lost');
};

function arenaWithObject(): { memory: SharedMemory; arena: Arena; write: () => void } {
  const memory = new SharedMemory();
  const arena = new Arena(undefined, { memory });
  const ref = arena.alloc(100);
  return { memory, arena, write: () => arena.touch(ref, 0, 8) };
}

test('a dropped arena gives its segments up by the pages that it has touched', () => {
  const { memory, arena } = arenaWithObject();
  expect(memory.usedBytes(SEGMENT)).toBeGreaterThan(0);
  const touched = arena.residentBytes;
  arena.drop();
  expect(memory.usedBytes(SEGMENT)).toBe(0);
  // Counted up to the last page that was ever in use, so that gaps before it count, too.
  expect(memory.deadBytes).toBeGreaterThanOrEqual(touched);
  expect(memory.deadBytes).toBeLessThanOrEqual(2 * touched);
  expect(() => arena.drop()).toThrow(/dropped once/);
});

test('an arena that is dropped while its image is read gives nothing up before the thaw', () => {
  const { memory, arena, write } = arenaWithObject();
  arena.freeze(Number.MAX_SAFE_INTEGER, noChunk, notLost);
  write();
  expect(arena.shadowBytes).toBe(PAGE_BYTES);
  arena.drop();
  expect([memory.usedBytes(SEGMENT) > 0, memory.deadBytes]).toEqual([true, 0]);
  arena.thaw();
  expect([memory.usedBytes(SEGMENT), memory.usedBytes(SHADOW), memory.pooledBytes]).toEqual([
    0,
    0,
    PAGE_BYTES,
  ]);
});

test('the copies of one image serve the next, but not those of a lost one, whose reader may be at work', () => {
  const { memory, arena, write } = arenaWithObject();
  const chunks: SharedArrayBuffer[] = [];
  const onChunk = (_: number, chunk: SharedArrayBuffer): void => {
    chunks.push(chunk);
  };
  for (let image = 0; image < 2; image++) {
    arena.freeze(Number.MAX_SAFE_INTEGER, onChunk, notLost);
    write();
    arena.thaw();
  }
  expect(chunks[1]).toBe(chunks[0]);
  const other = arena.alloc(LARGE_BYTES_MAX);
  let lost = 0;
  arena.freeze(PAGE_BYTES, onChunk, () => lost++);
  write();
  arena.touch(other, 0, PAGE_BYTES);
  expect(lost).toBe(1);
  expect([memory.usedBytes(SHADOW), memory.pooledBytes, memory.deadBytes]).toEqual([
    0,
    0,
    PAGE_BYTES,
  ]);
});

test('a value with a segment of its own is dead when it is freed', () => {
  const { memory, arena } = arenaWithObject();
  const before = memory.usedBytes(SEGMENT);
  const ref = arena.alloc(LARGE_BYTES_MAX + 1);
  arena.free(ref);
  expect(memory.usedBytes(SEGMENT)).toBe(before);
  expect(memory.deadBytes).toBe(LARGE_BYTES_MAX + PAGE_BYTES);
});

test('an adopted arena counts as if it had been made here', () => {
  const { arena } = arenaWithObject();
  const memory = new SharedMemory();
  const adopted = Arena.adopt(arena.share(), { memory });
  expect(memory.usedBytes(SEGMENT)).toBe(arena.memory.usedBytes(SEGMENT));
  adopted.drop();
  expect(memory.usedBytes(SEGMENT)).toBe(0);
});
