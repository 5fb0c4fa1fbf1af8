/**
 * `maxmemory-clients`: which clients end, when, and in which order. The cases are those of Redis'
 * own tests, as behaviour, without client side caching; and a few more.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Connection } from '../../../../src/server/net/connection.ts';
import { FakeReplica } from '../../../support/fake-replica.ts';
import { type NodeInProcess, startNode } from '../../../support/node-in-process.ts';
import { encodeCommand, type RespClient } from '../../../support/resp-client.ts';
import { waitFor } from '../../../support/wait-for.ts';

const KB = 1 << 10;
const MB = 1 << 20;
const LIMIT = 4 * MB;

let served: NodeInProcess;
let control: RespClient;

beforeEach(async () => {
  served = await startNode('rehearsal no', 'maxmemory-clients 4mb', 'enable-debug-command yes');
  control = await served.client();
  await control.call('CLIENT', 'SETNAME', 'control');
  await control.call('CLIENT', 'NO-EVICT', 'ON');
});

afterEach(async () => {
  await control.close();
  await served.stop();
});

interface Named {
  readonly client: RespClient;
  readonly connection: Connection;
}

async function connect(name: string): Promise<Named> {
  const client = await served.client();
  await client.call('CLIENT', 'SETNAME', name);
  const connection = served.node.server.clients.get(Number(await client.call('CLIENT', 'ID')))!;
  return { client, connection };
}

const evicted = async (): Promise<number> =>
  Number(await control.infoField('stats', 'evicted_clients'));

/** A field of CLIENT LIST, for each client of this name. */
async function fields(name: string, field: string): Promise<number[]> {
  const lines = String(await control.call('CLIENT', 'LIST')).split('\n');
  return lines
    .filter((line) => line.includes(` name=${name}`))
    .map((line) => Number(new RegExp(` ${field}=(\\d+)`).exec(line)![1]));
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
const totalMemory = async (): Promise<number> => sum(await fields('', 'tot-mem'));

/** The beginning of a request with one argument of so many bytes that has them, and no end. */
const unfinished = (bytes: number): Buffer =>
  Buffer.concat([Buffer.from(`*2\r\n$${bytes}\r\n`), Buffer.alloc(bytes, 'v')]);

async function hold({ client, connection }: Named, bytes: number): Promise<void> {
  client.write(unfinished(bytes));
  await waitFor(() => connection.reader.pendingBytes >= bytes || connection.closed, {
    what: 'the bytes to come',
  });
}

interface Growth {
  readonly name: string;
  /** Makes the client take more than the limit. */
  readonly grow: (named: Named) => Promise<unknown> | unknown;
}

const names = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => `name:${i}:${'n'.repeat(100)}`);

const growths: readonly Growth[] = [
  { name: 'a request that is not whole', grow: ({ client }) => client.write(unfinished(LIMIT)) },
  {
    name: 'arguments of a request that is not whole',
    grow: ({ client }) =>
      client.write(`*500\r\n${`$${64 * KB}\r\n${'v'.repeat(64 * KB)}\r\n`.repeat(70)}`),
  },
  {
    name: 'commands behind MULTI',
    grow: async ({ client }) => {
      await client.call('MULTI');
      const one = encodeCommand(['SET', 'k', 'v'.repeat(500 * KB)]);
      for (let i = 0; i < 10; i++) client.write(one);
    },
  },
  {
    name: 'a great many short commands behind MULTI',
    grow: async ({ client }) => {
      await client.call('MULTI');
      client.write('*1\r\n$4\r\nPING\r\n'.repeat(10_000));
    },
  },
  {
    name: 'watched keys',
    grow: ({ client }) => client.write(encodeCommand(['WATCH', ...names(9000)])),
  },
  {
    name: 'subscriptions',
    grow: ({ client }) => client.write(encodeCommand(['PSUBSCRIBE', ...names(15_000)])),
  },
  {
    name: 'keys that it waits for',
    grow: ({ client }) => client.write(encodeCommand(['BLPOP', ...names(10_000), 0])),
  },
  {
    name: 'requests behind a command that waits',
    grow: ({ client }) => {
      client.write(encodeCommand(['BLPOP', 'none', 0]));
      for (let i = 0; i < 10; i++) client.write(encodeCommand(['SET', 'k', 'v'.repeat(500 * KB)]));
    },
  },
  {
    name: 'replies that it does not read',
    grow: async ({ client }) => {
      await control.call('SET', 'large', 'v'.repeat(500 * KB));
      client.socket.pause();
      client.write(encodeCommand(['GET', 'large']).toString().repeat(60));
    },
  },
  {
    name: 'messages that it does not read',
    grow: async ({ client }) => {
      await client.call('SUBSCRIBE', 'channel');
      client.socket.pause();
      for (let i = 0; i < 60; i++) await control.call('PUBLISH', 'channel', 'm'.repeat(500 * KB));
    },
  },
  {
    name: 'lines of MONITOR that it does not read',
    grow: async ({ client }) => {
      await client.call('MONITOR');
      client.socket.pause();
      for (let i = 0; i < 60; i++) await control.call('ECHO', 'e'.repeat(500 * KB));
    },
  },
  {
    name: 'its name',
    grow: ({ client }) => client.write(encodeCommand(['CLIENT', 'SETNAME', 'n'.repeat(LIMIT)])),
  },
];

describe.each(growths)('a client with $name', ({ grow }) => {
  test('ends', async () => {
    const named = await connect('large');
    await grow(named);
    await waitFor(() => named.connection.closed, { what: 'the client to be evicted' });
    expect(await evicted()).toBe(1);
    const line = served.messages.find((text) => text.startsWith('Evicting client: '));
    expect(line).toMatch(/^Evicting client: id=\d+ addr=\S+ laddr=\S+ .* tot-mem=\d+ .*$/);
    expect(served.node.server.clientMemory.totalBytes).toBeLessThan(LIMIT);
    named.client.socket.destroy();
  });

  test('stays with CLIENT NO-EVICT, until that is off', async () => {
    const named = await connect('large');
    await named.client.call('CLIENT', 'NO-EVICT', 'ON');
    await grow(named);
    await waitFor(async () => (await totalMemory()) >= LIMIT, { what: 'the memory' });
    await control.call('PING');
    expect(named.connection.closed).toBe(false);
    expect(served.messages.filter((text) => text.includes(' name=large '))).toEqual([]);
    named.client.socket.destroy();
    await waitFor(() => named.connection.closed, { what: 'the client to be gone' });
  });
});

test('NO-EVICT OFF lets a client end that is too large', async () => {
  const named = await connect('large');
  await named.client.call('CLIENT', 'NO-EVICT', 'ON');
  await named.client.call('WATCH', ...names(10_000));
  expect(named.connection.closed).toBe(false);
  named.client.send('CLIENT', 'NO-EVICT', 'OFF');
  await named.client.closed;
  expect(await evicted()).toBe(1);
});

test('the limit may be a part of maxmemory, and changes with it', async () => {
  await control.call('CONFIG', 'SET', 'maxmemory-clients', '5%');
  // Per cent of nothing.
  const named = await connect('large');
  await hold(named, 3 * MB);
  expect(served.node.server.clientMemory.isOn).toBe(false);
  await control.call('CONFIG', 'SET', 'maxmemory', 100 * MB);
  await control.call('PING');
  expect(named.connection.closed).toBe(false);
  await control.call('CONFIG', 'SET', 'maxmemory', 50 * MB);
  await named.client.closed;
  expect(await evicted()).toBe(1);
  expect(await control.call('CONFIG', 'GET', 'maxmemory-clients')).toEqual([
    'maxmemory-clients',
    '5%',
  ]);
});

test('a limit below 128 KiB counts as one', async () => {
  await control.call('CONFIG', 'SET', 'maxmemory-clients', '1');
  const named = await connect('small');
  await hold(named, 50 * KB);
  await control.call('PING');
  expect(named.connection.closed).toBe(false);
});

test('a lower limit ends clients at once, and no more than it must', async () => {
  await control.call('CONFIG', 'SET', 'maxmemory-clients', '0');
  const clients = await Promise.all(Array.from({ length: 10 }, (_, i) => connect(`client-${i}`)));
  for (const named of clients) await hold(named, MB);
  const [one] = await fields('client-0', 'tot-mem');
  const [own] = await fields('control', 'tot-mem');
  const limit = (one! * 10) / 2 + own!;
  await control.call('CONFIG', 'SET', 'maxmemory-clients', limit);
  expect(await totalMemory()).toBeLessThan(limit);
  const left = clients.filter(({ connection }) => !connection.closed).length;
  // The reader of CLIENT LIST takes a little itself.
  expect([4, 5]).toContain(left);
  expect(await evicted()).toBe(10 - left);
});

test('the largest end first', async () => {
  await control.call('CONFIG', 'SET', 'maxmemory-clients', '0');
  const sizes = [100_000, MB, 3 * MB];
  const groups: Connection[][] = [];
  for (const size of sizes) {
    const group = [];
    for (let i = 0; i < 3; i++) {
      const named = await connect('group');
      await hold(named, size);
      group.push(named.connection);
    }
    groups.push(group);
  }
  const alive = (): number[] => groups.map((group) => group.filter((c) => !c.closed).length);
  for (let i = sizes.length - 1; i >= 0; i--) {
    const total = served.node.server.clients;
    const rest = sum([...total.values()].map(({ memoryBytes }) => memoryBytes));
    // One of the largest has to go.
    await control.call('CONFIG', 'SET', 'maxmemory-clients', rest - sizes[i]! / 2);
    await control.call('PING');
    expect(alive()).toEqual(sizes.map((_, j) => (j < i ? 3 : j === i ? 2 : 0)));
    // And now the others of its size.
    const below = sum(groups.slice(0, i).map((group) => sum(group.map((c) => c.memoryBytes))));
    const least = i === 0 ? 128 * KB : below + 200 * KB;
    await control.call('CONFIG', 'SET', 'maxmemory-clients', least);
    await control.call('PING');
    expect(alive()).toEqual(sizes.map((_, j) => (j < i ? 3 : 0)));
    await control.call('CONFIG', 'SET', 'maxmemory-clients', '0');
  }
});

test('a client that its output limit ends is not evicted, too', async () => {
  await control.call('CONFIG', 'SET', 'client-output-buffer-limit', 'normal 1mb 0 0');
  await control.call('SET', 'large', 'v'.repeat(5 * MB));
  const { client } = await connect('reader');
  client.send('GET', 'large');
  await client.closed;
  expect(await evicted()).toBe(0);
  expect(served.node.server.stats.outputLimitDisconnections).toBe(1);
});

test('a replica is exempt', async () => {
  const replica = await FakeReplica.attach(served.port);
  await replica.waitForDump();
  replica.pause();
  await control.call('CONFIG', 'SET', 'maxmemory-clients', '128kb');
  for (let i = 0; i < 40; i++) await control.call('SET', 'k', 'v'.repeat(500 * KB));
  expect(replica.isClosed).toBe(false);
  const bytes = served.node.server.clientMemory.totalBytes;
  expect(bytes).toBeLessThan(128 * KB);
  await replica.close();
});

test('one command of a pipeline is judged before the next', async () => {
  const subscriber = await connect('subscriber');
  await subscriber.client.call('SUBSCRIBE', 'channel');
  subscriber.client.socket.pause();
  await control.call('CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 0 0 0');
  const most = { bytes: 0 };
  const { server } = served.node;
  const publish = ['PUBLISH', 'channel', 'm'.repeat(60 * KB)] as const;
  // All of it is one read, or few: nothing is sent between these commands.
  const replies = await control.pipeline(
    Array.from({ length: 400 }, () => {
      most.bytes = Math.max(most.bytes, server.clientMemory.totalBytes);
      return publish;
    }),
  );
  expect(replies[0]).toBe(1);
  expect(replies.at(-1)).toBe(0);
  expect(await evicted()).toBe(1);
});

test('a transaction that publishes to itself is held to the limits while it runs', async () => {
  await control.call('CONFIG', 'SET', 'client-output-buffer-limit', 'pubsub 1mb 0 0');
  const { client, connection } = await connect('self');
  await client.call('HELLO', 3);
  client.send('PSUBSCRIBE', ...Array.from({ length: 2000 }, (_, i) => `[c${i}]*`));
  await waitFor(() => connection.subscribed, { what: 'the subscriptions' });
  client.send('PUBLISH', 'channel', 'm'.repeat(100 * KB));
  await client.closed;
  expect(connection.messageBytes).toBeLessThan(2 * MB);
  expect(served.node.server.stats.outputLimitDisconnections).toBe(1);
});

test('what CLIENT LIST tells, the total, and mem_clients_normal agree', async () => {
  const clients = await Promise.all(Array.from({ length: 5 }, (_, i) => connect(`client-${i}`)));
  for (const [i, named] of clients.entries()) await hold(named, (i + 1) * 50 * KB);
  await clients[0]!.client.call('CLIENT', 'ID').catch(() => {});
  const { server, admin } = served.node;
  const memory = sum([...server.clients.values()].map(({ memoryBytes }) => memoryBytes));
  admin.memory.tick();
  expect(admin.memory.normalClientBytes).toBe(memory);
  expect(server.clientMemory.totalBytes).toBe(memory);
  const listed = await totalMemory();
  // The asking client's reply is on its way when it is asked.
  expect(Math.abs(listed - memory)).toBeLessThan(64 * KB);
  await control.call('CONFIG', 'SET', 'maxmemory-clients', '0');
  expect(server.clientMemory.totalBytes).toBe(0);
  await control.call('CONFIG', 'SET', 'maxmemory-clients', '4mb');
  expect(server.clientMemory.totalBytes).toBeGreaterThan(listed - 64 * KB);
  for (const { client } of clients) client.socket.destroy();
  await waitFor(() => server.clients.size === 1, { what: 'the clients to be gone' });
  expect(server.clientMemory.totalBytes).toBe([...server.clients.values()][0]!.memoryBytes);
});

test('when nobody may be evicted the log says so, once', async () => {
  const { client } = await connect('kept');
  await client.call('CLIENT', 'NO-EVICT', 'ON');
  client.write(unfinished(LIMIT));
  await waitFor(async () => (await totalMemory()) >= LIMIT, { what: 'the memory' });
  for (let i = 0; i < 10; i++) await control.call('PING');
  const text = 'Over client maxmemory after evicting all evictable clients';
  expect(served.messages.filter((line) => line === text)).toHaveLength(1);
  // Whoever comes now goes.
  const late = await served.client();
  late.send('PING');
  await late.closed;
  expect(await evicted()).toBe(1);
  client.socket.destroy();
});

test('DEBUG CLIENT-EVICTION tells the sizes as Redis does', async () => {
  const named = await connect('half');
  await hold(named, 600 * KB);
  const lines = String(await control.call('DEBUG', 'CLIENT-EVICTION')).split('\n');
  expect(lines).toHaveLength(20);
  expect(lines[0]).toBe('bucket          0 -      32767: tot-mem:          0, clients: 0');
  const bytes = String(named.connection.countedBytes).padStart(10);
  const bucket = lines.find((line) => line.endsWith('clients: 1'));
  expect(bucket).toBe(
    named.connection.bucket === 6
      ? `bucket    1048576 -    2097151: tot-mem: ${bytes}, clients: 1`
      : `bucket     524288 -    1048575: tot-mem: ${bytes}, clients: 1`,
  );
  expect(lines[18]).toBe('bucket 4294967296+            : tot-mem:          0, clients: 0');
  await control.call('CONFIG', 'SET', 'maxmemory-clients', '0');
  expect(String(await control.command('DEBUG', 'CLIENT-EVICTION'))).toContain(
    'maxmemory-clients is disabled.',
  );
});

test('CONFIG RESETSTAT forgets how many were evicted', async () => {
  const named = await connect('large');
  named.client.write(unfinished(LIMIT));
  await waitFor(() => named.connection.closed);
  expect(await evicted()).toBe(1);
  await control.call('CONFIG', 'RESETSTAT');
  expect(await evicted()).toBe(0);
});
