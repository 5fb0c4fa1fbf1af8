/** The checksum kernel beside its plain twin, and the joining of parts. */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { ByteKernels, crc64, crc64Combine } from '../../src/kernels/kernels.ts';
import { testSeed } from '../support/seed.ts';
import { randomBytes } from './samples.ts';

const MIB = 1024 * 1024;
const CHECK = Buffer.from('123456789');
const CHECK_VALUE = { low: 0xc4b8d9ca, high: 0xe9c6d914 };

const kernels = new ByteKernels(8 * MIB);
const value = (): { low: number; high: number } => ({
  low: kernels.crcLow(),
  high: kernels.crcHigh(),
});

function viaMemory(bytes: Uint8Array, position: number): { low: number; high: number } {
  kernels.memory.set(bytes, position);
  kernels.crcReset();
  kernels.crcUpdate(position, bytes.length);
  return value();
}

describe('crc64', () => {
  test('gives the check value of the specification', () => {
    expect(viaMemory(CHECK, kernels.freeStart)).toEqual(CHECK_VALUE);
    expect(crc64(CHECK)).toEqual(CHECK_VALUE);
  });

  test('is 0 of nothing and after a reset', () => {
    viaMemory(CHECK, kernels.freeStart);
    kernels.crcReset();
    expect(value()).toEqual({ low: 0, high: 0 });
    expect(crc64(new Uint8Array(0))).toEqual({ low: 0, high: 0 });
  });

  test('agrees with the plain twin at every size and alignment', () => {
    const prng = new Prng(testSeed('crc64 sizes'));
    for (let size = 0; size <= 2000; size++) {
      const bytes = randomBytes(prng, size);
      expect(viaMemory(bytes, kernels.freeStart + prng.below(16)), `${size} bytes`).toEqual(
        crc64(bytes),
      );
    }
  });

  test('does not depend on how the bytes are cut, nor on the way in', () => {
    const prng = new Prng(testSeed('crc64 cuts'));
    const shared = new Uint8Array(new SharedArrayBuffer(MIB + 12_345));
    shared.set(randomBytes(prng, shared.length));
    const whole = crc64(shared);
    expect(viaMemory(shared, kernels.freeStart)).toEqual(whole);
    kernels.crcReset();
    for (let at = 0; at < shared.length; ) {
      const end = Math.min(shared.length, at + prng.below(prng.below(4) === 0 ? 200_000 : 100));
      kernels.crcUpdateFrom(shared, at, end);
      at = end;
    }
    expect(value()).toEqual(whole);
  });

  test('refuses areas outside of the memory', () => {
    expect(() => kernels.crcUpdate(kernels.memory.length - 4, 5)).toThrow('inside the memory');
    expect(() => kernels.crcUpdate(kernels.freeStart - 1, 1)).toThrow('inside the memory');
    expect(() => kernels.crcUpdateFrom(CHECK, 3, 10)).toThrow('inside the array');
  });
});

describe('crc64Combine', () => {
  test('gives the checksum of the concatenation', () => {
    const prng = new Prng(testSeed('crc64 combine'));
    for (let round = 0; round < 300; round++) {
      const bytes = randomBytes(prng, prng.below(3000));
      const cut = prng.below(bytes.length + 1);
      const a = crc64(bytes.subarray(0, cut));
      const b = crc64(bytes.subarray(cut));
      const joined = crc64Combine(a.low, a.high, b.low, b.high, bytes.length - cut);
      expect(joined, `${bytes.length} bytes cut at ${cut}`).toEqual(crc64(bytes));
    }
  });

  test('joins parts beyond 4 GiB: appending zeros twice is appending both at once', () => {
    const prng = new Prng(testSeed('crc64 combine large'));
    for (let round = 0; round < 50; round++) {
      const first = Math.floor(prng.float() * 2 ** 51);
      const second = Math.floor(prng.float() * 2 ** 51);
      const a = { low: prng.u32(), high: prng.u32() };
      const step = crc64Combine(a.low, a.high, 0, 0, first);
      const twice = crc64Combine(step.low, step.high, 0, 0, second);
      expect(twice, `${first} and ${second}`).toEqual(
        crc64Combine(a.low, a.high, 0, 0, first + second),
      );
    }
  });
});
