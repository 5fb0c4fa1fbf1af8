/**
 * The main thread's side of a load: runs the task and takes over the keyspace that it filled.
 *
 *   from a file    new LoadJob(pool, plan, { kind: 'file', path })
 *   from a ring    new LoadJob(pool, plan, { kind: 'ring', totalBytes }), then feed `input` until
 *                  nothing more is wanted
 *
 * The old dataset is served until the caller puts the new one in its place.
 */
import { ErrorCode } from '../base/errors.ts';
import { MemoryKind, SharedMemory } from '../base/shared-memory.ts';
import { MIB } from '../base/units.ts';
import { type HashKey, Keyspace } from '../keyspace/keyspace.ts';
import type { LoadOptions, LoadResult } from '../rdb/load.ts';
import { createRingMemory, RingProducer } from './byte-ring.ts';
import { LoadControl } from './control-block.ts';
import { workerEntryUrl } from './entry-urls.ts';
import type { DumpPlace, LoadTask, LoadTaskResult } from './load-task.ts';
import { createPool, type Pool } from './pool.ts';

/**
 * The main thread wakes the worker once per chunk, and a worker that has caught up sleeps after
 * each. With chunks of 256 KiB the two took turns a thousand times in a dump of 300 MB.
 */
const RING = { chunkBytes: MIB, chunkCount: 32 } as const;

export type LoadPool = Pool<LoadTask, LoadTaskResult>;

export function createLoadPool(threads: number): LoadPool {
  return createPool({ duty: 'load', entry: workerEntryUrl('load-task'), threads });
}

export interface LoadPlan {
  readonly databaseCount: number;
  readonly hashKey: HashKey;
  readonly options: LoadOptions;
}

export type LoadFrom =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'ring'; readonly totalBytes: number };

export interface Loaded {
  readonly keyspace: Keyspace;
  readonly result: LoadResult;
}

/**
 * Feeds a load from the main thread. The job may end at any time: all calls are harmless
 * afterwards.
 */
export class LoadInput {
  readonly #ring: RingProducer;

  constructor(memory: SharedArrayBuffer) {
    this.#ring = new RingProducer(memory);
  }

  /** False once no more bytes are wanted: the dump is complete, or the load has failed. */
  get wanted(): boolean {
    return this.#ring.isOpen && !this.#ring.cancelled;
  }

  /**
   * Memory to fill, or undefined when there is none now (see {@link waitForRoom}) or nothing is
   * wanted.
   */
  tryAcquire(): Uint8Array | undefined {
    return this.#ring.isOpen ? this.#ring.tryAcquire() : undefined;
  }

  /**
   * Hands over the first `bytes` bytes of the memory that {@link tryAcquire} returned in this turn.
   */
  publish(bytes: number): void {
    this.#ring.publish(bytes);
  }

  /** Resolves when tryAcquire has memory or nothing is wanted. */
  waitForRoom(): Promise<void> {
    return this.#ring.waitForSpace();
  }

  /** Ends the dump. */
  end(): void {
    if (this.#ring.isOpen) this.#ring.end();
  }

  /** Ends the load with `code`: no more bytes will come. */
  fail(code: ErrorCode): void {
    if (this.#ring.isOpen) this.#ring.fail(code);
  }
}

export class LoadJob {
  /** Takes the dump when it comes from a ring. */
  readonly input: LoadInput | undefined;
  /** For INFO: keys and bytes done. */
  readonly control = new LoadControl();
  /**
   * Rejects with the errors of load-task.ts, with WORKER_DIED, or with an AssertionFailed that ends
   * the process.
   */
  readonly finished: Promise<Loaded>;
  readonly #pool: LoadPool;
  readonly #memory: SharedMemory;
  readonly #ring: SharedArrayBuffer | undefined;

  /** `memory` will own the memory of the new dataset, and owns that of the ring. */
  constructor(
    pool: LoadPool,
    plan: LoadPlan,
    from: LoadFrom,
    memory: SharedMemory = new SharedMemory(),
  ) {
    this.#pool = pool;
    this.#memory = memory;
    let place: DumpPlace;
    this.#ring = from.kind === 'ring' ? createRingMemory(RING, memory) : undefined;
    if (from.kind === 'ring') {
      this.input = new LoadInput(this.#ring!);
      place = { kind: 'ring', memory: this.#ring!, totalBytes: from.totalBytes };
    } else {
      this.input = undefined;
      place = from;
    }
    this.finished = this.#follow(pool.run({ ...plan, from: place, control: this.control.shared }));
  }

  /**
   * Asks the task to stop. Fails `input`, so that the task stops even while it waits for bytes. It
   * may still finish.
   */
  cancel(): void {
    this.control.cancel();
    this.input?.fail(ErrorCode.CANCELLED);
  }

  async #follow(job: Promise<LoadTaskResult>): Promise<Loaded> {
    try {
      const { share, ...result } = await job;
      const keyspace = Keyspace.adopt(share, { memory: this.#memory });
      this.#pool.saw(keyspace.arena.residentBytes + (this.#ring?.byteLength ?? 0));
      return { keyspace, result };
    } catch (error) {
      // The task does not tell the size of its dataset.
      this.#pool.saw(this.control.bytesDone);
      throw error;
    } finally {
      // Ends the waits for room in the ring of a task that ended or died.
      this.input?.fail(ErrorCode.CANCELLED);
      if (this.#ring !== undefined) this.#dropRing(this.#ring);
    }
  }

  /**
   * The feeder of the ring may hold a chunk of it and call after the end: its memory is not reused.
   */
  #dropRing(ring: SharedArrayBuffer): void {
    this.#memory.drop(MemoryKind.RING, ring, Math.min(this.control.bytesDone, ring.byteLength));
  }
}
