/**
 * Hot path. A sorted set in either of its forms: a small one is a listpack (sorted-listpack.ts), a
 * large one is a table with an index (sorted-table.ts). One object serves many sets, one after
 * another: `open` or `create` selects the set.
 *
 *   open(ref, large) ─▶ find ─▶ score · setFoundScore · removeFound · foundRank
 *                   │      └──▶ add, when the member was not found
 *                   └─▶ seek ─▶ score · next · previous
 *
 * Every range is a range of ranks. After each change `ref` and `large` tell where the set is, and
 * the owner of the set must note them. Stale after a change: the result of `find` or `seek`. Stale
 * after the next find, seek or step: member and score.
 */
import type { Arena } from '../arena/arena.ts';
import { assert } from '../base/assert.ts';
import { NIL, type Ref } from '../base/units.ts';
import type { Listpack } from './listpack.ts';
import { ELEMENT_TEXT_BYTES_MAX, ElementView, END, LISTPACK_BYTES_MAX } from './listpack-read.ts';
import { IndexCursor } from './sorted-index.ts';
import { SortedListpack } from './sorted-listpack.ts';
import type { SortedTable } from './sorted-table.ts';

/** Bytes of room in a new listpack. Three short members need this much. */
const FIRST_ROOM_BYTES = 40;
/**
 * An upper bound for the bytes that a pair needs in a listpack in addition to those of the member.
 */
const PAIR_BYTES_BESIDE = 64;

export class SortedSet {
  ref: Ref = NIL;
  large = false;
  /** The score of the current member, which is the result of find, seek or a step. */
  score = 0;
  readonly #arena: Arena;
  readonly #listpacks: Listpack;
  readonly #small: SortedListpack;
  readonly #tables: SortedTable;
  /** The place of the current member: a position in a listpack, or the ref of the object. */
  #at = END;
  readonly #cursor = new IndexCursor();
  readonly #view = new ElementView();
  readonly #text = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);

  constructor(arena: Arena, listpacks: Listpack, tables: SortedTable) {
    this.#arena = arena;
    this.#listpacks = listpacks;
    this.#small = new SortedListpack(arena, listpacks);
    this.#tables = tables;
  }

  open(ref: Ref, large: boolean): void {
    this.ref = ref;
    this.large = large;
  }

  /** Begins an empty set. A small one gets room for a listpack of `roomBytes` bytes. */
  create(large: boolean, roomBytes = FIRST_ROOM_BYTES): void {
    this.ref = large ? this.#tables.create() : this.#listpacks.create(roomBytes);
    this.large = large;
  }

  /** Moves a small set to a shorter block if its block is longer than needed. */
  shrinkToFit(): void {
    if (!this.large) this.ref = this.#listpacks.shrinkToFit(this.ref);
  }

  count(): number {
    return this.large ? this.#tables.count(this.ref) : this.#small.count(this.ref);
  }

  /** Looks up a member. When it is there, sets {@link score} and returns true. */
  find(bytes: Uint8Array, start: number, length: number): boolean {
    if (this.large) {
      const member = this.#tables.find(this.ref, bytes, start, length);
      this.#cursor.member = member;
      if (member === NIL) return false;
      this.score = this.#tables.score(member);
      return true;
    }
    this.#at = this.#small.find(this.ref, bytes, start, length);
    if (this.#at === END) return false;
    this.score = this.#small.score(this.ref, this.#at);
    return true;
  }

  /**
   * Adds a member that {@link find} did not find just now. A small set becomes a large one when it
   * would get more than `entriesMax` members, or a member longer than `valueBytesMax` bytes.
   */
  add(
    score: number,
    bytes: Uint8Array,
    start: number,
    length: number,
    entriesMax: number,
    valueBytesMax: number,
  ): void {
    assert(!Number.isNaN(score), 'a score is a number');
    if (!this.large) {
      const small = this.#small;
      const fits = length <= valueBytesMax && small.hasRoom(this.ref, length);
      if (fits && small.count(this.ref) < entriesMax) {
        this.ref = small.insert(this.ref, score, bytes, start, length);
        return;
      }
      this.#enlargeWith(score, bytes, start, length);
      return;
    }
    this.#tables.add(this.ref, score, bytes, start, length);
  }

  /** Gives the member that {@link find} found another score. */
  setFoundScore(score: number): void {
    assert(!Number.isNaN(score), 'a score is a number');
    if (this.large) this.#tables.setScore(this.ref, this.#cursor.member, score);
    else this.ref = this.#small.setScore(this.ref, this.#at, score);
  }

  /** Removes the member that {@link find} found. */
  removeFound(): void {
    if (this.large) this.#tables.removeFound(this.ref, this.#cursor.member);
    else this.ref = this.#small.remove(this.ref, this.#at);
  }

  /** Returns the rank of the member that {@link find} found. */
  foundRank(): number {
    if (this.large) return this.#tables.rank(this.ref, this.#cursor.member);
    return this.#small.rank(this.ref, this.#at);
  }

  /** Removes `count` members from a rank on, all of which must exist. */
  removeRange(rank: number, count: number): void {
    if (this.large) this.#tables.removeRange(this.ref, rank, count);
    else this.ref = this.#small.removeRange(this.ref, rank, count);
  }

  /**
   * Returns the number of members with a score below `score`; with `orEqual`, also those equal to
   * it.
   */
  countBeforeScore(score: number, orEqual: boolean): number {
    if (this.large) return this.#tables.index.countBeforeScore(this.ref, score, orEqual);
    return this.#small.countBeforeScore(this.ref, score, orEqual);
  }

  /**
   * Returns the number of members before these bytes; with `orEqual`, also a member equal to them.
   * All scores in the set must be equal.
   */
  countBeforeMember(bytes: Uint8Array, start: number, length: number, orEqual: boolean): number {
    if (this.large)
      return this.#tables.index.countBeforeMember(this.ref, bytes, start, length, orEqual);
    return this.#small.countBeforeMember(this.ref, bytes, start, length, orEqual);
  }

  /** Goes to the member of a rank. Returns false when there is none. */
  seek(rank: number): boolean {
    if (this.large) {
      if (!this.#tables.index.seekRank(this.ref, rank, this.#cursor)) return false;
      this.score = this.#cursor.score;
      return true;
    }
    return this.#standAt(this.#small.seek(this.ref, rank));
  }

  /**
   * Goes to the next member. Behind the last one returns false; then there is no current member.
   */
  next(): boolean {
    if (this.large) {
      if (!this.#tables.index.next(this.#cursor)) return false;
      this.score = this.#cursor.score;
      return true;
    }
    return this.#standAt(this.#small.next(this.ref, this.#at));
  }

  /**
   * Goes to the previous member. Before the first one returns false; then there is no current
   * member.
   */
  previous(): boolean {
    if (this.large) {
      if (!this.#tables.index.previous(this.#cursor)) return false;
      this.score = this.#cursor.score;
      return true;
    }
    return this.#standAt(this.#small.previous(this.ref, this.#at));
  }

  /** Returns the bytes of the current member, in a view that the next call changes. */
  member(): ElementView {
    const view = this.#view;
    if (this.large) {
      const { member } = this.#cursor;
      view.bytes = this.#tables.bytesOf(member);
      view.position = this.#tables.memberPosition(member);
      view.length = this.#tables.memberLength(member);
    } else {
      this.#small.memberInto(this.ref, this.#at, view, this.#text);
    }
    return view;
  }

  /** Returns the text of the current member in a new array. */
  copyMember(): Uint8Array {
    const { bytes, position, length } = this.member();
    return Uint8Array.from(bytes.subarray(position, position + length));
  }

  /**
   * Visits the members at one position of the iteration (see hash-table.ts). A small set is visited
   * in one call. Before each call of `visit` the member and its score are set.
   */
  scan(cursor: number, visit: () => void): number {
    if (this.large) {
      return this.#tables.scan(this.ref, cursor, (member) => {
        this.#cursor.member = member;
        this.score = this.#tables.score(member);
        visit();
      });
    }
    for (let more = this.seek(0); more; more = this.next()) visit();
    return 0;
  }

  /**
   * Makes a small set a large one. Throws ARENA_FULL when there is no memory; then nothing has
   * changed.
   */
  enlarge(): void {
    const small = this.ref;
    this.#toTable();
    this.#listpacks.free(small);
  }

  /** As {@link enlarge}, and adds one absent member. */
  #enlargeWith(score: number, bytes: Uint8Array, start: number, length: number): void {
    const small = this.ref;
    this.#toTable();
    try {
      this.#tables.find(this.ref, bytes, start, length);
      this.#tables.add(this.ref, score, bytes, start, length);
    } catch (error) {
      this.#tables.freeSome(this.ref, Number.POSITIVE_INFINITY);
      this.open(small, false);
      throw error;
    }
    this.#listpacks.free(small);
  }

  /** Makes a large set with the same members and opens it. The small one stays as it is. */
  #toTable(): void {
    const large = this.#tables.create();
    try {
      for (let more = this.seek(0); more; more = this.next()) {
        const { bytes, position, length } = this.member();
        this.#tables.find(large, bytes, position, length);
        this.#tables.add(large, this.score, bytes, position, length);
      }
    } catch (error) {
      this.#tables.freeSome(large, Number.POSITIVE_INFINITY);
      throw error;
    }
    this.open(large, true);
  }

  /**
   * Makes a large set a small one if it has at most `entriesMax` members, none of them longer than
   * `valueBytesMax` bytes.
   */
  reduce(entriesMax: number, valueBytesMax: number): void {
    if (!this.large || this.count() > entriesMax) return;
    let bytes = 0;
    let longest = 0;
    for (let more = this.seek(0); more; more = this.next()) {
      const { length } = this.member();
      bytes += length;
      longest = Math.max(longest, length);
    }
    if (longest > valueBytesMax || bytes + this.count() * PAIR_BYTES_BESIDE > LISTPACK_BYTES_MAX)
      return;
    let small = this.#listpacks.create(bytes);
    try {
      for (let more = this.seek(0); more; more = this.next()) {
        const member = this.member();
        small = this.#small.insert(small, this.score, member.bytes, member.position, member.length);
      }
    } catch (error) {
      this.#listpacks.free(small);
      throw error;
    }
    this.free();
    this.open(small, false);
  }

  /** Copies the set, in the same form, and returns the ref of the copy. */
  copy(): Ref {
    return this.large ? this.#tables.copy(this.ref) : this.#listpacks.copy(this.ref);
  }

  /** Frees all memory at once. Only for sets that are known to be short. */
  free(): void {
    if (this.large) this.#tables.freeSome(this.ref, Number.POSITIVE_INFINITY);
    else this.#arena.free(this.ref);
    this.open(NIL, false);
  }

  /** Drops views into segments, which may be gone. */
  forgetViews(): void {
    this.#view.forget();
    this.#small.forgetViews();
  }

  /** Checks everything. For tests. */
  validate(): void {
    if (this.large) this.#tables.validate(this.ref);
    else this.#small.validate(this.ref);
  }

  #standAt(at: number): boolean {
    this.#at = at;
    if (at === END) return false;
    this.score = this.#small.score(this.ref, at);
    return true;
  }
}
