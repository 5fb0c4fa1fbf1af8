/**
 * What memory is in use, as INFO, MEMORY and `maxmemory` count it:
 *
 *   used        pages of the arena that hold objects + blocks of the stream + spare output buffers + used V8 heap
 *   dataset     pages of the arena that hold objects
 *   overhead    the rest of it
 *   rss         what the system has given to the process
 *
 * The heap's share is as old as the last tick, a tenth of a second by default: asking for it costs microseconds, and
 * `maxmemory` asks before every write. All the rest is of the moment.
 */
import { totalmem } from 'node:os';
import type { Server } from '../../server.ts';

export class MemoryMeter {
  readonly #server: Server;
  /** Bytes in use before the first client came. */
  startupBytes = 0;
  peakBytes = 0;
  rssBytes = 0;
  heapBytes = 0;
  readonly totalBytes = totalmem();

  constructor(server: Server) {
    this.#server = server;
  }

  /** Notes what an empty server uses. */
  start(): void {
    this.tick();
    this.startupBytes = this.usedBytes - this.datasetBytes;
  }

  tick(): void {
    const { rss, heapUsed } = process.memoryUsage();
    this.rssBytes = rss;
    this.heapBytes = heapUsed;
    this.peakBytes = Math.max(this.peakBytes, this.usedBytes);
  }

  get datasetBytes(): number {
    return this.#server.keyspace.arena.pageUseBytes;
  }

  get streamBytes(): number {
    return this.#server.streamLog.memoryBytes;
  }

  get usedBytes(): number {
    return this.datasetBytes + this.streamBytes + this.#server.bufferPool.heldBytes + this.heapBytes;
  }

  /** Output of clients that waits: those of a class, or of all. */
  clientBytes(replicas: boolean): number {
    let bytes = 0;
    for (const connection of this.#server.clients.values()) {
      if (connection.isReplica === replicas)
        bytes += connection.pendingOutputBytes + connection.reader.ownBytes;
    }
    return bytes;
  }
}

const UNITS = ['K', 'M', 'G', 'T', 'P'] as const;

/** As in used_memory_human: 1.50M. */
export function humanBytes(bytes: number): string {
  let value = bytes;
  let unit = 'B';
  for (const next of UNITS) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  return unit === 'B' ? `${value}B` : `${value.toFixed(2)}${unit}`;
}
