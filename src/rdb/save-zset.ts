/**
 * Writes the values of sorted sets to a dump. A listpack is written as it is where the dialect
 * knows it. Elsewhere each member is written with its score as a binary double. A large set is
 * walked along the leaves of its index, the highest score first, as Redis does.
 * structs/sorted-index-nodes.ts draws a leaf, sorted-set-member.ts a member. Hot path.
 */
import { PAGE_WORDS, wordPosition } from '../arena/layout.ts';
import { Encoding } from '../keyspace/entry.ts';
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
import {
  CHILDREN_WORD,
  INDEX_BYTES,
  IndexWord,
  LEAF_MEMBERS_WORD,
  NODE_BYTES,
  NodeWord,
  SCORES_WORD,
} from '../structs/sorted-index-nodes.ts';
import { readScore } from '../structs/sorted-listpack.ts';
import { MEMBER_HEADER_BYTES, MEMBER_LENGTH_WORD } from '../structs/sorted-set-member.ts';
import { ObjectCopy } from './object-copy.ts';
import { RdbType } from './opcodes.ts';
import type { StringWriter } from './string-writer.ts';

const NODE_WORDS = NODE_BYTES / 4;
const HEADER_WORDS = MEMBER_HEADER_BYTES / 4;
const GUESS_WORDS_MAX = 512;

export class SortedSetSaver {
  readonly #strings: StringWriter;
  readonly #copy: ObjectCopy;
  readonly #element = new ElementView();
  readonly #score = new ElementView();
  readonly #text = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);
  readonly #header = new Int32Array(INDEX_BYTES / 4);
  readonly #node = new Int32Array(NODE_WORDS);
  /** A score, and the two words of it. */
  readonly #double = new Float64Array(1);
  readonly #doubleWords = new Uint32Array(this.#double.buffer);
  /** Words of a member that are read at first: as many as the one before had. */
  #guess = 8;

  constructor(strings: StringWriter) {
    this.#strings = strings;
    this.#copy = new ObjectCopy(strings.reader);
  }

  /** Writes what follows the key of a sorted set whose type byte was `rdbType`. */
  save(rdbType: RdbType, encoding: Encoding, value: number): void {
    if (encoding === Encoding.SKIPLIST) this.#saveIndex(value);
    else this.#saveListpack(rdbType, value);
  }

  #saveListpack(rdbType: RdbType, value: number): void {
    const strings = this.#strings;
    if (rdbType === RdbType.ZSET_LISTPACK) {
      strings.reader.read(value, 0, 1, this.#header, 0);
      strings.object(value, 0, this.#header[0]! >>> 0);
      return;
    }
    this.#copy.readListpack(value);
    const { bytes } = this.#copy;
    strings.count(countEntries(bytes, 0) / 2);
    for (let at = LISTPACK_HEADER_BYTES; bytes[at] !== TERMINATOR; ) {
      readElement(bytes, at, this.#element);
      elementToBytes(this.#element, this.#text);
      at = behindEntry(bytes, at);
      this.#double[0] = readScore(bytes, at, this.#score);
      if (strings.scoresFirst) strings.score(this.#doubleWords[0]!, this.#doubleWords[1]!);
      strings.bytes(this.#element.bytes, this.#element.position, this.#element.length);
      if (!strings.scoresFirst) strings.score(this.#doubleWords[0]!, this.#doubleWords[1]!);
      at = behindEntry(bytes, at);
    }
  }

  #saveIndex(value: number): void {
    const strings = this.#strings;
    const { reader } = strings;
    const node = this.#node;
    reader.read(value, 0, INDEX_BYTES / 4, this.#header, 0);
    strings.count(this.#header[IndexWord.COUNT]!);
    reader.read(this.#header[IndexWord.ROOT]!, 0, NODE_WORDS, node, 0);
    for (let level = this.#header[IndexWord.HEIGHT]!; level > 0; level--) {
      const last = node[NodeWord.COUNT]! - 1;
      reader.read(node[CHILDREN_WORD + last]!, 0, NODE_WORDS, node, 0);
    }
    for (;;) {
      for (let place = node[NodeWord.COUNT]! - 1; place >= 0; place--) {
        const score = SCORES_WORD + 2 * place;
        if (strings.scoresFirst) strings.score(node[score]!, node[score + 1]!);
        this.#saveMember(node[LEAF_MEMBERS_WORD + place]!);
        if (!strings.scoresFirst) strings.score(node[score]!, node[score + 1]!);
      }
      const previous = node[NodeWord.PREVIOUS]!;
      if (previous === 0) return;
      reader.read(previous, 0, NODE_WORDS, node, 0);
    }
  }

  #saveMember(member: number): void {
    const strings = this.#strings;
    const { words, firstWord, start } = strings;
    // The read stays within the page, since the next page may be no part of the image. The header
    // may reach into the next page.
    const onPage = PAGE_WORDS - (wordPosition(member) & (PAGE_WORDS - 1));
    const have = Math.max(HEADER_WORDS, Math.min(this.#guess, onPage));
    strings.reader.read(member, 0, have, words, firstWord);
    const bytes = words[firstWord + MEMBER_LENGTH_WORD]!;
    const need = (MEMBER_HEADER_BYTES + bytes + 3) >>> 2;
    if (need << 2 > strings.stagingBytes) {
      strings.object(member, MEMBER_HEADER_BYTES, bytes);
      return;
    }
    if (need > have) strings.reader.read(member, have, need - have, words, firstWord + have);
    this.#guess = Math.min(Math.max(need, HEADER_WORDS), GUESS_WORDS_MAX);
    strings.staged(start + MEMBER_HEADER_BYTES, bytes);
  }
}
