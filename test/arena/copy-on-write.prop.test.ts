import { expect, test } from 'vitest';
import { Arena } from '../../src/arena/arena.ts';
import { Image } from '../../src/arena/image.ts';
import { LARGE_BYTES_MAX, SEGMENT_SHIFT, wordPosition } from '../../src/arena/layout.ts';
import { Prng } from '../../src/base/prng.ts';
import type { Ref } from '../../src/base/units.ts';
import { testSeed } from '../support/seed.ts';

/** Sizes in words; single-object segments are rare and few. */
function randomWords(prng: Prng, largeOnes: number): number {
  const kind = prng.below(400);
  if (kind === 0 && largeOnes < 2) return LARGE_BYTES_MAX / 4 + 1 + prng.below(100);
  if (kind < 20) return 8192 + prng.below(60_000);
  return 1 + prng.below(kind < 60 ? 5000 : 300);
}

/**
 * Words that a model keeps of an object: all, or of large ones every 256th, which meets each page.
 */
const stepOf = (words: number): number => (words > 20_000 ? 256 : 1);

class Model {
  readonly arena = new Arena();
  readonly words = new Map<Ref, number>();
  readonly refs: Ref[] = [];
  readonly #prng: Prng;

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  get largeOnes(): number {
    let count = 0;
    for (const words of this.words.values()) if (words > LARGE_BYTES_MAX / 4) count++;
    return count;
  }

  copy(ref: Ref): Int32Array {
    const i32 = this.arena.i32[ref >>> SEGMENT_SHIFT]!;
    const words = this.words.get(ref)!;
    const step = stepOf(words);
    const copy = new Int32Array(Math.ceil(words / step));
    for (let i = 0; i < copy.length; i++) copy[i] = i32[wordPosition(ref) + i * step]!;
    return copy;
  }

  alloc(): void {
    const words = randomWords(this.#prng, this.largeOnes);
    const ref = this.arena.alloc(words * 4);
    const i32 = this.arena.i32[ref >>> SEGMENT_SHIFT]!;
    const at = wordPosition(ref);
    const step = stepOf(words);
    for (let word = 0; word < words; word += step) i32[at + word] = this.#prng.u32();
    this.words.set(ref, words);
    this.refs.push(ref);
  }

  free(): void {
    const index = this.#prng.below(this.refs.length);
    const ref = this.refs[index]!;
    this.refs[index] = this.refs.at(-1)!;
    this.refs.pop();
    this.words.delete(ref);
    this.arena.free(ref);
  }

  write(): void {
    const ref = this.refs[this.#prng.below(this.refs.length)]!;
    const words = this.words.get(ref)!;
    const from = this.#prng.below(words);
    const count = 1 + this.#prng.below(Math.min(words - from, 3000));
    this.arena.touch(ref, from * 4, count * 4);
    const i32 = this.arena.i32[ref >>> SEGMENT_SHIFT]!;
    for (let word = from; word < from + count; word++)
      i32[wordPosition(ref) + word] = this.#prng.u32();
  }

  step(): void {
    const kind = this.#prng.below(10);
    if (this.refs.length < 50 || kind < 3) this.alloc();
    else if (kind < 6) this.free();
    else this.write();
  }
}

/**
 * Reads an object of the image in random pieces and compares it with the copy that was made at the
 * freeze.
 */
function compare(image: Image, ref: Ref, words: number, copy: Int32Array, prng: Prng): void {
  const into = new Int32Array(words);
  for (let word = 0; word < words; ) {
    const count = Math.min(words - word, 1 + prng.below(words));
    image.read(ref, word, count, into, word);
    word += count;
  }
  const step = stepOf(words);
  for (let i = 0; i < copy.length; i++) {
    if (into[i * step] !== copy[i])
      expect.fail(`word ${i * step} of object ${ref} with ${words} words differs`);
  }
}

test('an image stays what the arena was at the freeze, through many of them', () => {
  const prng = new Prng(testSeed('copy-on-write'));
  const model = new Model(prng);
  const { arena } = model;
  for (let i = 0; i < 600; i++) model.alloc();
  for (let epoch = 0; epoch < 20; epoch++) {
    for (let i = 0; i < 150; i++) model.step();
    const frozen = model.refs.map((ref) => ({
      ref,
      words: model.words.get(ref)!,
      copy: model.copy(ref),
    }));
    const chunks: SharedArrayBuffer[] = [];
    const share = arena.freeze(
      1 << 30,
      (_, chunk) => void chunks.push(chunk),
      () => expect.fail('lost'),
    );
    const image = new Image(share, (index) => chunks[index]!);
    for (let i = 0; i < 300; i++) {
      model.step();
      const { ref, words, copy } = frozen[prng.below(frozen.length)]!;
      if (words < 20_000) compare(image, ref, words, copy, prng);
    }
    for (const { ref, words, copy } of frozen) compare(image, ref, words, copy, prng);
    arena.validate();
    arena.thaw();
  }
  expect(arena.usedBytes).toBeGreaterThan(0);
});
