/**
 * Hot path. An element that is about to be written into a listpack. It holds the encoding that
 * precedes the data, and refers to the data in the source array until {@link EncodedElement.write}.
 * For the thread that owns the arena.
 */
import { copyBytes } from '../base/byte-copy.ts';
import { KIB } from '../base/units.ts';
import type { ByteMover } from './byte-mover.ts';
import { Int64, parseInt64Halves } from './int64.ts';
import {
  ELEMENT_CODE_BYTES_MAX,
  encodeInteger,
  encodeStringHeader,
  writeBackLength,
} from './listpack-encode.ts';
import { backLengthBytes, ElementCode, SHORT_LENGTH_MASK } from './listpack-read.ts';

const NO_BYTES = new Uint8Array(0);
/** Longer arrays are not kept. This is the length of the buffer that all sockets are read into. */
const KEPT_BYTES_MAX = 128 * KIB;

export class EncodedElement {
  /** Bytes of the whole entry, its back length included. */
  entryBytes = 0;
  readonly #mover: ByteMover;
  readonly #code = new Uint8Array(ELEMENT_CODE_BYTES_MAX);
  #codeBytes = 0;
  #data: Uint8Array = NO_BYTES;
  #dataStart = 0;
  #dataBytes = 0;
  readonly #integer = new Int64();

  constructor(mover: ByteMover) {
    this.#mover = mover;
  }

  /** Takes these bytes. A canonical integer is encoded as an integer. */
  take(bytes: Uint8Array, start: number, length: number): void {
    const first = length > 0 ? bytes[start]! : 0;
    // An integer begins with a digit or a minus. The range also has `.` and `/`, which do not
    // parse.
    if (first <= 0x39 && first >= 0x2d && parseInt64Halves(bytes, start, length, this.#integer)) {
      this.takeInteger(this.#integer.high, this.#integer.low);
      return;
    }
    // A store of a reference costs more than a comparison, and mostly it is the same read buffer.
    if (this.#data !== bytes) this.#data = bytes;
    this.#dataStart = start;
    this.#dataBytes = length;
    if (length <= SHORT_LENGTH_MASK) {
      this.#code[0] = ElementCode.STRING_6 | length;
      this.#codeBytes = 1;
      this.entryBytes = length + 2;
      return;
    }
    this.#codeBytes = encodeStringHeader(this.#code, length);
    this.#measure();
  }

  /** Takes an integer, given as signed halves. */
  takeInteger(high: number, low: number): void {
    this.#codeBytes = encodeInteger(this.#code, high, low);
    this.#dataBytes = 0;
    this.#measure();
  }

  /** Returns whether the data lies in bytes [from, from + length) of `bytes`. */
  liesIn(bytes: Uint8Array, from: number, length: number): boolean {
    const at = this.#dataStart - from;
    return this.#data === bytes && at >= 0 && at < length;
  }

  /**
   * Writes the entry at a position of a segment, whose bytes are `u8`. The caller calls the write
   * barrier first.
   */
  write(u8: Uint8Array, segment: number, position: number): void {
    const code = this.#code;
    const codeBytes = this.#codeBytes;
    const dataBytes = this.#dataBytes;
    const encoded = codeBytes + dataBytes;
    u8[position] = code[0]!;
    for (let i = 1; i < codeBytes; i++) u8[position + i] = code[i]!;
    if (dataBytes <= SHORT_LENGTH_MASK) {
      copyBytes(this.#data, this.#dataStart, u8, position + codeBytes, dataBytes);
      u8[position + encoded] = encoded;
      return;
    }
    this.#mover.copyIn(this.#data, this.#dataStart, segment, position + codeBytes, dataBytes);
    writeBackLength(u8, position + encoded, encoded);
  }

  /** Drops the data if its array is too large to be kept alive by this object. */
  drop(): void {
    if (this.#data.length > KEPT_BYTES_MAX) this.#data = NO_BYTES;
  }

  /** Drops the data. */
  forget(): void {
    this.#data = NO_BYTES;
  }

  #measure(): void {
    const encoded = this.#codeBytes + this.#dataBytes;
    this.entryBytes = encoded + backLengthBytes(encoded);
  }
}
