/**
 * Hot path. Small sorted sets: listpacks of pairs, a member and its score, ordered by score and
 * then by member.
 *
 *   member, score, member, score, …
 *
 * A score is an integer element where it is one, else its text in 17 significant digits; so Redis
 * keeps and dumps it. A position is that of a member, {@link END} where there is none; ranks count
 * pairs from 0.
 *
 * Changes return the new place of the listpack. Stale after them: the ref passed in, every position
 * and view.
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

/** "-1.2345678901234567e-308" and what stands around it. */
const INTEGER_SCORE_MAX = 2 ** 62;
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
  /** A pair, encoded, and what encodes it. */
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

  /** Whether a member of `bytes` bytes can be added before the listpack reaches its limit. */
  hasRoom(ref: Ref, bytes: number): boolean {
    return this.#listpacks.safeToAdd(ref, bytes + ENTRY_OVERHEAD_BYTES + SCORE_ENTRY_BYTES_MAX);
  }

  find(ref: Ref, bytes: Uint8Array, start: number, length: number): number {
    return this.#listpacks.find(ref, this.#listpacks.first(ref), bytes, start, length, 1);
  }

  /** The score of the member at `at`. */
  score(ref: Ref, at: number): number {
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    return readScore(u8, behindEntry(u8, bytePosition(ref) + at), this.#view);
  }

  /** Fills `view` with the bytes of the member at `at`; an integer's go to `scratch`. */
  memberInto(ref: Ref, at: number, view: ElementView, scratch: Uint8Array): void {
    this.#listpacks.read(ref, at, view);
    elementToBytes(view, scratch);
  }

  /** The rank of the member at `at`. */
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

  /** Adds a member that is not there. It does not lie in the listpack. */
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
    // First in with the new pair: when there is no memory for it, nothing is changed.
    const to = this.#listpacks.insertEntries(ref, place, this.#pair, pairBytes, 2);
    return this.remove(to, place === END || place > at ? at : at + pairBytes);
  }

  remove(ref: Ref, at: number): Ref {
    return this.#listpacks.deleteEntries(ref, at, 2);
  }

  removeRange(ref: Ref, rank: number, count: number): Ref {
    return this.#listpacks.deleteRange(ref, rank * 2, count * 2);
  }

  /** How many members have a score below `score`, or up to it with `orEqual`. */
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
   * How many members lie before these bytes, or are these with `orEqual`; all scores are supposed
   * to be equal.
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

  /** Lets go of views into segments, which may be gone. */
  forgetViews(): void {
    this.#view.forget();
    this.#compared.forget();
  }

  /** Checks the order of all pairs; for tests. */
  validate(ref: Ref): void {
    this.#listpacks.validate(ref);
    assert(this.#listpacks.count(ref) % 2 === 0, 'members and scores come in pairs');
    assert(
      isInOrder(this.#arena.u8[ref >>> SEGMENT_SHIFT]!, bytePosition(ref)),
      'pairs are in order',
    );
  }

  /** Position of the first pair that belongs behind this one, or END. */
  #placeFor(ref: Ref, score: number, bytes: Uint8Array, start: number, length: number): number {
    const u8 = this.#arena.u8[ref >>> SEGMENT_SHIFT]!;
    const base = bytePosition(ref);
    const view = this.#view;
    const last = this.#listpacks.last(ref);
    // Scores often ascend, as times do.
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

  /** Puts the entries of a pair into `#pair`; returns their bytes. */
  #encode(score: number, bytes: Uint8Array, start: number, length: number): number {
    const room = length + ENTRY_OVERHEAD_BYTES + SCORE_ENTRY_BYTES_MAX;
    // Members beyond this are rare: what they took is not kept for the next.
    if (room > this.#pair.length || this.#pair.length > PAIR_BYTES_KEPT)
      this.#pair = new Uint8Array(Math.max(room, PAIR_BYTES_MIN));
    const behind = this.#encodeText(0, bytes, start, length);
    // Zero loses its sign here, as it does in Redis.
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

/** Whether a listpack has this score as an integer element; as far as Redis does that. */
export function isIntegerScore(score: number): boolean {
  return Number.isInteger(score) && Math.abs(score) <= INTEGER_SCORE_MAX;
}

/** The score that the element at `at` tells. */
export function readScore(u8: Uint8Array, at: number, view: ElementView): number {
  readElement(u8, at, view);
  if (view.isInteger) return view.int;
  const score = parseFloat64(view.bytes, view.position, view.length);
  assert(score !== undefined, 'the score of a member is a number');
  return score;
}

/**
 * Whether the pairs of the valid listpack at `base`, whose scores are numbers, ascend and none is
 * twice.
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
