/** Clients that wait for keys, on connections of their own. */
import type { Argument, RespClient } from './resp-client.ts';
import type { RespValue } from './resp-parser.ts';
import type { TestServer } from './server-process.ts';
import { waitFor } from './wait-for.ts';

export interface Waiting {
  readonly reply: Promise<RespValue>;
  readonly client: RespClient;
  readonly id: number;
}

export class WaitingClients {
  readonly #server: TestServer;
  /** A client that does not wait. */
  readonly #asker: RespClient;
  readonly #opened: RespClient[] = [];

  constructor(server: TestServer, asker: RespClient) {
    this.#server = server;
    this.#asker = asker;
  }

  /** Awaits that so many clients wait. */
  async are(count: number): Promise<void> {
    const wanted = String(count);
    await waitFor(
      async () => (await this.#asker.infoField('clients', 'blocked_clients')) === wanted,
      { what: `${count} waiting clients` },
    );
  }

  /** A connection that {@link close} ends. */
  async open(): Promise<RespClient> {
    const client = await this.#server.client();
    this.#opened.push(client);
    return client;
  }

  /** Sends a command on a connection of its own, and returns once it waits. */
  async wait(...args: Argument[]): Promise<Waiting> {
    const before = Number(await this.#asker.infoField('clients', 'blocked_clients'));
    const client = await this.open();
    const id = Number(await client.call('CLIENT', 'ID'));
    const reply = client.command(...args);
    await this.are(before + 1);
    return { reply, client, id };
  }

  /** Ends all connections. Nobody waits then. */
  async close(): Promise<void> {
    await Promise.all(this.#opened.splice(0).map((client) => client.close()));
    await this.are(0);
  }
}
