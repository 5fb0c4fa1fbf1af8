/** Hot path. One bit per page, set while the page is in use; read in words of 32. */

/** The first page from `page` on that is not in use, or `end`. */
export function firstFree(bitmap: Int32Array, page: number, end: number): number {
  let at = page;
  while (at < end) {
    const free = ~bitmap[at >>> 5]! >>> (at & 31);
    if (free !== 0) return Math.min(end, at + 31 - Math.clz32(free & -free));
    at = ((at >>> 5) + 1) << 5;
  }
  return end;
}

/** The first page from `page` on that is in use, or `end`. */
export function firstUsed(bitmap: Int32Array, page: number, end: number): number {
  let at = page;
  while (at < end) {
    const used = bitmap[at >>> 5]! >>> (at & 31);
    if (used !== 0) return Math.min(end, at + 31 - Math.clz32(used & -used));
    at = ((at >>> 5) + 1) << 5;
  }
  return end;
}

export function setBits(bitmap: Int32Array, from: number, count: number): void {
  for (let at = from; at < from + count; ) {
    const bits = Math.min(32 - (at & 31), from + count - at);
    bitmap[at >>> 5]! |= (-1 >>> (32 - bits)) << (at & 31);
    at += bits;
  }
}

export function clearBits(bitmap: Int32Array, from: number, count: number): void {
  for (let at = from; at < from + count; ) {
    const bits = Math.min(32 - (at & 31), from + count - at);
    bitmap[at >>> 5]! &= ~((-1 >>> (32 - bits)) << (at & 31));
    at += bits;
  }
}
