/** Holds back the writes of clients while the node ends or its dataset is replaced. Reads and replicas go on. */
import { Flag } from '../../commands/spec.ts';
import type { Dispatcher, Gate } from '../dispatcher.ts';
import type { Server } from '../server.ts';

const WRITES = Flag.WRITE | Flag.MAY_REPLICATE;

export class WriteGate {
  readonly #server: Server;
  readonly #dispatcher: Dispatcher;
  /** The gate that was there before, for CLIENT PAUSE; it goes on to be asked. */
  #outer: Gate | undefined = undefined;
  /** Those who want writes held back. */
  #holders = 0;

  constructor(server: Server, dispatcher: Dispatcher) {
    this.#server = server;
    this.#dispatcher = dispatcher;
  }

  close(): void {
    this.#holders++;
    if (this.#holders > 1) return;
    const outer = this.#dispatcher.gate;
    this.#outer = outer;
    this.#dispatcher.gate = (connection, flags) => {
      const isWrite = (flags & WRITES) !== 0 && !connection.fromPrimary && !connection.isReplica;
      return isWrite || (outer?.(connection, flags) ?? false);
    };
  }

  /** Lets the writes that were held back run, in the order of their clients. */
  open(): void {
    this.#holders--;
    if (this.#holders > 0) return;
    this.#dispatcher.gate = this.#outer;
    for (const connection of [...this.#server.clients.values()]) this.#dispatcher.runPostponed(connection);
  }
}
