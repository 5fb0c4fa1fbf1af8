/** LZF round trips between kernel and plain twin, ratios, and random damage. */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { ByteKernels } from '../../src/kernels/kernels.ts';
import { plainLzfCompress, plainLzfDecompress } from '../../src/kernels/plain-lzf.ts';
import { testSeed } from '../support/seed.ts';
import { mixedBytes, randomBytes, sameBytes, textBytes } from './samples.ts';

const KIB = 1024;
const kernels = new ByteKernels(2048 * KIB);
const memory = kernels.memory;
const INPUT = kernels.freeStart;
const BLOB = INPUT + 512 * KIB;
const OUTPUT = BLOB + 600 * KIB;

/** All literals: one control byte per 32. */
const worstBytes = (bytes: number): number => bytes + Math.ceil(bytes / 32);

function compress(bytes: Uint8Array): Uint8Array {
  memory.set(bytes, INPUT);
  const compressed = kernels.lzfCompress(INPUT, bytes.length, BLOB, worstBytes(bytes.length));
  return memory.slice(BLOB, BLOB + compressed);
}

function expectRoundTrips(bytes: Uint8Array, message: string): void {
  const blob = compress(bytes);
  expect(
    sameBytes(plainLzfDecompress(blob, bytes.length), bytes),
    `${message}: kernel → plain`,
  ).toBe(true);
  for (const made of [blob, plainLzfCompress(bytes)]) {
    memory.set(made, BLOB);
    memory.fill(0xee, OUTPUT - 8, OUTPUT + bytes.length + 8);
    const produced = kernels.lzfDecompress(BLOB, made.length, OUTPUT, bytes.length);
    expect(produced, `${message}: bytes out`).toBe(bytes.length);
    expect(
      sameBytes(memory.subarray(OUTPUT, OUTPUT + bytes.length), bytes),
      `${message}: → kernel`,
    ).toBe(true);
    expectGuards(bytes.length, message);
  }
}

function expectGuards(outBytes: number, message: string): void {
  for (let i = 1; i <= 8; i++) {
    if (memory[OUTPUT - i] !== 0xee || memory[OUTPUT + outBytes + i - 1] !== 0xee) {
      expect.fail(`${message}: wrote outside of its output`);
    }
  }
}

describe('lzf', () => {
  test('round trips at every size', () => {
    const prng = new Prng(testSeed('lzf sizes'));
    for (let size = 0; size <= 2000; size++)
      expectRoundTrips(mixedBytes(prng, size), `${size} bytes`);
  });

  test('round trips large inputs', () => {
    const prng = new Prng(testSeed('lzf large'));
    for (let round = 0; round < 25; round++) {
      const size = 1 + prng.below(200 * KIB);
      expectRoundTrips(mixedBytes(prng, size), `round ${round}, ${size} bytes`);
    }
    expectRoundTrips(new Uint8Array(500 * KIB), 'zeros');
  });

  test('gives the same output for the same input, whatever came before', () => {
    const prng = new Prng(testSeed('lzf repeatable'));
    const bytes = textBytes(prng, 5000);
    const first = compress(bytes);
    for (let round = 0; round < 50; round++) compress(mixedBytes(prng, prng.below(5000)));
    expect(compress(bytes)).toEqual(first);
  });

  test('goes on after its virtual positions wrapped around at 4 GiB', () => {
    // Each call counts at least 8192 further, so 2^19 short calls pass 2^32.
    const bytes = Buffer.from('abcabcabcabc');
    const first = compress(bytes);
    for (let call = 0; call < 530_000; call++) kernels.lzfCompress(INPUT, 4, BLOB, 8);
    expect(compress(bytes)).toEqual(first);
    expect(first.length).toBeLessThan(bytes.length);
  });

  test('compresses text about as well as the plain twin, which looks at every position', () => {
    const prng = new Prng(testSeed('lzf ratio'));
    for (const size of [200, 1000, 10_000, 100_000]) {
      let kernelBytes = 0;
      let plainBytes = 0;
      for (let round = 0; round < 10; round++) {
        const text = textBytes(prng, size);
        kernelBytes += compress(text).length;
        plainBytes += plainLzfCompress(text).length;
      }
      expect(kernelBytes / plainBytes, `${size} bytes of text`).toBeLessThan(1.06);
    }
  });

  test('finds text behind noise again', () => {
    const prng = new Prng(testSeed('lzf noise'));
    const text = textBytes(prng, 50 * KIB);
    const alone = compress(text).length;
    const noise = randomBytes(prng, 400 * KIB);
    const both = compress(Buffer.concat([noise, text])).length;
    expect(both - worstBytes(noise.length)).toBeLessThan(alone * 1.02);
  });

  test('never leaves its output area, whatever is done to the input', () => {
    const prng = new Prng(testSeed('lzf damage'));
    let refused = 0;
    for (let round = 0; round < 6000; round++) {
      const bytes = mixedBytes(prng, 1 + prng.below(600));
      const blob = compress(bytes);
      let end = blob.length;
      if (prng.below(4) === 0) end = prng.below(blob.length);
      for (let damage = prng.below(4); damage > 0; damage--)
        blob[prng.below(blob.length)] = prng.below(256);
      const outBytes = prng.below(3) === 0 ? prng.below(800) : bytes.length;
      const message = `round ${round}`;
      memory.set(blob, BLOB);
      memory.fill(0xee, OUTPUT - 8, OUTPUT + outBytes + 8);
      const produced = kernels.lzfDecompress(BLOB, end, OUTPUT, outBytes);
      expectGuards(outBytes, message);
      const plain = plainLzfDecompress(blob.subarray(0, end), outBytes);
      expect(produced, message).toBe(plain === undefined ? -1 : outBytes);
      if (plain === undefined) refused++;
      else expect(sameBytes(memory.subarray(OUTPUT, OUTPUT + outBytes), plain), message).toBe(true);
    }
    expect(refused).toBeGreaterThan(1000);
  });
});
