/** Sorted sets: what a real 7.0 does not know, what has no order, RESP3, waiting, and memory. */
import { expect, test } from 'vitest';
import { CommandHarness } from '../../support/command-harness.ts';
import type { Argument } from '../../support/resp-client.ts';

function withMembers(count: number): CommandHarness {
  const harness = new CommandHarness();
  for (let i = 0; i < count; i++) harness.call('ZADD', 'z', i / 2, `m${i}`);
  return harness;
}

test('ZRANK tells the score too, as Redis 7.2 does', () => {
  const harness = withMembers(3);
  expect(harness.call('ZRANK', 'z', 'm1', 'WITHSCORE')).toEqual([1, '0.5']);
  expect(harness.call('ZREVRANK', 'z', 'm0', 'withscore')).toEqual([2, '0']);
  expect(harness.call('ZRANK', 'z', 'none', 'WITHSCORE')).toBeNull();
  expect(String(harness.call('ZRANK', 'z', 'm1', 'SCORE'))).toContain('ERR syntax error');
});

test.each([5, 1000])('ZSCAN of %i members finds each, and those alone that match', (count) => {
  const harness = withMembers(count);
  const seen = new Map<string, string>();
  let cursor = '0';
  do {
    const [next, pairs] = harness.call('ZSCAN', 'z', cursor, 'COUNT', 7) as [string, string[]];
    for (let i = 0; i < pairs.length; i += 2) seen.set(pairs[i]!, pairs[i + 1]!);
    cursor = next;
  } while (cursor !== '0');
  expect(seen.size).toBe(count);
  expect(seen.get('m3')).toBe('1.5');
  const [, matching] = harness.call('ZSCAN', 'z', 0, 'MATCH', 'm3', 'COUNT', 10_000) as [
    string,
    string[],
  ];
  expect(matching).toEqual(['m3', '1.5']);
});

test.each([5, 300])('ZRANDMEMBER of %i members draws from all of them', (count) => {
  const harness = withMembers(count);
  const few = harness.call('ZRANDMEMBER', 'z', 3) as string[];
  expect(new Set(few).size).toBe(3);
  const many = harness.call('ZRANDMEMBER', 'z', -2 * count) as string[];
  expect(many).toHaveLength(2 * count);
  expect(new Set(many).size).toBeLessThan(2 * count);
  const all = harness.call('ZRANDMEMBER', 'z', count + 1, 'WITHSCORES') as string[];
  expect(all).toHaveLength(2 * count);
  for (const member of [...few, ...many, harness.call('ZRANDMEMBER', 'z') as string])
    expect(harness.call('ZSCORE', 'z', member)).not.toBeNull();
});

test.each<[Argument[], unknown]>([
  [['ZSCORE', 'z', 'm1'], 0.5],
  [['ZADD', 'z', 'INCR', 1, 'm1'], 1.5],
  [['ZRANGE', 'z', 0, 0, 'WITHSCORES'], [['m0', 0]]],
  [
    ['ZPOPMIN', 'z'],
    ['m0', 0],
  ],
  [['ZPOPMIN', 'z', 1], [['m0', 0]]],
  [
    ['BZPOPMAX', 'z', 0],
    ['z', 'm2', 1],
  ],
  [
    ['ZMPOP', 1, 'z', 'MIN'],
    ['z', [['m0', 0]]],
  ],
  [
    ['ZUNION', 1, 'z', 'WITHSCORES'],
    [
      ['m0', 0],
      ['m1', 0.5],
      ['m2', 1],
    ],
  ],
  [['ZRANDMEMBER', 'z', -1, 'WITHSCORES'], [[expect.any(String), expect.any(Number)]]],
])('%j in RESP3', (command, expected) => {
  const harness = withMembers(3);
  harness.client.protocol = 3;
  expect(harness.call(...command)).toEqual(expected);
});

test('a command that finds nothing waits for its keys', () => {
  const harness = new CommandHarness();
  const one = harness.run('BZPOPMIN', 'a', 'b', '0.0015');
  expect(one.blocked).toMatchObject({ keys: [1, 2], timeoutMs: 2 });
  const many = harness.run('BZMPOP', 0, 2, 'a', 'b', 'MAX', 'COUNT', 2);
  expect(many.blocked).toMatchObject({ keys: [3, 4], timeoutMs: 0 });
  harness.call('ZADD', 'b', 1, 'x', 2, 'y', 3, 'z');
  const served = harness.run('BZMPOP', 0, 2, 'a', 'b', 'MAX', 'COUNT', 2);
  expect(served.reply).toEqual([
    'b',
    [
      ['z', '3'],
      ['y', '2'],
    ],
  ]);
  expect(served.stream.map(({ words }) => words)).toEqual([['ZPOPMAX', 'b', '2']]);
});

test('a timeout beyond all time is refused as by Redis 7.2', () => {
  const harness = new CommandHarness();
  expect(String(harness.call('BZPOPMIN', 'a', '1e300'))).toContain('ERR timeout is out of range');
});

test('a large set that goes is freed in slices', () => {
  const harness = withMembers(3000);
  const { keyspace } = harness;
  const used = keyspace.arena.usedBytes;
  expect(harness.call('DEL', 'z')).toBe(1);
  expect(keyspace.freeing).toBe(true);
  expect(keyspace.arena.usedBytes).toBeGreaterThan(used / 2);
  while (keyspace.freeSome(50));
  expect(keyspace.arena.usedBytes).toBeLessThan(used / 20);
  keyspace.validate();
});
