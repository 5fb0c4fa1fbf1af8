/**
 * WATCH of keys that are not there, or as good as not there, and swaps and flushes of their
 * databases: both servers.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startHeadwater } from '../../support/headwater.ts';
import { startRedis } from '../../support/real-redis.ts';
import type { Argument, RespClient } from '../../support/resp-client.ts';
import type { TestServer } from '../../support/server-process.ts';

let servers: TestServer[];
let clients: RespClient[];

beforeAll(async () => {
  servers = await Promise.all([
    startHeadwater({ args: ['--enable-debug-command', 'yes'] }),
    startRedis({ args: ['--enable-debug-command', 'yes'] }),
  ]);
  clients = await Promise.all(servers.map((server) => server.client()));
  for (const client of clients) await client.call('DEBUG', 'SET-ACTIVE-EXPIRE', 0);
});

afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await Promise.all(servers.map((server) => server.stop()));
});

const STALE: readonly (readonly Argument[])[] = [
  ['SET', 'k', 'x', 'PX', 1],
  ['DEBUG', 'SLEEP', 0.01],
];
const states = {
  none: [],
  stale: STALE,
  live: [['SET', 'k', 'x']],
  list: [['RPUSH', 'k', 'x']],
} as const satisfies Record<string, readonly (readonly Argument[])[]>;
type State = keyof typeof states;
const NAMES = Object.keys(states) as State[];

const actions = {
  'a swap': [['SWAPDB', 0, 1]],
  'a swap that is then used': [
    ['SWAPDB', 0, 1],
    ['GET', 'k'],
  ],
  'two swaps': [
    ['SWAPDB', 0, 1],
    ['SWAPDB', 1, 0],
  ],
  'a swap and a deletion': [
    ['SWAPDB', 0, 1],
    ['DEL', 'k'],
  ],
  FLUSHDB: [['FLUSHDB']],
  FLUSHALL: [['FLUSHALL']],
  'a lookup': [['EXISTS', 'k']],
} as const satisfies Record<string, readonly (readonly Argument[])[]>;

/**
 * Whether EXEC runs after the action, when the key was in one state here and in another one in the
 * other database.
 */
async function runs(
  client: RespClient,
  here: State,
  there: State,
  action: keyof typeof actions,
): Promise<unknown> {
  const replies = await client.pipeline([
    ['FLUSHALL'],
    ['SELECT', 1],
    ...states[there],
    ['SELECT', 0],
    ...states[here],
    ['WATCH', 'k'],
    ...actions[action],
    ['MULTI'],
    ['PING'],
    ['EXEC'],
  ]);
  return replies.at(-1);
}

const PAIRS = NAMES.flatMap((here) => NAMES.map((there) => [here, there] as const));

describe.each(Object.keys(actions) as (keyof typeof actions)[])('%s', (action) => {
  test.each(PAIRS)('with a key that is %s here and %s there', async (here, there) => {
    const [ours, theirs] = await Promise.all(
      clients.map((client) => runs(client, here, there, action)),
    );
    expect(ours).toEqual(theirs);
  });
});

test('a swap that puts a stale key in the place of none, or of a stale one, changes nothing', async () => {
  const [client] = clients;
  expect(await runs(client!, 'none', 'stale', 'a swap')).toEqual(['PONG']);
  expect(await runs(client!, 'stale', 'stale', 'a swap')).toEqual(['PONG']);
  expect(await runs(client!, 'live', 'stale', 'a swap')).toBeNull();
});

test.each([
  ['a change', ['SET', 'b', 'y']],
  ['a flush', ['FLUSHALL']],
  ['a swap', ['SWAPDB', 0, 1]],
] as const)('a transaction that %s breaks watches nothing any more', async (_, change) => {
  const [client] = clients;
  const watcher = await servers[0]!.client();
  await client!.pipeline([['FLUSHALL'], ['MSET', 'a', 'x', 'b', 'x']]);
  await watcher.pipeline([['WATCH', 'a', 'b', 'c'], ['MULTI']]);
  const id = /id=(\d+) [^\n]* cmd=multi /.exec(String(await client!.call('CLIENT', 'LIST')))![1]!;
  const line = async (): Promise<string> =>
    String(await client!.call('CLIENT', 'LIST', 'ID', id)).replace(
      /.* flags=(\S+) .* (watch=\d+) .*/s,
      '$1 $2',
    );
  expect(await line()).toBe('x watch=3');
  await client!.call(...change);
  expect(await line()).toBe('xd watch=0');
  // What it watches later counts for nothing.
  expect(
    await watcher.pipeline([['PING'], ['EXEC'], ['WATCH', 'a'], ['MULTI'], ['PING'], ['EXEC']]),
  ).toEqual(['QUEUED', null, 'OK', 'OK', 'QUEUED', ['PONG']]);
  await watcher.close();
});
