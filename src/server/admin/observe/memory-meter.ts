/**
 * What memory is in use, as INFO, MEMORY and `maxmemory` count it:
 *
 *   used        pages of the arena that hold objects + blocks of the stream + spare output buffers + used V8 heap
 *   dataset     pages of the arena that hold objects
 *   overhead    the rest of it
 *   rss         what the system has given to the process
 *
 * The heap's share is as old as the last tick, a tenth of a second by default: asking for it costs microseconds, and
 * `maxmemory` asks before every write. `rss` is up to a second old. All the rest is of the moment.
 */
import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import { systemErrorText } from '../../../base/errors.ts';
import type { Server } from '../../server.ts';

/** Time between two looks at the resident memory. */
const RSS_MS = 1000;

export class MemoryMeter {
  readonly #server: Server;
  #rssAtMs = Number.NEGATIVE_INFINITY;
  #rssFailed = false;
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
    this.heapBytes = getHeapStatistics().used_heap_size;
    const nowMs = this.#server.clock.monotonicMs();
    if (nowMs >= this.#rssAtMs) {
      this.#rssAtMs = nowMs + RSS_MS;
      this.#readRss();
    }
    this.peakBytes = Math.max(this.peakBytes, this.usedBytes);
  }

  /** Asks the system, which opens a file. Where it cannot, the last figure stays, and the log tells. */
  #readRss(): void {
    try {
      this.rssBytes = process.memoryUsage.rss();
      this.#rssFailed = false;
    } catch (error) {
      const why = systemErrorText(error);
      if (this.#rssFailed) return;
      this.#rssFailed = true;
      this.#server.log.warning(`Resident memory cannot be read: ${why}. Its last figure is shown.`);
    }
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
