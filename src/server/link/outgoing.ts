/**
 * The connection of the link to the primary, from the address of `bind-source-addr`.
 *
 * As in Redis that address is a wish: a name stands for its first address, and a connection that
 * cannot be made from there, for whatever reason, is made from any address of the machine.
 *
 * Main thread.
 */
import { lookup } from 'node:dns';
import { isIP, type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';

export interface Destination {
  readonly host: string;
  readonly port: number;
  /** Where reads go. */
  readonly onread: OnReadOpts;
}

/**
 * A socket that connects to `destination`. An empty `source` stands for any address. `onUnusable` is
 * called instead of any event but `error` when it cannot connect from `source`.
 */
export function connectFrom(
  { host, port, onread }: Destination,
  source: string,
  onUnusable: () => void,
): Socket {
  // The types do not know that the constructor takes it, too.
  const options: SocketConstructorOpts & { onread: OnReadOpts } = { onread };
  const socket = new Socket(options);
  const go = (localAddress?: string): void => {
    if (socket.destroyed) return;
    const from = localAddress === undefined ? {} : { localAddress };
    socket.connect({ host, port, noDelay: true, ...from });
  };
  if (source === '') {
    go();
    return socket;
  }
  let isUnusable = false;
  socket.on('error', (error: NodeJS.ErrnoException) => {
    isUnusable = error.syscall === 'bind';
  });
  socket.prependOnceListener('close', () => {
    if (isUnusable) onUnusable();
  });
  if (isIP(source) !== 0) {
    go(source);
  } else {
    lookup(source, (error, address) => {
      if (error === null) go(address);
      else go();
    });
  }
  return socket;
}
