/**
 * Hot path. Large sets: a hash table (hash-table.ts) of members. Each member is one object.
 *
 *   word 0   LENGTH   bytes of the member
 *   bytes    the member
 *
 * `find` remembers the hash of the member, which `add` needs, and the place in the table, which
 * `removeFound` needs. So these must follow `find` at once. Stale after a change of a table: refs
 * of removed members, and all views into them.
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

export const MemberWord = { LENGTH: 0 } as const;
export const SET_MEMBER_HEADER_BYTES = 4;

export class MemberTable implements EntryHasher {
  readonly #arena: Arena;
  readonly #hashKey0: number;
  readonly #hashKey1: number;
  readonly #tables: HashTable;
  readonly #mover: ByteMover;
  /** Hash of the member that was looked up last. */
  #hash = 0;
  readonly #freeMember: EntryVisitor = (member) => this.#arena.free(member);

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

  /** Returns the hash of a member. The table calls it. */
  hashOf(member: Ref): number {
    return this.#hashOfBytes(
      this.bytesOf(member),
      this.memberPosition(member),
      this.memberLength(member),
    );
  }

  /** Returns the member with these bytes, or NIL. */
  find(table: Ref, bytes: Uint8Array, start: number, length: number): Ref {
    const hash = this.#hashOfBytes(bytes, start, length);
    this.#hash = hash;
    const tables = this.#tables;
    for (let member = tables.first(table, hash); member !== NIL; member = tables.next()) {
      // Length first: most members that share a tag differ in it.
      if (this.memberLength(member) !== length) continue;
      if (equalBytes(this.bytesOf(member), this.memberPosition(member), bytes, start, length))
        return member;
    }
    return NIL;
  }

  /** Adds a member that was just looked up and is absent. */
  add(table: Ref, bytes: Uint8Array, start: number, length: number): void {
    if (debugChecks) {
      const hash = this.#hashOfBytes(bytes, start, length);
      assert(hash === this.#hash, 'a member is added after it was looked for');
    }
    const arena = this.#arena;
    const member = arena.alloc(SET_MEMBER_HEADER_BYTES + length);
    const segment = member >>> SEGMENT_SHIFT;
    arena.i32[segment]![wordPosition(member) + MemberWord.LENGTH] = length;
    this.#mover.copyIn(
      bytes,
      start,
      segment,
      bytePosition(member) + SET_MEMBER_HEADER_BYTES,
      length,
    );
    this.#insert(table, this.#hash, member);
  }

  /** Removes `member`, which {@link find} returned last, and frees it. */
  removeFound(table: Ref, member: Ref): void {
    debugAssert(this.hashOf(member) === this.#hash, 'the member taken out was found last');
    this.#tables.removeFound(table, this.#hash);
    this.#arena.free(member);
  }

  /** Removes `member`, which {@link random} returned last, and frees it. */
  removeDrawn(table: Ref, member: Ref): void {
    this.#tables.removeDrawn(table);
    this.#arena.free(member);
  }

  memberLength(member: Ref): number {
    return this.#arena.i32[member >>> SEGMENT_SHIFT]![wordPosition(member) + MemberWord.LENGTH]!;
  }

  /** Returns the position of a member's bytes in {@link bytesOf}. */
  memberPosition(member: Ref): number {
    return bytePosition(member) + SET_MEMBER_HEADER_BYTES;
  }

  bytesOf(member: Ref): Uint8Array {
    return this.#arena.u8[member >>> SEGMENT_SHIFT]!;
  }

  buckets(table: Ref): number {
    return this.#tables.buckets(table);
  }

  /** See {@link HashTable.visitBucket}. */
  visitBucket(table: Ref, index: number, visit: EntryVisitor): void {
    this.#tables.visitBucket(table, index, visit);
  }

  /** See {@link HashTable.scan}. */
  scan(table: Ref, cursor: number, visit: EntryVisitor): number {
    return this.#tables.scan(table, cursor, visit);
  }

  /** Returns a random member, or NIL when the table is empty. */
  random(table: Ref, prng: Prng): Ref {
    return this.#tables.random(table, prng);
  }

  /** Copies a table with its members and returns the ref of the copy. */
  copy(table: Ref): Ref {
    const arena = this.#arena;
    const to = this.create();
    try {
      this.#forEach(table, (member) => {
        const bytes = SET_MEMBER_HEADER_BYTES + this.memberLength(member);
        const copied = arena.alloc(bytes);
        const segment = copied >>> SEGMENT_SHIFT;
        const at = bytePosition(copied);
        this.#mover.across(member >>> SEGMENT_SHIFT, bytePosition(member), segment, at, bytes);
        this.#insert(to, this.hashOf(member), copied);
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
    return this.#tables.freeSome(table, buckets, this.#freeMember);
  }

  /**
   * Returns the bytes of the table and its members. The size of a member is the mean of the first
   * `samples` members.
   */
  bytes(table: Ref, samples: number): number {
    let seen = 0;
    let bytes = 0;
    const visit = (member: Ref): void => {
      seen++;
      bytes += this.#arena.blockBytes(member);
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

  /** Checks the places and lengths of all members, and that no member is there twice. For tests. */
  validate(table: Ref): void {
    this.#tables.validate(table);
    this.#forEach(table, (member) => {
      const length = this.memberLength(member);
      assert(
        SET_MEMBER_HEADER_BYTES + length <= this.#arena.blockBytes(member),
        'a member fits in its block',
      );
      const found = this.find(table, this.bytesOf(member), this.memberPosition(member), length);
      assert(found === member, 'no other member is the same');
    });
  }

  #forEach(table: Ref, visit: EntryVisitor): void {
    const buckets = this.#tables.buckets(table);
    for (let index = 0; index < buckets; index++) this.#tables.visitBucket(table, index, visit);
  }

  /**
   * Puts a new member into the table. When there is no memory for that, frees the member and leaves
   * the set as it was.
   */
  #insert(table: Ref, hash: number, member: Ref): void {
    try {
      this.#tables.insert(table, hash, member);
    } catch (error) {
      this.#arena.free(member);
      throw error;
    }
  }

  #hashOfBytes(bytes: Uint8Array, start: number, length: number): number {
    return hashBytes(this.#hashKey0, this.#hashKey1, bytes, start, length);
  }
}
