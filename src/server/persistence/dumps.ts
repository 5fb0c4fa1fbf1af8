/**
 * Wires together what keeps the dataset of a node: snapshots, saves, the append only file, the load
 * at the start, DEBUG RELOAD, the shutdown.
 *
 *   Snapshots ◀─┬─ full syncs
 *               ├─ Persistence ◀── save points, BGSAVE, the shutdown, DEBUG RELOAD
 *               └─ AppendOnly ◀── its rewrites: each needs a base
 *   DumpLoad ◀──┬─ the start, without an append only file
 *               ├─ the base of an append only file
 *               └─ DEBUG RELOAD
 *
 * Main thread.
 */
import { OperatingError } from '../../base/errors.ts';
import { type CommandTable, Flag } from '../../commands/spec.ts';
import type { ReplicationAux } from '../../rdb/save.ts';
import { createLoadPool } from '../../workers/load-job.ts';
import { createSnapshotPool } from '../../workers/snapshot-job.ts';
import type { Dispatcher } from '../dispatch/dispatcher.ts';
import type { Housekeeping } from '../housekeeping.ts';
import { Obstacle, type Server } from '../server.ts';
import type { LoadView } from '../snapshot-source.ts';
import type { AofDisk } from './aof/aof-disk.ts';
import { loadAppendOnlyFile, loadAppendOnlyFileAgain } from './aof/aof-load.ts';
import { AppendOnly } from './aof/append-only.ts';
import { snapshotCommands } from './commands.ts';
import { DumpLoad } from './dump-load.ts';
import { FunctionLibraries, functionCommands } from './functions.ts';
import { type InfoField, persistenceInfo } from './info.ts';
import { Persistence } from './persistence.ts';
import { Shutdown } from './shutdown.ts';
import { Snapshots } from './snapshots.ts';
import { WriteGate } from './write-gate.ts';

/** The parts of replication that the shutdown needs. */
export interface ReplicaPort {
  /** Whether each replica has acknowledged the end of the stream; asks those that have not. */
  replicasInSync(): boolean;
  /** Lines for the log about replicas that lag, and how many are in sync. */
  replicaReport(): readonly string[];
}

/** The link to the primary above this node, for code that replaces the dataset. */
export interface LinkPort {
  /** The link does not change the dataset until `release`. */
  hold(): void;
  release(): void;
  /** The running load of its dump. */
  readonly loadView: LoadView | undefined;
  /** The old dataset is gone meanwhile. */
  readonly loadsAlone: boolean;
}

/** A node without a primary. */
const NO_LINK: LinkPort = {
  hold: () => {},
  release: () => {},
  loadView: undefined,
  loadsAlone: false,
};

/** A node without replication. */
const NO_REPLICAS: ReplicaPort = { replicasInSync: () => true, replicaReport: () => [] };

export const LOADING_ERROR = 'LOADING Redis is loading the dataset in memory';

export class Dumps {
  readonly snapshots: Snapshots;
  readonly persistence: Persistence;
  readonly dumpLoad: DumpLoad;
  readonly appendOnly: AppendOnly;
  readonly shutdown: Shutdown;
  readonly commands: CommandTable;
  /** Is told of a dataset that the stream has not made: DEBUG RELOAD NOSAVE, DEBUG LOADAOF. */
  onOtherData: () => void = () => {};
  replicas: ReplicaPort = NO_REPLICAS;
  link: LinkPort = NO_LINK;
  /** They are copied to every dump. */
  readonly libraries = new FunctionLibraries();
  /** What only a stream may name. */
  readonly streamCommands: CommandTable = functionCommands(this.libraries);
  readonly #server: Server;
  readonly #exit: (code: number) => void;
  #gate: WriteGate | undefined = undefined;

  /** `exit` ends the process, or the program that runs the node. */
  constructor(server: Server, exit: (code: number) => void, aofDisk: AofDisk) {
    this.#server = server;
    this.#exit = exit;
    this.snapshots = new Snapshots(server, {
      pool: createSnapshotPool(1),
      functions: () => this.libraries.codes,
    });
    this.persistence = new Persistence(server, this.snapshots);
    server.onEmptied = () => this.persistence.emptied();
    this.dumpLoad = new DumpLoad(server, {
      pool: createLoadPool(1),
      takeFunctions: (libraries) => {
        this.libraries.codes = libraries;
      },
    });
    this.appendOnly = new AppendOnly(server, {
      persistence: this.persistence,
      snapshots: this.snapshots,
      disk: aofDisk,
      exit,
    });
    server.syncedOffset = () => this.appendOnly.syncedOffset;
    this.shutdown = new Shutdown(server, this.persistence, {
      pauseWrites: () => this.#gate?.close(),
      resumeWrites: () => this.#gate?.open(),
      replicasInSync: () => this.replicas.replicasInSync(),
      replicaReport: () => this.replicas.replicaReport(),
      owesAppendOnly: () => this.appendOnly.isOwing,
      closeAppendOnly: () => this.appendOnly.close(),
      exit,
    });
    this.commands = snapshotCommands(server, this.persistence, this.appendOnly, this.shutdown);
  }

  /** Loads what the node had when it ended: the append only file if there is one, or the dump. */
  async loadAtStart(dispatcher: Dispatcher, isReplica: boolean): Promise<void> {
    const { appendOnly, dumpLoad } = this;
    const server = this.#server;
    if (!server.config.values.appendonly) {
      await dumpLoad.atStart(isReplica);
      return;
    }
    const parts = { files: appendOnly.files, dumpLoad, dispatcher };
    server.loading = true;
    try {
      const loaded = await loadAppendOnlyFile(server, parts, isReplica);
      await appendOnly.openAtStart(loaded, isReplica);
    } finally {
      server.loading = false;
    }
  }

  /** Registers its commands and ticks. */
  wire(dispatcher: Dispatcher, housekeeping: Housekeeping): void {
    const { persistence, shutdown } = this;
    const server = this.#server;
    this.#gate = new WriteGate(server, dispatcher);
    dispatcher.guards.push(
      (connection, _row, flags) => {
        if (!server.loading || (flags & Flag.LOADING) !== 0) return undefined;
        // The commands of an append only file run while it is loaded.
        if (connection.fromPrimary) return undefined;
        // Replicas below may have the dump that is being loaded.
        return this.link.loadsAlone && (flags & Flag.ON_LINK) !== 0 ? undefined : LOADING_ERROR;
      },
      (connection, row, flags) => {
        if (!server.hasObstacle(Obstacle.AOF_FAILED) || connection.fromPrimary) return undefined;
        return (flags & Flag.WRITE) !== 0 || row.fullName === 'ping'
          ? this.appendOnly.writeRefusal
          : undefined;
      },
      (connection, row, flags) => {
        if (persistence.lastSucceeded || connection.fromPrimary) return undefined;
        return (flags & Flag.WRITE) !== 0 || row.fullName === 'ping'
          ? persistence.writeRefusal
          : undefined;
      },
    );
    server.config.onChange(['appendonly'], () => {
      if (server.config.values.appendonly) return this.appendOnly.turnOn();
      this.appendOnly.turnOff();
      return null;
    });
    server.config.onChange(['dir'], () => {
      this.appendOnly.directoryChanged();
      return null;
    });
    housekeeping.onTick(() => {
      persistence.tick();
      this.appendOnly.tick();
      this.snapshots.tick();
      shutdown.tick();
    });
  }

  info(): InfoField[] {
    return persistenceInfo(
      this.#server,
      this.persistence,
      this.snapshots,
      this.dumpLoad,
      this.appendOnly,
      this.link.loadView,
    );
  }

  /**
   * Saves the dataset, unless `save` is false, and loads it again in its own place. Writes, and the
   * stream of a primary, wait meanwhile. Returns whether this succeeded; the log gives the reason
   * of a failure.
   */
  async reload(save: boolean): Promise<boolean> {
    this.#gate?.close();
    this.link.hold();
    try {
      if (save && (await this.persistence.save()) !== 'saved') return false;
      const replication = await this.dumpLoad.replaceFromFile();
      // An older dump is not what the stream has made.
      if (!save && !this.#isPresent(replication)) this.onOtherData();
      return true;
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error;
      this.#server.log.warning(`Error reloading the dump: ${error.message}`);
      return false;
    } finally {
      this.link.release();
      this.#gate?.open();
    }
  }

  /** Whether a dump of that stream holds what the stream of this node has made. */
  #isPresent(dump: ReplicationAux | undefined): boolean {
    const { replid, offset } = this.#server.position;
    return dump?.replid === replid && dump.offset === offset;
  }

  /**
   * DEBUG LOADAOF: replaces the dataset by that of the append-only file. Returns false when this
   * cannot begin now, or there is no such file. A file that cannot be loaded ends the process, as
   * in Redis.
   */
  async loadAppendOnlyFileAgain(dispatcher: Dispatcher): Promise<boolean> {
    const { appendOnly, dumpLoad } = this;
    this.#gate?.close();
    this.link.hold();
    try {
      if (!(await appendOnly.settled())) return false;
      const isPresent = appendOnly.isOn;
      const parts = { files: appendOnly.files, dumpLoad, dispatcher };
      const isLoaded = await loadAppendOnlyFileAgain(this.#server, parts);
      // Files of which nobody takes care any more are not what the stream has made.
      if (isLoaded && !isPresent) this.onOtherData();
      return isLoaded;
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error;
      this.#server.log.warning(error.message);
      this.#exit(1);
      return false;
    } finally {
      this.link.release();
      this.#gate?.open();
    }
  }

  /** Lets the workers release their references to shared memory. */
  collectWorkers(): void {
    this.snapshots.collectWorker();
    this.dumpLoad.collectWorker();
  }

  /** Stops loads and snapshots, and their workers. */
  async close(): Promise<void> {
    this.shutdown.stop();
    await Promise.all([this.snapshots.close(), this.dumpLoad.close(), this.appendOnly.close()]);
  }
}
