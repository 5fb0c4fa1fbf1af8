/**
 * An attached replica, as its primary sees it: its phase, the data that it announced, and the
 * offsets that it acknowledged.
 *
 *                 FULL                 STREAM_DUMP                   DUMP_SENT_RDB_ONLY
 *   HANDSHAKE ───────────▶ WAIT_START ─────────────▶ SEND_BULK ─────────────────────────▶ CLOSED
 *       │                        ╲                   ▲   │   │                             ▲
 *       │              SPOOL_DUMP ╲       DUMP_READY │   │   │ DUMP_SENT_EOF               │
 *       │                          ╲▶ WAIT_DUMP ─────┘   │   └─────────▶ CORKED            │
 *       │                                                │ DUMP_SENT_       │              │
 *       │               CONTINUE                         ▼ LENGTH       ACK │              │
 *       └────────────────────────────────────────────▶ ONLINE ◀─────────────┘              │
 *                                                                       any phase: CLOSE ──┘
 *
 *   A dump that is passed on while it arrives may be sent before this node has its stream:
 *
 *              DUMP_SENT_AHEAD                STREAM_CORKED
 *   SEND_BULK ────────────────▶ WAIT_STREAM ────────────────▶ CORKED
 *                                    └──────────────────────▶ ONLINE
 *                                         STREAM_FLOWS
 *
 *   A replica that gets its dump by a second connection (channels.ts) has its stream meanwhile, by
 *   its main connection. The other one goes the way of a replica that wants the dump alone.
 *
 *               OFFER_CHANNEL                STREAM_BESIDE                ACK
 *   HANDSHAKE ────────────────▶ WAIT_CHANNEL ─────────────▶ BESIDE_DUMP ──────▶ ONLINE
 *       └─────────────────── CONTINUE_BESIDE ────────────────▶─┘
 *
 *   phase        INFO          bytes that may be sent                          dropped when silent for repl-timeout
 *   HANDSHAKE                  replies                                         no
 *   WAIT_START   wait_bgsave   "\n" each second                                no
 *   WAIT_DUMP    wait_bgsave   "\n" each second; the dump is being spooled     no
 *   SEND_BULK    send_bulk     the dump                                        no write progress
 *   WAIT_STREAM  send_bulk     nothing: the stream is not there yet            no ACK nor "\n", unless it came by SYNC
 *   CORKED       online        nothing: the mark must be the last of a read    no ACK nor "\n", unless it came by SYNC
 *   ONLINE       online        the stream                                      no ACK nor "\n", unless it came by SYNC
 *   WAIT_CHANNEL wait_bgsave   nothing: it would be counted as stream          without a connection for the dump
 *   BESIDE_DUMP  see Channel   the stream                                      no ACK, "\n" nor write progress behind the dump
 *   CLOSED                     what was written before                         it does not close its end
 *
 * A "\n" to a replica in ONLINE would be counted in its offset, one inside the dump would break it.
 * INFO, ROLE and WAIT take CORKED for online, as in Redis. Main thread, no I/O: the server acts on
 * the results of the functions.
 */
import { assert } from '../base/assert.ts';
import { asOffset, type Offset } from '../base/units.ts';

export const Phase = {
  HANDSHAKE: 0,
  WAIT_START: 1,
  WAIT_DUMP: 2,
  SEND_BULK: 3,
  WAIT_STREAM: 4,
  CORKED: 5,
  ONLINE: 6,
  CLOSED: 7,
  WAIT_CHANNEL: 8,
  BESIDE_DUMP: 9,
} as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

export const PeerEvent = {
  /** Partial resync was granted. */
  CONTINUE: 0,
  /** Full resync was decided; the replica waits for a snapshot. */
  FULL: 1,
  /** `+FULLRESYNC` was written and the dump follows as it is made. */
  STREAM_DUMP: 2,
  /** `+FULLRESYNC` was written, and the dump must be complete before its length can be told. */
  SPOOL_DUMP: 3,
  DUMP_READY: 4,
  /**
   * The last byte of the dump was written, mark included. `dumpSent` chooses one of the following
   * events.
   */
  DUMP_SENT_EOF: 5,
  DUMP_SENT_LENGTH: 6,
  DUMP_SENT_RDB_ONLY: 7,
  /** The dump was written, and this node does not have the stream after it yet. */
  DUMP_SENT_AHEAD: 8,
  /** That stream begins; the replica must acknowledge the dump first, or may have it at once. */
  STREAM_CORKED: 9,
  STREAM_FLOWS: 10,
  ACK: 11,
  CLOSE: 12,
  /** It was told to open a second connection for its dump. */
  OFFER_CHANNEL: 13,
  /** The dump begins on the second connection, and the stream on this one. */
  STREAM_BESIDE: 14,
  /** The stream was granted to a replica whose dump goes by a second connection. */
  CONTINUE_BESIDE: 15,
} as const;
export type PeerEvent = (typeof PeerEvent)[keyof typeof PeerEvent];

const NEVER: ReadonlyMap<PeerEvent, Phase> = new Map();

/**
 * The drawing above. CLOSE leads to CLOSED from each phase; a missing transition is a programmer's
 * error.
 */
const TRANSITIONS: Readonly<Record<Phase, ReadonlyMap<PeerEvent, Phase>>> = {
  [Phase.HANDSHAKE]: new Map<PeerEvent, Phase>([
    [PeerEvent.CONTINUE, Phase.ONLINE],
    [PeerEvent.FULL, Phase.WAIT_START],
    [PeerEvent.OFFER_CHANNEL, Phase.WAIT_CHANNEL],
    [PeerEvent.CONTINUE_BESIDE, Phase.BESIDE_DUMP],
  ]),
  [Phase.WAIT_START]: new Map<PeerEvent, Phase>([
    [PeerEvent.STREAM_DUMP, Phase.SEND_BULK],
    [PeerEvent.SPOOL_DUMP, Phase.WAIT_DUMP],
  ]),
  [Phase.WAIT_DUMP]: new Map<PeerEvent, Phase>([[PeerEvent.DUMP_READY, Phase.SEND_BULK]]),
  [Phase.SEND_BULK]: new Map<PeerEvent, Phase>([
    [PeerEvent.DUMP_SENT_EOF, Phase.CORKED],
    [PeerEvent.DUMP_SENT_LENGTH, Phase.ONLINE],
    [PeerEvent.DUMP_SENT_RDB_ONLY, Phase.CLOSED],
    [PeerEvent.DUMP_SENT_AHEAD, Phase.WAIT_STREAM],
  ]),
  [Phase.WAIT_STREAM]: new Map<PeerEvent, Phase>([
    [PeerEvent.STREAM_CORKED, Phase.CORKED],
    [PeerEvent.STREAM_FLOWS, Phase.ONLINE],
  ]),
  [Phase.CORKED]: new Map<PeerEvent, Phase>([[PeerEvent.ACK, Phase.ONLINE]]),
  [Phase.ONLINE]: NEVER,
  [Phase.CLOSED]: NEVER,
  [Phase.WAIT_CHANNEL]: new Map<PeerEvent, Phase>([[PeerEvent.STREAM_BESIDE, Phase.BESIDE_DUMP]]),
  [Phase.BESIDE_DUMP]: new Map<PeerEvent, Phase>([[PeerEvent.ACK, Phase.ONLINE]]),
};

/** The phase after `event`, or -1 when the drawing has no arrow for it. */
export function phaseAfter(phase: Phase, event: PeerEvent): Phase | -1 {
  if (event === PeerEvent.CLOSE) return Phase.CLOSED;
  return TRANSITIONS[phase].get(event) ?? -1;
}

const INFO_NAMES: Readonly<Record<Phase, string>> = {
  [Phase.HANDSHAKE]: '',
  [Phase.WAIT_START]: 'wait_bgsave',
  [Phase.WAIT_DUMP]: 'wait_bgsave',
  [Phase.SEND_BULK]: 'send_bulk',
  [Phase.WAIT_STREAM]: 'send_bulk',
  [Phase.CORKED]: 'online',
  [Phase.ONLINE]: 'online',
  [Phase.CLOSED]: '',
  [Phase.WAIT_CHANNEL]: 'wait_bgsave',
  [Phase.BESIDE_DUMP]: 'send_bulk_and_stream',
};
/** BESIDE_DUMP as Valkey calls it. */
const VALKEY_BESIDE_DUMP = 'bg_transfer';

/** How a replica gets its dump by a second connection: see channels.ts. */
export const Channel = {
  NONE: 0,
  /** Redis 8, `repl-rdb-channel`. */
  REDIS: 1,
  /** Valkey 8, `dual-channel-replication-enabled`. */
  VALKEY: 2,
} as const;
export type Channel = (typeof Channel)[keyof typeof Channel];

/** The phase as INFO and the log name it; empty for a peer that is not to be shown. */
export function phaseName({ phase }: ReplicaState): string {
  return INFO_NAMES[phase];
}

/**
 * How the dump is framed: by its length, known once it is complete, or by a mark of 40 characters
 * at its end.
 */
export const Framing = { LENGTH: 0, EOF_MARK: 1 } as const;
export type Framing = (typeof Framing)[keyof typeof Framing];

/** Parts of the dump that the replica does not want (`REPLCONF rdb-filter-only`), as bits. */
export const DumpFilter = { NONE: 0, NO_DATA: 1, NO_FUNCTIONS: 2 } as const;

export class ReplicaState {
  phase: Phase;
  /** The remote address of its socket. */
  readonly address: string;
  /** `REPLCONF ip-address`, or empty. */
  announcedAddress: string;
  /** `REPLCONF listening-port`, or 0. */
  listeningPort: number;
  capaEof: boolean;
  capaPsync2: boolean;
  /** `REPLCONF version`, of Valkey replicas, as 0x00MMmmpp; 0 when not announced. */
  version: number;
  /**
   * The newest versions of dumps of Redis and of Valkey that it reads, as a headwater announces
   * them; 0 when not announced.
   */
  readsRedis: number;
  readsValkey: number;
  /** The run id that a headwater announces; empty for other products. */
  nodeId: string;
  /** The replica wants a dump and no stream. */
  rdbOnly: boolean;
  /** Bits of {@link DumpFilter}. */
  filter: number;
  /**
   * Options of Redis 8.6 and later, and `capa skip-rdb-checksum` of Valkey; a dump with compression
   * and checksum works for them too.
   */
  wantsNoCompression: boolean;
  wantsNoChecksum: boolean;
  /**
   * The dump is completed before its first byte is sent, although the replica knows the mark
   * (`repl-diskless-sync no`).
   */
  spoolsFirst: boolean;
  /** It has acknowledged a dump whose stream has not begun. */
  dumpAcked: boolean;
  /** The replica came by SYNC: it need not send ACKs, and is not timed out without them. */
  legacy: boolean;
  /** Capabilities that were announced while this node honoured them. */
  capaRdbChannel: boolean;
  capaDualChannel: boolean;
  /** `REPLCONF rdb-channel`: the connection is the second one, for the dump. */
  isDumpChannel: boolean;
  /** The client id of the other connection, as this one has named it, or 0. */
  mainId: number;
  dumpId: number;
  channel: Channel;
  /** On the connection for the dump: the state of the main connection, while that is there. */
  main: ReplicaState | undefined;
  /** On the main connection: the state of the other one, until its dump is sent. */
  dump: ReplicaState | undefined;
  /** Greatest offset acknowledged as applied, and as fsynced to its AOF. They only move forward. */
  ackOffset: Offset;
  fsyncedOffset: Offset;
  /** It has acknowledged something, even if that was offset 0. */
  hasAcked: boolean;
  /** When it last acknowledged or sent an empty line. */
  heardMs: number;
  /** When a write to it last made progress, in SEND_BULK. */
  wroteMs: number;

  constructor(address: string) {
    this.phase = Phase.HANDSHAKE;
    this.address = address;
    this.announcedAddress = '';
    this.listeningPort = 0;
    this.capaEof = false;
    this.capaPsync2 = false;
    this.version = 0;
    this.readsRedis = 0;
    this.readsValkey = 0;
    this.nodeId = '';
    this.rdbOnly = false;
    this.filter = DumpFilter.NONE;
    this.wantsNoCompression = false;
    this.wantsNoChecksum = false;
    this.spoolsFirst = false;
    this.dumpAcked = false;
    this.legacy = false;
    this.capaRdbChannel = false;
    this.capaDualChannel = false;
    this.isDumpChannel = false;
    this.mainId = 0;
    this.dumpId = 0;
    this.channel = Channel.NONE;
    this.main = undefined;
    this.dump = undefined;
    this.ackOffset = asOffset(0);
    this.fsyncedOffset = asOffset(0);
    this.hasAcked = false;
    this.heardMs = 0;
    this.wroteMs = 0;
  }

  /**
   * True from the answer to PSYNC on: INFO counts these replicas in `connected_slaves`, but for
   * {@link isAuxiliary} ones.
   */
  get isReplica(): boolean {
    return this.phase !== Phase.HANDSHAKE && this.phase !== Phase.CLOSED;
  }

  get isOnline(): boolean {
    return this.phase === Phase.ONLINE || this.phase === Phase.CORKED;
  }

  /** True when stream bytes may be written to it. */
  get takesStream(): boolean {
    return this.phase === Phase.ONLINE || this.phase === Phase.BESIDE_DUMP;
  }

  /** Another connection, which is listed, stands for the replica. */
  get isAuxiliary(): boolean {
    return this.main !== undefined;
  }

  /** The replica needs the stream after its dump, here or by its main connection. */
  get needsLog(): boolean {
    return !this.rdbOnly || this.isDumpChannel;
  }

  /**
   * True while the peer waits for the dump's first byte: send it "\n" each second, so that it does
   * not give up.
   */
  get needsKeepalive(): boolean {
    return this.phase === Phase.WAIT_START || this.phase === Phase.WAIT_DUMP;
  }

  get framing(): Framing {
    return this.capaEof && !this.spoolsFirst ? Framing.EOF_MARK : Framing.LENGTH;
  }

  /** Follows one arrow of the drawing. */
  apply(event: PeerEvent, nowMs: number): void {
    const next = phaseAfter(this.phase, event);
    assert(next !== -1, 'a peer moves along the arrows of its drawing');
    // Entering a phase that has a timeout starts its clock.
    if (next !== this.phase) this.heardMs = this.wroteMs = nowMs;
    this.phase = next;
  }

  /**
   * The last byte of the dump, mark included, was written. `isAhead`: this node does not have the
   * stream after it yet.
   */
  dumpSent(nowMs: number, isAhead = false): void {
    if (isAhead) this.apply(PeerEvent.DUMP_SENT_AHEAD, nowMs);
    else if (this.rdbOnly) this.apply(PeerEvent.DUMP_SENT_RDB_ONLY, nowMs);
    else if (this.framing === Framing.EOF_MARK) this.apply(PeerEvent.DUMP_SENT_EOF, nowMs);
    else this.apply(PeerEvent.DUMP_SENT_LENGTH, nowMs);
  }

  /** The stream after the dump that was sent is there now. */
  streamBegins(nowMs: number): void {
    const isCorked = this.framing === Framing.EOF_MARK && !this.dumpAcked;
    this.apply(isCorked ? PeerEvent.STREAM_CORKED : PeerEvent.STREAM_FLOWS, nowMs);
  }

  /** Records an ACK. Returns true when it ends the full sync. */
  acked(offset: number, fsynced: number, nowMs: number): boolean {
    if (offset > this.ackOffset) this.ackOffset = asOffset(offset);
    if (fsynced > this.fsyncedOffset) this.fsyncedOffset = asOffset(fsynced);
    this.heardMs = nowMs;
    this.hasAcked = true;
    if (this.phase === Phase.WAIT_STREAM) this.dumpAcked = true;
    if (this.phase !== Phase.CORKED && this.phase !== Phase.BESIDE_DUMP) return false;
    this.apply(PeerEvent.ACK, nowMs);
    return true;
  }

  /** An empty line came: the replica is alive, and busy with flushing or loading. */
  heardNewline(nowMs: number): void {
    this.heardMs = nowMs;
  }

  wrote(nowMs: number): void {
    this.wroteMs = nowMs;
  }

  /** Whole seconds since the last ACK, 0 while not online; `lag` in INFO. */
  lagSeconds(nowMs: number): number {
    return this.isOnline ? Math.max(0, Math.floor((nowMs - this.heardMs) / 1000)) : 0;
  }

  /** The words for Redis' log when the peer must be dropped now, else an empty string. */
  timedOut(nowMs: number, timeoutMs: number): string {
    if (this.isOnline) {
      if (this.legacy || nowMs - this.heardMs <= timeoutMs) return '';
      return `Disconnecting timedout replica (streaming sync): ${replicaName(this)}`;
    }
    const isMute = nowMs - this.heardMs > timeoutMs;
    const isStuck = nowMs - this.wroteMs > timeoutMs;
    const isAlone = this.dump === undefined;
    const isSilent =
      (this.phase === Phase.SEND_BULK && isStuck) ||
      (this.phase === Phase.WAIT_STREAM && !this.legacy && isMute) ||
      (this.phase === Phase.WAIT_CHANNEL && isAlone && isMute) ||
      (this.phase === Phase.BESIDE_DUMP && isAlone && isMute && isStuck);
    if (isSilent || (this.phase === Phase.CLOSED && isMute)) {
      return `Disconnecting timedout replica (full sync): ${replicaName(this)}`;
    }
    return '';
  }

  /** The log's text when the dump is sent; call after {@link dumpSent}. */
  dumpSentText(): string {
    const name = replicaName(this);
    if (this.rdbOnly) {
      return `RDB transfer completed, rdb only replica (${name}) should be disconnected asap`;
    }
    if (this.framing === Framing.LENGTH) return `Synchronization with replica ${name} succeeded`;
    return (
      `Streamed RDB transfer with replica ${name} succeeded (socket). ` +
      'Waiting for REPLCONF ACK from replica to enable streaming'
    );
  }
}

/** The number of peers that have acknowledged `offset`, for WAIT. */
export function countAcked(peers: Iterable<ReplicaState>, offset: number): number {
  let count = 0;
  for (const peer of peers) if (peer.isOnline && peer.ackOffset >= offset) count++;
  return count;
}

/** The number of peers whose AOF holds `offset`, for WAITAOF. */
export function countFsynced(peers: Iterable<ReplicaState>, offset: number): number {
  let count = 0;
  for (const peer of peers) if (peer.isOnline && peer.fsyncedOffset >= offset) count++;
  return count;
}

/** The peers that count for `min-replicas-to-write`: online, heard from in `maxLagSeconds`. */
export function countGood(
  peers: Iterable<ReplicaState>,
  nowMs: number,
  maxLagSeconds: number,
): number {
  let count = 0;
  for (const peer of peers) if (peer.isOnline && peer.lagSeconds(nowMs) <= maxLagSeconds) count++;
  return count;
}

/** `ip:port` as the log shows a replica. */
export function replicaName(peer: ReplicaState): string {
  const address = shownAddress(peer);
  const host = peer.listeningPort !== 0 && address.includes(':') ? `[${address}]` : address;
  return `${host}:${peer.listeningPort === 0 ? '<unknown-replica-port>' : peer.listeningPort}`;
}

/**
 * `slave<index>:…` of INFO replication with its line end, or an empty string for a peer that is not
 * to be shown.
 */
export function infoLine(index: number, peer: ReplicaState, nowMs: number): string {
  if (peer.isAuxiliary) return '';
  const isBeside = peer.phase === Phase.BESIDE_DUMP;
  const isValkey = peer.channel === Channel.VALKEY;
  const state = isBeside && isValkey ? VALKEY_BESIDE_DUMP : phaseName(peer);
  if (state === '') return '';
  let type = '';
  if (isValkey && isBeside) type = ',type=main-channel';
  else if (isValkey && peer.isDumpChannel) type = ',type=rdb-channel';
  return (
    `slave${index}:ip=${shownAddress(peer)},port=${peer.listeningPort},state=${state},` +
    `offset=${peer.ackOffset},lag=${peer.lagSeconds(nowMs)}${type}\r\n`
  );
}

/** The state of a peer as INFO names it; `none` for one that INFO does not show. */
export function infoState(peer: ReplicaState): string {
  return INFO_NAMES[peer.phase] || 'none';
}

/** `connected_slaves`: the two connections of a replica count once. */
export function countReplicas(peers: Iterable<ReplicaState>): number {
  let count = 0;
  for (const peer of peers) if (!peer.isAuxiliary) count++;
  return count;
}

/** A peer's row in ROLE, three bulk strings, or null when it is not online. */
export function roleRow(
  peer: ReplicaState,
): readonly [ip: string, port: string, offset: string] | null {
  if (!peer.isOnline) return null;
  return [shownAddress(peer), String(peer.listeningPort), String(peer.ackOffset)];
}

/** The address that the replica announced, else that of its socket. */
export function shownAddress(peer: ReplicaState): string {
  return peer.announcedAddress === '' ? peer.address : peer.announcedAddress;
}
