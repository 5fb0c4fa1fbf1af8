/**
 * Copying inside the kernels' memory. Keys and values are short, and `memory.copy` leaves the
 * module for each call, so up to 256 bytes are copied by words here. Hot path.
 */

/**
 * Copies `bytes` from `from` to `to`; the two ranges must not overlap. Touches nothing outside
 * them.
 */
// @ts-ignore: decorator
@inline
export function copyApart(to: usize, from: usize, bytes: u32): void {
  if (bytes > 256) {
    memory.copy(to, from, bytes);
    return;
  }
  if (bytes >= 8) {
    // The last word overlaps the one before it, which saves the loop over a tail.
    const last: usize = bytes - 8;
    for (let at: usize = 0; at < last; at += 8) store<u64>(to + at, load<u64>(from + at));
    store<u64>(to + last, load<u64>(from + last));
    return;
  }
  for (let at: usize = 0; at < bytes; at++) store<u8>(to + at, load<u8>(from + at));
}
