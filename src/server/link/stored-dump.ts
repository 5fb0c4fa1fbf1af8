/**
 * Writes a dump that arrives to a file, to be loaded when it is whole: for a machine that has no
 * room for two datasets, and is to serve the old one until the new one is all here.
 *
 * Main thread; the threads of the file system do the work.
 */
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { codeOf, ErrorCode, OperatingError, systemErrorText } from '../../base/errors.ts';
import { MIB } from '../../base/units.ts';
import type { DumpTaker } from '../snapshot-source.ts';

/** Bytes that wait for the disk; beyond them the link waits. */
const QUEUED_BYTES_MAX = 4 * MIB;

export class StoredDump implements DumpTaker {
  readonly path: string;
  /** Resolves when the dump is whole and written; rejects with IO, or CANCELLED. */
  readonly complete: Promise<void>;
  wanted = true;
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #ended = false;
  /** Resolves when nothing is being written. */
  #writing: Promise<void> | undefined = undefined;
  #file: FileHandle | undefined = undefined;
  #isMade = false;
  #onRoom: (() => void)[] = [];
  #resolve: () => void = () => {};
  #reject: (error: OperatingError) => void = () => {};

  /** `path` must be that of no file. */
  constructor(path: string) {
    this.path = path;
    this.complete = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#write();
  }

  put(bytes: Uint8Array, start: number, end: number): number {
    if (!this.wanted) return end;
    const stop = Math.min(end, start + QUEUED_BYTES_MAX - this.#queuedBytes);
    if (stop === start) return start;
    this.#queue.push(Uint8Array.prototype.slice.call(bytes, start, stop));
    this.#queuedBytes += stop - start;
    this.#write();
    return stop;
  }

  waitForRoom(): Promise<void> {
    if (!this.wanted || this.#queuedBytes < QUEUED_BYTES_MAX) return Promise.resolve();
    return new Promise((resolve) => this.#onRoom.push(resolve));
  }

  end(): void {
    this.#ended = true;
    this.#write();
  }

  fail(): void {
    this.#stop(new OperatingError(ErrorCode.CANCELLED, 'the dump did not arrive'));
    this.#write();
  }

  /** Removes the file, once nothing is written to it. Harmless when it was not made here. */
  async remove(): Promise<void> {
    await this.#writing;
    if (!this.#isMade) return;
    try {
      await unlink(this.path);
    } catch (error) {
      // It is gone already, or cannot be removed: an error of the file system has a code.
      if (codeOf(error) === undefined) throw error;
    }
  }

  #write(): void {
    if (this.#writing !== undefined) return;
    this.#writing = this.#drain().finally(() => {
      this.#writing = undefined;
      // More has come, or the end, after the last look at it.
      if (this.#queue.length > 0 || (this.#file !== undefined && (this.#ended || !this.wanted)))
        this.#write();
    });
  }

  /** Writes what is queued; closes the file behind the end, or when no more is wanted. */
  async #drain(): Promise<void> {
    try {
      if (this.wanted && this.#file === undefined) {
        this.#file = await open(this.path, 'wx', 0o600);
        this.#isMade = true;
      }
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        await this.#file?.writeFile(next);
        this.#queuedBytes -= next.length;
        this.#wake();
      }
      if (this.wanted && !this.#ended) return;
      const file = this.#file;
      this.#file = undefined;
      await file?.close();
      if (!this.wanted) return;
      this.wanted = false;
      this.#resolve();
    } catch (error) {
      const reason = `writing the dump of MASTER to ${this.path}: ${systemErrorText(error)}`;
      this.#stop(new OperatingError(ErrorCode.IO, reason));
    }
  }

  #stop(error: OperatingError): void {
    if (!this.wanted) return;
    this.wanted = false;
    this.#queue.length = 0;
    this.#wake();
    this.#reject(error);
  }

  #wake(): void {
    for (const go of this.#onRoom.splice(0)) go();
  }
}
