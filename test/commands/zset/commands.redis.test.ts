/**
 * The sign of a zero in what ZRANGESTORE stores, beside a real server. A listpack does not keep it,
 * so it tells what form the new set had when a member came, which has to be the same on a replica.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CommandHarness } from '../../support/command-harness.ts';
import { type RealRedis, startRedis } from '../../support/real-redis.ts';
import type { RespClient } from '../../support/resp-client.ts';

const ENTRIES = 3;
const BYTES = 4;

let redis: RealRedis;
let client: RespClient;
const harness = new CommandHarness({
  settings: { zsetMaxListpackEntries: ENTRIES, zsetMaxListpackValue: BYTES },
});

beforeAll(async () => {
  const args = [
    '--zset-max-listpack-entries',
    `${ENTRIES}`,
    '--zset-max-listpack-value',
    `${BYTES}`,
  ];
  redis = await startRedis({ args });
  client = await redis.client({ bulk: 'latin1' });
  await same('ZADD many 1 a 2 b 3 c 4 d -0 e -0 f');
  await same('ZADD wide 0 longer -1 a -0 f -0 m -0 z 1 b');
  expect(await same('ZRANGE many 0 1 WITHSCORES')).toEqual(['e', '-0', 'f', '-0']);
});

afterAll(async () => {
  await client.close();
  await redis.stop();
});

async function same(text: string): Promise<unknown> {
  const command = text.split(' ');
  const reply = harness.call(...command);
  expect(reply).toEqual(await client.call(...command));
  return reply;
}

test.each([
  ['many 0 -1'],
  ['many 0 -1 REV'],
  ['many 0 2'],
  ['many 0 3'],
  ['many -inf +inf BYSCORE'],
  ['many -inf +inf BYSCORE LIMIT 1 4'],
  ['many +inf -inf BYSCORE REV'],
  ['many +inf -inf BYSCORE REV LIMIT 2 4'],
  ['wide 0 -1'],
  ['wide 1 3'],
  ['wide 1 3 REV'],
  ['wide 2 4 REV'],
  ['wide -inf +inf BYSCORE'],
  ['wide +inf -inf BYSCORE REV'],
  ['wide 0 0 BYSCORE LIMIT 0 3'],
  ['wide 0 0 BYSCORE REV LIMIT 0 3'],
  ['wide 0 0 BYSCORE LIMIT 1 3'],
  ['wide 0 0 BYSCORE REV LIMIT 1 3'],
])('ZRANGESTORE stored %s', async (range) => {
  await same(`ZRANGESTORE stored ${range}`);
  await same('ZRANGE stored 0 -1 WITHSCORES');
  await same('OBJECT ENCODING stored');
});
