/**
 * Rejects and disconnects clients: the limit of clients, protected mode, idle clients, clients that
 * do not take their replies, and browsers that were tricked into sending a request.
 */
import type { Socket } from 'node:net';
import type { Request } from '../../../resp/request.ts';
import type { Session } from '../../dispatch/session.ts';
import type { Connection } from '../../net/connection.ts';
import type { Server } from '../../server.ts';
import { setAuthenticated } from '../auth/handshake.ts';

const MS_PER_SECOND = 1000;
/** The minimum of clients that a tick checks. */
const CLIENTS_PER_TICK_MIN = 16;

const TOO_MANY = '-ERR max number of clients reached\r\n';
const DENIED =
  '-DENIED Redis is running in protected mode because protected mode is enabled and no password is set for the default ' +
  'user. In this mode connections are only accepted from the loopback interface. If you want to connect from external ' +
  'computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode sending the command ' +
  "'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the same host the server is " +
  'running, however MAKE SURE Redis is not publicly accessible from internet if you do so. Use CONFIG REWRITE to make ' +
  'this change permanent. 2) Alternatively you can just disable the protected mode by editing the Redis configuration ' +
  "file, and setting the protected mode option to 'no', and then restarting the server. 3) If you started the server " +
  "manually just for testing, restart it with the '--protected-mode no' option. 4) Setup a an authentication password " +
  'for the default user. NOTE: You only need to do one of the above things in order for the server to start accepting ' +
  'connections from the outside.\r\n';
const ATTACK =
  'Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands to Redis. This is likely ' +
  'due to an attacker attempting to use Cross Protocol Scripting to compromise your Redis instance. Connection aborted.';

export class Admission {
  readonly #server: Server;
  #round: IterableIterator<Connection>;

  constructor(server: Server) {
    this.#server = server;
    this.#round = server.clients.values();
  }

  /** Rejects an accepted socket, with a reason, or returns true. */
  admit(socket: Socket): boolean {
    const { config, clients, stats, log } = this.#server;
    if (log.isEnabled('verbose')) log.verbose(acceptedLine(socket, config.values.unixsocket));
    const { maxclients, protectedMode, requirepass } = config.values;
    let refusal = '';
    if (clients.size >= maxclients) refusal = TOO_MANY;
    else if (protectedMode && requirepass === '' && !isLoopback(socket)) refusal = DENIED;
    if (refusal === '') return true;
    stats.connectionsRejected++;
    socket.on('error', (error) =>
      this.#server.log.verbose(`Error refusing a connection: ${error.message}`),
    );
    socket.write(refusal);
    this.#server.departures.leave(socket);
    return false;
  }

  /** Gives a new connection its settings of the configuration. */
  greet(connection: Connection): void {
    const { requirepass, tcpKeepalive } = this.#server.config.values;
    setAuthenticated(connection, requirepass === '');
    if (tcpKeepalive > 0) connection.socket.setKeepAlive(true, tcpKeepalive * MS_PER_SECOND);
  }

  /** A name that is no command: an HTTP request ends its connection. */
  unknown(session: Session, request: Request): boolean {
    if (!request.equalsIgnoreCase(0, 'POST') && !request.equalsIgnoreCase(0, 'HOST:')) return false;
    this.#server.log.warning(ATTACK, { client: session.address });
    session.destroy();
    return true;
  }

  /** Checks some clients, all of them within about a second. */
  tick(): void {
    const { clients, clientMemory, config, nowMs, log } = this.#server;
    const { hz, timeout } = config.values;
    const count = Math.max(CLIENTS_PER_TICK_MIN, Math.ceil(clients.size / hz));
    for (let i = 0; i < count; i++) {
      const next = this.#round.next();
      if (next.done === true) {
        this.#round = clients.values();
        this.#server.bufferPool.releaseIdle();
        return;
      }
      const connection = next.value;
      connection.reader.releaseIdle();
      connection.checkOutput();
      if (clientMemory.isOn) clientMemory.note(connection);
      const idleMs = nowMs - connection.lastActiveMs;
      if (timeout > 0 && idleMs > timeout * MS_PER_SECOND && mayTimeOut(connection)) {
        log.verbose('Closing idle client');
        connection.destroy();
      }
    }
  }
}

function mayTimeOut(connection: Connection): boolean {
  return (
    !connection.isReplica &&
    !connection.monitor &&
    !connection.fromPrimary &&
    !connection.blocked &&
    !connection.subscribed
  );
}

function acceptedLine({ remoteAddress, remotePort }: Socket, unixSocket: string): string {
  return remoteAddress === undefined
    ? `Accepted connection to ${unixSocket}`
    : `Accepted ${remoteAddress}:${remotePort}`;
}

/** Unix sockets have no address. */
function isLoopback({ remoteAddress = '' }: Socket): boolean {
  return remoteAddress === '' || remoteAddress === '::1' || /^(::ffff:)?127\./.test(remoteAddress);
}
