/**
 * Hot path. Writes the bytes before and behind the data of a listpack entry. listpack-read.ts draws
 * the forms.
 */
import { backLengthBytes, COUNT_AT, COUNT_UNKNOWN, ElementCode } from './listpack-read.ts';

/** The longest encoding of an integer, in bytes. The length header of a string is shorter. */
export const ELEMENT_CODE_BYTES_MAX = 9;

/**
 * Writes the shortest encoding of an integer, given as signed halves, to the start of `code`.
 * Returns its length in bytes.
 */
export function encodeInteger(code: Uint8Array, high: number, low: number): number {
  if (low >> 31 !== high) {
    code[0] = ElementCode.INT_64;
    writeU32(code, 1, low);
    writeU32(code, 5, high);
    return 9;
  }
  if (low >= 0 && low <= 127) {
    code[0] = low;
    return 1;
  }
  if (low >= -4096 && low <= 4095) {
    code[0] = ElementCode.INT_13 | ((low >> 8) & 0x1f);
    code[1] = low;
    return 2;
  }
  // The write may fill more bytes than the encoding has. The returned length leaves them out.
  writeU32(code, 1, low);
  if (low >= -32768 && low <= 32767) {
    code[0] = ElementCode.INT_16;
    return 3;
  }
  if (low >= -8388608 && low <= 8388607) {
    code[0] = ElementCode.INT_24;
    return 4;
  }
  code[0] = ElementCode.INT_32;
  return 5;
}

/**
 * Writes the header of a string of `length` bytes to the start of `code`. Returns the header's
 * length in bytes.
 */
export function encodeStringHeader(code: Uint8Array, length: number): number {
  if (length < 64) {
    code[0] = ElementCode.STRING_6 | length;
    return 1;
  }
  if (length < 4096) {
    code[0] = ElementCode.STRING_12 | (length >> 8);
    code[1] = length;
    return 2;
  }
  code[0] = ElementCode.STRING_32;
  writeU32(code, 1, length);
  return 5;
}

/** Writes at `at` the back length of an entry whose encoding and data have `encoded` bytes. */
export function writeBackLength(u8: Uint8Array, at: number, encoded: number): void {
  let rest = encoded;
  for (let back = at + backLengthBytes(encoded) - 1; back > at; back--) {
    u8[back] = (rest & 127) | 128;
    rest = Math.floor(rest / 128);
  }
  u8[at] = rest;
}

export function writeU32(u8: Uint8Array, at: number, value: number): void {
  u8[at] = value;
  u8[at + 1] = value >>> 8;
  u8[at + 2] = value >>> 16;
  u8[at + 3] = value >>> 24;
}

/** Writes a listpack's header: its length in bytes and its number of entries. */
export function writeHeader(u8: Uint8Array, base: number, total: number, count: number): void {
  writeU32(u8, base, total);
  const noted = Math.min(count, COUNT_UNKNOWN);
  u8[base + COUNT_AT] = noted;
  u8[base + COUNT_AT + 1] = noted >>> 8;
}
