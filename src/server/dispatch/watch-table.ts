/**
 * Knows which clients watch which keys. A change of a key breaks the transactions of its watchers.
 *
 * Keys are strings here, one char per byte, prefixed with the database number. While no key is
 * watched, a change costs one comparison.
 */

import { equalBytes } from '../../base/byte-copy.ts';
import { latin1 } from '../../base/bytes.ts';
import { NIL, type Ref } from '../../base/units.ts';
import type { Client } from '../../commands/client.ts';
import type { CommandContext } from '../../commands/context.ts';
import type { Database } from '../../keyspace/database.ts';
import type { Keyspace } from '../../keyspace/keyspace.ts';

const NO_DATABASE = -1;
/** About what a watched key takes on the heap beside its bytes. */
const WATCHED_KEY_BYTES = 480;

export class WatchTable {
  readonly #watchers = new Map<string, Set<Client>>();
  /** Whether any key is watched. Each change reads this; a map's size would be a call. */
  anyWatched = false;

  get keyCount(): number {
    return this.#watchers.size;
  }

  watch(client: Client, dbIndex: number, key: Uint8Array, expired: boolean): void {
    const id = idOf(dbIndex, key, 0, key.length);
    const watchers = this.#watchers.get(id) ?? new Set<Client>();
    if (watchers.has(client)) return;
    watchers.add(client);
    this.#watchers.set(id, watchers);
    this.anyWatched = true;
    client.watched.push({ dbIndex, key, expired });
    client.namesBytes += WATCHED_KEY_BYTES + key.length;
  }

  unwatchAll(client: Client): void {
    for (const { dbIndex, key } of client.watched) {
      const id = idOf(dbIndex, key, 0, key.length);
      const watchers = this.#watchers.get(id);
      watchers?.delete(client);
      if (watchers?.size === 0) this.#watchers.delete(id);
      client.namesBytes -= WATCHED_KEY_BYTES + key.length;
    }
    client.watched.length = 0;
    this.anyWatched = this.#watchers.size > 0;
    client.watchBroken = false;
  }

  /**
   * EXEC of a client will run nothing. Nothing mends that, so its keys are no longer watched.
   */
  #break(client: Client): void {
    this.unwatchAll(client);
    client.watchBroken = true;
  }

  /**
   * To be called while {@link anyWatched}. `deletesExpired`: a command that changes an expired key
   * deletes it first, and the deletion is reported as a separate change.
   */
  keyModified(
    dbIndex: number,
    bytes: Uint8Array,
    start: number,
    length: number,
    deletesExpired: boolean,
  ): void {
    const watchers = this.#watchers.get(idOf(dbIndex, bytes, start, length));
    if (watchers === undefined) return;
    for (const client of watchers) {
      const watched = client.watched.find(
        ({ dbIndex: index, key }) =>
          index === dbIndex && key.length === length && equalBytes(key, 0, bytes, start, length),
      );
      if (watched?.expired === true && deletesExpired) watched.expired = false;
      else this.#break(client);
    }
  }

  /**
   * A database, or all of them (-1), is about to be flushed or swapped: breaks the transactions
   * that watch a key that exists there or, for a swap, in `other`. An expired key counts as none:
   * one that had expired when it was watched, or one that the swap brings.
   */
  databaseModified(dbIndex: number, keyspace: Keyspace, nowMs: number, other = NO_DATABASE): void {
    const clients = new Set<Client>();
    for (const watchers of this.#watchers.values())
      for (const client of watchers) clients.add(client);
    for (const client of clients) {
      for (const watched of client.watched) {
        const { dbIndex: watchedIn, key } = watched;
        if (dbIndex >= 0 && watchedIn !== dbIndex) continue;
        const here = keyspace.databases[watchedIn]!.find(key, 0, key.length) !== NIL;
        const present = here && !watched.expired;
        const replacement = other < 0 ? NIL : keyspace.databases[other]!.find(key, 0, key.length);
        const isStale =
          replacement !== NIL && hasExpired(keyspace.databases[other]!, replacement, nowMs);
        if (present || (replacement !== NIL && !isStale)) {
          this.#break(client);
          break;
        }
        watched.expired = isStale;
      }
    }
  }

  /**
   * Whether a key that `client` watches has expired since it was watched. EXEC then aborts, as for
   * a change.
   */
  anyExpired(client: Client, context: CommandContext): boolean {
    for (const { dbIndex, key, expired } of client.watched) {
      if (expired) continue;
      const db = context.server.keyspace.databases[dbIndex]!;
      const entry = db.find(key, 0, key.length);
      if (entry !== NIL && hasExpired(db, entry, context.server.nowMs)) return true;
    }
    return false;
  }
}

function hasExpired(db: Database, entry: Ref, nowMs: number): boolean {
  const deadline = db.deadline(entry);
  return deadline >= 0 && deadline < nowMs;
}

function idOf(dbIndex: number, bytes: Uint8Array, start: number, length: number): string {
  return `${dbIndex}:${latin1(bytes, start, length)}`;
}
