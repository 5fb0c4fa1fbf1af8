/**
 * Clients in MONITOR: they see each command of all clients, as a line.
 *
 *   +1700000000.123456 [0 127.0.0.1:50000] "SET" "key" "value"
 *
 * Passwords are hidden. Commands for administrators are not shown at all.
 */
import { quoted } from '../../../base/quoted.ts';
import { ClientMode } from '../../../commands/client.ts';
import { Flag } from '../../../commands/spec.ts';
import type { Request } from '../../../resp/request.ts';
import type { CommandRow } from '../../dispatch/command-lookup.ts';
import type { Dispatcher } from '../../dispatch/dispatcher.ts';
import type { Session } from '../../dispatch/session.ts';
import type { Connection } from '../../net/connection.ts';
import type { Server } from '../../server.ts';
import { isSecret, REDACTED } from './secrets.ts';

const HIDDEN = Flag.ADMIN | Flag.SKIP_MONITOR;

export class Monitors {
  readonly #server: Server;
  readonly #dispatcher: () => Dispatcher;
  readonly #clients = new Set<Connection>();

  constructor(server: Server, dispatcher: () => Dispatcher) {
    this.#server = server;
    this.#dispatcher = dispatcher;
  }

  add(connection: Connection): void {
    connection.setMode(ClientMode.MONITOR, true);
    this.#clients.add(connection);
    this.#dispatcher().onCall = (caller, row, request) => this.#show(caller, row, request);
  }

  remove(connection: Connection): void {
    connection.setMode(ClientMode.MONITOR, false);
    if (!this.#clients.delete(connection) || this.#clients.size > 0) return;
    this.#dispatcher().onCall = undefined;
  }

  #show(caller: Session, row: CommandRow, request: Request): void {
    if ((row.spec.flags & HIDDEN) !== 0) return;
    const micros = this.#server.clock.wallMicros();
    const seconds = Math.floor(micros / 1e6);
    const fraction = String(micros % 1e6).padStart(6, '0');
    let line = `${seconds}.${fraction} [${caller.dbIndex} ${caller.address}]`;
    for (let i = 0; i < request.argc; i++) {
      line += isSecret(row, request, i) ? ` "${REDACTED}"` : ` ${quoted(request.latin1(i))}`;
    }
    for (const connection of this.#clients) {
      connection.reply.simple(line);
      connection.flushSoon();
    }
  }
}
