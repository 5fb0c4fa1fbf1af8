/**
 * Hot path. Small sorted sets: listpacks of pairs. A pair is a member and its score. The pairs are
 * ordered by score and then by member.
 *
 *   member, score, member, score, …
 *
 * A whole number is kept as an integer element, any other score as text with up to 17 significant
 * digits, as Redis keeps and dumps it. A position is that of a member, or {@link END} when there is
 * none. Ranks count pairs from 0.
 *
 * Changes return the new place of the listpack. Stale after a change: the ref that was passed in,
 * every position and every view.
 */
import type { Arena } from '../arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT } from '../arena/layout.ts';
import { assert } from '../base/assert.ts';
import { compareBytes, formatDouble, parseFloat64 } from '../base/bytes.ts';
import type { Ref } from '../base/units.ts';
import { highHalf, Int64, parseInt64Halves } from './int64.ts';
import type { Listpack } from './listpack.ts';
import {
  ELEMENT_CODE_BYTES_MAX,
  encodeInteger,
  encodeStringHeader,
  writeBackLength,
} from './listpack-encode.ts';
import {
  backLengthBytes,
  behindEntry,
  countBetween,
  ELEMENT_TEXT_BYTES_MAX,
  ElementView,
  END,
  elementToBytes,
  LISTPACK_HEADER_BYTES,
  readElement,
  TERMINATOR,
} from './listpack-read.ts';

/** A whole number beyond ± this is kept as text. */
const INTEGER_SCORE_MAX = 2 ** 62;
/** Room for the longest entry of a score: "-1.2345678901234567e-308" with code and back length. */
const SCORE_ENTRY_BYTES_MAX = 32;
const ENTRY_OVERHEAD_BYTES = 2 * ELEMENT_CODE_BYTES_MAX;
const PAIR_BYTES_MIN = 256;
const PAIR_BYTES_KEPT = 65536;

export class SortedListpack {
  readonly #arena: Arena;
  readonly #listpacks: Listpack;
  readonly #view = new ElementView();
  readonly #text = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);
  readonly #compared = new ElementView();
  readonly #comparedText = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);
  /** A pair, encoded, and the scratch for one encoding. */
  #pair = new Uint8Array(PAIR_BYTES_MIN);
  readonly #code = new Uint8Array(ELEMENT_CODE_BYTES_MAX);
  readonly #digits = new Uint8Array(SCORE_ENTRY_BYTES_MAX);
  readonly #integer = new Int64();

  constructor(arena: Arena, listpacks: Listpack) {
    this.#arena = arena;
    this.#listpacks = listpacks;
  }

  count(ref: Ref): number {
    return this.#listpacks.count(ref) >>> 1;
  }

  /** Returns whether a member of `bytes` bytes can be added within the limit of a listpack. */
  hasRoom(ref: Ref, bytes: number): boolean {
    return this.#listpacks.safeToAdd(ref, bytes + ENTRY_OVERHEAD_BYTES + SCORE_ENTRY_BYTES_MAX);
  }

  find(ref: Ref, bytes: Uint8Array, start: number, length: number): number {
    return this.#listpacks.find(ref, this.#listpacks.first(ref), bytes, start, length, 1);
  }

  /** Returns the score of the member at `at`. */
  score(ref: Ref, at: number): number {
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    return readScore(u8, behindEntry(u8, bytePosition(ref) + at), this.#view);
  }

  /**
   * Fills `view` with the bytes of the member at `at`. An integer is written to `scratch` as text.
   */
  memberInto(ref: Ref, at: number, view: ElementView, scratch: Uint8Array): void {
    this.#listpacks.read(ref, at, view);
    elementToBytes(view, scratch);
  }

  /** Returns the rank of the member at `at`. */
  rank(ref: Ref, at: number): number {
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    const base = bytePosition(ref);
    return countBetween(u8, base + LISTPACK_HEADER_BYTES, base + at) >>> 1;
  }

  seek(ref: Ref, rank: number): number {
    return rank < 0 ? END : this.#listpacks.seek(ref, rank * 2);
  }

  next(ref: Ref, at: number): number {
    return this.#listpacks.next(ref, this.#listpacks.next(ref, at));
  }

  previous(ref: Ref, at: number): number {
    const score = this.#listpacks.previous(ref, at);
    return score === END ? END : this.#listpacks.previous(ref, score);
  }

  /** Adds an absent member. Its bytes must not lie in the listpack. */
  insert(ref: Ref, score: number, bytes: Uint8Array, start: number, length: number): Ref {
    const pairBytes = this.#encode(score, bytes, start, length);
    const at = this.#placeFor(ref, score, bytes, start, length);
    return this.#listpacks.insertEntries(ref, at, this.#pair, pairBytes, 2);
  }

  /** Gives the member at `at` another score. */
  setScore(ref: Ref, at: number, score: number): Ref {
    const view = this.#view;
    this.memberInto(ref, at, view, this.#text);
    const { bytes, position, length } = view;
    const pairBytes = this.#encode(score, bytes, position, length);
    const place = this.#placeFor(ref, score, bytes, position, length);
    // The new pair is inserted before the old one is removed. So nothing has changed when there is
    // no memory.
    const to = this.#listpacks.insertEntries(ref, place, this.#pair, pairBytes, 2);
    return this.remove(to, place === END || place > at ? at : at + pairBytes);
  }

  remove(ref: Ref, at: number): Ref {
    return this.#listpacks.deleteEntries(ref, at, 2);
  }

  removeRange(ref: Ref, rank: number, count: number): Ref {
    return this.#listpacks.deleteRange(ref, rank * 2, count * 2);
  }

  /**
   * Returns the number of members with a score below `score`; with `orEqual`, also those equal to
   * it.
   */
  countBeforeScore(ref: Ref, score: number, orEqual: boolean): number {
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    let at = bytePosition(ref) + LISTPACK_HEADER_BYTES;
    let count = 0;
    for (; u8[at] !== TERMINATOR; count++) {
      const scoreAt = behindEntry(u8, at);
      const other = readScore(u8, scoreAt, this.#view);
      if (other > score || (other === score && !orEqual)) break;
      at = behindEntry(u8, scoreAt);
    }
    return count;
  }

  /**
   * Returns the number of members before these bytes; with `orEqual`, also a member equal to them.
   * All scores in the set must be equal.
   */
  countBeforeMember(
    ref: Ref,
    bytes: Uint8Array,
    start: number,
    length: number,
    orEqual: boolean,
  ): number {
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    let at = bytePosition(ref) + LISTPACK_HEADER_BYTES;
    let count = 0;
    for (; u8[at] !== TERMINATOR; count++) {
      const difference = this.#compareMember(u8, at, bytes, start, length);
      if (difference > 0 || (difference === 0 && !orEqual)) break;
      at = behindEntry(u8, behindEntry(u8, at));
    }
    return count;
  }

  /** Drops views into segments, which may be gone. */
  forgetViews(): void {
    this.#view.forget();
    this.#compared.forget();
  }

  /** Checks the order of all pairs. For tests. */
  validate(ref: Ref): void {
    this.#listpacks.validate(ref);
    assert(this.#listpacks.count(ref) % 2 === 0, 'members and scores come in pairs');
    assert(
      isInOrder(this.#arena.u8[ref >>> SEGMENT_SHIFT]!, bytePosition(ref)),
      'pairs are in order',
    );
  }

  /** Returns the position of the first pair that belongs behind this one, or END. */
  #placeFor(ref: Ref, score: number, bytes: Uint8Array, start: number, length: number): number {
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    const base = bytePosition(ref);
    const view = this.#view;
    const last = this.#listpacks.last(ref);
    // Scores often ascend, for example when they are times.
    if (last === END || readScore(u8, base + last, view) < score) return END;
    let at = base + LISTPACK_HEADER_BYTES;
    while (u8[at] !== TERMINATOR) {
      const scoreAt = behindEntry(u8, at);
      const other = readScore(u8, scoreAt, view);
      if (other > score) return at - base;
      if (other === score && this.#compareMember(u8, at, bytes, start, length) > 0)
        return at - base;
      at = behindEntry(u8, scoreAt);
    }
    return END;
  }

  #compareMember(
    u8: Uint8Array,
    at: number,
    bytes: Uint8Array,
    start: number,
    length: number,
  ): number {
    const view = this.#compared;
    readElement(u8, at, view);
    elementToBytes(view, this.#comparedText);
    return compareBytes(view.bytes, view.position, view.length, bytes, start, length);
  }

  /** Encodes a pair into `#pair` and returns its length in bytes. */
  #encode(score: number, bytes: Uint8Array, start: number, length: number): number {
    const room = length + ENTRY_OVERHEAD_BYTES + SCORE_ENTRY_BYTES_MAX;
    // Long members are rare, so a buffer that grew for one is not kept.
    if (room > this.#pair.length || this.#pair.length > PAIR_BYTES_KEPT)
      this.#pair = new Uint8Array(Math.max(room, PAIR_BYTES_MIN));
    const behind = this.#encodeText(0, bytes, start, length);
    // -0 becomes 0 here, as in Redis.
    if (isIntegerScore(score)) return this.#encodeInteger(behind, highHalf(score), score | 0);
    const text = formatDouble(score);
    const digits = this.#digits;
    for (let i = 0; i < text.length; i++) digits[i] = text.charCodeAt(i);
    return this.#encodeText(behind, digits, 0, text.length);
  }

  /** Encodes one element at `at` of `#pair` and returns the position behind it. */
  #encodeText(at: number, bytes: Uint8Array, start: number, length: number): number {
    if (parseInt64Halves(bytes, start, length, this.#integer))
      return this.#encodeInteger(at, this.#integer.high, this.#integer.low);
    const header = this.#putCode(at, encodeStringHeader(this.#code, length));
    const pair = this.#pair;
    for (let i = 0; i < length; i++) pair[header + i] = bytes[start + i]!;
    return this.#putBackLength(at, header + length);
  }

  #encodeInteger(at: number, high: number, low: number): number {
    return this.#putBackLength(at, this.#putCode(at, encodeInteger(this.#code, high, low)));
  }

  #putCode(at: number, bytes: number): number {
    for (let i = 0; i < bytes; i++) this.#pair[at + i] = this.#code[i]!;
    return at + bytes;
  }

  #putBackLength(start: number, at: number): number {
    writeBackLength(this.#pair, at, at - start);
    return at + backLengthBytes(at - start);
  }
}

/**
 * Returns whether a listpack keeps this score as an integer element. The range is that of Redis.
 */
export function isIntegerScore(score: number): boolean {
  return Number.isInteger(score) && Math.abs(score) <= INTEGER_SCORE_MAX;
}

/** Returns the score in the element at `at`. */
export function readScore(u8: Uint8Array, at: number, view: ElementView): number {
  readElement(u8, at, view);
  if (view.isInteger) return view.int;
  const score = parseFloat64(view.bytes, view.position, view.length);
  assert(score !== undefined, 'the score of a member is a number');
  return score;
}

/**
 * Returns whether the pairs of the valid listpack at `base`, whose scores must be numbers, ascend
 * and no pair is there twice.
 */
export function isInOrder(u8: Uint8Array, base: number): boolean {
  const view = new ElementView();
  const text = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);
  const other = new ElementView();
  const otherText = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);
  let before = Number.NEGATIVE_INFINITY;
  let previous = -1;
  for (let at = base + LISTPACK_HEADER_BYTES; u8[at] !== TERMINATOR; ) {
    const scoreAt = behindEntry(u8, at);
    const score = readScore(u8, scoreAt, view);
    if (score < before) return false;
    if (score === before && previous >= 0) {
      readElement(u8, previous, other);
      elementToBytes(other, otherText);
      readElement(u8, at, view);
      elementToBytes(view, text);
      const { bytes, position, length } = other;
      if (compareBytes(bytes, position, length, view.bytes, view.position, view.length) >= 0)
        return false;
    }
    before = score;
    previous = at;
    at = behindEntry(u8, scoreAt);
  }
  return true;
}
