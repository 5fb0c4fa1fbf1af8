/**
 * Random words for commands. The alphabets are small, so that the same keys and members come again.
 * Numbers include edge cases.
 *
 * No word depends on the clock: deadlines are years away or in the past, and stream ids are given.
 * So two servers that run the same commands at slightly different times hold the same data.
 */
import type { Prng } from '../../src/base/prng.ts';

/** A word of a command. */
export type Argument = string | Buffer | number | bigint;

export const KEY_TYPES = ['str', 'list', 'hash', 'set', 'zset', 'stream', 'hll', 'geo'] as const;
export type KeyType = (typeof KEY_TYPES)[number];

const KEYS_PER_TYPE = 4;
const FAR_SECONDS = 10_000;

export class RandomWords {
  readonly prng: Prng;

  constructor(prng: Prng) {
    this.prng = prng;
  }

  below(limit: number): number {
    return this.prng.below(limit);
  }

  of<T>(...choices: readonly T[]): T {
    return choices[this.prng.below(choices.length)]!;
  }

  maybe(...words: Argument[]): Argument[] {
    return this.prng.below(2) === 0 ? words : [];
  }

  /** `words` once in `times`. */
  rarely(times: number, ...words: Argument[]): Argument[] {
    return this.prng.below(times) === 0 ? words : [];
  }

  list<T>(count: number, make: () => T): T[] {
    return Array.from({ length: count }, make);
  }

  /** Mostly a key of the type; sometimes a key of another type, or one that never exists. */
  key(type: KeyType): string {
    const n = this.prng.below(60);
    if (n === 0) return 'none';
    const of = n < 4 ? this.of(...KEY_TYPES) : type;
    return `${of}${this.prng.below(KEYS_PER_TYPE)}`;
  }

  anyKey(): string {
    return this.key(this.of(...KEY_TYPES));
  }

  keys(type: KeyType): string[] {
    return this.list(1 + this.prng.below(3), () => this.key(type));
  }

  /** As the words `numkeys key [key …]`, at times with a wrong count. */
  countedKeys(type: KeyType): Argument[] {
    const keys = this.keys(type);
    return [this.prng.below(40) === 0 ? this.of<Argument>(0, -1, 'x', 9) : keys.length, ...keys];
  }

  integer(): Argument {
    return this.of<Argument>(
      ...[0, 1, -1, 5, 127, 128, 255, 256, 9999, 10_000, 32_768, -4097, 2 ** 31, -(2 ** 31)],
      ...['9223372036854775807', '-9223372036854775808', '9223372036854775808', '9007199254740993'],
      ...['', 'abc', '01', '+1', ' 1', '1.5', '-0', this.prng.below(100), -this.prng.below(100)],
    );
  }

  float(): Argument {
    return this.of<Argument>(
      ...['0.1', '3.0', '1e3', '-2.5e-3', '10.5', '-10.5', '1e17', '1e-7', '0x10'],
      ...['1e400', 'inf', '-inf', 'nan', ' 1', '1 '],
      this.integer(),
    );
  }

  score(): Argument {
    return this.prng.below(12) === 0 ? this.float() : this.of(1, 0.5)! * (this.prng.below(20) - 6);
  }

  /**
   * Elements of collections: integers of all widths, texts, bytes, at times too long for a
   * listpack.
   */
  member(): Argument {
    const n = this.prng.below(48);
    if (n < 20) return n - 4;
    if (n < 40) return `m${n}`;
    switch (n) {
      case 40:
        return '';
      case 41:
        return 'x'.repeat(this.prng.below(200));
      case 42:
        return this.integer();
      case 43:
        return Buffer.from(this.list(this.prng.below(20), () => this.prng.below(256)));
      case 44:
        return 'long text that compresses '.repeat(1 + this.prng.below(8));
      default:
        return this.prng.below(1_000_000);
    }
  }

  members(): Argument[] {
    const most = this.prng.below(14) === 0 ? 40 : 4;
    return this.list(1 + this.prng.below(most), () => this.member());
  }

  index(): Argument {
    return this.prng.below(40) === 0 ? this.integer() : this.prng.below(40) - 20;
  }

  count(): Argument {
    return this.prng.below(20) === 0 ? this.integer() : this.prng.below(12);
  }

  /**
   * A count that a stream stores. It is exact up to 2^53 here, and far enough from 2^63 that it
   * does not overflow in Redis.
   */
  keptCount(): Argument {
    const odd = this.of<Argument>(
      '',
      'abc',
      '1.5',
      -1,
      -2,
      2 ** 31,
      2 ** 40,
      '9223372036854775808',
    );
    return this.prng.below(20) === 0 ? odd : this.prng.below(12);
  }

  /** COUNT of a reply that may be long. It is small enough for the memory of the test. */
  limit(): Argument[] {
    const number = (): Argument => this.of<Argument>(0, 1, 2, 5, 20, -1, 'x');
    return this.prng.below(3) === 0 ? ['LIMIT', number(), number()] : [];
  }

  /** Seconds from now, so far away and so coarse that comparisons by two clocks always agree. */
  farSeconds(): number {
    return FAR_SECONDS + this.prng.below(1_000_000) * 100;
  }

  /** Words of a deadline for SET, GETEX. */
  deadline(): Argument[] {
    const seconds = this.farSeconds();
    return this.of<Argument[]>(
      ['EX', seconds],
      ['PX', seconds * 1000],
      ['EXAT', 2_000_000_000 + seconds],
      ['pxat', (2_000_000_000 + seconds) * 1000],
      ['PXAT', 1],
      ['EX', this.of<Argument>(0, -1, 'abc', '9223372036854775807', '')],
      ['PX'],
    );
  }

  scoreBound(): Argument {
    const n = this.prng.below(30);
    if (n === 0) return this.of<Argument>('', 'abc', '((1', 'nan', '(');
    return n < 22
      ? `${this.of('', '', '(')}${this.prng.below(20) - 6}`
      : this.of('-inf', '+inf', '(inf', '(-inf');
  }

  lexBound(): Argument {
    const n = this.prng.below(30);
    if (n === 0) return this.of<Argument>('', 'a', '++', '-x', '(', '[', 5);
    return n < 20 ? `${this.of('[', '(')}m${this.prng.below(50)}` : this.of('-', '+');
  }

  streamId(): string {
    const n = this.prng.below(40);
    if (n === 0)
      return this.of('', 'abc', '1-', '-1', '1-2-3', '18446744073709551615-18446744073709551615');
    return n < 24 ? `${this.prng.below(60)}-${this.prng.below(4)}` : `${this.prng.below(60)}`;
  }

  streamBound(): string {
    const n = this.prng.below(10);
    return n < 2 ? this.of('-', '+') : `${n === 2 ? '(' : ''}${this.streamId()}`;
  }

  longitudeLatitude(): Argument[] {
    if (this.prng.below(30) === 0)
      return [this.of<Argument>(181, 'x', '1e9', 0), this.of<Argument>(86, 'nan', 5)];
    return [(this.prng.below(3600) - 1800) / 10, (this.prng.below(1700) - 850) / 10];
  }
}
