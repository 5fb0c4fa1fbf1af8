/**
 * Hot path. A place in a list, for reading from there in both directions. The list is one listpack
 * or a chain of nodes. Stale after a change of the list.
 *
 *   for (let more = cursor.openQuicklist(list, 0); more; more = cursor.next()) cursor.read(view);
 */
import type { Arena } from '../arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';
import { equalBytes } from '../base/byte-copy.ts';
import { asRef, NIL, type Ref } from '../base/units.ts';
import {
  beforeEntry,
  behindEntry,
  countEntries,
  type ElementView,
  elementEquals,
  LISTPACK_HEADER_BYTES,
  listpackBytes,
  readElement,
  TERMINATOR,
} from './listpack-read.ts';
import { ListWord, NodeWord, PACKED } from './quicklist-nodes.ts';

const NO_BYTES = new Uint8Array(0);

export class ListCursor {
  /** The node of the element. NIL when the list is one listpack. */
  node: Ref = NIL;
  /**
   * The bytes of the segment, and the position where the element's entry begins. In a plain node it
   * is the position of the element itself.
   */
  u8: Uint8Array = NO_BYTES;
  at = 0;
  /** Length of the element in bytes in a plain node, otherwise PACKED. */
  plainBytes = PACKED;
  readonly #arena: Arena;
  /** Position of the listpack. */
  #base = 0;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  /** Drops the reference to the bytes, so that their segment can be freed. */
  forget(): void {
    this.u8 = NO_BYTES;
  }

  /**
   * Goes to the element at an index; a negative index counts from the end. Returns false when there
   * is none.
   */
  openListpack(listpack: Ref, index: number): boolean {
    this.node = NIL;
    this.plainBytes = PACKED;
    const u8 = this.#arena.u8[listpack >>> SEGMENT_SHIFT]!;
    const base = bytePosition(listpack);
    this.u8 = u8;
    this.#base = base;
    const count = countEntries(u8, base);
    if (index < 0) index += count;
    if (index < 0 || index >= count) return false;
    this.#seekEntry(index, count);
    return true;
  }

  openQuicklist(list: Ref, index: number): boolean {
    const count = this.#word(list, ListWord.COUNT);
    if (index < 0) index += count;
    if (index < 0 || index >= count) return false;
    let node: Ref;
    if (index <= count >>> 1) {
      node = asRef(this.#word(list, ListWord.HEAD));
      for (let inNode = this.#word(node, NodeWord.COUNT); index >= inNode; ) {
        index -= inNode;
        node = asRef(this.#word(node, NodeWord.NEXT));
        inNode = this.#word(node, NodeWord.COUNT);
      }
    } else {
      node = asRef(this.#word(list, ListWord.TAIL));
      index -= count;
      for (let inNode = this.#word(node, NodeWord.COUNT); index < -inNode; ) {
        index += inNode;
        node = asRef(this.#word(node, NodeWord.PREVIOUS));
        inNode = this.#word(node, NodeWord.COUNT);
      }
      index += this.#word(node, NodeWord.COUNT);
    }
    this.#enter(node);
    if (this.plainBytes === PACKED) this.#seekEntry(index, this.#word(node, NodeWord.COUNT));
    return true;
  }

  /** Goes to the first or last element of a quicklist, which must not be empty. */
  openEnd(list: Ref, head: boolean): void {
    this.#enter(asRef(this.#word(list, head ? ListWord.HEAD : ListWord.TAIL)));
    if (!head && this.plainBytes === PACKED) this.#toLast();
  }

  next(): boolean {
    if (this.plainBytes === PACKED) {
      const behind = behindEntry(this.u8, this.at);
      if (this.u8[behind] !== TERMINATOR) {
        this.at = behind;
        return true;
      }
      if (this.node === NIL) return false;
    }
    return this.nextNode();
  }

  /**
   * Goes to the first element of the next node of a quicklist. Returns false when there is none.
   */
  nextNode(): boolean {
    const next = asRef(this.#word(this.node, NodeWord.NEXT));
    if (next === NIL) return false;
    this.#enter(next);
    return true;
  }

  previous(): boolean {
    if (this.plainBytes === PACKED) {
      if (this.at !== this.#base + LISTPACK_HEADER_BYTES) {
        this.at = beforeEntry(this.u8, this.at);
        return true;
      }
      if (this.node === NIL) return false;
    }
    const previous = asRef(this.#word(this.node, NodeWord.PREVIOUS));
    if (previous === NIL) return false;
    this.#enter(previous);
    if (this.plainBytes === PACKED) this.#toLast();
    return true;
  }

  /** Returns the position of the entry, in bytes from the start of the listpack. */
  get inListpack(): number {
    return this.at - this.#base;
  }

  read(view: ElementView): void {
    if (this.plainBytes === PACKED) {
      readElement(this.u8, this.at, view);
      return;
    }
    view.isInteger = false;
    view.bytes = this.u8;
    view.position = this.at;
    view.length = this.plainBytes;
  }

  equals(bytes: Uint8Array, start: number, length: number): boolean {
    if (this.plainBytes === PACKED) return elementEquals(this.u8, this.at, bytes, start, length);
    return this.plainBytes === length && equalBytes(this.u8, this.at, bytes, start, length);
  }

  /** Goes to the first element of a node. */
  #enter(node: Ref): void {
    const i32 = this.#arena.i32[node >>> SEGMENT_SHIFT]!;
    const word = wordPosition(node);
    const block = i32[word + NodeWord.BLOCK]!;
    const base = bytePosition(block) + i32[word + NodeWord.START]!;
    this.node = node;
    this.u8 = this.#arena.u8[block >>> SEGMENT_SHIFT]!;
    this.plainBytes = i32[word + NodeWord.PLAIN]!;
    this.#base = base;
    this.at = this.plainBytes === PACKED ? base + LISTPACK_HEADER_BYTES : base;
  }

  /** Goes to the last entry of the listpack. */
  #toLast(): void {
    this.at = beforeEntry(this.u8, this.#base + listpackBytes(this.u8, this.#base) - 1);
  }

  #seekEntry(index: number, count: number): void {
    const u8 = this.u8;
    if (index <= count >>> 1) {
      let at = this.#base + LISTPACK_HEADER_BYTES;
      for (; index > 0; index--) at = behindEntry(u8, at);
      this.at = at;
      return;
    }
    let at = this.#base + listpackBytes(u8, this.#base) - 1;
    for (; index < count; index++) at = beforeEntry(u8, at);
    this.at = at;
  }

  #word(ref: Ref, word: number): number {
    return this.#arena.i32[ref >>> SEGMENT_SHIFT]![wordPosition(ref) + word]!;
  }
}
