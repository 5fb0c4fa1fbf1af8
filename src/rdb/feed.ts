/**
 * The sources of a dump's bytes: a file, a byte ring that another thread fills, or memory. All of
 * them block until they have bytes, so files and rings are read on a worker.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { copyBytes } from '../base/byte-copy.ts';
import { ErrorCode, messageOf, OperatingError } from '../base/errors.ts';

export interface ByteFeed {
  /**
   * Bytes from first to last, or -1 while that is unknown. Lengths in a dump are compared with it.
   */
  readonly totalBytes: number;
  /**
   * Copies at most `bytes` bytes to `into` from `at` on and returns how many; 0 at the end only.
   */
  read(into: Uint8Array, at: number, bytes: number): number;
}

export class FileFeed implements ByteFeed {
  readonly totalBytes: number;
  readonly #path: string;
  readonly #file: number;

  constructor(path: string) {
    this.#path = path;
    this.#file = this.#io(() => openSync(path, 'r'));
    this.totalBytes = this.#io(() => fstatSync(this.#file).size);
  }

  read(into: Uint8Array, at: number, bytes: number): number {
    return this.#io(() => readSync(this.#file, into, at, bytes, null));
  }

  close(): void {
    closeSync(this.#file);
  }

  #io<T>(call: () => T): T {
    try {
      return call();
    } catch (error) {
      // The error may be any of the file system. Its message names the call.
      throw new OperatingError(ErrorCode.IO, `${this.#path}: ${messageOf(error)}`);
    }
  }
}

/** The side of a byte ring that is read here; workers/byte-ring.ts has the ring. */
export interface ChunkSource {
  /** The oldest chunk, undefined at the end. Throws when whoever fills the ring has failed. */
  take(): Uint8Array | undefined;
  release(count: number): void;
}

export class RingFeed implements ByteFeed {
  readonly totalBytes: number;
  readonly #ring: ChunkSource;
  #chunk: Uint8Array | undefined;
  #taken = 0;

  constructor(ring: ChunkSource, totalBytes: number) {
    this.#ring = ring;
    this.totalBytes = totalBytes;
  }

  read(into: Uint8Array, at: number, bytes: number): number {
    this.#chunk ??= this.#ring.take();
    const chunk = this.#chunk;
    if (chunk === undefined) return 0;
    const count = Math.min(bytes, chunk.length - this.#taken);
    copyBytes(chunk, this.#taken, into, at, count);
    this.#taken += count;
    if (this.#taken === chunk.length) {
      this.#chunk = undefined;
      this.#taken = 0;
      this.#ring.release(1);
    }
    return count;
  }
}

/** Bytes that are there already: `length` of `source` from `start` on. */
export class BytesFeed implements ByteFeed {
  readonly totalBytes: number;
  readonly #source: Uint8Array;
  readonly #end: number;
  #at: number;

  constructor(source: Uint8Array, start: number, length: number) {
    this.totalBytes = length;
    this.#source = source;
    this.#at = start;
    this.#end = start + length;
  }

  read(into: Uint8Array, at: number, bytes: number): number {
    const count = Math.min(bytes, this.#end - this.#at);
    into.set(this.#source.subarray(this.#at, this.#at + count), at);
    this.#at += count;
    return count;
  }
}
