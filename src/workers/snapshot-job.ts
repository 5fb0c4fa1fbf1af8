/**
 * The main thread's side of a snapshot: freezes the dataset, runs the task, hands out the ring, thaws at the end.
 *
 *   startSnapshot          freeze · ring and control block · task is queued      all in the caller's turn
 *      │
 *   the ring is read       await ring.waitForData(i) … ring.chunk(i) … ring.release(1), until ring.ended
 *      │                   a ring that ended says nothing about success: `finished` does
 *   `finished` settles     the image is thawed; only now may the same keyspace be frozen again
 *
 * However the job ends, waits for the ring's data end too: a job that failed without a word of its own (its thread
 * died) cancels the ring. The keyspace may be replaced by another meanwhile: the job keeps the old one alive.
 */
import { MessageChannel } from 'node:worker_threads';
import { assert, onMainThread } from '../base/assert.ts';
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
  /** What was made for it beforehand; made now when absent. */
  readonly means?: SnapshotMeans;
}

/**
 * What a snapshot needs besides the image: the memory of its ring, its control block, the channel for shadow pages. To make
 * them takes longer than the freeze itself, so who wants that turn short makes them in an earlier one. Untouched they
 * cost no memory.
 */
export class SnapshotMeans {
  readonly ringMemory: SharedArrayBuffer;
  readonly control = new SnapshotControl();
  readonly channel = new MessageChannel();

  constructor(ring: RingOptions = {}) {
    this.ringMemory = createRingMemory(ring);
  }
}

export class SnapshotJob {
  /** Takes the dump. */
  readonly ring: RingConsumer;
  /** For INFO: keys and bytes done. */
  readonly control: SnapshotControl;
  /**
   * Settles when the task has ended and the image is thawed. Rejects with CANCELLED, COW_LIMIT, WORKER_DIED, or with an
   * AssertionFailed that the process should not survive.
   */
  readonly finished: Promise<SaveResult>;
  readonly #keyspace: Keyspace;
  #lost = false;

  constructor(pool: SnapshotPool, { keyspace, save, cowBytesMax, ring, means }: SnapshotPlan) {
    assert(onMainThread(), 'freeze runs on the main thread');
    const { ringMemory, control, channel } = means ?? new SnapshotMeans(ring);
    const { port1, port2 } = channel;
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
    this.finished = this.#follow(pool.run(task, { transfer: [port2] })).finally(() => port1.close());
  }

  /** Asks the task to stop, also while it waits for room in the ring. It may still finish. */
  cancel(): void {
    this.control.cancel();
    this.ring.cancel();
  }

  async #follow(job: Promise<SaveResult>): Promise<SaveResult> {
    try {
      return await job;
    } catch (error) {
      this.ring.cancel();
      throw error;
    } finally {
      if (!this.#lost) this.#keyspace.thaw();
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
