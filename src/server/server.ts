/**
 * The state of a node that commands and connections share: configuration, dataset, clients,
 * counters, the stream. Independent parts (snapshots, replicas, timers) attach here and are wired
 * in node.ts.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { codeOf, ErrorCode } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { Prng } from '../base/prng.ts';
import { SharedMemory } from '../base/shared-memory.ts';
import { asOffset } from '../base/units.ts';
import type { BlockRequest, ServerPort, Settings, WaitingCall } from '../commands/ports.ts';
import { type HashKey, Keyspace } from '../keyspace/keyspace.ts';
import { FailoverState } from '../replication/failover-state.ts';
import { Feed } from '../replication/feed.ts';
import type { OutputLimit } from '../replication/output-limit.ts';
import { ReplicationHistory, randomHex40 } from '../replication/replid.ts';
import { StreamLog } from '../replication/stream-log.ts';
import { StreamPosition } from '../replication/stream-position.ts';
import { BufferPool } from '../resp/buffer-pool.ts';
import { defaultLimits, type RequestLimits } from '../resp/parser.ts';
import type { Config } from './config/config.ts';
import { PubSub } from './dispatch/pubsub.ts';
import { WatchTable } from './dispatch/watch-table.ts';
import { ClientMemory } from './net/client-memory.ts';
import type { Connection } from './net/connection.ts';
import { Departures } from './net/departures.ts';
import { ERROR_CODES_MAX, ServerStats } from './stats.ts';

const LRU_CLOCK_MASK = 0xffffff;
const LRU_RESOLUTION_MS = 1000;

/**
 * Conditions that may keep commands from running, as bits of {@link Server.obstacles}. Each has a
 * guard in the dispatcher, which is asked while the condition holds.
 */
export const Obstacle = {
  /** A dataset is being loaded. */
  LOADING: 1 << 0,
  /** The last save failed. */
  SAVE_FAILED: 1 << 1,
  /** `maxmemory` is set. */
  MEMORY_LIMIT: 1 << 2,
  /** `min-replicas-to-write` is set. */
  REPLICAS_WANTED: 1 << 3,
  /** This node has a primary. */
  REPLICA: 1 << 4,
  /** The append only file cannot be written. */
  AOF_FAILED: 1 << 5,
  /** Clients take `maxmemory-clients` or more. */
  CLIENT_MEMORY: 1 << 6,
} as const;
export type Obstacle = (typeof Obstacle)[keyof typeof Obstacle];

/** Clients that wait for keys, as the server's state needs them. */
export interface Waits {
  /** Whether any client waits: asked at each change. */
  readonly anyWaits: boolean;
  readonly clientCount: number;
  readonly keyCount: number;
  /** The number of keys whose waiters also want to know about deletions. */
  readonly keyCountOnDeletion: number;
  block(call: WaitingCall, request: BlockRequest): void;
  keyModified(dbIndex: number, bytes: Uint8Array, start: number, length: number): void;
  databaseModified(dbIndex: number): void;
  /** Writes are no longer paused, a load has ended, or another dataset is here. */
  allowed(): void;
}

/** Steps in the life of a node, for a program that runs it as a process. */
export type Stage = 'loading' | 'ready' | 'stopping' | 'saving' | 'stop failed';

const NO_LIMIT: OutputLimit = { hardBytes: 0, softBytes: 0, softMs: 0 };

export class Server implements ServerPort {
  readonly config: Config;
  readonly log: Logger;
  readonly clock: Clock;
  readonly settings: Settings;
  readonly runId: string;
  readonly prng: Prng;
  readonly hashKey: HashKey;
  readonly stats = new ServerStats();
  /** Owns all shared memory of the node. */
  readonly memory = new SharedMemory();
  readonly watchTable = new WatchTable();
  readonly pubsub = new PubSub();
  readonly bufferPool = new BufferPool();
  readonly requestLimits: RequestLimits = defaultLimits();
  /**
   * `client-output-buffer-limit` of clients that are no replicas; that of replicas is the
   * fan-out's.
   */
  readonly outputLimits: { normal: OutputLimit; pubsub: OutputLimit };
  /** Connected clients, replicas among them, by id. */
  readonly clients = new Map<number, Connection>();
  /** Sockets of those who were clients, and of those who were turned away. */
  readonly departures = new Departures(() => this.config.values.maxclients - this.clients.size);
  readonly clientMemory = new ClientMemory<Connection>();
  readonly history: ReplicationHistory;
  readonly streamLog: StreamLog;
  readonly feed: Feed;
  /** FAILOVER: whether this node is handing its role as the primary over. */
  readonly failover = new FailoverState();
  /** The end of the stream, whoever makes it. */
  readonly position: StreamPosition;
  readonly startedMs: number;
  keyspace: Keyspace;
  eventClasses = 0;
  deletesExpired = true;
  /** This node follows a primary: it makes no bytes of the stream itself. */
  isReplica = false;
  /** Set once, when the node is wired. */
  waits: Waits | undefined = undefined;
  /** Releases all views of the memory of the dataset; set once, too. */
  onKeyspaceReplaced: (() => void) | undefined = undefined;
  /**
   * Called before replies leave: what they confirm is in the append only file. Undefined without
   * one.
   */
  onBeforeReplies: (() => void) | undefined = undefined;
  /** Called at each step. */
  onStage: (stage: Stage) => void = () => {};
  /** The service manager that was told of the start, as INFO spells it. */
  supervision: 'no' | 'systemd' | 'upstart' = 'no';
  /** DEBUG QUICKLIST-PACKED-THRESHOLD, for this dataset and those after it. */
  listPlainBytesMin: number = Number.POSITIVE_INFINITY;
  /** See {@link saveEmptied}; set once, too. */
  onEmptied: (() => boolean) | undefined = undefined;
  /** Off under DEBUG SET-ACTIVE-EXPIRE 0. */
  activeExpire = true;
  /** Bits of {@link Obstacle}. */
  obstacles = 0;
  /** Changes since the last successful save, for save points. */
  dirty = 0;
  #writePauses = 0;
  /** The stream up to here is on disk; -1 without an append only file. */
  syncedOffset: () => number = () => -1;
  #nextClientId = 1;
  #accessMs = -1;
  #accessClock = 0;

  constructor(config: Config, log: Logger, clock: Clock) {
    this.config = config;
    this.log = log;
    this.clock = clock;
    this.settings = config.values;
    this.runId = randomHex40(randomBytes);
    this.prng = new Prng(randomBytes(4).readUInt32LE());
    const key = randomBytes(8);
    this.hashKey = { key0: key.readInt32LE(0), key1: key.readInt32LE(4) };
    this.history = new ReplicationHistory(randomBytes);
    this.streamLog = new StreamLog(config.values.replBacklogSize, asOffset(0), this.memory);
    this.feed = new Feed(this.streamLog);
    this.position = new StreamPosition(this.streamLog, this.history, this.feed);
    this.outputLimits = { normal: NO_LIMIT, pubsub: NO_LIMIT };
    this.startedMs = clock.nowMs();
    this.keyspace = this.#emptyKeyspace();
  }

  get nowMs(): number {
    return this.clock.nowMs();
  }

  get expiresKeys(): boolean {
    return this.deletesExpired && this.#writePauses === 0;
  }

  /**
   * The number of holders of clients' writes: CLIENT PAUSE, failover, shutdown. Nothing may expire
   * then either, since the stream must stand still.
   */
  get writePauses(): number {
    return this.#writePauses;
  }

  set writePauses(count: number) {
    this.#writePauses = count;
    if (count === 0) this.#allowWaiters();
  }

  /** A dataset is being loaded and commands without the flag LOADING are refused. */
  get loading(): boolean {
    return this.hasObstacle(Obstacle.LOADING);
  }

  set loading(loading: boolean) {
    this.setObstacle(Obstacle.LOADING, loading);
    if (!loading) this.#allowWaiters();
  }

  /** Lets waiting clients be served in another turn, though no command may run then. */
  #allowWaiters(): void {
    const { waits } = this;
    if (waits?.anyWaits === true) setImmediate(() => waits.allowed());
  }

  hasObstacle(obstacle: Obstacle): boolean {
    return (this.obstacles & obstacle) !== 0;
  }

  setObstacle(obstacle: Obstacle, isThere: boolean): void {
    if (isThere) this.obstacles |= obstacle;
    else this.obstacles &= ~obstacle;
  }

  get streaming(): boolean {
    return this.streamLog.active;
  }

  /** Computed only when time has passed: each command asks. */
  get accessClock(): number {
    const nowMs = this.clock.nowMs();
    if (nowMs !== this.#accessMs) {
      this.#accessMs = nowMs;
      this.#accessClock = Math.floor(nowMs / LRU_RESOLUTION_MS) & LRU_CLOCK_MASK;
    }
    return this.#accessClock;
  }

  nextClientId(): number {
    return this.#nextClientId++;
  }

  /** Counts an error reply by its first word. */
  noteError(error: string): void {
    const { stats } = this;
    if (stats.noteError(error)) return;
    this.log.warning(
      'Errorstats stopped adding new errors because the number of errors reached the limit ' +
        `(suggested action: reset with 'CONFIG RESETSTAT'). Limit: ${ERROR_CODES_MAX}.`,
    );
    this.log.warning(`Current errors code list: ${[...stats.errorsByCode.keys()].join(', ')}`);
    stats.stopErrorCodes();
  }

  block(call: WaitingCall, request: BlockRequest): void {
    this.waits!.block(call, request);
  }

  keyModified(dbIndex: number, bytes: Uint8Array, start: number, length: number): void {
    const { watchTable, waits } = this;
    if (watchTable.anyWatched)
      watchTable.keyModified(dbIndex, bytes, start, length, this.deletesExpired);
    if (waits?.anyWaits === true) waits.keyModified(dbIndex, bytes, start, length);
  }

  keyReady(dbIndex: number, bytes: Uint8Array, start: number, length: number): void {
    if (this.waits?.anyWaits === true) this.waits.keyModified(dbIndex, bytes, start, length);
  }

  keyEvent(
    _eventClass: number,
    event: string,
    dbIndex: number,
    bytes: Uint8Array,
    start: number,
    length: number,
  ): void {
    this.pubsub.keyEvent(this.eventClasses, event, dbIndex, bytes.subarray(start, start + length));
  }

  databaseModified(dbIndex: number, other?: number): void {
    this.watchTable.databaseModified(dbIndex, this.keyspace, this.nowMs, other);
    this.waits?.databaseModified(dbIndex);
  }

  /**
   * Replaces the dataset by an empty one; constant time, the old arena goes as a whole. Works also
   * when the system has no memory for another arena.
   */
  flushAll(): void {
    let empty: Keyspace;
    try {
      empty = this.#emptyKeyspace();
    } catch (error) {
      if (codeOf(error) !== ErrorCode.ARENA_FULL) throw error;
      this.#emptyInPlace();
      return;
    }
    this.replaceKeyspace(empty);
  }

  /**
   * Empties the dataset within its own memory: in constant time, or, while a snapshot reads it, by
   * freeing its objects in slices.
   */
  #emptyInPlace(): void {
    const old = this.keyspace;
    this.databaseModified(-1);
    if (old.arena.frozen) for (const index of old.databases.keys()) old.flush(index);
    else this.#serve(Keyspace.inPlaceOf(old));
  }

  #emptyKeyspace(): Keyspace {
    return new Keyspace(this.config.values.databases, this.hashKey, undefined, {
      memory: this.memory,
    });
  }

  saveEmptied(): boolean {
    return this.onEmptied?.() ?? false;
  }

  /** Replaces the present dataset by another one. */
  replaceKeyspace(keyspace: Keyspace): void {
    this.databaseModified(-1);
    const old = this.keyspace;
    this.#serve(keyspace);
    old.drop();
    this.#allowWaiters();
  }

  #serve(keyspace: Keyspace): void {
    this.keyspace = keyspace;
    keyspace.structures.quicklists.plainBytesMin = this.listPlainBytesMin;
    this.onKeyspaceReplaced?.();
  }
}
