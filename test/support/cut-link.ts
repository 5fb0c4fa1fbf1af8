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
  /** Each socket, both sides, with the one that its bytes go to. */
  readonly #pipes = new Map<Socket, Socket>();
  #isCut = false;

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (below) => this.#join(below, target));
  }

  /** Listens on a free port; what connects there reaches `target`. */
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

  /** Lets nothing through in either direction, while the connections stand, until `release`. */
  hold(): void {
    // Unpiped too: a pipe resumes its source when the other side drains.
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
      // A reset is what this is for; 'close' follows each error.
      from.on('error', () => {});
      from.on('close', () => {
        this.#pipes.delete(from);
        to.destroy();
      });
    }
  }
}
