/**
 * What commands know of the client that they serve. Pure state on the heap; the socket is the
 * connection's (server/net/connection.ts), which extends this.
 */

/** About what a queued command takes on the heap beside its bytes: an object and three arrays. */
const QUEUED_COMMAND_BYTES = 660;
const QUEUED_ARGUMENT_BYTES = 8;
/** V8 keeps the bytes of a typed array of up to this many in its heap, and those of others outside. */
const HEAP_ARRAY_BYTES_MAX = 64;
const HEAP_ARGUMENTS_MAX = HEAP_ARRAY_BYTES_MAX / Int32Array.BYTES_PER_ELEMENT;

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
  /**
   * The key was there and expired already when it was watched; then its lazy deletion, to come, is
   * no change.
   */
  expired: boolean;
}

/**
 * What sets a client apart from one whose commands run at once, whatever they are, as bits of
 * {@link Client.modes}.
 */
export const ClientMode = {
  /** Has yet to authenticate. */
  UNAUTHENTICATED: 1 << 0,
  /** Has subscriptions: in RESP2 such a client may send few commands. */
  SUBSCRIBED: 1 << 1,
  /** Sees the commands of all clients. */
  MONITOR: 1 << 2,
  /** Commands are queued since MULTI. */
  QUEUING: 1 << 3,
  /** Is a replica: it gets the stream, and its commands have no replies. */
  REPLICA: 1 << 4,
  /** Does not want the replies of all commands. */
  MUTED: 1 << 5,
} as const;
export type ClientMode = (typeof ClientMode)[keyof typeof ClientMode];

export class Client {
  readonly id: number;
  /** Bits of {@link ClientMode}; 0 of most clients. Asked at each command. */
  modes: number = ClientMode.UNAUTHENTICATED;
  dbIndex = 0;
  /** 2 or 3. */
  protocol: 2 | 3 = 2;
  name = '';
  libName = '';
  libVersion = '';
  /** Flags of all of them together. */
  queuedFlags = 0;
  /** A command was refused while queueing: EXEC will abort. */
  transactionBroken = false;
  /** A watched key changed: EXEC will answer nil. */
  watchBroken = false;
  readonly watched: WatchedKey[] = [];
  /**
   * Where the stream ended behind the client's last command, for WAIT. Of any command: who has read
   * a value and then waits knows that replicas have it.
   */
  lastOffset = 0;
  /** The connection closes once what is in the reply has been sent. */
  closeAfterReply = false;
  /** Carries the stream of a primary: nothing expires by itself for it, and limits do not hold. */
  fromPrimary = false;
  noTouch = false;
  noEvict = false;
  /** Bytes of memory that the queued commands take. */
  queuedBytes = 0;
  /** The part of {@link queuedBytes} that is in V8's heap. */
  queuedHeapBytes = 0;
  /**
   * Bytes of V8's heap that names take: of keys that it watches or waits for, of its subscriptions,
   * and its own.
   */
  namesBytes = 0;
  #queued: QueuedCommand[] | undefined = undefined;

  constructor(id: number) {
    this.id = id;
  }

  get authenticated(): boolean {
    return (this.modes & ClientMode.UNAUTHENTICATED) === 0;
  }

  get subscribed(): boolean {
    return (this.modes & ClientMode.SUBSCRIBED) !== 0;
  }

  get monitor(): boolean {
    return (this.modes & ClientMode.MONITOR) !== 0;
  }

  get isReplica(): boolean {
    return (this.modes & ClientMode.REPLICA) !== 0;
  }

  setMode(mode: ClientMode, isOn: boolean): void {
    if (isOn) this.modes |= mode;
    else this.modes &= ~mode;
  }

  setName(name: string): void {
    this.namesBytes += name.length - this.name.length;
    this.name = name;
  }

  /** What CLIENT SETINFO tells of the client's library. */
  setLibrary(option: 'lib-name' | 'lib-ver', value: string): void {
    const before = option === 'lib-name' ? this.libName : this.libVersion;
    this.namesBytes += value.length - before.length;
    if (option === 'lib-name') this.libName = value;
    else this.libVersion = value;
  }

  /** Commands since MULTI, or undefined outside of a transaction. */
  get queued(): readonly QueuedCommand[] | undefined {
    return this.#queued;
  }

  get inTransaction(): boolean {
    return this.#queued !== undefined;
  }

  beginTransaction(): void {
    this.#queued = [];
    this.setMode(ClientMode.QUEUING, true);
  }

  /** Keeps a command for EXEC; `flags` are its row's. */
  queue(command: QueuedCommand, flags: number): void {
    this.#queued!.push(command);
    this.queuedFlags |= flags;
    const { length } = command.bytes;
    const argc = command.position.length;
    this.queuedBytes += length + QUEUED_COMMAND_BYTES + argc * QUEUED_ARGUMENT_BYTES;
    this.queuedHeapBytes += QUEUED_COMMAND_BYTES;
    if (length <= HEAP_ARRAY_BYTES_MAX) this.queuedHeapBytes += length;
    if (argc <= HEAP_ARGUMENTS_MAX) this.queuedHeapBytes += argc * QUEUED_ARGUMENT_BYTES;
  }

  /** Leaves the transaction. What was watched is the watch table's to forget. */
  endTransaction(): void {
    this.#queued = undefined;
    this.setMode(ClientMode.QUEUING, false);
    this.queuedFlags = 0;
    this.queuedBytes = 0;
    this.queuedHeapBytes = 0;
    this.transactionBroken = false;
  }
}
