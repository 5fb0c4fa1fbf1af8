/**
 * What commands know of the client that they serve. Pure state on the heap; the socket is the connection's
 * (server/connection.ts), which extends this.
 */

/** A command of a transaction, kept in the form in which it was received. */
export interface QueuedCommand {
  readonly bytes: Uint8Array;
  /** Positions and lengths of the arguments in `bytes`. */
  readonly position: Int32Array;
  readonly length: Int32Array;
  readonly canonical: boolean;
}

/** A key that a client watches. */
export interface WatchedKey {
  readonly dbIndex: number;
  readonly key: Uint8Array;
  /** The key was there and expired already when it was watched; then its lazy deletion, to come, is no change. */
  expired: boolean;
}

export class Client {
  readonly id: number;
  dbIndex = 0;
  /** 2 or 3. */
  protocol: 2 | 3 = 2;
  name = '';
  libName = '';
  libVersion = '';
  authenticated = false;
  /** Commands since MULTI, or undefined outside of a transaction. */
  queued: QueuedCommand[] | undefined = undefined;
  /** Flags of all of them together. */
  queuedFlags = 0;
  /** A command was refused while queueing: EXEC will abort. */
  transactionBroken = false;
  /** A watched key changed: EXEC will answer nil. */
  watchBroken = false;
  readonly watched: WatchedKey[] = [];
  /** Stream offset after the client's last write, for WAIT. */
  lastWriteOffset = 0;
  /** The connection closes once what is in the reply has been sent. */
  closeAfterReply = false;
  /** Has subscriptions: in RESP2 such a client may send few commands. */
  subscribed = false;
  /** Carries the stream of a primary: nothing expires by itself for it, and limits do not hold. */
  fromPrimary = false;
  noTouch = false;
  noEvict = false;

  constructor(id: number) {
    this.id = id;
  }

  get inTransaction(): boolean {
    return this.queued !== undefined;
  }

  /** Leaves the transaction. What was watched is the watch table's to forget. */
  endTransaction(): void {
    this.queued = undefined;
    this.queuedFlags = 0;
    this.transactionBroken = false;
  }
}
