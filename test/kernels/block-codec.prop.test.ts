/** The block codec: round trips of kernel and plain twin, ratios, and random damage. */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { BlockCodec, CODEC_BYTES_MAX } from '../../src/kernels/block-codec.ts';
import { plainBlockExpand } from '../../src/kernels/plain-block-codec.ts';
import { testSeed } from '../support/seed.ts';
import { mixedBytes, randomBytes, sameBytes, textBytes } from './samples.ts';

const codec = BlockCodec.make()!;

/** Commands of several kinds whose arguments have several lengths. */
function commandBytes(prng: Prng, size: number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let bytes = 0; bytes < size; bytes += parts.at(-1)!.length) parts.push(command(prng));
  return Buffer.concat(parts).subarray(0, size);
}

function command(prng: Prng): Uint8Array {
  const key = `key:${prng.below(1e6)}`;
  const words =
    prng.below(3) === 0
      ? ['INCR', key]
      : ['SET', key, JSON.stringify({ id: prng.below(1e7), text: `${textBytes(prng, 20)}` })];
  const args = words.map((word) => `$${word.length}\r\n${word}\r\n`).join('');
  return Buffer.from(`*${words.length}\r\n${args}`);
}

/** Bytes of a kind, or pieces of several kinds. */
function anyBytes(prng: Prng, size: number): Uint8Array {
  if (size < 100 || prng.below(3) > 0)
    return prng.below(2) === 0 ? commandBytes(prng, size) : mixedBytes(prng, size);
  const first = prng.below(size);
  return Buffer.concat([anyBytes(prng, first), anyBytes(prng, size - first)]);
}

/** The result does not stay in the codec's memory. */
function compress(bytes: Uint8Array, bytesMax: number = CODEC_BYTES_MAX): Uint8Array | undefined {
  return codec.compress(bytes, bytesMax)?.slice();
}

/** Returns the compressed bytes, or undefined for those that do not fit. */
function expectRoundTrips(bytes: Uint8Array, message: string): Uint8Array | undefined {
  const packed = compress(bytes);
  // A large block of noise would be larger than the largest block.
  if (packed === undefined) {
    expect(bytes.length, message).toBeGreaterThan(CODEC_BYTES_MAX / 2);
    return undefined;
  }
  expect(sameBytes(plainBlockExpand(packed, bytes.length), bytes), `${message}: plain`).toBe(true);
  const middle = packed.length >> 1;
  const pieces = [packed.subarray(0, middle), packed.subarray(middle)];
  expect(sameBytes(codec.expand(pieces, bytes.length), bytes), `${message}: kernel`).toBe(true);
  return packed;
}

describe('block codec', () => {
  test('round trips at every size', () => {
    const prng = new Prng(testSeed('block codec sizes'));
    for (let size = 0; size <= 600; size++) {
      expectRoundTrips(anyBytes(prng, size), `${size} bytes`);
      expectRoundTrips(new Uint8Array(size).fill(size), `${size} equal bytes`);
    }
  });

  test('round trips large blocks, up to the largest', () => {
    const prng = new Prng(testSeed('block codec large'));
    for (let round = 0; round < 12; round++) {
      const size = round < 4 ? CODEC_BYTES_MAX - round : 1 + prng.below(CODEC_BYTES_MAX);
      const bytes = round === 0 ? commandBytes(prng, size) : anyBytes(prng, size);
      expectRoundTrips(bytes, `round ${round}, ${size} bytes`);
    }
    expectRoundTrips(new Uint8Array(CODEC_BYTES_MAX), 'zeros');
  });

  test('round trips matches at the ends of each of their fields', () => {
    const prng = new Prng(testSeed('block codec fields'));
    // Literals that stand nowhere else, then bytes from `distance` before.
    for (const literals of [0, 1, 15, 16, 17, 63, 64, 255, 256, 4095, 4096, 70_000])
      for (const length of [4, 67, 68, 69, 131, 132, 300, 70_000])
        for (const distance of [1, 2, 15, 16, 17, 5000, 600_000]) {
          const head = randomBytes(prng, distance);
          const tail = new Uint8Array(length).map((_, i) => head[i % distance]!);
          // The match lies between two kinds of noise, and the end of the block is literals.
          const bytes = Buffer.concat([head, tail, randomBytes(prng, literals), tail, head]);
          if (bytes.length > CODEC_BYTES_MAX) continue;
          const packed = compress(bytes);
          if (packed === undefined) continue;
          const same = sameBytes(codec.expand([packed], bytes.length), bytes);
          expect(same, `${literals} literals, ${length} from ${distance}`).toBe(true);
        }
  });

  test('round trips codes that would be longer than they may be', () => {
    // Counts like Fibonacci's numbers make the deepest tree.
    const prng = new Prng(testSeed('block codec deep codes'));
    const bytes: number[] = [];
    for (let symbol = 0, [a, b] = [1, 1]; symbol < 24; symbol++, [a, b] = [b, a + b])
      for (let i = 0; i < a; i++) bytes.push(symbol * 10);
    for (let i = bytes.length - 1; i > 0; i--) {
      const j = prng.below(i + 1);
      [bytes[i], bytes[j]] = [bytes[j]!, bytes[i]!];
    }
    expectRoundTrips(Uint8Array.from(bytes), `${bytes.length} bytes`);
  });

  test('gives the same result for the same block, whatever came before', () => {
    const prng = new Prng(testSeed('block codec repeatable'));
    const bytes = commandBytes(prng, 50_000);
    const first = compress(bytes)!;
    for (let round = 0; round < 20; round++) {
      compress(anyBytes(prng, prng.below(100_000)));
      expect(sameBytes(compress(bytes), first)).toBe(true);
    }
  });

  test('makes commands small, and never takes more room than it may', () => {
    const prng = new Prng(testSeed('block codec ratio'));
    const bytes = commandBytes(prng, CODEC_BYTES_MAX);
    const packed = compress(bytes)!;
    expect(bytes.length / packed.length).toBeGreaterThan(3.5);
    expect(compress(bytes, packed.length)).toEqual(packed);
    expect(compress(bytes, packed.length - 1)).toBeUndefined();
    expect(compress(randomBytes(prng, 100_000), 90_000)).toBeUndefined();
  });

  test('takes exactly the room it needs, also when most literals have codes of their own', () => {
    const prng = new Prng(testSeed('block codec room'));
    for (let round = 0; round < 10; round++) {
      // What stands behind rare bytes costs little once the frequent ones have left the shared code.
      const frequent = randomBytes(prng, 30_000).map((byte) => byte & 15);
      const rare = randomBytes(prng, 3000).map((byte) => 100 + (byte % 150));
      const bytes = Buffer.concat([frequent, rare]);
      const packed = compress(bytes)!;
      expect(sameBytes(compress(bytes, packed.length), packed), `round ${round}`).toBe(true);
      expect(compress(bytes, packed.length - 1), `round ${round}`).toBeUndefined();
    }
  });

  test('never leaves its output, whatever is done to its input', () => {
    const prng = new Prng(testSeed('block codec damage'));
    let refused = 0;
    for (let round = 0; round < 3000; round++) {
      const bytes = anyBytes(prng, 1 + prng.below(1500));
      const packed = compress(bytes)!;
      let end = packed.length;
      if (prng.below(4) === 0) end = prng.below(packed.length + 1);
      for (let damage = prng.below(4); damage > 0; damage--)
        packed[prng.below(packed.length)] = prng.below(256);
      const outBytes = prng.below(4) === 0 ? prng.below(2000) : bytes.length;
      const damaged = packed.subarray(0, end);
      const plain = plainBlockExpand(damaged, outBytes);
      const expanded = codec.expand([damaged], outBytes);
      const message = `round ${round}`;
      if (plain === undefined) {
        expect(expanded, message).toBeUndefined();
        refused++;
      } else {
        expect(sameBytes(expanded, plain), message).toBe(true);
      }
    }
    expect(refused).toBeGreaterThan(1000);
    // Noise of the largest size, as if memory had been used for something else.
    for (let round = 0; round < 50; round++)
      expect(codec.expand([randomBytes(prng, CODEC_BYTES_MAX)], CODEC_BYTES_MAX)).toBeUndefined();
    const block = textBytes(prng, 1000);
    expect(sameBytes(codec.expand([compress(block)!], 1000), block)).toBe(true);
  });

  test('refuses what is longer than a block', () => {
    expect(() => codec.compress(new Uint8Array(CODEC_BYTES_MAX + 1), 100)).toThrow('up to 1 MiB');
    expect(() => codec.expand([], CODEC_BYTES_MAX + 1)).toThrow('up to 1 MiB');
    const half = new Uint8Array(CODEC_BYTES_MAX / 2 + 1);
    expect(codec.expand([half, half], 100)).toBeUndefined();
  });
});
