/**
 * Writes strings of objects to a dump, for the writers of values. Runs on the thread of the
 * snapshot over an image, and on the main thread over the live arena. rewrite/command-writer.ts is
 * the same for a dataset that is written as commands.
 *
 *   staging area of the kernels' memory     start
 *                                           │ an object, or a string of it, or a piece of a string
 *
 * A string goes from the staging area to the sink in one kernel call. A string that is longer than
 * the area passes through it in pieces, and is not compressed: LZF needs the whole string and its
 * output in memory. The content of the staging area is stale after each call. The sink is settled
 * before and afterwards. Hot path.
 */

import { PAGE_WORDS } from '../arena/layout.ts';
import { assert } from '../base/assert.ts';
import { copyBytes } from '../base/byte-copy.ts';
import { type ByteKernels, RDB_STRING_ROOM_BYTES } from '../kernels/kernels.ts';
import type { Dialect } from './dialect.ts';
import type { ObjectReader } from './object-reader.ts';
import type { DumpSink } from './sink.ts';

/** Room in the sink for what comes beside a string: deadline, type, lengths. */
export const RECORD_ROOM_BYTES = 64;

/** Of a string that streams. */
const PIECE_WORDS = 65536;
/** The first of many bytes that are copied as a loop. */

export interface WriterOptions {
  readonly dialect: Dialect;
  readonly compress: boolean;
  /** The staging area in the kernels' memory, on a multiple of 8. */
  readonly stagingStart: number;
  readonly stagingBytes: number;
}

export class StringWriter {
  readonly reader: ObjectReader;
  readonly sink: DumpSink;
  readonly dialect: Dialect;
  /** The kernels' memory, and in it the staging area. */
  readonly words: Int32Array;
  readonly start: number;
  readonly firstWord: number;
  readonly stagingBytes: number;
  /** The score of a member stands before it. */
  readonly scoresFirst: boolean = false;
  readonly #kernels: ByteKernels;
  readonly #compress: boolean;

  constructor(reader: ObjectReader, kernels: ByteKernels, sink: DumpSink, options: WriterOptions) {
    const { stagingStart, stagingBytes } = options;
    assert(stagingStart % 8 === 0 && stagingBytes % 8 === 0, 'the staging area is aligned');
    assert(stagingBytes >= PAGE_WORDS * 4, 'the staging area holds a page');
    assert(
      sink.roomBytes >= stagingBytes + RDB_STRING_ROOM_BYTES + RECORD_ROOM_BYTES,
      'the sink has room for a staged string',
    );
    this.reader = reader;
    this.sink = sink;
    this.dialect = options.dialect;
    this.words = new Int32Array(kernels.memory.buffer);
    this.start = stagingStart;
    this.firstWord = stagingStart >>> 2;
    this.stagingBytes = stagingBytes;
    this.#kernels = kernels;
    this.#compress = options.compress;
  }

  /** Writes how many elements follow: members, fields with their values, nodes of a list. */
  count(elements: number): void {
    this.sink.length(elements);
  }

  /** Writes a score, given as the halves of a double. */
  score(low: number, high: number): void {
    const { sink } = this;
    sink.u32(low);
    sink.u32(high);
    sink.settle();
  }

  /** Writes a string that is in the staging area. */
  staged(position: number, bytes: number): void {
    const { sink } = this;
    sink.position += this.#kernels.rdbString(position, bytes, sink.position, this.#compress);
    sink.settle();
  }

  /** Writes `bytes` bytes of the object at `ref` from byte `from` on, as a string. */
  object(ref: number, from: number, bytes: number): void {
    const fromWord = from >>> 2;
    const skip = from & 3;
    if (skip + bytes <= this.stagingBytes) {
      this.reader.read(ref, fromWord, (skip + bytes + 3) >>> 2, this.words, this.firstWord);
      this.staged(this.start + skip, bytes);
      return;
    }
    this.sink.length(bytes);
    this.pieces(ref, fromWord, skip, bytes);
  }

  /** Writes bytes of any array as a string. */
  bytes(bytes: Uint8Array, start: number, length: number): void {
    const { sink } = this;
    if (length > this.stagingBytes) {
      sink.length(length);
      sink.raw(bytes.subarray(start, start + length));
      return;
    }
    const { memory } = sink;
    const at = this.start;
    copyBytes(bytes, start, memory, at, length);
    this.staged(at, length);
  }

  /** Writes bytes of an object as they are, from byte `skip` of word `fromWord` on. */
  pieces(ref: number, fromWord: number, skip: number, bytes: number): void {
    const { sink } = this;
    const pieceWords = Math.min(PIECE_WORDS, this.stagingBytes >>> 2);
    for (let left = skip + bytes; left > 0; ) {
      const words = Math.min(pieceWords, (left + 3) >>> 2);
      this.reader.read(ref, fromWord, words, this.words, this.firstWord);
      const end = Math.min(left, words << 2);
      sink.memory.copyWithin(sink.position, this.start + skip, this.start + end);
      sink.position += end - skip;
      sink.settle();
      left -= end;
      fromWord += words;
      skip = 0;
    }
  }
}
