/**
 * The end of this node's stream: its id, the offset of its last byte, and the database that it has
 * selected there. Snapshots, the replication fields of dumps, and INFO ask it.
 *
 *   a primary    the feed makes the stream, and knows its database
 *   a replica    the link applies the stream of its primary, and knows its database
 *
 * Reads are always of the present moment. Main thread.
 */
import type { Offset } from '../base/units.ts';
import { NO_DB } from './feed.ts';
import type { ReplicationHistory } from './replid.ts';
import type { StreamLog } from './stream-log.ts';

/** The maker of the stream's bytes: the feed, or the link. */
export interface StreamMaker {
  /** The database that a reader of the stream has selected at its end, or NO_DB. */
  readonly selectedDb: number;
}

export class StreamPosition {
  readonly #log: StreamLog;
  readonly #history: ReplicationHistory;
  #maker: StreamMaker;

  constructor(log: StreamLog, history: ReplicationHistory, maker: StreamMaker) {
    this.#log = log;
    this.#history = history;
    this.#maker = maker;
  }

  /** From now on `maker` continues the stream. */
  madeBy(maker: StreamMaker): void {
    this.#maker = maker;
  }

  /** False while no stream is recorded: id and offset are those of no stream then. */
  get active(): boolean {
    return this.#log.active;
  }

  get replid(): string {
    return this.#history.replid;
  }

  get offset(): Offset {
    return this.#log.endOffset;
  }

  /** The database that the stream has selected; 0 when it has selected none, as in Redis' dumps. */
  get database(): number {
    const { selectedDb } = this.#maker;
    return selectedDb === NO_DB ? 0 : selectedDb;
  }
}
