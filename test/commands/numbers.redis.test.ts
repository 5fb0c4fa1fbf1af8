/**
 * Numbers at the edges of their range, as arguments and as elements to be sorted, beside a real
 * server.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CommandHarness } from '../support/command-harness.ts';
import { type RealRedis, startRedis } from '../support/real-redis.ts';
import type { RespClient } from '../support/resp-client.ts';
import type { RespError } from '../support/resp-parser.ts';

/**
 * Changes nothing. Redis' SORT takes an overflow that an earlier command met for its own, until a
 * float has fitted.
 */
const FLOAT_THAT_FITS = ['ZADD', 'absent', 'XX', '0', 'x'];

let redis: RealRedis;
let client: RespClient;
const harness = new CommandHarness();

beforeAll(async () => {
  redis = await startRedis();
  client = await redis.client({ bulk: 'latin1' });
  const setups = [
    ['RPUSH', 'list', 'a'],
    ['SADD', 'set', 'a'],
    ['HSET', 'hash', 'a', '1'],
    ['ZADD', 'zset', '1', 'a'],
  ];
  for (const command of setups)
    expect(await client.call(...command)).toEqual(harness.call(...command));
});

afterAll(async () => {
  await client.close();
  await redis.stop();
});

test.each([
  ['LPOS list a RANK -9223372036854775807'],
  ['LPOS list a RANK -9223372036854775807 COUNT 4'],
  ['LPOS list a RANK -9223372036854775809'],
  ['LPOS list a RANK 9223372036854775807 COUNT 4'],
  ['SRANDMEMBER none -9223372036854775808'],
  ['SRANDMEMBER none -9223372036854775807'],
  ['SRANDMEMBER set 9223372036854775807'],
  ['ZRANDMEMBER none -9223372036854775808'],
  ['ZRANDMEMBER none -9223372036854775808 WITHSCORES'],
  ['ZRANDMEMBER none -9223372036854775808 BAD'],
  ['ZRANDMEMBER none -9223372036854775807'],
  ['ZRANDMEMBER none -9223372036854775807 WITHSCORES'],
  ['ZRANDMEMBER zset 9223372036854775807'],
  ['ZRANDMEMBER zset 9223372036854775807 WITHSCORES'],
  ['ZRANDMEMBER zset 4611686018427387904 WITHSCORES'],
  ['ZRANDMEMBER zset 4611686018427387000 WITHSCORES'],
  ['HRANDFIELD none -9223372036854775808'],
  ['HRANDFIELD none -9223372036854775808 WITHVALUES'],
  ['HRANDFIELD none -9223372036854775807'],
  ['HRANDFIELD none -9223372036854775807 WITHVALUES'],
  ['HRANDFIELD hash 9223372036854775807'],
  ['HRANDFIELD hash 9223372036854775807 WITHVALUES'],
  ['HRANDFIELD hash 4611686018427387000 WITHVALUES'],
  ['ZCOUNT zset 1\0x 2'],
  ['ZCOUNT zset (\0 1e400'],
  ['ZCOUNT zset \v0x1 2'],
  ['ZCOUNT zset -1e400 \t\0'],
  ['ZCOUNT zset \tinf 2'],
  ['ZCOUNT zset 1\t 2'],
])('%j', async (text) => {
  const command = text.split(' ');
  expect(harness.call(...command)).toEqual(await client.command(...command));
});

test('LPOS takes no RANK without a negative, as 7.2', () => {
  const reply = harness.call('LPOS', 'list', 'a', 'RANK', '-9223372036854775808');
  expect((reply as RespError).message).toBe(
    'ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807',
  );
});

test.each([
  [['', '-1', '1']],
  [['  7', '\v\f1', '3']],
  [['1\0abc', '\0', '0.5']],
  [['inf', '-INF', 'infinity', '0']],
  [['0x10', '1e3', '17']],
  [['-0', '0', '0.0e5']],
  [['2.2250738585072014e-308']],
  [['2.2250738585072e-308']],
  [['-1e-310']],
  [['1e-400']],
  [['1e400']],
  [['nan']],
  [[' ']],
  [['1 ']],
])('SORT of %j', async (elements) => {
  const commands = [
    ['DEL', 'sorted'],
    ['RPUSH', 'sorted', ...elements],
    FLOAT_THAT_FITS,
    ['SORT', 'sorted'],
  ];
  for (const command of commands)
    expect(harness.call(...command)).toEqual(await client.command(...command));
});

test('SORT is not refused for a float of another command that did not fit', async () => {
  const commands = [
    ['DEL', 'sorted'],
    ['RPUSH', 'sorted', '2', '1.5'],
    ['ZADD', 'zset', '1e400', 'x'],
  ];
  for (const command of commands) {
    harness.call(...command);
    await client.command(...command);
  }
  expect(harness.call('SORT', 'sorted')).toEqual(['1.5', '2']);
  await client.call(...FLOAT_THAT_FITS);
  expect(await client.call('SORT', 'sorted')).toEqual(['1.5', '2']);
});

test.each([
  ['0'],
  ['8'],
  ['9'],
  ['199'],
  ['10999'],
  ['-1'],
  ['-10'],
  ['-100'],
  ['00'],
  [' 1'],
  ['99999999999999'],
  ['999999999999999'],
  ['1999999999999999'],
  ['9007199254740990'],
  ['9007199254740991'],
  ['9223372036854775805'],
  ['9223372036854775807'],
  ['-9223372036854775808'],
  ['1.5'],
  [''],
])('counting from %j', async (first) => {
  for (const step of [['INCR'], ['DECR'], ['INCRBY', '10'], ['DECRBY', '3']]) {
    const [name, ...by] = step as [string, ...string[]];
    const commands = [
      ['SET', 'n', first],
      ...Array.from({ length: 3 }, () => [name, 'n', ...by]),
      ['EXPIRE', 'n', '1000'],
      ...Array.from({ length: 12 }, () => [name, 'n', ...by]),
      ['GET', 'n'],
      ['OBJECT', 'ENCODING', 'n'],
    ];
    for (const command of commands) {
      expect(harness.call(...command), command.join(' ')).toEqual(await client.command(...command));
    }
  }
});
