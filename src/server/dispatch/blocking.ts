/**
 * Clients whose command waits for a key, as BLPOP does. The command runs again when one of its keys
 * has changed.
 *
 *   command finds nothing ──block()──▶ waiting ──key changed, of the right type──▶ the command runs again
 *                                        │  ▲                                        │          │
 *                             time is up │  └──────────── finds nothing again ──────┘          ▼
 *                             or UNBLOCK ▼                                                   answered
 *                                     answered
 *
 * A change only notes the key. Noted keys are served when the unit of the changing command has
 * ended, so a transaction is never seen half done. Clients of one key are served in the order in
 * which they came. Serving may change further keys (BLMOVE): they are noted and served in the same
 * run.
 *
 * A unit may take long, so the clock is read for each client that is served. A key that has expired
 * meanwhile counts as none; it stays until a command uses it.
 *
 * A command that runs again is refused where a new one would be, for lack of memory for example. It
 * does not run while a dataset is loaded, nor, if it writes, while writes are paused: its keys are
 * noted again when that is over.
 *
 * A waiting command is counted as a call when it is answered, with the time of all its calls, and not
 * at all if it is refused or its client goes.
 */
import { performance } from 'node:perf_hooks';
import { assert } from '../../base/assert.ts';
import { latin1 } from '../../base/bytes.ts';
import { NIL } from '../../base/units.ts';
import type { BlockRequest, WaitingCall } from '../../commands/ports.ts';
import { Flag } from '../../commands/spec.ts';
import type { ValueType } from '../../keyspace/entry.ts';
import type { Request } from '../../resp/request.ts';
import type { Server, Waits } from '../server.ts';
import type { CommandRow } from './command-lookup.ts';
import { type Dispatcher, keepRequest } from './dispatcher.ts';
import { answerLate } from './late-answer.ts';
import { Session } from './session.ts';

/**
 * About what a key that is waited for takes on the heap beside its name: its place in the waiter,
 * and its queue, which is counted for each of its clients.
 */
const AWAITED_KEY_BYTES = 270;

interface Waiter {
  readonly session: Session;
  readonly row: CommandRow;
  readonly request: Request;
  readonly block: BlockRequest;
  /** The keys of the request, by the index of their argument. */
  readonly keys: readonly { readonly id: string; readonly argument: number }[];
  readonly dbIndex: number;
  /** End of the wait, in ms of the monotonic clock; infinite without a timeout. */
  readonly deadlineMs: number;
  timer: NodeJS.Timeout | undefined;
  /** Still in the queues. */
  waiting: boolean;
}

export class Blocking implements Waits {
  readonly #server: Server;
  readonly #dispatcher: Dispatcher;
  /** The waiters of each key, in order. */
  readonly #queues = new Map<string, Set<Waiter>>();
  readonly #byClient = new Map<Session, Waiter>();
  /** Changed keys that clients wait for, in order. */
  readonly #changed = new Set<string>();
  /** Keys with waiters that may not run now; see {@link allowed}. */
  readonly #held = new Set<string>();
  /** Whether the queues hold a waiter. Each change reads this; a map's size would be a call. */
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

  /** The number of keys that clients wait for. */
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

  /** See {@link BlockRequest}. The handler of the command that must wait calls it. */
  block(call: WaitingCall, block: BlockRequest): void {
    const serving = this.#serving;
    if (serving !== undefined && serving.session === call.client) {
      // It finds nothing again: it stays where it is in the queues, with its old timeout.
      serving.waiting = true;
      serving.session.hasToWait = true;
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
    const { bytes, position, length } = request;
    const keys = block.keys.map((argument) => ({
      id: idOf(dbIndex, bytes, position[argument]!, length[argument]!),
      argument,
    }));
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
      session.namesBytes += AWAITED_KEY_BYTES + id.length;
    }
    this.anyWaits = true;
    this.#byClient.set(session, waiter);
    this.#count(row, -1);
    session.blocked = true;
    session.waitingRequest = request;
    session.hasToWait = true;
    session.waitedMicros = 0;
    session.waitEnds = block.timeoutMs > 0;
    if (block.timeoutMs > 0) this.#setTimer(waiter, block.timeoutMs);
  }

  /** Notes a change for the waiters of the key. Call it while {@link anyWaits}. */
  keyModified(dbIndex: number, bytes: Uint8Array, start: number, length: number): void {
    const id = idOf(dbIndex, bytes, start, length);
    if (this.#queues.has(id)) this.#note(id);
  }

  /** Notes that any key of a database (-1: of all) may have changed: SWAPDB, FLUSHALL, a load. */
  databaseModified(dbIndex: number): void {
    for (const id of this.#queues.keys()) {
      if (dbIndex < 0 || id.startsWith(`${dbIndex}:`)) this.#note(id);
    }
  }

  #note(id: string): void {
    this.#changed.add(id);
    this.#dispatcher.keysNoted = true;
  }

  /** Serves the noted keys. Called at the end of each unit. */
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

  /** Whatever held waiters back may be over: those of the keys that were held are served. */
  allowed(): void {
    for (const id of this.#held) if (this.#queues.has(id)) this.#note(id);
    this.#held.clear();
    this.serve();
  }

  /** Ends a client's wait: with an error for CLIENT UNBLOCK ERROR, else as if it timed out. */
  unblock(session: Session, error?: string): boolean {
    const waiter = this.#byClient.get(session);
    if (waiter === undefined) return false;
    this.#end(waiter, error);
    return true;
  }

  /** Ends all waits with an error, and the connections after it: the node's role has changed. */
  unblockAll(error: string): void {
    for (const waiter of [...this.#byClient.values()]) {
      waiter.session.closeAfterReply = true;
      this.#end(waiter, error);
    }
  }

  /** The session is gone. */
  closed(session: Session): void {
    const waiter = this.#byClient.get(session);
    if (waiter !== undefined) this.#forget(waiter);
  }

  /** Runs the commands of a key's waiters again, in order, while the key has what they want. */
  #serveKey(id: string): void {
    const queue = this.#queues.get(id);
    if (queue === undefined) return;
    /**
     * The type that the key holds. It is looked up again after each command only: there may be
     * thousands of waiters.
     */
    let type: ValueType | undefined;
    let known = false;
    for (const waiter of queue) {
      if (!known) type = this.#typeOf(waiter, id);
      known = true;
      if (type !== waiter.block.type && waiter.block.whenDeleted !== true) continue;
      if (this.#isHeld(waiter)) {
        this.#held.add(id);
        continue;
      }
      this.#runAgain(waiter);
      known = false;
    }
  }

  /** The type of the value of a waiter's key, or undefined when the key is gone. */
  #typeOf(waiter: Waiter, id: string): ValueType | undefined {
    const key = waiter.keys.find((each) => each.id === id);
    assert(key !== undefined, 'a waiter stands in the queues of its keys');
    this.#server.clock.tick();
    const db = this.#server.keyspace.databases[waiter.dbIndex]!;
    const { bytes, position, length } = waiter.request;
    const entry = this.#dispatcher.background.findHidden(
      db,
      bytes,
      position[key.argument]!,
      length[key.argument]!,
    );
    return entry === NIL ? undefined : db.type(entry);
  }

  /** Whether the command of a waiter may not run now, and has to wait on. */
  #isHeld({ row }: Waiter): boolean {
    const { loading, writePauses } = this.#server;
    return loading || (writePauses > 0 && (row.flags & Flag.WRITE) !== 0);
  }

  #runAgain(waiter: Waiter): void {
    const { session } = waiter;
    waiter.waiting = false;
    this.#serving = waiter;
    let isCalled: boolean;
    try {
      isCalled = this.#dispatcher.callAgain(session, waiter.row, waiter.request);
    } finally {
      this.#serving = undefined;
    }
    if (waiter.waiting) return;
    if (isCalled) this.#count(waiter.row, 1);
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

  /** Ends a wait and answers the client: with `error`, or as a timeout. */
  #end(waiter: Waiter, error: string | undefined): void {
    const { session } = waiter;
    this.#count(waiter.row, 1);
    this.#forget(waiter);
    this.#dispatcher.waitEnded(session, waiter.row, waiter.request);
    answerLate(this.#server, session, (reply) => {
      if (error === undefined) waiter.block.onTimeout(reply);
      else reply.error(error);
    });
    this.#resume(session);
  }

  /**
   * The client goes on in another turn: what it sent meanwhile must not run inside the unit of
   * another client.
   */
  #resume(session: Session): void {
    session.flush();
    setImmediate(() => session.resume());
  }

  /**
   * Counts a call. The dispatcher counts each call when it returns; -1 takes that back in advance.
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
    waiter.session.waitEnds = false;
    for (const { id } of waiter.keys) {
      const queue = this.#queues.get(id);
      queue?.delete(waiter);
      if (queue?.size === 0) this.#queues.delete(id);
      waiter.session.namesBytes -= AWAITED_KEY_BYTES + id.length;
    }
    this.anyWaits = this.#queues.size > 0;
  }
}

/** The limit of setTimeout, 24 days. A longer wait then gets another timer. */
const TIMER_MS_MAX = 0x7fffffff;

function idOf(dbIndex: number, bytes: Uint8Array, start: number, length: number): string {
  return `${dbIndex}:${latin1(bytes, start, length)}`;
}
