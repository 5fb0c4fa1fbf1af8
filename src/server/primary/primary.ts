/**
 * This node as the primary of its replicas: the attached peers, the answers to them, and periodic
 * work.
 *
 *   PSYNC, SYNC ──decidePsync──▶ continue ──▶ fan-out        a peer that gets the stream
 *                          └───▶ full ──▶ full syncs ──▶ fan-out
 *   REPLCONF ACK ──▶ peer's state ──▶ clients in WAIT, shutdown
 *
 *   each second   keepalives, timeouts, PING, backlog's ttl, good replicas
 *   each tick     output limits, full syncs that wait
 *   each MiB      output limits
 *
 * src/replication/ makes the decisions, without sockets; this acts on them. Main thread.
 */
import { randomBytes } from 'node:crypto';
import { assert, unreachable } from '../../base/assert.ts';
import type { Logger } from '../../base/log.ts';
import { ClientMode } from '../../commands/client.ts';
import { Flag } from '../../commands/spec.ts';
import { channelFor, DUAL_CHANNEL } from '../../replication/channels.ts';
import { cutOffText, OutputVerdict } from '../../replication/output-limit.ts';
import {
  backlogCreatedLine,
  decidePsync,
  LogLevel,
  type LogLine,
  linkDownLine,
  type PsyncDecision,
  type PsyncNode,
  type PsyncRequest,
} from '../../replication/psync.ts';
import { applyReplconf, introduction } from '../../replication/replconf.ts';
import {
  Channel,
  countGood,
  Framing,
  PeerEvent,
  Phase,
  phaseName,
  type ReplicaState,
  replicaName,
} from '../../replication/replica-state.ts';
import { StreamTimes } from '../../replication/stream-times.ts';
import type { Dispatcher } from '../dispatch/dispatcher.ts';
import type { Housekeeping } from '../housekeeping.ts';
import { becomePrimary } from '../link/roles.ts';
import type { Upstream } from '../link/upstream.ts';
import type { Connection } from '../net/connection.ts';
import { Obstacle, type Server } from '../server.ts';
import type { DumpSnapshot, SnapshotSource } from '../snapshot-source.ts';
import { Chain } from './chain.ts';
import { Channels } from './channels.ts';
import { Compaction } from './compaction.ts';
import { Dialects } from './dialects.ts';
import { FanOut } from './fan-out.ts';
import { FullSyncs, spoolsFirst } from './full-syncs.ts';
import { pinnedLagMax, replicaOutputLimit } from './limits.ts';
import { type PeerListener, ReplicaPeer } from './replica-peer.ts';
import { SyncWatch } from './sync-watch.ts';
import { WriteThrottle } from './throttle.ts';
import { Waiters } from './waiters.ts';

const SECOND_MS = 1000;
/** A replica that waits for writes to stop is served so soon after that. */
const PRESENT_MS = 500;

/** CONFIG SET makes of a smaller backlog one of this size, as in Redis. */
const BACKLOG_MIN = 16_384;

export class Primary implements PeerListener {
  readonly server: Server;
  readonly fanOut: FanOut;
  readonly fullSyncs: FullSyncs;
  readonly channels: Channels;
  /** Replicas, in the order in which they came. */
  readonly peers = new Set<ReplicaPeer>();
  /** Their states. */
  readonly states = new Set<ReplicaState>();
  readonly waiters: Waiters;
  readonly compaction: Compaction;
  readonly dialects: Dialects;
  /** When the stream ended where. */
  readonly times = new StreamTimes();
  readonly chain: Chain;
  readonly syncWatch: SyncWatch;
  readonly throttle: WriteThrottle;
  /** The primary of this node; set once, when the node is wired. */
  upstream: Upstream | undefined = undefined;
  /** Is told of each ACK; set once, too. */
  onAck: (() => void) | undefined = undefined;
  /**
   * Milliseconds from the last full sync's request to its dump's first byte; -1 before the first.
   */
  syncTtfbMs = -1;
  /** Replicas that min-replicas-to-write counts, as of the last second or change. */
  goodReplicas = 0;
  readonly #log: Logger;
  readonly #source: SnapshotSource;
  /** When the log ends beyond this, limits are checked before the next tick. */
  #checkOffset = 0;
  /** Clients that have sent REPLCONF or PSYNC. */
  readonly #byConnection = new Map<Connection, ReplicaPeer>();
  #getackDue = false;
  #secondMs = 0;
  /** Since this time there are no replicas. */
  #lonelySinceMs: number;
  /**
   * The offset up to which `replicasInSync` asked for acknowledgement, and the end of the log after
   * its GETACK.
   */
  #askedOffset = -1;
  #askedEnd = -1;

  constructor(server: Server, source: SnapshotSource) {
    this.server = server;
    this.compaction = new Compaction(server);
    this.compaction.onLost = () => this.#dropBefore(server.streamLog.readableFrom);
    this.waiters = new Waiters(server, this.states, () => server.syncedOffset());
    this.fanOut = new FanOut(server.streamLog, server.clock);
    this.channels = new Channels(server, this.fanOut);
    this.dialects = new Dialects(server);
    this.fullSyncs = new FullSyncs(server, source, randomBytes, this.dialects, () => {
      const { upstream } = this;
      return upstream?.isReplica === true && !upstream.isUp;
    });
    this.chain = new Chain(server, this.peers, this.times, () => this.upstream);
    this.syncWatch = new SyncWatch(server, this.dialects, () => this.#rateOver(PRESENT_MS));
    this.fullSyncs.waitMs = (peer) => this.syncWatch.waitMs(peer);
    this.throttle = new WriteThrottle(server, this.peers);
    this.#log = server.log;
    this.#source = source;
    this.#lonelySinceMs = server.clock.turnMs();
    server.config.onChange(['repl-backlog-size'], () => {
      if (server.config.values.replBacklogSize < BACKLOG_MIN)
        server.config.assign('repl-backlog-size', [String(BACKLOG_MIN)]);
      server.streamLog.backlogBytesMax = server.config.values.replBacklogSize;
      return null;
    });
    this.#noteReplicasWanted();
    server.config.onChange(['min-replicas-to-write', 'min-replicas-max-lag'], () => {
      this.#noteReplicasWanted();
      this.#countGood();
      return null;
    });
  }

  /** Registers with the dispatcher and for ticks. */
  wire(dispatcher: Dispatcher, housekeeping: Housekeeping): void {
    this.throttle.wire(dispatcher);
    dispatcher.guards.push((connection, _row, flags) =>
      (flags & Flag.WRITE) === 0 || connection.fromPrimary ? undefined : this.writeRefusal,
    );
    housekeeping.onTick(() => this.tick());
    housekeeping.afterSlice = () => this.turnEnded();
  }

  /** PSYNC and SYNC. A refusal is a reply; the peer writes everything else to the socket. */
  sync(connection: Connection, request: PsyncRequest): void {
    const { history, streamLog } = this.server;
    const peer = this.#peerOf(connection);
    const { state } = peer;
    const client = {
      name: replicaName(state),
      // As in Redis, a client that monitors cannot become a replica.
      isReplica: connection.isReplica || connection.monitor,
      hasPendingReplies: connection.pendingOutputBytes > 0,
      capaEof: state.capaEof,
      capaPsync2: state.capaPsync2,
      filtered: state.filter !== 0,
      channel: channelFor(state),
      isDumpChannel: state.isDumpChannel,
    };
    const decision = decidePsync(request, client, this.#place(), history, streamLog);
    switch (decision.kind) {
      case 'ignore':
        break;
      case 'refuse':
        this.#logLines(decision.log);
        connection.reply.error(decision.errorLine.slice(1, -2));
        break;
      case 'continue':
        this.#logLines(decision.log);
        this.#continue(peer, decision);
        break;
      case 'full':
        this.#logLines(decision.log);
        this.#fullSync(peer, decision);
        break;
      case 'channel':
        this.#logLines(decision.log);
        this.#offerChannel(peer, decision);
        break;
      case 'promote':
        this.#logLines(decision.log);
        this.#promote(connection);
        this.sync(connection, { ...request, failover: false });
        break;
      default:
        unreachable(decision);
    }
  }

  /** The primary hands its role over to this node: it came as a replica, by `connection`. */
  #promote(connection: Connection): void {
    const { server, upstream } = this;
    assert(upstream?.isReplica === true, 'a replica is promoted');
    becomePrimary(server, upstream);
    const asker = `'${connection.describe()}'`;
    this.#log.notice(`MASTER MODE enabled (failover request from ${asker})`);
  }

  /** The state of this node on which the answer to PSYNC depends. */
  #place(): PsyncNode {
    const { server, upstream } = this;
    return {
      isReplica: server.isReplica,
      linkUp: upstream?.link.isConfirmed ?? true,
      linkRising: upstream?.link.isRising ?? false,
      resyncs: upstream?.link.isSyncing ?? false,
      failingOver: server.failover.isActive,
      serveStalePsync: server.config.values.relayServeStalePsync,
      catchingUp: this.#catchesUp(),
      path: upstream?.link.trouble.pathBelow(server.runId) ?? '',
    };
  }

  /** The link to the primary came up less than `repl-timeout` ago. */
  #catchesUp(): boolean {
    const { server, upstream } = this;
    if (upstream === undefined || !upstream.isUp) return false;
    const upMs = server.clock.monotonicMs() - upstream.link.upSinceMs;
    return upMs < server.config.values.replTimeout * SECOND_MS;
  }

  /**
   * The dataset differs from the stream, for `reason`. No replica may continue; each gets a full
   * sync.
   */
  diverged(reason: string): void {
    const { history, streamLog, feed } = this.server;
    if (!streamLog.active) return;
    this.#log.warning(`${reason}: replicas get a full sync`);
    this.dropAll('the dataset has changed without the stream');
    history.renew();
    feed.invalidateSelect();
  }

  /** The link to the primary of this node has failed. */
  linkFailed(): void {
    const path = this.upstream?.link.trouble.pathBelow(this.server.runId) ?? '';
    this.fullSyncs.linkFailed(linkDownLine({ path }));
  }

  /**
   * Ends the links of all replicas, so that they ask again. Those that wait for a full sync, or get
   * one that is ahead of this node's stream, are no part of that stream and stay.
   */
  dropAll(reason: string): void {
    this.channels.releaseAll();
    for (const peer of [...this.peers]) {
      const { phase } = peer.state;
      const isWaiting = phase === Phase.WAIT_START || phase === Phase.WAIT_CHANNEL;
      if (isWaiting || peer.snapshot?.isAhead === true) continue;
      this.#log.notice(`Closing the link of replica ${replicaName(peer.state)}: ${reason}`);
      peer.connection.destroy();
    }
  }

  /** Ends the links of replicas that would come to a part of the log that is lost. */
  #dropBefore(offset: number): void {
    for (const peer of [...this.peers]) {
      if (peer.cursor === undefined || peer.cursor.offset >= offset) continue;
      const name = replicaName(peer.state);
      this.#log.notice(`Closing the link of replica ${name}: what it would be sent is lost`);
      peer.connection.destroy();
    }
  }

  /** REPLCONF with `args`, the words after it. */
  replconf(connection: Connection, args: readonly string[]): void {
    if (this.#answersHops(connection, args)) return;
    const peer = this.#peerOf(connection);
    const isFed = peer.state.takesStream;
    const outcome = applyReplconf(peer.state, args, this.#turnMs, this.channels);
    const { reply } = connection;
    const { chainReports } = this.server.config.values;
    if (outcome.reply.startsWith('-')) reply.error(outcome.reply.slice(1, -2));
    else if (outcome.introduced && chainReports) reply.simple(introduction(this.server.runId));
    else if (outcome.reply !== '') reply.ok();
    if (outcome.uncorked) {
      this.#log.notice(`Synchronization with replica ${replicaName(peer.state)} succeeded`);
      this.channels.synced(peer);
      if (isFed) this.#countGood();
      else this.#online(peer);
    }
    if (outcome.acked) {
      this.chain.acked(peer);
      this.waiters.noteAck();
      this.onAck?.();
    }
  }

  /** `REPLCONF headwater-hops <run id> headwater-below <hops>` of a headwater below. */
  #answersHops(connection: Connection, args: readonly string[]): boolean {
    const [word, id, secondWord, below] = args;
    const isAsked =
      word === 'headwater-hops' && secondWord === 'headwater-below' && args.length === 4;
    // On a replica's link there are no replies.
    if (!isAsked || connection.isReplica || !this.server.config.values.chainReports) return false;
    const answer = this.chain.answer(id!, below!);
    if (answer === undefined) connection.reply.error('ERR invalid list of hops');
    else connection.reply.bulkLatin1(answer);
    return true;
  }

  /**
   * The read event of a connection is over. Hot path: a node without replicas does almost nothing
   * here.
   */
  turnEnded(): void {
    // GETACK would move the end of the stream, which stands still while writes are paused.
    if (this.#getackDue && !this.server.isReplica && this.server.writePauses === 0) {
      this.#getackDue = false;
      this.server.feed.getack();
      this.fanOut.flushUrgently();
    } else {
      this.fanOut.turnEnded();
    }
    this.waiters.serve();
    if (this.server.streamLog.endOffset >= this.#checkOffset) this.#checkLimits();
  }

  /** Called `hz` times per second. */
  tick(): void {
    const turnMs = this.#turnMs;
    this.server.streamLog.trim();
    this.compaction.tick();
    this.#sample();
    this.fullSyncs.tick();
    this.#checkLimits();
    if (turnMs - this.#secondMs < SECOND_MS) return;
    this.#secondMs = turnMs;
    this.#eachSecond(turnMs);
  }

  /** The connection of a client is gone. */
  closed(connection: Connection): void {
    this.waiters.forget(connection);
    this.throttle.forget(connection);
    const peer = this.#byConnection.get(connection);
    if (peer === undefined) return;
    this.#byConnection.delete(connection);
    if (!this.peers.delete(peer)) return;
    const which = peer.state.isDumpChannel ? ' (rdbchannel)' : '';
    this.#log.notice(`Connection with replica${which} ${replicaName(peer.state)} lost.`);
    this.states.delete(peer.state);
    this.syncWatch.closed(peer);
    this.fanOut.remove(peer);
    this.fullSyncs.remove(peer);
    this.channels.closed(peer);
    peer.close();
    if (this.peers.size === 0) this.#lonelySinceMs = this.#turnMs;
    this.#countGood();
  }

  /** Asks all replicas for their ACK, at the end of this turn. */
  askForAcks(): void {
    // Without a replica it would only be bytes in the append only file.
    if (this.peers.size > 0) this.#getackDue = true;
  }

  /**
   * The error for a write while too few replicas follow (`min-replicas-to-write`), else undefined.
   */
  get writeRefusal(): string | undefined {
    if (!this.server.hasObstacle(Obstacle.REPLICAS_WANTED)) return undefined;
    return this.goodReplicas >= this.server.config.values.minReplicasToWrite
      ? undefined
      : 'NOREPLICAS Not enough good replicas to write.';
  }

  /**
   * For a shutdown: whether each replica, in whatever phase, has acknowledged all writes; asks those
   * that have not. May be called repeatedly; no write may come meanwhile.
   */
  replicasInSync(): boolean {
    const { streamLog, feed } = this.server;
    if (this.server.isReplica) return true;
    // The last GETACK itself needs no acknowledgement: it comes after the offset that counts.
    if (streamLog.endOffset !== this.#askedEnd)
      this.#askedOffset = this.#askedEnd = streamLog.endOffset;
    const offset = this.#askedOffset;
    if (this.#lagging(offset).length === 0) return true;
    if (this.#askedEnd === offset) {
      feed.getack();
      this.fanOut.flushUrgently();
      this.#askedEnd = streamLog.endOffset;
    }
    return false;
  }

  /** The log lines about the replicas at a shutdown. */
  replicaReport(): string[] {
    const { endOffset } = this.server.streamLog;
    const offset = endOffset === this.#askedEnd ? this.#askedOffset : endOffset;
    const late = this.#lagging(offset);
    const lines = late.map(
      (state) =>
        `Lagging replica ${replicaName(state)} reported offset ${offset - state.ackOffset} behind master, ` +
        `lag=${state.lagSeconds(this.#turnMs)}, state=${phaseName(state)}.`,
    );
    const count = this.states.size;
    if (count > 0)
      lines.push(`${count - late.length} of ${count} replicas are in sync when shutting down.`);
    return lines;
  }

  /** The dump that was passed on while it arrived is this node's dataset now. */
  dumpLoaded(dump: DumpSnapshot | undefined): void {
    for (const peer of this.fullSyncs.loaded(dump)) {
      this.fullSyncs.remove(peer);
      if (!peer.state.takesStream) continue;
      // The log has told of the others when their dump was sent.
      if (peer.state.framing === Framing.EOF_MARK)
        this.#log.notice(`Synchronization with replica ${replicaName(peer.state)} succeeded`);
      this.#online(peer);
    }
    this.#countGood();
  }

  stop(): void {
    this.throttle.stop();
    this.fanOut.stop();
    this.fullSyncs.stop();
  }

  // Reports of peers on their full sync.

  dumpBegan(peer: ReplicaPeer): void {
    this.syncTtfbMs = this.server.clock.monotonicMs() - peer.askedMs;
    peer.record.firstByteMs = this.syncTtfbMs;
  }

  dumpSent(peer: ReplicaPeer): void {
    this.#log.notice(peer.state.dumpSentText());
    peer.record.dumpSentMs = this.server.clock.monotonicMs();
    this.channels.dumpSent(peer);
    // Its stream is not there yet.
    if (peer.state.phase === Phase.WAIT_STREAM) return;
    this.fullSyncs.remove(peer);
    if (peer.state.phase === Phase.CLOSED) peer.closeGracefully();
    else if (peer.state.takesStream) this.#online(peer);
    this.#countGood();
  }

  dumpFailed(peer: ReplicaPeer): void {
    this.#log.warning(
      `Full sync with replica ${replicaName(peer.state)} failed: its part of the dump is lost`,
    );
    this.fullSyncs.dumpLost(peer);
    peer.connection.destroy();
  }

  channelBegins(peer: ReplicaPeer, snapshot: DumpSnapshot): string | undefined {
    return this.channels.begins(peer, snapshot);
  }

  #continue(peer: ReplicaPeer, decision: PsyncDecision & { kind: 'continue' }): void {
    this.server.stats.syncPartialOk++;
    this.#adopt(peer);
    const isBeside = this.channels.expects(peer);
    peer.continueFrom(decision.replyLine, decision.from, isBeside);
    if (isBeside) this.channels.continued(peer);
    this.fanOut.add(peer);
    this.#countGood();
  }

  /** The peer shall open a second connection for its dump. */
  #offerChannel(peer: ReplicaPeer, decision: PsyncDecision & { kind: 'channel' }): void {
    const { channel, countsAsPartialError, needsNewHistory } = decision;
    if (countsAsPartialError) this.server.stats.syncPartialErr++;
    if (channel === Channel.VALKEY) {
      // It asks once more, and is no replica before that.
      peer.connection.reply.simple(DUAL_CHANNEL);
      return;
    }
    if (needsNewHistory) this.#beginHistory();
    this.#adopt(peer);
    this.channels.offer(peer);
  }

  #beginHistory(): void {
    const { history, streamLog, feed } = this.server;
    history.renew();
    streamLog.start(streamLog.endOffset);
    feed.invalidateSelect();
    this.#logLines([backlogCreatedLine(history)]);
  }

  #fullSync(peer: ReplicaPeer, decision: PsyncDecision & { kind: 'full' }): void {
    const { server } = this;
    server.stats.syncFull++;
    if (decision.countsAsPartialError) server.stats.syncPartialErr++;
    if (decision.needsNewHistory) this.#beginHistory();
    this.#adopt(peer);
    const { state } = peer;
    state.legacy = decision.legacy;
    state.spoolsFirst = spoolsFirst(server.config.values.replDisklessSync, state);
    if (state.isDumpChannel) this.channels.asks(peer, decision.legacy);
    state.apply(PeerEvent.FULL, this.#turnMs);
    peer.askedMs = server.clock.monotonicMs();
    this.fullSyncs.add(peer);
  }

  /** From now on the client is a replica. */
  #adopt(peer: ReplicaPeer): void {
    const { connection } = peer;
    connection.setMode(ClientMode.REPLICA, true);
    connection.setMode(ClientMode.DUMP_CHANNEL, peer.state.isDumpChannel);
    // Without replies, a replica would stay linked whatever it sends.
    connection.unmute();
    if (this.server.config.values.replDisableTcpNodelay) connection.socket.setNoDelay(false);
    this.peers.add(peer);
    this.states.add(peer.state);
  }

  /** The peer gets the stream from now on. */
  #online(peer: ReplicaPeer): void {
    this.fanOut.add(peer);
    this.#countGood();
  }

  #lagging(offset: number): ReplicaState[] {
    return [...this.states].filter((state) => state.ackOffset < offset);
  }

  #peerOf(connection: Connection): ReplicaPeer {
    const known = this.#byConnection.get(connection);
    if (known !== undefined) return known;
    const peer = new ReplicaPeer(connection, this.server, this.fanOut, this);
    this.#byConnection.set(connection, peer);
    connection.onEmptyLine = () => peer.heardNewline();
    return peer;
  }

  /** Cuts off replicas that hold too much of the log, and limits what kept snapshots hold of it. */
  #checkLimits(): void {
    const { server } = this;
    const { stats } = server;
    this.throttle.judge();
    this.#checkOffset = server.streamLog.endOffset + this.throttle.checkBytes;
    this.#source.limitPins(pinnedLagMax(server));
    const limit = replicaOutputLimit(server);
    this.channels.checkLimits(limit, this.#turnMs);
    for (const peer of this.peers) {
      if (peer.gauge.judge(limit, peer.streamLag, this.#turnMs) === OutputVerdict.WITHIN) continue;
      stats.outputLimitDisconnections++;
      this.syncWatch.overflowed(peer);
      this.#log.warning(cutOffText(peer.connection.describe()));
      peer.connection.destroy();
    }
  }

  /**
   * The time of replicas: a step of the system's clock makes nobody silent, and no history old.
   */
  get #turnMs(): number {
    return this.server.clock.turnMs();
  }

  /** Bytes per second by which the stream has grown in the last two seconds. */
  get writeRate(): number {
    return this.#rateOver(2 * SECOND_MS);
  }

  #rateOver(ms: number): number {
    return this.times.rate(this.server.streamLog.endOffset, this.server.clock.monotonicMs(), ms);
  }

  #sample(): void {
    const nowMs = this.server.clock.monotonicMs();
    this.times.note(nowMs, this.server.streamLog.endOffset);
    if (this.peers.size === 0) return;
    const { writeRate } = this;
    for (const peer of this.peers) peer.record.sample(peer, nowMs, writeRate);
  }

  #eachSecond(turnMs: number): void {
    const { values } = this.server.config;
    this.channels.eachSecond(turnMs);
    for (const peer of this.peers) {
      if (peer.state.needsKeepalive) peer.sendKeepalive();
      if (peer.waitsForDump) peer.state.wrote(turnMs);
      const text = peer.state.timedOut(turnMs, values.replTimeout * SECOND_MS);
      if (text === '') continue;
      this.#log.warning(text);
      peer.connection.destroy();
    }
    if (this.peers.size > 0) {
      // A relay passes on its primary's stream and adds nothing.
      const pinged =
        !this.server.isReplica &&
        !this.server.failover.silencesPing &&
        this.server.feed.pingWhenQuiet(turnMs, values.replPingReplicaPeriod * SECOND_MS);
      if (pinged) this.fanOut.turnEnded();
      this.#countGood();
    } else {
      this.#dropBacklogWhenDue(turnMs);
    }
  }

  /**
   * A primary without replicas for `repl-backlog-ttl` forgets its history. The next replica gets a
   * full sync.
   */
  #dropBacklogWhenDue(turnMs: number): void {
    const { streamLog, history, feed, config } = this.server;
    const ttl = config.values.replBacklogTtl;
    if (
      this.server.isReplica ||
      !streamLog.active ||
      ttl === 0 ||
      turnMs - this.#lonelySinceMs <= ttl * SECOND_MS
    )
      return;
    // A snapshot still holds the log: this is tried again in a second.
    if (streamLog.openCursors > 0) return;
    history.renew();
    streamLog.drop();
    feed.invalidateSelect();
    this.#log.notice(`Replication backlog freed after ${ttl} seconds without connected replicas.`);
  }

  #noteReplicasWanted(): void {
    const { minReplicasToWrite, minReplicasMaxLag } = this.server.config.values;
    const isWanted = minReplicasToWrite > 0 && minReplicasMaxLag > 0;
    this.server.setObstacle(Obstacle.REPLICAS_WANTED, isWanted);
  }

  #countGood(): void {
    this.goodReplicas = countGood(
      this.states,
      this.#turnMs,
      this.server.config.values.minReplicasMaxLag,
    );
  }

  #logLines(lines: readonly LogLine[]): void {
    for (const { level, text } of lines) {
      if (level === LogLevel.WARNING) this.#log.warning(text);
      else this.#log.notice(text);
    }
  }
}
