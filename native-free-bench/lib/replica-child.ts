/**
 * Hot path. Fake replicas, in a separate process. They perform a replica's handshake, read the full
 * sync, count the stream and acknowledge once per second. All connections share one read buffer.
 *
 * When they are to prove their bytes, the stream is recorded once, and the streams of the other
 * replicas and the server's log are compared with it (stream-record.ts). The checksum of each dump
 * is checked. The dump of the first replica is kept, so that dump and stream can be played to a
 * stock replica (playback.ts).
 *
 *   connect → HANDSHAKE ──go──▶ HEADER ──"$<len>"──▶ COUNTED ──┐
 *                                  └────"$EOF:…"───▶ MARKED ───┴──▶ STREAM
 */
import net from 'node:net';
import { KIB, MIB } from '../../src/base/units.ts';
import { serve } from './child.ts';
import { Playback } from './playback.ts';
import type { StreamRange } from './stream-proof.ts';
import { DumpCheck, SAME, StreamRecord } from './stream-record.ts';

export interface AttachJob {
  readonly port: number;
  readonly replicas: number;
  /** The proof, in addition to counting: nothing, the streams, or the streams and the dumps. */
  readonly proves: 'nothing' | 'streams' | 'all';
  /** Changes one byte that the first replica gets, to test that the change is noticed. */
  readonly falsify: boolean;
  /** This many of the replicas are slow while {@link ReplicaApi.slowDown} says so. */
  readonly slow?: number;
}

/** A replica that comes back, by a partial sync. */
export interface BackJob {
  readonly port: number;
  /** Offset of the first byte that it lacks, in the recorded range. */
  readonly from: number;
}

/** Milliseconds are from the PSYNC that was sent. */
export interface BackResult {
  readonly continueMs: number;
  readonly firstByteMs: number;
  readonly lastByteMs: number;
  /** Bytes until it had all that was recorded when it came. */
  readonly bytes: number;
  /** A byte that was different, or an empty text. */
  readonly fault: string;
}

/** Times of a full sync, in milliseconds from the PSYNC that was sent by all. */
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

export interface ProofJob {
  readonly port: number;
  /** Offset of the first byte in the server's log. */
  readonly logFrom: number;
}

/** The proof of all attached replicas. */
export interface ReplicaProof {
  readonly replicas: number;
  /** Number of replicas without a fault. */
  readonly equal: number;
  /** The faults, one line for each replica that has one. */
  readonly faults: readonly string[];
  /** The recorded range. */
  readonly range: StreamRange;
}

export interface ReplicaApi {
  /**
   * Connects, performs the handshake, and runs the full sync of all replicas at once. They stay
   * attached.
   */
  attach(job: AttachJob): Promise<SyncResult>;
  state(argument: null): Promise<StreamState>;
  /** From now on each slow replica reads this many bytes per second. With 0 it reads as others. */
  slowDown(bytesPerSecond: number): Promise<null>;
  /**
   * One more replica requests the stream from an offset on, and gets what the others have. It is
   * compared with theirs.
   */
  comeBack(job: BackJob): Promise<BackResult>;
  /**
   * Requires that the attached replicas were told to prove something, and that they are at the end
   * of the stream.
   */
  proof(job: ProofJob): Promise<ReplicaProof>;
  /**
   * Plays the bytes of the first replica to any replica that requests a sync. Returns the port.
   * Ends with `detach`.
   */
  play(argument: null): Promise<number>;
  /** Returns the number of syncs that were requested from it. */
  plays(argument: null): Promise<number>;
  detach(argument: null): Promise<null>;
}

const Phase = { HANDSHAKE: 0, HEADER: 1, COUNTED: 2, MARKED: 3, STREAM: 4 } as const;
type Phase = (typeof Phase)[keyof typeof Phase];

const ACK_PERIOD_MS = 1000;
const MARK_BYTES = 40;
const LF = 10;
const HANDSHAKE_REPLIES = 3;
const readBuffer = Buffer.allocUnsafe(4 * MIB);
/** Slow replicas read little at a time, so that they read steadily. */
const slowBuffer = Buffer.allocUnsafe(16 * KIB);
const SLOW_TURN_MS = 5;

function command(...words: string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`;
}

class FakeReplica {
  readonly ready: Promise<void>;
  readonly synced: Promise<void>;
  readonly #index: number;
  readonly #job: AttachJob;
  readonly #record: StreamRecord;
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
  #dumpCheck: DumpCheck | null = null;
  #falsifies: boolean;
  readonly #buffer: Buffer;
  /** Bytes per second that it reads, or 0 for no limit, and how many it may read now. */
  #bytesPerSecond = 0;
  #budget = 0;
  #lastWanted = Number.POSITIVE_INFINITY;
  /** The dump, if it is kept, including stream bytes that came in the same reads. */
  readonly dump: Buffer[] = [];
  replid = '';
  /** Offset of the dump. */
  dumpOffset = 0;
  payloadBytes = 0;
  firstByteMs = 0;
  lastByteMs = 0;
  continuedMs = 0;
  /** When the first bytes of the stream came. */
  streamBeganMs = 0;
  offset = 0;
  streamBytes = 0;
  failure: Error | null = null;
  /** The first fault in the received bytes. Later bytes are not checked. */
  fault = '';

  constructor(job: AttachJob, index: number, record: StreamRecord) {
    const { port } = job;
    this.#index = index;
    this.#job = job;
    this.#record = record;
    this.#falsifies = job.falsify && index === 0;
    this.#buffer = this.isSlow ? slowBuffer : readBuffer;
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
    // The caller that awaits `ready` sees the failure first. The other promise must not count as
    // unhandled.
    this.synced.catch(() => {});
    this.#socket = net.connect({
      port,
      host: '127.0.0.1',
      onread: { buffer: this.#buffer, callback: (bytes) => this.#received(bytes) },
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

  get isSlow(): boolean {
    return this.#index < (this.#job.slow ?? 0);
  }

  /** Reads at most this many bytes per second, or without a limit if it is 0. */
  slowDown(bytesPerSecond: number): void {
    this.#bytesPerSecond = bytesPerSecond;
    this.#budget = 0;
    if (bytesPerSecond === 0) this.#socket.resume();
  }

  /** It may read as much as `ms` milliseconds allow. */
  passed(ms: number): void {
    if (this.#bytesPerSecond === 0) return;
    const most = (2 * SLOW_TURN_MS * this.#bytesPerSecond) / 1000;
    this.#budget = Math.min(most, this.#budget + (ms * this.#bytesPerSecond) / 1000);
    if (this.#budget > 0) this.#socket.resume();
  }

  requestSync(): void {
    this.#phase = Phase.HEADER;
    this.#socket.write(command('PSYNC', '?', '-1'));
  }

  /**
   * Requests the stream from `offset` on, out of the log. `synced` resolves once it has reached
   * `last`.
   */
  requestLog(replid: string, offset: number, last: number): void {
    this.#phase = Phase.HEADER;
    this.offset = offset - 1;
    this.#lastWanted = last;
    this.#socket.write(command('PSYNC', replid, String(offset)));
  }

  acknowledge(): void {
    if (this.#phase === Phase.STREAM)
      this.#socket.write(command('REPLCONF', 'ACK', String(this.offset)));
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
      this.#streamed(0, bytes);
      if (this.#bytesPerSecond === 0) return true;
      this.#budget -= bytes;
      return this.#budget > 0;
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
          this.#streamed(position, bytes);
          position = bytes;
      }
    }
    return true;
  }

  #streamed(start: number, end: number): void {
    const offset = this.offset + 1;
    if (this.streamBytes === 0) this.streamBeganMs = performance.now();
    this.offset += end - start;
    this.streamBytes += end - start;
    if (this.offset >= this.#lastWanted) this.#reached();
    if (this.#job.proves === 'nothing' || this.fault !== '') return;
    if (this.#falsifies) {
      this.#falsifies = false;
      const middle = (start + end) >>> 1;
      this.#buffer[middle] = this.#buffer[middle]! ^ 1;
    }
    const different = this.#record.take(offset, this.#buffer, start, end);
    if (different !== SAME) this.fault = `another byte at offset ${different}`;
  }

  #reached(): void {
    this.#lastWanted = Number.POSITIVE_INFINITY;
    this.lastByteMs = performance.now();
    this.#onSynced();
  }

  /** Reads one line, or the part of it that has arrived. */
  #lines(start: number, end: number): number {
    let newline = start;
    while (newline < end && this.#buffer[newline] !== LF) newline++;
    this.#line += this.#buffer.toString('latin1', start, newline);
    if (newline === end) return end;
    const line = this.#line.trimEnd();
    this.#line = '';
    // Empty lines are the primary's keepalives before the payload.
    if (line !== '') this.#takeLine(line);
    return newline + 1;
  }

  #takeLine(line: string): void {
    if (line.startsWith('-')) {
      this.#fail(new Error(line));
    } else if (this.#phase === Phase.HANDSHAKE) {
      if (++this.#replies === HANDSHAKE_REPLIES) this.#onReady();
    } else if (line.startsWith('+FULLRESYNC ')) {
      this.replid = line.split(' ')[1] ?? '';
      this.dumpOffset = this.offset = Number(line.split(' ')[2]);
    } else if (line.startsWith('+CONTINUE')) {
      this.continuedMs = performance.now();
      this.#phase = Phase.STREAM;
    } else if (line.startsWith('$EOF:')) {
      this.#mark = line.slice('$EOF:'.length);
      this.#phase = Phase.MARKED;
      if (this.#job.proves === 'all') this.#dumpCheck = new DumpCheck(MARK_BYTES);
    } else if (line.startsWith('$')) {
      this.#payloadLeft = Number(line.slice(1));
      this.#phase = Phase.COUNTED;
      if (this.#job.proves === 'all') this.#dumpCheck = new DumpCheck(0);
    } else {
      this.#fail(new Error(`not expected in a full sync: ${line}`));
    }
  }

  #counted(start: number, end: number): number {
    if (this.payloadBytes === 0) this.firstByteMs = performance.now();
    const taken = Math.min(this.#payloadLeft, end - start);
    this.#look(start, start + taken);
    this.payloadBytes += taken;
    this.#payloadLeft -= taken;
    if (this.#payloadLeft === 0) this.#payloadDone();
    return start + taken;
  }

  /**
   * The primary sends nothing behind the mark before the first ACK. So the mark is at the end of a
   * read.
   */
  #marked(start: number, end: number): number {
    if (this.payloadBytes === 0) this.firstByteMs = performance.now();
    this.#look(start, end);
    this.payloadBytes += end - start;
    const fresh = this.#buffer.toString('latin1', Math.max(start, end - MARK_BYTES), end);
    this.#tail = (this.#tail + fresh).slice(-MARK_BYTES);
    if (this.#tail === this.#mark) {
      this.payloadBytes -= MARK_BYTES;
      this.#payloadDone();
    }
    return end;
  }

  /** Checks bytes of the dump, if it is to be proved. */
  #look(start: number, end: number): void {
    if (this.#dumpCheck === null) return;
    this.#dumpCheck.take(this.#buffer, start, end);
    if (this.#index === 0) this.dump.push(Buffer.from(this.#buffer.subarray(start, end)));
  }

  #payloadDone(): void {
    this.lastByteMs = performance.now();
    this.#phase = Phase.STREAM;
    if (this.#dumpCheck?.isRight === false)
      this.fault = 'a dump with another checksum than its own';
    this.#dumpCheck = null;
    this.acknowledge();
    this.#onSynced();
  }
}

/** Compares the server's own log with the record, as far as the log goes back. */
async function faultOfLog({ port, logFrom }: ProofJob): Promise<string> {
  const [replica] = replicas;
  const from = Math.max(logFrom, record.first);
  const last = record.end - 1;
  if (replica === undefined || from > last) return '';
  const job: AttachJob = { port, replicas: 1, proves: 'streams', falsify: false };
  const reader = new FakeReplica(job, replicas.length, record);
  try {
    await reader.ready;
    reader.requestLog(replica.replid, from, last);
    await reader.synced;
  } finally {
    reader.close();
  }
  return reader.fault === '' ? '' : `the log has ${reader.fault}`;
}

let replicas: FakeReplica[] = [];
let record = new StreamRecord();
let playback: Playback | null = null;
let ackTimer: NodeJS.Timeout | null = null;
let slowTimer: NodeJS.Timeout | null = null;

function slowDown(bytesPerSecond: number): void {
  if (slowTimer !== null) clearInterval(slowTimer);
  slowTimer = null;
  const slow = replicas.filter((replica) => replica.isSlow);
  for (const replica of slow) replica.slowDown(bytesPerSecond);
  if (bytesPerSecond === 0 || slow.length === 0) return;
  let atMs = performance.now();
  slowTimer = setInterval(() => {
    const nowMs = performance.now();
    for (const replica of slow) replica.passed(nowMs - atMs);
    atMs = nowMs;
  }, SLOW_TURN_MS);
}

/** See {@link ReplicaApi.comeBack}. */
async function comeBack({ port, from }: BackJob): Promise<BackResult> {
  const [first] = replicas;
  if (first === undefined) throw new Error('nobody is attached');
  const job: AttachJob = { port, replicas: 1, proves: 'streams', falsify: false };
  const late = new FakeReplica(job, replicas.length, record);
  try {
    await late.ready;
    const last = record.end - 1;
    const startedMs = performance.now();
    late.requestLog(first.replid, from, last);
    await late.synced;
    if (late.continuedMs === 0) throw new Error('a replica that came back got a full sync');
    return {
      continueMs: late.continuedMs - startedMs,
      firstByteMs: late.streamBeganMs - startedMs,
      lastByteMs: late.lastByteMs - startedMs,
      bytes: last - from + 1,
      fault: late.fault,
    };
  } finally {
    late.close();
  }
}

function detachAll(): void {
  slowDown(0);
  if (ackTimer !== null) clearInterval(ackTimer);
  ackTimer = null;
  for (const replica of replicas) replica.close();
  replicas = [];
  record = new StreamRecord();
  playback?.stop();
  playback = null;
}

/** Returns the dump of a replica without the mark behind it. */
function dumpOf(replica: FakeReplica): Buffer[] {
  let left = replica.payloadBytes;
  return replica.dump.map((part) => {
    const own = part.subarray(0, left);
    left -= own.length;
    return own;
  });
}

function faultsOf(all: readonly FakeReplica[]): string[] {
  const missing = record.settle();
  return all.flatMap((replica, index) => {
    if (replica.fault !== '') return [`replica ${index} got ${replica.fault}`];
    if (missing !== SAME) return [`replica ${index} could not be compared at offset ${missing}`];
    const isWhole = record.bytes === 0 || replica.offset === record.end - 1;
    return isWhole ? [] : [`replica ${index} stands at ${replica.offset} of ${record.end - 1}`];
  });
}

serve<ReplicaApi>({
  async attach(job) {
    detachAll();
    replicas = Array.from(
      { length: job.replicas },
      (_, index) => new FakeReplica(job, index, record),
    );
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
  async slowDown(bytesPerSecond) {
    slowDown(bytesPerSecond);
    return null;
  },
  comeBack,
  async proof(job) {
    const faults = faultsOf(replicas);
    const equal = replicas.length - faults.length;
    const range = { first: record.first, end: record.end, crc64: record.crc64() };
    const logFault = await faultOfLog(job);
    if (logFault !== '') faults.push(logFault);
    return { replicas: replicas.length, equal, faults, range };
  },
  async play() {
    const [replica] = replicas;
    if (replica === undefined || replica.dump.length === 0) throw new Error('no dump was kept');
    const { replid, dumpOffset } = replica;
    const stream = record.bytes === 0 ? [] : [...record.parts(dumpOffset + 1)];
    playback = await Playback.start({ replid, offset: dumpOffset, dump: dumpOf(replica), stream });
    return playback.port;
  },
  async plays() {
    return playback?.syncs ?? 0;
  },
  async detach() {
    detachAll();
    return null;
  },
});
