/**
 * A primary that is only a socket: it answers the handshake as a stock primary does, and sends what
 * a test tells it to, when the test tells it to.
 *
 *   const link = await primary.nextSync();        a replica has asked by PSYNC
 *   link.write(`+FULLRESYNC ${id} 5\r\n$EOF:${mark}\r\n`, half);
 */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { RequestReader } from './request-reader.ts';
import { waitFor } from './wait-for.ts';

/** One connection of a replica. */
export class FakeLink {
  readonly socket: Socket;
  /** The requests that came, words in latin1; empty lines are not kept. */
  readonly requests: string[][] = [];
  isClosed = false;
  readonly #reader = new RequestReader();
  readonly #answers: () => boolean;
  /** Requests that were not answered yet. */
  #unanswered = 0;

  constructor(socket: Socket, answers: () => boolean) {
    this.socket = socket;
    this.#answers = answers;
    socket.on('data', (bytes: Buffer) => this.#received(bytes));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.isClosed = true;
    });
  }

  /** The words of its PSYNC, once it has come. */
  get psync(): string[] | undefined {
    return this.requests.find(([name]) => name === 'PSYNC');
  }

  /** The offsets that it has acknowledged. */
  get acks(): number[] {
    return this.requests
      .filter(([name, option]) => name === 'REPLCONF' && option === 'ACK')
      .map((words) => Number(words[2]));
  }

  write(...parts: readonly (string | Uint8Array)[]): void {
    this.socket.write(
      Buffer.concat(
        parts.map((part) => (typeof part === 'string' ? Buffer.from(part, 'latin1') : part)),
      ),
    );
  }

  /** Resets the connection. */
  cut(): void {
    this.socket.resetAndDestroy();
  }

  /** Answers what has waited. */
  answer(): void {
    for (; this.#unanswered > 0; this.#unanswered--) this.socket.write('+OK\r\n');
  }

  #received(bytes: Buffer): void {
    for (const words of this.#reader.take(bytes)) {
      this.requests.push(words);
      const [name = '', option = ''] = words;
      if (name !== 'PSYNC' && option !== 'ACK') this.#unanswered++;
    }
    if (this.#answers()) this.answer();
  }
}

export class FakePrimary {
  readonly port: number;
  readonly links: FakeLink[] = [];
  /** False: requests wait until {@link answer}. */
  answers = true;
  readonly #server: Server;
  #taken = 0;

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (socket) => {
      this.links.push(new FakeLink(socket, () => this.answers));
    });
  }

  static async listen(): Promise<FakePrimary> {
    const server = createServer({ noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new FakePrimary(server);
  }

  /** The next connection that has asked by PSYNC. */
  async nextSync(): Promise<FakeLink> {
    const link = await waitFor(
      () => this.links.slice(this.#taken).find(({ psync }) => psync !== undefined),
      { what: 'a replica to ask for a sync' },
    );
    this.#taken = this.links.indexOf(link) + 1;
    return link;
  }

  /** Answers all requests from now on. */
  answer(): void {
    this.answers = true;
    for (const link of this.links) link.answer();
  }

  async close(): Promise<void> {
    for (const { socket } of this.links) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
