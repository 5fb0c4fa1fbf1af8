/**
 * Random commands on places beside a real server: replies digit for digit, stream, key events,
 * counts of changes. Not STOREDIST, which is streamed in another form and stores a last digit that
 * depends on the C library.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { CommandHarness } from '../../support/command-harness.ts';
import { Differential } from '../../support/differential.ts';
import { RecordedRedis } from '../../support/recorded-redis.ts';
import type { Argument } from '../../support/resp-client.ts';
import { testSeed } from '../../support/seed.ts';

const BATCH = 400;
const BATCHES = 10;

let redis: RecordedRedis;

beforeAll(async () => {
  redis = await RecordedRedis.start();
});

afterAll(async () => {
  await redis.stop();
});

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

  #key(): string {
    return this.#prng.below(60) === 0 ? 'string' : `g${this.#prng.below(4)}`;
  }

  #member(): string {
    return `m${this.#prng.below(120)}`;
  }

  /** All over the earth, near one place, or no place at all. */
  #place(): Argument[] {
    const float = (): number => this.#prng.float();
    const kind = this.#prng.below(40);
    if (kind === 0)
      return this.#of<Argument[]>(
        [181, 0],
        [0, 86],
        ['x', 1],
        [1, 'nan'],
        ['1e30', 5],
        [-180.5, -90],
      );
    if (kind === 1)
      return this.#of<Argument[]>([180, 85.05112878], [-180, -85.05112878], [0, 0], [180, 0]);
    if (kind < 15) return [13.361389 + float() * 2, 38.115556 + float()];
    if (kind < 20) return [float() * 360 - 180, 66 + float() * 19];
    return [float() * 360 - 180, float() * 170 - 85];
  }

  #unit(): string {
    return this.#prng.below(40) === 0 ? 'yd' : this.#of('m', 'km', 'FT', 'mi');
  }

  #length(): Argument {
    if (this.#prng.below(40) === 0) return this.#of<Argument>(-1, 'x', '', 0);
    return this.#of<Argument>(
      1,
      50,
      200,
      5000,
      20_000,
      1e6,
      this.#prng.float() * 10 ** this.#prng.below(8),
    );
  }

  #options(): Argument[] {
    const options: Argument[] = [];
    for (const option of ['WITHDIST', 'withcoord', 'WITHHASH', 'ASC', 'DESC'])
      if (this.#prng.below(3) === 0) options.push(option);
    if (this.#prng.below(3) === 0) options.push('COUNT', this.#of<Argument>(1, 3, 10, 1000, 1000));
    if (this.#prng.below(40) === 0)
      options.push(this.#of<Argument>('ANY', 'BAD', 'COUNT', 'STORE'));
    if (this.#prng.below(10) === 0) options.push('COUNT', this.#of<Argument>(1, 5, 0, 'x'), 'ANY');
    return options;
  }

  #shape(): Argument[] {
    const centre = this.#of<Argument[]>(
      ['FROMMEMBER', this.#member()],
      ['FROMLONLAT', ...this.#place()],
    );
    const shape = this.#of<Argument[]>(
      ['BYRADIUS', this.#length(), this.#unit()],
      ['byBox', this.#length(), this.#length(), this.#unit()],
    );
    switch (this.#prng.below(40)) {
      case 0:
        return [...centre, 'WITHDIST', 'ASC', 'DESC'];
      case 1:
        return [...shape, 'WITHDIST', 'ASC'];
      case 2:
        return [...centre, ...centre, ...shape, 'FROMLONLAT', 1, 2];
      default:
        return this.#prng.below(2) === 0 ? [...centre, ...shape] : [...shape, ...centre];
    }
  }

  writes(): Argument[] {
    const triples = (): Argument[] => [...this.#place(), this.#member()];
    const options = this.#of<Argument[]>(
      [],
      [],
      [],
      ['NX'],
      ['xx'],
      ['CH'],
      ['NX', 'CH'],
      ['XX', 'NX'],
    );
    return this.#of<() => Argument[]>(
      () => ['GEOADD', this.#key(), ...options, ...triples(), ...triples(), ...triples()],
      () => ['GEOADD', this.#key(), ...triples()],
      () => ['GEOADD', this.#key(), ...triples(), 1],
      () => ['ZREM', this.#key(), this.#member()],
      () => ['ZADD', this.#key(), this.#of<Argument>(-1, 1e17, 'inf', 5.5, 0), 'odd'],
      () => ['ZREM', this.#key(), 'odd'],
      () => [
        'GEOSEARCHSTORE',
        this.#key(),
        this.#key(),
        ...this.#shape(),
        ...this.#maybe('ANY', 'COUNT', 3),
      ],
      () => ['GEOSEARCHSTORE', this.#key(), this.#key(), ...this.#shape(), ...this.#options()],
      () => [
        'GEORADIUS',
        this.#key(),
        ...this.#place(),
        this.#length(),
        this.#unit(),
        'store',
        this.#key(),
      ],
      () => [
        'GEORADIUSBYMEMBER',
        this.#key(),
        this.#member(),
        this.#length(),
        this.#unit(),
        ...this.#options(),
        'STORE',
        this.#key(),
      ],
    )();
  }

  reads(): Argument[] {
    const key = this.#key();
    const readOnly = this.#of('', '_RO');
    return this.#of<() => Argument[]>(
      () => ['GEODIST', key, this.#member(), this.#member(), ...this.#maybe(this.#unit())],
      () => [
        'GEODIST',
        key,
        this.#member(),
        'odd',
        'm',
        ...(this.#prng.below(9) === 0 ? ['x'] : []),
      ],
      () => ['GEOHASH', key, this.#member(), this.#member(), 'odd'],
      () => ['GEOPOS', key, this.#member(), this.#member(), ...this.#maybe('odd')],
      () => ['GEOSEARCH', key, ...this.#shape(), ...this.#options()],
      () => ['geosearch', key, ...this.#options(), ...this.#shape()],
      () => [
        `GEORADIUS${readOnly}`,
        key,
        ...this.#place(),
        this.#length(),
        this.#unit(),
        ...this.#options(),
      ],
      () => [
        `GEORADIUSBYMEMBER${readOnly}`,
        key,
        this.#member(),
        this.#length(),
        this.#unit(),
        ...this.#options(),
      ],
    )();
  }
}

test('random commands on places have the same effect as on a real server', {
  timeout: 180_000,
}, async () => {
  const prng = new Prng(testSeed('geo'));
  const generator = new Generator(prng);
  const differential = new Differential(redis);
  await differential.run([
    ['SELECT', 0],
    ['SET', 'string', 'x'],
  ]);
  for (let batch = 0; batch < BATCHES; batch++) {
    const commands: Argument[][] = [];
    while (commands.length < BATCH)
      commands.push(prng.below(3) === 0 ? generator.writes() : generator.reads());
    await differential.run(commands);
  }
  await differential.compareKeyspace([0], (type, key) =>
    type === 'zset' ? ['ZRANGE', key, 0, -1, 'WITHSCORES'] : ['GET', key],
  );
});

test('the examples of the manual', () => {
  const harness = new CommandHarness();
  const added = harness.call(
    ...[
      'GEOADD',
      'Sicily',
      '13.361389',
      '38.115556',
      'Palermo',
      '15.087269',
      '37.502669',
      'Catania',
    ],
  );
  expect(added).toBe(2);
  expect(harness.call('GEODIST', 'Sicily', 'Palermo', 'Catania')).toBe('166274.1516');
  expect(harness.call('GEOHASH', 'Sicily', 'Palermo', 'Catania')).toEqual([
    'sqc8b49rny0',
    'sqdtr74hyu0',
  ]);
  expect(harness.call('GEOPOS', 'Sicily', 'Palermo', 'none')).toEqual([
    ['13.36138933897018433', '38.11555639549629859'],
    null,
  ]);
  const near = ['FROMLONLAT', 15, 37, 'BYRADIUS', 200, 'km', 'ASC', 'WITHDIST'];
  expect(harness.call('GEOSEARCH', 'Sicily', ...near)).toEqual([
    ['Catania', '56.4413'],
    ['Palermo', '190.4424'],
  ]);
});

test('stored distances are those that are answered, and are streamed as such', () => {
  const harness = new CommandHarness();
  harness.call(
    'GEOADD',
    'g',
    15,
    37,
    'centre',
    13.361389,
    38.115556,
    'Palermo',
    15.087269,
    37.502669,
    'Catania',
  );
  harness.call('SET', 'd', 'x');
  const stored = harness.run('GEORADIUSBYMEMBER', 'g', 'centre', 100, 'km', 'STOREDIST', 'd');
  expect(stored.reply).toBe(2);
  const pairs = harness.call('ZRANGE', 'd', 0, -1, 'WITHSCORES') as string[];
  expect(pairs[0]).toBe('centre');
  expect(Number(pairs[3]).toFixed(4)).toBe(harness.call('GEODIST', 'g', 'centre', 'Catania', 'km'));
  expect(stored.stream.map(({ words }) => words)).toEqual([
    ['DEL', 'd'],
    ['ZADD', 'd', pairs[1], 'centre', pairs[3], 'Catania'],
  ]);
  expect(
    harness.call(
      'GEOSEARCHSTORE',
      'd',
      'none',
      'FROMLONLAT',
      1,
      2,
      'BYRADIUS',
      1,
      'm',
      'STOREDIST',
    ),
  ).toBe(0);
  expect(harness.call('EXISTS', 'd')).toBe(0);
});
