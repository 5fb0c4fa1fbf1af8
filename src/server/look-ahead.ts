/**
 * Hot path. The next requests of a pipeline, parsed before the first of them runs, and the memory that they will need.
 *
 * A command spends most of its time waiting: for the bucket of its key, for the entry, for the value. Each is somewhere
 * else in memory, and each tells where the next one is. The commands of a pipeline do not depend on each other in
 * this, so what they will read first is read for all of them together before they run, and what was found is used as
 * long as no entry of the database has come, gone or moved. bench: get-set, depth 16 and 64
 *
 * One serves all connections of a node; a connection that runs within the run of another goes without. Main thread.
 */
import { AHEAD_KEYS_MAX, type Database } from '../keyspace/database.ts';
import { Request } from '../resp/request.ts';
import type { CommandLookup, CommandRow } from './command-lookup.ts';

export class LookAhead {
  readonly requests: readonly Request[] = Array.from({ length: AHEAD_KEYS_MAX }, () => new Request());
  /** The requests are being run. */
  busy = false;
  /** What the lookup of their names found. */
  readonly rows: (CommandRow | undefined)[] = new Array<CommandRow | undefined>(AHEAD_KEYS_MAX).fill(
    undefined,
  );
  readonly #lookup: CommandLookup;
  readonly #hashes = new Int32Array(AHEAD_KEYS_MAX);
  /** What the loads came to: written so that they are made. */
  used = 0;

  constructor(lookup: CommandLookup) {
    this.#lookup = lookup;
  }

  /** Finds the rows of the first `count` requests, hashes their first keys, and reads ahead for them in `db`. */
  prepare(db: Database, count: number): void {
    const hashes = this.#hashes;
    let keys = 0;
    for (let i = 0; i < count; i++) {
      const request = this.requests[i]!;
      const { bytes, position, length } = request;
      const row = this.#lookup.find(bytes, position[0]!, length[0]!);
      this.rows[i] = row;
      const index = row === undefined ? 0 : row.firstKey;
      // Alone a key would only be looked at earlier.
      if (index === 0 || index >= request.argc || count === 1) continue;
      const hash = db.hashKey(bytes, position[index]!, length[index]!);
      // One key again and again is looked at once.
      if (keys === 0 || hashes[keys - 1] !== hash) hashes[keys++] = hash;
      request.aheadArgument = index;
      request.aheadHash = hash;
      request.aheadIndex = keys - 1;
    }
    if (keys > 0) this.used = db.readAhead(hashes, keys);
  }
}
