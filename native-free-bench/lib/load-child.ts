/**
 * Hot path. The load generator, a separate process. All requests are encoded before the clock
 * starts. Then each connection sends a batch, waits for the replies of the whole batch and sends
 * the next, as redis-benchmark does. A paced job instead sends writes at a fixed rate, without
 * waiting for replies.
 *
 * All connections share one read buffer. Replies of known size are counted and not parsed.
 */
import net from 'node:net';
import { MIB } from '../../src/base/units.ts';
import { serve } from './child.ts';
import { Latencies } from './latency.ts';
import { errorText, ReplySkimmer } from './resp.ts';
import { type EncodedRequests, encodeRequests, type Template } from './workload.ts';

export interface ClosedJob {
  readonly port: number;
  readonly clients: number;
  /** Requests per batch. */
  readonly depth: number;
  /** The job ends after this time, or after this many replies if `replies` is not 0. */
  readonly durationMs: number;
  readonly replies: number;
  readonly template: Template;
  /**
   * The number of different requests, which are sent again and again. It is rounded up to whole
   * batches.
   */
  readonly requests: number;
  /** Bytes of every reply when all have one size, otherwise 0. */
  readonly replyBytes: number;
}

export interface ClosedResult {
  readonly replies: number;
  readonly seconds: number;
  /**
   * Processor time of this process. When it is close to `seconds`, the generator was the
   * bottleneck.
   */
  readonly cpuSeconds: number;
  /** Latency of a batch, from its write to its last reply. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly errors: number;
  readonly firstError: string;
  readonly checksum: string;
}

export interface PacedJob {
  readonly port: number;
  readonly perSecond: number;
  readonly template: Template;
  readonly requests: number;
  readonly replyBytes: number;
}

export interface PacedResult {
  readonly replies: number;
  readonly seconds: number;
  readonly checksum: string;
}

export interface LoadApi {
  closed(job: ClosedJob): Promise<ClosedResult>;
  /** Returns the checksum that `closed` would report, without a server. */
  checksum(job: Pick<ClosedJob, 'template' | 'requests' | 'depth'>): Promise<string>;
  pacedStart(job: PacedJob): Promise<null>;
  pacedStop(argument: null): Promise<PacedResult>;
}

/** After its end a job waits this long for the replies of its last batches. */
const MISSING_REPLIES_MS = 10_000;

const MINUS = 45;
const readBuffer = Buffer.allocUnsafe(MIB);

/** The last encoded workload. A warm-up and its measurement share one. */
let encoded: { readonly key: string; readonly requests: EncodedRequests } | null = null;

function requestsOf(template: Template, atLeast: number, depth: number): EncodedRequests {
  const count = Math.ceil(atLeast / depth) * depth;
  const key = `${JSON.stringify(template)}${count}`;
  if (encoded?.key !== key) encoded = { key, requests: encodeRequests(template, count) };
  return encoded.requests;
}

/** The shared state of the connections of a job. */
class ClosedRun {
  readonly job: ClosedJob;
  readonly batches: Buffer[] = [];
  readonly latencies = new Latencies();
  nextBatch = 0;
  replies = 0;
  errors = 0;
  firstError = '';
  batchesLeft: number;
  stopping = false;
  failure: Error | null = null;

  constructor(job: ClosedJob, requests: EncodedRequests) {
    this.job = job;
    this.batchesLeft =
      job.replies === 0 ? Number.POSITIVE_INFINITY : Math.ceil(job.replies / job.depth);
    let start = 0;
    for (let last = job.depth - 1; last < requests.ends.length; last += job.depth) {
      const end = requests.ends[last] as number;
      this.batches.push(requests.bytes.subarray(start, end));
      start = end;
    }
  }
}

class ClosedConnection {
  readonly #run: ClosedRun;
  readonly #socket: net.Socket;
  readonly #skimmer = new ReplySkimmer();
  readonly connected: Promise<void>;
  readonly closed: Promise<void>;
  #bytesLeft = 0;
  #sentMs = 0;
  #isDone = false;

  constructor(run: ClosedRun, port: number) {
    this.#run = run;
    const fixed = run.job.replyBytes > 0;
    this.#socket = net.connect({
      port,
      host: '127.0.0.1',
      onread: {
        buffer: readBuffer,
        callback: (bytes, buffer) => {
          try {
            if (fixed) this.#count(bytes, buffer);
            else this.#skim(bytes, buffer);
          } catch (error) {
            this.fail(error as Error);
          }
          return true;
        },
      },
    });
    this.#socket.setNoDelay(true);
    this.closed = new Promise((resolve) => {
      this.#socket.on('close', () => {
        if (!this.#isDone) run.failure ??= new Error('the server closed a connection under load');
        resolve();
      });
    });
    this.#socket.on('error', (error) => this.fail(error));
    this.connected = new Promise((resolve) => {
      this.#socket.on('connect', resolve);
      this.#socket.on('close', () => resolve());
    });
  }

  fail(error: Error): void {
    this.#run.failure ??= error;
    this.#socket.destroy();
  }

  /** Sends the next batch, or closes the connection when there is none. */
  send(): void {
    const run = this.#run;
    if (run.stopping || run.batchesLeft === 0) {
      this.#isDone = true;
      this.#socket.destroy();
      return;
    }
    run.batchesLeft--;
    const batch = run.batches[run.nextBatch] as Buffer;
    run.nextBatch = run.nextBatch + 1 === run.batches.length ? 0 : run.nextBatch + 1;
    this.#bytesLeft = run.job.depth * run.job.replyBytes;
    this.#skimmer.expected = run.job.depth;
    this.#sentMs = performance.now();
    this.#socket.write(batch);
  }

  #count(bytes: number, buffer: Uint8Array): void {
    if (buffer[0] === MINUS && this.#bytesLeft === this.#run.job.depth * this.#run.job.replyBytes) {
      throw new Error(errorText(buffer, bytes));
    }
    this.#bytesLeft -= bytes;
    if (this.#bytesLeft > 0) return;
    if (this.#bytesLeft < 0) throw new Error('replies are longer than they should be');
    this.#answered();
  }

  #skim(bytes: number, buffer: Uint8Array): void {
    const skimmer = this.#skimmer;
    skimmer.push(buffer, bytes);
    if (skimmer.expected > 0) return;
    if (skimmer.errors > 0) {
      this.#run.errors += skimmer.errors;
      this.#run.firstError ||= skimmer.firstError;
      skimmer.errors = 0;
      skimmer.firstError = '';
    }
    this.#answered();
  }

  #answered(): void {
    const run = this.#run;
    run.latencies.record(performance.now() - this.#sentMs);
    run.replies += run.job.depth;
    this.send();
  }
}

async function closed(job: ClosedJob): Promise<ClosedResult> {
  const requests = requestsOf(job.template, job.requests, job.depth);
  const run = new ClosedRun(job, requests);
  const connections = Array.from(
    { length: job.clients },
    () => new ClosedConnection(run, job.port),
  );
  await Promise.all(connections.map((connection) => connection.connected));
  if (run.failure !== null) throw run.failure;
  const startedMs = performance.now();
  const cpuBefore = process.cpuUsage();
  let endedMs = 0;
  let replies = 0;
  const endClock = setTimeout(() => {
    endedMs = performance.now();
    replies = run.replies;
    run.stopping = true;
  }, job.durationMs);
  const giveUp = setTimeout(() => {
    for (const connection of connections) connection.fail(new Error('replies are missing'));
  }, job.durationMs + MISSING_REPLIES_MS);
  for (const connection of connections) connection.send();
  await Promise.all(connections.map((connection) => connection.closed));
  clearTimeout(endClock);
  clearTimeout(giveUp);
  if (!run.stopping) {
    endedMs = performance.now();
    replies = run.replies;
  }
  const cpu = process.cpuUsage(cpuBefore);
  if (run.failure !== null) throw run.failure;
  const { errors, firstError } = run;
  const cpuSeconds = (cpu.user + cpu.system) / 1e6;
  const seconds = (endedMs - startedMs) / 1000;
  const [p50Ms, p99Ms] = [run.latencies.quantileMs(0.5), run.latencies.quantileMs(0.99)];
  const { checksum } = requests;
  return { replies, seconds, cpuSeconds, p50Ms, p99Ms, errors, firstError, checksum };
}

const TICK_MS = 1;

/**
 * Writes at a fixed rate. It stops while more than a second's worth of requests is unanswered, so
 * that a dead server is not flooded.
 */
class PacedWriter {
  readonly #job: PacedJob;
  readonly #requests: EncodedRequests;
  readonly #socket: net.Socket;
  readonly #startedMs = performance.now();
  readonly #timer: NodeJS.Timeout;
  #failure: Error | null = null;
  #sent = 0;
  #next = 0;
  #replyBytes = 0;

  constructor(job: PacedJob) {
    this.#job = job;
    this.#requests = requestsOf(job.template, job.requests, 1);
    this.#socket = net.connect({
      port: job.port,
      host: '127.0.0.1',
      onread: {
        buffer: readBuffer,
        callback: (bytes, buffer) => {
          if (buffer[0] === MINUS && this.#replyBytes % job.replyBytes === 0) {
            this.#failure ??= new Error(errorText(buffer, bytes));
          }
          this.#replyBytes += bytes;
          return true;
        },
      },
    });
    this.#socket.setNoDelay(true);
    this.#socket.on('error', (error) => {
      this.#failure ??= error;
    });
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  stop(): PacedResult {
    clearInterval(this.#timer);
    this.#socket.destroy();
    if (this.#failure !== null) throw this.#failure;
    return {
      replies: Math.floor(this.#replyBytes / this.#job.replyBytes),
      seconds: (performance.now() - this.#startedMs) / 1000,
      checksum: this.#requests.checksum,
    };
  }

  #tick(): void {
    const { ends, bytes } = this.#requests;
    const answered = Math.floor(this.#replyBytes / this.#job.replyBytes);
    const dueByTime = Math.floor(
      ((performance.now() - this.#startedMs) / 1000) * this.#job.perSecond,
    );
    let due = Math.min(dueByTime, answered + this.#job.perSecond) - this.#sent;
    while (due > 0) {
      const count = Math.min(due, ends.length - this.#next);
      const start = this.#next === 0 ? 0 : (ends[this.#next - 1] as number);
      const end = ends[this.#next + count - 1] as number;
      this.#socket.write(bytes.subarray(start, end));
      this.#next = (this.#next + count) % ends.length;
      this.#sent += count;
      due -= count;
    }
  }
}

let paced: PacedWriter | null = null;

serve<LoadApi>({
  closed,
  async checksum(job) {
    return requestsOf(job.template, job.requests, job.depth).checksum;
  },
  async pacedStart(job) {
    paced = new PacedWriter(job);
    return null;
  },
  async pacedStop() {
    if (paced === null) throw new Error('no paced writer runs');
    const result = paced.stop();
    paced = null;
    return result;
  },
});
