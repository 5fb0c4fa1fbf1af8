/**
 * The worst peer of a node in this process: it keeps its end open, does not read until it is told
 * to, and may go on sending.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import type { NodeInProcess } from './node-in-process.ts';
import { waitFor } from './wait-for.ts';

export interface OpenPeer {
  readonly socket: Socket;
  /** The id of its client; -1 before the server has made one. */
  readonly id: () => number;
  /** Reads on, and returns what came until the other side ended. */
  rest(): Promise<string>;
}

const open = new Set<Socket>();

/** Connects, and waits until the node has accepted the connection. */
export async function openPeer(served: NodeInProcess): Promise<OpenPeer> {
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
        text += bytes.toString('latin1');
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

/** Cuts the peers that a test left. */
export function closeOpenPeers(): void {
  for (const socket of open) socket.destroy();
  open.clear();
}

/** Sockets that this process has open, listening ones included. */
export function openSockets(): number {
  let count = 0;
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      if (readlinkSync(`/proc/self/fd/${name}`).startsWith('socket:')) count++;
    } catch (error) {
      // The descriptor by which the directory was read.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return count;
}
