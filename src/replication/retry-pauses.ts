/**
 * The pause of full syncs after a failure: a second, then twice as long each time, up to a minute.
 * Each cause has its own pause, since a success for one cause says nothing about another.
 *
 *   failed ──▶ 1 s ──failed──▶ 2 s ──failed──▶ … 60 s
 *
 * A success of that cause's kind ends the pause. A replica that asks during the pause waits, and
 * empty lines keep it from giving up. Without the pause, a dataset with faster writes than
 * `snapshot-cow-max` allows would be frozen again and again for nothing. Pure; causes are error
 * codes, so there are few of them.
 */
export const RETRY_PAUSE_MIN_MS = 1000;
export const RETRY_PAUSE_MAX_MS = 60_000;

interface Pause {
  readonly ms: number;
  readonly untilMs: number;
}

export class RetryPauses {
  readonly #pauses = new Map<string, Pause>();

  /** Notes a failure at `nowMs` and returns the length of the pause that follows. */
  failed(cause: string, nowMs: number): number {
    const before = this.#pauses.get(cause);
    const ms =
      before === undefined ? RETRY_PAUSE_MIN_MS : Math.min(before.ms * 2, RETRY_PAUSE_MAX_MS);
    this.#pauses.set(cause, { ms, untilMs: nowMs + ms });
    return ms;
  }

  /** The next failure of this cause is a first one again. */
  succeeded(cause: string): void {
    this.#pauses.delete(cause);
  }

  /** The causes that have failed and not succeeded since. */
  get causes(): readonly string[] {
    return [...this.#pauses.keys()];
  }

  /**
   * Milliseconds until the pauses of all causes for which `matters` is true are over; 0 when there
   * is no pause.
   */
  leftMs(nowMs: number, matters: (cause: string) => boolean = () => true): number {
    let left = 0;
    for (const [cause, { untilMs }] of this.#pauses) {
      if (matters(cause)) left = Math.max(left, untilMs - nowMs);
    }
    return left;
  }
}
