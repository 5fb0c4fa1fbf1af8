/**
 * The latency prober, a separate process. One connection sends PING, waits for the reply, and sends
 * the next PING a millisecond later. The latencies go into an HDR histogram.
 *
 * A stall of 100 ms delays only one probe, but would have delayed a hundred clients. So a latency
 * above the interval also records the waits of the missing probes (latency minus one interval,
 * minus two …). HDR histograms correct this coordinated omission in the same way.
 *
 * A pause of this process would be counted as the server's. So V8 is told not to look for memory to
 * free here, which it does some ten seconds after the start for up to 6 ms.
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
   * Returns the latencies since `start` or the last `take`. A probe that is on its way counts once
   * it is answered.
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
   * Waits for the probe that is on its way, so that a current stall counts for the window in which
   * it began.
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
