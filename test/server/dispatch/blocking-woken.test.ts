/**
 * What a command meets that has waited and runs again: as in a 7.2, the same refusals as a new one,
 * and a pause of writes. A 7.0 serves the client without asking.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { FakeReplica } from '../../support/fake-replica.ts';
import { startHeadwater } from '../../support/headwater.ts';
import type { Argument, RespClient } from '../../support/resp-client.ts';
import type { RespError, RespValue } from '../../support/resp-parser.ts';
import type { TestServer } from '../../support/server-process.ts';
import { waitFor } from '../../support/wait-for.ts';
import { type Waiting, WaitingClients } from '../../support/waiting-clients.ts';

let server: TestServer;
let client: RespClient;
let waiting: WaitingClients;

beforeAll(async () => {
  server = await startHeadwater({
    args: ['--enable-debug-command', 'yes', '--repl-ping-replica-period', '3600'],
  });
  client = await server.client();
  waiting = new WaitingClients(server, client);
});

afterAll(async () => {
  await client.close();
  await server.stop();
});

afterEach(async () => {
  await waiting.close();
  await client.pipeline([['CLIENT', 'UNPAUSE'], ['FLUSHALL'], ['CONFIG', 'RESETSTAT']]);
});

const statsOf = async (command: string): Promise<string | undefined> =>
  (await client.info('commandstats')).get(`cmdstat_${command}`);

/** Sends a command on a connection of its own, and returns once it waits. */
const wait = (...args: Argument[]): Promise<Waiting> => waiting.wait(...args);

describe('without memory', () => {
  test.each([
    ['blmove', ['BLMOVE', 'k', 'to', 'LEFT', 'RIGHT', 0]],
    ['brpoplpush', ['BRPOPLPUSH', 'k', 'to', 0]],
  ] as const)('%s is refused, and is no call', async (name, waits) => {
    await client.call('RPUSH', 'source', 'x');
    const waiter = await wait(...waits);
    await client.pipeline([
      ['CONFIG', 'SET', 'maxmemory', 1],
      ['RENAME', 'source', 'k'],
      ['CONFIG', 'SET', 'maxmemory', 0],
    ]);
    expect(((await waiter.reply) as RespError).message).toMatch(/^OOM /);
    expect(await client.call('LRANGE', 'k', 0, -1)).toEqual(['x']);
    expect(await client.call('EXISTS', 'to')).toBe(0);
    expect(await statsOf(name)).toMatch(/^calls=0,.*,rejected_calls=1,failed_calls=0$/);
    expect((await client.info('errorstats')).get('errorstat_OOM')).toBe('count=1');
    // The client goes on.
    expect(await waiter.client.call('PING')).toBe('PONG');
    expect(await statsOf('ping')).toMatch(/failed_calls=0$/);
  });

  test('one that needs none is served', async () => {
    await client.call('RPUSH', 'source', 'x');
    const waiter = await wait('BLPOP', 'k', 0);
    await client.pipeline([
      ['CONFIG', 'SET', 'maxmemory', 1],
      ['RENAME', 'source', 'k'],
      ['CONFIG', 'SET', 'maxmemory', 0],
    ]);
    expect(await waiter.reply).toEqual(['k', 'x']);
    expect(await statsOf('blpop')).toMatch(/^calls=1,.*,rejected_calls=0,failed_calls=0$/);
  });
});

describe('while writes are paused', () => {
  const GROUP = ['XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', 0, 'STREAMS', 'k', '>'] as const;
  const cases = [
    ['BLPOP', ['BLPOP', 'k', 0], ['RPUSH', 'k', 'x']],
    ['BLMOVE', ['BLMOVE', 'k', 'l', 'LEFT', 'RIGHT', 0], ['RPUSH', 'k', 'x']],
    ['BLMPOP', ['BLMPOP', 0, 1, 'k', 'LEFT'], ['RPUSH', 'k', 'x']],
    ['BZPOPMIN', ['BZPOPMIN', 'k', 0], ['ZADD', 'k', 1, 'x']],
    ['BZMPOP', ['BZMPOP', 0, 1, 'k', 'MAX'], ['ZADD', 'k', 1, 'x']],
    ['XREADGROUP', GROUP, ['XADD', 'k', '1-1', 'f', 'x']],
  ] as const;

  /** Lets writes be paused and the key come in one unit. */
  const pausedWith = (makes: readonly Argument[]): Promise<RespValue[]> =>
    client.pipeline([['MULTI'], ['CLIENT', 'PAUSE', 60_000, 'WRITE'], makes, ['EXEC']]);

  test.each(cases)('%s waits on until the pause ends', async (name, waits, makes) => {
    if (name === 'XREADGROUP') await client.call('XGROUP', 'CREATE', 'k', 'g', '$', 'MKSTREAM');
    const replica = await FakeReplica.attach(server.port);
    await replica.waitForDump();
    const waiter = await wait(...waits);
    await pausedWith(makes);
    const offset = await client.infoField('replication', 'master_repl_offset');
    expect(await client.call('CLIENT', 'LIST', 'ID', waiter.id)).toContain(' flags=b ');
    expect(await client.call('EXISTS', 'k')).toBe(1);
    expect(await client.infoField('replication', 'master_repl_offset')).toBe(offset);
    await client.call('CLIENT', 'UNPAUSE');
    expect(JSON.stringify(await waiter.reply)).toContain('"x"');
    expect(await statsOf(name.toLowerCase())).toMatch(/^calls=1,/);
    await replica.close();
  });

  test('one that only reads is served', async () => {
    const waiter = await wait('XREAD', 'BLOCK', 0, 'STREAMS', 'k', 0);
    await pausedWith(['XADD', 'k', '1-1', 'f', 'x']);
    expect(JSON.stringify(await waiter.reply)).toContain('"x"');
  });

  test('its time may be up, and it may be unblocked; the next one is served then', async () => {
    const timed = await wait('BLPOP', 'k', 0.2);
    const ended = await wait('BLPOP', 'k', 0);
    const last = await wait('BLPOP', 'k', 0);
    await pausedWith(['RPUSH', 'k', 'x']);
    expect(await client.call('CLIENT', 'UNBLOCK', ended.id)).toBe(1);
    expect(await ended.reply).toBeNull();
    expect(await timed.reply).toBeNull();
    await client.call('CLIENT', 'UNPAUSE');
    expect(await last.reply).toEqual(['k', 'x']);
  });

  test('it is served when the time of the pause is up, and is not answered under SKIP', async () => {
    const each = await waiting.open();
    each.send('CLIENT', 'REPLY', 'SKIP');
    each.send('BLPOP', 'k', 0);
    await waiting.are(1);
    await client.pipeline([
      ['MULTI'],
      ['CLIENT', 'PAUSE', 50, 'WRITE'],
      ['RPUSH', 'k', 'x'],
      ['EXEC'],
    ]);
    await waitFor(async () => (await client.call('EXISTS', 'k')) === 0, { what: 'the pop' });
    expect(await each.call('PING', 'next')).toBe('next');
    expect(each.pushes).toEqual([]);
  });
});

test('another dataset serves who waits for what it brings, without a further command', async () => {
  await client.pipeline([['XADD', 'k', '1-1', 'f', 'x'], ['SAVE'], ['DEL', 'k']]);
  const waiter = await wait('XREAD', 'BLOCK', 0, 'STREAMS', 'k', 0);
  await client.call('DEBUG', 'RELOAD', 'NOSAVE');
  expect(JSON.stringify(await waiter.reply)).toContain('"x"');
});
