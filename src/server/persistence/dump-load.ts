/**
 * Loads a dump file into the node: at its start, and for DEBUG RELOAD. A worker parses it into a
 * new dataset, which then takes the place of the old one.
 *
 * At the start the sockets are open already; clients get -LOADING, INFO shows the progress. A file
 * that cannot be loaded is left as it is, and the start fails.
 *
 * A primary continues the history that the dump describes, so replicas from before the start may
 * continue. They must then receive the deletions of keys that expired meanwhile, so these keys are
 * kept here and expire as all others do.
 */
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, ErrorCode, OperatingError, systemErrorText } from '../../base/errors.ts';
import { asOffset, KIB } from '../../base/units.ts';
import { encodingLimits } from '../../keyspace/encoding-limits.ts';
import { SPECIAL_STRING, StringForm } from '../../rdb/opcodes.ts';
import type { ReplicationAux } from '../../rdb/save.ts';
import { type Loaded, LoadJob, type LoadPool } from '../../workers/load-job.ts';
import { fatalLoadLine, logLoaded } from '../load-log.ts';
import type { Server } from '../server.ts';
import type { LoadView } from '../snapshot-source.ts';

/** The first bytes of a dump hold its fields about itself. */
const HEAD_BYTES = 4 * KIB;
const USED_MEMORY = '\x08used-mem';
const MS_PER_SECOND = 1000;

/** The files of an append only file, on their way. */
export interface ReplayProgress {
  readonly totalBytes: number;
  readonly doneBytes: () => number;
  readonly cancel: () => void;
}

export interface DumpLoadParts {
  readonly pool: LoadPool;
  /** Takes over the function libraries of a dump. */
  readonly takeFunctions: (libraries: readonly Uint8Array[]) => void;
}

export class DumpLoad {
  /** Of the last load. */
  keysLoaded = 0;
  keysExpired = 0;
  readonly #server: Server;
  readonly #parts: DumpLoadParts;
  #job: LoadJob | undefined = undefined;
  #replay: ReplayProgress | undefined = undefined;
  #startMs = 0;
  #startMonotonicMs = 0;
  #totalBytes = 0;
  #usedMemoryBytes = 0;

  constructor(server: Server, parts: DumpLoadParts) {
    this.#server = server;
    this.#parts = parts;
  }

  /** The running load, or undefined. */
  get view(): LoadView | undefined {
    const job = this.#job;
    const replay = this.#replay;
    if (job === undefined && replay === undefined) return undefined;
    return {
      startSeconds: Math.floor(this.#startMs / MS_PER_SECOND),
      totalBytes: replay?.totalBytes ?? this.#totalBytes,
      usedMemoryBytes: this.#usedMemoryBytes,
      loadedBytes: (replay?.doneBytes() ?? 0) + (job?.control.bytesDone ?? 0),
      elapsedSeconds: (this.#server.clock.monotonicMs() - this.#startMonotonicMs) / MS_PER_SECOND,
    };
  }

  /**
   * Loads the dump file when the node starts; does nothing without one. Rejects when the file
   * cannot be loaded.
   */
  async atStart(isReplica: boolean): Promise<Loaded | undefined> {
    const server = this.#server;
    const { log, config } = server;
    const path = join(config.values.dir, config.values.dbfilename);
    // From the first turn on: a client that connects before the file is found must not see an empty
    // dataset.
    server.loading = true;
    try {
      if (config.values.dbfilename === '' || !(await exists(path))) return undefined;
      const continues = !isReplica && (await headOf(path)).includes('repl-id');
      const loaded = await this.#load(path, isReplica || continues);
      const { replication } = loaded.result.aux;
      if (replication !== undefined) {
        if (continues) this.#goOn(replication.replid, replication.offset);
        else if (isReplica) this.#resume(replication);
      }
      this.#take(loaded);
      const seconds = (server.clock.monotonicMs() - this.#startMonotonicMs) / MS_PER_SECOND;
      log.notice(`DB loaded from disk: ${seconds.toFixed(3)} seconds`);
      return loaded;
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error;
      log.warning(`Error loading ${path}: ${error.message}`);
      const line = fatalLoadLine(error.code);
      if (line !== undefined) log.warning(line);
      throw new OperatingError(
        error.code,
        'Fatal error loading the DB, check server logs. Exiting.',
      );
    } finally {
      server.loading = false;
    }
  }

  /**
   * Replaces the dataset by that of the dump file, and leaves the history alone. Expired keys are
   * kept: the primary, here or above, streams their deletion. Returns the stream that the dump
   * tells. Rejects when the file cannot be loaded.
   */
  async replaceFromFile(): Promise<ReplicationAux | undefined> {
    const { dir, dbfilename } = this.#server.config.values;
    const loaded = await this.#load(join(dir, dbfilename), true);
    this.#take(loaded);
    this.#server.dirty = 0;
    return loaded.result.aux.replication;
  }

  /**
   * Loads the dump that an append only file begins with. Expired keys are kept: their deletion may
   * be among the commands that follow.
   */
  async loadBase(path: string): Promise<Loaded> {
    const loaded = await this.#load(path, true);
    this.#take(loaded);
    return loaded;
  }

  /** A load of other kind is on its way; INFO shows it. Returns what to call at its end. */
  replays(progress: ReplayProgress): () => void {
    const { clock } = this.#server;
    this.#replay = progress;
    this.#startMs = clock.nowMs();
    this.#startMonotonicMs = clock.monotonicMs();
    return () => {
      this.#replay = undefined;
    };
  }

  collectWorker(): void {
    this.#parts.pool.collect();
  }

  /** Stops a load, which then rejects with CANCELLED. */
  async close(): Promise<void> {
    this.#job?.cancel();
    this.#replay?.cancel();
    await this.#parts.pool.close();
  }

  async #load(path: string, keepExpired: boolean): Promise<Loaded> {
    const server = this.#server;
    const { config, clock, log, hashKey, accessClock } = server;
    clock.tick();
    this.#startMs = clock.nowMs();
    this.#startMonotonicMs = clock.monotonicMs();
    this.#totalBytes = await sizeOf(path);
    this.#usedMemoryBytes = usedMemoryOf(await headOf(path));
    const plan = {
      databaseCount: config.values.databases,
      hashKey,
      options: {
        nowMs: clock.nowMs(),
        keepExpired,
        verifyChecksum: config.values.rdbchecksum,
        accessClock,
        limits: encodingLimits(config.values),
      },
    };
    this.#job = new LoadJob(this.#parts.pool, plan, { kind: 'file', path }, server.memory);
    try {
      const loaded = await this.#job.finished;
      clock.tick();
      logLoaded(log, loaded.result, clock.nowMs());
      return loaded;
    } finally {
      this.#job = undefined;
    }
  }

  /** Replaces the libraries of functions. */
  takeFunctions(libraries: readonly Uint8Array[]): void {
    this.#parts.takeFunctions(libraries);
  }

  #take(loaded: Loaded): void {
    const { functions, keysLoaded, keysExpired } = loaded.result;
    this.keysLoaded = keysLoaded;
    this.keysExpired = keysExpired;
    this.#server.replaceKeyspace(loaded.keyspace);
    this.#parts.takeFunctions(functions);
  }

  /** Continues as a replica at the dump's offset: the next PSYNC asks for the bytes after it. */
  #resume({ replid, offset, streamDb }: ReplicationAux): void {
    const { history, streamLog, feed } = this.#server;
    history.adopt(replid);
    streamLog.start(asOffset(offset));
    // The replicas of the primary begin with the database that the stream had selected.
    feed.selectedDb = streamDb;
  }

  /** Continues after the history of the dump, under a new id. */
  #goOn(replid: string, offset: number): void {
    const { history, streamLog } = this.#server;
    history.restore(replid, asOffset(offset));
    streamLog.start(asOffset(offset));
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    // The file exists and cannot be inspected: reading it will report the reason.
    if (codeOf(error) !== undefined) return true;
    throw error;
  }
}

async function sizeOf(path: string): Promise<number> {
  return await onFile(path, async () => (await stat(path)).size);
}

/**
 * The first bytes of a dump. They give a guess, before the load, whether the dump has a replication
 * history, and how much memory its dataset took. Only the loader's results count later.
 */
async function headOf(path: string): Promise<Buffer> {
  return await onFile(path, async () => {
    const file = await open(path, 'r');
    try {
      const head = Buffer.alloc(HEAD_BYTES);
      const { bytesRead } = await file.read(head, 0, HEAD_BYTES, 0);
      return head.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  });
}

/** The field `used-mem`: a string of digits, or an integer of one, two or four bytes. */
function usedMemoryOf(head: Buffer): number {
  const at = head.indexOf(USED_MEMORY);
  if (at < 0) return 0;
  const value = head.subarray(at + USED_MEMORY.length);
  const form = value[0] ?? 0;
  switch (form) {
    case SPECIAL_STRING | StringForm.INT8:
      return value.readInt8(1);
    case SPECIAL_STRING | StringForm.INT16:
      return value.readInt16LE(1);
    case SPECIAL_STRING | StringForm.INT32:
      return value.readInt32LE(1);
    default:
      return Number(value.toString('latin1', 1, 1 + form)) || 0;
  }
}

async function onFile<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    // An error without a code is a fault of the program, which is thrown again.
    throw new OperatingError(ErrorCode.IO, `${path}: ${systemErrorText(error)}`);
  }
}
