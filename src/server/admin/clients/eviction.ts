/**
 * Ends the clients that take most memory, while all together take `maxmemory-clients` or more.
 *
 *   total reached, as seen in ClientMemory.note ──▶ before the next command of any client: evict
 *                                               └─▶ behind the writes of this turn: evict
 *
 * Exempt are replicas, the link of a primary, and clients with CLIENT NO-EVICT. Main thread.
 */
import type { Session } from '../../dispatch/session.ts';
import type { Connection } from '../../net/connection.ts';
import { Obstacle, type Server } from '../../server.ts';
import { clientLine } from './list.ts';

export class ClientEviction {
  readonly #server: Server;
  #isDue = false;
  /** All that could be ended has been, and that was told. */
  #isTold = false;

  constructor(server: Server) {
    this.#server = server;
    server.clientMemory.onReached = () => this.#reached();
  }

  /** Takes over `maxmemory-clients`, bytes or minus the per cent of `maxmemory`, and judges. */
  applyLimit(): void {
    const { clientMemory, clients, config } = this.#server;
    const { maxmemory, maxmemoryClients: limit } = config.values;
    clientMemory.setLimit(limit < 0 ? Math.floor((maxmemory * -limit) / 100) : limit);
    for (const connection of clients.values()) clientMemory.note(connection);
  }

  #reached(): void {
    this.#server.setObstacle(Obstacle.CLIENT_MEMORY, true);
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => {
      this.#isDue = false;
      this.evict(undefined);
    });
  }

  /**
   * Ends clients until the total is below the limit, the largest first. `running` is the one whose
   * command is about to run; returns whether it is still there.
   */
  evict(running: Session | undefined): boolean {
    const { clientMemory, log, stats } = this.#server;
    this.#server.setObstacle(Obstacle.CLIENT_MEMORY, false);
    for (const connection of clientMemory.largestFirst()) {
      if (!clientMemory.isReached) break;
      const { bucket } = connection;
      // Its figure may be old, and a part of its output may leave at once.
      if (connection !== running) connection.flush();
      clientMemory.note(connection);
      if (connection.bucket < bucket || !clientMemory.isReached) continue;
      log.notice(`Evicting client: ${this.#line(connection)}`);
      stats.evictedClients++;
      connection.destroy();
    }
    this.#server.setObstacle(Obstacle.CLIENT_MEMORY, false);
    this.#tellOfRest(clientMemory.isReached);
    return (running as Connection | undefined)?.closed !== true;
  }

  #tellOfRest(isOver: boolean): void {
    if (isOver && !this.#isTold)
      this.#server.log.warning('Over client maxmemory after evicting all evictable clients');
    this.#isTold = isOver;
  }

  #line(connection: Connection): string {
    return clientLine(connection, this.#server.pubsub, this.#server.nowMs, 0);
  }
}
