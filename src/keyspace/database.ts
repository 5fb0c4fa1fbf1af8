/**
 * Hot path. One numbered database: a table of entries and the index of their deadlines. Knows
 * layout and moves of entries; knows nothing of clients, the clock or replication.
 *
 * A command finds its key first. `find` remembers the key's hash for adding an absent key, so a key
 * to add must be the last one that was looked up. It also remembers the place of an entry, which
 * makes replacing it cheaper.
 *
 * Stale after every call that returns an entry: older refs of that entry and all views into it.
 */
import { bytePosition, SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';
import { assert, debugChecks } from '../base/assert.ts';
import { copyBytes } from '../base/byte-copy.ts';
import { hashBytes } from '../base/hash.ts';
import type { Prng } from '../base/prng.ts';
import { asRef, NIL, type Ref } from '../base/units.ts';
import { type EntryVisitor, HashTable } from '../structs/hash-table.ts';
import type { DatabaseContext, DatabaseShare } from './database-context.ts';
import {
  DEADLINE_PLACE,
  ENTRY_BYTES,
  ENTRY_IN_PLACE_BYTES_MAX,
  ENTRY_WITH_DEADLINE_BYTES,
  Encoding,
  EntryWord,
  isPlainString,
  metaEncoding,
  metaHeaderBytes,
  metaType,
  NO_SLOT,
  packMeta,
  STRING_HEADER_BYTES,
  ValueType,
} from './entry.ts';
import { EntryWriter, keptApart } from './entry-writer.ts';
import { ExpiryIndex } from './expiry-index.ts';

/** An entry whose string would shrink below this part of its block moves to a smaller one. */
const SHRINK_FACTOR = 2;
const SMALL_BLOCK_BYTES = 64;
const GREEDY_BYTES = 1024 * 1024;
/** Keys that one call of {@link Database.readAhead} takes. */
export const AHEAD_KEYS_MAX = 32;
const LINE_WORDS = 16;
const NO_NUMBER = -1;

export class Database extends EntryWriter {
  readonly #context: DatabaseContext;
  readonly #tables: HashTable;
  table: Ref;
  expiry: ExpiryIndex;
  /** Hash of the key that was looked up last. */
  #hash = 0;
  /** The entries of the last {@link readAhead}, their count, the table and its version then. */
  readonly #ahead = new Int32Array(AHEAD_KEYS_MAX);
  #aheadCount = 0;
  /**
   * The number of the first of them, and of the one whose key is known to have this entry, or none.
   */
  #aheadFirst = 0;
  #aheadKnown = NO_NUMBER;
  #aheadTable: Ref = NIL;
  #aheadVersion = 0;
  /** The access clock that new entries get. */
  accessClock = 0;

  constructor(context: DatabaseContext, share?: DatabaseShare) {
    super(context.arena);
    this.#context = context;
    this.#tables = new HashTable(context.arena, this);
    this.table = share?.table ?? this.#tables.create();
    this.expiry = new ExpiryIndex(context.arena, share?.expiry, context.undo);
  }

  share(): DatabaseShare {
    return { table: this.table, expiry: this.expiry.share() };
  }

  get keyCount(): number {
    return this.#tables.count(this.table);
  }

  get deadlineCount(): number {
    return this.expiry.count;
  }

  hashKey(bytes: Uint8Array, start: number, length: number): number {
    return hashBytes(this.#context.hashKey0, this.#context.hashKey1, bytes, start, length);
  }

  /** The keys that the table has room for; the entries in each of its buckets, for DEBUG. */
  get slotCount(): number {
    return this.#tables.slots(this.table);
  }
  eachBucket(tell: (entries: number) => void): void {
    this.#tables.eachBucket(this.table, tell);
  }

  /** Hash of an entry's key; for the table. */
  hashOf(entry: Ref): number {
    const segment = entry >>> SEGMENT_SHIFT;
    const header = metaHeaderBytes(this.word(entry, EntryWord.META));
    return this.hashKey(
      this.arena.u8[segment]!,
      bytePosition(entry) + header,
      this.word(entry, EntryWord.KEY),
    );
  }

  /** The entry of a key, whatever its deadline, or NIL. */
  find(bytes: Uint8Array, start: number, length: number): Ref {
    return this.findHashed(this.hashKey(bytes, start, length), bytes, start, length);
  }

  /**
   * As {@link find} for a key with this hash that was read ahead under `number`; maybe by another
   * database, or longer ago than the last read ahead. Invariant: while no entry has come, gone or
   * moved since the last read ahead, its results hold: an entry found then is in its place, no
   * entry then is none now, and a key with the same number is the same key.
   */
  findAhead(number: number, hash: number, bytes: Uint8Array, start: number, length: number): Ref {
    const tables = this.#tables;
    const isIntact = this.#aheadTable === this.table && this.#aheadVersion === tables.version;
    const index = number - this.#aheadFirst;
    // Entries after the count are from an earlier read, and stale.
    if (isIntact && index >= 0 && index < this.#aheadCount) {
      const entry = asRef(this.#ahead[index]!);
      // It is NIL, the entry of another key with the same tag, or this one.
      const isKnown =
        number === this.#aheadKnown ||
        (entry !== NIL && this.keyEquals(entry, bytes, start, length));
      this.#aheadKnown = number;
      if (isKnown) {
        if (debugChecks)
          assert(
            this.findHashed(hash, bytes, start, length) === entry,
            'read ahead is in its place',
          );
        this.#hash = hash;
        tables.forgetPlace();
        return entry;
      }
      const found = this.findHashed(hash, bytes, start, length);
      this.#ahead[index] = found;
      return found;
    }
    return this.findHashed(hash, bytes, start, length);
  }

  /** Drops the results of reading ahead: the table goes elsewhere for a while. */
  forgetAhead(): void {
    this.#aheadCount = 0;
    this.#aheadKnown = NO_NUMBER;
  }

  /** As {@link find} for a key whose hash is known. */
  findHashed(hash: number, bytes: Uint8Array, start: number, length: number): Ref {
    this.#hash = hash;
    const tables = this.#tables;
    for (let entry = tables.first(this.table, hash); entry !== NIL; entry = tables.next()) {
      if (this.keyEquals(entry, bytes, start, length)) return entry;
    }
    return NIL;
  }

  /** Makes room for `count` keys that will come, as far as there is memory. */
  expect(count: number): void {
    this.#tables.reserve(this.table, count);
  }

  /**
   * Reads in parallel the memory that commands on `count` keys with these hashes will read first:
   * buckets, then two cache lines of entries. Memory answers many requests in the time of one, but
   * only when none waits for another. The keys get numbers from `first` on. A number is used again
   * only after {@link forgetAhead}.
   * Returns a meaningless number, see {@link HashTable.firstOfEach}.
   */
  readAhead(hashes: Int32Array, count: number, first: number): number {
    const { i32 } = this.arena;
    const refs = this.#ahead;
    let used = this.#tables.firstOfEach(this.table, hashes, count, refs);
    this.#aheadCount = count;
    this.#aheadFirst = first;
    this.#aheadKnown = NO_NUMBER;
    this.#aheadTable = this.table;
    this.#aheadVersion = this.#tables.version;
    for (let i = 0; i < count; i++) {
      const words = i32[refs[i]! >>> SEGMENT_SHIFT]!;
      const word = wordPosition(refs[i]!);
      // At the end of a segment there is no second line; the first one is then read twice.
      const second = word + LINE_WORDS < words.length ? word + LINE_WORDS : word;
      used ^= words[word]! ^ words[second]!;
    }
    return used;
  }

  /** Adds a string under a key that has just been looked up and is absent. */
  addString(
    key: Uint8Array,
    keyStart: number,
    keyLength: number,
    value: Uint8Array,
    valueStart: number,
    valueLength: number,
    encoding: Encoding,
  ): Ref {
    if (debugChecks) this.#checkHash(key, keyStart, keyLength);
    const inPlace = ENTRY_BYTES + keyLength + valueLength;
    const apart = keptApart(inPlace, valueLength);
    const entry = this.arena.alloc(apart ? ENTRY_BYTES + keyLength : inPlace);
    const word = wordPosition(entry);
    const i32 = this.arena.i32[entry >>> SEGMENT_SHIFT]!;
    i32[word] = packMeta(
      ValueType.STRING,
      apart ? Encoding.RAW_APART : encoding,
      false,
      this.accessClock,
    );
    i32[word + EntryWord.KEY] = keyLength;
    const u8 = this.arena.u8[entry >>> SEGMENT_SHIFT]!;
    const at = bytePosition(entry) + ENTRY_BYTES;
    copyBytes(key, keyStart, u8, at, keyLength);
    if (apart) {
      i32[word + EntryWord.VALUE] = this.newApart(
        value,
        valueStart,
        valueLength,
        valueLength,
        entry,
      );
    } else {
      i32[word + EntryWord.VALUE] = valueLength;
      copyBytes(value, valueStart, u8, at + keyLength, valueLength);
    }
    this.#insert(entry, apart);
    return entry;
  }

  /** Adds a collection under a key that has just been looked up and is absent. */
  addObject(
    key: Uint8Array,
    keyStart: number,
    keyLength: number,
    type: ValueType,
    encoding: Encoding,
    value: Ref,
  ): Ref {
    if (debugChecks) this.#checkHash(key, keyStart, keyLength);
    const entry = this.arena.alloc(ENTRY_BYTES + keyLength);
    const word = wordPosition(entry);
    const i32 = this.arena.i32[entry >>> SEGMENT_SHIFT]!;
    i32[word] = packMeta(type, encoding, false, this.accessClock);
    i32[word + EntryWord.KEY] = keyLength;
    i32[word + EntryWord.VALUE] = value;
    copyBytes(
      key,
      keyStart,
      this.arena.u8[entry >>> SEGMENT_SHIFT]!,
      bytePosition(entry) + ENTRY_BYTES,
      keyLength,
    );
    this.#insert(entry, false);
    return entry;
  }

  /**
   * Replaces the value of `entry`, of whatever type, by a string; cheapest when `entry` was found
   * last. The deadline is removed unless `keepDeadline`. `value` must not lie in the entry itself.
   */
  overwriteString(
    entry: Ref,
    value: Uint8Array,
    valueStart: number,
    valueLength: number,
    encoding: Encoding,
    keepDeadline: boolean,
  ): Ref {
    const arena = this.arena;
    const segment = entry >>> SEGMENT_SHIFT;
    const i32 = arena.i32[segment]!;
    const word = wordPosition(entry);
    const meta = i32[word + EntryWord.META]!;
    const keyLength = i32[word + EntryWord.KEY]!;
    if (i32[word + EntryWord.VALUE] === valueLength && valueLength > 0 && isPlainString(meta)) {
      // The new string is as long as the old one: only its bytes and encoding change.
      const now = packMeta(ValueType.STRING, encoding, false, this.accessClock);
      if (meta !== now) {
        arena.touch(entry, 0, 4);
        i32[word + EntryWord.META] = now;
      }
      const from = ENTRY_BYTES + keyLength;
      arena.touch(entry, from, valueLength);
      copyBytes(value, valueStart, arena.u8[segment]!, bytePosition(entry) + from, valueLength);
      return entry;
    }
    const headerBytes = metaHeaderBytes(meta);
    const need = headerBytes + keyLength + valueLength;
    const block = arena.blockBytes(entry);
    const fits = need <= block && (block <= SMALL_BLOCK_BYTES || need * SHRINK_FACTOR > block);
    if (!fits || keptApart(need, valueLength)) {
      return this.#replaceString(entry, value, valueStart, valueLength, encoding, keepDeadline);
    }
    this.#releaseValue(meta, entry);
    if (!keepDeadline && headerBytes === ENTRY_WITH_DEADLINE_BYTES) this.clearDeadline(entry);
    arena.touch(entry, 0, need);
    const place = headerBytes === ENTRY_WITH_DEADLINE_BYTES;
    i32[word] = packMeta(ValueType.STRING, encoding, place, this.accessClock);
    i32[word + EntryWord.VALUE] = valueLength;
    copyBytes(
      value,
      valueStart,
      arena.u8[segment]!,
      bytePosition(entry) + headerBytes + keyLength,
      valueLength,
    );
    return entry;
  }

  /** Replaces the value of `entry` by a collection; removes the deadline unless `keepDeadline`. */
  overwriteObject(
    entry: Ref,
    type: ValueType,
    encoding: Encoding,
    value: Ref,
    keepDeadline: boolean,
  ): void {
    const meta = this.word(entry, EntryWord.META);
    this.#releaseValue(meta, entry);
    if (!keepDeadline) this.clearDeadline(entry);
    this.arena.touch(entry, 0, ENTRY_BYTES);
    const i32 = this.arena.i32[entry >>> SEGMENT_SHIFT]!;
    const word = wordPosition(entry);
    i32[word] = packMeta(type, encoding, (meta & DEADLINE_PLACE) !== 0, this.accessClock);
    i32[word + EntryWord.VALUE] = value;
  }

  /**
   * Makes the string of `entry` `length` bytes long, at least as long as it was. New bytes are
   * zero, the encoding is raw, and there is room for further growth. Finish with
   * {@link writeString}.
   */
  growString(entry: Ref, length: number): Ref {
    const arena = this.arena;
    const view = this.view;
    this.stringInto(entry, view);
    const before = view.length;
    const meta = this.word(entry, EntryWord.META);
    const headerBytes = metaHeaderBytes(meta);
    const keyLength = this.word(entry, EntryWord.KEY);
    const need = headerBytes + keyLength + length;
    const apart = metaEncoding(meta) === Encoding.RAW_APART;
    if (
      apart
        ? STRING_HEADER_BYTES + length <= arena.blockBytes(this.value(entry))
        : need <= arena.blockBytes(entry)
    ) {
      this.setStringLength(entry, meta, before, length);
      return entry;
    }
    if (!apart && !keptApart(need, length)) {
      const moved = arena.alloc(Math.max(need, Math.min(need * 2, ENTRY_IN_PLACE_BYTES_MAX)));
      this.copyBlock(entry, moved, headerBytes + keyLength + before);
      this.#moveEntry(entry, moved);
      arena.free(entry);
      this.setStringLength(moved, meta, before, length);
      return moved;
    }
    const room = length < GREEDY_BYTES ? length * 2 : length + GREEDY_BYTES;
    if (apart) {
      const block = this.newApart(view.bytes, view.position, before, room, NIL);
      arena.free(this.value(entry));
      this.setObject(entry, Encoding.RAW_APART, block);
      this.setStringLength(entry, this.word(entry, EntryWord.META), before, length);
      return entry;
    }
    const moved = arena.alloc(headerBytes + keyLength);
    const block = this.newApart(view.bytes, view.position, before, room, moved);
    this.copyBlock(entry, moved, headerBytes + keyLength);
    this.#moveEntry(entry, moved);
    arena.free(entry);
    this.setObject(moved, Encoding.RAW_APART, block);
    this.setStringLength(moved, this.word(moved, EntryWord.META), before, length);
    return moved;
  }

  /** Removes an entry and frees its memory. */
  remove(entry: Ref): void {
    this.clearDeadline(entry);
    this.#tables.remove(this.table, this.hashOf(entry), entry);
    this.#releaseValue(this.word(entry, EntryWord.META), entry);
    this.arena.free(entry);
  }

  /** Removes the entry of an emptied collection, whose structure is already freed. */
  removeEmptied(entry: Ref): void {
    this.clearDeadline(entry);
    this.#tables.remove(this.table, this.hashOf(entry), entry);
    this.arena.free(entry);
  }

  /**
   * Moves the value and the deadline of `entry` to a key of `target`, another database or this one.
   * The key has just been looked up there and is absent. Returns the new entry.
   */
  moveTo(entry: Ref, target: Database, key: Uint8Array, keyStart: number, keyLength: number): Ref {
    if (debugChecks)
      assert(target.find(key, keyStart, keyLength) === NIL, 'a key that is moved to is absent');
    const deadline = this.deadline(entry);
    const access = this.access(entry);
    const moved = this.#takeValue(entry, target, key, keyStart, keyLength);
    target.setAccess(moved, access);
    let placed = moved;
    if (deadline >= 0) {
      try {
        placed = target.setDeadline(moved, deadline);
      } catch (error) {
        // No memory: the key was not added. A value that is not copied stays with `entry`.
        if (this.isInPlace(entry)) target.remove(moved);
        else target.removeEmptied(moved);
        throw error;
      }
    }
    this.removeEmptied(entry);
    return placed;
  }

  /**
   * Gives an entry a deadline, in ms since 1970. A deadline before 1970 counts as 1970, because a
   * negative one means none elsewhere. Throws ARENA_FULL, having changed nothing, when there is no
   * memory.
   */
  setDeadline(entry: Ref, deadlineMs: number): Ref {
    if (deadlineMs < 0) return this.setDeadline(entry, 0);
    const arena = this.arena;
    const meta = this.word(entry, EntryWord.META);
    const hasPlace = (meta & DEADLINE_PLACE) !== 0;
    let slot = hasPlace ? this.word(entry, EntryWord.SLOT) : NO_SLOT;
    if (slot === NO_SLOT) slot = this.expiry.add(entry, deadlineMs);
    else this.expiry.change(slot, deadlineMs);
    let target = entry;
    if (!hasPlace) {
      try {
        target = this.#addDeadlinePlace(entry, meta);
      } catch (error) {
        this.expiry.remove(slot);
        throw error;
      }
      this.expiry.move(slot, target);
    }
    arena.touch(target, 0, ENTRY_WITH_DEADLINE_BYTES);
    const segment = target >>> SEGMENT_SHIFT;
    const word = wordPosition(target);
    arena.f64[segment]![(word + EntryWord.DEADLINE) >>> 1] = deadlineMs;
    arena.i32[segment]![word + EntryWord.SLOT] = slot;
    return target;
  }

  /** Removes the deadline of an entry; returns whether it had one. */
  clearDeadline(entry: Ref): boolean {
    if ((this.word(entry, EntryWord.META) & DEADLINE_PLACE) === 0) return false;
    const slot = this.word(entry, EntryWord.SLOT);
    if (slot === NO_SLOT) return false;
    this.arena.touch(entry, EntryWord.SLOT * 4, 4);
    this.arena.i32[entry >>> SEGMENT_SHIFT]![wordPosition(entry) + EntryWord.SLOT] = NO_SLOT;
    this.expiry.remove(slot);
    return true;
  }

  /** See {@link HashTable.scan}. */
  scan(cursor: number, visit: EntryVisitor): number {
    return this.#tables.scan(this.table, cursor, visit);
  }

  random(prng: Prng): Ref {
    return this.#tables.random(this.table, prng);
  }

  /**
   * Removes all entries and returns their table, which {@link freeSome} frees slice by slice.
   * Constant time. Throws ARENA_FULL, having changed nothing, when there is no memory for another
   * table; see {@link clear}.
   */
  detach(): Ref {
    const old = this.table;
    const { expiry } = this;
    this.setRoots(
      this.#tables.create(),
      new ExpiryIndex(this.arena, undefined, this.#context.undo),
    );
    // In a unit a rollback may restore the deadlines.
    if (!this.#context.undo.active) expiry.drop();
    return old;
  }

  /** The bytes of the table of keys, without the entries. */
  get tableBytes(): number {
    return this.#tables.bytes(this.table);
  }

  /** Removes all entries one by one, which needs no memory. */
  clear(): void {
    const found: Ref[] = [];
    let cursor = 0;
    do {
      cursor = this.scan(cursor, (entry) => found.push(entry));
      while (found.length > 0) this.remove(found.pop()!);
    } while (cursor !== 0);
  }

  /** Puts these entries into the database. */
  setRoots(table: Ref, expiry: ExpiryIndex): void {
    const { undo } = this.#context;
    if (undo.active) {
      const before = this.table;
      const expiryBefore = this.expiry;
      undo.note(() => {
        this.table = before;
        this.expiry = expiryBefore;
      });
    }
    this.table = table;
    this.expiry = expiry;
    this.forgetAhead();
  }

  /** The arena was rolled back: entries that were found or read ahead may be gone. */
  rolledBack(): void {
    this.forgetAhead();
    this.#tables.rolledBack();
  }

  /** Drops views into segments, which may be gone. */
  forgetViews(): void {
    this.view.forget();
  }

  /** Frees some buckets of a detached table with all entries; returns whether that was all. */
  freeSome(table: Ref, buckets: number): boolean {
    return this.#tables.freeSome(table, buckets, (entry) => {
      this.#releaseValue(this.word(entry, EntryWord.META), entry);
      this.arena.free(entry);
    });
  }

  validate(): void {
    this.#tables.validate(this.table);
    let deadlines = 0;
    let cursor = 0;
    do {
      cursor = this.scan(cursor, (entry) => {
        if (this.deadline(entry) >= 0) deadlines++;
      });
    } while (cursor !== 0);
    assert(deadlines === this.expiry.count, 'the index counts the entries that have a deadline');
    this.expiry.validate(
      (entry) => this.word(entry, EntryWord.SLOT),
      (entry) => this.deadline(entry),
    );
  }

  #checkHash(key: Uint8Array, start: number, length: number): void {
    assert(this.#hash === this.hashKey(key, start, length), 'a key is added behind a lookup');
  }

  /** Puts a new entry in the table. Frees it, and its separate string, when there is no memory. */
  #insert(entry: Ref, apart: boolean): void {
    try {
      this.#tables.insert(this.table, this.#hash, entry);
    } catch (error) {
      if (apart) this.arena.free(this.value(entry));
      this.arena.free(entry);
      throw error;
    }
  }

  #releaseValue(meta: number, entry: Ref): void {
    const encoding = metaEncoding(meta);
    if (metaType(meta) !== ValueType.STRING) {
      this.#context.releaseObject(metaType(meta), encoding, this.value(entry));
    } else if (encoding === Encoding.RAW_APART) {
      this.arena.free(this.value(entry));
    }
  }

  /** Puts a new entry with another string value in the place of `entry`. */
  #replaceString(
    entry: Ref,
    value: Uint8Array,
    valueStart: number,
    valueLength: number,
    encoding: Encoding,
    keepDeadline: boolean,
  ): Ref {
    const arena = this.arena;
    const deadline = keepDeadline ? this.deadline(entry) : -1;
    const keyLength = this.word(entry, EntryWord.KEY);
    const headerBytes = deadline < 0 ? ENTRY_BYTES : ENTRY_WITH_DEADLINE_BYTES;
    const inPlace = headerBytes + keyLength + valueLength;
    const apart = keptApart(inPlace, valueLength);
    const moved = arena.alloc(apart ? headerBytes + keyLength : inPlace);
    const segment = moved >>> SEGMENT_SHIFT;
    const word = wordPosition(moved);
    const i32 = arena.i32[segment]!;
    i32[word] = packMeta(
      ValueType.STRING,
      apart ? Encoding.RAW_APART : encoding,
      deadline >= 0,
      this.accessClock,
    );
    i32[word + EntryWord.KEY] = keyLength;
    const view = this.view;
    this.keyInto(entry, view);
    const at = bytePosition(moved) + headerBytes;
    copyBytes(view.bytes, view.position, arena.u8[segment]!, at, keyLength);
    if (apart) {
      i32[word + EntryWord.VALUE] = this.newApart(
        value,
        valueStart,
        valueLength,
        valueLength,
        moved,
      );
    } else {
      i32[word + EntryWord.VALUE] = valueLength;
      copyBytes(value, valueStart, arena.u8[segment]!, at + keyLength, valueLength);
    }
    if (deadline >= 0) {
      i32[word + EntryWord.SLOT] = this.word(entry, EntryWord.SLOT);
      arena.f64[segment]![(word + EntryWord.DEADLINE) >>> 1] = deadline;
      this.expiry.move(i32[word + EntryWord.SLOT]!, moved);
    } else {
      this.clearDeadline(entry);
    }
    if (!this.#tables.replaceFound(entry, moved))
      this.#tables.replace(this.table, this.hashOf(entry), entry, moved);
    this.#releaseValue(this.word(entry, EntryWord.META), entry);
    arena.free(entry);
    return moved;
  }

  /** Adds a key to `target` with the value of `entry`, and takes it from `entry`. */
  #takeValue(
    entry: Ref,
    target: Database,
    key: Uint8Array,
    keyStart: number,
    keyLength: number,
  ): Ref {
    const type = this.type(entry);
    const encoding = this.encoding(entry);
    if (type !== ValueType.STRING || encoding === Encoding.RAW_APART) {
      return target.addObject(key, keyStart, keyLength, type, encoding, this.value(entry));
    }
    const view = this.view;
    this.stringInto(entry, view);
    return target.addString(
      key,
      keyStart,
      keyLength,
      view.bytes,
      view.position,
      view.length,
      encoding,
    );
  }

  /** Moves an entry to a block that has the words of a deadline. */
  #addDeadlinePlace(entry: Ref, meta: number): Ref {
    const arena = this.arena;
    const inPlace =
      metaType(meta) === ValueType.STRING && metaEncoding(meta) !== Encoding.RAW_APART;
    const rest =
      this.word(entry, EntryWord.KEY) + (inPlace ? this.word(entry, EntryWord.VALUE) : 0);
    const moved = arena.alloc(ENTRY_WITH_DEADLINE_BYTES + rest);
    const segment = moved >>> SEGMENT_SHIFT;
    const word = wordPosition(moved);
    const i32 = arena.i32[segment]!;
    i32[word] = meta | DEADLINE_PLACE;
    i32[word + EntryWord.KEY] = this.word(entry, EntryWord.KEY);
    i32[word + EntryWord.VALUE] = this.word(entry, EntryWord.VALUE);
    i32[word + EntryWord.SLOT] = NO_SLOT;
    copyBytes(
      arena.u8[entry >>> SEGMENT_SHIFT]!,
      bytePosition(entry) + ENTRY_BYTES,
      arena.u8[segment]!,
      bytePosition(moved) + ENTRY_WITH_DEADLINE_BYTES,
      rest,
    );
    this.#tables.replace(this.table, this.hashOf(entry), entry, moved);
    arena.free(entry);
    return moved;
  }

  /** Puts `moved`, a copy of `entry`, in its place in table and index. */
  #moveEntry(entry: Ref, moved: Ref): void {
    this.#tables.replace(this.table, this.hashOf(entry), entry, moved);
    if (this.deadline(moved) >= 0) this.expiry.move(this.word(moved, EntryWord.SLOT), moved);
  }
}
