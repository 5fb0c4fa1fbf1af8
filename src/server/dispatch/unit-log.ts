/**
 * Hot path. Takes the requests of a stream that has run elsewhere, as they came, into this node's
 * log: a whole unit at a time, so that the log's end always lies between two units.
 *
 *   not in a transaction    the request goes to the log at once
 *   in a transaction        its bytes are kept here; they follow as a whole, with EXEC
 *
 * Main thread.
 */

import type { StreamLog } from '../../replication/stream-log.ts';
import { GrowableBytes } from '../../resp/growable-bytes.ts';
import type { Request } from '../../resp/request.ts';

/** A larger buffer of a unit is freed after the unit. */
const UNIT_BYTES_KEPT = 1024 * 1024;

export class UnitLog {
  readonly #log: StreamLog;
  /** Bytes of the transaction that is being queued. */
  readonly #unit = new GrowableBytes();

  constructor(log: StreamLog) {
    this.#log = log;
  }

  /** Takes a request that has run, or was queued: `inTransaction` tells the state after it. */
  note({ bytes, start, end }: Request, inTransaction: boolean): void {
    const unit = this.#unit;
    if (inTransaction) {
      unit.reserve(end - start);
      unit.bytes.set(bytes.subarray(start, end), unit.size);
      unit.size += end - start;
      return;
    }
    if (unit.size > 0) {
      this.#log.append(unit.bytes, 0, unit.size);
      this.discard();
    }
    this.#log.appendDeferred(bytes, start, end);
  }

  /** Forgets a transaction that will not end. */
  discard(): void {
    this.#unit.clear();
    if (this.#unit.bytes.length > UNIT_BYTES_KEPT) this.#unit.bytes = new Uint8Array(0);
  }
}
