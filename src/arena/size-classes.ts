/**
 * Size classes of small objects: every multiple of 8 bytes up to 128, then eight steps per doubling
 * up to 32 KiB. The step is at most an eighth of the size, so rounding up wastes less than 12.5 %.
 *
 * Objects up to 4 KiB live in slabs of one 64 KiB block, larger ones in slabs of four.
 */
import { assert } from '../base/assert.ts';
import { BLOCK_BYTES, GRANULE_BYTES } from './layout.ts';

const STEPS_PER_DOUBLING = 8;
const LINEAR_BYTES_MAX = 128;
export const SMALL_BYTES_MIN = 16;
export const SMALL_BYTES_MAX = 32768;
const ONE_BLOCK_BYTES_MAX = 4096;

function listSizes(): number[] {
  const sizes: number[] = [];
  for (let bytes = SMALL_BYTES_MIN; bytes <= LINEAR_BYTES_MAX; bytes += GRANULE_BYTES)
    sizes.push(bytes);
  for (let base = LINEAR_BYTES_MAX; base < SMALL_BYTES_MAX; base *= 2) {
    const step = base / STEPS_PER_DOUBLING;
    for (let i = 1; i <= STEPS_PER_DOUBLING; i++) sizes.push(base + i * step);
  }
  return sizes;
}

const sizes = listSizes();

export const CLASS_COUNT = sizes.length;
export const classBytes = Int32Array.from(sizes);
export const classGranules = Int32Array.from(sizes, (bytes) => bytes / GRANULE_BYTES);
export const classBlocks = Int32Array.from(sizes, (bytes) =>
  bytes <= ONE_BLOCK_BYTES_MAX ? 1 : 4,
);
/** Objects that a slab of the class holds. */
export const classCapacity = Int32Array.from(sizes, (bytes, i) =>
  Math.floor((classBlocks[i]! * BLOCK_BYTES) / bytes),
);

/** Class by count of granules, for sizes that one load from a table answers. */
const TABLE_BYTES_MAX = 4096;
const classByGranules = new Uint8Array(TABLE_BYTES_MAX / GRANULE_BYTES + 1);
for (let granules = 0, index = 0; granules < classByGranules.length; granules++) {
  while (classBytes[index]! < granules * GRANULE_BYTES) index++;
  classByGranules[granules] = index;
}

/** The smallest class that holds `bytes`, which is 0 … SMALL_BYTES_MAX. */
export function classFor(bytes: number): number {
  if (bytes <= TABLE_BYTES_MAX) return classByGranules[(bytes + 7) >>> 3]!;
  const doubling = 31 - Math.clz32(bytes - 1);
  const step = (bytes - 1 - (1 << doubling)) >>> (doubling - 3);
  return LINEAR_CLASSES + (doubling - 7) * STEPS_PER_DOUBLING + step;
}

const LINEAR_CLASSES = LINEAR_BYTES_MAX / GRANULE_BYTES - 1;

for (const bytes of [4097, 4608, 4609, 5000, 8192, 8193, 30000, SMALL_BYTES_MAX]) {
  const index = classFor(bytes);
  assert(
    classBytes[index]! >= bytes && classBytes[index - 1]! < bytes,
    'a class is the smallest that fits',
  );
}
