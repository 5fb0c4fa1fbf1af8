import { afterAll, expect, test } from 'vitest';
import { Arena, type ArenaShare } from '../../src/arena/arena.ts';
import {
  LARGE_BYTES_MAX,
  PAGE_BYTES,
  SEGMENT_SHIFT,
  wordPosition,
} from '../../src/arena/layout.ts';
import { SMALL_BYTES_MAX } from '../../src/arena/size-classes.ts';
import { Prng } from '../../src/base/prng.ts';
import { asRef, type Ref } from '../../src/base/units.ts';
import { ImageReader } from '../support/image-reader.ts';
import { testSeed } from '../support/seed.ts';

const other = new ImageReader();
afterAll(() => other.close());

/** Live objects: by ref, what was asked for. */
class Model {
  readonly refs: Ref[] = [];
  readonly bytes = new Map<Ref, number>();
  readonly arena: Arena;

  constructor(arena: Arena) {
    this.arena = arena;
  }

  /** All words of a small object, every 512th and the last of a large one. */
  #eachWord(ref: Ref, visit: (i32: Int32Array, at: number, expected: number) => void): void {
    const i32 = this.arena.i32[ref >>> SEGMENT_SHIFT]!;
    const words = Math.floor(this.bytes.get(ref)! / 4);
    const step = words > 2048 ? 512 : 1;
    const start = wordPosition(ref);
    for (let word = 0; word < words; word += step)
      visit(i32, start + word, Math.imul(ref + word, 0x9e3779b1));
    if (words > 0) visit(i32, start + words - 1, Math.imul(ref + words - 1, 0x9e3779b1));
  }

  alloc(bytes: number): void {
    const ref = this.arena.alloc(bytes);
    expect(this.bytes.has(ref)).toBe(false);
    expect(this.arena.blockBytes(ref)).toBeGreaterThanOrEqual(bytes);
    this.bytes.set(ref, bytes);
    this.refs.push(ref);
    this.#eachWord(ref, (i32, at, expected) => {
      i32[at] = expected;
    });
  }

  free(index: number): void {
    const ref = this.refs[index]!;
    let wrong = 0;
    this.#eachWord(ref, (i32, at, expected) => {
      if (i32[at] !== expected) wrong++;
    });
    expect(wrong).toBe(0);
    this.refs[index] = this.refs.at(-1)!;
    this.refs.pop();
    this.bytes.delete(ref);
    this.arena.free(ref);
  }

  get blockBytes(): number {
    let sum = 0;
    for (const ref of this.refs) sum += this.arena.blockBytes(ref);
    return sum;
  }
}

function randomBytes(prng: Prng): number {
  const kind = prng.below(1000);
  if (kind < 900) return Math.floor(Math.exp(prng.float() * Math.log(SMALL_BYTES_MAX + 1)));
  if (kind < 950) return Math.floor(Math.exp(prng.float() * Math.log(4 * 1024 * 1024)));
  if (kind < 990)
    return [0, 1, 16, 17, 4096, 4097, SMALL_BYTES_MAX, SMALL_BYTES_MAX + 1][prng.below(8)]!;
  return kind < 999 ? prng.below(1024 * 1024) : LARGE_BYTES_MAX - 2 + prng.below(4);
}

test('objects keep their bytes, overlap nothing, and come back', () => {
  const prng = new Prng(testSeed('allocator'));
  const model = new Model(new Arena());
  const { arena } = model;
  for (let step = 0; step < 40_000; step++) {
    // Waves: a while more is allocated than freed, a while the other way round.
    const growing = step % 8000 < 4000;
    const bytes = randomBytes(prng);
    const large = bytes > 256 * 1024;
    if (model.refs.length === 0 || prng.below(10) < (growing ? 7 : 3)) model.alloc(bytes);
    else model.free(prng.below(model.refs.length));
    // Large ones go soon, or the test needs gigabytes.
    if (
      large &&
      model.refs.length > 0 &&
      prng.below(4) !== 0 &&
      model.bytes.get(model.refs.at(-1)!)! > 256 * 1024
    )
      model.free(model.refs.length - 1);
    if (step % 4000 === 0) {
      arena.validate();
      expect(arena.usedBytes).toBe(model.blockBytes);
      expect(arena.pageUseBytes).toBeGreaterThanOrEqual(arena.usedBytes);
    }
  }
  while (model.refs.length > 0) model.free(prng.below(model.refs.length));
  arena.validate();
  expect(arena.usedBytes).toBe(0);
  // At most one empty slab per class is kept.
  expect(arena.pageUseBytes).toBeLessThanOrEqual(80 * 4 * 65536);
});

test.each([
  ['in the order of allocation', (refs: Ref[]) => refs],
  ['in the reverse order', (refs: Ref[]) => refs.toReversed()],
])('slabs that are emptied %s give their pages back', (_name, order) => {
  const arena = new Arena();
  const refs = Array.from({ length: 20_000 }, () => arena.alloc(200));
  for (const ref of order(refs)) arena.free(ref);
  arena.validate();
  expect(arena.pageUseBytes).toBe(65536);
});

test('sizes that are spread over all orders of magnitude waste less than 15 %', () => {
  const prng = new Prng(testSeed('waste'));
  const arena = new Arena();
  let asked = 0;
  for (let i = 0; i < 20_000; i++) {
    const bytes = Math.floor(16 * Math.exp(prng.float() * Math.log(LARGE_BYTES_MAX / 16 / 512)));
    asked += bytes;
    arena.alloc(bytes);
  }
  expect(arena.usedBytes / asked).toBeLessThan(1.15);
  expect(arena.pageUseBytes / asked).toBeLessThan(1.15);
});

test('rounding up costs at most an eighth, and a page for large ones', () => {
  const arena = new Arena();
  for (let bytes = 65; bytes < 4 * SMALL_BYTES_MAX; bytes += 7) {
    const ref = arena.alloc(bytes);
    const waste = arena.blockBytes(ref) - bytes;
    if (waste * 8 > bytes && waste >= 8) expect.fail(`${bytes} bytes waste ${waste}`);
    arena.free(ref);
  }
  expect(arena.usedBytes).toBe(0);
});

test('a freed number of a segment is used again, and refs of single objects are never NIL', () => {
  const arena = new Arena();
  const single = arena.alloc(LARGE_BYTES_MAX + 1);
  expect(single).toBeGreaterThan(0);
  const again = new Arena();
  const first = again.alloc(LARGE_BYTES_MAX + PAGE_BYTES);
  again.free(first);
  expect(again.alloc(LARGE_BYTES_MAX + 2 * PAGE_BYTES)).toBe(first);
  expect(again.blockBytes(first)).toBe(LARGE_BYTES_MAX + 2 * PAGE_BYTES);
  again.free(first);
  again.validate();
  expect([again.usedBytes, again.pageUseBytes]).toEqual([0, 0]);
});

function freed(arena: Arena, ref: Ref): Ref {
  arena.free(ref);
  return ref;
}

test.each([
  ['twice', freed],
  ['inside an object', (_: Arena, ref: Ref) => asRef(ref + 1)],
  ['of nothing', () => asRef(0)],
])('a free %s is noticed', (_name, badRef) => {
  for (const bytes of [100, 5000, 100_000]) {
    const arena = new Arena();
    arena.alloc(bytes);
    const ref = arena.alloc(bytes);
    const bad = badRef(arena, ref);
    expect(() => arena.free(bad)).toThrow();
  }
});

test('an object beyond the limit is refused and leaves the account as it was', () => {
  const arena = new Arena();
  expect(() => arena.alloc(1024 ** 3 + 1)).toThrow(expect.objectContaining({ code: 'ARENA_FULL' }));
  expect([arena.usedBytes, arena.pageUseBytes]).toEqual([0, 0]);
  arena.validate();
});

function goOnWith(arena: Arena, objects: Int32Array, prng: Prng): void {
  arena.validate();
  const before = arena.usedBytes;
  expect(before).toBeGreaterThan(0);
  const model = new Model(arena);
  for (let i = 0; i < objects.length; i += 2) {
    model.refs.push(asRef(objects[i]!));
    model.bytes.set(asRef(objects[i]!), objects[i + 1]! * 4);
  }
  expect(model.blockBytes).toBe(before);
  for (let i = 0; i < 2000; i++) {
    if (prng.below(2) === 0) model.alloc(1 + prng.below(3000));
    else model.free(prng.below(model.refs.length));
  }
  while (model.refs.length > 0) model.free(model.refs.length - 1);
  arena.validate();
  expect(arena.usedBytes).toBe(0);
}

test('an arena that a worker has filled goes on here', async () => {
  const seed = testSeed('hand-over');
  other.post({ role: 'fill', seed, count: 3000 });
  const { share, objects } = await other.reply<{ share: ArenaShare; objects: Int32Array }>();
  goOnWith(Arena.adopt(share), objects, new Prng(seed));
});

test('an adopted arena begins its images after those of its first owner', () => {
  const arena = new Arena();
  const ref = arena.alloc(64);
  arena.freeze(
    1 << 20,
    () => {},
    () => {},
  );
  arena.touch(ref, 0, 4);
  arena.thaw();
  const adopted = Arena.adopt(arena.share());
  const image = adopted.freeze(
    1 << 20,
    () => {},
    () => {},
  );
  adopted.touch(ref, 0, 4);
  expect(adopted.shadowPages).toBe(1);
  expect(image.epoch).toBe(2);
  adopted.thaw();
});
