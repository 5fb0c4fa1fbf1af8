/**
 * The main thread's side of a snapshot: freezes the dataset, runs the task, hands out the ring,
 * thaws at the end.
 *
 *   startSnapshot          freeze · ring and control block · task is queued   all in one turn
 *      │
 *   the ring is read       await ring.waitForData(i) … ring.chunk(i) … ring.release(1), until
 *      │                   ring.ended
 *      │                   a ring that ended says nothing about success: `finished` does
 *   `finished` settles     the image is thawed; only now may the same keyspace be frozen again
 *
 * Waits for the ring's data end in every case: a job that failed silently (its thread died) cancels
 * the ring. Another keyspace may replace this one during the job, which keeps the old one alive.
 */
import { MessageChannel } from 'node:worker_threads';
import { PAGE_BYTES } from '../arena/layout.ts';
import { assert, onMainThread } from '../base/assert.ts';
import { MemoryKind, SharedMemory } from '../base/shared-memory.ts';
import type { Keyspace } from '../keyspace/keyspace.ts';
import type { SaveOptions, SaveResult } from '../rdb/save.ts';
import { createRingMemory, RingConsumer, type RingOptions } from './byte-ring.ts';
import { SnapshotControl } from './control-block.ts';
import { workerEntryUrl } from './entry-urls.ts';
import { createPool, type Pool } from './pool.ts';
import type { ShadowMessage, SnapshotTask } from './snapshot-task.ts';

export type SnapshotPool = Pool<SnapshotTask, SaveResult>;

export function createSnapshotPool(threads: number): SnapshotPool {
  return createPool({ duty: 'snapshot', entry: workerEntryUrl('snapshot-task'), threads });
}

export interface SnapshotPlan {
  readonly keyspace: Keyspace;
  readonly save: SaveOptions;
  /** `snapshot-cow-max`: bytes of shadow pages at which the snapshot gives up. */
  readonly cowBytesMax: number;
  readonly ring?: RingOptions;
  /** Owns the memory of the ring; {@link SnapshotJob.giveRing} gives it back. */
  readonly memory?: SharedMemory;
  /** Its parts that were made beforehand; made now when absent. */
  readonly means?: SnapshotMeans;
}

/**
 * The other parts of a snapshot besides the image and its ring: its control block and the channel
 * for shadow pages. Making them takes longer than the freeze itself, so a caller that needs a short
 * turn makes them in an earlier one.
 */
export class SnapshotMeans {
  readonly control = new SnapshotControl();
  readonly channel = new MessageChannel();
}

export class SnapshotJob {
  /** Takes the dump. */
  readonly ring: RingConsumer;
  /** For INFO: keys and bytes done. */
  readonly control: SnapshotControl;
  /**
   * Settles when the task has ended and the image is thawed. Rejects with CANCELLED, COW_LIMIT,
   * WORKER_DIED, or with an AssertionFailed that the process should not survive.
   */
  readonly finished: Promise<SaveResult>;
  /** Dropped at the end of the job, because the job may be kept for its figures. */
  #keyspace: Keyspace | undefined;
  readonly #pool: SnapshotPool;
  readonly #memory: SharedMemory;
  readonly #imageBytes: number;
  #lost = false;
  #endedTouchedBytes = 0;

  constructor(pool: SnapshotPool, plan: SnapshotPlan) {
    assert(onMainThread(), 'freeze runs on the main thread');
    const { keyspace, save, cowBytesMax, memory = new SharedMemory() } = plan;
    const { control, channel } = plan.means ?? new SnapshotMeans();
    const { port1, port2 } = channel;
    const ringMemory = createRingMemory(plan.ring, memory);
    this.#pool = pool;
    this.#memory = memory;
    this.#imageBytes = keyspace.arena.residentBytes;
    this.#keyspace = keyspace;
    this.ring = new RingConsumer(ringMemory);
    this.control = control;
    this.control.keysTotal = keyspace.keyCount;
    const image = keyspace.freeze(
      cowBytesMax,
      (index, chunk) => port1.postMessage({ index, chunk } satisfies ShadowMessage),
      () => this.#lose(),
    );
    const task: SnapshotTask = {
      image,
      options: save,
      ring: ringMemory,
      control: this.control.shared,
      shadows: port2,
    };
    this.finished = this.#follow(pool.run(task, { transfer: [port2] })).finally(() =>
      port1.close(),
    );
  }

  /** Memory of the pages that were copied because they were written to. */
  get touchedBytes(): number {
    const keyspace = this.#keyspace;
    return keyspace === undefined
      ? this.#endedTouchedBytes
      : keyspace.arena.shadowPages * PAGE_BYTES;
  }

  /** Memory of the page copies that the image needs now. */
  get copyBytes(): number {
    return this.#keyspace?.arena.shadowBytes ?? 0;
  }

  /** Asks the task to stop, even while it waits for room in the ring. It may still finish. */
  cancel(): void {
    this.control.cancel();
    this.ring.cancel();
  }

  /**
   * Gives back the memory of the ring, which carried `bytes` bytes of dump. Must be called once,
   * when the job has ended and no view of a chunk is in use. Stale afterwards: `ring`.
   */
  giveRing(bytes: number): void {
    const { memory } = this.ring;
    this.#memory.give(MemoryKind.RING, memory, Math.min(bytes, memory.byteLength));
  }

  async #follow(job: Promise<SaveResult>): Promise<SaveResult> {
    try {
      return await job;
    } catch (error) {
      this.ring.cancel();
      throw error;
    } finally {
      const keyspace = this.#keyspace!;
      this.#keyspace = undefined;
      this.#endedTouchedBytes = keyspace.arena.shadowPages * PAGE_BYTES;
      this.#pool.saw(this.#imageBytes + this.#endedTouchedBytes + this.control.bytesDone);
      if (!this.#lost) keyspace.thaw();
    }
  }

  /** Called from within the write that found no shadow memory left; the arena has thawed itself. */
  #lose(): void {
    this.#lost = true;
    this.cancel();
  }
}

/** Freezes `plan.keyspace` as it is now and begins to write it. One at a time per keyspace. */
export function startSnapshot(pool: SnapshotPool, plan: SnapshotPlan): SnapshotJob {
  return new SnapshotJob(pool, plan);
}
