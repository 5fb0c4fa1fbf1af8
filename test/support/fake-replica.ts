/**
 * A replica that is only a socket. It sends what a stock replica sends, keeps the received bytes,
 * and misbehaves on demand: it stalls, stays silent, or vanishes at any byte.
 *
 *   handshake ──▶ reply ──▶ header ──▶ dump ──▶ stream
 *                   │                              ▲
 *                   ├──── +CONTINUE ───────────────┘
 *                   └──── an error ──▶ refused
 *
 *   handshake  PING, AUTH, REPLCONF …: each waits for its reply line
 *   reply      the line after PSYNC; empty lines are keepalives
 *   header     `$<length>` or `$EOF:<mark>`; empty lines are keepalives
 *   dump       that many bytes, or all bytes until the mark
 *   stream     commands; `offset` grows with each complete one
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type Argument, encodeCommand } from './resp-client.ts';
import { INCOMPLETE, RespParser } from './resp-parser.ts';
import { waitFor } from './wait-for.ts';

export interface FakeReplicaOptions {
  readonly host?: string;
  /** The address that it comes from: '127.0.0.2'. */
  readonly localAddress?: string;
  /** Its capabilities, as in `REPLCONF capa`. Default eof and psync2. */
  readonly capa?: readonly string[];
  /** The port that it announces. Default 6380. */
  readonly listeningPort?: number;
  readonly auth?: readonly string[];
  /** Further commands of the handshake, before PSYNC: `[['REPLCONF', 'version', '8.1.0']]`. */
  readonly handshake?: readonly (readonly Argument[])[];
  /** The replid that it claims to have. Default `?`. */
  readonly replid?: string;
  /** The offset that it asks for, i.e. the first byte that it lacks. Default -1. */
  readonly from?: number;
  /** Commands that follow PSYNC in the same write. */
  readonly behindPsync?: readonly (readonly Argument[])[];
  /** Sends SYNC, as replicas before 2.8 and backup tools do. */
  readonly legacySync?: boolean;
  /**
   * When it acknowledges: 'steadily' (default) at the end of the dump, on GETACK and every
   * `ackEveryMs`; 'asked' does so without the timer; 'never' not at all. A stock primary misses the
   * first acknowledgement when it comes before the primary knows that the dump is sent.
   */
  readonly ack?: 'steadily' | 'asked' | 'never';
  /** Default 100; stock replicas take 1000. */
  readonly ackEveryMs?: number;
  /** Keeps only counts of the dump and the stream. Default false. */
  readonly countOnly?: boolean;
  /** Resets the connection when this many bytes have arrived, replies of the handshake included. */
  readonly vanishAfterBytes?: number;
}

type Phase = 'handshake' | 'reply' | 'header' | 'dump' | 'stream' | 'refused';

const MARK_BYTES = 40;
const LF = 0x0a;

export class FakeReplica {
  readonly socket: Socket;
  phase: Phase = 'handshake';
  /**
   * 'full' or 'partial' once the primary has decided; 'refused' with the error text in `refusal`.
   */
  resync: 'none' | 'full' | 'partial' | 'refused' = 'none';
  refusal = '';
  /** Replies of the handshake, in order, without the line end. */
  readonly replies: string[] = [];
  /**
   * The replid that it follows now. Empty lines are counted, since they show that the primary is
   * alive.
   */
  replid: string;
  keepalives = 0;
  framing: 'none' | 'eof' | 'length' = 'none';
  dumpBytes = 0;
  /**
   * Stream bytes that came in the same read as the end of the dump. There must be none, since a
   * stock replica would lose them.
   */
  bytesRightBehindDump = 0;
  /** Offset of the last byte of the last whole command. */
  offset = -1;
  /** All stream bytes that arrived, including those of incomplete commands. */
  streamBytes = 0;
  receivedBytes = 0;
  /** Commands of the stream, arguments in latin1. */
  readonly commands: string[][] = [];
  acksSent = 0;
  getAcks = 0;
  isClosed = false;
  failure: Error | undefined;
  /** Resolves when the connection has ended, from either side. */
  readonly closed: Promise<void>;

  readonly #options: FakeReplicaOptions;
  readonly #dump: Buffer[] = [];
  readonly #stream: Buffer[] = [];
  readonly #parser = new RespParser('latin1');
  #ackTimer: NodeJS.Timeout | undefined;
  #pending: Buffer = Buffer.alloc(0);
  #mark: Buffer = Buffer.alloc(0);
  #dumpLeft = 0;

  private constructor(socket: Socket, options: FakeReplicaOptions) {
    this.socket = socket;
    this.#options = options;
    this.replid = options.replid ?? '?';
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => {
      this.failure = error;
    });
    this.closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.isClosed = true;
        clearInterval(this.#ackTimer);
        resolve();
      });
    });
  }

  /**
   * Connects, performs the handshake and asks for a sync. Returns when the primary has answered or
   * the connection has ended.
   */
  static async attach(port: number, options: FakeReplicaOptions = {}): Promise<FakeReplica> {
    const { host = '127.0.0.1', localAddress } = options;
    const socket = connect({
      port,
      host,
      noDelay: true,
      ...(localAddress === undefined ? {} : { localAddress }),
    });
    await once(socket, 'connect');
    const replica = new FakeReplica(socket, options);
    await replica.#shakeHands();
    return replica;
  }

  /** The bytes of the dump so far, without framing. */
  get dump(): Buffer {
    return Buffer.concat(this.#dump);
  }

  /** The bytes of the stream so far. */
  get stream(): Buffer {
    return Buffer.concat(this.#stream);
  }

  /** Whether the whole dump has arrived, or none was needed. */
  get isStreaming(): boolean {
    return this.phase === 'stream';
  }

  async waitForDump(timeoutMs = 60_000): Promise<void> {
    await waitFor(() => this.#orGone(this.phase === 'stream'), {
      what: 'the end of the dump',
      timeoutMs,
    });
  }

  /** Waits until all bytes up to `offset` have arrived. */
  async waitForOffset(offset: number, timeoutMs = 60_000): Promise<void> {
    await waitFor(() => this.#orGone(this.offset >= offset), {
      what: `stream offset ${offset}`,
      timeoutMs,
    });
  }

  /**
   * Waits for a command of the stream whose name and arguments begin with these, names in any case.
   */
  async waitForCommand(...args: readonly string[]): Promise<string[]> {
    const matches = (command: string[]): boolean =>
      args.every((arg, i) =>
        i === 0 ? command[i]?.toLowerCase() === arg.toLowerCase() : command[i] === arg,
      );
    const what = `the stream to carry ${args.join(' ')}`;
    await waitFor(() => this.#orGone(this.commands.some(matches)), { what });
    return this.commands.find(matches)!;
  }

  /** Acknowledges `offset`, by default all whole commands that have arrived. */
  ack(offset: number = this.offset): void {
    this.acksSent++;
    this.send('REPLCONF', 'ACK', offset);
  }

  send(...args: readonly Argument[]): void {
    if (!this.isClosed) this.socket.write(encodeCommand(args));
  }

  /** Stops reading, so that the primary's data fills the socket and then the primary's memory. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Resets the connection, as a machine that loses power and comes back. */
  async vanish(): Promise<void> {
    this.socket.resetAndDestroy();
    await this.closed;
  }

  async close(): Promise<void> {
    this.socket.destroySoon();
    await this.closed;
  }

  async #shakeHands(): Promise<void> {
    const { auth, capa = ['eof', 'psync2'], listeningPort = 6380, handshake = [] } = this.#options;
    const steps: (readonly Argument[])[] = [['PING']];
    if (auth !== undefined) steps.push(['AUTH', ...auth]);
    steps.push(['REPLCONF', 'listening-port', listeningPort]);
    if (capa.length > 0) steps.push(['REPLCONF', ...capa.flatMap((name) => ['capa', name])]);
    steps.push(...handshake);
    for (const [i, step] of steps.entries()) {
      this.send(...step);
      await waitFor(() => this.isClosed || this.replies.length > i, {
        what: `a reply to ${step.join(' ')}`,
      });
      if (this.isClosed) return;
    }
    if (this.#options.legacySync) {
      this.phase = 'header';
      this.resync = 'full';
      this.socket.write('SYNC\r\n');
      return;
    }
    this.phase = 'reply';
    const request = ['PSYNC', this.replid, this.#options.from ?? -1];
    const behind = this.#options.behindPsync ?? [];
    this.socket.write(Buffer.concat([request, ...behind].map((words) => encodeCommand(words))));
    await waitFor(() => this.isClosed || this.resync !== 'none', { what: 'an answer to PSYNC' });
  }

  #receive(chunk: Buffer): void {
    const limit = this.#options.vanishAfterBytes ?? Number.POSITIVE_INFINITY;
    const bytes = chunk.subarray(0, Math.min(chunk.length, limit - this.receivedBytes));
    this.receivedBytes += bytes.length;
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    while (this.#step());
    if (this.receivedBytes >= limit) this.socket.resetAndDestroy();
  }

  /** Consumes pending bytes. Returns false when it needs more. */
  #step(): boolean {
    switch (this.phase) {
      case 'handshake': {
        const line = this.#takeLine();
        if (line !== undefined) this.replies.push(line);
        return line !== undefined;
      }
      case 'reply':
        return this.#takeAnswer();
      case 'header':
        return this.#takeHeader();
      case 'dump':
        return this.framing === 'eof' ? this.#takeUntilMark() : this.#takeCounted();
      case 'stream':
        this.#takeStream();
        return false;
      case 'refused':
        return false;
    }
  }

  #takeAnswer(): boolean {
    const line = this.#takeLine();
    if (line === undefined) return false;
    const [word, replid, offset] = line.split(' ');
    if (word === '+FULLRESYNC') {
      this.replid = replid!;
      this.offset = Number(offset);
      this.phase = 'header';
      this.resync = 'full';
    } else if (word === '+CONTINUE') {
      if (replid !== undefined) this.replid = replid;
      this.offset = (this.#options.from ?? 0) - 1;
      this.#beginStream();
      this.resync = 'partial';
    } else {
      this.phase = 'refused';
      this.refusal = line;
      this.resync = 'refused';
    }
    return true;
  }

  #takeHeader(): boolean {
    const line = this.#takeLine();
    if (line === undefined) return false;
    if (line.startsWith('$EOF:') && line.length === 5 + MARK_BYTES) {
      this.framing = 'eof';
      this.#mark = Buffer.from(line.slice(5), 'latin1');
    } else if (/^\$\d+$/.test(line)) {
      this.framing = 'length';
      this.#dumpLeft = Number(line.slice(1));
    } else {
      this.phase = 'refused';
      this.refusal = line;
      this.resync = 'refused';
      return true;
    }
    this.phase = 'dump';
    return true;
  }

  #takeUntilMark(): boolean {
    const at = this.#pending.indexOf(this.#mark);
    if (at >= 0) {
      this.#keepDump(at);
      this.#pending = this.#pending.subarray(MARK_BYTES);
      this.#endDump();
      return true;
    }
    // The last bytes may be the beginning of the mark.
    this.#keepDump(Math.max(0, this.#pending.length - MARK_BYTES + 1));
    return false;
  }

  #takeCounted(): boolean {
    const bytes = Math.min(this.#dumpLeft, this.#pending.length);
    this.#keepDump(bytes);
    this.#dumpLeft -= bytes;
    if (this.#dumpLeft > 0) return false;
    this.#endDump();
    return true;
  }

  #keepDump(bytes: number): void {
    this.dumpBytes += bytes;
    if (!this.#options.countOnly && bytes > 0) this.#dump.push(this.#pending.subarray(0, bytes));
    this.#pending = this.#pending.subarray(bytes);
  }

  #endDump(): void {
    this.bytesRightBehindDump = this.#pending.length;
    this.#beginStream();
  }

  #beginStream(): void {
    this.phase = 'stream';
    const { ack = 'steadily', ackEveryMs = 100 } = this.#options;
    if (ack === 'never') return;
    this.ack();
    if (ack === 'steadily') this.#ackTimer = setInterval(() => this.ack(), ackEveryMs).unref();
  }

  #takeStream(): void {
    const bytes = this.#pending;
    this.#pending = Buffer.alloc(0);
    this.streamBytes += bytes.length;
    if (!this.#options.countOnly) this.#stream.push(bytes);
    this.#parser.push(bytes);
    try {
      for (;;) {
        const command = this.#parser.next();
        if (command === INCOMPLETE) return;
        this.#apply((command as string[]).map(String));
        this.offset += this.#parser.lastRaw.length;
      }
    } catch (error) {
      // The stream is not RESP. A stock replica cuts the link, too. Callers that wait get the
      // failure.
      this.socket.destroy(error as Error);
    }
  }

  /** As stock replicas do, the answer to GETACK does not count the GETACK itself. */
  #apply(command: string[]): void {
    if (!this.#options.countOnly) this.commands.push(command);
    const asks = command[0]?.toUpperCase() === 'REPLCONF' && command[1]?.toUpperCase() === 'GETACK';
    if (!asks) return;
    this.getAcks++;
    if (this.#options.ack !== 'never') this.ack();
  }

  /** The next line without its end. Empty ones are keepalives; they end in \n alone. */
  #takeLine(): string | undefined {
    for (;;) {
      const end = this.#pending.indexOf(LF);
      if (end < 0) return undefined;
      const line = this.#pending.toString('latin1', 0, end).replace(/\r$/, '');
      this.#pending = this.#pending.subarray(end + 1);
      if (line !== '') return line;
      this.keepalives++;
    }
  }

  /**
   * Returns whether the condition is met, or undefined. Throws when the connection has ended, since
   * it can never be met then.
   */
  #orGone(isMet: boolean): true | undefined {
    if (isMet) return true;
    if (this.isClosed)
      throw this.failure ?? new Error(`the primary closed the connection in phase ${this.phase}`);
    return undefined;
  }
}
