/**
 * Latency prober, a process of its own: one connection sends PING, waits for the reply, and sends
 * the next a millisecond later. Latencies go into an HDR histogram.
 *
 * A closed loop that is held up for 100 ms takes one sample where a hundred clients would have
 * waited. So a latency above the interval also records the waits that the missing probes would have
 * seen (latency minus one interval, minus two …), as HDR histograms do to undo this coordinated
 * omission.
 *
 * What holds this process up itself would count as the server's. So V8 does not look for memory to
 * give back here, which takes it up to 6 ms some ten seconds after the start.
 */
import net from 'node:net';
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { serve } from './child.ts';

export interface ProbeResult {
  readonly probes: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

export interface ProbeApi {
  start(port: number): Promise<null>;
  /**
   * The latencies since `start` or the last `take`. A probe that is on its way counts once it is
   * answered.
   */
  take(argument: null): Promise<ProbeResult>;
  stop(argument: null): Promise<null>;
}

setFlagsFromString('--gc-memory-reducer-start-delay-ms=2000000000');

const INTERVAL_MS = 1;
const INTERVAL_NS = INTERVAL_MS * 1e6;
const PING = Buffer.from('*1\r\n$4\r\nPING\r\n');
const REPLY_BYTES = '+PONG\r\n'.length;

class Prober {
  readonly #socket: net.Socket;
  #histogram: RecordableHistogram;
  #probes = 0;
  #sentMs = 0;
  #left = 0;
  #failure: Error | null = null;
  #onAnswer: (() => void) | null = null;

  constructor(port: number) {
    this.#histogram = Prober.#newHistogram();
    this.#socket = net.connect({
      port,
      host: '127.0.0.1',
      onread: { buffer: Buffer.allocUnsafe(1024), callback: (bytes) => this.#received(bytes) },
    });
    this.#socket.setNoDelay(true);
    this.#socket.on('connect', () => this.#send());
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('end', () => this.#fail(new Error('the server closed the connection')));
  }

  static #newHistogram(): RecordableHistogram {
    return createHistogram({ lowest: 1, highest: 120e9, figures: 3 });
  }

  /**
   * Waits for the probe on its way first, so that a stall that is going on belongs to the window it
   * began in.
   */
  async take(): Promise<ProbeResult> {
    if (this.#left > 0 && this.#failure === null) {
      await new Promise<void>((resolve) => {
        this.#onAnswer = resolve;
      });
    }
    if (this.#failure !== null) throw this.#failure;
    const histogram = this.#histogram;
    const probes = this.#probes;
    this.#histogram = Prober.#newHistogram();
    this.#probes = 0;
    return {
      probes,
      p50Ms: histogram.percentile(50) / 1e6,
      p99Ms: histogram.percentile(99) / 1e6,
      p999Ms: histogram.percentile(99.9) / 1e6,
      maxMs: histogram.max / 1e6,
    };
  }

  stop(): void {
    this.#socket.destroy();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#onAnswer?.();
  }

  #send(): void {
    if (this.#socket.destroyed) return;
    this.#left = REPLY_BYTES;
    this.#sentMs = performance.now();
    this.#socket.write(PING);
  }

  #received(bytes: number): boolean {
    this.#left -= bytes;
    if (this.#left > 0) return true;
    const latencyNs = Math.max(1, Math.round((performance.now() - this.#sentMs) * 1e6));
    this.#probes++;
    for (let waited = latencyNs; waited > 0; waited -= INTERVAL_NS) this.#histogram.record(waited);
    this.#onAnswer?.();
    this.#onAnswer = null;
    setTimeout(() => this.#send(), INTERVAL_MS);
    return true;
  }
}

let prober: Prober | null = null;

serve<ProbeApi>({
  async start(port) {
    prober?.stop();
    prober = new Prober(port);
    return null;
  },
  async take() {
    if (prober === null) throw new Error('no probe runs');
    return prober.take();
  },
  async stop() {
    prober?.stop();
    prober = null;
    return null;
  },
});
