/**
 * Judges each full sync of a fleet: it is right only where the history that the replica lacked was
 * gone. Three witnesses tell of it.
 *
 *   the link      the offset that was asked, and the answer, byte for byte (sync-witness.ts)
 *   the primary   its first offset, asked for by INFO all the time: it only grows, so the value
 *                 before the request and the one after the answer enclose that of the moment
 *   its log       the first offset at the moment itself, which must lie between the two
 *
 * A replica that has no offset to ask for is right when it never had one, or when it was granted a
 * full sync whose end it has not seen: a stock replica forgets its history at the grant.
 */
import type { WitnessedSync } from './sync-witness.ts';

/** An answer to INFO: the first offset was `first` at some time between the two. */
export interface WindowSample {
  readonly askedMs: number;
  readonly answeredMs: number;
  readonly first: number;
}

/** A full sync as the primary has logged it. */
export interface LoggedFull {
  readonly asked: number;
  readonly first: number;
}

export interface Judgement {
  /** Full syncs of replicas without any history: first ones, and those after a cut in the dump. */
  readonly fresh: number;
  /** Full syncs whose history was gone, and the least and the most bytes of it that were gone. */
  readonly gone: number;
  readonly missedMin: number;
  readonly missedMax: number;
  readonly partial: number;
  readonly faults: readonly string[];
}

/**
 * The full syncs for lack of history that a primary has logged, by the port that the replica
 * announces, in order.
 */
export function loggedFulls(log: string): Map<string, LoggedFull[]> {
  const found = new Map<string, LoggedFull[]>();
  const lines =
    /Unable to partial resync with replica \S*:(\d+) for lack of backlog \(Replica request was: (-?\d+)\)\..*\n.*The backlog begins at offset (\d+) /g;
  for (const [, port = '', asked, first] of log.matchAll(lines)) {
    const list = found.get(port) ?? [];
    list.push({ asked: Number(asked), first: Number(first) });
    found.set(port, list);
  }
  return found;
}

export class SyncJudge {
  readonly #samples: WindowSample[] = [];

  note(sample: WindowSample): void {
    // Equal ones tell nothing more, but for the last: it was still so then.
    const before = this.#samples.at(-2);
    if (before?.first === sample.first && this.#samples.at(-1)?.first === sample.first)
      this.#samples.pop();
    this.#samples.push(sample);
  }

  /** Judges all syncs of one replica, in order. The last sample must be later than all of them. */
  judge(name: string, syncs: readonly WitnessedSync[], logged: readonly LoggedFull[]): Judgement {
    const faults: string[] = [];
    let [fresh, gone, partial] = [0, 0, 0];
    let [missedMin, missedMax] = [Number.POSITIVE_INFINITY, 0];
    const left = [...logged];
    let mayBeFresh = true;
    for (const sync of syncs) {
      if (sync.answer === 'partial') {
        partial++;
        mayBeFresh = false;
      }
      if (sync.answer !== 'full') continue;
      if (sync.asked === -1) {
        fresh++;
        if (!mayBeFresh) faults.push(`${name}: had synced, and asked without an offset`);
      } else {
        gone++;
        const told = this.#takeLogged(left, sync.asked);
        const fault = this.#faultOf(sync, told);
        if (fault !== '') faults.push(`${name}: ${fault}`);
        if (told !== undefined) {
          missedMin = Math.min(missedMin, told.first - sync.asked);
          missedMax = Math.max(missedMax, told.first - sync.asked);
        }
      }
      mayBeFresh = !sync.hasAcked;
    }
    return { fresh, gone, missedMin, missedMax, partial, faults };
  }

  /** The log may tell of syncs whose answer was lost with the link: they come before it. */
  #takeLogged(left: LoggedFull[], asked: number): LoggedFull | undefined {
    const index = left.findIndex((each) => each.asked === asked);
    return index < 0 ? undefined : left.splice(0, index + 1).at(-1);
  }

  #faultOf(sync: WitnessedSync, told: LoggedFull | undefined): string {
    const { asked } = sync;
    if (told === undefined) return `full sync from ${asked} on, and the log tells no reason`;
    let low = 0;
    let high = Number.POSITIVE_INFINITY;
    for (const { askedMs, answeredMs, first } of this.#samples) {
      if (answeredMs <= sync.askedMs) low = first;
      if (askedMs >= sync.answeredMs) {
        high = first;
        break;
      }
    }
    if (told.first < low || told.first > high)
      return `the log tells of history from ${told.first} on, and INFO of ${low} to ${high}`;
    if (asked >= told.first)
      return `full sync from ${asked} on, though there was history from ${told.first} on`;
    return '';
  }
}
