/**
 * All ways in which the server ends a connection, each with the worst peer: it keeps its end open,
 * does not read, and goes on sending. Such peers once stayed in CLIENT LIST and counted against
 * `maxclients`. docs/connections.md has the same table.
 */
import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { packageUrl } from '../../../src/base/package-root.ts';
import { setAuthenticated } from '../../../src/server/admin/auth/handshake.ts';
import { FakeReplica } from '../../support/fake-replica.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import { closeOpenPeers, type OpenPeer, openPeer, openSockets } from '../../support/open-peer.ts';
import { encodeCommand, type RespClient } from '../../support/resp-client.ts';
import { waitFor } from '../../support/wait-for.ts';

let served: NodeInProcess;
let admin: RespClient;

beforeAll(async () => {
  served = await startNode('maxclients 100', 'rehearsal no', 'repl-diskless-sync-delay 0');
  // Most peers here keep their end open, and each test waits until they are cut.
  served.node.server.departures.lingerMs = 150;
  admin = await served.client();
});

afterAll(async () => {
  await admin.close();
  await served.stop();
});

beforeEach(async () => {
  await admin.call('FLUSHALL');
});

afterEach(async () => {
  closeOpenPeers();
  await waitFor(() => served.node.server.clients.size === 1, { what: 'the peer to be gone' });
});

const request = (...words: string[]): Buffer => encodeCommand(words);
/** What a peer sends that has not understood. It must neither run nor be kept. */
const MORE = Buffer.concat([request('SET', 'after', '1'), Buffer.alloc(1 << 20, 'x')]);
const WITH_OK = '+OK\r\n';
const LARGE_GETS = 60;

const sendOf =
  (...bytes: (Buffer | string)[]) =>
  ({ socket }: OpenPeer): unknown =>
    socket.write(Buffer.concat(bytes.map((each) => Buffer.from(each as string, 'latin1'))));

/** Asks for more than the kernel takes for a peer that does not read. */
const askMuch = sendOf(...Array.from({ length: LARGE_GETS }, () => request('GET', 'large')));

/** Makes a replica of the peer, which acknowledges nothing. */
async function becomeReplica({ socket }: OpenPeer): Promise<void> {
  const before = served.node.primary.peers.size;
  socket.write(request('PSYNC', '?', '-1'));
  await waitFor(() => served.node.primary.peers.size > before, { what: 'the replica' });
}

/** As if there had been a password when it came. */
function mustAuthenticate(id: number): void {
  setAuthenticated(served.node.server.clients.get(id)!, false);
}

/** Sends a request, and waits until the client is what it makes of it. */
async function become(peer: OpenPeer, id: number, flags: string, words: string[]): Promise<void> {
  peer.socket.write(request(...words));
  await waitFor(
    async () => String(await admin.call('CLIENT', 'LIST', 'ID', id)).includes(` flags=${flags}`),
    { what: `a client with the flags ${flags}` },
  );
}

interface Way {
  readonly name: string;
  /** Lets the server end the connection. */
  readonly end: (peer: OpenPeer, id: number) => Promise<unknown> | unknown;
  /** The peer gets this, and then a proper end; undefined where it is cut without a word. */
  readonly text?: string | RegExp;
  readonly config?: readonly (readonly [string, string, string])[];
}

const ways: readonly Way[] = [
  { name: 'QUIT', end: sendOf(request('QUIT')), text: WITH_OK },
  {
    name: 'QUIT with more in the same write',
    end: sendOf(request('QUIT'), MORE),
    text: WITH_OK,
  },
  {
    name: 'QUIT of a silent client',
    end: sendOf(request('CLIENT', 'REPLY', 'OFF'), request('QUIT')),
    text: '',
  },
  {
    name: 'QUIT in a transaction',
    end: sendOf(request('MULTI'), request('SET', 'after', '1'), request('QUIT')),
    text: WITH_OK + WITH_OK.replace('OK', 'QUEUED') + WITH_OK,
  },
  {
    name: 'QUIT of a subscriber',
    end: sendOf(request('SUBSCRIBE', 'news'), request('QUIT')),
    text: '*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n+OK\r\n',
  },
  {
    name: 'QUIT of a client that monitors',
    end: sendOf(request('MONITOR'), request('QUIT')),
    text: WITH_OK + WITH_OK,
  },
  {
    name: 'a wrong length of a word',
    end: sendOf('*1\r\n$x\r\n'),
    text: '-ERR Protocol error: invalid bulk length\r\n',
  },
  {
    name: 'a word beyond proto-max-bulk-len',
    config: [['proto-max-bulk-len', '1mb', '512mb']],
    end: sendOf('*2\r\n$3\r\nGET\r\n$1048577\r\n'),
    text: '-ERR Protocol error: invalid bulk length\r\n',
  },
  {
    name: 'a wrong count of words',
    end: sendOf('*x\r\n'),
    text: '-ERR Protocol error: invalid multibulk length\r\n',
  },
  {
    name: 'too many words',
    end: sendOf('*2147483648\r\n'),
    text: '-ERR Protocol error: invalid multibulk length\r\n',
  },
  {
    name: 'too many words before AUTH',
    end: (peer, id) => {
      mustAuthenticate(id);
      sendOf('*11\r\n')(peer);
    },
    text: '-ERR Protocol error: unauthenticated multibulk length\r\n',
  },
  {
    name: 'too long a word before AUTH',
    end: (peer, id) => {
      mustAuthenticate(id);
      sendOf('*2\r\n$4\r\nAUTH\r\n$16385\r\n')(peer);
    },
    text: '-ERR Protocol error: unauthenticated bulk length\r\n',
  },
  {
    name: 'another letter than $ before a word',
    end: sendOf('*1\r\n!4\r\n'),
    text: "-ERR Protocol error: expected '$', got '!'\r\n",
  },
  {
    name: 'unbalanced quotes',
    end: sendOf('GET "x\r\n'),
    text: '-ERR Protocol error: unbalanced quotes in request\r\n',
  },
  {
    name: 'an inline request without end',
    end: sendOf('x'.repeat(70_000)),
    text: '-ERR Protocol error: too big inline request\r\n',
  },
  {
    name: 'CLIENT KILL of itself',
    end: (peer, id) => sendOf(request('CLIENT', 'KILL', 'ID', `${id}`, 'SKIPME', 'no'))(peer),
    text: ':1\r\n',
  },
  {
    name: 'CLIENT KILL of itself by its address',
    end: (peer) =>
      sendOf(request('CLIENT', 'KILL', `127.0.0.1:${peer.socket.localPort}`), MORE)(peer),
    text: WITH_OK,
  },
  {
    name: 'CLIENT KILL of itself in a transaction',
    end: (peer, id) =>
      sendOf(
        request('MULTI'),
        request('CLIENT', 'KILL', 'ID', `${id}`, 'SKIPME', 'no'),
        request('PING'),
        request('EXEC'),
      )(peer),
    text: '+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n+PONG\r\n',
  },
  { name: 'CLIENT KILL by another', end: (_, id) => admin.call('CLIENT', 'KILL', 'ID', id) },
  {
    name: 'CLIENT KILL by its address',
    end: ({ socket }) => admin.call('CLIENT', 'KILL', `127.0.0.1:${socket.localPort}`),
  },
  {
    name: 'CLIENT KILL by ADDR',
    end: ({ socket }) => admin.call('CLIENT', 'KILL', 'ADDR', `127.0.0.1:${socket.localPort}`),
  },
  {
    name: 'CLIENT KILL by LADDR',
    end: ({ socket }) => admin.call('CLIENT', 'KILL', 'LADDR', `127.0.0.1:${socket.remotePort}`),
  },
  { name: 'CLIENT KILL by USER', end: () => admin.call('CLIENT', 'KILL', 'USER', 'default') },
  {
    name: 'CLIENT KILL by TYPE normal',
    end: () => admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'),
  },
  {
    name: 'CLIENT KILL by TYPE pubsub',
    end: async (peer, id) => {
      await become(peer, id, 'P', ['SUBSCRIBE', 'news']);
      await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    },
  },
  {
    name: 'CLIENT KILL by TYPE replica',
    end: async (peer) => {
      await becomeReplica(peer);
      await admin.call('CLIENT', 'KILL', 'TYPE', 'replica');
    },
  },
  {
    name: 'CLIENT KILL of a client that waits',
    end: async (peer, id) => {
      await become(peer, id, 'b', ['BLPOP', 'nothing', '0']);
      await admin.call('CLIENT', 'KILL', 'ID', id);
    },
  },
  {
    name: 'CLIENT KILL of a client that monitors',
    end: async (peer, id) => {
      await become(peer, id, 'O', ['MONITOR']);
      await admin.call('CLIENT', 'KILL', 'ID', id);
    },
  },
  { name: 'an HTTP request', end: sendOf('POST / HTTP/1.1\r\n') },
  { name: 'the header of an HTTP request', end: sendOf('Host: somewhere\r\n') },
  {
    name: 'idle for longer than timeout',
    config: [['timeout', '1', '0']],
    end: () => {},
  },
  {
    name: 'the query buffer limit',
    config: [['client-query-buffer-limit', '1mb', '1gb']],
    end: sendOf('*1\r\n$4000000\r\n', Buffer.alloc(1_100_000)),
  },
  {
    name: 'the query buffer limit of a client that waits',
    config: [['client-query-buffer-limit', '1mb', '1gb']],
    end: async (peer, id) => {
      await become(peer, id, 'b', ['BLPOP', 'nothing', '0']);
      sendOf(Buffer.alloc(1_100_000))(peer);
    },
  },
  {
    name: 'the hard limit of output',
    config: [['client-output-buffer-limit', 'normal 1mb 0 0', 'normal 0 0 0']],
    end: askMuch,
  },
  {
    name: 'the soft limit of output',
    config: [['client-output-buffer-limit', 'normal 0 1mb 1', 'normal 0 0 0']],
    end: askMuch,
  },
  {
    name: 'the limit of output of a subscriber',
    config: [['client-output-buffer-limit', 'pubsub 1mb 0 0', 'pubsub 33554432 8388608 60']],
    end: async (peer, id) => {
      await become(peer, id, 'P', ['SUBSCRIBE', 'news']);
      const news = Buffer.alloc(1 << 20, 'n');
      for (let i = 0; i < LARGE_GETS && served.node.server.clients.has(id); i++)
        await admin.call('PUBLISH', 'news', news);
    },
  },
  {
    name: 'the limit of output of a client that monitors',
    config: [['client-output-buffer-limit', 'normal 1mb 0 0', 'normal 0 0 0']],
    end: async (peer, id) => {
      await become(peer, id, 'O', ['MONITOR']);
      const seen = Buffer.alloc(1 << 20, 's');
      for (let i = 0; i < LARGE_GETS && served.node.server.clients.has(id); i++)
        await admin.call('SET', 'seen', seen);
    },
  },
  {
    name: 'the limit of output of a replica',
    config: [
      ['client-output-buffer-limit', 'replica 1mb 0 0', 'replica 268435456 67108864 60'],
      ['repl-backlog-size', '16kb', '1mb'],
    ],
    end: async (peer, id) => {
      await becomeReplica(peer);
      const value = Buffer.alloc(1 << 20, 'r');
      for (let i = 0; i < LARGE_GETS && served.node.server.clients.has(id); i++)
        await admin.call('SET', 'k', value);
    },
  },
  {
    name: 'a replica that asks something',
    end: async (peer) => {
      await becomeReplica(peer);
      sendOf(request('GET', 'x'))(peer);
    },
  },
  {
    name: 'a replica that writes',
    end: async (peer) => {
      await becomeReplica(peer);
      sendOf(request('SET', 'after', '1'))(peer);
    },
  },
  {
    name: 'a replica that is silent for longer than repl-timeout',
    config: [['repl-timeout', '1', '60']],
    end: becomeReplica,
  },
  {
    name: 'a replica of a node that becomes a replica',
    end: async (peer) => {
      await becomeReplica(peer);
      // Nobody listens there.
      await admin.call('REPLICAOF', '127.0.0.1', '1');
      await admin.call('REPLICAOF', 'NO', 'ONE');
    },
  },
];

describe.each(ways)('$name', ({ name, end, text, config = [] }) => {
  test(`after ${name} the client is gone, and what its peer still sends is not run`, async () => {
    const { server } = served.node;
    await admin.call('SET', 'large', Buffer.alloc(1 << 20, 'y'));
    await waitFor(() => server.departures.count === 0);
    const sockets = openSockets();
    const ended = await openPeer(served);
    const id = await waitFor(() => ended.id() !== -1 && ended.id(), { what: 'the client' });
    const connection = server.clients.get(id)!;
    for (const [name, value] of config) await admin.call('CONFIG', 'SET', name, value);
    await end(ended, id);
    // The administrator is not idle.
    await waitFor(async () => (await admin.call('PING')) === 'PONG' && !server.clients.has(id), {
      what: 'the client to be gone',
    });
    for (const [name, , value] of config) await admin.call('CONFIG', 'SET', name, value);
    expect(String(await admin.call('CLIENT', 'LIST'))).not.toContain(`id=${id} `);
    expect(await admin.infoField('clients', 'connected_clients')).toBe('1');
    expect(await admin.infoField('replication', 'connected_slaves')).toBe('0');
    ended.socket.write(MORE);
    // Reads late: what it was told must not be lost to what it sent.
    await admin.call('PING');
    ended.socket.write(MORE);
    if (text !== undefined) expect(await ended.rest()).toMatch(text);
    await waitFor(() => server.departures.count === 0, { what: 'the socket to be closed' });
    expect(await admin.call('EXISTS', 'after')).toBe(0);
    // Of the two sockets in this process only the peer's may be left, unless it has met a reset.
    expect(connection.socket.destroyed).toBe(true);
    await waitFor(() => openSockets() <= sockets + 1, { what: 'the descriptor to be free' });
    ended.socket.destroy();
  });
});

/** What looks like an end and is none: the client is still there, and is answered. */
const stays: [name: string, requests: string[][]][] = [
  ['RESET', [['MULTI'], ['RESET']]],
  ['AUTH with a wrong password, twenty times', Array<string[]>(20).fill(['AUTH', 'wrong'])],
  ['a command that does not exist', [['NOSUCHCOMMAND']]],
  ['CLIENT KILL of all others', [['CLIENT', 'KILL', 'TYPE', 'replica']]],
  ['CLIENT KILL that skips itself', [['CLIENT', 'KILL', 'ID', '#', 'SKIPME', 'yes']]],
  ['ACL DELUSER, which this server has not', [['ACL', 'DELUSER', 'default']]],
  ['ACL SETUSER, which this server has not', [['ACL', 'SETUSER', 'default', 'resetpass']]],
];

test.each(stays)('%s ends no connection', async (_, requests) => {
  const client = await served.client();
  const id = Number(await client.call('CLIENT', 'ID'));
  for (const words of requests)
    await client.command(...words.map((word) => (word === '#' ? `${id}` : word)));
  expect(await client.call('PING')).toBe('PONG');
  expect(await client.call('CLIENT', 'ID')).toBe(id);
  await client.close();
  await waitFor(() => served.node.server.clients.size === 1);
});

test.each([
  ['BLPOP', 'b', ['BLPOP', 'nothing', '0']],
  ['SUBSCRIBE', 'P', ['SUBSCRIBE', 'news']],
  ['MONITOR', 'O', ['MONITOR']],
])('timeout ends no client in %s, as in Redis', async (_, flags, words) => {
  const { server } = served.node;
  const waiting = await openPeer(served);
  const id = await waitFor(() => waiting.id() !== -1 && waiting.id(), { what: 'the client' });
  await become(waiting, id, flags, words);
  const idle = await openPeer(served);
  const idleId = await waitFor(() => idle.id() !== -1 && idle.id(), { what: 'the idle client' });
  await admin.call('CONFIG', 'SET', 'timeout', '1');
  await waitFor(async () => (await admin.call('PING')) === 'PONG' && !server.clients.has(idleId), {
    what: 'the idle client to be gone',
  });
  // All clients were looked at since it became idle for longer than the other was.
  await admin.call('CONFIG', 'SET', 'timeout', '0');
  expect(server.clients.has(id)).toBe(true);
  waiting.socket.destroy();
  idle.socket.destroy();
  await waitFor(() => server.clients.size === 1);
});

test('SHUTDOWN ends all, and the port is free', async () => {
  const sockets = openSockets();
  const other = await startNode('rehearsal no');
  let code: number | undefined;
  other.node.onExit = (exitCode) => {
    code = exitCode;
  };
  const peers = [await openPeer(other), await openPeer(other)];
  const replica = await FakeReplica.attach(other.port);
  await replica.waitForDump();
  peers[0]!.socket.write(request('SHUTDOWN', 'NOSAVE'));
  await waitFor(() => code === 0, { what: 'the end' });
  expect(other.node.server.clients.size).toBe(0);
  await replica.closed;
  for (const { socket } of peers) socket.write(MORE);
  // The peers' own.
  await waitFor(() => openSockets() <= sockets + peers.length, { what: 'free descriptors' });
  await expect(other.client()).rejects.toThrow('ECONNREFUSED');
  for (const { socket } of peers) socket.destroy();
});

test('docs/connections.md has all of them', () => {
  const text = readFileSync(packageUrl('docs/connections.md'), 'utf8');
  const rows = text.split('\n').filter((line) => line.startsWith('| '));
  const names = rows.map((line) => line.split('|')[1]!.trim());
  for (const { name } of ways) expect(names).toContain(name);
});
