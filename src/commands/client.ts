/**
 * The state of a client as commands see it, on the heap. It has no socket: the connection
 * (server/net/connection.ts) extends it with one.
 */

/**
 * An estimate of the heap bytes of a queued command in addition to its arguments: an object and
 * three arrays.
 */
const QUEUED_COMMAND_BYTES = 660;
const QUEUED_ARGUMENT_BYTES = 8;
/** V8 keeps the bytes of a typed array of up to this many in its heap, and those of others outside. */
const HEAP_ARRAY_BYTES_MAX = 64;
const HEAP_ARGUMENTS_MAX = HEAP_ARRAY_BYTES_MAX / Int32Array.BYTES_PER_ELEMENT;

/** A queued command of a transaction, in the form in which it was received. */
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
   * The key had expired already when the client began to watch it. Then its lazy deletion does not
   * count as a change.
   */
  expired: boolean;
}

/**
 * States that change how a client's commands run, or which replies and messages it gets. They are
 * bits of {@link Client.modes}.
 */
export const ClientMode = {
  /** The client has yet to authenticate. */
  UNAUTHENTICATED: 1 << 0,
  /** The client has subscriptions. In RESP2 it may send only a few commands. */
  SUBSCRIBED: 1 << 1,
  /** The client gets the commands of all clients. */
  MONITOR: 1 << 2,
  /** MULTI was sent: commands are queued. */
  QUEUING: 1 << 3,
  /** The client is a replica: it gets the stream, and its commands get no replies. */
  REPLICA: 1 << 4,
  /** The client does not want all replies (CLIENT REPLY). */
  MUTED: 1 << 5,
  /** The connection of a replica for its dump alone. Set besides REPLICA. */
  DUMP_CHANNEL: 1 << 6,
} as const;
export type ClientMode = (typeof ClientMode)[keyof typeof ClientMode];

export class Client {
  readonly id: number;
  /** Bits of {@link ClientMode}, 0 for most clients. Each command checks them. */
  modes: number = ClientMode.UNAUTHENTICATED;
  dbIndex = 0;
  /** The RESP version. */
  protocol: 2 | 3 = 2;
  name = '';
  libName = '';
  libVersion = '';
  /** The flags of all queued commands, combined with "or". */
  queuedFlags = 0;
  /** A command was refused while queueing, so EXEC will abort. */
  transactionBroken = false;
  /** A watched key changed, so EXEC will answer nil. */
  watchBroken = false;
  readonly watched: WatchedKey[] = [];
  /**
   * End of the stream after the client's last command, for WAIT. A command that only reads sets it,
   * too: when a client has read a value, WAIT then tells it whether replicas have that value.
   */
  lastOffset = 0;
  /** The connection closes as soon as the reply is sent. */
  closeAfterReply = false;
  /** The client carries the stream of a primary. Its commands expire no keys and obey no limits. */
  fromPrimary = false;
  noTouch = false;
  noEvict = false;
  /** Bytes of memory for the queued commands. */
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

  get isDumpChannel(): boolean {
    return (this.modes & ClientMode.DUMP_CHANNEL) !== 0;
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

  /** Commands since MULTI, or undefined outside a transaction. */
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

  /** Queues a command for EXEC. `flags` are those of the command's row. */
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

  /** Leaves the transaction. The caller makes the watch table forget the watched keys. */
  endTransaction(): void {
    this.#queued = undefined;
    this.setMode(ClientMode.QUEUING, false);
    this.queuedFlags = 0;
    this.queuedBytes = 0;
    this.queuedHeapBytes = 0;
    this.transactionBroken = false;
  }
}
