/**
 * One entry of a keyspace as a record of a dump: deadline, type, key, value. On the thread of the snapshot over an
 * image, on the main thread over the live arena.
 *
 *   staging area of the kernels' memory     stagingStart
 *                                           │ the entry: header, key, value of a string in place
 *                                           │ afterwards: the string apart, or a piece of it
 *
 * An entry is read in one go where the guess of its length, that of the entry before, is long enough. Strings go from
 * the staging area to the sink in one kernel call. One that does not fit the staging area streams through it in
 * pieces, and is not compressed then: LZF needs the whole string and its output in memory.
 * Hot path.
 */
import { PAGE_WORDS, wordPosition } from '../arena/layout.ts';
import { assert } from '../base/assert.ts';
import { type ByteKernels, RDB_STRING_ROOM_BYTES } from '../kernels/kernels.ts';
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
import { type Dialect, rdbTypeOf } from './dialect.ts';
import type { ObjectReader } from './object-reader.ts';
import { Opcode } from './opcodes.ts';
import type { DumpSink } from './sink.ts';

/** Room in the sink for what comes beside a string: deadline, type, lengths. */
export const RECORD_ROOM_BYTES = 64;

const HEADER_WORDS_MAX = ENTRY_WITH_DEADLINE_BYTES / 4;
const GUESS_WORDS_MAX = 512;
/** Of a string that streams. */
const PIECE_WORDS = 65536;

export interface WriterOptions {
  readonly dialect: Dialect;
  readonly compress: boolean;
  /** The staging area in the kernels' memory, on a multiple of 8. */
  readonly stagingStart: number;
  readonly stagingBytes: number;
}

export class ValueWriter {
  readonly #reader: ObjectReader;
  readonly #kernels: ByteKernels;
  readonly #sink: DumpSink;
  readonly #dialect: Dialect;
  readonly #compress: boolean;
  readonly #words: Int32Array;
  readonly #doubles: Float64Array;
  readonly #start: number;
  readonly #firstWord: number;
  readonly #stagingBytes: number;
  /** Words read at first: as many as the entry before had. */
  #guess = 32;
  // What #readEntry found.
  #meta = 0;
  #deadline = -1;
  #keyBytes = 0;
  #value = 0;
  /** Whether key and, for a string in place, value are in the staging area. */
  #staged = false;

  constructor(reader: ObjectReader, kernels: ByteKernels, sink: DumpSink, options: WriterOptions) {
    const { stagingStart, stagingBytes } = options;
    assert(stagingStart % 8 === 0 && stagingBytes % 8 === 0, 'the staging area is aligned');
    assert(stagingBytes >= PAGE_WORDS * 4, 'the staging area holds a page');
    assert(
      sink.roomBytes >= stagingBytes + RDB_STRING_ROOM_BYTES + RECORD_ROOM_BYTES,
      'the sink has room for a staged string',
    );
    this.#reader = reader;
    this.#kernels = kernels;
    this.#sink = sink;
    this.#dialect = options.dialect;
    this.#compress = options.compress;
    this.#words = new Int32Array(kernels.memory.buffer);
    this.#doubles = new Float64Array(kernels.memory.buffer);
    this.#start = stagingStart;
    this.#firstWord = stagingStart >>> 2;
    this.#stagingBytes = stagingBytes;
  }

  /** Writes the whole record of `entry`. The sink is settled, and is so afterwards. */
  saveEntry(entry: number): void {
    this.#readEntry(entry);
    const sink = this.#sink;
    if (this.#deadline >= 0) {
      sink.byte(Opcode.EXPIRETIME_MS);
      sink.i64(this.#deadline);
    }
    this.#writeType();
    const header = metaHeaderBytes(this.#meta);
    if (this.#staged) this.#writeStaged(this.#start + header, this.#keyBytes);
    else this.saveString(entry, header, this.#keyBytes);
    this.#writeValue(entry);
  }

  /** Writes the type byte and the value of `entry` alone, as DUMP does. */
  saveValue(entry: number): void {
    this.#readEntry(entry);
    this.#writeType();
    this.#writeValue(entry);
  }

  /** Writes `bytes` bytes of the object at `ref` from byte `from` on, as a string. Overwrites the staging area. */
  saveString(ref: number, from: number, bytes: number): void {
    const fromWord = from >>> 2;
    const skip = from & 3;
    if (skip + bytes <= this.#stagingBytes) {
      this.#reader.read(ref, fromWord, (skip + bytes + 3) >>> 2, this.#words, this.#firstWord);
      this.#writeStaged(this.#start + skip, bytes);
      return;
    }
    this.#sink.length(bytes);
    this.#stream(ref, fromWord, skip, bytes);
  }

  /** Writes a string that is in the staging area. */
  #writeStaged(position: number, bytes: number): void {
    const sink = this.#sink;
    sink.position += this.#kernels.rdbString(position, bytes, sink.position, this.#compress);
    sink.settle();
  }

  #stream(ref: number, fromWord: number, skip: number, bytes: number): void {
    const { memory } = this.#sink;
    const pieceWords = Math.min(PIECE_WORDS, this.#stagingBytes >>> 2);
    for (let left = skip + bytes; left > 0; ) {
      const words = Math.min(pieceWords, (left + 3) >>> 2);
      this.#reader.read(ref, fromWord, words, this.#words, this.#firstWord);
      const end = Math.min(left, words << 2);
      memory.copyWithin(this.#sink.position, this.#start + skip, this.#start + end);
      this.#sink.position += end - skip;
      this.#sink.settle();
      left -= end;
      fromWord += words;
      skip = 0;
    }
  }

  #writeType(): void {
    const type = metaType(this.#meta);
    this.#sink.byte(rdbTypeOf(type, metaEncoding(this.#meta), this.#dialect));
  }

  #writeValue(entry: number): void {
    assert(metaType(this.#meta) === ValueType.STRING, 'a value is of a type that dumps carry');
    if (metaEncoding(this.#meta) === Encoding.RAW_APART) {
      const block = this.#value;
      this.#reader.read(block, 0, 1, this.#words, this.#firstWord);
      this.saveString(block, STRING_HEADER_BYTES, this.#words[this.#firstWord]!);
      return;
    }
    const from = metaHeaderBytes(this.#meta) + this.#keyBytes;
    if (this.#staged) this.#writeStaged(this.#start + from, this.#value);
    else this.saveString(entry, from, this.#value);
  }

  /** Brings the entry to the staging area, its header at least, and takes the header apart. */
  #readEntry(entry: number): void {
    const reader = this.#reader;
    const words = this.#words;
    const first = this.#firstWord;
    // Not past the page: the next one may be no part of the image. Two words are there, objects start on 8 bytes.
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
    const inPlace = metaType(meta) === ValueType.STRING && metaEncoding(meta) !== Encoding.RAW_APART;
    const need = (header + keyBytes + (inPlace ? value : 0) + 3) >>> 2;
    const staged = need << 2 <= this.#stagingBytes;
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
