/**
 * DEBUG STRINGMATCH-TEST: random texts against random patterns, most of which are invalid.
 */
import { bytesOf } from '../../../base/bytes.ts';
import { globMatch } from '../../../base/glob.ts';
import type { Prng } from '../../../base/prng.ts';

const ROUNDS = 200_000;
const TEXT_BYTES_MAX = 32;
const PATTERN_BYTES_MAX = 32;
const ALPHABET = bytesOf('ab*?[]^-\\\0\xff');

export function fuzzGlob(prng: Prng): void {
  const text = new Uint8Array(TEXT_BYTES_MAX);
  const pattern = new Uint8Array(PATTERN_BYTES_MAX);
  for (let round = 0; round < ROUNDS; round++) {
    const textBytes = fill(text, prng);
    const patternBytes = fill(pattern, prng);
    globMatch(pattern, 0, patternBytes, text, 0, textBytes, false);
  }
}

function fill(bytes: Uint8Array, prng: Prng): number {
  const length = prng.below(bytes.length);
  for (let i = 0; i < length; i++) bytes[i] = ALPHABET[prng.below(ALPHABET.length)]!;
  return length;
}
