/**
 * A TCP relay between a replica and its primary that can be made to misbehave: cut, stalled, or
 * throttled to a rate. Each of these ends by a call.
 */
import { once } from 'node:events';
import net from 'node:net';
import { ConnectionWitness, type WitnessedSync } from './sync-witness.ts';

const MS_PER_SECOND = 1000;

/** One direction of a connection. */
class Pipe {
  readonly #from: net.Socket;
  readonly #to: net.Socket;
  readonly #link: UnsteadyLink;
  readonly #observe: (bytes: Buffer) => void;
  #timer: NodeJS.Timeout | undefined = undefined;
  #waitsForDrain = false;

  constructor(
    from: net.Socket,
    to: net.Socket,
    link: UnsteadyLink,
    observe: (bytes: Buffer) => void,
  ) {
    this.#from = from;
    this.#to = to;
    this.#link = link;
    this.#observe = observe;
    from.on('data', (bytes: Buffer) => this.#pass(bytes));
    to.on('drain', () => {
      this.#waitsForDrain = false;
      this.update();
    });
    if (link.isStalled) from.pause();
  }

  /** Reads, or does not, as the link and the other side allow. */
  update(): void {
    const mayRead = !this.#waitsForDrain && !this.#link.isStalled && this.#timer === undefined;
    if (mayRead) this.#from.resume();
    else this.#from.pause();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #pass(bytes: Buffer): void {
    const { bytesPerSecond } = this.#link;
    this.#observe(bytes);
    if (!this.#to.write(bytes)) this.#waitsForDrain = true;
    if (bytesPerSecond > 0) {
      this.stop();
      this.#timer = setTimeout(
        () => {
          this.#timer = undefined;
          this.update();
        },
        (bytes.length * MS_PER_SECOND) / bytesPerSecond,
      );
    }
    this.update();
  }
}

export class UnsteadyLink {
  readonly port: number;
  isStalled = false;
  /** The rate of each direction, or 0 without a limit. */
  bytesPerSecond = 0;
  /** The syncs that were asked for through this link. */
  readonly syncs: WitnessedSync[] = [];
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  readonly #pipes = new Set<Pipe>();
  #isCut = false;

  private constructor(server: net.Server, target: number) {
    this.#server = server;
    this.port = (server.address() as net.AddressInfo).port;
    server.on('connection', (below) => this.#join(below, target));
  }

  /** Listens on a free port. Its connections lead to `target`. */
  static async to(target: number): Promise<UnsteadyLink> {
    const server = net.createServer({ noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new UnsteadyLink(server, target);
  }

  /** Resets all connections, and each new one at once, until {@link mend}. */
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** Ends all connections, as a host does that shuts down: what was sent before arrives. */
  end(): void {
    for (const socket of this.#sockets) socket.end();
  }

  /** Passes nothing in either direction until {@link mend}. New connections are accepted. */
  stall(): void {
    this.isStalled = true;
    this.#update();
  }

  /** Passes at most so many bytes per second in each direction until {@link mend}. */
  throttle(bytesPerSecond: number): void {
    this.bytesPerSecond = bytesPerSecond;
  }

  /** Ends every misbehaviour. Connections that were cut stay so. */
  mend(): void {
    this.#isCut = false;
    this.isStalled = false;
    this.bytesPerSecond = 0;
    for (const pipe of this.#pipes) pipe.stop();
    this.#update();
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #update(): void {
    for (const pipe of this.#pipes) pipe.update();
  }

  #join(below: net.Socket, target: number): void {
    if (this.#isCut) {
      below.on('error', () => {});
      below.resetAndDestroy();
      return;
    }
    const above = net.connect({ port: target, host: '127.0.0.1', noDelay: true });
    const witness = new ConnectionWitness(this.syncs);
    for (const [from, to, observe] of [
      [below, above, (bytes: Buffer) => witness.up(bytes)],
      [above, below, (bytes: Buffer) => witness.down(bytes)],
    ] as const) {
      const pipe = new Pipe(from, to, this, observe);
      this.#sockets.add(from);
      this.#pipes.add(pipe);
      // Resets are expected here. 'close' follows each error.
      from.on('error', () => {});
      from.on('close', () => {
        this.#sockets.delete(from);
        this.#pipes.delete(pipe);
        pipe.stop();
        to.destroy();
      });
    }
  }
}
