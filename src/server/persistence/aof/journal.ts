/**
 * Hot path. Writes the stream to the present increment: one more reader of the log.
 *
 *   commands append ─▶ log ─▶ flush, before any reply leaves ─▶ write(2) ─▶ fdatasync, by a thread
 *                       writtenOffset ─────────────────────────────▲           ▲
 *                       syncedOffset ──────────────────────────────────────────┘
 *
 * A client learns that a write has happened only after the system has its bytes: a node that is
 * killed has lost nothing that it confirmed. What `appendfsync` decides is what a machine that
 * loses its power has lost:
 *
 *   always      nothing: the flush waits for the disk
 *   everysec    about the last second: a thread syncs once a second
 *   no          what the system has not written by itself
 *
 * While a thread syncs, a write may have to wait for the disk. So under `everysec` a flush is put
 * off then, for two seconds at most, and the replies leave nevertheless, as in Redis.
 *
 * A write that fails is tried again once a second from the byte where it stopped. Meanwhile the log
 * keeps the bytes, and the node refuses writes of clients.
 *
 * A sync that failed says nothing good about the next one: the system may have dropped the pages.
 * So from a failed sync on, `syncedOffset` stands still until a new base has replaced the file, see
 * {@link Journal.isBroken}.
 *
 * Invariant: bytes go from the log to the file in order and once. An increment is left for the next
 * one only when it has all bytes so far, so no command is split between two files.
 *
 * Main thread.
 */
import { assert } from '../../../base/assert.ts';
import type { Clock } from '../../../base/clock.ts';
import { codeOf, ErrorCode, OperatingError, systemErrorText } from '../../../base/errors.ts';
import type { Logger } from '../../../base/log.ts';
import { MIB, offsetAfter } from '../../../base/units.ts';
import type { StreamCursor } from '../../../replication/log-cursor.ts';
import type { ReplicationHistory } from '../../../replication/replid.ts';
import type { StreamLog } from '../../../replication/stream-log.ts';
import { atLine, besideLine, endLine, timestampLine } from './annotations.ts';
import type { AofDisk } from './aof-disk.ts';

const WRITE_BYTES_MAX = MIB;
const SYNC_MS = 1000;
const POSTPONED_MS_MAX = 2000;
const RETRY_MS = 1000;
const COMPLAINT_MS = 30_000;
const MS_PER_SECOND = 1000;
const MICROS_PER_MS = 1000;
const NO_FILE = -1;

export interface JournalSettings {
  readonly appendfsync: 'always' | 'everysec' | 'no';
  readonly aofTimestampEnabled: boolean;
}

export interface JournalParts {
  readonly log: StreamLog;
  readonly history: ReplicationHistory;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: JournalSettings;
  readonly disk: AofDisk;
  /** `no-appendfsync-on-rewrite` is set, and a rewrite runs. */
  readonly maySync: () => boolean;
  /** {@link Journal.isFailing} has changed. */
  readonly onStatus: () => void;
  /** Bytes that are in no file yet are lost. */
  readonly onLost: () => void;
  /** `syncedOffset` has moved. */
  readonly onSynced: () => void;
  /** A step has held the loop for `ms`; `event` is Redis' name for LATENCY. */
  readonly onStep: (event: string, ms: number) => void;
  /** Under `always` a byte could not be brought to the disk: the node cannot keep its word. */
  readonly fatal: (line: string) => void;
}

/** A file that is full. */
interface LeavingFile {
  readonly file: number;
  readonly serial: number;
}

export class Journal {
  /** The stream up to here is in files, as far as the system has taken it. */
  writtenOffset: number;
  /** The stream up to here is on disk. */
  syncedOffset: number;
  /** Bytes of the present file. */
  fileBytes = 0;
  /** Flushes that did not wait for a sync any longer, as `aof_delayed_fsync`. */
  delayedSyncs = 0;
  isWriteFailing = false;
  isSyncFailing = false;
  /** The system's words for the last failure. */
  failure = '';
  readonly #parts: JournalParts;
  #file = NO_FILE;
  #cursor: StreamCursor | undefined = undefined;
  /** Bytes that come before the next byte of the stream; whole lines, so at its boundaries only. */
  #prefix: Uint8Array = new Uint8Array(0);
  /** The id that the last `at` line has told. */
  #toldReplid = '';
  #toldSecond = 0;
  /** Steps each time that the journal opens. */
  #openings = 0;
  /** The count of files so far: the number of the present one. */
  #serial = 0;
  /** The last file whose sync has failed; 0 for none. */
  #brokenSerial = 0;
  /** A thread syncs. */
  #syncing: Promise<void> | undefined = undefined;
  /** Files that are full: they are synced before the present one, and closed. */
  readonly #leaving: LeavingFile[] = [];
  #syncedMs = 0;
  #postponedMs = -1;
  #retryMs = 0;
  #complainedMs = Number.NEGATIVE_INFINITY;

  constructor(parts: JournalParts) {
    this.#parts = parts;
    this.writtenOffset = parts.log.endOffset;
    this.syncedOffset = parts.log.endOffset;
  }

  get isOpen(): boolean {
    return this.#cursor !== undefined;
  }

  get isFailing(): boolean {
    return this.isWriteFailing || this.isSyncFailing;
  }

  /** Bytes of the stream that are in no file yet. */
  get waitingBytes(): number {
    return this.#cursor?.lag ?? 0;
  }

  /** A sync of a file in use has failed: only a new base makes sure of what the file holds. */
  get isBroken(): boolean {
    return this.#brokenSerial > 0;
  }

  get isSyncing(): boolean {
    return this.#syncing !== undefined;
  }

  /**
   * Opens `path` and writes the stream to it from here on. `select` is a command that the file
   * begins with, and that is no part of the stream. Throws the error of the system.
   */
  open(path: string, fileBytes: number, select: Uint8Array): void {
    const { log, disk } = this.#parts;
    assert(this.#cursor === undefined, 'a journal opens once');
    assert(log.active, 'a journal follows a stream');
    this.#file = disk.openToAppend(path);
    this.#openings++;
    this.#serial++;
    this.#brokenSerial = 0;
    this.fileBytes = fileBytes;
    this.#forgetFailures();
    const cursor = log.openCursor(offsetAfter(log.endOffset, 1));
    // While the disk failed for long, what it lacks was compressed.
    cursor.onReady = () => {
      if (cursor.failed) this.#parts.onLost();
      else this.flush(true);
    };
    this.#cursor = cursor;
    // What is put off must be there in one turn: at the end, or for the next file.
    log.rawFrom = () => cursor.offset;
    this.writtenOffset = log.endOffset;
    this.syncedOffset = log.endOffset;
    this.#begin(select);
  }

  /**
   * Goes on in the file `path`, which is empty. False when the present file cannot take what the
   * log has: then nothing has changed. Throws the error of the system when `path` cannot be opened.
   */
  moveTo(path: string, select: Uint8Array): boolean {
    const { disk } = this.#parts;
    this.flush(true);
    if (this.waitingBytes > 0 || this.#prefix.length > 0) return false;
    const file = disk.openToAppend(path);
    this.#leave();
    this.#file = file;
    this.#serial++;
    this.fileBytes = 0;
    this.#begin(select);
    this.#sync();
    return true;
  }

  /** A base holds all that the files before the present one have: they need not be on disk. */
  replaced(): void {
    if (this.#brokenSerial < this.#serial) this.#brokenSerial = 0;
    this.#closeLeaving();
  }

  /**
   * Writes what the log has and closes the file. With `isFinal` the file says that nothing follows,
   * and this waits for the disk. Returns false when something could not be written.
   */
  close(isFinal: boolean): boolean {
    const { disk } = this.#parts;
    if (this.#cursor === undefined) return true;
    this.flush(true);
    const isWhole = this.waitingBytes === 0 && this.#prefix.length === 0;
    let isSynced = isWhole;
    if (isWhole && isFinal) {
      this.#prefix = Buffer.from(endLine(this.writtenOffset), 'latin1');
      this.flush(true);
    }
    if (isFinal) {
      try {
        for (const { file } of this.#leaving) disk.syncNow(file);
        disk.syncNow(this.#file);
        if (isWhole) this.#noteSynced(this.writtenOffset);
      } catch (error) {
        this.#complain(`Fail to fsync the AOF file: ${reasonOf(error)}`);
        isSynced = false;
      }
    }
    this.abandon();
    return isSynced;
  }

  /** Closes the file as it is, without another look at the log. */
  abandon(): void {
    const cursor = this.#cursor;
    if (cursor === undefined) return;
    const { log } = this.#parts;
    log.closeCursor(cursor);
    log.rawFrom = () => Number.POSITIVE_INFINITY;
    this.#cursor = undefined;
    this.#leave();
    this.#file = NO_FILE;
    this.#prefix = new Uint8Array(0);
    this.#sync();
  }

  /** To be called before replies leave. */
  beforeReplies(): void {
    if (this.writtenOffset !== this.#parts.log.endOffset) this.flush(false);
  }

  /** Called a few times per second. */
  tick(): void {
    if (this.#cursor === undefined) {
      this.#closeLeaving();
      return;
    }
    this.flush(false);
    const { history, settings } = this.#parts;
    // The node has become a primary, or its primary has a new id: a restart must know.
    if (history.replid !== this.#toldReplid && this.writtenOffset === this.#parts.log.endOffset) {
      this.#annotate();
      this.flush(false);
    }
    // A rewrite, or another policy, has put the sync off.
    if (settings.appendfsync === 'always' && this.#isSyncWanted) this.#syncNow();
    else this.#syncWhenDue();
  }

  /** Writes what the log has; `force` also while a thread syncs. */
  flush(force: boolean): void {
    const cursor = this.#cursor;
    if (cursor === undefined || (cursor.lag === 0 && this.#prefix.length === 0)) return;
    const { clock, settings, onStep } = this.#parts;
    if (this.isWriteFailing && !force && clock.monotonicMs() < this.#retryMs) return;
    if (!force && this.#isPostponed()) return;
    this.#postponedMs = -1;
    if (cursor.lag > 0 && this.writtenOffset === cursor.offset - 1) this.#annotate();
    const isSyncing = this.#syncing !== undefined;
    const startMicros = clock.micros();
    const isWritten = this.#write(cursor);
    const ms = (clock.micros() - startMicros) / MICROS_PER_MS;
    onStep('aof-write', ms);
    onStep(isSyncing ? 'aof-write-pending-fsync' : 'aof-write-alone', ms);
    if (!isWritten) return;
    if (settings.appendfsync === 'always') this.#syncNow();
    else this.#syncWhenDue();
  }

  /** Resolves when all that is written now is on disk, or cannot be brought there. */
  async settled(): Promise<void> {
    if (this.syncedOffset < this.writtenOffset || this.#leaving.length > 0) this.#sync();
    while (this.#syncing !== undefined) await this.#syncing;
  }

  /** What became of the file before says nothing about this one. */
  #forgetFailures(): void {
    if (!this.isFailing) return;
    this.isWriteFailing = false;
    this.isSyncFailing = false;
    this.#parts.onStatus();
  }

  get #isSyncWanted(): boolean {
    if (this.isSyncFailing || this.#leaving.length > 0) return true;
    return this.syncedOffset !== this.writtenOffset;
  }

  #leave(): void {
    this.#leaving.push({ file: this.#file, serial: this.#serial });
  }

  #begin(select: Uint8Array): void {
    const { history } = this.#parts;
    this.#toldReplid = history.replid;
    this.#toldSecond = 0;
    const lines = [Buffer.from(atLine(history.replid, this.writtenOffset), 'latin1')];
    if (select.length > 0) lines.push(Buffer.from(besideLine(select.length), 'latin1'));
    this.#prefix = Buffer.concat([...lines, select]);
    this.flush(true);
  }

  /** Adds lines about what follows, where the file ends with a whole unit. */
  #annotate(): void {
    const { history, settings, clock } = this.#parts;
    if (this.#prefix.length > 0) return;
    let lines = '';
    if (history.replid !== this.#toldReplid) {
      lines += atLine(history.replid, this.writtenOffset);
      this.#toldReplid = history.replid;
    }
    if (settings.aofTimestampEnabled) {
      const second = Math.floor(clock.nowMs() / MS_PER_SECOND);
      if (second > this.#toldSecond) lines += timestampLine(second);
      this.#toldSecond = second;
    }
    if (lines !== '') this.#prefix = Buffer.from(lines, 'latin1');
  }

  /** Under `everysec` a write waits for the sync that runs, but not for long. */
  #isPostponed(): boolean {
    const { settings, clock, logger } = this.#parts;
    if (settings.appendfsync !== 'everysec' || this.#syncing === undefined) return false;
    const nowMs = clock.monotonicMs();
    if (this.#postponedMs < 0) this.#postponedMs = nowMs;
    if (nowMs - this.#postponedMs < POSTPONED_MS_MAX) return true;
    this.delayedSyncs++;
    logger.notice(
      'Asynchronous AOF fsync is taking too long (disk is busy?). Writing the AOF buffer without waiting for fsync ' +
        'to complete, this may slow down Redis.',
    );
    return false;
  }

  /** Writes the prefix and the stream; false when something is left. */
  #write(cursor: StreamCursor): boolean {
    const { disk } = this.#parts;
    try {
      while (this.#prefix.length > 0) {
        const count = disk.write(this.#file, this.#prefix, 0, this.#prefix.length);
        if (count === 0) throw new OperatingError(ErrorCode.IO, 'no bytes were taken');
        this.fileBytes += count;
        this.#prefix = this.#prefix.subarray(count);
      }
      while (cursor.next(WRITE_BYTES_MAX) > 0) {
        let count = 0;
        try {
          count = disk.write(this.#file, cursor.bytes, cursor.start, cursor.end - cursor.start);
        } finally {
          cursor.advance(count);
        }
        if (count === 0) throw new OperatingError(ErrorCode.IO, 'no bytes were taken');
        this.fileBytes += count;
      }
    } catch (error) {
      this.#writeFailed(error);
      return false;
    }
    // A part that was compressed is on its way. The file may end inside of a unit until it is here.
    if (cursor.lag > 0) return false;
    this.writtenOffset = cursor.offset - 1;
    if (this.isWriteFailing) {
      this.isWriteFailing = false;
      this.#parts.logger.warning('AOF write error looks solved, The server can write again.');
      this.#parts.onStatus();
    }
    return true;
  }

  #writeFailed(error: unknown): void {
    const { clock, settings, fatal } = this.#parts;
    const reason = reasonOf(error);
    this.failure = reason;
    this.#retryMs = clock.monotonicMs() + RETRY_MS;
    this.#complain(`Error writing to the AOF file: ${reason}`);
    if (settings.appendfsync === 'always') {
      fatal("Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting...");
      return;
    }
    if (this.isWriteFailing) return;
    this.isWriteFailing = true;
    this.#parts.onStatus();
  }

  #syncNow(): void {
    const { disk, maySync, fatal, clock, onStep } = this.#parts;
    if (!maySync()) return;
    const startMicros = clock.micros();
    try {
      for (const { file } of this.#leaving) disk.syncNow(file);
      disk.syncNow(this.#file);
      onStep('aof-fsync-always', (clock.micros() - startMicros) / MICROS_PER_MS);
    } catch (error) {
      fatal(
        `Can't persist AOF for fsync error when the AOF fsync policy is 'always': ${reasonOf(error)}. Exiting...`,
      );
      return;
    }
    this.#closeLeaving();
    this.#noteSynced(this.writtenOffset);
  }

  #syncWhenDue(): void {
    const { settings, clock, maySync } = this.#parts;
    if (this.#syncing !== undefined || settings.appendfsync !== 'everysec') return;
    if (!this.#isSyncWanted) return;
    if (!maySync() || clock.monotonicMs() - this.#syncedMs < SYNC_MS) return;
    this.#sync();
  }

  /** Lets a thread bring to the disk what is written now. */
  #sync(): void {
    if (this.#syncing !== undefined) return;
    this.#syncedMs = this.#parts.clock.monotonicMs();
    const leaving = this.#leaving.length;
    const files = [...this.#leaving];
    if (this.#file !== NO_FILE) files.push({ file: this.#file, serial: this.#serial });
    this.#syncing = this.#syncFiles(files, leaving, this.writtenOffset, this.#openings);
  }

  async #syncFiles(
    files: readonly LeavingFile[],
    leaving: number,
    offset: number,
    opening: number,
  ): Promise<void> {
    const { disk, onStatus } = this.#parts;
    let failure = '';
    let present = 0;
    try {
      // In order: what is on disk of a file is of use only behind all of the file before it.
      for (const { file, serial } of files) {
        present = serial;
        await disk.sync(file);
      }
    } catch (error) {
      failure = reasonOf(error);
      this.#complain(`Fail to fsync the AOF file: ${failure}`);
      if (opening === this.#openings) this.#brokenSerial = present;
    }
    const isFailing = failure !== '';
    this.#syncing = undefined;
    const done = this.#leaving.splice(0, isFailing ? 0 : leaving);
    for (const { file } of done) disk.close(file);
    if (this.#cursor === undefined) this.#closeLeaving();
    // The files of an earlier opening, and their offsets, say nothing about the present ones.
    if (opening !== this.#openings) return;
    if (isFailing) this.failure = failure;
    else this.#noteSynced(offset);
    if (this.isSyncFailing === isFailing) return;
    this.isSyncFailing = isFailing;
    onStatus();
  }

  #noteSynced(offset: number): void {
    if (offset <= this.syncedOffset || this.isBroken) return;
    this.syncedOffset = offset;
    this.#parts.onSynced();
  }

  /** Closes the files that no thread uses. */
  #closeLeaving(): void {
    if (this.#syncing !== undefined) return;
    for (const { file } of this.#leaving.splice(0)) this.#parts.disk.close(file);
  }

  /** Logs an error, the same kind at most twice a minute. */
  #complain(line: string): void {
    const { clock, logger } = this.#parts;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#complainedMs < COMPLAINT_MS) return;
    this.#complainedMs = nowMs;
    logger.warning(line);
  }
}

/** The system's words. An error without a code is a fault of the program, which is thrown again. */
function reasonOf(error: unknown): string {
  if (error instanceof OperatingError) return error.message;
  if (codeOf(error) === undefined) throw error;
  return systemErrorText(error);
}
