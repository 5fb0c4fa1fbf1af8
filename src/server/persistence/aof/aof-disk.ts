/**
 * The file system, as far as the append only file needs it; tests pass one that fails, or that
 * records what is done.
 *
 * What must happen in one turn of the loop is synchronous: opening an increment, and writes to it,
 * which the system takes into its page cache. Everything that waits for the disk is asynchronous,
 * and runs on the threads of the file system.
 */
import {
  accessSync,
  closeSync,
  constants,
  fdatasync,
  fdatasyncSync,
  mkdirSync,
  openSync,
  writeSync,
} from 'node:fs';
import { mkdir, open, readFile, stat, truncate } from 'node:fs/promises';
import { type DumpDisk, realDisk } from '../dump-file.ts';

export interface AofDisk extends DumpDisk {
  /** Opens a file to append to it, and creates it if it is not there. Returns a descriptor. */
  openToAppend(path: string): number;
  /** Writes bytes[start, start + length) and returns how many were taken. */
  write(file: number, bytes: Uint8Array, start: number, length: number): number;
  sync(file: number): Promise<void>;
  /** Waits for the disk in this turn. */
  syncNow(file: number): void;
  close(file: number): void;
  /** Waits until what a file holds is on disk, also what another process has written. */
  syncFile(path: string): Promise<void>;
  /** Creates or replaces a file, and waits until its content is on disk. */
  writeWhole(path: string, text: string): Promise<void>;
  makeDirectory(path: string): Promise<void>;
  /** Makes the directory, in this turn. Throws the system's error when nobody can write there. */
  checkDirectory(path: string): void;
  truncate(path: string, bytes: number): Promise<void>;
  readText(path: string): Promise<string>;
  /** Bytes of a file; undefined when there is none. */
  sizeOf(path: string): Promise<number | undefined>;
}

export const realAofDisk: AofDisk = {
  ...realDisk,
  openToAppend: (path) => openSync(path, 'a', 0o644),
  write: (file, bytes, start, length) => writeSync(file, bytes, start, length),
  sync: (file) =>
    new Promise((resolve, reject) => {
      fdatasync(file, (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    }),
  syncNow: fdatasyncSync,
  close: closeSync,
  syncFile: async (path) => {
    const file = await open(path, 'r');
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  },
  writeWhole: async (path, text) => {
    const file = await open(path, 'w', 0o644);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
  },
  makeDirectory: async (path) => {
    await mkdir(path, { mode: 0o755, recursive: true });
  },
  checkDirectory: (path) => {
    mkdirSync(path, { mode: 0o755, recursive: true });
    accessSync(path, constants.W_OK | constants.X_OK);
  },
  truncate,
  readText: (path) => readFile(path, 'utf8'),
  sizeOf: async (path) => {
    try {
      return (await stat(path)).size;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  },
};
