/**
 * Hot path. A call frame: what a handler works with. It holds the request, the client and its
 * reply, the database, the account of what the call changed, and how deep the call lies in others.
 *
 *   frame 0   a command of a client: EXEC
 *   frame 1   what runs inside of it: SET, INCR, …
 *
 * The dispatcher keeps one frame per depth and fills it for each call; nothing of a call lives
 * outside of its frame, so what runs inside of a command cannot spoil that. All operations of the
 * frames above 0 are one unit of the stream.
 *
 * What the stream carries (replication/feed.ts draws the rules): a handler that changed something
 * says so with {@link CommandContext.changed}; then the request itself goes to the stream, byte for
 * byte, unless the handler gave another form with {@link CommandContext.replicateAs} or none with
 * {@link CommandContext.replicateNothing}. Deletions of expired keys that a lookup causes go before
 * it.
 */
import { assert } from '../base/assert.ts';
import { equalBytes } from '../base/byte-copy.ts';
import { NIL, type Ref } from '../base/units.ts';
import type { Database } from '../keyspace/database.ts';
import { BytesView, isPlain, type ValueType } from '../keyspace/entry.ts';
import { BufferPool } from '../resp/buffer-pool.ts';
import { Reply } from '../resp/reply.ts';
import { Request } from '../resp/request.ts';
import { ElementView } from '../structs/listpack-read.ts';
import { Client } from './client.ts';
import { type BlockRequest, EventClass, type ServerPort } from './ports.ts';

/** What a typed lookup returns after it has answered WRONGTYPE. */
export const WRONG = -1 as Ref;

export const WRONGTYPE = 'WRONGTYPE Operation against a key holding the wrong kind of value';

/** An operation for the stream: words of a command, and the database that it is for. */
export interface StreamOp {
  readonly dbIndex: number;
  readonly words: readonly (Uint8Array | string)[];
}

const NO_BYTES = new Uint8Array(0);

export const Replicate = { REQUEST: 0, OPS: 1, NOTHING: 2 } as const;
export type Replicate = (typeof Replicate)[keyof typeof Replicate];

export class CommandContext {
  readonly server: ServerPort;
  /** 0 of a client's own command; above that the call runs inside of another one. */
  readonly depth: number;
  request: Request = new Request();
  /** Room for a request that is filled from what was kept of it. */
  readonly keptRequest = new Request();
  reply: Reply = new Reply(new BufferPool());
  client: Client = new Client(0);
  db: Database;
  /** Changes of the present command, as Redis counts `dirty`. */
  changes = 0;
  /** How the present command goes to the stream when it changed something. */
  replicate: Replicate = Replicate.REQUEST;
  /** Forms that replace the request, in order. */
  readonly ops: StreamOp[] = [];
  /** Operations that go before the command: deletions of keys that lookups found expired. */
  readonly opsBefore: StreamOp[] = [];
  /** A view for the handler's own use; stale after any write. */
  readonly view = new BytesView();
  /** As {@link view}, of an element of a collection. */
  readonly element = new ElementView();
  /** Bytes for the handler's own use: room for a printed number. */
  readonly scratch = new Uint8Array(32);
  readonly #keyView = new BytesView();

  constructor(server: ServerPort, depth = 0) {
    this.server = server;
    this.depth = depth;
    this.db = server.keyspace.databases[0]!;
  }

  /**
   * The call is a part of a transaction: it may not wait, and its operations are a part of the unit
   * of that.
   */
  get inUnit(): boolean {
    return this.depth > 0;
  }

  /** Forgets what the call said of changes and of the stream: it failed and has changed nothing. */
  forgetChanges(): void {
    this.changes = 0;
    this.replicate = Replicate.NOTHING;
    this.ops.length = 0;
  }

  /** Lets go of views into segments that may be gone; see Keyspace.tidy. */
  forgetViews(): void {
    this.view.forget();
    this.element.forget();
    this.#keyView.forget();
  }

  /**
   * The entry of the key in argument `index` for a command that reads; NIL when there is none or it
   * has expired.
   */
  lookupRead(index: number): Ref {
    return this.#toRead(this.#findArgument(index), index);
  }

  /**
   * As {@link lookupRead} for commands that look at a key without using it, and so leave the access
   * clock alone.
   */
  lookupUntouched(index: number): Ref {
    return this.#noteFound(this.lookupQuiet(index), index);
  }

  /**
   * The entry of the key in argument `index` for a command that writes; NIL when there is none or
   * it has expired.
   */
  lookupWrite(index: number): Ref {
    return this.#toWrite(this.#findArgument(index));
  }

  /**
   * As {@link lookupRead} or {@link lookupWrite}, without a trace: neither statistics nor the
   * access clock.
   */
  lookupQuiet(index: number): Ref {
    return this.#live(this.db, this.#findArgument(index), false);
  }

  /** lookupRead for one type: NIL, the entry, or WRONG after the error has been answered. */
  readTyped(index: number, type: ValueType): Ref {
    const entry = this.#findArgument(index);
    if (!this.#isReady(entry, type)) return this.#checkType(this.#toRead(entry, index), type);
    this.server.stats.keyspaceHits++;
    return entry;
  }

  /** lookupWrite for one type: NIL, the entry, or WRONG after the error has been answered. */
  writeTyped(index: number, type: ValueType): Ref {
    const entry = this.#findArgument(index);
    if (this.#isReady(entry, type)) return entry;
    return this.#checkType(this.#toWrite(entry), type);
  }

  /**
   * The entry of a key in any database, unless its deadline has passed: then it is deleted, and the
   * deletion goes to the stream. A replica only hides it, and so does a primary while writes are
   * paused, but for a command that writes: that must find the place free.
   */
  findLive(db: Database, bytes: Uint8Array, start: number, length: number, forWrite: boolean): Ref {
    return this.#live(db, db.find(bytes, start, length), forWrite);
  }

  /**
   * As {@link findLive}, but an entry whose deadline has passed stays where it is: nobody uses the
   * key.
   */
  findHidden(db: Database, bytes: Uint8Array, start: number, length: number): Ref {
    const entry = db.find(bytes, start, length);
    return entry === NIL || this.isExpired(db, entry) ? NIL : entry;
  }

  /**
   * Whether the deadline of an entry has passed. Never for a primary's commands: it alone decides
   * what expires.
   */
  isExpired(db: Database, entry: Ref): boolean {
    const deadline = db.deadline(entry);
    return deadline >= 0 && deadline < this.server.nowMs && !this.client.fromPrimary;
  }

  /** Deletes an entry whose deadline has passed, with all that follows from it. */
  deleteExpired(db: Database, entry: Ref): void {
    const { server } = this;
    const key = this.copyKey(db, entry);
    const dbIndex = server.keyspace.databases.indexOf(db);
    db.remove(entry);
    server.stats.expiredKeys++;
    this.opsBefore.push({
      dbIndex,
      words: [server.settings.lazyfreeLazyExpire ? 'UNLINK' : 'DEL', key],
    });
    if ((server.eventClasses & EventClass.EXPIRED) !== 0) {
      server.keyEvent(EventClass.EXPIRED, 'expired', dbIndex, key, 0, key.length);
    }
    server.keyModified(dbIndex, key, 0, key.length);
    // The remembered hash must be that of the key again, for a handler that adds it now.
    db.find(key, 0, key.length);
  }

  /** The bytes of an entry's key, to keep. */
  copyKey(db: Database, entry: Ref): Uint8Array {
    const view = this.#keyView;
    db.keyInto(entry, view);
    return Uint8Array.from(view.bytes.subarray(view.position, view.position + view.length));
  }

  /** Tells that the key in argument `index` changed: counts one change and tells the watchers. */
  changed(index: number): void {
    this.changes++;
    this.modified(index);
  }

  /**
   * Tells the watchers that the key in argument `index` changed, where that is not a change of its
   * own.
   */
  modified(index: number): void {
    const request = this.request;
    this.server.keyModified(
      this.client.dbIndex,
      request.bytes,
      request.position[index]!,
      request.length[index]!,
    );
  }

  /** As {@link changed} for a key that is no argument, or of another database. */
  changedKey(dbIndex: number, bytes: Uint8Array, start: number, length: number): void {
    this.changes++;
    this.server.keyModified(dbIndex, bytes, start, length);
  }

  /** A key event about argument `index` for those who subscribed to such. */
  notify(eventClass: number, event: string, index: number): void {
    if ((this.server.eventClasses & eventClass) === 0) return;
    const request = this.request;
    this.server.keyEvent(
      eventClass,
      event,
      this.client.dbIndex,
      request.bytes,
      request.position[index]!,
      request.length[index]!,
    );
  }

  /** As {@link notify} for a key that is no argument. */
  notifyKey(
    eventClass: number,
    event: string,
    dbIndex: number,
    bytes: Uint8Array,
    start: number,
    length: number,
  ): void {
    if ((this.server.eventClasses & eventClass) === 0) return;
    this.server.keyEvent(eventClass, event, dbIndex, bytes, start, length);
  }

  /** Lets the stream carry this command, and not the request; called again, both in their order. */
  replicateAs(...words: (Uint8Array | string)[]): void {
    this.replicateIn(this.client.dbIndex, words);
  }

  replicateIn(dbIndex: number, words: readonly (Uint8Array | string)[]): void {
    this.replicate = Replicate.OPS;
    this.ops.push({ dbIndex, words });
  }

  /** Lets the stream carry the request even if it changed nothing. */
  replicateAlways(): void {
    const { request } = this;
    this.replicateIn(
      this.client.dbIndex,
      Array.from({ length: request.argc }, (_, i) => request.copy(i)),
    );
  }

  /** Keeps the present command out of the stream, whatever it changed. */
  replicateNothing(): void {
    this.replicate = Replicate.NOTHING;
  }

  /**
   * Lets the present command wait until a key of it changes; the handler returns at once and
   * without a reply.
   */
  block(request: BlockRequest): void {
    this.server.block(this, request);
  }

  /** Removes the entry of the key in argument `index` without counting or telling. */
  removeEntry(entry: Ref): void {
    this.db.remove(entry);
  }

  /** Lets go of the dataset that was there before: views of its memory would keep that alive. */
  datasetReplaced(): void {
    this.db = this.server.keyspace.databases[this.client.dbIndex]!;
    for (const view of [this.view, this.#keyView, this.element]) view.bytes = NO_BYTES;
  }

  selectDatabase(dbIndex: number): void {
    assert(dbIndex < this.server.keyspace.databases.length, 'a selected database exists');
    this.client.dbIndex = dbIndex;
    this.db = this.server.keyspace.databases[dbIndex]!;
  }

  /**
   * Sets the access clock of an entry that was read or written, unless an image is being read: a
   * look at a key must
   * not cost a page. */
  noteAccess(entry: Ref): void {
    const { db } = this;
    if (db.access(entry) === db.accessClock || this.client.noTouch || db.arena.frozen) return;
    db.setAccess(entry, db.accessClock);
  }

  /** The entry of the key in argument `index`, expired or not, or NIL. */
  #findArgument(index: number): Ref {
    const { request, db } = this;
    const { bytes } = request;
    const start = request.position[index]!;
    const length = request.length[index]!;
    const { aheadArgument } = request;
    // Some commands name one key twice: a list that is rotated, for one.
    const isAhead =
      index === aheadArgument ||
      (aheadArgument !== 0 &&
        length === request.length[aheadArgument] &&
        equalBytes(bytes, start, bytes, request.position[aheadArgument]!, length));
    return isAhead
      ? db.findAhead(request.aheadNumber, request.aheadHash, bytes, start, length)
      : db.find(bytes, start, length);
  }

  /**
   * Whether an entry is there, of this type, has no place for a deadline and was used within this
   * tick of the access clock: one look at it tells, and nothing is to be done for it then.
   */
  #isReady(entry: Ref, type: ValueType): boolean {
    if (entry === NIL) return false;
    const { db } = this;
    return isPlain(db.meta(entry), type, db.accessClock);
  }

  #toWrite(found: Ref): Ref {
    const entry = this.#live(this.db, found, true);
    if (entry !== NIL) this.noteAccess(entry);
    return entry;
  }

  #toRead(found: Ref, index: number): Ref {
    const entry = this.#noteFound(this.#live(this.db, found, false), index);
    if (entry !== NIL) this.noteAccess(entry);
    return entry;
  }

  #noteFound(entry: Ref, index: number): Ref {
    const { stats } = this.server;
    if (entry === NIL) {
      stats.keyspaceMisses++;
      this.notify(EventClass.KEY_MISS, 'keymiss', index);
      return NIL;
    }
    stats.keyspaceHits++;
    return entry;
  }

  #live(db: Database, entry: Ref, forWrite: boolean): Ref {
    if (entry === NIL || !this.isExpired(db, entry)) return entry;
    if (forWrite || this.server.expiresKeys) this.deleteExpired(db, entry);
    return NIL;
  }

  #checkType(entry: Ref, type: ValueType): Ref {
    if (entry === NIL || this.db.type(entry) === type) return entry;
    this.reply.error(WRONGTYPE);
    return WRONG;
  }
}
