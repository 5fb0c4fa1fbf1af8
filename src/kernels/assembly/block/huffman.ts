/**
 * Hot path. Canonical Huffman codes of up to 11 bits, the low bit first.
 *
 * A row of CODES has a count for each of 256 symbols, or its code: CODE | BITS << 16. A symbol that
 * is alone in its row takes no bits at all.
 *
 *   a row as it is written
 *   1 byte      bit g: symbols 32 g … 32 g + 31 have a code among them
 *   4 bytes     for each such g, a bit per symbol that has a code
 *   4 bits      for each such symbol, the bits of its code: 1 to 11, or 0 when it is alone
 */
import { CODE_BITS_MAX, CODES, SCRATCH, SYMBOLS } from './layout';

/** 256 u32, COUNT << 8 | SYMBOL, in ascending order. Counts are below 2^24. */
const SORTED: usize = SCRATCH;
/** 512 u32, the weight of each node: the symbols first, in their order, then the inner ones. */
const WEIGHTS: usize = SCRATCH + 0x400;
/** 512 u16, the parent of each node; later its depth. */
const PARENTS: usize = SCRATCH + 0xc00;
/** 256 u8, the bits of each symbol's code. */
const BITS: usize = SCRATCH + 0x1000;
/** 16 u32, the number of codes of each length; then the next code of each. */
const OF_LENGTH: usize = SCRATCH + 0x1100;
const NEXT_CODE: usize = SCRATCH + 0x1140;

// @ts-ignore: decorator
@inline
export function rowOfCodes(row: u32): usize {
  return CODES + (<usize>row << 10);
}

// @ts-ignore: decorator
@inline
export function rowOfSymbols(row: u32): usize {
  return SYMBOLS + (<usize>row << 12);
}

/** Turns the counts of a row into codes, and writes the row. Returns the position behind it. */
export function makeCodes(row: u32, out: usize): usize {
  const codes = rowOfCodes(row);
  let count: u32 = 0;
  for (let symbol: u32 = 0; symbol < 256; symbol++) {
    const seen = load<u32>(codes + (symbol << 2));
    if (seen == 0) continue;
    store<u32>(SORTED + (<usize>count << 2), (seen << 8) | symbol);
    count++;
  }
  sort(count);
  findLengths(count);
  out = writeRow(count, codes, out);
  assignCodes(codes);
  return out;
}

/** Shell sort: most rows have some twenty symbols. */
function sort(count: u32): void {
  for (let gap: u32 = count > 64 ? 57 : count > 16 ? 10 : 1; gap > 0; gap = gap == 57 ? 10 : gap == 10 ? 4 : gap == 4 ? 1 : 0) {
    for (let i = gap; i < count; i++) {
      const key = load<u32>(SORTED + (<usize>i << 2));
      let j = i;
      for (; j >= gap; j -= gap) {
        const other = load<u32>(SORTED + (<usize>(j - gap) << 2));
        if (other <= key) break;
        store<u32>(SORTED + (<usize>j << 2), other);
      }
      store<u32>(SORTED + (<usize>j << 2), key);
    }
  }
}

// @ts-ignore: decorator
@inline
function symbolAt(nth: u32): u32 {
  return load<u32>(SORTED + (<usize>nth << 2)) & 0xff;
}

/** Writes the bits of the code of each of the sorted symbols to BITS, and 0 for all others. */
function findLengths(count: u32): void {
  memory.fill(BITS, 0, 256);
  if (count < 2) return;
  // The two lightest nodes get a parent, again and again. New nodes come in ascending order.
  for (let i: u32 = 0; i < count; i++) store<u32>(WEIGHTS + (<usize>i << 2), load<u32>(SORTED + (<usize>i << 2)) >> 8);
  let leaf: u32 = 0;
  let inner = count;
  const root: u32 = 2 * count - 2;
  for (let node = count; node <= root; node++) {
    let weight: u32 = 0;
    for (let side = 0; side < 2; side++) {
      const takesLeaf =
        leaf < count &&
        (inner >= node || load<u32>(WEIGHTS + (<usize>leaf << 2)) <= load<u32>(WEIGHTS + (<usize>inner << 2)));
      const child = takesLeaf ? leaf++ : inner++;
      weight += load<u32>(WEIGHTS + (<usize>child << 2));
      store<u16>(PARENTS + (<usize>child << 1), node);
    }
    store<u32>(WEIGHTS + (<usize>node << 2), weight);
  }
  // A parent stands behind its children, so depths are known from the root downwards.
  store<u16>(PARENTS + (<usize>root << 1), 0);
  let room: i32 = 1 << CODE_BITS_MAX;
  for (let node = <i32>root - 1; node >= 0; node--) {
    const parent = <u32>load<u16>(PARENTS + (<usize>node << 1));
    const depth = <u32>load<u16>(PARENTS + (<usize>parent << 1)) + 1;
    store<u16>(PARENTS + (<usize>node << 1), depth);
    if (<u32>node >= count) continue;
    const bits = min<u32>(depth, CODE_BITS_MAX);
    room -= 1 << (CODE_BITS_MAX - bits);
    store<u8>(BITS + symbolAt(node), bits);
  }
  // What was cut to 11 bits took too much room: rare symbols get longer codes until all fit.
  for (let i: u32 = 0; room < 0; i++) {
    const at = BITS + symbolAt(i);
    for (let bits = <u32>load<u8>(at); bits < CODE_BITS_MAX && room < 0; bits++) {
      room += 1 << (CODE_BITS_MAX - bits - 1);
      store<u8>(at, bits + 1);
    }
  }
  // What is too much now goes to the most frequent of those that have the longest codes. They are
  // the first ones, and the room is a multiple of what one of them takes.
  while (room > 0) {
    const longest = <u32>load<u8>(BITS + symbolAt(0));
    let i: u32 = 0;
    while (i + 1 < count && load<u8>(BITS + symbolAt(i + 1)) == longest) i++;
    store<u8>(BITS + symbolAt(i), longest - 1);
    room -= 1 << (CODE_BITS_MAX - longest);
  }
}

/** Writes the lengths in BITS, of the symbols with a count in the row `codes`. */
function writeRow(count: u32, codes: usize, out: usize): usize {
  const groups = out++;
  let groupBits: u32 = 0;
  for (let group: u32 = 0; group < 8; group++) {
    let members: u32 = 0;
    for (let i: u32 = 0; i < 32; i++) {
      if (load<u32>(codes + (<usize>(group * 32 + i) << 2)) != 0) members |= 1 << i;
    }
    if (members == 0) continue;
    groupBits |= 1 << group;
    store<u32>(out, members);
    out += 4;
  }
  store<u8>(groups, groupBits);
  let half: u32 = 0;
  let pending: u32 = 0;
  for (let symbol: u32 = 0; symbol < 256; symbol++) {
    if (load<u32>(codes + (<usize>symbol << 2)) == 0) continue;
    pending |= <u32>load<u8>(BITS + symbol) << half;
    half ^= 4;
    if (half != 0) continue;
    store<u8>(out++, pending);
    pending = 0;
  }
  if (half != 0) store<u8>(out++, pending);
  return out;
}

/** Writes the codes of the lengths in BITS. */
function assignCodes(codes: usize): void {
  countLengths();
  for (let symbol: u32 = 0; symbol < 256; symbol++) {
    const bits = <u32>load<u8>(BITS + symbol);
    store<u32>(codes + (<usize>symbol << 2), bits == 0 ? 0 : reversed(nextCode(bits), bits) | (bits << 16));
  }
}

/** Prepares NEXT_CODE: codes of one length follow each other, and shorter ones come first. */
function countLengths(): void {
  memory.fill(OF_LENGTH, 0, 64);
  for (let symbol: usize = 0; symbol < 256; symbol++) {
    const at = OF_LENGTH + (<usize>load<u8>(BITS + symbol) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
  let code: u32 = 0;
  for (let bits: usize = 1; bits <= CODE_BITS_MAX; bits++) {
    store<u32>(NEXT_CODE + (bits << 2), code);
    code = (code + load<u32>(OF_LENGTH + (bits << 2))) << 1;
  }
}

// @ts-ignore: decorator
@inline
function nextCode(bits: u32): u32 {
  const at = NEXT_CODE + (<usize>bits << 2);
  const code = load<u32>(at);
  store<u32>(at, code + 1);
  return code;
}

// @ts-ignore: decorator
@inline
function reversed(code: u32, bits: u32): u32 {
  let result: u32 = 0;
  for (let i: u32 = 0; i < bits; i++) result |= ((code >> i) & 1) << (bits - 1 - i);
  return result;
}

/**
 * Reads a row and fills the row of SYMBOLS: BITS << 8 | SYMBOL for each value of the next 11 bits.
 * Returns the position behind it, or 0 when it is not one that {@link makeCodes} writes.
 */
export function readRow(row: u32, at: usize, end: usize): usize {
  const symbols = rowOfSymbols(row);
  if (at >= end) return 0;
  const groupBits = <u32>load<u8>(at++);
  let count: u32 = 0;
  let bitmaps = at;
  at += <usize>popcnt(groupBits) << 2;
  if (at > end) return 0;
  memory.fill(BITS, 0, 256);
  let half: u32 = 0;
  let only: u32 = 0;
  for (let group: u32 = 0; group < 8; group++) {
    if (((groupBits >> group) & 1) == 0) continue;
    let members = load<u32>(bitmaps);
    bitmaps += 4;
    for (; members != 0; members &= members - 1) {
      if (at >= end) return 0;
      only = group * 32 + ctz(members);
      store<u8>(BITS + only, (<u32>load<u8>(at) >> half) & 15);
      half ^= 4;
      if (half == 0) at++;
      count++;
    }
  }
  if (half != 0) at++;
  if (count < 2) {
    for (let i: usize = 0; i < 1 << CODE_BITS_MAX; i++) store<u16>(symbols + (i << 1), only);
    return at;
  }
  let room: i32 = 1 << CODE_BITS_MAX;
  for (let symbol: usize = 0; symbol < 256; symbol++) {
    const bits = <u32>load<u8>(BITS + symbol);
    if (bits > CODE_BITS_MAX) return 0;
    if (bits != 0) room -= 1 << (CODE_BITS_MAX - bits);
  }
  // Each value of 11 bits begins with one code.
  if (room != 0) return 0;
  countLengths();
  for (let symbol: u32 = 0; symbol < 256; symbol++) {
    const bits = <u32>load<u8>(BITS + symbol);
    if (bits == 0) continue;
    const entry = (bits << 8) | symbol;
    for (let i = <usize>reversed(nextCode(bits), bits); i < 1 << CODE_BITS_MAX; i += 1 << bits) {
      store<u16>(symbols + (i << 1), entry);
    }
  }
  return at;
}
