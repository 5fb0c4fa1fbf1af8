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
 * cover S+1 and the spool must still have chunk 0. Each peer has its own framing. Pure; other
 * modules act on sockets, spool and worker.
 */
import type { Offset } from '../base/units.ts';
import { type OutputLimit, passesAtOnce } from './output-limit.ts';
import { fullResyncLine, type LogWindow } from './psync.ts';
import { Framing, type ReplicaState } from './replica-state.ts';
import type { ReplicationHistory } from './replid.ts';

/** A running or finished snapshot, as far as a joining peer is concerned. */
export interface JoinableSnapshot {
  /**
   * Any value that is equal for dumps which the same peers can read: the dump's version and type
   * set.
   */
  readonly dialect: number;
  /** Bits of `DumpFilter`. */
  readonly filter: number;
  /** The stream of the snapshot, and the offset at its freeze. */
  readonly replid: string;
  readonly offset: Offset;
  /** False once the spool has let go of the dump's first bytes. */
  readonly hasFirstChunk: boolean;
  /** The snapshot failed or was cancelled. */
  readonly failed: boolean;
}

export const JoinVerdict = {
  JOIN: 'join',
  /** No snapshot runs or is kept. */
  NONE: 'no snapshot',
  FAILED: 'the snapshot failed',
  DIALECT: 'the snapshot is in another dialect',
  FILTER: 'the snapshot is filtered otherwise',
  HISTORY: 'the snapshot belongs to another stream',
  SPOOL: 'the first bytes of the dump are gone',
  LOG: 'the log no longer covers the snapshot',
  LIMIT: 'what follows the snapshot passes the output limit',
} as const;
export type JoinVerdict = (typeof JoinVerdict)[keyof typeof JoinVerdict];

/**
 * Whether `snapshot` can serve `peer`, which needs `dialect` and whose lag has `limit`. The other
 * verdicts say why the peer needs a new snapshot.
 */
export function canJoin(
  snapshot: JoinableSnapshot | null,
  peer: ReplicaState,
  dialect: number,
  history: ReplicationHistory,
  window: LogWindow,
  limit: OutputLimit,
): JoinVerdict {
  if (snapshot === null) return JoinVerdict.NONE;
  if (snapshot.failed) return JoinVerdict.FAILED;
  if (snapshot.dialect !== dialect) return JoinVerdict.DIALECT;
  if (snapshot.filter !== peer.filter) return JoinVerdict.FILTER;
  if (!snapshot.hasFirstChunk) return JoinVerdict.SPOOL;
  // A second id is as good as the first only up to its offset, and its reader would learn the wrong
  // name for the stream.
  if (snapshot.replid !== history.replid) return JoinVerdict.HISTORY;
  if (!peer.rdbOnly) {
    const next = snapshot.offset + 1;
    if (!window.active || next < window.firstOffset || next > window.endOffset + 1)
      return JoinVerdict.LOG;
    if (passesAtOnce(limit, window.endOffset - snapshot.offset)) return JoinVerdict.LIMIT;
  }
  return JoinVerdict.JOIN;
}

/**
 * The bytes before the wait for the dump: the `+FULLRESYNC` line, or nothing for a peer that came
 * by SYNC.
 */
export function fullSyncLine(
  peer: ReplicaState,
  history: ReplicationHistory,
  offset: Offset,
): string {
  return peer.legacy ? '' : fullResyncLine(history, offset);
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
