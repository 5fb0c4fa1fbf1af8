/**
 * Writes commands of a dataset: the requests that make it again, as multibulks. It takes what the
 * savers of collections write to a dump, element after element, and makes commands of up to
 * ITEMS_MAX elements of it, as Redis does:
 *
 *   collection('HMSET', 2) · count(70) · field · value · …      what the saver calls
 *   *130 HMSET key field value …  *14 HMSET key field value …   what is written
 *
 * The elements of a command are gathered first, in BATCH_BYTES. What does not fit ends the command
 * early, and a long element gets one of its own. So no command is longer than a reader takes.
 *
 * The key is kept here, since the staging area is used again for each element. The sink is settled
 * before and after each call. Hot path.
 */

import { copyBytes } from '../../base/byte-copy.ts';
import { formatDouble, writeDecimal } from '../../base/bytes.ts';
import { KIB } from '../../base/units.ts';
import type { ByteKernels } from '../../kernels/kernels.ts';
import { CR, LF, Token } from '../../resp/tokens.ts';
import { ID_TEXT_BYTES_MAX, type StreamId } from '../../structs/stream-id.ts';
import type { Dialect } from '../dialect.ts';
import type { ObjectReader } from '../object-reader.ts';
import type { DumpSink } from '../sink.ts';
import { StringWriter } from '../string-writer.ts';

/** Elements of a command, as AOF_REWRITE_ITEMS_PER_CMD of Redis. */
export const ITEMS_MAX = 64;

/** Savers write element after element then. */
const ELEMENTS: Dialect = { version: 9, plainTypes: true };
/** What the elements of one command take at most, unless it has a single one. */
const BATCH_BYTES = 256 * KIB;
/** What stands around an argument: token, length, two line ends. */
const BULK_ROOM_BYTES = 16;
/** A longer key is not kept behind its entry. */
const KEY_BYTES_KEPT = 64 * KIB;

export interface CommandWriterOptions {
  /** The staging area in the kernels' memory, on a multiple of 8. */
  readonly stagingStart: number;
  readonly stagingBytes: number;
}

export class CommandWriter extends StringWriter {
  override readonly scoresFirst = true;
  #key = new Uint8Array(KEY_BYTES_KEPT);
  #keyBytes = 0;
  #name = '';
  #argumentsPerItem = 1;
  /** Elements of the collection that have not been taken whole yet; 0 outside of a collection. */
  #itemsLeft = 0;
  /** Arguments of the present element so far. */
  #itemArguments = 0;
  /** The present element has a command of its own, which is being written. */
  #isAlone = false;
  readonly #batch = new Uint8Array(BATCH_BYTES);
  #batchBytes = 0;
  /** Whole elements in the batch, and their bytes. */
  #batchItems = 0;
  #wholeBytes = 0;
  readonly #text = new Uint8Array(ID_TEXT_BYTES_MAX);
  readonly #double = new Float64Array(1);
  readonly #doubleWords = new Int32Array(this.#double.buffer);

  constructor(
    reader: ObjectReader,
    kernels: ByteKernels,
    sink: DumpSink,
    { stagingStart, stagingBytes }: CommandWriterOptions,
  ) {
    super(reader, kernels, sink, {
      dialect: ELEMENTS,
      compress: false,
      stagingStart,
      stagingBytes,
    });
  }

  /** Takes `length` bytes of an array as the key of the next commands. */
  takeKey(bytes: Uint8Array, start: number, length: number): void {
    const isLong = this.#key.length > KEY_BYTES_KEPT;
    if (length > this.#key.length || (isLong && length <= KEY_BYTES_KEPT))
      this.#key = new Uint8Array(Math.max(length, KEY_BYTES_KEPT));
    copyBytes(bytes, start, this.#key, 0, length);
    this.#keyBytes = length;
  }

  /** Begins a command of `count` arguments, its name among them. */
  command(count: number, name: string): void {
    this.#header(Token.ARRAY, count);
    this.#ascii(name);
  }

  /** Writes the key as an argument. */
  key(): void {
    const { sink } = this;
    this.#header(Token.BULK, this.#keyBytes);
    sink.raw(this.#key.subarray(0, this.#keyBytes));
    this.#lineEnd();
  }

  word(text: string): void {
    this.#ascii(text);
    this.sink.settle();
  }

  /** Writes an integer as an argument. */
  number(value: number): void {
    this.word(String(value));
  }

  id(id: StreamId): void {
    this.bytes(this.#text, 0, id.write(this.#text, 0));
  }

  /**
   * The elements that follow are those of a collection: its count and then so many elements, each
   * of `argumentsPerItem` arguments, go to commands `name`.
   */
  collection(name: string, argumentsPerItem: number): void {
    this.#name = name;
    this.#argumentsPerItem = argumentsPerItem;
  }

  override count(elements: number): void {
    this.#itemsLeft = elements;
  }

  override score(low: number, high: number): void {
    this.#doubleWords[0] = low;
    this.#doubleWords[1] = high;
    const text = formatDouble(this.#double[0]!);
    for (let i = 0; i < text.length; i++) this.#text[i] = text.charCodeAt(i);
    this.bytes(this.#text, 0, text.length);
  }

  override staged(position: number, bytes: number): void {
    this.bytes(this.sink.memory, position, bytes);
  }

  override object(ref: number, from: number, bytes: number): void {
    const fromWord = from >>> 2;
    const skip = from & 3;
    if (skip + bytes <= this.stagingBytes) {
      this.reader.read(ref, fromWord, (skip + bytes + 3) >>> 2, this.words, this.firstWord);
      this.staged(this.start + skip, bytes);
      return;
    }
    this.#fitsBatch(bytes);
    this.#header(Token.BULK, bytes);
    this.pieces(ref, fromWord, skip, bytes);
    this.#lineEnd();
    this.#argumentEnds();
  }

  override bytes(bytes: Uint8Array, start: number, length: number): void {
    if (this.#fitsBatch(length)) {
      this.#gather(bytes, start, length);
    } else {
      const { sink } = this;
      this.#header(Token.BULK, length);
      if (length > this.stagingBytes) sink.raw(bytes.subarray(start, start + length));
      else {
        copyBytes(bytes, start, sink.memory, sink.position, length);
        sink.position += length;
      }
      this.#lineEnd();
    }
    this.#argumentEnds();
  }

  /**
   * Whether an argument of `length` bytes goes to the batch. Makes room for it there, or begins the
   * command that the present element has alone.
   */
  #fitsBatch(length: number): boolean {
    if (this.#itemsLeft === 0 || this.#isAlone) return false;
    const needed = length + BULK_ROOM_BYTES;
    if (this.#batchBytes + needed <= BATCH_BYTES) return true;
    this.#writeBatch();
    if (this.#batchBytes + needed <= BATCH_BYTES) return true;
    this.command(2 + this.#argumentsPerItem, this.#name);
    this.key();
    this.sink.raw(this.#batch.subarray(0, this.#batchBytes));
    this.#batchBytes = 0;
    this.#isAlone = true;
    return false;
  }

  #gather(bytes: Uint8Array, start: number, length: number): void {
    const batch = this.#batch;
    batch[this.#batchBytes] = Token.BULK;
    let at = writeDecimal(batch, this.#batchBytes + 1, length);
    batch[at++] = CR;
    batch[at++] = LF;
    copyBytes(bytes, start, batch, at, length);
    at += length;
    batch[at++] = CR;
    batch[at++] = LF;
    this.#batchBytes = at;
  }

  #argumentEnds(): void {
    if (this.#itemsLeft === 0 || ++this.#itemArguments < this.#argumentsPerItem) return;
    this.#itemArguments = 0;
    this.#itemsLeft--;
    if (this.#isAlone) {
      this.#isAlone = false;
      return;
    }
    this.#wholeBytes = this.#batchBytes;
    if (++this.#batchItems === ITEMS_MAX || this.#itemsLeft === 0) this.#writeBatch();
  }

  /** Writes the command of the whole elements; a part of one more stays. */
  #writeBatch(): void {
    if (this.#batchItems === 0) return;
    this.command(2 + this.#batchItems * this.#argumentsPerItem, this.#name);
    this.key();
    this.sink.raw(this.#batch.subarray(0, this.#wholeBytes));
    this.#batch.copyWithin(0, this.#wholeBytes, this.#batchBytes);
    this.#batchBytes -= this.#wholeBytes;
    this.#batchItems = 0;
    this.#wholeBytes = 0;
  }

  #header(token: number, count: number): void {
    const { sink } = this;
    const { memory } = sink;
    memory[sink.position] = token;
    const at = writeDecimal(memory, sink.position + 1, count);
    memory[at] = CR;
    memory[at + 1] = LF;
    sink.position = at + 2;
  }

  /** Writes a short text as an argument; the sink is not settled. */
  #ascii(text: string): void {
    const { sink } = this;
    this.#header(Token.BULK, text.length);
    for (let i = 0; i < text.length; i++) sink.memory[sink.position++] = text.charCodeAt(i);
    sink.memory[sink.position++] = CR;
    sink.memory[sink.position++] = LF;
  }

  #lineEnd(): void {
    const { sink } = this;
    sink.memory[sink.position++] = CR;
    sink.memory[sink.position++] = LF;
    sink.settle();
  }
}
