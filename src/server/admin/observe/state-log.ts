/**
 * Lines about the state of the server, every five seconds: the databases at the level verbose, the
 * clients at debug. Main thread.
 */
import type { Server } from '../../server.ts';
import type { MemoryMeter } from './memory-meter.ts';

const PERIOD_MS = 5000;

export class StateLog {
  readonly #server: Server;
  readonly #memory: MemoryMeter;
  #dueMs = 0;

  constructor(server: Server, memory: MemoryMeter) {
    this.#server = server;
    this.#memory = memory;
  }

  /** Must be called some times per second, with the monotonic clock. */
  tick(nowMs: number): void {
    if (nowMs < this.#dueMs) return;
    this.#dueMs = nowMs + PERIOD_MS;
    const { log, keyspace, clients } = this.#server;
    if (!log.isEnabled('verbose')) return;
    keyspace.databases.forEach((db, index) => {
      if (db.keyCount === 0) return;
      const counts = `${db.keyCount} keys (${db.deadlineCount} volatile)`;
      log.verbose(`DB ${index}: ${counts} in ${db.slotCount} slots HT.`);
    });
    if (!log.isEnabled('debug')) return;
    let replicas = 0;
    for (const connection of clients.values()) if (connection.isReplica) replicas++;
    const others = clients.size - replicas;
    log.debug(
      `${others} clients connected (${replicas} replicas), ${this.#memory.usedBytes} bytes in use`,
    );
  }
}
