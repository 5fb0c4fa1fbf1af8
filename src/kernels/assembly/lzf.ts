/**
 * Hot path. LZF, in the format that liblzf reads and Redis keeps in dumps:
 *
 *   000LLLLL                     literals: L + 1 bytes follow, 1 … 32
 *   LLLooooo oooooooo            match: L + 2 bytes, L = 1 … 6, from o + 1 bytes back, 1 … 8192
 *   111ooooo NNNNNNNN oooooooo   match: N + 9 bytes, 9 … 264
 *
 * The compressor remembers in LZF_TABLE the last place of each hash of three bytes, as a *virtual*
 * position. The virtual positions of a call begin 8192 above all positions that earlier calls
 * stored. So a stale entry is always too far back to be a match, and the table is cleared once per
 * 4 GiB instead of once per string. The output also depends on the input alone. Short inputs use
 * few slots of the table, which then stay in the processor's first cache.
 *
 * Where nothing matches, the search takes longer and longer steps. A found match is extended
 * backwards over the bytes that the steps skipped. This halves the probes for random bytes, and
 * text is compressed almost as well.
 */
import { copyApart } from './copy';
import { LZF_TABLE, LZF_TABLE_BITS } from './layout';

const OFFSET_MAX: u32 = 8192;
const MATCH_MAX: u32 = 264;
const LITERALS_MAX: u32 = 32;
/**
 * After each 2^4 misses in a row the step grows by one, up to 16. With this limit text behind a
 * megabyte of noise is still found.
 */
const STEP_SHIFT: u32 = 4;
const STEP_MAX: u32 = 16;
const TABLE_BYTES: usize = (<usize>1 << LZF_TABLE_BITS) << 2;

/** The first virtual position that the next call may use. */
let virtualNext: u32 = OFFSET_MAX + 1;

// @ts-ignore: decorator
@inline
function slotOf(word: u32, shift: u32): usize {
  // Multiplicative hashing of the three low bytes. The high bits of the product depend on all of
  // them.
  return LZF_TABLE + <usize>((((word << 8) * 506832829) >> shift) << 2);
}

/**
 * Returns the bytes of the encoded form of `count` literals: the literals and one control byte per
 * run.
 */
// @ts-ignore: decorator
@inline
function literalBytes(count: u32): u32 {
  return count + ((count + LITERALS_MAX - 1) >> 5);
}

/** Writes the literals `from` … `end` and returns the position behind them. */
function writeLiterals(out: usize, from: usize, end: usize): usize {
  while (from < end) {
    const run = min<u32>(<u32>(end - from), LITERALS_MAX);
    store<u8>(out, run - 1);
    copyApart(out + 1, from, run);
    out += run + 1;
    from += run;
  }
  return out;
}

/** Returns the number of equal bytes at `a` and `b`, at most `limit`. The ranges may overlap. */
// @ts-ignore: decorator
@inline
function equalBytes(a: usize, b: usize, limit: u32): u32 {
  let count: u32 = 0;
  while (count + 8 <= limit) {
    const difference = load<u64>(a + count) ^ load<u64>(b + count);
    if (difference != 0) return count + <u32>(ctz(difference) >> 3);
    count += 8;
  }
  while (count < limit && load<u8>(a + count) == load<u8>(b + count)) count++;
  return count;
}

/**
 * Compresses and returns the number of bytes written. Returns 0 when they would be more than
 * `outBytesMax`; then the output area may have been written to. Input and output must not overlap.
 */
export function lzfCompress(inPosition: usize, inBytes: u32, outPosition: usize, outBytesMax: u32): u32 {
  if (inBytes == 0) return 0;
  if (virtualNext > 0xffffffff - 2 * OFFSET_MAX - inBytes) {
    memory.fill(LZF_TABLE, 0, TABLE_BYTES);
    virtualNext = OFFSET_MAX + 1;
  }
  const bias: u32 = virtualNext - <u32>inPosition;
  virtualNext += inBytes + OFFSET_MAX;

  // Two to four slots per input byte. With fewer slots random bytes would collide too often.
  const bits = min<u32>(LZF_TABLE_BITS, 34 - clz<u32>(inBytes));
  const shift = 32 - bits;
  const inEnd = inPosition + inBytes;
  const outEnd = outPosition + outBytesMax;
  let out = outPosition;
  let literals = inPosition;
  let at = inPosition;
  let misses: u32 = 0;

  while (at + 4 <= inEnd) {
    const word = load<u32>(at);
    const slot = slotOf(word, shift);
    const seen = load<u32>(slot);
    const here = <u32>at + bias;
    store<u32>(slot, here);
    let offset = here - seen;
    // One branch tests both "too far back" and "other bytes". As two branches, one of them would be
    // mispredicted every fourth time on random bytes. The mask keeps the load inside the memory,
    // which begins with 128 KiB of tables.
    if ((((load<u32>(at - (offset & 0x3fff)) ^ word) << 8) | ((offset - 1) >> 13)) != 0) {
      at += min<u32>(1 + (misses >> STEP_SHIFT), STEP_MAX);
      misses++;
      continue;
    }

    let match = at - offset;
    let length: u32 = 3 + equalBytes(at + 3, match + 3, min<u32>(MATCH_MAX - 3, <u32>(inEnd - at) - 3));
    const next = at + length;
    while (at > literals && match > inPosition && length < MATCH_MAX && load<u8>(at - 1) == load<u8>(match - 1)) {
      at--;
      match--;
      length++;
    }
    const literalCount = <u32>(at - literals);
    if (<u32>(outEnd - out) < literalBytes(literalCount) + (length > 8 ? 3 : 2)) return 0;
    out = writeLiterals(out, literals, at);

    offset--;
    if (length > 8) {
      store<u8>(out, 0xe0 | (offset >> 8));
      store<u8>(out, length - 9, 1);
      store<u8>(out, offset, 2);
      out += 3;
    } else {
      store<u8>(out, ((length - 2) << 5) | (offset >> 8));
      store<u8>(out, offset, 1);
      out += 2;
    }

    // The last two positions of the match are stored, too, as long as a whole word can be read
    // there.
    const passed = next + 3 <= inEnd ? next : next - 2;
    for (let skipped = max<usize>(at + 1, next - 2); skipped < passed; skipped++) {
      store<u32>(slotOf(load<u32>(skipped), shift), <u32>skipped + bias);
    }
    at = next;
    literals = next;
    misses = 0;
  }

  if (<u32>(outEnd - out) < literalBytes(<u32>(inEnd - literals))) return 0;
  return <u32>(writeLiterals(out, literals, inEnd) - outPosition);
}

/**
 * Decompresses and returns `outBytes`, or -1 when the input is corrupt: it ends inside an element,
 * points before the output's start, or does not produce exactly `outBytes`. Neither reads nor
 * writes outside the two areas.
 */
export function lzfDecompress(inPosition: usize, inBytes: u32, outPosition: usize, outBytes: u32): i32 {
  const inEnd = inPosition + inBytes;
  const outEnd = outPosition + outBytes;
  let at = inPosition;
  let out = outPosition;
  while (at < inEnd) {
    const control: u32 = load<u8>(at++);
    if (control < LITERALS_MAX) {
      const run = control + 1;
      if (<u32>(inEnd - at) < run || <u32>(outEnd - out) < run) return -1;
      copyApart(out, at, run);
      at += run;
      out += run;
      continue;
    }

    let length = (control >> 5) + 2;
    if (length == 9) {
      if (at == inEnd) return -1;
      length += load<u8>(at++);
    }
    if (at == inEnd) return -1;
    const offset = (((control & 31) << 8) | load<u8>(at++)) + 1;
    if (<u32>(out - outPosition) < offset || <u32>(outEnd - out) < length) return -1;
    let from = out - offset;
    const end = out + length;
    // A match may overlap itself, and then it repeats. Copying word by word is safe when source and
    // target are at least a word apart.
    if (offset >= 8) {
      for (; out + 8 <= end; out += 8, from += 8) store<u64>(out, load<u64>(from));
    }
    for (; out < end; out++, from++) store<u8>(out, load<u8>(from));
  }
  return out == outEnd ? <i32>outBytes : -1;
}
