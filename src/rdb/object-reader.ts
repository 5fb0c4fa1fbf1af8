/**
 * The way in which writers of values read objects: by copies into the memory of the kernels. A
 * snapshot reads an image; arena/image.ts has the same method. DUMP reads the live arena through
 * the class below.
 */
import type { Arena } from '../arena/arena.ts';
import { SEGMENT_SHIFT, wordPosition } from '../arena/layout.ts';

export interface ObjectReader {
  /**
   * Copies words [fromWord, fromWord + words) of the object at `ref` into `into` from word `at` on.
   */
  read(ref: number, fromWord: number, words: number, into: Int32Array, at: number): void;
  /** Announces that the objects `refs[from]` … `refs[end - 1]` are read next. */
  prefetch(refs: Int32Array, from: number, end: number): void;
}

/** On the thread that owns the arena. */
export class ArenaReader implements ObjectReader {
  readonly #arena: Arena;

  constructor(arena: Arena) {
    this.#arena = arena;
  }

  read(ref: number, fromWord: number, words: number, into: Int32Array, at: number): void {
    const start = wordPosition(ref) + fromWord;
    into.set(this.#arena.i32[ref >>> SEGMENT_SHIFT]!.subarray(start, start + words), at);
  }

  /** Does nothing: DUMP reads one value at a time, so there is nothing to gain. */
  prefetch(): void {}
}
