/**
 * Reads streams of a dump in the five forms that Redis has written. save-stream.ts draws the first
 * three. The others add parts that have no counterpart here:
 *
 *   type 27, after the consumers of a group   pending entries without a consumer { id }
 *   types 26 and 27, after the groups         duration · entries max
 *                                             producers { id { name of an entry · its id } }
 *                                             names added · names met again
 *
 * The bytes are not trusted. Nodes are checked entry by entry. Ids must ascend over all nodes. The
 * pending entries of the consumers must be those of their group, each of them once. The memory of
 * producers is passed over. Entries that are pending without a consumer are refused: no command
 * here could give them to a consumer. Runs on the loading worker, and on the main thread for
 * RESTORE.
 */
import { bytePosition, SEGMENT_SHIFT } from '../arena/layout.ts';
import { ErrorCode, OperatingError } from '../base/errors.ts';
import { NIL, type Ref } from '../base/units.ts';
import { BytesView, Encoding } from '../keyspace/entry.ts';
import type { Keyspace } from '../keyspace/keyspace.ts';
import { entriesUpTo } from '../structs/stream-counts.ts';
import { ENTRIES_READ_UNKNOWN } from '../structs/stream-groups.ts';
import { ID_BYTES, StreamId } from '../structs/stream-id.ts';
import { StreamNode } from '../structs/stream-node.ts';
import { isValidStreamNode } from '../structs/stream-node-check.ts';
import type { CollectionLoader } from './collection-loader.ts';
import { RdbType } from './opcodes.ts';
import { SkippedName, type SkippedParts } from './skipped.ts';
import type { DumpSource } from './source.ts';

/** A stream holds so many entries at most. */
const LENGTH_MAX = 0x7fff_ffff;
const HIGH_ALL_ONES = 0xffff_ffff;

export class StreamLoader implements CollectionLoader {
  readonly encoding: Encoding = Encoding.STREAM;
  value: Ref = NIL;
  readonly #source: DumpSource;
  readonly #keyspace: Keyspace;
  readonly #skipped: SkippedParts;
  readonly #view = new BytesView();
  readonly #node = new StreamNode();
  readonly #id = new StreamId();
  /** Id of the last entry so far. */
  readonly #last = new StreamId();

  constructor(source: DumpSource, keyspace: Keyspace, skipped: SkippedParts) {
    this.#skipped = skipped;
    this.#source = source;
    this.#keyspace = keyspace;
  }

  /** Reads what follows the key of a stream whose type byte was `rdbType`. */
  read(rdbType: number): void {
    const { streams } = this.#keyspace.structures;
    streams.entries.create();
    this.value = streams.entries.ref;
    try {
      this.#readLog(rdbType);
      this.#readGroups(rdbType);
      if (rdbType >= RdbType.STREAM_LISTPACKS_4) this.#skipProducers();
    } catch (error) {
      // Whatever the reason is, the stream has no owner.
      streams.freeSome(this.value, Number.POSITIVE_INFINITY);
      this.value = NIL;
      throw error;
    }
  }

  #readLog(rdbType: number): void {
    const source = this.#source;
    const { entries } = this.#keyspace.structures.streams;
    const live = this.#readNodes();
    const length = source.length('the length of a stream');
    if (length !== live || length > LENGTH_MAX)
      throw source.corrupt('Stream length inconsistent with its nodes');
    entries.setLength(length);
    entries.updateFirstId();
    const id = this.#id;
    this.#readId(id);
    if (id.compare(this.#last) < 0)
      throw source.corrupt('the last id of a stream is before its last entry');
    entries.setLastId(id);
    if (rdbType === RdbType.STREAM_LISTPACKS) {
      entries.entriesAdded = length;
      return;
    }
    // That of the first entry is known.
    this.#readId(id);
    this.#readId(id);
    entries.setMaxDeleted(id);
    entries.entriesAdded = source.count('the count of entries added to a stream');
  }

  /** Reads the nodes and returns how many live entries are in them. */
  #readNodes(): number {
    const source = this.#source;
    const { listpacks, streams } = this.#keyspace.structures;
    const master = this.#id;
    this.#last.setMin();
    let live = 0;
    for (let left = source.length('the count of nodes of a stream'); left > 0; left--) {
      const view = this.#view;
      source.string(view);
      if (view.length !== ID_BYTES)
        throw source.corrupt('Stream node key entry is not the size of a stream ID');
      master.fromBytes(view.bytes, view.position);
      if (master.compare(this.#last) <= 0) throw source.corrupt('Stream nodes are not in order');
      source.string(view);
      if (!isValidStreamNode(view.bytes, view.position, view.length, master))
        throw source.corrupt('Stream listpack integrity check failed.');
      const listpack = listpacks.fromBytes(view.bytes, view.position, view.length);
      let added = false;
      try {
        added = streams.entries.addNode(master, listpack);
      } finally {
        if (!added) listpacks.free(listpack);
      }
      const node = this.#node;
      node.open(
        this.#keyspace.arena.u8[listpack >>> SEGMENT_SHIFT]!,
        bytePosition(listpack),
        master,
      );
      node.readLast();
      this.#last.copyFrom(node.id);
      live += node.live;
    }
    return live;
  }

  #readGroups(rdbType: number): void {
    const source = this.#source;
    const { groups, entries } = this.#keyspace.structures.streams;
    for (let left = source.length('the count of groups of a stream'); left > 0; left--) {
      const view = this.#view;
      source.string(view);
      if (groups.findGroup(this.value, view.bytes, view.position, view.length) !== NIL)
        throw source.corrupt('Duplicated consumer group name');
      this.#id.setMin();
      const group = groups.addGroup(this.value, view.bytes, view.position, view.length, this.#id);
      this.#readId(this.#id);
      groups.setGroupLastId(group, this.#id);
      // Before RDB 10 nobody counted: what a group has read is known where its last id tells.
      const isCounted = rdbType !== RdbType.STREAM_LISTPACKS;
      groups.setEntriesRead(
        group,
        isCounted ? this.#readEntriesRead() : entriesUpTo(entries, this.#id),
      );
      this.#readPending(group);
      this.#readConsumers(rdbType, group);
    }
  }

  #readPending(group: Ref): void {
    const source = this.#source;
    const { groups } = this.#keyspace.structures.streams;
    for (let left = source.length('the count of what is pending'); left > 0; left--) {
      this.#readRawId();
      const timeMs = source.i64();
      const count = source.count('the count of deliveries');
      if (!groups.addUnowned(group, this.#id, timeMs, count))
        throw source.corrupt('Duplicated global PEL entry loading stream consumer group');
    }
  }

  #readConsumers(rdbType: number, group: Ref): void {
    const source = this.#source;
    const { groups } = this.#keyspace.structures.streams;
    let owned = 0;
    for (let left = source.length('the count of consumers'); left > 0; left--) {
      const view = this.#view;
      source.string(view);
      if (groups.findConsumer(group, view.bytes, view.position, view.length) !== NIL)
        throw source.corrupt('Duplicate stream consumer detected');
      const consumer = groups.addConsumer(group, view.bytes, view.position, view.length, 0);
      const seen = source.i64();
      groups.setSeen(consumer, seen);
      // Who was seen was active: older forms know no better.
      groups.setActive(consumer, rdbType >= RdbType.STREAM_LISTPACKS_3 ? source.i64() : seen);
      for (let ids = source.length('the count of what is pending'); ids > 0; ids--) {
        this.#readRawId();
        if (!groups.own(group, consumer, this.#id))
          throw source.corrupt('Consumer entry not found in group global PEL, or of two consumers');
        owned++;
      }
    }
    if (rdbType >= RdbType.STREAM_LISTPACKS_5) this.#refuseUnowned();
    if (owned !== groups.pendingCount(group)) throw source.corrupt('NACK without consumer found');
  }

  /** XNACK of Redis 8.8 takes a pending entry from its consumer and leaves it pending. */
  #refuseUnowned(): void {
    const source = this.#source;
    const count = source.length('the count of entries without a consumer');
    if (count === 0) return;
    throw new OperatingError(
      ErrorCode.UNSUPPORTED,
      `a group with ${count} pending entries of no consumer, at position ${source.position}`,
    );
  }

  /** The names by which producers' entries are known, so that none is added twice. */
  #skipProducers(): void {
    const source = this.#source;
    source.count('the duration of idempotency');
    source.count('the limit of names of a producer');
    const producers = source.length('the count of producers');
    for (let left = producers; left > 0; left--) {
      source.string(this.#view);
      for (let names = source.length('the count of names'); names > 0; names--) {
        source.string(this.#view);
        this.#readId(this.#id);
      }
    }
    source.count('the count of names added');
    source.count('the count of names met again');
    if (producers > 0) this.#skipped.note(SkippedName.IDEMPOTENCY);
  }

  #readRawId(): void {
    this.#source.plainBytes(ID_BYTES, this.#view);
    this.#id.fromBytes(this.#view.bytes, this.#view.position);
  }

  /** Reads an id of two lengths. */
  #readId(id: StreamId): void {
    const source = this.#source;
    if (source.readLength() < 0) throw source.corrupt('an id is no length');
    const { lengthHigh, lengthLow } = source;
    if (source.readLength() < 0) throw source.corrupt('an id is no length');
    id.set(lengthHigh | 0, lengthLow | 0, source.lengthHigh | 0, source.lengthLow | 0);
  }

  #readEntriesRead(): number {
    const source = this.#source;
    const count = source.count('the count of entries read');
    const isUnknown = source.lengthHigh === HIGH_ALL_ONES && source.lengthLow === HIGH_ALL_ONES;
    return isUnknown ? ENTRIES_READ_UNKNOWN : count;
  }
}
