/**
 * Many peers at a time that keep their end open, when the server has ended their connection. Each
 * way in which it does is in ends.test.ts.
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Departures } from '../../../src/server/net/departures.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import { closeOpenPeers, type OpenPeer, openPeer } from '../../support/open-peer.ts';
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

const request = (...words: string[]): Buffer => encodeCommand(words);
/** What a peer sends that has not understood. It must neither run nor be kept. */
const MORE = Buffer.concat([request('SET', 'after', '1'), Buffer.alloc(1 << 20, 'x')]);
const WITH_OK = '+OK\r\n';

describe('clients that were turned away', () => {
  test('are told so, whatever they send, and count for nothing', async () => {
    const { server } = served.node;
    await admin.call('CONFIG', 'SET', 'maxclients', 1);
    const peers = await Promise.all(
      Array.from({ length: 20 }, async () => {
        const refused = await openPeer(served);
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
  const peers: OpenPeer[] = [];
  for (let i = 0; i < 60; i++) {
    const left = await openPeer(served);
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
  const slow = await openPeer(served);
  slow.socket.write(
    Buffer.concat([request('GET', 'large'), request('GET', 'large'), request('QUIT')]),
  );
  await waitFor(() => served.node.server.departures.count > 0, { what: 'the client to leave' });
  const rest = await slow.rest();
  expect(rest.length).toBe(2 * (8 << 20) + 2 * '$8388608\r\n\r\n'.length + WITH_OK.length);
  expect(rest.endsWith(WITH_OK)).toBe(true);
  slow.socket.destroy();
});

const stuckPeers: Socket[] = [];
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
    stuckPeers.push(stuck);
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
  closeOpenPeers();
  for (const socket of stuckPeers) socket.destroy();
});
