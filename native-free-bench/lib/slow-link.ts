/**
 * A TCP relay between a replica and its primary that passes a bounded number of bytes per second
 * downwards, and everything upwards at once.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

const TURN_MS = 10;

export class SlowLink {
  readonly port: number;
  /** Bytes that went from the primary to the replica, and connections that were made. */
  bytesDown = 0;
  connections = 0;
  bytesPerSecond: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #timers = new Set<NodeJS.Timeout>();

  private constructor(server: Server, target: number, bytesPerSecond: number) {
    this.port = (server.address() as AddressInfo).port;
    this.bytesPerSecond = bytesPerSecond;
    this.#server = server;
    server.on('connection', (below) => this.#join(below, target));
  }

  /** Listens on a free port. Its connections lead to `target`. */
  static async to(target: number, bytesPerSecond: number): Promise<SlowLink> {
    const server = createServer({ noDelay: true });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new SlowLink(server, target, bytesPerSecond);
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    for (const socket of this.#sockets) socket.resetAndDestroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(below: Socket, target: number): void {
    this.connections++;
    const above = connect({ port: target, host: '127.0.0.1', noDelay: true });
    below.pipe(above);
    let atMs = performance.now();
    let budget = 0;
    const timer = setInterval(() => {
      const nowMs = performance.now();
      const most = Math.max(1, (this.bytesPerSecond * TURN_MS * 4) / 1000);
      budget = Math.min(most, budget + ((nowMs - atMs) * this.bytesPerSecond) / 1000);
      atMs = nowMs;
      // A socket that is not read holds 64 KiB; the rest waits in the kernel and at the primary.
      while (budget >= 1 && !below.writableNeedDrain) {
        const bytes = Math.min(Math.floor(budget), above.readableLength);
        const chunk: Buffer | null = bytes === 0 ? null : above.read(bytes);
        if (chunk === null) break;
        budget -= chunk.length;
        this.bytesDown += chunk.length;
        below.write(chunk);
      }
    }, TURN_MS);
    // Without a listener nothing would be read from the kernel.
    above.on('readable', () => {});
    this.#timers.add(timer);
    for (const [from, to] of [
      [below, above],
      [above, below],
    ] as const) {
      this.#sockets.add(from);
      // Resets are expected here. 'close' follows each error.
      from.on('error', () => {});
      from.on('close', () => {
        this.#sockets.delete(from);
        this.#timers.delete(timer);
        clearInterval(timer);
        to.destroy();
      });
    }
  }
}
