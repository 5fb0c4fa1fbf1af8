/**
 * Hot path. A sorted set in whichever form it has: a small one in a listpack (sorted-listpack.ts),
 * a large one in a table with an index (sorted-table.ts). One object serves set after set: `open`
 * or `create` says which.
 *
 *   open(ref, large) ─▶ find ─▶ score · setFoundScore · removeFound · foundRank · add, when it was not found
 *                   └─▶ seek ─▶ score · next · previous
 *
 * Every range is one of ranks. `ref` and `large` are where the set is after each change: who owns
 * it notes them. Stale after a change: what was found or sought. Stale after the next find, seek or
 * step: member and score.
 */
import type { Arena } from '../arena/arena.ts';
import { assert } from '../base/assert.ts';
import { NIL, type Ref } from '../base/units.ts';
import type { Listpack } from './listpack.ts';
import { ELEMENT_TEXT_BYTES_MAX, ElementView, END, LISTPACK_BYTES_MAX } from './listpack-read.ts';
import { IndexCursor } from './sorted-index.ts';
import { SortedListpack } from './sorted-listpack.ts';
import type { SortedTable } from './sorted-table.ts';

/** Room of a new listpack: what three short members need. */
const FIRST_ROOM_BYTES = 40;
/** More than a pair needs in a listpack beside the bytes of the member. */
const PAIR_BYTES_BESIDE = 64;

export class SortedSet {
  ref: Ref = NIL;
  large = false;
  /** Of the member found or sought. */
  score = 0;
  readonly #arena: Arena;
  readonly #listpacks: Listpack;
  readonly #small: SortedListpack;
  readonly #tables: SortedTable;
  /** Where the member found or sought is: in a listpack, or the object. */
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

  /** Begins an empty set; a small one with room for so many bytes of listpack. */
  create(large: boolean, roomBytes = FIRST_ROOM_BYTES): void {
    this.ref = large ? this.#tables.create() : this.#listpacks.create(roomBytes);
    this.large = large;
  }

  /** Moves a small set that has more room than it needs to a shorter block. */
  shrinkToFit(): void {
    if (!this.large) this.ref = this.#listpacks.shrinkToFit(this.ref);
  }

  count(): number {
    return this.large ? this.#tables.count(this.ref) : this.#small.count(this.ref);
  }

  /** Looks for a member; when it is there, sets {@link score} and returns true. */
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
   * Adds a member that {@link find} has just not found. A small set that would get more than
   * `entriesMax` members, or one longer than `valueBytesMax`, becomes a large one.
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

  /** Gives the member that {@link find} has found another score. */
  setFoundScore(score: number): void {
    assert(!Number.isNaN(score), 'a score is a number');
    if (this.large) this.#tables.setScore(this.ref, this.#cursor.member, score);
    else this.ref = this.#small.setScore(this.ref, this.#at, score);
  }

  /** Takes out the member that {@link find} has found. */
  removeFound(): void {
    if (this.large) this.#tables.removeFound(this.ref, this.#cursor.member);
    else this.ref = this.#small.remove(this.ref, this.#at);
  }

  /** The rank of the member that {@link find} has found. */
  foundRank(): number {
    if (this.large) return this.#tables.rank(this.ref, this.#cursor.member);
    return this.#small.rank(this.ref, this.#at);
  }

  /** Takes out `count` members from a rank on; they are there. */
  removeRange(rank: number, count: number): void {
    if (this.large) this.#tables.removeRange(this.ref, rank, count);
    else this.ref = this.#small.removeRange(this.ref, rank, count);
  }

  /** How many members have a score below `score`, or up to it with `orEqual`. */
  countBeforeScore(score: number, orEqual: boolean): number {
    if (this.large) return this.#tables.index.countBeforeScore(this.ref, score, orEqual);
    return this.#small.countBeforeScore(this.ref, score, orEqual);
  }

  /**
   * How many members lie before these bytes, or are these with `orEqual`; all scores are supposed
   * to be equal.
   */
  countBeforeMember(bytes: Uint8Array, start: number, length: number, orEqual: boolean): number {
    if (this.large)
      return this.#tables.index.countBeforeMember(this.ref, bytes, start, length, orEqual);
    return this.#small.countBeforeMember(this.ref, bytes, start, length, orEqual);
  }

  /** Goes to the member of a rank; returns false when there is none. */
  seek(rank: number): boolean {
    if (this.large) {
      if (!this.#tables.index.seekRank(this.ref, rank, this.#cursor)) return false;
      this.score = this.#cursor.score;
      return true;
    }
    return this.#standAt(this.#small.seek(this.ref, rank));
  }

  /** Goes to the next member; returns false, and is nowhere, behind the last. */
  next(): boolean {
    if (this.large) {
      if (!this.#tables.index.next(this.#cursor)) return false;
      this.score = this.#cursor.score;
      return true;
    }
    return this.#standAt(this.#small.next(this.ref, this.#at));
  }

  /** Goes to the member before; returns false, and is nowhere, before the first. */
  previous(): boolean {
    if (this.large) {
      if (!this.#tables.index.previous(this.#cursor)) return false;
      this.score = this.#cursor.score;
      return true;
    }
    return this.#standAt(this.#small.previous(this.ref, this.#at));
  }

  /** The bytes of the member found or sought, in a view that the next call changes. */
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

  /** The text of the member found or sought, in an array of its own. */
  copyMember(): Uint8Array {
    const { bytes, position, length } = this.member();
    return Uint8Array.from(bytes.subarray(position, position + length));
  }

  /**
   * Visits the members of one position of an iteration (see hash-table.ts), all of them when the
   * set is small. Before each call of `visit` the member and its score are set.
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
   * Makes a small set a large one. Throws ARENA_FULL, having changed nothing, when there is no
   * memory.
   */
  enlarge(): void {
    const small = this.ref;
    this.#toTable();
    this.#listpacks.free(small);
  }

  /** As {@link enlarge}, with one member more that is not there. */
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

  /** Opens a large set of the same members; the small one stays as it is. */
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
   * Makes a large set a small one if it has at most `entriesMax` members, none longer than
   * `valueBytesMax`.
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

  /** A set of its own with the same members; returns its ref, of the same form. */
  copy(): Ref {
    return this.large ? this.#tables.copy(this.ref) : this.#listpacks.copy(this.ref);
  }

  /** Gives all memory back at once; for sets that are known to be short. */
  free(): void {
    if (this.large) this.#tables.freeSome(this.ref, Number.POSITIVE_INFINITY);
    else this.#arena.free(this.ref);
    this.open(NIL, false);
  }

  /** Lets go of views into segments, which may be gone. */
  forgetViews(): void {
    this.#view.forget();
    this.#small.forgetViews();
  }

  /** Checks everything; for tests. */
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
