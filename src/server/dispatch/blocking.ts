/**
 * Clients whose command waits for a key: BLPOP and its like. The command runs again when a key of
 * it has changed.
 *
 *   command finds nothing ──block()──▶ waiting ──key changed, of the right type──▶ the command runs again
 *                                        │  ▲                                        │          │
 *                             time is up │  └──────────── finds nothing again ──────┘          ▼
 *                             or UNBLOCK ▼                                                   answered
 *                                     answered
 *
 * A change only notes the key; what was noted is served when the unit of the command that caused it
 * has ended, so a transaction is never seen half done. Clients of one key are served in the order
 * in which they came. Serving may change further keys (BLMOVE): those are noted and served in the
 * same run.
 *
 * A unit may last, so the clock is read for each client that is served. A key that has expired
 * meanwhile is as good as none; it stays where it is until somebody uses it.
 *
 * A command that waits is counted as a call when it is answered, and not at all when its client
 * goes.
 */
import { performance } from 'node:perf_hooks';
import { assert } from '../../base/assert.ts';
import { latin1 } from '../../base/bytes.ts';
import { NIL } from '../../base/units.ts';
import type { BlockRequest, WaitingCall } from '../../commands/ports.ts';
import type { ValueType } from '../../keyspace/entry.ts';
import type { Request } from '../../resp/request.ts';
import type { Server, Waits } from '../server.ts';
import type { CommandRow } from './command-lookup.ts';
import { type Dispatcher, keepRequest } from './dispatcher.ts';
import { answerLate } from './late-answer.ts';
import { Session } from './session.ts';

interface Waiter {
  readonly session: Session;
  readonly row: CommandRow;
  readonly request: Request;
  readonly block: BlockRequest;
  readonly keys: readonly { readonly id: string; readonly bytes: Uint8Array }[];
  readonly dbIndex: number;
  /** When time is up, in ms of the monotonic clock; infinite when never. */
  readonly deadlineMs: number;
  timer: NodeJS.Timeout | undefined;
  /** Still in the queues. */
  waiting: boolean;
}

export class Blocking implements Waits {
  readonly #server: Server;
  readonly #dispatcher: Dispatcher;
  /** By key: those who wait, in order. */
  readonly #queues = new Map<string, Set<Waiter>>();
  readonly #byClient = new Map<Session, Waiter>();
  /** Keys that changed and that somebody waits for, in order. */
  readonly #changed = new Set<string>();
  /** Whether there is somebody in the queues: asked at each change, where a size is a call. */
  anyWaits = false;
  /** The waiter whose command runs again now. */
  #serving: Waiter | undefined;
  #inRun = false;

  constructor(server: Server, dispatcher: Dispatcher) {
    this.#server = server;
    this.#dispatcher = dispatcher;
  }

  get clientCount(): number {
    return this.#byClient.size;
  }

  /** Keys that somebody waits for. */
  get keyCount(): number {
    return this.#queues.size;
  }

  get keyCountOnDeletion(): number {
    const ids = new Set<string>();
    for (const { block, keys } of this.#byClient.values()) {
      if (block.whenDeleted === true) for (const { id } of keys) ids.add(id);
    }
    return ids.size;
  }

  /** See {@link BlockRequest}; called by the handler of the command that is to wait. */
  block(call: WaitingCall, block: BlockRequest): void {
    const serving = this.#serving;
    if (serving !== undefined && serving.session === call.client) {
      // It finds nothing again: it stays where it is in the queues, with its old timeout.
      serving.waiting = true;
      return;
    }
    const session = call.client;
    if (
      !(session instanceof Session) ||
      session.inTransaction ||
      session.fromPrimary ||
      call.inUnit
    ) {
      (block.onRefused ?? block.onTimeout)(call.reply);
      return;
    }
    const row = session.lastRow;
    assert(row !== undefined, 'a command that waits is running');
    const request = keepRequest(call.request);
    const dbIndex = session.dbIndex;
    const keys = block.keys.map((index) => {
      const bytes = request.copy(index);
      return { id: idOf(dbIndex, bytes, 0, bytes.length), bytes };
    });
    const waiter: Waiter = {
      session,
      row,
      request,
      block,
      keys,
      dbIndex,
      deadlineMs:
        block.timeoutMs > 0 ? performance.now() + block.timeoutMs : Number.POSITIVE_INFINITY,
      timer: undefined,
      waiting: true,
    };
    for (const { id } of keys) {
      const queue = this.#queues.get(id) ?? new Set<Waiter>();
      queue.add(waiter);
      this.#queues.set(id, queue);
    }
    this.anyWaits = true;
    this.#byClient.set(session, waiter);
    this.#count(row, -1);
    session.blocked = true;
    session.waitingRequest = request;
    if (block.timeoutMs > 0) this.#setTimer(waiter, block.timeoutMs);
  }

  /** Notes a change for those who wait for the key; to be called while {@link anyWaits}. */
  keyModified(dbIndex: number, bytes: Uint8Array, start: number, length: number): void {
    const id = idOf(dbIndex, bytes, start, length);
    if (this.#queues.has(id)) this.#note(id);
  }

  /** Notes that any key of a database (all: -1) may be another now: SWAPDB, FLUSHALL, a load. */
  databaseModified(dbIndex: number): void {
    for (const id of this.#queues.keys()) {
      if (dbIndex < 0 || id.startsWith(`${dbIndex}:`)) this.#note(id);
    }
  }

  #note(id: string): void {
    this.#changed.add(id);
    this.#dispatcher.keysNoted = true;
  }

  /** Serves what was noted. Called at the end of each unit. */
  serve(): void {
    if (!this.#dispatcher.keysNoted || this.#inRun) return;
    this.#inRun = true;
    try {
      for (const id of this.#changed) {
        this.#changed.delete(id);
        this.#serveKey(id);
      }
      this.#dispatcher.keysNoted = false;
    } finally {
      this.#inRun = false;
    }
  }

  /**
   * Ends a client's wait from outside: with an error for CLIENT UNBLOCK ERROR, else as if time were
   * up.
   */
  unblock(session: Session, error?: string): boolean {
    const waiter = this.#byClient.get(session);
    if (waiter === undefined) return false;
    this.#end(waiter, error);
    return true;
  }

  /** Ends all waits with an error: the node's role has changed. */
  unblockAll(error: string): void {
    for (const waiter of [...this.#byClient.values()]) this.#end(waiter, error);
  }

  /** The session is gone. */
  closed(session: Session): void {
    const waiter = this.#byClient.get(session);
    if (waiter !== undefined) this.#forget(waiter);
  }

  /**
   * Runs the commands of those who wait for a key again, in the order in which they came, while it
   * has what they want.
   */
  #serveKey(id: string): void {
    const queue = this.#queues.get(id);
    if (queue === undefined) return;
    /** What the key holds; looked up again after each command. There may be thousands who wait. */
    let type: ValueType | undefined;
    let known = false;
    for (const waiter of queue) {
      if (!known) type = this.#typeOf(waiter, id);
      known = true;
      if (type !== waiter.block.type && waiter.block.whenDeleted !== true) continue;
      this.#runAgain(waiter);
      known = false;
    }
  }

  /** The type of what a key holds that somebody waits for, or undefined when it is gone. */
  #typeOf(waiter: Waiter, id: string): ValueType | undefined {
    const key = waiter.keys.find((each) => each.id === id);
    assert(key !== undefined, 'a waiter stands in the queues of its keys');
    this.#server.clock.tick();
    const db = this.#server.keyspace.databases[waiter.dbIndex]!;
    const entry = this.#dispatcher.background.findHidden(db, key.bytes, 0, key.bytes.length);
    return entry === NIL ? undefined : db.type(entry);
  }

  #runAgain(waiter: Waiter): void {
    const { session } = waiter;
    waiter.waiting = false;
    this.#serving = waiter;
    try {
      this.#dispatcher.callAgain(session, waiter.row, waiter.request);
    } finally {
      this.#serving = undefined;
    }
    if (waiter.waiting) return;
    this.#count(waiter.row, 1);
    this.#forget(waiter);
    this.#resume(session);
  }

  #setTimer(waiter: Waiter, ms: number): void {
    waiter.timer = setTimeout(() => this.#timeUp(waiter), Math.min(ms, TIMER_MS_MAX));
  }

  #timeUp(waiter: Waiter): void {
    const left = waiter.deadlineMs - performance.now();
    if (left >= 1) {
      this.#setTimer(waiter, left);
      return;
    }
    this.#server.clock.tick();
    this.#end(waiter, undefined);
  }

  /** Answers a client that waits any longer: with an error, or that time is up. */
  #end(waiter: Waiter, error: string | undefined): void {
    const { session } = waiter;
    this.#count(waiter.row, 1);
    this.#forget(waiter);
    answerLate(this.#server, session, (reply) => {
      if (error === undefined) waiter.block.onTimeout(reply);
      else reply.error(error);
    });
    this.#resume(session);
  }

  /**
   * The client goes on in a turn of its own: what it sent meanwhile must not run inside somebody
   * else's unit.
   */
  #resume(session: Session): void {
    session.flush();
    setImmediate(() => session.resume());
  }

  /**
   * Counts a call. The dispatcher counts each one as soon as it returns: -1 takes that back in
   * advance.
   */
  #count(row: CommandRow, calls: 1 | -1): void {
    row.calls += calls;
    this.#server.stats.commandsProcessed += calls;
  }

  #forget(waiter: Waiter): void {
    waiter.waiting = false;
    clearTimeout(waiter.timer);
    this.#byClient.delete(waiter.session);
    waiter.session.waitingRequest = undefined;
    for (const { id } of waiter.keys) {
      const queue = this.#queues.get(id);
      queue?.delete(waiter);
      if (queue?.size === 0) this.#queues.delete(id);
    }
    this.anyWaits = this.#queues.size > 0;
  }
}

/** setTimeout's own limit; who waits longer than 24 days gets another one then. */
const TIMER_MS_MAX = 0x7fffffff;

function idOf(dbIndex: number, bytes: Uint8Array, start: number, length: number): string {
  return `${dbIndex}:${latin1(bytes, start, length)}`;
}
