/**
 * Reads the head of an entry, for those who write entries: type, deadline, key, and the value of a
 * string in place. Runs on the thread of the snapshot over an image, and on the main thread over
 * the live arena.
 *
 *   staging area (string-writer.ts)     the entry: header, key, value of a string in place
 *
 * The length of the entry before is the guess for the next one. An entry within the guess is read
 * at once. Hot path.
 */
import { PAGE_WORDS, wordPosition } from '../arena/layout.ts';
import {
  ENTRY_BYTES,
  ENTRY_WITH_DEADLINE_BYTES,
  Encoding,
  EntryWord,
  metaEncoding,
  metaHeaderBytes,
  metaType,
  NO_SLOT,
  STRING_HEADER_BYTES,
  ValueType,
} from '../keyspace/entry.ts';
import type { StringWriter } from './string-writer.ts';

const HEADER_WORDS_MAX = ENTRY_WITH_DEADLINE_BYTES / 4;
const GUESS_WORDS_MAX = 512;

export class EntryHead {
  meta = 0;
  /** ms since 1970; -1 without a deadline. */
  deadline = -1;
  keyBytes = 0;
  /** The word VALUE of the entry. */
  value = 0;
  /** Whether key and, for a string in place, value are in the staging area. */
  staged = false;
  readonly #strings: StringWriter;
  readonly #doubles: Float64Array;
  /** Words read at first: as many as the entry before had. */
  #guess = 32;

  constructor(strings: StringWriter) {
    this.#strings = strings;
    this.#doubles = new Float64Array(strings.words.buffer);
  }

  /** Brings `entry` to the staging area, its header at least, and takes the header apart. */
  read(entry: number): void {
    const { words, firstWord: first, stagingBytes, reader } = this.#strings;
    // The read stays within the page, since the next page may be no part of the image. Two words
    // are there in any case, since objects start on 8 bytes.
    let have = Math.min(this.#guess, PAGE_WORDS - (wordPosition(entry) & (PAGE_WORDS - 1)));
    reader.read(entry, 0, have, words, first);
    const meta = words[first]!;
    const header = metaHeaderBytes(meta);
    if (have < header >>> 2) {
      reader.read(entry, have, (header >>> 2) - have, words, first + have);
      have = header >>> 2;
    }
    const keyBytes = words[first + EntryWord.KEY]!;
    const value = words[first + EntryWord.VALUE]!;
    const inPlace =
      metaType(meta) === ValueType.STRING && metaEncoding(meta) !== Encoding.RAW_APART;
    const need = (header + keyBytes + (inPlace ? value : 0) + 3) >>> 2;
    const staged = need << 2 <= stagingBytes;
    if (staged) {
      if (need > have) reader.read(entry, have, need - have, words, first + have);
      this.#guess = Math.min(Math.max(need, HEADER_WORDS_MAX), GUESS_WORDS_MAX);
    }
    this.meta = meta;
    this.keyBytes = keyBytes;
    this.value = value;
    this.staged = staged;
    this.deadline =
      header !== ENTRY_BYTES && words[first + EntryWord.SLOT] !== NO_SLOT
        ? this.#doubles[(first + EntryWord.DEADLINE) >>> 1]!
        : -1;
  }

  /** Writes the key of `entry`, which was just read. */
  writeKey(entry: number): void {
    const strings = this.#strings;
    const header = metaHeaderBytes(this.meta);
    if (this.staged) strings.staged(strings.start + header, this.keyBytes);
    else strings.object(entry, header, this.keyBytes);
  }

  /** Writes the value of `entry`, a string that was read; other strings may have been written. */
  writeString(entry: number): void {
    const strings = this.#strings;
    if (metaEncoding(this.meta) === Encoding.RAW_APART) {
      const block = this.value;
      strings.reader.read(block, 0, 1, strings.words, strings.firstWord);
      strings.object(block, STRING_HEADER_BYTES, strings.words[strings.firstWord]!);
      return;
    }
    const from = metaHeaderBytes(this.meta) + this.keyBytes;
    if (this.staged) strings.staged(strings.start + from, this.value);
    else strings.object(entry, from, this.value);
  }
}
