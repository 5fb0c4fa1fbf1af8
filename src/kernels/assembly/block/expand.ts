/**
 * Hot path. Expands what compress.ts wrote. The input is checked as if it were not the program's
 * own: whatever it is, nothing is read or written outside the areas of layout.ts.
 */
import { CONTEXT_BYTES, HEADER_BYTES, isOwn } from './compress';
import { readRow, rowOfSymbols } from './huffman';
import { LENGTH_ROW, PACKED, PLAIN, ROW_OF, RUN_ROW, SHARED_ROW } from './layout';
import { distanceBy, FAR_BITS, LENGTH_DIRECT, MATCH_MIN, RUN_DIRECT, WAY_FAR, WAYS } from './sequence';

const CODE_MASK: u64 = 0x7ff;

/** The next bit of the extras, from the start of PACKED. */
let extraBit: u32 = 0;

/** Expands `packed` bytes at PACKED to `count` bytes at PLAIN. Returns false when they are damaged. */
export function expand(packed: u32, count: u32): bool {
  if (packed < HEADER_BYTES + CONTEXT_BYTES) return false;
  const end = PACKED + packed;
  let literalsLeft = load<u32>(PACKED);
  const sequences = load<u32>(PACKED, 4);
  const extraBytes = load<u32>(PACKED, 8);
  const codeBytes = load<u32>(PACKED, 12);
  const contexts = PACKED + HEADER_BYTES;
  let at = readRow(RUN_ROW, contexts + CONTEXT_BYTES, end);
  if (at != 0) at = readRow(LENGTH_ROW, at, end);
  if (at != 0) at = readRow(SHARED_ROW, at, end);
  for (let before: u32 = 0; before < 256 && at != 0; before++) {
    const own = isOwn(contexts, before);
    if (own) at = readRow(before, at, end);
    store<u32>(ROW_OF + <usize>(before << 2), <u32>rowOfSymbols(own ? before : SHARED_ROW));
  }
  if (at == 0 || <u64>extraBytes + codeBytes > end - at) return false;

  const codesAt = <u32>(at + extraBytes - PACKED);
  const codesEnd = codesAt + codeBytes;
  extraBit = <u32>(at - PACKED) << 3;
  let literalBit = codesAt << 3;
  let sequenceBit = codesEnd << 3;
  const bitsEnd = packed << 3;
  const plainEnd = PLAIN + count;
  let to: usize = PLAIN;
  let before: u32 = 0;
  let distance: i32 = 0;
  for (let i: u32 = 0; i < sequences; i++) {
    if (sequenceBit > bitsEnd || extraBit > bitsEnd) return false;
    const word = bitsAt(sequenceBit);
    const run = <u32>load<u16>(rowOfSymbols(RUN_ROW) + <usize>((word & CODE_MASK) << 1));
    const length = <u32>load<u16>(rowOfSymbols(LENGTH_ROW) + <usize>(((word >> (run >> 8)) & CODE_MASK) << 1));
    sequenceBit += (run >> 8) + (length >> 8);
    const way = (run & 0xff) % WAYS;
    let literals = (run & 0xff) / WAYS;
    if (literals >= RUN_DIRECT) {
      const bucket = literals - RUN_DIRECT;
      literals = (16 << (2 * bucket)) + takeExtra(2 * bucket + 6);
    }
    let bytes = length & 0xff;
    if (bytes >= LENGTH_DIRECT) {
      const bits = bytes - 58;
      if (bits > 19) return false;
      bytes = (1 << bits) + takeExtra(bits);
    }
    bytes += MATCH_MIN;
    distance = way == WAY_FAR ? <i32>takeExtra(FAR_BITS) : distanceBy(way, distance);
    if (literals > literalsLeft || <u64>literals + bytes > plainEnd - to) return false;
    literalsLeft -= literals;
    literalBit = readLiterals(literalBit, bitsEnd, to, literals, before);
    to += literals;
    if (literalBit > bitsEnd || distance <= 0 || <usize>distance > to - PLAIN) return false;
    to = copyMatch(to, distance, bytes);
    before = load<u8>(to - 1);
  }
  if (literalsLeft != <u32>(plainEnd - to)) return false;
  literalBit = readLiterals(literalBit, bitsEnd, to, literalsLeft, before);
  return bytesOf(extraBit) == codesAt && bytesOf(literalBit) == codesEnd && bytesOf(sequenceBit) == packed;
}

// @ts-ignore: decorator
@inline
function bytesOf(bits: u32): u32 {
  return (bits + 7) >> 3;
}

/** At least 57 bits from bit `bit` of PACKED. */
// @ts-ignore: decorator
@inline
function bitsAt(bit: u32): u64 {
  return load<u64>(PACKED + (bit >> 3)) >> (bit & 7);
}

function takeExtra(bits: u32): u32 {
  const value = <u32>bitsAt(extraBit) & ((1 << bits) - 1);
  extraBit += bits;
  return value;
}

/** Reads `count` literals. Returns the bit behind them, or one beyond `bitsEnd`. */
// @ts-ignore: decorator
@inline
function readLiterals(bit: u32, bitsEnd: u32, to: usize, count: u32, before: u32): u32 {
  const end = to + count;
  while (to < end) {
    if (bit > bitsEnd) return bit;
    let word = bitsAt(bit);
    // Five codes at most.
    const stop = min<usize>(end, to + 5);
    while (to < stop) {
      const symbol = <u32>load<u16>(<usize>load<u32>(ROW_OF + (before << 2)) + <usize>((word & CODE_MASK) << 1));
      before = symbol & 0xff;
      store<u8>(to++, before);
      word >>= <u64>(symbol >> 8);
      bit += symbol >> 8;
    }
  }
  return bit;
}

/** Copies a match, which may overlap itself. Writes up to 15 bytes behind it. */
// @ts-ignore: decorator
@inline
function copyMatch(to: usize, distance: i32, bytes: u32): usize {
  const end = to + bytes;
  if (distance >= 16) {
    for (; to < end; to += 16) v128.store(to, v128.load(to - distance));
  } else {
    for (; to < end; to++) store<u8>(to, load<u8>(to - distance));
  }
  return end;
}
