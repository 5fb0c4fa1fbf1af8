/**
 * Hot path. Runs requests: finds the command, refuses it if it may not run, queues it inside MULTI,
 * calls the handler, hands changes to the stream, and counts.
 *
 * Each call has the frame of its depth (commands/context.ts). The failure boundary surrounds it
 * (boundary.ts).
 *
 * The dispatcher knows no command by name. Special behaviour is a flag in the command's row.
 */
import { assert } from '../../base/assert.ts';
import { OperatingError } from '../../base/errors.ts';
import type { QueuedCommand } from '../../commands/client.ts';
import { CommandContext, Replicate } from '../../commands/context.ts';
import { type CommandTable, Flag } from '../../commands/spec.ts';
import { Request } from '../../resp/request.ts';
import { Obstacle, type Server } from '../server.ts';
import { answerFor, OOM_ERROR } from './boundary.ts';
import { CallClock } from './call-clock.ts';
import { CommandLookup, type CommandRow } from './command-lookup.ts';
import { LookAhead } from './look-ahead.ts';
import { FeedMode, noReplication, type ReplicationMode } from './replication-mode.ts';
import type { Session } from './session.ts';

/**
 * May refuse a command before it runs: returns the error, or undefined to let it pass. `flags` are
 * those of the row; for a command that runs a transaction, also those of the queued commands.
 */
export type Guard = (session: Session, row: CommandRow, flags: number) => string | undefined;

/** Is told of each command that ran, with its microseconds: for SLOWLOG, MONITOR. */
export type CallListener = (
  session: Session,
  row: CommandRow,
  request: Request,
  micros: number,
) => void;

/** Is told of an error that must end the process. */
export type BrokenListener = (
  error: unknown,
  session: Session,
  row: CommandRow,
  request: Request,
) => void;

/**
 * Is told of a name that is no command. Returns whether the session is gone, so that no answer is
 * due.
 */
export type UnknownListener = (session: Session, request: Request) => boolean;

/** Whether a command has to wait, as under CLIENT PAUSE. */
export type Gate = (session: Session, flags: number) => boolean;

/** A request of more bytes is measured alone. */
const SHORT_REQUEST_BYTES = 1024;
/** A call with a longer reply ends the shared stretch. */
const SHORT_REPLY_BYTES = 4096;
/** After a longer call, the wall clock of the turn is read again. */
const LONG_CALL_MICROS = 1000;
/** With a lower SLOWLOG threshold, each call is measured alone. */
const SHARED_SLOW_MICROS = 1000;
/** The microseconds of a call that waits: they are known with the answer. */
const NOT_YET = -1;
const ARGUMENTS_SHOWN_BYTES = 128;
/** Commands with one of these read or change what replicas have. */
const KEYSPACE_FLAGS = Flag.WRITE | Flag.READONLY | Flag.MAY_REPLICATE;

export class Dispatcher {
  readonly lookup: CommandLookup;
  /** What only a stream that has run elsewhere may name. */
  readonly #streamLookup: CommandLookup;
  readonly lookAhead: LookAhead;
  /** For work that no client asked for, for example deleting expired keys. */
  readonly background: CommandContext;
  /** By depth. */
  readonly #frames: CommandContext[];
  #depth = 0;
  readonly #server: Server;
  /**
   * Asked in order for every command, while there is an obstacle or the client is in a mode that
   * allows few commands. Otherwise only a lack of authentication refuses a command.
   */
  readonly guards: Guard[] = [];
  #onCall: CallListener | undefined = undefined;
  /** Is told of calls that took at least `slowMicros`. */
  onSlow: CallListener | undefined = undefined;
  #slowMicros = Number.POSITIVE_INFINITY;
  /** Calls may share a stretch of the clock: no listener needs the time of each. */
  #callsShare = true;
  readonly clock: CallClock;
  onUnknown: UnknownListener | undefined = undefined;
  /**
   * Ends clients before a command, while {@link Obstacle.CLIENT_MEMORY} holds. Returns whether the
   * session of the command is still there.
   */
  evictClients: ((session: Session) => boolean) | undefined = undefined;
  /**
   * A command waits while one of these holds it back; see {@link runPostponed}. Replaced as a
   * whole.
   */
  #gates: readonly Gate[] = [];
  /**
   * Serves blocked clients. Called if {@link keysNoted}: after a command outside a transaction, or
   * after EXEC.
   */
  afterUnit: (() => void) | undefined = undefined;
  /** Keys that clients wait for have changed. */
  keysNoted = false;
  /**
   * Refuses a queued command that the node may not run after a REPLICAOF in the same transaction.
   */
  afterRoleChange: ((session: Session, row: CommandRow) => string | undefined) | undefined =
    undefined;
  /**
   * Is told that a command has made a part of its changes, and that the stream has none of them; or
   * that a command of the primary found no memory.
   */
  onDiverged: (() => void) | undefined = undefined;
  /**
   * Is told of an error that must end the process before it is rethrown, to write a crash report.
   */
  onBroken: BrokenListener | undefined = undefined;
  readonly #feedMode: ReplicationMode;

  /** `streamTables` hold what clients cannot name, and a {@link Session.fromPrimary} can. */
  constructor(
    server: Server,
    tables: readonly CommandTable[],
    streamTables: readonly CommandTable[] = [],
  ) {
    this.#server = server;
    this.#streamLookup = new CommandLookup(streamTables);
    this.lookup = new CommandLookup(tables, server.config.renamedCommands);
    for (const name of this.lookup.unknown)
      server.config.warnings.push(`rename-command: there is no command '${name}' to rename`);
    this.lookAhead = new LookAhead(this.lookup, () => {
      for (const db of server.keyspace.databases) db.forgetAhead();
    });
    this.background = new CommandContext(server);
    this.#frames = [new CommandContext(server, 0)];
    this.#feedMode = new FeedMode(server.feed);
    this.clock = new CallClock(server.clock);
  }

  /** Is told of every call; undefined without a listener. */
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

  /** Makes frames release views into memory that may be gone. */
  forgetViews(): void {
    this.background.forgetViews();
    for (const frame of this.#frames) frame.forgetViews();
  }

  /** Makes frames release the dataset that was there before. */
  datasetReplaced(): void {
    this.background.datasetReplaced();
    for (const frame of this.#frames) frame.datasetReplaced();
  }

  /**
   * Runs one request of a client and appends its reply to the session's. `known` is the row that
   * the lookup of its name found; `follows` tells that the client's next request is ready.
   */
  run(session: Session, request: Request, known?: CommandRow, follows = false): void {
    // Most requests have the right number of words, come from a client that may do anything, and
    // meet no obstacle.
    const { argc } = request;
    const isPlain =
      (session.modes | this.#server.obstacles | this.#gates.length) === 0 &&
      known !== undefined &&
      argc >= known.argcMin &&
      argc <= known.argcMax &&
      !known.hasSubcommands;
    if (isPlain) {
      this.#call(session, known, request, follows);
      session.lastOffset = this.#server.streamLog.endOffset;
    } else {
      this.#runApart(session, request, known);
    }
    if (this.keysNoted) this.afterUnit?.();
  }

  /**
   * Runs one request of a primary's stream, as {@link run}. No guard refuses it, and no gate holds
   * it back, so they are not asked where nothing else is special.
   */
  runTrusted(
    session: Session,
    request: Request,
    known: CommandRow | undefined,
    follows: boolean,
  ): void {
    const { argc } = request;
    const isPlain =
      session.modes === 0 &&
      known !== undefined &&
      argc >= known.argcMin &&
      argc <= known.argcMax &&
      !known.hasSubcommands;
    if (!isPlain) {
      this.run(session, request, known, follows);
      return;
    }
    this.#call(session, known, request, follows);
    session.lastOffset = this.#server.streamLog.endOffset;
    if (this.keysNoted) this.afterUnit?.();
  }

  /** Runs a request during which the client may get messages, or whose reply may be unwanted. */
  #runApart(session: Session, request: Request, known: CommandRow | undefined): void {
    const isOver = (this.#server.obstacles & Obstacle.CLIENT_MEMORY) !== 0;
    if (isOver && this.evictClients?.(session) === false) return;
    const mark = session.callBegan();
    this.#runGuarded(session, request, known);
    session.callEnded(mark);
  }

  /** Runs a request, or refuses it, queues it, or makes it wait. */
  #runGuarded(session: Session, request: Request, known: CommandRow | undefined): void {
    if (session.isReplica && !this.#mayComeOnLink(session, request)) return;
    const row = this.#find(session, request, known);
    if (row === undefined) return;
    if (this.#gates.length > 0 && this.#isHeld(session, row)) {
      session.postponed = keepRequest(request);
      session.blocked = true;
      return;
    }
    if (session.queued !== undefined && (row.flags & Flag.NOT_QUEUED) === 0) {
      if ((row.flags & Flag.NO_MULTI) !== 0) {
        this.reject(session, row, 'ERR Command not allowed inside a transaction');
        return;
      }
      session.queue(keep(request), row.flags);
      session.reply.queued();
      return;
    }
    this.#call(session, row, request, false);
    session.lastOffset = this.#server.streamLog.endOffset;
  }

  /** Bytes of the command that the client sent: of EXEC, not of a command that EXEC runs. */
  get requestBytes(): number {
    const { start, end } = this.#frames[0]!.request;
    return end - start;
  }

  /** Resets the counts of all commands and of the server. */
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

  /** Runs the command that a gate held back, and then what else the client has sent. */
  runPostponed(session: Session): void {
    const request = session.postponed;
    if (request === undefined) return;
    session.postponed = undefined;
    session.blocked = false;
    this.run(session, request);
    if (!session.blocked) session.resume();
  }

  /**
   * Calls a command again that has waited. Its first call was told to listeners. Guards are asked
   * again, since memory may be short by now. Returns whether the command was called: one that is
   * refused is answered, and is no call.
   */
  callAgain(session: Session, row: CommandRow, request: Request): boolean {
    this.clock.stop();
    const mark = session.callResumed();
    session.hasToWait = false;
    const refusal = this.#server.obstacles === 0 ? undefined : this.#refusal(session, row);
    if (refusal === undefined) this.#call(session, row, request, false, true);
    else this.reject(session, row, refusal);
    session.lastOffset = this.#server.streamLog.endOffset;
    session.callEnded(mark);
    this.clock.stop();
    return refusal === undefined;
  }

  /** A command that has waited is answered without another call. */
  waitEnded(session: Session, row: CommandRow, request: Request): void {
    session.hasToWait = false;
    this.clock.note(row, session.waitedMicros);
    if (session.waitedMicros >= this.#slowMicros)
      this.onSlow?.(session, row, request, session.waitedMicros);
  }

  /** The read event of a client is over: the next call reads the clock again. */
  turnEnded(): void {
    this.clock.stop();
  }

  /** `again`: the command has waited; its first call was counted. */
  #call(
    session: Session,
    row: CommandRow,
    request: Request,
    follows: boolean,
    again = false,
  ): void {
    const frame = this.#frames[this.#depth]!;
    const server = this.#server;
    const dbIndex = session.dbIndex;
    const db = server.keyspace.databases[dbIndex]!;
    db.accessClock = server.accessClock;
    // A reference costs more to store than to compare, and most of these stay the same in a
    // pipeline.
    frame.request = request;
    if (frame.client !== session) {
      frame.client = session;
      frame.reply = session.reply;
    }
    if (frame.db !== db) frame.db = db;
    frame.changes = 0;
    frame.replicate = Replicate.REQUEST;
    if (session.lastRow !== row) session.lastRow = row;
    const { clock } = this;
    const { reply } = session;
    const replyBytes = reply.size;
    const isShort =
      request.argc === row.shortArgc &&
      request.end - request.start <= SHORT_REQUEST_BYTES &&
      !again;
    let micros: number;
    if (isShort) {
      clock.beginShared();
      this.#enter(frame, row);
      micros = clock.endShared(
        row,
        follows && this.#callsShare && reply.size - replyBytes <= SHORT_REPLY_BYTES,
      );
    } else {
      const startMs = clock.begin();
      this.#enter(frame, row);
      micros = clock.end(startMs);
      // The wall clock stands still in a turn: after a long call, the next one would see expired
      // keys.
      if (micros >= LONG_CALL_MICROS && frame.depth === 0) server.clock.tick();
      if (session.hasToWait) {
        // Nothing is counted before the answer.
        session.waitedMicros += micros;
        micros = NOT_YET;
      } else {
        if (again) micros += session.waitedMicros;
        clock.note(row, micros);
      }
    }
    if (!again) {
      row.calls++;
      server.stats.commandsProcessed++;
    }
    if (reply.errors !== reply.errorsNoted) {
      // Errors inside a transaction count for their commands, not for EXEC.
      reply.errorsNoted = reply.errors;
      row.failedCalls++;
      server.noteError(reply.lastError);
    }
    const { changes, ops, opsBefore } = frame;
    server.dirty += changes;
    if (ops.length > 0 || opsBefore.length > 0 || (changes > 0 && server.feed.log.active)) {
      this.#mode.called(frame, row, dbIndex);
    }
    if (micros >= this.#slowMicros) this.onSlow?.(session, row, request, micros);
    if (this.#onCall !== undefined && !again) this.#onCall(session, row, request, micros);
  }

  /** Runs the handler of a frame inside the failure boundary. */
  #enter(frame: CommandContext, row: CommandRow): void {
    const { reply, request } = frame;
    if (
      row.hasKeys &&
      (row.expands || this.#server.keyspace.mustGuard(request.end - request.start))
    ) {
      this.#enterGuarded(frame, row);
      return;
    }
    const mark = reply.mark();
    try {
      row.handler(frame);
    } catch (error) {
      this.#failed(frame, row, mark, error);
    }
  }

  /**
   * As {@link #enter} while memory is scarce, or for a request that may need much: refuses a
   * command that finds no room, and rolls back one that fails halfway.
   */
  #enterGuarded(frame: CommandContext, row: CommandRow): void {
    const { reply, request } = frame;
    const { keyspace } = this.#server;
    const mark = reply.mark();
    if (
      (row.flags & Flag.DENYOOM) !== 0 &&
      !keyspace.hasRoomFor(request.end - request.start, longest(request))
    ) {
      frame.forgetChanges();
      reply.error(OOM_ERROR);
      return;
    }
    keyspace.beginGuarded();
    try {
      row.handler(frame);
      keyspace.commitGuarded();
    } catch (error) {
      if (error instanceof OperatingError) {
        keyspace.rollbackGuarded();
        // The rollback has restored keys that were found expired.
        frame.opsBefore.length = 0;
        frame.forgetChanges();
      }
      this.#failed(frame, row, mark, error);
    }
  }

  /**
   * A handler threw. Answers an error that the boundary allows; else rethrows it after the crash
   * report.
   */
  #failed(frame: CommandContext, row: CommandRow, mark: number, error: unknown): void {
    const { reply, request } = frame;
    const session = frame.client as Session;
    const hasChanged = frame.changes > 0 || frame.ops.length > 0;
    const answer = answerFor(error, hasChanged);
    if (answer === undefined) {
      this.onBroken?.(error, session, row, request);
      throw error;
    }
    reply.truncate(mark);
    frame.forgetChanges();
    reply.error(answer);
    // The primary's command is missing here, so the data differs, even if nothing is half done.
    if (hasChanged || (session.fromPrimary && answer === OOM_ERROR)) this.onDiverged?.();
  }

  /** Decides what calls contribute to the stream now. */
  get #mode(): ReplicationMode {
    const { feed, isReplica, loading } = this.#server;
    // What an append only file brings is taken into the log as it came.
    return feed.log.active && !isReplica && !loading ? this.#feedMode : noReplication;
  }

  /**
   * Runs the queued commands of a transaction as one unit of the stream, in the next deeper frame.
   * The array header of the reply is already written.
   */
  runQueued(session: Session, queued: readonly QueuedCommand[]): void {
    this.#depth++;
    this.#frames[this.#depth] ??= new CommandContext(this.#server, this.#depth);
    const request = this.#frames[this.#depth]!.keptRequest;
    try {
      for (const command of queued) {
        fill(request, command);
        const row = this.#rowOf(session, request);
        assert(row !== undefined, 'a queued command was found when it was queued');
        const refusal = this.afterRoleChange?.(session, row);
        if (refusal === undefined) this.#call(session, row, request, false);
        else this.reject(session, row, refusal);
      }
    } finally {
      this.#depth--;
    }
    // The feed drops what was queued for the stream if the stream has lost its readers since.
    this.#feedMode.unitEnded();
  }

  /** Streams the deletions of expired keys that {@link background} has made. */
  replicateDeletions(): void {
    const { opsBefore } = this.background;
    if (opsBefore.length === 0) return;
    const mode = this.#mode;
    for (const op of opsBefore) {
      mode.operation(op);
      if (this.#depth === 0) mode.unitEnded();
    }
    opsBefore.length = 0;
  }

  /**
   * Answers an error for a command that does not run. A transaction that is being queued breaks.
   */
  reject(session: Session, row: CommandRow | undefined, error: string): void {
    if (row !== undefined) row.rejectedCalls++;
    let text = error;
    if (session.queued !== undefined) session.transactionBroken = true;
    if (row !== undefined && (row.flags & Flag.RUNS_QUEUE) !== 0) {
      const reason = error.startsWith('ERR ') ? error.slice('ERR '.length) : error;
      text = `EXECABORT Transaction discarded because of: ${reason}`;
      session.endTransaction();
      this.#server.watchTable.unwatchAll(session);
    }
    this.#server.noteError(text);
    session.reply.error(text);
    session.reply.errorsNoted = session.reply.errors;
  }

  #isHeld(session: Session, row: CommandRow): boolean {
    const flags = this.#flagsOf(session, row);
    for (const gate of this.#gates) if (gate(session, flags)) return true;
    return false;
  }

  /** The flags that count for a call; for EXEC, also those of the queued commands. */
  #flagsOf(session: Session, row: CommandRow): number {
    const { flags } = row;
    return (flags & Flag.RUNS_QUEUE) === 0 ? flags : flags | session.queuedFlags;
  }

  /** The row of the name of a request, or undefined when `session` may not name it. */
  named(session: Session, { bytes, position, length }: Request): CommandRow | undefined {
    const row = this.lookup.find(bytes, position[0]!, length[0]!);
    if (row !== undefined || !session.fromPrimary) return row;
    return this.#streamLookup.find(bytes, position[0]!, length[0]!);
  }

  /** The row of a request, with its subcommand, or undefined when there is none. */
  #rowOf(session: Session, request: Request): CommandRow | undefined {
    const row = this.named(session, request);
    if (row === undefined || !row.hasSubcommands || request.argc === 1) return row;
    return row.subcommands.get(request.latin1(1).toLowerCase());
  }

  /** Whether a replica may send the request. Ends its link when it may not. */
  #mayComeOnLink(session: Session, request: Request): boolean {
    const row = this.#rowOf(session, request);
    if (row !== undefined && (row.flags & Flag.ON_LINK) !== 0) return true;
    const name = row?.fullName ?? '<unknown>';
    if (row !== undefined) row.rejectedCalls++;
    if (row !== undefined && (row.flags & KEYSPACE_FLAGS) !== 0) {
      this.#server.log.warning(
        '== CRITICAL == This master is sending an error to its replica: ' +
          `'Replica can't interact with the keyspace' after processing the command '${name}'`,
      );
    }
    session.endLink(name);
    return false;
  }

  /** The row that may run for a request, or undefined after an error has been answered. */
  #find(session: Session, request: Request, known: CommandRow | undefined): CommandRow | undefined {
    let row = known ?? this.named(session, request);
    if (row === undefined) {
      if (this.onUnknown?.(session, request)) return undefined;
      this.reject(session, undefined, unknownCommand(request));
      return undefined;
    }
    if (row.hasSubcommands && request.argc > 1) {
      const sub = row.subcommands.get(request.latin1(1).toLowerCase());
      if (sub === undefined) {
        this.reject(session, row, unknownSubcommand(row, request));
        return undefined;
      }
      row = sub;
    }
    if (request.argc < row.argcMin || request.argc > row.argcMax) {
      this.reject(session, row, `ERR wrong number of arguments for '${row.fullName}' command`);
      return undefined;
    }
    if (!session.authenticated && (row.flags & Flag.NO_AUTH) === 0) {
      this.reject(session, row, 'NOAUTH Authentication required.');
      return undefined;
    }
    if (this.#server.obstacles === 0 && !session.subscribed && !session.monitor) return row;
    const refusal = this.#refusal(session, row);
    if (refusal === undefined) return row;
    this.reject(session, row, refusal);
    return undefined;
  }

  /** The error of the first guard that refuses a command. */
  #refusal(session: Session, row: CommandRow): string | undefined {
    const { guards } = this;
    const allFlags = this.#flagsOf(session, row);
    for (let i = 0; i < guards.length; i++) {
      const error = guards[i]!(session, row, allFlags);
      if (error !== undefined) return error;
    }
    return undefined;
  }
}

/** Bytes of the longest argument. */
function longest(request: Request): number {
  let bytes = 0;
  for (let i = 0; i < request.argc; i++) bytes = Math.max(bytes, request.length[i]!);
  return bytes;
}

/** A copy of a request, for a transaction. */
function keep(request: Request): QueuedCommand {
  const { start, end, argc } = request;
  const position = new Int32Array(argc);
  let from = start;
  let to = end;
  // Words of an inline request that had quotes may lie outside of its line.
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
