/**
 * Datasets of a few segments that are filled until commands are refused: all stays readable, and
 * deletions help.
 */
import { expect, test } from 'vitest';
import { MIB } from '../../src/base/units.ts';
import { digestDataset } from '../../src/server/admin/debug/digest.ts';
import { CommandHarness } from '../support/command-harness.ts';
import { Refusals } from '../support/refusals.ts';
import type { Argument } from '../support/resp-client.ts';
import { validateValues } from '../support/validate-values.ts';

function harnessOf(segmentsMax: number): CommandHarness {
  return new CommandHarness({ databases: 2, arena: { segmentsMax } });
}

/** Runs what `make` makes of 0, 1, 2, … until one is refused; returns how many were not. */
function runUntilRefused(harness: CommandHarness, make: (i: number) => Argument[]): number {
  for (let i = 0; ; i++) {
    const before = harness.keyspace.arena.isTight ? harness.keyspace.arena.usedBytes : -1;
    if (harness.runGuarded(...make(i)) !== undefined) continue;
    expect(harness.keyspace.arena.usedBytes).toBe(before);
    return i;
  }
}

const large = Buffer.alloc(40 * MIB, 'x');

test('values of 40 MB', { timeout: 180_000 }, () => {
  const harness = harnessOf(6);
  const { keyspace } = harness;
  const count = runUntilRefused(harness, (i) => ['SET', `key:${i}`, large]);
  // 384 MiB of addresses.
  expect(count).toBeGreaterThanOrEqual(8);
  for (let i = 0; i < count; i++) {
    expect(harness.call('STRLEN', `key:${i}`)).toBe(large.length);
    expect(harness.call('GETRANGE', `key:${i}`, -3, -1)).toBe('xxx');
  }
  expect(harness.runGuarded('APPEND', 'key:0', 'y'.repeat(5000))).toBeUndefined();
  expect(harness.call('STRLEN', 'key:0')).toBe(large.length);
  expect(harness.call('EXISTS', 'key:0', `key:${count}`)).toBe(1);
  // Small ones still find their place in the gaps.
  expect(harness.runGuarded('SET', 'small', 'value')).toBeDefined();
  keyspace.validate();
  expect(harness.runGuarded('DEL', 'key:1', 'key:2')!.reply).toBe(2);
  expect(harness.runGuarded('SET', 'again', large)).toBeDefined();
  // In its place, without room for a second one.
  expect(harness.runGuarded('SETRANGE', 'again', 5, 'zzz')).toBeDefined();
  expect(harness.call('GETRANGE', 'again', 4, 8)).toBe('xzzzx');
  keyspace.validate();
  for (let i = 0; i < count; i++) harness.runGuarded('DEL', `key:${i}`);
  harness.runGuarded('DEL', 'again', 'small');
  keyspace.tidy();
  expect(keyspace.arena.pageUseBytes).toBeLessThan(4 * MIB);
});

test('keys of 20 kB', { timeout: 180_000 }, () => {
  const harness = harnessOf(2);
  const { keyspace } = harness;
  const value = Buffer.alloc(20_000, 'v');
  const count = runUntilRefused(harness, (i) => ['SET', `key:${i}`, value]);
  expect(count * value.length).toBeGreaterThan(100 * MIB);
  expect(keyspace.keyCount).toBe(count);
  for (let i = 0; i < count; i += 7) expect(harness.call('STRLEN', `key:${i}`)).toBe(20_000);
  validateValues(keyspace);
  for (let i = 0; i < count; i += 2) expect(harness.runGuarded('DEL', `key:${i}`)!.reply).toBe(1);
  for (let i = 0; i < count / 4; i++)
    expect(harness.runGuarded('SET', `new:${i}`, value)).toBeDefined();
  validateValues(keyspace);
  // A long value needs pages side by side: there are some once all is gone.
  expect(harness.runGuarded('SET', 'long', large)).toBeUndefined();
  harness.call('FLUSHDB');
  while (keyspace.freeSome(1000));
  expect(harness.runGuarded('SET', 'long', large)).toBeDefined();
  keyspace.validate();
});

test.each([
  ['a list', (i: number, part: Buffer) => ['RPUSH', 'value', 'a', part, `${i}`]],
  [
    'a list of long elements',
    (i: number) => ['RPUSH', 'value', `${i}`, Buffer.alloc(3 * MIB, 'e')],
  ],
  ['a hash', (i: number, part: Buffer) => ['HSET', 'value', `f${i}`, part, `g${i}`, 'x']],
  ['a set', (i: number, part: Buffer) => ['SADD', 'value', `${i}`, Buffer.from(`${i}${part}`)]],
  [
    'a sorted set',
    (i: number, part: Buffer) => ['ZADD', 'value', i, Buffer.from(`${i}${part}`), 1, `m${i}`],
  ],
  ['a stream', (i: number, part: Buffer) => ['XADD', 'value', `1-${i + 1}`, 'field', part]],
] satisfies [string, (i: number, part: Buffer) => Argument[]][])(
  '%s that grows',
  { timeout: 180_000 },
  (_, make) => {
    const harness = harnessOf(2);
    const { keyspace } = harness;
    const part = Buffer.alloc(20_000, 'p');
    harness.run('SET', 'other', 'value');
    const count = runUntilRefused(harness, (i) => make(i, part));
    expect(count).toBeGreaterThan(30);
    const digest = digestDataset(keyspace);
    for (let i = 0; i < 4; i++) harness.runGuarded(...make(count + i, Buffer.alloc(9 * MIB, 'p')));
    expect(digestDataset(keyspace)).toBe(digest);
    expect(validateValues(keyspace)).toBe(1);
    expect(harness.runGuarded('DEL', 'value')!.reply).toBe(1);
    while (keyspace.freeSome(1000));
    expect(harness.runGuarded(...make(0, part))).toBeDefined();
    validateValues(keyspace);
  },
);

test('a database is emptied without memory for another table', () => {
  const refusals = new Refusals();
  const harness = new CommandHarness({ databases: 2, arena: { refuses: refusals.refuses } });
  const { keyspace } = harness;
  for (let i = 0; i < 5000; i++) harness.run('SET', `key:${i}`, 'value', 'EX', 100 + i);
  for (let i = 0; i < 500; i++) harness.run('RPUSH', 'list', `${i}`.repeat(100));
  refusals.all = true;
  expect(harness.run('FLUSHDB').reply).toBe('OK');
  refusals.none();
  expect([keyspace.keyCount, keyspace.databases[0]!.deadlineCount]).toEqual([0, 0]);
  while (keyspace.freeSome(1000));
  keyspace.validate();
  expect(harness.run('SET', 'key', 'value').reply).toBe('OK');
});

test('a guarded unit takes exchanged databases and what is to be freed back', () => {
  const harness = harnessOf(8);
  const { keyspace } = harness;
  harness.run('SET', 'a', '1', 'EX', 100);
  for (let i = 0; i < 2000; i++) harness.run('RPUSH', 'list', `${i}`.repeat(50));
  const digest = digestDataset(keyspace);
  keyspace.beginGuarded();
  harness.run('DEL', 'list');
  harness.run('SWAPDB', 0, 1);
  keyspace.flush(1);
  expect(keyspace.freeing).toBe(true);
  keyspace.rollbackGuarded();
  expect(keyspace.freeing).toBe(false);
  expect(digestDataset(keyspace)).toBe(digest);
  expect(validateValues(keyspace)).toBe(1);
});
