/**
 * What is dead is let go of: no view that a structure or a command has kept holds a group of
 * segments alive.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { MIB } from '../../src/base/units.ts';
import { CommandHarness } from '../support/command-harness.ts';
import type { Argument } from '../support/resp-client.ts';
import { waitFor } from '../support/wait-for.ts';

const collect = (): void => {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
};

const value = Buffer.alloc(40 * MIB, 'x');
const COUNT = 4;

test.each<[string, (i: number) => Argument[][], Argument[][]]>([
  [
    'fields',
    (i) => [
      ['HSET', 'key', `f${i}`, value],
      ['HGET', 'key', `f${i}`],
      ['HSTRLEN', 'key', `f${i}`],
    ],
    Array.from({ length: COUNT }, (_, i) => ['HDEL', 'key', `f${i}`]),
  ],
  [
    'strings',
    (i) => [
      ['SET', `key:${i}`, value],
      ['APPEND', `key:${i}`, 'y'],
      ['GETRANGE', `key:${i}`, 0, 10],
    ],
    Array.from({ length: COUNT }, (_, i) => ['DEL', `key:${i}`]),
  ],
  [
    'elements of a list',
    (i) => [
      ['RPUSH', 'key', `${i}`, value],
      ['LINDEX', 'key', 1],
      ['LINSERT', 'key', 'BEFORE', `${i}`, 'text'],
    ],
    [['LTRIM', 'key', 1, 0]],
  ],
  [
    'members',
    (i) => [
      ['SADD', 'key', Buffer.concat([Buffer.from(`${i}`), value])],
      ['ZADD', 'other', 1, Buffer.concat([Buffer.from(`${i}`), value])],
      ['ZRANGE', 'other', 0, 0],
      ['SRANDMEMBER', 'key'],
    ],
    [['DEL', 'key', 'other']],
  ],
  [
    'entries of a stream',
    (i) => [
      ['XADD', 'key', `${i + 1}-1`, 'f', value],
      ['XRANGE', 'key', '-', '+', 'COUNT', 1],
    ],
    [['XTRIM', 'key', 'MAXLEN', 0]],
  ],
])('%s of 40 MB leave nothing behind', { timeout: 180_000 }, async (_name, add, remove) => {
  const harness = new CommandHarness();
  const { keyspace } = harness;
  for (let i = 0; i < COUNT; i++) for (const command of add(i)) harness.run(...command);
  const buffers = new Set(
    keyspace.arena.u8.filter(({ length }) => length > 0).map(({ buffer }) => buffer),
  );
  const before = [...buffers].map((buffer) => new WeakRef(buffer));
  buffers.clear();
  expect(keyspace.arena.usedBytes).toBeGreaterThan(COUNT * value.length);
  for (const command of remove) harness.run(...command);
  while (keyspace.freeSome(1000));
  expect(keyspace.arena.usedBytes).toBeLessThan(MIB);
  expect(keyspace.tidy()).toBe(true);
  expect(keyspace.tidy()).toBe(false);
  harness.context.forgetViews();
  // What lives on is the first segment, the spare, and what a small object pins.
  const left = (): number => before.filter((ref) => ref.deref() !== undefined).length;
  await waitFor(
    () => {
      collect();
      return (
        left() <=
        new Set(keyspace.arena.u8.filter(({ length }) => length > 0).map((u8) => u8.buffer)).size
      );
    },
    { what: 'the groups to be collected' },
  );
  expect(
    new Set(keyspace.arena.u8.filter(({ length }) => length > 0).map((u8) => u8.buffer)).size,
  ).toBe(2);
});
