/**
 * Hot path. The list that a command works on, whether it is one listpack or a quicklist. It changes
 * from one to the other as Redis 7.2 does: to a quicklist before a listpack would pass the limit of
 * a node, and back when one node of half that length is left.
 *
 * After a change the owner of the list notes `ref` and `large`, if {@link List.hasMoved}. Stale
 * after it: the cursor and all views of elements.
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
  /** Whether it is a quicklist. */
  large = false;
  /** What its owner holds. */
  #notedRef: Ref = NIL;
  #notedLarge = false;
  readonly cursor: ListCursor;
  /** What {@link take} has copied. */
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
   * Whether a change has moved the list, or made it of the other kind, since its owner noted where
   * it is.
   */
  get hasMoved(): boolean {
    return this.ref !== this.#notedRef || this.large !== this.#notedLarge;
  }

  noted(): void {
    this.#notedRef = this.ref;
    this.#notedLarge = this.large;
  }

  /** Takes list-max-listpack-size, for whatever changes a list. */
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
   * To be called before so many elements, of so many bytes together, are pushed, inserted or put in
   * place of others.
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

  /** To be called after elements went: makes one listpack of a list that has become short. */
  shrink(): void {
    if (!this.large) return;
    const listpack = this.#quicklists.toListpack(this.ref, true);
    if (listpack === NIL) return;
    this.ref = listpack;
    this.large = false;
  }

  /** Returns how many elements there are then. */
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
   * Goes to the element of an index, counted from the end when negative; false when there is none.
   */
  seek(index: number): boolean {
    return this.large
      ? this.cursor.openQuicklist(this.ref, index)
      : this.cursor.openListpack(this.ref, index);
  }

  /** Goes to the element at one end of a list that is not empty. */
  seekEnd(head: boolean): void {
    if (this.large) this.cursor.openEnd(this.ref, head);
    else this.cursor.openListpack(this.ref, head ? 0 : -1);
  }

  /** Drops the element at one end of a list that is not empty. */
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

  /** Copies the element at one end of a list that is not empty to {@link taken}, and drops it. */
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

  /** Inserts an element before or behind that at the cursor. */
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

  /** Puts another element in the place of that at the cursor. */
  replace(bytes: Uint8Array, start: number, length: number): void {
    if (this.large) this.#quicklists.replace(this.ref, this.cursor, bytes, start, length);
    else this.ref = this.#listpacks.replace(this.ref, this.cursor.inListpack, bytes, start, length);
  }

  /**
   * Removes up to `max` elements equal to the bytes, the first or the last ones; returns how many
   * there were.
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
   * Takes out `count` elements from `index` on; all of them exist. Returns NIL, or a quicklist of
   * what is to be freed in slices.
   */
  removeRange(index: number, count: number): Ref {
    if (count === 0) return NIL;
    if (this.large) return this.#quicklists.removeRange(this.ref, index, count);
    this.ref = this.#listpacks.deleteRange(this.ref, index, count);
    return NIL;
  }

  /** Lets go of views into segments, which may be gone. */
  forgetViews(): void {
    this.cursor.forget();
    this.#view.forget();
  }

  /** Gives back the memory of a list that is short, or empty. */
  free(): void {
    if (this.large) this.#quicklists.freeSome(this.ref, Number.POSITIVE_INFINITY);
    else this.#listpacks.free(this.ref);
    this.ref = NIL;
  }
}
