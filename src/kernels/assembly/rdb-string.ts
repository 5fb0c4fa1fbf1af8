/**
 * Hot path, once per key and per value of a dump. Writes a string in the form that Redis itself
 * would choose for a dump:
 *
 *   C0 i8 · C1 i16 LE · C2 i32 LE       a canonical decimal that fits
 *   C3 <compressed> <length> LZF bytes  longer than 20 bytes, and at least 4 saved
 *   <length> bytes                      anything else
 *
 *   length: 00LLLLLL · 01LLLLLL LLLLLLLL · 80 and u32 big-endian
 */
import { copyApart } from './copy';
import { lzfCompress } from './lzf';

const DECIMAL_CHARS_MAX: u32 = 11;
const COMPRESS_ABOVE_BYTES: u32 = 20;
const COMPRESS_SAVES_BYTES_MIN: u32 = 4;

// @ts-ignore: decorator
@inline
function lengthBytes(length: u32): u32 {
  return length < 1 << 6 ? 1 : length < 1 << 14 ? 2 : 5;
}

// @ts-ignore: decorator
@inline
function writeLength(out: usize, length: u32): usize {
  if (length < 1 << 6) {
    store<u8>(out, length);
    return out + 1;
  }
  if (length < 1 << 14) {
    store<u8>(out, 0x40 | (length >> 8));
    store<u8>(out, length, 1);
    return out + 2;
  }
  store<u8>(out, 0x80);
  store<u32>(out, bswap<u32>(length), 1);
  return out + 5;
}

/**
 * Writes the integer form and returns its length in bytes. Returns 0 when the text is not the
 * canonical decimal form of a 32-bit integer: "007", "+1", "-0" and "" stay text.
 */
function writeDecimal(at: usize, bytes: u32, out: usize): u32 {
  const end = at + bytes;
  const negative = load<u8>(at) == 0x2d;
  if (negative) at++;
  if (at == end) return 0;
  const first: u32 = load<u8>(at) - 0x30;
  if (first == 0 && bytes > 1) return 0;
  // There are at most 11 digits, so this does not overflow.
  let magnitude: i64 = 0;
  for (; at < end; at++) {
    const digit = <u32>load<u8>(at) - 0x30;
    if (digit > 9) return 0;
    magnitude = magnitude * 10 + digit;
  }
  const value = negative ? -magnitude : magnitude;
  if (value == <i64>(<i8>value)) {
    store<u8>(out, 0xc0);
    store<u8>(out, <u8>value, 1);
    return 2;
  }
  if (value == <i64>(<i16>value)) {
    store<u8>(out, 0xc1);
    store<u16>(out, <u16>value, 1);
    return 3;
  }
  if (value == <i64>(<i32>value)) {
    store<u8>(out, 0xc2);
    store<u32>(out, <u32>value, 1);
    return 5;
  }
  return 0;
}

/** Writes the LZF form and returns its length in bytes. Returns 0 when it would save too little. */
function writeCompressed(at: usize, bytes: u32, out: usize): u32 {
  const most = bytes - COMPRESS_SAVES_BYTES_MIN;
  // The compressed length precedes the bytes, but is known only after compression. Room for the
  // longest length is left, and the gap is closed afterwards.
  const room = lengthBytes(most);
  const blob = out + 1 + room + lengthBytes(bytes);
  const compressed = lzfCompress(at, bytes, blob, most);
  if (compressed == 0) return 0;
  store<u8>(out, 0xc3);
  const behind = writeLength(writeLength(out + 1, compressed), bytes);
  if (behind != blob) memory.copy(behind, blob, compressed);
  return <u32>(behind - out) + compressed;
}

/**
 * Writes the dump's form of the string at `inPosition` and returns the number of bytes written. The
 * output area must have `inBytes` + 16 bytes and must not overlap the string.
 */
export function rdbString(inPosition: usize, inBytes: u32, outPosition: usize, compress: bool): u32 {
  if (inBytes <= DECIMAL_CHARS_MAX) {
    if (inBytes != 0) {
      const decimal = writeDecimal(inPosition, inBytes, outPosition);
      if (decimal != 0) return decimal;
    }
  } else if (compress && inBytes > COMPRESS_ABOVE_BYTES) {
    const compressed = writeCompressed(inPosition, inBytes, outPosition);
    if (compressed != 0) return compressed;
  }
  const text = writeLength(outPosition, inBytes);
  copyApart(text, inPosition, inBytes);
  return <u32>(text - outPosition) + inBytes;
}
