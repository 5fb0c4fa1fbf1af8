/**
 * Snapshots of the dataset: one image at a time. Saves and full syncs read its dump from a spool.
 *
 *   start()      freeze · offset · SELECT forgotten · stream pinned after the offset         one synchronous turn
 *      │
 *   RUNNING ──▶ DONE      the dump is complete and the image thawed; the spool stays until its last reader closes
 *      └──────▶ FAILED    worker died, shadow memory reached snapshot-cow-max, or there is no reader any more
 *
 * A finished snapshot that still has readers does not block the next one. Main thread.
 */
import { PAGE_BYTES } from '../../arena/layout.ts';
import { assert } from '../../base/assert.ts';
import { ErrorCode, OperatingError } from '../../base/errors.ts';
import { KIB, type Offset, offsetAfter } from '../../base/units.ts';
import { Keyspace } from '../../keyspace/keyspace.ts';
import type { Dialect } from '../../rdb/dialect.ts';
import type { ReplicationAux, SaveOptions } from '../../rdb/save.ts';
import { DumpFilter } from '../../replication/replica-state.ts';
import type { StreamCursor } from '../../replication/stream-log.ts';
import type { RingOptions } from '../../workers/byte-ring.ts';
import {
  type SnapshotJob,
  SnapshotMeans,
  type SnapshotPool,
  startSnapshot,
} from '../../workers/snapshot-job.ts';
import type { Server } from '../server.ts';
import { type OpenSpill, spillsIn } from './spill-file.ts';
import { Spool } from './spool.ts';

export interface SnapshotRequest {
  readonly dialect: Dialect;
  /** Bits of {@link DumpFilter}. */
  readonly filter: number;
  readonly compress: boolean;
  readonly checksum: boolean;
  readonly reason: 'bgsave' | 'replication' | 'debug';
}

export type SnapshotState = 'running' | 'done' | 'failed';

/** Figures of the snapshot that ended last, with or without success. */
export interface SnapshotFigures {
  readonly freezeMicros: number;
  readonly durationMs: number;
  /** Memory of the pages that were copied because they were written to. */
  readonly touchedBytes: number;
  readonly dumpBytes: number;
  readonly keys: number;
}

export interface SnapshotParts {
  readonly pool: SnapshotPool;
  /** Function libraries for the dump. */
  readonly functions?: () => readonly Uint8Array[];
  /** Makes spill files; for tests. By default they are made in `dir`. */
  readonly openSpill?: OpenSpill;
}

interface SnapshotListener {
  /** The snapshot is done or has failed. */
  over(snapshot: Snapshot): void;
  /** The snapshot is over and has no readers any more. */
  closed(snapshot: Snapshot): void;
  /** Bytes went to the spool's file, or it was refused. */
  spilled(bytes: number): void;
  fileRefused(reason: string): void;
}

const CHUNK_BYTES_MIN = 4 * KIB;
const CHUNK_BYTES_MAX = 256 * KIB;
/** The minimum of chunks in a spool, so that worker, readers and disk can each have one. */
const CHUNKS_MIN = 8;
const CHUNKS_MAX = 65536;
/**
 * The limit of replicas' dumps that are made or read at a time. Each has a ring of
 * `snapshot-spool-memory`, the same amount again for the chunks that sockets hold, and a file of up
 * to the size of the dump.
 */
export const DUMPS_OPEN_MAX = 4;
const MS_PER_SECOND = 1000;
const REHEARSALS = 3;
const REHEARSAL: SnapshotRequest = {
  dialect: { version: 10, plainTypes: false },
  filter: DumpFilter.NO_FUNCTIONS,
  compress: true,
  checksum: true,
  reason: 'debug',
};

export class Snapshot {
  readonly id: number;
  readonly request: SnapshotRequest;
  /** The stream at the freeze: the dump holds everything up to this offset. */
  readonly startOffset: Offset;
  readonly replid: string;
  /** Wall clock. */
  readonly startedMs: number;
  /** `server.dirty` at the freeze. */
  readonly startDirty: number;
  readonly spool: Spool;
  readonly freezeMicros: number;
  state: SnapshotState = 'running';
  /** The snapshot was cancelled. */
  cancelled = false;
  error: OperatingError | undefined = undefined;
  readonly #server: Server;
  readonly #job: SnapshotJob;
  readonly #startedMonotonicMs: number;
  readonly #listener: SnapshotListener;
  readonly #listeners: (() => void)[] = [];
  /** Keeps the stream from the offset on, so that a replica may still join. */
  #pin: StreamCursor | undefined;

  /** Freezes and starts the worker, all in the caller's turn. */
  constructor(
    id: number,
    server: Server,
    request: SnapshotRequest,
    parts: SnapshotParts,
    means: SnapshotMeans,
    listener: SnapshotListener,
  ) {
    const { streamLog, feed, position, clock } = server;
    assert(feed.queuedCommands === 0, 'a snapshot starts between two units of the stream');
    const startMicros = clock.micros();
    const aux = replicationAux(server);
    this.id = id;
    this.request = request;
    this.startOffset = position.offset;
    this.replid = position.replid;
    this.startedMs = clock.nowMs();
    this.startDirty = server.dirty;
    this.#server = server;
    this.#startedMonotonicMs = clock.monotonicMs();
    this.#listener = listener;
    const hasData = (request.filter & DumpFilter.NO_DATA) === 0;
    const { snapshotCowMax } = server.config.values;
    this.#job = startSnapshot(parts.pool, {
      keyspace: hasData ? server.keyspace : new Keyspace(1, server.hashKey),
      save: saveOptions(server, request, aux, parts),
      cowBytesMax: snapshotCowMax === 0 ? Number.MAX_SAFE_INTEGER : snapshotCowMax,
      ring: ringFor(server.config.values.snapshotSpoolMemory),
      memory: server.memory,
      means,
    });
    // Readers of the stream from here on have no database selected.
    feed.invalidateSelect();
    this.#pin = streamLog.active
      ? streamLog.openCursor(offsetAfter(this.startOffset, 1))
      : undefined;
    this.freezeMicros = clock.micros() - startMicros;
    this.spool = new Spool(this.#job.ring, {
      openSpill:
        parts.openSpill ?? spillsIn(() => server.config.values.dir, `temp-${process.pid}-${id}-`),
      onFirstByteGone: () => this.unpinStream(),
      onIdle: () => this.#nobodyReads(),
      onSpilled: (bytes) => listener.spilled(bytes),
      onFileRefused: (reason) => listener.fileRefused(reason),
      onReleased: () => this.#job.giveRing(this.spool.producedBytes),
    });
    this.#follow();
  }

  /** Keys written so far. */
  get keysDone(): number {
    return this.#job.control.keysDone;
  }

  get keysTotal(): number {
    return this.#job.control.keysTotal;
  }

  get touchedBytes(): number {
    return this.#job.touchedBytes;
  }

  /** Memory of the page copies that the image needs now. */
  get copyBytes(): number {
    return this.#job.copyBytes;
  }

  /** Calls `listener` when the snapshot is done or has failed; at once when it already is. */
  onEnd(listener: () => void): void {
    if (this.state === 'running') this.#listeners.push(listener);
    else listener();
  }

  /** Stops the worker; the snapshot fails with CANCELLED. */
  cancel(): void {
    if (this.state !== 'running') return;
    this.cancelled = true;
    this.#job.cancel();
  }

  /**
   * Nobody may join from now on: the stream need not be kept for it. Call it before the log is
   * dropped.
   */
  unpinStream(): void {
    if (this.#pin === undefined) return;
    this.#server.streamLog.closeCursor(this.#pin);
    this.#pin = undefined;
  }

  /** Whether the stream after the snapshot is still kept for joining replicas. */
  get pinsStream(): boolean {
    return this.#pin !== undefined;
  }

  get figures(): SnapshotFigures {
    return {
      freezeMicros: this.freezeMicros,
      durationMs: this.#server.clock.monotonicMs() - this.#startedMonotonicMs,
      touchedBytes: this.touchedBytes,
      dumpBytes: this.spool.producedBytes,
      keys: this.keysDone,
    };
  }

  async #follow(): Promise<void> {
    const pumped = this.spool.pump();
    try {
      try {
        await this.#job.finished;
      } finally {
        // A failed job has cancelled the ring, which ends the pump: the ring's memory is used again
        // afterwards.
        await pumped;
      }
      // The worker may finish although it was cancelled; its last chunks were not taken then.
      if (!this.spool.ended)
        throw new OperatingError(ErrorCode.CANCELLED, 'the snapshot was cancelled');
      this.state = 'done';
    } catch (error) {
      // An error without a code is a fault of the program, which ends it.
      if (!(error instanceof OperatingError)) throw error;
      this.#fail(error);
    }
    this.#listener.over(this);
    for (const listener of this.#listeners.splice(0)) listener();
    if (this.spool.readerCount === 0) this.#nobodyReads();
  }

  #fail(error: OperatingError): void {
    this.state = 'failed';
    this.error = error;
    this.spool.fail(error);
    this.unpinStream();
  }

  #nobodyReads(): void {
    if (this.state === 'running') {
      this.cancel();
      return;
    }
    this.spool.close();
    this.unpinStream();
    this.#listener.closed(this);
  }
}

export class Snapshots {
  /** The snapshot started last, while it is made or its spool has a reader. */
  #latest: Snapshot | undefined = undefined;
  /** The snapshots whose dump is being made or read: at most one is being made. */
  readonly #open = new Set<Snapshot>();
  /** Figures of the snapshot that ended last. */
  lastFigures: SnapshotFigures | undefined = undefined;
  /** Snapshots started, as `total_forks`. */
  startedCount = 0;
  /** Total of bytes written to files of spools, and how many of those files were refused. */
  spilledBytes = 0;
  filesRefused = 0;
  /** Snapshots that became too old to be joined, see {@link limitPins}. */
  pinsDropped = 0;
  readonly #server: Server;
  readonly #parts: SnapshotParts;
  /** For the next snapshot. */
  #means: SnapshotMeans | undefined = undefined;
  #closed = false;

  constructor(server: Server, parts: SnapshotParts) {
    this.#server = server;
    this.#parts = parts;
  }

  /** The newest snapshot, unless it is over and its spool has no reader. */
  get running(): Snapshot | undefined {
    const latest = this.#latest;
    if (latest === undefined || (latest.state !== 'running' && latest.spool.readerCount === 0))
      return undefined;
    return latest;
  }

  /** The snapshot whose image is being read: no other can start. */
  get inProgress(): Snapshot | undefined {
    return this.#latest?.state === 'running' ? this.#latest : undefined;
  }

  /** Dumps that are being made or read. */
  get openCount(): number {
    return this.#open.size;
  }

  /** Whether another dump may begin for replicas; a save always may. */
  get hasRoom(): boolean {
    return this.#open.size < DUMPS_OPEN_MAX;
  }

  /** Readers of all spools. */
  get readerCount(): number {
    let count = 0;
    for (const { spool } of this.#open) count += spool.readerCount;
    return count;
  }

  /** Dump bytes that spools hold in files. */
  get spoolFileBytes(): number {
    let bytes = 0;
    for (const { spool } of this.#open) bytes += spool.fileBytes;
    return bytes;
  }

  /** Bytes of page copies for the image that is being read. */
  get copyBytes(): number {
    return this.inProgress?.copyBytes ?? 0;
  }

  /** Dump bytes that spools hold in memory. */
  get spoolMemoryBytes(): number {
    let bytes = 0;
    for (const { spool } of this.#open) bytes += spool.memoryBytes;
    return bytes;
  }

  /**
   * Makes a few dumps of nothing, so that the first real snapshot finds its thread started and its
   * code compiled. Without this the first freeze takes some ten milliseconds, later ones half of
   * one.
   */
  async warm(): Promise<void> {
    const server = this.#server;
    const ring = ringFor(server.config.values.snapshotSpoolMemory);
    const keyspace = new Keyspace(1, server.hashKey);
    try {
      for (let i = 0; i < REHEARSALS && !this.#closed; i++) {
        const save = saveOptions(server, REHEARSAL, undefined, this.#parts);
        const plan = { keyspace, save, cowBytesMax: PAGE_BYTES, ring, memory: server.memory };
        const job = startSnapshot(this.#parts.pool, plan);
        const spool = new Spool(job.ring, {
          openSpill: spillsIn(() => server.config.values.dir, `temp-${process.pid}-0-`),
          onFirstByteGone: () => {},
          onIdle: () => {},
          onReleased: () => job.giveRing(spool.producedBytes),
        });
        await Promise.all([job.finished, spool.pump()]);
        spool.close();
      }
    } catch (error) {
      // The node ends, or its worker does not work, which the first snapshot will report.
      if (!(error instanceof OperatingError)) throw error;
    }
    this.#prepare();
  }

  /**
   * Freezes the dataset as it is now and begins to write it. The caller opens its reader of the
   * spool in the same turn. Throws BUSY while another image is being read.
   */
  start(request: SnapshotRequest): Snapshot {
    if (this.#closed) throw new OperatingError(ErrorCode.CANCELLED, 'the server is shutting down');
    if (this.inProgress !== undefined)
      throw new OperatingError(ErrorCode.BUSY, 'a snapshot is in progress');
    this.startedCount++;
    const snapshot = new Snapshot(
      this.startedCount,
      this.#server,
      request,
      this.#parts,
      this.#takeMeans(),
      {
        over: (ended) => {
          this.lastFigures = ended.figures;
        },
        closed: (ended) => {
          this.#open.delete(ended);
          // It would keep the memory of its ring.
          if (this.#latest === ended) this.#latest = undefined;
        },
        spilled: (bytes) => {
          this.spilledBytes += bytes;
        },
        fileRefused: (reason) => {
          this.filesRefused++;
          this.#server.log.warning(
            `The dump cannot be spooled to disk (${reason}): its slowest reader sets the pace from now on`,
          );
        },
      },
    );
    this.#latest = snapshot;
    this.#open.add(snapshot);
    setImmediate(() => this.#prepare());
    return snapshot;
  }

  /** Prepares the worker and the ring of the next snapshot, in a separate turn. */
  #prepare(): void {
    if (!this.#closed) this.#means ??= new SnapshotMeans();
  }

  #takeMeans(): SnapshotMeans {
    const means = this.#means ?? new SnapshotMeans();
    this.#means = undefined;
    return means;
  }

  /**
   * Unpins the stream after each dump that is older than `lagMax` bytes: no replica can join that
   * dump any more.
   */
  limitPins(lagMax: number): void {
    const { streamLog, log } = this.#server;
    for (const snapshot of this.#open) {
      if (!snapshot.pinsStream || streamLog.endOffset - snapshot.startOffset <= lagMax) continue;
      snapshot.unpinStream();
      this.pinsDropped++;
      log.notice(
        `A snapshot is too far behind for replicas to join it: ${lagMax} bytes of the stream are the most`,
      );
    }
  }

  /** Unpins the parts of the log that are kept for joining replicas. */
  unpinStream(): void {
    for (const snapshot of this.#open) snapshot.unpinStream();
  }

  collectWorker(): void {
    this.#parts.pool.collect();
  }

  /** Cancels what is in progress, waits for its end and ends the worker. */
  async close(): Promise<void> {
    this.#closed = true;
    this.inProgress?.cancel();
    await this.#parts.pool.close();
  }
}

/** The replication fields in a dump of `server`; undefined while there is no stream. */
function replicationAux({ position }: Server): ReplicationAux | undefined {
  const { active, database, replid, offset } = position;
  return active ? { streamDb: database, replid, offset } : undefined;
}

function saveOptions(
  server: Server,
  request: SnapshotRequest,
  replication: ReplicationAux | undefined,
  parts: SnapshotParts,
): SaveOptions {
  const wantsFunctions = (request.filter & DumpFilter.NO_FUNCTIONS) === 0;
  return {
    dialect: request.dialect,
    compress: request.compress,
    checksum: request.checksum,
    aux: {
      ctime: Math.floor(server.nowMs / MS_PER_SECOND),
      usedMemoryBytes: server.keyspace.arena.usedBytes,
      replication,
    },
    functions: wantsFunctions ? (parts.functions?.() ?? []) : [],
  };
}

/**
 * A ring whose chunks take `memoryBytes`, with the same amount of untouched memory again for chunks
 * that sockets hold.
 */
export function ringFor(memoryBytes: number): RingOptions {
  const wanted = Math.floor(memoryBytes / CHUNKS_MIN / CHUNK_BYTES_MIN) * CHUNK_BYTES_MIN;
  const chunkBytes = Math.max(CHUNK_BYTES_MIN, Math.min(CHUNK_BYTES_MAX, wanted));
  let chunkCount = CHUNKS_MIN;
  while (chunkCount * 2 * chunkBytes <= memoryBytes && chunkCount < CHUNKS_MAX) chunkCount *= 2;
  return { chunkBytes, chunkCount, spareCount: chunkCount };
}
