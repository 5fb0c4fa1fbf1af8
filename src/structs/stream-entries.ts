/**
 * Hot path. Streams: append-only logs of entries, and consumer groups (stream-groups.ts). The
 * entries are in listpacks (stream-node.ts). A tree (id-tree.ts) finds a listpack by the id of its
 * first entry.
 *
 *   word 0      LENGTH         live entries
 *   word 1      NODES          tree of nodes
 *   word 2-5    LAST_ID        of the last entry ever added
 *   word 6-9    FIRST_ID       of the first live entry, 0-0 when there is none
 *   word 10-13  MAX_DELETED    greatest id that was deleted by name
 *   word 14-15  ENTRIES_ADDED  entries ever added, a double
 *   word 16     GROUPS         list of groups by name, or NIL
 *
 * One object serves many streams, one after another: `open` or `create` selects the stream. A
 * stream never moves. A change that finds no memory changes nothing. Stale after a change of the
 * entries: cursors.
 */
import type { Arena } from '../arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';
import { assert } from '../base/assert.ts';
import { copyBytes } from '../base/byte-copy.ts';
import { NIL, type Ref } from '../base/units.ts';
import { IdCursor, type IdTree } from './id-tree.ts';
import { Int64 } from './int64.ts';
import type { Listpack } from './listpack.ts';
import { ListpackBuilder } from './listpack-builder.ts';
import { writeHeader } from './listpack-encode.ts';
import {
  behindEntry,
  COUNT_UNKNOWN,
  ElementCode,
  elementEquals,
  headerCount,
  LISTPACK_BYTES_MAX,
  LISTPACK_HEADER_BYTES,
  listpackBytes,
  TERMINATOR,
} from './listpack-read.ts';
import { StreamCursor } from './stream-cursor.ts';
import { ID_WORDS, StreamId } from './stream-id.ts';
import { ENTRY_ELEMENTS, EntryFlag, StreamNode } from './stream-node.ts';
import { isValidStreamNode } from './stream-node-check.ts';

export const StreamWord = {
  LENGTH: 0,
  NODES: 1,
  LAST_ID: 2,
  FIRST_ID: 6,
  MAX_DELETED: 10,
  ENTRIES_ADDED: 14,
  GROUPS: 16,
} as const;
export const STREAM_WORDS = 18;
export const STREAM_BYTES = STREAM_WORDS * 4;

/** The limit of a node and of an entry, in bytes. */
export const STREAM_NODE_BYTES_MAX = 1 << 30;
/** A node that follows another gets at most this room for its first block, in bytes. */
const NODE_ROOM_BYTES_MAX = 4096;

/**
 * The fields and values of an entry: arguments of a request, from argument `from` on, alternating.
 */
export interface StreamFields {
  readonly bytes: Uint8Array;
  readonly position: Int32Array;
  readonly length: Int32Array;
}

export class StreamEntries {
  ref: Ref = NIL;
  readonly cursor: StreamCursor;
  readonly #arena: Arena;
  readonly #listpacks: Listpack;
  readonly #tree: IdTree;
  readonly #tail: IdCursor;
  readonly #node = new StreamNode();
  readonly #builder = new ListpackBuilder();
  readonly #id = new StreamId();
  readonly #count = new Int64();

  constructor(arena: Arena, listpacks: Listpack, tree: IdTree) {
    this.#arena = arena;
    this.#listpacks = listpacks;
    this.#tree = tree;
    this.#tail = new IdCursor(arena);
    this.cursor = new StreamCursor(arena);
  }

  open(ref: Ref): void {
    this.ref = ref;
  }

  /** Begins an empty stream. */
  create(): void {
    const nodes = this.#tree.create();
    let ref: Ref;
    try {
      ref = this.#arena.alloc(STREAM_BYTES);
    } catch (error) {
      this.#arena.free(nodes);
      throw error;
    }
    const i32 = this.#arena.i32[ref >>> SEGMENT_SHIFT]!;
    const word = wordPosition(ref);
    i32.fill(0, word, word + STREAM_WORDS);
    i32[word + StreamWord.NODES] = nodes;
    this.ref = ref;
  }

  get length(): number {
    return this.#word(StreamWord.LENGTH);
  }

  get nodes(): Ref {
    return this.#word(StreamWord.NODES) as Ref;
  }

  get nodeCount(): number {
    return this.#tree.count(this.nodes);
  }

  get entriesAdded(): number {
    return this.#arena.f64[this.ref >>> SEGMENT_SHIFT]![
      (wordPosition(this.ref) + StreamWord.ENTRIES_ADDED) >>> 1
    ]!;
  }

  set entriesAdded(count: number) {
    const { ref } = this;
    this.#arena.touch(ref, StreamWord.ENTRIES_ADDED * 4, 8);
    this.#arena.f64[ref >>> SEGMENT_SHIFT]![(wordPosition(ref) + StreamWord.ENTRIES_ADDED) >>> 1] =
      count;
  }

  readLastId(into: StreamId): void {
    this.#readId(StreamWord.LAST_ID, into);
  }

  readFirstId(into: StreamId): void {
    this.#readId(StreamWord.FIRST_ID, into);
  }

  readMaxDeleted(into: StreamId): void {
    this.#readId(StreamWord.MAX_DELETED, into);
  }

  setLastId(id: StreamId): void {
    this.#setId(StreamWord.LAST_ID, id);
  }

  setMaxDeleted(id: StreamId): void {
    this.#setId(StreamWord.MAX_DELETED, id);
  }

  setFirstId(id: StreamId): void {
    this.#setId(StreamWord.FIRST_ID, id);
  }

  /** Sets the number of live entries. For loaders, which add whole nodes. */
  setLength(length: number): void {
    this.#setWord(StreamWord.LENGTH, length);
  }

  /**
   * Adds a node under an id that is behind the ids of all other nodes. The stream then owns the
   * listpack. Returns false when the id is already there.
   */
  addNode(master: StreamId, listpack: Ref): boolean {
    return this.#tree.insert(this.nodes, master, listpack);
  }

  /** Returns {@link cursor}, opened for the entries from `from` to `to`. */
  seek(from: StreamId, to: StreamId, backwards: boolean): StreamCursor {
    this.cursor.open(this.nodes, from, to, backwards);
    return this.cursor;
  }

  /**
   * Sets `into` to the id of the first or last live entry, or to 0-0 when there is none. Returns
   * whether there is one.
   */
  readEdgeId(last: boolean, into: StreamId): boolean {
    edgeTo.setMax();
    const found = this.seek(zero, edgeTo, last).next();
    if (found) into.copyFrom(this.cursor.id);
    else into.setMin();
    return found;
  }

  /**
   * Sets `into` to the id of the first entry, even if that is deleted. Returns false when there is
   * none.
   */
  readFirstStored(into: StreamId): boolean {
    const tail = this.#tail;
    if (!tail.seekFirst(this.nodes)) return false;
    this.#openNode(tail.value, tail.id);
    this.#node.readFirst();
    into.copyFrom(this.#node.id);
    return true;
  }

  /**
   * Adds an entry whose id is behind the last one. It has `fields` pairs from argument `from` on.
   * When the last node would pass `nodeBytesMax` bytes or `nodeEntriesMax` entries (0 is no limit),
   * a new node begins. Returns false when the entry is too long.
   */
  append(
    id: StreamId,
    args: StreamFields,
    from: number,
    fields: number,
    nodeBytesMax: number,
    nodeEntriesMax: number,
  ): boolean {
    let bytes = 0;
    for (let i = from; i < from + fields * 2; i++) bytes += args.length[i]!;
    if (bytes > STREAM_NODE_BYTES_MAX) return false;
    const limit =
      nodeBytesMax === 0 ? STREAM_NODE_BYTES_MAX : Math.min(nodeBytesMax, STREAM_NODE_BYTES_MAX);
    const tail = this.#tail;
    const node = tail.seekLast(this.nodes) ? tail.value : NIL;
    let added = false;
    if (node !== NIL && this.#listpacks.byteLength(node) + bytes < limit) {
      this.#openNode(node, tail.id);
      if (nodeEntriesMax === 0 || this.#node.live + this.#node.deleted < nodeEntriesMax)
        added = this.#appendTo(node, id, args, from, fields);
    }
    if (!added && !this.#appendNode(node, id, args, from, fields, limit)) return false;
    const length = this.length + 1;
    this.#setWord(StreamWord.LENGTH, length);
    this.entriesAdded += 1;
    this.setLastId(id);
    if (length === 1) this.setFirstId(id);
    return true;
  }

  /**
   * Deletes an entry. Returns false when it is not there. The caller updates the first id and the
   * greatest deleted id.
   */
  delete(id: StreamId): boolean {
    const cursor = this.seek(id, id, false);
    if (!cursor.next()) return false;
    const { node } = cursor;
    const ref = cursor.nodeRef;
    if (node.live === 1) {
      this.#tree.remove(this.nodes, node.master);
      this.#arena.free(ref);
    } else {
      const at = node.at - bytePosition(ref);
      this.#flag(this.#setCounts(ref, node, 1), at + this.#countsMoved, node.flags);
    }
    this.#setWord(StreamWord.LENGTH, this.length - 1);
    return true;
  }

  /** Updates the first id to that of the first live entry. */
  updateFirstId(): void {
    const id = this.#id;
    this.readEdgeId(false, id);
    this.setFirstId(id);
  }

  /**
   * Deletes entries from the front until `maxLength` entries are left. Returns the number deleted.
   * With `approximate`, deletes only whole nodes, and at most `limit` entries (0 is no limit).
   */
  trimToLength(maxLength: number, approximate: boolean, limit: number): number {
    return this.#trim(maxLength, undefined, approximate, limit);
  }

  /** As {@link trimToLength}, but deletes the entries before `minId`. */
  trimBefore(minId: StreamId, approximate: boolean, limit: number): number {
    return this.#trim(-1, minId, approximate, limit);
  }

  #trim(
    maxLength: number,
    minId: StreamId | undefined,
    approximate: boolean,
    limit: number,
  ): number {
    const tail = this.#tail;
    const node = this.#node;
    const before = this.length;
    while (tail.seekFirst(this.nodes)) {
      const { length } = this;
      if (minId === undefined && length <= maxLength) break;
      const ref = tail.value;
      this.#openNode(ref, tail.id);
      const { live } = node;
      if (limit > 0 && before - length + live > limit) break;
      const whole =
        minId === undefined
          ? length - live >= maxLength
          : node.readLast() && node.id.compare(minId) < 0;
      if (!whole) {
        if (!approximate) this.#trimNode(ref, maxLength, minId);
        break;
      }
      this.#tree.remove(this.nodes, tail.id);
      this.#arena.free(ref);
      this.#setWord(StreamWord.LENGTH, length - live);
    }
    const deleted = before - this.length;
    if (deleted > 0) this.updateFirstId();
    return deleted;
  }

  /** Deletes entries of the first node. `#node` has opened it. */
  #trimNode(ref: Ref, maxLength: number, minId: StreamId | undefined): void {
    const node = this.#node;
    // Positions and flags of the entries. The steps that may need memory are done before the first
    // entry is flagged.
    const found: number[] = [];
    for (let more = node.readFirst(); more; more = node.readNext()) {
      const left = this.length - found.length / 2;
      if (minId === undefined ? left <= maxLength : node.id.compare(minId) >= 0) break;
      if (!node.isDeleted) found.push(node.at - bytePosition(ref), node.flags);
    }
    const deleted = found.length / 2;
    if (deleted === 0) return;
    const to = this.#setCounts(ref, node, deleted);
    for (let i = 0; i < found.length; i += 2)
      this.#flag(to, found[i]! + this.#countsMoved, found[i + 1]!);
    this.#setWord(StreamWord.LENGTH, this.length - deleted);
  }

  /** Copies the stream without its groups, and returns the ref of the copy. */
  copyEntries(): Ref {
    const from = this.ref;
    this.create();
    const to = this.ref;
    const i32 = this.#arena.i32;
    const { nodes } = this;
    const words = i32[from >>> SEGMENT_SHIFT]!.slice(
      wordPosition(from),
      wordPosition(from) + STREAM_WORDS,
    );
    words[StreamWord.NODES] = nodes;
    words[StreamWord.GROUPS] = NIL;
    i32[to >>> SEGMENT_SHIFT]!.set(words, wordPosition(to));
    this.ref = from;
    const tail = this.#tail;
    try {
      for (let more = tail.seekFirst(this.nodes); more; more = tail.next()) {
        // No tree owns the node until it is added, so a failure must free it here.
        const node = this.#listpacks.copy(tail.value);
        let added = false;
        try {
          added = this.#tree.insert(nodes, tail.id, node);
        } finally {
          if (!added) this.#arena.free(node);
        }
      }
    } catch (error) {
      // There is no memory for the whole copy.
      this.#tree.freeSome(nodes, Number.POSITIVE_INFINITY, (node) => this.#arena.free(node));
      this.#arena.free(to);
      throw error;
    }
    return to;
  }

  /** Drops views into segments, which may be gone. */
  forgetViews(): void {
    this.#node.forget();
    this.cursor.node.forget();
  }

  /** Checks nodes, counts and ids. For tests. */
  validate(): void {
    this.#tree.validate(this.nodes);
    const tail = this.#tail;
    let length = 0;
    for (let more = tail.seekFirst(this.nodes); more; more = tail.next()) {
      this.#listpacks.validate(tail.value);
      this.#openNode(tail.value, tail.id);
      const { u8 } = this.#node;
      const bytes = this.#listpacks.byteLength(tail.value);
      assert(
        isValidStreamNode(u8, bytePosition(tail.value), bytes, tail.id),
        'a node of a stream is sound',
      );
      length += this.#node.live;
    }
    assert(length === this.length, 'a stream knows how many entries it has');
    const first = new StreamId();
    const id = new StreamId();
    this.readEdgeId(false, id);
    this.readFirstId(first);
    assert(id.compare(first) === 0, 'a stream knows its first entry');
    this.readEdgeId(true, id);
    this.readLastId(first);
    assert(id.compare(first) <= 0, 'no entry is behind the last id');
  }

  /** Appends to the last node, which `#node` has opened. Returns false when it has no room. */
  #appendTo(ref: Ref, id: StreamId, args: StreamFields, from: number, fields: number): boolean {
    const node = this.#node;
    const listpacks = this.#listpacks;
    const builder = this.#builder;
    const same = fields === node.masterFields && this.#hasMasterFields(args, from);
    builder.beginEntries();
    this.#buildEntry(id, node.master, args, from, fields, same);
    if (this.#appendInPlace(ref, node.live + 1)) return true;
    if (!listpacks.safeToAdd(ref, builder.length + ENTRY_BYTES_MORE)) return false;
    const { live } = node;
    let to = listpacks.replaceInteger(ref, LISTPACK_HEADER_BYTES, live + 1);
    if (to !== ref) this.#tree.setAt(this.#tail, to);
    try {
      const behind = listpacks.insertEntries(to, -1, builder.bytes, builder.length, builder.count);
      if (behind !== to) this.#tree.setAt(this.#tail, behind);
    } catch (error) {
      // There is no memory, so the count of entries is set back.
      to = listpacks.replaceInteger(to, LISTPACK_HEADER_BYTES, live);
      this.#tree.setAt(this.#tail, to);
      throw error;
    }
    return true;
  }

  /**
   * Writes the built entry behind the others, and the new count of live entries. Returns false and
   * changes nothing when the node's block has no room for it or one of its counts needs more bytes.
   */
  #appendInPlace(ref: Ref, live: number): boolean {
    const arena = this.#arena;
    const { bytes, length, count } = this.#builder;
    const u8 = arena.u8[ref >>> SEGMENT_SHIFT]!;
    const base = bytePosition(ref);
    const total = listpackBytes(u8, base);
    const entries = headerCount(u8, base) + count;
    const liveAt = base + LISTPACK_HEADER_BYTES;
    if (live >= ElementCode.STRING_6 || u8[liveAt]! >= ElementCode.STRING_6) return false;
    if (entries >= COUNT_UNKNOWN) return false;
    if (total + length > arena.blockBytes(ref)) return false;
    arena.touch(ref, 0, LISTPACK_HEADER_BYTES + 1);
    arena.touch(ref, total - 1, length + 1);
    writeHeader(u8, base, total + length, entries);
    u8[liveAt] = live;
    copyBytes(bytes, 0, u8, base + total - 1, length);
    u8[base + total - 1 + length] = TERMINATOR;
    return true;
  }

  /** Begins a node with its first entry. `full` is the node before it, or NIL. */
  #appendNode(
    full: Ref,
    id: StreamId,
    args: StreamFields,
    from: number,
    fields: number,
    limit: number,
  ): boolean {
    const listpacks = this.#listpacks;
    const builder = this.#builder;
    if (full !== NIL) {
      const shrunk = listpacks.shrinkToFit(full);
      if (shrunk !== full) this.#tree.setAt(this.#tail, shrunk);
    }
    builder.beginEntries();
    this.#buildNumber(1);
    this.#buildNumber(0);
    this.#buildNumber(fields);
    for (let i = 0; i < fields; i++) {
      const at = from + i * 2;
      if (!builder.hasRoomFor(args.length[at]!)) return false;
      builder.append(args.bytes, args.position[at]!, args.length[at]!);
    }
    this.#buildNumber(0);
    for (let i = 0, bytes = builder.length; i < fields; i++) {
      bytes += args.length[from + i * 2 + 1]! + ENTRY_BYTES_MORE;
      if (bytes > LISTPACK_BYTES_MAX) return false;
    }
    this.#buildEntry(id, id, args, from, fields, true);
    // The first node of a stream may stay the only one, and small.
    const room = full === NIL ? 0 : Math.min(limit, NODE_ROOM_BYTES_MAX);
    const empty = listpacks.create(Math.max(room, builder.length + ENTRY_BYTES_MORE));
    const node = listpacks.insertEntries(empty, -1, builder.bytes, builder.length, builder.count);
    try {
      this.#tree.insert(this.nodes, id, node);
    } catch (error) {
      // There is no memory for its place in the tree.
      listpacks.free(node);
      throw error;
    }
    return true;
  }

  #hasMasterFields(args: StreamFields, from: number): boolean {
    const { u8, masterFields } = this.#node;
    let at = this.#node.masterFieldsAt;
    for (let i = 0; i < masterFields; i++) {
      const index = from + i * 2;
      if (!elementEquals(u8, at, args.bytes, args.position[index]!, args.length[index]!))
        return false;
      at = behindEntry(u8, at);
    }
    return true;
  }

  #buildEntry(
    id: StreamId,
    master: StreamId,
    args: StreamFields,
    from: number,
    fields: number,
    same: boolean,
  ): void {
    const builder = this.#builder;
    const distance = this.#id;
    distance.setDifference(id, master);
    this.#buildNumber(same ? EntryFlag.SAME_FIELDS : 0);
    builder.appendInt64(distance.msHigh, distance.msLow);
    builder.appendInt64(distance.seqHigh, distance.seqLow);
    if (!same) this.#buildNumber(fields);
    for (let i = from; i < from + fields * 2; i += 2) {
      if (!same) builder.append(args.bytes, args.position[i]!, args.length[i]!);
      builder.append(args.bytes, args.position[i + 1]!, args.length[i + 1]!);
    }
    this.#buildNumber(same ? fields + ENTRY_ELEMENTS : fields * 2 + 1 + ENTRY_ELEMENTS);
  }

  #buildNumber(value: number): void {
    this.#count.setNumber(value);
    this.#builder.appendInt64(this.#count.high, this.#count.low);
  }

  /**
   * Marks the entry at a position of a node as deleted. `flags` are its flags so far. Flags have
   * two bits, so nothing moves.
   */
  #flag(ref: Ref, at: number, flags: number): void {
    this.#listpacks.replaceInteger(ref, at, flags | EntryFlag.DELETED);
  }

  /**
   * Notes in a node that `deleted` more of its entries are deleted. Returns the new place of the
   * node. Its entries have moved within it by {@link #countsMoved} bytes. Throws ARENA_FULL when a
   * longer count needs memory and there is none; then nothing has changed.
   */
  #setCounts(ref: Ref, node: StreamNode, deleted: number): Ref {
    const listpacks = this.#listpacks;
    const before = listpacks.byteLength(ref);
    const deletedAt = node.deletedAt - bytePosition(ref);
    // The count of deleted entries is written first, because writing the other count may move it.
    // The count of live entries never gets longer and needs no memory.
    let to = listpacks.replaceInteger(ref, deletedAt, node.deleted + deleted);
    to = listpacks.replaceInteger(to, LISTPACK_HEADER_BYTES, node.live - deleted);
    this.#countsMoved = listpacks.byteLength(to) - before;
    if (to === ref) return to;
    this.#tail.descend(this.nodes, node.master);
    this.#tree.setAt(this.#tail, to);
    return to;
  }
  #countsMoved = 0;

  #openNode(ref: Ref, master: StreamId): void {
    this.#node.open(this.#arena.u8[ref >>> SEGMENT_SHIFT]!, bytePosition(ref), master);
  }

  #word(word: number): number {
    return this.#arena.i32[this.ref >>> SEGMENT_SHIFT]![wordPosition(this.ref) + word]!;
  }

  #setWord(word: number, value: number): void {
    const { ref } = this;
    this.#arena.touch(ref, word * 4, 4);
    this.#arena.i32[ref >>> SEGMENT_SHIFT]![wordPosition(ref) + word] = value;
  }

  #readId(word: number, into: StreamId): void {
    into.fromWords(this.#arena.i32[this.ref >>> SEGMENT_SHIFT]!, wordPosition(this.ref) + word);
  }

  #setId(word: number, id: StreamId): void {
    const { ref } = this;
    this.#arena.touch(ref, word * 4, ID_WORDS * 4);
    id.toWords(this.#arena.i32[ref >>> SEGMENT_SHIFT]!, wordPosition(ref) + word);
  }
}

/** An upper bound for the bytes that an element needs in addition to its data. */
const ENTRY_BYTES_MORE = 16;
const zero = new StreamId();
/** A scratch id. It is not used beyond one call. */
const edgeTo = new StreamId();
