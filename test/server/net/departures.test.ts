/**
 * All ways in which the server ends a connection, each with the worst peer: it keeps its end open,
 * does not read, and goes on sending. Such peers once stayed in CLIENT LIST and counted against
 * `maxclients`.
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Departures } from '../../../src/server/net/departures.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import { encodeCommand, type RespClient } from '../../support/resp-client.ts';
import { waitFor } from '../../support/wait-for.ts';

let served: NodeInProcess;
let admin: RespClient;

beforeAll(async () => {
  served = await startNode('maxclients 100', 'rehearsal no');
  admin = await served.client();
});

afterAll(async () => {
  await admin.close();
  await served.stop();
});

beforeEach(async () => {
  await admin.call('FLUSHALL');
});

/** A peer that does not read until it is told to, and never ends by itself. */
interface Peer {
  readonly socket: Socket;
  readonly id: () => number;
  /** Reads on, and returns what came until the other side ended. */
  rest(): Promise<string>;
}

const open = new Set<Socket>();

async function peer(): Promise<Peer> {
  const { server } = served.node;
  const known = new Set(server.clients.keys());
  const received = server.stats.connectionsReceived;
  const socket = connect({
    port: served.port,
    host: '127.0.0.1',
    allowHalfOpen: true,
    noDelay: true,
  });
  open.add(socket);
  let error = '';
  let text = '';
  let ended = false;
  socket.on('error', ({ message }) => {
    error ||= message;
  });
  socket.pause();
  await waitFor(() => server.stats.connectionsReceived > received, { what: 'the connection' });
  return {
    socket,
    id: () => [...server.clients.keys()].find((id) => !known.has(id)) ?? -1,
    async rest() {
      socket.on('data', (bytes) => {
        text += String(bytes);
      });
      socket.on('end', () => {
        ended = true;
      });
      socket.resume();
      await waitFor(() => ended || error !== '', { what: 'the end' });
      return error === '' ? text : `${text}<${error}>`;
    },
  };
}

const request = (...words: string[]): Buffer => encodeCommand(words);
/** What a peer sends that has not understood. It must neither run nor be kept. */
const MORE = Buffer.concat([request('SET', 'after', '1'), Buffer.alloc(1 << 20, 'x')]);
const WITH_OK = '+OK\r\n';

interface Way {
  readonly name: string;
  /** Lets the server end the connection. */
  readonly end: (peer: Peer, id: number) => Promise<unknown> | unknown;
  /** The peer gets this, and then a proper end; undefined where it is cut without a word. */
  readonly text?: string | RegExp;
  readonly config?: readonly (readonly [string, string, string])[];
}

const ways: readonly Way[] = [
  { name: 'QUIT', end: ({ socket }) => socket.write(request('QUIT')), text: WITH_OK },
  {
    name: 'QUIT with more in the same write',
    end: ({ socket }) => socket.write(Buffer.concat([request('QUIT'), MORE])),
    text: WITH_OK,
  },
  {
    name: 'QUIT of a silent client',
    end: ({ socket }) =>
      socket.write(Buffer.concat([request('CLIENT', 'REPLY', 'OFF'), request('QUIT')])),
    text: '',
  },
  {
    name: 'a wrong length',
    end: ({ socket }) => socket.write('*1\r\n$x\r\n'),
    text: '-ERR Protocol error: invalid bulk length\r\n',
  },
  {
    name: 'unbalanced quotes',
    end: ({ socket }) => socket.write('GET "x\r\n'),
    text: '-ERR Protocol error: unbalanced quotes in request\r\n',
  },
  {
    name: 'an inline request without end',
    end: ({ socket }) => socket.write('x'.repeat(70_000)),
    text: '-ERR Protocol error: too big inline request\r\n',
  },
  {
    name: 'CLIENT KILL of itself',
    end: ({ socket }, id) => socket.write(request('CLIENT', 'KILL', 'ID', `${id}`, 'SKIPME', 'no')),
    text: ':1\r\n',
  },
  {
    name: 'CLIENT KILL of itself in a transaction',
    end: ({ socket }, id) =>
      socket.write(
        Buffer.concat([
          request('MULTI'),
          request('CLIENT', 'KILL', 'ID', `${id}`, 'SKIPME', 'no'),
          request('PING'),
          request('EXEC'),
        ]),
      ),
    text: '+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n+PONG\r\n',
  },
  { name: 'CLIENT KILL by another', end: (_, id) => admin.call('CLIENT', 'KILL', 'ID', id) },
  { name: 'an HTTP request', end: ({ socket }) => socket.write('POST / HTTP/1.1\r\n') },
  {
    name: 'idle for longer than timeout',
    config: [['timeout', '1', '0']],
    end: () => {},
  },
  {
    name: 'the query buffer limit',
    config: [['client-query-buffer-limit', '1mb', '1gb']],
    end: ({ socket }) =>
      socket.write(Buffer.concat([Buffer.from('*1\r\n$4000000\r\n'), Buffer.alloc(1_100_000)])),
  },
  {
    name: 'the hard limit of output',
    config: [['client-output-buffer-limit', 'normal 1mb 0 0', 'normal 0 0 0']],
    end: ({ socket }) => {
      for (let i = 0; i < 60; i++) socket.write(request('GET', 'large'));
    },
  },
  {
    name: 'the soft limit of output',
    config: [['client-output-buffer-limit', 'normal 0 1mb 1', 'normal 0 0 0']],
    end: ({ socket }) => {
      for (let i = 0; i < 60; i++) socket.write(request('GET', 'large'));
    },
  },
  {
    name: 'a replica that asks something',
    end: async ({ socket }) => {
      socket.write(request('SYNC'));
      await waitFor(() => served.node.primary.peers.size > 0, { what: 'the replica' });
      socket.write(request('GET', 'x'));
    },
  },
];

describe.each(ways)('$name', ({ name, end, text, config = [] }) => {
  test(`after ${name} the client is gone, and what its peer still sends is not run`, async () => {
    const { server } = served.node;
    await admin.call('SET', 'large', Buffer.alloc(1 << 20, 'y'));
    const ended = await peer();
    const id = await waitFor(() => ended.id() !== -1 && ended.id(), { what: 'the client' });
    for (const [name, value] of config) await admin.call('CONFIG', 'SET', name, value);
    await end(ended, id);
    // The administrator is not idle.
    await waitFor(async () => (await admin.call('PING')) === 'PONG' && !server.clients.has(id), {
      what: 'the client to be gone',
    });
    for (const [name, , value] of config) await admin.call('CONFIG', 'SET', name, value);
    expect(String(await admin.call('CLIENT', 'LIST'))).not.toContain(`id=${id} `);
    ended.socket.write(MORE);
    // Reads late: what it was told must not be lost to what it sent.
    await admin.call('PING');
    ended.socket.write(MORE);
    if (text !== undefined) expect(await ended.rest()).toMatch(text);
    await waitFor(() => server.departures.count === 0, { what: 'the socket to be closed' });
    expect(await admin.call('EXISTS', 'after')).toBe(0);
    ended.socket.destroy();
  });
});

describe('clients that were turned away', () => {
  test('are told so, whatever they send, and count for nothing', async () => {
    const { server } = served.node;
    await admin.call('CONFIG', 'SET', 'maxclients', 1);
    const peers = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const refused = await peer();
        refused.socket.write(MORE);
        return refused;
      }),
    );
    expect(server.clients.size).toBe(1);
    for (const refused of peers)
      expect(await refused.rest()).toBe('-ERR max number of clients reached\r\n');
    await waitFor(() => server.departures.count === 0, { what: 'the sockets to be closed' });
    expect(await admin.call('EXISTS', 'after')).toBe(0);
    await admin.call('CONFIG', 'SET', 'maxclients', 100);
    for (const { socket } of peers) socket.destroy();
  });
});

test('peers that keep their end open lock nobody out', async () => {
  const { server } = served.node;
  await admin.call('CONFIG', 'SET', 'maxclients', 10);
  const peers: Peer[] = [];
  for (let i = 0; i < 60; i++) {
    const left = await peer();
    left.socket.write(request('QUIT'));
    peers.push(left);
    await waitFor(() => server.clients.size === 1, { what: 'the client to be gone' });
  }
  const client = await served.client();
  expect(await client.call('PING')).toBe('PONG');
  await client.close();
  for (const left of peers) expect(await left.rest()).toBe(WITH_OK);
  for (const { socket } of peers) socket.destroy();
  await admin.call('CONFIG', 'SET', 'maxclients', 100);
});

test('a peer that reads slowly gets all that it asked for before it left', async () => {
  await admin.call('SET', 'large', Buffer.alloc(8 << 20, 'y'));
  const slow = await peer();
  slow.socket.write(
    Buffer.concat([request('GET', 'large'), request('GET', 'large'), request('QUIT')]),
  );
  await waitFor(() => served.node.server.departures.count > 0, { what: 'the client to leave' });
  const rest = await slow.rest();
  expect(rest.length).toBe(2 * (8 << 20) + 2 * '$8388608\r\n\r\n'.length + WITH_OK.length);
  expect(rest.endsWith(WITH_OK)).toBe(true);
  slow.socket.destroy();
});

const STUCK_BYTES = Buffer.alloc(8 << 20);

test('there are only so many of those who leave: the first is cut for the last', async () => {
  let roomLeft = 1000;
  const departures = new Departures(() => roomLeft);
  const accepted: Socket[] = [];
  const listener = createServer((socket) => accepted.push(socket)).listen(0, '127.0.0.1');
  await waitFor(() => listener.listening, { what: 'the listener' });
  const { port } = listener.address() as AddressInfo;
  const leave = async (): Promise<void> => {
    const place = accepted.length;
    const stuck = connect(port, '127.0.0.1');
    open.add(stuck);
    stuck.on('error', () => {});
    stuck.pause();
    const socket = await waitFor(() => accepted[place], { what: 'the connection' });
    socket.on('error', () => {});
    // More than the kernel takes for a peer that does not read.
    socket.write(STUCK_BYTES);
    departures.leave(socket);
  };
  for (let i = 0; i < 258; i++) await leave();
  expect(departures.count).toBe(256);
  expect(accepted.map(({ destroyed }) => destroyed).indexOf(false)).toBe(2);
  // The clients need the descriptors.
  roomLeft = 0;
  await leave();
  expect(departures.count).toBe(32);
  expect(accepted.map(({ destroyed }) => destroyed).indexOf(false)).toBe(259 - 32);
  expect(departures.waitingBytes).toBeGreaterThan(0);
  departures.stop();
  expect(departures.count).toBe(0);
  listener.close();
});

afterAll(() => {
  for (const socket of open) socket.destroy();
});
