/**
 * The dump of a full sync that this node gets from its primary, for the replicas below that need
 * one: they read it as it comes, under the same id and offset.
 *
 *   link ──put──▶ chunks ──▶ spool ──▶ a reader per replica below, each at its own pace
 *     └─────────▶ ring of the load worker, which eats the same bytes
 *
 *   OPENED ──first nine bytes──▶ ANNOUNCED ──end──▶ COMPLETE ──loaded──▶ one like a dump of our own
 *      │                             │                  │
 *      └─────────────────────────────┴──────────────────┴──▶ FAILED    the link or the load failed
 *
 * The bytes are copied once more than for the load alone, since ring and spool let them go at
 * different times. Memory is that of `snapshot-spool-memory`. The link waits when that is full, as
 * the rules of the spool say. Nobody can join once the first byte is gone; when nobody reads either,
 * no more bytes are kept.
 *
 * Main thread.
 */
import { assert } from '../../base/assert.ts';
import { latin1 } from '../../base/bytes.ts';
import { ErrorCode, OperatingError } from '../../base/errors.ts';
import { KIB, type Offset, offsetAfter } from '../../base/units.ts';
import { type Dialect, type Magic, readMagic } from '../../rdb/dialect.ts';
import { MAGIC_BYTES } from '../../rdb/opcodes.ts';
import { readsVersion } from '../../replication/full-sync.ts';
import type { StreamCursor } from '../../replication/log-cursor.ts';
import { DumpFilter, type ReplicaState } from '../../replication/replica-state.ts';
import type { Server } from '../server.ts';
import type { PassedDump } from '../snapshot-source.ts';
import { GatheredChunks } from './gathered-chunks.ts';
import { ringFor } from './snapshot.ts';
import { Spool, type SpoolOptions } from './spool.ts';

/** About one read of the link. */
const CHUNK_BYTES_MAX = 64 * KIB;
/** Bytes that do not fill a chunk are passed on after this time. A primary sends 16 KiB at a time. */
const GROWTH_DELAY_MS = 2;

export interface ArrivingDumpOptions {
  readonly replid: string;
  readonly startOffset: Offset;
  /** Bytes of the dump, or -1 while they are unknown. */
  readonly announcedBytes: number;
  /** How its spool spills. */
  readonly spill: Pick<SpoolOptions, 'openSpill' | 'onSpilled' | 'onFileRefused'>;
  /** Its version is known: peers may join it. */
  readonly onAnnounced: (dump: ArrivingDump) => void;
  /** Nobody reads it any more, and nobody can join. */
  readonly onClosed: (dump: ArrivingDump) => void;
}

export class ArrivingDump implements PassedDump {
  readonly filter = DumpFilter.NONE;
  readonly startOffset: Offset;
  readonly replid: string;
  /** It stands in the dump, which is not read here. */
  readonly streamDb = -1;
  readonly announcedBytes: number;
  readonly spool: Spool;
  state: 'running' | 'done' | 'failed' = 'running';
  isAhead = true;
  cancelled = false;
  error: OperatingError | undefined = undefined;
  readonly #server: Server;
  readonly #chunks: GatheredChunks;
  readonly #options: ArrivingDumpOptions;
  readonly #listeners: (() => void)[] = [];
  /** The first bytes, until there are enough of them to tell the version. */
  #firstBytes = '';
  #magic: Magic | undefined = undefined;
  /** Keeps the stream from the offset on, so that a replica may still join. */
  #pin: StreamCursor | undefined = undefined;
  #isClosed = false;

  constructor(server: Server, options: ArrivingDumpOptions) {
    const { snapshotSpoolMemory } = server.config.values;
    this.replid = options.replid;
    this.startOffset = options.startOffset;
    this.announcedBytes = options.announcedBytes;
    this.#server = server;
    this.#options = options;
    const shape = ringFor(snapshotSpoolMemory, CHUNK_BYTES_MAX);
    this.#chunks = new GatheredChunks(shape, server.memory, GROWTH_DELAY_MS);
    this.spool = new Spool(this.#chunks, {
      ...options.spill,
      onFirstByteGone: () => this.unpinStream(),
      onIdle: () => this.#close(),
      onReleased: () => this.#chunks.giveBack(),
    });
    this.#follow();
  }

  // For the link.

  get wanted(): boolean {
    return this.state === 'running';
  }

  put(bytes: Uint8Array, start: number, end: number): number {
    if (!this.wanted) return end;
    const stop = this.#chunks.put(bytes, start, end);
    if (this.#magic === undefined) this.#readMagic(bytes, start, stop);
    return stop;
  }

  waitForRoom(): Promise<void> {
    return this.#chunks.waitForRoom();
  }

  end(): void {
    if (!this.wanted) return;
    if (this.#magic === undefined) this.#close();
    else this.#chunks.end();
  }

  fail(): void {
    if (!this.isAhead || this.#isClosed) return;
    this.state = 'failed';
    this.error = new OperatingError(ErrorCode.CANCELLED, 'the dump of the primary was not loaded');
    this.spool.fail(this.error);
    for (const listener of this.#listeners) listener();
    if (this.spool.readerCount === 0) this.#close();
  }

  loaded(): void {
    assert(this.isAhead, 'a dump is loaded once');
    this.isAhead = false;
    if (this.#isClosed || !this.spool.hasFirstByte) return;
    this.#pin = this.#server.streamLog.openCursor(offsetAfter(this.startOffset, 1));
  }

  // For those below.

  isReadable(peer: ReplicaState, own: Dialect): boolean {
    return (
      this.#magic !== undefined && readsVersion(peer, this.#magic, own.version, own.plainTypes)
    );
  }

  onEnd(listener: () => void): void {
    this.#listeners.push(listener);
    if (this.state !== 'running') listener();
  }

  unpinStream(): void {
    if (this.#pin === undefined) return;
    this.#server.streamLog.closeCursor(this.#pin);
    this.#pin = undefined;
  }

  get pinsStream(): boolean {
    return this.#pin !== undefined;
  }

  async #follow(): Promise<void> {
    await this.spool.pump();
    if (!this.spool.ended || this.state !== 'running') return;
    this.state = 'done';
    for (const listener of this.#listeners) listener();
  }

  #readMagic(bytes: Uint8Array, start: number, end: number): void {
    const count = Math.min(end - start, MAGIC_BYTES - this.#firstBytes.length);
    this.#firstBytes += latin1(bytes, start, count);
    if (this.#firstBytes.length < MAGIC_BYTES) return;
    this.#magic = readMagic(this.#firstBytes);
    if (this.#magic === undefined) this.#close();
    else this.#options.onAnnounced(this);
  }

  /** Lets go of everything: nobody reads, and nobody will. */
  #close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.state === 'running') {
      this.cancelled = true;
      this.state = 'failed';
      this.#chunks.cancel();
    }
    this.unpinStream();
    this.spool.close();
    this.#options.onClosed(this);
  }
}
