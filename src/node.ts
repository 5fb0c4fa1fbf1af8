/**
 * A node: the parts wired together, and the order in which they start and stop.
 *
 *   start   listen → housekeeping → load the dump → "Ready to accept connections"
 *   stop    stop listening → (save) → close clients → stop workers
 */
import type { AddressInfo, Server as NetServer, Socket } from 'node:net';
import { SystemClock } from './base/clock.ts';
import { createLogger, type Logger } from './base/log.ts';
import { payloadCommands } from './commands/keys/payload.ts';
import type { CommandTable } from './commands/spec.ts';
import { commandTables } from './commands/tables.ts';
import type { Dialect, RdbVersion } from './rdb/dialect.ts';
import type { Request } from './resp/request.ts';
import { Admin } from './server/admin/admin.ts';
import { defineJobInfo } from './server/admin/info/job-sections.ts';
import type { Config } from './server/config/config.ts';
import { Blocking } from './server/dispatch/blocking.ts';
import type { CommandRow } from './server/dispatch/command-lookup.ts';
import { Dispatcher } from './server/dispatch/dispatcher.ts';
import { LookAhead } from './server/dispatch/look-ahead.ts';
import { Housekeeping } from './server/housekeeping.ts';
import { Connection, type ConnectionHost } from './server/net/connection.ts';
import { listen, readInPlace } from './server/net/listener.ts';
import { SendQueue } from './server/net/send-queue.ts';
import { Dumps } from './server/persistence/dumps.ts';
import { replicationCommands } from './server/primary/commands.ts';
import { Primary } from './server/primary/primary.ts';
import { Server } from './server/server.ts';

export class Node implements ConnectionHost {
  readonly server: Server;
  readonly dispatcher: Dispatcher;
  readonly housekeeping: Housekeeping;
  readonly dumps: Dumps;
  readonly primary: Primary;
  readonly admin: Admin;
  readonly sendQueue = new SendQueue();
  readonly lookAhead: LookAhead;
  /** Called when the node has stopped by itself: SHUTDOWN, or a signal. */
  onExit: (code: number) => void = () => {};
  #listeners: NetServer[] = [];
  #stopping = false;

  constructor(config: Config, log: Logger = loggerFor(config)) {
    const clock = new SystemClock();
    this.server = new Server(config, log, clock);
    this.dumps = new Dumps(this.server, (code) => this.#exit(code));
    this.primary = new Primary(this.server, this.dumps.snapshots);
    this.dumps.replicas = this.primary;
    this.admin = new Admin(this.server, {
      port: () => this.port,
      reload: (save) => this.dumps.reload(save),
      unblock: (connection, error) =>
        this.server.blocking!.unblock(connection, error) || this.primary.waiters.unblock(connection, error),
    });
    defineJobInfo(this.admin.info, this.dumps, this.primary);
    const tables: CommandTable[] = [
      ...commandTables,
      payloadCommands(() => dialectOf(config)),
      ...this.admin.tables,
      this.dumps.commands,
      replicationCommands(this.primary),
    ];
    this.dispatcher = new Dispatcher(this.server, tables);
    this.server.onKeyspaceReplaced = () => this.dispatcher.context.datasetReplaced();
    this.lookAhead = new LookAhead(this.dispatcher.lookup, () => {
      for (const db of this.server.keyspace.databases) db.forgetAhead();
    });
    const blocking = new Blocking(this.server, this.dispatcher);
    this.server.blocking = blocking;
    this.dispatcher.afterUnit = () => blocking.serve();
    this.housekeeping = new Housekeeping(this.server, this.dispatcher);
    this.dumps.wire(this.dispatcher, this.housekeeping);
    this.primary.wire(this.dispatcher, this.housekeeping);
    this.admin.wire(this.dispatcher, this.housekeeping);
  }

  /** Loads the dataset, opens the sockets. Rejects with an OperatingError when it cannot. */
  async start(): Promise<void> {
    const { config, log } = this.server;
    const { values } = config;
    for (const warning of config.warnings.splice(0)) log.warning(warning);
    this.server.loading = true;
    this.#listeners = await listen(
      { hosts: values.bind, port: values.port, backlog: values.tcpBacklog },
      (socket) => this.accept(socket),
    );
    this.housekeeping.start();
    this.admin.start();
    try {
      await this.dumps.dumpLoad.atStart(values.replicaof !== null);
    } catch (error) {
      // Who ends a node while it loads does not ask whether the dump was good.
      if (this.#stopping) return;
      await this.stop();
      throw error;
    }
    this.dumps.snapshots.warm();
    log.notice('Ready to accept connections tcp');
  }

  /** The port that is listened on; another than configured when that was 0. */
  get port(): number {
    return (this.#listeners[0]!.address() as AddressInfo).port;
  }

  /** Ends the node at once; what is to be saved is saved before. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.housekeeping.stop();
    this.admin.stop();
    for (const listener of this.#listeners) listener.close();
    for (const connection of this.server.clients.values()) connection.destroy();
    this.primary.stop();
    await this.dumps.close();
  }

  /** SIGTERM and SIGINT, for who runs the node as a process. */
  signal(name: 'SIGTERM' | 'SIGINT'): void {
    this.dumps.shutdown.signal(name);
  }

  async #exit(code: number): Promise<void> {
    if (code === 0) await this.stop();
    this.onExit(code);
  }

  run(connection: Connection, request: Request, known?: CommandRow, follows?: boolean): void {
    this.dispatcher.run(connection, request, known, follows);
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
    this.server.watchTable.unwatchAll(connection);
    this.server.blocking?.closed(connection);
    this.admin.closed(connection);
    this.dumps.shutdown.forget(connection);
    this.primary.closed(connection);
  }

  /** Takes a connection, paused and unread, as a client; undefined when it is turned away. */
  accept(accepted: Socket): Connection | undefined {
    const { server } = this;
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
      socket.on('end', () => connection.destroy());
      socket.on('close', () => connection.ended());
      return connection;
    });
    return made;
  }
}

/** What payloads of DUMP are written in: as dumps are. */
function dialectOf(config: Config): Dialect {
  const { rdbVersion, rdbPlainTypes } = config.values;
  return { version: rdbVersion as RdbVersion, plainTypes: rdbPlainTypes };
}

function loggerFor(config: Config): Logger {
  const { loglevel, logFormat, logfile } = config.values;
  return createLogger({ level: loglevel, format: logFormat, logfile, role: () => 'M' });
}
