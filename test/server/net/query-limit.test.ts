/** `client-query-buffer-limit`, wherever what a client has sent may wait. */
import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import { encodeCommand, type RespClient } from '../../support/resp-client.ts';
import { waitFor } from '../../support/wait-for.ts';

const MB = 1 << 20;
const PART = 64 * 1024;

let served: NodeInProcess;
let admin: RespClient;

beforeAll(async () => {
  served = await startNode('client-query-buffer-limit 1mb', 'rehearsal no');
  admin = await served.client();
});

afterAll(async () => {
  await admin.close();
  await served.stop();
});

beforeEach(async () => {
  await admin.call('FLUSHALL');
});

const cut = async (): Promise<number> =>
  Number(await admin.infoField('stats', 'client_query_buffer_limit_disconnections'));
const SET = encodeCommand(['SET', 'late', 'x'.repeat(PART)]);
const BULK = Buffer.from(`$${PART}\r\n${'x'.repeat(PART)}\r\n`);

/** Sends parts until 8 MiB or the end; returns the most that the server held of them. */
async function flood(client: RespClient, part: Buffer): Promise<number> {
  const connection = [...served.node.server.clients.values()].at(-1)!;
  let most = 0;
  for (let i = 0; i < 128 && !client.isClosed; i++) {
    client.write(part);
    await new Promise(setImmediate);
    most = Math.max(most, connection.reader.ownBytes + connection.queuedBytes);
  }
  await client.closed;
  return most;
}

interface Wait {
  readonly name: string;
  readonly begin: (client: RespClient) => Promise<unknown> | unknown;
  readonly end?: () => Promise<unknown>;
  /** What the client sends then, again and again. */
  readonly part?: Buffer;
}

const waits: readonly Wait[] = [
  {
    name: 'a client that waits for a key',
    begin: (client) => client.write(encodeCommand(['BLPOP', 'none', 0])),
  },
  {
    name: 'a client whose write is paused',
    begin: async () => await admin.call('CLIENT', 'PAUSE', 100_000, 'WRITE'),
    end: async () => await admin.call('CLIENT', 'UNPAUSE'),
  },
  { name: 'the commands of a transaction', begin: (client) => client.call('MULTI') },
  {
    name: 'a request that does not end',
    begin: (client) => client.write('*500\r\n'),
    part: BULK,
  },
];

describe.each(waits)('$name', ({ begin, end, part = SET }) => {
  test('is held to the limit', async () => {
    const before = await cut();
    const client = await served.client();
    const lines = served.messages.length;
    await begin(client);
    expect(await flood(client, part)).toBeLessThan(2.5 * MB);
    expect(await cut()).toBe(before + 1);
    const line = served.messages.slice(lines).find((text) => text.startsWith('Closing client'));
    expect(line).toMatch(
      /^Closing client that reached max query buffer length: id=\d+ .*\(qbuf initial bytes: ".*"\)$/,
    );
    await end?.();
    expect(await admin.call('EXISTS', 'late')).toBe(0);
  });

  test('may come near it', async () => {
    const before = await cut();
    const client = await served.client();
    await begin(client);
    for (let i = 0; i < 10; i++) client.write(part);
    const connection = [...served.node.server.clients.values()].at(-1)!;
    await waitFor(() => connection.reader.pendingBytes + connection.queuedBytes > 9 * PART, {
      what: 'the bytes',
    });
    const line = String(await admin.call('CLIENT', 'LIST', 'ID', connection.id));
    const fields = new Map(line.split(' ').map((field) => field.split('=') as [string, string]));
    const all = ['qbuf', 'argv-mem', 'multi-mem'].map((name) => Number(fields.get(name)));
    expect(all.reduce((sum, bytes) => sum + bytes)).toBeGreaterThan(9 * PART);
    expect(Number(fields.get('tot-mem'))).toBeGreaterThan(9 * PART);
    client.socket.destroy();
    // Its end is noticed, whatever it waits for.
    await waitFor(() => !served.node.server.clients.has(connection.id), {
      what: 'the client to be gone',
    });
    await end?.();
    expect(await cut()).toBe(before);
  });
});

test('many short commands of a transaction count with what they take', async () => {
  const client = await served.client();
  await client.call('MULTI');
  client.write(Buffer.from('*1\r\n$4\r\nPING\r\n'.repeat(20_000)));
  await client.closed;
});

test.each([
  ['WATCH', 'UNWATCH'],
  ['SUBSCRIBE', 'UNSUBSCRIBE'],
  ['PSUBSCRIBE', 'PUNSUBSCRIBE'],
])('what %s has named counts until %s', async (begin, end) => {
  const client = await served.client();
  const connection = [...served.node.server.clients.values()].at(-1)!;
  const before = await cut();
  let count = 0;
  const names = (): string[] => Array.from({ length: 1000 }, () => `name:${count++}`);
  const held = async (isHeld: boolean): Promise<boolean> =>
    await waitFor(() => connection.namesBytes > 0 === isHeld, { what: 'the names' });
  client.socket.on('data', () => {});
  for (let i = 0; i < 5; i++) {
    client.write(encodeCommand([begin, ...names()]));
    await held(true);
    client.write(encodeCommand([end]));
    await held(false);
  }
  for (let i = 0; i < 6; i++) client.write(encodeCommand([begin, ...names()]));
  await client.closed;
  expect(await cut()).toBe(before + 1);
  expect(connection.namesBytes).toBe(0);
});

const KEYS = Array.from({ length: 1000 }, (_, i) => `key:${i}`);
test.each([
  ['BLPOP', (keys: string[]) => ['BLPOP', ...keys, 0]],
  ['BRPOP', (keys: string[]) => ['BRPOP', ...keys, 0]],
  ['BZPOPMIN', (keys: string[]) => ['BZPOPMIN', ...keys, 0]],
  ['BLMPOP', (keys: string[]) => ['BLMPOP', 0, keys.length, ...keys, 'LEFT']],
  ['XREAD', (keys: string[]) => ['XREAD', 'BLOCK', 0, 'STREAMS', ...keys, ...keys.map(() => '$')]],
  [
    'XREADGROUP',
    (keys: string[]) => [
      ...['XREADGROUP', 'GROUP', 'g', 'c', 'BLOCK', 0, 'STREAMS'],
      ...keys,
      ...keys.map(() => '>'),
    ],
  ],
] satisfies [string, (keys: string[]) => (string | number)[]][])(
  'what %s waits for counts until it is answered, and is held to the limit',
  async (name, request) => {
    if (name === 'XREADGROUP')
      await admin.pipeline(
        Array.from({ length: 6000 }, (_, i) => [
          'XGROUP',
          'CREATE',
          `key:${i}`,
          'g',
          0,
          'MKSTREAM',
        ]),
      );
    const before = await cut();
    const client = await served.client();
    const connection = [...served.node.server.clients.values()].at(-1)!;
    client.write(encodeCommand(request(KEYS)));
    await waitFor(() => connection.blocked, { what: 'the wait' });
    const { memoryBytes, namesBytes } = connection;
    expect(namesBytes).toBeGreaterThan(KEYS.length * 200);
    expect(memoryBytes).toBeGreaterThan(namesBytes + KEYS.length * 20);
    await admin.call('CLIENT', 'UNBLOCK', connection.id);
    await waitFor(() => !connection.blocked, { what: 'the end of the wait' });
    expect([connection.namesBytes, connection.heldBytes]).toEqual([0, 0]);
    // More of them than the limit allows.
    client.write(encodeCommand(request(Array.from({ length: 6000 }, (_, i) => `key:${i}`))));
    await client.closed;
    expect(await cut()).toBe(before + 1);
    expect([connection.namesBytes, served.node.blocking.keyCount]).toEqual([0, 0]);
  },
);

test('a pipeline that is longer than the limit is no violation, however short its requests are', async () => {
  const before = await cut();
  const count = 400_000;
  const socket = connect(served.port, '127.0.0.1');
  let received = 0;
  let most = 0;
  socket.on('data', (bytes) => {
    received += bytes.length;
    const connection = [...served.node.server.clients.values()].at(-1)!;
    most = Math.max(most, connection.reader.ownBytes);
  });
  socket.write('*1\r\n$4\r\nPING\r\n'.repeat(count));
  await waitFor(() => received === count * '+PONG\r\n'.length, { what: 'all replies' });
  socket.destroy();
  expect(most).toBeLessThan(MB);
  expect(await cut()).toBe(before);
});

test('a pipeline whose replies are large goes on turn by turn', async () => {
  await admin.call('SET', 'large', Buffer.alloc(300_000, 'l'));
  const client = await served.client();
  const replies = await client.pipeline(
    Array.from({ length: 200 }, () => ['GET', 'large'] as const),
  );
  for (const reply of replies) expect(String(reply).length).toBe(300_000);
  await client.close();
});
