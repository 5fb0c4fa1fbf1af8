/**
 * Loads the append only file when the node starts: the base, a dump in a worker and commands here,
 * then the increments.
 *
 *   manifest ─▶ base (offset and id of its stream) ─▶ increments (the stream after it)
 *                                                            │
 *            ┌───────────────────────────────────────────────┘
 *            ▼
 *   a primary goes on under a new id; the old id is its second one, good for what the files hold
 *   a replica goes on where the files end: its primary sends the rest, when it can
 *
 * What can end early, and what happens (with `aof-load-truncated yes`):
 *
 *   inside of the last file's last unit    the unit is cut off, and the node starts
 *   in a file before the last one, where   the same; the later files follow bytes that are lost:
 *   the later ones are this program's      nobody was told that they are on disk; they are set aside
 *   in another file                        the start ends, as in Redis
 *   bytes that are no commands             the start ends, with their position
 *
 * Main thread.
 */
import { open } from 'node:fs/promises';
import { ErrorCode, OperatingError, systemErrorText } from '../../../base/errors.ts';
import { asOffset } from '../../../base/units.ts';
import type { Dispatcher } from '../../dispatch/dispatcher.ts';
import type { Server } from '../../server.ts';
import type { DumpLoad } from '../dump-load.ts';
import type { AofFiles } from './aof-files.ts';
import type { AofFile } from './manifest.ts';
import { Replay, type ReplayEnd, type StreamKnowledge } from './replay.ts';

const MS_PER_SECOND = 1000;
const HEAD_BYTES = 16;

export interface AofLoadParts {
  readonly files: AofFiles;
  readonly dumpLoad: DumpLoad;
  readonly dispatcher: Dispatcher;
}

/** Bytes that the files have, for the growth that a rewrite is due at. */
export interface AofLoaded {
  readonly baseBytes: number;
  readonly totalBytes: number;
  readonly selectedDb: number;
}

/** For a file that cannot be used; the start ends. */
class Unusable extends OperatingError {}

/**
 * Loads the append only file; undefined when there is none. Rejects when it cannot be loaded. The
 * node is loading meanwhile, which the caller tells it.
 */
export async function loadAppendOnlyFile(
  server: Server,
  parts: AofLoadParts,
  isReplica: boolean,
): Promise<AofLoaded | undefined> {
  const { files } = parts;
  const { log, clock } = server;
  const startMs = clock.monotonicMs();
  server.deletesExpired = false;
  try {
    if (!(await found(files))) return undefined;
    const loaded = await new AofLoad(server, parts).run(isReplica);
    clock.tick();
    const seconds = (clock.monotonicMs() - startMs) / MS_PER_SECOND;
    log.notice(`DB loaded from append only file: ${seconds.toFixed(3)} seconds`);
    return loaded;
  } catch (error) {
    if (!(error instanceof OperatingError)) throw error;
    if (error.code === ErrorCode.CANCELLED) throw error;
    for (const line of error.message.split('\n')) log.warning(line);
    throw new OperatingError(error.code, 'Fatal error loading the DB, check server logs. Exiting.');
  } finally {
    server.deletesExpired = true;
  }
}

/**
 * DEBUG LOADAOF: loads the files into the dataset, in place of what it holds. The stream stays as it
 * is. The caller sees to it that nothing else changes the dataset or the files. Returns false, and
 * changes nothing, when there are no files. Rejects when they cannot be loaded: then a part of the
 * dataset is missing.
 */
export async function loadAppendOnlyFileAgain(
  server: Server,
  parts: AofLoadParts,
): Promise<boolean> {
  if (!(await parts.files.read())) return false;
  const { deletesExpired } = server;
  server.deletesExpired = false;
  server.loading = true;
  try {
    server.flushAll();
    await new AofLoad(server, parts).again();
    server.dirty = 0;
    server.log.warning('Append Only File loaded by DEBUG LOADAOF');
    return true;
  } finally {
    server.loading = false;
    server.deletesExpired = deletesExpired;
  }
}

async function found(files: AofFiles): Promise<boolean> {
  const hasManifest = await files.read();
  const { base, increments } = files.manifest;
  // An upgrade that was cut off before its last step.
  const isHalf =
    hasManifest &&
    base?.name === files.prefix &&
    increments.length === 0 &&
    (await files.sizeOf(base)) === undefined;
  if (isHalf || !hasManifest) return (await files.upgrade()) || hasManifest;
  return base !== undefined || increments.length > 0;
}

class AofLoad {
  readonly #server: Server;
  readonly #files: AofFiles;
  readonly #dumpLoad: DumpLoad;
  readonly #dispatcher: Dispatcher;
  #knownBytes = 0;
  #doneBytes = 0;

  constructor(server: Server, { files, dumpLoad, dispatcher }: AofLoadParts) {
    this.#server = server;
    this.#files = files;
    this.#dumpLoad = dumpLoad;
    this.#dispatcher = dispatcher;
  }

  async run(isReplica: boolean): Promise<AofLoaded> {
    const server = this.#server;
    const { history, streamLog, feed } = server;
    const knowledge = { replid: '', isTrusted: false, isStream: true };
    const { baseBytes, selectedDb } = await this.#all(knowledge);
    server.dirty = 0;
    const totalBytes = this.#doneBytes;
    if (knowledge.isTrusted && isReplica) history.adopt(knowledge.replid);
    else if (knowledge.isTrusted) history.restore(knowledge.replid, streamLog.endOffset);
    else history.renew();
    // The replicas of the primary begin with the database that the stream had selected.
    if (isReplica) feed.selectedDb = selectedDb;
    return { baseBytes, totalBytes, selectedDb };
  }

  /** As {@link run}, for a node that has its stream. */
  async again(): Promise<void> {
    await this.#all({ replid: '', isTrusted: false, isStream: false });
  }

  async #all(knowledge: StreamKnowledge): Promise<Omit<AofLoaded, 'totalBytes'>> {
    const server = this.#server;
    const { streamLog } = server;
    const { base, increments } = this.#files.manifest;
    const baseBytes = base === undefined ? 0 : await this.#sizeOf(base);
    this.#knownBytes = baseBytes;
    for (const increment of increments) this.#knownBytes += await this.#sizeOf(increment);
    const replay = new Replay(server, this.#dispatcher, knowledge, (bytes) => {
      this.#doneBytes += bytes;
    });
    // What the files hold comes in the place of it.
    this.#dumpLoad.takeFunctions([]);
    const endProgress = this.#dumpLoad.replays({
      totalBytes: this.#knownBytes,
      doneBytes: () => this.#doneBytes,
      cancel: () => {
        replay.isCancelled = true;
      },
    });
    try {
      if (base !== undefined) await this.#base(base, baseBytes, replay, increments.length > 0);
      if (knowledge.isStream && !streamLog.active) streamLog.start(asOffset(0));
      await this.#increments(increments, replay);
    } finally {
      endProgress();
    }
    return { baseBytes, selectedDb: replay.selectedDb };
  }

  async #base(base: AofFile, bytes: number, replay: Replay, hasIncrements: boolean): Promise<void> {
    const { log, streamLog } = this.#server;
    const startMs = this.#nowMs();
    const path = this.#files.path(base);
    let from = 0;
    if (await isDump(path)) {
      const { result } = await this.#dumpLoad.loadBase(path);
      const { replication } = result.aux;
      if (replication !== undefined && replay.knowledge.isStream) {
        streamLog.start(asOffset(replication.offset));
        replay.knowledge.replid = replication.replid;
        replay.knowledge.isTrusted = true;
        replay.selectedDb = replication.streamDb;
      }
      this.#doneBytes += result.bytes;
      from = result.bytes;
    }
    if (bytes === 0) replay.emptyBase();
    if (from < bytes) {
      // Commands, all of the file or behind a dump.
      if (replay.knowledge.isStream && !streamLog.active) streamLog.start(asOffset(0));
      const end = await replay.base(path, from);
      if (end.validBytes < end.fileBytes) {
        // As in Redis. A base is complete before the manifest names it.
        if (hasIncrements) throw truncatedEarly();
        await this.#truncate(base, end, []);
      }
    }
    const seconds = (this.#nowMs() - startMs) / MS_PER_SECOND;
    log.notice(`DB loaded from base file ${base.name}: ${seconds.toFixed(3)} seconds`);
  }

  async #increments(increments: readonly AofFile[], replay: Replay): Promise<void> {
    const { log } = this.#server;
    for (const [index, increment] of increments.entries()) {
      const startMs = this.#nowMs();
      const later = increments.slice(index + 1);
      let end: ReplayEnd;
      try {
        end = await replay.file(this.#files.path(increment));
      } catch (error) {
        if (!(error instanceof OperatingError) || error.code !== ErrorCode.SHORT) throw error;
        // The file before this one has lost its end.
        await this.#setAside([increment, ...later], error.message);
        return;
      }
      if (end.validBytes < end.fileBytes) {
        await this.#truncate(increment, end, later);
        if (later.length > 0) return;
      }
      const seconds = (this.#nowMs() - startMs) / MS_PER_SECOND;
      log.notice(`DB loaded from incr file ${increment.name}: ${seconds.toFixed(3)} seconds`);
    }
  }

  /** The file ends inside of a unit. */
  async #truncate(file: AofFile, end: ReplayEnd, later: readonly AofFile[]): Promise<void> {
    const { log, config } = this.#server;
    const what = end.inTransaction
      ? `Revert incomplete MULTI/EXEC transaction in AOF file ${file.name}`
      : `!!! Warning: short read while loading the AOF file ${file.name}!!!`;
    if (!config.values.aofLoadTruncated) {
      throw new Unusable(
        ErrorCode.SHORT,
        `Unexpected end of file reading the append only file ${file.name} at byte ${end.validBytes}. You can: ` +
          '1) Make a backup of your AOF file, then use ./redis-check-aof --fix <filename.manifest>. 2) Alternatively ' +
          "you can set the 'aof-load-truncated' configuration option to yes and restart the server.",
      );
    }
    for (const next of later) {
      if (!(await isOwn(this.#files.path(next)))) throw truncatedEarly();
    }
    log.warning(what);
    log.warning(`!!! Truncating the AOF ${file.name} at offset ${end.validBytes} !!!`);
    await this.#files.truncate(file, end.validBytes);
    log.warning(`AOF ${file.name} loaded anyway because aof-load-truncated is enabled`);
    const withData = [];
    for (const next of later) if ((await this.#sizeOf(next)) > 0) withData.push(next);
    if (withData.length > 0) await this.#setAside(later, `${file.name} has lost its end`);
  }

  /** Increments that follow bytes that are lost. */
  async #setAside(increments: readonly AofFile[], reason: string): Promise<void> {
    const { log, config } = this.#server;
    if (!config.values.aofLoadTruncated)
      throw new Unusable(ErrorCode.SHORT, `A part of the append only file is missing: ${reason}`);
    const { manifest } = this.#files;
    const lost = new Set(increments.map(({ name }) => name));
    await this.#files.persist({
      ...manifest,
      increments: manifest.increments.filter(({ name }) => !lost.has(name)),
    });
    for (const increment of increments) {
      const name = await this.#files.setAside(increment);
      log.warning(
        `A part of the append only file is missing (${reason}): see ${name} for what follows`,
      );
    }
  }

  async #sizeOf(file: AofFile): Promise<number> {
    const bytes = await this.#files.sizeOf(file);
    if (bytes !== undefined) return bytes;
    throw new Unusable(
      ErrorCode.IO,
      `The AOF file ${file.name} doesn't exist, or cannot be opened for reading`,
    );
  }

  #nowMs(): number {
    return this.#server.clock.monotonicMs();
  }
}

const truncatedEarly = (): Unusable =>
  new Unusable(ErrorCode.CORRUPT, 'Fatal error: the truncated file is not the last file');

/** Whether a base is a dump, by its first bytes. */
const isDump = async (path: string): Promise<boolean> =>
  /^(?:REDIS|VALKEY)/.test(await headOf(path));

/** Whether an increment is empty, or was begun by this program. */
async function isOwn(path: string): Promise<boolean> {
  const head = await headOf(path);
  return head === '' || '#headwater:at '.startsWith(head.slice(0, '#headwater:at '.length));
}

async function headOf(path: string): Promise<string> {
  try {
    const file = await open(path, 'r');
    try {
      const head = Buffer.alloc(HEAD_BYTES);
      const { bytesRead } = await file.read(head, 0, HEAD_BYTES, 0);
      return head.toString('latin1', 0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw new Unusable(ErrorCode.IO, `${path}: ${systemErrorText(error)}`);
  }
}
