/**
 * Full sync decided: which snapshot a waiting peer takes, and what is written around the dump.
 *
 *   freeze at S          peer A               peer B joins late
 *      │                   │                      │
 *      ├── dump: byte 0 ───┴──────────────────────┴─────── last byte
 *      └── log:  S+1 ────────────────────────────────────────────────▶ end
 *
 * One snapshot serves all that can read it, whenever they come: a late peer gets `+FULLRESYNC id
 * S`, the dump from its first byte, and the stream from S+1, so the log must still cover S+1 and
 * the spool must still have chunk 0. The framing is each peer's own. Pure; sockets, spool and
 * worker act on it elsewhere.
 */
import type { Offset } from '../base/units.ts';
import { type OutputLimit, passesAtOnce } from './output-limit.ts';
import { fullResyncLine, type LogWindow } from './psync.ts';
import { Framing, type ReplicaState } from './replica-state.ts';
import type { ReplicationHistory } from './replid.ts';

/** A snapshot that is being made or is finished, as far as a joining peer is concerned. */
export interface JoinableSnapshot {
  /**
   * Any value that is equal for dumps which the same peers can read: version and type set of the
   * dump.
   */
  readonly dialect: number;
  /** Bits of `DumpFilter`. */
  readonly filter: number;
  /** The stream that it belongs to, and the offset at its freeze. */
  readonly replid: string;
  readonly offset: Offset;
  /** False once the spool has let go of the dump's first bytes. */
  readonly hasFirstChunk: boolean;
  /** It failed or was cancelled. */
  readonly failed: boolean;
}

export const JoinVerdict = {
  JOIN: 'join',
  /** There is none that runs or is kept. */
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
 * Whether `peer`, which needs `dialect` and whose lag has `limit`, can be served by `snapshot`; the
 * other verdicts say why it needs a new one.
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
  // name of it.
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
 * What precedes the dump's wait: the `+FULLRESYNC` line, or nothing for a peer that came by SYNC.
 */
export function fullSyncLine(
  peer: ReplicaState,
  history: ReplicationHistory,
  offset: Offset,
): string {
  return peer.legacy ? '' : fullResyncLine(history, offset);
}

/**
 * What precedes the first byte of the dump. `dumpBytes` is read for the framing by length, `mark`
 * for the other: forty characters of `randomHex40`, another for each peer.
 */
export function payloadHeader(framing: Framing, dumpBytes: number, mark: string): string {
  return framing === Framing.EOF_MARK ? `$EOF:${mark}\r\n` : `$${dumpBytes}\r\n`;
}

/** What follows the last byte of the dump, with no line end: the mark, or nothing. */
export function payloadTrailer(framing: Framing, mark: string): string {
  return framing === Framing.EOF_MARK ? mark : '';
}

/**
 * Sent to peers in WAIT_START when the snapshot fails for good; those past `+FULLRESYNC` are only
 * disconnected.
 */
export const SNAPSHOT_FAILED_LINE = "-ERR BGSAVE failed, replication can't continue\r\n";
/** Sent each second to peers of which `needsKeepalive` holds. */
export const KEEPALIVE_LINE = '\n';
