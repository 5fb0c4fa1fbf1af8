/**
 * A client that reads at a fixed rate, a separate process. It sends a GET of a random key whenever
 * one is due, whether or not the earlier ones are answered, and measures from the time at which it
 * was due. So a stall counts for every read that falls into it.
 *
 * A reply that is an error counts, and so does one without a value: every key that is asked for
 * exists.
 */
import net from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { Prng } from '../../src/base/prng.ts';
import { serve } from './child.ts';
import { Latencies } from './latency.ts';
import { keyOf } from './workload.ts';

export interface ReaderJob {
  readonly port: number;
  readonly perSecond: number;
  /** The keys with numbers below this exist. */
  readonly keys: number;
  readonly valueBytes: number;
  readonly seed: number;
}

export interface ReaderResult {
  readonly reads: number;
  readonly errors: number;
  readonly firstError: string;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

export interface ReaderApi {
  start(job: ReaderJob): Promise<null>;
  /** Waits for the replies to all reads so far, and ends. */
  stop(argument: null): Promise<ReaderResult>;
}

// As in probe-child.ts: no pause of this process may count as the server's.
setFlagsFromString('--gc-memory-reducer-start-delay-ms=2000000000');

const TICK_MS = 1;
const MISSING_REPLIES_MS = 60_000;
const LF = 10;
const DOLLAR = 36;

class Reader {
  readonly #job: ReaderJob;
  readonly #prng: Prng;
  readonly #socket: net.Socket;
  readonly #startedMs = performance.now();
  readonly #timer: NodeJS.Timeout;
  readonly #latencies = new Latencies();
  /** When the reads that are not answered were due, oldest first. */
  readonly #due: number[] = [];
  readonly #valueHeader: string;
  #sent = 0;
  #answered = 0;
  #errors = 0;
  #firstError = '';
  #maxMs = 0;
  #line = '';
  /** Bytes of a value, with its line end, that have not come yet. */
  #left = 0;
  #failure: Error | null = null;
  #onAnswered: () => void = () => {};

  constructor(job: ReaderJob) {
    this.#job = job;
    this.#prng = new Prng(job.seed);
    this.#valueHeader = `$${job.valueBytes}`;
    this.#socket = net.connect({ port: job.port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (bytes: Buffer) => this.#received(bytes));
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('end', () => this.#fail(new Error('the server closed the connection')));
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  async stop(): Promise<ReaderResult> {
    clearInterval(this.#timer);
    const timer = setTimeout(
      () => this.#fail(new Error('replies to reads are missing')),
      MISSING_REPLIES_MS,
    );
    if (this.#due.length > 0 && this.#failure === null) {
      await new Promise<void>((resolve) => {
        this.#onAnswered = resolve;
      });
    }
    clearTimeout(timer);
    this.#socket.removeAllListeners('end');
    this.#socket.destroy();
    if (this.#failure !== null) throw this.#failure;
    return {
      reads: this.#answered,
      errors: this.#errors,
      firstError: this.#firstError,
      p50Ms: this.#latencies.quantileMs(0.5),
      p99Ms: this.#latencies.quantileMs(0.99),
      p999Ms: this.#latencies.quantileMs(0.999),
      maxMs: this.#maxMs,
    };
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#onAnswered();
  }

  #tick(): void {
    const { perSecond, keys } = this.#job;
    const intervalMs = 1000 / perSecond;
    const wanted = Math.floor((performance.now() - this.#startedMs) / intervalMs);
    let text = '';
    for (; this.#sent < wanted; this.#sent++) {
      const key = keyOf(this.#prng.below(keys));
      text += `*2\r\n$3\r\nGET\r\n$${key.length}\r\n${key}\r\n`;
      this.#due.push(this.#startedMs + (this.#sent + 1) * intervalMs);
    }
    if (text !== '') this.#socket.write(text, 'latin1');
  }

  #received(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#left > 0) {
        const count = Math.min(this.#left, bytes.length - at);
        this.#left -= count;
        at += count;
        if (this.#left === 0) this.#answer('');
        continue;
      }
      const end = bytes.indexOf(LF, at);
      this.#line += bytes.toString('latin1', at, end === -1 ? bytes.length : end);
      if (end === -1) return;
      at = end + 1;
      const line = this.#line.trimEnd();
      this.#line = '';
      if (line === this.#valueHeader) this.#left = this.#job.valueBytes + 2;
      else if (line.charCodeAt(0) === DOLLAR && line !== '$-1')
        this.#fail(new Error(`a value of another size: ${line}`));
      else this.#answer(line === '$-1' ? 'a key without a value' : line);
    }
  }

  #answer(error: string): void {
    const waitedMs = performance.now() - this.#due.shift()!;
    this.#answered++;
    this.#latencies.record(waitedMs);
    this.#maxMs = Math.max(this.#maxMs, waitedMs);
    if (error !== '') {
      this.#errors++;
      this.#firstError ||= error;
    }
    if (this.#due.length === 0) this.#onAnswered();
  }
}

let reader: Reader | null = null;

serve<ReaderApi>({
  async start(job) {
    reader = new Reader(job);
    return null;
  },
  async stop() {
    if (reader === null) throw new Error('no reader runs');
    const result = await reader.stop();
    reader = null;
    return result;
  },
});
