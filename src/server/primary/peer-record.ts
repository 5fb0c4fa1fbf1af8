/** What is measured of a replica while it is attached, for INFO, throttling and its next full sync. */
import type { Offset } from '../../base/units.ts';
import { Phase, type ReplicaState } from '../../replication/replica-state.ts';
import { RateMeter } from '../../replication/stream-times.ts';
import type { PeerPressure } from '../../replication/throttle.ts';
import type { Dump } from '../snapshot-source.ts';

/** The mean rate of the stream follows a replica that stops, or reads faster, so soon. */
const STREAM_MEAN_MS = 500;

/** The part of a peer that is measured. */
export interface MeasuredPeer {
  readonly state: ReplicaState;
  readonly record: PeerRecord;
  readonly streamLag: number;
  readonly cursor: { readonly offset: Offset } | undefined;
  readonly snapshot: { readonly spool: Dump } | undefined;
}

export class PeerRecord {
  /** What it had of the stream when it came, or will have with its dump. */
  startOffset = 0;
  /** Bytes of the dump that were written to it, and the size of the dump; -1 when not known. */
  dumpBytes = 0;
  dumpTotalBytes = -1;
  /** From its request to the dump's first byte; -1 without one. */
  firstByteMs = -1;
  /** When its dump was written whole, by the monotonic clock; -1 before. */
  dumpSentMs = -1;
  /** Its lag when its last ACK came, and when that was, by the monotonic clock; -1 before one. */
  ackLagBytes = -1;
  ackLagMs = -1;
  ackedMs = -1;
  readonly dumpRate = new RateMeter();
  readonly streamRate = new RateMeter();
  /** The end of its full sync was judged already. */
  isJudged = false;
  /** Bytes per second by which the stream grew when it was last sampled. */
  writeRate = 0;

  /** Takes samples of `peer` at `nowMs` of the monotonic clock. */
  sample(peer: MeasuredPeer, nowMs: number, writeRate: number): void {
    this.writeRate = writeRate;
    if (peer.snapshot !== undefined) this.dumpTotalBytes = peer.snapshot.spool.totalBytes;
    if (peer.state.phase === Phase.SEND_BULK) this.dumpRate.sample(nowMs, this.dumpBytes);
    if (peer.state.takesStream && peer.cursor !== undefined)
      this.streamRate.sample(nowMs, peer.cursor.offset, STREAM_MEAN_MS);
  }

  /** Bytes per second that it reads, of the dump or of the stream. */
  get readRate(): number {
    return this.streamRate.rate > 0 ? this.streamRate.rate : this.dumpRate.rate;
  }
}

export function pressureOf({ record, state, streamLag }: MeasuredPeer): PeerPressure {
  const total = record.dumpTotalBytes;
  return {
    lag: streamLag,
    readRate: record.streamRate.rate,
    // A replica that gets its dump by another connection may leave the stream unread meanwhile.
    takesStream: state.phase === Phase.BESIDE_DUMP ? record.streamRate.rate > 0 : state.takesStream,
    dumpLeftBytes: total < 0 ? -1 : Math.max(0, total - record.dumpBytes),
    dumpRate: record.dumpRate.rate,
  };
}
