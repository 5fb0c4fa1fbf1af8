/** Seeded workloads. Every server gets the same bytes, and a checksum of them is printed. */
import { createHash } from 'node:crypto';
import { Prng } from '../../src/base/prng.ts';
import { MIB } from '../../src/base/units.ts';
import { jsonValue } from './json.ts';
import { RequestWriter } from './resp.ts';

/**
 * The placeholder that redis-benchmark's command lines use for a random number of twelve digits.
 */
export const RANDOM_PLACE = '__rand_int__';

/**
 * Random bytes, from which values are cut at random places. They are almost incompressible and
 * cheap to make.
 */
export class ValuePool {
  readonly bytes: Buffer;
  readonly #prng: Prng;

  constructor(seed: number) {
    this.#prng = new Prng(seed);
    const words = new Uint32Array(MIB);
    for (let index = 0; index < words.length; index++) words[index] = this.#prng.u32();
    this.bytes = Buffer.from(words.buffer);
  }

  /** Appends a value of `count` bytes as the next argument. */
  write(out: RequestWriter, count: number): void {
    out.bytes(this.bytes, this.#prng.below(this.bytes.length - count), count);
  }
}

export function twelveDigits(value: number): string {
  return String(value).padStart(12, '0');
}

/** Returns the key of 16 bytes with number `value`. */
export function keyOf(value: number): string {
  return `key:${twelveDigits(value)}`;
}

/** The requests that a load generator sends again and again. */
export interface Template {
  readonly words: readonly string[];
  /**
   * A random number below this replaces each {@link RANDOM_PLACE}. With 0 the placeholder is sent
   * unchanged, as redis-benchmark does.
   */
  readonly randomBelow: number;
  /** Random bytes per command behind the words, 0 for none. */
  readonly valueBytes: number;
  /** The value is JSON of about 240 bytes (json.ts), padded with spaces to `valueBytes`. */
  readonly isJson?: boolean;
  readonly seed: number;
}

/** Encoded commands, one after another, and the end position of each. */
export interface EncodedRequests {
  readonly bytes: Buffer;
  readonly ends: Uint32Array;
  readonly checksum: string;
}

export function encodeRequests(template: Template, count: number): EncodedRequests {
  const prng = new Prng(template.seed);
  const pool = new ValuePool(template.seed + 1);
  const out = new RequestWriter(count * 64);
  const ends = new Uint32Array(count);
  const random = (): string => twelveDigits(prng.below(template.randomBelow));
  for (let index = 0; index < count; index++) {
    out.command(template.words.length + (template.valueBytes > 0 ? 1 : 0));
    for (const word of template.words) {
      out.text(template.randomBelow > 0 ? word.replaceAll(RANDOM_PLACE, random) : word);
    }
    if (template.isJson === true) out.text(jsonValue(prng, template.valueBytes));
    else if (template.valueBytes > 0) pool.write(out, template.valueBytes);
    ends[index] = out.length;
  }
  const bytes = out.buffer.subarray(0, out.length);
  return { bytes, ends, checksum: new Checksum().add(bytes).text() };
}

/** A short digest of a workload, which people can compare. */
export class Checksum {
  readonly #hash = createHash('sha256');

  add(data: string | Buffer): this {
    this.#hash.update(data);
    return this;
  }

  text(): string {
    return this.#hash.digest('hex').slice(0, 16);
  }
}
