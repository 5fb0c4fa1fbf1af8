/**
 * A TCP relay between a replica and its primary. A test can cut the connection, hold it, and
 * restore it.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export class CutLink {
  readonly port: number;
  /** Bytes that went from the primary to the replica. */
  bytesDown = 0;
  connections = 0;
  readonly #server: Server;
  /** Each socket of both sides, with the socket that gets its bytes. */
  readonly #pipes = new Map<Socket, Socket>();
  #isCut = false;

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (below) => this.#join(below, target));
  }

  /** Listens on a free port. Its connections lead to `target`. */
  static async to(target: number): Promise<CutLink> {
    const server = createServer({ noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new CutLink(server, target);
  }

  /** Resets all connections, and each new one at once, until `mend`. */
  cut(): void {
    this.#isCut = true;
    for (const from of this.#pipes.keys()) from.resetAndDestroy();
  }

  mend(): void {
    this.#isCut = false;
  }

  /** Passes nothing in either direction until `release`. The connections stay open. */
  hold(): void {
    // They are also unpiped, since a pipe resumes its source when the other side drains.
    for (const [from, to] of this.#pipes) {
      from.unpipe(to);
      from.pause();
    }
  }

  release(): void {
    for (const [from, to] of this.#pipes) from.pipe(to);
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(below: Socket, target: number): void {
    if (this.#isCut) {
      below.resetAndDestroy();
      return;
    }
    this.connections++;
    const above = connect({ port: target, host: '127.0.0.1', noDelay: true });
    above.on('data', (chunk: Buffer) => {
      this.bytesDown += chunk.length;
    });
    for (const [from, to] of [
      [below, above],
      [above, below],
    ] as const) {
      this.#pipes.set(from, to);
      from.pipe(to);
      // Resets are expected here. 'close' follows each error.
      from.on('error', () => {});
      from.on('close', () => {
        this.#pipes.delete(from);
        to.destroy();
      });
    }
  }
}
