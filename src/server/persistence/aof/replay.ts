/**
 * Hot path. Runs the commands of a file: an increment of the append only file, or a base of
 * commands.
 *
 * The commands run as those of a primary do: nobody expires a key or refuses memory for them. What
 * belongs to the stream goes to the log as it came (dispatch/unit-log.ts), so that the offset is
 * right, and so that replicas that lagged when the node ended find their bytes in the backlog.
 *
 * The file is read in slices, and a slice is a turn of the loop. A file may end inside of a command
 * or transaction, because the node, or its machine, ended in the middle of a write: `validBytes`
 * tells where the last whole unit ends. Bytes that are no commands are an error with its position.
 *
 * Main thread.
 */
import { open } from 'node:fs/promises';
import { ErrorCode, OperatingError, systemErrorText } from '../../../base/errors.ts';
import { asOffset, MIB } from '../../../base/units.ts';
import { ClientMode } from '../../../commands/client.ts';
import { Parse, RequestReader } from '../../../resp/parser.ts';
import { Reply } from '../../../resp/reply.ts';
import type { Request } from '../../../resp/request.ts';
import type { Dispatcher } from '../../dispatch/dispatcher.ts';
import { Session } from '../../dispatch/session.ts';
import { UnitLog } from '../../dispatch/unit-log.ts';
import type { Server } from '../../server.ts';
import { parseAnnotation } from './annotations.ts';

const READ_BYTES = MIB;
/** Positions in a buffer are 32-bit integers; no other limit applies to a file of this node. */
const BYTES_MAX = 0x7fff_ffff;
const ERRORS_SHOWN = 10;
const HASH = '#'.charCodeAt(0);

/** The commands of a file, as a client of this node. */
class ReplaySession extends Session {
  readonly reply: Reply;
  readonly address = 'append-only-file';

  constructor(id: number, reply: Reply) {
    super(id);
    this.reply = reply;
    this.fromPrimary = true;
    this.setMode(ClientMode.UNAUTHENTICATED, false);
  }

  describe(): string {
    return `id=${this.id} addr=${this.address}`;
  }

  flush(): void {
    this.reply.discard();
  }

  flushSoon(): void {}

  resume(): void {}

  endLink(): void {}

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
  /** The history that the stream belongs to; '' when no file has told. */
  replid: string;
  /** Offsets are those of that history. */
  isTrusted: boolean;
}

export class Replay {
  readonly knowledge: StreamKnowledge;
  /** The database that is selected at the end of the file that was read last. */
  selectedDb = 0;
  readonly #server: Server;
  readonly #dispatcher: Dispatcher;
  readonly #unitLog: UnitLog;
  /** Bytes read of all files, for INFO. */
  readonly #onProgress: (bytes: number) => void;
  /** The file was closed by an `end` line: only an `at` line may follow. */
  #isSealed = false;
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
    this.#onProgress = onProgress;
  }

  /**
   * Runs the commands of the file at `path` from byte `from` on. Throws IO when it cannot be read,
   * and CORRUPT with the position of bytes that are no commands.
   */
  async file(path: string, from = 0): Promise<ReplayEnd> {
    const server = this.#server;
    const session = new ReplaySession(server.nextClientId(), new Reply(server.bufferPool));
    const reader = new RequestReader(
      {
        bulkBytesMax: BYTES_MAX,
        queryBytesMax: BYTES_MAX,
        inlineBytesMax: 64 * 1024,
        argumentsMax: BYTES_MAX,
      },
      server.streamLog.lease,
    );
    const run = new FileRun(this, session, reader, from);
    const file = await onFile(path, () => open(path, 'r'));
    try {
      const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
      for (;;) {
        const { bytesRead } = await onFile(path, () =>
          file.read(buffer, 0, READ_BYTES, run.fileBytes),
        );
        if (bytesRead === 0) break;
        if (this.isCancelled)
          throw new OperatingError(ErrorCode.CANCELLED, 'the load was cancelled');
        server.clock.tick();
        run.push(buffer, bytesRead);
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

  /** For a run. The request is a command: runs it, and takes it into the log unless it is beside. */
  command(session: Session, request: Request, isBeside: boolean, position: number): void {
    const dispatcher = this.#dispatcher;
    if (this.#isSealed && this.knowledge.isTrusted) {
      this.knowledge.isTrusted = false;
      this.#server.log.warning(
        'Another server has written to the append only file: replicas will get a full sync',
      );
    }
    if (
      dispatcher.lookup.find(request.bytes, request.position[0]!, request.length[0]!) === undefined
    ) {
      throw new OperatingError(
        ErrorCode.CORRUPT,
        `Unknown command '${request.latin1(0).slice(0, 128)}' reading the append only file at byte ${position}`,
      );
    }
    const { reply } = session;
    const errors = reply.errors;
    // A request for an ACK is a part of the stream, and has no effect.
    if (!request.equalsIgnoreCase(0, 'REPLCONF')) dispatcher.run(session, request);
    if (reply.errors !== errors) this.#complain(session);
    reply.truncate(0);
    if (!isBeside) this.#unitLog.note(request, session.inTransaction);
  }

  /**
   * For a run. A line about the stream; returns the bytes of a command that is beside it. `isFirst`:
   * the file begins with it.
   */
  annotation(words: readonly string[], isFirst: boolean): number {
    const found = parseAnnotation(words);
    const { streamLog } = this.#server;
    switch (found.kind) {
      case 'at':
        this.#isSealed = false;
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

  /** For a run: the end of a slice. */
  sliceEnded(): void {
    this.#server.streamLog.settle();
    this.#dispatcher.turnEnded();
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
  readonly #reader: RequestReader;
  /** Bytes of the next command, which is beside the stream; 0 for none. */
  #beside = 0;

  constructor(replay: Replay, session: Session, reader: RequestReader, from: number) {
    this.#replay = replay;
    this.#session = session;
    this.#reader = reader;
    this.fileBytes = from;
    this.validBytes = from;
  }

  get inTransaction(): boolean {
    return this.#session.inTransaction;
  }

  push(bytes: Uint8Array, count: number): void {
    const reader = this.#reader;
    reader.push(bytes, 0, count);
    this.fileBytes += count;
    try {
      for (;;) {
        const found = reader.next();
        if (found === Parse.MORE) break;
        if (found !== Parse.REQUEST) throw this.#badFormat(reader.error);
        this.#take(reader.request);
      }
    } finally {
      this.#replay.sliceEnded();
      reader.keep();
    }
  }

  #take(request: Request): void {
    const { bytes, start, end } = request;
    if (request.inline) {
      if (bytes[start] !== HASH) throw this.#badFormat('a line that is no command');
      const words = Array.from({ length: request.argc }, (_, i) => request.latin1(i));
      this.#beside = this.#replay.annotation(words, this.validBytes === 0);
    } else {
      const isBeside = this.#beside > 0;
      if (isBeside && this.#beside !== end - start)
        throw this.#badFormat('a command beside the stream of another length');
      this.#beside = 0;
      this.#replay.command(this.#session, request, isBeside, this.#position - (end - start));
    }
    // A line between two units is a part of the file, as long as its command is there.
    if (!this.#session.inTransaction && this.#beside === 0) this.validBytes = this.#position;
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
