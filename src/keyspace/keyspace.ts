/**
 * A dataset: the numbered databases over one arena. FLUSHALL, or a dump that replaces it, only
 * drops the reference. Flushing one database frees its table in slices.
 *
 * Only the thread that owns the arena uses it. A loading worker fills one and hands it over as a
 * {@link KeyspaceShare}.
 */
import { Arena, type ArenaOptions, type ArenaShare, type ImageShare } from '../arena/arena.ts';
import type { ShadowListener } from '../arena/pages.ts';
import { assert } from '../base/assert.ts';
import { codeOf, ErrorCode } from '../base/errors.ts';
import { KIB, type Ref } from '../base/units.ts';
import { Database } from './database.ts';
import type { DatabaseContext, DatabaseShare } from './database-context.ts';
import type { Encoding, ValueType } from './entry.ts';
import { type PendingFree, Releaser } from './release.ts';
import { Structures } from './structures.ts';
import { UndoLog } from './undo-log.ts';

export interface HashKey {
  readonly key0: number;
  readonly key1: number;
}

export interface KeyspaceShare {
  readonly arena: ArenaShare;
  readonly databases: readonly DatabaseShare[];
  readonly hashKey: HashKey;
}

/**
 * The input of a snapshot: the tables of the databases that have keys, in the order of their
 * numbers.
 */
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

/**
 * The bytes that a command needs besides those of its request (buckets, nodes, blocks that grow by
 * an eighth), and a margin.
 */
const COMMAND_BYTES = 64 * KIB;
/**
 * A longer request is guarded even when memory is not tight: it may need more than the spare
 * segment.
 */
const GUARDED_REQUEST_BYTES = 1024 * KIB;

export class Keyspace implements DatabaseContext {
  readonly arena: Arena;
  readonly hashKey0: number;
  readonly hashKey1: number;
  readonly databases: Database[];
  readonly structures: Structures;
  readonly undo = new UndoLog();
  /** The pending frees when the guarded unit began. */
  #pendingBefore: readonly PendingFree[] = [];
  /** The number of dropped groups of segments when views were last dropped. */
  #groupsGone = 0;
  readonly #releaser: Releaser;

  constructor(
    databaseCount: number,
    hashKey: HashKey,
    share?: KeyspaceShare,
    arenaOptions: ArenaOptions = {},
  ) {
    this.arena = new Arena(share?.arena, arenaOptions);
    this.hashKey0 = hashKey.key0;
    this.hashKey1 = hashKey.key1;
    this.structures = new Structures(this.arena, this.hashKey0, this.hashKey1);
    this.#releaser = new Releaser(this.arena, this.structures);
    this.databases = Array.from(
      { length: databaseCount },
      (_, i) => new Database(this, share?.databases[i]),
    );
  }

  static adopt(share: KeyspaceShare, options: ArenaOptions = {}): Keyspace {
    return new Keyspace(share.databases.length, share.hashKey, share, options);
  }

  /**
   * Gives up the memory of `old`, and returns an empty dataset in a part of it. Needs no memory of
   * the system. No image of `old` may be read. Stale: all of `old`.
   */
  static inPlaceOf(old: Keyspace): Keyspace {
    for (const database of old.databases) database.expiry.drop();
    const { memory } = old.arena;
    const hashKey = { key0: old.hashKey0, key1: old.hashKey1 };
    const share = { arena: old.arena.salvage(), databases: [], hashKey };
    return new Keyspace(old.databases.length, hashKey, share, { memory });
  }

  /** Gives up the memory of the dataset. Afterwards only readers of an image may use it. */
  drop(): void {
    for (const database of this.databases) database.expiry.drop();
    this.arena.drop();
  }

  /** Bytes of objects and deadlines, as allocated. */
  get usedBytes(): number {
    let bytes = this.arena.usedBytes;
    for (const database of this.databases) bytes += database.expiry.bytes;
    return bytes;
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
      if (keys > 0)
        roots.push({ index, table: database.table, keys, deadlines: database.deadlineCount });
    }
    return { arena: this.arena.freeze(shadowBytesMax, onChunk, onLost), roots };
  }

  thaw(): void {
    this.arena.thaw();
  }

  /** Empties one database; {@link freeSome} frees its memory. */
  flush(index: number): void {
    const database = this.databases[index]!;
    if (database.keyCount === 0) return;
    let table: Ref;
    try {
      table = database.detach();
    } catch (error) {
      // In a unit, clearing it would keep copies of all its pages.
      if (codeOf(error) !== ErrorCode.ARENA_FULL || this.guarded) throw error;
      // Emptying a database must work without new memory.
      database.clear();
      return;
    }
    this.#releaser.defer(database, table);
  }

  swap(a: number, b: number): void {
    const first = this.databases[a]!;
    const second = this.databases[b]!;
    const { table, expiry } = first;
    first.setRoots(second.table, second.expiry);
    second.setRoots(table, expiry);
  }

  /**
   * Whether there is memory for a command, as far as that is known before it begins; if not, it is
   * refused. The longest argument has `longest` bytes. O(1), except for
   * arguments beyond 32 MiB.
   */
  hasRoomFor(requestBytes: number, longest: number): boolean {
    return this.arena.ensure(requestBytes * 2 + COMMAND_BYTES, longest + COMMAND_BYTES);
  }

  /**
   * Whether a command with a request of this many bytes must run in a guarded unit, because memory
   * may run out halfway.
   */
  mustGuard(requestBytes: number): boolean {
    return this.arena.isTight || requestBytes > GUARDED_REQUEST_BYTES;
  }

  get guarded(): boolean {
    return this.arena.inUnit;
  }

  /**
   * Begins a guarded unit: one command, from before it looks up its first key. Until
   * {@link commitGuarded} or {@link rollbackGuarded} all changes to the dataset can be undone.
   * Units do not nest, and nothing is frozen, handed over or freed in slices within one. Memory
   * that the unit frees is available only after the commit. Commands that delete the values of
   * their keys need no memory but may be guarded; commands that empty databases are not guarded.
   * Costs a copy of each page that the unit writes to (arena/unit.ts).
   */
  beginGuarded(): void {
    this.arena.beginUnit();
    this.undo.begin();
    this.#pendingBefore = this.#releaser.freeing ? this.#releaser.copyPending() : [];
  }

  commitGuarded(): void {
    this.undo.commit();
    this.arena.commitUnit();
  }

  /**
   * Restores the dataset as it was at {@link beginGuarded}. Stale afterwards: refs, entries and
   * views of any kind, including those that the databases have read ahead.
   */
  rollbackGuarded(): void {
    this.arena.rollbackUnit();
    this.undo.rollback();
    this.#releaser.restorePending(this.#pendingBefore);
    this.structures.rolledBack();
    for (const database of this.databases) database.rolledBack();
  }

  /**
   * Must be called between commands, about once per turn. Reserves memory for later commands and
   * drops views into segments that are gone. Returns whether there were any: then other code must
   * drop its views, too.
   */
  tidy(): boolean {
    this.arena.prepareSpare();
    if (this.#groupsGone === this.arena.groupsGone) return false;
    this.#groupsGone = this.arena.groupsGone;
    this.structures.forgetViews();
    for (const database of this.databases) database.forgetViews();
    return true;
  }

  /** Whether {@link freeSome} has something to do. */
  get freeing(): boolean {
    return this.#releaser.freeing;
  }

  /** Frees up to `steps` buckets; returns whether there is more. */
  freeSome(steps: number): boolean {
    return this.#releaser.freeSome(steps);
  }

  /** Frees a value that is not a string: a small one at once, a large one by {@link freeSome}. */
  releaseObject(type: ValueType, encoding: Encoding, value: Ref): void {
    this.#releaser.release(type, encoding, value);
  }

  validate(): void {
    this.arena.validate();
    for (const database of this.databases) database.validate();
  }
}
