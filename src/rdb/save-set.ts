/**
 * Writes the values of sets to a dump. A listpack or an intset is written as it is where the
 * dialect knows it, and member after member elsewhere. A large set is walked through the image,
 * bucket by bucket. structs/member-table.ts draws a member. Hot path.
 */
import { PAGE_WORDS, wordPosition } from '../arena/layout.ts';
import { Encoding } from '../keyspace/entry.ts';
import { TABLE_BYTES, TableWord } from '../structs/hash-table.ts';
import { Int64 } from '../structs/int64.ts';
import {
  INTSET_HEADER_BYTES,
  intsetBytes,
  intsetCount,
  readInteger,
} from '../structs/intset-read.ts';
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
import { MemberWord, SET_MEMBER_HEADER_BYTES } from '../structs/member-table.ts';
import { TableWalk } from './image-walk.ts';
import { ObjectCopy } from './object-copy.ts';
import { RdbType } from './opcodes.ts';
import type { StringWriter } from './string-writer.ts';

const GUESS_WORDS_MAX = 512;

export class SetSaver {
  readonly #strings: StringWriter;
  readonly #walk: TableWalk;
  readonly #copy: ObjectCopy;
  readonly #element = new ElementView();
  readonly #integer = new Int64();
  readonly #text = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);
  readonly #header = new Int32Array(TABLE_BYTES / 4);
  readonly #visitor = {
    entry: (member: number) => this.#saveMember(member),
    progress: () => undefined,
  };
  /** Words of a member that are read at first: as many as the one before had. */
  #guess = 8;

  constructor(strings: StringWriter) {
    this.#strings = strings;
    this.#walk = new TableWalk(strings.reader);
    this.#copy = new ObjectCopy(strings.reader);
  }

  /** Writes what follows the key of a set whose type byte was `rdbType`. */
  save(rdbType: RdbType, encoding: Encoding, value: number): void {
    if (encoding === Encoding.HASHTABLE) this.#saveTable(value);
    else if (encoding === Encoding.INTSET) this.#saveIntset(rdbType, value);
    else this.#saveListpack(rdbType, value);
  }

  #saveTable(value: number): void {
    const { reader } = this.#strings;
    reader.read(value, 0, TABLE_BYTES / 4, this.#header, 0);
    this.#strings.count(this.#header[TableWord.COUNT]!);
    this.#walk.walk(value, this.#visitor);
  }

  #saveIntset(rdbType: RdbType, value: number): void {
    const copy = this.#copy;
    copy.read(value, INTSET_HEADER_BYTES);
    const bytes = intsetBytes(copy.bytes, 0);
    if (rdbType === RdbType.SET_INTSET) {
      this.#strings.object(value, 0, bytes);
      return;
    }
    copy.read(value, bytes);
    const count = intsetCount(copy.bytes, 0);
    this.#strings.count(count);
    const element = this.#element;
    for (let i = 0; i < count; i++) {
      readInteger(copy.bytes, 0, i, this.#integer);
      element.isInteger = true;
      element.high = this.#integer.high;
      element.low = this.#integer.low;
      elementToBytes(element, this.#text);
      this.#strings.bytes(element.bytes, element.position, element.length);
    }
  }

  #saveListpack(rdbType: RdbType, value: number): void {
    const { reader } = this.#strings;
    if (rdbType === RdbType.SET_LISTPACK) {
      reader.read(value, 0, 1, this.#header, 0);
      this.#strings.object(value, 0, this.#header[0]! >>> 0);
      return;
    }
    this.#copy.readListpack(value);
    const { bytes } = this.#copy;
    this.#strings.count(countEntries(bytes, 0));
    for (let at = LISTPACK_HEADER_BYTES; bytes[at] !== TERMINATOR; at = behindEntry(bytes, at)) {
      readElement(bytes, at, this.#element);
      elementToBytes(this.#element, this.#text);
      this.#strings.bytes(this.#element.bytes, this.#element.position, this.#element.length);
    }
  }

  #saveMember(member: number): void {
    const strings = this.#strings;
    const { words, firstWord, start } = strings;
    // The read stays within the page, since the next page may be no part of the image.
    const have = Math.min(this.#guess, PAGE_WORDS - (wordPosition(member) & (PAGE_WORDS - 1)));
    strings.reader.read(member, 0, have, words, firstWord);
    const length = words[firstWord + MemberWord.LENGTH]!;
    const need = (SET_MEMBER_HEADER_BYTES + length + 3) >>> 2;
    if (need << 2 > strings.stagingBytes) {
      strings.object(member, SET_MEMBER_HEADER_BYTES, length);
      return;
    }
    if (need > have) strings.reader.read(member, have, need - have, words, firstWord + have);
    this.#guess = Math.min(need, GUESS_WORDS_MAX);
    strings.staged(start + SET_MEMBER_HEADER_BYTES, length);
  }
}
