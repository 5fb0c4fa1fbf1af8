/** Messages: to whom they come, in what form, and the key events of both servers side by side. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startHeadwater } from '../../support/headwater.ts';
import { startRedis } from '../../support/real-redis.ts';
import type { RespClient } from '../../support/resp-client.ts';
import { RespError, type RespValue } from '../../support/resp-parser.ts';
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

/** The next `count` messages. */
async function messages(client: RespClient, count: number): Promise<RespValue[]> {
  const found: RespValue[] = [];
  while (found.length < count) found.push(await client.nextPush());
  return found;
}

describe.each([2, 3] as const)('in RESP%i', (protocol) => {
  test('confirmations and messages are those of the real server', async () => {
    const seen = await Promise.all(
      [ours, theirs].map(async (server) => {
        const subscriber = await server.client({ protocol });
        const publisher = await server.client();
        subscriber.send('SUBSCRIBE', 'one', 'two', 'one');
        subscriber.send('PSUBSCRIBE', 't*', '[a-z]*');
        subscriber.send('SSUBSCRIBE', 'one');
        const confirmed = await messages(subscriber, 6);
        const counts = [];
        for (const [command, channel] of [
          ['PUBLISH', 'one'],
          ['PUBLISH', 'two'],
          ['PUBLISH', 'TWO'],
          ['SPUBLISH', 'one'],
          ['SPUBLISH', 'two'],
          ['PUBLISH', ''],
        ]) {
          counts.push(await publisher.call(command!, channel!, `to ${channel}\r\n\0`));
        }
        // Which of several patterns that match comes first is not specified: Redis goes by a hash
        // with a random seed.
        const received = (await messages(subscriber, 6))
          .map((message) => JSON.stringify(message))
          .sort();
        const told = [
          await publisher.call('PUBSUB', 'NUMSUB', 'one', 'nosuch'),
          await publisher.call('PUBSUB', 'NUMPAT'),
          ((await publisher.call('PUBSUB', 'CHANNELS')) as string[]).sort(),
          await publisher.call('PUBSUB', 'CHANNELS', 'o*'),
          await publisher.call('PUBSUB', 'SHARDCHANNELS'),
          await publisher.call('PUBSUB', 'SHARDNUMSUB', 'one'),
        ];
        subscriber.send('UNSUBSCRIBE', 'one', 'never');
        subscriber.send('PUNSUBSCRIBE', 't*');
        subscriber.send('UNSUBSCRIBE');
        subscriber.send('PUNSUBSCRIBE');
        subscriber.send('SUNSUBSCRIBE');
        const ended = await messages(subscriber, 6);
        await Promise.all([subscriber.close(), publisher.close()]);
        return { confirmed, counts, received, told, ended };
      }),
    );
    expect(seen[0]).toEqual(seen[1]);
    expect(seen[0]!.counts).toEqual([2, 3, 0, 1, 0, 0]);
  });
});

test('a subscriber in RESP2 may do little, one in RESP3 everything', async () => {
  const old = await ours.client();
  old.send('SUBSCRIBE', 'x');
  await old.nextPush();
  const refused = await old.command('GET', 'k');
  expect(refused).toBeInstanceOf(RespError);
  expect((refused as RespError).message).toContain("Can't execute 'get'");
  expect(await old.call('PING', 'hi')).toEqual(['pong', 'hi']);
  expect(await old.call('RESET')).toBe('RESET');
  expect(await old.call('GET', 'k')).toBeNull();

  const modern = await ours.client({ protocol: 3 });
  modern.send('SUBSCRIBE', 'x');
  await modern.nextPush();
  expect(await modern.call('GET', 'k')).toBeNull();
  expect(await modern.call('PUBLISH', 'x', 'to myself')).toBe(1);
  expect(await modern.nextPush()).toEqual(['message', 'x', 'to myself']);
  await Promise.all([old.close(), modern.close()]);
});

test('subscriptions end with the connection', async () => {
  const subscriber = await ours.client();
  const client = await ours.client();
  subscriber.send('SUBSCRIBE', 'gone');
  await subscriber.nextPush();
  await subscriber.close();
  await waitFor(async () => (await client.call('PUBLISH', 'gone', 'x')) === 0);
  expect(await client.call('PUBSUB', 'CHANNELS', 'gone')).toEqual([]);
  await client.close();
});

test('a subscriber that does not read is cut off at its limit, and nobody else', async () => {
  const [stuck, client] = await Promise.all([ours.client(), ours.client()]);
  await client.call('CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 1mb 0 0');
  stuck.send('SUBSCRIBE', 'flood');
  await stuck.nextPush();
  stuck.socket.pause();
  const message = 'x'.repeat(100_000);
  await waitFor(async () => (await client.call('PUBLISH', 'flood', message)) === 0);
  expect(await client.infoField('stats', 'client_output_buffer_limit_disconnections')).toBe('1');
  stuck.socket.destroy();
  await client.close();
});

describe('key events', () => {
  const commands: readonly (readonly string[])[] = [
    ['SET', 'k', '1'],
    ['INCR', 'k'],
    ['APPEND', 'k', 'x'],
    ['GET', 'missing'],
    ['EXPIRE', 'k', '100'],
    ['PERSIST', 'k'],
    ['RENAME', 'k', 'k2'],
    ['COPY', 'k2', 'k3'],
    ['SELECT', '3'],
    ['SET', 'other', 'db'],
    ['SETEX', 'e', '100', 'v'],
    ['GETDEL', 'e'],
    ['DEL', 'other', 'nothing'],
    ['SELECT', '0'],
    ['EXPIRE', 'k3', '-1'],
  ];

  test.each(['KEA', 'Kg$', 'E$', 'Ex', 'K', 'A', 'KEm', 'KEn'])(
    'of %s are those of the real server',
    async (classes) => {
      const events = await Promise.all(
        [ours, theirs].map(async (server) => {
          const [subscriber, client] = await Promise.all([server.client(), server.client()]);
          await client.call('FLUSHALL');
          await client.call('CONFIG', 'SET', 'notify-keyspace-events', classes);
          subscriber.send('PSUBSCRIBE', '*');
          await subscriber.nextPush();
          for (const words of commands) await client.call(...(words as [string]));
          await client.call('PUBLISH', 'end', '');
          const found: RespValue[] = [];
          for (
            let last: RespValue = null;
            !(Array.isArray(last) && last[2] === 'end');
            found.push(last)
          ) {
            last = await subscriber.nextPush();
          }
          await client.call('CONFIG', 'SET', 'notify-keyspace-events', '');
          await Promise.all([subscriber.close(), client.close()]);
          return found;
        }),
      );
      expect(events[0]).toEqual(events[1]);
    },
  );
});
