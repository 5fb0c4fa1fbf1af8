import { afterAll, expect, test } from 'vitest';
import { Arena } from '../../src/arena/arena.ts';
import { Image } from '../../src/arena/image.ts';
import { SEGMENT_SHIFT, wordPosition } from '../../src/arena/layout.ts';
import { Prng } from '../../src/base/prng.ts';
import { fillArena, sumOfObjects } from '../fixtures/workers/image-sums.js';
import { ImageReader } from '../support/image-reader.ts';
import { testSeed } from '../support/seed.ts';

const other = new ImageReader();
afterAll(() => other.close());

interface Plan {
  readonly name: string;
  readonly objects: number;
  readonly images: number;
}
const plans: readonly Plan[] = [
  { name: 'many small images', objects: 400, images: 60 },
  { name: 'an image with several chunks of shadow pages', objects: 12_000, images: 1 },
];

/**
 * Writes to every object, in random order, a few words at random places and once from end to end.
 */
function writeAll(arena: Arena, objects: Int32Array, prng: Prng): void {
  const count = objects.length / 2;
  for (let i = 0; i < count * 3; i++) {
    const at = prng.below(count) * 2;
    const ref = objects[at]!;
    const word = prng.below(objects[at + 1]!);
    arena.touch(ref, word * 4, 4);
    arena.i32[ref >>> SEGMENT_SHIFT]![wordPosition(ref) + word] = prng.u32();
  }
  for (let i = 0; i < objects.length; i += 2) {
    const ref = objects[i]!;
    arena.touch(ref, 0, objects[i + 1]! * 4);
    const start = wordPosition(ref);
    arena.i32[ref >>> SEGMENT_SHIFT]!.fill(prng.u32(), start, start + objects[i + 1]!);
  }
}

test.each(plans)('a worker reads what was frozen while this thread writes: $name', async (plan) => {
  const prng = new Prng(testSeed('race'));
  const arena = new Arena();
  const objects = fillArena(arena, prng, plan.objects);
  let passes = 0;
  for (let i = 0; i < plan.images; i++) {
    const image = arena.freeze(2 ** 30, other.onChunk, () => expect.fail('lost'));
    const expected = sumOfObjects(new Image(image, () => expect.fail('no shadow yet')), objects);
    other.startReading({ image, objects, expected });
    // Nothing is written before the first pass in every other image; in the rest the writes come
    // first or in between.
    if (i % 2 === 0) while (other.passes === 0 && other.state[3] === 0);
    writeAll(arena, objects, prng);
    const reply = other.reply<{ failure: unknown }>();
    other.stopReading();
    expect(await reply).toEqual({ failure: undefined });
    expect(other.wrong).toBe(0);
    passes += other.passes;
    arena.thaw();
  }
  expect(passes).toBeGreaterThanOrEqual(plan.images);
});

test('a reader on another thread is told when the image is lost', async () => {
  const prng = new Prng(testSeed('lost'));
  const arena = new Arena();
  const objects = fillArena(arena, prng, 400);
  let losses = 0;
  const image = arena.freeze(40_960, other.onChunk, () => {
    losses++;
  });
  const expected = sumOfObjects(new Image(image, () => expect.fail('no shadow yet')), objects);
  other.startReading({ image, objects, expected });
  const reply = other.reply<{ failure: unknown }>();
  writeAll(arena, objects, prng);
  other.stopReading();
  expect(await reply).toEqual({ failure: expect.objectContaining({ code: 'COW_LIMIT' }) });
  expect([losses, other.wrong]).toEqual([1, 0]);
  arena.thaw();
});
