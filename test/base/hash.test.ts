/**
 * HalfSipHash-1-3 beside a literal transcription of the algorithm, and what a hash table expects of
 * it.
 */
import { describe, expect, test } from 'vitest';
import { hashBytes } from '../../src/base/hash.ts';
import { Prng } from '../../src/base/prng.ts';
import { testSeed } from '../support/seed.ts';

const K0 = 0x03020100;
const K1 = 0x07060504;

/**
 * The hash of the bytes 0, 1, … n - 1 under the key bytes 0 … 7, as published with HalfSipHash-1-3
 * implementations.
 */
const PUBLISHED = [
  0x5814c896, 0xe7e864ca, 0xbc4b0e30, 0x01539939, 0x7e059ea6, 0x88e3d89b, 0xa0080b65, 0x9d38d9d6,
];

/** The algorithm as it is written down, one step a line, in unsigned arithmetic. */
function plainHash(k0: number, k1: number, message: Uint8Array): number {
  const add = (a: number, b: number): number => (a + b) % 2 ** 32;
  const xor = (a: number, b: number): number => (a ^ b) >>> 0;
  const rotate = (a: number, bits: number): number => ((a << bits) | (a >>> (32 - bits))) >>> 0;
  let v0 = k0 >>> 0;
  let v1 = k1 >>> 0;
  let v2 = xor(0x6c796765, k0);
  let v3 = xor(0x74656462, k1);
  const round = (): void => {
    v0 = add(v0, v1);
    v1 = rotate(v1, 5);
    v1 = xor(v1, v0);
    v0 = rotate(v0, 16);
    v2 = add(v2, v3);
    v3 = rotate(v3, 8);
    v3 = xor(v3, v2);
    v0 = add(v0, v3);
    v3 = rotate(v3, 7);
    v3 = xor(v3, v0);
    v2 = add(v2, v1);
    v1 = rotate(v1, 13);
    v1 = xor(v1, v2);
    v2 = rotate(v2, 16);
  };
  const padded = Buffer.alloc(Math.floor(message.length / 4) * 4 + 4);
  padded.set(message);
  padded[padded.length - 1] = message.length & 0xff;
  for (let at = 0; at < padded.length; at += 4) {
    const word = padded.readUInt32LE(at);
    v3 = xor(v3, word);
    round();
    v0 = xor(v0, word);
  }
  v2 = xor(v2, 0xff);
  round();
  round();
  round();
  return (v1 ^ v3) | 0;
}

describe('hashBytes', () => {
  test.each(PUBLISHED.map((hash, bytes) => [bytes, hash]))(
    'gives the published hash of %i bytes',
    (bytes, hash) => {
      const message = Uint8Array.from({ length: bytes }, (_, i) => i);
      expect(hashBytes(K0, K1, message, 0, bytes) >>> 0).toBe(hash);
    },
  );

  test('agrees with the transcription at every size, place and key, in shared memory too', () => {
    const prng = new Prng(testSeed('hash'));
    const own = new Uint8Array(2048).map(() => prng.below(256));
    const shared = new Uint8Array(new SharedArrayBuffer(2048));
    shared.set(own);
    for (let length = 0; length <= 1000; length++) {
      const start = prng.below(1000);
      const k0 = prng.u32();
      const k1 = prng.u32();
      const expected = plainHash(k0, k1, own.slice(start, start + length));
      expect(hashBytes(k0, k1, own, start, length), `${length} bytes`).toBe(expected);
      expect(hashBytes(k0 | 0, k1 | 0, shared, start, length), `${length} bytes, signed key`).toBe(
        expected,
      );
    }
  });

  test('spreads counted keys evenly over buckets, by its low bits and by its high bits', () => {
    const prng = new Prng(testSeed('buckets'));
    const k0 = prng.u32();
    const k1 = prng.u32();
    const low = new Uint32Array(256);
    const high = new Uint32Array(256);
    const keys = 100_000;
    const key = Buffer.alloc(16);
    for (let i = 0; i < keys; i++) {
      const length = key.write(`key:${i}`, 'latin1');
      const hash = hashBytes(k0, k1, key, 0, length);
      low[hash & 0xff]!++;
      high[hash >>> 24]!++;
    }
    // Chi-squared with 255 degrees of freedom: mean 255, deviation 22.6. Chance passes 400 once in
    // some 10^8 runs.
    for (const counts of [low, high]) {
      const mean = keys / counts.length;
      const chiSquared = counts.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0);
      expect(chiSquared).toBeLessThan(400);
    }
  });
});
