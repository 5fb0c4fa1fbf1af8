/**
 * Hot path. A connected client: its socket, its input and its replies.
 *
 * All connections share one large read buffer, so a read costs no allocation. Requests are parsed
 * where they lie; only an incomplete tail is copied. One write sends all replies to the requests of
 * a read event, at the end of the loop's turn, or before it when many connections wait
 * (send-queue.ts). Nothing of the shared buffer outlives the event.
 */
import type { Socket } from 'node:net';
import { debugAssert } from '../../base/assert.ts';
import type { Clock } from '../../base/clock.ts';
import { codeOf, messageOf, systemErrorText } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { quoted } from '../../base/quoted.ts';
import { KIB, MIB } from '../../base/units.ts';
import type { Keyspace } from '../../keyspace/keyspace.ts';
import type { Feed } from '../../replication/feed.ts';
import {
  cutOffText,
  OutputGauge,
  type OutputLimit,
  OutputVerdict,
} from '../../replication/output-limit.ts';
import type { StreamLog } from '../../replication/stream-log.ts';
import type { BufferPool } from '../../resp/buffer-pool.ts';
import { Parse, type RequestLimits, RequestReader } from '../../resp/parser.ts';
import { Reply, type ReplyGate } from '../../resp/reply.ts';
import type { Request } from '../../resp/request.ts';
import type { CommandRow } from '../dispatch/command-lookup.ts';
import type { LookAhead } from '../dispatch/look-ahead.ts';
import { Session } from '../dispatch/session.ts';
import type { ServerStats } from '../stats.ts';
import type { ClientMemory } from './client-memory.ts';
import type { Departures } from './departures.ts';
import { pauseReads, resumeReads } from './listener.ts';
import type { Sender, SendQueue } from './send-queue.ts';
import { SocketWriter } from './socket-writer.ts';

/**
 * Requests that one event runs before other connections get a turn; the rest run in the next turn.
 */
const REQUESTS_PER_EVENT = 4096;
const SEND_AT_ONCE_BYTES = 64 * KIB;
/**
 * After this many reply bytes in one event a client goes on in the next turn, so that they are sent
 * first.
 */
const REPLY_BYTES_PER_EVENT = MIB;
/** What is read of a slowed writer behind its write, about: one read more may come. */
const SLOWED_INPUT_BYTES_MAX = 64 * KIB;

/**
 * The least value of `client-query-buffer-limit`, and the bytes of a client's input that the log
 * shows.
 */
const QUERY_BYTES_CHECKED = MIB;
const QUERY_BYTES_SHOWN = 64;
/** An estimate of V8's heap that a connection's objects take, its socket included. */
export const CLIENT_BYTES = 2048;

/** The part of the shared state that a connection needs. */
export interface ConnectionServer {
  readonly config: { readonly values: { readonly unixsocket: string } };
  readonly clock: Clock;
  readonly nowMs: number;
  readonly log: Logger;
  readonly stats: ServerStats;
  /** Counts an error reply outside of a command. */
  noteError(error: string): void;
  readonly keyspace: Keyspace;
  readonly feed: Feed;
  readonly streamLog: StreamLog;
  readonly bufferPool: BufferPool;
  readonly departures: Departures;
  /** To be called before replies leave. */
  readonly onBeforeReplies: (() => void) | undefined;
  readonly clientMemory: ClientMemory<Connection>;
  readonly requestLimits: RequestLimits;
  readonly outputLimits: { readonly normal: OutputLimit; readonly pubsub: OutputLimit };
}

/** The part of the node that a connection needs. */
export interface ConnectionHost {
  readonly server: ConnectionServer;
  run(connection: Connection, request: Request, known?: CommandRow, follows?: boolean): void;
  readonly lookAhead: LookAhead;
  readonly sendQueue: SendQueue;
  /** The clock was read, and requests run now. */
  turnBegan(): void;
  /** The read event of a connection is over: its writes may go to the replicas. */
  turnEnded(): void;
  closed(connection: Connection): void;
  /** A line about the connection, for the log. */
  describe(connection: Connection): string;
}

export class Connection extends Session implements ReplyGate {
  readonly reader: RequestReader;
  readonly reply: Reply;
  readonly socket: Socket;
  readonly writer: SocketWriter;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly connectedMs: number;
  lastActiveMs: number;
  netInputBytes = 0;
  netOutputBytes = 0;
  /** The connection is in the queue of the senders at the end of the turn. */
  sendQueued = false;
  nextSender: Sender | undefined = undefined;
  /** Called for each empty line, by which a replica says that it is alive. */
  onEmptyLine: (() => void) | undefined = undefined;
  closed = false;
  /** For {@link ClientMemory}. */
  countedBytes = 0;
  bucket = -1;
  /** See {@link Receiver}: the place for the rest of a large argument. */
  readTarget: Uint8Array | undefined = undefined;
  /** Called when the connection ends, besides the host: for blocked clients, replicas. */
  readonly onClose: (() => void)[] = [];
  readonly #host: ConnectionHost;
  readonly #gauge = new OutputGauge();
  readonly #onSent = (bytes: Uint8Array): void => {
    this.reply.recycle(bytes as Buffer);
    // What has gathered behind the bytes that waited.
    if (this.reply.size > 0 && this.writer.waitingBytes === 0) this.flush();
  };
  #running = false;
  #flushDue = false;
  #readsPaused = false;

  constructor(id: number, socket: Socket, host: ConnectionHost) {
    super(id);
    this.#host = host;
    this.socket = socket;
    this.writer = new SocketWriter(socket);
    this.reader = new RequestReader(
      host.server.requestLimits,
      host.server.streamLog.lease,
      host.server.bufferPool,
    );
    this.reply = new Reply(host.server.bufferPool);
    this.reply.gate = this;
    this.remoteAddress = socket.remoteAddress ?? '';
    this.remotePort = socket.remotePort ?? 0;
    this.localAddress = socket.localAddress ?? '';
    this.localPort = socket.localPort ?? 0;
    this.connectedMs = host.server.nowMs;
    this.lastActiveMs = this.connectedMs;
  }

  /** Takes the bytes that the socket has read. */
  received(bytes: Uint8Array, count: number): void {
    const target = this.readTarget;
    if (target !== undefined) this.readTarget = undefined;
    if (this.closed) return;
    const { server } = this.#host;
    server.clock.tick();
    server.stats.netInputBytes += count;
    server.stats.readsProcessed++;
    this.netInputBytes += count;
    this.lastActiveMs = server.nowMs;
    if (this.closeAfterReply) return;
    if (bytes === target) this.reader.filled(count);
    else this.reader.push(bytes, 0, count);
    if (this.blocked || this.#running) {
      this.reader.keep();
      if (this.#isFull && !this.#readsPaused) this.#pauseReads(true);
    } else {
      this.#host.turnBegan();
      this.#work();
    }
    // Most connections have nothing left: all requests have run, and nothing is queued.
    const left = this.reader.pendingBytes + this.queuedBytes;
    if (this.blocked || left + this.namesBytes > QUERY_BYTES_CHECKED) this.#checkInput();
    if (server.clientMemory.isOn) server.clientMemory.note(this);
    if (left > 0 && this.#mayRun()) this.readTarget = this.reader.target();
    debugAssert(
      server.streamLog.lease.bytes !== bytes,
      'no bytes of a read are lent beyond its event',
    );
    this.#host.sendQueue.readEnded();
  }

  /** Goes on after the client was blocked. */
  override resume(): void {
    this.blocked = false;
    if (this.closed || this.#running) return;
    this.#work();
  }

  /** Runs the requests that can run, and sends the replies. */
  #work(): void {
    const { reader } = this;
    const host = this.#host;
    this.#running = true;
    let left = REQUESTS_PER_EVENT;
    while (left > 0 && this.#mayRun()) {
      const ahead = this.#runAhead();
      left -= ahead;
      if (ahead > 0) {
        if (reader.pendingBytes === 0) break;
        continue;
      }
      const found = reader.next();
      if (found === Parse.REQUEST) {
        host.run(this, reader.request);
        left--;
      } else if (found === Parse.MORE) {
        break;
      } else if (found === Parse.ERROR) {
        this.#protocolError();
      } else {
        this.onEmptyLine?.();
      }
      if (this.reply.size >= REPLY_BYTES_PER_EVENT) left = 0;
    }
    this.#running = false;
    host.server.feed.settle();
    if (this.closed) reader.release();
    else reader.keep();
    // Large output is sent at once, so that replies do not pile up during a long pipeline.
    if (this.reply.size >= SEND_AT_ONCE_BYTES || this.reply.isCut) this.flush();
    else if (this.reply.size > 0 || this.closeAfterReply) host.sendQueue.add(this);
    host.turnEnded();
    const goesOn = left <= 0 && this.#mayRun();
    const pauses = goesOn || this.#isFull;
    if (pauses !== this.#readsPaused) this.#pauseReads(pauses);
    if (goesOn) setImmediate(() => this.#goOn());
  }

  /**
   * Nothing is read while requests wait for the next turn, so that at most the requests of one read
   * wait. A blocked client is still read, so that its end is noticed.
   */
  #pauseReads(isPaused: boolean): void {
    this.#readsPaused = isPaused;
    if (this.closed) return;
    if (isPaused) pauseReads(this.socket);
    else resumeReads(this.socket);
  }

  /** Enough requests wait behind the one of a slowed writer: the rest may wait at its end. */
  get #isFull(): boolean {
    return this.slowed && this.reader.pendingBytes >= SLOWED_INPUT_BYTES_MAX;
  }

  #mayRun(): boolean {
    return !this.blocked && !this.closeAfterReply && !this.closed;
  }

  /**
   * Runs requests that lie whole in the chunk, after reading their memory ahead; returns their
   * count.
   */
  #runAhead(): number {
    const { reader } = this;
    const host = this.#host;
    const { lookAhead, server } = host;
    if (lookAhead.busy) return 0;
    const { requests, rows } = lookAhead;
    const count = reader.lookAhead(requests);
    if (count === 0) return 0;
    lookAhead.prepare(server.keyspace.databases[this.dbIndex]!, count);
    lookAhead.busy = true;
    let ran = 0;
    let at = 0;
    try {
      while (at < count && this.#mayRun() && this.reply.size < REPLY_BYTES_PER_EVENT) {
        const request = requests[at]!;
        const repeats = request.repeats > 0;
        reader.take(request);
        host.run(this, request, rows[at], repeats || at + 1 < count);
        if (repeats) request.moveOn();
        else at++;
        ran++;
      }
    } finally {
      lookAhead.busy = false;
    }
    return ran;
  }

  #goOn(): void {
    if (this.closed || this.blocked || this.#running) return;
    this.#host.server.clock.tick();
    this.#host.turnBegan();
    this.#work();
  }

  /** Sends what has been answered so far. */
  override flush(): void {
    const { reply } = this;
    if (this.closed) {
      reply.discard();
      return;
    }
    if (reply.isCut) {
      this.destroy();
      return;
    }
    if (this.isReplica && reply.size > 0) {
      this.endLink(this.lastCommand);
      return;
    }
    const { size } = reply;
    if (size > 0 && !this.#gathers(size)) {
      const { writer } = this;
      const { stats, onBeforeReplies } = this.#host.server;
      if (onBeforeReplies !== undefined) onBeforeReplies();
      stats.netOutputBytes += size;
      stats.writesProcessed++;
      this.netOutputBytes += size;
      if (reply.fullChunks > 0) {
        writer.writeAll(reply.takeChunks(), this.#onSent);
      } else {
        // If earlier bytes wait, these will wait, too.
        const bytes = writer.waitingBytes === 0 ? reply.take() : reply.takeToKeep();
        if (writer.write(bytes, this.#onSent)) reply.recycle(bytes);
      }
    }
    if (this.closeAfterReply) this.#leave();
    else if (this.writer.waitingBytes > 0 || this.#gauge.softSinceMs !== -1) this.checkOutput();
    const { clientMemory } = this.#host.server;
    if (clientMemory.isOn) clientMemory.note(this);
  }

  /**
   * Whether the reply stays here, because the socket takes nothing at present. Small replies then
   * share chunks and writes: one that waits takes 700 bytes besides those that are sent, and a
   * subscriber that does not read may have 100,000 messages wait.
   */
  #gathers(size: number): boolean {
    return size < SEND_AT_ONCE_BYTES && this.writer.waitingBytes > 0 && !this.closeAfterReply;
  }

  /** Sends soon what others have appended to the reply: a message, the end of a wait. */
  override flushSoon(): void {
    if (this.#running || this.#flushDue) return;
    this.#flushDue = true;
    queueMicrotask(() => {
      this.#flushDue = false;
      if (!this.closed) this.flush();
    });
  }

  /** Cuts the client off when more output waits for it than its class may have. */
  checkOutput(): void {
    if (!this.#mayHave(this.pendingOutputBytes)) this.destroy();
  }

  /**
   * Judges the reply while it grows. After a refusal the command, or the transaction, runs to its
   * end; the client is closed in the same turn, and nothing of the reply is sent.
   */
  mayGrow(bytes: number): boolean {
    const { clientMemory } = this.#host.server;
    if (clientMemory.isOn) clientMemory.note(this);
    if (this.#mayHave(this.writer.waitingBytes + bytes)) return true;
    this.closeAfterReply = true;
    this.#host.sendQueue.add(this);
    return false;
  }

  /**
   * Whether `bytes` may wait for the client. If not, this counts and logs it, and the caller ends
   * the client.
   */
  #mayHave(bytes: number): boolean {
    if (this.isReplica || this.closed) return true;
    const { server } = this.#host;
    const limit: OutputLimit = this.subscribed
      ? server.outputLimits.pubsub
      : server.outputLimits.normal;
    if (this.#gauge.judge(limit, bytes, server.clock.turnMs()) === OutputVerdict.WITHIN)
      return true;
    server.stats.outputLimitDisconnections++;
    server.log.warning(cutOffText(this.describe()));
    return false;
  }

  /**
   * Cuts the client off when more of its input waits than `client-query-buffer-limit`: an
   * incomplete request, requests after a waiting command, requests for the next turn, queued
   * commands of a transaction, the command that waits and its keys, watched keys, and
   * subscriptions.
   */
  #checkInput(): void {
    const { server } = this.#host;
    if (this.closed || this.fromPrimary) return;
    const { reader, queuedBytes, namesBytes, heldBytes } = this;
    const bytes = reader.pendingBytes + queuedBytes + namesBytes + heldBytes;
    if (bytes <= server.requestLimits.queryBytesMax) return;
    this.#inputTooLong();
  }

  #inputTooLong(): void {
    const { server } = this.#host;
    server.stats.queryLimitDisconnections++;
    const first = quoted(this.reader.firstBytes(QUERY_BYTES_SHOWN));
    server.log.warning(
      `Closing client that reached max query buffer length: ${this.describe()} (qbuf initial bytes: ${first})`,
    );
    this.destroy();
  }

  /** Bytes of the command that waits. */
  get heldBytes(): number {
    return (this.postponed?.keptBytes ?? 0) + (this.waitingRequest?.keptBytes ?? 0);
  }

  /** All that the client takes: `tot-mem` of CLIENT LIST. */
  get memoryBytes(): number {
    const { reader, reply, writer } = this;
    return (
      this.heapBytes -
      this.queuedHeapBytes +
      this.queuedBytes +
      this.heldBytes +
      reader.ownBytes +
      reply.heldBytes +
      writer.waitingBytes +
      this.messageBytes
    );
  }

  /** The part of {@link memoryBytes} that is in V8's heap. */
  get heapBytes(): number {
    return CLIENT_BYTES + this.namesBytes + this.queuedHeapBytes;
  }

  /** Bytes of replies that the kernel has not taken yet. */
  get pendingOutputBytes(): number {
    return this.writer.waitingBytes + this.reply.size;
  }

  /**
   * Ends the client at once, and its socket after the last written byte, so that the last reply
   * arrives. Later input is dropped (departures.ts).
   */
  #leave(): void {
    this.ended();
    this.#host.server.departures.leave(this.socket);
  }

  /** Cuts the connection. Unsent bytes are lost. */
  override destroy(): void {
    this.socket.destroy();
    this.ended();
  }

  /** The peer will send no more, which ends a client. A socket that is leaving ends by itself. */
  peerEnded(): void {
    if (this.closed) return;
    const { log } = this.#host.server;
    if (log.isEnabled('verbose')) log.verbose(`Client closed connection ${this.describe()}`);
    this.destroy();
  }

  /** From now on this is no client: it is not listed, counted or served. */
  ended(): void {
    if (this.closed) return;
    this.closed = true;
    this.reply.discard();
    // A command that ends its own client still uses its request.
    if (!this.#running) this.reader.release();
    for (const listener of this.onClose) listener();
    this.#host.closed(this);
  }

  #protocolError(): void {
    const { error } = this.reader;
    if (error === '') {
      this.#inputTooLong();
      return;
    }
    const { server } = this.#host;
    if (server.log.isEnabled('verbose')) {
      server.log.verbose(`Protocol error (${error}) from client: ${this.describe()}`);
    }
    const text = `ERR ${error}`;
    server.noteError(text);
    this.reply.error(text);
    this.reply.errorsNoted = this.reply.errors;
    this.closeAfterReply = true;
  }

  /**
   * A replica sent `command`, which has an answer. The replica would take the answer for a part of
   * the stream.
   */
  endLink(command: string): void {
    const { log, stats } = this.#host.server;
    stats.linksEnded++;
    log.warning(
      `Replica generated a reply to command '${command}', disconnecting it: ${this.describe()}`,
    );
    this.destroy();
  }

  failed(error: unknown): void {
    const isWrite = Object(error).syscall === 'write';
    const what = isWrite ? 'Error writing to client' : 'Reading from client';
    const reason = codeOf(error) === undefined ? messageOf(error) : systemErrorText(error);
    this.#host.server.log.verbose(`${what}: ${reason}`);
  }

  override get address(): string {
    if (this.remoteAddress === '') return this.#unixAddress();
    return formatAddress(this.remoteAddress, this.remotePort);
  }

  get localAddressText(): string {
    if (this.remoteAddress === '') return this.#unixAddress();
    return formatAddress(this.localAddress, this.localPort);
  }

  /** Clients of the Unix socket have no address; they get its path. */
  #unixAddress(): string {
    return `${this.#host.server.config.values.unixsocket}:0`;
  }

  /** A short line for the log. */
  override describe(): string {
    return this.#host.describe(this);
  }
}

export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
