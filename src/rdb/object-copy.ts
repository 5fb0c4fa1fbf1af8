/**
 * A copy of one object of the image. Writers need it to look into a blob, for example into a
 * listpack that a dialect without listpacks gets element by element. The memory of the copy is used
 * again. Memory for an unusually long object is freed.
 */
import type { ObjectReader } from './object-reader.ts';

const FIRST_WORDS = 4096;
const KEPT_WORDS = 1 << 18;

export class ObjectCopy {
  readonly #reader: ObjectReader;
  #words = new Int32Array(FIRST_WORDS);
  /** The bytes of the last read, from position 0 on. They are stale after the next read. */
  bytes = new Uint8Array(this.#words.buffer);

  constructor(reader: ObjectReader) {
    this.#reader = reader;
  }

  /** Copies the first `bytes` bytes of the object at `ref`. */
  read(ref: number, bytes: number): void {
    const words = (bytes + 3) >>> 2;
    if (words > this.#words.length) this.#resize(Math.max(words, this.#words.length * 2));
    else if (this.#words.length > KEPT_WORDS && words <= KEPT_WORDS) this.#resize(FIRST_WORDS);
    if (words > this.#words.length) this.#resize(words);
    this.#reader.read(ref, 0, words, this.#words, 0);
  }

  /** Copies the listpack at `ref`, whose first word tells its length. */
  readListpack(ref: number): void {
    this.#reader.read(ref, 0, 1, this.#words, 0);
    this.read(ref, this.#words[0]! >>> 0);
  }

  #resize(words: number): void {
    this.#words = new Int32Array(words);
    this.bytes = new Uint8Array(this.#words.buffer);
  }
}
