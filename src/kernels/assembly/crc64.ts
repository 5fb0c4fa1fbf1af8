/**
 * Hot path. CRC64 "Jones" as Redis uses it: polynomial 0xad93d23594c935a9, reflected in and out,
 * initial value 0, no final xor.
 *
 * Slicing by 16: table k has the effect of a byte on the checksum when k more bytes follow it. So
 * sixteen bytes cost sixteen independent loads instead of a chain of sixteen dependent ones.
 *
 *   state ^ bytes 0..7    → tables 15 14 13 12 11 10 9 8  ┐
 *   bytes 8..15           → tables  7  6  5  4  3  2 1 0  ┴ xor → new state
 */
import { CRC_TABLES } from './layout';

/** 0xad93d23594c935a9 with its bits reversed. */
const POLYNOMIAL_REFLECTED: u64 = 0x95ac9329ac4bc9b5;
const SLICE_BYTES: usize = 2048;

let state: u64 = 0;

/** Fills the tables. Must be called once, before any other function. */
export function crcPrepare(): void {
  for (let byte: usize = 0; byte < 256; byte++) {
    let crc = <u64>byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL_REFLECTED : 0);
    store<u64>(CRC_TABLES + (byte << 3), crc);
  }
  for (let at: usize = CRC_TABLES + SLICE_BYTES; at < CRC_TABLES + 16 * SLICE_BYTES; at += 8) {
    const before = load<u64>(at - SLICE_BYTES);
    store<u64>(at, (before >> 8) ^ load<u64>(CRC_TABLES + ((<usize>before & 0xff) << 3)));
  }
}

export function crcReset(): void {
  state = 0;
}

export function crcLow(): u32 {
  return <u32>state;
}

export function crcHigh(): u32 {
  return <u32>(state >> 32);
}

// Each of these functions returns the effect of the four bytes of a word. Its name tells how many
// bytes follow the first, lowest byte. There are four functions because the offset of a load must
// be a literal constant. An added table index would make the loop a quarter slower.

// @ts-ignore: decorator
@inline
function followedBy15(word: u32): u64 {
  return (
    load<u64>((word << 3) & 0x7f8, CRC_TABLES + 15 * SLICE_BYTES) ^
    load<u64>((word >> 5) & 0x7f8, CRC_TABLES + 14 * SLICE_BYTES) ^
    load<u64>((word >> 13) & 0x7f8, CRC_TABLES + 13 * SLICE_BYTES) ^
    load<u64>((word >> 21) & 0x7f8, CRC_TABLES + 12 * SLICE_BYTES)
  );
}

// @ts-ignore: decorator
@inline
function followedBy11(word: u32): u64 {
  return (
    load<u64>((word << 3) & 0x7f8, CRC_TABLES + 11 * SLICE_BYTES) ^
    load<u64>((word >> 5) & 0x7f8, CRC_TABLES + 10 * SLICE_BYTES) ^
    load<u64>((word >> 13) & 0x7f8, CRC_TABLES + 9 * SLICE_BYTES) ^
    load<u64>((word >> 21) & 0x7f8, CRC_TABLES + 8 * SLICE_BYTES)
  );
}

// @ts-ignore: decorator
@inline
function followedBy7(word: u32): u64 {
  return (
    load<u64>((word << 3) & 0x7f8, CRC_TABLES + 7 * SLICE_BYTES) ^
    load<u64>((word >> 5) & 0x7f8, CRC_TABLES + 6 * SLICE_BYTES) ^
    load<u64>((word >> 13) & 0x7f8, CRC_TABLES + 5 * SLICE_BYTES) ^
    load<u64>((word >> 21) & 0x7f8, CRC_TABLES + 4 * SLICE_BYTES)
  );
}

// @ts-ignore: decorator
@inline
function followedBy3(word: u32): u64 {
  return (
    load<u64>((word << 3) & 0x7f8, CRC_TABLES + 3 * SLICE_BYTES) ^
    load<u64>((word >> 5) & 0x7f8, CRC_TABLES + 2 * SLICE_BYTES) ^
    load<u64>((word >> 13) & 0x7f8, CRC_TABLES + 1 * SLICE_BYTES) ^
    load<u64>((word >> 21) & 0x7f8, CRC_TABLES + 0 * SLICE_BYTES)
  );
}

export function crcUpdate(position: usize, bytes: u32): void {
  let crc = state;
  let at = position;
  const end = at + bytes;
  while (end - at >= 16) {
    const head = crc ^ load<u64>(at);
    const tail = followedBy7(load<u32>(at, 8)) ^ followedBy3(load<u32>(at, 12));
    crc = tail ^ followedBy15(<u32>head) ^ followedBy11(<u32>(head >> 32));
    at += 16;
  }
  if (end - at >= 8) {
    const head = crc ^ load<u64>(at);
    crc = followedBy7(<u32>head) ^ followedBy3(<u32>(head >> 32));
    at += 8;
  }
  while (at < end) {
    crc = (crc >> 8) ^ load<u64>((((<u32>crc) ^ load<u8>(at)) & 0xff) << 3, CRC_TABLES);
    at++;
  }
  state = crc;
}
