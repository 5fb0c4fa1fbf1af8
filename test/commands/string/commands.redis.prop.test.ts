/**
 * Random commands on strings, bits, keys and deadlines beside a real server: replies, stream, key
 * events and counts of changes are the same after every batch, and all keys at the end. An image of
 * our memory is frozen and thawed meanwhile, and each thaw checks that no write bypassed the
 * barrier.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { Differential } from '../../support/differential.ts';
import { RecordedRedis } from '../../support/recorded-redis.ts';
import type { Argument } from '../../support/resp-client.ts';
import { testSeed } from '../../support/seed.ts';

const BATCH = 500;
const BATCHES = 12;
const DATABASES = [0, 1, 2];
const FREEZE_EVERY = 170;

let redis: RecordedRedis;

beforeAll(async () => {
  redis = await RecordedRedis.start();
});

afterAll(async () => {
  await redis.stop();
});

/** Makes commands out of few keys and values, so that they meet. */
class Generator {
  readonly #prng: Prng;

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  #of<T>(...choices: readonly T[]): T {
    return choices[this.#prng.below(choices.length)]!;
  }

  #maybe(...words: Argument[]): Argument[] {
    return this.#prng.below(2) === 0 ? words : [];
  }

  #key(): Argument {
    const n = this.#prng.below(24);
    if (n === 0) return 'k'.repeat(300);
    if (n === 1) return Buffer.from([0, 255, 13, 10]);
    return n === 2 ? '' : `k${n % 8}`;
  }

  #integer(): Argument {
    return this.#of<Argument>(
      ...[0, 1, -1, 5, 9999, 10_000, 2 ** 31, 2 ** 53 - 1, -(2 ** 53) + 1],
      ...['9223372036854775807', '-9223372036854775808', '9223372036854775808', '9007199254740993'],
      ...['', 'abc', '01', '+1', ' 1', '1.5', '-0', this.#prng.below(100), -this.#prng.below(100)],
    );
  }

  #float(): Argument {
    return this.#of<Argument>(
      ...[
        '0.1',
        '3.0',
        '1e3',
        '-2.5e-3',
        '1e400',
        'inf',
        'nan',
        '0x1p3',
        '10.5',
        '-10.5',
        ' 1',
        '1 ',
      ],
      this.#integer(),
    );
  }

  #value(): Argument {
    const below = (n: number): number => this.#prng.below(n);
    switch (below(8)) {
      case 0:
        return 'x'.repeat(44);
      case 1:
        return 'y'.repeat(45);
      case 2:
        return 'z'.repeat(below(8) === 0 ? below(3000) : below(300));
      case 3:
        return Buffer.from(Array.from({ length: below(20) }, () => below(256)));
      case 4:
      case 5:
        return this.#integer();
      case 6:
        return this.#float();
      default:
        return this.#of('', 'a', 'hello', '12345678901234567890', '123456789012345678901');
    }
  }

  /** An integer that is no near time: nothing may expire while both servers are compared. */
  #noTime(): Argument {
    return this.#of<Argument>(
      0,
      -1,
      '9223372036854775807',
      '-9223372036854775808',
      '9223372036854775',
      'abc',
      '1.5',
      '',
    );
  }

  /** A time from now that no other command of the run is likely to choose, in seconds. */
  #far(): number {
    return 10_000 + this.#prng.below(1_000_000) * 100;
  }

  #secondsFromNow(): Argument {
    return this.#of<Argument>(this.#far(), this.#far(), this.#far(), -5, this.#noTime());
  }

  #time(): Argument[] {
    const seconds = this.#far();
    const absolute = Math.floor(Date.now() / 1000) + seconds;
    return this.#of<Argument[]>(
      ['EX', seconds],
      ['PX', seconds * 1000],
      ['EXAT', absolute],
      ['PXAT', absolute * 1000],
      ['PXAT', 1],
      ['px', this.#noTime()],
      ['ex', this.#noTime()],
      ['EX'],
    );
  }

  #offset(): Argument {
    const n = this.#prng.below(30);
    // 2^33 and more are refused; what is just below would be a string of a gigabyte.
    if (n === 0) return this.#of<Argument>(-1, 2 ** 33, '9223372036854775807', '01', 'x', '');
    if (n === 1) return 20_000 + this.#prng.below(20_000);
    return this.#prng.below(120);
  }

  #field(): Argument[] {
    const bits = 1 + this.#prng.below(64);
    const type =
      this.#prng.below(25) === 0
        ? this.#of('i0', 'u64', 'i65', 'x8', 'i', 'I8')
        : `${this.#of('i', 'u')}${bits}`;
    return [
      type,
      this.#of<Argument>(this.#prng.below(60), `#${this.#prng.below(6)}`, this.#offset()),
    ];
  }

  #bitFieldOps(): Argument[] {
    const ops: Argument[] = [];
    for (let i = this.#prng.below(5); i > 0; i--) {
      ops.push(
        ...this.#of<Argument[]>(
          ['GET', ...this.#field()],
          ['SET', ...this.#field(), this.#integer()],
          ['INCRBY', ...this.#field(), this.#integer()],
          ['incrby', ...this.#field(), 1],
          ['OVERFLOW', this.#of('WRAP', 'sat', 'NEVER')],
          ['BAD'],
        ),
      );
    }
    return ops;
  }

  /**
   * FAIL on a string that needs not grow: where it grows and fails, Redis forgets to stream it, and
   * we do not.
   */
  #failingField(): Argument[][] {
    const key = this.#key();
    const bits = 1 + this.#prng.below(63);
    const offset = this.#prng.below(60);
    return [
      ['SETRANGE', key, 20, 'tail'],
      ['BITFIELD', key, 'OVERFLOW', 'FAIL', 'SET', `u${bits}`, offset, this.#integer()],
      ['BITFIELD', key, 'OVERFLOW', 'FAIL', 'INCRBY', `i${bits}`, offset, this.#integer()],
      [
        'BITFIELD',
        key,
        'OVERFLOW',
        'FAIL',
        'INCRBY',
        `u${bits}`,
        offset,
        this.#integer(),
        'GET',
        'u8',
        0,
      ],
    ];
  }

  strings(): Argument[][] {
    const key = this.#key();
    const value = this.#value();
    return this.#of<() => Argument[][]>(
      () => [['SET', key, value]],
      () => [['SET', key, value, ...this.#setOptions()]],
      () => [['SET', key, value, ...this.#setOptions(), ...this.#setOptions()]],
      () => [['SET', key, value, 'PXAT', 1]],
      () => [['GET', key]],
      () => [['SETNX', key, value]],
      () => [['SETEX', key, this.#secondsFromNow(), value]],
      () => [['PSETEX', key, this.#of<Argument>(this.#far() * 1000, this.#noTime()), value]],
      () => [['GETSET', key, value]],
      () => [['GETDEL', key]],
      () => [
        [
          'GETEX',
          key,
          ...this.#of<Argument[]>(
            [],
            ['PERSIST'],
            this.#time(),
            ['KEEPTTL'],
            ['PERSIST', 'EX', 10],
          ),
        ],
      ],
      () => [['MGET', key, this.#key(), this.#key()]],
      () => [['MSET', key, value, this.#key(), this.#value(), ...this.#maybe(key)]],
      () => [
        [
          'MSETNX',
          `n${this.#prng.below(50)}`,
          value,
          this.#key(),
          this.#value(),
          ...this.#maybe(key),
        ],
      ],
      () => [['APPEND', key, value]],
      () => [['STRLEN', key]],
      () => [
        [
          'SETRANGE',
          key,
          this.#of<Argument>(this.#prng.below(50), this.#integer()),
          this.#of('', 'abc', value),
        ],
      ],
      () => [[this.#of('GETRANGE', 'SUBSTR'), key, this.#integer(), this.#integer()]],
      () => [['GETRANGE', key, this.#prng.below(30) - 15, this.#prng.below(30) - 15]],
      () => [[this.#of('INCR', 'DECR'), key]],
      () => [[this.#of('INCRBY', 'DECRBY'), key, this.#integer()]],
      () => [
        ['SET', key, this.#integer()],
        ['INCRBY', key, this.#integer()],
        ['DECRBY', key, this.#integer()],
      ],
      () => [['INCRBYFLOAT', key, this.#float()]],
      () => [
        ['SET', key, this.#float()],
        ['INCRBYFLOAT', key, this.#float()],
      ],
      () => [['LCS', key, this.#key(), ...this.#maybe('LEN')]],
      () => [
        [
          'LCS',
          key,
          this.#key(),
          'IDX',
          ...this.#maybe('WITHMATCHLEN'),
          ...this.#maybe('MINMATCHLEN', this.#prng.below(4)),
        ],
      ],
    )();
  }

  #setOptions(): Argument[] {
    return this.#of<Argument[]>(
      ['NX'],
      ['XX'],
      ['GET'],
      ['get', 'nx'],
      ['KEEPTTL'],
      this.#time(),
      this.#time(),
      ['BAD'],
      ['PERSIST'],
    );
  }

  bits(): Argument[][] {
    const key = this.#key();
    return this.#of<() => Argument[][]>(
      () => [['SETBIT', key, this.#offset(), this.#of<Argument>(0, 1, 0, 1, 2, 'x')]],
      () => [['GETBIT', key, this.#offset()]],
      () => [['BITCOUNT', key]],
      () => [
        [
          'BITCOUNT',
          key,
          this.#prng.below(60) - 30,
          this.#prng.below(60) - 30,
          ...this.#maybe(this.#of('BIT', 'byte')),
        ],
      ],
      () => [['BITPOS', key, this.#of(0, 1)]],
      () => [['BITPOS', key, this.#of(0, 1), this.#prng.below(60) - 30]],
      () => [
        [
          'BITPOS',
          key,
          this.#of(0, 1),
          this.#prng.below(60) - 30,
          this.#prng.below(60) - 30,
          ...this.#maybe(this.#of('BIT', 'BYTE')),
        ],
      ],
      () => [
        [
          'BITOP',
          this.#of('AND', 'or', 'XOR', 'NOT', 'NAND'),
          key,
          this.#key(),
          ...this.#maybe(this.#key(), this.#key()),
        ],
      ],
      () => [['BITFIELD', key, ...this.#bitFieldOps()]],
      () => [
        [
          'BITFIELD_RO',
          key,
          ...this.#of<Argument[]>(['GET', ...this.#field()], this.#bitFieldOps()),
        ],
      ],
      () => this.#failingField(),
    )();
  }

  keys(): Argument[][] {
    const key = this.#key();
    return this.#of<() => Argument[][]>(
      () => [[this.#of('DEL', 'UNLINK'), key, this.#key(), ...this.#maybe(key)]],
      () => [['EXISTS', key, this.#key(), key]],
      () => [['TYPE', key]],
      () => [['TOUCH', key, this.#key()]],
      () => [[this.#of('RENAME', 'RENAMENX'), key, this.#key()]],
      () => [
        [
          'COPY',
          key,
          this.#key(),
          ...this.#maybe('DB', this.#of<Argument>(0, 1, 2, 99, 'x')),
          ...this.#maybe('REPLACE'),
        ],
      ],
      () => [['MOVE', key, this.#of<Argument>(0, 1, 2, 99, -1, 'x')]],
      () => [['KEYS', this.#of('*', 'k*', 'k[1-3]', '?', '')]],
      () => [['DBSIZE']],
      () => [['SELECT', this.#of(0, 1, 2)]],
      () => [['SWAPDB', this.#of<Argument>(0, 1, 2, 'x'), this.#of<Argument>(0, 1, 2, 99, 'y')]],
      () =>
        this.#prng.below(20) === 0
          ? [[this.#of('FLUSHDB', 'FLUSHALL'), ...this.#maybe(this.#of('SYNC', 'ASYNC', 'X'))]]
          : [],
      () => [['OBJECT', this.#of('ENCODING', 'IDLETIME', 'FREQ', 'FOO'), key]],
      () => [[this.#of('TTL', 'PTTL', 'EXPIRETIME', 'PEXPIRETIME', 'PERSIST'), key]],
      () => [['EXPIRE', key, this.#secondsFromNow(), ...this.#condition()]],
      () => [
        [
          'PEXPIRE',
          key,
          this.#of<Argument>(this.#far() * 1000, -1, this.#noTime()),
          ...this.#condition(),
        ],
      ],
      () => [
        [
          'EXPIREAT',
          key,
          this.#of<Argument>(2_000_000_000, 2_100_000_000, 100, this.#integer()),
          ...this.#condition(),
        ],
      ],
      () => [
        [
          'PEXPIREAT',
          key,
          this.#of<Argument>(2_000_000_000_000, 2_100_000_000_000, 1, this.#integer()),
          ...this.#condition(),
        ],
      ],
      () => [['GET']],
    )();
  }

  #condition(): Argument[] {
    return this.#of<Argument[]>(
      [],
      [],
      ['NX'],
      ['XX'],
      ['gt'],
      ['LT'],
      ['NX', 'GT'],
      ['GT', 'LT'],
      ['XX', 'LT'],
      ['BAD'],
    );
  }
}

const families = ['strings', 'bits', 'keys'] as const;

describe.each([...families, 'all'] as const)('random commands: %s', (family) => {
  test('have the same effect as on a real server', { timeout: 180_000 }, async () => {
    const prng = new Prng(testSeed(`string-commands ${family}`));
    const generator = new Generator(prng);
    await redis.run([['SELECT', 0], ['FLUSHALL']]);
    await redis.takeStream();
    await redis.takeEvents();
    const differential = new Differential(redis);
    // Both streams have a database selected now.
    differential.harness.run('FLUSHALL');
    differential.skipStream();
    let frozen = false;
    let steps = 0;
    const freezeAndThaw = (): void => {
      if (++steps % FREEZE_EVERY !== 0) return;
      const { keyspace } = differential.harness;
      if (keyspace.arena.frozen) keyspace.thaw();
      else keyspace.freeze(64 * 1024 * 1024, ignore, ignore);
      frozen = true;
    };
    for (let batch = 0; batch < BATCHES; batch++) {
      const commands: Argument[][] = [];
      while (commands.length < BATCH) {
        // A third of all commands is of any family, or there would be little to work on.
        const chosen = family === 'all' || prng.below(3) === 0 ? families[prng.below(3)]! : family;
        commands.push(...generator[chosen]());
      }
      await differential.run(commands, freezeAndThaw);
    }
    if (differential.harness.keyspace.arena.frozen) differential.harness.keyspace.thaw();
    expect(frozen).toBe(true);
    await differential.compareKeyspace(DATABASES, (_, key) => ['GET', key]);
  });
});

function ignore(): void {}
