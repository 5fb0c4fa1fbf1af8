/**
 * Random commands on streams beside a real server: replies, stream, key events and counts of
 * changes are the same after every batch. With small nodes and with the default ones. An image of
 * our memory is frozen and thawed meanwhile.
 *
 * A Redis 7.0 lets replicas guess how much a group has read, later ones tell it: that is taken out
 * before streams are compared. Consumers are made before they read: a Redis 7.0 makes them only
 * when they are given something, later ones always.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { Differential } from '../../support/differential.ts';
import { RecordedRedis } from '../../support/recorded-redis.ts';
import type { Argument } from '../../support/resp-client.ts';
import { testSeed } from '../../support/seed.ts';

const BATCH = 300;
const BATCHES = 8;
const FREEZE_EVERY = 130;
const GROUPS = ['g1', 'g2'];
const CONSUMERS = ['alice', 'bob', 'carol'];

class Generator {
  readonly #prng: Prng;

  constructor(prng: Prng) {
    this.#prng = prng;
  }

  #of<T>(...choices: readonly T[]): T {
    return choices[this.#prng.below(choices.length)]!;
  }

  #maybe(...words: Argument[]): Argument[] {
    return this.#prng.below(3) === 0 ? words : [];
  }

  #key(): string {
    return this.#prng.below(40) === 0 ? this.#of('string', 'nothing') : `s${this.#prng.below(3)}`;
  }

  #group(): string {
    return this.#prng.below(25) === 0 ? 'nobody' : this.#of(...GROUPS);
  }

  #consumer(): string {
    return this.#of(...CONSUMERS);
  }

  #id(): string {
    const below = (n: number): number => this.#prng.below(n);
    if (below(40) === 0) {
      return this.#of('x', '1-', '-1', '1-x', '18446744073709551616', '5-*', '', '007-01');
    }
    return below(4) === 0 ? String(below(400)) : `${below(400)}-${below(4)}`;
  }

  #bound(open: string): string {
    const n = this.#prng.below(10);
    if (n < 3) return open;
    return n < 6 ? `(${this.#id()}` : this.#id();
  }

  #trim(): Argument[] {
    const operator = this.#of<Argument[]>([], ['='], ['~'], ['~']);
    const bound: Argument[] =
      this.#prng.below(2) === 0
        ? ['MAXLEN', ...operator, this.#prng.below(60)]
        : ['MINID', ...operator, this.#id()];
    return [...bound, ...this.#maybe('LIMIT', this.#prng.below(40))];
  }

  #fields(): Argument[] {
    const fields: Argument[] = [];
    for (let left = 1 + this.#prng.below(3); left > 0; left--) {
      fields.push(
        this.#of<Argument>('name', 'other', 7),
        this.#of<Argument>(this.#prng.below(1e6), 'x'.repeat(this.#prng.below(90)), -1),
      );
    }
    return fields;
  }

  command(): Argument[] {
    const below = (n: number): number => this.#prng.below(n);
    const key = this.#key();
    const group = this.#group();
    switch (below(22)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
      case 5:
        return [
          'XADD',
          key,
          ...this.#maybe('NOMKSTREAM'),
          ...(below(6) === 0 ? this.#trim() : []),
          below(3) === 0 ? `${below(400)}-*` : this.#id(),
          ...this.#fields(),
        ];
      case 6:
        return ['XTRIM', key, ...this.#trim()];
      case 7:
        return ['XDEL', key, this.#id(), ...this.#maybe(this.#id(), this.#id())];
      case 8:
        return [
          'XRANGE',
          key,
          this.#bound('-'),
          this.#bound('+'),
          ...this.#maybe('COUNT', below(20) - 2),
        ];
      case 9:
        return [
          'XREVRANGE',
          key,
          this.#bound('+'),
          this.#bound('-'),
          ...this.#maybe('COUNT', below(20) - 2),
        ];
      case 10:
        return [
          'XREAD',
          ...this.#maybe('COUNT', below(9)),
          'STREAMS',
          key,
          's1',
          this.#id(),
          this.#of('$', this.#id()),
        ];
      case 11:
      case 12:
      case 13:
        return [
          'XREADGROUP',
          'GROUP',
          group,
          this.#consumer(),
          'COUNT',
          below(9),
          ...this.#maybe('NOACK'),
          'STREAMS',
          key,
          this.#of('>', '>', '>', this.#id()),
        ];
      case 14:
        return ['XACK', key, group, this.#id(), this.#id(), this.#id()];
      case 15:
        return below(2) === 0
          ? ['XPENDING', key, group]
          : [
              'XPENDING',
              key,
              group,
              this.#bound('-'),
              this.#bound('+'),
              below(20),
              ...this.#maybe(this.#consumer()),
            ];
      case 16:
      case 17:
        return [
          'XCLAIM',
          key,
          group,
          this.#consumer(),
          0,
          this.#id(),
          this.#id(),
          ...this.#maybe('FORCE'),
          ...this.#maybe('JUSTID'),
          ...this.#maybe('RETRYCOUNT', below(9)),
          ...this.#maybe('IDLE', 0),
          ...this.#maybe('LASTID', this.#id()),
        ];
      case 18:
        return [
          'XAUTOCLAIM',
          key,
          group,
          this.#consumer(),
          0,
          this.#bound('-'),
          ...this.#maybe('COUNT', below(9)),
          ...this.#maybe('JUSTID'),
        ];
      case 19:
        if (below(3) > 0) return ['XINFO', 'GROUPS', key];
        return below(2) === 0
          ? [
              'XGROUP',
              'SETID',
              key,
              group,
              this.#of('$', '0', this.#id()),
              ...this.#maybe('ENTRIESREAD', below(50)),
            ]
          : ['XGROUP', 'DELCONSUMER', key, group, 'dave'];
      case 20:
        return below(4) === 0
          ? [
              'XSETID',
              key,
              `${400 + below(10)}`,
              ...this.#maybe('ENTRIESADDED', below(900), 'MAXDELETEDID', this.#id()),
            ]
          : ['XLEN', key];
      default:
        if (below(12) === 0) return this.#of(['DEL', key], ['XGROUP', 'DESTROY', key, 'g2']);
        return below(8) === 0
          ? ['COPY', key, 's2', 'REPLACE']
          : ['XREADGROUP', 'GROUP', group, 'alice', 'STREAMS', key, '0'];
    }
  }

  /** Makes sure that what most commands talk about is there. */
  preparation(): Argument[][] {
    const commands: Argument[][] = [];
    for (const key of ['s0', 's1', 's2']) {
      for (const group of GROUPS) {
        commands.push(['XGROUP', 'CREATE', key, group, 0, 'MKSTREAM']);
        for (const consumer of CONSUMERS)
          commands.push(['XGROUP', 'CREATECONSUMER', key, group, consumer]);
      }
    }
    return commands;
  }
}

/**
 * Takes what a Redis 7.0 does not tell out of what came of a read: the commands of the stream from
 * `from` on.
 */
function asInRedis70(stream: string[][], from: number): void {
  const unit = stream.splice(from);
  const isFrame = ([name]: readonly string[]): boolean => name === 'MULTI' || name === 'EXEC';
  const kept = unit.filter((words) => !isFrame(words) && words[1] !== 'SETID');
  const selects = kept.filter(([name]) => name === 'SELECT');
  const claims = kept.filter(([name]) => name !== 'SELECT');
  stream.push(...selects, ...(claims.length > 1 ? [['MULTI'], ...claims, ['EXEC']] : claims));
}

describe.each([
  ['small nodes', 5, 200],
  ['default nodes', 100, 4096],
])('with %s', (_, entries, bytes) => {
  let redis: RecordedRedis;

  beforeAll(async () => {
    redis = await RecordedRedis.start([
      '--stream-node-max-entries',
      String(entries),
      '--stream-node-max-bytes',
      String(bytes),
    ]);
  });

  afterAll(async () => {
    await redis.stop();
  });

  test('commands do what those of a real server do', async () => {
    const prng = new Prng(testSeed('commands'));
    const both = new Differential(redis, {
      settings: { streamNodeMaxEntries: entries, streamNodeMaxBytes: bytes },
    });
    const generator = new Generator(prng);
    const { harness } = both;
    await both.run([['SET', 'string', 'x']]);
    let steps = 0;
    let streamed = 0;
    let commands: Argument[][] = [];
    const between = (index: number): void => {
      const before = commands[index - 1];
      const deaf = before?.[0] === 'XREADGROUP' && !before.includes('NOACK');
      if (deaf) asInRedis70(harness.stream, streamed);
      streamed = harness.stream.length;
      if (++steps % FREEZE_EVERY !== 0) return;
      const { keyspace } = harness;
      if (keyspace.arena.frozen) keyspace.thaw();
      else
        keyspace.freeze(
          1 << 28,
          () => undefined,
          () => undefined,
        );
    };
    for (let batch = 0; batch < BATCHES; batch++) {
      await both.run(generator.preparation());
      streamed = harness.stream.length;
      commands = Array.from({ length: BATCH }, () => generator.command());
      commands.push(['PING']);
      await both.run(commands, between);
      const { structures, databases } = harness.keyspace;
      for (const key of ['s0', 's1', 's2']) {
        const name = Buffer.from(key);
        const entry = databases[0]!.find(name, 0, name.length);
        if (entry !== 0) structures.streams.validate(databases[0]!.value(entry));
      }
    }
    if (harness.keyspace.arena.frozen) harness.keyspace.thaw();
    await both.compareKeyspace([0], (type, key) =>
      type === 'stream' ? ['XRANGE', key, '-', '+'] : ['GET', key],
    );
    harness.call('FLUSHALL');
    expect(harness.keyspace.keyCount).toBe(0);
  });
});
