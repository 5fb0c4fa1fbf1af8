/**
 * Hot path. Finds the sequences of a block.
 *
 * Commands of one kind follow each other in a stream: most of a command stands at the same place of
 * the one before it, or some bytes beside that, where a number is longer. So the bytes at the
 * distance of the last match, and up to 4 more or less, are compared 16 at a time. Only where
 * nothing is found twice, a table of hashes is asked.
 *
 *   last command   … "id":9203,"user":"user-17","status": …
 *   this command   … "id":11,"user":"user-4023","status": …
 *                        ▲▲ literals, then a match at a distance that is 2 less
 */
import { EXTRAS, LENGTHS, LITERALS, PLACES, PLACES_BITS, PLAIN, RUNS } from './layout';
import {
  distanceBy,
  FAR_BITS,
  LENGTH_DIRECT,
  MATCH_MIN,
  RUN_DIRECT,
  runBucket,
  WAY_FAR,
  WAYS,
} from './sequence';

/** A match that the table finds is as long at least: its distance takes 20 bits. */
const FAR_MATCH_MIN: u32 = 6;
/** Vectors that are compared near the last distance before the table is asked. */
const NEAR_TRIES: u32 = 2;
/** A run of four equal bytes begins in one of the first 13 bytes of a vector. */
const NEAR_STEP: u32 = 13;
/** Near bytes are tried again after as many searches in the table, and more while they fail. */
const FAR_TRIES_MIN: u32 = 13;
const FAR_TRIES_MAX: u32 = 104;
/** The last bytes of a block are literals. */
const TAIL_BYTES: u32 = 64;
/** After each 2^5 misses in a row the search of the table takes longer steps, up to 16. */
const STEP_SHIFT: u32 = 5;
const STEP_MAX: u32 = 16;
const NONE: u32 = 0xffff;

export let literals: usize = LITERALS;
export let runs: usize = RUNS;
/** The bits of EXTRAS: whole bytes are stored at once, the rest waits. */
export let extras: usize = EXTRAS;
let waiting: u64 = 0;
let waitingBits: u32 = 0;

/** Parses `count` bytes of PLAIN. */
export function parse(count: u32): void {
  memory.fill(PLACES, 0, 4 << PLACES_BITS);
  literals = LITERALS;
  runs = RUNS;
  extras = EXTRAS;
  waiting = 0;
  waitingBits = 0;
  const end = PLAIN + count;
  const last = count > TAIL_BYTES ? end - TAIL_BYTES : PLAIN;
  let anchor: usize = PLAIN;
  let at: usize = PLAIN;
  let distance: i32 = 0;
  let misses: u32 = 0;
  let farTries = FAR_TRIES_MIN;
  while (at < last) {
    if (distance != 0) {
      const key = findNear(at, distance);
      if (key != NONE) {
        const way = key & 15;
        at += key >> 4;
        distance = distanceBy(way, distance);
        const next = endOfMatch(at + MATCH_MIN, distance, end);
        putSequence(anchor, at, next, way);
        store<u32>(placeOf(at), <u32>at);
        at = next;
        anchor = next;
        misses = 0;
        farTries = FAR_TRIES_MIN;
        continue;
      }
      farTries = min(2 * farTries, FAR_TRIES_MAX);
    }
    for (let tries: u32 = 0; tries < farTries && at < last; tries++) {
      const place = placeOf(at);
      const seen = <usize>load<u32>(place);
      store<u32>(place, <u32>at);
      if (seen != 0 && load<u32>(seen) == load<u32>(at)) {
        const found = <i32>(at - seen);
        const next = endOfMatch(at + MATCH_MIN, found, end);
        let start = at;
        while (start > anchor && start - found > PLAIN && load<u8>(start - 1) == load<u8>(start - found - 1)) start--;
        if (next - start >= FAR_MATCH_MIN) {
          distance = found;
          putSequence(anchor, start, next, WAY_FAR);
          putExtra(<u32>distance, FAR_BITS);
          at = next;
          anchor = next;
          misses = 0;
          break;
        }
      }
      at += min<u32>(1 + (misses >> STEP_SHIFT), STEP_MAX);
      misses++;
    }
  }
  putLiterals(anchor, <u32>(end - anchor));
  store<u64>(extras, waiting);
  extras += (waitingBits + 7) >> 3;
}

// @ts-ignore: decorator
@inline
function placeOf(at: usize): usize {
  return PLACES + (<usize>((load<u32>(at) * 2654435761) >> (32 - PLACES_BITS)) << 2);
}

/**
 * Looks for four equal bytes at a distance near `distance`, from `at` on. Returns how far they are,
 * times 16, plus the way to their distance; the nearest ones, or NONE.
 */
// @ts-ignore: decorator
@inline
function findNear(at: usize, distance: i32): u32 {
  for (let tries: u32 = 0; tries < NEAR_TRIES; tries++) {
    const from = at + tries * NEAR_STEP;
    const bytes = v128.load(from);
    const other = from - distance;
    let key = keyOf(bytes, other, 0);
    if (key > 3 << 4) {
      key = min(key, keyOf(bytes, other - 1, 1));
      key = min(key, keyOf(bytes, other + 1, 2));
      key = min(key, keyOf(bytes, other - 2, 3));
      key = min(key, keyOf(bytes, other + 2, 4));
      key = min(key, keyOf(bytes, other - 3, 5));
      key = min(key, keyOf(bytes, other + 3, 6));
      key = min(key, keyOf(bytes, other - 4, 7));
      key = min(key, keyOf(bytes, other + 4, 8));
    }
    if (key == NONE) continue;
    const found = distanceBy(key & 15, distance);
    if (found <= 0 || from + (key >> 4) - found < PLAIN) continue;
    return key + ((tries * NEAR_STEP) << 4);
  }
  return NONE;
}

// @ts-ignore: decorator
@inline
function keyOf(bytes: v128, other: usize, way: u32): u32 {
  const equal = <u32>i8x16.bitmask(i8x16.eq(bytes, v128.load(other)));
  const pairs = equal & (equal >> 1);
  const fours = pairs & (pairs >> 2);
  return fours == 0 ? NONE : (<u32>ctz(fours) << 4) | way;
}

// @ts-ignore: decorator
@inline
function endOfMatch(at: usize, distance: i32, end: usize): usize {
  while (at + 16 <= end) {
    const equal = <u32>i8x16.bitmask(i8x16.eq(v128.load(at), v128.load(at - distance)));
    if (equal != 0xffff) return at + <usize>ctz(~equal);
    at += 16;
  }
  while (at < end && load<u8>(at) == load<u8>(at - distance)) at++;
  return at;
}

// @ts-ignore: decorator
@inline
function putSequence(anchor: usize, at: usize, next: usize, way: u32): void {
  const run = <u32>(at - anchor);
  putLiterals(anchor, run);
  let symbol = run;
  if (run >= RUN_DIRECT) {
    const bucket = runBucket(run);
    symbol = RUN_DIRECT + bucket;
    putExtra(run - (16 << (2 * bucket)), 2 * bucket + 6);
  }
  store<u8>(runs, symbol * WAYS + way);
  const length = <u32>(next - at) - MATCH_MIN;
  symbol = length;
  if (length >= LENGTH_DIRECT) {
    const bits = 31 - clz<u32>(length);
    symbol = 58 + bits;
    putExtra(length - (1 << bits), bits);
  }
  store<u8>(runs + (LENGTHS - RUNS), symbol);
  runs++;
}

/** Copies literals, each with the byte before it. */
// @ts-ignore: decorator
@inline
function putLiterals(from: usize, count: u32): void {
  const to = literals;
  for (let i: usize = 0; i < count; i += 16) {
    const bytes = v128.load(from + i);
    const before = v128.load(from + i - 1);
    v128.store(to + 2 * i, v128.shuffle<u8>(bytes, before, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
    v128.store(to + 2 * i, v128.shuffle<u8>(bytes, before, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), 16);
  }
  literals = to + 2 * count;
}

/** Adds up to 24 bits. */
function putExtra(value: u32, bits: u32): void {
  waiting |= <u64>value << waitingBits;
  waitingBits += bits;
  store<u64>(extras, waiting);
  extras += waitingBits >> 3;
  waiting >>= waitingBits & ~7;
  waitingBits &= 7;
}
