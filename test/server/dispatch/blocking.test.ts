/**
 * Clients that wait for lists, the same scenarios on headwater and on a real server: who is served,
 * in which order, how long it lasts, what the stream carries.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { FakeReplica } from '../../support/fake-replica.ts';
import { startHeadwater } from '../../support/headwater.ts';
import { startRedis } from '../../support/real-redis.ts';
import type { RespClient } from '../../support/resp-client.ts';
import { RespError, type RespValue } from '../../support/resp-parser.ts';
import type { TestServer } from '../../support/server-process.ts';
import { waitFor } from '../../support/wait-for.ts';

const WRONGTYPE = 'WRONGTYPE Operation against a key holding the wrong kind of value';

const servers: readonly (readonly [string, () => Promise<TestServer>])[] = [
  ['headwater', () => startHeadwater()],
  ['a real server', () => startRedis()],
];

describe.each(servers)('%s', (_, start) => {
  let server: TestServer;
  /** For all commands that do not wait. */
  let client: RespClient;
  const opened: RespClient[] = [];

  beforeAll(async () => {
    server = await start();
    client = await server.client();
  });

  afterAll(async () => {
    await client.close();
    await server.stop();
  });

  afterEach(async () => {
    await Promise.all(opened.splice(0).map((each) => each.close()));
    await waitingClients(0);
    await client.call('FLUSHALL');
  });

  async function open(): Promise<RespClient> {
    const each = await server.client();
    opened.push(each);
    return each;
  }

  const waitingClients = (count: number): Promise<unknown> =>
    waitFor(async () => (await client.infoField('clients', 'blocked_clients')) === String(count), {
      what: `${count} waiting clients`,
    });

  /** Sends a command on a connection of its own, and returns once it waits. */
  async function wait(
    ...args: (string | number)[]
  ): Promise<{ reply: Promise<RespValue>; client: RespClient }> {
    const before = Number(await client.infoField('clients', 'blocked_clients'));
    const each = await open();
    const reply = each.command(...args);
    await waitingClients(before + 1);
    return { reply, client: each };
  }

  test('are served in the order in which they came', async () => {
    const waiters = [];
    for (let i = 0; i < 4; i++) waiters.push(await wait('BLPOP', 'k', 0));
    await client.call('RPUSH', 'k', 'a', 'b', 'c');
    for (const [i, value] of ['a', 'b', 'c'].entries())
      expect(await waiters[i]!.reply).toEqual(['k', value]);
    await waitingClients(1);
    expect(await client.call('EXISTS', 'k')).toBe(0);
    await client.call('LPUSH', 'k', 'd', 'e');
    expect(await waiters[3]!.reply).toEqual(['k', 'e']);
    expect(await client.call('LRANGE', 'k', 0, -1)).toEqual(['d']);
  });

  test('are served after all elements of a command are there', async () => {
    const first = await wait('BLPOP', 'k', 0);
    const second = await wait('BRPOP', 'k', 0);
    await client.call('LPUSH', 'k', 1, 2, 3);
    expect(await first.reply).toEqual(['k', '3']);
    expect(await second.reply).toEqual(['k', '1']);
  });

  test('of several keys take the one that comes first', async () => {
    const waiter = await wait('BLPOP', 'a', 'b', 'c', 0);
    await client.call('RPUSH', 'b', 'x', 'y');
    expect(await waiter.reply).toEqual(['b', 'x']);
    const again = await wait('BRPOP', 'a', 'a', 'b2', 0);
    await client.call('RPUSH', 'a', 'z');
    expect(await again.reply).toEqual(['a', 'z']);
    expect(await client.call('LRANGE', 'b', 0, -1)).toEqual(['y']);
  });

  test.each([
    ['BLPOP', ['BLPOP', 'k', '0.02'], null],
    ['BRPOP', ['BRPOP', 'k', 'l', '.01'], null],
    ['BLMOVE', ['BLMOVE', 'k', 'l', 'LEFT', 'RIGHT', '0.01'], null],
    ['BLMPOP', ['BLMPOP', '1e-3', '2', 'k', 'l', 'LEFT', 'COUNT', '3'], null],
    ['a timeout that is none', ['BLPOP', 'k', 'abc'], 'ERR timeout is not a float or out of range'],
    ['a negative timeout', ['BLPOP', 'k', '-0.5'], 'ERR timeout is negative'],
    ['a key of another type', ['BLPOP', 'nothing', 'string', '0'], WRONGTYPE],
    ['a side that is none', ['BLMOVE', 'k', 'l', 'UP', 'LEFT', '0'], 'ERR syntax error'],
  ] as const)('are answered in time: %s', async (_name, words, expected) => {
    await client.call('SET', 'string', 'x');
    const each = await open();
    const reply = await each.command(...words);
    if (expected === null) expect(reply).toBeNull();
    else expect((reply as RespError).message).toBe(expected);
    await waitingClients(0);
  });

  test('that waited in vain are told an array that is nil, also after a move', async () => {
    const each = await open();
    expect((await each.raw('BLPOP', 'k', '0.001')).toString()).toBe('*-1\r\n');
    expect((await each.raw('BLMOVE', 'k', 'l', 'LEFT', 'LEFT', '0.001')).toString()).toBe(
      '*-1\r\n',
    );
    await each.call('MULTI');
    await each.call('BLMOVE', 'k', 'l', 'LEFT', 'LEFT', 0);
    await each.call('BLPOP', 'k', 0);
    expect((await each.raw('EXEC')).toString()).toBe('*2\r\n$-1\r\n*-1\r\n');
    await each.call('HELLO', 3);
    expect((await each.raw('BLPOP', 'k', '0.001')).toString()).toBe('_\r\n');
  });

  test('do not wait in a transaction, and see what it holds at its end', async () => {
    const waiter = await wait('BLPOP', 'k', 0);
    await client.call('MULTI');
    await client.call('RPUSH', 'k', 'a');
    await client.call('BLPOP', 'k', 0);
    await client.call('RPUSH', 'k', 'b', 'c');
    await client.call('LPUSH', 'k', 'd');
    expect(await client.call('EXEC')).toEqual([1, ['k', 'a'], 2, 3]);
    expect(await waiter.reply).toEqual(['k', 'd']);
    await client.call('MULTI');
    await client.call('BLPOP', 'nothing', 0);
    await client.call('BLMPOP', 0, 1, 'k', 'RIGHT', 'COUNT', 5);
    expect(await client.call('EXEC')).toEqual([null, ['k', ['c', 'b']]]);
  });

  test('do not see what a transaction takes away again', async () => {
    const waiter = await wait('BLPOP', 'k', 0);
    await client.call('MULTI');
    await client.call('RPUSH', 'k', 'a');
    await client.call('DEL', 'k');
    await client.call('SET', 'k', 'a string');
    await client.call('EXEC');
    await waitingClients(1);
    await client.call('DEL', 'k');
    await client.call('RPUSH', 'k', 'b');
    expect(await waiter.reply).toEqual(['k', 'b']);
  });

  test('are ended by CLIENT UNBLOCK', async () => {
    const each = await open();
    const id = await each.call('CLIENT', 'ID');
    expect(await client.call('CLIENT', 'UNBLOCK', Number(id))).toBe(0);
    const first = each.command('BLPOP', 'k', 0);
    await waitingClients(1);
    expect(await client.call('CLIENT', 'UNBLOCK', Number(id))).toBe(1);
    expect(await first).toBeNull();
    const second = each.command('BLMOVE', 'k', 'l', 'LEFT', 'LEFT', 0);
    await waitingClients(1);
    expect(await client.call('CLIENT', 'UNBLOCK', Number(id), 'ERROR')).toBe(1);
    expect((await second) as RespError).toBeInstanceOf(RespError);
    expect(((await second) as RespError).message).toBe(
      'UNBLOCKED client unblocked via CLIENT UNBLOCK',
    );
    expect(await each.call('PING')).toBe('PONG');
    expect(await client.call('RPUSH', 'k', 'left')).toBe(1);
    expect(await client.call('LLEN', 'k')).toBe(1);
  });

  test('that go take nothing with them', async () => {
    const gone = await wait('BLPOP', 'k', 0);
    const stays = await wait('BLPOP', 'k', 0);
    const failed = gone.reply.catch((error: unknown) => error);
    await gone.client.close();
    await failed;
    await waitingClients(1);
    await client.call('RPUSH', 'k', 'a', 'b');
    expect(await stays.reply).toEqual(['k', 'a']);
    expect(await client.call('LRANGE', 'k', 0, -1)).toEqual(['b']);
  });

  test('go on with what they have sent meanwhile', async () => {
    const each = await open();
    const replies = each.pipeline([
      ['BLPOP', 'k', 0],
      ['RPUSH', 'k', 'never seen by the first'],
      ['BLPOP', 'k', 0],
      ['BLPOP', 'l', 0],
      ['PING'],
    ]);
    await waitingClients(1);
    await client.call('RPUSH', 'k', 'a');
    await waitFor(
      async () =>
        (await client.call('EXISTS', 'k')) === 0 && (await client.call('PING')) === 'PONG',
    );
    await waitingClients(1);
    await client.call('RPUSH', 'l', 'b');
    expect(await replies).toEqual([
      ['k', 'a'],
      1,
      ['k', 'never seen by the first'],
      ['l', 'b'],
      'PONG',
    ]);
  });

  test('move elements on to others who wait', async () => {
    const last = await wait('BLPOP', 'c', 0);
    const second = await wait('BLMOVE', 'b', 'c', 'LEFT', 'RIGHT', 0);
    const first = await wait('BRPOPLPUSH', 'a', 'b', 0);
    const other = await wait('BLMPOP', 0, 2, 'x', 'a', 'RIGHT', 'COUNT', 10);
    await client.call('RPUSH', 'a', '1', '2', '3');
    expect(await first.reply).toBe('3');
    expect(await second.reply).toBe('3');
    expect(await last.reply).toEqual(['c', '3']);
    expect(await other.reply).toEqual(['a', ['2', '1']]);
    expect(await client.call('DBSIZE')).toBe(0);
  });

  test('turn in a circle once', async () => {
    const there = await wait('BLMOVE', 'a', 'b', 'LEFT', 'LEFT', 0);
    const back = await wait('BLMOVE', 'b', 'a', 'LEFT', 'LEFT', 0);
    await client.call('RPUSH', 'a', 'x');
    expect(await there.reply).toBe('x');
    expect(await back.reply).toBe('x');
    expect(await client.call('LRANGE', 'a', 0, -1)).toEqual(['x']);
  });

  test('learn that the target of a move is of another type', async () => {
    await client.call('SET', 'string', 'x');
    const waiter = await wait('BLMOVE', 'a', 'string', 'LEFT', 'LEFT', 0);
    const next = await wait('BLPOP', 'a', 0);
    await client.call('RPUSH', 'a', '1');
    expect(((await waiter.reply) as RespError).message).toBe(WRONGTYPE);
    expect(await next.reply).toEqual(['a', '1']);
  });

  test('keep waiting while the key is of another type', async () => {
    const waiter = await wait('BLPOP', 'k', 0);
    await client.call('SET', 'k', 'x');
    await client.call('DEL', 'k');
    await client.call('HSET', 'k', 'f', 'v');
    await waitingClients(1);
    await client.call('DEL', 'k');
    await client.call('LPUSH', 'k', 'y');
    expect(await waiter.reply).toEqual(['k', 'y']);
  });

  test.each([
    ['RENAME', [['RENAME', 'source', 'k']]],
    ['COPY', [['COPY', 'source', 'k']]],
    ['LMOVE', [['LMOVE', 'source', 'k', 'LEFT', 'LEFT']]],
    [
      'MOVE',
      [
        ['SELECT', '1'],
        ['RPUSH', 'k', 'a'],
        ['MOVE', 'k', '0'],
        ['SELECT', '0'],
      ],
    ],
    [
      'SWAPDB',
      [
        ['SELECT', '1'],
        ['RPUSH', 'k', 'a'],
        ['SELECT', '0'],
        ['SWAPDB', '0', '1'],
      ],
    ],
  ])('are served by %s', async (_name, commands) => {
    await client.call('RPUSH', 'source', 'a');
    const waiter = await wait('BLPOP', 'k', 0);
    for (const command of commands) await client.call(...command);
    expect(await waiter.reply).toEqual(['k', 'a']);
  });

  test('survive FLUSHALL and SWAPDB', async () => {
    const waiter = await wait('BLPOP', 'k', 0);
    await client.call('RPUSH', 'other', 'a');
    await client.call('FLUSHALL');
    await client.call('SWAPDB', 0, 1);
    await client.call('FLUSHDB');
    await waitingClients(1);
    await client.call('RPUSH', 'k', 'b');
    expect(await waiter.reply).toEqual(['k', 'b']);
  });

  test('wait in their own database', async () => {
    const each = await open();
    await each.call('SELECT', 3);
    const reply = each.command('BLPOP', 'k', 0);
    await waitingClients(1);
    await client.call('RPUSH', 'k', 'in 0');
    await waitingClients(1);
    await client.call('SELECT', 3);
    await client.call('RPUSH', 'k', 'in 3');
    expect(await reply).toEqual(['k', 'in 3']);
    await client.call('SELECT', 0);
    expect(await client.call('LRANGE', 'k', 0, -1)).toEqual(['in 0']);
  });

  test('do not take what has expired', async () => {
    const waiter = await wait('BLPOP', 'k', 0);
    await client.call('MULTI');
    await client.call('RPUSH', 'k', 'a');
    await client.call('PEXPIREAT', 'k', 1);
    await client.call('EXEC');
    await waitingClients(1);
    await client.call('RPUSH', 'k', 'b');
    expect(await waiter.reply).toEqual(['k', 'b']);
  });

  test('break the transactions of those who watch the key', async () => {
    const waiter = await wait('BLPOP', 'k', 0);
    const watcher = await open();
    await watcher.call('WATCH', 'k');
    await client.call('RPUSH', 'k', 'a');
    await waiter.reply;
    await watcher.call('MULTI');
    await watcher.call('PING');
    expect(await watcher.call('EXEC')).toBeNull();
  });

  test('that want no replies get none', async () => {
    const each = await open();
    each.send('CLIENT', 'REPLY', 'OFF');
    each.send('BLPOP', 'k', 0);
    await waitingClients(1);
    await client.call('RPUSH', 'k', 'a');
    await waitingClients(0);
    expect(await each.call('CLIENT', 'REPLY', 'ON')).toBe('OK');
    expect(await each.call('PING')).toBe('PONG');
  });

  test('are counted once', async () => {
    await client.call('CONFIG', 'RESETSTAT');
    const waiter = await wait('BLPOP', 'counted', 0);
    await client.call('RPUSH', 'counted', 'a');
    await waiter.reply;
    const stats = await client.infoField('commandstats', 'cmdstat_blpop');
    expect(stats).toMatch(/^calls=1,/);
    expect(stats).toContain('failed_calls=0');
  });

  test('in great number are served one by one', async () => {
    const count = 200;
    const waiters = await Promise.all(Array.from({ length: count }, open));
    const replies: Promise<RespValue>[] = [];
    for (const [i, each] of waiters.entries()) {
      replies.push(each.command('BLPOP', 'k', 0));
      if (i % 20 === 19) await waitingClients(i + 1);
    }
    const half = Array.from({ length: count / 2 }, (_each, i) => String(i));
    await client.call('RPUSH', 'k', ...half);
    await waitingClients(count / 2);
    for (const value of half) await client.call('RPUSH', 'k', value);
    const values = (await Promise.all(replies)).map((reply) => (reply as string[])[1]);
    expect(values.sort()).toEqual([...half, ...half].sort());
  });

  test('reach the stream as what was done for them', async () => {
    const replica = await FakeReplica.attach(server.port);
    await replica.waitForDump();
    const pop = await wait('BRPOP', 'none', 'k', 0);
    const many = await wait('BLMPOP', 0, 1, 'k', 'LEFT', 'COUNT', 7);
    const move = await wait('BLMOVE', 'm', 'n', 'LEFT', 'RIGHT', 0);
    const push = await wait('BRPOPLPUSH', 'n', 'o', 0);
    await client.call('RPUSH', 'k', 'a', 'b', 'c');
    await client.call('MULTI');
    await client.call('RPUSH', 'm', 'x');
    await client.call('INCR', 'counter');
    await client.call('EXEC');
    await client.call('BLPOP', 'o', 0);
    await client.call('BLMOVE', 'counter2', 'n', 'LEFT', 'LEFT', '0.001');
    await client.call('SET', 'end', 'x');
    await Promise.all([pop, many, move, push].map((each) => each.reply));
    const commands = (): string[][] =>
      // Redis 7.0 says "ping".
      replica.commands.filter(([name]) => !/^(?:PING|REPLCONF)$/i.test(name!));
    await waitFor(() => commands().at(-1)?.[1] === 'end', { what: 'the end of the stream' });
    await replica.close();
    expect(commands().map((words) => words.map((word) => word.toLowerCase()))).toEqual([
      ['select', '0'],
      ['rpush', 'k', 'a', 'b', 'c'],
      ['rpop', 'k'],
      ['lpop', 'k', '2'],
      ['multi'],
      ['rpush', 'm', 'x'],
      ['incr', 'counter'],
      ['exec'],
      ['lmove', 'm', 'n', 'left', 'right'],
      ['rpoplpush', 'n', 'o'],
      ['lpop', 'o'],
      ['set', 'end', 'x'],
    ]);
  });
});
