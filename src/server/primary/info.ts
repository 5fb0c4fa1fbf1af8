/** Replication for INFO, ROLE and monitoring. */
import { countReplicas, infoLine, roleRow } from '../../replication/replica-state.ts';
import type { Reply } from '../../resp/reply.ts';
import { ownUpstreamFields, upstreamSection } from '../link/info.ts';
import { peerLines, throttleFields } from './peer-info.ts';
import type { Primary } from './primary.ts';

/** The lines of INFO replication with their ends, without the heading. */
export function replicationSection(primary: Primary): string {
  const { server, states } = primary;
  const { history, streamLog, position, config, clock } = server;
  const { minReplicasToWrite, minReplicasMaxLag } = config.values;
  const { active } = streamLog;
  const { upstream } = primary;
  let text =
    upstream?.isReplica === true
      ? `role:slave\r\n${upstreamSection(server, upstream)}`
      : 'role:master\r\n';
  text += `connected_slaves:${countReplicas(states)}\r\n`;
  if (minReplicasToWrite > 0 && minReplicasMaxLag > 0) {
    text += `min_slaves_good_slaves:${primary.goodReplicas}\r\n`;
  }
  let index = 0;
  for (const state of states) {
    const line = infoLine(index, state, clock.turnMs());
    if (line !== '') index++;
    text += line;
  }
  const { honoursValkey, reservedCount } = primary.channels;
  if (honoursValkey || reservedCount > 0) text += `replicas_waiting_psync:${reservedCount}\r\n`;
  text += `master_failover_state:${server.failover.phase}\r\n`;
  text += `master_replid:${position.replid}\r\nmaster_replid2:${history.replid2}\r\n`;
  text += `master_repl_offset:${position.offset}\r\nsecond_repl_offset:${history.secondOffset}\r\n`;
  text += `repl_backlog_active:${active ? 1 : 0}\r\nrepl_backlog_size:${config.values.replBacklogSize}\r\n`;
  text += `repl_backlog_first_byte_offset:${active ? streamLog.readableFrom : 0}\r\n`;
  text += `repl_backlog_histlen:${active ? streamLog.readableBytes : 0}\r\n`;
  return text;
}

/**
 * Our lines in the last section of INFO. No name contains the name of a Redis field, because tools
 * search for substrings.
 */
export function ownReplicationFields(primary: Primary): string {
  const { fullSyncs, fanOut, server, syncTtfbMs, upstream } = primary;
  const { streamLog } = server;
  return (
    `headwater_late_joins:${fullSyncs.lateJoins}\r\n` +
    `headwater_cut_through_peers:${fullSyncs.aheadCount}\r\n` +
    `headwater_cut_through_joins:${fullSyncs.passedOn}\r\n` +
    `headwater_syncs_waiting:${fullSyncs.waitingCount}\r\n` +
    `headwater_syncs_reading:${fullSyncs.readingCount}\r\n` +
    `headwater_sync_failures:${fullSyncs.failures}\r\n` +
    `headwater_sync_retry_ms:${Math.ceil(fullSyncs.retryMs)}\r\n` +
    `headwater_sync_ttfb_ms:${syncTtfbMs < 0 ? -1 : syncTtfbMs.toFixed(3)}\r\n` +
    `headwater_links_ended:${server.stats.linksEnded}\r\n` +
    `headwater_backlog_pinned_bytes:${streamLog.pinnedBytes}\r\n` +
    `headwater_backlog_memory_bytes:${streamLog.memoryBytes}\r\n` +
    backlogFields(primary) +
    throttleFields(primary) +
    `headwater_fanout_flushes:${fanOut.flushes}\r\n` +
    `headwater_fanout_writes:${fanOut.writes}\r\n` +
    `headwater_fanout_write_us:${fanOut.writeUs.toFixed(1)}\r\n` +
    (upstream === undefined
      ? ''
      : ownUpstreamFields(server, upstream, primary.states, primary.chain.isLoop)) +
    primary.chain.info() +
    peerLines(primary)
  );
}

/** ROLE. */
export function replyRole(primary: Primary, reply: Reply): void {
  reply.array(3);
  reply.bulkLatin1('master');
  reply.integer(primary.server.position.offset);
  const rows = [...primary.states].map(roleRow).filter((row) => row !== null);
  reply.array(rows.length);
  for (const row of rows) {
    reply.array(3);
    for (const word of row) reply.bulkLatin1(word);
  }
}

/** The backlog as it is stored; `histlen` of INFO replication is what it holds. */
function backlogFields({ server, compaction }: Primary): string {
  const { streamLog } = server;
  const raw = streamLog.active ? streamLog.histlen : 0;
  const stored = streamLog.active ? streamLog.storedBytes : 0;
  const { packed, toPack } = streamLog.packedBlocks;
  return (
    `headwater_backlog_raw_bytes:${raw}\r\n` +
    `headwater_backlog_stored_bytes:${stored}\r\n` +
    `headwater_backlog_ratio:${(stored === 0 ? 1 : raw / stored).toFixed(2)}\r\n` +
    `headwater_backlog_seconds:${compaction.historySeconds}\r\n` +
    `headwater_backlog_packed_blocks:${packed}\r\n` +
    `headwater_backlog_blocks_waiting:${toPack}\r\n` +
    `headwater_backlog_packs:${compaction.packedCount}\r\n` +
    `headwater_backlog_unpacks:${compaction.unpackedCount}\r\n` +
    `headwater_backlog_pack_failures:${compaction.failures}\r\n`
  );
}
