/**
 * Messages to a client while a command of its own runs, and what a client gets that wants no
 * replies. Where a 7.0 does the same as a 7.2, the real server is asked as well.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { exchange, wire } from '../../support/exchange.ts';
import { startHeadwater } from '../../support/headwater.ts';
import { startRedis } from '../../support/real-redis.ts';
import type { TestServer } from '../../support/server-process.ts';
import { waitFor } from '../../support/wait-for.ts';

let ours: TestServer;
let theirs: TestServer;

beforeAll(async () => {
  [ours, theirs] = await Promise.all([startHeadwater(), startRedis()]);
});

afterAll(async () => {
  await Promise.all([ours.stop(), theirs.stop()]);
});

describe('messages of a client to itself', () => {
  test('come behind the whole reply of EXEC', async () => {
    const commands = [
      'SUBSCRIBE c',
      'MULTI',
      'PING a',
      'PUBLISH c 1',
      'PUBLISH c 2',
      'PING b',
      'EXEC',
    ];
    expect(await exchange(ours, 3, commands)).toBe(
      wire('>3', 'subscribe', 'c', 1, '+OK', '+QUEUED', '+QUEUED', '+QUEUED', '+QUEUED') +
        wire('*4', 'a', 1, 1, 'b') +
        wire('>3', 'message', 'c', '1', '>3', 'message', 'c', '2'),
    );
  });

  test('come behind the reply of PUBLISH, and before that of the next command', async () => {
    const commands = [
      'SUBSCRIBE c',
      'PSUBSCRIBE c*',
      'SSUBSCRIBE c',
      'PUBLISH c 1',
      'SPUBLISH c 2',
      'PING x',
    ];
    expect(await exchange(ours, 3, commands)).toBe(
      wire('>3', 'subscribe', 'c', 1, '>3', 'psubscribe', 'c*', 2, '>3', 'ssubscribe', 'c', 1) +
        wire(2, '>3', 'message', 'c', '1', '>4', 'pmessage', 'c*', 'c', '1') +
        wire(1, '>3', 'smessage', 'c', '2', 'x'),
    );
  });

  test.each([2, 3] as const)(
    'leave confirmations in their places of the array: RESP%i',
    async (protocol) => {
      const push = protocol === 3 ? '>3' : '*3';
      const commands = [
        'MULTI',
        'SUBSCRIBE c',
        'PUBLISH c 1',
        'UNSUBSCRIBE c',
        'PUBLISH c 2',
        'EXEC',
      ];
      expect(await exchange(ours, protocol, commands)).toBe(
        wire('+OK', '+QUEUED', '+QUEUED', '+QUEUED', '+QUEUED') +
          wire('*4', push, 'subscribe', 'c', 1, 1, push, 'unsubscribe', 'c', 0, 0) +
          wire(push, 'message', 'c', '1'),
      );
    },
  );

  test('and key events come behind the reply as well', async () => {
    const event = '__keyevent@0__:set';
    const commands = [
      'CONFIG SET notify-keyspace-events E$',
      `SUBSCRIBE ${event}`,
      'SET k v',
      'MULTI',
      'SET k w',
      'PING x',
      'EXEC',
      ['CONFIG', 'SET', 'notify-keyspace-events', ''],
    ];
    expect(await exchange(ours, 3, commands)).toBe(
      wire('+OK', '>3', 'subscribe', event, 1) +
        wire('+OK', '>3', 'message', event, 'k') +
        wire('+OK', '+QUEUED', '+QUEUED', '*2', '+OK', 'x', '>3', 'message', event, 'k', '+OK'),
    );
  });

  test('come behind the reply of a command that has waited', async () => {
    const event = '__keyevent@0__:lpop';
    const [waiter, other] = await Promise.all([ours.client({ protocol: 3 }), ours.client()]);
    await other.call('CONFIG', 'SET', 'notify-keyspace-events', 'El');
    waiter.send('SUBSCRIBE', event);
    await waiter.nextPush();
    const reply = waiter.raw('BLPOP', 'list', 0);
    await waitFor(async () => (await other.infoField('clients', 'blocked_clients')) === '1');
    await other.call('RPUSH', 'list', 'x');
    expect((await reply).toString()).toBe(wire('*2', 'list', 'x'));
    expect(await waiter.nextPush()).toEqual(['message', event, 'list']);
    await other.call('CONFIG', 'SET', 'notify-keyspace-events', '');
    await Promise.all([waiter.close(), other.close()]);
  });
});

describe.each([2, 3] as const)('a client that wants no replies, RESP%i,', (protocol) => {
  test.each([
    [
      'gets all confirmations under OFF',
      [
        'CLIENT REPLY OFF',
        'SUBSCRIBE a b',
        'PSUBSCRIBE p*',
        'SSUBSCRIBE s',
        'UNSUBSCRIBE a',
        'PUNSUBSCRIBE',
        'SUNSUBSCRIBE',
        'UNSUBSCRIBE',
        'UNSUBSCRIBE',
        'PING x',
        'CLIENT REPLY ON',
      ],
    ],
    [
      'gets the confirmation of the command that it skips',
      ['CLIENT REPLY SKIP', 'SUBSCRIBE a', 'UNSUBSCRIBE a'],
    ],
    [
      'gets confirmations of a transaction',
      [
        'CLIENT REPLY OFF',
        'MULTI',
        'PING x',
        'SUBSCRIBE a',
        'UNSUBSCRIBE a',
        'EXEC',
        'CLIENT REPLY ON',
      ],
    ],
    [
      'skips once more when it says so',
      ['CLIENT REPLY SKIP', 'CLIENT REPLY SKIP', 'PING 1', 'PING 2'],
    ],
    ['may end a skip', ['CLIENT REPLY SKIP', 'CLIENT REPLY ON', 'PING 1']],
    [
      'may turn a skip into silence',
      ['CLIENT REPLY SKIP', 'CLIENT REPLY OFF', 'PING 1', 'CLIENT REPLY ON'],
    ],
    ['skips MULTI only', ['CLIENT REPLY SKIP', 'MULTI', 'PING 1', 'EXEC']],
    ['skips an error', ['CLIENT REPLY SKIP', 'NOSUCH', 'PING 1']],
    ['ends the silence with RESET', ['CLIENT REPLY OFF', 'PING', 'RESET']],
    ['skips the answer to RESET', ['CLIENT REPLY SKIP', 'RESET', 'PING 1']],
    ['skips a wait that ends', ['CLIENT REPLY SKIP', 'BLPOP none 0.01', 'PING 1']],
    [
      'hears nothing of a wait that ends',
      ['CLIENT REPLY OFF', 'BLPOP none 0.01', 'CLIENT REPLY ON'],
    ],
    ['hears nothing of WAIT', ['CLIENT REPLY OFF', 'WAIT 1 10', 'CLIENT REPLY ON', 'PING 1']],
  ] as const)('%s', async (_, commands) => {
    expect(await exchange(ours, protocol, commands)).toBe(
      await exchange(theirs, protocol, commands),
    );
  });

  test('gets its own messages behind the confirmations of a transaction', async () => {
    const push = protocol === 3 ? '>3' : '*3';
    const commands = [
      'CLIENT REPLY OFF',
      'MULTI',
      'SUBSCRIBE c',
      'PUBLISH c 1',
      'UNSUBSCRIBE c',
      'EXEC',
      'CLIENT REPLY ON',
    ];
    expect(await exchange(ours, protocol, commands)).toBe(
      wire(
        push,
        'subscribe',
        'c',
        1,
        push,
        'unsubscribe',
        'c',
        0,
        push,
        'message',
        'c',
        '1',
        '+OK',
      ),
    );
  });

  test('is not answered when the key comes that it skipped the answer of', async () => {
    const [waiter, other] = await Promise.all([ours.client({ protocol }), ours.client()]);
    waiter.send('CLIENT', 'REPLY', 'SKIP');
    waiter.send('BLPOP', 'list', 0);
    await waitFor(async () => (await other.infoField('clients', 'blocked_clients')) === '1');
    await other.call('RPUSH', 'list', 'x');
    expect(await waiter.call('PING', 'next')).toBe('next');
    expect(waiter.pushes).toEqual([]);
    await Promise.all([waiter.close(), other.close()]);
  });

  test('is not answered when a pause ends', async () => {
    const [muted, other] = await Promise.all([ours.client({ protocol }), ours.client()]);
    await other.call('CLIENT', 'PAUSE', 60_000, 'WRITE');
    muted.send('CLIENT', 'REPLY', 'SKIP');
    muted.send('SET', 'k', 'v');
    await waitFor(async () => (await other.infoField('clients', 'blocked_clients')) === '1');
    await other.call('CLIENT', 'UNPAUSE');
    expect(await muted.call('PING', 'next')).toBe('next');
    expect(muted.pushes).toEqual([]);
    await Promise.all([muted.close(), other.close()]);
  });
});
