import { expect, test } from 'vitest';
import { Hash64, murmurHash64 } from '../../src/base/murmur.ts';
import { Prng } from '../../src/base/prng.ts';
import { testSeed } from '../support/seed.ts';

const M = 0xc6a4a7935bd1e995n;
const mod = (value: bigint): bigint => BigInt.asUintN(64, value);

/** MurmurHash64A as it is written down. */
function plain(bytes: Uint8Array, seed: number): bigint {
  let h = BigInt(seed >>> 0) ^ mod(BigInt(bytes.length) * M);
  const view = new DataView(bytes.buffer);
  const whole = bytes.length & ~7;
  for (let at = 0; at < whole; at += 8) {
    let k = mod(view.getBigUint64(at, true) * M);
    k = mod((k ^ (k >> 47n)) * M);
    h = mod((h ^ k) * M);
  }
  for (let at = bytes.length - 1; at >= whole; at--)
    h ^= BigInt(bytes[at]!) << BigInt((at - whole) * 8);
  if (bytes.length > whole) h = mod(h * M);
  h = mod((h ^ (h >> 47n)) * M);
  return h ^ (h >> 47n);
}

test('halves come to the hash that whole numbers come to', () => {
  const prng = new Prng(testSeed('murmur'));
  const out = new Hash64();
  for (let i = 0; i < 3000; i++) {
    const bytes = Uint8Array.from({ length: prng.below(40) }, () => prng.below(256));
    const seed = prng.u32() | 0;
    const padded = new Uint8Array(bytes.length + 6);
    padded.set(bytes, 3);
    murmurHash64(padded, 3, bytes.length, seed, out);
    const hash = (BigInt(out.high >>> 0) << 32n) | BigInt(out.low >>> 0);
    expect(hash).toBe(plain(bytes, seed));
  }
});
