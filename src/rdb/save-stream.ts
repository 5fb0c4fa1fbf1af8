/**
 * Writes the values of streams to a dump: nodes as they are, ids and counts, then the groups.
 * structs/stream-entries.ts and structs/stream-groups.ts draw them. Trees are walked through the
 * reader, see id-tree-walk.ts.
 *
 *   nodes { id listpack }  length  last id  [first id  max deleted id  entries added]
 *   groups { name  last id  [entries read]  pending { id time count }
 *            consumers { name seen [active] pending { id } } }
 *
 * Type 19 brought the parts in brackets, and type 21 brought `active`.
 */
import { STREAM_WORDS, StreamWord } from '../structs/stream-entries.ts';
import {
  ConsumerWord,
  DELIVERY_BYTES,
  DeliveryWord,
  ENTRIES_READ_UNKNOWN,
  GroupWord,
  NAMED_HEADER_BYTES,
  NAMED_HEADER_WORDS,
} from '../structs/stream-groups.ts';
import { ID_BYTES, type StreamId } from '../structs/stream-id.ts';
import { IdTreeWalk } from './id-tree-walk.ts';
import { LENGTH_64_BIT, RdbType } from './opcodes.ts';
import type { StringWriter } from './string-writer.ts';

export class StreamSaver {
  readonly #strings: StringWriter;
  readonly #header = new Int32Array(STREAM_WORDS);
  readonly #headerDoubles = new Float64Array(this.#header.buffer);
  /** Of a group, and of a consumer of it. */
  readonly #group = new Int32Array(NAMED_HEADER_WORDS);
  readonly #groupDoubles = new Float64Array(this.#group.buffer);
  readonly #consumer = new Int32Array(NAMED_HEADER_WORDS);
  readonly #consumerDoubles = new Float64Array(this.#consumer.buffer);
  readonly #delivery = new Int32Array(DELIVERY_BYTES / 4);
  readonly #deliveryDoubles = new Float64Array(this.#delivery.buffer);
  readonly #tree: IdTreeWalk;
  readonly #two = new Int32Array(2);
  readonly #idBytes = new Uint8Array(ID_BYTES);

  constructor(strings: StringWriter) {
    this.#strings = strings;
    this.#tree = new IdTreeWalk(strings.reader);
  }

  /** Writes what follows the key of a stream whose type byte was `rdbType`. */
  save(rdbType: RdbType, value: number): void {
    const { reader, sink } = this.#strings;
    const header = this.#header;
    reader.read(value, 0, STREAM_WORDS, header, 0);
    const nodes = header[StreamWord.NODES]!;
    sink.length(this.#tree.count(nodes));
    this.#tree.walk(nodes, (id, node) => {
      id.toBytes(this.#idBytes, 0);
      this.#strings.bytes(this.#idBytes, 0, ID_BYTES);
      reader.read(node, 0, 1, this.#two, 0);
      this.#strings.object(node, 0, this.#two[0]! >>> 0);
    });
    sink.length(header[StreamWord.LENGTH]!);
    this.#saveId(header, StreamWord.LAST_ID);
    if (rdbType !== RdbType.STREAM_LISTPACKS) {
      this.#saveId(header, StreamWord.FIRST_ID);
      this.#saveId(header, StreamWord.MAX_DELETED);
      sink.length(this.#headerDoubles[StreamWord.ENTRIES_ADDED / 2]!);
    }
    this.#eachName(header[StreamWord.GROUPS]!, (group) => this.#saveGroup(rdbType, group));
  }

  #saveGroup(rdbType: RdbType, ref: number): void {
    const strings = this.#strings;
    const { reader, sink } = strings;
    const group = this.#group;
    reader.read(ref, 0, NAMED_HEADER_WORDS, group, 0);
    strings.object(ref, NAMED_HEADER_BYTES, group[GroupWord.NAME]!);
    this.#saveId(group, GroupWord.LAST_ID);
    if (rdbType !== RdbType.STREAM_LISTPACKS) {
      const read = this.#groupDoubles[GroupWord.ENTRIES_READ / 2]!;
      if (read === ENTRIES_READ_UNKNOWN) this.#length64(-1, -1);
      else sink.length(read);
    }
    const pending = group[GroupWord.PENDING]!;
    sink.length(this.#tree.count(pending));
    this.#tree.walk(pending, (id, delivery) => {
      this.#saveRawId(id);
      reader.read(delivery, 0, DELIVERY_BYTES / 4, this.#delivery, 0);
      sink.i64(this.#deliveryDoubles[DeliveryWord.TIME / 2]!);
      sink.length(this.#deliveryDoubles[DeliveryWord.COUNT / 2]!);
      sink.settle();
    });
    this.#eachName(group[GroupWord.CONSUMERS]!, (consumer) =>
      this.#saveConsumer(rdbType, consumer),
    );
  }

  #saveConsumer(rdbType: RdbType, ref: number): void {
    const strings = this.#strings;
    const { reader, sink } = strings;
    const consumer = this.#consumer;
    reader.read(ref, 0, NAMED_HEADER_WORDS, consumer, 0);
    strings.object(ref, NAMED_HEADER_BYTES, consumer[ConsumerWord.NAME]!);
    sink.i64(this.#consumerDoubles[ConsumerWord.SEEN / 2]!);
    if (rdbType === RdbType.STREAM_LISTPACKS_3)
      sink.i64(this.#consumerDoubles[ConsumerWord.ACTIVE / 2]!);
    const pending = consumer[ConsumerWord.PENDING]!;
    sink.length(this.#tree.count(pending));
    this.#tree.walk(pending, (id) => {
      this.#saveRawId(id);
      sink.settle();
    });
  }

  /** Writes the count of a list, and calls `save` for each of its objects. */
  #eachName(list: number, save: (ref: number) => void): void {
    this.#strings.sink.length(this.#tree.nameCount(list));
    this.#tree.eachName(list, save);
  }

  #saveRawId(id: StreamId): void {
    const { sink } = this.#strings;
    id.toBytes(sink.memory, sink.position);
    sink.position += ID_BYTES;
  }

  /** Writes an id as two lengths. */
  #saveId(words: Int32Array, word: number): void {
    this.#length64(words[word]!, words[word + 1]!);
    this.#length64(words[word + 2]!, words[word + 3]!);
    this.#strings.sink.settle();
  }

  #length64(high: number, low: number): void {
    const { sink } = this.#strings;
    if (high === 0) {
      sink.length(low >>> 0);
      return;
    }
    sink.byte(LENGTH_64_BIT);
    for (let shift = 24; shift >= 0; shift -= 8) sink.byte(high >>> shift);
    for (let shift = 24; shift >= 0; shift -= 8) sink.byte(low >>> shift);
  }
}
