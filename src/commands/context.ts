/**
 * Hot path. A call frame is the context that a handler works with. It holds the request, the client
 * and its reply, the database, the changes that the call made, and the depth of the call.
 *
 *   frame 0   a command of a client: EXEC
 *   frame 1   a command inside it: SET, INCR, …
 *
 * The dispatcher keeps one frame per depth and fills it for each call. The state of a call is only
 * in its frame, so a command inside another one cannot spoil the state of that. All operations of
 * the frames above 0 are one unit of the stream.
 *
 * The stream (replication/feed.ts draws the rules): a handler that changed something calls
 * {@link CommandContext.changed}. Then the request itself goes to the stream, byte for byte, unless
 * the handler gave another form with {@link CommandContext.replicateAs} or none with
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

/** The result of a typed lookup that has answered WRONGTYPE. */
export const WRONG = -1 as Ref;

export const WRONGTYPE = 'WRONGTYPE Operation against a key holding the wrong kind of value';

/** An operation for the stream: the words of a command, and the database of the command. */
export interface StreamOp {
  readonly dbIndex: number;
  readonly words: readonly (Uint8Array | string)[];
}

const NO_BYTES = new Uint8Array(0);

export const Replicate = { REQUEST: 0, OPS: 1, NOTHING: 2 } as const;
export type Replicate = (typeof Replicate)[keyof typeof Replicate];

export class CommandContext {
  readonly server: ServerPort;
  /** 0 for a client's own command, above 0 for a command inside another one. */
  readonly depth: number;
  request: Request = new Request();
  /** A request that is filled from a kept copy, for example a queued command. */
  readonly keptRequest = new Request();
  reply: Reply = new Reply(new BufferPool());
  client: Client = new Client(0);
  db: Database;
  /** Changes that the current command made, counted as Redis counts `dirty`. */
  changes = 0;
  /** The form in which the current command goes to the stream if it changed something. */
  replicate: Replicate = Replicate.REQUEST;
  /** The operations that replace the request, in order. */
  readonly ops: StreamOp[] = [];
  /** Operations that go before the command: deletions of expired keys that lookups found. */
  readonly opsBefore: StreamOp[] = [];
  /** A view for the handler's own use. Stale after any write. */
  readonly view = new BytesView();
  /** As {@link view}, but of an element of a collection. */
  readonly element = new ElementView();
  /** Room for a printed number, for the handler's own use. */
  readonly scratch = new Uint8Array(32);
  readonly #keyView = new BytesView();

  constructor(server: ServerPort, depth = 0) {
    this.server = server;
    this.depth = depth;
    this.db = server.keyspace.databases[0]!;
  }

  /**
   * Whether the call is part of a transaction. Then it may not block, and its operations belong to
   * the unit of the transaction.
   */
  get inUnit(): boolean {
    return this.depth > 0;
  }

  /**
   * Forgets the changes and the operations of the call. For a call that failed and changed nothing.
   */
  forgetChanges(): void {
    this.changes = 0;
    this.replicate = Replicate.NOTHING;
    this.ops.length = 0;
  }

  /** Drops views into segments that may be gone. See Keyspace.tidy. */
  forgetViews(): void {
    this.view.forget();
    this.element.forget();
    this.#keyView.forget();
  }

  /**
   * Returns the entry of the key in argument `index` for a command that reads. Returns NIL when the
   * key is absent or has expired.
   */
  lookupRead(index: number): Ref {
    return this.#toRead(this.#findArgument(index), index);
  }

  /**
   * As {@link lookupRead}, but leaves the access clock alone. For commands that look at a key
   * without using it.
   */
  lookupUntouched(index: number): Ref {
    return this.#noteFound(this.lookupQuiet(index), index);
  }

  /**
   * Returns the entry of the key in argument `index` for a command that writes. Returns NIL when
   * the key is absent or has expired.
   */
  lookupWrite(index: number): Ref {
    return this.#toWrite(this.#findArgument(index));
  }

  /** As {@link lookupRead} or {@link lookupWrite}, but without statistics and access clock. */
  lookupQuiet(index: number): Ref {
    return this.#live(this.db, this.#findArgument(index), false);
  }

  /** As {@link lookupRead} for one type: returns NIL, the entry, or WRONG after an error reply. */
  readTyped(index: number, type: ValueType): Ref {
    const entry = this.#findArgument(index);
    if (!this.#isReady(entry, type)) return this.#checkType(this.#toRead(entry, index), type);
    this.server.stats.keyspaceHits++;
    return entry;
  }

  /** As {@link lookupWrite} for one type: returns NIL, the entry, or WRONG after an error reply. */
  writeTyped(index: number, type: ValueType): Ref {
    const entry = this.#findArgument(index);
    if (this.#isReady(entry, type)) return entry;
    return this.#checkType(this.#toWrite(entry), type);
  }

  /**
   * Returns the entry of a key in any database. An entry whose deadline has passed is deleted, the
   * deletion goes to the stream, and the result is NIL. On a replica, and on a primary while writes
   * are paused, such an entry is only hidden. A command that writes (`forWrite`) deletes it
   * everywhere, since it may add the key.
   */
  findLive(db: Database, bytes: Uint8Array, start: number, length: number, forWrite: boolean): Ref {
    return this.#live(db, db.find(bytes, start, length), forWrite);
  }

  /**
   * As {@link findLive}, but only hides an entry whose deadline has passed. For keys that the
   * command does not use.
   */
  findHidden(db: Database, bytes: Uint8Array, start: number, length: number): Ref {
    const entry = db.find(bytes, start, length);
    return entry === NIL || this.isExpired(db, entry) ? NIL : entry;
  }

  /**
   * Returns whether the deadline of an entry has passed. Always false for commands of a primary,
   * which decides alone about expiry.
   */
  isExpired(db: Database, entry: Ref): boolean {
    const deadline = db.deadline(entry);
    return deadline >= 0 && deadline < this.server.nowMs && !this.client.fromPrimary;
  }

  /**
   * Deletes an entry whose deadline has passed, with its event, its operation in the stream and its
   * statistics.
   */
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
    // The handler may add the key next, so the database must remember the hash of this key again.
    db.find(key, 0, key.length);
  }

  /** Returns a copy of an entry's key. */
  copyKey(db: Database, entry: Ref): Uint8Array {
    const view = this.#keyView;
    db.keyInto(entry, view);
    return Uint8Array.from(view.bytes.subarray(view.position, view.position + view.length));
  }

  /** Reports a change of the key in argument `index`: counts one change and tells the watchers. */
  changed(index: number): void {
    this.changes++;
    this.modified(index);
  }

  /** Tells the watchers that the key in argument `index` changed. Does not count a change. */
  modified(index: number): void {
    const request = this.request;
    this.server.keyModified(
      this.client.dbIndex,
      request.bytes,
      request.position[index]!,
      request.length[index]!,
    );
  }

  /**
   * Lets clients that wait for the key in argument `index` look again, though its value is the
   * same. Breaks no transaction and counts no change.
   */
  wake(index: number): void {
    const { request } = this;
    this.server.keyReady(
      this.client.dbIndex,
      request.bytes,
      request.position[index]!,
      request.length[index]!,
    );
  }

  /** As {@link changed}, for a key that is not an argument, or is in another database. */
  changedKey(dbIndex: number, bytes: Uint8Array, start: number, length: number): void {
    this.changes++;
    this.server.keyModified(dbIndex, bytes, start, length);
  }

  /** Sends a key event about argument `index` to the subscribers of such events. */
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

  /** As {@link notify}, for a key that is not an argument. */
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

  /**
   * Sends this command to the stream in place of the request. Further calls add further commands,
   * in order.
   */
  replicateAs(...words: (Uint8Array | string)[]): void {
    this.replicateIn(this.client.dbIndex, words);
  }

  replicateIn(dbIndex: number, words: readonly (Uint8Array | string)[]): void {
    this.replicate = Replicate.OPS;
    this.ops.push({ dbIndex, words });
  }

  /** Sends the request to the stream even if it changed nothing. */
  replicateAlways(): void {
    const { request } = this;
    this.replicateIn(
      this.client.dbIndex,
      Array.from({ length: request.argc }, (_, i) => request.copy(i)),
    );
  }

  /** Keeps the current command out of the stream, even if it changed something. */
  replicateNothing(): void {
    this.replicate = Replicate.NOTHING;
  }

  /**
   * Blocks the current command until one of its keys changes. The handler must then return at once,
   * without a reply.
   */
  block(request: BlockRequest): void {
    this.server.block(this, request);
  }

  /** Removes the entry of the key in argument `index`. Counts no change and tells nobody. */
  removeEntry(entry: Ref): void {
    this.db.remove(entry);
  }

  /** Drops all views of the previous dataset, which would keep its memory alive. */
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
   * Sets the access clock of an entry that was read or written. Does nothing while an image is
   * read, since a read of a key must not cost the copy of a page.
   */
  noteAccess(entry: Ref): void {
    const { db } = this;
    if (db.access(entry) === db.accessClock || this.client.noTouch || db.arena.frozen) return;
    db.setAccess(entry, db.accessClock);
  }

  /** Returns the entry of the key in argument `index`, expired or not, or NIL. */
  #findArgument(index: number): Ref {
    const { request, db } = this;
    const { bytes } = request;
    const start = request.position[index]!;
    const length = request.length[index]!;
    const { aheadArgument } = request;
    // Some commands name one key twice, for example LMOVE within one list.
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
   * Returns whether an entry exists, has this type, has no place for a deadline, and was used
   * within this tick of the access clock. One read of its meta word tells this, and then the lookup
   * is done.
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
