/**
 * Hot path. The list that a command works on. It is one listpack or a quicklist, and changes from
 * one to the other as in Redis 7.2: to a quicklist before a listpack would pass the limit of a
 * node, and back when a single node is left that is at most half as long as the limit.
 *
 * After a change the owner of the list notes `ref` and `large`, if {@link List.hasMoved}. Stale
 * after a change: the cursor and all views of elements.
 */

import type { Arena } from '../arena/arena.ts';
import { copyBytes } from '../base/byte-copy.ts';
import { NIL, type Ref } from '../base/units.ts';
import { ListCursor } from './list-cursor.ts';
import type { Listpack } from './listpack.ts';
import { ELEMENT_TEXT_BYTES_MAX, ElementView, elementToBytes } from './listpack-read.ts';
import type { Quicklist } from './quicklist.ts';

const TAKEN_FIRST_BYTES = 256;
const TAKEN_KEPT_BYTES = 65536;

export class List {
  ref: Ref = NIL;
  /** Whether the list is a quicklist. */
  large = false;
  /** The ref and form that the list's owner holds. */
  #notedRef: Ref = NIL;
  #notedLarge = false;
  readonly cursor: ListCursor;
  /** The element that {@link take} copied. */
  taken = new Uint8Array(TAKEN_FIRST_BYTES);
  takenLength = 0;
  readonly #listpacks: Listpack;
  readonly #quicklists: Quicklist;
  readonly #view = new ElementView();
  readonly #text = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);

  constructor(arena: Arena, listpacks: Listpack, quicklists: Quicklist) {
    this.cursor = new ListCursor(arena);
    this.#listpacks = listpacks;
    this.#quicklists = quicklists;
  }

  open(ref: Ref, large: boolean): void {
    this.ref = ref;
    this.large = large;
    this.noted();
  }

  /**
   * Returns whether a change has moved the list, or changed its form, since its owner noted the
   * place.
   */
  get hasMoved(): boolean {
    return this.ref !== this.#notedRef || this.large !== this.#notedLarge;
  }

  noted(): void {
    this.#notedRef = this.ref;
    this.#notedLarge = this.large;
  }

  /** Takes list-max-listpack-size, for everything that changes a list. */
  configure(nodeSize: number): void {
    this.#quicklists.configure(nodeSize);
  }

  /** Makes a new, empty list. */
  create(): void {
    this.open(this.#listpacks.create(), false);
  }

  get count(): number {
    return this.large ? this.#quicklists.count(this.ref) : this.#listpacks.count(this.ref);
  }

  /**
   * Call this before pushing, inserting or replacing. `count` elements with `bytes` bytes together
   * are about to come.
   */
  prepareFor(count: number, bytes: number): void {
    if (this.large) return;
    const listpacks = this.#listpacks;
    const { ref } = this;
    if (
      !this.#quicklists.exceedsNode(listpacks.byteLength(ref) + bytes, listpacks.count(ref) + count)
    )
      return;
    this.ref = this.#quicklists.fromListpack(ref);
    this.large = true;
  }

  /** Call this after removing elements. Makes a quicklist that has become short a listpack. */
  shrink(): void {
    if (!this.large) return;
    const listpack = this.#quicklists.toListpack(this.ref, true);
    if (listpack === NIL) return;
    this.ref = listpack;
    this.large = false;
  }

  /** Pushes an element and returns the new number of elements. */
  push(atHead: boolean, bytes: Uint8Array, start: number, length: number): number {
    if (this.large) {
      return atHead
        ? this.#quicklists.pushHead(this.ref, bytes, start, length)
        : this.#quicklists.pushTail(this.ref, bytes, start, length);
    }
    this.ref = atHead
      ? this.#listpacks.prepend(this.ref, bytes, start, length)
      : this.#listpacks.append(this.ref, bytes, start, length);
    return this.#listpacks.count(this.ref);
  }

  /**
   * Goes to the element at an index; a negative index counts from the end. Returns false when there
   * is none.
   */
  seek(index: number): boolean {
    return this.large
      ? this.cursor.openQuicklist(this.ref, index)
      : this.cursor.openListpack(this.ref, index);
  }

  /** Goes to the first or last element of a list, which must not be empty. */
  seekEnd(head: boolean): void {
    if (this.large) this.cursor.openEnd(this.ref, head);
    else this.cursor.openListpack(this.ref, head ? 0 : -1);
  }

  /** Removes the first or last element of a list, which must not be empty. */
  dropEnd(head: boolean): void {
    if (!this.large) {
      const listpacks = this.#listpacks;
      this.ref = listpacks.delete(
        this.ref,
        head ? listpacks.first(this.ref) : listpacks.last(this.ref),
      );
    } else if (head) this.#quicklists.dropHead(this.ref);
    else this.#quicklists.dropTail(this.ref);
  }

  /**
   * Copies the first or last element to {@link taken} and removes it. The list must not be empty.
   */
  take(head: boolean): void {
    this.seekEnd(head);
    const view = this.#view;
    this.cursor.read(view);
    elementToBytes(view, this.#text);
    const { bytes, position, length } = view;
    if (length > this.taken.length) this.taken = new Uint8Array(length);
    else if (this.taken.length > TAKEN_KEPT_BYTES && length <= TAKEN_KEPT_BYTES)
      this.taken = new Uint8Array(TAKEN_KEPT_BYTES);
    const { taken } = this;
    copyBytes(bytes, position, taken, 0, length);
    this.takenLength = length;
    this.dropEnd(head);
  }

  /** Inserts an element before or behind the one at the cursor. */
  insert(behind: boolean, bytes: Uint8Array, start: number, length: number): void {
    const { cursor } = this;
    if (this.large) {
      this.#quicklists.insert(this.ref, cursor, behind, bytes, start, length);
      return;
    }
    const listpacks = this.#listpacks;
    const at = cursor.inListpack;
    this.ref = listpacks.insert(
      this.ref,
      behind ? listpacks.next(this.ref, at) : at,
      bytes,
      start,
      length,
    );
  }

  /** Replaces the element at the cursor. */
  replace(bytes: Uint8Array, start: number, length: number): void {
    if (this.large) this.#quicklists.replace(this.ref, this.cursor, bytes, start, length);
    else this.ref = this.#listpacks.replace(this.ref, this.cursor.inListpack, bytes, start, length);
  }

  /**
   * Removes up to `max` elements that are equal to the bytes, from the head or from the tail.
   * Returns the number removed.
   */
  removeEqual(
    bytes: Uint8Array,
    start: number,
    length: number,
    max: number,
    fromTail: boolean,
  ): number {
    const quicklists = this.#quicklists;
    if (this.large) return quicklists.removeEqual(this.ref, bytes, start, length, max, fromTail);
    this.ref = quicklists.removeEqualInListpack(this.ref, bytes, start, length, max, fromTail);
    return quicklists.removedInListpack;
  }

  /**
   * Removes `count` elements from `index` on, all of which must exist. Returns NIL, or a quicklist
   * of removed nodes that the caller frees in slices.
   */
  removeRange(index: number, count: number): Ref {
    if (count === 0) return NIL;
    if (this.large) return this.#quicklists.removeRange(this.ref, index, count);
    this.ref = this.#listpacks.deleteRange(this.ref, index, count);
    return NIL;
  }

  /** Drops views into segments, which may be gone. */
  forgetViews(): void {
    this.cursor.forget();
    this.#view.forget();
  }

  /** Frees the memory of a list that is short or empty. */
  free(): void {
    if (this.large) this.#quicklists.freeSome(this.ref, Number.POSITIVE_INFINITY);
    else this.#listpacks.free(this.ref);
    this.ref = NIL;
  }
}
