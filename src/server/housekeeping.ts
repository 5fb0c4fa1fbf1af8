/**
 * Work that goes on in slices beside the commands: deleting what has expired, giving back the
 * memory of flushed databases, and what others register for a tick. No slice holds the loop for
 * much more than two milliseconds.
 *
 *   tick        `hz` times per second, at the end of its turn
 *   slice       as long as `active-expire-effort` says; while work is left, the next slice comes
 *               after PAUSE_MS
 *
 *   effort      1      4      7      10
 *   share       25 %   31 %   37 %   43 %     of the time, as in Redis
 *   slice       1.0    1.3    1.8    2.3 ms
 */
import { NIL } from '../base/units.ts';
import type { Dispatcher } from './dispatch/dispatcher.ts';
import type { Server } from './server.ts';

/** Per cent of the time at effort 1, and for each step beyond. */
const SHARE_AT_LEAST = 25;
const SHARE_PER_EFFORT = 2;
/** Work of a slice between two looks at the clock. */
const DELETIONS_PER_LOOK = 16;
const BUCKETS_PER_LOOK = 8;
const PAUSE_MS = 3;
const MICROS_PER_MS = 1000;

/** Microseconds of a slice, for an `active-expire-effort` from 1 to 10. */
export function sliceMicros(effort: number): number {
  const share = SHARE_AT_LEAST + SHARE_PER_EFFORT * (effort - 1);
  return (PAUSE_MS * 1000 * share) / (100 - share);
}

export type Ticker = (nowMs: number) => void;

export class Housekeeping {
  readonly #server: Server;
  readonly #dispatcher: Dispatcher;
  readonly #tickers: Ticker[] = [];
  /** Called after each slice: what has expired is in the stream. */
  afterSlice: (() => void) | undefined = undefined;
  /** Is told how long a step took, by the name of its event of LATENCY. */
  onStep: (event: string, ms: number) => void = () => {};
  /** No tickers and no slices under DEBUG PAUSE-CRON 1. */
  paused = false;
  #timer: NodeJS.Timeout | undefined;
  #due: NodeJS.Immediate | undefined;
  #sliceTimer: NodeJS.Timeout | undefined;
  #database = 0;

  constructor(server: Server, dispatcher: Dispatcher) {
    this.#server = server;
    this.#dispatcher = dispatcher;
  }

  /** `ticker` is called at each tick, about `hz` times per second. */
  onTick(ticker: Ticker): void {
    this.#tickers.push(ticker);
  }

  /**
   * A turn runs timers before it reads sockets. A tick waits for the reads: after a process stood
   * still, bytes that came meanwhile are no silence of their sender. Redis reads first, too.
   */
  start(): void {
    this.#timer = setInterval(() => {
      this.#due ??= setImmediate(() => {
        this.#due = undefined;
        this.tick();
      });
    }, 1000 / this.#server.config.values.hz);
  }

  /** Takes a changed `hz` over. */
  restart(): void {
    this.stop();
    this.start();
  }

  stop(): void {
    clearInterval(this.#timer);
    clearImmediate(this.#due);
    this.#due = undefined;
    clearTimeout(this.#sliceTimer);
    this.#sliceTimer = undefined;
  }

  /** Begins slices now, when something was put aside to be freed. */
  wake(): void {
    if (this.#sliceTimer === undefined) this.#sliceTimer = setTimeout(() => this.#slice(), 0);
  }

  /** Runs `hz` times per second. */
  tick(): void {
    const server = this.#server;
    server.clock.tick();
    if (this.paused) return;
    const nowMs = server.nowMs;
    for (const ticker of this.#tickers) ticker(nowMs);
    if (server.keyspace.tidy()) this.#dispatcher.forgetViews();
    if (this.#sliceTimer === undefined) this.#slice();
  }

  #slice(): void {
    this.#sliceTimer = undefined;
    if (this.paused) return;
    const { clock, config } = this.#server;
    clock.tick();
    const startUs = clock.micros();
    const endUs = startUs + sliceMicros(config.values.activeExpireEffort);
    const moreDue = this.#expire(endUs);
    this.onStep('expire-cycle', (clock.micros() - startUs) / MICROS_PER_MS);
    const moreToFree = this.#free(endUs);
    this.afterSlice?.();
    if (moreDue || moreToFree) this.#sliceTimer = setTimeout(() => this.#slice(), PAUSE_MS);
  }

  /** Deletes expired keys until `endUs`; returns whether there are more. */
  #expire(endUs: number): boolean {
    const server = this.#server;
    if (!server.activeExpire || !server.expiresKeys || server.loading) return false;
    const { background } = this.#dispatcher;
    const { databases } = server.keyspace;
    let deletions = 0;
    for (let seen = 0; seen < databases.length; ) {
      const db = databases[this.#database]!;
      const entry = db.expiry.due(server.nowMs);
      if (entry === NIL) {
        this.#database = (this.#database + 1) % databases.length;
        seen++;
        continue;
      }
      seen = 0;
      background.deleteExpired(db, entry);
      this.#dispatcher.replicateDeletions();
      if (++deletions % DELETIONS_PER_LOOK === 0 && server.clock.micros() > endUs) {
        server.stats.expireCyclesCut++;
        this.#dispatcher.afterUnit?.();
        return true;
      }
    }
    if (deletions > 0) this.#dispatcher.afterUnit?.();
    return false;
  }

  #free(endUs: number): boolean {
    const { keyspace, clock } = this.#server;
    while (keyspace.freeing) {
      keyspace.freeSome(BUCKETS_PER_LOOK);
      if (clock.micros() > endUs) return keyspace.freeing;
    }
    return false;
  }
}
