/**
 * Opens listening sockets, and turns an accepted socket into one that reads into our buffer.
 *
 * Node.js offers reads into a user's buffer (`onread`) for sockets that connect, not for accepted
 * ones. So the handle of an accepted socket is moved to a new socket with `onread`. Where that is
 * not possible, 'data' events serve; the rest of the program sees no difference.
 */
import {
  type AddressInfo,
  createServer,
  type Server as NetServer,
  Socket,
  type SocketConstructorOpts,
} from 'node:net';
import { withView } from '../../base/byte-copy.ts';
import { codeOf, ErrorCode, OperatingError, systemErrorText } from '../../base/errors.ts';
import { poison } from '../../base/lease.ts';
import { streamWrap } from './stream-wrap.ts';

const READ_BUFFER_BYTES = 128 * 1024;

/**
 * The one read buffer of all connections. Its content is used up when the read callback returns.
 */
const readBuffer = withView(Buffer.allocUnsafeSlow(READ_BUFFER_BYTES));

/** The parts of an accepted socket that are no public interface; all are checked before use. */
interface HandleOwner {
  _handle: unknown;
  _server?: unknown;
  server?: unknown;
}

interface OnReadOptions extends SocketConstructorOpts {
  handle: unknown;
  onread: { buffer: Buffer; callback: (count: number, buffer: Buffer) => boolean };
}

/**
 * Takes the first `count` bytes of a read. They are stale when `received` returns, except in the
 * receiver's own target.
 */
export interface Receiver {
  received(bytes: Uint8Array, count: number): void;
  /**
   * The place for the next read; undefined for the shared buffer. It is read after each `received`
   * and holds until the next one; until then the system may write there. With 'data' events it is
   * not used.
   */
  readonly readTarget: Uint8Array | undefined;
}

/**
 * Gives `accepted`, a paused socket that has not read yet, its receiver, and returns the socket to
 * use from now on. `wire` is called with that socket before anything is read, to attach listeners;
 * it returns the receiver.
 */
export function readInPlace(accepted: Socket, wire: (socket: Socket) => Receiver): Socket {
  const owner = accepted as unknown as HandleOwner;
  const handle = owner._handle;
  if (typeof handle !== 'object' || handle === null || !('useUserBuffer' in handle)) {
    const receiver = wire(accepted);
    accepted.on('data', (bytes) => receiver.received(bytes as Buffer, bytes.length));
    accepted.resume();
    return accepted;
  }
  let receiver: Receiver | undefined;
  const options: OnReadOptions = {
    handle,
    onread: {
      buffer: readBuffer,
      callback: (count) => {
        receiver?.received(readBuffer, count);
        poison(readBuffer, 0, count);
        return true;
      },
    },
  };
  owner._handle = null;
  const socket = new Socket(options);
  // The server counts its connections by these, and waits for them when it closes.
  const fresh = socket as unknown as HandleOwner;
  fresh._server = owner._server;
  fresh.server = owner.server;
  receiver = wire(socket);
  socket.resume();
  readDirectly(handle, receiver);
  return socket;
}

const receiverOf = Symbol('receiver');
const targetOf = Symbol('target of the next read');
const streamReadOf = Symbol('read callback of the stream');

/**
 * A handle's callback for a read. The stream state has the count of bytes; if it is not positive,
 * `given` tells the end or error.
 */
interface ReadingHandle {
  onread?: (this: ReadingHandle, given: unknown) => unknown;
  readStart(): void;
  readStop(): void;
  [receiverOf]?: Receiver;
  /** The buffer that libuv reads into now; this reference keeps it alive. */
  [targetOf]?: Uint8Array;
  [streamReadOf]?: (this: ReadingHandle, given: unknown) => unknown;
}

/**
 * Takes over the callback of the handle, so that bytes come without the bookkeeping of a stream.
 * Ends and errors still go to the stream. The socket never pauses, so the stream needs nothing
 * else.
 */
function readDirectly(handle: object, receiver: Receiver): void {
  const reading = handle as ReadingHandle;
  const { onread } = reading;
  if (streamWrap === undefined || typeof onread !== 'function') return;
  reading[receiverOf] = receiver;
  reading[targetOf] = readBuffer;
  reading[streamReadOf] = onread;
  reading.onread = onRead;
}

/**
 * One function serves all handles, so that its compiled code outlives the connections that V8
 * compiled it for.
 */
function onRead(this: ReadingHandle, given: unknown): Uint8Array | undefined {
  const { streamBaseState, kReadBytesOrError } = streamWrap!;
  const count = streamBaseState[kReadBytesOrError]!;
  if (count <= 0) {
    this[streamReadOf]!(given);
    return undefined;
  }
  const receiver = this[receiverOf]!;
  const target = this[targetOf]!;
  receiver.received(target, count);
  if (target === readBuffer) poison(readBuffer, 0, count);
  const next = receiver.readTarget ?? readBuffer;
  if (next === target) return undefined;
  this[targetOf] = next;
  // From then on the handle reads into the buffer that its read callback returns.
  return next;
}

const NOBODY: Receiver = { received: () => {}, readTarget: undefined };

/** Lets the peer's bytes, and its end, wait in the kernel until {@link resumeReads}. */
export function pauseReads(socket: Socket): void {
  const handle = (socket as unknown as HandleOwner)._handle as ReadingHandle | null;
  if (handle?.onread === onRead) handle.readStop();
  else socket.pause();
}

export function resumeReads(socket: Socket): void {
  const handle = (socket as unknown as HandleOwner)._handle as ReadingHandle | null;
  if (handle?.onread === onRead) handle.readStart();
  else socket.resume();
}

/** Drops what the socket reads from now on; its end is still noticed. */
export function ignoreReads(socket: Socket): void {
  const handle = (socket as unknown as HandleOwner)._handle as ReadingHandle | null;
  if (handle?.onread === onRead) {
    handle[receiverOf] = NOBODY;
  } else {
    socket.removeAllListeners('data');
    socket.resume();
  }
}

/**
 * Gives the connection of a socket bytes as if they had been read: into its present target, in as
 * many reads as needed. Undefined where 'data' events serve.
 */
export function deliveryTo(socket: Socket): ((bytes: Uint8Array) => void) | undefined {
  const handle = (socket as unknown as HandleOwner)._handle as ReadingHandle | null;
  if (handle?.onread !== onRead) return undefined;
  return (bytes) => {
    const { streamBaseState, kReadBytesOrError } = streamWrap!;
    for (let at = 0; at < bytes.length; ) {
      const target = handle[targetOf]!;
      const count = Math.min(target.length, bytes.length - at);
      target.set(bytes.subarray(at, at + count));
      streamBaseState[kReadBytesOrError] = count;
      onRead.call(handle, undefined);
      at += count;
    }
  };
}

/** Error codes of the system for an address that this machine does not have. */
export const UNAVAILABLE: ReadonlySet<string> = new Set([
  'EADDRNOTAVAIL',
  'EAFNOSUPPORT',
  'EPROTONOSUPPORT',
]);

export interface ListenOptions {
  readonly hosts: readonly string[];
  readonly port: number;
  readonly backlog: number;
  readonly onSocket: (socket: Socket) => void;
  /** An error of a socket that listens already. */
  readonly onError: (error: Error) => void;
}

/**
 * Opens a listening socket on each host. Rejects with a clear message when an address is in use.
 */
export async function listen(options: ListenOptions): Promise<NetServer[]> {
  const servers: NetServer[] = [];
  let { port } = options;
  try {
    for (const given of options.hosts) {
      const optional = given.startsWith('-');
      const server = await listenOn(optional ? given.slice(1) : given, port, options).catch(
        (error: unknown) => {
          // An address with a minus before it may be one that this machine does not have.
          if (optional && UNAVAILABLE.has(codeOf(error) ?? '')) return undefined;
          throw error;
        },
      );
      if (server === undefined) continue;
      servers.push(server);
      // Port 0 is any free port: the same on every address.
      port = (server.address() as AddressInfo).port;
    }
  } catch (error) {
    for (const server of servers) server.close();
    throw error;
  }
  return servers;
}

function listenOn(
  host: string,
  port: number,
  { backlog, onSocket, onError }: ListenOptions,
): Promise<NetServer> {
  const server = createServer({ pauseOnConnect: true, noDelay: true }, onSocket);
  return new Promise((resolve, reject) => {
    const refused = (error: Error): void => {
      if (UNAVAILABLE.has(codeOf(error) ?? '')) {
        reject(error);
        return;
      }
      const step = 'syscall' in error && error.syscall === 'listen' ? 'bind: ' : '';
      const what = `Could not create server TCP listening socket ${host}:${port}`;
      reject(new OperatingError(ErrorCode.IO, `${what}: ${step}${systemErrorText(error)}`));
    };
    server.once('error', refused);
    const address = host === '*' ? '0.0.0.0' : host === '::*' ? '::' : host;
    server.listen({ host: address, port, backlog, ipv6Only: true }, () => {
      server.removeListener('error', refused);
      server.on('error', onError);
      resolve(server);
    });
  });
}
