/**
 * Clients that wait for a key that comes and has expired when they would be served, and what is
 * counted of commands that wait. As a 7.2 does it; a 7.0 deletes the key.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { FakeReplica } from '../../support/fake-replica.ts';
import { startHeadwater } from '../../support/headwater.ts';
import type { Argument, RespClient } from '../../support/resp-client.ts';
import { RespError } from '../../support/resp-parser.ts';
import type { TestServer } from '../../support/server-process.ts';
import { type Waiting, WaitingClients } from '../../support/waiting-clients.ts';

const UNBLOCKED = 'UNBLOCKED client unblocked via CLIENT UNBLOCK';

let server: TestServer;
let client: RespClient;
let waiting: WaitingClients;

beforeAll(async () => {
  server = await startHeadwater({ args: ['--enable-debug-command', 'yes'] });
  client = await server.client();
  waiting = new WaitingClients(server, client);
  await client.call('DEBUG', 'SET-ACTIVE-EXPIRE', 0);
});

afterAll(async () => {
  await client.close();
  await server.stop();
});

afterEach(async () => {
  await waiting.close();
  await client.pipeline([['SELECT', 0], ['FLUSHALL'], ['CONFIG', 'RESETSTAT']]);
});

/** Sends a command on a connection of its own, and returns once it waits. */
const wait = (...args: Argument[]): Promise<Waiting> => waiting.wait(...args);

/** Ends a wait as if time were up: the client has waited all along. */
async function endWait({ id, reply }: Waiting): Promise<void> {
  expect(await client.call('CLIENT', 'UNBLOCK', id)).toBe(1);
  expect(await reply).toBeNull();
}

/**
 * A replica from here on: what it took before, because it joined a snapshot, ends with `SET begin`.
 */
async function attach(): Promise<FakeReplica> {
  const replica = await FakeReplica.attach(server.port);
  await replica.waitForDump();
  const begin = `begin:${replica.offset}`;
  await client.call('SET', begin, 'x');
  await replica.waitForCommand('SET', begin, 'x');
  await client.call('DEL', begin);
  return replica;
}

/**
 * The commands of the stream since {@link attach}, but for those that its reader needs, names in
 * lower case.
 */
async function streamed(replica: FakeReplica): Promise<string[][]> {
  const end = `end:${replica.offset}`;
  await client.call('SET', end, 'x');
  await replica.waitForCommand('SET', end, 'x');
  await replica.close();
  const all = replica.commands
    .map(([name, ...rest]) => [name!.toLowerCase(), ...rest])
    .filter(([name]) => !['ping', 'replconf', 'select'].includes(name!));
  const begin = all.findLastIndex(([name, key]) => name === 'del' && key!.startsWith('begin:'));
  return all.slice(begin + 1, -1);
}

describe.each([
  ['list', ['BLPOP', 'k', 0], ['RPUSH', 'k', 'x']],
  ['list that is moved', ['BLMOVE', 'k', 'l', 'LEFT', 'RIGHT', 0], ['RPUSH', 'k', 'x']],
  ['sorted set', ['BZPOPMIN', 'k', 0], ['ZADD', 'k', 1, 'x']],
  ['sorted set with a count', ['BZMPOP', 0, 1, 'k', 'MAX', 'COUNT', 3], ['ZADD', 'k', 1, 'x']],
  ['stream', ['XREAD', 'BLOCK', 0, 'STREAMS', 'k', 0], ['XADD', 'k', '1-1', 'a', 'b']],
] as const)('who waits for a %s', (_, waits, makes) => {
  test('waits on when it has expired before the transaction ends', async () => {
    const replica = await attach();
    const waiter = await wait(...waits);
    const replies = await client.pipeline([
      ['MULTI'],
      makes,
      ['PEXPIRE', 'k', 10],
      ['DEBUG', 'SLEEP', 0.05],
      ['EXEC'],
      ['CLIENT', 'LIST', 'ID', waiter.id],
      ['DBSIZE'],
    ]);
    expect(replies[5]).toContain(' flags=b ');
    expect(replies[6]).toBe(1);
    expect(await client.infoField('stats', 'expired_keys')).toBe('0');
    await endWait(waiter);
    // Whoever uses the key finds it expired: now it goes.
    await client.pipeline([
      ['SET', 'before', 'x'],
      ['EXISTS', 'k'],
    ]);
    const commands = await streamed(replica);
    const made = makes[0].toLowerCase();
    expect(commands.map(([name]) => name)).toEqual([
      'multi',
      made,
      'pexpireat',
      'exec',
      'set',
      'del',
    ]);
    expect(commands.at(-1)).toEqual(['del', 'k']);
  });

  test('waits on when a swap brings an expired one', async () => {
    const replica = await attach();
    const waiter = await wait(...waits);
    await client.pipeline([['SELECT', 1], makes, ['PEXPIRE', 'k', 1], ['DEBUG', 'SLEEP', 0.01]]);
    expect(await client.call('SWAPDB', 0, 1)).toBe('OK');
    expect(await client.call('CLIENT', 'LIST', 'ID', waiter.id)).toContain(' flags=b ');
    await endWait(waiter);
    await client.pipeline([
      ['SELECT', 0],
      ['SET', 'before', 'x'],
      ['EXISTS', 'k'],
    ]);
    const commands = await streamed(replica);
    const made = makes[0].toLowerCase();
    expect(commands.map(([name]) => name)).toEqual([made, 'pexpireat', 'swapdb', 'set', 'del']);
  });

  test('is served when it comes anew', async () => {
    const waiter = await wait(...waits);
    await client.pipeline([
      ['MULTI'],
      makes,
      ['PEXPIRE', 'k', 1],
      ['DEBUG', 'SLEEP', 0.01],
      ['EXEC'],
    ]);
    await client.call(...makes);
    expect(JSON.stringify(await waiter.reply)).toContain(JSON.stringify(makes.at(-1)));
  });
});

test('a group that is gone with its expired stream is told, since that stream is used', async () => {
  await client.call('XGROUP', 'CREATE', 'k', 'g', '$', 'MKSTREAM');
  const waiter = await wait('XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', 0, 'STREAMS', 'k', '>');
  await client.pipeline([
    ['MULTI'],
    ['XADD', 'k', '*', 'a', 'b'],
    ['PEXPIRE', 'k', 1],
    ['DEBUG', 'SLEEP', 0.01],
    ['EXEC'],
  ]);
  expect(((await waiter.reply) as RespError).message).toContain('NOGROUP');
  expect(await client.call('DBSIZE')).toBe(0);
});

describe('counts of commands that wait', () => {
  const statsOf = async (command: string): Promise<string | undefined> =>
    (await client.info('commandstats')).get(`cmdstat_${command}`);
  const errorsOf = async (code: string): Promise<string | undefined> =>
    (await client.info('errorstats')).get(`errorstat_${code}`);

  test.each([
    ['blmove', 'WRONGTYPE', ['BLMOVE', 'k', 'text', 'LEFT', 'LEFT', 0], ['RPUSH', 'k', 'x']],
    ['brpoplpush', 'WRONGTYPE', ['BRPOPLPUSH', 'k', 'text', 0], ['RPUSH', 'k', 'x']],
    [
      'xreadgroup',
      'NOGROUP',
      ['XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', 0, 'STREAMS', 's', '>'],
      ['DEL', 's'],
    ],
    [
      'xreadgroup',
      'WRONGTYPE',
      ['XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', 0, 'STREAMS', 's', '>'],
      ['SET', 's', 'x'],
    ],
    [
      'xreadgroup',
      'NOGROUP',
      ['XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', 0, 'STREAMS', 's', '>'],
      ['XGROUP', 'DESTROY', 's', 'g'],
    ],
  ] as const)('%s that fails with %s when it is woken', async (command, code, waits, wakes) => {
    await client.call('SET', 'text', 'x');
    await client.call('XGROUP', 'CREATE', 's', 'g', '$', 'MKSTREAM');
    await client.call('CONFIG', 'RESETSTAT');
    const waiter = await wait(...waits);
    expect(await statsOf(command)).toBeUndefined();
    await client.call(...wakes);
    expect(((await waiter.reply) as RespError).message).toContain(code);
    expect(await statsOf(command)).toMatch(/^calls=1,.*,rejected_calls=0,failed_calls=1$/);
    expect(await errorsOf(code)).toBe('count=1');
    expect(await client.infoField('stats', 'total_error_replies')).toBe('1');
    // The error was that command's, and not the next one's.
    await waiter.client.call('PING');
    expect(await statsOf('ping')).toMatch(/failed_calls=0$/);
  });

  test.each([
    ['blpop', ['BLPOP', 'k', 0]],
    ['bzmpop', ['BZMPOP', 0, 1, 'k', 'MIN']],
    ['xread', ['XREAD', 'BLOCK', 0, 'STREAMS', 'k', '$']],
    ['wait', ['WAIT', 1, 0]],
  ] as const)('%s that CLIENT UNBLOCK ends with an error', async (command, waits) => {
    const waiter = await wait(...waits);
    expect(await client.call('CLIENT', 'UNBLOCK', waiter.id, 'ERROR')).toBe(1);
    expect(await waiter.reply).toEqual(new RespError(UNBLOCKED));
    expect(await statsOf(command)).toMatch(/^calls=1,.*,failed_calls=1$/);
    expect(await errorsOf('UNBLOCKED')).toBe('count=1');
    await waiter.client.call('PING');
    expect(await statsOf('ping')).toMatch(/failed_calls=0$/);
  });

  test('of one whose time is up, that is served, or whose client goes', async () => {
    const [slow, served, gone] = [
      await wait('BLPOP', 'a', 0),
      await wait('BLPOP', 'b', 0),
      await wait('BLPOP', 'c', 0),
    ];
    expect(await statsOf('blpop')).toBeUndefined();
    await endWait(slow);
    expect(await statsOf('blpop')).toMatch(/^calls=1,.*,failed_calls=0$/);
    await client.call('RPUSH', 'b', 'x');
    await served.reply;
    expect(await statsOf('blpop')).toMatch(/^calls=2,.*,failed_calls=0$/);
    gone.reply.catch(() => {});
    await gone.client.close();
    await waiting.are(0);
    expect(await statsOf('blpop')).toMatch(/^calls=2,.*,failed_calls=0$/);
  });

  test.each([
    ['blpop', ['BLPOP', 'k', 0], ['RPUSH', 'k', 'x']],
    ['bzpopmin', ['BZPOPMIN', 'k', 0], ['ZADD', 'k', 1, 'x']],
    ['xread', ['XREAD', 'BLOCK', 0, 'STREAMS', 'k', '$'], ['XADD', 'k', '*', 'a', 'b']],
    ['blpop', ['BLPOP', 'k', 0], undefined],
  ] as const)('latencies and slow log have %s once it is answered', async (name, waits, wakes) => {
    await client.call('CONFIG', 'SET', 'slowlog-log-slower-than', 0);
    const waiter = await wait(...waits);
    const seen = async (): Promise<unknown[]> => [
      (await client.info('latencystats')).has(`latency_percentiles_usec_${name}`),
      ((await client.call('LATENCY', 'HISTOGRAM', name)) as unknown[][])[1]?.[1],
      ((await client.call('SLOWLOG', 'GET', -1)) as unknown[][]).filter(
        (entry) => (entry[3] as string[])[0] === waits[0],
      ).length,
    ];
    expect(await seen()).toEqual([false, undefined, 0]);
    if (wakes === undefined) {
      await endWait(waiter);
    } else {
      await client.call(...wakes);
      await waiter.reply;
    }
    expect(await seen()).toEqual([true, 1, 1]);
    await client.call('CONFIG', 'SET', 'slowlog-log-slower-than', 10_000);
    await client.call('SLOWLOG', 'RESET');
  });

  test('of keys whose waiters want to know when they go', async () => {
    for (const key of ['s', 't']) await client.call('XGROUP', 'CREATE', key, 'g', '$', 'MKSTREAM');
    const group = ['XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', 0, 'STREAMS'] as const;
    const waiters = [
      await wait(...group, 's', 't', '>', '>'),
      await wait(...group, 's', '>'),
      await wait('XREAD', 'BLOCK', 0, 'STREAMS', 's', 'u', '$', '$'),
      await wait('BLPOP', 'list', 0),
    ];
    expect(await client.infoField('clients', 'total_blocking_keys')).toBe('4');
    expect(await client.infoField('clients', 'total_blocking_keys_on_nokey')).toBe('2');
    for (const waiter of waiters) await endWait(waiter);
    expect(await client.infoField('clients', 'total_blocking_keys_on_nokey')).toBe('0');
  });
});
