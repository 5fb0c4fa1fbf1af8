/**
 * A node: the parts wired together, and the order in which they start and stop.
 *
 *   start   load the dump → listen → housekeeping → "Ready to accept connections"
 *   stop    stop listening → (save) → close clients → stop workers
 */
import type { AddressInfo, Server as NetServer, Socket } from 'node:net';
import { SystemClock } from './base/clock.ts';
import { createLogger, type Logger } from './base/log.ts';
import type { CommandTable } from './commands/spec.ts';
import { commandTables } from './commands/tables.ts';
import { Blocking } from './server/blocking.ts';
import type { Config } from './server/config/config.ts';
import { Connection, type ConnectionHost } from './server/connection.ts';
import { Dispatcher } from './server/dispatcher.ts';
import { Housekeeping } from './server/housekeeping.ts';
import { listen, readInPlace } from './server/listener.ts';
import { Server } from './server/server.ts';

export class Node implements ConnectionHost {
  readonly server: Server;
  readonly dispatcher: Dispatcher;
  readonly housekeeping: Housekeeping;
  #listeners: NetServer[] = [];

  constructor(config: Config, log: Logger = loggerFor(config)) {
    const clock = new SystemClock();
    this.server = new Server(config, log, clock);
    const tables: CommandTable[] = [...commandTables];
    this.dispatcher = new Dispatcher(this.server, tables);
    const blocking = new Blocking(this.server, this.dispatcher);
    this.server.blocking = blocking;
    this.dispatcher.afterUnit = () => blocking.serve();
    this.housekeeping = new Housekeeping(this.server, this.dispatcher);
  }

  /** Loads the dataset, opens the sockets. Rejects with an OperatingError when it cannot. */
  async start(): Promise<void> {
    const { config, log } = this.server;
    const { values } = config;
    for (const warning of config.warnings.splice(0)) log.warning(warning);
    this.#listeners = await listen(
      { hosts: values.bind, port: values.port, backlog: values.tcpBacklog },
      (socket) => this.#accept(socket),
    );
    this.housekeeping.start();
    log.notice('Ready to accept connections tcp');
  }

  /** The port that is listened on; another than configured when that was 0. */
  get port(): number {
    return (this.#listeners[0]!.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.housekeeping.stop();
    for (const listener of this.#listeners) listener.close();
    for (const connection of this.server.clients.values()) connection.destroy();
    await Promise.resolve();
  }

  run(connection: Connection): void {
    this.dispatcher.run(connection, connection.reader.request);
  }

  turnEnded(): void {}

  closed(connection: Connection): void {
    this.server.clients.delete(connection.id);
    this.server.watchTable.unwatchAll(connection);
    this.server.blocking?.closed(connection);
  }

  #accept(accepted: Socket): void {
    const { server } = this;
    server.clock.tick();
    server.stats.connectionsReceived++;
    readInPlace(accepted, (socket) => {
      const connection = new Connection(server.nextClientId(), socket, this);
      connection.authenticated = server.config.values.requirepass === '';
      server.clients.set(connection.id, connection);
      socket.on('error', (error) => connection.failed(error));
      socket.on('end', () => connection.destroy());
      socket.on('close', () => connection.ended());
      return (bytes, count) => connection.received(bytes, count);
    });
  }
}

function loggerFor(config: Config): Logger {
  const { loglevel, logFormat, logfile } = config.values;
  return createLogger({ level: loglevel, format: logFormat, logfile, role: () => 'M' });
}
