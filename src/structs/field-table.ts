/**
 * Hot path. Large hashes: a hash table (hash-table.ts) of fields. Each field is one object, which
 * also holds the value.
 *
 *   word 0   FIELD    bytes of the field
 *   word 1   VALUE    bytes of the value
 *   bytes    field, then value
 *
 * A new value is written in place if it fits and does not leave most of the block empty. Otherwise
 * the field moves to another block.
 *
 * `find` remembers the hash of the name, which `add` needs, and the place in the table, which
 * `setValue` and `removeFound` need. So these must follow `find` at once. Stale after a change of a
 * table: refs of fields that were moved or removed, and all views into them. Bytes to be stored
 * must not lie in the field that they replace.
 */
import type { Arena } from '../arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';
import { assert, debugAssert, debugChecks } from '../base/assert.ts';
import { equalBytes } from '../base/byte-copy.ts';
import { hashBytes } from '../base/hash.ts';
import type { Prng } from '../base/prng.ts';
import { NIL, type Ref } from '../base/units.ts';
import { ByteMover } from './byte-mover.ts';
import { type EntryHasher, type EntryVisitor, HashTable } from './hash-table.ts';

export const FieldWord = { FIELD: 0, VALUE: 1 } as const;
export const FIELD_HEADER_BYTES = 8;

/** A field moves to a smaller block when it needs no more than 1 / SHRINK_FACTOR of its block. */
const SHRINK_FACTOR = 2;
const SMALL_BLOCK_BYTES = 64;

export class FieldTable implements EntryHasher {
  readonly #arena: Arena;
  readonly #hashKey0: number;
  readonly #hashKey1: number;
  readonly #tables: HashTable;
  readonly #mover: ByteMover;
  /** Hash of the field that was looked up last. */
  #hash = 0;
  readonly #freeField: EntryVisitor = (field) => this.#arena.free(field);

  constructor(arena: Arena, hashKey0: number, hashKey1: number) {
    this.#arena = arena;
    this.#hashKey0 = hashKey0;
    this.#hashKey1 = hashKey1;
    this.#tables = new HashTable(arena, this);
    this.#mover = new ByteMover(arena);
  }

  create(): Ref {
    return this.#tables.create();
  }

  count(table: Ref): number {
    return this.#tables.count(table);
  }

  /** Returns the hash of a field's name. The table calls it. */
  hashOf(field: Ref): number {
    return this.#hashOfName(this.#u8(field), this.fieldPosition(field), this.fieldLength(field));
  }

  /** Returns the field with this name, or NIL. */
  find(table: Ref, name: Uint8Array, start: number, length: number): Ref {
    const hash = this.#hashOfName(name, start, length);
    this.#hash = hash;
    const tables = this.#tables;
    for (let field = tables.first(table, hash); field !== NIL; field = tables.next()) {
      // Length first: most fields that share a tag differ in it.
      if (this.fieldLength(field) !== length) continue;
      if (equalBytes(this.#u8(field), this.fieldPosition(field), name, start, length)) return field;
    }
    return NIL;
  }

  /** Adds a field whose name was just looked up and is absent. */
  add(
    table: Ref,
    name: Uint8Array,
    nameStart: number,
    nameLength: number,
    value: Uint8Array,
    valueStart: number,
    valueLength: number,
  ): void {
    if (debugChecks) {
      const hash = this.#hashOfName(name, nameStart, nameLength);
      assert(hash === this.#hash, 'a field is added after it was looked for');
    }
    const arena = this.#arena;
    const field = arena.alloc(FIELD_HEADER_BYTES + nameLength + valueLength);
    const segment = field >>> SEGMENT_SHIFT;
    const i32 = arena.i32[segment]!;
    const word = wordPosition(field);
    i32[word + FieldWord.FIELD] = nameLength;
    i32[word + FieldWord.VALUE] = valueLength;
    const at = bytePosition(field) + FIELD_HEADER_BYTES;
    this.#mover.copyIn(name, nameStart, segment, at, nameLength);
    this.#mover.copyIn(value, valueStart, segment, at + nameLength, valueLength);
    try {
      this.#tables.insert(table, this.#hash, field);
    } catch (error) {
      // There is no memory for a bucket. The hash is as it was.
      arena.free(field);
      throw error;
    }
  }

  /** Sets the value of `field`, which {@link find} returned last. */
  setValue(field: Ref, value: Uint8Array, start: number, length: number): void {
    const arena = this.#arena;
    const nameLength = this.fieldLength(field);
    const head = FIELD_HEADER_BYTES + nameLength;
    const need = head + length;
    const block = arena.blockBytes(field);
    const segment = field >>> SEGMENT_SHIFT;
    if (need <= block && (block <= SMALL_BLOCK_BYTES || need * SHRINK_FACTOR > block)) {
      arena.touch(field, 0, need);
      arena.i32[segment]![wordPosition(field) + FieldWord.VALUE] = length;
      this.#mover.copyIn(value, start, segment, bytePosition(field) + head, length);
      return;
    }
    const moved = arena.alloc(need);
    const to = moved >>> SEGMENT_SHIFT;
    const at = bytePosition(moved);
    this.#mover.across(segment, bytePosition(field), to, at, head);
    arena.i32[to]![wordPosition(moved) + FieldWord.VALUE] = length;
    this.#mover.copyIn(value, start, to, at + head, length);
    const replaced = this.#tables.replaceFound(field, moved);
    assert(replaced, 'a value is set of the field that was found last');
    arena.free(field);
  }

  /** Removes `field`, which {@link find} returned last, and frees it. */
  removeFound(table: Ref, field: Ref): void {
    debugAssert(this.hashOf(field) === this.#hash, 'the field taken out was found last');
    this.#tables.removeFound(table, this.#hash);
    this.#arena.free(field);
  }

  fieldLength(field: Ref): number {
    return this.#arena.i32[field >>> SEGMENT_SHIFT]![wordPosition(field) + FieldWord.FIELD]!;
  }

  valueLength(field: Ref): number {
    return this.#arena.i32[field >>> SEGMENT_SHIFT]![wordPosition(field) + FieldWord.VALUE]!;
  }

  /** Returns the position of a field's name in {@link bytesOf}. */
  fieldPosition(field: Ref): number {
    return bytePosition(field) + FIELD_HEADER_BYTES;
  }

  valuePosition(field: Ref): number {
    return bytePosition(field) + FIELD_HEADER_BYTES + this.fieldLength(field);
  }

  /** Returns the bytes of the segment that a field is in. */
  bytesOf(field: Ref): Uint8Array {
    return this.#u8(field);
  }

  /** See {@link HashTable.scan}. */
  scan(table: Ref, cursor: number, visit: EntryVisitor): number {
    return this.#tables.scan(table, cursor, visit);
  }

  /** Visits all fields. The visitor must not change the table. */
  forEach(table: Ref, visit: EntryVisitor): void {
    const buckets = this.#tables.buckets(table);
    for (let index = 0; index < buckets; index++) this.#tables.visitBucket(table, index, visit);
  }

  /** Returns a random field, or NIL when the table is empty. */
  random(table: Ref, prng: Prng): Ref {
    return this.#tables.random(table, prng);
  }

  /** Copies a table with its fields and returns the ref of the copy. */
  copy(table: Ref): Ref {
    const arena = this.#arena;
    const to = this.create();
    try {
      this.forEach(table, (field) => {
        const bytes = FIELD_HEADER_BYTES + this.fieldLength(field) + this.valueLength(field);
        const copied = arena.alloc(bytes);
        const segment = copied >>> SEGMENT_SHIFT;
        this.#mover.across(
          field >>> SEGMENT_SHIFT,
          bytePosition(field),
          segment,
          bytePosition(copied),
          bytes,
        );
        try {
          this.#tables.insert(to, this.hashOf(field), copied);
        } catch (error) {
          arena.free(copied);
          throw error;
        }
      });
    } catch (error) {
      // There is no memory for the whole copy.
      this.freeSome(to, Number.POSITIVE_INFINITY);
      throw error;
    }
    return to;
  }

  /**
   * Frees up to `buckets` buckets of a table that nobody reads any more. Returns true once all of
   * it is freed.
   */
  freeSome(table: Ref, buckets: number): boolean {
    return this.#tables.freeSome(table, buckets, this.#freeField);
  }

  /**
   * Returns the bytes of the table and its fields. The size of a field is the mean of the first
   * `samples` fields.
   */
  bytes(table: Ref, samples: number): number {
    let seen = 0;
    let bytes = 0;
    const visit = (field: Ref): void => {
      seen++;
      bytes += this.#arena.blockBytes(field);
    };
    const buckets = this.#tables.buckets(table);
    for (let i = 0; i < buckets && seen < samples; i++) this.#tables.visitBucket(table, i, visit);
    return this.#tables.bytes(table) + Math.round((bytes / Math.max(1, seen)) * this.count(table));
  }

  /** See {@link HashTable.rolledBack}. */
  rolledBack(): void {
    this.#tables.rolledBack();
  }

  /** See {@link HashTable.eachBucket}. */
  eachBucket(table: Ref, tell: (entries: number) => void): void {
    this.#tables.eachBucket(table, tell);
  }

  /** Checks the places and lengths of all fields, and that no name is there twice. For tests. */
  validate(table: Ref): void {
    this.#tables.validate(table);
    this.forEach(table, (field) => {
      const bytes = FIELD_HEADER_BYTES + this.fieldLength(field) + this.valueLength(field);
      assert(bytes <= this.#arena.blockBytes(field), 'a field fits in its block');
      const found = this.find(
        table,
        this.#u8(field),
        this.fieldPosition(field),
        this.fieldLength(field),
      );
      assert(found === field, 'no other field has its name');
    });
  }

  #u8(field: Ref): Uint8Array {
    return this.#arena.u8[field >>> SEGMENT_SHIFT]!;
  }

  #hashOfName(bytes: Uint8Array, start: number, length: number): number {
    return hashBytes(this.#hashKey0, this.#hashKey1, bytes, start, length);
  }
}
