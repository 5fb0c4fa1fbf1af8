/**
 * A node: wires the parts together, and starts and stops them in order.
 *
 *   start   listen → housekeeping → load the dump → "Ready to accept connections"
 *   stop    stop listening → (save) → close clients → stop workers
 */
import type { Socket } from 'node:net';
import { SystemClock } from './base/clock.ts';
import { createLogger, type Logger, type RoleLetter } from './base/log.ts';
import { payloadCommands } from './commands/keys/payload.ts';
import type { CommandTable } from './commands/spec.ts';
import { commandTables } from './commands/tables.ts';
import type { Dialect, RdbVersion } from './rdb/dialect.ts';
import type { Request } from './resp/request.ts';
import { Admin } from './server/admin/admin.ts';
import { type BrokenCall, crashReport, noteBrokenCall } from './server/admin/debug/crash-report.ts';
import { defineJobInfo } from './server/admin/info/job-sections.ts';
import type { Config } from './server/config/config.ts';
import { unixSocketPath } from './server/config/paths.ts';
import { PRODUCT_VERSION } from './server/config/product.ts';
import { Blocking } from './server/dispatch/blocking.ts';
import type { CommandRow } from './server/dispatch/command-lookup.ts';
import { Dispatcher } from './server/dispatch/dispatcher.ts';
import type { LookAhead } from './server/dispatch/look-ahead.ts';
import { Housekeeping } from './server/housekeeping.ts';
import { linkCommands } from './server/link/commands.ts';
import { Failover } from './server/link/failover.ts';
import { HopAsker } from './server/link/hop-asker.ts';
import { LoopWalk } from './server/link/loop-walk.ts';
import { Upstream } from './server/link/upstream.ts';
import { Connection, type ConnectionHost } from './server/net/connection.ts';
import { shortQueueWarning } from './server/net/listen-queue.ts';
import { readInPlace } from './server/net/listener.ts';
import { Listeners } from './server/net/listeners.ts';
import { SendQueue } from './server/net/send-queue.ts';
import { type AofDisk, realAofDisk } from './server/persistence/aof/aof-disk.ts';
import { Dumps } from './server/persistence/dumps.ts';
import { replicationCommands } from './server/primary/commands.ts';
import { Primary } from './server/primary/primary.ts';
import { ERROR_NO_AOF } from './server/primary/waiters.ts';
import { Server } from './server/server.ts';
import { createLoadPool } from './workers/load-job.ts';

/** The freeze is rehearsed after this delay, so that it does not slow the first clients. */
const WARM_DELAY_MS = 500;

/** A program that runs a node as a process, and can begin again. */
export interface Restarter {
  /** The reason why it cannot, or null. */
  readonly obstacle: string | null;
  /** The node ends now. */
  leaving(): void;
  /** The node has stopped. */
  restart(delayMs: number): void;
}

export class Node implements ConnectionHost {
  readonly server: Server;
  readonly dispatcher: Dispatcher;
  readonly blocking: Blocking;
  readonly housekeeping: Housekeeping;
  readonly dumps: Dumps;
  readonly primary: Primary;
  readonly upstream: Upstream;
  readonly failover: Failover;
  readonly hopAsker: HopAsker;
  readonly loopWalk: LoopWalk;
  readonly admin: Admin;
  readonly listeners = new Listeners(
    (socket) => this.accept(socket),
    (error) => this.admin.descriptors.acceptFailed(error),
  );
  readonly sendQueue = new SendQueue();
  readonly lookAhead: LookAhead;
  /** Called when the node has stopped by itself: SHUTDOWN, or a signal. */
  onExit: (code: number) => void = () => {};
  /** The program that can begin again, and how; a program that embeds a node cannot. */
  restarter: Restarter | undefined = undefined;
  /** Called for each accepted socket, before it is a client. */
  onSocket: (() => void) | undefined = undefined;
  #warmTimer: NodeJS.Timeout | undefined = undefined;
  #stopping = false;
  #brokenCall: BrokenCall | undefined = undefined;

  /** `aofDisk`: the file system of the append only file, for tests. */
  constructor(config: Config, log: Logger = loggerFor(config), aofDisk: AofDisk = realAofDisk) {
    const clock = new SystemClock();
    this.server = new Server(config, log, clock);
    this.dumps = new Dumps(this.server, (code) => this.#exit(code), aofDisk);
    this.primary = new Primary(this.server, this.dumps.snapshots);
    this.upstream = new Upstream(this.server, {
      pool: createLoadPool(1),
      port: () => this.port,
      takeFunctions: (libraries) => {
        this.dumps.libraries.codes = libraries;
      },
      dropReplicas: (reason) => this.primary.dropAll(reason),
      leaveStream: () => {
        this.primary.fullSyncs.leaveStream();
        this.dumps.snapshots.unpinStream();
        this.dumps.appendOnly.streamLost();
      },
      passOn: (replid, offset, bytes) =>
        this.dumps.snapshots.passOn(replid, offset, bytes, (dump) =>
          this.primary.fullSyncs.arrives(dump),
        ),
      dumpLoaded: (passed) => {
        passed?.loaded();
        this.primary.dumpLoaded(passed);
      },
      linkFailed: () => this.primary.linkFailed(),
      flush: () => this.primary.turnEnded(),
      unblockAll: (error) => {
        this.blocking.unblockAll(error);
        this.primary.waiters.unblockAll(error);
      },
      failoverAnswered: (accepted) => this.failover.answered(accepted),
    });
    this.primary.upstream = this.upstream;
    this.hopAsker = new HopAsker(this.server, this.upstream, this.primary.chain);
    this.primary.chain.asker = this.hopAsker;
    this.loopWalk = new LoopWalk(this.server, this.upstream);
    this.primary.dialects.functionCount = () => this.dumps.libraries.codes.length;
    this.server.streamLog.onRefused = () => {
      this.primary.dropAll('the system refuses memory for the stream');
      this.dumps.snapshots.unpinStream();
      this.dumps.appendOnly.streamRefused();
    };
    this.dumps.appendOnly.onSynced = () => {
      this.primary.waiters.noteAck();
      this.primary.waiters.serve();
    };
    this.dumps.onOtherData = () => {
      // First: what the file gets still belongs to the old id.
      this.dumps.appendOnly.streamLost();
      if (this.upstream.isReplica) this.upstream.datasetLost('another dump was loaded');
      else this.primary.diverged('Another dump was loaded');
    };
    this.dumps.appendOnly.onTurnedOff = () => this.primary.waiters.unblockLocal(ERROR_NO_AOF);
    this.dumps.appendOnly.onStep = (event, ms) => this.admin.latency.note(event, ms);
    this.dumps.snapshots.onFrozen = (ms) => this.admin.latency.note('fork', ms);
    this.dumps.replicas = this.primary;
    this.dumps.link = this.upstream;
    this.admin = new Admin(this.server, {
      listeners: this.listeners,
      reload: (save) => this.dumps.reload(save),
      loadAppendOnlyFile: () => this.dumps.loadAppendOnlyFileAgain(this.dispatcher),
      unblock: (connection, error) =>
        this.blocking.unblock(connection, error) || this.primary.waiters.unblock(connection, error),
      snapshotMemory: this.dumps.snapshots,
      upstream: this.upstream,
      restarts: {
        obstacle: () =>
          this.restarter === undefined
            ? 'the node is a part of another program'
            : this.restarter.obstacle,
        prepare: (asker, onCancel, atEnd) =>
          this.dumps.shutdown.beginRestart(asker, onCancel, atEnd),
        restart: (delayMs) => void this.#restart(delayMs),
      },
      collectWorkers: () => {
        this.dumps.collectWorkers();
        this.upstream.collectWorker();
        this.primary.compaction.collectWorker();
      },
    });
    this.failover = new Failover(this.server, this.upstream, this.primary.states, {
      begin: () => this.admin.pause.begin('failover', 'write', Number.POSITIVE_INFINITY),
      end: () => this.admin.pause.end('failover'),
    });
    this.primary.onAck = () => this.failover.acked();
    defineJobInfo(this.admin.info, this.dumps, this.primary, this.listeners);
    const tables: CommandTable[] = [
      ...commandTables,
      payloadCommands(
        () => dialectOf(config),
        (text) => log.notice(text),
      ),
      ...this.admin.tables,
      this.dumps.commands,
      replicationCommands(this.primary),
      linkCommands(this.server, this.upstream),
      this.failover.commands,
    ];
    this.dispatcher = new Dispatcher(this.server, tables, [this.dumps.streamCommands]);
    this.server.onKeyspaceReplaced = () => this.dispatcher.datasetReplaced();
    this.dispatcher.onDiverged = () => {
      // First: what the file gets still belongs to the old id.
      this.dumps.appendOnly.streamLost();
      if (this.upstream.isReplica) this.upstream.diverged();
      else this.primary.diverged('A command found no memory halfway');
    };
    this.dispatcher.onBroken = (error, session, row, request) => {
      this.#brokenCall = noteBrokenCall(error, session, row, request);
    };
    this.lookAhead = this.dispatcher.lookAhead;
    this.blocking = new Blocking(this.server, this.dispatcher);
    this.server.waits = this.blocking;
    this.dispatcher.afterUnit = () => this.blocking.serve();
    this.housekeeping = new Housekeeping(this.server, this.dispatcher);
    this.dumps.wire(this.dispatcher, this.housekeeping);
    this.primary.wire(this.dispatcher, this.housekeeping);
    this.upstream.wire(this.dispatcher, this.housekeeping);
    this.failover.wire(this.housekeeping);
    this.hopAsker.wire(this.housekeeping);
    this.loopWalk.wire(this.housekeeping);
    this.admin.wire(this.dispatcher, this.housekeeping);
  }

  /**
   * Opens the sockets and loads the dataset. Rejects with an OperatingError when it cannot. With
   * `anyPort`, port 0 means any free port.
   */
  async start({ anyPort = false } = {}): Promise<void> {
    const { config, log } = this.server;
    const { values } = config;
    this.server.loading = true;
    this.admin.descriptors.fit();
    const plan = {
      hosts: values.bind,
      port: values.port,
      backlog: values.tcpBacklog,
      unixSocket: unixSocketPath(values),
      unixPermissions: values.unixsocketperm,
      anyPort,
    };
    await this.listeners.open(plan, (line) => log.warning(line));
    log.notice(this.#startLine());
    const shortQueue = shortQueueWarning(values.tcpBacklog);
    if (shortQueue !== null) log.warning(shortQueue);
    for (const warning of config.warnings.splice(0)) log.warning(warning);
    this.server.onStage('loading');
    this.housekeeping.start();
    this.admin.start();
    try {
      await this.dumps.loadAtStart(this.dispatcher, values.replicaof !== null);
    } catch (error) {
      // When the node is stopped during the load, the load's error is not reported.
      if (this.#stopping) return;
      await this.stop();
      throw error;
    }
    this.#warmTimer = setTimeout(() => this.dumps.snapshots.warm(), WARM_DELAY_MS);
    if (values.replicaof !== null)
      this.upstream.follow(values.replicaof.host, values.replicaof.port);
    for (const { name } of this.listeners.views) log.notice(`Ready to accept connections ${name}`);
    this.server.onStage('ready');
  }

  /**
   * Returns the log line with the program's version, process id, port, directory and configuration
   * file.
   */
  #startLine(): string {
    const { config } = this.server;
    const { dir } = config.values;
    const from = config.file ?? 'none, using the defaults';
    return (
      `headwater version=${PRODUCT_VERSION}, pid=${process.pid}, port=${this.port}, dir=${dir}, ` +
      `configuration file=${from}, just started`
    );
  }

  /** The TCP port on which the node listens, or 0 when it does not. */
  get port(): number {
    return this.listeners.port;
  }

  /** Stops the node without a save. A caller that wants one saves before. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#warmTimer);
    this.housekeeping.stop();
    this.admin.stop();
    this.listeners.close();
    for (const connection of this.server.clients.values()) connection.destroy();
    this.server.departures.stop();
    this.primary.stop();
    this.hopAsker.stop();
    this.loopWalk.stop();
    await Promise.all([this.upstream.close(), this.dumps.close(), this.primary.compaction.close()]);
  }

  /** Handles SIGTERM and SIGINT, for a program that runs the node as a process. */
  signal(name: 'SIGTERM' | 'SIGINT'): void {
    this.dumps.shutdown.signal(name);
  }

  /**
   * Writes a crash report to the log. The program that runs the node as a process ends it next:
   * after an unexpected error, the memory that all threads read may be broken.
   */
  crashed(error: unknown): void {
    this.server.log.warning(
      crashReport(error, this.#brokenCall, () => this.admin.info.text(['everything'])),
    );
  }

  async #exit(code: number): Promise<void> {
    if (code === 0) await this.stop();
    this.onExit(code);
  }

  async #restart(delayMs: number): Promise<void> {
    this.restarter?.leaving();
    // The command that asked for this ends first: it uses what the stop takes away.
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    await this.stop();
    this.restarter?.restart(delayMs);
  }

  run(connection: Connection, request: Request, known?: CommandRow, follows?: boolean): void {
    this.dispatcher.run(connection, request, known, follows);
  }

  describe(connection: Connection): string {
    return this.admin.describe(connection);
  }

  turnBegan(): void {
    this.dispatcher.clock.turnBegan();
  }

  turnEnded(): void {
    this.dispatcher.turnEnded();
    this.primary.turnEnded();
  }

  closed(connection: Connection): void {
    this.server.clients.delete(connection.id);
    if (this.server.clientMemory.isOn) this.server.clientMemory.note(connection);
    this.server.watchTable.unwatchAll(connection);
    this.blocking.closed(connection);
    this.admin.closed(connection);
    this.dumps.shutdown.forget(connection);
    this.primary.closed(connection);
  }

  /** Accepts a connection, paused and unread, as a client. Returns undefined when it is refused. */
  accept(accepted: Socket): Connection | undefined {
    const { server } = this;
    this.onSocket?.();
    server.clock.tick();
    server.stats.connectionsReceived++;
    if (!this.admin.admit(accepted)) return undefined;
    let made: Connection | undefined;
    readInPlace(accepted, (socket) => {
      const connection = new Connection(server.nextClientId(), socket, this);
      made = connection;
      this.admin.admission.greet(connection);
      server.clients.set(connection.id, connection);
      socket.on('error', (error) => connection.failed(error));
      socket.on('end', () => connection.peerEnded());
      socket.on('close', () => connection.ended());
      return connection;
    });
    return made;
  }
}

/** Returns the format of DUMP payloads, which is that of dumps. */
function dialectOf(config: Config): Dialect {
  const { rdbVersion, rdbPlainTypes } = config.values;
  return { version: rdbVersion as RdbVersion, plainTypes: rdbPlainTypes };
}

function loggerFor(config: Config): Logger {
  const { loglevel, logFormat, logfile } = config.values;
  const role = (): RoleLetter => (config.values.replicaof === null ? 'M' : 'S');
  return createLogger({ level: loglevel, format: logFormat, logfile, role });
}
