/**
 * Hot path. The layout of an entry: key, type, encoding, deadline and, for most strings, the value,
 * in one object.
 *
 *   word 0   META     bits 0-2 type · bit 3 DEADLINE_PLACE · bits 4-7 encoding ·
 *                     bits 8-31 access clock (LRU or LFU)
 *   word 1   KEY      bytes of the key
 *   word 2   VALUE    string in place: its bytes · separate string: ref of its block ·
 *                     else: ref of the structure
 *   word 3   SLOT     only with DEADLINE_PLACE: number in the expiry index, -1 without a deadline
 *   word 4-5 DEADLINE only with DEADLINE_PLACE: ms since 1970 as a double
 *   bytes    key, then the value of a string in place
 *
 * The block of a separate string: word 0 its bytes, word 1 unused, then the bytes.
 *
 * PERSIST keeps the place of the deadline; only the slot tells whether there is one.
 */
import type { Arena } from '../arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';
import { equalBytes } from '../base/byte-copy.ts';
import { asRef, type Ref } from '../base/units.ts';

/** Numbers as in Redis' object types. */
export const ValueType = { STRING: 0, LIST: 1, SET: 2, ZSET: 3, HASH: 4, STREAM: 6 } as const;
export type ValueType = (typeof ValueType)[keyof typeof ValueType];

export const Encoding = {
  INT: 0,
  EMBSTR: 1,
  RAW: 2,
  /** `raw` to clients: a string in a block of its own. */
  RAW_APART: 3,
  LISTPACK: 4,
  INTSET: 5,
  HASHTABLE: 6,
  QUICKLIST: 7,
  SKIPLIST: 8,
  STREAM: 9,
} as const;
export type Encoding = (typeof Encoding)[keyof typeof Encoding];

export const EntryWord = { META: 0, KEY: 1, VALUE: 2, SLOT: 3, DEADLINE: 4 } as const;
export const ENTRY_BYTES = 12;
export const ENTRY_WITH_DEADLINE_BYTES = 24;
export const DEADLINE_PLACE = 1 << 3;
export const TYPE_MASK = 7;
export const ENCODING_SHIFT = 4;
export const ENCODING_MASK = 15;
export const ACCESS_SHIFT = 8;
export const NO_SLOT = -1;

/** Bytes before the characters of a separate string. */
export const STRING_HEADER_BYTES = 8;
/** An entry longer than this keeps its string apart, so that moving the entry stays cheap. */
export const ENTRY_IN_PLACE_BYTES_MAX = 2048;
/** Longest string that a client is told is `embstr`. */
export const EMBSTR_BYTES_MAX = 44;

export const metaType = (meta: number): ValueType => (meta & TYPE_MASK) as ValueType;
export const metaEncoding = (meta: number): Encoding =>
  ((meta >>> ENCODING_SHIFT) & ENCODING_MASK) as Encoding;
export const metaHeaderBytes = (meta: number): number =>
  (meta & DEADLINE_PLACE) !== 0 ? ENTRY_WITH_DEADLINE_BYTES : ENTRY_BYTES;
export const packMeta = (
  type: ValueType,
  encoding: Encoding,
  deadlinePlace: boolean,
  access: number,
): number =>
  type |
  (deadlinePlace ? DEADLINE_PLACE : 0) |
  (encoding << ENCODING_SHIFT) |
  (access << ACCESS_SHIFT);

/**
 * Whether a META has this type and this access clock and no place for a deadline, whatever the
 * encoding.
 */
export const isPlain = (meta: number, type: ValueType, access: number): boolean =>
  ((meta ^ (type | (access << ACCESS_SHIFT))) & ~(ENCODING_MASK << ENCODING_SHIFT)) === 0;

/** Whether a META is of a string in its entry, without a place for a deadline. */
export const isPlainString = (meta: number): boolean =>
  (meta & (TYPE_MASK | DEADLINE_PLACE)) === ValueType.STRING &&
  metaEncoding(meta) !== Encoding.RAW_APART;

/**
 * The place of the bytes of a key or string. The readers below fill it in. Stale after the next
 * write to the arena.
 */
export class BytesView {
  bytes: Uint8Array = EMPTY;
  position = 0;
  length = 0;

  /** Drops the bytes, so that their segment can be freed. */
  forget(): void {
    this.bytes = EMPTY;
  }
}
const EMPTY = new Uint8Array(0);

/** Reads entries of one arena. */
export class EntryReader {
  readonly arena: Arena;

  constructor(arena: Arena) {
    this.arena = arena;
  }

  word(entry: Ref, word: number): number {
    return this.arena.i32[entry >>> SEGMENT_SHIFT]![wordPosition(entry) + word]!;
  }

  meta(entry: Ref): number {
    return this.arena.i32[entry >>> SEGMENT_SHIFT]![wordPosition(entry)]!;
  }

  type(entry: Ref): ValueType {
    return metaType(this.word(entry, EntryWord.META));
  }

  encoding(entry: Ref): Encoding {
    return metaEncoding(this.word(entry, EntryWord.META));
  }

  /** The 24 bits of the access clock. */
  access(entry: Ref): number {
    return this.word(entry, EntryWord.META) >>> ACCESS_SHIFT;
  }

  /** Ref of the structure that the entry of a collection holds. */
  value(entry: Ref): Ref {
    return asRef(this.word(entry, EntryWord.VALUE));
  }

  /** ms since 1970, or -1 when the entry has no deadline. */
  deadline(entry: Ref): number {
    if ((this.word(entry, EntryWord.META) & DEADLINE_PLACE) === 0) return -1;
    if (this.word(entry, EntryWord.SLOT) === NO_SLOT) return -1;
    return this.arena.f64[entry >>> SEGMENT_SHIFT]![
      (wordPosition(entry) + EntryWord.DEADLINE) >>> 1
    ]!;
  }

  keyLength(entry: Ref): number {
    return this.word(entry, EntryWord.KEY);
  }

  /** Whether the key of `entry` is these bytes. */
  keyEquals(entry: Ref, bytes: Uint8Array, start: number, length: number): boolean {
    const segment = entry >>> SEGMENT_SHIFT;
    const i32 = this.arena.i32[segment]!;
    const word = wordPosition(entry);
    // Compares the length first: most keys that share a tag differ in it.
    if (i32[word + EntryWord.KEY] !== length) return false;
    const at = bytePosition(entry) + metaHeaderBytes(i32[word + EntryWord.META]!);
    return equalBytes(this.arena.u8[segment]!, at, bytes, start, length);
  }

  keyInto(entry: Ref, view: BytesView): void {
    const segment = entry >>> SEGMENT_SHIFT;
    view.bytes = this.arena.u8[segment]!;
    view.position = bytePosition(entry) + metaHeaderBytes(this.word(entry, EntryWord.META));
    view.length = this.word(entry, EntryWord.KEY);
  }

  /** The bytes of a string entry's value, whatever its encoding. */
  stringInto(entry: Ref, view: BytesView): void {
    const segment = entry >>> SEGMENT_SHIFT;
    const i32 = this.arena.i32[segment]!;
    const word = wordPosition(entry);
    const meta = i32[word + EntryWord.META]!;
    const value = i32[word + EntryWord.VALUE]!;
    if (metaEncoding(meta) === Encoding.RAW_APART) {
      const apart = value >>> SEGMENT_SHIFT;
      view.bytes = this.arena.u8[apart]!;
      view.position = bytePosition(value) + STRING_HEADER_BYTES;
      view.length = this.arena.i32[apart]![wordPosition(value)]!;
    } else {
      view.bytes = this.arena.u8[segment]!;
      view.position = bytePosition(entry) + metaHeaderBytes(meta) + i32[word + EntryWord.KEY]!;
      view.length = value;
    }
  }
}
