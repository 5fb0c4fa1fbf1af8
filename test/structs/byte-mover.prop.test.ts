/**
 * Every length and distance around the bounds between the ways to move, beside `copyWithin` on
 * memory of our own.
 */
import { expect, test } from 'vitest';
import { Arena } from '../../src/arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT } from '../../src/arena/layout.ts';
import { Prng } from '../../src/base/prng.ts';
import { ByteMover } from '../../src/structs/byte-mover.ts';
import { testSeed } from '../support/seed.ts';

const AREA_BYTES = 200_000;
const LENGTHS = [
  0, 1, 15, 16, 17, 63, 64, 127, 128, 1023, 1024, 1025, 65535, 65536, 65537, 150_000,
];

test('bytes arrive where they are moved to, and no others change', () => {
  const prng = new Prng(testSeed('byte mover'));
  const arena = new Arena();
  const mover = new ByteMover(arena);
  const area = arena.alloc(AREA_BYTES);
  const segment = area >>> SEGMENT_SHIFT;
  const base = bytePosition(area);
  const live = arena.u8[segment]!.subarray(base, base + AREA_BYTES);
  const model = Uint8Array.from({ length: AREA_BYTES }, () => prng.u32());
  live.set(model);
  const other = new Arena();
  const otherMover = new ByteMover(other);
  const otherArea = other.alloc(AREA_BYTES);
  for (let round = 0; round < 600; round++) {
    const length = LENGTHS[prng.below(LENGTHS.length)]!;
    const from = prng.below(40_000) + 1;
    const distances = [prng.below(20), 0, 8, 64, length + 1 + prng.below(40)];
    const distance = distances[prng.below(distances.length)]!;
    const to =
      prng.below(2) === 0
        ? Math.min(from + distance, AREA_BYTES - length)
        : Math.max(from - distance, 0);
    mover.within(segment, base + from, base + to, length);
    model.copyWithin(to, from, from + length);
    expect(Buffer.compare(live, model)).toBe(0);
    const at = bytePosition(otherArea) + prng.below(9);
    otherMover.copyIn(live, from, otherArea >>> SEGMENT_SHIFT, at, length);
    const copied = other.u8[otherArea >>> SEGMENT_SHIFT]!.subarray(at, at + length);
    expect(Buffer.compare(copied, model.subarray(from, from + length))).toBe(0);
  }
});

test('a segment that took the number of another is seen', () => {
  const arena = new Arena();
  const mover = new ByteMover(arena);
  const bytes = new Uint8Array(2000).fill(7);
  for (let round = 0; round < 2; round++) {
    const single = arena.alloc(40 * 1024 * 1024);
    const segment = single >>> SEGMENT_SHIFT;
    mover.copyIn(bytes, 0, segment, bytePosition(single), 2000);
    mover.within(segment, bytePosition(single), bytePosition(single) + 3, 2000);
    expect(arena.u8[segment]![bytePosition(single) + 2002]).toBe(7);
    arena.free(single);
  }
});
