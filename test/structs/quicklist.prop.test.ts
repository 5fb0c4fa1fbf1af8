/**
 * Random operations on long lists beside an array of texts, for each kind of limit, with images of
 * the arena begun and checked in between; and at the end nothing is left in the arena.
 */
import { expect, test } from 'vitest';
import { Arena } from '../../src/arena/arena.ts';
import { bytesOf, latin1 } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import { MIB, NIL, type Ref } from '../../src/base/units.ts';
import { ListCursor } from '../../src/structs/list-cursor.ts';
import { Listpack } from '../../src/structs/listpack.ts';
import {
  ELEMENT_TEXT_BYTES_MAX,
  ElementView,
  elementToBytes,
} from '../../src/structs/listpack-read.ts';
import { Quicklist } from '../../src/structs/quicklist.ts';
import { testSeed } from '../support/seed.ts';
import { randomText } from './listpack-fixture.ts';

const STEPS = 1500;
const FREEZE_EVERY = 100;
const VALIDATE_EVERY = 10;
const LENGTH_AIMED_AT = 900;

class Pair {
  readonly arena = new Arena();
  readonly listpacks = new Listpack(this.arena);
  readonly lists = new Quicklist(this.arena, this.listpacks);
  readonly cursor = new ListCursor(this.arena);
  readonly #view = new ElementView();
  readonly #scratch = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);
  readonly #prng: Prng;
  readonly #longest: number;
  list: Ref;
  model: string[] = [];

  constructor(prng: Prng, size: number, longest: number) {
    this.#prng = prng;
    this.#longest = longest;
    this.lists.configure(size);
    this.list = this.lists.create();
  }

  #text(): string {
    const prng = this.#prng;
    if (prng.below(4) === 0) return `v${prng.below(4)}`;
    return prng.below(60) === 0 ? 'L'.repeat(prng.below(this.#longest)) : randomText(prng, 120);
  }

  #read(): string {
    this.cursor.read(this.#view);
    elementToBytes(this.#view, this.#scratch);
    return latin1(this.#view.bytes, this.#view.position, this.#view.length);
  }

  texts(list = this.list): string[] {
    const texts: string[] = [];
    for (let more = this.cursor.openQuicklist(list, 0); more; more = this.cursor.next())
      texts.push(this.#read());
    return texts;
  }

  backwards(): string[] {
    const texts: string[] = [];
    for (let more = this.cursor.openQuicklist(this.list, -1); more; more = this.cursor.previous())
      texts.push(this.#read());
    return texts;
  }

  step(): void {
    const { lists, model, list } = this;
    const prng = this.#prng;
    const shrinks = model.length > LENGTH_AIMED_AT;
    const operation = prng.below(shrinks ? 14 : 11);
    const text = this.#text();
    const bytes = bytesOf(`_${text}_`);
    const index = prng.below(Math.max(1, model.length));
    switch (operation) {
      case 0:
      case 1:
        for (let i = prng.below(40); i >= 0; i--) {
          lists.pushHead(list, bytes, 1, text.length);
          model.unshift(text);
        }
        break;
      case 2:
      case 3:
        for (let i = prng.below(40); i >= 0; i--) {
          lists.pushTail(list, bytes, 1, text.length);
          model.push(text);
        }
        break;
      case 4:
      case 5:
      case 6: {
        if (!this.cursor.openQuicklist(list, index)) break;
        const behind = prng.below(2);
        lists.insert(list, this.cursor, behind === 1, bytes, 1, text.length);
        model.splice(index + behind, 0, text);
        break;
      }
      case 7:
      case 8:
        if (!this.cursor.openQuicklist(list, index - model.length)) break;
        expect(this.#read()).toBe(model[index]);
        lists.replace(list, this.cursor, bytes, 1, text.length);
        model[index] = text;
        break;
      case 9:
        this.#pop(prng.below(20), prng.below(2) === 0);
        break;
      case 10:
        this.#removeEqual(1 + prng.below(5), prng.below(2) === 0);
        break;
      case 11:
        this.#removeEqual(Number.POSITIVE_INFINITY, prng.below(2) === 0);
        break;
      default:
        this.#removeRange(index);
    }
    expect(lists.count(list)).toBe(this.model.length);
  }

  #pop(count: number, atHead: boolean): void {
    for (let i = Math.min(count, this.model.length); i > 0; i--) {
      expect(this.cursor.openQuicklist(this.list, atHead ? 0 : -1)).toBe(true);
      expect(this.#read()).toBe(atHead ? this.model.shift() : this.model.pop());
      if (atHead) this.lists.dropHead(this.list);
      else this.lists.dropTail(this.list);
    }
  }

  #removeEqual(max: number, fromTail: boolean): void {
    const text = `v${this.#prng.below(4)}`;
    let removed = 0;
    if (fromTail) this.model.reverse();
    this.model = this.model.filter((each) => each !== text || removed >= max || ++removed === 0);
    if (fromTail) this.model.reverse();
    const bytes = bytesOf(text);
    expect(this.lists.removeEqual(this.list, bytes, 0, bytes.length, max, fromTail)).toBe(removed);
  }

  #removeRange(index: number): void {
    if (this.model.length === 0) return;
    const toEnd = this.model.length - index;
    const count = this.#prng.below(3) === 0 ? toEnd : 1 + this.#prng.below(Math.min(toEnd, 300));
    this.#free(this.lists.removeRange(this.list, index, count));
    this.model.splice(index, count);
  }

  #free(gone: Ref): void {
    if (gone === NIL) return;
    while (!this.lists.freeSome(gone, 3));
  }

  check(): void {
    this.lists.validate(this.list);
    expect(this.texts()).toEqual(this.model);
    expect(this.backwards().reverse()).toEqual(this.model);
  }

  /**
   * A copy has the same elements, and one with few nodes comes back as a listpack and as a list
   * again.
   */
  copyAndConvert(): void {
    const copy = this.lists.copy(this.list);
    this.lists.validate(copy);
    expect(this.texts(copy)).toEqual(this.model);
    const listpack = this.lists.toListpack(copy, this.#prng.below(2) === 0);
    if (listpack === NIL) {
      this.#free(copy);
      return;
    }
    this.listpacks.validate(listpack);
    const again = this.lists.fromListpack(listpack);
    expect(this.texts(again)).toEqual(this.model);
    this.#free(again);
  }

  end(): void {
    this.#free(this.list);
    expect(this.arena.usedBytes).toBe(0);
    this.arena.validate();
  }
}

function freeze(arena: Arena): void {
  arena.freeze(
    256 * MIB,
    () => {},
    () => {
      throw new Error('the image was lost');
    },
  );
}

test.each([
  { size: -2, longest: 20_000 },
  { size: -1, longest: 5000 },
  { size: -5, longest: 70_000 },
  { size: 128, longest: 10_000 },
  { size: 5, longest: 300 },
  { size: 0, longest: 300 },
])('lists with list-max-listpack-size $size are the model', ({ size, longest }) => {
  const prng = new Prng(testSeed(`quicklist ${size}`));
  const pair = new Pair(prng, size, longest);
  for (let step = 1; step <= STEPS; step++) {
    pair.step();
    if (step % VALIDATE_EVERY === 0) pair.check();
    if (step % FREEZE_EVERY === 0) {
      if (pair.arena.frozen) pair.arena.thaw();
      else freeze(pair.arena);
      pair.copyAndConvert();
    }
  }
  if (pair.arena.frozen) pair.arena.thaw();
  pair.check();
  pair.end();
});

test('a queue that turns over keeps its memory', () => {
  const prng = new Prng(testSeed('queue'));
  const pair = new Pair(prng, -2, 100);
  const bytes = bytesOf('an element of some length');
  for (let i = 0; i < 2000; i++) pair.lists.pushTail(pair.list, bytes, 0, bytes.length);
  const used = pair.arena.usedBytes;
  for (let i = 0; i < 20_000; i++) {
    pair.lists.pushTail(pair.list, bytes, 0, bytes.length);
    pair.lists.dropHead(pair.list);
  }
  pair.lists.validate(pair.list);
  expect(pair.arena.usedBytes).toBeLessThan(used * 1.4);
});

test('nodes are filled to the limit from either end', () => {
  for (const atHead of [true, false]) {
    const pair = new Pair(new Prng(1), -2, 100);
    const bytes = bytesOf('0123456789abcdefghij');
    const count = 50_000;
    for (let i = 0; i < count; i++) {
      if (atHead) pair.lists.pushHead(pair.list, bytes, 0, bytes.length);
      else pair.lists.pushTail(pair.list, bytes, 0, bytes.length);
    }
    const entryBytes = bytes.length + 2;
    expect(pair.arena.usedBytes).toBeLessThan(count * entryBytes * 1.02);
    pair.lists.validate(pair.list);
  }
});
