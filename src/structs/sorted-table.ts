/**
 * Hot path. Large sorted sets: a hash table that finds members, and a sorted index that keeps them
 * in order. Both hold refs of the same objects, which sorted-set-member.ts draws. The ref of the
 * set is the ref of the index, which holds the ref of the table.
 *
 * `find` remembers the hash of a member, which `add` needs, and the place in the table, which
 * `removeFound` needs. So these must follow `find` at once. Additions and new scores throw
 * ARENA_FULL when there is no memory; then nothing has changed. Stale after a change: refs of
 * removed members, and cursors.
 */
import type { Arena } from '../arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';
import { assert, debugAssert, debugChecks } from '../base/assert.ts';
import { equalBytes } from '../base/byte-copy.ts';
import { hashBytes } from '../base/hash.ts';
import { asRef, NIL, type Ref } from '../base/units.ts';
import { ByteMover } from './byte-mover.ts';
import { type EntryHasher, type EntryVisitor, HashTable } from './hash-table.ts';
import { IndexCursor, SortedIndex } from './sorted-index.ts';
import { validateIndex } from './sorted-index-check.ts';
import { LEAF_ENTRIES } from './sorted-index-nodes.ts';
import { MEMBER_HEADER_BYTES, MEMBER_LENGTH_WORD } from './sorted-set-member.ts';

export class SortedTable implements EntryHasher {
  readonly index: SortedIndex;
  readonly #arena: Arena;
  readonly #hashKey0: number;
  readonly #hashKey1: number;
  readonly #tables: HashTable;
  readonly #mover: ByteMover;
  readonly #removed = new Int32Array(LEAF_ENTRIES);
  /** Hash of the member that was looked up last. */
  #hash = 0;
  readonly #freeMember: EntryVisitor = (member) => this.#arena.free(member);

  constructor(arena: Arena, hashKey0: number, hashKey1: number) {
    this.#arena = arena;
    this.#hashKey0 = hashKey0;
    this.#hashKey1 = hashKey1;
    this.#tables = new HashTable(arena, this);
    this.index = new SortedIndex(arena);
    this.#mover = new ByteMover(arena);
  }

  create(): Ref {
    const set = this.index.create();
    try {
      this.index.setTable(set, this.#tables.create());
    } catch (error) {
      this.index.freeSome(set, Number.POSITIVE_INFINITY);
      throw error;
    }
    return set;
  }

  count(set: Ref): number {
    return this.index.count(set);
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
  find(set: Ref, bytes: Uint8Array, start: number, length: number): Ref {
    const hash = this.#hashOfBytes(bytes, start, length);
    this.#hash = hash;
    const tables = this.#tables;
    const table = this.index.table(set);
    for (let member = tables.first(table, hash); member !== NIL; member = tables.next()) {
      // Length first: most members that share a tag differ in it.
      if (this.memberLength(member) !== length) continue;
      if (equalBytes(this.bytesOf(member), this.memberPosition(member), bytes, start, length))
        return member;
    }
    return NIL;
  }

  /** Adds a member that was just looked up and is absent. Returns its ref. */
  add(set: Ref, score: number, bytes: Uint8Array, start: number, length: number): Ref {
    if (debugChecks) {
      assert(
        this.#hash === this.#hashOfBytes(bytes, start, length),
        'a member is added after it was looked for',
      );
    }
    const arena = this.#arena;
    const member = arena.alloc(MEMBER_HEADER_BYTES + length);
    const segment = member >>> SEGMENT_SHIFT;
    arena.i32[segment]![wordPosition(member) + MEMBER_LENGTH_WORD] = length;
    arena.f64[segment]![wordPosition(member) >>> 1] = score;
    this.#mover.copyIn(bytes, start, segment, bytePosition(member) + MEMBER_HEADER_BYTES, length);
    this.#insert(set, score, member);
    return member;
  }

  score(member: Ref): number {
    return this.#arena.f64[member >>> SEGMENT_SHIFT]![wordPosition(member) >>> 1]!;
  }

  setScore(set: Ref, member: Ref, score: number): void {
    this.index.move(set, this.score(member), member, score);
    this.#arena.touch(member, 0, 8);
    this.#arena.f64[member >>> SEGMENT_SHIFT]![wordPosition(member) >>> 1] = score;
  }

  /** Removes `member`, which {@link find} returned last, and frees it. */
  removeFound(set: Ref, member: Ref): void {
    debugAssert(this.hashOf(member) === this.#hash, 'the member taken out was found last');
    this.index.remove(set, this.score(member), member);
    this.#tables.removeFound(this.index.table(set), this.#hash);
    this.#arena.free(member);
  }

  /** Removes and frees the members of `count` ranks from `rank` on, all of which must exist. */
  removeRange(set: Ref, rank: number, count: number): void {
    const removed = this.#removed;
    const table = this.index.table(set);
    for (let left = count; left > 0; ) {
      const taken = this.index.removeSome(set, rank, left, removed);
      for (let i = 0; i < taken; i++) {
        const member = asRef(removed[i]!);
        this.#tables.remove(table, this.hashOf(member), member);
        this.#arena.free(member);
      }
      left -= taken;
    }
  }

  rank(set: Ref, member: Ref): number {
    const bytes = this.bytesOf(member);
    const position = this.memberPosition(member);
    return this.index.countBeforeEntry(
      set,
      this.score(member),
      bytes,
      position,
      this.memberLength(member),
    );
  }

  memberLength(member: Ref): number {
    return this.#arena.i32[member >>> SEGMENT_SHIFT]![wordPosition(member) + MEMBER_LENGTH_WORD]!;
  }

  /** Returns the position of a member's bytes in {@link bytesOf}. */
  memberPosition(member: Ref): number {
    return bytePosition(member) + MEMBER_HEADER_BYTES;
  }

  bytesOf(member: Ref): Uint8Array {
    return this.#arena.u8[member >>> SEGMENT_SHIFT]!;
  }

  /** See {@link HashTable.eachBucket}. */
  eachBucket(set: Ref, tell: (entries: number) => void): void {
    this.#tables.eachBucket(this.index.table(set), tell);
  }

  /** See {@link HashTable.scan}. */
  scan(set: Ref, cursor: number, visit: EntryVisitor): number {
    return this.#tables.scan(this.index.table(set), cursor, visit);
  }

  /** Copies a set with its members and returns the ref of the copy. */
  copy(set: Ref): Ref {
    const to = this.create();
    try {
      const cursor = new IndexCursor();
      let more = this.index.seekRank(set, 0, cursor);
      for (; more; more = this.index.next(cursor)) this.#addCopy(to, cursor.score, cursor.member);
    } catch (error) {
      // There is no memory for the whole copy.
      this.freeSome(to, Number.POSITIVE_INFINITY);
      throw error;
    }
    return to;
  }

  /**
   * Returns the allocated bytes of a set. The size of a member is the mean of the first `samples`
   * members.
   */
  bytes(set: Ref, samples: number): number {
    const cursor = new IndexCursor();
    let seen = 0;
    let bytes = 0;
    let more = this.index.seekRank(set, 0, cursor);
    for (; more && seen < samples; more = this.index.next(cursor)) {
      seen++;
      bytes += this.#arena.blockBytes(cursor.member);
    }
    const members = Math.round((bytes / Math.max(1, seen)) * this.count(set));
    return this.index.bytes(set) + this.#tables.bytes(this.index.table(set)) + members;
  }

  /**
   * Frees up to `steps` buckets and nodes of a set that nobody reads any more. Returns true once
   * all of it is freed.
   */
  freeSome(set: Ref, steps: number): boolean {
    const table = this.index.table(set);
    if (table !== NIL) {
      if (!this.#tables.freeSome(table, steps, this.#freeMember)) return false;
      this.index.setTable(set, NIL);
    }
    return this.index.freeSome(set, steps);
  }

  /** See {@link HashTable.rolledBack}. */
  rolledBack(): void {
    this.#tables.rolledBack();
    this.index.rolledBack();
  }

  /** Checks that table and index agree. For tests. */
  validate(set: Ref): void {
    const table = this.index.table(set);
    this.#tables.validate(table);
    validateIndex(this.index, set);
    assert(this.#tables.count(table) === this.count(set), 'table and index have as many members');
    const cursor = new IndexCursor();
    for (let more = this.index.seekRank(set, 0, cursor); more; more = this.index.next(cursor)) {
      const { member } = cursor;
      assert(Object.is(this.score(member), cursor.score), 'a member has the score of the index');
      const bytes = MEMBER_HEADER_BYTES + this.memberLength(member);
      assert(bytes <= this.#arena.blockBytes(member), 'a member fits in its block');
      const length = this.memberLength(member);
      const found = this.find(set, this.bytesOf(member), this.memberPosition(member), length);
      assert(found === member, 'a member of the index is that of the table');
    }
  }

  #addCopy(to: Ref, score: number, member: Ref): void {
    const arena = this.#arena;
    const bytes = MEMBER_HEADER_BYTES + this.memberLength(member);
    const copy = arena.alloc(bytes);
    const target = copy >>> SEGMENT_SHIFT;
    this.#mover.across(
      member >>> SEGMENT_SHIFT,
      bytePosition(member),
      target,
      bytePosition(copy),
      bytes,
    );
    this.#hash = this.hashOf(copy);
    this.#insert(to, score, copy);
  }

  /**
   * Puts a new member, whose hash is `#hash`, into table and index. Frees it when there is no
   * memory for that.
   */
  #insert(set: Ref, score: number, member: Ref): void {
    const table = this.index.table(set);
    let inTable = false;
    try {
      this.#tables.insert(table, this.#hash, member);
      inTable = true;
      this.index.insert(set, score, member);
    } catch (error) {
      if (inTable) this.#tables.remove(table, this.#hash, member);
      this.#arena.free(member);
      throw error;
    }
  }

  #hashOfBytes(bytes: Uint8Array, start: number, length: number): number {
    return hashBytes(this.#hashKey0, this.#hashKey1, bytes, start, length);
  }
}
