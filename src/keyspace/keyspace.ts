/**
 * A dataset: the numbered databases over one arena. Dropping it, for FLUSHALL or a dump that replaces it, gives its
 * segments up as they are; flushing one database hands its table to slices of work.
 *
 * Only the thread that owns the arena uses it. A loading worker fills one and hands it over as a {@link KeyspaceShare}.
 */
import { Arena, type ArenaShare, type ImageShare } from '../arena/arena.ts';
import type { ShadowListener } from '../arena/pages.ts';
import { assert } from '../base/assert.ts';
import type { SharedMemory } from '../base/shared-memory.ts';
import type { Ref } from '../base/units.ts';
import { Database, type DatabaseContext, type DatabaseShare } from './database.ts';
import type { Encoding, ValueType } from './entry.ts';
import { Releaser } from './release.ts';
import { Structures } from './structures.ts';

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

export class Keyspace implements DatabaseContext {
  readonly arena: Arena;
  readonly hashKey0: number;
  readonly hashKey1: number;
  readonly databases: Database[];
  readonly structures: Structures;
  readonly #releaser: Releaser;

  /** `memory` owns the memory of the dataset; a dataset without one has its own. */
  constructor(databaseCount: number, hashKey: HashKey, share?: KeyspaceShare, memory?: SharedMemory) {
    this.arena = share === undefined ? new Arena(undefined, memory) : Arena.adopt(share.arena, memory);
    this.hashKey0 = hashKey.key0;
    this.hashKey1 = hashKey.key1;
    this.structures = new Structures(this.arena, this.hashKey0, this.hashKey1);
    this.#releaser = new Releaser(this.arena, this.structures);
    this.databases = Array.from({ length: databaseCount }, (_, i) => new Database(this, share?.databases[i]));
  }

  static adopt(share: KeyspaceShare, memory?: SharedMemory): Keyspace {
    return new Keyspace(share.databases.length, share.hashKey, share, memory);
  }

  /** Gives the memory of the dataset up; nobody uses it afterwards, but for who reads an image of it. */
  drop(): void {
    for (const database of this.databases) database.expiry.drop();
    this.arena.drop();
  }

  share(): KeyspaceShare {
    assert(!this.freeing, 'a dataset is handed over when nothing of it is left to free');
    return {
      arena: this.arena.share(),
      databases: this.databases.map((database) => database.share()),
      hashKey: { key0: this.hashKey0, key1: this.hashKey1 },
    };
  }

  /** Bytes of objects and deadlines, as allocated. */
  get usedBytes(): number {
    let bytes = this.arena.usedBytes;
    for (const database of this.databases) bytes += database.expiry.bytes;
    return bytes;
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
    if (database.keyCount > 0) this.#releaser.defer(database, database.detach());
  }

  swap(a: number, b: number): void {
    const first = this.databases[a]!;
    const second = this.databases[b]!;
    const { table, expiry } = first;
    first.table = second.table;
    first.expiry = second.expiry;
    second.table = table;
    second.expiry = expiry;
    first.forgetAhead();
    second.forgetAhead();
  }

  /** Whether {@link freeSome} has something to do. */
  get freeing(): boolean {
    return this.#releaser.freeing;
  }

  /** Does up to `steps` buckets' worth of freeing; returns whether there is more. */
  freeSome(steps: number): boolean {
    return this.#releaser.freeSome(steps);
  }

  /** Gives the memory of a value back that is no string: of a small one at once, of a large one by {@link freeSome}. */
  releaseObject(type: ValueType, encoding: Encoding, value: Ref): void {
    this.#releaser.release(type, encoding, value);
  }

  validate(): void {
    this.arena.validate();
    for (const database of this.databases) database.validate();
  }
}
