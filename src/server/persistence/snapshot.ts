/**
 * One snapshot of the dataset: the image, the worker that writes it, and the spool of its dump.
 *
 *   new          freeze · offset · SELECT forgotten · stream pinned after the offset         one synchronous turn
 *      │
 *   RUNNING ──▶ DONE      the dump is complete and the image thawed; the spool stays until its last reader closes
 *      └──────▶ FAILED    worker died, shadow memory reached snapshot-cow-max, or there is no reader any more
 *
 * Main thread.
 */
import { assert } from '../../base/assert.ts';
import { ErrorCode, OperatingError } from '../../base/errors.ts';
import { KIB, type Offset, offsetAfter } from '../../base/units.ts';
import { Keyspace } from '../../keyspace/keyspace.ts';
import { type Dialect, isSameDialect } from '../../rdb/dialect.ts';
import type { CommandForm, ReplicationAux, SaveOptions } from '../../rdb/save.ts';
import type { StreamCursor } from '../../replication/log-cursor.ts';
import { DumpFilter, type ReplicaState } from '../../replication/replica-state.ts';
import type { RingOptions } from '../../workers/byte-ring.ts';
import {
  type SnapshotJob,
  type SnapshotMeans,
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
  readonly reason: 'bgsave' | 'replication' | 'aof' | 'debug';
  /** The dataset is written as commands, which no replica reads. */
  readonly commands?: CommandForm;
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

export interface SnapshotListener {
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
const MS_PER_SECOND = 1000;

export class Snapshot {
  readonly id: number;
  readonly request: SnapshotRequest;
  /** The stream at the freeze: the dump holds everything up to this offset. */
  readonly startOffset: Offset;
  readonly replid: string;
  readonly streamDb: number;
  /** Wall clock. */
  readonly startedMs: number;
  /** `server.dirty` at the freeze. */
  readonly startDirty: number;
  readonly spool: Spool;
  readonly freezeMicros: number;
  readonly isAhead = false;
  readonly announcedBytes = -1;
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
    this.streamDb = aux?.streamDb ?? 0;
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

  get filter(): number {
    return this.request.filter;
  }

  isReadable(_peer: ReplicaState, own: Dialect): boolean {
    return this.request.commands === undefined && isSameDialect(own, this.request.dialect);
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

/** The replication fields in a dump of `server`; undefined while there is no stream. */
function replicationAux({ position }: Server): ReplicationAux | undefined {
  const { active, database, replid, offset } = position;
  return active ? { streamDb: database, replid, offset } : undefined;
}

export function saveOptions(
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
      isAofBase: request.reason === 'aof',
    },
    functions: wantsFunctions ? (parts.functions?.() ?? []) : [],
    commands: request.commands,
  };
}

/**
 * A ring whose chunks take `memoryBytes`, with the same amount of untouched memory again for chunks
 * that sockets hold.
 */
export function ringFor(
  memoryBytes: number,
  chunkBytesMax: number = CHUNK_BYTES_MAX,
): Required<Omit<RingOptions, 'firstCount'>> {
  const wanted = Math.floor(memoryBytes / CHUNKS_MIN / CHUNK_BYTES_MIN) * CHUNK_BYTES_MIN;
  const chunkBytes = Math.max(CHUNK_BYTES_MIN, Math.min(chunkBytesMax, wanted));
  let chunkCount = CHUNKS_MIN;
  while (chunkCount * 2 * chunkBytes <= memoryBytes && chunkCount < CHUNKS_MAX) chunkCount *= 2;
  return { chunkBytes, chunkCount, spareCount: chunkCount };
}
