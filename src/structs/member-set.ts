/**
 * Hot path. A set in any of its forms. One object serves many sets, one after another: `open` or
 * `create` selects the set.
 *
 *   INTSET     all members are integers, and few             intset.ts
 *   LISTPACK   few and short                                 listpack.ts
 *   TABLE      the rest                                      member-table.ts
 *
 *   open(ref, form) ─▶ has · add · remove
 *                  └─▶ first ─▶ next │ random ─▶ member · removeCurrent
 *
 * A set changes its form by the rules of Redis 7.2. It changes only downwards in this table, except
 * in `reduceToIntset`. After each change `ref` and `form` tell where the set is, and the owner of
 * the set must note them. Stale after a change: the place of first, next or random. Stale after the
 * next call of one of these: the view of the member.
 */
import type { Arena } from '../arena/arena.ts';
import type { Prng } from '../base/prng.ts';
import { asRef, NIL, type Ref } from '../base/units.ts';
import { Int64, parseInt64Halves } from './int64.ts';
import type { Intset } from './intset.ts';
import { NOT_FOUND } from './intset-read.ts';
import type { Listpack } from './listpack.ts';
import { ELEMENT_TEXT_BYTES_MAX, ElementView, END, elementToBytes } from './listpack-read.ts';
import type { MemberTable } from './member-table.ts';

export const SetForm = { INTSET: 0, LISTPACK: 1, TABLE: 2 } as const;
export type SetForm = (typeof SetForm)[keyof typeof SetForm];

/** The limits of each form. The names are as in redis.conf. */
export interface SetLimits {
  readonly setMaxIntsetEntries: number;
  readonly setMaxListpackEntries: number;
  readonly setMaxListpackValue: number;
}

/**
 * An intset never has more integers than this, even if the limit in the configuration is greater.
 */
const INTSET_ENTRIES_MAX = 2 ** 30;
/** An upper bound for the bytes that an element needs in a listpack in addition to its data. */
const ELEMENT_BYTES_BESIDE = 16;

export class MemberSet {
  ref: Ref = NIL;
  form: SetForm = SetForm.INTSET;
  readonly #arena: Arena;
  readonly #intsets: Intset;
  readonly #listpacks: Listpack;
  readonly #tables: MemberTable;
  readonly #integer = new Int64();
  readonly #view = new ElementView();
  readonly #text = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);
  // The place of first, next and random: the index of an integer or of a bucket, the position in a
  // listpack, the member of a table.
  #index = 0;
  #at = END;
  #member: Ref = NIL;
  /** Members of the current bucket that `next` has yet to visit, in reverse order. */
  readonly #bucket: number[] = [];
  readonly #collect = (member: Ref): void => {
    this.#bucket.push(member);
  };

  constructor(arena: Arena, intsets: Intset, listpacks: Listpack, tables: MemberTable) {
    this.#arena = arena;
    this.#intsets = intsets;
    this.#listpacks = listpacks;
    this.#tables = tables;
  }

  open(ref: Ref, form: SetForm): void {
    this.ref = ref;
    this.form = form;
  }

  /** Begins an empty set. */
  create(form: SetForm): void {
    if (form === SetForm.INTSET) this.ref = this.#intsets.create();
    else this.ref = form === SetForm.LISTPACK ? this.#listpacks.create() : this.#tables.create();
    this.form = form;
  }

  /**
   * Begins an empty set for about `count` members. The first of them, given here to select the
   * form, is not added.
   */
  createFor(
    bytes: Uint8Array,
    start: number,
    length: number,
    count: number,
    limits: SetLimits,
  ): void {
    const integer = parseInt64Halves(bytes, start, length, this.#integer);
    if (integer && count <= limits.setMaxIntsetEntries) this.create(SetForm.INTSET);
    else this.create(count <= limits.setMaxListpackEntries ? SetForm.LISTPACK : SetForm.TABLE);
  }

  count(): number {
    if (this.form === SetForm.INTSET) return this.#intsets.count(this.ref);
    return this.form === SetForm.LISTPACK
      ? this.#listpacks.count(this.ref)
      : this.#tables.count(this.ref);
  }

  has(bytes: Uint8Array, start: number, length: number): boolean {
    if (this.form === SetForm.TABLE)
      return this.#tables.find(this.ref, bytes, start, length) !== NIL;
    if (this.form === SetForm.LISTPACK) return this.#findInListpack(bytes, start, length) !== END;
    const integer = this.#integer;
    if (!parseInt64Halves(bytes, start, length, integer)) return false;
    return this.#intsets.find(this.ref, integer.high, integer.low) !== NOT_FOUND;
  }

  /**
   * Adds a member. Returns false when it is there already. The bytes must not lie in the set
   * itself.
   */
  add(bytes: Uint8Array, start: number, length: number, limits: SetLimits): boolean {
    if (this.form === SetForm.TABLE) return this.#addToTable(bytes, start, length);
    if (this.form === SetForm.LISTPACK) return this.#addToListpack(bytes, start, length, limits);
    return this.#addToIntset(bytes, start, length, limits);
  }

  /** Removes a member. Returns false when it is not there. */
  remove(bytes: Uint8Array, start: number, length: number): boolean {
    if (this.form === SetForm.TABLE) {
      const member = this.#tables.find(this.ref, bytes, start, length);
      if (member === NIL) return false;
      this.#tables.removeFound(this.ref, member);
      return true;
    }
    if (this.form === SetForm.LISTPACK) {
      const at = this.#findInListpack(bytes, start, length);
      if (at === END) return false;
      this.ref = this.#listpacks.delete(this.ref, at);
      return true;
    }
    if (!parseInt64Halves(bytes, start, length, this.#integer)) return false;
    this.ref = this.#intsets.remove(this.ref, this.#integer.high, this.#integer.low);
    return this.#intsets.changed;
  }

  /** Goes to the first member. Returns false when there is none. */
  first(): boolean {
    if (this.form === SetForm.LISTPACK) {
      this.#at = this.#listpacks.first(this.ref);
      return this.#at !== END;
    }
    this.#index = -1;
    this.#bucket.length = 0;
    return this.next();
  }

  /** Goes to the next member. Returns false behind the last one. */
  next(): boolean {
    if (this.form === SetForm.LISTPACK) {
      this.#at = this.#listpacks.next(this.ref, this.#at);
      return this.#at !== END;
    }
    if (this.form === SetForm.INTSET) return ++this.#index < this.#intsets.count(this.ref);
    const bucket = this.#bucket;
    while (bucket.length === 0) {
      if (++this.#index >= this.#tables.buckets(this.ref)) return false;
      this.#tables.visitBucket(this.ref, this.#index, this.#collect);
    }
    this.#member = asRef(bucket.pop()!);
    return true;
  }

  /** Goes to a random member. The set must not be empty. `next` cannot continue from here. */
  random(prng: Prng): void {
    if (this.form === SetForm.TABLE) this.#member = this.#tables.random(this.ref, prng);
    else if (this.form === SetForm.INTSET) this.#index = this.#intsets.random(this.ref, prng);
    else this.#at = this.#listpacks.seek(this.ref, prng.below(this.#listpacks.count(this.ref)));
  }

  /**
   * Returns a number for the current member of {@link random} or next. No other member of the
   * unchanged set has the same number.
   */
  place(): number {
    if (this.form === SetForm.TABLE) return this.#member;
    return this.form === SetForm.INTSET ? this.#index : this.#at;
  }

  /**
   * Returns the text of the current member of first, next, random or scan, in a view that the next
   * call changes.
   */
  member(): ElementView {
    const view = this.#view;
    if (this.form === SetForm.TABLE) {
      view.bytes = this.#tables.bytesOf(this.#member);
      view.position = this.#tables.memberPosition(this.#member);
      view.length = this.#tables.memberLength(this.#member);
      return view;
    }
    if (this.form === SetForm.LISTPACK) {
      this.#listpacks.read(this.ref, this.#at, view);
    } else {
      this.#intsets.get(this.ref, this.#index, this.#integer);
      view.isInteger = true;
      view.high = this.#integer.high;
      view.low = this.#integer.low;
    }
    elementToBytes(view, this.#text);
    return view;
  }

  /** Returns the text of that member in a new array. */
  copyMember(): Uint8Array {
    const { bytes, position, length } = this.member();
    return Uint8Array.prototype.slice.call(bytes, position, position + length);
  }

  /** Removes the current member of {@link random}, which must be the last call. */
  removeCurrent(): void {
    if (this.form === SetForm.TABLE) this.#tables.removeDrawn(this.ref, this.#member);
    else if (this.form === SetForm.LISTPACK) this.ref = this.#listpacks.delete(this.ref, this.#at);
    else this.ref = this.#intsets.removeRange(this.ref, this.#index, 1);
  }

  /**
   * Visits the members at one position of the iteration (see hash-table.ts). A set that is not a
   * table is visited in one call. Before each call of `visit` the set stands at the member.
   */
  scan(cursor: number, visit: () => void): number {
    if (this.form === SetForm.TABLE) {
      return this.#tables.scan(this.ref, cursor, (member) => {
        this.#member = member;
        visit();
      });
    }
    for (let more = this.first(); more; more = this.next()) visit();
    return 0;
  }

  /** Makes the set a table if about `count` more members would exceed the limit of its form. */
  makeRoom(count: number, limits: SetLimits): void {
    if (this.form === SetForm.TABLE) return;
    const { setMaxIntsetEntries, setMaxListpackEntries } = limits;
    const most = this.form === SetForm.INTSET ? setMaxIntsetEntries : setMaxListpackEntries;
    if (count > most) this.enlarge();
  }

  /**
   * Makes a set of another form a table. Throws ARENA_FULL when there is no memory; then nothing
   * has changed.
   */
  enlarge(): void {
    const before = this.ref;
    this.#toTable();
    this.#arena.free(before);
  }

  /** As {@link enlarge}, and adds one absent member. */
  #enlargeWith(bytes: Uint8Array, start: number, length: number): true {
    const { ref, form } = this;
    this.#toTable();
    try {
      this.#addToTable(bytes, start, length);
    } catch (error) {
      this.#tables.freeSome(this.ref, Number.POSITIVE_INFINITY);
      this.open(ref, form);
      throw error;
    }
    this.#arena.free(ref);
    return true;
  }

  /** Makes a table with the same members and opens it. The old set stays as it is. */
  #toTable(): void {
    const tables = this.#tables;
    const table = tables.create();
    try {
      for (let more = this.first(); more; more = this.next()) {
        const { bytes, position, length } = this.member();
        tables.find(table, bytes, position, length);
        tables.add(table, bytes, position, length);
      }
    } catch (error) {
      tables.freeSome(table, Number.POSITIVE_INFINITY);
      throw error;
    }
    this.open(table, SetForm.TABLE);
  }

  /** Makes the set an intset if all its members are integers and there are not too many. */
  reduceToIntset(limits: SetLimits): void {
    if (this.form === SetForm.INTSET || this.count() > intsetEntriesMax(limits)) return;
    let intset = this.#intsets.create();
    const integer = this.#integer;
    try {
      for (let more = this.first(); more; more = this.next()) {
        const { bytes, position, length } = this.member();
        if (!parseInt64Halves(bytes, position, length, integer)) {
          this.#intsets.free(intset);
          return;
        }
        intset = this.#intsets.add(intset, integer.high, integer.low);
      }
    } catch (error) {
      this.#intsets.free(intset);
      throw error;
    }
    this.free();
    this.open(intset, SetForm.INTSET);
  }

  /** Copies the set, in the same form, and returns the ref of the copy. */
  copy(): Ref {
    if (this.form === SetForm.INTSET) return this.#intsets.copy(this.ref);
    return this.form === SetForm.LISTPACK
      ? this.#listpacks.copy(this.ref)
      : this.#tables.copy(this.ref);
  }

  /** Frees all memory at once. Only for sets that are known to be short. */
  free(): void {
    if (this.form === SetForm.TABLE) this.#tables.freeSome(this.ref, Number.POSITIVE_INFINITY);
    else this.#arena.free(this.ref);
    this.open(NIL, SetForm.INTSET);
  }

  /** Drops views into segments, which may be gone. */
  forgetViews(): void {
    this.#view.forget();
  }

  /** Checks everything. For tests. */
  validate(): void {
    if (this.form === SetForm.INTSET) this.#intsets.validate(this.ref);
    else if (this.form === SetForm.LISTPACK) this.#listpacks.validate(this.ref);
    else this.#tables.validate(this.ref);
  }

  #findInListpack(bytes: Uint8Array, start: number, length: number): number {
    return this.#listpacks.find(this.ref, this.#listpacks.first(this.ref), bytes, start, length, 0);
  }

  #addToTable(bytes: Uint8Array, start: number, length: number): boolean {
    if (this.#tables.find(this.ref, bytes, start, length) !== NIL) return false;
    this.#tables.add(this.ref, bytes, start, length);
    return true;
  }

  #addToListpack(bytes: Uint8Array, start: number, length: number, limits: SetLimits): boolean {
    if (this.#findInListpack(bytes, start, length) !== END) return false;
    const listpacks = this.#listpacks;
    if (
      length <= limits.setMaxListpackValue &&
      listpacks.count(this.ref) < limits.setMaxListpackEntries &&
      listpacks.safeToAdd(this.ref, length + ELEMENT_BYTES_BESIDE)
    ) {
      this.ref = listpacks.append(this.ref, bytes, start, length);
      return true;
    }
    return this.#enlargeWith(bytes, start, length);
  }

  #addToIntset(bytes: Uint8Array, start: number, length: number, limits: SetLimits): boolean {
    const integer = this.#integer;
    if (parseInt64Halves(bytes, start, length, integer)) {
      if (this.#intsets.count(this.ref) < intsetEntriesMax(limits)) {
        this.ref = this.#intsets.add(this.ref, integer.high, integer.low);
        return this.#intsets.changed;
      }
      if (this.#intsets.find(this.ref, integer.high, integer.low) !== NOT_FOUND) return false;
      return this.#enlargeWith(bytes, start, length);
    }
    const count = this.#intsets.count(this.ref);
    const { setMaxListpackEntries, setMaxListpackValue } = limits;
    if (
      count < setMaxListpackEntries &&
      length <= setMaxListpackValue &&
      this.#longestText(count) <= setMaxListpackValue
    ) {
      this.#intsetToListpack(bytes, start, length);
      return true;
    }
    return this.#enlargeWith(bytes, start, length);
  }

  /**
   * Returns the number of digits of the longest of `count` integers, which is the smallest or the
   * greatest one.
   */
  #longestText(count: number): number {
    return count === 0 ? 0 : Math.max(this.#textLength(0), this.#textLength(count - 1));
  }

  #textLength(index: number): number {
    this.#index = index;
    return this.member().length;
  }

  /** Makes an intset a listpack with one more member, which is not an integer. */
  #intsetToListpack(bytes: Uint8Array, start: number, length: number): void {
    const count = this.#intsets.count(this.ref);
    let listpack = this.#listpacks.create();
    const integer = this.#integer;
    try {
      for (let i = 0; i < count; i++) {
        this.#intsets.get(this.ref, i, integer);
        listpack = this.#listpacks.appendInt64(listpack, integer.high, integer.low);
      }
      listpack = this.#listpacks.append(listpack, bytes, start, length);
    } catch (error) {
      this.#listpacks.free(listpack);
      throw error;
    }
    this.#arena.free(this.ref);
    this.open(listpack, SetForm.LISTPACK);
  }
}

const intsetEntriesMax = (limits: SetLimits): number =>
  Math.min(limits.setMaxIntsetEntries, INTSET_ENTRIES_MAX);
