/**
 * Writes one entry of a keyspace as a record of a dump: deadline, type, key, value. Runs on the
 * thread of the snapshot over an image, and on the main thread over the live arena. Strings are
 * written here. A saver per type writes other values.
 *
 *   staging area (string-writer.ts)     the entry: header, key, value of a string in place
 *
 * The length of the entry before is the guess for the next one. An entry within the guess is read
 * at once. Hot path.
 */
import { PAGE_WORDS, wordPosition } from '../arena/layout.ts';
import { unreachable } from '../base/assert.ts';
import type { ByteKernels } from '../kernels/kernels.ts';
import {
  ENTRY_BYTES,
  ENTRY_WITH_DEADLINE_BYTES,
  Encoding,
  EntryWord,
  metaEncoding,
  metaHeaderBytes,
  metaType,
  NO_SLOT,
  STRING_HEADER_BYTES,
  ValueType,
} from '../keyspace/entry.ts';
import { rdbTypeOf } from './dialect.ts';
import type { ObjectReader } from './object-reader.ts';
import { Opcode, type RdbType } from './opcodes.ts';
import { HashSaver } from './save-hash.ts';
import { ListSaver } from './save-list.ts';
import { SetSaver } from './save-set.ts';
import { StreamSaver } from './save-stream.ts';
import { SortedSetSaver } from './save-zset.ts';
import type { DumpSink } from './sink.ts';
import { StringWriter, type WriterOptions } from './string-writer.ts';

const HEADER_WORDS_MAX = ENTRY_WITH_DEADLINE_BYTES / 4;
const GUESS_WORDS_MAX = 512;

export class ValueWriter {
  readonly #reader: ObjectReader;
  readonly #sink: DumpSink;
  readonly #strings: StringWriter;
  readonly #lists: ListSaver;
  readonly #hashes: HashSaver;
  readonly #sets: SetSaver;
  readonly #sortedSets: SortedSetSaver;
  readonly #streams: StreamSaver;
  readonly #doubles: Float64Array;
  /** Words read at first: as many as the entry before had. */
  #guess = 32;
  // The results of #readEntry.
  #meta = 0;
  #deadline = -1;
  #keyBytes = 0;
  #value = 0;
  /** Whether key and, for a string in place, value are in the staging area. */
  #staged = false;

  constructor(reader: ObjectReader, kernels: ByteKernels, sink: DumpSink, options: WriterOptions) {
    this.#reader = reader;
    this.#sink = sink;
    this.#strings = new StringWriter(reader, kernels, sink, options);
    this.#lists = new ListSaver(this.#strings);
    this.#hashes = new HashSaver(this.#strings);
    this.#sets = new SetSaver(this.#strings);
    this.#sortedSets = new SortedSetSaver(this.#strings);
    this.#streams = new StreamSaver(this.#strings);
    this.#doubles = new Float64Array(kernels.memory.buffer);
  }

  /** Writes the whole record of `entry`. The sink is settled, and is so afterwards. */
  saveEntry(entry: number): void {
    this.#readEntry(entry);
    const sink = this.#sink;
    if (this.#deadline >= 0) {
      sink.byte(Opcode.EXPIRETIME_MS);
      sink.i64(this.#deadline);
    }
    const type = this.#writeType();
    const header = metaHeaderBytes(this.#meta);
    if (this.#staged) this.#strings.staged(this.#strings.start + header, this.#keyBytes);
    else this.#strings.object(entry, header, this.#keyBytes);
    this.#writeValue(entry, type);
  }

  /** Writes the type byte and the value of `entry` alone, as DUMP does. */
  saveValue(entry: number): void {
    this.#readEntry(entry);
    this.#writeValue(entry, this.#writeType());
  }

  #writeType(): RdbType {
    const type = rdbTypeOf(metaType(this.#meta), metaEncoding(this.#meta), this.#strings.dialect);
    this.#sink.byte(type);
    return type;
  }

  #writeValue(entry: number, rdbType: RdbType): void {
    const type = metaType(this.#meta);
    switch (type) {
      case ValueType.STRING:
        this.#writeString(entry);
        return;
      case ValueType.LIST:
        this.#lists.save(rdbType, metaEncoding(this.#meta), this.#value);
        return;
      case ValueType.HASH:
        this.#hashes.save(rdbType, metaEncoding(this.#meta), this.#value);
        return;
      case ValueType.SET:
        this.#sets.save(rdbType, metaEncoding(this.#meta), this.#value);
        return;
      case ValueType.ZSET:
        this.#sortedSets.save(rdbType, metaEncoding(this.#meta), this.#value);
        return;
      case ValueType.STREAM:
        this.#streams.save(rdbType, this.#value);
        return;
      default:
        unreachable(type);
    }
  }

  #writeString(entry: number): void {
    const strings = this.#strings;
    if (metaEncoding(this.#meta) === Encoding.RAW_APART) {
      const block = this.#value;
      this.#reader.read(block, 0, 1, strings.words, strings.firstWord);
      strings.object(block, STRING_HEADER_BYTES, strings.words[strings.firstWord]!);
      return;
    }
    const from = metaHeaderBytes(this.#meta) + this.#keyBytes;
    if (this.#staged) strings.staged(strings.start + from, this.#value);
    else strings.object(entry, from, this.#value);
  }

  /** Brings the entry to the staging area, its header at least, and takes the header apart. */
  #readEntry(entry: number): void {
    const reader = this.#reader;
    const { words, firstWord: first, stagingBytes } = this.#strings;
    // The read stays within the page, since the next page may be no part of the image. Two words
    // are there in any case, since objects start on 8 bytes.
    let have = Math.min(this.#guess, PAGE_WORDS - (wordPosition(entry) & (PAGE_WORDS - 1)));
    reader.read(entry, 0, have, words, first);
    const meta = words[first]!;
    const header = metaHeaderBytes(meta);
    if (have < header >>> 2) {
      reader.read(entry, have, (header >>> 2) - have, words, first + have);
      have = header >>> 2;
    }
    const keyBytes = words[first + EntryWord.KEY]!;
    const value = words[first + EntryWord.VALUE]!;
    const inPlace =
      metaType(meta) === ValueType.STRING && metaEncoding(meta) !== Encoding.RAW_APART;
    const need = (header + keyBytes + (inPlace ? value : 0) + 3) >>> 2;
    const staged = need << 2 <= stagingBytes;
    if (staged) {
      if (need > have) reader.read(entry, have, need - have, words, first + have);
      this.#guess = Math.min(Math.max(need, HEADER_WORDS_MAX), GUESS_WORDS_MAX);
    }
    this.#meta = meta;
    this.#keyBytes = keyBytes;
    this.#value = value;
    this.#staged = staged;
    this.#deadline =
      header !== ENTRY_BYTES && words[first + EntryWord.SLOT] !== NO_SLOT
        ? this.#doubles[(first + EntryWord.DEADLINE) >>> 1]!
        : -1;
  }
}
