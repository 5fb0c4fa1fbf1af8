/**
 * Random commands on hashes beside a real server: replies, stream, key events and counts of changes
 * are the same after every batch, and all keys at the end. With thresholds so low that hashes often
 * change their encoding, and with the default ones. An image of our memory is frozen and thawed
 * meanwhile.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { Differential } from '../../support/differential.ts';
import { RecordedRedis } from '../../support/recorded-redis.ts';
import type { Argument } from '../../support/resp-client.ts';
import { testSeed } from '../../support/seed.ts';

const BATCH = 500;
const BATCHES = 16;
const FREEZE_EVERY = 170;

/** Makes commands out of few keys, fields and values, so that they meet. */
class Generator {
  readonly #prng: Prng;
  readonly #fields: number;

  constructor(prng: Prng, fields: number) {
    this.#prng = prng;
    this.#fields = fields;
  }

  #of<T>(...choices: readonly T[]): T {
    return choices[this.#prng.below(choices.length)]!;
  }

  #maybe(...words: Argument[]): Argument[] {
    return this.#prng.below(2) === 0 ? words : [];
  }

  #key(): string {
    return this.#prng.below(40) === 0 ? 'string' : `h${this.#prng.below(6)}`;
  }

  #field(): Argument {
    const n = this.#prng.below(this.#fields);
    if (n % 7 === 0) return n;
    return n % 23 === 0 ? `${n}`.repeat(1 + (n % 40)) : `f${n}`;
  }

  #integer(): Argument {
    return this.#of<Argument>(
      ...[0, 1, -1, 127, 128, -4097, 2 ** 31, 2 ** 53 - 1, -(2 ** 53) + 1],
      ...['9223372036854775807', '-9223372036854775808', '9223372036854775808', '9007199254740993'],
      ...['', 'abc', '01', '+1', ' 1', '1.5', '-0', this.#prng.below(100), -this.#prng.below(100)],
    );
  }

  #number(): Argument {
    return this.#of<Argument>(
      ...[
        '0.1',
        '3.0',
        '1e3',
        '-2.5e-3',
        '1e400',
        'inf',
        '-inf',
        'nan',
        '0x1p3',
        '10.5',
        '-10.5',
        ' 1',
        '1 ',
      ],
      ...[this.#integer(), this.#integer(), this.#integer()],
    );
  }

  #value(): Argument {
    const below = (n: number): number => this.#prng.below(n);
    switch (below(8)) {
      case 0:
        return 'x'.repeat(60 + below(8));
      case 1:
        return below(10) === 0 ? 'long'.repeat(below(1500)) : 'y'.repeat(below(30));
      case 2:
        return Buffer.from(Array.from({ length: below(20) }, () => below(256)));
      case 3:
      case 4:
        return this.#integer();
      default:
        return this.#number();
    }
  }

  #pairs(count: number): Argument[] {
    return Array.from({ length: count }, () => [this.#field(), this.#value()]).flat();
  }

  #few(): number {
    return 1 + this.#prng.below(4);
  }

  writes(): Argument[][] {
    const key = this.#key();
    return this.#of<() => Argument[][]>(
      () => [['HSET', key, ...this.#pairs(this.#few())]],
      () => [['HSET', key, ...this.#pairs(1)]],
      () => [['HSET', key, ...this.#pairs(this.#prng.below(12) === 0 ? 40 : 6)]],
      () => [[this.#of('HSET', 'HMSET'), key, ...this.#pairs(1), 'odd']],
      () => [['HMSET', key, ...this.#pairs(this.#few())]],
      () => [['HSETNX', key, ...this.#pairs(1)]],
      () => [['HINCRBY', key, this.#field(), this.#integer()]],
      () => [['HINCRBYFLOAT', key, this.#field(), this.#number()]],
      () => [
        ['HDEL', key, this.#field(), this.#field(), ...this.#maybe(this.#field(), this.#field())],
      ],
      () => [['HDEL', key, this.#field()]],
      () => [
        ['DEL', key],
        ['HSET', key, ...this.#pairs(this.#few())],
      ],
      () => [['COPY', key, this.#key(), ...this.#maybe('REPLACE')]],
      () => [['RENAME', key, this.#key()]],
      () => [[this.#of('HGET', 'HSETNX', 'HINCRBY', 'HDEL'), key]],
      () => [
        ['DEL', 'string'],
        ['SET', 'string', 'text'],
      ],
      () => [
        ['HSET', 'gone', 'a', 1, 'b', 2],
        ['HDEL', 'gone', 'a', 'b', 'c'],
      ],
      () => [
        ['EXPIRE', key, 100_000],
        ['PERSIST', key],
      ],
    )();
  }

  reads(): Argument[][] {
    const key = this.#key();
    return this.#of<() => Argument[][]>(
      () => [['HGET', key, this.#field()]],
      () => [['HMGET', key, this.#field(), this.#field(), this.#field()]],
      () => [['HGETALL', key]],
      () => [[this.#of('HKEYS', 'HVALS'), key]],
      () => [['HLEN', key]],
      () => [['HSTRLEN', key, this.#field()]],
      () => [['HEXISTS', key, this.#field()]],
      () => [['OBJECT', 'ENCODING', key]],
      () => [['TYPE', key]],
      () => [['HRANDFIELD', key, 0]],
      () => [['HRANDFIELD', 'none', ...this.#maybe(this.#of<Argument>(5, -5))]],
      () => [
        ['HSET', 'one', 'a', 1],
        ['HRANDFIELD', 'one'],
        ['HRANDFIELD', 'one', this.#of(-3, -1, 1, 3), ...this.#maybe('WITHVALUES')],
        [
          'HRANDFIELD',
          'one',
          this.#of<Argument>('x', '-9223372036854775808', 1),
          this.#of('WITHVALUES', 'x'),
        ],
        ['HRANDFIELD', 'one', '9223372036854775807', 'WITHVALUES'],
        ['HRANDFIELD', 'one', 1, 'WITHVALUES', 'x'],
        [
          'HSCAN',
          'one',
          0,
          ...this.#maybe('MATCH', this.#of('a', 'b*')),
          ...this.#maybe('COUNT', 2),
        ],
      ],
      () => [
        ['SET', 'string', 'text'],

        [
          'HSCAN',
          this.#of('none', 'string', 'one'),
          this.#of<Argument>(0, 'x', -1, '18446744073709551615'),
        ],
      ],
      () => [
        ['HSCAN', 'one', 0, this.#of('COUNT', 'TYPE', 'MATCH', 'x'), this.#of<Argument>(0, 'x', 3)],
      ],
    )();
  }

  commands(count: number): Argument[][] {
    const commands: Argument[][] = [];
    while (commands.length < count)
      commands.push(...(this.#prng.below(5) < 3 ? this.writes() : this.reads()));
    return commands;
  }
}

describe.each([
  ['low thresholds', 8, 12, 20],
  ['the default thresholds', 512, 64, 700],
])('hashes with %s', (name, entries, value, fields) => {
  let redis: RecordedRedis;

  beforeAll(async () => {
    redis = await RecordedRedis.start([
      '--hash-max-listpack-entries',
      String(entries),
      '--hash-max-listpack-value',
      String(value),
    ]);
  });

  afterAll(async () => {
    await redis.stop();
  });

  test('are as those of the real server', async () => {
    const prng = new Prng(testSeed(name));
    const generator = new Generator(prng, fields);
    const settings = { hashMaxListpackEntries: entries, hashMaxListpackValue: value };
    const differential = new Differential(redis, { settings });
    const { keyspace } = differential.harness;
    let shadowPages = 0;
    for (let batch = 0; batch < BATCHES; batch++) {
      await differential.run(generator.commands(BATCH), (index) => {
        if (index % FREEZE_EVERY !== 0) return;
        if (keyspace.arena.frozen) {
          shadowPages += keyspace.arena.shadowPages;
          keyspace.thaw();
        }
        keyspace.freeze(
          64 << 20,
          () => undefined,
          () => expect.unreachable('the image was lost'),
        );
        keyspace.freeSome(3);
      });
    }
    if (keyspace.arena.frozen) keyspace.thaw();
    expect(shadowPages).toBeGreaterThan(0);
    await differential.compareKeyspace([0], (type, key) =>
      type === 'hash' ? ['HGETALL', key] : ['GET', key],
    );
  });
});
