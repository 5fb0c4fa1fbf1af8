/**
 * Hot path. Copies within the kernels' memory. Keys and values are short, and each `memory.copy` is
 * a call out of the module, so up to 256 bytes are copied word by word here.
 */

/**
 * Copies `bytes` bytes from `from` to `to`. The two ranges must not overlap. Reads and writes
 * nothing outside them.
 */
// @ts-ignore: decorator
@inline
export function copyApart(to: usize, from: usize, bytes: u32): void {
  if (bytes > 256) {
    memory.copy(to, from, bytes);
    return;
  }
  if (bytes >= 8) {
    // The last word overlaps the one before it. This avoids a loop over the last bytes.
    const last: usize = bytes - 8;
    for (let at: usize = 0; at < last; at += 8) store<u64>(to + at, load<u64>(from + at));
    store<u64>(to + last, load<u64>(from + last));
    return;
  }
  for (let at: usize = 0; at < bytes; at++) store<u8>(to + at, load<u8>(from + at));
}
