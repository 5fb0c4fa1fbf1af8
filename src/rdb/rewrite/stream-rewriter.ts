/**
 * Writes the commands that make a stream again:
 *
 *   XADD of each entry, or of one that is trimmed at once when there is none
 *   XSETID          last id, entries added, greatest id that was deleted
 *   XGROUP CREATE   each group, with its last id and its count
 *   XGROUP CREATECONSUMER, or XCLAIM of each pending entry with its time and its count
 *
 * XCLAIM passes over an entry that is not there. So an entry that is deleted and still pending is
 * added in its place, claimed, and deleted at the end: by XTRIM before the first entry that is there,
 * since XDEL would change the greatest deleted id, which may be that of no entry. Behind it XDEL
 * deletes them, as it did, and a second XSETID tells the greatest that it had deleted. Redis leaves
 * such pending entries out.
 *
 * XSETID may have set the last id below some that were trimmed: beyond what XDEL has deleted, behind
 * the first entry, even behind the last id. Those come before all else: added, claimed in their
 * groups, and trimmed, which leaves no trace. XSETID of the empty stream makes room for the rest,
 * and XGROUP SETID completes their groups.
 *
 * What commands cannot tell is lost, as in Redis: when a consumer was last seen
 * and active.
 *
 * structs/stream-entries.ts and structs/stream-groups.ts draw the values. Runs on the thread of the
 * snapshot.
 */
import type { ElementView } from '../../structs/listpack-read.ts';
import { STREAM_WORDS, StreamWord } from '../../structs/stream-entries.ts';
import {
  ConsumerWord,
  DELIVERY_BYTES,
  DeliveryWord,
  GroupWord,
  NAMED_HEADER_BYTES,
  NAMED_HEADER_WORDS,
} from '../../structs/stream-groups.ts';
import { StreamId } from '../../structs/stream-id.ts';
import { StreamNode } from '../../structs/stream-node.ts';
import { IdTreeWalk } from '../id-tree-walk.ts';
import { ObjectCopy } from '../object-copy.ts';
import type { ObjectReader } from '../object-reader.ts';
import { type CommandWriter, ITEMS_MAX } from './command-writer.ts';

/** The arguments of XADD beside fields and values: its name, key and id. */
const XADD_ARGUMENTS = 3;

export class StreamRewriter {
  readonly #commands: CommandWriter;
  readonly #tree: IdTreeWalk;
  readonly #copy: ObjectCopy;
  readonly #node = new StreamNode();
  readonly #finder: EntryFinder;
  readonly #header = new Int32Array(STREAM_WORDS);
  readonly #headerDoubles = new Float64Array(this.#header.buffer);
  readonly #group = new Int32Array(NAMED_HEADER_WORDS);
  readonly #groupDoubles = new Float64Array(this.#group.buffer);
  readonly #consumer = new Int32Array(NAMED_HEADER_WORDS);
  readonly #delivery = new Int32Array(DELIVERY_BYTES / 4);
  readonly #deliveryDoubles = new Float64Array(this.#delivery.buffer);
  readonly #id = new StreamId();
  /** Of deleted entries that are pending, in order. */
  #gone: readonly StreamId[] = [];
  /** Those of them that were added so far. */
  #goneAdded = 0;
  /** The last id of the stream. */
  readonly #lastId = new StreamId();
  readonly #firstId = new StreamId();
  readonly #maxDeleted = new StreamId();
  /** Commands are written for pending entries that come first, and for nothing else. */
  #isBeyond = false;
  /** The pending entries that come first. The groups are made for them. */
  readonly #first = new Set<string>();

  constructor(commands: CommandWriter) {
    this.#commands = commands;
    this.#tree = new IdTreeWalk(commands.reader);
    this.#copy = new ObjectCopy(commands.reader);
    this.#finder = new EntryFinder(commands.reader);
  }

  /** Writes the commands of the stream at `value`. The writer has its key. */
  rewrite(value: number): void {
    const header = this.#header;
    this.#commands.reader.read(value, 0, STREAM_WORDS, header, 0);
    this.#lastId.fromWords(header, StreamWord.LAST_ID);
    this.#firstId.fromWords(header, StreamWord.FIRST_ID);
    this.#maxDeleted.fromWords(header, StreamWord.MAX_DELETED);
    const groups = header[StreamWord.GROUPS]!;
    this.#findGone(groups);
    this.#writeBeyond(groups);
    this.#addEntries();
    const gone = this.#gone.length;
    const added = this.#headerDoubles[StreamWord.ENTRIES_ADDED / 2]!;
    this.#setId(Math.max(added, header[StreamWord.LENGTH]! + gone));
    this.#tree.eachName(groups, (group) => this.#writeGroup(group));
    if (gone === 0) return;
    this.#deleteGone();
    this.#setId(added);
  }

  /** Lists the deleted entries that any group has still pending. */
  #findGone(groups: number): void {
    const { reader } = this.#commands;
    const found = new Map<string, StreamId>();
    this.#tree.eachName(groups, (ref) => {
      reader.read(ref, 0, NAMED_HEADER_WORDS, this.#group, 0);
      this.#finder.open(this.#header[StreamWord.NODES]!);
      this.#tree.walk(this.#group[GroupWord.PENDING]!, (id) => {
        if (this.#finder.has(id)) return;
        const gone = new StreamId();
        gone.copyFrom(id);
        found.set(gone.toString(), gone);
      });
    });
    this.#gone = [...found.values()].sort((a, b) => a.compare(b));
    this.#goneAdded = 0;
  }

  /** Whether neither XTRIM nor XDEL can delete this pending entry at the end. */
  #comesFirst(id: StreamId): boolean {
    if (id.compare(this.#lastId) > 0) return true;
    const isWithin = this.#header[StreamWord.LENGTH] !== 0 && id.compare(this.#firstId) > 0;
    return isWithin && id.compare(this.#maxDeleted) > 0;
  }

  /** Writes the pending entries that come first. */
  #writeBeyond(groups: number): void {
    const commands = this.#commands;
    const gone = this.#gone;
    const beyond = gone.filter((id) => this.#comesFirst(id));
    this.#first.clear();
    if (beyond.length === 0) return;
    for (const id of beyond) this.#first.add(id.toString());
    this.#gone = beyond;
    this.#id.setMax();
    this.#addGone(this.#id);
    this.#isBeyond = true;
    this.#tree.eachName(groups, (group) => this.#writeGroup(group));
    this.#isBeyond = false;
    commands.command(4, 'XTRIM');
    commands.key();
    commands.word('MAXLEN');
    commands.word('0');
    commands.command(3, 'XSETID');
    commands.key();
    commands.word('0-0');
    this.#gone = gone.filter((id) => !this.#comesFirst(id));
    this.#goneAdded = 0;
  }

  #addEntries(): void {
    const commands = this.#commands;
    const node = this.#node;
    this.#tree.walk(this.#header[StreamWord.NODES]!, (master, ref) => {
      this.#copy.readListpack(ref);
      node.open(this.#copy.bytes, 0, master);
      for (let isThere = node.readFirst(); isThere; isThere = node.readNext()) {
        if (node.isDeleted) continue;
        this.#addGone(node.id);
        commands.command(XADD_ARGUMENTS + 2 * node.fieldCount, 'XADD');
        commands.key();
        commands.id(node.id);
        for (let left = node.fieldCount; left > 0; left--) {
          node.nextField();
          this.#element(node.field);
          this.#element(node.value);
        }
      }
    });
    node.forget();
    this.#id.setMax();
    this.#addGone(this.#id);
    if (this.#header[StreamWord.LENGTH] !== 0 || this.#gone.length > 0) return;
    commands.command(7, 'XADD');
    commands.key();
    for (const word of ['MAXLEN', '0', '0-1', 'x', 'y']) commands.word(word);
  }

  #element(element: ElementView): void {
    this.#commands.bytes(element.bytes, element.position, element.length);
  }

  /** Adds the deleted entries up to `end`. */
  #addGone(end: StreamId): void {
    const commands = this.#commands;
    for (; this.#goneAdded < this.#gone.length; this.#goneAdded++) {
      const id = this.#gone[this.#goneAdded]!;
      if (id.compare(end) > 0) return;
      commands.command(XADD_ARGUMENTS + 2, 'XADD');
      commands.key();
      commands.id(id);
      commands.word('x');
      commands.word('y');
    }
  }

  #deleteGone(): void {
    const commands = this.#commands;
    const isEmpty = this.#header[StreamWord.LENGTH] === 0;
    this.#id.fromWords(this.#header, StreamWord.FIRST_ID);
    const within = this.#gone.filter((id) => !isEmpty && id.compare(this.#id) > 0);
    if (within.length < this.#gone.length) {
      commands.command(4, 'XTRIM');
      commands.key();
      commands.word(isEmpty ? 'MAXLEN' : 'MINID');
      if (isEmpty) commands.word('0');
      else commands.id(this.#id);
    }
    for (let from = 0; from < within.length; from += ITEMS_MAX) {
      const some = within.slice(from, from + ITEMS_MAX);
      commands.command(2 + some.length, 'XDEL');
      commands.key();
      for (const id of some) commands.id(id);
    }
  }

  #setId(entriesAdded: number): void {
    const commands = this.#commands;
    commands.command(7, 'XSETID');
    commands.key();
    this.#writeId(this.#header, StreamWord.LAST_ID);
    commands.word('ENTRIESADDED');
    commands.number(entriesAdded);
    commands.word('MAXDELETEDID');
    this.#writeId(this.#header, StreamWord.MAX_DELETED);
  }

  #writeGroup(ref: number): void {
    const commands = this.#commands;
    const group = this.#group;
    commands.reader.read(ref, 0, NAMED_HEADER_WORDS, group, 0);
    commands.command(7, 'XGROUP');
    commands.word(this.#first.size > 0 && !this.#isBeyond ? 'SETID' : 'CREATE');
    commands.key();
    this.#writeName(ref, group[GroupWord.NAME]!);
    this.#writeId(group, GroupWord.LAST_ID);
    commands.word('ENTRIESREAD');
    commands.number(this.#groupDoubles[GroupWord.ENTRIES_READ / 2]!);
    this.#tree.eachName(group[GroupWord.CONSUMERS]!, (consumer) =>
      this.#writeConsumer(ref, consumer),
    );
  }

  #writeConsumer(group: number, ref: number): void {
    const commands = this.#commands;
    const { reader } = commands;
    const groupBytes = this.#group[GroupWord.NAME]!;
    reader.read(ref, 0, NAMED_HEADER_WORDS, this.#consumer, 0);
    const nameBytes = this.#consumer[ConsumerWord.NAME]!;
    const pending = this.#consumer[ConsumerWord.PENDING]!;
    if (this.#tree.count(pending) === 0) {
      if (this.#isBeyond) return;
      commands.command(5, 'XGROUP');
      commands.word('CREATECONSUMER');
      commands.key();
      this.#writeName(group, groupBytes);
      this.#writeName(ref, nameBytes);
      return;
    }
    this.#tree.walk(pending, (id, delivery) => {
      if (this.#first.size > 0 && this.#first.has(id.toString()) !== this.#isBeyond) return;
      reader.read(delivery, 0, DELIVERY_BYTES / 4, this.#delivery, 0);
      commands.command(12, 'XCLAIM');
      commands.key();
      this.#writeName(group, groupBytes);
      this.#writeName(ref, nameBytes);
      commands.word('0');
      commands.id(id);
      commands.word('TIME');
      commands.number(this.#deliveryDoubles[DeliveryWord.TIME / 2]!);
      commands.word('RETRYCOUNT');
      commands.number(this.#deliveryDoubles[DeliveryWord.COUNT / 2]!);
      commands.word('JUSTID');
      commands.word('FORCE');
    });
  }

  /** Writes the name of a group or of a consumer. */
  #writeName(ref: number, bytes: number): void {
    this.#commands.object(ref, NAMED_HEADER_BYTES, bytes);
  }

  #writeId(words: Int32Array, word: number): void {
    this.#id.fromWords(words, word);
    this.#commands.id(this.#id);
  }
}

/** Tells which entries of a stream are there. Ids are asked for in ascending order. */
class EntryFinder {
  readonly #tree: IdTreeWalk;
  readonly #copy: ObjectCopy;
  readonly #node = new StreamNode();
  #nodes = 0;
  /** The node that is open; 0 for none. */
  #open = 0;
  /** The node has an entry where it was read last. */
  #isThere = false;

  constructor(reader: ObjectReader) {
    this.#tree = new IdTreeWalk(reader);
    this.#copy = new ObjectCopy(reader);
  }

  open(nodes: number): void {
    this.#nodes = nodes;
    this.#open = 0;
    this.#isThere = false;
  }

  has(id: StreamId): boolean {
    this.#skip(id);
    if (!this.#isThere) {
      const ref = this.#tree.floor(this.#nodes, id);
      if (ref === 0 || ref === this.#open) return false;
      this.#open = ref;
      this.#copy.readListpack(ref);
      this.#node.open(this.#copy.bytes, 0, this.#tree.id);
      this.#isThere = this.#node.readFirst();
      this.#skip(id);
    }
    return this.#isThere && this.#node.id.compare(id) === 0 && !this.#node.isDeleted;
  }

  /** Goes to the first entry that is not before `id`. */
  #skip(id: StreamId): void {
    const node = this.#node;
    while (this.#isThere && node.id.compare(id) < 0) this.#isThere = node.readNext();
  }
}
