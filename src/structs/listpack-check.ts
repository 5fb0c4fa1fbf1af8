/**
 * Whether bytes of unknown origin are a listpack. After `validateListpack` with `deep` says yes,
 * everything in listpack-read.ts stays inside of the bytes and comes to an end, in both directions.
 * No state, any thread.
 *
 * Memory: none but what {@link hasDuplicates} needs, at most 16 bytes per entry that differs from
 * those before it.
 */
import { parseFloat64 } from '../base/bytes.ts';
import { hashBytes } from '../base/hash.ts';
import {
  backLengthBefore,
  backLengthBytes,
  behindEntry,
  COUNT_UNKNOWN,
  ELEMENT_TEXT_BYTES_MAX,
  ElementCode,
  ElementView,
  elementEquals,
  elementToBytes,
  encodedBytes,
  headerCount,
  LISTPACK_EMPTY_BYTES,
  LISTPACK_HEADER_BYTES,
  listpackBytes,
  readElement,
  TERMINATOR,
} from './listpack-read.ts';

/**
 * Told of each entry that is well formed; false refuses the listpack. `at` is a position in
 * `bytes`.
 */
export type EntryCheck = (bytes: Uint8Array, at: number, index: number) => boolean;

/**
 * Whether [start, start + length) of `bytes` is a listpack. Without `deep` only the header's total
 * and the terminator are looked at; with it every entry, its back length and the count, and `check`
 * is asked about each entry.
 */
export function validateListpack(
  bytes: Uint8Array,
  start: number,
  length: number,
  deep: boolean,
  check?: EntryCheck,
): boolean {
  if (length < LISTPACK_EMPTY_BYTES || listpackBytes(bytes, start) !== length) return false;
  const end = start + length - 1;
  if (bytes[end] !== TERMINATOR) return false;
  if (!deep) return true;
  let count = 0;
  for (let at = start + LISTPACK_HEADER_BYTES; at !== end; count++) {
    const behind = behindChecked(bytes, at, end);
    if (behind < 0 || (check !== undefined && !check(bytes, at, count))) return false;
    at = behind;
  }
  const noted = headerCount(bytes, start);
  return noted === COUNT_UNKNOWN || noted === count;
}

/**
 * Position behind the entry at `at`, or -1 when it is malformed or reaches beyond `end`, that of
 * the terminator.
 */
function behindChecked(bytes: Uint8Array, at: number, end: number): number {
  // What tells the length of a string must itself lie inside.
  const header = bytes[at] === ElementCode.STRING_32 ? 5 : 2;
  if (bytes[at]! >= ElementCode.STRING_12 && at + header > end) return -1;
  const encoded = encodedBytes(bytes, at);
  if (encoded === 0) return -1;
  const behind = at + encoded + backLengthBytes(encoded);
  if (behind > end || backLengthBefore(bytes, behind) !== encoded) return -1;
  return behind;
}

/**
 * Whether two of the elements 0, `stride`, 2 · `stride` … of the valid listpack at `base` are the
 * same bytes: of the fields of a hash with stride 2, the members of a set with stride 1. `k0` and
 * `k1` key the hash, so that nobody can choose elements that collide.
 */
export function hasDuplicates(
  bytes: Uint8Array,
  base: number,
  stride: number,
  k0: number,
  k1: number,
): boolean {
  const seen = new SeenElements(bytes, base, k0, k1);
  let at = base + LISTPACK_HEADER_BYTES;
  for (let index = 0; bytes[at] !== TERMINATOR; index++, at = behindEntry(bytes, at)) {
    if (index % stride === 0 && !seen.add(at)) return true;
  }
  return false;
}

const SEEN_PLACES_MIN = 16;

/**
 * A set of elements of one listpack. It grows with what is in it, not with what the listpack's
 * header promises.
 */
class SeenElements {
  readonly #bytes: Uint8Array;
  readonly #base: number;
  readonly #k0: number;
  readonly #k1: number;
  /**
   * Positions from `#base`, 0 where the place is empty; a power of two of them, at most half of
   * them taken.
   */
  #places = new Uint32Array(SEEN_PLACES_MIN);
  #count = 0;
  readonly #view = new ElementView();
  readonly #scratch = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);

  constructor(bytes: Uint8Array, base: number, k0: number, k1: number) {
    this.#bytes = bytes;
    this.#base = base;
    this.#k0 = k0;
    this.#k1 = k1;
  }

  /** Adds the element at `at`; false when an equal one is there. */
  add(at: number): boolean {
    const place = this.#placeOf(at);
    if (this.#places[place] !== 0) return false;
    this.#places[place] = at - this.#base;
    this.#count++;
    if (this.#count * 2 > this.#places.length) this.#grow();
    return true;
  }

  /** The place of the element equal to the one at `at`, or the empty one where it belongs. */
  #placeOf(at: number): number {
    const view = this.#view;
    const places = this.#places;
    const mask = places.length - 1;
    readElement(this.#bytes, at, view);
    elementToBytes(view, this.#scratch);
    let place = hashBytes(this.#k0, this.#k1, view.bytes, view.position, view.length) & mask;
    for (; places[place] !== 0; place = (place + 1) & mask) {
      const other = this.#base + places[place]!;
      if (elementEquals(this.#bytes, other, view.bytes, view.position, view.length)) break;
    }
    return place;
  }

  #grow(): void {
    const from = this.#places;
    this.#places = new Uint32Array(from.length * 2);
    for (let i = 0; i < from.length; i++) {
      if (from[i] !== 0) this.#places[this.#placeOf(this.#base + from[i]!)] = from[i]!;
    }
  }
}

/** Whether the element at `at` is a number that a sorted set may have as a score. */
export function isScore(bytes: Uint8Array, at: number): boolean {
  const view = new ElementView();
  readElement(bytes, at, view);
  return view.isInteger || parseFloat64(view.bytes, view.position, view.length) !== undefined;
}
