/**
 * The structures for the values of a dataset: one of each kind over its arena, shared by all
 * commands. They hold cursors and no data. Cursors are stale after the next call of the same
 * structure.
 *
 * Small values (listpacks, intsets) are one object of the arena. {@link Structures.slicedFree}
 * tells how to free a large one.
 */
import type { Arena } from '../arena/arena.ts';
import type { Ref } from '../base/units.ts';
import { FieldMap } from '../structs/field-map.ts';
import { FieldTable } from '../structs/field-table.ts';
import { Intset } from '../structs/intset.ts';
import { List } from '../structs/list.ts';
import { Listpack } from '../structs/listpack.ts';
import { MemberSet } from '../structs/member-set.ts';
import { MemberTable } from '../structs/member-table.ts';
import { Quicklist } from '../structs/quicklist.ts';
import { SortedSet } from '../structs/sorted-set.ts';
import { SortedTable } from '../structs/sorted-table.ts';
import { Streams } from '../structs/streams.ts';
import { Encoding, ValueType } from './entry.ts';
import type { SlicedFree, SlicedFrees } from './release.ts';

export class Structures implements SlicedFrees {
  readonly listpacks: Listpack;
  readonly intsets: Intset;
  readonly quicklists: Quicklist;
  /** The list that a command works on, of either encoding. */
  readonly list: List;
  /** A second one, for commands that have two open. */
  readonly otherList: List;
  /** Hashes in encoding HASHTABLE. */
  readonly fields: FieldTable;
  /** The hash that a command works on, of either encoding. */
  readonly fieldMap: FieldMap;
  /** Sets in encoding HASHTABLE. */
  readonly members: MemberTable;
  /** The set that a command works on, of whichever encoding. */
  readonly memberSet: MemberSet;
  /** A second one, for commands that have two open. */
  readonly otherMemberSet: MemberSet;
  /** Sorted sets in encoding SKIPLIST. */
  readonly sortedTables: SortedTable;
  /** The sorted set that a command works on, of either encoding. */
  readonly sortedSet: SortedSet;
  readonly streams: Streams;
  readonly #arena: Arena;

  constructor(arena: Arena, hashKey0: number, hashKey1: number) {
    this.listpacks = new Listpack(arena);
    this.intsets = new Intset(arena);
    this.quicklists = new Quicklist(arena, this.listpacks);
    this.list = new List(arena, this.listpacks, this.quicklists);
    this.otherList = new List(arena, this.listpacks, this.quicklists);
    this.fields = new FieldTable(arena, hashKey0, hashKey1);
    this.fieldMap = new FieldMap(arena, this.listpacks, this.fields);
    this.members = new MemberTable(arena, hashKey0, hashKey1);
    this.sortedTables = new SortedTable(arena, hashKey0, hashKey1);
    this.streams = new Streams(arena, this.listpacks);
    this.#arena = arena;
    this.memberSet = this.newMemberSet();
    this.otherMemberSet = this.newMemberSet();
    this.sortedSet = this.newSortedSet();
  }

  /** One more {@link memberSet}, for commands that have several open. */
  newMemberSet(): MemberSet {
    return new MemberSet(this.#arena, this.intsets, this.listpacks, this.members);
  }

  /** One more {@link sortedSet}, for commands that have several open. */
  newSortedSet(): SortedSet {
    return new SortedSet(this.#arena, this.listpacks, this.sortedTables);
  }

  /** Must be called after a rollback of the arena: found or reserved objects may be gone. */
  rolledBack(): void {
    this.fields.rolledBack();
    this.members.rolledBack();
    this.sortedTables.rolledBack();
  }

  /** Drops views into segments, which may be gone. */
  forgetViews(): void {
    this.listpacks.forgetViews();
    this.quicklists.forgetViews();
    this.list.forgetViews();
    this.otherList.forgetViews();
    this.fieldMap.forgetViews();
    this.memberSet.forgetViews();
    this.otherMemberSet.forgetViews();
    this.sortedTables.index.forgetViews();
    this.sortedSet.forgetViews();
    this.streams.entries.forgetViews();
  }

  /**
   * Allocated bytes of a value that is not a string; for a large one estimated from `samples`
   * elements.
   */
  valueBytes(type: ValueType, encoding: Encoding, value: Ref, samples: number): number {
    if (type === ValueType.HASH && encoding === Encoding.HASHTABLE)
      return this.fields.bytes(value, samples);
    if (type === ValueType.SET && encoding === Encoding.HASHTABLE)
      return this.members.bytes(value, samples);
    if (type === ValueType.ZSET && encoding === Encoding.SKIPLIST)
      return this.sortedTables.bytes(value, samples);
    if (type === ValueType.LIST && encoding === Encoding.QUICKLIST)
      return this.quicklists.bytes(value, samples);
    if (type === ValueType.STREAM) return this.streams.bytes(value, samples);
    return this.#arena.blockBytes(value);
  }

  slicedFree(type: ValueType, encoding: Encoding): SlicedFree {
    if (type === ValueType.LIST && encoding === Encoding.QUICKLIST) return this.quicklists;
    if (type === ValueType.HASH && encoding === Encoding.HASHTABLE) return this.fields;
    if (type === ValueType.SET && encoding === Encoding.HASHTABLE) return this.members;
    if (type === ValueType.ZSET && encoding === Encoding.SKIPLIST) return this.sortedTables;
    if (type === ValueType.STREAM) return this.streams;
    throw new Error(`no structure of type ${type} and encoding ${encoding} is freed in slices`);
  }
}
