/** INFO and ROLE about the primary above this node. */
import { LinkTroubleKind } from '../../replication/link-trouble.ts';
import { type ReplicaState, shownAddress } from '../../replication/replica-state.ts';
import type { Reply } from '../../resp/reply.ts';
import type { Server } from '../server.ts';
import type { Upstream } from './upstream.ts';

const SECOND_MS = 1000;

/** The fields of INFO replication after `role:slave`, with their line ends. */
export function upstreamSection(server: Server, upstream: Upstream): string {
  const { link } = upstream;
  const { position, config, clock } = server;
  const { values } = config;
  const offset = position.active ? position.offset : 0;
  const nowMs = clock.monotonicMs();
  const seconds = (ms: number): number => Math.max(0, Math.floor(ms / SECOND_MS));
  const fields: [name: string, value: string | number][] = [
    ['master_host', upstream.host],
    ['master_port', upstream.port],
    ['master_link_status', link.isUp ? 'up' : 'down'],
    ['master_last_io_seconds_ago', link.isUp ? seconds(upstream.silentMs) : -1],
    ['master_sync_in_progress', link.isSyncing ? 1 : 0],
    ['slave_read_repl_offset', offset],
    ['slave_repl_offset', offset],
    ...heldFields(server, upstream),
  ];
  if (link.isSyncing) {
    const { payloadBytes, payloadReceived } = link;
    const percent = payloadBytes > 0 ? ((payloadReceived / payloadBytes) * 100).toFixed(2) : '0.00';
    fields.push(
      ['master_sync_total_bytes', payloadBytes],
      ['master_sync_read_bytes', payloadReceived],
      ['master_sync_left_bytes', payloadBytes - payloadReceived],
      ['master_sync_perc', percent],
      ['master_sync_last_io_seconds_ago', seconds(upstream.silentMs)],
    );
  }
  if (!link.isUp) {
    fields.push([
      'master_link_down_since_seconds',
      link.downSinceMs < 0 ? -1 : seconds(nowMs - link.downSinceMs),
    ]);
  }
  fields.push(
    ['slave_priority', values.replicaPriority],
    ['slave_read_only', values.replicaReadOnly ? 1 : 0],
    ['replica_announced', values.replicaAnnounced ? 1 : 0],
  );
  return fields.map(([name, value]) => `${name}:${value}\r\n`).join('');
}

/**
 * What is held of the stream in a full sync over two connections. The directives decide whose
 * fields are shown: those of Redis 8 or of Valkey 8.
 */
function heldFields({ config }: Server, { held }: Upstream): [name: string, value: number][] {
  const { replRdbChannel, dualChannelReplicationEnabled } = config.values;
  const fields: [name: string, value: number][] = [];
  const add = (name: string): void => {
    fields.push([`${name}_size`, held.memoryBytes], [`${name}_peak`, held.peakBytes]);
  };
  if (replRdbChannel) add('replica_full_sync_buffer');
  if (dualChannelReplicationEnabled) add('replicas_repl_buffer');
  return fields;
}

/** Our lines about the link, with their ends: its phase, what it waits for, and what is wrong. */
export function ownUpstreamFields(
  server: Server,
  upstream: Upstream,
  replicas: Iterable<ReplicaState>,
  isLoop: boolean,
): string {
  const { host, port, link } = upstream;
  const { trouble } = link;
  // Two nodes that follow each other may keep their links up until both find them silent.
  const isBelow = [...replicas].some(
    (each) => each.listeningPort === port && shownAddress(each) === host,
  );
  return (
    `headwater_upstream_phase:${link.phase}\r\n` +
    `headwater_upstream_retry_ms:${Math.ceil(link.attemptInMs(server.clock.monotonicMs()))}\r\n` +
    `headwater_upstream_refused_dumps:${link.refusedDumps}\r\n` +
    `headwater_upstream_refusal:${link.refusal}\r\n` +
    `headwater_link_trouble:${isLoop || isBelow ? LinkTroubleKind.LOOP : trouble.kind}\r\n` +
    `headwater_link_path:${trouble.path.join(',')}\r\n`
  );
}

/** ROLE of a node that has a primary. */
export function replyReplicaRole(server: Server, upstream: Upstream, reply: Reply): void {
  const { link } = upstream;
  reply.array(5);
  reply.bulkLatin1('slave');
  reply.bulkLatin1(upstream.host);
  reply.integer(upstream.port);
  reply.bulkLatin1(link.roleState);
  reply.integer(link.isUp ? server.position.offset : -1);
}
