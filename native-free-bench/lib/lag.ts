/**
 * The lag of a replica in milliseconds: how long ago its primary was at the offset that the replica
 * has applied.
 *
 *   offset          primary
 *     │            ╱
 *     │- - - - - -╱- - - - - - - • the replica's offset, and when it was told
 *     │          ╱│◀───  lag ───▶│
 *     └───────────┴──────────────┴──▶ time
 *
 * Both are asked for their offset again and again. A primary under load answers late: its offset
 * counts from when it was asked, the replica's from when the answer came. So the lag is rather too
 * long than too short, by as much as the two take to answer.
 */
import { pause } from './scenario.ts';
import type { Server } from './server.ts';
import { median } from './statistics.ts';

export interface Lag {
  readonly medianMs: number;
  readonly maxMs: number;
  /** The last lag that was measured. */
  readonly lastMs: number;
}

interface Sample {
  readonly atMs: number;
  readonly offset: number;
}

const PERIOD_MS = 10;

export class LagMeter {
  readonly #above: Sample[] = [];
  readonly #below: Sample[] = [];
  readonly #loops: Promise<void>[];
  #isStopped = false;

  constructor(primary: Server, replica: Server) {
    this.#loops = [
      this.#follow(async () => {
        const atMs = performance.now();
        const fields = await primary.control.info('replication');
        this.#above.push({ atMs, offset: Number(fields.get('master_repl_offset')) });
      }),
      this.#follow(async () => {
        const fields = await replica.control.info('replication');
        const offset = Number(fields.get('slave_repl_offset'));
        if (fields.get('master_link_status') !== 'up')
          throw new Error('the link of a replica broke');
        this.#below.push({ atMs: performance.now(), offset });
      }),
    ];
  }

  /** Ends the measurement. */
  async stop(): Promise<Lag> {
    this.#isStopped = true;
    await Promise.all(this.#loops);
    const lags = lagsOf(this.#above, this.#below);
    if (lags.length === 0) throw new Error('no lag was measured');
    return { medianMs: median(lags), maxMs: Math.max(...lags), lastMs: lags.at(-1)! };
  }

  async #follow(sample: () => Promise<void>): Promise<void> {
    while (!this.#isStopped) {
      await sample();
      await pause(PERIOD_MS);
    }
  }
}

/**
 * Returns the lag in ms of each sample of `below`. Between two samples the primary is taken to have
 * written evenly.
 */
export function lagsOf(above: readonly Sample[], below: readonly Sample[]): number[] {
  let next = 0;
  const lags: number[] = [];
  for (const { atMs, offset } of below) {
    while (next < above.length && above[next]!.offset <= offset) next++;
    const [before, after] = [above[next - 1], above[next]];
    // Before the first sample nothing is known; after the last one the replica has everything.
    if (before === undefined) continue;
    if (after === undefined) {
      lags.push(0);
      continue;
    }
    const share = (offset - before.offset) / (after.offset - before.offset);
    lags.push(Math.max(0, atMs - (before.atMs + share * (after.atMs - before.atMs))));
  }
  return lags;
}
