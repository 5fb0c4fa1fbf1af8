/**
 * Hot path. Copying and comparing runs of bytes that are too short for native code, four bytes at a
 * time.
 *
 * `set` and `copyWithin` cost 50 to 70 ns before the first byte, a loop over bytes about 1.6 ns
 * each; what keys, values and elements are made of lies between 10 and 300 bytes. Words at any
 * address are what a DataView reads and writes, in code that the compiler writes in place. So the
 * arrays that are copied from and to all the time carry a view of themselves, see {@link withView};
 * others are copied byte by byte, or natively when they are long.
 *
 * Of native ways `set` is the wrong one for long runs: on shared memory it goes byte by byte, in
 * 300 us per MiB, unless source and target lie alike in their words. Buffer.fill with bytes as its
 * value is a memcpy that does not know of sharing, in 75 us. bench: micro/byte-copy
 */

/** Bytes that may carry a view of exactly themselves. */
export interface ViewedBytes extends Uint8Array {
  view?: DataView;
}

/** From here on words are worth it; up to there they are. */
const WORDS_BYTES_MIN = 8;
const WORDS_BYTES_MAX = 256;
/** Loops over bytes end here. */
const LOOP_BYTES_MAX = 40;
/**
 * From here on a call of fill costs less than `set` on shared memory, and about as much elsewhere.
 */
const FILL_BYTES_MIN = 320;

const { fill } = Buffer.prototype;

/** Gives an array that lives long its view. */
export function withView<T extends Uint8Array>(bytes: T): T {
  (bytes as ViewedBytes).view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return bytes;
}

/** Copies `length` bytes. Where both arrays are one, the runs do not overlap. */
export function copyBytes(
  from: ViewedBytes,
  start: number,
  to: ViewedBytes,
  at: number,
  length: number,
): void {
  if (length >= WORDS_BYTES_MIN && length <= WORDS_BYTES_MAX) {
    const source = from.view;
    const target = to.view;
    if (source !== undefined && target !== undefined) {
      copyWords(source, start, target, at, length);
      return;
    }
  }
  if (length <= LOOP_BYTES_MAX) {
    for (let i = 0; i < length; i++) to[at + i] = from[start + i]!;
  } else if (from === to) {
    to.copyWithin(at, start, start + length);
  } else if (length >= FILL_BYTES_MIN) {
    fill.call(to as Buffer, from.subarray(start, start + length), at, at + length);
  } else {
    to.set(from.subarray(start, start + length), at);
  }
}

/** Sixteen bytes a round: a quarter of the rounds of words alone, at less than half of the time. */
function copyWords(from: DataView, start: number, to: DataView, at: number, length: number): void {
  let i = 0;
  for (; i + 16 <= length; i += 16) {
    const a = from.getInt32(start + i, true);
    const b = from.getInt32(start + i + 4, true);
    const c = from.getInt32(start + i + 8, true);
    const d = from.getInt32(start + i + 12, true);
    to.setInt32(at + i, a, true);
    to.setInt32(at + i + 4, b, true);
    to.setInt32(at + i + 8, c, true);
    to.setInt32(at + i + 12, d, true);
  }
  for (; i + 4 <= length; i += 4) to.setInt32(at + i, from.getInt32(start + i, true), true);
  for (; i < length; i++) to.setUint8(at + i, from.getUint8(start + i));
}

/** Whether two runs of `length` bytes are the same. */
export function equalBytes(
  a: ViewedBytes,
  aStart: number,
  b: ViewedBytes,
  bStart: number,
  length: number,
): boolean {
  const aView = a.view;
  const bView = b.view;
  if (length < 4 || aView === undefined || bView === undefined) {
    for (let i = 0; i < length; i++) if (a[aStart + i] !== b[bStart + i]) return false;
    return true;
  }
  const last = length - 4;
  let i = 0;
  for (; i + 16 <= length; i += 16) {
    const difference =
      (aView.getInt32(aStart + i, true) ^ bView.getInt32(bStart + i, true)) |
      (aView.getInt32(aStart + i + 4, true) ^ bView.getInt32(bStart + i + 4, true)) |
      (aView.getInt32(aStart + i + 8, true) ^ bView.getInt32(bStart + i + 8, true)) |
      (aView.getInt32(aStart + i + 12, true) ^ bView.getInt32(bStart + i + 12, true));
    if (difference !== 0) return false;
  }
  for (; i < last; i += 4) {
    if (aView.getInt32(aStart + i, true) !== bView.getInt32(bStart + i, true)) return false;
  }
  // The last word may overlap the one before it.
  return aView.getInt32(aStart + last, true) === bView.getInt32(bStart + last, true);
}
