/**
 * Decisions of a full sync: the snapshot for a waiting peer, and the framing of the dump.
 *
 *   freeze at S          peer A               peer B joins late
 *      │                   │                      │
 *      ├── dump: byte 0 ───┴──────────────────────┴─────── last byte
 *      └── log:  S+1 ────────────────────────────────────────────────▶ end
 *
 * One snapshot serves all peers that can read it, whenever they come. A late peer gets
 * `+FULLRESYNC id S`, the dump from its first byte, and the stream from S+1. So the log must still
 * cover S+1 and the spool must still have chunk 0. Each peer has its own framing.
 *
 * A dump that this node gets from its own primary is passed on as it comes, under the same id and
 * offset. Until it is loaded here it is *ahead*: this node has no log that begins at S. Pure; other
 * modules act on sockets, spool and worker.
 */
import type { Offset } from '../base/units.ts';
import { type OutputLimit, passesAtOnce } from './output-limit.ts';
import { fullResyncLine, type LogWindow } from './psync.ts';
import { Channel, Framing, type ReplicaState } from './replica-state.ts';
import type { ReplicationHistory } from './replid.ts';

/** A running or finished snapshot, as far as a joining peer is concerned. */
export interface JoinableSnapshot {
  /** The peer reads dumps of this version and type set. */
  readonly isReadable: boolean;
  /** Bits of `DumpFilter`. */
  readonly filter: number;
  /** The stream of the snapshot, and the offset at its freeze. */
  readonly replid: string;
  readonly offset: Offset;
  /** It arrives from the primary of this node and is not loaded yet. */
  readonly isAhead: boolean;
  /** False once the spool has let go of the dump's first bytes. */
  readonly hasFirstChunk: boolean;
  /** The snapshot failed or was cancelled. */
  readonly failed: boolean;
  /** The database that the stream after it has selected, or -1 when only the dump tells. */
  readonly streamDb: number;
}

export const JoinVerdict = {
  JOIN: 'join',
  /** No snapshot runs or is kept. */
  NONE: 'no snapshot',
  FAILED: 'the snapshot failed',
  DIALECT: 'the snapshot is in another dialect',
  FILTER: 'the snapshot is filtered otherwise',
  HISTORY: 'the snapshot belongs to another stream',
  DATABASE: "the snapshot does not tell the stream's database",
  SPOOL: 'the first bytes of the dump are gone',
  LOG: 'the log no longer covers the snapshot',
  LIMIT: 'what follows the snapshot passes the output limit',
} as const;
export type JoinVerdict = (typeof JoinVerdict)[keyof typeof JoinVerdict];

/** Whether `snapshot` can serve `peer`, whose lag has `limit`. Other verdicts say why it cannot. */
export function canJoin(
  snapshot: JoinableSnapshot | null,
  peer: ReplicaState,
  history: ReplicationHistory,
  window: LogWindow,
  limit: OutputLimit,
): JoinVerdict {
  if (snapshot === null) return JoinVerdict.NONE;
  if (snapshot.failed) return JoinVerdict.FAILED;
  if (!snapshot.isReadable) return JoinVerdict.DIALECT;
  if (snapshot.filter !== peer.filter) return JoinVerdict.FILTER;
  if (!snapshot.hasFirstChunk) return JoinVerdict.SPOOL;
  // One that wants no stream could not tell that the load has failed.
  if (snapshot.isAhead) return peer.rdbOnly ? JoinVerdict.FILTER : JoinVerdict.JOIN;
  // A second id is as good as the first only up to its offset, and its reader would learn the wrong
  // name for the stream.
  if (snapshot.replid !== history.replid) return JoinVerdict.HISTORY;
  // The line before the dump tells it.
  if (peer.channel === Channel.VALKEY && snapshot.streamDb < 0) return JoinVerdict.DATABASE;
  if (peer.needsLog) {
    const next = snapshot.offset + 1;
    if (!window.active || next < window.readableFrom || next > window.endOffset + 1)
      return JoinVerdict.LOG;
    if (passesAtOnce(limit, window.endOffset - snapshot.offset)) return JoinVerdict.LIMIT;
  }
  return JoinVerdict.JOIN;
}

/**
 * The bytes before the wait for the dump: the `+FULLRESYNC` line, or nothing for a peer that came
 * by SYNC.
 */
export function fullSyncLine(peer: ReplicaState, replid: string, offset: Offset): string {
  return peer.legacy ? '' : fullResyncLine(replid, offset);
}

/** The version of a dump, which its first bytes tell. */
export interface DumpVersion {
  readonly isValkey: boolean;
  readonly version: number;
}

/** The newest version of Redis' dumps that each Valkey reads; and the first Valkey that reads 80. */
export const VALKEY_READS_REDIS = 11 as const;
const VALKEY_9 = 0x090000;
const VALKEY_9_VERSION = 80;

/**
 * Whether `peer` reads a dump of `dump` that another node has made. A peer that has not told what it
 * reads gets no newer version than the one in which this node would write for it, `ownVersion`; and
 * none at all when that would be of plain types, because nobody knows the types in the dump.
 */
export function readsVersion(
  peer: ReplicaState,
  dump: DumpVersion,
  ownVersion: number,
  ownIsPlain: boolean,
): boolean {
  const { version, isValkey } = dump;
  if (isValkey) {
    const reads9 = peer.version >= VALKEY_9 && version === VALKEY_9_VERSION;
    return version <= peer.readsValkey || reads9;
  }
  if (version <= peer.readsRedis) return true;
  if (ownIsPlain) return false;
  return version <= (peer.version !== 0 ? VALKEY_READS_REDIS : ownVersion);
}

/**
 * The bytes before the dump. The framing by length uses `dumpBytes`. The other framing uses `mark`:
 * forty characters of `randomHex40`, different for each peer.
 */
export function payloadHeader(framing: Framing, dumpBytes: number, mark: string): string {
  return framing === Framing.EOF_MARK ? `$EOF:${mark}\r\n` : `$${dumpBytes}\r\n`;
}

/** The bytes after the dump: the mark, without a line end, or nothing. */
export function payloadTrailer(framing: Framing, mark: string): string {
  return framing === Framing.EOF_MARK ? mark : '';
}

/**
 * Sent to peers in WAIT_START when the snapshot fails for good. Peers past `+FULLRESYNC` are only
 * disconnected.
 */
export const SNAPSHOT_FAILED_LINE = "-ERR BGSAVE failed, replication can't continue\r\n";
/** Sent each second to peers for which `needsKeepalive` is true. */
export const KEEPALIVE_LINE = '\n';
