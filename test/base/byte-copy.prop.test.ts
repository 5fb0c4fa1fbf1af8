import { expect, test } from 'vitest';
import { copyBytes, equalBytes, withView } from '../../src/base/byte-copy.ts';
import { Prng } from '../../src/base/prng.ts';
import { testSeed } from '../support/seed.ts';

const BYTES = 2000;

/** Arrays as they are met: with a view and without, of shared memory, and parts of larger ones. */
function arrays(prng: Prng): Uint8Array[] {
  const all = [
    new Uint8Array(BYTES),
    withView(new Uint8Array(BYTES)),
    withView(new Uint8Array(new SharedArrayBuffer(BYTES))),
    withView(new Uint8Array(new SharedArrayBuffer(BYTES + 7), 7)),
    withView(Buffer.allocUnsafeSlow(BYTES)),
    Buffer.allocUnsafe(BYTES),
  ];
  for (const bytes of all) for (let i = 0; i < BYTES; i++) bytes[i] = prng.below(256);
  return all;
}

test('a copy changes what it should and nothing else, for every kind of array and length', () => {
  const prng = new Prng(testSeed('byte copy'));
  for (let round = 0; round < 3000; round++) {
    const from = arrays(prng)[prng.below(6)]!;
    const to = arrays(prng)[prng.below(6)]!;
    const length = prng.below([6, 40, 450, 1000][prng.below(4)]!);
    const start = prng.below(BYTES - length + 1);
    const at = prng.below(BYTES - length + 1);
    const expected = Array.from(to);
    for (let i = 0; i < length; i++) expected[at + i] = from[start + i]!;
    copyBytes(from, start, to, at, length);
    expect(Array.from(to)).toEqual(expected);
    expect(equalBytes(from, start, to, at, length)).toBe(true);
  }
});

test('a copy within one array moves bytes that do not overlap', () => {
  for (const length of [5, 100, 600]) {
    for (const viewed of [true, false]) {
      const bytes = Uint8Array.from({ length: BYTES }, (_, i) => i);
      if (viewed) withView(bytes);
      copyBytes(bytes, 3, bytes, 1000, length);
      expect(Array.from(bytes.subarray(1000, 1000 + length))).toEqual(
        Array.from(bytes.subarray(3, 3 + length)),
      );
    }
  }
});

test('one different byte anywhere is seen', () => {
  const prng = new Prng(testSeed('byte comparison'));
  for (let length = 1; length < 40; length++) {
    for (let different = 0; different < length; different++) {
      for (const [a, b] of [
        [withView(new Uint8Array(64)), withView(new Uint8Array(64))],
        [new Uint8Array(64), withView(new Uint8Array(64))],
      ] as const) {
        const aStart = prng.below(20);
        const bStart = prng.below(20);
        for (let i = 0; i < length; i++) a[aStart + i] = b[bStart + i] = prng.below(256);
        expect(equalBytes(a, aStart, b, bStart, length)).toBe(true);
        b[bStart + different]! ^= 1 << prng.below(8);
        expect(equalBytes(a, aStart, b, bStart, length)).toBe(false);
      }
    }
  }
});

test('a view ends where its array ends', () => {
  const bytes = withView(new Uint8Array(new ArrayBuffer(64), 16, 20));
  expect(() => copyBytes(bytes, 10, bytes, 0, 11)).toThrow(RangeError);
});
