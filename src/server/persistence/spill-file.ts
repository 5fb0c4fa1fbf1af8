/**
 * A file that holds a range of a dump which memory has released, for the slow readers.
 *
 *   dump   0 ........ start ............ end ............
 *   file              0 ........ end - start
 *
 * It grows at its end, is read at any position, and is removed when nobody uses it. The file has no
 * name once it is open, so it vanishes with the process in every case. There is one write at a
 * time, and reads run beside it. Main thread; the threads of the file system do the work.
 */
import { open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { assert } from '../../base/assert.ts';
import { codeOf, ErrorCode, messageOf, OperatingError } from '../../base/errors.ts';

/** The methods of an open file that are used; tests pass one that fails. */
export interface RawFile {
  write(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesWritten: number }>;
  read(
    bytes: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ readonly bytesRead: number }>;
  close(): Promise<void>;
}

/** Makes a temporary file. */
export type OpenSpill = () => Promise<RawFile>;

/** Opens temporary files in `directory`, with names that begin with `prefix`. */
export function spillsIn(directory: () => string, prefix: string): OpenSpill {
  let count = 0;
  return async () => {
    const path = join(directory(), `${prefix}${++count}.spool`);
    const file = await open(path, 'wx+', 0o600);
    await unlink(path);
    return file;
  };
}

export class SpillFile {
  /** Position in the dump of the file's first byte, and of the byte after its last. */
  readonly start: number;
  end: number;
  readonly #open: OpenSpill;
  #file: Promise<RawFile> | undefined = undefined;
  /** Reads and writes in progress. */
  #pending = 0;
  #retired = false;

  constructor(openSpill: OpenSpill, start: number) {
    this.#open = openSpill;
    this.start = start;
    this.end = start;
  }

  get bytes(): number {
    return this.end - this.start;
  }

  /**
   * Appends all of `bytes`. Rejects with an operating error; the bytes written until then do not
   * count.
   */
  async append(bytes: Uint8Array): Promise<void> {
    await this.#use(async (file) => {
      let done = 0;
      while (done < bytes.length) {
        const position = this.bytes + done;
        const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position);
        if (bytesWritten === 0)
          throw new OperatingError(ErrorCode.IO, 'the disk takes no more bytes');
        done += bytesWritten;
      }
      this.end += bytes.length;
    });
  }

  /**
   * Reads bytes of the dump from `position` on, as many as there are and fit; returns their count,
   * at least 1.
   */
  async readAt(position: number, into: Uint8Array): Promise<number> {
    assert(position >= this.start && position < this.end, 'a spill is read where it has bytes');
    const length = Math.min(into.length, this.end - position);
    return await this.#use(async (file) => {
      const { bytesRead } = await file.read(into, 0, length, position - this.start);
      if (bytesRead === 0) throw new OperatingError(ErrorCode.IO, 'the file ends before its end');
      return bytesRead;
    });
  }

  /** Nobody needs the file any more: closes it after the reads and writes in progress. */
  retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    this.#closeWhenIdle();
  }

  async #use<T>(work: (file: RawFile) => Promise<T>): Promise<T> {
    assert(!this.#retired, 'a retired spill is not used');
    this.#pending++;
    try {
      this.#file ??= this.#open();
      return await work(await this.#file);
    } catch (error) {
      // Errors of the file system carry a code; an error without one is a fault of the program.
      if (codeOf(error) === undefined) throw error;
      throw new OperatingError(ErrorCode.IO, messageOf(error));
    } finally {
      this.#pending--;
      this.#closeWhenIdle();
    }
  }

  #closeWhenIdle(): void {
    if (!this.#retired || this.#pending > 0 || this.#file === undefined) return;
    const file = this.#file;
    this.#file = undefined;
    file.then((raw) => raw.close()).catch(ignoreFailure);
  }
}

/**
 * The file could not be opened, and its user got that error, or it could not be closed. It has no
 * name that could remain.
 */
function ignoreFailure(): void {}
