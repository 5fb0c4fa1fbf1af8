/**
 * Hot path. Listpacks in the arena: small hashes, sets, sorted sets and lists, the nodes of
 * quicklists and of streams. Each listpack is one object, with the bytes that Redis keeps and
 * dumps, so a snapshot copies them. listpack-read.ts draws the layout.
 *
 * Positions are bytes from the start of the listpack; {@link END} stands for "no entry". A change
 * returns the new place of the listpack, which is the old one while the block has room. A listpack
 * that outgrows its block gets one that is an eighth longer than needed. When less than half of a
 * block is used, the listpack moves to a shorter block if there is memory for one. Stale after a
 * change: the ref that was passed in, every position, every view of an element. Bytes to be
 * inserted must not lie in the listpack itself.
 *
 * A listpack never passes 1 GiB. A change that would make it longer returns NIL and changes
 * nothing.
 */
import type { Arena } from '../arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT } from '../arena/layout.ts';
import { assert, debugAssert, debugChecks } from '../base/assert.ts';
import { copyBytes } from '../base/byte-copy.ts';
import { codeOf, ErrorCode } from '../base/errors.ts';
import { NIL, type Ref } from '../base/units.ts';
import { ByteMover } from './byte-mover.ts';
import { EncodedElement } from './encoded-element.ts';
import { highHalf } from './int64.ts';
import { validateListpack } from './listpack-check.ts';
import { writeU32 } from './listpack-encode.ts';
import {
  beforeEntry,
  behindEntry,
  COUNT_AT,
  COUNT_UNKNOWN,
  countBetween,
  countEntries,
  ElementCode,
  type ElementView,
  END,
  elementEquals,
  findElement,
  headerCount,
  LISTPACK_BYTES_MAX,
  LISTPACK_EMPTY_BYTES,
  LISTPACK_HEADER_BYTES,
  listpackBytes,
  readElement,
  SHORT_LENGTH_MASK,
  TERMINATOR,
} from './listpack-read.ts';

/** A block up to this size is kept, even if most of it is unused. */
const KEPT_BLOCK_BYTES = 64;
const GROWTH_SHIFT = 3;

export class Listpack {
  /**
   * The position that the last change set: of the inserted element, or of the element behind the
   * deleted ones, or END.
   */
  at = END;
  readonly #arena: Arena;
  readonly #mover: ByteMover;
  readonly #element: EncodedElement;
  /** The second element of a pair. */
  readonly #second: EncodedElement;

  constructor(arena: Arena) {
    this.#arena = arena;
    this.#mover = new ByteMover(arena);
    this.#element = new EncodedElement(this.#mover);
    this.#second = new EncodedElement(this.#mover);
  }

  /** Makes an empty listpack in a block of at least `roomBytes`. */
  create(roomBytes = 0): Ref {
    const ref = this.#arena.alloc(Math.max(roomBytes, LISTPACK_EMPTY_BYTES));
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    const base = bytePosition(ref);
    writeU32(u8, base, LISTPACK_EMPTY_BYTES);
    writeCount(u8, base, 0);
    u8[base + LISTPACK_HEADER_BYTES] = TERMINATOR;
    return ref;
  }

  /** Copies the listpack at `start`, which must be valid, into a new block without spare room. */
  fromBytes(bytes: Uint8Array, start: number, length: number): Ref {
    debugAssert(
      validateListpack(bytes, start, length, true),
      'a listpack is made from a valid one',
    );
    const ref = this.#arena.alloc(length);
    this.#mover.copyIn(bytes, start, ref >>> SEGMENT_SHIFT, bytePosition(ref), length);
    return ref;
  }

  copy(ref: Ref): Ref {
    const bytes = this.byteLength(ref);
    const to = this.#arena.alloc(bytes);
    this.#copyBytes(ref, 0, to, 0, bytes);
    return to;
  }

  free(ref: Ref): void {
    this.#arena.free(ref);
  }

  byteLength(ref: Ref): number {
    return listpackBytes(this.#arena.u8[ref >>> SEGMENT_SHIFT]!, bytePosition(ref));
  }

  /**
   * Returns the number of entries. When the header does not have it, walks over the entries, and
   * writes the count to the header if it fits again.
   */
  count(ref: Ref): number {
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    const base = bytePosition(ref);
    const noted = headerCount(u8, base);
    if (noted !== COUNT_UNKNOWN) return noted;
    const count = countEntries(u8, base);
    if (count < COUNT_UNKNOWN) {
      this.#arena.touch(ref, COUNT_AT, 2);
      writeCount(u8, base, count);
    }
    return count;
  }

  /** Returns whether an element of `bytes` bytes can be added within the limit. */
  safeToAdd(ref: Ref, bytes: number): boolean {
    return this.byteLength(ref) + bytes <= LISTPACK_BYTES_MAX;
  }

  /** Returns the position of the first entry, or END. */
  first(ref: Ref): number {
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    return u8[bytePosition(ref) + LISTPACK_HEADER_BYTES] === TERMINATOR
      ? END
      : LISTPACK_HEADER_BYTES;
  }

  last(ref: Ref): number {
    return this.previous(ref, END);
  }

  next(ref: Ref, at: number): number {
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    const base = bytePosition(ref);
    const behind = behindEntry(u8, base + at);
    return u8[behind] === TERMINATOR ? END : behind - base;
  }

  /**
   * Returns the position of the entry before the one at `at`, or END when that is the first. For
   * `at` END returns the position of the last entry.
   */
  previous(ref: Ref, at: number): number {
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    const base = bytePosition(ref);
    const from = at === END ? listpackBytes(u8, base) - 1 : at;
    return from === LISTPACK_HEADER_BYTES ? END : beforeEntry(u8, base + from) - base;
  }

  /**
   * Returns the position of the entry at an index, or END when there is none. The index counts from
   * 0 up, or from -1 down to count from the end.
   */
  seek(ref: Ref, index: number): number {
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    const base = bytePosition(ref);
    const count = headerCount(u8, base);
    let backwards = index < 0;
    if (count !== COUNT_UNKNOWN) {
      if (index < 0) index += count;
      if (index < 0 || index >= count) return END;
      // Walks over the shorter part.
      backwards = index > count >>> 1;
      if (backwards) index -= count;
    }
    if (backwards) return this.#seekBackwards(u8, base, index);
    let at = base + LISTPACK_HEADER_BYTES;
    for (; index > 0 && u8[at] !== TERMINATOR; index--) at = behindEntry(u8, at);
    return u8[at] === TERMINATOR ? END : at - base;
  }

  /** Fills `view` with the element at `at`. */
  read(ref: Ref, at: number, view: ElementView): void {
    readElement(this.#arena.u8[ref >>> SEGMENT_SHIFT]!, bytePosition(ref) + at, view);
  }

  /**
   * Returns whether the element at `at` is equal to the bytes. An integer is equal to its canonical
   * decimal form.
   */
  equals(ref: Ref, at: number, bytes: Uint8Array, start: number, length: number): boolean {
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    return elementEquals(u8, bytePosition(ref) + at, bytes, start, length);
  }

  /**
   * Returns the position of the first element that is equal to the bytes. Compares the entry at
   * `from` and every entry `skip` + 1 further.
   */
  find(
    ref: Ref,
    from: number,
    bytes: Uint8Array,
    start: number,
    length: number,
    skip: number,
  ): number {
    if (from === END) return END;
    const base = bytePosition(ref);
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    const found = findElement(u8, base + from, bytes, start, length, skip);
    return found === END ? END : found - base;
  }

  /**
   * Inserts an element before the entry at `at`, or at the end for END. A canonical integer is
   * stored as an integer.
   */
  insert(ref: Ref, at: number, bytes: Uint8Array, start: number, length: number): Ref {
    this.#element.take(bytes, start, length);
    return this.#write(ref, at === END ? this.byteLength(ref) - 1 : at, 0, 1);
  }

  append(ref: Ref, bytes: Uint8Array, start: number, length: number): Ref {
    return this.insert(ref, END, bytes, start, length);
  }

  /** Appends two elements in one move. Afterwards either both are there or none. */
  appendPair(
    ref: Ref,
    first: Uint8Array,
    firstStart: number,
    firstLength: number,
    second: Uint8Array,
    secondStart: number,
    secondLength: number,
  ): Ref {
    this.#element.take(first, firstStart, firstLength);
    this.#second.take(second, secondStart, secondLength);
    const { entryBytes } = this.#element;
    const at = this.byteLength(ref) - 1;
    const to = this.#splice(ref, at, 0, entryBytes + this.#second.entryBytes, 2);
    if (to !== NIL) {
      const segment = to >>> SEGMENT_SHIFT;
      const u8 = this.#arena.u8[segment]!;
      const position = bytePosition(to) + at;
      this.#element.write(u8, segment, position);
      this.#second.write(u8, segment, position + entryBytes);
      this.at = at;
    }
    this.#element.drop();
    this.#second.drop();
    return to;
  }

  prepend(ref: Ref, bytes: Uint8Array, start: number, length: number): Ref {
    return this.insert(ref, LISTPACK_HEADER_BYTES, bytes, start, length);
  }

  /**
   * Inserts `length` bytes that are `entries` complete entries, before the entry at `at`, or at the
   * end for END.
   */
  insertEntries(ref: Ref, at: number, bytes: Uint8Array, length: number, entries: number): Ref {
    const position = at === END ? this.byteLength(ref) - 1 : at;
    const to = this.#splice(ref, position, 0, length, entries);
    if (to === NIL) return NIL;
    this.#mover.copyIn(bytes, 0, to >>> SEGMENT_SHIFT, bytePosition(to) + position, length);
    this.at = position;
    return to;
  }

  /** Replaces the element at `at`. */
  replace(ref: Ref, at: number, bytes: Uint8Array, start: number, length: number): Ref {
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    const position = bytePosition(ref) + at;
    // A short string is replaced by one of the same length, so nothing moves. Bytes that may be an
    // integer go the long way.
    if (length > 0 && bytes[start]! > 0x39 && u8[position] === (ElementCode.STRING_6 | length)) {
      if (length <= SHORT_LENGTH_MASK) {
        this.#arena.touch(ref, at + 1, length);
        copyBytes(bytes, start, u8, position + 1, length);
        this.at = at;
        return ref;
      }
    }
    this.#element.take(bytes, start, length);
    return this.#write(ref, at, this.#entryBytes(ref, at), 0);
  }

  /** As {@link insert}, with a safe integer. */
  insertInteger(ref: Ref, at: number, value: number): Ref {
    return this.insertInt64(ref, at, highHalf(value), value | 0);
  }

  appendInteger(ref: Ref, value: number): Ref {
    return this.insertInt64(ref, END, highHalf(value), value | 0);
  }

  replaceInteger(ref: Ref, at: number, value: number): Ref {
    return this.replaceInt64(ref, at, highHalf(value), value | 0);
  }

  /** As {@link insert}, with an integer given as signed halves. */
  insertInt64(ref: Ref, at: number, high: number, low: number): Ref {
    this.#element.takeInteger(high, low);
    return this.#write(ref, at === END ? this.byteLength(ref) - 1 : at, 0, 1);
  }

  appendInt64(ref: Ref, high: number, low: number): Ref {
    return this.insertInt64(ref, END, high, low);
  }

  replaceInt64(ref: Ref, at: number, high: number, low: number): Ref {
    this.#element.takeInteger(high, low);
    return this.#write(ref, at, this.#entryBytes(ref, at), 0);
  }

  delete(ref: Ref, at: number): Ref {
    return this.deleteEntries(ref, at, 1);
  }

  /** Deletes `count` entries from the one at `at` on, or as many as there are. */
  deleteEntries(ref: Ref, at: number, count: number): Ref {
    if (at === END) return ref;
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    const start = bytePosition(ref) + at;
    let end = start;
    let deleted = 0;
    for (; deleted < count && u8[end] !== TERMINATOR; deleted++) end = behindEntry(u8, end);
    const behind = u8[end] === TERMINATOR;
    const to = this.#splice(ref, at, end - start, 0, -deleted);
    this.at = behind ? END : at;
    return to;
  }

  /**
   * Deletes `count` entries from the one at an index on (see {@link seek}), or as many as there
   * are.
   */
  deleteRange(ref: Ref, index: number, count: number): Ref {
    return this.deleteEntries(ref, this.seek(ref, index), count);
  }

  /** Deletes the entry at `at` and all entries behind it. */
  truncate(ref: Ref, at: number): Ref {
    return this.deleteEntries(ref, at, Number.POSITIVE_INFINITY);
  }

  /**
   * Copies the entries from `at` on to a new listpack. With {@link truncate} this splits a listpack
   * in two.
   */
  copyFrom(ref: Ref, at: number): Ref {
    if (at === END) return this.create();
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    const base = bytePosition(ref);
    const total = listpackBytes(u8, base);
    const count = countBetween(u8, base + at, base + total - 1);
    const bytes = LISTPACK_HEADER_BYTES + total - at;
    const to = this.#arena.alloc(bytes);
    writeU32(this.#arena.u8[to >>> SEGMENT_SHIFT]!, bytePosition(to), bytes);
    writeCount(
      this.#arena.u8[to >>> SEGMENT_SHIFT]!,
      bytePosition(to),
      Math.min(count, COUNT_UNKNOWN),
    );
    this.#copyBytes(ref, at, to, LISTPACK_HEADER_BYTES, total - at);
    return to;
  }

  /**
   * Moves the entries of `other` behind those of `ref` and frees `other`. Returns NIL and changes
   * nothing when the result would pass 1 GiB or there is no memory.
   */
  concat(ref: Ref, other: Ref): Ref {
    const at = this.byteLength(ref) - 1;
    const bytes = this.byteLength(other) - LISTPACK_EMPTY_BYTES;
    let to: Ref;
    try {
      to = this.#splice(ref, at, 0, bytes, this.count(other));
    } catch (error) {
      if (codeOf(error) !== ErrorCode.ARENA_FULL) throw error;
      return NIL;
    }
    if (to === NIL) return NIL;
    this.#copyBytes(other, LISTPACK_HEADER_BYTES, to, at, bytes);
    this.#arena.free(other);
    this.at = bytes === 0 ? END : at;
    return to;
  }

  /**
   * Moves the listpack to a block without spare room, if that is shorter and there is memory for
   * it. Useful for a listpack that will not grow any more.
   */
  shrinkToFit(ref: Ref): Ref {
    const bytes = this.byteLength(ref);
    const block = this.#arena.blockBytes(ref);
    // Sizes of blocks differ by at most an eighth and by at least 8 bytes.
    if (block - bytes <= Math.max(8, bytes >>> 3)) return ref;
    const to = this.#arena.tryAlloc(bytes);
    if (to === NIL) return ref;
    this.#copyBytes(ref, 0, to, 0, bytes);
    this.#arena.free(ref);
    return to;
  }

  /** Drops views into segments, which may be gone. */
  forgetViews(): void {
    this.#element.forget();
    this.#second.forget();
  }

  /** Checks every byte. For tests. */
  validate(ref: Ref): void {
    const bytes = this.byteLength(ref);
    assert(bytes <= this.#arena.blockBytes(ref), 'a listpack lies within its block');
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    assert(validateListpack(u8, bytePosition(ref), bytes, true), 'a listpack is well formed');
  }

  #seekBackwards(u8: Uint8Array, base: number, index: number): number {
    const first = base + LISTPACK_HEADER_BYTES;
    let at = base + listpackBytes(u8, base) - 1;
    for (; index < 0; index++) {
      if (at === first) return END;
      at = beforeEntry(u8, at);
    }
    return at - base;
  }

  #entryBytes(ref: Ref, at: number): number {
    const position = bytePosition(ref) + at;
    return behindEntry(this.#arena.u8[ref >>> SEGMENT_SHIFT]!, position) - position;
  }

  /** Writes the taken element in place of the `oldBytes` bytes at `at`. */
  #write(ref: Ref, at: number, oldBytes: number, countChange: number): Ref {
    const element = this.#element;
    if (debugChecks) {
      const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
      assert(
        !element.liesIn(u8, bytePosition(ref), this.byteLength(ref)),
        'what is inserted lies elsewhere',
      );
    }
    const to = this.#splice(ref, at, oldBytes, element.entryBytes, countChange);
    if (to !== NIL) {
      const segment = to >>> SEGMENT_SHIFT;
      element.write(this.#arena.u8[segment]!, segment, bytePosition(to) + at);
      this.at = at;
    }
    element.drop();
    return to;
  }

  /**
   * Makes the `oldBytes` bytes at `at` into `newBytes` bytes and changes the header, in the same
   * block or in another. The caller then writes the new bytes without a barrier. Returns NIL past
   * the limit. When there is no memory, a listpack that must grow throws ARENA_FULL and has not
   * changed; one that shrinks stays in its block.
   */
  #splice(ref: Ref, at: number, oldBytes: number, newBytes: number, countChange: number): Ref {
    const arena = this.#arena;
    const segment = ref >>> SEGMENT_SHIFT;
    const u8 = arena.u8[segment]!;
    const base = bytePosition(ref);
    const total = listpackBytes(u8, base);
    const newTotal = total + newBytes - oldBytes;
    if (newTotal > LISTPACK_BYTES_MAX) return NIL;
    const block = arena.blockBytes(ref);
    const behind = at + oldBytes;
    const mustGrow = newTotal > block;
    let to: Ref = NIL;
    if (mustGrow || (newTotal < total && newTotal * 2 < block && block > KEPT_BLOCK_BYTES)) {
      const room = Math.min(newTotal + (newTotal >>> GROWTH_SHIFT), LISTPACK_BYTES_MAX);
      to = mustGrow ? arena.alloc(room) : arena.tryAlloc(room);
    }
    if (to !== NIL) {
      this.#copyBytes(ref, 0, to, 0, at);
      this.#copyBytes(ref, behind, to, at + newBytes, total - behind);
      arena.free(ref);
      writeHeader(arena.u8[to >>> SEGMENT_SHIFT]!, bytePosition(to), newTotal, countChange);
      return to;
    }
    if (newBytes === oldBytes) {
      if (newBytes > 0) arena.touch(ref, at, newBytes);
    } else {
      arena.touch(ref, at, newTotal - at);
      this.#mover.within(segment, base + behind, base + at + newBytes, total - behind);
    }
    if (newTotal !== total || countChange !== 0) {
      arena.touch(ref, 0, LISTPACK_HEADER_BYTES);
      writeHeader(u8, base, newTotal, countChange);
    }
    return ref;
  }

  #copyBytes(from: Ref, fromAt: number, to: Ref, toAt: number, bytes: number): void {
    const source = bytePosition(from) + fromAt;
    const target = bytePosition(to) + toAt;
    this.#mover.across(from >>> SEGMENT_SHIFT, source, to >>> SEGMENT_SHIFT, target, bytes);
  }
}

/**
 * Sets the total, and changes the count. A count that is unknown stays so; one that passes the
 * limit becomes unknown.
 */
function writeHeader(u8: Uint8Array, base: number, total: number, countChange: number): void {
  writeU32(u8, base, total);
  const count = headerCount(u8, base);
  if (countChange !== 0 && count !== COUNT_UNKNOWN)
    writeCount(u8, base, Math.min(count + countChange, COUNT_UNKNOWN));
}

function writeCount(u8: Uint8Array, base: number, count: number): void {
  u8[base + COUNT_AT] = count;
  u8[base + COUNT_AT + 1] = count >>> 8;
}
