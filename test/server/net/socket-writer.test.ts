import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { SocketWriter } from '../../../src/server/net/socket-writer.ts';
import { waitFor } from '../../support/wait-for.ts';

const open: { destroy(): void }[] = [];
let server: Server | undefined;

afterEach(() => {
  for (const each of open.splice(0)) each.destroy();
  server?.close();
});

/** A socket that was accepted, and the peer that reads it. */
async function pair(): Promise<{ socket: Socket; peer: Socket }> {
  const accepted: Socket[] = [];
  server = createServer((socket) => accepted.push(socket)).listen(0, '127.0.0.1');
  await waitFor(() => server!.listening, { what: 'the server to listen' });
  const peer = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const socket = await waitFor(() => accepted[0], { what: 'the connection' });
  socket.on('error', () => {});
  peer.on('error', () => {});
  open.push(socket, peer);
  return { socket, peer };
}

describe('SocketWriter', () => {
  test('a short write is over at once and needs no callback', async () => {
    const { socket, peer } = await pair();
    const writer = new SocketWriter(socket);
    let called = 0;
    let received = '';
    peer.on('data', (bytes) => {
      received += String(bytes);
    });
    expect(writer.write(Buffer.from('hello'), () => called++)).toBe(true);
    await waitFor(() => received === 'hello', { what: 'the bytes' });
    expect(called).toBe(0);
    expect(writer.waitingBytes).toBe(0);
  });

  test('what the kernel does not take is counted, arrives in order, and is reported once each', async () => {
    const { socket, peer } = await pair();
    peer.pause();
    const writer = new SocketWriter(socket);
    const slice = 1 << 20;
    const callbacks: number[] = [];
    let atOnce = 0;
    for (let i = 0; i < 32; i++) {
      if (writer.write(Buffer.alloc(slice, i), () => callbacks.push(i))) atOnce++;
    }
    expect(writer.waitingBytes).toBeGreaterThan(0);
    let total = 0;
    let disordered = 0;
    peer.on('data', (bytes: Buffer) => {
      for (let i = 0; i < bytes.length; i += 4096)
        if (bytes[i] !== Math.floor((total + i) / slice)) disordered++;
      total += bytes.length;
    });
    peer.resume();
    await waitFor(() => total === 32 * slice, { what: 'all bytes' });
    await waitFor(() => atOnce + callbacks.length === 32, { what: 'all callbacks' });
    expect(disordered).toBe(0);
    expect(callbacks).toEqual([...callbacks].sort((a, b) => a - b));
    expect(writer.waitingBytes).toBe(0);
  });

  test('the callback of a waiting write comes also when the connection is cut', async () => {
    const { socket, peer } = await pair();
    peer.pause();
    const writer = new SocketWriter(socket);
    let waiting = 0;
    let called = 0;
    while (waiting < 3) if (!writer.write(Buffer.alloc(1 << 20), () => called++)) waiting++;
    socket.destroy();
    await waitFor(() => called === waiting, { what: 'the callbacks' });
    expect(writer.write(Buffer.from('late'), () => called++)).toBe(false);
    await waitFor(() => called === waiting + 1, { what: 'the callback of a write after the end' });
  });
});
