/**
 * The primary above this node: the connection to it, its dump, and its stream that is applied
 * here.
 *
 *   socket ─▶ LinkReader ─┬─ lines ──▶ LinkState ──▶ actions, done here
 *                         ├─ dump ─┬─▶ ring ──▶ load worker ──▶ a new dataset, which takes the place of the old one
 *                         │        └─▶ passed on to the replicas below that need one, as it comes
 *                         └─ stream ─▶ Applier ──▶ dataset, and the log for those below
 *
 * In a full sync over two connections the dump comes over the second one, and what the main one
 * brings meanwhile is held (held-stream.ts). After the swap it is applied, a block in each turn,
 * before the main connection is read again.
 *
 * replication/link-state.ts makes the decisions. The old dataset is served until a whole new one is
 * there, also when the sync fails, unless `repl-diskless-load` says otherwise (load-way.ts).
 *
 * The swap takes one turn. It changes the dataset, the id and offset of its stream, and the log,
 * which begins after that offset. Replicas below that follow the old stream keep their link until
 * that turn. Then they reconnect and learn of the new stream. Replicas that read the dump continue
 * with the log that begins in that turn. If the link or the load fails, their links end.
 *
 *   history.replid + log's end     the stream that this node holds, also when it was a primary
 *                                  itself; this node asks for the bytes after it
 *
 * Main thread.
 */
import { assert, unreachable } from '../../base/assert.ts';
import { codeOf, ErrorCode, OperatingError } from '../../base/errors.ts';
import { asOffset } from '../../base/units.ts';
import type { CachedStream, LinkAction } from '../../replication/link-phase.ts';
import { type LinkReader, MARK_BYTES } from '../../replication/link-reader.ts';
import { LinkState } from '../../replication/link-state.ts';
import { LoadWay } from '../../replication/load-way.ts';
import { LogLevel, secondIdLine } from '../../replication/psync.ts';
import { Reply } from '../../resp/reply.ts';
import type { Loaded } from '../../workers/load-job.ts';
import type { CommandRow } from '../dispatch/command-lookup.ts';
import type { Dispatcher } from '../dispatch/dispatcher.ts';
import type { Session } from '../dispatch/session.ts';
import type { Housekeeping } from '../housekeeping.ts';
import { logLoaded } from '../load-log.ts';
import { Obstacle, type Server } from '../server.ts';
import type { LoadView, PassedDump } from '../snapshot-source.ts';
import { Applier, UpstreamSession } from './applier.ts';
import { DumpIntake } from './dump-intake.ts';
import { DumpLoading } from './dump-loading.ts';
import { HeldStream } from './held-stream.ts';
import { type ConnectionEvents, LinkConnection } from './link-connection.ts';
import {
  FINAL_ERRORS,
  type Grant,
  isKnown,
  linkOptions,
  NO_DATA_HELD,
  OWN_STREAM_KEPT,
  replicaRefusal,
  type UpstreamParts,
} from './upstream-parts.ts';

const SECOND_MS = 1000;
export class Upstream {
  readonly link: LinkState;
  host = '';
  port = 0;
  readonly #server: Server;
  readonly #parts: UpstreamParts;
  readonly #main: LinkConnection;
  /** The connection of the dump, when that does not come over the main one. */
  #second: LinkConnection | undefined = undefined;
  /** The stream that has come behind the dump and is not applied yet. */
  readonly held: HeldStream;
  /** The next block of it is to be applied. */
  #draining: NodeJS.Immediate | undefined = undefined;
  /** Why the main connection is gone, while what it has brought is still to be applied. */
  #lostReason: string | undefined = undefined;
  #dispatcher: Dispatcher | undefined = undefined;
  #applier: Applier | undefined = undefined;
  #grant: Grant | undefined = undefined;
  #loading: DumpLoading | undefined = undefined;
  /** The old dataset is gone, and the new one is not there yet. */
  #isFlushed = false;
  #intake: DumpIntake | undefined = undefined;
  /** Bytes of a dump that was loaded before its mark has come; -1 otherwise. */
  #loadedBytes = -1;
  /** The dump that arrives, for those below. */
  #passed: PassedDump | undefined = undefined;
  /** Resolves the wait for the dump's last byte. */
  #onPayloadEnd: (() => void) | undefined = undefined;
  /** The database that the stream had selected when it was last applied. */
  #selectedDb = 0;
  #secondMs = 0;
  /** The holders that keep the link from changing the dataset. */
  #holders = 0;
  /** A dump that is loaded waits: for their end, for the stream behind it, or for its own end. */
  #onSwapDue: (() => void)[] = [];

  constructor(server: Server, parts: UpstreamParts) {
    this.#server = server;
    this.#parts = parts;
    this.link = new LinkState(
      () => linkOptions(server, parts.port()),
      () => this.#held(),
    );
    this.held = new HeldStream(() => {
      const { replicaFullSyncBufferLimit, clientOutputBufferLimit } = server.config.values;
      return replicaFullSyncBufferLimit || clientOutputBufferLimit.replica.hardBytes;
    });
    this.#main = new LinkConnection({
      ...this.#takers(),
      opened: () => this.#act(this.link.opened(this.#nowMs())),
      closed: (reason) => this.#mainClosed(reason),
      line: (text) => this.#act(this.link.line(text, this.#nowMs())),
    });
  }

  /** Registers its commands and ticks. */
  wire(dispatcher: Dispatcher, housekeeping: Housekeeping): void {
    this.#dispatcher = dispatcher;
    housekeeping.onTick((nowMs) => this.#tick(nowMs));
    dispatcher.guards.push((session, row, flags) => this.#refusal(session, row, flags));
    dispatcher.afterRoleChange = (session, row) =>
      this.isReplica ? this.#refusal(session, row, row.flags) : undefined;
  }

  /** This node has a primary. */
  get isReplica(): boolean {
    return this.host !== '';
  }

  get isUp(): boolean {
    return this.link.isUp;
  }

  /** Milliseconds since the primary last sent something. */
  get silentMs(): number {
    return this.#nowMs() - this.link.lastHeardMs;
  }

  /** The primary as a client of this node, from the sync on. */
  get client(): UpstreamSession | undefined {
    return this.#applier?.session;
  }

  /** CLIENT KILL: ends the connection to the primary, and makes another one. */
  cut(): void {
    this.#leaveLink();
    this.#act(this.link.closed('', this.#nowMs()));
  }

  /** The running load of a dump, for INFO. */
  get loadView(): LoadView | undefined {
    return this.#loading?.view;
  }

  /** The old dataset is gone and the dump of the primary is being loaded. */
  get loadsAlone(): boolean {
    return this.#isFlushed;
  }

  /** The database that the stream has selected at the applied offset. */
  get selectedDb(): number {
    return this.#applier?.selectedDb ?? this.#selectedDb;
  }

  /** Follows the primary of REPLICAOF host port, or of `replicaof` at the start. */
  follow(host: string, port: number): void {
    const server = this.#server;
    const wasReplica = this.isReplica;
    this.host = host;
    this.port = port;
    server.isReplica = true;
    server.position.madeBy(this);
    server.deletesExpired = false;
    server.setObstacle(Obstacle.REPLICA, true);
    if (!wasReplica) {
      if (server.streamLog.active) {
        server.log.notice(OWN_STREAM_KEPT);
      }
      // A primary's own stream ends here. The node that continues it selects a database again.
      this.#selectedDb = Math.max(0, server.feed.selectedDb);
    }
    // Also clients of a replica may wait, for example in XREAD.
    this.#parts.unblockAll(
      'UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)',
    );
    this.#leaveLink();
    this.#act(this.link.follow(`${host}:${port}`, this.#nowMs()));
  }

  /**
   * REPLICAOF NO ONE: the applied stream goes on under a new id. The old id stays good for what it
   * covers.
   */
  unfollow(): void {
    if (!this.isReplica) return;
    const server = this.#server;
    const { history, streamLog, feed, log } = server;
    this.#act(this.link.unfollow(this.#nowMs()));
    this.#leaveLink();
    this.host = '';
    this.port = 0;
    server.isReplica = false;
    server.position.madeBy(feed);
    server.deletesExpired = true;
    server.setObstacle(Obstacle.REPLICA, false);
    if (streamLog.active) {
      history.shift(streamLog.endOffset);
      log.warning(secondIdLine(history).text);
    }
    feed.invalidateSelect();
    this.#parts.dropReplicas('the node is a primary now');
  }

  /**
   * Until {@link release}, the primary's stream is not applied and its dump is not taken: the bytes
   * wait in the kernel. The link stays.
   */
  hold(): void {
    this.#holders++;
    this.#regulate();
  }

  release(): void {
    this.#holders--;
    if (this.#holders > 0) return;
    this.link.heldBack(this.#nowMs());
    this.#swapDue();
    if (this.#applier !== undefined && this.held.isActive) this.#drainSoon();
    this.#regulate();
  }

  /**
   * A command has found no memory: the dataset does not match the stream. The next sync is a full
   * one.
   */
  diverged(): void {
    if (this.#applier !== undefined) this.#applier.diverged = true;
    else this.#forget();
  }

  /** The dataset is another one, for `reason`: the next sync is a full one. */
  datasetLost(reason: string): void {
    this.#act(this.link.datasetLost(reason, this.#nowMs()));
  }

  /** The nodes above have told that they lead back to this one. */
  loopSeen(): void {
    this.#act(this.link.loopSeen());
  }

  /** Lets the worker release its references to shared memory. */
  collectWorker(): void {
    this.#parts.pool.collect();
  }

  /** Ends the connection; the node stops. */
  async close(): Promise<void> {
    this.#leaveLink();
    await this.#parts.pool.close();
  }

  #refusal(session: Session, row: CommandRow, flags: number): string | undefined {
    if (!this.isReplica || session.fromPrimary) return undefined;
    return replicaRefusal(this.#server.config.values, this.isUp, row, flags);
  }

  #nowMs(): number {
    return this.#server.clock.monotonicMs();
  }

  #held(): CachedStream | undefined {
    const { history, streamLog } = this.#server;
    return streamLog.active ? { replid: history.replid, offset: streamLog.endOffset } : undefined;
  }

  #tick(nowMs: number): void {
    const isDue = nowMs - this.#secondMs >= SECOND_MS || nowMs < this.#secondMs;
    if (!this.isReplica || !(isDue || this.#server.failover.isRunning)) return;
    this.#secondMs = nowMs;
    if (this.held.isActive) this.#regulate();
    if (this.#holders > 0 || this.#intake?.isFull === true || this.#isDraining)
      this.link.heldBack(this.#nowMs());
    this.#act(
      this.link.tick(this.#server.streamLog.endOffset, this.#server.syncedOffset(), this.#nowMs()),
    );
  }

  #act(actions: readonly LinkAction[]): void {
    for (const action of actions) this.#do(action);
    if (!this.link.isRising && !this.link.isUp) this.#parts.linkFailed();
  }

  #do(action: LinkAction): void {
    const { log, history } = this.#server;
    switch (action.kind) {
      case 'log':
        if (action.line.level === LogLevel.WARNING) log.warning(action.line.text);
        else log.notice(action.line.text);
        break;
      case 'connect':
        this.#connect();
        break;
      case 'write':
        this.#main.write(action.text);
        break;
      case 'connect-second':
        this.#connectSecond();
        break;
      case 'write-second':
        this.#second?.write(action.text);
        break;
      case 'close-second':
        this.#leaveSecond();
        break;
      case 'hold-stream':
        this.held.begin();
        this.#main.reader.expectStream();
        this.#swapDue();
        break;
      case 'close':
        this.#leaveLink();
        break;
      case 'full':
        this.#grant = action;
        break;
      case 'payload':
        this.#load(action.bytes, action.mark, action.way);
        break;
      case 'continue': {
        const isNew =
          action.replid !== '' &&
          history.continueAs(action.replid, this.#server.streamLog.endOffset);
        if (isNew) this.#parts.dropReplicas('the stream has a new id');
        this.#startApplying(this.#selectedDb);
        break;
      }
      case 'failover':
        this.#parts.failoverAnswered(action.accepted);
        break;
      case 'forget':
        this.#forget();
        break;
      default:
        unreachable(action);
    }
  }

  #connect(): void {
    this.#leaveLink();
    this.#main.connect(this.host, this.port, this.#server.config.values.bindSourceAddr);
    this.#regulate();
  }

  #connectSecond(): void {
    const second = new LinkConnection({
      ...this.#takers(),
      opened: () => this.#act(this.link.secondOpened(this.#nowMs())),
      closed: (reason) => this.#act(this.link.secondClosed(reason, this.#nowMs())),
      line: (text) => this.#act(this.link.secondLine(text, this.#nowMs())),
    });
    this.#second = second;
    second.connect(this.host, this.port, this.#server.config.values.bindSourceAddr);
    this.#regulate();
  }

  #leaveSecond(): void {
    this.#second?.leave();
    this.#second = undefined;
  }

  #takers(): Pick<ConnectionEvents, 'received' | 'payload' | 'payloadEnded' | 'stream'> {
    return {
      received: (bytes, take) => this.#received(bytes, take),
      payload: (bytes, start, end) => {
        this.link.received(end - start, this.#nowMs());
        this.#intake?.take(bytes, start, end);
      },
      payloadEnded: () => this.#payloadEnded(),
      stream: (bytes, start, end) => {
        if (this.held.isActive) this.#hold(bytes, start, end);
        else this.#apply(bytes, start, end);
      },
    };
  }

  /** The connection over which the dump comes. */
  get #dumpReader(): LinkReader {
    return (this.#second ?? this.#main).reader;
  }

  /** Reads from the primary, unless the link is held, or the dump or the stream has no room. */
  #regulate(): void {
    const isFree = this.#holders === 0;
    const takesDump = this.#intake?.isReady !== false;
    if (this.#second !== undefined) this.#second.reads = isFree && takesDump;
    let takesMain = this.#second !== undefined || takesDump;
    if (this.held.isActive) takesMain = !this.held.isFull && !this.#isDraining;
    this.#main.reads = isFree && takesMain;
  }

  #mainClosed(reason: string): void {
    if (this.held.isActive && this.link.outlivesMain) {
      this.#lostReason = reason;
      this.#act(this.link.mainLost(reason));
      return;
    }
    this.#leaveLink();
    this.#act(this.link.closed(reason, this.#nowMs()));
  }

  #received(bytes: number, take: () => void): void {
    const server = this.#server;
    server.clock.tick();
    server.stats.netInputBytes += bytes;
    server.stats.netReplInputBytes += bytes;
    server.stats.readsProcessed++;
    this.#read(take);
    if (this.#loadedBytes >= 0) this.#checkMark();
  }

  /** Takes the bytes that came. Bytes that no primary sends end the link. */
  #read(take: () => void): void {
    try {
      take();
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error;
      if (error.code === ErrorCode.ARENA_FULL) {
        this.#act(this.link.datasetLost(error.message, this.#nowMs()));
        return;
      }
      if (error.code !== ErrorCode.CORRUPT) throw error;
      this.#act(this.link.streamFailed(error.message, this.#nowMs()));
    }
  }

  /** Drops the connection and a dump that is being received. The stream that is held stays. */
  #leaveLink(): void {
    this.#main.leave();
    this.#leaveSecond();
    this.held.end();
    clearImmediate(this.#draining);
    this.#draining = undefined;
    this.#lostReason = undefined;
    if (this.#applier !== undefined) this.#selectedDb = this.#applier.selectedDb;
    this.#applier?.stop();
    this.#applier = undefined;
    this.#grant = undefined;
    this.#loadedBytes = -1;
    this.#onPayloadEnd?.();
    this.#onPayloadEnd = undefined;
    this.#intake?.fail();
    this.#intake = undefined;
    this.#passed = undefined;
    this.#loading?.cancel();
    this.#loading = undefined;
    this.#swapDue();
    this.#loadEnded(false);
  }

  /** Holds the stream that has come before the dump is loaded. */
  #hold(bytes: Uint8Array, start: number, end: number): void {
    const { held } = this;
    held.push(bytes, start, end);
    if (!held.isFull) return;
    this.#server.log.notice(held.fullText);
    this.#regulate();
  }

  /** What was held is being applied; the main connection waits. */
  get #isDraining(): boolean {
    return this.held.isActive && this.#applier !== undefined;
  }

  #drainSoon(): void {
    this.#draining ??= setImmediate(() => {
      this.#draining = undefined;
      this.#drain();
    });
  }

  /** Applies the next block of what was held. */
  #drain(): void {
    const { held } = this;
    // The one who holds the link calls again.
    if (this.#holders > 0) return;
    const bytes = held.next();
    this.#server.clock.tick();
    if (bytes.length > 0) {
      this.#read(() => this.#apply(bytes, 0, bytes.length));
      // The bytes may have ended the link.
      if (!held.isActive) return;
      held.taken();
    }
    if (held.heldBytes > 0) {
      this.#drainSoon();
      return;
    }
    this.#server.log.notice(held.appliedText);
    held.end();
    const reason = this.#lostReason;
    if (reason === undefined) this.#regulate();
    else this.#mainClosed(reason);
  }

  #apply(bytes: Uint8Array, start: number, end: number): void {
    this.link.heard(this.#nowMs());
    const applier = this.#applier;
    if (applier === undefined) return;
    applier.push(bytes, start, end);
    this.#parts.flush();
  }

  #startApplying(dbIndex: number): void {
    const server = this.#server;
    assert(this.#dispatcher !== undefined, 'the stream is applied once the node is wired');
    const { socket } = this.#main;
    const reply = new Reply(server.bufferPool);
    const session = new UpstreamSession(server.nextClientId(), reply, socket, server.nowMs);
    this.#applier = new Applier(server, this.#dispatcher, session, dbIndex, () => {
      this.#act(
        this.link.acknowledge(server.streamLog.endOffset, server.syncedOffset(), this.#nowMs()),
      );
    });
    this.#main.reader.expectStream();
  }

  /** The dump begins. */
  #load(bytes: number, mark: string, way: LoadWay): void {
    const server = this.#server;
    const totalBytes = mark === '' ? bytes : -1;
    if (way === LoadWay.FLUSH_FIRST) this.#flushOld();
    const loading = new DumpLoading(server, this.#parts.pool, way, totalBytes, () =>
      this.#flushOld(),
    );
    this.#loading = loading;
    const grant = this.#grant;
    const canPass = grant !== undefined && isKnown(grant);
    this.#passed = canPass ? this.#parts.passOn(grant.replid, grant.offset, totalBytes) : undefined;
    const takers = [loading.taker, ...(this.#passed === undefined ? [] : [this.#passed])];
    this.#intake = new DumpIntake(takers, () => this.#regulate());
    const ended = new Promise<void>((resolve) => {
      this.#onPayloadEnd = resolve;
    });
    const reader = this.#dumpReader;
    if (mark === '') reader.expectPayload(bytes);
    else reader.expectPayloadUntil(mark);
    this.#followLoad(loading, ended);
  }

  #payloadEnded(): void {
    this.#loadedBytes = -1;
    this.link.payloadEnded(this.#nowMs());
    // The bytes after it wait in the kernel until the dump is loaded.
    this.#intake?.end();
    this.#onPayloadEnd?.();
  }

  async #followLoad(loading: DumpLoading, payloadEnded: Promise<void>): Promise<void> {
    let loaded: Loaded;
    try {
      loaded = await loading.finished;
    } catch (error) {
      // An error without a code is a fault of the program, which ends it.
      const code = codeOf(error);
      if (!(error instanceof OperatingError)) throw error;
      if (this.#loading === loading) {
        const isFinal = FINAL_ERRORS.has(code as ErrorCode);
        this.#act(this.link.loadFailed(error.message, isFinal, this.#nowMs()));
      }
      return;
    }
    if (this.#loading === loading && this.#dumpReader.heldBytes > 0) {
      this.#loadedBytes = loaded.result.bytes;
      this.#checkMark();
    }
    await payloadEnded;
    // The mark may have come before the worker was done.
    if (this.#loading === loading && this.link.payloadBytes === 0 && !this.#isWhole(loaded))
      this.#broken();
    while (this.#loading === loading && (this.#holders > 0 || !this.link.hasStream)) {
      await new Promise<void>((resolve) => {
        this.#onSwapDue.push(resolve);
      });
    }
    if (this.#loading === loading) this.#take(loaded);
    else loaded.keyspace.drop();
  }

  /** Lets a dump that is loaded see whether it may take its place. */
  #swapDue(): void {
    for (const go of this.#onSwapDue.splice(0)) go();
  }

  /** Ends the link when a dump that was loaded is followed by anything but its mark. */
  #checkMark(): void {
    const { heldBytes } = this.#dumpReader;
    if (this.link.payloadReceived + heldBytes >= this.#loadedBytes + MARK_BYTES) this.#broken();
  }

  /** Whether the dump that was loaded is all that came before the mark. */
  #isWhole({ result }: Loaded): boolean {
    return this.link.payloadReceived === result.bytes;
  }

  #broken(): void {
    const reason = 'Replication stream EOF marker is broken';
    this.#act(this.link.loadFailed(reason, false, this.#nowMs()));
  }

  /** The dump is loaded: dataset, history and log are those of the primary from this turn on. */
  #take(loaded: Loaded): void {
    const server = this.#server;
    const grant = this.#grant;
    const { history, streamLog } = server;
    const { aux, functions } = loaded.result;
    assert(grant !== undefined, 'a dump that was loaded was granted');
    server.clock.tick();
    logLoaded(server.log, loaded.result, server.clock.nowMs());
    if (!this.#beginStream(grant)) {
      loaded.keyspace.drop();
      return;
    }
    this.#loading = undefined;
    this.#intake = undefined;
    const passed = this.#passed;
    this.#passed = undefined;
    server.replaceKeyspace(loaded.keyspace);
    this.#loadEnded(true);
    this.#parts.takeFunctions(functions);
    server.dirty = 0;
    if (isKnown(grant)) history.adopt(grant.replid);
    else history.renew();
    this.#parts.dumpLoaded(passed);
    this.#selectedDb = grant.dbIndex >= 0 ? grant.dbIndex : (aux.replication?.streamDb ?? 0);
    this.#act(this.link.loaded(streamLog.endOffset, this.#nowMs()));
    // Bytes after the dump may have come with it.
    this.#read(() => this.#startApplying(this.#selectedDb));
    if (this.held.isActive) {
      server.log.notice(this.held.beginText);
      this.#drainSoon();
    }
    this.#regulate();
  }

  /**
   * The log begins again where the dump of `grant` ends. False when the system refuses its memory:
   * the dataset stays then, without a stream, and the link tries again later.
   */
  #beginStream(grant: Grant): boolean {
    const { streamLog, log } = this.#server;
    if (streamLog.active) log.notice('Discarding previously cached master state.');
    this.#parts.dropReplicas('a full sync has replaced the dataset');
    this.#parts.leaveStream();
    if (streamLog.active) streamLog.drop();
    try {
      streamLog.start(isKnown(grant) ? grant.offset : asOffset(0));
      return true;
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error;
      this.#server.history.renew();
      this.#act(this.link.loadFailed(error.message, true, this.#nowMs()));
      return false;
    }
  }

  /** The old dataset and its stream go, to make room for the dump. Clients get -LOADING. */
  #flushOld(): void {
    const server = this.#server;
    const { streamLog } = server;
    server.log.notice('MASTER <-> REPLICA sync: Flushing old data');
    this.#parts.dropReplicas('a full sync replaces the dataset');
    this.#parts.leaveStream();
    if (streamLog.active) streamLog.drop();
    // An append only file may begin a log before a whole dump is here: not one of the old stream.
    server.history.renew();
    server.flushAll();
    server.dirty = 0;
    server.loading = true;
    this.#isFlushed = true;
    server.log.notice('MASTER <-> REPLICA sync: Loading DB in memory');
  }

  /** A load for which the old dataset was flushed is over. */
  #loadEnded(isLoaded: boolean): void {
    if (!this.#isFlushed) return;
    this.#isFlushed = false;
    this.#server.loading = false;
    if (!isLoaded) this.#server.log.warning(NO_DATA_HELD);
  }

  /** The stream that is held cannot be trusted: the next sync is a full one. */
  #forget(): void {
    const { history, streamLog } = this.#server;
    this.#parts.dropReplicas('the stream is broken');
    this.#parts.leaveStream();
    if (streamLog.active) streamLog.drop();
    history.renew();
  }
}
