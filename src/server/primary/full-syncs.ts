/**
 * Peers that wait for a full sync, and the snapshots that serve them.
 *
 *   PSYNC ─▶ waiting ──the snapshot that runs fits──▶ reads its dump
 *                │                                      ▲
 *                │ none runs, the delay is over         │ all that wait and fit take it
 *                └──────────▶ a new snapshot starts ────┘
 *                │
 *                ├ one runs that does not fit (another dialect or filter, too old) ─▶ waits for its end
 *                └ the last one failed, or too many dumps are still read ─▶ waits for the end of that
 *
 * A snapshot stays open to later peers for `snapshot-keep` seconds from its start, even without
 * readers. Meanwhile the log stays from its offset on, and the first byte of the dump while memory
 * has room for it, or while a file holds it for a slow reader. In this way replicas that attach
 * together, and replicas that reconnect at once after a lost sync, share one serialization without
 * a delay before it. Nothing is written to disk for them.
 *
 * While this node has no stream of its primary, nothing is frozen for replicas. They wait for the
 * full sync that this node itself gets, and read that dump as it arrives. Those that cannot read it,
 * or come too late for its first byte, are served once it is loaded. If the link fails, those that
 * wait are refused, and those that read are cut off, as Redis does when its transfer fails.
 *
 * A waiting peer gets an empty line each second. Main thread.
 */
import { codeOf, ErrorCode, messageOf } from '../../base/errors.ts';
import { canJoin, JoinVerdict, SNAPSHOT_FAILED_LINE } from '../../replication/full-sync.ts';
import {
  Channel,
  DumpFilter,
  Framing,
  Phase,
  type ReplicaState,
  replicaName,
} from '../../replication/replica-state.ts';
import { type RandomSource, randomHex40 } from '../../replication/replid.ts';
import { RetryPauses } from '../../replication/retry-pauses.ts';
import type { Server } from '../server.ts';
import {
  type DumpReader,
  type DumpSnapshot,
  ReaderNeed,
  type SnapshotSource,
} from '../snapshot-source.ts';
import type { Dialects } from './dialects.ts';
import { replicaOutputLimit } from './limits.ts';
import type { ReplicaPeer } from './replica-peer.ts';

const SECOND_MS = 1000;

export class FullSyncs {
  /** For INFO: snapshots started for full syncs, and peers that joined one after its start. */
  snapshotsStarted = 0;
  lateJoins = 0;
  /** For INFO: peers that joined a dump while it arrived. */
  passedOn = 0;
  /** Snapshots that failed or could not be started, whatever the cause. */
  failures = 0;
  readonly #server: Server;
  readonly #source: SnapshotSource;
  readonly #random: RandomSource;
  readonly #dialects: Dialects;
  /** Milliseconds for which a peer has to wait because its last full syncs have led to nothing. */
  waitMs: (peer: ReplicaPeer) => number = () => 0;
  /** This node has a primary, and its stream is not that of the primary now. */
  readonly #isStale: () => boolean;
  /** Peers in WAIT_START, in the order in which they asked. */
  readonly #waiting = new Set<ReplicaPeer>();
  /** Peers that read a dump or wait for its end. */
  readonly #reading = new Set<ReplicaPeer>();
  /**
   * The snapshot that peers may still join; `#keeper`, a reader that reads nothing, holds it open.
   */
  #kept: DumpSnapshot | undefined = undefined;
  #keeper: DumpReader | undefined = undefined;
  #keptSinceMs = 0;
  readonly #pauses = new RetryPauses();
  /** Too many dumps are being read, and this was logged. */
  #toldFull = false;
  /** Snapshots with our end listener, also those that were not started here. */
  readonly #listenedTo = new WeakSet<DumpSnapshot>();
  /** When the first of the present waiters began to wait, by the monotonic clock. */
  #waitingSinceMs = 0;

  constructor(
    server: Server,
    source: SnapshotSource,
    random: RandomSource,
    dialects: Dialects,
    isStale: () => boolean,
  ) {
    this.#server = server;
    this.#dialects = dialects;
    this.#source = source;
    this.#random = random;
    this.#isStale = isStale;
  }

  /** A peer in WAIT_START. It may be served within this call. */
  add(peer: ReplicaPeer): void {
    if (this.#waiting.size === 0) this.#waitingSinceMs = this.#server.clock.monotonicMs();
    this.#waiting.add(peer);
    const { log } = this.#server;
    if (this.#serve()) return;
    if (!this.#waiting.has(peer)) return;
    const pauseMs = this.#pauseMs(peer);
    const waitMs = this.waitMs(peer);
    if (this.#isStale())
      log.notice('The replica waits for the synchronization of this node with its own MASTER');
    else if (waitMs > 0)
      log.notice(
        `Full sync with ${replicaName(peer.state)} waits for up to ${secondsOf(waitMs)}: the last ` +
          'ones have led to nothing',
      );
    else if (this.#isBusy())
      log.notice(
        "Can't attach the replica to the current BGSAVE. Waiting for next BGSAVE for SYNC",
      );
    else if (pauseMs > 0)
      log.notice(`Delay next BGSAVE for SYNC by ${secondsOf(pauseMs)}: the last one failed`);
    else if (!this.#toldFull) log.notice('Delay next BGSAVE for diskless SYNC');
  }

  /** Removes a peer that is gone, or whose dump is sent. */
  remove(peer: ReplicaPeer): void {
    this.#waiting.delete(peer);
    if (!this.#reading.delete(peer)) return;
    const { snapshot } = peer;
    peer.releaseDump();
    if (snapshot === undefined || snapshot.state !== 'running' || snapshot.spool.totalBytes >= 0)
      return;
    // Peers may come as long as it arrives.
    if (snapshot.isAhead) return;
    for (const other of this.#reading) if (other.snapshot === snapshot) return;
    // Without a reader the snapshot is cancelled, unless it is a save as well.
    if (snapshot === this.#kept) this.#release();
    if (!snapshot.cancelled) return;
    this.#server.log.notice(
      'Diskless rdb transfer, last replica dropped, its snapshot is cancelled',
    );
  }

  /** A peer gets no more of its dump, though the snapshot goes on. */
  dumpLost(peer: ReplicaPeer): void {
    const { snapshot } = peer;
    if (snapshot !== undefined && needsDisk(peer, snapshot) && !snapshot.isAhead)
      this.#failed(ErrorCode.IO);
  }

  /** The dump of a full sync arrives at this node: the peers that wait may have it. */
  arrives(dump: DumpSnapshot): void {
    this.#keep(dump);
    this.#serve();
  }

  /**
   * The dump that arrived is loaded, and the log begins after it; `dump` is undefined when it was
   * not passed on. Peers get the stream from now on.
   */
  loaded(dump: DumpSnapshot | undefined): ReplicaPeer[] {
    if (dump === undefined) return [];
    const sent: ReplicaPeer[] = [];
    for (const peer of [...this.#reading]) {
      if (peer.snapshot !== dump) continue;
      peer.dumpLoaded();
      if (peer.state.phase !== Phase.SEND_BULK && peer.state.phase !== Phase.WAIT_DUMP)
        sent.push(peer);
    }
    if (this.#kept === dump) {
      this.#keptSinceMs = this.#server.clock.monotonicMs();
      if (this.#server.config.values.snapshotKeep === 0) this.#release();
    }
    return sent;
  }

  /**
   * The link to the primary of this node has failed: peers that wait for it get `errorLine`, and
   * ask again later.
   */
  linkFailed(errorLine: string): void {
    if (!this.#isStale()) return;
    for (const peer of [...this.#waiting]) {
      this.#waiting.delete(peer);
      peer.refuse(errorLine);
    }
  }

  /** The log is about to go: no peer can join a dump of its stream any more. */
  leaveStream(): void {
    if (this.#kept?.isAhead !== true) this.#release();
  }

  /** Peers that wait for a snapshot, or for the link of this node. */
  get waitingCount(): number {
    return this.#waiting.size;
  }

  /** Peers that read a dump, or have read one that is still ahead. */
  get readingCount(): number {
    return this.#reading.size;
  }

  /** Peers that read, or have read, a dump that is still on its way to this node's dataset. */
  get aheadCount(): number {
    let count = 0;
    for (const peer of this.#reading) if (peer.snapshot?.isAhead === true) count++;
    return count;
  }

  /** Milliseconds until the next snapshot may start after one that failed. */
  get retryMs(): number {
    return this.#pauses.leftMs(this.#server.clock.monotonicMs());
  }

  /**
   * Called a few times per second: ends delays, and releases a snapshot that was kept long enough.
   */
  tick(): void {
    if (this.#kept !== undefined && !this.#isWorthKeeping(this.#kept)) this.#release();
    this.#serve();
  }

  /** Releases a snapshot without readers, so that another one can start. */
  stop(): void {
    this.#release();
  }

  /** A finished dump is kept only while the backlog can hold the stream after it. */
  #isWorthKeeping(snapshot: DumpSnapshot): boolean {
    const { clock, streamLog } = this.#server;
    if (snapshot.isAhead) return snapshot.spool.hasFirstByte;
    const keepMs = this.#server.config.values.snapshotKeep * SECOND_MS;
    if (clock.monotonicMs() - this.#keptSinceMs >= keepMs || !snapshot.spool.hasFirstByte)
      return false;
    return (
      snapshot.state === 'running' ||
      streamLog.endOffset - snapshot.startOffset <= streamLog.backlogBytesMax
    );
  }

  /** Serves the peers that it can. Returns whether no peer waits now. */
  #serve(): boolean {
    if (this.#waiting.size === 0) return true;
    const isStale = this.#isStale();
    const current = this.#kept ?? this.#source.running;
    if (current !== undefined && current.isAhead === isStale) {
      for (const peer of this.#waiting) {
        if (!this.#fits(current, peer)) continue;
        if (isStale) {
          this.passedOn++;
          this.#server.log.notice('The replica gets the dump of MASTER as it arrives');
        } else {
          this.lateJoins++;
          this.#server.log.notice('Waiting for end of BGSAVE for SYNC');
        }
        this.#attach(peer, current);
      }
    }
    if (this.#waiting.size === 0) return true;
    if (isStale || this.#isBusy()) return false;
    if (this.#isDelayed()) {
      this.#source.expectSoon();
      return false;
    }
    const first = [...this.#waiting].find(
      (peer) => this.#pauseMs(peer) === 0 && this.waitMs(peer) === 0,
    );
    if (first === undefined) return false;
    this.#release();
    if (!this.#source.hasRoom) {
      if (!this.#toldFull)
        this.#server.log.notice('Too many dumps are still being read: SYNC waits for one to end');
      this.#toldFull = true;
      return false;
    }
    this.#toldFull = false;
    this.#start(first);
    return this.#waiting.size === 0;
  }

  /** A snapshot is being made. */
  #isBusy(): boolean {
    return this.#source.running?.state === 'running';
  }

  #isDelayed(): boolean {
    const { values } = this.#server.config;
    const delayMs = values.replDisklessSyncDelay * 1000;
    if (delayMs === 0 || !values.replDisklessSync) return false;
    // As in Redis, one that needs the length first does not wait, and takes the others along.
    for (const { state } of this.#waiting) if (state.framing === Framing.LENGTH) return false;
    const replicasMax = values.replDisklessSyncMaxReplicas;
    if (replicasMax > 0 && this.#waiting.size >= replicasMax) return false;
    return this.#server.clock.monotonicMs() - this.#waitingSinceMs < delayMs;
  }

  /** Starts the snapshot that `first` needs, and attaches all other peers that it fits. */
  #start(first: ReplicaPeer): void {
    const { log, config } = this.#server;
    const target = first.state.framing === Framing.EOF_MARK ? 'replicas sockets' : 'disk';
    log.notice(`Starting BGSAVE for SYNC with target: ${target}${channelOf(first.state)}`);
    let snapshot: DumpSnapshot;
    try {
      const states = [...this.#waiting].map(({ state }) => state);
      snapshot = this.#source.start(this.#dialects.requestFor(first.state, states));
    } catch (error) {
      if (codeOf(error) === undefined) throw error;
      log.warning(`BGSAVE for replication failed: ${messageOf(error)}`);
      this.#failed(codeOf(error)!);
      for (const peer of [...this.#waiting]) this.#refuse(peer);
      return;
    }
    this.snapshotsStarted++;
    this.#keep(snapshot);
    for (const peer of [...this.#waiting])
      if (this.#fits(snapshot, peer)) this.#attach(peer, snapshot);
    if (config.values.snapshotKeep === 0) this.#release();
  }

  /** Holds `snapshot` open for peers that come later. */
  #keep(snapshot: DumpSnapshot): void {
    this.#release();
    this.#kept = snapshot;
    this.#keptSinceMs = this.#server.clock.monotonicMs();
    this.#keeper = snapshot.spool.openReader(ignoreData, ReaderNeed.NOTHING);
    this.#listenTo(snapshot);
  }

  /** Delays the next snapshot, longer each time. A cancelled snapshot has not failed. */
  #failed(cause: string): void {
    if (cause === ErrorCode.CANCELLED) return;
    this.failures++;
    const ms = this.#pauses.failed(cause, this.#server.clock.monotonicMs());
    this.#server.log.warning(`Full syncs pause for ${secondsOf(ms)} after ${cause}`);
  }

  #diskPauses(): boolean {
    const nowMs = this.#server.clock.monotonicMs();
    return this.#pauses.leftMs(nowMs, (cause) => cause === ErrorCode.IO) > 0;
  }

  /** The time that `peer` must wait because snapshots of its kind have failed. */
  #pauseMs(peer: ReplicaPeer): number {
    const nowMs = this.#server.clock.monotonicMs();
    const isByLength = peer.state.framing === Framing.LENGTH;
    return this.#pauses.leftMs(nowMs, (cause) => isByLength || cause !== ErrorCode.IO);
  }

  #fits(snapshot: DumpSnapshot, peer: ReplicaPeer): boolean {
    const { history, streamLog } = this.#server;
    if (this.waitMs(peer) > 0) return false;
    // The complete dump that the peer needs has no room on disk.
    if (needsDisk(peer, snapshot) && this.#diskPauses()) return false;
    // The peer gets no stream after the dump, so the dump may not be older than its request.
    if (!peer.state.needsLog && snapshot.startOffset !== streamLog.endOffset) return false;
    const joinable = {
      isReadable: snapshot.isReadable(peer.state, this.#dialects.of(peer.state)),
      isAhead: snapshot.isAhead,
      filter: snapshot.filter,
      replid: snapshot.replid,
      offset: snapshot.startOffset,
      hasFirstChunk: snapshot.spool.hasFirstByte,
      failed: snapshot.state === 'failed' || snapshot.cancelled,
      streamDb: snapshot.streamDb,
    };
    const limit = replicaOutputLimit(this.#server);
    return canJoin(joinable, peer.state, history, streamLog, limit) === JoinVerdict.JOIN;
  }

  #attach(peer: ReplicaPeer, snapshot: DumpSnapshot): void {
    this.#waiting.delete(peer);
    this.#reading.add(peer);
    this.#listenTo(snapshot);
    peer.takeDump(snapshot, randomHex40(this.#random));
    if (snapshot.state === 'done' && peer.state.phase === Phase.WAIT_DUMP) peer.dumpReady();
  }

  #listenTo(snapshot: DumpSnapshot): void {
    if (this.#listenedTo.has(snapshot)) return;
    this.#listenedTo.add(snapshot);
    snapshot.onEnd(() => this.#ended(snapshot));
  }

  #ended(snapshot: DumpSnapshot): void {
    const readers = [...this.#reading].filter((peer) => peer.snapshot === snapshot);
    if (snapshot.state === 'done') {
      const spooled = readers.filter((peer) => peer.state.phase === Phase.WAIT_DUMP);
      for (const peer of spooled) peer.dumpReady();
      if (snapshot.isAhead) return;
      for (const cause of this.#pauses.causes) {
        if (cause !== ErrorCode.IO || spooled.length > 0) this.#pauses.succeeded(cause);
      }
    } else {
      if (snapshot.error !== undefined) this.#failed(snapshot.error.code);
      if (this.#kept === snapshot) this.#release();
      const reason = snapshot.error === undefined ? '' : `: ${snapshot.error.message}`;
      if (readers.length > 0)
        this.#server.log.warning(`Background transfer to replicas failed${reason}`);
      for (const peer of readers) peer.connection.destroy();
    }
    this.#serve();
  }

  /** Tells the peer that the snapshot cannot be made. The peer may ask again. */
  #refuse(peer: ReplicaPeer): void {
    this.#waiting.delete(peer);
    peer.refuse(SNAPSHOT_FAILED_LINE);
  }

  #release(): void {
    this.#keeper?.close();
    this.#keeper = undefined;
    this.#kept = undefined;
  }
}

/**
 * A peer that reads a dump while it is made needs no disk. A dump that must be complete first may
 * not fit into memory.
 */
function needsDisk(peer: ReplicaPeer, snapshot: DumpSnapshot): boolean {
  return peer.state.framing === Framing.LENGTH && snapshot.announcedBytes < 0;
}

/** The words of Redis and of Valkey for a dump that goes by a second connection. */
function channelOf({ channel }: ReplicaState): string {
  if (channel === Channel.NONE) return '';
  return channel === Channel.REDIS ? ' (rdb-channel)' : ' using: dual-channel';
}

const secondsOf = (ms: number): string => `${Math.ceil(ms / SECOND_MS)} seconds`;

/** For the keeper, which holds the dump open and reads nothing. */
function ignoreData(): void {}

/**
 * Whether a dump must be complete before it is sent (`repl-diskless-sync no`). A filtered dump
 * never must, nor one on a second connection.
 */
export function spoolsFirst(disklessSync: boolean, peer: ReplicaState): boolean {
  return !disklessSync && peer.filter === DumpFilter.NONE && !peer.isDumpChannel;
}
