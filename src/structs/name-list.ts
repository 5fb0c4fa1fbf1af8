/**
 * Lists of objects in the arena, in the order of the objects' names: the groups of a stream, or the
 * consumers of a group.
 *
 *   list     word 0 COUNT     word 2… refs of the objects
 *   object   word 0 NAME      bytes of its name, which begins behind a header of `headerBytes`
 *
 * An empty list is NIL. A change returns the list's new place. Stale after a change: the old place
 * and the result of `find`.
 */
import type { Arena } from '../arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';
import { compareBytes } from '../base/bytes.ts';
import { asRef, NIL, type Ref } from '../base/units.ts';

export const NAME_LIST_FIRST_WORD = 2;
const FIRST_NAMES = 2;

const listBytes = (count: number): number => (NAME_LIST_FIRST_WORD + count) * 4;

export class NameList {
  readonly #arena: Arena;
  readonly #headerBytes: number;
  /** The place of the name that was looked up last, or the place where it belongs. */
  #place = 0;

  constructor(arena: Arena, headerBytes: number) {
    this.#arena = arena;
    this.#headerBytes = headerBytes;
  }

  count(list: Ref): number {
    return list === NIL ? 0 : this.#word(list, 0);
  }

  at(list: Ref, index: number): Ref {
    return asRef(this.#word(list, NAME_LIST_FIRST_WORD + index));
  }

  /** Returns the object with this name, or NIL. */
  find(list: Ref, name: Uint8Array, start: number, length: number): Ref {
    let low = 0;
    let high = this.count(list);
    while (low < high) {
      const middle = (low + high) >>> 1;
      const object = this.at(list, middle);
      const u8 = this.#arena.u8[object >>> SEGMENT_SHIFT]!;
      const at = bytePosition(object) + this.#headerBytes;
      const order = compareBytes(u8, at, this.#word(object, 0), name, start, length);
      if (order === 0) {
        this.#place = middle;
        return object;
      }
      if (order < 0) low = middle + 1;
      else high = middle;
    }
    this.#place = low;
    return NIL;
  }

  /** Adds an object whose name was just looked up and is absent. */
  insert(list: Ref, object: Ref): Ref {
    const arena = this.#arena;
    const count = this.count(list);
    const place = this.#place;
    let to = list;
    if (list === NIL || listBytes(count + 1) > arena.blockBytes(list)) {
      to = arena.alloc(listBytes(Math.max(count * 2, FIRST_NAMES)));
      for (let i = 0; i < count; i++) this.#setWord(to, NAME_LIST_FIRST_WORD + i, this.at(list, i));
      if (list !== NIL) arena.free(list);
    }
    for (let i = count; i > place; i--)
      this.#setWord(to, NAME_LIST_FIRST_WORD + i, this.#word(to, NAME_LIST_FIRST_WORD + i - 1));
    this.#setWord(to, NAME_LIST_FIRST_WORD + place, object);
    this.#setWord(to, 0, count + 1);
    return to;
  }

  /** Removes the object that was found last. */
  removeFound(list: Ref): Ref {
    const count = this.count(list) - 1;
    if (count === 0) {
      this.#arena.free(list);
      return NIL;
    }
    for (let i = this.#place; i < count; i++)
      this.#setWord(list, NAME_LIST_FIRST_WORD + i, this.#word(list, NAME_LIST_FIRST_WORD + i + 1));
    this.#setWord(list, 0, count);
    return list;
  }

  /** Removes the last object. */
  removeLast(list: Ref): Ref {
    this.#place = this.count(list) - 1;
    return this.removeFound(list);
  }

  #word(ref: Ref, word: number): number {
    return this.#arena.i32[ref >>> SEGMENT_SHIFT]![wordPosition(ref) + word]!;
  }

  #setWord(ref: Ref, word: number, value: number): void {
    this.#arena.touch(ref, word * 4, 4);
    this.#arena.i32[ref >>> SEGMENT_SHIFT]![wordPosition(ref) + word] = value;
  }
}
