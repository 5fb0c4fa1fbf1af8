/**
 * `client-output-buffer-limit` while a reply grows: within a command, a transaction, a pipeline, by
 * others' messages.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import { encodeCommand, type RespClient } from '../../support/resp-client.ts';
import { waitFor } from '../../support/wait-for.ts';

let served: NodeInProcess;
let admin: RespClient;

beforeAll(async () => {
  served = await startNode('client-output-buffer-limit normal 1mb 0 0', 'rehearsal no');
  admin = await served.client();
});

afterAll(async () => {
  await admin.close();
  await served.stop();
});

beforeEach(async () => {
  await admin.call('FLUSHALL');
  await admin.call('CONFIG', 'SET', 'client-output-buffer-limit', 'normal 1mb 0 0 pubsub 0 0 0');
  await admin.call('SET', 'large', Buffer.alloc(300_000, 'y'));
});

/** What comes to a client that sends these and reads until the end. */
async function answersTo(...requests: (readonly (string | number)[])[]): Promise<number> {
  const client = await served.client();
  let bytes = 0;
  client.socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  client.write(Buffer.concat(requests.map((request) => encodeCommand(request))));
  await client.closed;
  return bytes;
}

const cutOffs = (): number => served.node.server.stats.outputLimitDisconnections;

test('a command whose reply passes the limit gets nothing of it', async () => {
  for (let i = 0; i < 10; i++) await admin.call('RPUSH', 'list', Buffer.alloc(200_000, 'z'));
  const before = cutOffs();
  expect(await answersTo(['LRANGE', 'list', 0, -1], ['SET', 'after', 1])).toBe(0);
  expect(cutOffs()).toBe(before + 1);
  expect(await admin.call('EXISTS', 'after')).toBe(0);
  expect(
    served.messages.filter((line) => line.includes('overcoming of output buffer limits')),
  ).toHaveLength(1);
});

test('a transaction has run to its end', async () => {
  const gets = Array.from({ length: 6 }, () => ['GET', 'large']);
  const before = cutOffs();
  const bytes = await answersTo(
    ['MULTI'],
    ['INCR', 'n'],
    ...gets,
    ['INCR', 'n'],
    ['EXEC'],
    ['INCR', 'n'],
  );
  expect(bytes).toBe(0);
  expect(cutOffs()).toBe(before + 1);
  expect(await admin.call('GET', 'n')).toBe('2');
});

test('a pipeline ends where the limit is reached', async () => {
  const requests = Array.from({ length: 200 }, () => [
    ['INCR', 'n'],
    ['LRANGE', 'list', 0, -1],
  ]).flat();
  for (let i = 0; i < 10; i++) await admin.call('RPUSH', 'list', Buffer.alloc(50_000, 'z'));
  const client = await served.client();
  client.socket.pause();
  client.write(Buffer.concat(requests.map((request) => encodeCommand(request))));
  const before = cutOffs();
  await waitFor(() => cutOffs() > before, { what: 'the client to be cut off' });
  expect(Number(await admin.call('GET', 'n'))).toBeLessThan(30);
  client.socket.destroy();
});

test('a subscriber is cut off by what others publish, in its own time', async () => {
  await admin.call('CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 1mb 0 0 normal 0 0 0');
  const subscriber = await served.client();
  await subscriber.call('SUBSCRIBE', 'channel');
  const before = cutOffs();
  const message = 'm'.repeat(200_000);
  // In one transaction nothing is sent in between.
  const publishes = Array.from({ length: 10 }, () => ['PUBLISH', 'channel', message] as const);
  const replies = await admin.pipeline([['MULTI'], ...publishes, ['EXEC']]);
  // It is a subscriber until the transaction is over, as in Redis.
  expect(replies.at(-1)).toEqual(publishes.map(() => 1));
  await subscriber.closed;
  expect(cutOffs()).toBe(before + 1);
  expect(subscriber.pushes).toEqual([]);
});

test.each([
  {
    name: 'MONITOR shows it',
    begin: (client: RespClient) => client.call('MONITOR'),
    limit: 'normal 1mb 0 0',
  },
  {
    name: 'key events tell it',
    begin: (client: RespClient) => client.call('PSUBSCRIBE', '__key*'),
    limit: 'pubsub 1mb 0 0',
  },
])('a client that does not read what $name is cut off', async ({ begin, limit }) => {
  await admin.call('CONFIG', 'SET', 'notify-keyspace-events', 'KEA');
  await admin.call('CONFIG', 'SET', 'client-output-buffer-limit', limit);
  const watcher = await served.client();
  await begin(watcher);
  watcher.socket.pause();
  const before = cutOffs();
  const key = 'k'.repeat(100_000);
  for (let i = 0; i < 400 && cutOffs() === before; i++) await admin.call('SET', key, 'v');
  expect(cutOffs()).toBe(before + 1);
  watcher.socket.destroy();
  await admin.call('CONFIG', 'SET', 'notify-keyspace-events', '');
});

test('so is a client that asks for COMMAND DOCS again and again', async () => {
  const asking = await served.client();
  asking.socket.pause();
  const before = cutOffs();
  asking.write(encodeCommand(['COMMAND', 'DOCS']).toString().repeat(200));
  await waitFor(() => cutOffs() > before, { what: 'the client to be cut off' });
  asking.socket.destroy();
});

test('without a limit replies of many chunks arrive whole, whenever they are read', async () => {
  await admin.call('CONFIG', 'SET', 'client-output-buffer-limit', 'normal 0 0 0');
  const bytes = 5_000_000;
  await admin.call('SET', 'huge', Buffer.alloc(bytes, 'h'));
  const client = await served.client();
  client.socket.pause();
  const replies = Promise.all(Array.from({ length: 20 }, () => client.call('GET', 'huge')));
  const { server } = served.node;
  const ours = [...server.clients.values()].at(-1)!;
  await waitFor(() => ours.pendingOutputBytes > 15 * bytes, { what: 'replies that wait' });
  const line = String(await admin.call('CLIENT', 'LIST', 'ID', ours.id));
  const fields = new Map(line.split(' ').map((field) => field.split('=') as [string, string]));
  expect(Number(fields.get('omem')) + Number(fields.get('obl'))).toBeGreaterThan(15 * bytes);
  expect(Number(fields.get('oll'))).toBeGreaterThan(15);
  expect(Number(fields.get('tot-mem'))).toBeGreaterThan(15 * bytes);
  client.socket.resume();
  for (const reply of await replies) expect(String(reply) === 'h'.repeat(bytes)).toBe(true);
  expect(ours.pendingOutputBytes).toBe(0);
  await client.close();
});
