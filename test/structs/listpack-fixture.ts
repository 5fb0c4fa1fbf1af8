/** Listpacks for the tests: texts in, texts out, and elements that are hard to encode. */
import { Arena } from '../../src/arena/arena.ts';
import { bytePosition, SEGMENT_SHIFT } from '../../src/arena/layout.ts';
import { bytesOf, latin1 } from '../../src/base/bytes.ts';
import type { Prng } from '../../src/base/prng.ts';
import { MIB, type Ref } from '../../src/base/units.ts';
import { Listpack } from '../../src/structs/listpack.ts';
import {
  ELEMENT_TEXT_BYTES_MAX,
  ElementView,
  END,
  elementToBytes,
} from '../../src/structs/listpack-read.ts';

const SHADOW_BYTES_MAX = 256 * MIB;

export class ListpackFixture {
  readonly arena = new Arena();
  readonly listpack = new Listpack(this.arena);
  readonly #view = new ElementView();
  readonly #scratch = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);

  of(texts: readonly string[]): Ref {
    let ref = this.listpack.create();
    for (const text of texts) ref = this.append(ref, text);
    return ref;
  }

  append(ref: Ref, text: string): Ref {
    return this.listpack.append(ref, bytesOf(text), 0, text.length);
  }

  textAt(ref: Ref, at: number): string {
    this.listpack.read(ref, at, this.#view);
    elementToBytes(this.#view, this.#scratch);
    return latin1(this.#view.bytes, this.#view.position, this.#view.length);
  }

  texts(ref: Ref): string[] {
    const texts: string[] = [];
    for (let at = this.listpack.first(ref); at !== END; at = this.listpack.next(ref, at))
      texts.push(this.textAt(ref, at));
    return texts;
  }

  textsBackwards(ref: Ref): string[] {
    const texts: string[] = [];
    for (let at = this.listpack.last(ref); at !== END; at = this.listpack.previous(ref, at))
      texts.push(this.textAt(ref, at));
    return texts;
  }

  find(ref: Ref, from: number, text: string, skip: number): number {
    return this.listpack.find(ref, from, bytesOf(text), 0, text.length, skip);
  }

  /** A copy of the bytes, outside of the arena. */
  bytes(ref: Ref): Uint8Array {
    const base = bytePosition(ref);
    return this.arena.u8[ref >>> SEGMENT_SHIFT]!.slice(base, base + this.listpack.byteLength(ref));
  }

  freeze(): void {
    this.arena.freeze(
      SHADOW_BYTES_MAX,
      () => {},
      () => {
        throw new Error('the image was lost');
      },
    );
  }
}

const WIDE = [
  '9223372036854775807',
  '-9223372036854775808',
  '9007199254740993',
  '-9007199254740992',
];
const NO_INTEGERS = [
  '',
  '-',
  '-0',
  '007',
  '+1',
  '1 ',
  '9223372036854775808',
  '-9223372036854775809',
  '1.5',
];
const EDGES = [7, 12, 15, 23, 31, 52];

/**
 * Integers around each bound of an encoding, what nearly is one, and strings of every length class.
 */
export function randomText(prng: Prng, lengthMax = 300): string {
  switch (prng.below(8)) {
    case 0:
      return String(prng.below(200) - 50);
    case 1: {
      const edge = 2 ** EDGES[prng.below(EDGES.length)]! + prng.below(5) - 2;
      return String(prng.below(2) === 0 ? edge : -edge);
    }
    case 2:
      return WIDE[prng.below(WIDE.length)]!;
    case 3:
      return NO_INTEGERS[prng.below(NO_INTEGERS.length)]!;
    case 4:
      return 'abcdefghij'.slice(0, prng.below(10));
    case 5:
      return String.fromCharCode(prng.below(256)).repeat(prng.below(70));
    default:
      return String(prng.u32()).repeat(30).slice(0, prng.below(lengthMax));
  }
}
