/**
 * Hot path. Runs the primary's stream in place, as a session without a socket. The requests of
 * the session come from the link.
 *
 *   link ─▶ reader ─▶ dispatcher ─▶ dataset
 *              └────────────────────────────▶ log: the same bytes, a whole unit at a time
 *
 * The log's end is the applied offset. The log takes the applied bytes unchanged, so offsets agree
 * at every hop below. A transaction enters the log as a whole, after its EXEC. Until then its bytes
 * are kept here, and the applied offset stands still. So every reader of the applied offset, a
 * snapshot included, finds it between two units.
 *
 * Commands of the primary are trusted: no key expires by itself for them, and no limit applies. A
 * command that fails here did not fail there. The failure is logged and counted, and the stream
 * goes on, as in Redis. A command that found no memory ends the link and invalidates the stream
 * that is held. Redis would end the process.
 *
 * One limit applies: a transaction that would fill V8's heap ends the link, and the full sync that
 * follows brings its effects. Otherwise a primary that queues for ever, or six million short
 * commands in one transaction, would end the process.
 *
 * Main thread.
 */
import type { Socket } from 'node:net';
import { getHeapStatistics } from 'node:v8';
import { assert } from '../../base/assert.ts';
import { ErrorCode, OperatingError } from '../../base/errors.ts';
import { Parse, RequestReader } from '../../resp/parser.ts';
import type { Reply } from '../../resp/reply.ts';
import type { Request } from '../../resp/request.ts';
import type { CommandRow } from '../dispatch/command-lookup.ts';
import type { Dispatcher } from '../dispatch/dispatcher.ts';
import { STREAM_BYTES_MAX, STREAM_LIMITS, StreamSession } from '../dispatch/stream-session.ts';
import { UnitLog } from '../dispatch/unit-log.ts';
import type { Server } from '../server.ts';

/**
 * The queue of a transaction may take this part of V8's heap, as `queuedBytes` counts it.
 */
const HEAP_PER_QUEUE = 2;

/** The primary, as a client of this node. */
export class UpstreamSession extends StreamSession {
  readonly socket: Socket;
  readonly address: string;
  readonly localAddressText: string;
  readonly connectedMs: number;
  /** The reader of its stream, for CLIENT LIST. */
  reader: RequestReader | undefined = undefined;

  constructor(id: number, reply: Reply, socket: Socket, nowMs: number) {
    super(id, reply);
    this.socket = socket;
    this.address = addressText(socket.remoteAddress, socket.remotePort);
    this.localAddressText = addressText(socket.localAddress, socket.localPort);
    this.connectedMs = nowMs;
  }

  describe(): string {
    return `id=${this.id} addr=${this.address} laddr=${this.localAddressText} flags=M`;
  }

  destroy(): void {
    this.socket.destroy();
  }
}

const addressText = (host = '?', port = 0): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

export class Applier {
  readonly session: UpstreamSession;
  /** The dataset no longer matches the stream: no more of the stream may be applied. */
  diverged = false;
  readonly #server: Server;
  readonly #dispatcher: Dispatcher;
  readonly #reader: RequestReader;
  readonly #unitLog: UnitLog;
  readonly #onGetack: () => void;
  readonly #queuedBytesMax: number;
  #stopped = false;

  /**
   * The stream has `dbIndex` selected where it begins. `onGetack` is called when the primary asks
   * for an ACK.
   */
  constructor(
    server: Server,
    dispatcher: Dispatcher,
    session: UpstreamSession,
    dbIndex: number,
    onGetack: () => void,
    queuedBytesMax = Math.min(
      STREAM_BYTES_MAX,
      getHeapStatistics().heap_size_limit / HEAP_PER_QUEUE,
    ),
  ) {
    this.#queuedBytesMax = queuedBytesMax;
    this.#onGetack = onGetack;
    this.#server = server;
    this.#dispatcher = dispatcher;
    this.#unitLog = new UnitLog(server.streamLog);
    this.session = session;
    session.dbIndex = Math.min(dbIndex, server.keyspace.databases.length - 1);
    this.#reader = new RequestReader(STREAM_LIMITS, server.streamLog.lease);
    session.reader = this.#reader;
  }

  /** The database that the stream has selected at the applied offset. */
  get selectedDb(): number {
    return this.session.dbIndex;
  }

  /** Stops applying: the stream has another source, or none. */
  stop(): void {
    this.#stopped = true;
    this.session.endTransaction();
    this.session.reply.discard();
  }

  /**
   * Applies the whole requests in bytes[start, end), in one turn. Throws CORRUPT when the bytes are
   * no stream of a primary, and ARENA_FULL when there is no memory for a request. The caller may
   * reuse the bytes afterwards.
   */
  push(bytes: Uint8Array, start: number, end: number): void {
    const { streamLog } = this.#server;
    const reader = this.#reader;
    assert(streamLog.active, 'a stream that is applied is kept');
    reader.push(bytes, start, end);
    try {
      while (!this.#stopped) {
        if (this.#applyAhead()) continue;
        const found = reader.next();
        if (found === Parse.REQUEST) this.#apply(reader.request, undefined, false);
        else if (found === Parse.EMPTY) this.#note(reader.request);
        else if (found === Parse.MORE) break;
        else
          throw new OperatingError(
            ErrorCode.CORRUPT,
            reader.error || 'a request beyond all limits',
          );
      }
    } finally {
      streamLog.settle();
      reader.keep();
      this.#dispatcher.turnEnded();
    }
  }

  /**
   * Applies requests that lie whole in the bytes, after reading their memory ahead, as a connection
   * does. Returns false when there are none.
   */
  #applyAhead(): boolean {
    const { session } = this;
    const reader = this.#reader;
    const { lookAhead } = this.#dispatcher;
    if (lookAhead.busy) return false;
    const { requests, rows } = lookAhead;
    const count = reader.lookAhead(requests);
    if (count === 0) return false;
    lookAhead.prepare(this.#server.keyspace.databases[session.dbIndex]!, count);
    lookAhead.busy = true;
    let at = 0;
    try {
      while (at < count && !this.#stopped) {
        const request = requests[at]!;
        const repeats = request.repeats > 0;
        reader.take(request);
        this.#apply(request, rows[at], repeats || at + 1 < count);
        if (repeats) request.moveOn();
        else at++;
      }
    } finally {
      lookAhead.busy = false;
    }
    return true;
  }

  /** `row` is that of the request, if it is known; `follows`: the next request is ready. */
  #apply(request: Request, row: CommandRow | undefined, follows: boolean): void {
    const { session } = this;
    if (request.inline) {
      throw new OperatingError(
        ErrorCode.CORRUPT,
        `an inline request '${request.latin1(0).slice(0, 64)}'`,
      );
    }
    if (request.equalsIgnoreCase(0, 'REPLCONF')) {
      // The ACK does not count the bytes of the request that asks for it.
      if (request.argc > 1 && request.equalsIgnoreCase(1, 'GETACK')) this.#onGetack();
      this.#note(request);
      return;
    }
    const { reply } = session;
    const errors = reply.errors;
    this.#dispatcher.runTrusted(session, request, row, follows);
    if (reply.errors !== errors) this.#complain(reply.lastError);
    reply.truncate(0);
    if (this.diverged) {
      throw new OperatingError(
        ErrorCode.ARENA_FULL,
        `no memory for what the primary has sent, at '${session.lastCommand}'`,
      );
    }
    if (!this.#stopped) this.#note(request);
  }

  /** Adds the request that has run to the log, or to the unit that is being queued. */
  #note(request: Request): void {
    const { session } = this;
    if (session.inTransaction && session.queuedBytes > this.#queuedBytesMax) {
      throw new OperatingError(
        ErrorCode.CORRUPT,
        `a transaction beyond ${Math.floor(this.#queuedBytesMax)} bytes of memory`,
      );
    }
    this.#unitLog.note(request, session.inTransaction);
  }

  #complain(error: string): void {
    const { stats, log } = this.#server;
    stats.unexpectedErrorReplies++;
    log.warning(
      `== CRITICAL == This replica is sending an error to its master: '${error}' after processing the command ` +
        `'${this.session.lastCommand}'`,
    );
  }
}
