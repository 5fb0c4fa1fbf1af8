/**
 * Hot path. Builds a listpack in its own memory, element by element. Loaders use it, because they
 * know the length only at the end, and then copy the listpack into the arena as a whole. The memory
 * is used again for the next listpack, unless it has grown unusually long.
 */
import { copyBytes, type ViewedBytes, withView } from '../base/byte-copy.ts';
import { Int64, parseInt64Halves } from './int64.ts';
import {
  ELEMENT_CODE_BYTES_MAX,
  encodeInteger,
  encodeStringHeader,
  writeBackLength,
  writeHeader,
} from './listpack-encode.ts';
import {
  backLengthBytes,
  ElementCode,
  LISTPACK_BYTES_MAX,
  LISTPACK_HEADER_BYTES,
  TERMINATOR,
} from './listpack-read.ts';

const FIRST_BYTES = 4096;
const KEPT_BYTES = 1 << 20;
const BACK_LENGTH_BYTES_MAX = 5;
const NOT_AN_INTEGER_FROM = 0x39;
const MINUS = 0x2d;

export class ListpackBuilder {
  /** The listpack is bytes[0, length) after {@link finish}; stale after the next {@link begin}. */
  bytes: ViewedBytes = withView(new Uint8Array(FIRST_BYTES));
  length = LISTPACK_HEADER_BYTES;
  count = 0;
  readonly #code = new Uint8Array(ELEMENT_CODE_BYTES_MAX);
  readonly #integer = new Int64();

  begin(): void {
    if (this.bytes.length > KEPT_BYTES) this.bytes = withView(new Uint8Array(FIRST_BYTES));
    this.length = LISTPACK_HEADER_BYTES;
    this.count = 0;
  }

  /**
   * Begins entries without a listpack around them. They are in bytes[0, length), for
   * {@link Listpack.insertEntries}.
   */
  beginEntries(): void {
    this.begin();
    this.length = 0;
  }

  /** Returns whether an element of `bytes` bytes fits within the limit of a listpack. */
  hasRoomFor(bytes: number): boolean {
    return (
      this.length + bytes + ELEMENT_CODE_BYTES_MAX + BACK_LENGTH_BYTES_MAX + 1 <= LISTPACK_BYTES_MAX
    );
  }

  /** Adds an element. There must be room. A canonical integer is stored as an integer. */
  append(bytes: Uint8Array, start: number, length: number): void {
    const first = length > 0 ? bytes[start]! : 0;
    if (first <= NOT_AN_INTEGER_FROM && first >= MINUS) {
      if (parseInt64Halves(bytes, start, length, this.#integer)) {
        this.appendInt64(this.#integer.high, this.#integer.low);
        return;
      }
    }
    const header = encodeStringHeader(this.#code, length);
    const at = this.#writeCode(header, length) + header;
    const to = this.bytes;
    copyBytes(bytes, start, to, at, length);
    writeBackLength(to, at + length, header + length);
  }

  /** Adds an integer, given as signed halves. There must be room. */
  appendInt64(high: number, low: number): void {
    // Most integers are small: one byte, followed by its back length of 1.
    if (
      high === 0 &&
      low >= 0 &&
      low < ElementCode.STRING_6 &&
      this.length + 3 <= this.bytes.length
    ) {
      this.bytes[this.length] = low;
      this.bytes[this.length + 1] = 1;
      this.length += 2;
      this.count++;
      return;
    }
    const encoded = encodeInteger(this.#code, high, low);
    const at = this.#writeCode(encoded, 0);
    writeBackLength(this.bytes, at + encoded, encoded);
  }

  /** Ends the listpack with its terminator and header. */
  finish(): void {
    const { bytes, count } = this;
    bytes[this.length++] = TERMINATOR;
    writeHeader(bytes, 0, this.length, count);
  }

  /**
   * Writes the code of the next element, whose data has `dataBytes` bytes, and counts the element.
   * Returns the position of the code.
   */
  #writeCode(codeBytes: number, dataBytes: number): number {
    const at = this.length;
    const encoded = codeBytes + dataBytes;
    const end = at + encoded + backLengthBytes(encoded);
    // The additional byte is for the terminator.
    if (end + 1 > this.bytes.length) this.#grow(end + 1);
    for (let i = 0; i < codeBytes; i++) this.bytes[at + i] = this.#code[i]!;
    this.length = end;
    this.count++;
    return at;
  }

  #grow(bytes: number): void {
    const grown = withView(new Uint8Array(Math.max(bytes, this.bytes.length * 2)));
    grown.set(this.bytes.subarray(0, this.length));
    this.bytes = grown;
  }
}
