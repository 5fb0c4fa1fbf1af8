/**
 * The end of the node: SHUTDOWN, SIGTERM, SIGINT.
 *
 *            begin                     all in sync, or time is up            saved
 *   RUNNING ───────▶ WAITING (replicas) ──────────────────▶ SAVING ───────────────────▶ ENDED: exit 0
 *      ▲                │ abort              save failed, no FORCE │
 *      └────────────────┴──────────────────────────────────────────┘
 *
 * From WAITING on writes are held back, so that the replicas and the final dump get the last state.
 * The final dump is written as any other; reads are answered meanwhile. Main thread.
 */
import { assert, unreachable } from '../../base/assert.ts';
import type { Server } from '../server.ts';
import type { Persistence } from './persistence.ts';

export interface ShutdownFlags {
  /** Write a dump although there are no save points. */
  readonly save: boolean;
  /** Write no dump although there are save points. */
  readonly nosave: boolean;
  /** Do not wait for replicas. */
  readonly now: boolean;
  /** End even if the dump cannot be written. */
  readonly force: boolean;
}

/** The services that the shutdown needs from the rest of the node. */
export interface ShutdownPort {
  /** Holds writes of clients back until {@link resumeWrites}. */
  pauseWrites(): void;
  resumeWrites(): void;
  /** Whether each replica has acknowledged the end of the stream; asks those that have not. */
  replicasInSync(): boolean;
  /** Lines for the log about replicas that lag, and how many are in sync. */
  replicaReport(): readonly string[];
  /** The append only file has no base yet, and one is being made: without it the data is lost. */
  owesAppendOnly(): boolean;
  /** Brings the append only file to the disk, if there is one. */
  closeAppendOnly(): Promise<void>;
  /** Ends the process, or the program that runs the node. */
  exit(code: number): void;
}

type State = 'running' | 'waiting' | 'saving' | 'ended';

export const SHUTDOWN_FAILED = 'ERR Errors trying to SHUTDOWN. Check logs.';

const MS_PER_SECOND = 1000;

export class Shutdown {
  readonly #server: Server;
  readonly #persistence: Persistence;
  readonly #port: ShutdownPort;
  #state: State = 'running';
  #flags: ShutdownFlags = { save: false, nosave: false, now: false, force: false };
  #deadlineMs = 0;
  /**
   * Callbacks for a shutdown that does not happen, by asker: waiting clients, and signals by their
   * name.
   */
  readonly #onCancel = new Map<unknown, () => void>();
  #signalled = false;
  #isStopped = false;
  /** What follows the end of the node. */
  #atEnd: () => void;

  constructor(server: Server, persistence: Persistence, port: ShutdownPort) {
    this.#server = server;
    this.#persistence = persistence;
    this.#port = port;
    this.#atEnd = this.#exit;
  }

  readonly #exit = (): void => this.#port.exit(0);

  /**
   * Milliseconds until the shutdown stops waiting for replicas, for INFO; -1 while it does not
   * wait.
   */
  get waitMs(): number {
    if (this.#state !== 'waiting') return -1;
    return Math.max(0, this.#deadlineMs - this.#server.clock.monotonicMs());
  }

  /**
   * Begins the shutdown. `onCancel` is called when it is aborted, or the dump could not be written.
   */
  begin(flags: ShutdownFlags, asker: unknown, onCancel: () => void): void {
    this.#onCancel.set(asker, onCancel);
    // A node that ends to start again ends for good instead.
    this.#atEnd = this.#exit;
    if (this.#state !== 'running') return;
    this.#server.onStage('stopping');
    this.#prepare(flags);
  }

  /**
   * Does what comes before the end, without a wait for replicas, and calls `atEnd` instead of
   * ending the process. Returns false when a shutdown has begun already.
   */
  beginRestart(asker: unknown, onCancel: () => void, atEnd: () => void): boolean {
    if (this.#state !== 'running') return false;
    this.#onCancel.set(asker, onCancel);
    this.#atEnd = atEnd;
    this.#prepare({ save: false, nosave: false, now: true, force: false });
    return true;
  }

  #prepare(flags: ShutdownFlags): void {
    const server = this.#server;
    // An incomplete dataset must not be dumped.
    this.#flags = server.loading ? { ...flags, save: false, nosave: true } : flags;
    server.log.warning('User requested shutdown...');
    this.#port.pauseWrites();
    const timeoutMs = server.config.values.shutdownTimeout * MS_PER_SECOND;
    if (!flags.now && timeoutMs > 0 && !this.#port.replicasInSync()) {
      this.#state = 'waiting';
      this.#deadlineMs = server.clock.monotonicMs() + timeoutMs;
      server.log.notice('Waiting for replicas before shutting down.');
      return;
    }
    this.#finish();
  }

  /** The number of clients and signals that wait for the end or its cancellation. */
  get askerCount(): number {
    return this.#onCancel.size;
  }

  /** The asker is gone, and gets no call. */
  forget(asker: unknown): void {
    this.#onCancel.delete(asker);
  }

  /** SHUTDOWN ABORT; false when there is nothing left to abort. */
  abort(): boolean {
    if (this.#state !== 'waiting') return false;
    this.#server.log.notice('Shutdown manually aborted.');
    this.#server.onStage('ready');
    this.#cancel();
    return true;
  }

  /** Called at each tick. */
  tick(): void {
    if (this.#state !== 'waiting') return;
    const timeIsUp = this.#server.clock.monotonicMs() >= this.#deadlineMs;
    if (timeIsUp || this.#port.replicasInSync()) this.#finish();
  }

  /** A signal of the operating system. The second SIGINT ends the process at once. */
  signal(name: 'SIGTERM' | 'SIGINT'): void {
    const { log, config } = this.#server;
    if (this.#signalled && name === 'SIGINT') {
      log.warning('You insist... exiting now.');
      this.#port.exit(1);
      return;
    }
    this.#signalled = true;
    if (this.#server.loading) {
      // There is no dataset to save, and no client to answer.
      log.warning('Received shutdown signal during loading, scheduling shutdown.');
      this.#port.exit(0);
      return;
    }
    log.warning(`Received ${name} scheduling shutdown...`);
    const words =
      name === 'SIGINT' ? config.values.shutdownOnSigint : config.values.shutdownOnSigterm;
    const flags: ShutdownFlags = {
      save: words.includes('save'),
      nosave: words.includes('nosave'),
      now: words.includes('now'),
      force: words.includes('force'),
    };
    this.begin(flags, name, () => {
      this.#signalled = false;
      log.warning(
        `${name} received but errors trying to shut down the server, check the logs for more information`,
      );
    });
  }

  /** The node stops in another way, as by DEBUG CRASH-AND-RECOVER: a shutdown that runs is over. */
  stop(): void {
    this.#isStopped = true;
  }

  async #finish(): Promise<void> {
    assert(this.#state === 'running' || this.#state === 'waiting', 'the end comes once');
    this.#state = 'saving';
    const { log } = this.#server;
    for (const line of this.#port.replicaReport()) log.notice(line);
    if (this.#port.owesAppendOnly()) {
      if (!this.#flags.force) {
        log.warning("Writing initial AOF, can't exit.");
        this.#failed();
        return;
      }
      log.warning('Writing initial AOF. Exit anyway.');
    }
    // Clients that wait for a dump may begin the next one when it fails.
    while (this.#persistence.busy) await this.#persistence.stopDumps();
    if (this.#isStopped) return;
    if (this.#savesAtEnd() && !(await this.#saved())) return;
    await this.#port.closeAppendOnly();
    if (this.#isStopped) return;
    this.#state = 'ended';
    log.warning('Redis is now ready to exit, bye bye...');
    this.#atEnd();
  }

  #savesAtEnd(): boolean {
    if (this.#flags.save || this.#persistence.owesEmptied) return true;
    return !this.#flags.nosave && this.#server.config.values.save.length > 0;
  }

  /** Writes the last dump; false when that failed and the node stays. */
  async #saved(): Promise<boolean> {
    const { log } = this.#server;
    log.notice('Saving the final RDB snapshot before exiting.');
    this.#server.onStage('saving');
    const end = await this.#persistence.save();
    if (this.#isStopped) return false;
    switch (end) {
      case 'saved':
        return true;
      case 'failed':
      case 'cancelled':
        if (this.#flags.force) {
          log.warning('Error trying to save the DB, but exiting anyway.');
          return true;
        }
        log.warning("Error trying to save the DB, can't exit.");
        this.#failed();
        return false;
      default:
        return unreachable(end);
    }
  }

  #failed(): void {
    this.#server.onStage('stop failed');
    this.#cancel();
  }

  #cancel(): void {
    this.#state = 'running';
    this.#port.resumeWrites();
    const listeners = [...this.#onCancel.values()];
    this.#onCancel.clear();
    for (const listener of listeners) listener();
  }
}
