/**
 * While writes are paused nothing expires, neither by itself nor because somebody looks: the stream
 * stands still.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FakeReplica } from '../../../support/fake-replica.ts';
import { startHeadwater } from '../../../support/headwater.ts';
import { type Argument, encodeCommand, type RespClient } from '../../../support/resp-client.ts';
import type { TestServer } from '../../../support/server-process.ts';
import { waitFor } from '../../../support/wait-for.ts';

let server: TestServer;
let client: RespClient;

beforeAll(async () => {
  server = await startHeadwater({ args: ['--enable-debug-command', 'yes'] });
  client = await server.client();
});

afterAll(async () => {
  await client.close();
  await server.stop();
});

beforeEach(async () => {
  await client.pipeline([['CLIENT', 'UNPAUSE'], ['FLUSHALL'], ['CONFIG', 'RESETSTAT']]);
});

const expiredKeys = (): Promise<string> => client.infoField('stats', 'expired_keys');

const LOOKS: readonly (readonly [looks: readonly Argument[], reply: unknown])[] = [
  [['GET', 'k'], null],
  [['EXISTS', 'k'], 0],
  [['TTL', 'k'], -2],
  [['TYPE', 'k'], 'none'],
  [['OBJECT', 'ENCODING', 'k'], null],
  [['KEYS', '*'], ['list']],
  [
    ['SCAN', 0, 'COUNT', 100],
    ['0', ['list']],
  ],
  [['SORT_RO', 'list', 'BY', 'nosort', 'GET', 'k'], [null]],
  [['MGET', 'k'], [null]],
  [['STRLEN', 'k'], 0],
  [['LRANGE', 'k', 0, -1], []],
  [['DBSIZE'], 2],
];

test('CLIENT PAUSE WRITE: what has expired is hidden, and stays', async () => {
  const replica = await FakeReplica.attach(server.port);
  await replica.waitForDump();
  await client.pipeline([
    ['RPUSH', 'list', 'x'],
    ['SET', 'k', 'x', 'PX', 30],
    ['CLIENT', 'PAUSE', 60_000, 'WRITE'],
    ['DEBUG', 'SLEEP', 0.05],
  ]);
  const replies = await client.pipeline(LOOKS.map(([looks]) => looks));
  expect(replies).toEqual(LOOKS.map(([, reply]) => reply));
  expect(['list', 'k']).toContain(await client.call('RANDOMKEY'));
  // Behind each of these a tick of the active expiry is due.
  for (let i = 0; i < 3; i++) await client.call('DEBUG', 'SLEEP', 0.15);
  expect(await expiredKeys()).toBe('0');
  expect(await client.call('DBSIZE')).toBe(2);
  await client.call('CLIENT', 'UNPAUSE');
  await client.call('SET', 'end', 'x');
  await waitFor(async () => (await expiredKeys()) === '1', { what: 'the key to expire' });
  await replica.waitForCommand('DEL', 'k');
  const deletions = replica.commands.filter(([name]) => name?.toLowerCase() === 'del');
  expect(deletions).toEqual([['DEL', 'k']]);
  await replica.close();
});

test('CLIENT PAUSE ALL: nothing expires', async () => {
  const replica = await FakeReplica.attach(server.port);
  await replica.waitForDump();
  await client.pipeline([
    ['SET', 'k', 'x', 'PX', 30],
    ['CLIENT', 'PAUSE', 1000, 'ALL'],
  ]);
  // Held back until the pause ends; by then the deadline has long passed, and no tick has deleted
  // the key.
  const replies = await client.pipeline([['INFO', 'stats'], ['DBSIZE']]);
  expect(replies[0]).toContain('expired_keys:0');
  expect(replies[1]).toBe(1);
  await waitFor(async () => (await expiredKeys()) === '1', { what: 'the key to expire' });
  await replica.close();
});

test('a shutdown that waits for its replicas expires nothing either', async () => {
  const other = await startHeadwater({
    args: ['--enable-debug-command', 'yes', '--shutdown-timeout', '60'],
  });
  const [admin, reader] = await Promise.all([other.client(), other.client()]);
  const replica = await FakeReplica.attach(other.port, { ack: 'never' });
  await replica.waitForDump();
  replica.ack();
  // In one write: the key may not expire before the shutdown begins.
  const commands = [
    ['SET', 'k', 'x', 'PX', 30],
    ['SHUTDOWN', 'NOSAVE'],
  ];
  admin.write(Buffer.concat(commands.map((words) => encodeCommand(words))));
  await waitFor(async () => (await reader.infoField('clients', 'blocked_clients')) === '1');
  await reader.call('DEBUG', 'SLEEP', 0.05);
  expect(await reader.call('GET', 'k')).toBeNull();
  await reader.call('DEBUG', 'SLEEP', 0.25);
  expect(await reader.infoField('stats', 'expired_keys')).toBe('0');
  expect(await reader.call('SHUTDOWN', 'ABORT')).toBe('OK');
  await waitFor(async () => (await reader.infoField('stats', 'expired_keys')) === '1');
  await Promise.all([admin.close(), reader.close(), replica.close()]);
  await other.stop();
});
