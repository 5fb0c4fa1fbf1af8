/**
 * One line per replica, and the fields of throttling, in our section of INFO. docs/operations.md
 * explains each field.
 */
import { nodeWord } from '../../replication/hops.ts';
import { replicaName } from '../../replication/replica-state.ts';
import type { StreamLog } from '../../replication/stream-log.ts';
import type { Primary } from './primary.ts';
import type { ReplicaPeer } from './replica-peer.ts';

/** `headwater_replica<i>:…`, a line for each attached replica in the order in which they came. */
export function peerLines(primary: Primary): string {
  let text = '';
  let index = 0;
  for (const peer of primary.peers)
    text += `headwater_replica${index++}:${fields(primary, peer)}\r\n`;
  return text;
}

export function throttleFields({ throttle, times, server }: Primary): string {
  const nowMs = server.clock.monotonicMs();
  const rate = throttle.isSlowing && Number.isFinite(throttle.rate) ? throttle.rate : -1;
  return (
    `headwater_write_rate:${Math.round(times.rate(server.streamLog.endOffset, nowMs))}\r\n` +
    `headwater_throttled:${throttle.isSlowing ? 1 : 0}\r\n` +
    `headwater_throttle_rate:${Math.round(rate)}\r\n` +
    `headwater_throttle_delay_ms:${throttle.delayMs.toFixed(1)}\r\n` +
    `headwater_throttle_waiting:${throttle.heldCount}\r\n` +
    `headwater_throttle_begun:${throttle.begun}\r\n` +
    `headwater_throttled_writes:${throttle.writes}\r\n` +
    `headwater_throttled_ms:${Math.round(throttle.delayMsTotal)}\r\n`
  );
}

/**
 * Bytes that may still be written until the backlog no longer holds what a replica needs that has
 * acknowledged all but `lag` bytes, were its link to end now. Compressed history is taken to go on
 * at its present ratio.
 */
export function historyLeft(log: StreamLog, lag: number): number {
  if (!log.active) return 0;
  const { histlen, storedBytes, backlogBytesMax } = log;
  const ratio = storedBytes > 0 ? histlen / storedBytes : 1;
  return Math.max(0, Math.floor(backlogBytesMax * ratio) - lag);
}

function fields(primary: Primary, peer: ReplicaPeer): string {
  const { server, times, dialects } = primary;
  const { streamLog, clock } = server;
  const { state, record, snapshot, cursor } = peer;
  const nowMs = clock.monotonicMs();
  const { endOffset } = streamLog;
  const unsent = peer.streamLag;
  // What it has: at first the stream up to its dump.
  const has = cursor === undefined ? endOffset : Math.max(record.startOffset, state.ackOffset);
  const lag = Math.max(0, endOffset - has);
  const left = historyLeft(streamLog, lag);
  const rate = times.rate(endOffset, nowMs);
  const { version, plainTypes } = dialects.of(state);
  const dump = snapshot === undefined ? 'none' : snapshot.state;
  const words: (readonly [string, string | number])[] = [
    ['peer', nodeWord(replicaName(state))],
    ['lag_bytes', lag],
    ['lag_ms', Math.round(times.lagMs(has, endOffset, nowMs))],
    ['ack_lag_ms', Math.round(record.ackLagMs)],
    ['unsent', unsent],
    ['in_flight', cursor === undefined ? 0 : Math.max(0, lag - unsent)],
    ['rate', Math.round(record.streamRate.rate)],
    ['dialect', `${version}${plainTypes ? '-plain' : ''}`],
    ['snapshot', dump],
    ['dump_sent', record.dumpBytes],
    ['dump_total', record.dumpTotalBytes],
    ['dump_rate', Math.round(record.dumpRate.rate)],
    ['spool_bytes', snapshot?.spool.memoryBytes ?? 0],
    ['spool_file_bytes', snapshot?.spool.fileBytes ?? 0],
    ['ttfb_ms', record.firstByteMs < 0 ? -1 : record.firstByteMs.toFixed(3)],
    ['history_left', left],
    ['overrun_s', rate < 1 ? -1 : Math.floor(left / rate)],
    ['id', state.nodeId],
  ];
  return words.map(([name, value]) => `${name}=${value}`).join(',');
}
