/**
 * Hot path. The consumer groups of streams. A group knows which entries were given to which
 * consumer and are not yet acknowledged.
 *
 *   stream ─GROUPS─▶ list by name ─▶ group ─CONSUMERS─▶ list by name ─▶ consumer
 *                                      │ PENDING: tree by id               │ PENDING: tree by id
 *                                      └──────────────▶ delivery ◀─────────┘
 *                                                           └──CONSUMER──▶ consumer
 *
 *   group      word 0 NAME  word 1 PENDING  word 2 CONSUMERS  word 4-7 LAST_ID
 *              word 8-9 ENTRIES_READ
 *   consumer   word 0 NAME  word 1 PENDING  word 4-5 SEEN       word 6-7 ACTIVE
 *   delivery   word 0-1 TIME  word 2-3 COUNT  word 4 CONSUMER
 *
 * The names follow the headers, which have 40 bytes. Times are ms since 1970. Times and counts are
 * doubles. ENTRIES_READ is -1 while it is unknown. ACTIVE is -1 until the consumer is given an
 * entry. A delivery is in the tree of its group and in the tree of its consumer, and in no other.
 */
import type { Arena } from '../arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';
import { assert } from '../base/assert.ts';
import { asRef, NIL, type Ref } from '../base/units.ts';
import { ByteMover } from './byte-mover.ts';
import { ID_ENTRY_WORDS, IdCursor, type IdTree } from './id-tree.ts';
import { NameList } from './name-list.ts';
import { StreamWord } from './stream-entries.ts';
import type { StreamId } from './stream-id.ts';

export const GroupWord = {
  NAME: 0,
  PENDING: 1,
  CONSUMERS: 2,
  LAST_ID: 4,
  ENTRIES_READ: 8,
} as const;
export const ConsumerWord = { NAME: 0, PENDING: 1, SEEN: 4, ACTIVE: 6 } as const;
export const NAMED_HEADER_WORDS = 10;
export const NAMED_HEADER_BYTES = NAMED_HEADER_WORDS * 4;
export const DeliveryWord = { TIME: 0, COUNT: 2, CONSUMER: 4 } as const;
export const DELIVERY_BYTES = 24;

/** The bytes of a delivery and of its places in two trees. */
const PENDING_BYTES = DELIVERY_BYTES + 2 * ID_ENTRY_WORDS * 4;

/** ENTRIES_READ of a group whose count is unknown. */
export const ENTRIES_READ_UNKNOWN = -1;
/** ACTIVE of a consumer that was never given an entry. */
export const NEVER_ACTIVE = -1;

export class StreamGroups {
  readonly #arena: Arena;
  readonly #tree: IdTree;
  readonly #mover: ByteMover;
  readonly #names: NameList;
  /** A cursor for walks inside one call. */
  readonly #walk: IdCursor;
  readonly #free = (ref: Ref): void => this.#arena.free(ref);
  readonly #keep = (): void => undefined;

  constructor(arena: Arena, tree: IdTree) {
    this.#arena = arena;
    this.#tree = tree;
    this.#mover = new ByteMover(arena);
    this.#names = new NameList(arena, NAMED_HEADER_BYTES);
    this.#walk = new IdCursor(arena);
  }

  groupCount(stream: Ref): number {
    return this.#names.count(this.#ref(stream, StreamWord.GROUPS));
  }

  groupAt(stream: Ref, index: number): Ref {
    return this.#names.at(this.#ref(stream, StreamWord.GROUPS), index);
  }

  findGroup(stream: Ref, name: Uint8Array, start: number, length: number): Ref {
    return this.#names.find(this.#ref(stream, StreamWord.GROUPS), name, start, length);
  }

  /** Adds a group whose name was just looked up and is absent. */
  addGroup(stream: Ref, name: Uint8Array, start: number, length: number, lastId: StreamId): Ref {
    const group = this.#newNamed(name, start, length);
    this.#link(stream, StreamWord.GROUPS, group);
    this.setGroupLastId(group, lastId);
    this.setEntriesRead(group, ENTRIES_READ_UNKNOWN);
    return group;
  }

  /**
   * Moves a group to `heir`, an empty stream without groups. The group can then be freed in slices
   * with `heir`. Throws ARENA_FULL when there is no memory; then nothing has changed.
   */
  moveGroup(stream: Ref, group: Ref, heir: Ref): void {
    const names = this.#names;
    const { u8, start, length } = this.#nameOf(group);
    names.find(NIL, u8, start, length);
    this.#setWord(heir, StreamWord.GROUPS, names.insert(NIL, group));
    const list = this.#ref(stream, StreamWord.GROUPS);
    names.find(list, u8, start, length);
    this.#setWord(stream, StreamWord.GROUPS, names.removeFound(list));
  }

  /** Removes a group and frees it at once, with all its pending entries. Needs no memory. */
  removeGroup(stream: Ref, group: Ref): void {
    while (!this.#freeConsumer(group));
    this.#tree.freeSome(this.pendingOf(group), Number.POSITIVE_INFINITY, this.#free);
    const { u8, start, length } = this.#nameOf(group);
    const list = this.#ref(stream, StreamWord.GROUPS);
    this.#names.find(list, u8, start, length);
    this.#setWord(stream, StreamWord.GROUPS, this.#names.removeFound(list));
    this.#arena.free(group);
  }

  consumerCount(group: Ref): number {
    return this.#names.count(this.#ref(group, GroupWord.CONSUMERS));
  }

  consumerAt(group: Ref, index: number): Ref {
    return this.#names.at(this.#ref(group, GroupWord.CONSUMERS), index);
  }

  findConsumer(group: Ref, name: Uint8Array, start: number, length: number): Ref {
    return this.#names.find(this.#ref(group, GroupWord.CONSUMERS), name, start, length);
  }

  /** Adds a consumer whose name was just looked up and is absent. */
  addConsumer(group: Ref, name: Uint8Array, start: number, length: number, nowMs: number): Ref {
    const consumer = this.#newNamed(name, start, length);
    this.#link(group, GroupWord.CONSUMERS, consumer);
    this.setSeen(consumer, nowMs);
    this.setActive(consumer, NEVER_ACTIVE);
    return consumer;
  }

  /** Removes a consumer of a group, with all entries that are pending for it. */
  removeConsumer(group: Ref, consumer: Ref): void {
    const pending = this.pendingOf(consumer);
    const groupPending = this.pendingOf(group);
    const walk = this.#walk;
    for (let more = walk.seekFirst(pending); more; more = walk.next()) {
      this.#tree.remove(groupPending, walk.id);
      this.#arena.free(walk.value);
    }
    this.#tree.freeSome(pending, Number.POSITIVE_INFINITY, this.#keep);
    const { u8, start, length } = this.#nameOf(consumer);
    const list = this.#ref(group, GroupWord.CONSUMERS);
    this.#names.find(list, u8, start, length);
    this.#setWord(group, GroupWord.CONSUMERS, this.#names.removeFound(list));
    this.#arena.free(consumer);
  }

  /** Returns the tree of the entries that are pending for a group or a consumer. */
  pendingOf(named: Ref): Ref {
    return this.#ref(named, GroupWord.PENDING);
  }

  pendingCount(named: Ref): number {
    return this.#tree.count(this.pendingOf(named));
  }

  /** Returns the delivery of an entry, or NIL. */
  findDelivery(named: Ref, id: StreamId): Ref {
    return this.#tree.find(this.pendingOf(named), id);
  }

  /**
   * Notes that `consumer` was given an entry that is not pending. The caller sets the time and the
   * count of the delivery.
   */
  addDelivery(group: Ref, consumer: Ref, id: StreamId): Ref {
    const arena = this.#arena;
    const delivery = arena.alloc(DELIVERY_BYTES);
    this.#setWord(delivery, DeliveryWord.CONSUMER, consumer);
    try {
      const added = this.#tree.insert(this.pendingOf(group), id, delivery);
      assert(added, 'an entry is delivered once');
    } catch (error) {
      // There is no memory for its place.
      arena.free(delivery);
      throw error;
    }
    try {
      this.#tree.insert(this.pendingOf(consumer), id, delivery);
    } catch (error) {
      this.#tree.remove(this.pendingOf(group), id);
      arena.free(delivery);
      throw error;
    }
    return delivery;
  }

  /**
   * Adds a delivery whose consumer is not known yet. Returns false when the entry has a delivery
   * already. For loaders.
   */
  addUnowned(group: Ref, id: StreamId, timeMs: number, count: number): boolean {
    const delivery = this.#arena.alloc(DELIVERY_BYTES);
    this.#setWord(delivery, DeliveryWord.CONSUMER, NIL);
    this.setDelivery(delivery, timeMs, count);
    let added = false;
    try {
      added = this.#tree.insert(this.pendingOf(group), id, delivery);
    } finally {
      if (!added) this.#arena.free(delivery);
    }
    return added;
  }

  /**
   * Sets the consumer of such a delivery. Returns false when there is no delivery, or when it has a
   * consumer.
   */
  own(group: Ref, consumer: Ref, id: StreamId): boolean {
    const delivery = this.findDelivery(group, id);
    if (delivery === NIL || this.consumerOf(delivery) !== NIL) return false;
    this.#tree.insert(this.pendingOf(consumer), id, delivery);
    this.#setWord(delivery, DeliveryWord.CONSUMER, consumer);
    return true;
  }

  /** Moves a delivery to another consumer. */
  moveDelivery(delivery: Ref, id: StreamId, consumer: Ref): void {
    const before = this.consumerOf(delivery);
    if (before === consumer) return;
    this.#tree.insert(this.pendingOf(consumer), id, delivery);
    this.#tree.remove(this.pendingOf(before), id);
    this.#setWord(delivery, DeliveryWord.CONSUMER, consumer);
  }

  /** Removes the delivery of an entry. Returns false when there is none. */
  removeDelivery(group: Ref, id: StreamId): boolean {
    const delivery = this.#tree.remove(this.pendingOf(group), id);
    if (delivery === NIL) return false;
    this.#tree.remove(this.pendingOf(this.consumerOf(delivery)), id);
    this.#arena.free(delivery);
    return true;
  }

  consumerOf(delivery: Ref): Ref {
    return this.#ref(delivery, DeliveryWord.CONSUMER);
  }

  deliveryTime(delivery: Ref): number {
    return this.#double(delivery, DeliveryWord.TIME);
  }

  deliveryCount(delivery: Ref): number {
    return this.#double(delivery, DeliveryWord.COUNT);
  }

  setDelivery(delivery: Ref, timeMs: number, count: number): void {
    this.#setDouble(delivery, DeliveryWord.TIME, timeMs);
    this.#setDouble(delivery, DeliveryWord.COUNT, count);
  }

  readGroupLastId(group: Ref, into: StreamId): void {
    into.fromWords(
      this.#arena.i32[group >>> SEGMENT_SHIFT]!,
      wordPosition(group) + GroupWord.LAST_ID,
    );
  }

  setGroupLastId(group: Ref, id: StreamId): void {
    this.#arena.touch(group, GroupWord.LAST_ID * 4, 16);
    id.toWords(this.#arena.i32[group >>> SEGMENT_SHIFT]!, wordPosition(group) + GroupWord.LAST_ID);
  }

  entriesRead(group: Ref): number {
    return this.#double(group, GroupWord.ENTRIES_READ);
  }

  setEntriesRead(group: Ref, count: number): void {
    this.#setDouble(group, GroupWord.ENTRIES_READ, count);
  }

  seen(consumer: Ref): number {
    return this.#double(consumer, ConsumerWord.SEEN);
  }

  setSeen(consumer: Ref, nowMs: number): void {
    this.#setDouble(consumer, ConsumerWord.SEEN, nowMs);
  }

  active(consumer: Ref): number {
    return this.#double(consumer, ConsumerWord.ACTIVE);
  }

  setActive(consumer: Ref, nowMs: number): void {
    this.#setDouble(consumer, ConsumerWord.ACTIVE, nowMs);
  }

  /**
   * Returns the length in bytes of the name of a group or consumer. The name is in {@link bytesOf},
   * from {@link namePosition} on.
   */
  nameLength(named: Ref): number {
    return this.#word(named, GroupWord.NAME);
  }

  namePosition(named: Ref): number {
    return bytePosition(named) + NAMED_HEADER_BYTES;
  }

  bytesOf(named: Ref): Uint8Array {
    return this.#arena.u8[named >>> SEGMENT_SHIFT]!;
  }

  /** Copies all groups of one stream to another, which has none. */
  copyGroups(from: Ref, to: Ref): void {
    const walk = this.#walk;
    for (let g = 0; g < this.groupCount(from); g++) {
      const group = this.groupAt(from, g);
      const { u8, start, length } = this.#nameOf(group);
      this.findGroup(to, u8, start, length);
      const copy = this.#newNamed(u8, start, length);
      this.#link(to, StreamWord.GROUPS, copy);
      this.#copyHeader(group, copy);
      for (let c = 0; c < this.consumerCount(group); c++) {
        const consumer = this.consumerAt(group, c);
        const name = this.#nameOf(consumer);
        this.findConsumer(copy, name.u8, name.start, name.length);
        const consumerCopy = this.#newNamed(name.u8, name.start, name.length);
        this.#link(copy, GroupWord.CONSUMERS, consumerCopy);
        this.#copyHeader(consumer, consumerCopy);
        for (let more = walk.seekFirst(this.pendingOf(consumer)); more; more = walk.next()) {
          const delivery = this.addDelivery(copy, consumerCopy, walk.id);
          this.setDelivery(delivery, this.deliveryTime(walk.value), this.deliveryCount(walk.value));
        }
      }
    }
  }

  /**
   * Frees the groups of a stream. A leaf of a tree or a consumer costs one of `steps`. Returns the
   * steps that are left.
   */
  freeGroups(stream: Ref, steps: number): number {
    let left = steps;
    for (; left > 0; left--) {
      const list = this.#ref(stream, StreamWord.GROUPS);
      if (list === NIL) return left;
      const group = this.#names.at(list, this.#names.count(list) - 1);
      if (!this.#freeConsumer(group)) continue;
      if (!this.#tree.freeSome(this.pendingOf(group), 1, this.#free)) continue;
      this.#setWord(stream, StreamWord.GROUPS, this.#names.removeLast(list));
      this.#arena.free(group);
    }
    return left;
  }

  /** Returns the approximate bytes of the groups of a stream. */
  bytes(stream: Ref): number {
    let bytes = 0;
    for (let g = 0; g < this.groupCount(stream); g++) {
      const group = this.groupAt(stream, g);
      bytes += this.#arena.blockBytes(group) + this.pendingCount(group) * PENDING_BYTES;
      for (let c = 0; c < this.consumerCount(group); c++)
        bytes += this.#arena.blockBytes(this.consumerAt(group, c));
    }
    return bytes;
  }

  /** Checks that all deliveries are in the right trees. For tests. */
  validate(stream: Ref): void {
    for (let g = 0; g < this.groupCount(stream); g++) {
      const group = this.groupAt(stream, g);
      this.#tree.validate(this.pendingOf(group));
      let pending = 0;
      for (let c = 0; c < this.consumerCount(group); c++) {
        const consumer = this.consumerAt(group, c);
        const name = this.#nameOf(consumer);
        const found = this.findConsumer(group, name.u8, name.start, name.length);
        assert(found === consumer, 'consumers stand in order');
        this.#tree.validate(this.pendingOf(consumer));
        pending += this.pendingCount(consumer);
        const walk = this.#walk;
        for (let more = walk.seekFirst(this.pendingOf(consumer)); more; more = walk.next()) {
          assert(this.consumerOf(walk.value) === consumer, 'a delivery knows its consumer');
          assert(
            this.findDelivery(group, walk.id) === walk.value,
            'a delivery is known to its group',
          );
        }
      }
      assert(pending === this.pendingCount(group), 'each delivery has a consumer');
    }
  }

  /**
   * Frees a leaf of the group's last consumer; frees the consumer when it has none left. Returns
   * true once the group has no consumer.
   */
  #freeConsumer(group: Ref): boolean {
    const list = this.#ref(group, GroupWord.CONSUMERS);
    if (list === NIL) return true;
    const consumer = this.#names.at(list, this.#names.count(list) - 1);
    if (!this.#tree.freeSome(this.pendingOf(consumer), 1, this.#keep)) return false;
    this.#setWord(group, GroupWord.CONSUMERS, this.#names.removeLast(list));
    this.#arena.free(consumer);
    return false;
  }

  #newNamed(name: Uint8Array, start: number, length: number): Ref {
    const arena = this.#arena;
    const pending = this.#tree.create();
    let named: Ref;
    try {
      named = arena.alloc(NAMED_HEADER_BYTES + length);
    } catch (error) {
      arena.free(pending);
      throw error;
    }
    const segment = named >>> SEGMENT_SHIFT;
    const word = wordPosition(named);
    const i32 = arena.i32[segment]!;
    i32.fill(0, word, word + NAMED_HEADER_WORDS);
    i32[word + GroupWord.NAME] = length;
    i32[word + GroupWord.PENDING] = pending;
    this.#mover.copyIn(name, start, segment, bytePosition(named) + NAMED_HEADER_BYTES, length);
    return named;
  }

  /** Adds a new group or consumer to the list in word `word` of its owner. */
  #link(owner: Ref, word: number, named: Ref): void {
    try {
      this.#setWord(owner, word, this.#names.insert(this.#ref(owner, word), named));
    } catch (error) {
      // There is no memory for a longer list.
      this.#arena.free(this.pendingOf(named));
      this.#arena.free(named);
      throw error;
    }
  }

  /** Copies the ids, times and counts in the header. */
  #copyHeader(from: Ref, to: Ref): void {
    for (let word = GroupWord.LAST_ID; word < NAMED_HEADER_WORDS; word++)
      this.#setWord(to, word, this.#word(from, word));
  }

  #nameOf(named: Ref): { u8: Uint8Array; start: number; length: number } {
    return {
      u8: this.bytesOf(named),
      start: this.namePosition(named),
      length: this.nameLength(named),
    };
  }

  #word(ref: Ref, word: number): number {
    return this.#arena.i32[ref >>> SEGMENT_SHIFT]![wordPosition(ref) + word]!;
  }

  #ref(ref: Ref, word: number): Ref {
    return asRef(this.#word(ref, word));
  }

  #setWord(ref: Ref, word: number, value: number): void {
    this.#arena.touch(ref, word * 4, 4);
    this.#arena.i32[ref >>> SEGMENT_SHIFT]![wordPosition(ref) + word] = value;
  }

  #double(ref: Ref, word: number): number {
    return this.#arena.f64[ref >>> SEGMENT_SHIFT]![(wordPosition(ref) + word) >>> 1]!;
  }

  #setDouble(ref: Ref, word: number, value: number): void {
    this.#arena.touch(ref, word * 4, 8);
    this.#arena.f64[ref >>> SEGMENT_SHIFT]![(wordPosition(ref) + word) >>> 1] = value;
  }
}
