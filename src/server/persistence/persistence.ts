/**
 * Saving the dataset: BGSAVE, SAVE, save points, and the result of the last save. dump-load.ts loads
 * it.
 *
 *   BGSAVE, save point ──▶ #begin ──▶ snapshot ──▶ writeDump ──▶ #ended: dirty, status, time of the last save
 *   SAVE, SHUTDOWN, DEBUG RELOAD ──▶ save(): the same, awaited
 *   FLUSHALL with save points ──▶ emptied(): as BGSAVE, after the unit; no other save is refused meanwhile
 *
 * A save never holds the event loop. SAVE answers its client when the dump is on disk. The dump
 * holds the dataset as it was when SAVE ran. Main thread.
 */
import { codeOf, ErrorCode, messageOf, OperatingError } from '../../base/errors.ts';
import type { RdbVersion } from '../../rdb/dialect.ts';
import { DumpFilter } from '../../replication/replica-state.ts';
import { Obstacle, type Server } from '../server.ts';
import { type DumpDisk, realDisk, writeDump } from './dump-file.ts';
import type { Snapshot, SnapshotRequest } from './snapshot.ts';
import type { Snapshots } from './snapshots.ts';

/** Seconds between a failed save and the next try of a save point. */
const RETRY_SECONDS = 5;
const MS_PER_SECOND = 1000;
const BYTES_PER_MB = 1024 * 1024;

export const ALREADY_SAVING = 'ERR Background save already in progress';

const MISCONF =
  "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that " +
  'may modify the data set are disabled, because this instance is configured to report errors during writes if RDB ' +
  'snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error.';

/** The end of a save. */
export type SaveEnd = 'saved' | 'failed' | 'cancelled';

export class Persistence {
  /** Unix time in seconds of the last successful save, or of the start. */
  lastSaveSeconds: number;
  /** Seconds that the last save took, -1 before the first. */
  lastDurationSeconds = -1;
  /** Shadow memory of the last save. */
  lastCowBytes = 0;
  /** Saves that succeeded. */
  saveCount = 0;
  /** A BGSAVE will begin as soon as it can. */
  scheduled = false;
  readonly #server: Server;
  readonly #snapshots: Snapshots;
  readonly #disk: DumpDisk;
  /** The scheduled save is that of an emptied dataset. */
  #owesEmptied = false;
  /** The running save is that of an emptied dataset, or is cancelled for one. */
  #savesEmptied = false;
  /** Somebody waits for the running save. */
  #isAwaited = false;
  #lastTrySeconds = 0;
  /** The running save. */
  #saving: Snapshot | undefined = undefined;
  #savingEnded: Promise<unknown> = Promise.resolve();
  #hasBase = false;
  #baseEnded: Promise<void> = Promise.resolve();
  #saves = 0;

  constructor(server: Server, snapshots: Snapshots, disk: DumpDisk = realDisk) {
    this.#server = server;
    this.#snapshots = snapshots;
    this.#disk = disk;
    this.lastSaveSeconds = this.#nowSeconds();
  }

  /** Whether the last save succeeded; true before the first. */
  get lastSucceeded(): boolean {
    return !this.#server.hasObstacle(Obstacle.SAVE_FAILED);
  }

  /** The snapshot that is being saved, or undefined. */
  get saving(): Snapshot | undefined {
    return this.#saving;
  }

  /** Whether a save, a base or a full sync is on its way: no other save or base can begin. */
  get busy(): boolean {
    return this.#saving !== undefined || this.#snapshots.inProgress !== undefined || this.#hasBase;
  }

  /**
   * Whether a request for a save is refused. Nobody has requested the save of an emptied dataset:
   * other saves begin after it.
   */
  get refusesSaves(): boolean {
    return this.busy && !this.#onlySavesEmptied;
  }

  /**
   * The base of an append only file is being made: what Redis calls another child. The disk may
   * need longer for it than the worker.
   */
  get isRewriting(): boolean {
    return this.#hasBase || this.#snapshots.inProgress?.request.reason === 'aof';
  }

  get #onlySavesEmptied(): boolean {
    const { inProgress } = this.#snapshots;
    return this.#savesEmptied && (inProgress === undefined || inProgress === this.#saving);
  }

  /**
   * The dataset was emptied and is not saved yet. The keys in the dump file must not come back.
   */
  get owesEmptied(): boolean {
    return this.#owesEmptied;
  }

  /** The base of an append only file goes to the disk until `written` settles. */
  baseBegins(written: Promise<void>): void {
    const ended = (): void => {
      this.#hasBase = false;
    };
    this.#hasBase = true;
    this.#baseEnded = written.then(ended, ended);
  }

  /**
   * Begins a save in the background, at once or after that of an emptied dataset. Throws BUSY while
   * {@link refusesSaves}.
   */
  bgsave(): void {
    if (this.busy && this.#onlySavesEmptied) {
      this.scheduled = true;
      return;
    }
    this.scheduled = false;
    const { log } = this.#server;
    const ended = this.#begin();
    log.notice(`Background saving started by pid ${process.pid}`);
    ended.then((end) => {
      if (end === 'saved') log.notice('Background saving terminated with success');
      else
        log.warning(end === 'failed' ? 'Background saving error' : 'Background saving cancelled');
    });
  }

  /**
   * Saves the dataset as it is now, or after the save of an emptied dataset. Throws BUSY while
   * {@link refusesSaves}.
   */
  save(): Promise<SaveEnd> {
    if (this.busy && this.#onlySavesEmptied) {
      return this.#savingEnded.then(() => this.#saveAfterEmptied());
    }
    this.scheduled = false;
    const ended = this.#begin();
    this.#isAwaited = true;
    return ended;
  }

  #saveAfterEmptied(): Promise<SaveEnd> | SaveEnd {
    if (this.busy) return 'failed';
    try {
      return this.save();
    } catch (error) {
      // The node has ended meanwhile.
      if (codeOf(error) !== ErrorCode.CANCELLED) throw error;
      return 'cancelled';
    }
  }

  /**
   * FLUSHALL with save points saves the empty dataset when the unit has ended, so that the old one
   * does not come back with a start. A save in the background is useless then and is cancelled,
   * unless replicas read it too. Returns whether there are save points: the earlier changes count
   * as saved then.
   */
  emptied(): boolean {
    const { config, log } = this.#server;
    if (config.values.save.length === 0) return false;
    const saving = this.#saving;
    if (saving !== undefined && !this.#isAwaited && saving.spool.readerCount <= 1) {
      log.warning('There is a child saving an .rdb. Killing it!');
      saving.cancel();
      this.#savesEmptied = true;
    }
    this.#server.dirty = 0;
    this.#owesEmptied = true;
    this.scheduled = true;
    this.#savingEnded.then(() => setImmediate(() => this.#saveEmptied()));
    return true;
  }

  #saveEmptied(): void {
    try {
      this.tick();
    } catch (error) {
      // The node ends in this turn; its shutdown makes the missing save.
      if (codeOf(error) !== ErrorCode.CANCELLED) throw error;
    }
  }

  /**
   * Ends the save, base or full sync that makes a dump, and waits for that end. The save of an
   * emptied dataset is completed.
   */
  async stopDumps(): Promise<void> {
    this.scheduled = false;
    if (this.#onlySavesEmptied) {
      await this.#savingEnded;
      return;
    }
    const saving = this.#saving;
    const snapshot = this.#snapshots.inProgress;
    if (snapshot !== undefined) {
      if (snapshot === saving)
        this.#server.log.warning('There is a child saving an .rdb. Killing it!');
      snapshot.cancel();
      await new Promise<void>((resolve) => snapshot.onEnd(resolve));
    }
    await this.#savingEnded;
    await this.#baseEnded;
  }

  /** Runs save points and scheduled saves. Called at each tick. */
  tick(): void {
    if (this.#server.loading || this.busy) return;
    const nowSeconds = this.#nowSeconds();
    const mayTry = this.lastSucceeded || nowSeconds - this.#lastTrySeconds > RETRY_SECONDS;
    if (!mayTry) return;
    if (this.scheduled) {
      const savesEmptied = this.#owesEmptied;
      this.bgsave();
      this.#savesEmptied = savesEmptied;
      return;
    }
    const { dirty, config, log } = this.#server;
    for (const { seconds, changes } of config.values.save) {
      if (dirty < changes || nowSeconds - this.lastSaveSeconds <= seconds) continue;
      log.notice(`${changes} changes in ${seconds} seconds. Saving...`);
      this.bgsave();
      return;
    }
  }

  /**
   * The error for commands that write, and for PING, while saves fail; else undefined.
   */
  get writeRefusal(): string | undefined {
    if (this.lastSucceeded) return undefined;
    const { stopWritesOnBgsaveError, save } = this.#server.config.values;
    return stopWritesOnBgsaveError && save.length > 0 ? MISCONF : undefined;
  }

  /** The options of a snapshot for a save, or for the base of an append only file. */
  request(reason: SnapshotRequest['reason']): SnapshotRequest {
    const { rdbVersion, rdbPlainTypes, rdbcompression, rdbchecksum } = this.#server.config.values;
    return {
      dialect: { version: rdbVersion as RdbVersion, plainTypes: rdbPlainTypes },
      filter: DumpFilter.NONE,
      compress: rdbcompression,
      checksum: rdbchecksum,
      reason,
    };
  }

  #begin(): Promise<SaveEnd> {
    if (this.busy) throw new OperatingError(ErrorCode.BUSY, 'a dump is being made');
    const { dir, dbfilename } = this.#server.config.values;
    this.#lastTrySeconds = this.#nowSeconds();
    let snapshot: Snapshot;
    try {
      snapshot = this.#snapshots.start(this.request('bgsave'));
    } catch (error) {
      // The system refuses the memory: like a full disk, it may have some later.
      if (codeOf(error) !== ErrorCode.ARENA_FULL) throw error;
      this.#server.log.warning(`Can't save in background: ${messageOf(error)}`);
      this.#server.setObstacle(Obstacle.SAVE_FAILED, true);
      return Promise.resolve('failed');
    }
    this.#saving = snapshot;
    this.#owesEmptied = false;
    this.#savesEmptied = false;
    this.#isAwaited = false;
    const written = writeDump(snapshot, {
      directory: dir,
      name: dbfilename,
      temporaryName: `temp-${process.pid}-${++this.#saves}.rdb`,
      disk: this.#disk,
    });
    const ended = this.#follow(snapshot, written);
    this.#savingEnded = ended;
    return ended;
  }

  async #follow(snapshot: Snapshot, written: Promise<void>): Promise<SaveEnd> {
    const server = this.#server;
    const { log } = server;
    let end: SaveEnd = 'saved';
    try {
      await written;
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error;
      end = codeOf(error) === ErrorCode.CANCELLED ? 'cancelled' : 'failed';
      if (end === 'failed') log.warning(error.message);
    }
    // After a disk failure, a worker without a reader remains: the next save waits for its end.
    await new Promise<void>((resolve) => snapshot.onEnd(resolve));
    const { touchedBytes, durationMs, freezeMicros } = snapshot.figures;
    this.#saving = undefined;
    this.lastCowBytes = touchedBytes;
    this.lastDurationSeconds = Math.floor(durationMs / MS_PER_SECOND);
    if (end === 'saved') {
      log.notice('DB saved on disk');
      const mb = Math.floor(touchedBytes / BYTES_PER_MB);
      log.notice(`Copy-on-write of the snapshot: ${mb} MB, frozen in ${freezeMicros} microseconds`);
      server.dirty = Math.max(0, server.dirty - snapshot.startDirty);
      this.lastSaveSeconds = this.#nowSeconds();
      server.setObstacle(Obstacle.SAVE_FAILED, false);
      this.saveCount++;
    } else if (end === 'failed') {
      server.setObstacle(Obstacle.SAVE_FAILED, true);
      // The changes to the old dataset are not saved after all.
      if (this.#savesEmptied) server.dirty = Math.max(1, server.dirty);
    }
    this.#savesEmptied = false;
    return end;
  }

  #nowSeconds(): number {
    return Math.floor(this.#server.nowMs / MS_PER_SECOND);
  }
}
