/**
 * Hot path. Arithmetic on strings that are integers, directly in the digits of their entries.
 * Nothing else changes while the number of digits is the same. Deadlines stay. For the thread that
 * owns the arena.
 */
import type { Arena } from '../arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';
import { decimalLength, parseInteger, writeDecimal } from '../base/bytes.ts';
import type { Ref } from '../base/units.ts';
import {
  type BytesView,
  Encoding,
  EntryWord,
  metaEncoding,
  metaHeaderBytes,
  metaType,
  ValueType,
} from './entry.ts';

const DIGIT_0 = 0x30;
const DIGIT_9 = 0x39;
const MINUS = 0x2d;
/** All integers of this many digits are safe; with one digit more, not all are. */
const DIGITS_MAX = 15;

const isInteger = (meta: number): boolean =>
  metaType(meta) === ValueType.STRING && metaEncoding(meta) === Encoding.INT;

/**
 * Adds to the integer in `entry` and returns the sum. Returns NaN and changes nothing when the
 * value is of another kind, or when the sum is not a safe integer with the same number of digits.
 */
export function addInPlace(arena: Arena, entry: Ref, delta: number): number {
  const segment = entry >>> SEGMENT_SHIFT;
  const i32 = arena.i32[segment]!;
  const word = wordPosition(entry);
  const meta = i32[word + EntryWord.META]!;
  if (!isInteger(meta)) return Number.NaN;
  const length = i32[word + EntryWord.VALUE]!;
  const from = metaHeaderBytes(meta) + i32[word + EntryWord.KEY]!;
  const u8 = arena.u8[segment]!;
  const at = bytePosition(entry) + from;
  const sum = parseInteger(u8, at, length) + delta;
  if (!Number.isSafeInteger(sum) || decimalLength(sum) !== length) return Number.NaN;
  arena.touch(entry, from, length);
  writeDecimal(u8, at, sum);
  return sum;
}

/**
 * Adds one without reading most of the digits, and leaves a view of them in `into`. Returns false
 * and changes nothing when the value is of another kind, negative or very great, or would get one
 * digit more.
 */
export function incrementInPlace(arena: Arena, entry: Ref, into: BytesView): boolean {
  const segment = entry >>> SEGMENT_SHIFT;
  const i32 = arena.i32[segment]!;
  const word = wordPosition(entry);
  const meta = i32[word + EntryWord.META]!;
  if (!isInteger(meta)) return false;
  const length = i32[word + EntryWord.VALUE]!;
  const from = metaHeaderBytes(meta) + i32[word + EntryWord.KEY]!;
  const u8 = arena.u8[segment]!;
  const at = bytePosition(entry) + from;
  const end = at + length;
  let nines = end;
  while (nines > at && u8[nines - 1] === DIGIT_9) nines--;
  if (nines === at || u8[at] === MINUS || length > DIGITS_MAX) return false;
  arena.touch(entry, from, length);
  u8[nines - 1]!++;
  for (let i = nines; i < end; i++) u8[i] = DIGIT_0;
  into.bytes = u8;
  into.position = at;
  into.length = length;
  return true;
}
