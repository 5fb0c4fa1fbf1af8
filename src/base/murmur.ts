/**
 * MurmurHash64A, for the choice of registers in HyperLogLogs. It works in 32-bit halves, so that
 * nothing is allocated. It is not keyed: do not use it where clients may attack it. Hot path. Any
 * thread.
 *
 * Specified in https://github.com/aappleby/smhasher (MurmurHash2.cpp); bytes are read in
 * little-endian order.
 */

const M_HIGH = 0xc6a4a793 | 0;
const M_LOW = 0x5bd1e995;
const M_LOW_16 = M_LOW & 0xffff;
const M_HIGH_16 = M_LOW >>> 16;

/** A hash, as two signed halves. */
export class Hash64 {
  high = 0;
  low = 0;
}

/** Sets `out` to the hash of `length` bytes from `start`. */
export function murmurHash64(
  bytes: Uint8Array,
  start: number,
  length: number,
  seed: number,
  out: Hash64,
): void {
  let low = Math.imul(length, M_LOW) ^ seed;
  let high = highOfProduct(length, 0);
  const tail = start + (length & ~7);
  for (let at = start; at < tail; at += 8) {
    let kLow = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    let kHigh =
      bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24);
    kHigh = highOfProduct(kLow, kHigh);
    kLow = Math.imul(kLow, M_LOW);
    kLow ^= kHigh >>> 15;
    kHigh = highOfProduct(kLow, kHigh);
    kLow = Math.imul(kLow, M_LOW);
    low ^= kLow;
    high ^= kHigh;
    high = highOfProduct(low, high);
    low = Math.imul(low, M_LOW);
  }
  const rest = length & 7;
  if (rest > 0) {
    for (let i = 0; i < rest; i++) {
      const byte = bytes[tail + i]!;
      if (i < 4) low ^= byte << (i << 3);
      else high ^= byte << ((i - 4) << 3);
    }
    high = highOfProduct(low, high);
    low = Math.imul(low, M_LOW);
  }
  low ^= high >>> 15;
  high = highOfProduct(low, high);
  low = Math.imul(low, M_LOW);
  low ^= high >>> 15;
  out.high = high;
  out.low = low;
}

/** The high half of the product of `high:low` and M, modulo 2^64. */
function highOfProduct(low: number, high: number): number {
  const a = low & 0xffff;
  const b = low >>> 16;
  // Each sum stays below 2^49.
  const middle = b * M_LOW_16 + Math.floor((a * M_LOW_16) / 65536);
  const carry = Math.floor((a * M_HIGH_16 + middle) / 65536);
  return (b * M_HIGH_16 + carry + Math.imul(high, M_LOW) + Math.imul(low, M_HIGH)) | 0;
}
