/**
 * Hot path. Parses the next requests of a pipeline before the first of them runs, and reads the
 * memory that they will need.
 *
 * A command spends most of its time waiting: for the bucket of its key, for the entry, for the
 * value. Each lies elsewhere in memory, and each tells where the next one is. The commands of a
 * pipeline do not depend on each other in this. So their first reads are made together before they
 * run. The results serve until an entry of the database has come, gone or moved. bench: get-set,
 * depth 16 and 64
 *
 * Neighbours often name the same command or the same key, as when a client fills a list. Comparing
 * their bytes shows this, and the row or hash of the first then serves for the second. bench: types
 *
 * One look-ahead serves all connections of a node; a connection that runs within the run of another
 * does without it. Main thread.
 */
import { equalBytes } from '../../base/byte-copy.ts';
import { AHEAD_KEYS_MAX, type Database } from '../../keyspace/database.ts';
import { Request } from '../../resp/request.ts';
import type { CommandLookup, CommandRow } from './command-lookup.ts';

const NUMBERS_END = 0x3fff_ffff;

export class LookAhead {
  readonly requests: readonly Request[] = Array.from(
    { length: AHEAD_KEYS_MAX },
    () => new Request(),
  );
  /** The requests are being run. */
  busy = false;
  /** The rows of the requests, by the lookup of their names. */
  readonly rows: (CommandRow | undefined)[] = new Array<CommandRow | undefined>(
    AHEAD_KEYS_MAX,
  ).fill(undefined);
  readonly #lookup: CommandLookup;
  readonly #hashes = new Int32Array(AHEAD_KEYS_MAX);
  readonly #forgetAll: () => void;
  #number = 0;
  /** The result of the loads. It is stored so that the compiler keeps them. */
  used = 0;

  /** `forgetAll` makes all databases forget what was read ahead. */
  constructor(lookup: CommandLookup, forgetAll: () => void) {
    this.#lookup = lookup;
    this.#forgetAll = forgetAll;
  }

  /**
   * Finds the rows of the first `count` requests, hashes their first keys, and reads ahead for them
   * in `db`.
   */
  prepare(db: Database, count: number): void {
    const hashes = this.#hashes;
    const first = this.#nextNumber();
    let keys = 0;
    let row: CommandRow | undefined;
    let nameAt = 0;
    let nameLength = 0;
    let hash = 0;
    let keyAt = 0;
    let keyLength = -1;
    for (let i = 0; i < count; i++) {
      const request = this.requests[i]!;
      const { bytes, position, length } = request;
      const at = position[0]!;
      const bytesOfName = length[0]!;
      if (bytesOfName !== nameLength || !equalBytes(bytes, at, bytes, nameAt, nameLength)) {
        row = this.#lookup.find(bytes, at, bytesOfName);
        nameAt = at;
        nameLength = bytesOfName;
      }
      if (this.rows[i] !== row) this.rows[i] = row;
      const index = row === undefined ? 0 : row.firstKey;
      if (index === 0 || index >= request.argc) continue;
      // A single key would gain nothing: it would only be read earlier.
      if (count === 1 && request.repeats === 0) continue;
      const start = position[index]!;
      const bytesOfKey = length[index]!;
      if (bytesOfKey !== keyLength || !equalBytes(bytes, start, bytes, keyAt, keyLength)) {
        hash = db.hashKey(bytes, start, bytesOfKey);
        hashes[keys++] = hash;
        keyAt = start;
        keyLength = bytesOfKey;
      }
      request.aheadArgument = index;
      request.aheadHash = hash;
      request.aheadNumber = first + keys - 1;
    }
    if (keys > 0) this.used = db.readAhead(hashes, keys, first);
  }

  /**
   * The first of numbers that no keys had before. They stay small integers: before they start again
   * at 0, the old ones are forgotten.
   */
  #nextNumber(): number {
    this.#number += AHEAD_KEYS_MAX;
    if (this.#number > NUMBERS_END) {
      this.#number = 0;
      this.#forgetAll();
    }
    return this.#number;
  }
}
