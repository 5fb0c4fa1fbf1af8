/**
 * Random commands on sets beside a real server: replies, stream, key events and counts of changes
 * are the same after every batch, and all keys at the end. The real server is a 7.0, whose sets are
 * never listpacks: once they are none here either, and once they are, and only what they hold is
 * compared. An image of our memory is frozen and thawed meanwhile.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { CommandHarness } from '../../support/command-harness.ts';
import { Differential } from '../../support/differential.ts';
import { RecordedRedis } from '../../support/recorded-redis.ts';
import type { Argument } from '../../support/resp-client.ts';
import type { RespValue } from '../../support/resp-parser.ts';
import { testSeed } from '../../support/seed.ts';

const BATCH = 400;
const BATCHES = 8;
const FREEZE_EVERY = 170;
const KEYS = 6;
const INTSET_ENTRIES = 12;

/** Makes commands out of few keys and members, so that they meet. */
class Generator {
  readonly #prng: Prng;

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  #of<T>(...choices: readonly T[]): T {
    return choices[this.#prng.below(choices.length)]!;
  }

  #key(): string {
    return this.#prng.below(40) === 0 ? 'string' : `s${this.#prng.below(KEYS)}`;
  }

  #member(): Argument {
    const n = this.#prng.below(40);
    if (n < 25) return n - 5;
    if (n < 28)
      return this.#of('9223372036854775807', '-9223372036854775808', '9223372036854775808', '-0');
    return this.#of<Argument>(
      '',
      'a',
      'b',
      'c'.repeat(70),
      Buffer.from([0, 255, 13, 10]),
      `m${n}`,
      70_000,
    );
  }

  #members(): Argument[] {
    return Array.from({ length: 1 + this.#prng.below(this.#prng.below(10) === 0 ? 30 : 4) }, () =>
      this.#member(),
    );
  }

  #keys(): string[] {
    return Array.from({ length: 1 + this.#prng.below(3) }, () => this.#key());
  }

  writes(): Argument[][] {
    const key = this.#key();
    return this.#of<() => Argument[][]>(
      () => [['SADD', key, ...this.#members()]],
      () => [['SADD', key, ...this.#members()]],
      () => [['SREM', key, ...this.#members()]],
      () => [['SMOVE', key, this.#key(), this.#member()]],
      () => [[this.#of('SINTERSTORE', 'SUNIONSTORE', 'SDIFFSTORE'), key, ...this.#keys()]],
      () => [['SPOP', key, this.#of<Argument>(1000, 0, -1, 'x', '9223372036854775807')]],
      () => [
        ['DEL', 'one'],
        ['SADD', 'one', this.#member()],
        ['SPOP', 'one', ...this.#of<Argument[]>([], [1], [1, 1])],
      ],
      () => [
        ['DEL', key],
        ['SADD', key, ...this.#members()],
      ],
      () => [['COPY', key, this.#key(), 'REPLACE']],
      () => [['RENAME', key, this.#key()]],
      () => [
        ['DEL', 'string'],
        ['SET', 'string', 'text'],
      ],
      () => [
        ['EXPIRE', key, 100_000],
        ['PERSIST', key],
      ],
      () => [
        [
          this.#of('ZUNIONSTORE', 'ZINTERSTORE', 'ZDIFFSTORE'),
          'z',
          2,
          key,
          this.#of('z', this.#key()),
        ],
      ],
      () => [['SADD', key]],
    )();
  }

  reads(): Argument[][] {
    const key = this.#key();
    return this.#of<() => Argument[][]>(
      () => [['SISMEMBER', key, this.#member()]],
      () => [['SMISMEMBER', key, ...this.#members()]],
      () => [['SCARD', key]],
      () => [['SMEMBERS', key]],
      () => [
        [this.#of('SINTER', 'SUNION', 'SDIFF'), ...this.#keys(), 'none'].slice(
          0,
          -this.#prng.below(2) || 9,
        ),
      ],
      () => {
        const keys = this.#keys();
        const count = this.#of<Argument>(keys.length, keys.length, 0, 'x', 9);
        return [
          ['SINTERCARD', count, ...keys],
          ['SINTERCARD', keys.length, ...keys, 'LIMIT', this.#of<Argument>(0, 1, 3, -1, 'x')],
          ['SINTERCARD', keys.length, ...keys, this.#of('LIMIT', 'x')],
        ];
      },
      () => [['ZRANGE', 'z', 0, -1, 'WITHSCORES']],
      () => [
        ['DEL', 'one'],
        ['SADD', 'one', this.#member()],
        ['SRANDMEMBER', 'one'],
        ['SRANDMEMBER', 'one', this.#of<Argument>(5, -5, 0, 'x', '-9223372036854775808')],
        ['SSCAN', 'one', 0],
        ['SSCAN', 'one', 0, 'MATCH', 'm*', 'COUNT', 3],
        ['SSCAN', 'one', 0, this.#of('COUNT', 'TYPE', 'MATCH'), this.#of<Argument>(0, 'x')],
      ],
      () => [['SRANDMEMBER', this.#of('none', 'text'), ...this.#of<Argument[]>([], [2], [2, 2])]],
      () => [['SPOP', this.#of('none', 'text'), ...this.#of<Argument[]>([], [2])]],
      () => [['SSCAN', this.#of('none', 'text'), this.#of('x', '-1', '0')]],
      () => [['SSCAN', key, 'x']],
    )();
  }

  commands(count: number): Argument[][] {
    const commands: Argument[][] = [];
    while (commands.length < count) {
      commands.push(...(this.#prng.below(5) < 3 ? this.writes() : this.reads()));
    }
    return commands;
  }
}

describe.each([
  ['without listpacks', 0],
  ['with listpacks', 20],
])('sets %s', (name, setMaxListpackEntries) => {
  let redis: RecordedRedis;

  beforeAll(async () => {
    redis = await RecordedRedis.start(['--set-max-intset-entries', String(INTSET_ENTRIES)]);
  });

  afterAll(async () => {
    await redis.stop();
  });

  test('are as those of the real server', async () => {
    const generator = new Generator(new Prng(testSeed(name)));
    const settings = { setMaxIntsetEntries: INTSET_ENTRIES, setMaxListpackEntries };
    const differential = new Differential(redis, { settings });
    const { keyspace } = differential.harness;
    await differential.run([['SET', 'text', 'of another type']]);
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
    const keys = Array.from({ length: KEYS }, (_, i) => `s${i}`);
    await differential.run(keys.map((key) => ['SMEMBERS', key]));
    if (setMaxListpackEntries > 0) return;
    await differential.run([['DEL', 'z']]);
    await differential.compareKeyspace([0], (type, key) =>
      type === 'set' ? ['SMEMBERS', key] : ['GET', key],
    );
  });
});

describe('members at random', () => {
  const members = Array.from({ length: 200 }, (_, i) => `m${i}`);

  test.each([
    ['an intset', members.map((_, i) => String(i)), {}],
    ['a listpack', members, { setMaxListpackEntries: 1000 }],
    ['a table', members, {}],
  ] as const)('of %s are drawn and popped', (_, all, settings) => {
    const harness = new CommandHarness({ seed: testSeed('random'), settings });
    harness.call('SADD', 's', ...all);
    for (const count of [1, 10, 60, 150, 199, 200, 300]) {
      const drawn = harness.call('SRANDMEMBER', 's', count) as string[];
      expect(drawn.length).toBe(Math.min(count, 200));
      expect(new Set(drawn).size).toBe(drawn.length);
      for (const member of drawn) expect(all).toContain(member);
    }
    const repeated = harness.call('SRANDMEMBER', 's', -3000) as string[];
    expect(repeated.length).toBe(3000);
    expect(new Set(repeated).size).toBeGreaterThan(190);
    const left = new Set<string>(all);
    for (const count of [1, 20, 100]) {
      const { reply, stream, changes } = harness.run('SPOP', 's', count);
      const popped = reply as string[];
      expect(stream).toEqual([{ db: 0, words: ['SREM', 's', ...popped] }]);
      expect(changes).toBe(count);
      for (const member of popped) expect(left.delete(member)).toBe(true);
    }
    expect(new Set(harness.call('SMEMBERS', 's') as string[])).toEqual(left);
    harness.keyspace.validate();
  });

  test('popped by thousands are taken out by several commands of the stream', () => {
    const harness = new CommandHarness();
    harness.call('SADD', 's', ...Array.from({ length: 3000 }, (_, i) => `member ${i}`));
    const { reply, stream } = harness.run('SPOP', 's', 2500);
    expect(stream.map(({ words }) => words.length - 2)).toEqual([1024, 1024, 452]);
    expect(stream.flatMap(({ words }) => words.slice(2))).toEqual(reply);
    expect(harness.call('SCARD', 's')).toBe(500);
  });

  test('are not answered more often than a reply can hold', () => {
    const harness = new CommandHarness();
    harness.call('SADD', 's', 'a');
    const reply = harness.call('SRANDMEMBER', 's', '-9223372036854775807') as RespValue;
    expect(String(reply)).toContain('out of range');
  });
});

test('an iteration sees every member', () => {
  const harness = new CommandHarness();
  const all = Array.from({ length: 1000 }, (_, i) => `member ${i}`);
  harness.call('SADD', 's', ...all);
  const seen = new Set<string>();
  let cursor = '0';
  do {
    const [next, members] = harness.call('SSCAN', 's', cursor, 'COUNT', 30) as [string, string[]];
    for (const member of members) seen.add(member);
    cursor = next;
  } while (cursor !== '0');
  expect(seen).toEqual(new Set(all));
});

test.each([
  ['SMEMBERS', 's'],
  ['SINTER', 's'],
  ['SUNION', 's'],
  ['SDIFF', 's'],
  ['SPOP', 's', 5],
])('%s answers a set in RESP3', (...command) => {
  const harness = new CommandHarness();
  harness.client.protocol = 3;
  harness.call('SADD', 's', 1, 'a');
  expect(harness.call(...command)).toEqual(new Set(['1', 'a']));
});
