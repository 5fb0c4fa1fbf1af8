/**
 * Reads zipmaps: the small hashes in dumps of Redis before 2.6. Nothing writes them. Any thread.
 *
 *   count u8 · { length · field · length · free u8 · value · free bytes }* · 0xff
 *
 *   count    the count of pairs; 254 or more tells only that there are that many
 *   length   one byte below 254, or 254 and a u32 LE
 */
const BIG = 254;
const END = 255;

/** Told of each field and, after it, its value. */
export type ZipmapVisitor = (position: number, length: number) => void;

/**
 * Visits all strings of [start, start + length) of `bytes`. Returns false, after some visits, when
 * that is no zipmap.
 */
export function readZipmap(
  bytes: Uint8Array,
  start: number,
  length: number,
  visit: ZipmapVisitor,
): boolean {
  if (length < 2) return false;
  const end = start + length - 1;
  if (bytes[end] !== END) return false;
  let pairs = 0;
  for (let at = start + 1; at !== end; pairs++) {
    at = visitString(bytes, at, end, 0, visit);
    if (at < 0) return false;
    at = visitString(bytes, at, end, 1, visit);
    if (at < 0) return false;
  }
  return bytes[start]! >= BIG || bytes[start] === pairs;
}

/**
 * Visits the string whose length stands at `at`. Returns the position behind it, which is `end` at
 * most, or -1.
 */
function visitString(
  bytes: Uint8Array,
  at: number,
  end: number,
  freeBytes: number,
  visit: ZipmapVisitor,
): number {
  const first = bytes[at]!;
  let data = at + 1;
  let length = first;
  if (first >= BIG) {
    data = at + 5;
    if (first === END || data > end) return -1;
    length =
      (bytes[at + 1]! | (bytes[at + 2]! << 8) | (bytes[at + 3]! << 16) | (bytes[at + 4]! << 24)) >>>
      0;
  }
  if (data + freeBytes > end) return -1;
  const free = freeBytes > 0 ? bytes[data]! : 0;
  data += freeBytes;
  if (data + length + free > end) return -1;
  visit(data, length);
  return data + length + free;
}
