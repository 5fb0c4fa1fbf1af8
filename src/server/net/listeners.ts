/**
 * The listening sockets of a node: TCP on each address of `bind`, and one Unix socket.
 *
 * CONFIG SET is one step, so {@link Listeners.move} opens sockets within one turn of the loop. Names
 * were looked up before it. It uses a function of node:net that is no public interface. Without this
 * function the move is refused and the old sockets stay. Main thread.
 */
import { chmodSync, existsSync, unlinkSync } from 'node:fs';
import * as net from 'node:net';
import { dirname } from 'node:path';
import { getSystemErrorName } from 'node:util';
import {
  codeOf,
  ErrorCode,
  OperatingError,
  systemErrorText,
  systemWords,
} from '../../base/errors.ts';
import { HostNames, hostOf } from './host-names.ts';
import { listen, mayGoWithout, notOpenedLine } from './listener.ts';

export interface Addresses {
  readonly hosts: readonly string[];
  /** 0 is none. */
  readonly port: number;
}

export interface ListenPlan extends Addresses {
  readonly backlog: number;
  /** Path of the Unix socket, or '' for none. */
  readonly unixSocket: string;
  /** Its permissions; 0 leaves them to the umask. */
  readonly unixPermissions: number;
  /** Port 0 means any free port, for programs that embed a node. */
  readonly anyPort: boolean;
}

/** A kind of listening socket, for INFO. */
export interface ListenerView {
  readonly name: 'tcp' | 'unix';
  readonly addresses: readonly string[];
  /** 0 for Unix sockets. */
  readonly port: number;
}

type Log = (message: string) => void;

const NOWHERE = 'Configured to not listen anywhere, exiting.';

export class Listeners {
  /** What the names in `bind` stand for. */
  readonly names = new HostNames();
  readonly #onSocket: (socket: net.Socket) => void;
  readonly #onError: (error: Error) => void;
  #tcp: net.Server[] = [];
  #unix: net.Server | undefined = undefined;
  #isClosed = false;
  #plan: ListenPlan = {
    hosts: [],
    port: 0,
    backlog: 0,
    unixSocket: '',
    unixPermissions: 0,
    anyPort: false,
  };

  /** `onError` is told of errors of sockets that listen already. */
  constructor(onSocket: (socket: net.Socket) => void, onError: (error: Error) => void) {
    this.#onSocket = onSocket;
    this.#onError = onError;
  }

  /** The TCP port of the node; 0 when it listens on none. */
  get port(): number {
    const address = this.#tcp[0]?.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  get views(): ListenerView[] {
    const { hosts, unixSocket } = this.#plan;
    const views: ListenerView[] = [];
    if (this.#tcp.length > 0) views.push({ name: 'tcp', addresses: hosts, port: this.port });
    if (this.#unix !== undefined) views.push({ name: 'unix', addresses: [unixSocket], port: 0 });
    return views;
  }

  /**
   * Opens all sockets of the plan. If one cannot be opened, none stays open, and this rejects with
   * an OperatingError, whose message may have several lines. `log` gets the addresses that are
   * left out.
   */
  async open(plan: ListenPlan, log: Log): Promise<void> {
    this.#plan = plan;
    const { hosts, port, backlog, anyPort, unixSocket } = plan;
    if (port !== 0 || anyPort) {
      await this.names.lookUp(hosts);
      this.#tcp = await listen({
        words: hosts,
        names: this.names,
        log,
        port,
        backlog,
        onSocket: (socket) => this.#accepted(socket),
        onError: this.#onError,
      });
    }
    try {
      if (unixSocket !== '') this.#unix = await this.#openUnix(unixSocket);
    } catch (error) {
      this.close();
      throw error;
    }
    if (this.views.length === 0) throw new OperatingError(ErrorCode.IO, NOWHERE);
  }

  /**
   * Listens on other TCP addresses from now on. If that fails, logs why, opens the old sockets
   * again and returns false. Connected clients stay.
   */
  move(to: Addresses, log: Log): boolean {
    if (this.#isClosed) return false;
    const before = this.#plan;
    const samePort = to.port === before.port;
    // Any free port stays the same one.
    const port = before.port === 0 ? this.port : before.port;
    // New sockets on the old port would meet the old ones.
    if (samePort) this.#closeTcp();
    const opened = this.#openNow(samePort ? { ...to, port } : to, log);
    if (opened === undefined) {
      if (samePort) this.#tcp = this.#openNow({ ...before, port }, log) ?? [];
      return false;
    }
    this.#closeTcp();
    this.#tcp = opened;
    this.#plan = { ...before, ...to };
    return true;
  }

  close(): void {
    this.#isClosed = true;
    this.#closeTcp();
    // Removes the file as well.
    this.#unix?.close();
    this.#unix = undefined;
  }

  #closeTcp(): void {
    for (const server of this.#tcp.splice(0)) server.close();
  }

  /** A TCP client that is already gone has no address, and must not pass for a local one. */
  #accepted(socket: net.Socket): void {
    if (socket.remoteAddress === undefined) socket.destroy();
    else this.#onSocket(socket);
  }

  #openNow({ hosts, port }: Addresses, log: Log): net.Server[] | undefined {
    if (port === 0 && !this.#plan.anyPort) return [];
    const servers: net.Server[] = [];
    for (const word of hosts) {
      const host = hostOf(word);
      const server = this.#listenNow(host, port);
      if (server instanceof net.Server) {
        servers.push(server);
        continue;
      }
      log(notOpenedLine(host, port, server.reason));
      if (mayGoWithout(server.code, word)) continue;
      for (const opened of servers) opened.close();
      return undefined;
    }
    return servers;
  }

  /** A server that listens already, or the reason why there is none. */
  #listenNow(host: string, port: number): net.Server | { code?: string; reason: string } {
    const found = this.names.addressOf(host);
    if ('reason' in found) return found;
    if (createHandle === undefined) {
      return { reason: 'this version of Node.js cannot do it at run time' };
    }
    const { address } = found;
    const family = net.isIP(address) === 6 ? 6 : 4;
    const handle = createHandle(address, port, family, -1, family === 6 ? IPV6_ONLY : 0);
    if (typeof handle === 'number') {
      const code = getSystemErrorName(handle);
      return { code, reason: `bind: ${systemWords(code)}` };
    }
    const server = net.createServer({ pauseOnConnect: true, noDelay: true }, (socket) =>
      this.#accepted(socket),
    );
    // The error comes only after this turn. The address could be bound, so it is in use.
    server.on('error', (error) => {
      if (server.listening) this.#onError(error);
    });
    server.listen(handle, this.#plan.backlog);
    return server.listening ? server : { reason: 'bind: Address already in use' };
  }

  #openUnix(path: string): Promise<net.Server> {
    const { backlog, unixPermissions } = this.#plan;
    const failed = (error: unknown): OperatingError => notOpened(`bind: ${whyNot(path, error)}`);
    // libuv would cut the path, and listen somewhere else.
    const bytes = Buffer.byteLength(path);
    if (bytes >= UNIX_PATH_BYTES) {
      const reason = `unix socket path too long (${bytes}), must be under ${UNIX_PATH_BYTES}`;
      return Promise.reject(notOpened(reason));
    }
    removeSocket(path);
    const server = net.createServer({ pauseOnConnect: true }, this.#onSocket);
    return new Promise((resolve, reject) => {
      const refused = (error: Error): void => reject(failed(error));
      server.once('error', refused);
      server.listen({ path, backlog }, () => {
        server.removeListener('error', refused);
        server.on('error', this.#onError);
        resolve(server);
      });
      // The socket already exists unless it failed: its permissions are set within this turn.
      if (!server.listening || unixPermissions === 0) return;
      try {
        chmodSync(path, unixPermissions);
      } catch (error) {
        server.close();
        reject(failed(error));
      }
    });
  }
}

/** Bytes of the path of a Unix socket, with a zero byte at its end. */
const UNIX_PATH_BYTES = process.platform === 'linux' ? 108 : 104;

const notOpened = (reason: string): OperatingError =>
  new OperatingError(ErrorCode.IO, `Failed opening Unix socket: ${reason}`);

/** Removes the socket file of a server that was killed. */
function removeSocket(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    // Listening there will tell what is wrong.
    if (codeOf(error) === undefined) throw error;
  }
}

/** libuv says "permission denied" of a folder that is not there. */
function whyNot(path: string, error: unknown): string {
  return existsSync(dirname(path)) ? systemErrorText(error) : 'No such file or directory';
}

const IPV6_ONLY = 1;

/** Makes a bound socket, or returns a negative error number of the system. */
type CreateHandle = (
  address: string,
  port: number,
  family: 4 | 6,
  fd: number,
  flags: number,
) => object | number;

const createHandle = (net as unknown as { _createServerHandle?: CreateHandle })._createServerHandle;
