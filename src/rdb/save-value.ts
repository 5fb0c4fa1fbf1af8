/**
 * Writes one entry of a keyspace as a record of a dump: deadline, type, key, value. Runs on the
 * thread of the snapshot over an image, and on the main thread over the live arena. Strings are
 * written here. A saver per type writes other values. Hot path.
 */
import { unreachable } from '../base/assert.ts';
import type { ByteKernels } from '../kernels/kernels.ts';
import { metaEncoding, metaType, ValueType } from '../keyspace/entry.ts';
import { rdbTypeOf } from './dialect.ts';
import { EntryHead } from './entry-head.ts';
import type { ObjectReader } from './object-reader.ts';
import { Opcode, type RdbType } from './opcodes.ts';
import { HashSaver } from './save-hash.ts';
import { ListSaver } from './save-list.ts';
import { SetSaver } from './save-set.ts';
import { StreamSaver } from './save-stream.ts';
import { SortedSetSaver } from './save-zset.ts';
import type { DumpSink } from './sink.ts';
import { StringWriter, type WriterOptions } from './string-writer.ts';

export class ValueWriter {
  readonly #sink: DumpSink;
  readonly #strings: StringWriter;
  readonly #head: EntryHead;
  readonly #lists: ListSaver;
  readonly #hashes: HashSaver;
  readonly #sets: SetSaver;
  readonly #sortedSets: SortedSetSaver;
  readonly #streams: StreamSaver;

  constructor(reader: ObjectReader, kernels: ByteKernels, sink: DumpSink, options: WriterOptions) {
    this.#sink = sink;
    this.#strings = new StringWriter(reader, kernels, sink, options);
    this.#head = new EntryHead(this.#strings);
    this.#lists = new ListSaver(this.#strings);
    this.#hashes = new HashSaver(this.#strings);
    this.#sets = new SetSaver(this.#strings);
    this.#sortedSets = new SortedSetSaver(this.#strings);
    this.#streams = new StreamSaver(this.#strings);
  }

  /** Writes the whole record of `entry`. The sink is settled, and is so afterwards. */
  saveEntry(entry: number): void {
    const head = this.#head;
    head.read(entry);
    const sink = this.#sink;
    if (head.deadline >= 0) {
      sink.byte(Opcode.EXPIRETIME_MS);
      sink.i64(head.deadline);
    }
    const type = this.#writeType();
    head.writeKey(entry);
    this.#writeValue(entry, type);
  }

  /** Writes the type byte and the value of `entry` alone, as DUMP does. */
  saveValue(entry: number): void {
    this.#head.read(entry);
    this.#writeValue(entry, this.#writeType());
  }

  #writeType(): RdbType {
    const { meta } = this.#head;
    const type = rdbTypeOf(metaType(meta), metaEncoding(meta), this.#strings.dialect);
    this.#sink.byte(type);
    return type;
  }

  #writeValue(entry: number, rdbType: RdbType): void {
    const { meta, value } = this.#head;
    const type = metaType(meta);
    switch (type) {
      case ValueType.STRING:
        this.#head.writeString(entry);
        return;
      case ValueType.LIST:
        this.#lists.save(rdbType, metaEncoding(meta), value);
        return;
      case ValueType.HASH:
        this.#hashes.save(rdbType, metaEncoding(meta), value);
        return;
      case ValueType.SET:
        this.#sets.save(rdbType, metaEncoding(meta), value);
        return;
      case ValueType.ZSET:
        this.#sortedSets.save(rdbType, metaEncoding(meta), value);
        return;
      case ValueType.STREAM:
        this.#streams.save(rdbType, value);
        return;
      default:
        unreachable(type);
    }
  }
}
