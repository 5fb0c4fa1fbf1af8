import { expect, test } from 'vitest';
import { Arena } from '../../src/arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT } from '../../src/arena/layout.ts';
import { Prng } from '../../src/base/prng.ts';
import { Listpack } from '../../src/structs/listpack.ts';
import { ListpackBuilder } from '../../src/structs/listpack-builder.ts';
import { validateListpack } from '../../src/structs/listpack-check.ts';
import { testSeed } from '../support/seed.ts';

const LENGTHS = [0, 1, 19, 20, 47, 48, 63, 64, 127, 128, 4095, 4096, 20_000];
const INTEGERS = [
  '0',
  '127',
  '128',
  '-1',
  '4095',
  '-4096',
  '4096',
  '32768',
  '8388608',
  '-2147483649',
];
const NEAR_INTEGERS = ['9223372036854775807', '9223372036854775808', '-0', '01', '-'];

function randomElement(prng: Prng): Buffer {
  const kind = prng.below(4);
  if (kind === 0) return Buffer.from(INTEGERS[prng.below(INTEGERS.length)]!);
  if (kind === 1) return Buffer.from(NEAR_INTEGERS[prng.below(NEAR_INTEGERS.length)]!);
  return Buffer.from(
    Array.from({ length: LENGTHS[prng.below(LENGTHS.length)]! }, () => prng.below(256)),
  );
}

test('what is built is what would have been appended in the arena, byte for byte', () => {
  const prng = new Prng(testSeed('listpack builder'));
  const arena = new Arena();
  const listpacks = new Listpack(arena);
  const builder = new ListpackBuilder();
  for (let round = 0; round < 60; round++) {
    let ref = listpacks.create();
    builder.begin();
    for (let i = prng.below(40); i > 0; i--) {
      const element = randomElement(prng);
      ref = listpacks.append(ref, element, 0, element.length);
      builder.append(element, 0, element.length);
    }
    builder.finish();
    expect(builder.length).toBe(listpacks.byteLength(ref));
    expect(builder.count).toBe(listpacks.count(ref));
    const built = Buffer.from(builder.bytes.slice(0, builder.length));
    expect(validateListpack(built, 0, built.length, true)).toBe(true);
    const at = bytePosition(ref);
    const inArena = arena.u8[ref >>> SEGMENT_SHIFT]!.slice(at, at + builder.length);
    expect(built.equals(inArena)).toBe(true);
    listpacks.free(ref);
  }
});

test('more entries than the header counts are still there', () => {
  const builder = new ListpackBuilder();
  builder.begin();
  for (let i = 0; i < 70_000; i++) builder.appendInt64(0, i & 127);
  builder.finish();
  expect([builder.bytes[4], builder.bytes[5], builder.count]).toEqual([255, 255, 70_000]);
  expect(validateListpack(builder.bytes, 0, builder.length, true)).toBe(true);
});
