/**
 * Hot path. A block is a list of sequences, and literals behind the last one:
 *
 *   │ literals │ match: bytes that stand DISTANCE bytes before, too │ literals │ match │ …
 *
 * A sequence has two symbols, RUN and LENGTH, and bits of their own in EXTRAS for what they leave
 * open, in this order:
 *
 *   RUN      10 * run code + way
 *     run code   0 … 15: so many literals; 16 + j: 16 * 4^j literals and more, 2 j + 6 bits
 *     way        0: the distance of the sequence before; 1 … 8: one that differs from it by +1, -1,
 *                +2, -2, +3, -3, +4, -4; 9: 20 bits
 *   LENGTH   0 … 63: 4 bytes more; 58 + k: 4 + 2^k bytes and more, k bits
 */
export const WAYS: u32 = 10;
export const WAY_FAR: u32 = 9;
export const FAR_BITS: u32 = 20;
export const MATCH_MIN: u32 = 4;
export const RUN_DIRECT: u32 = 16;
export const LENGTH_DIRECT: u32 = 64;

// @ts-ignore: decorator
@inline
export function runBucket(run: u32): u32 {
  return (27 - clz<u32>(run)) >> 1;
}

/** The distance that `way` makes of `distance`. */
// @ts-ignore: decorator
@inline
export function distanceBy(way: u32, distance: i32): i32 {
  const change = <i32>((way + 1) >> 1);
  return (way & 1) != 0 ? distance + change : distance - change;
}
