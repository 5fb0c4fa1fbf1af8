/**
 * Full syncs that lead to nothing. A replica that is cut off for its output limit during or soon
 * after each full sync would ask for one again and again, and so would one that cannot read its
 * dump.
 *
 *   full sync ──▶ cut off ──▶ full sync ──▶ cut off ──▶ waits 5 s ──▶ full sync ──▶ cut off ──▶
 *   waits 10 s ──▶ … at most 5 minutes
 *
 * The wait ends at once when what was in the way is gone: writes come at less than half of what the
 * replica read, or at less than a twentieth of what they did, or limits have changed. The second
 * counts for a replica that was cut off so soon that nothing is known of its pace: sockets had taken
 * the whole dump, and nothing of the stream. A replica that goes on well for a while after a full
 * sync begins again. A replica is known by its address and the port that it announced. Pure; times
 * are those of the monotonic clock.
 */

/** Failures in a row from which on the replica waits. */
export const TRIALS_MAX = 2;
export const TRIAL_PAUSE_MIN_MS = 5000;
export const TRIAL_PAUSE_MAX_MS = 300_000;
/** A full sync has led to something when its replica is still there so long after it. */
export const STEADY_MS = 60_000;
const NAMES_MAX = 1024;
/** Writes of so small a part of the rate that was in the way are calm. */
const CALM_SHARE = 20;

export const TrialEnd = {
  /** It was cut off for its output limit. */
  OVERFLOW: 'overflow',
  /** It got the whole dump, and left without having acknowledged anything. */
  UNREAD: 'unread',
} as const;
export type TrialEnd = (typeof TrialEnd)[keyof typeof TrialEnd];

/** A full sync that has failed, as it was seen. */
export interface Trial {
  readonly end: TrialEnd;
  /** Bytes per second: what was written, and what the replica took. */
  readonly writeRate: number;
  readonly readRate: number;
  /** Bytes of the dump that it got, and of the whole dump, -1 when not known. */
  readonly dumpBytes: number;
  readonly dumpTotalBytes: number;
  readonly lag: number;
}

interface Row {
  end: TrialEnd;
  count: number;
  untilMs: number;
  /** The rate below which writes are no longer in the way. */
  calmRate: number;
}

export class SyncTrials {
  readonly #rows = new Map<string, Row>();

  /** Notes a failed full sync. Returns how many there are in a row. */
  failed(name: string, trial: Trial, nowMs: number): number {
    const before = this.#rows.get(name);
    const isSame = before !== undefined && before.end === trial.end;
    const count = isSame ? before.count + 1 : 1;
    this.#rows.delete(name);
    const pauseMs = pauseAfter(count);
    this.#rows.set(name, {
      end: trial.end,
      count,
      untilMs: nowMs + pauseMs,
      calmRate: Math.max(trial.readRate / 2, trial.writeRate / CALM_SHARE),
    });
    if (this.#rows.size > NAMES_MAX) this.#rows.delete(this.#rows.keys().next().value!);
    return count;
  }

  /** The last full sync of this replica has led to something. */
  succeeded(name: string): void {
    this.#rows.delete(name);
  }

  /** Milliseconds that the replica's next full sync has to wait, while `writeRate` is written. */
  leftMs(name: string, writeRate: number, nowMs: number): number {
    const row = this.#rows.get(name);
    if (row === undefined || row.count < TRIALS_MAX) return 0;
    if (row.end === TrialEnd.OVERFLOW && writeRate < row.calmRate) return 0;
    return Math.max(0, row.untilMs - nowMs);
  }

  /** Limits have changed, or dialects: nobody waits any more. */
  forgetAll(): void {
    this.#rows.clear();
  }
}

/** The pause before the next full sync, after `count` failures in a row. */
export function pauseAfter(count: number): number {
  if (count < TRIALS_MAX) return 0;
  return Math.min(TRIAL_PAUSE_MAX_MS, TRIAL_PAUSE_MIN_MS * 2 ** Math.min(16, count - TRIALS_MAX));
}

/** A buffer for twice what was seen: rates change. */
const SPARE = 2;
/** What a replica that is slower than the writes shall be able to bear. */
const BURST_SECONDS = 60;

/**
 * Bytes of `repl-backlog-size`, and of the output limit, with which this full sync would have gone
 * well; for a replica that reads the stream slower than it grows, those for a minute of it.
 */
export function bytesThatHelp(trial: Trial): number {
  const { writeRate, readRate, dumpBytes, dumpTotalBytes, lag } = trial;
  const isSlower = writeRate > readRate;
  const excess = isSlower ? (writeRate - readRate) * BURST_SECONDS : 0;
  const dumpSeconds =
    dumpTotalBytes > dumpBytes && readRate > 0 ? (dumpTotalBytes - dumpBytes) / readRate : 0;
  // In the dump nothing of the stream is read; behind it, only what comes in excess adds up.
  const more = dumpTotalBytes > dumpBytes ? writeRate * dumpSeconds : excess;
  const mib = 1024 * 1024;
  return Math.ceil((SPARE * lag + more) / mib) * mib;
}
