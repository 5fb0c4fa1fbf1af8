/**
 * Writes commands of a dataset: the requests that make it again, as multibulks. It takes what the
 * savers of collections write to a dump, element after element, and makes commands of up to
 * ITEMS_MAX elements of it, as Redis does:
 *
 *   collection('HMSET', 2) · count(70) · field · value · …      what the saver calls
 *   *130 HMSET key field value …  *14 HMSET key field value …   what is written
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
  /** Elements that no command has begun to write yet. */
  #itemsLeft = 0;
  /** Arguments that the present command of a collection still takes. */
  #argumentsLeft = 0;
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
    this.#argument();
    this.#doubleWords[0] = low;
    this.#doubleWords[1] = high;
    this.word(formatDouble(this.#double[0]!));
  }

  override staged(position: number, bytes: number): void {
    this.#argument();
    const { sink } = this;
    this.#header(Token.BULK, bytes);
    copyBytes(sink.memory, position, sink.memory, sink.position, bytes);
    sink.position += bytes;
    this.#lineEnd();
  }

  override object(ref: number, from: number, bytes: number): void {
    const fromWord = from >>> 2;
    const skip = from & 3;
    if (skip + bytes <= this.stagingBytes) {
      this.reader.read(ref, fromWord, (skip + bytes + 3) >>> 2, this.words, this.firstWord);
      this.staged(this.start + skip, bytes);
      return;
    }
    this.#argument();
    this.#header(Token.BULK, bytes);
    this.pieces(ref, fromWord, skip, bytes);
    this.#lineEnd();
  }

  override bytes(bytes: Uint8Array, start: number, length: number): void {
    this.#argument();
    const { sink } = this;
    this.#header(Token.BULK, length);
    if (length > this.stagingBytes) sink.raw(bytes.subarray(start, start + length));
    else {
      copyBytes(bytes, start, sink.memory, sink.position, length);
      sink.position += length;
    }
    this.#lineEnd();
  }

  /** Begins the next command of a collection when the one before is full. */
  #argument(): void {
    if (this.#argumentsLeft === 0) {
      if (this.#itemsLeft === 0) return;
      const items = Math.min(this.#itemsLeft, ITEMS_MAX);
      this.#itemsLeft -= items;
      this.#argumentsLeft = items * this.#argumentsPerItem;
      this.command(2 + this.#argumentsLeft, this.#name);
      this.key();
    }
    this.#argumentsLeft--;
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
