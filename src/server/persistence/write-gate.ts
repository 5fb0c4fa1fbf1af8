/**
 * Holds back the writes of clients while the node ends or its dataset is replaced. No key expires
 * during this time; reads and replicas go on.
 */
import { Flag } from '../../commands/spec.ts';
import type { Dispatcher, Gate } from '../dispatch/dispatcher.ts';
import type { Server } from '../server.ts';

const WRITES = Flag.WRITE | Flag.MAY_REPLICATE;

export class WriteGate {
  readonly #server: Server;
  readonly #dispatcher: Dispatcher;
  readonly #gate: Gate = (connection, flags) =>
    (flags & WRITES) !== 0 && !connection.fromPrimary && !connection.isReplica;
  /** The holders that want writes held back. */
  #holders = 0;

  constructor(server: Server, dispatcher: Dispatcher) {
    this.#server = server;
    this.#dispatcher = dispatcher;
  }

  close(): void {
    this.#holders++;
    this.#server.writePauses++;
    this.#dispatcher.addGate(this.#gate);
  }

  /** Runs the writes that were held back, in the order of their clients. */
  open(): void {
    this.#holders--;
    this.#server.writePauses--;
    if (this.#holders > 0) return;
    this.#dispatcher.removeGate(this.#gate);
    for (const connection of [...this.#server.clients.values()])
      this.#dispatcher.runPostponed(connection);
  }
}
