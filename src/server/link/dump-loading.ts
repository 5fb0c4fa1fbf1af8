/**
 * The load of a dump that the primary sends, in one of the ways of replication/load-way.ts. Without
 * BESIDE, commands are refused with -LOADING from the flush until the end of the load, and a load
 * that fails leaves an empty dataset.
 *
 * Main thread.
 */
import { join } from 'node:path';
import { assert } from '../../base/assert.ts';
import { ErrorCode, OperatingError } from '../../base/errors.ts';
import { encodingLimits } from '../../keyspace/encoding-limits.ts';
import { LoadWay } from '../../replication/load-way.ts';
import { type Loaded, LoadJob, type LoadPlan, type LoadPool } from '../../workers/load-job.ts';
import type { Server } from '../server.ts';
import type { DumpTaker, LoadView } from '../snapshot-source.ts';
import { LoadTaker } from './load-taker.ts';
import { StoredDump } from './stored-dump.ts';

const MS_PER_SECOND = 1000;

export class DumpLoading {
  /** Takes the bytes of the dump. */
  readonly taker: DumpTaker;
  /** Rejects as `LoadJob.finished`, and with IO when the file cannot be written. */
  readonly finished: Promise<Loaded>;
  readonly #server: Server;
  readonly #pool: LoadPool;
  readonly #totalBytes: number;
  readonly #startMs: number;
  readonly #startMonotonicMs: number;
  #job: LoadJob | undefined = undefined;
  #isCancelled = false;

  /**
   * `totalBytes` is -1 while unknown. `flush` is called when the old dataset is to go; it is not for
   * FLUSH_FIRST, whose caller has seen to it.
   */
  constructor(server: Server, pool: LoadPool, way: LoadWay, totalBytes: number, flush: () => void) {
    this.#server = server;
    this.#pool = pool;
    this.#totalBytes = totalBytes;
    this.#startMs = server.clock.nowMs();
    this.#startMonotonicMs = server.clock.monotonicMs();
    if (way === LoadWay.STORE_FIRST) {
      const name = `temp-${this.#startMs}.${process.pid}.rdb`;
      const stored = new StoredDump(join(server.config.values.dir, name));
      this.taker = stored;
      this.finished = this.#loadStored(stored, flush);
    } else {
      const from = { kind: 'ring', totalBytes } as const;
      this.#job = new LoadJob(pool, this.#plan(), from, server.memory);
      assert(this.#job.input !== undefined, 'a load from a ring has an input');
      this.taker = new LoadTaker(this.#job.input);
      this.finished = this.#job.finished;
    }
  }

  /** Its progress, for INFO. */
  get view(): LoadView {
    return {
      startSeconds: Math.floor(this.#startMs / MS_PER_SECOND),
      totalBytes: Math.max(0, this.#totalBytes),
      usedMemoryBytes: 0,
      loadedBytes: this.#job?.control.bytesDone ?? 0,
      elapsedSeconds: (this.#server.clock.monotonicMs() - this.#startMonotonicMs) / MS_PER_SECOND,
    };
  }

  /** Ends it. `finished` may still resolve. */
  cancel(): void {
    this.#isCancelled = true;
    this.taker.fail();
    this.#job?.cancel();
  }

  async #loadStored(stored: StoredDump, flush: () => void): Promise<Loaded> {
    try {
      await stored.complete;
      if (this.#isCancelled) throw new OperatingError(ErrorCode.CANCELLED, 'the link is gone');
      flush();
      const from = { kind: 'file', path: stored.path } as const;
      this.#job = new LoadJob(this.#pool, this.#plan(), from, this.#server.memory);
      return await this.#job.finished;
    } finally {
      await stored.remove();
    }
  }

  #plan(): LoadPlan {
    const { config, clock, hashKey, accessClock } = this.#server;
    return {
      databaseCount: config.values.databases,
      hashKey,
      options: {
        nowMs: clock.nowMs(),
        // Only the primary decides which keys expire.
        keepExpired: true,
        verifyChecksum: config.values.rdbchecksum,
        accessClock,
        limits: encodingLimits(config.values),
      },
    };
  }
}
