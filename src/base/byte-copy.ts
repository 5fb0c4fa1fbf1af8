/**
 * Hot path. Copies and compares runs of bytes that are too short for native code, four bytes at a
 * time.
 *
 * `set` and `copyWithin` cost 50 to 70 ns before the first byte. A loop costs about 1.6 ns per
 * byte. Keys, values and elements mostly have 10 to 300 bytes. A DataView reads and writes words at
 * any address, and the compiler inlines it. So arrays that are copied often carry a view of
 * themselves, see {@link withView}. Others are copied byte by byte, or natively when they are long.
 *
 * `set` is too slow for long runs. On shared memory it copies byte by byte, in 300 us per MiB,
 * unless source and target have the same alignment. Buffer.fill with bytes as its value is a memcpy
 * that ignores sharing, in 75 us. bench: micro/byte-copy
 */

/** Bytes that may carry a DataView of the same memory. */
export interface ViewedBytes extends Uint8Array {
  view?: DataView;
}

/** Copying by words is faster between these two lengths. */
const WORDS_BYTES_MIN = 8;
const WORDS_BYTES_MAX = 256;
/** The greatest length for a loop over bytes. */
const LOOP_BYTES_MAX = 40;
/** From this length on fill costs less than `set` on shared memory, and about as much elsewhere. */
const FILL_BYTES_MIN = 320;

const { fill } = Buffer.prototype;

/** Attaches a DataView to an array that lives long. Returns the array. */
export function withView<T extends Uint8Array>(bytes: T): T {
  (bytes as ViewedBytes).view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return bytes;
}

/** Copies `length` bytes. When both arrays are the same, the two ranges must not overlap. */
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

/**
 * Copies sixteen bytes per round. This takes less than half the time of a loop over single words.
 */
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

/** Returns whether two runs of `length` bytes are equal. */
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
