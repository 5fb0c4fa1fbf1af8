/**
 * A disk for the append only file that records what is done, so that a test can see what a crash
 * between any two steps would have left.
 *
 *   crash       the process ended: everything up to the step is there
 *   power cut   the machine ended: of a file there is what was synced, and no more
 *
 * Names are those that the steps made: a directory loses no rename here.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { type AofDisk, realAofDisk } from '../../src/server/persistence/aof/aof-disk.ts';

type Step =
  | { readonly kind: 'create'; readonly path: string }
  | { readonly kind: 'write'; readonly path: string; readonly bytes: Buffer; readonly at: number }
  | { readonly kind: 'sync'; readonly path: string }
  | { readonly kind: 'rename'; readonly path: string; readonly to: string }
  | { readonly kind: 'unlink'; readonly path: string }
  | { readonly kind: 'truncate'; readonly path: string; readonly bytes: number }
  /** What the node has told a client up to here. */
  | { readonly kind: 'mark'; readonly replied: number; readonly promised: number };

interface FileState {
  bytes: Buffer;
  synced: number;
}

export interface DiskState {
  readonly step: string;
  /** Writes that were answered, and writes that WAITAOF had confirmed. */
  readonly replied: number;
  readonly promised: number;
  readonly files: ReadonlyMap<string, FileState>;
}

export class RecordingDisk implements AofDisk {
  readonly steps: Step[] = [];
  readonly #paths = new Map<number, string>();
  readonly #sizes = new Map<string, number>();

  mark(replied: number, promised: number): void {
    this.steps.push({ kind: 'mark', replied, promised });
  }

  openToAppend(path: string): number {
    const file = realAofDisk.openToAppend(path);
    this.#paths.set(file, path);
    if (!this.#sizes.has(path)) this.#create(path);
    return file;
  }

  write(file: number, bytes: Uint8Array, start: number, length: number): number {
    const count = realAofDisk.write(file, bytes, start, length);
    this.#write(this.#paths.get(file)!, bytes, start, count);
    return count;
  }

  async sync(file: number): Promise<void> {
    const path = this.#paths.get(file)!;
    // What is written while the disk syncs need not be there afterwards.
    const index = this.steps.length;
    await realAofDisk.sync(file);
    this.steps.splice(index, 0, { kind: 'sync', path });
  }

  syncNow(file: number): void {
    realAofDisk.syncNow(file);
    this.steps.push({ kind: 'sync', path: this.#paths.get(file)! });
  }

  close(file: number): void {
    realAofDisk.close(file);
  }

  async writeWhole(path: string, text: string): Promise<void> {
    await realAofDisk.writeWhole(path, text);
    this.#create(path);
    const bytes = Buffer.from(text);
    this.#write(path, bytes, 0, bytes.length);
    this.steps.push({ kind: 'sync', path });
  }

  makeDirectory(path: string): Promise<void> {
    return realAofDisk.makeDirectory(path);
  }

  async syncFile(path: string): Promise<void> {
    await realAofDisk.syncFile(path);
    this.steps.push({ kind: 'sync', path });
  }

  checkDirectory(path: string): void {
    realAofDisk.checkDirectory(path);
  }

  async truncate(path: string, bytes: number): Promise<void> {
    await realAofDisk.truncate(path, bytes);
    this.#sizes.set(path, bytes);
    this.steps.push({ kind: 'truncate', path, bytes });
  }

  readText(path: string): Promise<string> {
    return realAofDisk.readText(path);
  }

  sizeOf(path: string): Promise<number | undefined> {
    return realAofDisk.sizeOf(path);
  }

  async create(path: string): Promise<Awaited<ReturnType<AofDisk['create']>>> {
    const handle = await realAofDisk.create(path);
    this.#create(path);
    return {
      write: async (bytes, offset, length, position) => {
        const result = await handle.write(bytes, offset, length, position);
        this.#write(path, bytes, offset, result.bytesWritten);
        return result;
      },
      sync: async () => {
        await handle.sync();
        this.steps.push({ kind: 'sync', path });
      },
      close: () => handle.close(),
    };
  }

  async rename(from: string, to: string): Promise<void> {
    await realAofDisk.rename(from, to);
    this.steps.push({ kind: 'rename', path: from, to });
  }

  async unlink(path: string): Promise<void> {
    await realAofDisk.unlink(path);
    this.steps.push({ kind: 'unlink', path });
  }

  syncDirectory(path: string): Promise<void> {
    return realAofDisk.syncDirectory(path);
  }

  /** What is there after each step, from the first to the last. */
  *states(): Generator<DiskState> {
    const files = new Map<string, FileState>();
    let replied = 0;
    let promised = 0;
    for (const step of this.steps) {
      switch (step.kind) {
        case 'create':
          files.set(step.path, { bytes: Buffer.alloc(0), synced: 0 });
          break;
        case 'write': {
          const file = files.get(step.path)!;
          files.set(step.path, { ...file, bytes: Buffer.concat([file.bytes, step.bytes]) });
          break;
        }
        case 'sync': {
          const file = files.get(step.path);
          // A file that was renamed or deleted meanwhile is no longer known by this name.
          if (file !== undefined) files.set(step.path, { ...file, synced: file.bytes.length });
          break;
        }
        case 'rename':
          files.set(step.to, files.get(step.path)!);
          files.delete(step.path);
          break;
        case 'unlink':
          files.delete(step.path);
          break;
        case 'truncate': {
          const bytes = files.get(step.path)!.bytes.subarray(0, step.bytes);
          files.set(step.path, { bytes, synced: bytes.length });
          break;
        }
        default:
          ({ replied, promised } = step);
      }
      const name = step.kind === 'mark' ? '' : (step.path.split('/').at(-1) ?? '');
      yield { step: `${step.kind} ${name}`, replied, promised, files: new Map(files) };
    }
  }

  #create(path: string): void {
    this.#sizes.set(path, 0);
    this.steps.push({ kind: 'create', path });
  }

  #write(path: string, bytes: Uint8Array, start: number, count: number): void {
    const at = this.#sizes.get(path) ?? 0;
    this.#sizes.set(path, at + count);
    // The bytes lie in memory that is written to again.
    const copy = Buffer.from(bytes.slice(start, start + count));
    this.steps.push({ kind: 'write', path, bytes: copy, at });
  }
}

/** Puts a state into `directory`; with `synced`, what a power cut would have left of it. */
export function restoreState(
  state: DiskState,
  from: string,
  directory: string,
  synced: boolean,
): void {
  for (const [path, file] of state.files) {
    const target = join(directory, relative(from, path));
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, synced ? file.bytes.subarray(0, file.synced) : file.bytes);
  }
}
