/**
 * The ledger of live memory, one row per kind, as INFO, MEMORY and `maxmemory` count it.
 *
 *   row          bytes                                                       counts for maxmemory
 *   startup      V8's heap of the empty node, when it begins to serve         no: base cost
 *   heap         growth of V8's heap since then, garbage included, without    no: it is not the data's, and comes and goes
 *                what clients are known to have there
 *   dataset      objects in the arena and deadlines, as allocated             yes
 *   page copies  pages that the running snapshot needs as they were           no: evicting would copy more
 *   spool        dump bytes that wait for readers, in memory                  no
 *   backlog      the stream, up to `repl-backlog-size`                        yes
 *   pinned       the stream beyond it, kept for replicas that lag             no: evicting would add to it
 *   held         the stream behind a dump that is not loaded yet, see         no
 *                link/held-stream.ts
 *   clients      as `tot-mem` of CLIENT LIST: requests that are not whole or  yes
 *                wait, queues of MULTI, names, replies that wait, and a base
 *                per client
 *
 * `used_memory` is the sum of all rows. Unused memory that is held (free pages of the arena, pooled
 * and dead buffers of base/shared-memory.ts) is in no row: it is the difference to the resident
 * size, the figures of fragmentation.
 *
 * The rows of V8's heap and of clients are as old as the last tick, a tenth of a second by default:
 * they cost a look at each client, and `maxmemory` asks before every write. The resident size is up
 * to a second old. All other rows are current. The heaps of worker threads are not known here; they
 * are in the resident size.
 */
import { totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import { systemErrorText } from '../../../base/errors.ts';
import { KIB } from '../../../base/units.ts';
import type { Server } from '../../server.ts';

/** Time between two looks at the resident memory. */
const RSS_MS = 1000;

/** The maximum that V8 keeps of a connection besides its buffers. */
const CONNECTION_BYTES = 16 * KIB;

/** Memory of snapshots, measured by another part of the node. */
export interface SnapshotMemory {
  /** Page copies for the image that is being read. */
  readonly copyBytes: number;
  /** Dump bytes in memory. */
  readonly spoolMemoryBytes: number;
}

/** The stream that is held until a dump is loaded. */
export interface HeldMemory {
  readonly memoryBytes: number;
}

/** Memory of the clients of a class: some of its parts, all of it, and that in V8's heap. */
export interface ClassMemory {
  count: number;
  queryBytes: number;
  replyBytes: number;
  queuedBytes: number;
  bytes: number;
  heapBytes: number;
}

const noClients = (): ClassMemory => ({
  count: 0,
  queryBytes: 0,
  replyBytes: 0,
  queuedBytes: 0,
  bytes: 0,
  heapBytes: 0,
});

export class MemoryMeter {
  readonly #server: Server;
  readonly #snapshots: SnapshotMemory;
  readonly #held: HeldMemory;
  #rssAtMs = Number.NEGATIVE_INFINITY;
  #rssFailed = false;
  /** V8's heap when the node began to serve: the base cost of an empty node. */
  startupBytes = 0;
  peakBytes = 0;
  rssBytes = 0;
  /** V8's buffers that are not shared. */
  #bufferBytes = 0;
  heapBytes = 0;
  /** As of the last tick. */
  readonly normal = noClients();
  readonly replicas = noClients();
  readonly totalBytes = totalmem();

  constructor(server: Server, snapshots: SnapshotMemory, held: HeldMemory) {
    this.#server = server;
    this.#snapshots = snapshots;
    this.#held = held;
  }

  /** Notes the memory of an empty server. */
  start(): void {
    this.startupBytes = getHeapStatistics().used_heap_size;
    this.tick();
  }

  tick(): void {
    const heap = getHeapStatistics();
    this.heapBytes = heap.used_heap_size;
    this.#bufferBytes = heap.external_memory;
    const nowMs = this.#server.clock.monotonicMs();
    if (nowMs >= this.#rssAtMs) {
      this.#rssAtMs = nowMs + RSS_MS;
      this.#readRss();
    }
    this.#sumClients();
    this.peakBytes = Math.max(this.peakBytes, this.usedBytes);
  }

  /** Asks the system, which opens a file. On failure the last figure stays, and the log tells. */
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

  #sumClients(): void {
    const { normal, replicas } = this;
    Object.assign(normal, noClients());
    Object.assign(replicas, noClients());
    for (const connection of this.#server.clients.values()) {
      const sums = connection.isReplica ? replicas : normal;
      sums.count++;
      sums.queryBytes += connection.reader.ownBytes + connection.heldBytes;
      sums.replyBytes += connection.reply.heldBytes + connection.writer.waitingBytes;
      sums.queuedBytes += connection.queuedBytes;
      sums.bytes += connection.memoryBytes;
      sums.heapBytes += connection.heapBytes;
    }
  }

  /** Growth of V8's heap over the empty node's, without what clients have there. */
  get heapGrowthBytes(): number {
    const clientBytes = this.normal.heapBytes + this.replicas.heapBytes;
    return Math.max(0, this.heapBytes - this.startupBytes - clientBytes);
  }

  /** V8's memory that no client is known to use: when it is large, most of it is garbage. */
  get unownedBytes(): number {
    const { clients, bufferPool } = this.#server;
    const owned = this.normal.bytes + this.replicas.bytes + clients.size * CONNECTION_BYTES;
    const buffers = bufferPool.heldBytes + this.heldBytes;
    return Math.max(0, this.heapBytes + this.#bufferBytes - owned - buffers);
  }

  /** Keys, values and tables. */
  get objectBytes(): number {
    return this.#server.keyspace.usedBytes;
  }

  /** Tables of keys and deadlines, which Redis counts as overhead. */
  get tableBytes(): number {
    let bytes = 0;
    for (const { tableBytes, expiry } of this.#server.keyspace.databases)
      bytes += tableBytes + expiry.bytes;
    return bytes;
  }

  get copyBytes(): number {
    return this.#snapshots.copyBytes;
  }

  get spoolBytes(): number {
    return this.#snapshots.spoolMemoryBytes;
  }

  /** Bytes that the kept part of the stream takes, compressed or not. */
  get streamBytes(): number {
    const { streamLog } = this.#server;
    return streamLog.active ? streamLog.storedBytes : 0;
  }

  get backlogBytes(): number {
    return Math.min(this.streamBytes, this.#server.streamLog.backlogBytesMax);
  }

  /** The stream beyond the backlog. */
  get pinnedBytes(): number {
    return this.streamBytes - this.backlogBytes;
  }

  /** The stream behind a dump that is not loaded yet. */
  get heldBytes(): number {
    return this.#held.memoryBytes;
  }

  get normalClientBytes(): number {
    return this.normal.bytes;
  }

  /** Buffers of replicas and the parts of the stream kept only for them, as Redis counts it. */
  get replicaBytes(): number {
    return this.replicas.bytes + this.pinnedBytes;
  }

  /** All live memory. */
  get usedBytes(): number {
    return this.startupBytes + this.notCountedBytes + this.countedBytes;
  }

  /** The memory that `maxmemory` limits. Asked before every write. */
  get countedBytes(): number {
    return this.objectBytes + this.backlogBytes + this.normal.bytes + this.replicas.bytes;
  }

  /** The used memory that `maxmemory` does not limit, besides the base cost. */
  get notCountedBytes(): number {
    const { copyBytes, spoolBytes, pinnedBytes, heldBytes } = this;
    return this.heapGrowthBytes + copyBytes + spoolBytes + pinnedBytes + heldBytes;
  }

  /** Keys and values, without tables. */
  get datasetBytes(): number {
    return this.objectBytes - this.tableBytes;
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
