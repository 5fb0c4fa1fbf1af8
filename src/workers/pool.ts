/**
 * Pools of worker threads, one per duty; the only user of piscina.
 *
 *   run(task) ──▶ piscina queue ──▶ thread 0 … thread n-1: import(entry).runTask(task) ──▶ Outcome
 *                                     │                              Outcome ──▶ promise of run
 *                                     ├─ ends in the middle: that job is rejected with WORKER_DIED,
 *                                     │  piscina starts another thread
 *                                     └─ ends before it is ready: every job is rejected, and the
 *                                        next run() starts a new pool
 *
 * A task is a plain object. By structured clone SharedArrayBuffers in it are shared, and
 * MessagePorts named in `transfer` move over. A thing made while the task runs (a new segment of
 * the arena) is posted on one of these ports. The task never returns to its event loop and fetches
 * it with `receiveMessageOnPort`. A task is cancelled by a shared word (control-block.ts):
 * piscina's abort would kill the thread.
 *
 * Threads start with a job or with warm(), in a turn of their own: the turn of run() may be a freeze.
 * They end when they had no job for a while, since each takes 16 MiB, and do not keep the process
 * alive while idle; a running job does. `atomics` is disabled because the other modes block an idle
 * worker's event loop, and no `niceIncrement` because that loads a native file. Main thread.
 */
import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { MessagePort, ResourceLimits } from 'node:worker_threads';
import { Piscina } from 'piscina';
import { assert } from '../base/assert.ts';
import { codeOf, ErrorCode, messageOf, OperatingError } from '../base/errors.ts';
import { MIB } from '../base/units.ts';
import { COLLECT, type Outcome, resultOf } from './task-outcome.ts';
import { hasRoomForThread } from './thread-room.ts';

/** Threads collect after they have seen this many bytes of shared memory, which may be dead now. */
const SEEN_BYTES_MAX = 32 * MIB;
/** Threads end after this time without a job. To start one takes about 50 ms of another core. */
const IDLE_MS = 5000;

export interface PoolOptions {
  /** The duty of the threads, for error messages: 'snapshot', 'load', 'compact'. */
  readonly duty: string;
  /** A JavaScript module that exports `runTask`, made by `asTask`. */
  readonly entry: URL;
  readonly threads: number;
  /** Limits of a thread's JavaScript heap; a thread that passes them dies, the process does not. */
  readonly resourceLimits?: ResourceLimits;
  /** Threads end after this time without a job. */
  readonly idleMs?: number;
  /**
   * Called with an uncaught exception of a thread that has no job to fail; for the log. The thread
   * is replaced as after any other end.
   */
  readonly onIdleDeath?: (reason: string) => void;
}

export interface RunOptions {
  readonly transfer?: readonly (ArrayBuffer | MessagePort)[];
}

export interface Pool<Task, Result> {
  readonly duty: string;
  /** Jobs that are queued or running. */
  readonly jobCount: number;
  /** Whether there are threads now. */
  readonly isWarm: boolean;
  /**
   * Runs `task` on a free thread, or queues it. Rejects with the operating error that the task
   * threw; with WORKER_DIED when its thread ended or cannot start; with CANCELLED when the pool is
   * closed; with AssertionFailed when the task failed in any other way.
   */
  run(task: Task, options?: RunOptions): Promise<Result>;
  /**
   * Notes that a finished job saw this many touched bytes of shared memory: its thread keeps them
   * until it collects.
   */
  saw(bytes: number): void;
  /**
   * Lets the threads that may keep dead memory collect, after the queued jobs. Does not wait for
   * it.
   */
  collect(): void;
  /**
   * Starts the threads unless there are some, and lets them stay for the idle time from now on: a
   * job that comes soon need not wait for them.
   */
  warm(): void;
  /**
   * Refuses new jobs, waits for the accepted ones, and ends the threads. Cancel long jobs first.
   */
  close(): Promise<void>;
}

export function createPool<Task, Result>(options: PoolOptions): Pool<Task, Result> {
  assert(
    Number.isInteger(options.threads) && options.threads >= 1,
    'a pool has at least one thread',
  );
  return new PiscinaPool<Task, Result>(options);
}

class PiscinaPool<Task, Result> implements Pool<Task, Result> {
  readonly duty: string;
  readonly #options: PoolOptions;
  readonly #jobs = new Set<Promise<Result>>();
  /** Undefined before the first job, after an idle time, and after a thread could not start. */
  #threads: Piscina<Task, Outcome<Result>> | undefined = undefined;
  /** The end of threads that were idle or could not start; close() waits for it. */
  #retired: Promise<void> = Promise.resolve();
  #closed = false;
  /** Since the threads collected last. */
  #seenBytes = 0;
  #idleTimer: NodeJS.Timeout | undefined = undefined;

  constructor(options: PoolOptions) {
    this.duty = options.duty;
    this.#options = options;
  }

  get jobCount(): number {
    return this.#jobs.size;
  }

  get isWarm(): boolean {
    return this.#threads !== undefined;
  }

  run(task: Task, options: RunOptions = {}): Promise<Result> {
    const job = this.#runOnThread(task, options);
    clearTimeout(this.#idleTimer);
    const forget = (): void => {
      this.#jobs.delete(job);
      this.#watchIdle();
    };
    this.#jobs.add(job);
    job.then(forget, forget);
    return job;
  }

  saw(bytes: number): void {
    this.#seenBytes += bytes;
    if (this.#seenBytes >= SEEN_BYTES_MAX) this.collect();
  }

  collect(): void {
    if (this.#seenBytes === 0 || this.#threads === undefined || this.#closed) return;
    this.#seenBytes = 0;
    for (let i = 0; i < this.#options.threads; i++) {
      // A thread that ends meanwhile has nothing left to collect.
      this.#threads.run(COLLECT as Task).catch(() => {});
    }
  }

  warm(): void {
    assert(!this.#closed, 'warm: the pool is closed');
    if (this.#threads === undefined && !hasRoomForThread()) return;
    this.#threads ??= this.#start();
    this.#watchIdle();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#idleTimer);
    await Promise.allSettled(this.#jobs);
    const threads = this.#threads;
    this.#threads = undefined;
    await Promise.all([threads?.destroy(), this.#retired]);
  }

  async #runOnThread(task: Task, options: RunOptions): Promise<Result> {
    if (this.#closed) throw new OperatingError(ErrorCode.CANCELLED, `${this.duty} pool is closed`);
    if (this.#threads === undefined) {
      await nextTurn();
      if (this.#threads === undefined && !hasRoomForThread()) {
        throw new OperatingError(
          ErrorCode.WORKER_DIED,
          `the system refuses memory for a thread of the ${this.duty} pool`,
        );
      }
      this.#threads ??= this.#start();
    }
    let outcome: Outcome<Result>;
    try {
      outcome = await this.#threads.run(task, { transferList: [...(options.transfer ?? [])] });
    } catch (error) {
      // A task that cannot be cloned is the caller's error. Any other rejection means that the
      // thread ended.
      if (error instanceof DOMException && error.name === 'DataCloneError') throw error;
      throw new OperatingError(
        ErrorCode.WORKER_DIED,
        `${this.duty} worker died: ${messageOf(error)}`,
      );
    }
    return resultOf(outcome, this.duty);
  }

  /** Ends the threads when no job comes for a while. Their memory, and what they saw, goes back. */
  #watchIdle(): void {
    clearTimeout(this.#idleTimer);
    if (this.#jobs.size > 0 || this.#closed) return;
    this.#idleTimer = setTimeout(() => {
      if (this.#threads === undefined) return;
      this.#seenBytes = 0;
      this.#retire(this.#threads);
    }, this.#options.idleMs ?? IDLE_MS).unref();
  }

  #start(): Piscina<Task, Outcome<Result>> {
    leaveLostDirectory();
    const { entry, threads: count, resourceLimits } = this.#options;
    const threads = new Piscina<Task, Outcome<Result>>({
      filename: fileURLToPath(entry),
      name: 'runTask',
      minThreads: count,
      maxThreads: count,
      idleTimeout: Number.POSITIVE_INFINITY,
      atomics: 'disabled',
      recordTiming: false,
      ...(resourceLimits === undefined ? {} : { resourceLimits }),
    });
    threads.on('error', (error) => this.#options.onIdleDeath?.(messageOf(error)));
    // piscina replaces a thread that ended at once, but not one that ended before it was ready, and
    // forgets queued jobs then.
    threads.on('workerDestroy', () => {
      queueMicrotask(() => {
        if (threads === this.#threads && threads.threads.length < count) this.#retire(threads);
      });
    });
    return threads;
  }

  /**
   * Rejects every job of `threads` (piscina does it in destroy) and lets the next job start new
   * threads.
   */
  #retire(threads: Piscina<Task, Outcome<Result>>): void {
    this.#threads = undefined;
    this.#retired = Promise.all([this.#retired, threads.destroy()]).then(() => undefined);
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Node.js starts no thread while the working directory is gone. No path of ours depends on it. */
function leaveLostDirectory(): void {
  try {
    realpathSync.native('.');
  } catch (error) {
    if (codeOf(error) === undefined) throw error;
    if (codeOf(error) === 'ENOENT') process.chdir('/');
  }
}
