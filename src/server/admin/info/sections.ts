/**
 * The sections of INFO that the server itself fills; job-sections.ts has those of snapshots and
 * replication. A missing feature still has its fields, as zeros: tools read them.
 */

import { endianness, machine, release, type } from 'node:os';
import type { MemoryCollector } from '../../../base/memory-collector.ts';
import { REDIS_VERSION } from '../../../base/redis-version.ts';
import { PRODUCT_VERSION } from '../../config/product.ts';
import type { CommandRow } from '../../dispatch/command-lookup.ts';
import type { Dispatcher } from '../../dispatch/dispatcher.ts';
import type { Upstream } from '../../link/upstream.ts';
import type { Listeners } from '../../net/listeners.ts';
import type { Server } from '../../server.ts';
import type { LoopDelay } from '../observe/loop-delay.ts';
import type { LoopTime } from '../observe/loop-time.ts';
import type { MemoryMeter } from '../observe/memory-meter.ts';
import { humanBytes } from '../observe/memory-meter.ts';
import type { Rates } from '../observe/rates.ts';
import type { InfoRegistry } from './registry.ts';

const SECONDS_PER_DAY = 86400;
const PTR_BITS = 64;

/** `name:value` for each field of an object. */
export const fieldLines = (fields: Readonly<Record<string, string | number>>): string[] =>
  Object.entries(fields).map(([name, value]) => `${name}:${value}`);

/** The sources of the sections. */
interface InfoParts {
  readonly server: Server;
  readonly dispatcher: Dispatcher;
  readonly info: InfoRegistry;
  readonly loopDelay: LoopDelay;
  readonly loopTime: LoopTime;
  readonly memory: MemoryMeter;
  readonly collector: MemoryCollector;
  readonly rates: Rates;
  readonly listeners: Listeners;
  readonly upstream: Upstream;
}

export function defineInfo(parts: InfoParts): void {
  const { info } = parts;
  info.define('server', () => serverLines(parts));
  info.define('clients', () => clientLines(parts));
  info.define('memory', () => memoryLines(parts));
  info.define('stats', () => statsLines(parts));
  info.define('cpu', cpuLines);
  info.define('modules', () => []);
  info.define('commandstats', () => rowLines(parts, commandLine));
  info.define('errorstats', () => errorLines(parts));
  info.define('latencystats', () => rowLines(parts, (row) => latencyLine(parts, row)));
  info.define('cluster', () => ['cluster_enabled:0']);
  info.define('keyspace', () => keyspaceLines(parts));
  info.define('headwater', () => ownLines(parts));
}

function serverLines({ server, listeners }: InfoParts): string[] {
  const { config, clock } = server;
  const { hz } = config.values;
  const upSeconds = Math.floor((server.nowMs - server.startedMs) / 1000);
  return fieldLines({
    redis_version: REDIS_VERSION,
    redis_git_sha1: '00000000',
    redis_git_dirty: 0,
    redis_build_id: '0',
    redis_mode: 'standalone',
    os: `${type()} ${release()} ${machine()}`,
    arch_bits: PTR_BITS,
    monotonic_clock: 'performance.now',
    multiplexing_api: 'libuv',
    atomicvar_api: `js-atomics-${endianness().toLowerCase()}`,
    gcc_version: '0.0.0',
    process_id: process.pid,
    process_supervised: server.supervision,
    run_id: server.runId,
    tcp_port: listeners.port,
    server_time_usec: clock.wallMicros(),
    uptime_in_seconds: upSeconds,
    uptime_in_days: Math.floor(upSeconds / SECONDS_PER_DAY),
    hz,
    configured_hz: hz,
    lru_clock: server.accessClock,
    executable: process.execPath,
    config_file: config.file ?? '',
    io_threads_active: 0,
  });
}

function clientLines({ server, upstream }: InfoParts): string[] {
  const clients = [...server.clients.values()];
  const normal = clients.filter((connection) => !connection.isReplica);
  const most = (bytes: readonly number[]): number => bytes.reduce((max, n) => Math.max(max, n), 0);
  return fieldLines({
    // The primary is a client, too.
    connected_clients: normal.length + (upstream.client === undefined ? 0 : 1),
    cluster_connections: 0,
    maxclients: server.config.values.maxclients,
    client_recent_max_input_buffer: most(normal.map(({ reader }) => reader.ownBytes)),
    client_recent_max_output_buffer: most(
      normal.map(({ pendingOutputBytes }) => pendingOutputBytes),
    ),
    blocked_clients: clients.filter(({ blocked }) => blocked).length,
    tracking_clients: 0,
    pubsub_clients: server.pubsub.clients.size,
    watching_clients: clients.filter(({ watched }) => watched.length > 0).length,
    clients_in_timeout_table: clients.filter(({ waitEnds }) => waitEnds).length,
    total_watched_keys: server.watchTable.keyCount,
    total_blocking_keys: server.waits?.keyCount ?? 0,
    total_blocking_keys_on_nokey: server.waits?.keyCountOnDeletion ?? 0,
  });
}

function memoryLines({ server, memory }: InfoParts): string[] {
  memory.tick();
  const { usedBytes, rssBytes, peakBytes, startupBytes, totalBytes, datasetBytes } = memory;
  const { maxmemory, maxmemoryPolicy } = server.config.values;
  const {
    usedBytes: allocated,
    pageUseBytes: active,
    residentBytes: resident,
  } = server.keyspace.arena;
  return fieldLines({
    used_memory: usedBytes,
    used_memory_human: humanBytes(usedBytes),
    used_memory_rss: rssBytes,
    used_memory_rss_human: humanBytes(rssBytes),
    used_memory_peak: peakBytes,
    used_memory_peak_human: humanBytes(peakBytes),
    used_memory_peak_perc: percent(usedBytes, peakBytes),
    used_memory_overhead: usedBytes - datasetBytes,
    used_memory_startup: startupBytes,
    used_memory_dataset: datasetBytes,
    used_memory_dataset_perc: percent(datasetBytes, usedBytes - startupBytes),
    allocator_allocated: allocated,
    allocator_active: active,
    allocator_resident: resident,
    total_system_memory: totalBytes,
    total_system_memory_human: humanBytes(totalBytes),
    used_memory_lua: 0,
    used_memory_vm_eval: 0,
    used_memory_lua_human: '0B',
    used_memory_scripts_eval: 0,
    number_of_cached_scripts: 0,
    number_of_functions: 0,
    number_of_libraries: 0,
    used_memory_vm_functions: 0,
    used_memory_vm_total: 0,
    used_memory_vm_total_human: '0B',
    used_memory_functions: 0,
    used_memory_scripts: 0,
    used_memory_scripts_human: '0B',
    maxmemory,
    maxmemory_human: humanBytes(maxmemory),
    maxmemory_policy: maxmemoryPolicy,
    allocator_frag_ratio: ratio(active, allocated),
    allocator_frag_bytes: active - allocated,
    allocator_rss_ratio: ratio(resident, active),
    allocator_rss_bytes: resident - active,
    rss_overhead_ratio: ratio(rssBytes, resident),
    rss_overhead_bytes: rssBytes - resident,
    mem_fragmentation_ratio: ratio(rssBytes, usedBytes),
    mem_fragmentation_bytes: rssBytes - usedBytes,
    mem_not_counted_for_evict: memory.notCountedBytes,
    mem_replication_backlog: memory.backlogBytes,
    mem_total_replication_buffers: memory.streamBytes + memory.heldBytes,
    mem_replica_full_sync_buffer: memory.heldBytes,
    mem_clients_slaves: memory.replicaBytes,
    mem_clients_normal: memory.normalClientBytes,
    mem_cluster_links: 0,
    mem_aof_buffer: 0,
    mem_allocator: 'arena',
    active_defrag_running: 0,
    lazyfree_pending_objects: server.keyspace.freeing ? 1 : 0,
    lazyfreed_objects: 0,
  });
}

const percent = (part: number, whole: number): string =>
  `${((100 * part) / Math.max(1, whole)).toFixed(2)}%`;
const ratio = (a: number, b: number): string => (a / Math.max(1, b)).toFixed(2);

/** Microseconds of all calls. */
function commandMicros({ lookup }: Dispatcher): number {
  let sum = 0;
  for (const row of lookup.rows.values()) {
    sum += row.usec;
    for (const sub of row.subcommands.values()) sum += sub.usec;
  }
  return Math.round(sum);
}

function statsLines({ server, rates, loopTime, dispatcher }: InfoParts): string[] {
  const { stats, pubsub } = server;
  const kilobytes = (perSecond: number): string => (perSecond / 1024).toFixed(2);
  return fieldLines({
    total_connections_received: stats.connectionsReceived,
    total_commands_processed: stats.commandsProcessed,
    instantaneous_ops_per_sec: Math.round(rates.commands.perSecond),
    total_net_input_bytes: stats.netInputBytes,
    total_net_output_bytes: stats.netOutputBytes,
    total_net_repl_input_bytes: stats.netReplInputBytes,
    total_net_repl_output_bytes: stats.netReplOutputBytes,
    instantaneous_input_kbps: kilobytes(rates.input.perSecond),
    instantaneous_output_kbps: kilobytes(rates.output.perSecond),
    instantaneous_input_repl_kbps: kilobytes(rates.replInput.perSecond),
    instantaneous_output_repl_kbps: kilobytes(rates.replOutput.perSecond),
    rejected_connections: stats.connectionsRejected,
    sync_full: stats.syncFull,
    sync_partial_ok: stats.syncPartialOk,
    sync_partial_err: stats.syncPartialErr,
    expired_keys: stats.expiredKeys,
    expired_stale_perc: '0.00',
    expired_time_cap_reached_count: stats.expireCyclesCut,
    expire_cycle_cpu_milliseconds: 0,
    evicted_keys: stats.evictedKeys,
    evicted_clients: stats.evictedClients,
    total_eviction_exceeded_time: 0,
    current_eviction_exceeded_time: 0,
    keyspace_hits: stats.keyspaceHits,
    keyspace_misses: stats.keyspaceMisses,
    pubsub_channels: pubsub.channels.count,
    pubsub_patterns: pubsub.patterns.count,
    pubsubshard_channels: pubsub.shards.count,
    latest_fork_usec: 0,
    total_forks: 0,
    migrate_cached_sockets: 0,
    slave_expires_tracked_keys: 0,
    active_defrag_hits: 0,
    active_defrag_misses: 0,
    active_defrag_key_hits: 0,
    active_defrag_key_misses: 0,
    total_active_defrag_time: 0,
    current_active_defrag_time: 0,
    tracking_total_keys: 0,
    tracking_total_items: 0,
    tracking_total_prefixes: 0,
    unexpected_error_replies: stats.unexpectedErrorReplies,
    total_error_replies: stats.errorReplies,
    dump_payload_sanitizations: 0,
    total_reads_processed: stats.readsProcessed,
    total_writes_processed: stats.writesProcessed,
    io_threaded_reads_processed: 0,
    io_threaded_writes_processed: 0,
    client_query_buffer_limit_disconnections: stats.queryLimitDisconnections,
    client_output_buffer_limit_disconnections: stats.outputLimitDisconnections,
    reply_buffer_shrinks: 0,
    reply_buffer_expands: 0,
    eventloop_cycles: loopTime.cycles,
    eventloop_duration_sum: loopTime.micros,
    eventloop_duration_cmd_sum: commandMicros(dispatcher),
    instantaneous_eventloop_cycles_per_sec: loopTime.cyclesPerSecond,
    instantaneous_eventloop_duration_usec: loopTime.microsPerCycle,
    acl_access_denied_auth: stats.aclDeniedAuth,
    acl_access_denied_cmd: 0,
    acl_access_denied_key: 0,
    acl_access_denied_channel: 0,
  });
}

function cpuLines(): string[] {
  const { system, user } = process.cpuUsage();
  const seconds = (micros: number): string => (micros / 1e6).toFixed(6);
  return fieldLines({
    used_cpu_sys: seconds(system),
    used_cpu_user: seconds(user),
    used_cpu_sys_children: '0.000000',
    used_cpu_user_children: '0.000000',
    used_cpu_sys_main_thread: seconds(system),
    used_cpu_user_main_thread: seconds(user),
  });
}

/** A line for each command, or subcommand, that has been called or refused. */
function rowLines(
  { dispatcher }: InfoParts,
  line: (row: CommandRow) => string | undefined,
): string[] {
  const lines: string[] = [];
  const visit = (row: CommandRow): void => {
    const text = line(row);
    if (text !== undefined) lines.push(text);
    for (const sub of row.subcommands.values()) visit(sub);
  };
  for (const row of dispatcher.lookup.rows.values()) visit(row);
  return lines;
}

function commandLine(row: CommandRow): string | undefined {
  const { calls, usec, rejectedCalls, failedCalls } = row;
  if (calls === 0 && rejectedCalls === 0 && failedCalls === 0) return undefined;
  const perCall = (calls === 0 ? 0 : usec / calls).toFixed(2);
  return (
    `cmdstat_${row.fullName}:calls=${calls},usec=${Math.round(usec)},usec_per_call=${perCall},` +
    `rejected_calls=${rejectedCalls},failed_calls=${failedCalls}`
  );
}

function latencyLine({ server }: InfoParts, row: CommandRow): string | undefined {
  if (row.latency.count === 0) return undefined;
  const percents = server.config.values.latencyTrackingInfoPercentiles;
  const parts = percents.map(
    (percent) => `p${percent}=${row.latency.percentile(percent).toFixed(3)}`,
  );
  return `latency_percentiles_usec_${row.fullName}:${parts.join(',')}`;
}

function errorLines({ server }: InfoParts): string[] {
  return [...server.stats.errorsByCode]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([code, count]) => `errorstat_${code}:count=${count}`);
}

function keyspaceLines({ server }: InfoParts): string[] {
  const lines: string[] = [];
  for (const [index, db] of server.keyspace.databases.entries()) {
    if (db.keyCount === 0) continue;
    const ttl = db.deadlineCount === 0 ? 0 : db.expiry.averageTtlMs(server.nowMs);
    lines.push(`db${index}:keys=${db.keyCount},expires=${db.deadlineCount},avg_ttl=${ttl}`);
  }
  return lines;
}

function ownLines({ server, loopDelay, memory, collector }: InfoParts): string[] {
  const { arena } = server.keyspace;
  const ms = (value: number): string => value.toFixed(3);
  return fieldLines({
    headwater_release: PRODUCT_VERSION,
    headwater_runtime: process.version,
    headwater_loop_delay_p50_ms: ms(loopDelay.percentileMs(50)),
    headwater_loop_delay_p99_ms: ms(loopDelay.percentileMs(99)),
    headwater_loop_delay_max_ms: ms(loopDelay.maxMs()),
    headwater_arena_object_bytes: arena.usedBytes,
    headwater_arena_page_bytes: arena.pageUseBytes,
    headwater_image_frozen: arena.frozen ? 1 : 0,
    headwater_image_shadow_pages: arena.shadowPages,
    headwater_spare_buffer_bytes: server.bufferPool.heldBytes,
    headwater_heap_bytes: memory.heapBytes,
    headwater_heap_growth_bytes: memory.heapGrowthBytes,
    headwater_page_copy_bytes: memory.copyBytes,
    headwater_query_bytes: memory.normal.queryBytes + memory.replicas.queryBytes,
    headwater_reply_bytes: memory.normal.replyBytes + memory.replicas.replyBytes,
    headwater_multi_bytes: memory.normal.queuedBytes + memory.replicas.queuedBytes,
    headwater_pooled_bytes: server.memory.pooledBytes,
    headwater_dead_bytes: server.memory.deadBytes + server.memory.leavingBytes,
    headwater_collected_bytes: server.memory.collectedBytes,
    headwater_collections: collector.count,
    headwater_last_collection_pause_usec: collector.lastPauseMicros,
    headwater_worst_collection_pause_usec: collector.worstPauseMicros,
    headwater_collection_usec: collector.totalMicros,
  });
}
