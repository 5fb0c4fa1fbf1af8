/**
 * The decisions of FAILOVER: a primary hands its role over to one of its replicas. It has no
 * socket.
 *
 *            begin                    a replica has everything, or FORCE and time is up
 *   NONE ─────────────▶ WAITING ────────────────────────────────────────────────────▶ RUNNING
 *    ▲                    │ abort, or time is up                         answered, abort │
 *    └────────────────────┴──────────────────────────────────────────────────────────────┘
 *
 *   phase      this node    writes     the stream
 *   NONE       as it is     run        goes on
 *   WAITING    a primary    wait       stands still, so that a replica can have all of it
 *   RUNNING    a replica    wait       the target is asked to be the primary: PSYNC … FAILOVER
 *
 * Writes wait from WAITING until the end. After a success they run on a replica, which refuses
 * them. As in Redis, RUNNING has no timeout: a target that is gone is tried until FAILOVER ABORT.
 * The texts are those of Redis 7.2. Main thread.
 */
import { assert } from '../base/assert.ts';
import { LogLevel, type LogLine } from './psync.ts';
import { type ReplicaState, shownAddress } from './replica-state.ts';

/** The phases, as `master_failover_state` of INFO spells them. */
export const FailoverPhase = {
  NONE: 'no-failover',
  WAITING: 'waiting-for-sync',
  RUNNING: 'failover-in-progress',
} as const;
export type FailoverPhase = (typeof FailoverPhase)[keyof typeof FailoverPhase];

export interface FailoverTarget {
  readonly host: string;
  readonly port: number;
}

/** FAILOVER with its arguments. */
export interface FailoverRequest {
  /** TO host port; undefined for the first replica that has everything. */
  readonly target: FailoverTarget | undefined;
  /** FORCE: when time is up, the target becomes the primary with what it has. */
  readonly force: boolean;
  /** TIMEOUT; 0 for none. */
  readonly timeoutMs: number;
}

/** What to do now. */
export type FailoverStep =
  | { readonly kind: 'wait' }
  /** Follow `target`, and ask it to be the primary. */
  | { readonly kind: 'follow'; readonly target: FailoverTarget; readonly log: LogLine }
  | { readonly kind: 'abort'; readonly reason: string };

const WAIT: FailoverStep = { kind: 'wait' };

export class FailoverState {
  phase: FailoverPhase = FailoverPhase.NONE;
  /** The replica that is to be the primary, once it is known. */
  target: FailoverTarget | undefined = undefined;
  #force = false;
  /** The end of the wait, by the monotonic clock; infinite without TIMEOUT. */
  #deadlineMs = Number.POSITIVE_INFINITY;

  get isActive(): boolean {
    return this.phase !== FailoverPhase.NONE;
  }

  /** The next PSYNC asks the target to be the primary. */
  get isRunning(): boolean {
    return this.phase === FailoverPhase.RUNNING;
  }

  /**
   * No PING may be streamed. Without a timeout, PING goes on: other replicas would give this node
   * up before the target has caught up.
   */
  get silencesPing(): boolean {
    return this.isActive && Number.isFinite(this.#deadlineMs);
  }

  /** The error for a request that may not begin, or undefined. */
  refusal(
    request: FailoverRequest,
    isReplica: boolean,
    replicas: Iterable<ReplicaState>,
  ): string | undefined {
    const { target, force, timeoutMs } = request;
    if (this.isActive) return 'ERR FAILOVER already in progress.';
    if (isReplica) return 'ERR FAILOVER is not valid when server is a replica.';
    const known = [...replicas];
    if (known.length === 0) return 'ERR FAILOVER requires connected replicas.';
    if (force && (timeoutMs === 0 || target === undefined))
      return 'ERR FAILOVER with force option requires both a timeout and target HOST and IP.';
    if (target === undefined) return undefined;
    const replica = find(known, target);
    if (replica === undefined) return 'ERR FAILOVER target HOST and PORT is not a replica.';
    return replica.isOnline ? undefined : 'ERR FAILOVER target replica is not online.';
  }

  /** Begins to wait for a replica. The caller has asked {@link refusal}. */
  begin({ target, force, timeoutMs }: FailoverRequest, nowMs: number): LogLine {
    assert(this.phase === FailoverPhase.NONE, 'one failover at a time');
    this.phase = FailoverPhase.WAITING;
    this.target = target;
    this.#force = force;
    this.#deadlineMs = timeoutMs === 0 ? Number.POSITIVE_INFINITY : nowMs + timeoutMs;
    const to = target === undefined ? 'any replica' : nameOf(target);
    return notice(`FAILOVER requested to ${to}.`);
  }

  /** Decides whether the wait is over. Called after each ACK, and at each tick. */
  check(endOffset: number, replicas: Iterable<ReplicaState>, nowMs: number): FailoverStep {
    if (this.phase !== FailoverPhase.WAITING) return WAIT;
    const { target } = this;
    if (nowMs >= this.#deadlineMs) {
      if (!this.#force) return { kind: 'abort', reason: 'Replica never caught up before timeout' };
      assert(target !== undefined, 'a forced failover has a target');
      return this.#run(target, `FAILOVER to ${nameOf(target)} time out exceeded, failing over.`);
    }
    for (const replica of replicas) {
      if (!replica.isOnline || replica.ackOffset !== endOffset) continue;
      if (target !== undefined && !matches(replica, target)) continue;
      const found = target ?? { host: shownAddress(replica), port: replica.listeningPort };
      return this.#run(found, `Failover target ${nameOf(found)} is synced, failing over.`);
    }
    return WAIT;
  }

  /** The failover is over, one way or the other. */
  end(): void {
    this.phase = FailoverPhase.NONE;
    this.target = undefined;
    this.#force = false;
    this.#deadlineMs = Number.POSITIVE_INFINITY;
  }

  /** The log line of an abort. Call it before {@link end}. */
  abortLine(reason: string): LogLine {
    const to = this.target === undefined ? 'any replica' : nameOf(this.target);
    return notice(`FAILOVER to ${to} aborted: ${reason}`);
  }

  #run(target: FailoverTarget, text: string): FailoverStep {
    this.phase = FailoverPhase.RUNNING;
    this.target = target;
    return { kind: 'follow', target, log: notice(text) };
  }
}

function find(replicas: readonly ReplicaState[], target: FailoverTarget): ReplicaState | undefined {
  return replicas.find((replica) => !replica.isAuxiliary && matches(replica, target));
}

function matches(replica: ReplicaState, { host, port }: FailoverTarget): boolean {
  return (
    replica.listeningPort === port && shownAddress(replica).toLowerCase() === host.toLowerCase()
  );
}

function nameOf({ host, port }: FailoverTarget): string {
  return `${host}:${port}`;
}

function notice(text: string): LogLine {
  return { level: LogLevel.NOTICE, text };
}
