/**
 * Hot path. Writes a block in its compressed form:
 *
 *   4 bytes    literals
 *   4 bytes    sequences
 *   4 bytes    bytes of the extras
 *   4 bytes    bytes of the codes of the literals
 *   32 bytes   bit b: literals behind byte b have a code of their own
 *   rows       of the codes (huffman.ts): of RUN, of LENGTH, of literals behind other bytes, and of
 *              those behind each byte that has its own, in ascending order
 *   extras     bits of the sequences (sequence.ts), the low bit first
 *   codes      of the literals, in their order
 *   codes      of RUN and LENGTH of each sequence, by turns
 *
 * A literal depends on the byte before it: behind a digit there is often a digit, and behind `"na`
 * an `m`.
 */
import { makeCodes, rowOfCodes } from './huffman';
import { CODES, EXTRAS, LENGTH_ROW, LENGTHS, LITERALS, PACKED, RUN_ROW, ROWS, RUNS, SCRATCH, SHARED_ROW } from './layout';
import { extras, literals, parse, runs } from './parse';

export const HEADER_BYTES: u32 = 16;
export const CONTEXT_BYTES: u32 = 32;
/** What a row and each of its symbols take. */
const ROW_BITS: f32 = 72;
const SYMBOL_BITS: f32 = 4.5;
/** What a literal may be counted too high by {@link log2}. */
const LOG_ERROR: f32 = 0.02;
/** 256 f32, the bits of each literal in a code for all of them. */
const PRICES: usize = SCRATCH + 0x2000;

/**
 * Compresses `count` bytes at PLAIN, up to 1 MiB, to PACKED. Returns the bytes written, or 0 when
 * they would be more than `packedMax`.
 */
export function compress(count: u32, packedMax: u32): u32 {
  parse(count);
  const literalCount = <u32>((literals - LITERALS) >> 1);
  const sequenceCount = <u32>(runs - RUNS);
  memory.fill(CODES, 0, ROWS << 10);
  // The first byte of the block has none before it.
  if (literalCount > 0) store<u8>(LITERALS, 0, 1);
  countLiterals(literalCount);
  countSymbols(RUNS, sequenceCount, rowOfCodes(RUN_ROW));
  countSymbols(LENGTHS, sequenceCount, rowOfCodes(LENGTH_ROW));

  let out = PACKED + HEADER_BYTES;
  const contexts = out;
  if (chooseContexts(contexts, literalCount) > <f32>packedMax * 8) return 0;
  out = makeCodes(RUN_ROW, out + CONTEXT_BYTES);
  out = makeCodes(LENGTH_ROW, out);
  out = makeCodes(SHARED_ROW, out);
  for (let before: u32 = 0; before < 256; before++) {
    if (isOwn(contexts, before)) out = makeCodes(before, out);
    else memory.copy(rowOfCodes(before), rowOfCodes(SHARED_ROW), 1024);
  }
  const extraBytes = <u32>(extras - EXTRAS);
  memory.copy(out, EXTRAS, extraBytes);
  out += extraBytes;
  const codes = out;
  out = writeLiterals(out, literalCount);
  store<u32>(PACKED, literalCount);
  store<u32>(PACKED, sequenceCount, 4);
  store<u32>(PACKED, extraBytes, 8);
  store<u32>(PACKED, <u32>(out - codes), 12);
  const bytes = <u32>(writeSequences(out, sequenceCount) - PACKED);
  return bytes <= packedMax ? bytes : 0;
}

// @ts-ignore: decorator
@inline
export function isOwn(contexts: usize, before: u32): bool {
  return ((load<u8>(contexts + (before >> 3)) >> (before & 7)) & 1) != 0;
}

function countLiterals(count: u32): void {
  const end = LITERALS + (<usize>count << 1);
  for (let from: usize = LITERALS; from < end; from += 2) {
    const at = CODES + (<usize>load<u16>(from) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
}

function countSymbols(from: usize, count: u32, row: usize): void {
  for (let i: usize = 0; i < count; i++) {
    const at = row + (<usize>load<u8>(from + i) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
}

/**
 * Gives a context a code of its own where that pays, and the others a shared one: leaves their
 * counts in the shared row. Returns bits that codes of all literals take at least.
 */
function chooseContexts(contexts: usize, literalCount: u32): f32 {
  memory.fill(contexts, 0, CONTEXT_BYTES);
  const shared = rowOfCodes(SHARED_ROW);
  for (let before: u32 = 0; before < 256; before++) addRow(shared, rowOfCodes(before));
  const logOfAll = log2(<f32>literalCount);
  for (let symbol: usize = 0; symbol < 256; symbol++) {
    const seen = load<u32>(shared + (symbol << 2));
    if (seen != 0) store<f32>(PRICES + (symbol << 2), logOfAll - log2(<f32>seen));
  }
  let bits: f32 = 0;
  for (let before: u32 = 0; before < 256; before++) {
    const row = rowOfCodes(before);
    const sum = sumOfRow(row);
    if (sum == 0) continue;
    const logOfSum = log2(<f32>sum);
    let rowBits: f32 = ROW_BITS;
    let own: f32 = 0;
    let common: f32 = 0;
    for (let symbol: usize = 0; symbol < 256; symbol++) {
      const seen = load<u32>(row + (symbol << 2));
      if (seen == 0) continue;
      rowBits += SYMBOL_BITS;
      own += <f32>seen * (logOfSum - log2(<f32>seen));
      common += <f32>seen * load<f32>(PRICES + (symbol << 2));
    }
    if (own + rowBits >= common) continue;
    bits += own;
    const at = contexts + (before >> 3);
    store<u8>(at, <u32>load<u8>(at) | (<u32>1 << (before & 7)));
    for (let i: usize = 0; i < 1024; i += 16) v128.store(shared + i, i32x4.sub(v128.load(shared + i), v128.load(row + i)));
  }
  // What was common is cheaper now, since those that stay have fewer symbols.
  const logOfRest = log2(<f32>sumOfRow(shared));
  for (let symbol: usize = 0; symbol < 256; symbol++) {
    const seen = load<u32>(shared + (symbol << 2));
    if (seen != 0) bits += <f32>seen * (logOfRest - log2(<f32>seen));
  }
  return bits - LOG_ERROR * <f32>literalCount;
}

/** Adds the counts of a row to another. */
// @ts-ignore: decorator
@inline
function addRow(to: usize, from: usize): void {
  for (let i: usize = 0; i < 1024; i += 16) v128.store(to + i, i32x4.add(v128.load(to + i), v128.load(from + i)));
}

function sumOfRow(row: usize): u32 {
  let sums = i32x4.splat(0);
  for (let i: usize = 0; i < 1024; i += 16) sums = i32x4.add(sums, v128.load(row + i));
  return <u32>(i32x4.extract_lane(sums, 0) + i32x4.extract_lane(sums, 1) + i32x4.extract_lane(sums, 2) + i32x4.extract_lane(sums, 3));
}

/** The logarithm of a number of 1 and more, within 0.01. */
// @ts-ignore: decorator
@inline
function log2(x: f32): f32 {
  const word = reinterpret<i32>(x);
  const exponent = <f32>((word >> 23) - 127);
  const m = reinterpret<f32>((word & 0x7fffff) | 0x3f800000) - 1;
  return exponent + m * (1.3465 - m * 0.3465);
}

function writeLiterals(out: usize, count: u32): usize {
  let buffer: u64 = 0;
  let filled: u64 = 0;
  const end = LITERALS + (<usize>count << 1);
  let from: usize = LITERALS;
  // Four codes and what is left of a byte fit in a word.
  for (; from + 8 <= end; from += 8) {
    for (let i: usize = 0; i < 8; i += 2) {
      const code = load<u32>(CODES + (<usize>load<u16>(from + i) << 2));
      buffer |= <u64>(code & 0xffff) << filled;
      filled += code >> 16;
    }
    store<u64>(out, buffer);
    out += <usize>(filled >> 3);
    buffer >>= filled & ~7;
    filled &= 7;
  }
  for (; from < end; from += 2) {
    const code = load<u32>(CODES + (<usize>load<u16>(from) << 2));
    buffer |= <u64>(code & 0xffff) << filled;
    filled += code >> 16;
  }
  store<u64>(out, buffer);
  return out + <usize>((filled + 7) >> 3);
}

function writeSequences(out: usize, count: u32): usize {
  let buffer: u64 = 0;
  let filled: u64 = 0;
  for (let i: usize = 0; i < count; i++) {
    const run = load<u32>(rowOfCodes(RUN_ROW) + (<usize>load<u8>(RUNS + i) << 2));
    buffer |= <u64>(run & 0xffff) << filled;
    filled += run >> 16;
    const length = load<u32>(rowOfCodes(LENGTH_ROW) + (<usize>load<u8>(LENGTHS + i) << 2));
    buffer |= <u64>(length & 0xffff) << filled;
    filled += length >> 16;
    store<u64>(out, buffer);
    out += <usize>(filled >> 3);
    buffer >>= filled & ~7;
    filled &= 7;
  }
  return out + <usize>((filled + 7) >> 3);
}
