/**
 * Hot path. Runs the commands of a file: an increment of the append only file, or a base of
 * commands. Those of a base that this program wrote make a dataset, and are no part of the stream.
 *
 * The commands run as those of a primary do: nobody expires a key or refuses memory for them. What
 * belongs to the stream goes to the log as it came (dispatch/unit-log.ts), so that the offset is
 * right, and so that replicas that lagged when the node ended find their bytes in the backlog.
 *
 * The file is read in slices, and a slice is a turn of the loop. While one runs the next one is
 * read. As on a socket, requests that lie whole in a slice are parsed together, and their memory is
 * read ahead (dispatch/look-ahead.ts). A file may end inside of a command
 * or transaction, because the node, or its machine, ended in the middle of a write: `validBytes`
 * tells where the last whole unit ends. Bytes that are no commands are an error with its position.
 *
 * Main thread.
 */
import { open } from 'node:fs/promises';
import { ErrorCode, OperatingError, systemErrorText } from '../../../base/errors.ts';
import { asOffset, KIB, MIB } from '../../../base/units.ts';
import { DATABASE_OUT_OF_RANGE } from '../../../commands/arguments.ts';
import type { Database } from '../../../keyspace/database.ts';
import { Parse, RequestReader } from '../../../resp/parser.ts';
import { Reply } from '../../../resp/reply.ts';
import type { Request } from '../../../resp/request.ts';
import type { CommandRow } from '../../dispatch/command-lookup.ts';
import type { Dispatcher } from '../../dispatch/dispatcher.ts';
import { LookAhead } from '../../dispatch/look-ahead.ts';
import type { Session } from '../../dispatch/session.ts';
import { STREAM_LIMITS, StreamSession } from '../../dispatch/stream-session.ts';
import { UnitLog } from '../../dispatch/unit-log.ts';
import type { Server } from '../../server.ts';
import { parseAnnotation } from './annotations.ts';

const READ_BYTES = MIB;
/** A request of up to so many bytes that ends in the next slice is moved before that slice. */
const TAIL_BYTES_MAX = 64 * KIB;
const NO_BYTES = new Uint8Array(0);
const ERRORS_SHOWN = 10;
const NO_DATASET = -1;
const HASH = '#'.charCodeAt(0);

/** The commands of a file, as a client of this node. */
class ReplaySession extends StreamSession {
  readonly address = 'append-only-file';

  describe(): string {
    return `id=${this.id} addr=${this.address}`;
  }

  destroy(): void {}
}

/** How a file ended. */
export interface ReplayEnd {
  /** The file holds whole units up to here. */
  readonly validBytes: number;
  readonly fileBytes: number;
  /** What follows `validBytes` is a part of a transaction, not of a command. */
  readonly inTransaction: boolean;
}

/** What the files have told about the stream so far. */
export interface StreamKnowledge {
  /** What the files bring is the stream. False when the node has its stream already. */
  readonly isStream: boolean;
  /** The history that the stream belongs to; '' when no file has told. */
  replid: string;
  /** Offsets are those of that history. */
  isTrusted: boolean;
}

export class Replay {
  readonly knowledge: StreamKnowledge;
  /** The database that the stream has selected at the end of what was read last. */
  selectedDb = 0;
  readonly #server: Server;
  readonly #dispatcher: Dispatcher;
  readonly #unitLog: UnitLog;
  readonly lookAhead: LookAhead;
  /** Bytes read of all files, for INFO. */
  readonly #onProgress: (bytes: number) => void;
  /** The file was closed by an `end` line: only an `at` line may follow. */
  #isSealed = false;
  /** The commands of the present file make a dataset, whose stream has selected this database. */
  #datasetDb = NO_DATASET;
  /** The present file is a base, or what follows a dump in it. */
  #isBase = false;
  /** The dataset is not what the files were written for: what increments tell is of another one. */
  #isAltered = false;
  #errors = 0;
  isCancelled = false;

  /** The log must be active; it stands where the first file begins. */
  constructor(
    server: Server,
    dispatcher: Dispatcher,
    knowledge: StreamKnowledge,
    onProgress: (bytes: number) => void,
  ) {
    this.#server = server;
    this.#dispatcher = dispatcher;
    this.knowledge = knowledge;
    this.#unitLog = new UnitLog(server.streamLog);
    this.lookAhead = new LookAhead(dispatcher.lookup, () => {
      for (const db of server.keyspace.databases) db.forgetAhead();
    });
    this.#onProgress = onProgress;
  }

  /**
   * Runs the commands of a base from byte `from` on. The history is known afterwards when this
   * program wrote the base, and all of it is there. Throws as {@link file}.
   */
  async base(path: string, from: number): Promise<ReplayEnd> {
    const { knowledge } = this;
    this.#isBase = true;
    knowledge.isTrusted = false;
    try {
      const end = await this.file(path, from);
      // Of the commands that somebody else wrote nobody knows where in a history they stand.
      if (this.#datasetDb === NO_DATASET) knowledge.isTrusted = false;
      else {
        this.selectedDb = this.#datasetDb;
        if (!this.#isSealed) this.#distrust('The base of the append only file has lost its end');
      }
      return end;
    } finally {
      this.#isBase = false;
      this.#datasetDb = NO_DATASET;
    }
  }

  /**
   * The base has no byte. A redis-server may have written it so, or a disk has lost what this
   * program wrote: then the increments tell of another dataset.
   */
  emptyBase(): void {
    if (this.knowledge.isStream) this.#distrust('The base of the append only file is empty', true);
  }

  /**
   * Runs the commands of the file at `path` from byte `from` on. Throws IO when it cannot be read,
   * and CORRUPT with the position of bytes that are no commands.
   */
  async file(path: string, from = 0): Promise<ReplayEnd> {
    const server = this.#server;
    const session = new ReplaySession(server.nextClientId(), new Reply(server.bufferPool));
    const run = new FileRun(this, session, from);
    const file = await onFile(path, () => open(path, 'r'));
    try {
      const read = (buffer: Uint8Array<ArrayBuffer>, position: number) =>
        onFile(path, () => file.read(buffer, TAIL_BYTES_MAX, READ_BYTES, position));
      let slice = await read(new Uint8Array(TAIL_BYTES_MAX + READ_BYTES), from);
      let spare: Uint8Array<ArrayBuffer> = new Uint8Array(TAIL_BYTES_MAX + READ_BYTES);
      while (slice.bytesRead > 0) {
        const { buffer, bytesRead } = slice;
        if (this.isCancelled)
          throw new OperatingError(ErrorCode.CANCELLED, 'the load was cancelled');
        server.clock.tick();
        const next = read(spare, run.fileBytes + bytesRead);
        spare = buffer;
        try {
          run.push(buffer, bytesRead);
        } finally {
          // Also when this slice is the last one that counts, the file is closed after the read.
          slice = await next;
        }
        this.#onProgress(bytesRead);
      }
    } finally {
      session.endTransaction();
      this.#unitLog.discard();
      await file.close();
    }
    // An increment that was begun and not used says nothing.
    if (run.fileBytes > from) this.selectedDb = session.dbIndex;
    return run;
  }

  /** The database that the next commands of `session` run in. */
  databaseOf(session: Session): Database {
    return this.#server.keyspace.databases[session.dbIndex]!;
  }

  /**
   * For a run. The request is a command, whose row may be known: runs it, and takes it into the log
   * unless it is beside.
   */
  command(
    session: Session,
    request: Request,
    known: CommandRow | undefined,
    isBeside: boolean,
    position: number,
  ): void {
    const dispatcher = this.#dispatcher;
    if (this.#isSealed && this.knowledge.isTrusted)
      this.#distrust('Another server has written to the append only file');
    const row = known ?? dispatcher.named(session, request);
    if (row === undefined) {
      throw new OperatingError(
        ErrorCode.CORRUPT,
        `Unknown command '${request.latin1(0).slice(0, 128)}' reading the append only file at byte ${position}`,
      );
    }
    const { reply } = session;
    const errors = reply.errors;
    // A request for an ACK is a part of the stream, and has no effect.
    if (row.fullName !== 'replconf') dispatcher.run(session, request, row);
    if (reply.errors !== errors) this.#failed(session);
    reply.truncate(0);
    if (!isBeside) this.#note(session, request);
  }

  /** Nobody knows where in a history the files stand. */
  #distrust(reason: string, isAltered = this.#isBase): void {
    this.knowledge.isTrusted = false;
    if (isAltered) this.#isAltered = true;
    this.#server.log.warning(`${reason}: replicas will get a full sync`);
  }

  #note(session: Session, request: Request): void {
    if (this.knowledge.isStream && this.#datasetDb === NO_DATASET)
      this.#unitLog.note(request, session.inTransaction);
  }

  /** For a run. A part of the stream that is no command. */
  empty(session: Session, request: Request): void {
    if (this.knowledge.isStream) this.#unitLog.note(request, session.inTransaction);
  }

  /**
   * For a run. A line about the stream; returns the bytes of a command that is beside it. `isFirst`:
   * the file begins with it.
   */
  annotation(words: readonly string[], isFirst: boolean): number {
    const found = parseAnnotation(words);
    const { streamLog } = this.#server;
    switch (found.kind) {
      case 'base':
        if (this.#isBase && isFirst) this.#beginDataset(found.replid, found.offset, found.db);
        return 0;
      case 'at':
        this.#isSealed = false;
        if (!this.knowledge.isStream || this.#isAltered) return 0;
        if (this.knowledge.replid === '' || !this.knowledge.isTrusted) {
          // The first to tell: what the log has so far belongs to nobody.
          streamLog.settle();
          streamLog.drop();
          streamLog.start(asOffset(found.offset));
          this.knowledge.isTrusted = true;
        } else if (found.offset !== streamLog.endOffset) {
          // In the middle of a file nothing was lost by a crash: the file is damaged.
          throw new OperatingError(
            isFirst ? ErrorCode.SHORT : ErrorCode.CORRUPT,
            `the stream goes on at offset ${found.offset}, and ends at ${streamLog.endOffset} before`,
          );
        }
        this.knowledge.replid = found.replid;
        return 0;
      case 'beside':
        return found.bytes;
      case 'end':
        this.#isSealed = true;
        return 0;
      default:
        return 0;
    }
  }

  /** The commands that follow are no part of the stream: it goes on behind them. */
  #beginDataset(replid: string, offset: number, db: number): void {
    const { streamLog } = this.#server;
    this.#datasetDb = db;
    if (!this.knowledge.isStream) return;
    if (db >= this.#server.keyspace.databases.length) {
      this.#datasetDb = 0;
      this.#distrust(`The stream has selected database ${db}, which is not there`);
      return;
    }
    streamLog.settle();
    streamLog.drop();
    streamLog.start(asOffset(offset));
    this.knowledge.replid = replid;
    this.knowledge.isTrusted = true;
  }

  newReader(): RequestReader {
    return new RequestReader(STREAM_LIMITS, this.#server.streamLog.lease);
  }

  /** For a run: the end of a slice. */
  sliceEnded(): void {
    this.#server.streamLog.settle();
    this.#dispatcher.turnEnded();
  }

  /**
   * The commands of a base all succeed on the node that they were written for, and no command of a
   * stream names a database that is not there. Where they fail, this dataset is another one.
   */
  #failed(session: Session): void {
    this.#complain(session);
    if (!this.knowledge.isStream || this.#isAltered) return;
    if (this.#isBase || session.reply.lastError === DATABASE_OUT_OF_RANGE)
      this.#distrust('A command in the append only file has failed', true);
  }

  #complain(session: Session): void {
    this.#errors++;
    if (this.#errors > ERRORS_SHOWN) return;
    this.#server.log.warning(
      `== CRITICAL == This server is sending an error to its AOF-loading-client: '${session.reply.lastError}' ` +
        `after processing the command '${session.lastCommand}'`,
    );
  }
}

/** One file on its way. */
class FileRun implements ReplayEnd {
  fileBytes: number;
  validBytes: number;
  readonly #replay: Replay;
  readonly #session: Session;
  #reader: RequestReader;
  /** The beginning of a request that ends in the next slice, if it is short. */
  #tail: Uint8Array = NO_BYTES;
  /** Bytes of the next command, which is beside the stream; 0 for none. */
  #beside = 0;
  /** A command has run. */
  #isBegun = false;

  constructor(replay: Replay, session: Session, from: number) {
    this.#replay = replay;
    this.#session = session;
    this.#reader = replay.newReader();
    this.fileBytes = from;
    this.validBytes = from;
  }

  get inTransaction(): boolean {
    return this.#session.inTransaction;
  }

  /** Runs the slice that lies behind TAIL_BYTES_MAX bytes of room. Overwrites the room. */
  push(bytes: Uint8Array, count: number): void {
    const reader = this.#reader;
    const tail = this.#tail;
    const end = TAIL_BYTES_MAX + count;
    bytes.set(tail, TAIL_BYTES_MAX - tail.length);
    reader.push(bytes, TAIL_BYTES_MAX - tail.length, end);
    this.fileBytes += count;
    try {
      for (;;) {
        if (this.#runAhead() > 0) continue;
        const found = reader.next();
        if (found === Parse.MORE) break;
        if (found === Parse.REQUEST) this.#take(reader.request, undefined);
        else if (found === Parse.EMPTY) this.#takeEmpty(reader.request);
        else throw this.#badFormat(reader.error);
      }
    } finally {
      this.#replay.sliceEnded();
    }
    this.#keep(bytes, end);
  }

  /** A reader that goes on from its own copy of a request cannot look ahead: a fresh one can. */
  #keep(bytes: Uint8Array, end: number): void {
    const reader = this.#reader;
    const { pendingBytes } = reader;
    if (pendingBytes > Math.min(TAIL_BYTES_MAX, end - TAIL_BYTES_MAX)) {
      reader.keep();
      this.#tail = NO_BYTES;
      return;
    }
    this.#tail = bytes.slice(end - pendingBytes, end);
    reader.release();
    this.#reader = this.#replay.newReader();
  }

  /** Runs requests that lie whole in the slice; returns their count. */
  #runAhead(): number {
    const reader = this.#reader;
    const replay = this.#replay;
    const { requests, rows } = replay.lookAhead;
    const count = reader.lookAhead(requests);
    if (count === 0) return 0;
    replay.lookAhead.prepare(replay.databaseOf(this.#session), count);
    for (let at = 0; at < count; ) {
      const request = requests[at]!;
      const repeats = request.repeats > 0;
      reader.take(request);
      this.#take(request, rows[at]);
      if (repeats) request.moveOn();
      else at++;
    }
    return count;
  }

  #take(request: Request, row: CommandRow | undefined): void {
    const { bytes, start, end } = request;
    if (request.inline) {
      if (bytes[start] !== HASH) throw this.#badFormat('a line that is no command');
      const words = Array.from({ length: request.argc }, (_, i) => request.latin1(i));
      this.#beside = this.#replay.annotation(words, this.validBytes === 0);
      // The file goes on with the stream, also when the SELECT that it begins with was cut off.
      if (!this.#isBegun && this.#replay.knowledge.isTrusted)
        this.#session.dbIndex = this.#replay.selectedDb;
    } else {
      this.#isBegun = true;
      const isBeside = this.#beside > 0;
      if (isBeside && this.#beside !== end - start)
        throw this.#badFormat('a command beside the stream of another length');
      this.#beside = 0;
      const at = this.#position - (end - start);
      this.#replay.command(this.#session, request, row, isBeside, at);
    }
    // A line between two units is a part of the file, as long as its command is there.
    if (!this.#session.inTransaction && this.#beside === 0) this.validBytes = this.#position;
  }

  /** A primary may stream an empty line or request: it has no effect, and counts in the offset. */
  #takeEmpty(request: Request): void {
    if (this.#beside > 0) throw this.#badFormat('a command beside the stream is not there');
    this.#replay.empty(this.#session, request);
    if (!this.#session.inTransaction) this.validBytes = this.#position;
  }

  /** The position in the file behind the request that was returned last. */
  get #position(): number {
    return this.fileBytes - this.#reader.pendingBytes;
  }

  #badFormat(reason: string): OperatingError {
    return new OperatingError(
      ErrorCode.CORRUPT,
      `Bad file format reading the append only file at byte ${this.#position}` +
        (reason === '' ? '' : ` (${reason})`),
    );
  }
}

async function onFile<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    // An error without a code is a fault of the program, which is thrown again.
    throw new OperatingError(ErrorCode.IO, `${path}: ${systemErrorText(error)}`);
  }
}
