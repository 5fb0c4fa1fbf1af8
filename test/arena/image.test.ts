import { expect, test, vi } from 'vitest';
import { Arena } from '../../src/arena/arena.ts';
import { Image } from '../../src/arena/image.ts';
import {
  PAGE_BYTES,
  PAGE_WORDS,
  SEGMENT_SHIFT,
  SHADOW_CHUNK_PAGES,
  wordPosition,
} from '../../src/arena/layout.ts';
import type { Ref } from '../../src/base/units.ts';

const noChunk = (): never => {
  throw new Error('no page has a shadow');
};
const never = (): void => {
  throw new Error('the image is not lost');
};

function setWord(arena: Arena, ref: Ref, word: number, value: number): void {
  arena.i32[ref >>> SEGMENT_SHIFT]![wordPosition(ref) + word] = value;
}

/** An object of `pages` whole pages; each `step`th word holds its number. */
function numbered(arena: Arena, pages: number, step = 1): Ref {
  const ref = arena.alloc(pages * PAGE_BYTES);
  for (let word = 0; word < pages * PAGE_WORDS; word += step) setWord(arena, ref, word, word);
  return ref;
}

test('a store without the barrier is noticed at the thaw', () => {
  const arena = new Arena();
  const ref = numbered(arena, 9);
  arena.freeze(1 << 20, () => {}, never);
  arena.touch(ref, 0, 4);
  setWord(arena, ref, 0, -1);
  setWord(arena, ref, PAGE_WORDS, -1);
  expect(() => arena.thaw()).toThrow(/without the barrier/);
});

test('a store that is announced too late is noticed as well', () => {
  const arena = new Arena();
  const ref = numbered(arena, 9);
  arena.freeze(1 << 20, () => {}, never);
  setWord(arena, ref, 0, -1);
  arena.touch(ref, 0, 4);
  expect(() => arena.thaw()).toThrow(/without the barrier/);
});

test('a touch copies the pages that it names and no other, once', () => {
  const arena = new Arena();
  const ref = numbered(arena, 12);
  const copied = (from: number, bytes: number): number => {
    const before = arena.shadowPages;
    arena.touch(ref, from, bytes);
    return arena.shadowPages - before;
  };
  arena.freeze(1 << 20, () => {}, never);
  expect(copied(PAGE_BYTES - 1, 1)).toBe(1);
  expect(copied(0, PAGE_BYTES)).toBe(0);
  expect(copied(PAGE_BYTES - 1, 2)).toBe(1);
  expect(copied(3 * PAGE_BYTES, 3 * PAGE_BYTES)).toBe(3);
  expect(copied(0, 12 * PAGE_BYTES)).toBe(12 - 5);
  arena.thaw();
  expect(copied(0, 12 * PAGE_BYTES)).toBe(0);
});

test('pages handed out after the freeze are never copied', () => {
  const arena = new Arena();
  numbered(arena, 9);
  arena.freeze(1 << 20, () => {}, never);
  const later = numbered(arena, 9);
  arena.touch(later, 0, 9 * PAGE_BYTES);
  arena.free(later);
  arena.touch(numbered(arena, 9), 0, 9 * PAGE_BYTES);
  expect(arena.shadowPages).toBe(0);
  arena.thaw();
});

test('at the cap the image is lost: told once, readers fail, writes go on', () => {
  const arena = new Arena();
  const ref = numbered(arena, 12);
  const onLost = vi.fn();
  const chunks: SharedArrayBuffer[] = [];
  const share = arena.freeze(3 * PAGE_BYTES, (_, chunk) => void chunks.push(chunk), onLost);
  const image = new Image(share, (index) => chunks[index]!);
  const into = new Int32Array(12 * PAGE_WORDS);
  arena.touch(ref, 0, 3 * PAGE_BYTES);
  setWord(arena, ref, 0, -1);
  image.read(ref, 0, into.length, into, 0);
  expect(into.every((value, word) => value === word)).toBe(true);
  expect([arena.frozen, onLost.mock.calls.length]).toEqual([true, 0]);

  arena.touch(ref, 0, 12 * PAGE_BYTES);
  setWord(arena, ref, 11 * PAGE_WORDS, -1);
  arena.touch(ref, 0, 12 * PAGE_BYTES);
  expect([arena.frozen, onLost.mock.calls.length, arena.shadowPages]).toEqual([false, 1, 3]);
  const lost = expect.objectContaining({ code: 'COW_LIMIT' });
  expect(() => image.read(ref, 0, 1, into, 0)).toThrow(lost);
  expect(() => image.readWord(ref, 0)).toThrow(lost);
  arena.thaw();

  const next = new Image(
    arena.freeze(1 << 20, (_, chunk) => void chunks.splice(0, 1, chunk), onLost),
    () => chunks[0]!,
  );
  arena.touch(ref, 0, 4);
  setWord(arena, ref, 0, -2);
  expect(next.readWord(ref, 0)).toBe(-1);
  expect(next.readWord(ref, 11 * PAGE_WORDS)).toBe(-1);
  expect(() => image.readWord(ref, 0)).toThrow(lost);
  arena.thaw();
  expect(onLost).toHaveBeenCalledTimes(1);
});

test('with a cap of nothing the first write loses the image', () => {
  const arena = new Arena();
  const ref = numbered(arena, 9);
  const onLost = vi.fn();
  const image = new Image(arena.freeze(0, noChunk, onLost), noChunk);
  expect(image.readWord(ref, 7)).toBe(7);
  arena.touch(ref, 0, 4);
  expect(onLost).toHaveBeenCalledTimes(1);
  expect(() => image.readWord(ref, 7)).toThrow(expect.objectContaining({ code: 'COW_LIMIT' }));
});

test('shadow memory that the system refuses loses the image, not the write', () => {
  const arena = new Arena();
  const ref = numbered(arena, 9);
  const onLost = vi.fn();
  const image = new Image(arena.freeze(1 << 20, noChunk, onLost), noChunk);
  const Real = globalThis.SharedArrayBuffer;
  vi.stubGlobal('SharedArrayBuffer', function refuse(): never {
    throw new RangeError('Array buffer allocation failed');
  });
  try {
    arena.touch(ref, 0, 4);
  } finally {
    vi.unstubAllGlobals();
  }
  expect(globalThis.SharedArrayBuffer).toBe(Real);
  expect(onLost).toHaveBeenCalledTimes(1);
  expect(() => image.readWord(ref, 0)).toThrow(expect.objectContaining({ code: 'COW_LIMIT' }));
});

test('chunks of shadow pages are announced in order and before any mark leads to them', () => {
  const arena = new Arena();
  const pages = SHADOW_CHUNK_PAGES + 40;
  const halves = [numbered(arena, pages / 2, PAGE_WORDS), numbered(arena, pages / 2, PAGE_WORDS)];
  const chunks: SharedArrayBuffer[] = [];
  let readable = -1;
  const image = new Image(
    arena.freeze(
      2 * pages * PAGE_BYTES,
      (index, chunk) => {
        expect(index).toBe(chunks.length);
        // Everything copied so far is readable without the new chunk.
        readable = image.readWord(halves[0]!, 0);
        chunks.push(chunk);
      },
      never,
    ),
    (index) => chunks[index] ?? noChunk(),
  );
  for (const half of halves) {
    arena.touch(half, 0, (pages / 2) * PAGE_BYTES);
    for (let page = 0; page < pages / 2; page++) setWord(arena, half, page * PAGE_WORDS, -1);
  }
  expect([chunks.length, readable]).toEqual([2, 0]);
  for (const half of halves)
    for (let page = 0; page < pages / 2; page++)
      if (image.readWord(half, page * PAGE_WORDS) !== page * PAGE_WORDS)
        expect.fail(`page ${page}`);
  arena.thaw();
});

test('one image at a time, and none while an arena is handed over', () => {
  const arena = new Arena();
  arena.freeze(0, noChunk, never);
  expect(() => arena.freeze(0, noChunk, never)).toThrow(/one image/);
  expect(() => arena.share()).toThrow(/handed over/);
  arena.thaw();
  expect(arena.share().epoch).toBe(1);
});
