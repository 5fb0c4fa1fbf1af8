/**
 * Hot path. A hash in either of its forms. A small hash is a listpack of field, value, field, value
 * …; a large hash is a table of fields (field-table.ts). One object serves many hashes, one after
 * another: `open` or `create` selects the hash.
 *
 *   open(ref, large) ─▶ find ─▶ readFound · setFound · removeFound · add, when it was not found
 *                   └─▶ first, next · forEach · handles ─▶ readField · readValue
 *
 * A handle is the place of a pair: a position in the listpack, or the ref of a field. After each
 * change `ref` and `large` tell where the hash is and which form it has, and the owner of the hash
 * must note them. Stale after a change: handles, and the result of `find`. Stale after the next
 * find or read: `field` and `value`. Bytes to be stored must not lie in the hash itself.
 */
import type { Arena } from '../arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT } from '../arena/layout.ts';
import { assert } from '../base/assert.ts';
import type { Prng } from '../base/prng.ts';
import { asRef, NIL, type Ref } from '../base/units.ts';
import type { FieldTable } from './field-table.ts';
import type { Listpack } from './listpack.ts';
import {
  behindEntry,
  ELEMENT_TEXT_BYTES_MAX,
  ElementView,
  END,
  elementToBytes,
  readElement,
} from './listpack-read.ts';

/** An upper bound for the bytes that two elements need in a listpack in addition to their data. */
const PAIR_BYTES_BESIDE = 32;

export type HandleVisitor = (handle: number) => void;

export class FieldMap {
  ref: Ref = NIL;
  large = false;
  /** Bytes of the field and of the value that were read last. */
  readonly field = new ElementView();
  readonly value = new ElementView();
  readonly #arena: Arena;
  readonly #listpacks: Listpack;
  readonly #tables: FieldTable;
  /** Handle of the pair that was found last, or END when there was none. */
  #found = END;
  readonly #fieldText = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);
  readonly #valueText = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);

  constructor(arena: Arena, listpacks: Listpack, tables: FieldTable) {
    this.#arena = arena;
    this.#listpacks = listpacks;
    this.#tables = tables;
  }

  open(ref: Ref, large: boolean): void {
    this.ref = ref;
    this.large = large;
  }

  /** Begins an empty hash. A small one gets room for a listpack of `roomBytes` bytes. */
  create(large: boolean, roomBytes: number): void {
    this.ref = large ? this.#tables.create() : this.#listpacks.create(roomBytes);
    this.large = large;
  }

  /** Returns the number of fields. */
  count(): number {
    return this.large ? this.#tables.count(this.ref) : this.#listpacks.count(this.ref) >>> 1;
  }

  /** Looks up a field by its name. Returns whether it is there. */
  find(name: Uint8Array, start: number, length: number): boolean {
    const { ref } = this;
    if (this.large) {
      const field = this.#tables.find(ref, name, start, length);
      this.#found = field === NIL ? END : field;
    } else {
      const listpacks = this.#listpacks;
      this.#found = listpacks.find(ref, listpacks.first(ref), name, start, length, 1);
    }
    return this.#found !== END;
  }

  /** Sets `value` to the value of the pair that was found. */
  readFound(): void {
    this.readValue(this.#found);
  }

  /** Replaces the value of the pair that was found. */
  setFound(value: Uint8Array, start: number, length: number): void {
    const found = this.#found;
    if (this.large) {
      this.#tables.setValue(asRef(found), value, start, length);
      return;
    }
    const listpacks = this.#listpacks;
    const to = listpacks.replace(this.ref, this.#valueAt(found), value, start, length);
    assert(to !== NIL, 'a hash whose value is set has room');
    this.ref = to;
  }

  /** Adds a field that was looked up last and is absent. */
  add(
    name: Uint8Array,
    nameStart: number,
    nameLength: number,
    value: Uint8Array,
    valueStart: number,
    valueLength: number,
  ): void {
    if (this.large) {
      this.#tables.add(this.ref, name, nameStart, nameLength, value, valueStart, valueLength);
      return;
    }
    const to = this.#listpacks.appendPair(
      this.ref,
      name,
      nameStart,
      nameLength,
      value,
      valueStart,
      valueLength,
    );
    assert(to !== NIL, 'a hash that a field is added to has room');
    this.ref = to;
  }

  /**
   * Sets a field. Returns whether it is new. A listpack that would pass its limit of 1 GiB becomes
   * a table. Throws ARENA_FULL when there is no memory; then nothing has changed.
   */
  set(
    name: Uint8Array,
    nameStart: number,
    nameLength: number,
    value: Uint8Array,
    valueStart: number,
    valueLength: number,
  ): boolean {
    if (
      !this.large &&
      !this.#listpacks.safeToAdd(this.ref, nameLength + valueLength + PAIR_BYTES_BESIDE)
    )
      return this.#convertAndSet(name, nameStart, nameLength, value, valueStart, valueLength);
    if (this.find(name, nameStart, nameLength)) {
      this.setFound(value, valueStart, valueLength);
      return false;
    }
    this.add(name, nameStart, nameLength, value, valueStart, valueLength);
    return true;
  }

  /** Removes the pair that was found. */
  removeFound(): void {
    if (this.large) this.#tables.removeFound(this.ref, asRef(this.#found));
    else this.ref = this.#listpacks.deleteEntries(this.ref, this.#found, 2);
    this.#found = END;
  }

  /**
   * Makes a small hash a large one. Throws ARENA_FULL when there is no memory; then nothing has
   * changed.
   */
  convert(): void {
    const small = this.ref;
    this.#toTable();
    this.#listpacks.free(small);
  }

  #convertAndSet(
    name: Uint8Array,
    nameStart: number,
    nameLength: number,
    value: Uint8Array,
    valueStart: number,
    valueLength: number,
  ): boolean {
    const small = this.ref;
    this.#toTable();
    let created: boolean;
    try {
      created = this.set(name, nameStart, nameLength, value, valueStart, valueLength);
    } catch (error) {
      this.#tables.freeSome(this.ref, Number.POSITIVE_INFINITY);
      this.open(small, false);
      throw error;
    }
    this.#listpacks.free(small);
    return created;
  }

  /** Makes a table with the same fields and opens it. The listpack stays as it is. */
  #toTable(): void {
    const table = this.#tables.create();
    try {
      for (let at = this.#listpacks.first(this.ref); at !== END; at = this.#nextPair(at)) {
        this.readField(at);
        this.readValue(at);
        const { field, value } = this;
        this.#tables.find(table, field.bytes, field.position, field.length);
        this.#tables.add(
          table,
          field.bytes,
          field.position,
          field.length,
          value.bytes,
          value.position,
          value.length,
        );
      }
    } catch (error) {
      this.#tables.freeSome(table, Number.POSITIVE_INFINITY);
      throw error;
    }
    this.ref = table;
    this.large = true;
  }

  /** Moves a small hash to a shorter block if its block is longer than needed. */
  shrinkToFit(): void {
    if (!this.large) this.ref = this.#listpacks.shrinkToFit(this.ref);
  }

  /** Frees the memory of a hash that has no other owner, or that is empty. */
  free(): void {
    if (this.large) this.#tables.freeSome(this.ref, Number.POSITIVE_INFINITY);
    else this.#listpacks.free(this.ref);
    this.ref = NIL;
  }

  /** Copies the hash, in the same form, and returns the ref of the copy. */
  copy(): Ref {
    return this.large ? this.#tables.copy(this.ref) : this.#listpacks.copy(this.ref);
  }

  /** Visits all pairs. The visitor must not change the hash. */
  forEach(visit: HandleVisitor): void {
    if (this.large) this.#tables.forEach(this.ref, visit);
    else
      for (let at = this.#listpacks.first(this.ref); at !== END; at = this.#nextPair(at)) visit(at);
  }

  /**
   * Visits the pairs at one position of the iteration and returns the next cursor, 0 at the end. A
   * small hash is visited in one call. See HashTable.scan.
   */
  scan(cursor: number, visit: HandleVisitor): number {
    if (this.large) return this.#tables.scan(this.ref, cursor, visit);
    this.forEach(visit);
    return 0;
  }

  /** Returns the handles of all pairs. */
  handles(): Int32Array {
    const handles = new Int32Array(this.count());
    let count = 0;
    this.forEach((handle) => {
      handles[count++] = handle;
    });
    return handles;
  }

  /** Returns the handle of a random pair. The hash must not be empty. */
  random(prng: Prng): number {
    if (this.large) return this.#tables.random(this.ref, prng);
    return this.#listpacks.seek(this.ref, prng.below(this.count()) * 2);
  }

  /** Sets `field` to the name at `handle`. */
  readField(handle: number): void {
    const view = this.field;
    if (this.large) {
      const field = asRef(handle);
      view.isInteger = false;
      view.bytes = this.#tables.bytesOf(field);
      view.position = this.#tables.fieldPosition(field);
      view.length = this.#tables.fieldLength(field);
    } else {
      this.#listpacks.read(this.ref, handle, view);
      elementToBytes(view, this.#fieldText);
    }
  }

  /** Sets `value` to the value at `handle`. */
  readValue(handle: number): void {
    const view = this.value;
    if (this.large) {
      const field = asRef(handle);
      view.isInteger = false;
      view.bytes = this.#tables.bytesOf(field);
      view.position = this.#tables.valuePosition(field);
      view.length = this.#tables.valueLength(field);
    } else {
      const u8 = this.#arena.u8[this.ref >>> SEGMENT_SHIFT]!;
      readElement(u8, behindEntry(u8, bytePosition(this.ref) + handle), view);
      elementToBytes(view, this.#valueText);
    }
  }

  /** Drops views into segments, which may be gone. */
  forgetViews(): void {
    this.field.forget();
    this.value.forget();
  }

  /** Checks the structure, and that no field is there twice. For tests. */
  validate(): void {
    if (this.large) {
      this.#tables.validate(this.ref);
      return;
    }
    this.#listpacks.validate(this.ref);
    assert(this.#listpacks.count(this.ref) % 2 === 0, 'each field has a value');
    this.forEach((handle) => {
      this.readField(handle);
      const { bytes, position, length } = this.field;
      assert(
        this.find(bytes, position, length) && this.#found === handle,
        'no other field has its name',
      );
    });
  }

  #valueAt(handle: number): number {
    const base = bytePosition(this.ref);
    return behindEntry(this.#arena.u8[this.ref >>> SEGMENT_SHIFT]!, base + handle) - base;
  }

  /** Returns the handle of the next pair of a small hash, or END. */
  #nextPair(handle: number): number {
    return this.#listpacks.next(this.ref, this.#valueAt(handle));
  }
}
