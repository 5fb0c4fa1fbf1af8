/**
 * Wires the server's administration together: its commands, their parts, the guards against
 * commands and clients, and the work of a tick. Main thread.
 */
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { assert } from '../../base/assert.ts';
import { MemoryCollector } from '../../base/memory-collector.ts';
import { type CommandTable, Flag } from '../../commands/spec.ts';
import { OOM_ERROR } from '../dispatch/boundary.ts';
import type { CommandRow } from '../dispatch/command-lookup.ts';
import type { Dispatcher } from '../dispatch/dispatcher.ts';
import { pubsubCommands } from '../dispatch/pubsub-commands.ts';
import type { Session } from '../dispatch/session.ts';
import { transactionCommands } from '../dispatch/transaction.ts';
import type { Housekeeping } from '../housekeeping.ts';
import type { Upstream } from '../link/upstream.ts';
import type { Connection } from '../net/connection.ts';
import type { Listeners } from '../net/listeners.ts';
import type { Server } from '../server.ts';
import { aclCommands } from './auth/acl.ts';
import { handshakeCommands } from './auth/handshake.ts';
import { Admission } from './clients/admission.ts';
import { clientCommands } from './clients/commands.ts';
import { Descriptors } from './clients/descriptors.ts';
import { ClientEviction } from './clients/eviction.ts';
import { clientLine } from './clients/list.ts';
import { Pause } from './clients/pause.ts';
import { configCommands } from './config-command.ts';
import { hookConfig } from './config-hooks.ts';
import { debugCommands } from './debug/commands.ts';
import type { RestartPort } from './debug/restart.ts';
import { commandCommands } from './info/command-command.ts';
import { InfoRegistry } from './info/registry.ts';
import { defineInfo } from './info/sections.ts';
import { serverCommands } from './info/server-commands.ts';
import { LatencyMonitor, latencyCommands, noteCall } from './observe/latency-monitor.ts';
import { LoopDelay } from './observe/loop-delay.ts';
import { LoopTime } from './observe/loop-time.ts';
import { memoryCommands } from './observe/memory-command.ts';
import { MemoryMeter, type SnapshotMemory } from './observe/memory-meter.ts';
import { Monitors } from './observe/monitors.ts';
import { Rates } from './observe/rates.ts';
import { SlowLog, slowLogCommands } from './observe/slow-log.ts';
import { StateLog } from './observe/state-log.ts';

/** The services of the rest of the node for these commands. */
export interface AdminHost {
  readonly listeners: Listeners;
  readonly reload: (save: boolean) => Promise<boolean>;
  /** DEBUG LOADAOF; returns whether it could begin. */
  readonly loadAppendOnlyFile: () => Promise<boolean>;
  readonly unblock: (connection: Connection, error?: string) => boolean;
  readonly snapshotMemory: SnapshotMemory;
  readonly restarts: RestartPort;
  readonly upstream: Upstream;
  /** Lets the worker threads release their references to shared memory. */
  readonly collectWorkers: () => void;
}

/**
 * A loop that was busy for a smaller share of the time than this is quiet: nobody will notice a
 * collection.
 */
const QUIET_UTILIZATION = 0.5;

const KEYSPACE_FLAGS = Flag.READONLY | Flag.WRITE | Flag.MAY_REPLICATE;
/** The commands of a RESP2 client that are allowed while it has subscriptions. */
const WHILE_SUBSCRIBED: ReadonlySet<string> = new Set([
  'subscribe',
  'unsubscribe',
  'psubscribe',
  'punsubscribe',
  'ssubscribe',
  'sunsubscribe',
  'ping',
  'quit',
  'reset',
]);

export class Admin {
  readonly server: Server;
  readonly tables: readonly CommandTable[];
  readonly info = new InfoRegistry();
  readonly slowLog: SlowLog;
  readonly latency: LatencyMonitor;
  readonly loopDelay = new LoopDelay();
  readonly loopTime = new LoopTime();
  readonly monitors: Monitors;
  readonly pause: Pause;
  readonly rates = new Rates();
  readonly memory: MemoryMeter;
  readonly #stateLog: StateLog;
  readonly collector: MemoryCollector;
  readonly admission: Admission;
  readonly descriptors: Descriptors;
  readonly eviction: ClientEviction;
  readonly listeners: Listeners;
  readonly reload: (save: boolean) => Promise<boolean>;
  readonly loadAppendOnlyFile: () => Promise<boolean>;
  readonly restarts: RestartPort;
  readonly upstream: Upstream;
  readonly unblock: (connection: Connection, error?: string) => boolean;
  readonly #collectWorkers: () => void;
  #loopUse = performance.eventLoopUtilization();
  #dispatcher: Dispatcher | undefined = undefined;
  #housekeeping: Housekeeping | undefined = undefined;

  constructor(server: Server, host: AdminHost) {
    this.server = server;
    this.listeners = host.listeners;
    this.reload = host.reload;
    this.loadAppendOnlyFile = host.loadAppendOnlyFile;
    this.restarts = host.restarts;
    this.upstream = host.upstream;
    this.unblock = host.unblock;
    this.slowLog = new SlowLog(server);
    this.latency = new LatencyMonitor(server);
    this.monitors = new Monitors(server, () => this.dispatcher);
    this.pause = new Pause(server, () => this.dispatcher);
    this.memory = new MemoryMeter(server, host.snapshotMemory, host.upstream.held);
    this.#stateLog = new StateLog(server, this.memory);
    this.collector = new MemoryCollector(server.memory);
    this.#collectWorkers = host.collectWorkers;
    this.admission = new Admission(server);
    this.descriptors = new Descriptors(server);
    this.eviction = new ClientEviction(server);
    this.tables = [
      handshakeCommands(this),
      clientCommands(this),
      transactionCommands(this),
      serverCommands(this),
      configCommands(this),
      commandCommands(this),
      debugCommands(this),
      memoryCommands(this),
      slowLogCommands(this.slowLog),
      latencyCommands(this),
      aclCommands(this),
      pubsubCommands(server.pubsub),
    ];
    defineInfo(this);
  }

  /** The dispatcher, made from the tables above. */
  get dispatcher(): Dispatcher {
    assert(this.#dispatcher !== undefined, 'commands run once the node is wired');
    return this.#dispatcher;
  }

  get housekeeping(): Housekeeping {
    assert(this.#housekeeping !== undefined, 'commands run once the node is wired');
    return this.#housekeeping;
  }

  /** Registers its commands and ticks. */
  wire(dispatcher: Dispatcher, housekeeping: Housekeeping): void {
    this.#dispatcher = dispatcher;
    this.#housekeeping = housekeeping;
    dispatcher.guards.push((connection, row, flags) => this.#refusal(connection, row, flags));
    dispatcher.onUnknown = (connection, request) => this.admission.unknown(connection, request);
    dispatcher.onSlow = (connection, row, request, micros) => {
      const { slowlogLogSlowerThan } = this.server.config.values;
      if (slowlogLogSlowerThan >= 0 && micros >= slowlogLogSlowerThan) {
        this.slowLog.note(connection, row, request, micros);
      }
      noteCall(this.latency, row, micros);
    };
    dispatcher.evictClients = (session) => this.eviction.evict(session);
    hookConfig(this);
    housekeeping.onStep = (event, ms) => this.latency.note(event, ms);
    housekeeping.onTick(() => {
      this.#watchLoop();
      this.rates.tick(this.server.stats, this.server.clock.monotonicMs());
      this.loopTime.tick(this.server.clock.monotonicMs());
      this.memory.tick();
      this.#tickCollector();
      this.admission.tick();
      this.descriptors.tick();
      this.#stateLog.tick(this.server.clock.monotonicMs());
    });
  }

  start(): void {
    this.memory.start();
    this.loopDelay.start();
  }

  stop(): void {
    this.loopDelay.stop();
    this.pause.stop();
    this.collector.stop();
  }

  /** MEMORY PURGE: returns all unused memory to the system, soon. */
  purgeMemory(): void {
    this.collector.purge(this.server.clock.monotonicMs());
    this.#collectWorkers();
  }

  /** A loop that stood still is an event of LATENCY, whatever it was that took the time. */
  #watchLoop(): void {
    if (this.server.config.values.latencyMonitorThreshold === 0) this.loopDelay.restLongest();
    else this.latency.note('event-loop', this.loopDelay.takeLongestMs());
  }

  #tickCollector(): void {
    const before = this.#loopUse;
    this.#loopUse = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(this.#loopUse, before);
    const isQuiet = utilization < QUIET_UTILIZATION;
    this.collector.tick(this.server.clock.monotonicMs(), isQuiet, this.memory.unownedBytes);
  }

  /** The line of CLIENT LIST about a client, for the log. */
  describe(connection: Connection): string {
    return clientLine(connection, this.server.pubsub, this.server.nowMs, 0);
  }

  /** Rejects an accepted socket, or returns true. */
  admit(socket: Socket): boolean {
    return this.admission.admit(socket);
  }

  closed(connection: Connection): void {
    this.server.pubsub.removeAll(connection);
    this.monitors.remove(connection);
  }

  #refusal(session: Session, row: CommandRow, flags: number): string | undefined {
    if ((flags & Flag.DENYOOM) !== 0 && !session.fromPrimary) {
      const { maxmemory } = this.server.config.values;
      if (maxmemory > 0 && this.memory.countedBytes > maxmemory) return OOM_ERROR;
    }
    if (session.subscribed && session.protocol === 2 && !WHILE_SUBSCRIBED.has(row.fullName)) {
      return `ERR Can't execute '${row.fullName}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`;
    }
    if (session.monitor && (flags & KEYSPACE_FLAGS) !== 0) {
      return "ERR Replica can't interact with the keyspace";
    }
    return undefined;
  }
}
