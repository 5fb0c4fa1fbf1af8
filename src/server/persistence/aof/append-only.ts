/**
 * The append only file of a node: its state, its rewrites, and what turns it on and off.
 *
 *         CONFIG SET appendonly yes               base written
 *   OFF ─────────────────────────────▶ BEGINNING ──────────────▶ ON ◀─┐ rewrite: next increment,
 *    ▲                                   │    ▲                  │  └──┘ base from a frozen image
 *    │ CONFIG SET appendonly no          │    │ the stream is    │
 *    └───────────────────────────────────┴────┴──another one ────┘
 *
 * BEGINNING: an increment is written, but the manifest still tells the files before it. The new
 * files become the append only file when their base is complete. A node that ends before comes back
 * with the old ones, which belong together.
 *
 * A rewrite creates the next increment and names it in the manifest, empty. Then one turn moves the
 * journal to it and freezes the dataset. So base and increment meet at one offset. The old base and
 * increments are deleted when the manifest has the new base.
 *
 * Main thread.
 */
import { assert } from '../../../base/assert.ts';
import {
  codeOf,
  ErrorCode,
  messageOf,
  OperatingError,
  systemErrorText,
} from '../../../base/errors.ts';
import { MIB } from '../../../base/units.ts';
import type { CommandForm } from '../../../rdb/save.ts';
import { selectBytes } from '../../../resp/stream.ts';
import { Obstacle, type Server } from '../../server.ts';
import { writeDump } from '../dump-file.ts';
import type { Persistence } from '../persistence.ts';
import type { Snapshot } from '../snapshot.ts';
import type { Snapshots } from '../snapshots.ts';
import { baseLine, endLine, timestampLine } from './annotations.ts';
import type { AofDisk } from './aof-disk.ts';
import { AofFiles } from './aof-files.ts';
import type { AofLoaded } from './aof-load.ts';
import { Journal } from './journal.ts';
import { type AofFile, withBase } from './manifest.ts';

const MS_PER_SECOND = 1000;
/** After this many failures in a row the next automatic rewrite waits, as in Redis. */
const FAILURES_FREE = 3;
const FAILURE_MINUTES_MAX = 60;
/** A first base that failed is tried again after 1, 2, 4 … seconds, and no later than this. */
const RETRY_SECONDS_MAX = 60;
const PERCENT = 100;
/** What a replica's journal may lag behind a stream that nobody can refuse, while its disk fails. */
const LAG_BYTES_MAX = 256 * MIB;
const NO_BYTES = new Uint8Array(0);

export type AofState = 'off' | 'beginning' | 'on';

export interface AppendOnlyParts {
  readonly persistence: Persistence;
  readonly snapshots: Snapshots;
  /** Ends the process: the node cannot keep what it has promised. */
  readonly exit: (code: number) => void;
  readonly disk: AofDisk;
}

export class AppendOnly {
  state: AofState = 'off';
  readonly files: AofFiles;
  readonly journal: Journal;
  /** A rewrite will begin as soon as it can. */
  scheduled = false;
  rewrites = 0;
  failures = 0;
  lastSucceeded = true;
  lastDurationSeconds = -1;
  lastCowBytes = 0;
  baseBytes = 0;
  /** Bytes of base and increments when the last rewrite had ended, or at the start. */
  sizeAtRewrite = 0;
  /** `syncedOffset` has moved: for WAITAOF. */
  onSynced: () => void = () => {};
  /** CONFIG SET appendonly no: nothing more will be synced. */
  onTurnedOff: () => void = () => {};
  /** A step has held the loop, for LATENCY. */
  onStep: (event: string, ms: number) => void = () => {};
  readonly #server: Server;
  readonly #parts: AppendOnlyParts;
  readonly #disk: AofDisk;
  /** Bytes of the increments before the present one. */
  #closedBytes = 0;
  /** An increment that the manifest names, and that is empty. */
  #spare: AofFile | undefined = undefined;
  /** Increments of beginnings that came to nothing. No manifest names them. */
  readonly #unnamed: AofFile[] = [];
  /** The directory of the files; `dir` may have another value meanwhile. */
  #directory = '';
  #rewriting: Promise<void> | undefined = undefined;
  #snapshot: Snapshot | undefined = undefined;
  #startedMs = 0;
  /** The present rewrite makes the first base when the node starts. */
  #isStart = false;
  #failedMs = Number.NEGATIVE_INFINITY;
  /** Steps when the stream becomes another one: a rewrite from before is worth nothing. */
  #generation = 0;

  constructor(server: Server, parts: AppendOnlyParts) {
    const { streamLog, history, clock, log, config } = server;
    this.#server = server;
    this.#parts = parts;
    this.#disk = parts.disk;
    this.files = new AofFiles(() => {
      const { dir, appenddirname, appendfilename } = config.values;
      return { dir, appenddirname, appendfilename };
    }, this.#disk);
    this.journal = new Journal({
      log: streamLog,
      history,
      clock,
      logger: log,
      settings: config.values,
      disk: this.#disk,
      maySync: () => !(config.values.noAppendfsyncOnRewrite && this.isRewriting),
      onStatus: () => server.setObstacle(Obstacle.AOF_FAILED, this.isFailing),
      onLost: () => this.streamLost(),
      onSynced: () => this.onSynced(),
      onStep: (event, ms) => this.onStep(event, ms),
      fatal: (line) => {
        log.warning(line);
        parts.exit(1);
      },
    });
  }

  get isOn(): boolean {
    return this.state !== 'off';
  }

  /** The disk does not take what the file needs. What becomes of a file that is off does not count. */
  get isFailing(): boolean {
    return this.isOn && this.journal.isFailing;
  }

  /** Nothing of the dataset is on disk yet, and a base is on its way. */
  get isOwing(): boolean {
    if (this.state !== 'beginning' || this.failures > 0) return false;
    return this.isRewriting || (this.scheduled && this.#server.streamLog.active);
  }

  get isRewriting(): boolean {
    return this.#rewriting !== undefined;
  }

  /** Milliseconds since the present rewrite began; -1 without one. */
  get rewriteMs(): number {
    return this.isRewriting ? this.#server.clock.monotonicMs() - this.#startedMs : -1;
  }

  /** The stream up to here is on disk and will be loaded again; -1 while it is not. */
  get syncedOffset(): number {
    return this.state === 'on' ? this.journal.syncedOffset : -1;
  }

  /** Bytes of all files that are in use. */
  get currentBytes(): number {
    return this.baseBytes + this.#closedBytes + this.journal.fileBytes;
  }

  /** The refusal of writes, and of PING, while the disk fails; else undefined. */
  get writeRefusal(): string | undefined {
    if (!this.isFailing) return undefined;
    return `MISCONF Errors writing to the AOF file: ${this.journal.failure}`;
  }

  /**
   * Opens the files for writing when the node has loaded them, or has found none. `isReplica` tells
   * that it will follow a primary.
   */
  async openAtStart(loaded: AofLoaded | undefined, isReplica: boolean): Promise<void> {
    const { streamLog, log } = this.#server;
    if (!streamLog.active) streamLog.start(streamLog.endOffset);
    this.#observe();
    if (loaded === undefined) {
      this.state = 'beginning';
      await this.#rewrite('start');
      if (!this.lastSucceeded)
        throw new OperatingError(ErrorCode.IO, "Can't create the append only file. Exiting.");
      return;
    }
    // Whoever wrote them has ended, maybe before the disk had them.
    await this.files.sync();
    let last = this.files.manifest.increments.at(-1);
    let bytes = 0;
    if (last === undefined) {
      last = await this.files.createIncrement();
      await this.files.addIncrement(last);
      log.notice(`Creating AOF incr file ${last.name} on server start`);
    } else {
      bytes = (await this.files.sizeOf(last)) ?? 0;
    }
    await this.files.deleteHistory();
    const select = bytes === 0 ? this.#select(isReplica) : NO_BYTES;
    this.journal.open(this.files.path(last), bytes, select);
    this.baseBytes = loaded.baseBytes;
    this.#closedBytes = loaded.totalBytes - loaded.baseBytes - bytes;
    this.sizeAtRewrite = this.currentBytes;
    this.state = 'on';
  }

  /** CONFIG SET appendonly yes. Returns an error text, or null. */
  turnOn(): string | null {
    if (this.isOn) return null;
    const { streamLog, log } = this.#server;
    try {
      this.#disk.checkDirectory(this.files.directory);
    } catch (error) {
      log.warning(
        `Can't open or create append-only dir ${this.files.directory}: ${systemErrorText(error)}`,
      );
      return 'Unable to turn on AOF. Check server logs.';
    }
    if (!streamLog.active) streamLog.start(streamLog.endOffset);
    this.#observe();
    this.state = 'beginning';
    this.failures = 0;
    this.scheduled = true;
    if (this.#parts.persistence.busy) {
      log.notice(
        'AOF was enabled but there is already another background operation. An AOF background was ' +
          'scheduled to start when possible.',
      );
    }
    setImmediate(() => this.#runScheduled());
    return null;
  }

  /**
   * Waits for the present rewrite, and writes what the log has. Returns whether the files hold all
   * that was streamed; without an append only file they hold what they hold.
   */
  async settled(): Promise<boolean> {
    while (this.#rewriting !== undefined) await this.#rewriting;
    if (this.state === 'beginning') return false;
    this.journal.flush(true);
    return this.journal.waitingBytes === 0;
  }

  /** CONFIG SET dir: the append only file begins again in the new directory. */
  directoryChanged(): void {
    if (this.files.directory !== this.#directory) this.streamLost();
  }

  /** CONFIG SET appendonly no. The files stay. */
  turnOff(): void {
    if (!this.isOn) return;
    if (this.isRewriting) this.#server.log.notice('Killing running AOF rewrite child');
    this.#abandon();
    // Before the last sync: those who wait for it get an error, as in Redis.
    this.onTurnedOff();
    this.journal.close(true);
    this.state = 'off';
    this.scheduled = false;
    this.#server.onBeforeReplies = undefined;
    this.#server.setObstacle(Obstacle.AOF_FAILED, false);
  }

  /**
   * The log is about to end, or the dataset to change without it: what was written so far belongs
   * together, and a new base begins when there is a stream again. To be called before the log is
   * dropped.
   */
  streamLost(): void {
    if (!this.isOn) return;
    this.#abandon();
    this.journal.close(false);
    this.state = 'beginning';
    this.scheduled = true;
    setImmediate(() => this.#runScheduled());
  }

  /**
   * The log drops bytes that may be in no file yet, within an append. The files so far belong
   * together; a new base begins soon.
   */
  streamRefused(): void {
    if (!this.isOn) return;
    this.#abandon();
    this.journal.abandon();
    this.state = 'beginning';
    this.scheduled = true;
  }

  /** BGREWRITEAOF. Returns whether the rewrite begins now; else it is scheduled. */
  rewriteSoon(): boolean {
    assert(!this.isRewriting, 'one rewrite at a time');
    if (this.#parts.persistence.busy) {
      this.scheduled = true;
      return false;
    }
    this.#rewrite();
    return true;
  }

  /** Called at each tick. */
  tick(): void {
    if (!this.isOn) return;
    this.journal.tick();
    if (this.journal.waitingBytes > LAG_BYTES_MAX) {
      this.#server.log.warning(
        'The disk takes nothing of the append only file: it begins again when it does',
      );
      this.streamLost();
    }
    this.#runScheduled();
    if (this.state !== 'on' || this.isRewriting || this.#parts.persistence.busy) return;
    if (this.#server.loading) return;
    if (this.journal.isBroken) this.#replaceBroken();
    else this.#grow();
  }

  /** The node ends: all that was streamed goes to the disk. */
  async close(): Promise<void> {
    if (!this.isOn) return;
    if (this.isRewriting)
      this.#server.log.warning('There is a child rewriting the AOF. Killing it!');
    this.#abandon();
    await this.#rewriting;
    if (this.journal.isOpen) this.#server.log.notice('Calling fsync() on the AOF file.');
    this.journal.close(this.state === 'on');
    this.state = 'off';
  }

  #observe(): void {
    this.#directory = this.files.directory;
    this.#server.onBeforeReplies = () => this.journal.beforeReplies();
  }

  /** What a file of a replica begins with. A primary streams a SELECT by itself. */
  #select(isReplica = this.#server.isReplica): Uint8Array {
    const { database } = this.#server.position;
    return isReplica && database > 0 ? selectBytes(database) : NO_BYTES;
  }

  #runScheduled(): void {
    const { persistence } = this.#parts;
    const { loading, streamLog, clock } = this.#server;
    if (!this.scheduled || !this.isOn || this.isRewriting || persistence.busy || loading) return;
    const pauseMs = Math.min(2 ** (this.failures - 1), RETRY_SECONDS_MAX) * MS_PER_SECOND;
    if (this.failures > 0 && clock.monotonicMs() - this.#failedMs < pauseMs) return;
    // After a full sync that failed a replica has no stream; a primary makes one.
    if (!streamLog.active && (this.#server.isReplica || !this.#startStream())) return;
    this.#rewrite();
  }

  /** False when the system refuses the memory: it is asked again later. */
  #startStream(): boolean {
    const { streamLog } = this.#server;
    try {
      streamLog.start(streamLog.endOffset);
      return true;
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error;
      this.#failed(error);
      return false;
    }
  }

  /** Begins a rewrite because a sync has failed: what the file holds is not sure. */
  #replaceBroken(): void {
    if (this.#isLimited) return;
    this.#server.log.warning('Starting a rewrite of the AOF: what a failed fsync left is not sure');
    this.#rewrite();
  }

  get #isLimited(): boolean {
    if (this.failures < FAILURES_FREE) return false;
    const minutes = Math.min(2 ** (this.failures - FAILURES_FREE), FAILURE_MINUTES_MAX);
    return this.#server.clock.monotonicMs() - this.#failedMs < minutes * 60 * MS_PER_SECOND;
  }

  /** Begins a rewrite when the file has grown by `auto-aof-rewrite-percentage`. */
  #grow(): void {
    const { config, log } = this.#server;
    const { autoAofRewritePercentage, autoAofRewriteMinSize } = config.values;
    const { currentBytes } = this;
    if (autoAofRewritePercentage === 0 || currentBytes <= autoAofRewriteMinSize) return;
    const base = Math.max(1, this.sizeAtRewrite);
    const growth = Math.floor((currentBytes * PERCENT) / base - PERCENT);
    if (growth < autoAofRewritePercentage) return;
    if (this.#isLimited) return;
    log.notice(`Starting automatic rewriting of AOF on ${growth}% growth`);
    this.#rewrite();
  }

  /** At the start it makes the first base, which does not count. */
  #rewrite(when: 'start' | 'later' = 'later'): Promise<void> {
    this.scheduled = false;
    this.#isStart = when === 'start';
    this.#startedMs = this.#server.clock.monotonicMs();
    const running = this.#rewriteOnce();
    this.#rewriting = running;
    return running;
  }

  async #rewriteOnce(): Promise<void> {
    const { log, clock } = this.#server;
    const generation = this.#generation;
    let isDone = false;
    try {
      isDone = await this.#makeBase(generation);
      if (!isDone) this.scheduled = this.isOn;
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error;
      if (error.code !== ErrorCode.CANCELLED) this.#failed(error);
      this.scheduled = this.state === 'beginning';
    } finally {
      this.#rewriting = undefined;
      this.#snapshot = undefined;
    }
    if (!isDone || this.#isStart) return;
    this.rewrites++;
    this.failures = 0;
    this.lastSucceeded = true;
    this.lastDurationSeconds = Math.floor((clock.monotonicMs() - this.#startedMs) / MS_PER_SECOND);
    log.notice('Background AOF rewrite finished successfully');
  }

  #failed(error: OperatingError): void {
    const { log, clock } = this.#server;
    this.#failedMs = clock.monotonicMs();
    this.failures++;
    this.lastSucceeded = false;
    log.warning(`Background AOF rewrite terminated with error: ${error.message}`);
  }

  /** False when it cannot begin now: another dump is being made. */
  async #makeBase(generation: number): Promise<boolean> {
    const { log, streamLog, config } = this.#server;
    const { persistence } = this.#parts;
    const { files } = this;
    this.#directory = files.directory;
    if (this.state === 'beginning') {
      // Files of earlier times keep their names until they are replaced.
      await files.read();
      this.#spare = undefined;
    }
    // One that the journal still writes to is not to be created again.
    const first = this.#spare ?? (await files.createIncrement(this.#unnamed.at(-1)?.seq));
    if (this.state === 'on' && this.#spare === undefined) {
      this.#spare = first;
      await files.addIncrement(first);
    }
    this.#check(generation);
    if (persistence.busy || !streamLog.active) return false;
    // One turn from here to the snapshot.
    const base = files.nextBase(config.values.aofUseRdbPreamble ? 'rdb' : 'aof');
    const when = this.#isStart ? 'server start' : 'background rewrite';
    if (this.#isStart) log.notice(`Creating AOF base file ${base.name} on ${when}`);
    log.notice(`Creating AOF incr file ${first.name} on ${when}`);
    const snapshot = this.#freeze(first);
    this.#snapshot = snapshot;
    if (!this.#isStart)
      log.notice(`Background append only file rewriting started by pid ${process.pid}`);
    const temporaryName = `temp-rewriteaof-bg-${process.pid}.aof`;
    const written = writeDump(snapshot, {
      directory: files.directory,
      name: base.name,
      temporaryName,
      disk: this.#disk,
    });
    persistence.baseBegins(written);
    await written;
    this.lastCowBytes = snapshot.figures.touchedBytes;
    this.#check(generation);
    if (!this.#isStart) {
      log.notice('Background AOF rewrite terminated with success');
      log.notice(
        `Successfully renamed the temporary AOF base file ${temporaryName} into ${base.name}`,
      );
    }
    await this.#adopt(base, first, snapshot.spool.producedBytes, generation);
    return true;
  }

  /** Moves the journal to `first` and freezes the dataset, in one turn. */
  #freeze(first: AofFile): Snapshot {
    const { persistence, snapshots } = this.#parts;
    const { config } = this.#server;
    const path = this.files.path(first);
    const before = this.journal.fileBytes;
    try {
      if (!this.journal.isOpen) {
        this.journal.open(path, 0, this.#select());
      } else if (this.journal.moveTo(path, this.#select())) {
        this.#closedBytes += before;
      } else {
        throw new OperatingError(ErrorCode.IO, 'the present increment cannot be completed');
      }
    } catch (error) {
      if (error instanceof OperatingError || codeOf(error) === undefined) throw error;
      throw new OperatingError(ErrorCode.IO, `${first.name}: ${messageOf(error)}`);
    }
    if (this.#spare === first) this.#spare = undefined;
    else this.#unnamed.push(first);
    const request = persistence.request('aof');
    if (config.values.aofUseRdbPreamble) return snapshots.start(request);
    return snapshots.start({ ...request, commands: this.#commandForm() });
  }

  /** What stands around the commands of a base that begins now. */
  #commandForm(): CommandForm {
    const { position, config, nowMs } = this.#server;
    const { replid, offset, database } = position;
    const { aofTimestampEnabled } = config.values;
    const time = aofTimestampEnabled ? timestampLine(Math.floor(nowMs / MS_PER_SECOND)) : '';
    return {
      firstLines: baseLine(replid, offset, database) + time,
      lastLines: endLine(offset),
    };
  }

  /** The base is complete: it and the increments from `first` on are the append only file now. */
  async #adopt(
    base: AofFile,
    first: AofFile,
    baseBytes: number,
    generation: number,
  ): Promise<void> {
    const { files } = this;
    const { manifest } = files;
    // Those that came to nothing are history like those that are replaced.
    const increments = [
      ...manifest.increments.filter(({ seq }) => this.#unnamed.every((file) => file.seq !== seq)),
      ...this.#unnamed,
    ];
    await files.persist(withBase({ ...manifest, increments }, base, first));
    this.#unnamed.length = 0;
    // The files belong together; but the journal may have left them while the disk was busy.
    this.#check(generation);
    this.journal.replaced();
    this.baseBytes = baseBytes;
    this.#closedBytes = 0;
    this.sizeAtRewrite = this.currentBytes;
    this.state = 'on';
    this.onSynced();
    if (this.#server.config.values.aofDisableAutoGc) return;
    for (const { name } of files.manifest.history)
      this.#server.log.notice(`Removing the history file ${name} in the background`);
    try {
      await files.deleteHistory();
    } catch (error) {
      if (codeOf(error) === undefined) throw error;
      this.#server.log.warning(`Removing the replaced AOF files: ${messageOf(error)}`);
    }
  }

  /** The stream has become another one meanwhile, or the file was turned off. */
  #check(generation: number): void {
    if (generation !== this.#generation)
      throw new OperatingError(ErrorCode.CANCELLED, 'the rewrite is not needed any more');
  }

  /** Ends a rewrite that runs; its files are left to the next one. */
  #abandon(): void {
    this.#generation++;
    this.#snapshot?.cancel();
  }
}
