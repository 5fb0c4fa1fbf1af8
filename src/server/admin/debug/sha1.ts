/**
 * SHA-1 of short messages, for DEBUG DIGEST, which hashes several of them for each key: the call
 * into node:crypto costs three times the hash itself. FIPS 180-4. Main thread.
 */
import { assert } from '../../../base/assert.ts';

export const SHA1_BYTES = 20;
const BLOCK_BYTES = 64;
const LENGTH_BYTES = 8;

const words = new Int32Array(80);
const block = new Uint8Array(BLOCK_BYTES);
const state = new Int32Array(5);

/** Writes the hash of bytes[start, start + length) to `into`, which may be the bytes themselves. */
export function sha1(bytes: Uint8Array, start: number, length: number, into: Uint8Array): void {
  assert(into.length >= SHA1_BYTES, 'a SHA-1 has 20 bytes');
  state[0] = 0x67452301;
  state[1] = 0xefcdab89;
  state[2] = 0x98badcfe;
  state[3] = 0x10325476;
  state[4] = 0xc3d2e1f0;
  let at = start;
  let left = length;
  for (; left >= BLOCK_BYTES; left -= BLOCK_BYTES, at += BLOCK_BYTES) compress(bytes, at);
  for (let i = 0; i < left; i++) block[i] = bytes[at + i]!;
  block[left] = 0x80;
  block.fill(0, left + 1);
  if (left >= BLOCK_BYTES - LENGTH_BYTES) {
    compress(block, 0);
    block.fill(0);
  }
  const highBits = Math.floor(length / 0x2000_0000);
  const lowBits = (length << 3) >>> 0;
  putWord(block, BLOCK_BYTES - 8, highBits);
  putWord(block, BLOCK_BYTES - 4, lowBits);
  compress(block, 0);
  for (let i = 0; i < 5; i++) putWord(into, i * 4, state[i]!);
}

function putWord(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word >>> 24;
  bytes[at + 1] = word >>> 16;
  bytes[at + 2] = word >>> 8;
  bytes[at + 3] = word;
}

function compress(bytes: Uint8Array, at: number): void {
  for (let i = 0; i < 16; i++) {
    const p = at + i * 4;
    words[i] = (bytes[p]! << 24) | (bytes[p + 1]! << 16) | (bytes[p + 2]! << 8) | bytes[p + 3]!;
  }
  for (let i = 16; i < 80; i++) {
    const word = words[i - 3]! ^ words[i - 8]! ^ words[i - 14]! ^ words[i - 16]!;
    words[i] = (word << 1) | (word >>> 31);
  }
  let a = state[0]!;
  let b = state[1]!;
  let c = state[2]!;
  let d = state[3]!;
  let e = state[4]!;
  for (let i = 0; i < 80; i++) {
    let f: number;
    if (i < 20) f = ((b & c) | (~b & d)) + 0x5a827999;
    else if (i < 40) f = (b ^ c ^ d) + 0x6ed9eba1;
    else if (i < 60) f = ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
    else f = (b ^ c ^ d) + 0xca62c1d6;
    const next = (((a << 5) | (a >>> 27)) + f + e + words[i]!) | 0;
    e = d;
    d = c;
    c = (b << 30) | (b >>> 2);
    b = a;
    a = next;
  }
  state[0]! += a;
  state[1]! += b;
  state[2]! += c;
  state[3]! += d;
  state[4]! += e;
}
