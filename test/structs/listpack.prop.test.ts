/**
 * Random operations beside an array of texts, with images of the arena begun and checked in
 * between.
 */
import { expect, test } from 'vitest';
import { bytePosition, SEGMENT_SHIFT } from '../../src/arena/layout.ts';
import { bytesOf } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import type { Ref } from '../../src/base/units.ts';
import { END, LISTPACK_HEADER_BYTES } from '../../src/structs/listpack-read.ts';
import { testSeed } from '../support/seed.ts';
import { ListpackFixture, randomText } from './listpack-fixture.ts';

const STEPS = 4000;
const ENTRIES_MAX = 60;
const FREEZE_EVERY = 200;

/** A listpack, the model of it, and the operations on both. */
class Pair {
  readonly fixture: ListpackFixture;
  readonly #prng: Prng;
  ref: Ref;
  model: string[] = [];

  constructor(fixture: ListpackFixture, prng: Prng) {
    this.fixture = fixture;
    this.#prng = prng;
    this.ref = fixture.listpack.create();
  }

  step(): void {
    const prng = this.#prng;
    const listpack = this.fixture.listpack;
    const text = randomText(prng, prng.below(50) === 0 ? 5000 : 300);
    const bytes = bytesOf(`__${text}__`);
    const index = prng.below(this.model.length + 1);
    const at = listpack.seek(this.ref, index);
    expect(at === END).toBe(index === this.model.length);
    switch (prng.below(this.model.length > ENTRIES_MAX ? 10 : 8)) {
      case 0:
        this.ref = listpack.append(this.ref, bytes, 2, text.length);
        this.model.push(text);
        break;
      case 1:
        this.ref = listpack.prepend(this.ref, bytes, 2, text.length);
        this.model.unshift(text);
        break;
      case 2:
      case 3:
        this.ref = listpack.insert(this.ref, at, bytes, 2, text.length);
        this.model.splice(index, 0, text);
        expect(this.fixture.textAt(this.ref, listpack.at)).toBe(text);
        break;
      case 4:
        if (at === END) break;
        this.ref = listpack.replace(this.ref, at, bytes, 2, text.length);
        this.model[index] = text;
        break;
      case 5:
        if (at === END) break;
        this.ref = listpack.delete(this.ref, at);
        this.model.splice(index, 1);
        expect(listpack.at).toBe(listpack.seek(this.ref, index));
        break;
      case 6:
        this.#insertInteger(at, index);
        break;
      case 7:
        this.#cutAndJoin(at, index);
        break;
      default: {
        if (at === END) break;
        const count = prng.below(this.model.length);
        this.ref = listpack.deleteRange(this.ref, index - this.model.length, count);
        this.model.splice(index, count);
      }
    }
  }

  #insertInteger(at: number, index: number): void {
    const value = Math.floor((this.#prng.float() - 0.5) * 2 ** this.#prng.below(54));
    this.ref = this.fixture.listpack.insertInteger(this.ref, at, value);
    this.model.splice(index, 0, String(value));
  }

  /** Cuts at a place, and joins the halves in the other order. */
  #cutAndJoin(at: number, index: number): void {
    const listpack = this.fixture.listpack;
    const tail = listpack.copyFrom(this.ref, at);
    listpack.validate(tail);
    const head = listpack.shrinkToFit(listpack.truncate(this.ref, at));
    listpack.validate(head);
    this.ref = listpack.concat(tail, head);
    this.model = [...this.model.slice(index), ...this.model.slice(0, index)];
  }

  check(): void {
    const { fixture, ref, model } = this;
    fixture.listpack.validate(ref);
    expect(fixture.listpack.count(ref)).toBe(model.length);
    expect(fixture.texts(ref)).toEqual(model);
    expect(fixture.textsBackwards(ref)).toEqual([...model].reverse());
    const wanted =
      this.#prng.below(4) === 0
        ? randomText(this.#prng)
        : (model[this.#prng.below(model.length)] ?? 'none');
    const skip = this.#prng.below(3);
    const index = model.findIndex((text, i) => i % (skip + 1) === 0 && text === wanted);
    const expected = index < 0 ? END : fixture.listpack.seek(ref, index);
    expect(fixture.find(ref, fixture.listpack.first(ref), wanted, skip)).toBe(expected);
  }
}

test('a listpack is the list of what was put into it', () => {
  const prng = new Prng(testSeed('listpack'));
  const fixture = new ListpackFixture();
  const pairs = [0, 1, 2].map(() => new Pair(fixture, prng));
  for (let step = 0; step < STEPS; step++) {
    if (step % FREEZE_EVERY === 0) fixture.freeze();
    const pair = pairs[prng.below(pairs.length)]!;
    pair.step();
    pair.check();
    // Verifies, in the debug mode, that the image is what it was.
    if (step % FREEZE_EVERY === FREEZE_EVERY / 2) fixture.arena.thaw();
  }
  fixture.arena.validate();
  for (const pair of pairs) fixture.listpack.free(pair.ref);
  expect(fixture.arena.usedBytes).toBe(0);
});

test('a change that forgets the barrier is noticed', () => {
  const fixture = new ListpackFixture();
  const ref = fixture.of(['abc']);
  fixture.freeze();
  fixture.arena.u8[ref >>> SEGMENT_SHIFT]![bytePosition(ref) + LISTPACK_HEADER_BYTES + 1]! ^= 1;
  expect(() => fixture.arena.thaw()).toThrow();
});
