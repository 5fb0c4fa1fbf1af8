/**
 * A dataset: the numbered databases over one arena. Dropping it, for FLUSHALL or a dump that replaces it, is dropping
 * the reference; flushing one database hands its table to slices of work.
 *
 * Only the thread that owns the arena uses it. A loading worker fills one and hands it over as a {@link KeyspaceShare}.
 */
import { Arena, type ArenaShare, type ImageShare } from '../arena/arena.ts';
import type { ShadowListener } from '../arena/pages.ts';
import { assert } from '../base/assert.ts';
import type { Ref } from '../base/units.ts';
import { Database, type DatabaseContext, type DatabaseShare } from './database.ts';
import type { Encoding, ValueType } from './entry.ts';

export interface HashKey {
  readonly key0: number;
  readonly key1: number;
}

export interface KeyspaceShare {
  readonly arena: ArenaShare;
  readonly databases: readonly DatabaseShare[];
  readonly hashKey: HashKey;
}

/** What a snapshot walks: the tables of the databases that have keys, in the order of their numbers. */
export interface DatabaseRoot {
  readonly index: number;
  readonly table: Ref;
  readonly keys: number;
  readonly deadlines: number;
}

export interface KeyspaceImage {
  readonly arena: ImageShare;
  readonly roots: readonly DatabaseRoot[];
}

interface Detached {
  readonly database: Database;
  readonly table: Ref;
}

export class Keyspace implements DatabaseContext {
  readonly arena: Arena;
  readonly hashKey0: number;
  readonly hashKey1: number;
  readonly databases: Database[];
  /** Tables of flushed databases that are still to be freed. */
  readonly #detached: Detached[] = [];

  constructor(databaseCount: number, hashKey: HashKey, share?: KeyspaceShare) {
    this.arena = share === undefined ? new Arena() : Arena.adopt(share.arena);
    this.hashKey0 = hashKey.key0;
    this.hashKey1 = hashKey.key1;
    this.databases = Array.from({ length: databaseCount }, (_, i) => new Database(this, share?.databases[i]));
  }

  static adopt(share: KeyspaceShare): Keyspace {
    return new Keyspace(share.databases.length, share.hashKey, share);
  }

  share(): KeyspaceShare {
    assert(!this.freeing, 'a dataset is handed over when nothing of it is left to free');
    return {
      arena: this.arena.share(),
      databases: this.databases.map((database) => database.share()),
      hashKey: { key0: this.hashKey0, key1: this.hashKey1 },
    };
  }

  get keyCount(): number {
    let keys = 0;
    for (const database of this.databases) keys += database.keyCount;
    return keys;
  }

  /** Begins an image of all databases; constant time. See {@link Arena.freeze}. */
  freeze(shadowBytesMax: number, onChunk: ShadowListener, onLost: () => void): KeyspaceImage {
    const roots: DatabaseRoot[] = [];
    for (const [index, database] of this.databases.entries()) {
      const keys = database.keyCount;
      if (keys > 0) roots.push({ index, table: database.table, keys, deadlines: database.deadlineCount });
    }
    return { arena: this.arena.freeze(shadowBytesMax, onChunk, onLost), roots };
  }

  thaw(): void {
    this.arena.thaw();
  }

  /** Empties one database; its memory comes back by {@link freeSome}. */
  flush(index: number): void {
    const database = this.databases[index]!;
    if (database.keyCount > 0) this.#detached.push({ database, table: database.detach() });
  }

  swap(a: number, b: number): void {
    const first = this.databases[a]!;
    const second = this.databases[b]!;
    const { table, expiry } = first;
    first.table = second.table;
    first.expiry = second.expiry;
    second.table = table;
    second.expiry = expiry;
  }

  /** Whether {@link freeSome} has something to do. */
  get freeing(): boolean {
    return this.#detached.length > 0;
  }

  /** Does up to `steps` buckets' worth of freeing; returns whether there is more. */
  freeSome(steps: number): boolean {
    const detached = this.#detached[0];
    if (detached === undefined) return false;
    if (detached.database.freeSome(detached.table, steps)) this.#detached.shift();
    return this.#detached.length > 0;
  }

  releaseObject(type: ValueType, encoding: Encoding, value: Ref): void {
    // Strings are the only values so far, and those the database frees itself.
    throw new Error(`no structure of type ${type} and encoding ${encoding} at ${value}`);
  }

  validate(): void {
    this.arena.validate();
    for (const database of this.databases) database.validate();
  }
}
