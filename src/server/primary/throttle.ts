/**
 * Slows the writers of this node while a replica is near its output limit (`repl-throttling`), so
 * that the replica need not be cut off.
 *
 *   write ──▶ gate ── budget left, nobody waits ──▶ runs
 *               │
 *               └──▶ the client waits ── its turn, or `repl-throttling-max-delay` ──▶ runs
 *
 * The budget grows by the rate that replication/throttle.ts allows, and shrinks by what the stream
 * grows. The gate is there only while writers are slowed: otherwise a write meets nothing of this
 * but a check per MiB of stream. Reads, the link to a primary, and commands that MULTI queues never
 * wait; EXEC waits once for all of them. A client blocked on a key waits for that key alone: it is
 * served by a write that has passed the gate. So nobody who waits here keeps anybody else waiting,
 * and everybody goes on after the longest delay at the latest. Main thread.
 */
import { Flag } from '../../commands/spec.ts';
import type { OutputLimit } from '../../replication/output-limit.ts';
import { replicaName } from '../../replication/replica-state.ts';
import { allowedRate, cutBytes, FairQueue } from '../../replication/throttle.ts';
import type { Dispatcher, Gate } from '../dispatch/dispatcher.ts';
import type { Session } from '../dispatch/session.ts';
import type { Server } from '../server.ts';
import { LIMIT_CHECK_BYTES, replicaOutputLimit } from './limits.ts';
import { pressureOf } from './peer-record.ts';
import type { ReplicaPeer } from './replica-peer.ts';

const WRITES = Flag.WRITE | Flag.MAY_REPLICATE;
/** Waiting writers are looked at this often. */
const TURN_MS = 10;
/** Writers may save up what is allowed in this time. */
const BURST_MS = 50;
/** One look lets writers run for at most this long. */
const TURN_MICROS_MAX = 5000;
/** Limits are checked this often on the way to one, while throttling is on. */
const CHECKS_PER_LIMIT = 16;
const CHECK_BYTES_MIN = 16_384;
/** At most one line of the log in this time. */
const TOLD_EACH_MS = 10_000;
const DELAY_WEIGHT = 0.1;

export class WriteThrottle {
  /** For INFO: writes that had to wait, and how long, in all. */
  writes = 0;
  delayMsTotal = 0;
  /** Times that writers began to be slowed. */
  begun = 0;
  /** A moving mean of how long the last writes have waited. */
  delayMs = 0;
  /** Bytes per second that writers may write now; Infinity while they are not slowed. */
  rate = Number.POSITIVE_INFINITY;
  readonly #server: Server;
  readonly #peers: ReadonlySet<ReplicaPeer>;
  #dispatcher: Dispatcher | undefined = undefined;
  readonly #queue = new FairQueue<Session>();
  #isSlowing = false;
  /** Bytes that may be written now; negative after a write that was larger. */
  #budget = 0;
  #accruedMs = 0;
  #endOffset = 0;
  /** Who passed the gate last: what the stream has grown by since is its. */
  #writer: Session | undefined = undefined;
  /** Whose held write runs now: it passes the gate. */
  #passing: Session | undefined = undefined;
  #timer: NodeJS.Timeout | undefined = undefined;
  #toldMs = Number.NEGATIVE_INFINITY;
  readonly #onTimer = (): void => {
    this.#timer = undefined;
    this.#turn();
  };
  readonly #gate: Gate = (session, flags) => {
    if ((flags & WRITES) === 0 || session.fromPrimary || session.isReplica) return false;
    // It is only queued: EXEC will wait.
    if (session.queued !== undefined && (flags & Flag.RUNS_QUEUE) === 0) return false;
    if (session === this.#passing) {
      this.#passing = undefined;
      return false;
    }
    return this.#holds(session);
  };

  constructor(server: Server, peers: ReadonlySet<ReplicaPeer>) {
    this.#server = server;
    this.#peers = peers;
    server.config.onChange(['repl-throttling', 'repl-throttling-max-delay'], () => {
      this.judge();
      return null;
    });
  }

  wire(dispatcher: Dispatcher): void {
    this.#dispatcher = dispatcher;
  }

  /** Writers are slowed now. */
  get isSlowing(): boolean {
    return this.#isSlowing;
  }

  /** Clients whose write waits now. */
  get heldCount(): number {
    return this.#queue.size;
  }

  /** The stream may grow by this much until limits are to be checked again. */
  get checkBytes(): number {
    if (!this.#server.config.values.replThrottling) return LIMIT_CHECK_BYTES;
    const limit = cutBytes(replicaOutputLimit(this.#server));
    if (limit === 0) return LIMIT_CHECK_BYTES;
    const bytes = Math.max(CHECK_BYTES_MIN, Math.floor(limit / CHECKS_PER_LIMIT));
    return Math.min(LIMIT_CHECK_BYTES, bytes);
  }

  /** Looks how near the replicas are to their limit, and begins to slow writers when one is. */
  judge(): void {
    const server = this.#server;
    if (!server.config.values.replThrottling && !this.#isSlowing) return;
    const limit: OutputLimit = replicaOutputLimit(server);
    const limitBytes =
      server.config.values.replThrottling && !server.isReplica ? cutBytes(limit) : 0;
    let rate = Number.POSITIVE_INFINITY;
    let nearest: ReplicaPeer | undefined;
    for (const peer of this.#peers) {
      const allowed = allowedRate(pressureOf(peer), limitBytes, this.#isSlowing);
      if (allowed >= rate) continue;
      rate = allowed;
      nearest = peer;
    }
    this.#settle();
    this.rate = rate;
    if (nearest !== undefined && !this.#isSlowing) this.#begin(nearest, limitBytes);
    this.#askTurn();
  }

  /** A client is gone. */
  forget(session: Session): void {
    this.#queue.remove(session);
    if (this.#writer === session) this.#writer = undefined;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#isSlowing = false;
  }

  #begin(peer: ReplicaPeer, limitBytes: number): void {
    this.#isSlowing = true;
    this.begun++;
    this.#budget = 0;
    this.#queue.reset();
    this.#dispatcher?.addGate(this.#gate);
    this.#tell(
      `Writers are slowed: replica ${replicaName(peer.state)} is ${peer.streamLag} bytes behind, ` +
        `and is cut off at ${limitBytes}`,
    );
  }

  #end(): void {
    this.#isSlowing = false;
    this.delayMs = 0;
    this.#writer = undefined;
    this.#dispatcher?.removeGate(this.#gate);
    this.#tell('Writers are no longer slowed');
  }

  #tell(text: string): void {
    const nowMs = this.#server.clock.monotonicMs();
    if (nowMs - this.#toldMs < TOLD_EACH_MS) return;
    this.#toldMs = nowMs;
    this.#server.log.notice(text);
  }

  /** Whether a write of `session` has to wait; it is in the queue then. */
  #holds(session: Session): boolean {
    if (this.#queue.has(session)) return true;
    this.#settle();
    if (this.rate === Number.POSITIVE_INFINITY) return false;
    if (this.#queue.size === 0 && this.#budget > 0) {
      this.#writer = session;
      return false;
    }
    session.slowed = true;
    this.#queue.add(session, this.#server.clock.monotonicMs());
    this.#askTurn();
    return true;
  }

  /** Brings the budget up to date: what time has added, and what the stream has taken. */
  #settle(): void {
    const nowMs = this.#server.clock.monotonicMs();
    const { endOffset } = this.#server.streamLog;
    const bytes = Math.max(0, endOffset - this.#endOffset);
    if (bytes > 0 && this.#writer !== undefined) this.#queue.wrote(this.#writer, bytes);
    this.#writer = undefined;
    if (this.rate === Number.POSITIVE_INFINITY) {
      this.#budget = 0;
    } else {
      const most = (this.rate * BURST_MS) / 1000;
      const earned = (this.rate * (nowMs - this.#accruedMs)) / 1000;
      this.#budget = Math.min(this.#budget + earned, most) - bytes;
    }
    this.#endOffset = endOffset;
    this.#accruedMs = nowMs;
  }

  #askTurn(): void {
    if (!this.#isSlowing || this.#timer !== undefined) return;
    const nowMs = this.#server.clock.monotonicMs();
    const leftMs = this.#isFree ? 0 : this.#queue.oldestMs + this.#delayMsMax - nowMs;
    this.#timer = setTimeout(this.#onTimer, Math.max(0, Math.min(TURN_MS, leftMs)));
  }

  /** Somebody waits who need not. */
  get #isFree(): boolean {
    return this.rate === Number.POSITIVE_INFINITY || (this.#queue.size > 0 && this.#budget > 0);
  }

  get #delayMsMax(): number {
    return this.#server.config.values.replThrottlingMaxDelay;
  }

  /** Lets writers run whose turn it is, or who have waited long enough. */
  #turn(): void {
    const { clock } = this.#server;
    clock.tick();
    this.judge();
    const untilUs = clock.micros() + TURN_MICROS_MAX;
    while (this.#queue.size > 0 && clock.micros() < untilUs) {
      this.#settle();
      const nowMs = clock.monotonicMs();
      const isDue = nowMs - this.#queue.oldestMs >= this.#delayMsMax;
      if (!isDue && !this.#isFree) break;
      const held = isDue ? this.#queue.takeOldest() : this.#queue.takeNext();
      if (held !== undefined) this.#release(held.writer, nowMs - held.sinceMs);
    }
    if (this.rate === Number.POSITIVE_INFINITY && this.#queue.size === 0) this.#end();
    this.#askTurn();
  }

  #release(session: Session, waitedMs: number): void {
    this.writes++;
    this.delayMsTotal += waitedMs;
    this.delayMs += (waitedMs - this.delayMs) * DELAY_WEIGHT;
    session.slowed = false;
    this.#writer = session;
    this.#passing = session;
    this.#dispatcher?.runPostponed(session);
    this.#passing = undefined;
  }
}
