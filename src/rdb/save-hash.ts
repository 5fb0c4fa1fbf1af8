/**
 * Writes the values of hashes to a dump. A listpack is written as it is where the dialect knows it,
 * and field after field elsewhere. A large hash is walked through the image, bucket by bucket.
 * structs/field-table.ts draws a field. Hot path.
 */
import { PAGE_WORDS, wordPosition } from '../arena/layout.ts';
import { Encoding } from '../keyspace/entry.ts';
import { FIELD_HEADER_BYTES, FieldWord } from '../structs/field-table.ts';
import { TABLE_BYTES, TableWord } from '../structs/hash-table.ts';
import {
  behindEntry,
  countEntries,
  ELEMENT_TEXT_BYTES_MAX,
  ElementView,
  elementToBytes,
  LISTPACK_HEADER_BYTES,
  readElement,
  TERMINATOR,
} from '../structs/listpack-read.ts';
import { TableWalk } from './image-walk.ts';
import { ObjectCopy } from './object-copy.ts';
import { RdbType } from './opcodes.ts';
import type { StringWriter } from './string-writer.ts';

const GUESS_WORDS_MAX = 512;
const HEADER_WORDS = FIELD_HEADER_BYTES / 4;

export class HashSaver {
  readonly #strings: StringWriter;
  readonly #walk: TableWalk;
  readonly #copy: ObjectCopy;
  readonly #element = new ElementView();
  readonly #text = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);
  readonly #header = new Int32Array(TABLE_BYTES / 4);
  readonly #visitor = {
    entry: (field: number) => this.#saveField(field),
    progress: () => undefined,
  };
  /** Words of a field that are read at first: as many as the one before had. */
  #guess = 16;

  constructor(strings: StringWriter) {
    this.#strings = strings;
    this.#walk = new TableWalk(strings.reader);
    this.#copy = new ObjectCopy(strings.reader);
  }

  /** Writes what follows the key of a hash whose type byte was `rdbType`. */
  save(rdbType: RdbType, encoding: Encoding, value: number): void {
    const { reader } = this.#strings;
    if (encoding === Encoding.HASHTABLE) {
      reader.read(value, 0, TABLE_BYTES / 4, this.#header, 0);
      this.#strings.count(this.#header[TableWord.COUNT]!);
      this.#walk.walk(value, this.#visitor);
      return;
    }
    if (rdbType === RdbType.HASH_LISTPACK) {
      reader.read(value, 0, 1, this.#header, 0);
      this.#strings.object(value, 0, this.#header[0]! >>> 0);
      return;
    }
    this.#copy.readListpack(value);
    const { bytes } = this.#copy;
    this.#strings.count(countEntries(bytes, 0) / 2);
    for (let at = LISTPACK_HEADER_BYTES; bytes[at] !== TERMINATOR; at = behindEntry(bytes, at)) {
      readElement(bytes, at, this.#element);
      elementToBytes(this.#element, this.#text);
      this.#strings.bytes(this.#element.bytes, this.#element.position, this.#element.length);
    }
  }

  #saveField(field: number): void {
    const strings = this.#strings;
    const { words, firstWord, start } = strings;
    // The read stays within the page, since the next page may be no part of the image.
    const have = Math.min(this.#guess, PAGE_WORDS - (wordPosition(field) & (PAGE_WORDS - 1)));
    strings.reader.read(field, 0, have, words, firstWord);
    const fieldBytes = words[firstWord + FieldWord.FIELD]!;
    const valueBytes = words[firstWord + FieldWord.VALUE]!;
    const need = (FIELD_HEADER_BYTES + fieldBytes + valueBytes + 3) >>> 2;
    if (need << 2 > strings.stagingBytes) {
      strings.object(field, FIELD_HEADER_BYTES, fieldBytes);
      strings.object(field, FIELD_HEADER_BYTES + fieldBytes, valueBytes);
      return;
    }
    if (need > have) strings.reader.read(field, have, need - have, words, firstWord + have);
    this.#guess = Math.min(Math.max(need, HEADER_WORDS), GUESS_WORDS_MAX);
    strings.staged(start + FIELD_HEADER_BYTES, fieldBytes);
    strings.staged(start + FIELD_HEADER_BYTES + fieldBytes, valueBytes);
  }
}
