/**
 * Replies on hashes in RESP3, of a kind that random commands cannot compare, beside a real server.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CommandHarness } from '../../support/command-harness.ts';
import { type RealRedis, startRedis } from '../../support/real-redis.ts';
import type { RespClient } from '../../support/resp-client.ts';
import type { RespValue } from '../../support/resp-parser.ts';

const LARGE_FIELDS = 3000;

let redis: RealRedis;
let client: RespClient;
const harness = new CommandHarness();
harness.client.protocol = 3;

beforeAll(async () => {
  redis = await startRedis();
  client = await redis.client({ protocol: 3, bulk: 'latin1' });
  const setups = [
    ['HSET', 'two', 'a', '1', 'b', '2'],
    ['HSET', 'one', 'a', '1'],
    ['HSET', 'wide', 'a', 'x'.repeat(65)],
    ['SET', 'string', 'text'],
  ];
  for (const command of setups)
    expect(await client.call(...command)).toEqual(harness.call(...command));
  const large = Array.from({ length: LARGE_FIELDS }, (_, i) => [`field:${i}`, `${i}`]).flat();
  harness.call('HSET', 'large', ...large);
});

afterAll(async () => {
  await client.close();
  await redis.stop();
});

test.each([
  ['HGETALL two'],
  ['HGETALL wide'],
  ['HGETALL none'],
  ['HGETALL string'],
  ['HKEYS two'],
  ['HKEYS none'],
  ['HVALS two'],
  ['HGET two none'],
  ['HGET none a'],
  ['HMGET two a none b'],
  ['HMGET none a b'],
  ['HMGET string a'],
  ['HRANDFIELD none'],
  ['HRANDFIELD none 3 WITHVALUES'],
  ['HRANDFIELD one'],
  ['HRANDFIELD one 5'],
  ['HRANDFIELD one -2'],
  ['HRANDFIELD one -2 WITHVALUES'],
  ['HRANDFIELD one 1 withvalues'],
  ['HRANDFIELD two 2 WITHVALUES'],
  ['HRANDFIELD wide -2 WITHVALUES'],
  ['HRANDFIELD string 1'],
  ['HRANDFIELD two 1 VALUES'],
  ['HRANDFIELD two -9223372036854775808'],
  ['HRANDFIELD two 4611686018427387904 WITHVALUES'],
  ['HSCAN none 0'],
  ['HSCAN two 0'],
  ['HSCAN two 0 MATCH a*'],
  ['HSCAN two 0 MATCH x COUNT 1'],
  ['HSCAN wide 0'],
  ['HINCRBYFLOAT number c 1.5'],
  ['HINCRBYFLOAT number c inf'],
  ['HSET two odd'],
  ['HSET two a 1 b'],
  ['HMSET two a 1 b'],
])('%s is answered as by the real server', async (command) => {
  const words = command.split(' ');
  expect(harness.call(...words)).toEqual(await client.command(...words));
});

describe('HRANDFIELD on a hash of any size', () => {
  test.each([
    ['two', 2],
    ['large', LARGE_FIELDS],
  ])('answers different fields for a positive count: %s', (key, size) => {
    for (const count of [
      1,
      Math.floor(size / 10),
      Math.floor(size / 2),
      size - 1,
      size,
      size + 5,
    ]) {
      const fields = harness.call('HRANDFIELD', key, count) as string[];
      expect(fields).toHaveLength(Math.min(count, size));
      expect(new Set(fields).size).toBe(fields.length);
      const pairs = harness.call('HRANDFIELD', key, count, 'WITHVALUES') as string[][];
      expect(pairs).toHaveLength(fields.length);
      for (const [field, value] of pairs) expect(harness.call('HGET', key, field!)).toBe(value);
    }
  });

  test('answers as many as asked for with a negative count', () => {
    expect(harness.call('HRANDFIELD', 'large', -5000)).toHaveLength(5000);
    expect(new Set(harness.call('HRANDFIELD', 'two', -200) as string[])).toEqual(
      new Set(['a', 'b']),
    );
  });
});

test('HSCAN answers every field of a large hash, some at a time', () => {
  const seen = new Map<string, string>();
  let cursor = '0';
  let calls = 0;
  do {
    const [next, elements] = harness.call('HSCAN', 'large', cursor, 'COUNT', 100) as [
      string,
      RespValue[],
    ];
    for (let i = 0; i < elements.length; i += 2)
      seen.set(String(elements[i]), String(elements[i + 1]));
    cursor = next;
    calls++;
  } while (cursor !== '0');
  expect(seen.size).toBe(LARGE_FIELDS);
  for (const [field, value] of seen) expect(field).toBe(`field:${value}`);
  expect(calls).toBeGreaterThan(10);
});

test('a hash too large for a listpack stays a table when it shrinks', () => {
  harness.call('HSET', 'shrinking', 'a', 'x'.repeat(65), 'b', '1');
  expect(harness.call('OBJECT', 'ENCODING', 'shrinking')).toBe('hashtable');
  harness.call('HDEL', 'shrinking', 'a');
  expect(harness.call('OBJECT', 'ENCODING', 'shrinking')).toBe('hashtable');
  const outcome = harness.run('HDEL', 'shrinking', 'b');
  expect(outcome.events.map(({ event }) => event)).toEqual(['hdel', 'del']);
  expect(harness.call('EXISTS', 'shrinking')).toBe(0);
});
