/**
 * Random commands on sorted sets beside a real server: replies, stream, key events and counts of
 * changes are the same after every batch, and all keys at the end. With thresholds so low that sets
 * often change their encoding, and with the default ones. An image of our memory is frozen and
 * thawed meanwhile.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { Differential } from '../../support/differential.ts';
import { RecordedRedis } from '../../support/recorded-redis.ts';
import type { Argument } from '../../support/resp-client.ts';
import { testSeed } from '../../support/seed.ts';

const BATCH = 500;
const BATCHES = 12;
const FREEZE_EVERY = 170;

/** Makes commands out of few keys, members and scores, so that they meet. */
class Generator {
  readonly #prng: Prng;
  /** Members of other keys have scores of all kinds. */
  readonly #members: number;

  constructor(prng: Prng, members: number) {
    this.#prng = prng;
    this.#members = members;
  }

  #of<T>(...choices: readonly T[]): T {
    return choices[this.#prng.below(choices.length)]!;
  }

  #maybe(...words: Argument[]): Argument[] {
    return this.#prng.below(2) === 0 ? words : [];
  }

  #key(): string {
    return this.#prng.below(40) === 0 ? 'string' : `z${this.#prng.below(6)}`;
  }

  #lexKey(): string {
    return `lex${this.#prng.below(3)}`;
  }

  #member(): Argument {
    const n = this.#prng.below(this.#members);
    if (n % 7 === 0) return n;
    return n % 11 === 0 ? `${n}`.repeat(1 + (n % 40)) : `m${n}`;
  }

  #score(): Argument {
    const below = (n: number): number => this.#prng.below(n);
    switch (below(8)) {
      case 0:
        return this.#of<Argument>(
          'inf',
          '-inf',
          '+Infinity',
          '-0',
          '0',
          1e16,
          '9007199254740993',
          '1e17',
        );
      case 1:
        return this.#of<Argument>(
          '5e-324',
          '1.7976931348623157e308',
          '-1e300',
          '0x10',
          '1e2',
          '12345678901234.0625',
        );
      case 2:
        return (this.#prng.float() - 0.5) * 1000;
      case 3:
        return below(12) === 0 ? this.#of('nan', 'x', '', ' 1', '1e400') : below(5);
      case 4:
        return `${below(50)}.${below(100)}`;
      default:
        return below(30) - 10;
    }
  }

  #bound(): Argument {
    const n = this.#prng.below(30);
    if (n === 0)
      return this.#of<Argument>('(', '', ' 1', 'x', '(x', '1e400', '((1', '-1e999', 'nan', 'inf x');
    return n < 20
      ? `${this.#of('', '', '(')}${this.#score()}`
      : this.#of('-inf', '+inf', '(inf', '(-inf');
  }

  #lexBound(): Argument {
    const n = this.#prng.below(30);
    if (n === 0) return this.#of<Argument>('', 'a', '++', '-x', '(', '[', 5);
    return n < 20
      ? `${this.#of('[', '(')}${this.#of('m', '')}${this.#member()}`
      : this.#of('-', '+');
  }

  #rank(): Argument {
    return this.#prng.below(40) === 0
      ? this.#of<Argument>(
          'x',
          '1.5',
          '9223372036854775807',
          '-9223372036854775808',
          '9223372036854775808',
        )
      : this.#prng.below(30) - 15;
  }

  #limit(): Argument[] {
    const number = (): Argument => this.#of<Argument>(0, 1, 2, 5, 20, -1, this.#rank());
    return this.#prng.below(3) === 0 ? ['LIMIT', number(), number()] : [];
  }

  #pairs(): Argument[] {
    const pairs: Argument[] = [];
    for (let i = this.#prng.below(4); i >= 0; i--) pairs.push(this.#score(), this.#member());
    return pairs;
  }

  #addOptions(): Argument[] {
    const one = (): Argument[] =>
      this.#of<Argument[]>(['NX'], ['XX'], ['gt'], ['LT'], ['CH'], ['INCR'], []);
    return this.#of(one(), [...one(), ...one()], [...one(), ...one(), ...one()]);
  }

  writes(): Argument[][] {
    const key = this.#key();
    return this.#of<() => Argument[][]>(
      () => [['ZADD', key, ...this.#pairs()]],
      () => [['ZADD', key, ...this.#pairs()]],
      () => [['ZADD', key, ...this.#addOptions(), ...this.#pairs()]],
      () => [['ZADD', key, ...this.#addOptions(), this.#score(), this.#member()]],
      () => [['ZADD', key, ...this.#maybe('NX'), 1]],
      () => [['ZINCRBY', key, this.#score(), this.#member()]],
      () => [['ZREM', key, this.#member(), this.#member(), ...this.#maybe(this.#member())]],
      () => [['ZREMRANGEBYRANK', key, this.#rank(), this.#of<Argument>(0, -2, this.#rank())]],
      () => [['ZREMRANGEBYSCORE', key, this.#bound(), this.#bound()]],
      () => [
        [
          this.#of('ZPOPMIN', 'ZPOPMAX'),
          key,
          ...this.#maybe(this.#of<Argument>(0, 1, 2, 3, -1, 'x')),
        ],
      ],
      () => [[this.#of('ZPOPMIN', 'ZPOPMAX'), key, 1, 'x']],
      () => [
        ['ZADD', 'z3', 1, 'm1'],
        [this.#of('BZPOPMIN', 'BZPOPMAX'), this.#key(), 'z0', 'z3', this.#timeout()],
      ],
      () => [
        [
          'ZMPOP',
          ...this.#many(),
          this.#of('MIN', 'max', 'MID'),
          ...this.#maybe('COUNT', this.#count()),
        ],
      ],
      () => [
        ['ZADD', 'z0', 1, 'm1'],
        [
          'BZMPOP',
          this.#timeout(),
          3,
          'z4',
          'z0',
          'z5',
          this.#of('MIN', 'MAX'),
          ...this.#maybe('COUNT', this.#count()),
        ],
      ],
      () => [['DEL', key]],
      () => [['COPY', key, this.#key(), 'REPLACE']],
      () => [
        ['EXPIRE', key, 100_000],
        ['PERSIST', key],
      ],
    )();
  }

  #timeout(): Argument {
    return this.#prng.below(4) === 0
      ? this.#of<Argument>('x', -1, '-0.5', '')
      : this.#of<Argument>(0, '0.1', 5);
  }

  #count(): Argument {
    return this.#of<Argument>(1, 2, 3, 100, 0, -1, 'x');
  }

  #many(): Argument[] {
    const keys = Array.from({ length: 1 + this.#prng.below(3) }, () => this.#key());
    const count = this.#prng.below(20) === 0 ? this.#of<Argument>(0, -1, 'x', 9, '') : keys.length;
    return [count, ...keys];
  }

  reads(): Argument[][] {
    const key = this.#key();
    const scores = this.#maybe('WITHSCORES');
    return this.#of<() => Argument[][]>(
      () => [['ZCARD', key]],
      () => [['ZSCORE', key, this.#member()]],
      () => [['ZMSCORE', key, this.#member(), this.#member()]],
      () => [[this.#of('ZRANK', 'ZREVRANK'), key, this.#member()]],
      () => [['ZCOUNT', key, this.#bound(), this.#bound()]],
      () => [[this.#of('ZRANGE', 'ZREVRANGE'), key, this.#rank(), this.#rank(), ...scores]],
      () => [['ZRANGE', key, 0, -1, ...scores, ...this.#maybe('REV'), ...this.#limit()]],
      () => [
        [
          'ZRANGE',
          key,
          this.#bound(),
          this.#bound(),
          'BYSCORE',
          ...this.#maybe('REV'),
          ...scores,
          ...this.#limit(),
        ],
      ],
      () => [
        [
          this.#of('ZRANGEBYSCORE', 'ZREVRANGEBYSCORE'),
          key,
          this.#bound(),
          this.#bound(),
          ...scores,
          ...this.#limit(),
        ],
      ],
      () => [
        [this.#of('ZRANGEBYSCORE', 'ZREVRANGEBYSCORE'), key, '-inf', '+inf', ...this.#limit()],
      ],
      () => [['ZRANGE', key, 0, 1, this.#of('BAD', 'LIMIT', 'BYLEX')]],
      () => [['ZRANDMEMBER', key, this.#of<Argument>(0, 1000, 1000, 'x')]],
      () => [['OBJECT', 'ENCODING', key]],
      () => [['ZSCAN', key, this.#of<Argument>('x', ' 1', '18446744073709551616')]],
    )();
  }

  lex(): Argument[][] {
    const key = this.#lexKey();
    return this.#of<() => Argument[][]>(
      () => [['ZADD', key, 0, this.#member(), 0, this.#member(), 0, `x${this.#member()}`]],
      () => [['ZLEXCOUNT', key, this.#lexBound(), this.#lexBound()]],
      () => [
        [
          'ZRANGE',
          key,
          this.#lexBound(),
          this.#lexBound(),
          'bylex',
          ...this.#maybe('REV'),
          ...this.#limit(),
        ],
      ],
      () => [
        [
          this.#of('ZRANGEBYLEX', 'ZREVRANGEBYLEX'),
          key,
          this.#lexBound(),
          this.#lexBound(),
          ...this.#limit(),
        ],
      ],
      () => [['ZRANGEBYLEX', key, '-', '+', ...this.#limit()]],
      () => [['ZREVRANGEBYLEX', key, '+', '-', 'WITHSCORES']],
      () =>
        this.#prng.below(4) === 0
          ? [['ZREMRANGEBYLEX', key, this.#lexBound(), this.#lexBound()]]
          : [],
    )();
  }

  combinations(): Argument[][] {
    const many = this.#many();
    const keys = many.length - 1;
    const weights = ['WEIGHTS', ...Array.from({ length: keys }, () => this.#score())];
    const options = [
      ...this.#maybe(...weights),
      ...this.#maybe('AGGREGATE', this.#of('SUM', 'min', 'MAX', 'AVG')),
    ];
    return this.#of<() => Argument[][]>(
      () => [[this.#of('ZUNION', 'ZINTER'), ...many, ...options, ...this.#maybe('WITHSCORES')]],
      () => [[this.#of('ZUNIONSTORE', 'ZINTERSTORE'), this.#key(), ...many, ...options]],
      () => [['ZDIFF', ...many, ...this.#maybe('WITHSCORES')]],
      () => [['ZDIFFSTORE', this.#key(), ...many]],
      () => [
        ['ZINTERCARD', ...many, ...this.#maybe('LIMIT', this.#of<Argument>(0, 1, 2, -1, 'x'))],
      ],
      () => [
        [
          this.#of('ZUNION', 'ZINTER', 'ZDIFF', 'ZINTERCARD'),
          ...many,
          this.#of('WEIGHTS', 'LIMIT', 'BAD'),
        ],
      ],
      () => [
        [
          'ZRANGESTORE',
          this.#key(),
          this.#key(),
          this.#rank(),
          this.#rank(),
          ...this.#maybe('REV'),
        ],
      ],
      () => [
        ['ZRANGESTORE', this.#key(), this.#key(), '-inf', '+inf', 'BYSCORE', ...this.#limit()],
      ],
      () => [
        [
          'ZRANGESTORE',
          this.#key(),
          this.#key(),
          '+inf',
          '-inf',
          'BYSCORE',
          'REV',
          ...this.#limit(),
        ],
      ],
      () => [['ZRANGESTORE', this.#key(), this.#lexKey(), '-', '+', 'BYLEX', ...this.#limit()]],
    )();
  }
}

const families = ['writes', 'reads', 'lex', 'combinations'] as const;

describe.each([
  ['default', 128, 64, 400],
  ['low', 8, 12, 60],
  ['no', 0, 64, 30],
] as const)('with %s thresholds', (name, entries, bytes, members) => {
  let redis: RecordedRedis;

  beforeAll(async () => {
    const args = [
      '--zset-max-listpack-entries',
      `${entries}`,
      '--zset-max-listpack-value',
      `${bytes}`,
    ];
    redis = await RecordedRedis.start(args);
  });

  afterAll(async () => {
    await redis.stop();
  });

  test('random commands have the same effect as on a real server', {
    timeout: 180_000,
  }, async () => {
    const prng = new Prng(testSeed(`zset ${name}`));
    const generator = new Generator(prng, members);
    const differential = new Differential(redis, {
      settings: { zsetMaxListpackEntries: entries, zsetMaxListpackValue: bytes },
    });
    let steps = 0;
    const freezeAndThaw = (): void => {
      if (++steps % FREEZE_EVERY !== 0) return;
      const { keyspace } = differential.harness;
      if (keyspace.arena.frozen) keyspace.thaw();
      else keyspace.freeze(64 * 1024 * 1024, ignore, ignore);
    };
    await differential.run([
      ['SELECT', 0],
      ['SET', 'string', 'x'],
    ]);
    for (let batch = 0; batch < BATCHES; batch++) {
      const commands: Argument[][] = [];
      while (commands.length < BATCH) {
        const writing = prng.below(3) === 0;
        commands.push(...generator[writing ? 'writes' : families[prng.below(4)]!]());
      }
      await differential.run(commands, freezeAndThaw);
    }
    if (differential.harness.keyspace.arena.frozen) differential.harness.keyspace.thaw();
    expect(steps).toBeGreaterThan(BATCH * BATCHES - 1);
    await differential.compareKeyspace([0], (type, key) =>
      type === 'zset' ? ['ZRANGE', key, 0, -1, 'WITHSCORES'] : ['GET', key],
    );
  });
});

function ignore(): void {}
