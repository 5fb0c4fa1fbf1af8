/**
 * Hot path. Arithmetic on strings that are integers, in the digits of their entries: as long as
 * these are as many, nothing else changes. Deadlines stay. For the thread that owns the arena.
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
/** Integers of so many digits are safe; of those with one more not all are. */
const DIGITS_MAX = 15;

const isInteger = (meta: number): boolean =>
  metaType(meta) === ValueType.STRING && metaEncoding(meta) === Encoding.INT;

/**
 * Adds to the integer in `entry` and returns the sum. NaN, and nothing is changed, when that is
 * another kind of value, or the sum no safe integer of as many digits.
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
 * Adds one, without a look at most of the digits, and leaves a view of them in `into`. False, and
 * nothing is changed, when that is another kind of value, a negative one or a very great one, or
 * would have one digit more.
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
