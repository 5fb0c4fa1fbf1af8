/**
 * Fake replicas, a process of its own: they speak a replica's handshake, read the full sync, count the stream and
 * acknowledge once per second. They keep nothing.
 *
 *   connect → HANDSHAKE ──go──▶ HEADER ──"$<len>"──▶ COUNTED ──┐
 *                                  └────"$EOF:…"───▶ MARKED ───┴──▶ STREAM
 *
 * Hot path: one read buffer for all connections; stream bytes are counted and not looked at.
 */
import net from 'node:net';
import { MIB } from '../../src/base/units.ts';
import { serve } from './child.ts';

export interface AttachJob {
  readonly port: number;
  readonly replicas: number;
}

/** Times of a full sync, in milliseconds from the PSYNC that went out to all. */
export interface SyncResult {
  /** One value per replica. */
  readonly firstByteMs: readonly number[];
  readonly lastByteMs: readonly number[];
  readonly payloadBytes: number;
}

export interface StreamState {
  readonly offsets: readonly number[];
  readonly streamBytes: number;
}

export interface ReplicaApi {
  /** Connects, shakes hands, full sync of all at once. The replicas stay attached. */
  attach(job: AttachJob): Promise<SyncResult>;
  state(argument: null): Promise<StreamState>;
  detach(argument: null): Promise<null>;
}

const Phase = { HANDSHAKE: 0, HEADER: 1, COUNTED: 2, MARKED: 3, STREAM: 4 } as const;
type Phase = (typeof Phase)[keyof typeof Phase];

const ACK_PERIOD_MS = 1000;
const MARK_BYTES = 40;
const LF = 10;
const HANDSHAKE_REPLIES = 3;
const readBuffer = Buffer.allocUnsafe(4 * MIB);

function command(...words: string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`;
}

class FakeReplica {
  readonly ready: Promise<void>;
  readonly synced: Promise<void>;
  readonly #socket: net.Socket;
  #phase: Phase = Phase.HANDSHAKE;
  #line = '';
  #replies = 0;
  #payloadLeft = 0;
  #mark = '';
  /** The last bytes of the payload so far, at most {@link MARK_BYTES}. */
  #tail = '';
  #onReady: () => void = () => {};
  #onSynced: () => void = () => {};
  #onFailed: (error: Error) => void = () => {};
  payloadBytes = 0;
  firstByteMs = 0;
  lastByteMs = 0;
  offset = 0;
  streamBytes = 0;
  failure: Error | null = null;

  constructor(port: number, index: number) {
    let failReady: (error: Error) => void = () => {};
    this.ready = new Promise((resolve, reject) => {
      this.#onReady = resolve;
      failReady = reject;
    });
    this.synced = new Promise((resolve, reject) => {
      this.#onSynced = resolve;
      this.#onFailed = (error) => {
        reject(error);
        failReady(error);
      };
    });
    // Whoever awaits `ready` first sees the failure there; the other promise must not count as unhandled.
    this.synced.catch(() => {});
    this.#socket = net.connect({
      port,
      host: '127.0.0.1',
      onread: { buffer: readBuffer, callback: (bytes) => this.#received(bytes) },
    });
    this.#socket.setNoDelay(true);
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('end', () => this.#fail(new Error(`replica ${index} was disconnected`)));
    this.#socket.on('connect', () => {
      this.#socket.write(
        command('PING') +
          command('REPLCONF', 'listening-port', String(20000 + index)) +
          command('REPLCONF', 'capa', 'eof', 'capa', 'psync2'),
      );
    });
  }

  requestSync(): void {
    this.#phase = Phase.HEADER;
    this.#socket.write(command('PSYNC', '?', '-1'));
  }

  acknowledge(): void {
    if (this.#phase === Phase.STREAM) this.#socket.write(command('REPLCONF', 'ACK', String(this.offset)));
  }

  close(): void {
    this.#socket.destroy();
  }

  #fail(error: Error): void {
    this.failure ??= error;
    this.#onFailed(error);
    this.#socket.destroy();
  }

  #received(bytes: number): boolean {
    if (this.#phase === Phase.STREAM) {
      this.offset += bytes;
      this.streamBytes += bytes;
      return true;
    }
    let position = 0;
    while (position < bytes) {
      switch (this.#phase) {
        case Phase.HANDSHAKE:
        case Phase.HEADER:
          position = this.#lines(position, bytes);
          if (this.failure !== null) return false;
          break;
        case Phase.COUNTED:
          position = this.#counted(position, bytes);
          break;
        case Phase.MARKED:
          position = this.#marked(position, bytes);
          break;
        default:
          this.offset += bytes - position;
          this.streamBytes += bytes - position;
          position = bytes;
      }
    }
    return true;
  }

  /** Takes one line, or as much of it as there is. */
  #lines(start: number, end: number): number {
    let newline = start;
    while (newline < end && readBuffer[newline] !== LF) newline++;
    this.#line += readBuffer.toString('latin1', start, newline);
    if (newline === end) return end;
    const line = this.#line.trimEnd();
    this.#line = '';
    // Empty lines are the primary's keepalive before the payload.
    if (line !== '') this.#takeLine(line);
    return newline + 1;
  }

  #takeLine(line: string): void {
    if (line.startsWith('-')) {
      this.#fail(new Error(line));
    } else if (this.#phase === Phase.HANDSHAKE) {
      if (++this.#replies === HANDSHAKE_REPLIES) this.#onReady();
    } else if (line.startsWith('+FULLRESYNC ')) {
      this.offset = Number(line.split(' ')[2]);
    } else if (line.startsWith('$EOF:')) {
      this.#mark = line.slice('$EOF:'.length);
      this.#phase = Phase.MARKED;
    } else if (line.startsWith('$')) {
      this.#payloadLeft = Number(line.slice(1));
      this.#phase = Phase.COUNTED;
    } else {
      this.#fail(new Error(`not expected in a full sync: ${line}`));
    }
  }

  #counted(start: number, end: number): number {
    if (this.payloadBytes === 0) this.firstByteMs = performance.now();
    const taken = Math.min(this.#payloadLeft, end - start);
    this.payloadBytes += taken;
    this.#payloadLeft -= taken;
    if (this.#payloadLeft === 0) this.#payloadDone();
    return start + taken;
  }

  /** The primary sends nothing behind the mark before the first ACK, so the mark ends a read or is not there. */
  #marked(start: number, end: number): number {
    if (this.payloadBytes === 0) this.firstByteMs = performance.now();
    this.payloadBytes += end - start;
    const fresh = readBuffer.toString('latin1', Math.max(start, end - MARK_BYTES), end);
    this.#tail = (this.#tail + fresh).slice(-MARK_BYTES);
    if (this.#tail === this.#mark) {
      this.payloadBytes -= MARK_BYTES;
      this.#payloadDone();
    }
    return end;
  }

  #payloadDone(): void {
    this.lastByteMs = performance.now();
    this.#phase = Phase.STREAM;
    this.acknowledge();
    this.#onSynced();
  }
}

let replicas: FakeReplica[] = [];
let ackTimer: NodeJS.Timeout | null = null;

function detachAll(): void {
  if (ackTimer !== null) clearInterval(ackTimer);
  ackTimer = null;
  for (const replica of replicas) replica.close();
  replicas = [];
}

serve<ReplicaApi>({
  async attach(job) {
    detachAll();
    replicas = Array.from({ length: job.replicas }, (_, index) => new FakeReplica(job.port, index));
    ackTimer = setInterval(() => {
      for (const replica of replicas) replica.acknowledge();
    }, ACK_PERIOD_MS);
    await Promise.all(replicas.map((replica) => replica.ready));
    const startedMs = performance.now();
    for (const replica of replicas) replica.requestSync();
    await Promise.all(replicas.map((replica) => replica.synced));
    return {
      firstByteMs: replicas.map((replica) => replica.firstByteMs - startedMs),
      lastByteMs: replicas.map((replica) => replica.lastByteMs - startedMs),
      payloadBytes: replicas[0]?.payloadBytes ?? 0,
    };
  },
  async state() {
    let streamBytes = 0;
    for (const replica of replicas) {
      if (replica.failure !== null) throw replica.failure;
      streamBytes += replica.streamBytes;
    }
    return { offsets: replicas.map((replica) => replica.offset), streamBytes };
  },
  async detach() {
    detachAll();
    return null;
  },
});
