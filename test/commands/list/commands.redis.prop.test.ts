/**
 * Random commands on lists beside a real server: replies, stream, key events and counts of changes
 * are the same after every batch, and all keys at the end. With nodes of few elements, so that
 * lists often change their form, and with those of the default length. An image of our memory is
 * frozen and thawed meanwhile.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { Encoding, ValueType } from '../../../src/keyspace/entry.ts';
import type { CommandHarness } from '../../support/command-harness.ts';
import { Differential } from '../../support/differential.ts';
import { RecordedRedis } from '../../support/recorded-redis.ts';
import type { Argument } from '../../support/resp-client.ts';
import { testSeed } from '../../support/seed.ts';

const BATCH = 400;
const BATCHES = 10;
const FREEZE_EVERY = 130;
const LISTS = 5;

/** Makes commands out of few keys and elements, so that they meet. */
class Generator {
  readonly #prng: Prng;
  readonly #longest: number;

  constructor(prng: Prng, longest: number) {
    this.#prng = prng;
    this.#longest = longest;
  }

  #of<T>(...choices: readonly T[]): T {
    return choices[this.#prng.below(choices.length)]!;
  }

  #maybe(...words: Argument[]): Argument[] {
    return this.#prng.below(2) === 0 ? words : [];
  }

  #key(): string {
    return this.#prng.below(60) === 0 ? 'string' : `l${this.#prng.below(LISTS)}`;
  }

  #keys(): string[] {
    return Array.from({ length: 1 + this.#prng.below(3) }, () => this.#key());
  }

  #element(): Argument {
    const n = this.#prng.below(40);
    switch (n) {
      case 0:
        return '';
      case 1:
        return 'x'.repeat(this.#prng.below(this.#longest));
      case 2:
        return this.#of<Argument>(
          '9223372036854775807',
          '-9223372036854775808',
          '007',
          '12345678901',
          '-1',
          '1e3',
        );
      case 3:
        return Buffer.from(
          Array.from({ length: this.#prng.below(20) }, () => this.#prng.below(256)),
        );
      default:
        return n < 20 ? n : `element ${n}`;
    }
  }

  #elements(): Argument[] {
    const many = this.#prng.below(12) === 0 ? 60 : 4;
    return Array.from({ length: 1 + this.#prng.below(many) }, () => this.#element());
  }

  #index(): Argument {
    const n = this.#prng.below(40);
    if (n === 0)
      return this.#of<Argument>(
        'abc',
        '',
        '1.5',
        '9223372036854775808',
        '-9223372036854775807',
        1e15,
      );
    return this.#prng.below(40) - 20;
  }

  #count(): Argument {
    return this.#prng.below(20) === 0 ? this.#index() : this.#prng.below(12);
  }

  #side(): string {
    return this.#of('LEFT', 'RIGHT', 'left', 'Right');
  }

  #bad(): Argument[] {
    return this.#prng.below(25) === 0 ? [this.#of<Argument>('BAD', 'COUNT', 1)] : [];
  }

  /** So that a wait ends soon. */
  #timeout(): Argument {
    return this.#prng.below(6) === 0 ? this.#of<Argument>('abc', '-1', 'nan', '') : '0.001';
  }

  #wait(): Argument[] {
    return this.#of<Argument[]>(
      [this.#of('BLPOP', 'BRPOP'), ...this.#keys(), this.#timeout()],
      ['BLMOVE', this.#key(), this.#key(), this.#side(), this.#side(), this.#timeout()],
      ['BRPOPLPUSH', this.#key(), this.#key(), this.#timeout()],
      ['BLMPOP', this.#timeout(), ...this.#many()],
    );
  }

  #many(): Argument[] {
    const keys = this.#keys();
    const count = this.#prng.below(15) === 0 ? this.#index() : keys.length;
    return [count, ...keys, this.#side(), ...this.#maybe('COUNT', this.#count()), ...this.#bad()];
  }

  grow(): Argument[] {
    return this.#of<() => Argument[]>(
      () => [
        this.#of('LPUSH', 'RPUSH', 'RPUSH', 'LPUSHX', 'RPUSHX'),
        this.#key(),
        ...this.#elements(),
      ],
      () => [
        'LINSERT',
        this.#key(),
        this.#of('BEFORE', 'after', 'BEFORE', 'x'),
        this.#element(),
        this.#element(),
      ],
      () => ['LSET', this.#key(), this.#index(), this.#element()],
      () => ['COPY', this.#key(), this.#key(), ...this.#maybe('REPLACE')],
    )();
  }

  other(): Argument[] {
    const n = this.#prng.below(30);
    if (n === 0) return this.#wait();
    if (n === 1)
      return this.#of<Argument[]>(
        ['DEL', this.#key()],
        ['RENAME', this.#key(), this.#key()],
        ['TYPE', this.#key()],
      );
    return this.#of<() => Argument[]>(
      () => [this.#of('LPOP', 'RPOP'), this.#key(), ...this.#maybe(this.#count()), ...this.#bad()],
      () => ['LMOVE', this.#key(), this.#key(), this.#side(), this.#side()],
      () => ['RPOPLPUSH', this.#key(), this.#key()],
      () => ['LMPOP', ...this.#many()],
      () => ['LREM', this.#key(), this.#index(), this.#element()],
      () =>
        this.#prng.below(4) === 0
          ? ['LTRIM', this.#key(), this.#index(), this.#index()]
          : ['LLEN', this.#key()],
      () => ['LTRIM', this.#key(), this.#prng.below(3), -1 - this.#prng.below(3)],
      () => ['LINDEX', this.#key(), this.#index()],
      () => ['LRANGE', this.#key(), this.#index(), this.#index()],
      () => this.#position(),
    )();
  }

  #position(): Argument[] {
    return [
      'LPOS',
      this.#key(),
      this.#element(),
      ...this.#maybe('RANK', this.#index()),
      ...this.#maybe('count', this.#count()),
      ...this.#maybe('MAXLEN', this.#count()),
      ...this.#bad(),
    ];
  }
}

/** Checks the structure of every long list. */
function validateLists(harness: CommandHarness): number {
  const { keyspace } = harness;
  const db = keyspace.databases[0]!;
  let large = 0;
  let cursor = 0;
  do {
    cursor = db.scan(cursor, (entry) => {
      if (db.type(entry) !== ValueType.LIST) return;
      if (db.encoding(entry) === Encoding.QUICKLIST) {
        keyspace.structures.quicklists.validate(db.value(entry));
        large++;
      } else keyspace.structures.listpacks.validate(db.value(entry));
    });
  } while (cursor !== 0);
  return large;
}

describe.each([
  ['default', -2, 12_000],
  ['five elements', 5, 9000],
  ['one element', 0, 300],
  ['64 KiB', -5, 70_000],
] as const)('with nodes of %s', (name, size, longest) => {
  let redis: RecordedRedis;

  beforeAll(async () => {
    redis = await RecordedRedis.start(['--list-max-listpack-size', `${size}`]);
  });

  afterAll(async () => {
    await redis.stop();
  });

  test('random commands have the same effect as on a real server', {
    timeout: 180_000,
  }, async () => {
    const prng = new Prng(testSeed(`list ${name}`));
    const generator = new Generator(prng, longest);
    const differential = new Differential(redis, { settings: { listMaxListpackSize: size } });
    let steps = 0;
    let large = 0;
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
      while (commands.length < BATCH)
        commands.push(prng.below(3) > 0 ? generator.grow() : generator.other());
      await differential.run(commands, freezeAndThaw);
      large += validateLists(differential.harness);
      // Whether the commands drawn leave a long list behind is a matter of chance.
      if (batch !== BATCHES / 2) continue;
      await differential.run([
        ['DEL', 'l0'],
        ['RPUSH', 'l0', ...Array.from({ length: 20 }, () => 'x'.repeat(longest - 1))],
      ]);
      large += validateLists(differential.harness);
    }
    if (differential.harness.keyspace.arena.frozen) differential.harness.keyspace.thaw();
    expect(large).toBeGreaterThan(0);
    await differential.compareKeyspace([0], (type, key) =>
      type === 'list' ? ['LRANGE', key, 0, -1] : ['GET', key],
    );
    const { harness } = differential;
    for (let i = 0; i < LISTS; i++) harness.call('DEL', `l${i}`);
    harness.call('DEL', 'string');
    while (harness.keyspace.freeSome(1000)) {}
    harness.keyspace.validate();
  });
});

function ignore(): void {}
