/**
 * Reads the elements of the dump format from a feed, whose bytes are not trusted.
 *
 *   kernels' memory   windowStart   at               end              windowStart + windowBytes
 *                     │ consumed    │ bytes to come  │ free           │ one decompressed string │
 *
 * When the window runs short, the consumed part goes into the checksum. The rest moves to the
 * front, and the feed fills the free part. A string that is longer than the window gets memory of
 * its own: at once when the feed has that many bytes for certain, and as they arrive otherwise. So
 * the dump pays with bytes for all memory that it gets. LZF is the exception: it expands at most 88
 * times.
 *
 * SHORT means that the feed ends inside an element. CORRUPT means that an element contradicts the
 * format. Both messages name the position. Views of strings are stale after the next read. Hot
 * path.
 */
import { assert } from '../base/assert.ts';
import { writeDecimal } from '../base/bytes.ts';
import { ErrorCode, OperatingError } from '../base/errors.ts';
import { INT64_DOUBLE_MAX, MIB } from '../base/units.ts';
import { ByteKernels, KERNELS_FREE_START } from '../kernels/kernels.ts';
import type { BytesView } from '../keyspace/entry.ts';
import type { ByteFeed } from './feed.ts';
import { LENGTH_32_BIT, LENGTH_64_BIT, SPECIAL_STRING, StringForm } from './opcodes.ts';

/** The longest string that is read. It is a little less than an object of the arena holds. */
export const STRING_BYTES_MAX = 1024 * MIB - 4096;
/** A match of three bytes stands for at most 264. */
const LZF_EXPANSION_MAX = 88;
/** The first memory of a long string while the length of the dump is unknown. */
const LONG_STRING_FIRST_BYTES = 4 * MIB;
const TWO_POW_32 = 0x1_0000_0000;
const DECIMAL_BYTES_MAX = 16;

export interface SourceOptions {
  readonly windowBytes: number;
  /** Longest string that is decompressed without memory of its own. */
  readonly unpackedBytes: number;
}

/** The areas for dumps. Memory that is not used costs nothing. */
export const DUMP_SOURCE: SourceOptions = { windowBytes: 2 * MIB, unpackedBytes: 2 * MIB };

/** Kernels with the memory that a source over them needs. */
export function sourceKernels({ windowBytes, unpackedBytes }: SourceOptions): ByteKernels {
  return new ByteKernels(KERNELS_FREE_START + windowBytes + unpackedBytes);
}

export class DumpSource {
  /** The result of {@link readLength} in two unsigned halves, since some lengths are 64-bit ids. */
  lengthHigh = 0;
  lengthLow = 0;
  readonly #feed: ByteFeed;
  readonly #kernels: ByteKernels;
  readonly #memory: Uint8Array;
  readonly #windowBytes: number;
  readonly #unpackedStart: number;
  readonly #unpackedBytes: number;
  readonly #decimal = new Uint8Array(DECIMAL_BYTES_MAX);
  readonly #double = new DataView(new ArrayBuffer(8));
  #at = KERNELS_FREE_START;
  #end = KERNELS_FREE_START;
  /** Position in the feed of the window's start. */
  #base = 0;
  /** Up to here the checksum has seen the window. */
  #summed = KERNELS_FREE_START;

  /**
   * `kernels` come from {@link sourceKernels} with the same options. Nothing else may use them
   * while this source reads.
   */
  constructor(feed: ByteFeed, kernels: ByteKernels, options: SourceOptions) {
    const { windowBytes, unpackedBytes } = options;
    assert(
      KERNELS_FREE_START + windowBytes + unpackedBytes <= kernels.memory.length,
      'the areas of a source lie in the memory of its kernels',
    );
    this.#feed = feed;
    this.#kernels = kernels;
    this.#memory = kernels.memory;
    this.#windowBytes = windowBytes;
    this.#unpackedStart = KERNELS_FREE_START + windowBytes;
    this.#unpackedBytes = unpackedBytes;
    kernels.crcReset();
  }

  /** Bytes consumed so far. */
  get position(): number {
    return this.#base + this.#at - KERNELS_FREE_START;
  }

  /** Makes the checksum of the kernels that of all bytes consumed so far. */
  sum(): void {
    this.#kernels.crcUpdate(this.#summed, this.#at - this.#summed);
    this.#summed = this.#at;
  }

  u8(): number {
    if (this.#at === this.#end) this.#fill(1);
    return this.#memory[this.#at++]!;
  }

  /** Little-endian, unsigned. */
  u32(): number {
    if (this.#end - this.#at < 4) this.#fill(4);
    const memory = this.#memory;
    const at = this.#at;
    this.#at = at + 4;
    return (
      (memory[at]! | (memory[at + 1]! << 8) | (memory[at + 2]! << 16) | (memory[at + 3]! << 24)) >>>
      0
    );
  }

  /** A signed 64-bit integer, little-endian, as the nearest double. */
  i64(): number {
    const low = this.u32();
    return (this.u32() | 0) * TWO_POW_32 + low;
  }

  /** An IEEE double, little-endian. */
  f64(): number {
    this.#double.setUint32(0, this.u32(), true);
    this.#double.setUint32(4, this.u32(), true);
    return this.#double.getFloat64(0, true);
  }

  /** A length, up to 2^53; `what` names it for the message when it is none. */
  length(what: string): number {
    const length = this.readLength();
    if (length < 0) throw this.corrupt(`${what} is no length`);
    if (length > Number.MAX_SAFE_INTEGER) throw this.corrupt(`${what} is beyond 2^53`);
    return length;
  }

  /**
   * A count that clients may set to any 64-bit integer, as the nearest double; `what` names it for
   * the message when it is none. It is {@link INT64_DOUBLE_MAX} at most, as commands keep it: a
   * redis-server counts on below zero, and a dump of it must be readable.
   */
  count(what: string): number {
    const count = this.readLength();
    if (count < 0) throw this.corrupt(`${what} is no length`);
    return Math.min(count, INT64_DOUBLE_MAX);
  }

  /**
   * Returns a length as a double, and its halves in `lengthHigh` and `lengthLow`. Returns -1 - form
   * for a special string.
   */
  readLength(): number {
    const first = this.u8();
    this.lengthHigh = 0;
    if (first < 0x40) {
      this.lengthLow = first;
      return first;
    }
    if (first < 0x80) {
      this.lengthLow = ((first & 0x3f) << 8) | this.u8();
      return this.lengthLow;
    }
    if (first >= SPECIAL_STRING) return -1 - (first & 0x3f);
    if (first === LENGTH_32_BIT) {
      this.lengthLow = this.#bigEndian32();
      return this.lengthLow;
    }
    if (first !== LENGTH_64_BIT) throw this.corrupt(`unknown length encoding ${first}`);
    this.lengthHigh = this.#bigEndian32();
    this.lengthLow = this.#bigEndian32();
    return this.lengthHigh * TWO_POW_32 + this.lengthLow;
  }

  /** Reads a string in any form and points `view` at its bytes. */
  string(view: BytesView): void {
    const length = this.readLength();
    if (length < 0) {
      this.#specialString(-1 - length, view);
      return;
    }
    this.plainBytes(length, view);
  }

  /** Points `view` at the next `length` bytes. */
  plainBytes(length: number, view: BytesView): void {
    if (length > this.#windowBytes) {
      view.bytes = this.#longString(length);
      view.position = 0;
    } else {
      if (this.#end - this.#at < length) this.#fill(length);
      view.bytes = this.#memory;
      view.position = this.#at;
      this.#at += length;
    }
    view.length = length;
  }

  skip(bytes: number): void {
    this.#claim(bytes);
    for (let left = bytes; left > 0; ) {
      if (this.#at === this.#end) this.#fill(1);
      const count = Math.min(left, this.#end - this.#at);
      this.#at += count;
      left -= count;
    }
  }

  corrupt(message: string): OperatingError {
    return new OperatingError(ErrorCode.CORRUPT, `${message}, at position ${this.position}`);
  }

  #specialString(form: number, view: BytesView): void {
    if (form === StringForm.LZF) {
      this.#compressedString(view);
      return;
    }
    if (form > StringForm.LZF) throw this.corrupt(`Unknown RDB string encoding type ${form}`);
    let value = this.u8();
    if (form === StringForm.INT8) value = (value << 24) >> 24;
    else if (form === StringForm.INT16) value = ((value | (this.u8() << 8)) << 16) >> 16;
    else value |= (this.u8() << 8) | (this.u8() << 16) | (this.u8() << 24);
    view.bytes = this.#decimal;
    view.position = 0;
    view.length = writeDecimal(this.#decimal, 0, value);
  }

  #compressedString(view: BytesView): void {
    const packed = this.length('the length of a compressed string');
    const length = this.length('the length of a decompressed string');
    if (length > packed * LZF_EXPANSION_MAX)
      throw this.corrupt(`${packed} compressed bytes cannot stand for ${length}`);
    this.#bound(length);
    this.plainBytes(packed, view);
    if (view.bytes === this.#memory && length <= this.#unpackedBytes) {
      const unpacked = this.#kernels.lzfDecompress(
        view.position,
        packed,
        this.#unpackedStart,
        length,
      );
      if (unpacked < 0) throw this.corrupt('invalid LZF compressed string');
      view.position = this.#unpackedStart;
    } else {
      this.#unpackApart(view, packed, length);
    }
    view.length = length;
  }

  /**
   * Decompresses a long string with kernels of its own, since the memory of kernels does not grow.
   */
  #unpackApart(view: BytesView, packed: number, length: number): void {
    const start = KERNELS_FREE_START;
    const kernels = this.#allocate(length, () => new ByteKernels(start + packed + length));
    kernels.memory.set(view.bytes.subarray(view.position, view.position + packed), start);
    if (kernels.lzfDecompress(start, packed, start + packed, length) < 0)
      throw this.corrupt('invalid LZF compressed string');
    view.bytes = kernels.memory;
    view.position = start + packed;
  }

  #longString(length: number): Uint8Array {
    this.#claim(length);
    this.#bound(length);
    const first = this.#feed.totalBytes >= 0 ? length : Math.min(length, LONG_STRING_FIRST_BYTES);
    let bytes = this.#allocate(first, () => new Uint8Array(first));
    for (let filled = 0; filled < length; ) {
      if (this.#at === this.#end) this.#fill(1);
      const count = Math.min(length - filled, this.#end - this.#at);
      if (filled + count > bytes.length) {
        const longer = Math.min(length, bytes.length * 2);
        const grown = this.#allocate(longer, () => new Uint8Array(longer));
        grown.set(bytes);
        bytes = grown;
      }
      bytes.set(this.#memory.subarray(this.#at, this.#at + count), filled);
      this.#at += count;
      filled += count;
    }
    return bytes;
  }

  #allocate<T>(bytes: number, make: () => T): T {
    try {
      return make();
    } catch (error) {
      // RangeError is what V8 throws when the system refuses the memory.
      if (!(error instanceof RangeError)) throw error;
      throw new OperatingError(
        ErrorCode.ARENA_FULL,
        `no memory for a string of ${bytes} bytes, at position ${this.position}`,
      );
    }
  }

  #bound(length: number): void {
    if (length <= STRING_BYTES_MAX) return;
    throw new OperatingError(
      ErrorCode.UNSUPPORTED,
      `a string of ${length} bytes, at position ${this.position}`,
    );
  }

  /** Holds a length against what the feed still has. */
  #claim(bytes: number): void {
    const total = this.#feed.totalBytes;
    if (total >= 0 && bytes > total - this.position) throw this.#short(bytes);
  }

  #short(bytes: number): OperatingError {
    return new OperatingError(
      ErrorCode.SHORT,
      `Unexpected end of the dump: ${bytes} more bytes were announced, at position ${this.position}`,
    );
  }

  #bigEndian32(): number {
    if (this.#end - this.#at < 4) this.#fill(4);
    const memory = this.#memory;
    const at = this.#at;
    this.#at = at + 4;
    return (
      ((memory[at]! << 24) | (memory[at + 1]! << 16) | (memory[at + 2]! << 8) | memory[at + 3]!) >>>
      0
    );
  }

  /** Brings at least `bytes` bytes, no more than the window, to the front of the window. */
  #fill(bytes: number): void {
    this.#claim(bytes);
    this.sum();
    const start = KERNELS_FREE_START;
    this.#memory.copyWithin(start, this.#at, this.#end);
    this.#base += this.#at - start;
    this.#end -= this.#at - start;
    this.#at = start;
    this.#summed = start;
    while (this.#end - start < bytes) {
      const free = this.#windowBytes - (this.#end - start);
      const count = this.#feed.read(this.#memory, this.#end, free);
      if (count === 0) throw this.#short(bytes);
      this.#end += count;
    }
  }
}
