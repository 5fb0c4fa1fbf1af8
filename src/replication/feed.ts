/**
 * Writes the stream of a top-level primary: the commands of execution units, with the SELECT, MULTI
 * and EXEC that they need, and PING and GETACK. A relay does not use the feed: it appends the bytes
 * that it applied. Hot path.
 *
 *   one command       [SELECT n] command
 *   several commands  MULTI [SELECT n] command … [SELECT m] command … EXEC
 *   unwrapped unit    [SELECT n] command … command
 *
 * SELECT is written only when the database differs from the last one. Units of commands that touch
 * arbitrary keys, and of expiry cycles, are not wrapped.
 *
 * One client command (or EXEC, or script) causes one execution unit. The commands of a unit are
 * queued here in encoded form and flushed together when the unit ends, within the same turn. While
 * the log is inactive, the feed does nothing: there are no readers, and the offset stands still.
 * Main thread.
 */
import { assert } from '../base/assert.ts';
import { MIB, type Offset } from '../base/units.ts';
import { GrowableBytes } from '../resp/growable-bytes.ts';
import { EXEC_BYTES, GETACK_BYTES, MULTI_BYTES, PING_BYTES, selectBytes } from '../resp/stream.ts';
import type { StreamLog } from './stream-log.ts';

/** No database is selected in the stream: the next command is preceded by SELECT. */
export const NO_DB = -1;

/** A large unit's scratch is freed when it is larger than this. */
const SCRATCH_KEPT_BYTES = MIB;

export class Feed {
  readonly log: StreamLog;
  /** The database that a reader of the stream has selected at its end, or {@link NO_DB}. */
  selectedDb: number;
  /** Commands queued in the current unit. */
  queuedCommands: number;
  readonly #scratch: GrowableBytes;
  /**
   * Runs of queued commands of one database: #runDbs[i] ends at position #runEnds[i] of the
   * scratch.
   */
  #runDbs: number[];
  #runEnds: number[];
  /**
   * Where the stream ended when `pingWhenQuiet` last saw it move, and when that was; -1 before the
   * first look.
   */
  #seenOffset: Offset;
  #seenMs: number;

  constructor(log: StreamLog) {
    this.log = log;
    this.selectedDb = NO_DB;
    this.queuedCommands = 0;
    this.#scratch = new GrowableBytes();
    this.#runDbs = [];
    this.#runEnds = [];
    this.#seenOffset = log.endOffset;
    this.#seenMs = -1;
  }

  /**
   * Streams one encoded command, bytes[start … end), as a separate unit. The bytes are copied at
   * once.
   */
  appendVerbatim(db: number, bytes: Uint8Array, start: number, end: number): void {
    assert(this.queuedCommands === 0, 'a unit is flushed before the next command');
    if (!this.log.active) return;
    if (db !== this.selectedDb) this.#select(db);
    this.log.append(bytes, start, end);
  }

  /**
   * As {@link appendVerbatim}, but neighbours in a read buffer become one copy later: the caller
   * calls {@link settle} before the buffer changes, at the end of its read event.
   */
  appendDeferred(db: number, bytes: Uint8Array, start: number, end: number): void {
    assert(this.queuedCommands === 0, 'a unit is flushed before the next command');
    if (!this.log.active) return;
    if (db !== this.selectedDb) this.#select(db);
    this.log.appendDeferred(bytes, start, end);
  }

  settle(): void {
    this.log.settle();
  }

  /** Copies one encoded command into the current unit. */
  queue(db: number, bytes: Uint8Array, start: number, end: number): void {
    if (!this.log.active) return;
    const scratch = this.#scratch;
    const count = end - start;
    scratch.reserve(count);
    scratch.bytes.set(bytes.subarray(start, end), scratch.size);
    scratch.size += count;
    this.queuedCommands++;
    const last = this.#runDbs.length - 1;
    if (last >= 0 && this.#runDbs[last] === db) {
      this.#runEnds[last] = scratch.size;
    } else {
      this.#runDbs.push(db);
      this.#runEnds.push(scratch.size);
    }
  }

  /**
   * Ends the unit and streams it: in MULTI and EXEC when `wrap` is set and there is more than one
   * command.
   */
  flush(wrap: boolean): void {
    const commands = this.queuedCommands;
    if (commands === 0) return;
    // REPLICAOF in a transaction may have dropped the log during the unit: its commands then have
    // no reader.
    if (this.log.active) {
      const wrapped = wrap && commands > 1;
      if (wrapped) this.log.append(MULTI_BYTES, 0, MULTI_BYTES.length);
      let from = 0;
      for (let i = 0; i < this.#runDbs.length; i++) {
        const db = this.#runDbs[i]!;
        const to = this.#runEnds[i]!;
        if (db !== this.selectedDb) this.#select(db);
        this.log.append(this.#scratch.bytes, from, to);
        from = to;
      }
      if (wrapped) this.log.append(EXEC_BYTES, 0, EXEC_BYTES.length);
    }
    this.discard();
  }

  /** Ends the unit without streaming it. */
  discard(): void {
    this.queuedCommands = 0;
    this.#scratch.clear();
    this.#runDbs.length = 0;
    this.#runEnds.length = 0;
    if (this.#scratch.bytes.length > SCRATCH_KEPT_BYTES) this.#scratch.bytes = new Uint8Array(0);
  }

  /**
   * The next command is preceded by SELECT. Called in the turn that freezes the dataset for a full
   * sync, and at promotion; not for a partial resync, whose replica has kept its database.
   */
  invalidateSelect(): void {
    this.selectedDb = NO_DB;
  }

  ping(): void {
    if (this.log.active) this.log.append(PING_BYTES, 0, PING_BYTES.length);
  }

  /** Asks each replica for its ACK: for WAIT, and before a shutdown. */
  getack(): void {
    if (this.log.active) this.log.append(GETACK_BYTES, 0, GETACK_BYTES.length);
  }

  /**
   * Streams a PING and returns true when nothing was streamed for `periodMs`. A top-level primary
   * that has replicas calls it about once per second. It is exact to that second and costs the hot
   * path nothing.
   */
  pingWhenQuiet(nowMs: number, periodMs: number): boolean {
    const moved = this.log.endOffset !== this.#seenOffset || this.#seenMs < 0;
    if (moved) {
      this.#seenOffset = this.log.endOffset;
      this.#seenMs = nowMs;
    }
    if (moved || !this.log.active || nowMs - this.#seenMs < periodMs) return false;
    this.ping();
    this.#seenOffset = this.log.endOffset;
    this.#seenMs = nowMs;
    return true;
  }

  #select(db: number): void {
    const bytes = selectBytes(db);
    this.log.append(bytes, 0, bytes.length);
    this.selectedDb = db;
  }
}
