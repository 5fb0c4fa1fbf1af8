/**
 * Checks whether bytes of unknown origin are a listpack. After `validateListpack` with `deep` has
 * returned true, all functions of listpack-read.ts stay inside the bytes and terminate, in both
 * directions. No state, any thread.
 *
 * Memory: only {@link hasDuplicates} needs some, at most 16 bytes per distinct entry.
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
 * Called with each well-formed entry. `at` is a position in `bytes`. A result of false refuses the
 * listpack.
 */
export type EntryCheck = (bytes: Uint8Array, at: number, index: number) => boolean;

/**
 * Returns whether [start, start + length) of `bytes` is a listpack. Without `deep`, checks only the
 * total in the header and the terminator. With `deep`, checks every entry, its back length and the
 * count, and calls `check` for each entry.
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
 * Returns the position behind the entry at `at`, or -1 when the entry is malformed or reaches
 * beyond `end`, the position of the terminator.
 */
function behindChecked(bytes: Uint8Array, at: number, end: number): number {
  // The bytes that hold the length of a string must be inside, too.
  const header = bytes[at] === ElementCode.STRING_32 ? 5 : 2;
  if (bytes[at]! >= ElementCode.STRING_12 && at + header > end) return -1;
  const encoded = encodedBytes(bytes, at);
  if (encoded === 0) return -1;
  const behind = at + encoded + backLengthBytes(encoded);
  if (behind > end || backLengthBefore(bytes, behind) !== encoded) return -1;
  return behind;
}

/**
 * Returns whether two of the elements 0, `stride`, 2 · `stride` … of the valid listpack at `base`
 * have the same bytes. Stride 2 checks the fields of a hash, stride 1 the members of a set. `k0`
 * and `k1` are the keys of the hash function, so that nobody can choose elements that collide.
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
 * A set of elements of one listpack. It grows with the elements that are in it, and does not trust
 * the count in the listpack's header.
 */
class SeenElements {
  readonly #bytes: Uint8Array;
  readonly #base: number;
  readonly #k0: number;
  readonly #k1: number;
  /**
   * Positions relative to `#base`; 0 is an empty place. The length is a power of two, and at most
   * half of the places are taken.
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

  /** Adds the element at `at`. Returns false when an equal one is there already. */
  add(at: number): boolean {
    const place = this.#placeOf(at);
    if (this.#places[place] !== 0) return false;
    this.#places[place] = at - this.#base;
    this.#count++;
    if (this.#count * 2 > this.#places.length) this.#grow();
    return true;
  }

  /**
   * Returns the place of the element equal to the one at `at`, or the empty place where it belongs.
   */
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

/** Returns whether the element at `at` is a number that a sorted set may have as a score. */
export function isScore(bytes: Uint8Array, at: number): boolean {
  const view = new ElementView();
  readElement(bytes, at, view);
  return view.isInteger || parseFloat64(view.bytes, view.position, view.length) !== undefined;
}
