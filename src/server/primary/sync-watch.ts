/**
 * Watches how the full syncs of replicas end, and makes those wait whose full syncs lead to
 * nothing. replication/sync-trials.ts decides; this measures and tells. Main thread.
 */
import { Phase, replicaName } from '../../replication/replica-state.ts';
import {
  bytesThatHelp,
  pauseAfter,
  STEADY_MS,
  SyncTrials,
  TRIALS_MAX,
  type Trial,
  TrialEnd,
} from '../../replication/sync-trials.ts';
import type { Server } from '../server.ts';
import type { Dialects } from './dialects.ts';
import { replicaOutputLimit } from './limits.ts';
import type { ReplicaPeer } from './replica-peer.ts';

const SECOND_MS = 1000;
const MB = 1e6;

export class SyncWatch {
  readonly #server: Server;
  readonly #dialects: Dialects;
  readonly #writeRate: () => number;
  readonly #trials = new SyncTrials();

  /** `writeRate`: bytes per second by which the stream grows at present. */
  constructor(server: Server, dialects: Dialects, writeRate: () => number) {
    this.#server = server;
    this.#dialects = dialects;
    this.#writeRate = writeRate;
    const names = [
      'repl-backlog-size',
      'client-output-buffer-limit',
      'repl-throttling',
      'replica-dialect',
      'rdb-version',
      'rdb-plain-types',
    ] as const;
    server.config.onChange([...names], () => {
      this.#trials.forgetAll();
      return null;
    });
  }

  /** Milliseconds for which `peer`, which needs a full sync, has to wait for it. */
  waitMs(peer: ReplicaPeer): number {
    const { clock } = this.#server;
    return this.#trials.leftMs(replicaName(peer.state), this.#writeRate(), clock.monotonicMs());
  }

  /** `peer` is about to be cut off for its output limit. */
  overflowed(peer: ReplicaPeer): void {
    if (!this.#isOfFullSync(peer)) return;
    const trial = this.#trialOf(peer, TrialEnd.OVERFLOW);
    const count = this.#trials.failed(replicaName(peer.state), trial, this.#nowMs);
    peer.record.isJudged = true;
    if (count < TRIALS_MAX) return;
    const { hardBytes, softBytes } = replicaOutputLimit(this.#server);
    const help = bytesThatHelp(trial);
    const slower =
      trial.writeRate > trial.readRate
        ? ' While writes come faster than it reads, only repl-throttling helps for long.'
        : '';
    this.#server.log.warning(
      `Replica ${replicaName(peer.state)} has passed its output limit (hard ${hardBytes}, soft ` +
        `${softBytes} bytes) after ${count} full syncs in a row: it took ${inMb(trial.readRate)} ` +
        `per second while ${inMb(trial.writeRate)} per second were written. Its next full sync ` +
        `waits for up to ${pauseAfter(count) / SECOND_MS} seconds. 'repl-backlog-size ${help}' and ` +
        `'client-output-buffer-limit replica ${help} ${help} 60' would help.${slower}`,
    );
  }

  /** The link of `peer` has ended. */
  closed(peer: ReplicaPeer): void {
    const { state, record } = peer;
    if (record.isJudged || record.dumpSentMs < 0 || state.rdbOnly || state.legacy) return;
    // Its dump was passed on, and this node could not load it: that is not its fault.
    if (state.phase === Phase.WAIT_STREAM) return;
    if (state.hasAcked) {
      if (!this.#isOfFullSync(peer)) this.#trials.succeeded(replicaName(state));
      return;
    }
    const trial = this.#trialOf(peer, TrialEnd.UNREAD);
    const count = this.#trials.failed(replicaName(state), trial, this.#nowMs);
    if (count < TRIALS_MAX) return;
    const { version } = this.#dialects.of(state);
    this.#server.log.warning(
      `Replica ${replicaName(state)} has left ${count} times in a row after a whole dump, without ` +
        `an acknowledgement: it may not be able to read RDB version ${version}. Its log tells. Its ` +
        `next full sync waits for up to ${pauseAfter(count) / SECOND_MS} seconds. ` +
        `'replica-dialect ${state.address} 9 plain' gives it what Redis 5 and later read.`,
    );
  }

  /** It still gets its dump, or has had it for a short time only. */
  #isOfFullSync({ state, record }: ReplicaPeer): boolean {
    if (state.phase === Phase.SEND_BULK || state.phase === Phase.WAIT_DUMP) return true;
    if (state.phase === Phase.BESIDE_DUMP) return true;
    return record.dumpSentMs >= 0 && this.#nowMs - record.dumpSentMs < STEADY_MS;
  }

  #trialOf({ record, streamLag }: ReplicaPeer, end: TrialEnd): Trial {
    return {
      end,
      writeRate: Math.max(record.writeRate, this.#writeRate()),
      readRate: record.readRate,
      dumpBytes: record.dumpBytes,
      dumpTotalBytes: record.dumpTotalBytes,
      lag: streamLag,
    };
  }

  get #nowMs(): number {
    return this.#server.clock.monotonicMs();
  }
}

const inMb = (bytes: number): string => `${(bytes / MB).toFixed(1)} MB`;
