/**
 * Clients in WAIT and WAITAOF. Each waits until enough replicas have acknowledged the stream up to
 * its last command, and until this node's own file has it on disk when that is wanted, or until its
 * timeout.
 *
 * An ACK is only noted; satisfied clients are answered at the end of its read event, outside of any
 * command. Main thread.
 */
import { countAcked, countFsynced, type ReplicaState } from '../../replication/replica-state.ts';
import type { Reply } from '../../resp/reply.ts';
import { answerLate, type ErrorCounter } from '../dispatch/late-answer.ts';
import type { Connection } from '../net/connection.ts';

/** The limit of setTimeout, 24 days. Longer waits are answered then. */
const TIMER_MS_MAX = 0x7fffffff;

/** The answer to WAITAOF for this node's own disk without an append only file. */
export const ERROR_NO_AOF =
  'ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.';

interface Waiter {
  readonly connection: Connection;
  readonly offset: number;
  readonly replicas: number;
  /** For WAITAOF: the replicas must acknowledge that they have fsynced. */
  readonly fsynced: boolean;
  /** For WAITAOF: 1 when this node must have it on disk, too. */
  readonly local: number;
  readonly timer: NodeJS.Timeout | undefined;
}

export class Waiters {
  readonly #errors: ErrorCounter;
  readonly #syncedOffset: () => number;
  readonly #states: Iterable<ReplicaState>;
  readonly #waiters = new Map<Connection, Waiter>();
  #acked = false;

  /** `syncedOffset` tells how far this node's own file is on disk. */
  constructor(errors: ErrorCounter, states: Iterable<ReplicaState>, syncedOffset: () => number) {
    this.#syncedOffset = syncedOffset;
    this.#errors = errors;
    this.#states = states;
  }

  get count(): number {
    return this.#waiters.size;
  }

  /** Counts the replicas that have `offset`, in memory or on disk. */
  countOf(offset: number, fsynced: boolean): number {
    return fsynced ? countFsynced(this.#states, offset) : countAcked(this.#states, offset);
  }

  /** Makes the client of `connection` wait; `timeoutMs` 0 means forever. */
  add(
    connection: Connection,
    replicas: number,
    timeoutMs: number,
    fsynced: boolean,
    local: number,
  ): void {
    connection.blocked = true;
    connection.waitEnds = timeoutMs > 0;
    const timer =
      timeoutMs === 0
        ? undefined
        : setTimeout(() => this.unblock(connection), Math.min(timeoutMs, TIMER_MS_MAX));
    const offset = connection.lastOffset;
    this.#waiters.set(connection, { connection, offset, replicas, fsynced, local, timer });
  }

  /** 1 when `offset` is on this node's disk. */
  localOf(offset: number): number {
    return this.#syncedOffset() >= offset ? 1 : 0;
  }

  /** A replica acknowledged something, or this node's disk did. */
  noteAck(): void {
    this.#acked = true;
  }

  /** Answers the clients whose wait is satisfied. */
  serve(): void {
    if (!this.#acked) return;
    this.#acked = false;
    for (const waiter of this.#waiters.values()) {
      const { offset, fsynced, replicas, local } = waiter;
      if (this.countOf(offset, fsynced) >= replicas && this.localOf(offset) >= local)
        this.unblock(waiter.connection);
    }
  }

  /** Answers the present count, or `error`. Returns false when the client does not wait here. */
  unblock(connection: Connection, error?: string): boolean {
    const waiter = this.#waiters.get(connection);
    if (waiter === undefined) return false;
    this.forget(connection);
    answerLate(this.#errors, connection, (reply) => {
      if (error === undefined) this.reply(reply, waiter.offset, waiter.fsynced);
      else reply.error(error);
    });
    connection.flush();
    // What the client sent meanwhile runs in another turn.
    setImmediate(() => connection.resume());
    return true;
  }

  /** WAIT answers the count of replicas; WAITAOF whether this node has it on disk, and the count. */
  reply(reply: Reply, offset: number, fsynced: boolean): void {
    if (fsynced) {
      reply.array(2);
      reply.integer(this.localOf(offset));
    }
    reply.integer(this.countOf(offset, fsynced));
  }

  /** Ends all waits with an error, and the connections after it: the node's role has changed. */
  unblockAll(error: string): void {
    for (const { connection } of [...this.#waiters.values()]) {
      connection.closeAfterReply = true;
      this.unblock(connection, error);
    }
  }

  /** Ends the waits for this node's own disk with an error: its append only file is turned off. */
  unblockLocal(error: string): void {
    for (const { connection, local } of [...this.#waiters.values()])
      if (local > 0) this.unblock(connection, error);
  }

  /** The client waits no more, or is gone. */
  forget(connection: Connection): void {
    const waiter = this.#waiters.get(connection);
    if (waiter === undefined) return;
    clearTimeout(waiter.timer);
    connection.waitEnds = false;
    this.#waiters.delete(connection);
  }
}
