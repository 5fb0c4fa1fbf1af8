/**
 * Hot path. Runs requests: finds the command, refuses what may not run, queues inside MULTI, calls the handler, hands
 * what changed to the stream, and counts.
 *
 * Knows no command by name: what is special about one is a flag of its row.
 */
import { assert } from '../../base/assert.ts';
import type { QueuedCommand } from '../../commands/client.ts';
import { CommandContext, Replicate, type StreamOp } from '../../commands/context.ts';
import { type CommandTable, Flag } from '../../commands/spec.ts';
import { GrowableBytes } from '../../resp/growable-bytes.ts';
import { Request } from '../../resp/request.ts';
import { encodeCommand } from '../../resp/stream.ts';
import type { Connection } from '../net/connection.ts';
import type { Server } from '../server.ts';
import { CallClock } from './call-clock.ts';
import { CommandLookup, type CommandRow } from './command-lookup.ts';

/**
 * Something that may refuse a command before it runs; returns the error, or undefined to let it pass. `flags` are those
 * of the row and, for a command that runs a transaction, those of all that it will run.
 */
export type Guard = (connection: Connection, row: CommandRow, flags: number) => string | undefined;

/** Told of each command that ran, with the microseconds that it took: SLOWLOG, MONITOR. */
export type CallListener = (
  connection: Connection,
  row: CommandRow,
  request: Request,
  micros: number,
) => void;

/** Told of a name that is no command; returns whether that is all: the connection is gone. */
export type UnknownListener = (connection: Connection, request: Request) => boolean;

/** Whether a command has to wait, as under CLIENT PAUSE. */
export type Gate = (connection: Connection, flags: number) => boolean;

/** Requests of more bytes have their time measured by themselves. */
const SHORT_REQUEST_BYTES = 1024;
/** So have those that answer more. */
const SHORT_REPLY_BYTES = 4096;
/** Whoever asks for calls that take less wants to know of each. */
const SHARED_SLOW_MICROS = 1000;
const ARGUMENTS_SHOWN_BYTES = 128;
/** Commands with one of these read or change what replicas have. */
const KEYSPACE_FLAGS = Flag.WRITE | Flag.READONLY | Flag.MAY_REPLICATE;

export class Dispatcher {
  readonly lookup: CommandLookup;
  readonly context: CommandContext;
  readonly #server: Server;
  /**
   * Asked in order, for every command, while there is an obstacle or the client is in a mode that allows few commands.
   * Otherwise nothing can be refused but for authentication.
   */
  readonly guards: Guard[] = [];
  #onCall: CallListener | undefined = undefined;
  /** Told of calls that took at least `slowMicros`. */
  onSlow: CallListener | undefined = undefined;
  #slowMicros = Number.POSITIVE_INFINITY;
  /** Calls may share a stretch of the clock: nobody wants to know of each. */
  #callsShare = true;
  readonly clock: CallClock;
  onUnknown: UnknownListener | undefined = undefined;
  /** Commands that one of these holds back wait; see {@link runPostponed}. Replaced as a whole. */
  #gates: readonly Gate[] = [];
  /** Serves blocked clients: called when {@link keysNoted} after each command outside, or at the end, of a transaction. */
  afterUnit: (() => void) | undefined = undefined;
  /** Keys have changed that somebody waits for. */
  keysNoted = false;
  /** The present call is that of a command that has waited. */
  #again = false;
  /** Between MULTI's EXEC and its end, operations gather in one unit. */
  #inUnit = false;
  readonly #scratch = new GrowableBytes();
  readonly #queuedRequest = new Request();

  constructor(server: Server, tables: readonly CommandTable[]) {
    this.#server = server;
    this.lookup = new CommandLookup(tables, server.config.renamedCommands);
    this.context = new CommandContext(server);
    this.clock = new CallClock(server.clock);
  }

  /** Told of every call; undefined while nobody listens. */
  set onCall(listener: CallListener | undefined) {
    this.#onCall = listener;
    this.#noteListeners();
  }

  set slowMicros(micros: number) {
    this.#slowMicros = micros;
    this.#noteListeners();
  }

  #noteListeners(): void {
    this.#callsShare = this.#onCall === undefined && this.#slowMicros >= SHARED_SLOW_MICROS;
  }

  /** The commands of a transaction run now. */
  get inTransaction(): boolean {
    return this.#inUnit;
  }

  /** Runs one request of a client; its reply is appended to the connection's. `known` is what the lookup of its name
   * found; `follows` tells that another request of the client lies ready behind it.
   */
  run(connection: Connection, request: Request, known?: CommandRow, follows = false): void {
    // Most requests are of a client that may do anything while nothing stands in the way, and have as many words as they
    // must.
    const { argc } = request;
    const isPlain =
      (connection.modes | this.#server.obstacles | this.#gates.length) === 0 &&
      known !== undefined &&
      argc >= known.argcMin &&
      argc <= known.argcMax &&
      !known.hasSubcommands;
    if (isPlain) this.#call(connection, known, request, follows);
    else this.#runGuarded(connection, request, known);
    if (this.keysNoted) this.afterUnit?.();
  }

  /** Runs a request unless something forbids it, queues it, or has it wait. */
  #runGuarded(connection: Connection, request: Request, known: CommandRow | undefined): void {
    if (connection.isReplica && !this.#mayComeOnLink(connection, request)) return;
    const row = this.#find(connection, request, known);
    if (row === undefined) return;
    if (this.#gates.length > 0 && this.#isHeld(connection, row)) {
      connection.postponed = keepRequest(request);
      connection.blocked = true;
      return;
    }
    if (connection.queued !== undefined && (row.flags & Flag.NOT_QUEUED) === 0) {
      if ((row.flags & Flag.NO_MULTI) !== 0) {
        this.reject(connection, row, 'ERR Command not allowed inside a transaction');
        return;
      }
      connection.queued.push(keep(request));
      connection.queuedFlags |= row.flags;
      connection.reply.queued();
      return;
    }
    this.#call(connection, row, request, false);
  }

  /** Begins all counts of calls and the server's anew. */
  resetStats(): void {
    this.#server.stats.reset();
    for (const row of this.lookup.rows.values()) row.resetStats();
  }

  /** Lets `gate` hold commands back until it is removed. */
  addGate(gate: Gate): void {
    if (!this.#gates.includes(gate)) this.#gates = [...this.#gates, gate];
  }

  removeGate(gate: Gate): void {
    this.#gates = this.#gates.filter((other) => other !== gate);
  }

  /** Runs the command of a client that the gate held back, and then what else the client has sent. */
  runPostponed(connection: Connection): void {
    const request = connection.postponed;
    if (request === undefined) return;
    connection.postponed = undefined;
    connection.blocked = false;
    this.run(connection, request);
    if (!connection.blocked) connection.resume();
  }

  /** Calls the command of a client that has waited. It was counted and told when it was called first. */
  callAgain(connection: Connection, row: CommandRow, request: Request): void {
    this.clock.stop();
    this.#again = true;
    this.#call(connection, row, request, false);
    this.#again = false;
    this.clock.stop();
  }

  /** The read event of a client is over: the next call reads the clock anew. */
  turnEnded(): void {
    this.clock.stop();
  }

  #call(connection: Connection, row: CommandRow, request: Request, follows: boolean): void {
    const { context } = this;
    const server = this.#server;
    const dbIndex = connection.dbIndex;
    const db = server.keyspace.databases[dbIndex]!;
    db.accessClock = server.accessClock;
    // A reference costs more to store than to compare, and most of these stay as they are in a pipeline.
    context.request = request;
    if (context.client !== connection) {
      context.client = connection;
      context.reply = connection.reply;
    }
    if (context.db !== db) context.db = db;
    context.changes = 0;
    context.replicate = Replicate.REQUEST;
    if (connection.lastRow !== row) connection.lastRow = row;
    const { clock } = this;
    const { reply } = connection;
    const replyBytes = reply.size;
    const isShort =
      request.argc === row.shortArgc && request.end - request.start <= SHORT_REQUEST_BYTES && !this.#again;
    let micros: number;
    if (isShort) {
      clock.beginShared();
      row.handler(context);
      micros = clock.endShared(
        row,
        follows && this.#callsShare && reply.size - replyBytes <= SHORT_REPLY_BYTES,
      );
    } else {
      const startMs = clock.begin();
      row.handler(context);
      micros = clock.end(row, startMs, this.#again);
    }
    if (!this.#again) {
      row.calls++;
      server.stats.commandsProcessed++;
    }
    if (reply.errors !== reply.errorsNoted) {
      // Errors inside a transaction are noted with their commands, and are not EXEC's.
      reply.errorsNoted = reply.errors;
      row.failedCalls++;
      server.noteError(reply.lastError);
    }
    const { changes, ops, opsBefore } = context;
    server.dirty += changes;
    if (ops.length > 0 || opsBefore.length > 0 || (changes > 0 && server.feed.log.active))
      this.#replicate(connection, request, dbIndex, row);
    if (micros >= this.#slowMicros) this.onSlow?.(connection, row, request, micros);
    if (this.#onCall !== undefined && !this.#again) this.#onCall(connection, row, request, micros);
  }

  /**
   * Runs the queued commands of a transaction as one unit of the stream. The reply's array header is written already.
   */
  runQueued(connection: Connection, queued: readonly QueuedCommand[]): void {
    const { context } = this;
    const { request: outerRequest, replicate: outerReplicate, changes: outerChanges } = context;
    this.beginUnit();
    for (const command of queued) {
      const request = this.#queuedRequest;
      fill(request, command);
      const row = this.#rowOf(request);
      assert(row !== undefined, 'a queued command was found when it was queued');
      this.#call(connection, row, request, false);
    }
    const { streamLog } = this.#server;
    const offset = streamLog.endOffset;
    this.endUnit(true);
    // WAIT is about the end of the transaction, which is in the stream only now.
    if (streamLog.endOffset !== offset) connection.lastWriteOffset = streamLog.endOffset;
    context.request = outerRequest;
    context.replicate = outerReplicate;
    context.changes = outerChanges;
  }

  /** From here to {@link endUnit} all operations for the stream are one unit. */
  beginUnit(): void {
    this.#inUnit = true;
  }

  endUnit(wrap: boolean): void {
    this.#inUnit = false;
    this.#server.feed.flush(wrap);
  }

  /** Streams an operation that no command of a client caused, such as an active expiry. */
  replicateOp(op: StreamOp): void {
    this.#queueOp(op);
    if (!this.#inUnit) this.#server.feed.flush(false);
  }

  /** Streams the deletions of expired keys that a lookup outside of a command caused. */
  replicateDeletions(): void {
    const { opsBefore } = this.context;
    for (const op of opsBefore) this.replicateOp(op);
    opsBefore.length = 0;
  }

  /** Answers an error for a command that does not run; a transaction that was being queued is broken. */
  reject(connection: Connection, row: CommandRow | undefined, error: string): void {
    if (row !== undefined) row.rejectedCalls++;
    let text = error;
    if (connection.queued !== undefined) connection.transactionBroken = true;
    if (row !== undefined && (row.flags & Flag.RUNS_QUEUE) !== 0) {
      const reason = error.startsWith('ERR ') ? error.slice('ERR '.length) : error;
      text = `EXECABORT Transaction discarded because of: ${reason}`;
      connection.endTransaction();
      this.#server.watchTable.unwatchAll(connection);
    }
    this.#server.noteError(text);
    connection.reply.error(text);
    connection.reply.errorsNoted = connection.reply.errors;
  }

  #isHeld(connection: Connection, row: CommandRow): boolean {
    const flags = this.#flagsOf(connection, row);
    for (const gate of this.#gates) if (gate(connection, flags)) return true;
    return false;
  }

  /** The flags that count for a call: also those of a transaction's commands, when it runs one. */
  #flagsOf(connection: Connection, row: CommandRow): number {
    const { flags } = row;
    return (flags & Flag.RUNS_QUEUE) === 0 ? flags : flags | connection.queuedFlags;
  }

  /** The row of a request, or undefined when there is none. */
  #rowOf(request: Request): CommandRow | undefined {
    const row = this.lookup.find(request.bytes, request.position[0]!, request.length[0]!);
    if (row === undefined || !row.hasSubcommands || request.argc === 1) return row;
    return row.subcommands.get(request.latin1(1).toLowerCase());
  }

  /** Whether a replica may send the request. Ends its link when it may not. */
  #mayComeOnLink(connection: Connection, request: Request): boolean {
    const row = this.#rowOf(request);
    if (row !== undefined && (row.flags & Flag.ON_LINK) !== 0) return true;
    const name = row?.fullName ?? '<unknown>';
    if (row !== undefined) row.rejectedCalls++;
    if (row !== undefined && (row.flags & KEYSPACE_FLAGS) !== 0) {
      this.#server.log.warning(
        '== CRITICAL == This master is sending an error to its replica: ' +
          `'Replica can't interact with the keyspace' after processing the command '${name}'`,
      );
    }
    connection.endLink(name);
    return false;
  }

  /** The row that may run for a request, or undefined after an error has been answered. */
  #find(connection: Connection, request: Request, known: CommandRow | undefined): CommandRow | undefined {
    let row = known ?? this.lookup.find(request.bytes, request.position[0]!, request.length[0]!);
    if (row === undefined) {
      if (this.onUnknown?.(connection, request)) return undefined;
      this.reject(connection, undefined, unknownCommand(request));
      return undefined;
    }
    if (row.hasSubcommands && request.argc > 1) {
      const sub = row.subcommands.get(request.latin1(1).toLowerCase());
      if (sub === undefined) {
        this.reject(connection, row, unknownSubcommand(row, request));
        return undefined;
      }
      row = sub;
    }
    if (request.argc < row.argcMin || request.argc > row.argcMax) {
      this.reject(connection, row, `ERR wrong number of arguments for '${row.fullName}' command`);
      return undefined;
    }
    if (!connection.authenticated && (row.flags & Flag.NO_AUTH) === 0) {
      this.reject(connection, row, 'NOAUTH Authentication required.');
      return undefined;
    }
    if (this.#server.obstacles === 0 && !connection.subscribed && !connection.monitor) return row;
    const { guards } = this;
    const allFlags = this.#flagsOf(connection, row);
    for (let i = 0; i < guards.length; i++) {
      const error = guards[i]!(connection, row, allFlags);
      if (error === undefined) continue;
      this.reject(connection, row, error);
      return undefined;
    }
    return row;
  }

  /** Hands what the command changed to the stream. */
  #replicate(connection: Connection, request: Request, dbIndex: number, row: CommandRow): void {
    const { context } = this;
    const { feed } = this.#server;
    const { changes, opsBefore, ops } = context;
    if (!feed.log.active) {
      // Nobody reads the stream. To set a length is a call.
      if (opsBefore.length > 0) opsBefore.length = 0;
      if (ops.length > 0) ops.length = 0;
      return;
    }
    if (opsBefore.length === 0 && ops.length === 0 && !this.#inUnit) {
      if (context.replicate === Replicate.REQUEST) {
        if (request.canonical) feed.appendDeferred(dbIndex, request.bytes, request.start, request.end);
        else this.#appendEncoded(dbIndex, request);
      }
    } else {
      for (const op of opsBefore) this.#queueOp(op);
      if (opsBefore.length > 0) opsBefore.length = 0;
      if (context.replicate === Replicate.REQUEST) {
        if (changes > 0) this.#queueRequest(dbIndex, request);
      } else if (context.replicate === Replicate.OPS) {
        for (const op of ops) this.#queueOp(op);
      }
      if (ops.length > 0) ops.length = 0;
      if (!this.#inUnit) feed.flush((row.flags & Flag.TOUCHES_ARBITRARY_KEYS) === 0);
    }
    connection.lastWriteOffset = this.#server.streamLog.endOffset;
  }

  #queueOp(op: StreamOp): void {
    if (!this.#server.streamLog.active) return;
    const scratch = this.#scratch;
    scratch.size = 0;
    encodeCommand(scratch, op.words);
    this.#server.feed.queue(op.dbIndex, scratch.bytes, 0, scratch.size);
  }

  #queueRequest(dbIndex: number, request: Request): void {
    if (!this.#server.streamLog.active) return;
    if (request.canonical) this.#server.feed.queue(dbIndex, request.bytes, request.start, request.end);
    else this.#queueOp({ dbIndex, words: wordsOf(request) });
  }

  #appendEncoded(dbIndex: number, request: Request): void {
    if (!this.#server.streamLog.active) return;
    const scratch = this.#scratch;
    scratch.size = 0;
    encodeCommand(scratch, wordsOf(request));
    this.#server.feed.appendVerbatim(dbIndex, scratch.bytes, 0, scratch.size);
  }
}

/** A request in arrays of its own, for a transaction. */
function keep(request: Request): QueuedCommand {
  const { start, end, argc } = request;
  const position = new Int32Array(argc);
  let from = start;
  let to = end;
  // Words of an inline request may lie outside of its line, where its quotes were taken out.
  for (let i = 0; i < argc; i++) {
    from = Math.min(from, request.position[i]!);
    to = Math.max(to, request.position[i]! + request.length[i]!);
  }
  for (let i = 0; i < argc; i++) position[i] = request.position[i]! - from;
  return {
    bytes: Uint8Array.prototype.slice.call(request.bytes, from, to),
    position,
    length: request.length.slice(0, argc),
    canonical: request.canonical,
  };
}

function fill(request: Request, command: QueuedCommand): void {
  request.bytes = command.bytes;
  request.position = command.position;
  request.length = command.length;
  request.argc = command.position.length;
  request.start = 0;
  request.end = command.bytes.length;
  request.canonical = command.canonical;
}

/** A request that outlives the buffer that it was read into. */
export function keepRequest(request: Request): Request {
  const kept = new Request();
  fill(kept, keep(request));
  return kept;
}

function wordsOf(request: Request): Uint8Array[] {
  return Array.from({ length: request.argc }, (_, i) => request.copy(i));
}

function unknownCommand(request: Request): string {
  let shown = '';
  for (let i = 1; i < request.argc && shown.length < ARGUMENTS_SHOWN_BYTES; i++) {
    shown += `'${request.latin1(i).slice(0, ARGUMENTS_SHOWN_BYTES - shown.length)}' `;
  }
  const name = request.latin1(0).slice(0, ARGUMENTS_SHOWN_BYTES);
  return `ERR unknown command '${name}', with args beginning with: ${shown}`;
}

function unknownSubcommand(row: CommandRow, request: Request): string {
  const sub = request.latin1(1).slice(0, ARGUMENTS_SHOWN_BYTES);
  return `ERR unknown subcommand '${sub}'. Try ${row.fullName.toUpperCase()} HELP.`;
}
