/**
 * The files of the append only file on disk: the directory, its manifest, and the names in it.
 *
 * The manifest is replaced as a whole, by a rename, so that it always tells a set of files that are
 * there: a file is created before the manifest names it, and deleted after the manifest has dropped
 * it. A power cut between any two steps leaves a set that loads.
 *
 * Main thread; the threads of the file system do the work.
 */
import { join } from 'node:path';
import { codeOf, ErrorCode, OperatingError, systemErrorText } from '../../../base/errors.ts';
import type { AofDisk } from './aof-disk.ts';
import {
  type AofFile,
  type BaseForm,
  baseName,
  EMPTY_MANIFEST,
  formatManifest,
  incrementName,
  type Manifest,
  manifestName,
  nextBaseSeq,
  nextIncrementSeq,
  parseManifest,
  withIncrement,
  withoutHistory,
} from './manifest.ts';

export interface AofPlace {
  /** `dir` */
  readonly dir: string;
  /** `appenddirname` */
  readonly appenddirname: string;
  /** `appendfilename` */
  readonly appendfilename: string;
}

export class AofFiles {
  /** What the manifest on disk says. */
  manifest: Manifest = EMPTY_MANIFEST;
  readonly #place: () => AofPlace;
  readonly #disk: AofDisk;

  constructor(place: () => AofPlace, disk: AofDisk) {
    this.#place = place;
    this.#disk = disk;
  }

  get directory(): string {
    const { dir, appenddirname } = this.#place();
    return join(dir, appenddirname);
  }

  path({ name }: AofFile): string {
    return join(this.directory, name);
  }

  get prefix(): string {
    return this.#place().appendfilename;
  }

  /** Reads the manifest; false when there is none. Throws IO, or CORRUPT with the place. */
  async read(): Promise<boolean> {
    const path = join(this.directory, manifestName(this.prefix));
    const size = await this.#onDisk(path, () => this.#disk.sizeOf(path));
    if (size === undefined) {
      this.manifest = EMPTY_MANIFEST;
      return false;
    }
    this.manifest = parseManifest(await this.#onDisk(path, () => this.#disk.readText(path)));
    return true;
  }

  /**
   * Before Redis 7 the file had no directory. Moves such a file to where it is the base, and
   * returns true; false when there is none.
   */
  async upgrade(): Promise<boolean> {
    const { dir, appendfilename } = this.#place();
    const path = join(dir, appendfilename);
    if ((await this.#onDisk(path, () => this.#disk.sizeOf(path))) === undefined) return false;
    const base = { name: appendfilename, seq: 1 };
    await this.#onDisk(this.directory, () => this.#disk.makeDirectory(this.directory));
    await this.persist({ ...EMPTY_MANIFEST, base });
    await this.#onDisk(path, () => this.#disk.rename(path, this.path(base)));
    await this.#onDisk(dir, () => this.#disk.syncDirectory(dir));
    return true;
  }

  /** Replaces the manifest on disk. */
  async persist(manifest: Manifest): Promise<void> {
    const { directory } = this;
    const disk = this.#disk;
    const name = manifestName(this.prefix);
    const temporary = join(directory, `temp-${name}`);
    await this.#onDisk(directory, () => disk.makeDirectory(directory));
    await this.#onDisk(temporary, () => disk.writeWhole(temporary, formatManifest(manifest)));
    await this.#onDisk(name, () => disk.rename(temporary, join(directory, name)));
    this.manifest = manifest;
    await this.#onDisk(directory, () => disk.syncDirectory(directory));
  }

  /**
   * The next increment, with a greater number than `afterSeq`. The file is there and empty; the
   * manifest does not name it.
   */
  async createIncrement(afterSeq = 0): Promise<AofFile> {
    const seq = Math.max(nextIncrementSeq(this.manifest), afterSeq + 1);
    const increment = { name: incrementName(this.prefix, seq), seq };
    const path = this.path(increment);
    await this.#onDisk(this.directory, () => this.#disk.makeDirectory(this.directory));
    // What is left of a rewrite that did not end may have the same name.
    await this.#onDisk(path, () => this.#disk.writeWhole(path, ''));
    return increment;
  }

  async addIncrement(increment: AofFile): Promise<void> {
    await this.persist(withIncrement(this.manifest, increment));
  }

  /** The next base; the file is not there. */
  nextBase(form: BaseForm): AofFile {
    const seq = nextBaseSeq(this.manifest);
    return { name: baseName(this.prefix, seq, form), seq };
  }

  /** Deletes the files that the manifest calls history. One that cannot be deleted stays history. */
  async deleteHistory(): Promise<void> {
    if (this.manifest.history.length === 0) return;
    for (const file of this.manifest.history) {
      try {
        await this.#disk.unlink(this.path(file));
      } catch (error) {
        if (codeOf(error) === undefined) throw error;
        if (codeOf(error) !== 'ENOENT') return;
      }
    }
    await this.persist(withoutHistory(this.manifest));
  }

  /** Brings to the disk what the manifest names, whoever has written it, and the names. */
  async sync(): Promise<void> {
    const { base, increments } = this.manifest;
    for (const file of base === undefined ? increments : [base, ...increments]) {
      const path = this.path(file);
      await this.#onDisk(path, () => this.#disk.syncFile(path));
    }
    await this.#onDisk(this.directory, () => this.#disk.syncDirectory(this.directory));
  }

  /** Bytes of a file; undefined when it is not there. */
  async sizeOf(file: AofFile): Promise<number | undefined> {
    const path = this.path(file);
    return await this.#onDisk(path, () => this.#disk.sizeOf(path));
  }

  async truncate(file: AofFile, bytes: number): Promise<void> {
    const path = this.path(file);
    await this.#onDisk(path, () => this.#disk.truncate(path, bytes));
  }

  /** Renames a file so that nobody takes it for a part of the append only file. */
  async setAside(file: AofFile): Promise<string> {
    const path = this.path(file);
    const name = `${file.name}.lost`;
    await this.#onDisk(path, () => this.#disk.rename(path, join(this.directory, name)));
    return name;
  }

  async #onDisk<T>(path: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof OperatingError) throw error;
      // An error without a code is a fault of the program, which is thrown again.
      throw new OperatingError(ErrorCode.IO, `${path}: ${systemErrorText(error)}`);
    }
  }
}
