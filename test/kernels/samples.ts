/** Inputs for the kernels' tests, from a seed. */
import type { Prng } from '../../src/base/prng.ts';

export function randomBytes(prng: Prng, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at++) bytes[at] = prng.u32() >>> 24;
  return bytes;
}

const WORDS =
  'the quick brown fox jumps over a lazy dog while replication streams blocks of the backlog to every replica'.split(
    ' ',
  );

export function textBytes(prng: Prng, size: number): Uint8Array {
  let text = '';
  while (text.length < size)
    text += `${WORDS[Math.floor(prng.float() * prng.float() * WORDS.length)]} `;
  return Buffer.from(text.slice(0, size));
}

/** Bytes of one of several kinds: noise, few letters, long runs, text, repeats from far back. */
export function mixedBytes(prng: Prng, size: number): Uint8Array {
  switch (prng.below(5)) {
    case 0:
      return randomBytes(prng, size);
    case 1:
      return randomBytes(prng, size).map((byte) => 97 + (byte & 3));
    case 2: {
      const bytes = new Uint8Array(size);
      for (let at = 0; at < size; ) {
        const run = 1 + prng.below(700);
        bytes.fill(prng.below(256), at, at + run);
        at += run;
      }
      return bytes;
    }
    case 3:
      return textBytes(prng, size);
    default: {
      const period = 1 + prng.below(9000);
      const bytes = randomBytes(prng, size);
      for (let at = period; at < size; at++) bytes[at] = bytes[at - period]!;
      return bytes;
    }
  }
}

/** Whether both hold the same bytes; `toEqual` on typed arrays takes milliseconds per KiB. */
export function sameBytes(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a !== undefined && Buffer.compare(a, b) === 0;
}
