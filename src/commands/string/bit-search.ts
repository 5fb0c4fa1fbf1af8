/** Loops over the bits of a string. Long strings are read word by word. Any thread. */
import type { BytesView } from '../../keyspace/entry.ts';

/** For shorter ranges a view of words costs more than it saves. */
const WORDS_BYTES_MIN = 64;

/** Returns the number of bits set in a 32-bit word, or in a byte. */
function countWord(word: number): number {
  let v = word - ((word >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}

/** Returns the mask of the bits of a byte from bit `from` on. Bit 0 is the highest. */
const maskFrom = (from: number): number => 0xff >>> from;
/** Returns the mask of the bits of a byte before bit `to`. */
const maskBefore = (to: number): number => ~(0xff >>> to) & 0xff;

/**
 * Returns the number of set bits in bits [start, end) of a string. Both must be inside, and start <
 * end.
 */
export function countBits(view: BytesView, start: number, end: number): number {
  const { bytes, position } = view;
  let at = position + Math.floor(start / 8);
  const last = position + Math.floor(end / 8);
  if (at === last) return countWord(bytes[at]! & maskFrom(start % 8) & maskBefore(end % 8));
  let count = countWord(bytes[at]! & maskFrom(start % 8));
  at++;
  if (last - at >= WORDS_BYTES_MIN) {
    for (; ((bytes.byteOffset + at) & 3) !== 0; at++) count += countWord(bytes[at]!);
    const words = new Int32Array(bytes.buffer, bytes.byteOffset + at, (last - at) >>> 2);
    for (let i = 0; i < words.length; i++) count += countWord(words[i]!);
    at += words.length * 4;
  }
  for (; at < last; at++) count += countWord(bytes[at]!);
  if (end % 8 !== 0) count += countWord(bytes[last]! & maskBefore(end % 8));
  return count;
}

/**
 * Returns the first of bits [start, end) that equals `bit`, or -1. Both must be inside, and start <
 * end.
 */
export function findBit(view: BytesView, start: number, end: number, bit: number): number {
  const { bytes, position } = view;
  // After this xor the wanted bits are ones.
  const flip = bit === 1 ? 0 : 0xff;
  let at = Math.floor(start / 8);
  const last = Math.ceil(end / 8) - 1;
  let byte = (bytes[position + at]! ^ flip) & maskFrom(start % 8);
  while (byte === 0 && at < last) byte = bytes[position + ++at]! ^ flip;
  if (byte === 0) return -1;
  const found = at * 8 + Math.clz32(byte) - 24;
  return found < end ? found : -1;
}
