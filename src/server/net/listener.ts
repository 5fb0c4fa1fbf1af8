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
import { type HostNames, hostOf } from './host-names.ts';
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

/** Codes of the system for a family of addresses that this machine does not have. */
const NO_FAMILY: ReadonlySet<string> = new Set([
  'EAFNOSUPPORT',
  'ENOPROTOOPT',
  'EPFNOSUPPORT',
  'EPROTONOSUPPORT',
  'ESOCKTNOSUPPORT',
]);

/**
 * Whether the others are opened without this address. A minus before a word makes it optional,
 * which helps against a missing address and against nothing else.
 */
export const mayGoWithout = (code: string | undefined, word: string): boolean =>
  NO_FAMILY.has(code ?? '') || (code === 'EADDRNOTAVAIL' && word.startsWith('-'));

/** The log line about a socket that could not be opened. */
export const notOpenedLine = (host: string, port: number, reason: string): string =>
  `Warning: Could not create server TCP listening socket ${host}:${port}: ${reason}`;

export interface ListenOptions {
  /** The words of `bind`; names among them were looked up. */
  readonly words: readonly string[];
  readonly names: HostNames;
  readonly port: number;
  readonly backlog: number;
  readonly onSocket: (socket: Socket) => void;
  /** An error of a socket that listens already. */
  readonly onError: (error: Error) => void;
  readonly log: (line: string) => void;
}

/**
 * Opens a listening socket on each address. Rejects with the last lines of the log when one cannot
 * be opened.
 */
export async function listen(options: ListenOptions): Promise<NetServer[]> {
  const servers: NetServer[] = [];
  let { port } = options;
  for (const word of options.words) {
    const host = hostOf(word);
    const found = options.names.addressOf(host);
    const outcome =
      'reason' in found
        ? { reason: found.reason, code: undefined }
        : await listenOn(found.address, port, options);
    if (!('reason' in outcome)) {
      servers.push(outcome);
      // Port 0 is any free port: the same on every address.
      port = (outcome.address() as AddressInfo).port;
      continue;
    }
    const line = notOpenedLine(host, port, outcome.reason);
    if (mayGoWithout(outcome.code, word)) {
      options.log(line);
      continue;
    }
    for (const server of servers) server.close();
    const end = `Failed listening on port ${port} (tcp), aborting.`;
    throw new OperatingError(ErrorCode.IO, `${line}\n${end}`);
  }
  return servers;
}

interface Refusal {
  readonly reason: string;
  readonly code: string | undefined;
}

function listenOn(
  host: string,
  port: number,
  { backlog, onSocket, onError }: ListenOptions,
): Promise<NetServer | Refusal> {
  const server = createServer({ pauseOnConnect: true, noDelay: true }, onSocket);
  return new Promise((resolve) => {
    const refused = (error: Error): void => {
      const step = 'syscall' in error && error.syscall === 'listen' ? 'bind: ' : '';
      resolve({ reason: `${step}${systemErrorText(error)}`, code: codeOf(error) });
    };
    server.once('error', refused);
    server.listen({ host, port, backlog, ipv6Only: true }, () => {
      server.removeListener('error', refused);
      server.on('error', onError);
      resolve(server);
    });
  });
}
