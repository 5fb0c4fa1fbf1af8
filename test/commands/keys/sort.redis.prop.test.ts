/** SORT with random options beside a real server, on lists, sets and sorted sets. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { EventClass } from '../../../src/commands/ports.ts';
import { CommandHarness } from '../../support/command-harness.ts';
import { Differential } from '../../support/differential.ts';
import { RecordedRedis } from '../../support/recorded-redis.ts';
import type { Argument } from '../../support/resp-client.ts';
import { testSeed } from '../../support/seed.ts';

const ROUNDS = 1500;
const ELEMENTS = 60;

let redis: RecordedRedis;

beforeAll(async () => {
  // Without misses: those of a set come in the order of its table.
  redis = await RecordedRedis.start(['--notify-keyspace-events', 'EAn']);
});

afterAll(async () => {
  await redis.stop();
});

/**
 * Keys to sort, and keys named after their elements: each element has a word, some have a weight,
 * some a hash.
 */
function dataset(prng: Prng): Argument[][] {
  const commands: Argument[][] = [
    ['SET', 'string', 'x'],
    ['HSET', 'hash', 'f', 'v'],
  ];
  for (let n = 0; n < ELEMENTS; n++) {
    commands.push(['SET', `word_${n}_`, `w${(n * 37) % ELEMENTS}`]);
    if (n % 3 > 0) commands.push(['SET', `weight_${n}`, n % 7 === 0 ? ' -1.5' : prng.below(20)]);
    if (n % 4 > 0)
      commands.push(['HSET', `obj_${n}`, 'weight', prng.below(10), 'name', `name ${n}`]);
    if (n % 5 > 0)
      commands.push(
        ['RPUSH', 'list', n],
        ['SADD', 'words', `word ${n}`],
        ['RPUSH', 'mixed', `x${n}`],
      );
    if (n % 4 > 0) commands.push(['ZADD', 'zset', prng.below(100), n], ['SADD', 'numbers', n]);
    if (n % 11 === 0) commands.push(['LPUSH', 'list', -n, `${n}.5`, n, '1e3']);
  }
  for (let n = 0; n < 300; n++)
    commands.push(['ZADD', 'large', prng.below(1000), n], ['SADD', 'many', n]);
  commands.push(['RPUSH', 'odd', '', '  7', 'inf', '-inf', '0x10', '3']);
  return commands;
}

class Generator {
  /** Whether what is streamed as a list is stored: that is a form of our own. */
  storesLists = false;
  readonly #prng: Prng;

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  #of<T>(...choices: readonly T[]): T {
    return choices[this.#prng.below(choices.length)]!;
  }

  #maybe(words: () => Argument[], oneIn = 2): Argument[] {
    return this.#prng.below(oneIn) === 0 ? words() : [];
  }

  #number(): Argument {
    return this.#prng.below(30) === 0
      ? this.#of<Argument>('abc', '', '9223372036854775808')
      : this.#prng.below(30) - 5;
  }

  /**
   * Sorts by numbers: elements with equal ones are in their own order, so that there is one result.
   */
  #byNumber(): Argument[] {
    return ['BY', this.#of('weight_*', 'obj_*->weight', 'word_*_', 'nothing_*', 'no*', 'obj_*->')];
  }

  sort(): Argument[] {
    const key = this.#of(
      'list',
      'zset',
      'numbers',
      'large',
      'many',
      'words',
      'mixed',
      'odd',
      'nothing',
      'string',
      'hash',
    );
    const isSet = ['numbers', 'many', 'words'].includes(key);
    const order = this.#of<() => Argument[]>(
      () => [],
      () => this.#byNumber(),
      () => ['ALPHA'],
      () =>
        key === 'list' || key === 'zset'
          ? ['BY', 'word_*_', 'ALPHA', 'GET', '#', 'GET', 'word_*_']
          : ['alpha'],
      () => (isSet ? ['asc'] : ['BY', this.#of('nosort', '#')]),
    )();
    const read = this.#prng.below(5) === 0;
    const isListed =
      order.includes('word_*_') ||
      !order.some((word) => /^(?:alpha|nosort|#)$/i.test(String(word)));
    const stores = this.#maybe(() => ['STORE', this.#of('dst', 'dst2', 'string2')], read ? 20 : 3);
    // Of ties between texts there is no one result: elements without a word are in no list that is
    // sorted by words.
    const fixed =
      order.includes('word_*_') && order.includes('ALPHA')
        ? key === 'zset'
          ? key
          : 'numbers'
        : key;
    return [
      read ? 'SORT_RO' : this.#of('SORT', 'sort'),
      fixed,
      ...order,
      ...this.#maybe(() => ['LIMIT', this.#number(), this.#number()]),
      ...this.#maybe(() => [
        'GET',
        this.#of('#', 'weight_*', 'obj_*->name', 'word_*_', 'fixed', '*', 'hash*->f'),
      ]),
      ...this.#maybe(() => ['GET', this.#of('#', 'weight_*')], 4),
      ...this.#maybe(() => [this.#of('ASC', 'DESC', 'desc')]),
      ...(isListed && !this.storesLists ? [] : stores),
      ...this.#maybe(() => [this.#of<Argument>('BAD', 'LIMIT', 'GET', 'STORE')], 40),
    ];
  }
}

test('random sorts have the same result as on a real server', { timeout: 180_000 }, async () => {
  const prng = new Prng(testSeed('sort'));
  const generator = new Generator(prng);
  const differential = new Differential(redis);
  differential.harness.server.eventClasses &= ~EventClass.KEY_MISS;
  await differential.run(dataset(prng));
  for (let batch = 0; batch < 5; batch++) {
    generator.storesLists = batch % 2 === 1;
    differential.comparesStream = !generator.storesLists;
    const commands: Argument[][] = [];
    while (commands.length < ROUNDS / 5) {
      commands.push(generator.sort());
      if (prng.below(4) === 0) commands.push(['LRANGE', 'dst', 0, -1]);
      if (prng.below(20) === 0)
        commands.push(['SET', 'string2', 'x'], ['PEXPIRE', 'dst', 10_000_000]);
    }
    await differential.run(commands);
  }
  differential.comparesStream = true;
  const { harness } = differential;
  await differential.run([
    ['LRANGE', 'dst', 0, -1],
    ['LRANGE', 'dst2', 0, -1],
    ['TYPE', 'string2'],
    ['OBJECT', 'ENCODING', 'dst'],
    ['SORT', 'many', 'BY', 'nosort', 'STORE', 'dst'],
    ['LRANGE', 'dst', 0, -1],
  ]);
  expect(harness.call('LLEN', 'dst')).toBe(300);
  harness.keyspace.validate();
});

test('what is sorted by numbers, or by other keys, and stored is streamed as a list', () => {
  const harness = new CommandHarness();
  harness.call('RPUSH', 'list', '10', '9', '1.5');
  const streamOf = (...command: string[]): string[] =>
    harness.run(...command).stream.map(({ words }) => words.join(' '));
  expect(streamOf('SORT', 'list', 'STORE', 'dst')).toEqual(['DEL dst', 'RPUSH dst 1.5 9 10']);
  expect(streamOf('SORT', 'list', 'GET', 'none*', 'LIMIT', '0', '1', 'STORE', 'dst')).toEqual([
    'DEL dst',
    'RPUSH dst ',
  ]);
  expect(streamOf('SORT', 'none', 'STORE', 'dst')).toEqual(['DEL dst']);
  expect(streamOf('SORT', 'none', 'STORE', 'dst')).toEqual([]);
  expect(streamOf('SORT', 'list', 'ALPHA', 'STORE', 'dst')).toEqual(['SORT list ALPHA STORE dst']);
  // Equal weights: a redis-server has another order when there is a limit.
  expect(
    streamOf('SORT', 'list', 'ALPHA', 'BY', 'none*', 'LIMIT', '0', '2', 'STORE', 'dst'),
  ).toEqual(['DEL dst', 'RPUSH dst 10 9']);
  harness.call('RPUSH', 'long', ...Array.from({ length: 2500 }, (_, i) => `${i}`));
  const lengths = harness
    .run('SORT', 'long', 'STORE', 'dst')
    .stream.map(({ words }) => words.length);
  expect(lengths).toEqual([2, 1026, 1026, 454]);
});
