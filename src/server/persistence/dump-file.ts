/**
 * Writes the dump of a snapshot to a file: one more reader of the spool.
 *
 *   temp-<pid>-<n>.rdb ── all bytes ── fsync ── rename to dump.rdb ── fsync of the directory
 *
 * The old file is untouched until the rename. If anything fails before it, the temporary file is
 * removed. Main thread; the threads of the file system do the work. The worker waits for the disk
 * when the disk is slower.
 */
import { open, rename, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { codeOf, ErrorCode, OperatingError, systemErrorText } from '../../base/errors.ts';
import { MIB } from '../../base/units.ts';
import { ReaderNeed } from '../snapshot-source.ts';
import type { Snapshot } from './snapshot.ts';
import type { SpoolReader } from './spool.ts';

const WRITE_BYTES_MAX = MIB;

export interface DumpHandle {
  write(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The file system, as far as a save needs it; tests pass one that fails. */
export interface DumpDisk {
  create(path: string): Promise<DumpHandle>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
}

export const realDisk: DumpDisk = {
  create: (path) => open(path, 'w', 0o644),
  rename,
  unlink,
  syncDirectory: async (path) => {
    const directory = await open(path, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
};

export interface DumpPlan {
  readonly directory: string;
  /** The final name of the file. */
  readonly name: string;
  readonly temporaryName: string;
  readonly disk: DumpDisk;
}

/**
 * Writes the dump of `snapshot`, which has just been started, according to `plan`. Rejects with an
 * operating error: the snapshot's error when it failed, or IO in Redis' words.
 */
export async function writeDump(snapshot: Snapshot, plan: DumpPlan): Promise<void> {
  const { directory, name, temporaryName, disk } = plan;
  const data = new DumpStream(snapshot);
  const path = join(directory, temporaryName);
  try {
    const file = await onDisk(
      () => disk.create(path),
      `Failed opening the temp RDB file ${temporaryName} (in server root dir ${directory}) for saving`,
    );
    try {
      await copyTo(file, data);
      await onDisk(() => file.sync(), writeError('fsync'));
    } finally {
      await onDisk(() => file.close(), writeError('fclose'));
    }
    // The last byte alone does not prove that the worker has ended well.
    await data.finished();
    await onDisk(
      () => disk.rename(path, join(directory, name)),
      `Error moving temp DB file ${temporaryName} on the final destination ${name} (in server root dir ${directory})`,
    );
  } catch (error) {
    await removeQuietly(disk, path);
    throw error;
  } finally {
    data.close();
  }
  await onDisk(() => disk.syncDirectory(directory), writeError('fsyncFileDir'));
}

/** Redis' words, with its name for the step. */
const writeError = (step: string): string => `Write error saving DB on disk(${step})`;

async function copyTo(file: DumpHandle, data: DumpStream): Promise<void> {
  let position = 0;
  for (;;) {
    const { reader } = data;
    const bytes = reader.next(WRITE_BYTES_MAX);
    if (bytes === 0) {
      if (reader.error !== undefined) throw reader.error;
      if (reader.atEnd) return;
      await data.more();
      continue;
    }
    let written = 0;
    try {
      const { bytesWritten } = await onDisk(
        () => file.write(reader.bytes, reader.start, bytes, position),
        writeError('rdbSaveRio'),
      );
      if (bytesWritten === 0) {
        throw new OperatingError(ErrorCode.IO, `${writeError('rdbSaveRio')}: no bytes were taken`);
      }
      written = bytesWritten;
    } finally {
      reader.advance(written);
    }
    position += written;
  }
}

/** A reader of the spool with events to await. */
class DumpStream {
  readonly reader: SpoolReader;
  readonly #snapshot: Snapshot;
  #wake: () => void = () => {};

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
    this.reader = snapshot.spool.openReader(() => this.#wake(), ReaderNeed.WORKER_WAITS);
  }

  /** Await it right after a `next` that returned 0. */
  more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async finished(): Promise<void> {
    await new Promise<void>((resolve) => this.#snapshot.onEnd(resolve));
    const { error } = this.#snapshot;
    if (error !== undefined) throw error;
  }

  close(): void {
    this.reader.close();
  }
}

/**
 * The result of `work`. An error of the file system becomes an operating error that begins with
 * `message`.
 */
async function onDisk<T>(work: () => Promise<T>, message: string): Promise<T> {
  try {
    return await work();
  } catch (error) {
    // An error without a code is a fault of the program, which is thrown again.
    throw new OperatingError(ErrorCode.IO, `${message}: ${systemErrorText(error)}`);
  }
}

/**
 * Removes a file that may not exist, or whose directory may be gone. Its own errors are ignored:
 * the failure that led here is reported.
 */
async function removeQuietly(disk: DumpDisk, path: string): Promise<void> {
  try {
    await disk.unlink(path);
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
  }
}
