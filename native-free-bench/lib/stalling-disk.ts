/**
 * A disk that stalls when it is told to, the same for every server, without a change to the server:
 *
 *   outer file system    on a loop device over a file of the temporary directory; fsfreeze stops it
 *     └ inner image      a file of the outer one, on the next loop device
 *         └ inner file system    has the server's directory
 *
 * While the outer one is frozen, the inner loop device cannot write. So fsync on the inner one waits
 * for the end of the stall, and a write goes to the page cache unless the journal of the file system
 * makes it wait. That is what a disk does that takes nothing for a while.
 *
 * This needs root, loop devices, mkfs.ext4, mount and fsfreeze. Nothing else on the machine waits,
 * except for who calls sync(2) meanwhile.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MIB } from '../../src/base/units.ts';

const OUTER_BYTES = 1536 * MIB;
const INNER_BYTES = 1024 * MIB;
const MS_PER_SECOND = 1000;

/** Disks that are mounted. They are removed when the bench ends. */
const mounted = new Set<StallingDisk>();
process.on('exit', () => {
  for (const disk of mounted) disk.remove();
});

export class StallingDisk {
  /** An empty directory on it. */
  readonly directory: string;
  readonly #root: string;
  readonly #outer: string;
  readonly #inner: string;
  /** Mounted so far, the last one first. */
  readonly #mounts: string[] = [];

  private constructor() {
    this.#root = mkdtempSync(join(tmpdir(), 'headwater-disk-'));
    this.#outer = join(this.#root, 'outer');
    this.#inner = join(this.#root, 'inner');
    this.directory = join(this.#inner, 'server');
  }

  /** Throws, with the reason, where there can be no such disk. */
  static make(): StallingDisk {
    const disk = new StallingDisk();
    mounted.add(disk);
    try {
      disk.#mount(join(disk.#root, 'outer.image'), OUTER_BYTES, disk.#outer);
      disk.#mount(join(disk.#outer, 'inner.image'), INNER_BYTES, disk.#inner);
      mkdirSync(disk.directory);
    } catch (error) {
      disk.remove();
      throw error;
    }
    return disk;
  }

  /**
   * Stops the disk for a time. One process does all of it, so that the disk goes on even when the
   * bench is killed meanwhile.
   */
  async stall(durationMs: number): Promise<void> {
    const script = 'fsfreeze -f "$0" && { sleep "$1"; fsfreeze -u "$0"; }';
    const seconds = String(durationMs / MS_PER_SECOND);
    const child = spawn('sh', ['-c', script, this.#outer, seconds], { stdio: 'ignore' });
    const status = await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', resolve);
    });
    if (status !== 0) throw new Error(`fsfreeze ended with ${status}`);
  }

  /** The servers on it have ended. */
  remove(): void {
    for (const directory of this.#mounts.splice(0))
      execFileSync('umount', [directory], { stdio: 'ignore' });
    rmSync(this.#root, { recursive: true, force: true });
    mounted.delete(this);
  }

  #mount(image: string, bytes: number, directory: string): void {
    writeFileSync(image, '');
    truncateSync(image, bytes);
    execFileSync('mkfs.ext4', ['-q', image], { stdio: 'pipe' });
    mkdirSync(directory);
    execFileSync('mount', ['-o', 'loop', image, directory], { stdio: 'pipe' });
    this.#mounts.unshift(directory);
  }
}
