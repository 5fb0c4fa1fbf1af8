/**
 * Which commands break a transaction that watches their key, in every state of the key, expired
 * ones too: both servers.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startHeadwater } from '../../support/headwater.ts';
import { startRedis } from '../../support/real-redis.ts';
import type { Argument, RespClient } from '../../support/resp-client.ts';
import { RespError } from '../../support/resp-parser.ts';
import type { TestServer } from '../../support/server-process.ts';

let servers: TestServer[];
let clients: RespClient[];

beforeAll(async () => {
  servers = await Promise.all([
    startHeadwater({ args: ['--enable-debug-command', 'yes'] }),
    startRedis(),
  ]);
  clients = await Promise.all(servers.map((server) => server.client()));
  for (const client of clients) await client.call('DEBUG', 'SET-ACTIVE-EXPIRE', 0);
});

afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await Promise.all(servers.map((server) => server.stop()));
});

const words = (line: string): string[] => line.split(' ');
const lines = (...all: string[]): string[][] => all.map(words);

const states: Readonly<Record<string, readonly (readonly Argument[])[]>> = {
  none: [],
  stale: lines('SET k x PX 1', 'DEBUG SLEEP 0.003'),
  'stale list': lines('RPUSH k x', 'PEXPIRE k 1', 'DEBUG SLEEP 0.003'),
  text: lines('SET k x'),
  list: lines('RPUSH k x'),
  set: lines('SADD k x'),
  hash: lines('HSET k x y'),
  'sorted set': lines('ZADD k 1 x'),
  'stream with a group': lines(
    'XADD k 1-1 a b',
    'XADD k 2-1 a b',
    'XGROUP CREATE k g 0',
    'XREADGROUP GROUP g c COUNT 1 STREAMS k >',
  ),
};

/** What other keys hold. */
const OTHERS = lines(
  'FLUSHALL',
  'SET text s',
  'SADD set a',
  'ZADD zset 1 a',
  'GEOADD geo 0 0 a',
  'RPUSH list 2 1',
  'PFADD hll q',
);

const COMMANDS = `
  SET k y | SETNX k y | SET k y XX | SET k y NX | GETSET k y | GETDEL k | GETEX k PERSIST | GETEX k
  GETEX k PX 100000 | APPEND k z | SETRANGE k 0 q | SETBIT k 1 0 | BITFIELD k GET u8 0
  BITFIELD k SET u8 0 1 | INCR k | MSET k 1 | MSETNX k 1 | SETEX k 10 v | SET k v PXAT 1
  BITOP AND k text | BITOP AND k none | PFADD k a | PFADD k | PFMERGE k hll | PFCOUNT k
  DEL k | UNLINK k | EXPIRE k 100 | EXPIRE k -1 | EXPIRE k 100 XX | PEXPIREAT k 1 | PERSIST k
  TOUCH k | TTL k | MOVE k 1 | RENAME text k | RENAMENX text k | RENAME k other | RENAME k k
  COPY text k | COPY text k REPLACE | COPY k other | SORT list STORE k | SORT none STORE k
  LPUSH k a | LPUSHX k a | LPOP k | LREM k 0 nope | LTRIM k 0 -1 | LTRIM k 0 0 | LTRIM k 5 6
  LSET k 0 x | LINSERT k BEFORE x y | LINSERT k BEFORE nope y | LMOVE list k LEFT LEFT
  LMOVE k k LEFT RIGHT | RPOPLPUSH k k | LMPOP 1 k LEFT | BLPOP k 0.001 | BLMOVE k k LEFT LEFT 0.001
  SADD k x | SADD k new | SREM k x | SREM k nope | SPOP k | SPOP k 0 | SMOVE set k a | SMOVE k set x
  SMOVE k k x | SUNIONSTORE k set | SINTERSTORE k set none | SDIFFSTORE k set
  HSET k x y | HSETNX k x y | HDEL k x | HDEL k no | HINCRBY k n 0
  ZADD k 1 x | ZADD k 2 x | ZADD k XX 2 no | ZADD k NX 2 x | ZINCRBY k 0 x | ZREM k no | ZREM k x
  ZPOPMIN k | ZPOPMIN k 0 | ZMPOP 1 k MIN | BZPOPMIN k 0.001 | ZREMRANGEBYRANK k 5 6
  ZUNIONSTORE k 1 zset | ZINTERSTORE k 1 none | ZDIFFSTORE k 1 zset | ZRANGESTORE k zset 0 -1
  ZRANGESTORE k none 0 -1 | GEOADD k 0 0 m | GEORADIUS geo 0 0 1 km STORE k
  GEOSEARCHSTORE k geo FROMLONLAT 0 0 BYRADIUS 1 km | GEOSEARCHSTORE k none FROMLONLAT 0 0 BYRADIUS 1 km
  XADD k 9-1 a b | XADD k NOMKSTREAM 9-1 a b | XADD k MAXLEN 1 9-1 a b | XDEL k 9-9 | XDEL k 1-1
  XTRIM k MAXLEN 5 | XTRIM k MAXLEN 0 | XTRIM k MINID 1-1 | XSETID k 9-9 | XSETID k 2-1
  XGROUP CREATE k h $ | XGROUP CREATE k h $ MKSTREAM | XGROUP SETID k g $ | XGROUP DESTROY k g
  XGROUP DESTROY k none | XGROUP CREATECONSUMER k g d | XGROUP DELCONSUMER k g c
  XGROUP DELCONSUMER k g none | XACK k g 1-1 | XACK k g 5-1 | XCLAIM k g d 0 1-1 JUSTID
  XCLAIM k g d 0 7-1 JUSTID | XCLAIM k g d 0 2-1 FORCE JUSTID | XAUTOCLAIM k g d 0 0 JUSTID
  XREADGROUP GROUP g c STREAMS k > | XREADGROUP GROUP g c NOACK STREAMS k >
  XREADGROUP GROUP g c STREAMS k 0 | XREAD STREAMS k 0 | XPENDING k g`
  .split(/[|\n]/)
  .map((line) => line.trim())
  .filter((line) => line !== '');

/** The reply of the command, and that of EXEC behind it. */
async function outcome(
  client: RespClient,
  state: readonly (readonly Argument[])[],
  command: string,
): Promise<unknown[]> {
  const replies = await client.pipeline([
    ...OTHERS,
    ...state,
    ['WATCH', 'k'],
    words(command),
    ['MULTI'],
    ['PING'],
    ['EXEC'],
  ]);
  return [replies.at(-4), replies.at(-1)].map((reply) =>
    reply instanceof RespError ? reply.message : reply,
  );
}

describe.each(Object.keys(states))('a key: %s', (name) => {
  test.each(COMMANDS)('%s', async (command) => {
    const [ours, theirs] = await Promise.all(
      clients.map((client) => outcome(client, states[name]!, command)),
    );
    expect(ours).toEqual(theirs);
  });
});

test('there are both outcomes for a stream', async () => {
  const state = states['stream with a group']!;
  const client = clients[0]!;
  expect((await outcome(client, state, 'XGROUP DESTROY k g'))[1]).toEqual(['PONG']);
  expect((await outcome(client, state, 'XSETID k 9-9'))[1]).toEqual(['PONG']);
  expect((await outcome(client, state, 'XDEL k 1-1'))[1]).toBeNull();
});
