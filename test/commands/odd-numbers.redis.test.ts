/**
 * Ids of streams and database numbers that are written oddly or go too far, beside a real server.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { CommandHarness } from '../support/command-harness.ts';
import { type RealRedis, startRedis } from '../support/real-redis.ts';
import type { RespClient } from '../support/resp-client.ts';

let redis: RealRedis;
let client: RespClient;
const harness = new CommandHarness();

beforeAll(async () => {
  redis = await startRedis();
  client = await redis.client({ bulk: 'latin1' });
});

afterAll(async () => {
  await client.close();
  await redis.stop();
});

beforeEach(async () => {
  await same('FLUSHALL');
  await same('SET', 'string', 'x');
});

async function same(...command: string[]): Promise<void> {
  expect(harness.call(...command)).toEqual(await client.command(...command));
}

test.each([
  [' 1'],
  ['\t\n1'],
  ['+1'],
  ['-1'],
  ['-01'],
  [' -1'],
  ['1 '],
  ['+ 1'],
  ['+'],
  ['-'],
  [' '],
  ['06-07'],
  ['+2-+3'],
  [' 4- 5'],
  ['4-\t7'],
  ['4- *'],
  [' 5-*'],
  ['9--1'],
  ['9--01'],
  ['9--0'],
  ['9- -1'],
  ['9- -18446744073709551615'],
  ['9- -18446744073709551616'],
  ['9-+-1'],
  ['10- '],
  ['0x10'],
  ['18446744073709551615'],
  ['18446744073709551616'],
  ['+18446744073709551615-018446744073709551615'],
])('an id %j', async (id) => {
  await same('XADD', 's', id, 'f', 'v');
  await same('XRANGE', 's', '-', '+');
  await same('XRANGE', 's', id, '+');
  await same('XRANGE', 's', `(${id}`, '+');
  await same('XREAD', 'STREAMS', 's', id);
  await same('XDEL', 's', id);
});

test.each([
  ['XTRIM s MINID -'],
  ['XTRIM s MINID + BAD'],
  ['XTRIM string MINID x'],
  ['XTRIM string MINID = x LIMIT 5'],
  ['XTRIM string MINID 5 LIMIT 5'],
  ['XTRIM s MINID 5 BAD'],
  ['XADD s MINID - 1-1 f v'],
  ['XADD string MINID x BAD f v'],
  ['SELECT 2147483647'],
  ['SELECT 2147483648'],
  ['SELECT -2147483648'],
  ['SELECT -2147483649'],
  ['SELECT 9223372036854775807'],
  ['SELECT 9223372036854775808'],
  ['SELECT x'],
  ['MOVE string 2147483648'],
  ['COPY string other DB 2147483648'],
])('%s', (text) => same(...text.split(' ')));

test.each([
  ['LIMIT', '5'],
  ['LIMIT', '0'],
  ['MAXLEN', '1', 'LIMIT', '0'],
  ['MAXLEN', '=', '1', 'LIMIT', '5'],
  ['MAXLEN', '~', '1', 'LIMIT', '5'],
])('XTRIM and XADD with %s %s %s', async (...options) => {
  await same('XADD', 'stream', '1-1', 'field', 'value');
  await same('XTRIM', 'stream', ...options);
  await same('XADD', 'stream', ...options, '2-1', 'field', 'value');
});
