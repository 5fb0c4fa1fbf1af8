/**
 * Large objects side by side in groups of segments, and an arena of few segment numbers that fills
 * up.
 */
import { afterAll, expect, test } from 'vitest';
import { Arena } from '../../src/arena/arena.ts';
import { Image } from '../../src/arena/image.ts';
import {
  groupSegmentsFor,
  PAGE_BYTES,
  PAGE_WORDS,
  SEGMENT_BYTES,
  SEGMENT_PAGES,
  SEGMENT_SHIFT,
  wordPosition,
} from '../../src/arena/layout.ts';
import { codeOf } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { SharedMemory } from '../../src/base/shared-memory.ts';
import { MIB, type Ref } from '../../src/base/units.ts';
import { sumOfObjects } from '../fixtures/workers/image-sums.js';
import { ImageReader } from '../support/image-reader.ts';
import { testSeed } from '../support/seed.ts';

const other = new ImageReader();
afterAll(() => other.close());

/** Allocates objects of `bytes` bytes until there is no memory. */
function fill(arena: Arena, bytes: number): Ref[] {
  const refs: Ref[] = [];
  for (;;) {
    try {
      refs.push(arena.alloc(bytes));
    } catch (error) {
      if (codeOf(error) !== 'ARENA_FULL') throw error;
      return refs;
    }
  }
}

/** Writes words that tell object and place: one per page. */
function mark(arena: Arena, ref: Ref, bytes: number): void {
  const i32 = arena.i32[ref >>> SEGMENT_SHIFT]!;
  for (let word = 0; word < bytes / 4; word += PAGE_WORDS)
    i32[wordPosition(ref) + word] = ref ^ word;
}

function expectMarked(arena: Arena, ref: Ref, bytes: number): void {
  const i32 = arena.i32[ref >>> SEGMENT_SHIFT]!;
  let wrong = 0;
  for (let word = 0; word < bytes / 4; word += PAGE_WORDS) {
    if (i32[wordPosition(ref) + word] !== (ref ^ word)) wrong++;
  }
  expect(wrong, `pages of object ${ref}`).toBe(0);
}

test.each([
  [33, 0.9],
  [40, 0.9],
  [63, 0.9],
  [120, 0.9],
  [180, 0.9],
  [300, 0.85],
])('objects of %i MiB fill the arena to its bytes', (mib, part) => {
  const arena = new Arena();
  const bytes = mib * MIB;
  const refs = fill(arena, bytes);
  expect(refs.length * bytes).toBeGreaterThan(part * 2 ** 34);
  for (const ref of refs) mark(arena, ref, bytes / 64);
  for (const ref of refs) expectMarked(arena, ref, bytes / 64);
  for (const ref of refs) arena.free(ref);
  arena.prepareSpare();
  expect([arena.usedBytes, arena.pageUseBytes]).toEqual([0, 0]);
  // All groups but that of the first segment and the spare are gone.
  expect(arena.u8.filter(({ length }) => length > 0).length).toBe(2);
});

test('300 values of 33 MiB need as many bytes as they have', () => {
  const arena = new Arena();
  for (let i = 0; i < 300; i++) arena.alloc(33 * MIB + 8);
  const numbers = arena.u8.filter(({ length }) => length > 0).length;
  expect(numbers * SEGMENT_BYTES).toBeLessThan(300 * 33 * MIB * 1.1 + 2 * SEGMENT_BYTES);
  arena.validate();
});

test.each([
  [33 * MIB, 6],
  [40 * MIB, 2],
  [60 * MIB, 1],
  [300 * MIB, 5],
  [512 * MIB + PAGE_BYTES, 9],
  [1024 * MIB, 16],
])('a group for objects of %i bytes has %i segments', (bytes, segments) => {
  expect(groupSegmentsFor(bytes / PAGE_BYTES)).toBe(segments);
});

test('an arena of few segments fills up with objects of all sizes, and goes on after frees', () => {
  const prng = new Prng(testSeed('few segments'));
  const arena = new Arena(undefined, { segmentsMax: 4 });
  const sizes = [100, 3000, 100_000, 5 * MIB, 40 * MIB, 70 * MIB];
  const live = new Map<Ref, number>();
  let refused = 0;
  for (let step = 0; step < 400; step++) {
    const bytes = sizes[prng.below(sizes.length)]!;
    let ref: Ref | undefined;
    try {
      ref = arena.alloc(bytes);
    } catch (error) {
      expect(codeOf(error)).toBe('ARENA_FULL');
      refused++;
    }
    if (ref !== undefined) {
      mark(arena, ref, bytes);
      live.set(ref, bytes);
    }
    for (let frees = prng.below(ref === undefined ? 6 : 2); frees > 0; frees--) {
      const refs = [...live.keys()];
      const victim = refs[prng.below(refs.length)];
      if (victim === undefined) break;
      if (live.get(victim)! >= 8) expectMarked(arena, victim, live.get(victim)!);
      live.delete(victim);
      arena.free(victim);
    }
    if (step % 400 === 0) arena.validate();
  }
  expect(refused).toBeGreaterThan(30);
  for (const [ref, bytes] of live) expectMarked(arena, ref, bytes);
  for (const ref of live.keys()) arena.free(ref);
  arena.validate();
  expect(arena.usedBytes).toBe(0);
  // With all of it free, the longest object is to be had that the numbers allow: the first is never
  // given up.
  expect(arena.alloc(3 * SEGMENT_BYTES)).toBeGreaterThan(0);
});

test('segments that are empty again make room for an object of several', () => {
  const prng = new Prng(testSeed('empty segments'));
  const arena = new Arena(undefined, { segmentsMax: 4 });
  const refs: Ref[] = [];
  try {
    for (;;) refs.push(arena.alloc(1 + prng.below(32_000)));
  } catch (error) {
    expect(codeOf(error)).toBe('ARENA_FULL');
  }
  expect(arena.usedBytes).toBeGreaterThan(230 * MIB);
  for (const ref of refs) arena.free(ref);
  expect(arena.alloc(3 * SEGMENT_BYTES)).toBeGreaterThan(0);
  arena.validate();
});

test('what is ensured can be had, and is given back when nobody takes it', () => {
  const arena = new Arena(undefined, { segmentsMax: 8 });
  expect(arena.ensure(1000, 100)).toBe(true);
  expect(arena.ensure(9 * SEGMENT_BYTES, 100)).toBe(false);
  expect(arena.ensure(500 * MIB, 500 * MIB)).toBe(false);
  expect(arena.ensure(300 * MIB, 300 * MIB)).toBe(true);
  expect(arena.alloc(300 * MIB)).toBeGreaterThan(0);
  expect(arena.isTight).toBe(true);
  expect(arena.ensure(150 * MIB, 150 * MIB)).toBe(false);
  expect(arena.ensure(60 * MIB, 60 * MIB)).toBe(true);
  arena.prepareSpare();
  arena.validate();
});

test('a system that refuses memory is asked again between commands only, and ever more rarely', () => {
  const memory = new SharedMemory();
  const arena = new Arena(undefined, { memory });
  let asked = 0;
  const refuse = (isRefusing: boolean): void => {
    if (!isRefusing) delete (memory as { take?: unknown }).take;
    else
      Object.defineProperty(memory, 'take', {
        configurable: true,
        value: () => {
          asked++;
          throw new RangeError('Array buffer allocation failed');
        },
      });
  };
  // With the first object comes the spare.
  arena.alloc(100);
  refuse(true);
  const large = 70 * MIB;
  expect(arena.ensure(large, large)).toBe(false);
  const once = asked;
  for (let i = 0; i < 100; i++) expect(arena.ensure(large, large)).toBe(false);
  expect(asked).toBe(once);
  expect(arena.isTight).toBe(true);
  // What is there is still given out.
  let count = 0;
  expect(() => {
    for (;;) if (arena.alloc(MIB) > 0) count++;
  }).toThrow('bytes left');
  expect(count).toBeGreaterThan(100);
  asked = 0;
  for (let i = 0; i < 100; i++) arena.prepareSpare();
  expect(asked).toBeLessThan(10);
  expect(asked).toBeGreaterThan(5);
  refuse(false);
  for (let i = 0; i < 32; i++) arena.prepareSpare();
  expect(arena.isTight).toBe(false);
  expect(arena.ensure(large, large)).toBe(true);
  arena.validate();
});

test('a worker reads objects that go on into other segments while this thread writes and frees', async () => {
  const prng = new Prng(testSeed('groups'));
  const arena = new Arena();
  const sizes = [40 * MIB, 40 * MIB, 40 * MIB, 70 * MIB, 1000];
  const refs = sizes.map((bytes) => arena.alloc(bytes));
  const objects = new Int32Array(refs.flatMap((ref, i) => [ref, sizes[i]! / 4]));
  for (const [i, ref] of refs.entries()) mark(arena, ref, sizes[i]!);
  expect(refs.some((ref, i) => wordPosition(ref) * 4 + sizes[i]! > SEGMENT_BYTES)).toBe(true);
  for (let round = 0; round < 3; round++) {
    const image = arena.freeze(2 ** 31, other.onChunk, () => expect.fail('lost'));
    const expected = sumOfObjects(new Image(image, () => expect.fail('no shadow yet')), objects);
    other.startReading({ image, objects, expected });
    for (let i = 0; i < 3000; i++) {
      const which = prng.below(refs.length);
      const from = prng.below(sizes[which]! / 4 - 1) * 4;
      const bytes = Math.min(4 + prng.below(8000) * 4, sizes[which]! - from);
      arena.touch(refs[which]!, from, bytes);
      const start = wordPosition(refs[which]!) + from / 4;
      arena.i32[refs[which]! >>> SEGMENT_SHIFT]!.fill(prng.u32(), start, start + bytes / 4);
    }
    // The image still has what is freed and written over, and groups that are gone.
    const gone = round;
    const lost = arena.groupsGone;
    arena.free(refs[3]!);
    if (round === 0) expect(arena.groupsGone).toBe(lost + 1);
    arena.free(refs[gone]!);
    const again = arena.alloc(sizes[gone]!);
    arena.i32[again >>> SEGMENT_SHIFT]!.fill(
      prng.u32(),
      wordPosition(again),
      wordPosition(again) + sizes[gone]! / 4,
    );
    const reply = other.reply<{ failure: unknown }>();
    other.stopReading();
    expect(await reply).toEqual({ failure: undefined });
    expect(other.wrong).toBe(0);
    arena.thaw();
    refs[gone] = again;
    refs[3] = arena.alloc(sizes[3]!);
    for (const [i, ref] of refs.entries()) {
      objects[i * 2] = ref;
      mark(arena, ref, sizes[i]!);
    }
  }
  arena.validate();
});

test('a unit that is rolled back leaves large objects and their pages as they were', () => {
  const arena = new Arena();
  const bytes = 70 * MIB;
  const ref = arena.alloc(bytes);
  mark(arena, ref, bytes);
  const used = arena.usedBytes;
  arena.beginUnit();
  const at = SEGMENT_PAGES * PAGE_BYTES - 100;
  arena.touch(ref, at, 200);
  arena.u8[ref >>> SEGMENT_SHIFT]!.fill(1, at, at + 200);
  arena.free(ref);
  const taken = arena.alloc(40 * MIB);
  arena.touch(taken, 0, 40 * MIB);
  arena.u8[taken >>> SEGMENT_SHIFT]!.fill(2, 0, 1000);
  arena.free(taken);
  arena.alloc(100 * MIB);
  arena.rollbackUnit();
  expect(arena.usedBytes).toBe(used);
  expectMarked(arena, ref, bytes);
  arena.validate();
  arena.beginUnit();
  arena.free(ref);
  expect(arena.usedBytes).toBe(used);
  arena.commitUnit();
  expect(arena.usedBytes).toBe(0);
});
