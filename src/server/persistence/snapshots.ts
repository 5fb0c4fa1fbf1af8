/**
 * Snapshots of the dataset: one image at a time. Saves and full syncs read its dump from a spool.
 * snapshot.ts is the life of one. The dump that arrives from the primary of this node is another
 * one of the dumps that replicas read: arriving-dump.ts.
 *
 * A finished snapshot that still has readers does not block the next one. Main thread.
 */
import { PAGE_BYTES } from '../../arena/layout.ts';
import { codeOf, ErrorCode, messageOf, OperatingError } from '../../base/errors.ts';
import { MIB, type Offset } from '../../base/units.ts';
import { Keyspace } from '../../keyspace/keyspace.ts';
import { DumpFilter } from '../../replication/replica-state.ts';
import { SnapshotMeans, type SnapshotPool, startSnapshot } from '../../workers/snapshot-job.ts';
import type { Server } from '../server.ts';
import { ArrivingDump } from './arriving-dump.ts';
import {
  ringFor,
  Snapshot,
  type SnapshotFigures,
  type SnapshotParts,
  type SnapshotRequest,
  saveOptions,
} from './snapshot.ts';
import { spillsIn } from './spill-file.ts';
import { Spool } from './spool.ts';

/**
 * The limit of replicas' dumps that are made or read at a time. Each has a ring of
 * `snapshot-spool-memory`, the same amount again for the chunks that sockets hold, and a file of up
 * to the size of the dump.
 */
export const DUMPS_OPEN_MAX = 4;
/**
 * While the dataset is larger, a thread is ready for the next snapshot. A smaller one waits for the
 * start of a thread: an idle node does without its 16 MiB.
 */
const READY_BYTES = 32 * MIB;
/** Between two attempts to start that thread. */
const READY_RETRY_MS = 5000;
const REHEARSALS = 3;
const REHEARSAL: SnapshotRequest = {
  dialect: { version: 10, plainTypes: false },
  filter: DumpFilter.NO_FUNCTIONS,
  compress: true,
  checksum: true,
  reason: 'debug',
};

/** For a rehearsal without a thread: each job is cancelled. */
const NO_POOL: SnapshotPool = {
  duty: 'snapshot',
  jobCount: 0,
  isWarm: false,
  run: () => Promise.reject(new OperatingError(ErrorCode.CANCELLED, 'there is no thread')),
  saw: () => {},
  collect: () => {},
  warm: () => {},
  close: () => Promise.resolve(),
};

export class Snapshots {
  /** The snapshot started last, while it is made or its spool has a reader. */
  #latest: Snapshot | undefined = undefined;
  /** The dumps that are being made, passed on, or read: at most one is being made. */
  readonly #open = new Set<Snapshot | ArrivingDump>();
  /** Figures of the snapshot that ended last. */
  lastFigures: SnapshotFigures | undefined = undefined;
  /** Is told for how many milliseconds each freeze took. */
  onFrozen: (ms: number) => void = () => {};
  /** Snapshots started, as `total_forks`. */
  startedCount = 0;
  /** Total of bytes written to files of spools, and how many of those files were refused. */
  spilledBytes = 0;
  filesRefused = 0;
  /** Bytes that replicas have read of dumps that were passed on, except those still open. */
  #passedBytes = 0;
  #passedCount = 0;
  /** Snapshots that became too old to be joined, see {@link limitPins}. */
  pinsDropped = 0;
  readonly #server: Server;
  readonly #parts: SnapshotParts;
  /** For the next snapshot. */
  #means: SnapshotMeans | undefined = undefined;
  #closed = false;
  #readiedMs = Number.NEGATIVE_INFINITY;

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

  /** Dumps that are being made, passed on, or read. */
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
   * Freezes a dataset of nothing a few times, so that the first real freeze finds its code compiled:
   * it takes some ten milliseconds without this, and half of one with it. Starts no thread.
   */
  async warm(): Promise<void> {
    await this.#rehearse(NO_POOL);
    this.#prepare();
  }

  /**
   * Makes a few dumps of nothing, also for the code of the thread, which starts when there is none.
   * What fails here, the first snapshot will report.
   */
  async #rehearse(pool: SnapshotPool): Promise<void> {
    try {
      const keyspace = new Keyspace(1, this.#server.hashKey);
      for (let i = 0; i < REHEARSALS && !this.#closed; i++)
        await this.#rehearseOnce(pool, keyspace);
    } catch (error) {
      // The system refuses memory.
      if (!(error instanceof OperatingError)) throw error;
    }
  }

  async #rehearseOnce(pool: SnapshotPool, keyspace: Keyspace): Promise<void> {
    const server = this.#server;
    const job = startSnapshot(pool, {
      keyspace,
      save: saveOptions(server, REHEARSAL, undefined, this.#parts),
      cowBytesMax: PAGE_BYTES,
      ring: ringFor(server.config.values.snapshotSpoolMemory),
      memory: server.memory,
    });
    const spool = new Spool(job.ring, {
      openSpill: spillsIn(() => server.config.values.dir, `temp-${process.pid}-0-`),
      onFirstByteGone: () => {},
      onIdle: () => {},
      onReleased: () => job.giveRing(spool.producedBytes),
    });
    const pumped = spool.pump();
    try {
      await job.finished;
    } catch (error) {
      // There is no thread, the node ends, or its worker does not work.
      if (!(error instanceof OperatingError)) throw error;
    }
    await pumped;
    spool.close();
  }

  /** A snapshot comes soon: its thread starts now, or stays. */
  expectSoon(): void {
    if (!this.#closed) this.#parts.pool.warm();
  }

  /** Called some times per second: keeps a thread ready while the dataset is large. */
  tick(): void {
    const { keyspace, clock } = this.#server;
    if (keyspace.arena.usedBytes < READY_BYTES) return;
    const nowMs = clock.monotonicMs();
    if (!this.#parts.pool.isWarm && nowMs - this.#readiedMs < READY_RETRY_MS) return;
    this.#readiedMs = nowMs;
    if (this.#parts.pool.isWarm) this.expectSoon();
    else this.#rehearse(this.#parts.pool);
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
        fileRefused: (reason) => this.#fileRefused(reason),
      },
    );
    this.onFrozen(snapshot.freezeMicros / 1000);
    this.#latest = snapshot;
    this.#open.add(snapshot);
    setImmediate(() => this.#prepare());
    return snapshot;
  }

  /**
   * Opens the dump of a full sync that arrives at this node, to be passed on: the stream `replid` up
   * to `startOffset`. Undefined when too many dumps are open, or there is no memory for it.
   * `onAnnounced` is called once peers may join it.
   */
  passOn(
    replid: string,
    startOffset: Offset,
    announcedBytes: number,
    onAnnounced: (dump: ArrivingDump) => void,
  ): ArrivingDump | undefined {
    if (!this.hasRoom) return undefined;
    try {
      const dump = this.#openArriving(replid, startOffset, announcedBytes, onAnnounced);
      this.#open.add(dump);
      return dump;
    } catch (error) {
      if (codeOf(error) !== ErrorCode.ARENA_FULL) throw error;
      this.#server.log.warning(`The dump is not passed on: ${messageOf(error)}`);
      return undefined;
    }
  }

  #openArriving(
    replid: string,
    startOffset: Offset,
    announcedBytes: number,
    onAnnounced: (dump: ArrivingDump) => void,
  ): ArrivingDump {
    const { config } = this.#server;
    const prefix = `temp-${process.pid}-passed-${++this.#passedCount}-`;
    return new ArrivingDump(this.#server, {
      replid,
      startOffset,
      announcedBytes,
      spill: {
        openSpill: this.#parts.openSpill ?? spillsIn(() => config.values.dir, prefix),
        onSpilled: (bytes) => {
          this.spilledBytes += bytes;
        },
        onFileRefused: (reason) => this.#fileRefused(reason),
      },
      onAnnounced,
      onClosed: (closed) => {
        this.#open.delete(closed);
        this.#passedBytes += closed.spool.readBytes;
      },
    });
  }

  /** Bytes that replicas have ever read of dumps that were passed on. */
  get passedBytes(): number {
    let bytes = this.#passedBytes;
    for (const dump of this.#open) if (dump instanceof ArrivingDump) bytes += dump.spool.readBytes;
    return bytes;
  }

  #fileRefused(reason: string): void {
    this.filesRefused++;
    this.#server.log.warning(
      `The dump cannot be spooled to disk (${reason}): its slowest reader sets the pace from now on`,
    );
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
