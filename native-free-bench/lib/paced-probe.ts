/**
 * Paced SETs by one process and PINGs by another: what a client sees while something happens in the
 * server that it writes to.
 */
import type { PacedResult } from './load-child.ts';
import type { ProbeResult } from './probe-child.ts';
import { type Context, pause } from './scenario.ts';
import type { Server } from './server.ts';
import { type SetShape, setRequests } from './sets.ts';

export interface Pace {
  readonly writesPerSecond: number;
  /** Different SETs, which are sent again and again. */
  readonly requests: number;
}

export class PacedProbe {
  readonly #writer;
  readonly #prober;
  readonly #job;

  private constructor(context: Context, server: Server, shape: SetShape, pace: Pace) {
    this.#writer = context.loadGenerator();
    this.#prober = context.prober();
    this.#job = {
      ...setRequests(server.port, shape, pace.requests),
      perSecond: pace.writesPerSecond,
    };
  }

  static async start(
    context: Context,
    server: Server,
    shape: SetShape,
    pace: Pace,
  ): Promise<PacedProbe> {
    const probe = new PacedProbe(context, server, shape, pace);
    await probe.#writer.call('pacedStart', probe.#job);
    await probe.#prober.call('start', server.port);
    return probe;
  }

  /** The latencies of PING since the start or the last take. */
  take(): Promise<ProbeResult> {
    return this.#prober.call('take', null);
  }

  /** The latencies of the next `durationMs`. */
  async takeFor(durationMs: number): Promise<ProbeResult> {
    await this.take();
    await pause(durationMs);
    return this.take();
  }

  async stop(): Promise<PacedResult> {
    const written = await this.#writer.call('pacedStop', null);
    await this.#prober.call('stop', null);
    return written;
  }

  /** Writes for `durationMs`, after {@link stop}. */
  async writeOn(durationMs: number): Promise<void> {
    await this.#writer.call('pacedStart', this.#job);
    await pause(durationMs);
    await this.#writer.call('pacedStop', null);
  }
}
