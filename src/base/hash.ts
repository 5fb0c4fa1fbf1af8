/**
 * HalfSipHash-1-3: the keyed hash of keys, fields and members. It is keyed, because a client that
 * chooses keys could otherwise choose collisions. It is the half-width form, because JavaScript
 * computes with 32-bit integers.
 *
 *   v0 v1 v2 v3 = key and constants
 *   per 4 bytes m, the last of them with the length on top:   v3 ^= m · 1 round · v0 ^= m
 *   v2 ^= 0xff · 3 rounds · v1 ^ v3
 *
 * Specified in https://github.com/veorq/SipHash (halfsiphash.c). Hot path. Any thread.
 */

import type { ViewedBytes } from './byte-copy.ts';

/**
 * The hash of `length` bytes from `start` under the key `k0`, `k1`, as a signed 32-bit integer.
 * Allocates nothing. The bytes may lie in shared memory.
 */
export function hashBytes(
  k0: number,
  k1: number,
  bytes: ViewedBytes,
  start: number,
  length: number,
): number {
  let v0 = k0 | 0;
  let v1 = k1 | 0;
  let v2 = 0x6c796765 ^ k0;
  let v3 = 0x74656462 ^ k1;

  const { view } = bytes;
  const tail = start + (length & ~3);
  let m = 0;
  for (let at = start; at < tail; at += 4) {
    m =
      view !== undefined
        ? view.getInt32(at, true)
        : bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    v3 ^= m;
    // One round. It is written three times because V8 keeps the words in registers only within one
    // function.
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= m;
  }

  m = length << 24;
  for (let at = tail; at < start + length; at++) m |= bytes[at]! << ((at - tail) << 3);
  v3 ^= m;
  for (let round = 0; round < 4; round++) {
    // After the round of the last word come the three of the finish.
    if (round === 1) {
      v0 ^= m;
      v2 ^= 0xff;
    }
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
  }
  return v1 ^ v3;
}
