/**
 * The read side of a frozen image, on any thread. Copies objects out of the image into the reader's
 * own memory.
 *
 * Copy, check, use, in this order: the reader copies bytes out of the live page, then reads the
 * page's mark, and uses the bytes only if the page was not marked by then (pages.ts draws both
 * sides). A torn length or ref is never used.
 *
 * The copy goes by 32-bit words: objects start on granules, so both sides are aligned.
 */
import { assert } from '../base/assert.ts';
import { ErrorCode, OperatingError } from '../base/errors.ts';
import type { ImageShare } from './arena.ts';
import {
  PAGE_SHIFT,
  PAGE_WORDS,
  SEGMENT_SHIFT,
  SEGMENTS_MAX,
  SHADOW_CHUNK_PAGES,
  SHADOW_CHUNK_SHIFT,
  wordPosition,
} from './layout.ts';
import { FreezeWord } from './pages.ts';
import { dataWords, NO_SHADOW, pageWords } from './segment.ts';

/** Returns a chunk of shadow pages that was announced and is new here. */
export type ChunkSource = (chunkIndex: number) => SharedArrayBuffer;

const PAGE_WORD_SHIFT = PAGE_SHIFT - 2;
const CACHE_LINE_WORDS = 16;
const NO_WORDS = new Int32Array(0);

export class Image {
  readonly #epoch: number;
  /** By segment number; views reach to the end of the group (layout.ts). */
  readonly #data: Int32Array[] = [];
  readonly #marks: Int32Array[] = [];
  readonly #shadow: Int32Array[] = [];
  readonly #words: Int32Array;
  readonly #chunks: Int32Array[] = [];
  readonly #chunkSource: ChunkSource;

  constructor(share: ImageShare, chunkSource: ChunkSource) {
    this.#epoch = share.epoch;
    for (let number = 0; number < SEGMENTS_MAX; number++) {
      this.#data.push(NO_WORDS);
      this.#marks.push(NO_WORDS);
      this.#shadow.push(NO_WORDS);
    }
    for (const group of share.groups) {
      for (let index = 0; index < group.count; index++) {
        this.#data[group.first + index] = dataWords(group, index);
        this.#marks[group.first + index] = pageWords(group.marks, index);
        this.#shadow[group.first + index] = pageWords(group.shadow, index);
      }
    }
    this.#words = new Int32Array(share.words);
    this.#chunkSource = chunkSource;
  }

  /**
   * Copies words [fromWord, fromWord + words) of the object at `ref` into `into` from word `at` on.
   * Throws COW_LIMIT when the image is lost; the words copied so far are then invalid.
   */
  read(ref: number, fromWord: number, words: number, into: Int32Array, at: number): void {
    const segment = ref >>> SEGMENT_SHIFT;
    const data = this.#data[segment]!;
    const marks = this.#marks[segment]!;
    let word = wordPosition(ref) + fromWord;
    const end = word + words;
    assert(end <= data.length, 'an object lies inside its group');
    while (word < end) {
      const page = word >>> PAGE_WORD_SHIFT;
      const pageEnd = (page + 1) * PAGE_WORDS;
      const stop = Math.min(pageEnd, end);
      const count = stop - word;
      if (marks[page] !== this.#epoch) copyWords(data, word, into, at, count);
      if (Atomics.or(marks, page, 0) === this.#epoch)
        this.#readShadow(segment, page, word, into, at, count);
      at += count;
      word = stop;
    }
    if (Atomics.load(this.#words, FreezeWord.LOST) !== 0) {
      throw new OperatingError(
        ErrorCode.COW_LIMIT,
        'copy-on-write memory reached snapshot-cow-max',
      );
    }
  }

  /**
   * Brings the first bytes of the objects `refs[from]` … `refs[end - 1]` to the processor's cache,
   * all at once. Reads with checks of marks in between would wait for memory one after another. The
   * bytes read here are not used.
   */
  prefetch(refs: Int32Array, from: number, end: number): void {
    let sum = 0;
    for (let i = from; i < end; i++) {
      const ref = refs[i]!;
      const data = this.#data[ref >>> SEGMENT_SHIFT]!;
      const word = wordPosition(ref);
      sum ^= data[word]! ^ data[Math.min(word + CACHE_LINE_WORDS, data.length - 1)]!;
    }
    this.prefetched = sum;
  }
  /** A meaningless number, kept so that the reads are not optimized away. */
  prefetched = 0;

  /** One word of an object. */
  readWord(ref: number, word: number): number {
    this.read(ref, word, 1, this.#one, 0);
    return this.#one[0]!;
  }
  readonly #one = new Int32Array(1);

  #readShadow(
    segment: number,
    page: number,
    word: number,
    into: Int32Array,
    at: number,
    count: number,
  ): void {
    const slot = this.#shadow[segment]![page]!;
    assert(slot !== NO_SHADOW, 'nothing in an image refers to a page that was handed out later');
    const index = slot >>> SHADOW_CHUNK_SHIFT;
    let chunk = this.#chunks[index];
    if (chunk === undefined) {
      chunk = new Int32Array(this.#chunkSource(index));
      this.#chunks[index] = chunk;
    }
    const from = (slot & (SHADOW_CHUNK_PAGES - 1)) * PAGE_WORDS + (word & (PAGE_WORDS - 1));
    copyWords(chunk, from, into, at, count);
  }
}

/**
 * Makes long copies by `set`, which moves whole words between aligned buffers, and short ones by a
 * loop.
 */
function copyWords(
  from: Int32Array,
  start: number,
  into: Int32Array,
  at: number,
  count: number,
): void {
  if (count > 256) into.set(from.subarray(start, start + count), at);
  else for (let i = 0; i < count; i++) into[at + i] = from[start + i]!;
}
