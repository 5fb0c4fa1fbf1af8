/**
 * The fields of INFO persistence: Redis' names in Redis' order, then our own. A field without a
 * counterpart here is 0.
 */

import type { Server } from '../server.ts';
import type { LoadView } from '../snapshot-source.ts';
import type { AppendOnly } from './aof/append-only.ts';
import type { DumpLoad } from './dump-load.ts';
import type { Persistence } from './persistence.ts';
import type { Snapshots } from './snapshots.ts';

export type InfoField = readonly [name: string, value: string | number];

const MS_PER_SECOND = 1000;

export function persistenceInfo(
  server: Server,
  persistence: Persistence,
  snapshots: Snapshots,
  dumpLoad: DumpLoad,
  appendOnly: AppendOnly,
  linkLoad: LoadView | undefined,
): InfoField[] {
  const current = snapshots.inProgress;
  const { saving } = persistence;
  const share =
    current === undefined || current.keysTotal === 0 ? 0 : current.keysDone / current.keysTotal;
  const isSaving =
    saving !== undefined || (current !== undefined && current.request.reason !== 'aof');
  return [
    ['loading', server.loading ? 1 : 0],
    ['async_loading', linkLoad !== undefined && !server.loading ? 1 : 0],
    ['current_cow_peak', current?.touchedBytes ?? 0],
    ['current_cow_size', current?.touchedBytes ?? 0],
    ['current_cow_size_age', 0],
    ['current_fork_perc', (share * 100).toFixed(2)],
    ['current_save_keys_processed', current?.keysDone ?? 0],
    ['current_save_keys_total', current?.keysTotal ?? 0],
    ['rdb_changes_since_last_save', server.dirty],
    ['rdb_bgsave_in_progress', isSaving ? 1 : 0],
    ['rdb_last_save_time', persistence.lastSaveSeconds],
    ['rdb_last_bgsave_status', persistence.lastSucceeded ? 'ok' : 'err'],
    ['rdb_last_bgsave_time_sec', persistence.lastDurationSeconds],
    [
      'rdb_current_bgsave_time_sec',
      saving === undefined ? -1 : secondsSince(server, saving.startedMs),
    ],
    ['rdb_saves', persistence.saveCount],
    ['rdb_last_cow_size', persistence.lastCowBytes],
    ['rdb_last_load_keys_expired', dumpLoad.keysExpired],
    ['rdb_last_load_keys_loaded', dumpLoad.keysLoaded],
    ...appendOnlyFields(appendOnly),
    ['module_fork_in_progress', 0],
    ['module_fork_last_cow_size', 0],
    ...openFileFields(appendOnly),
    ...loadFields(dumpLoad.view ?? linkLoad),
    ['headwater_snapshots_started', snapshots.startedCount],
    [
      'headwater_last_freeze_usec',
      current?.freezeMicros ?? snapshots.lastFigures?.freezeMicros ?? 0,
    ],
    [
      'headwater_snapshot_touched_bytes',
      current?.touchedBytes ?? snapshots.lastFigures?.touchedBytes ?? 0,
    ],
    ['headwater_last_snapshot_ms', Math.round(snapshots.lastFigures?.durationMs ?? 0)],
    ['headwater_last_snapshot_bytes', snapshots.lastFigures?.dumpBytes ?? 0],
    ['headwater_last_snapshot_keys', snapshots.lastFigures?.keys ?? 0],
    ['headwater_snapshots_open', snapshots.openCount],
    ['headwater_snapshot_pins_dropped', snapshots.pinsDropped],
    ['headwater_cut_through_bytes', snapshots.passedBytes],
    ['headwater_spool_readers', snapshots.readerCount],
    ['headwater_spool_bytes', snapshots.spoolMemoryBytes + snapshots.spoolFileBytes],
    ['headwater_spool_memory_bytes', snapshots.spoolMemoryBytes],
    ['headwater_spool_file_bytes', snapshots.spoolFileBytes],
    ['headwater_spool_spilled_bytes', snapshots.spilledBytes],
    ['headwater_spool_files_refused', snapshots.filesRefused],
  ];
}

function appendOnlyFields(appendOnly: AppendOnly): InfoField[] {
  const { rewriteMs } = appendOnly;
  return [
    ['aof_enabled', appendOnly.isOn ? 1 : 0],
    ['aof_rewrite_in_progress', appendOnly.isRewriting ? 1 : 0],
    ['aof_rewrite_scheduled', appendOnly.scheduled ? 1 : 0],
    ['aof_last_rewrite_time_sec', appendOnly.lastDurationSeconds],
    ['aof_current_rewrite_time_sec', rewriteMs < 0 ? -1 : Math.floor(rewriteMs / MS_PER_SECOND)],
    ['aof_last_bgrewrite_status', appendOnly.lastSucceeded ? 'ok' : 'err'],
    ['aof_rewrites', appendOnly.rewrites],
    ['aof_rewrites_consecutive_failures', appendOnly.failures],
    ['aof_last_write_status', appendOnly.isFailing ? 'err' : 'ok'],
    ['aof_last_cow_size', appendOnly.lastCowBytes],
  ];
}

/** Only while there is an append only file. */
function openFileFields(appendOnly: AppendOnly): InfoField[] {
  if (!appendOnly.isOn) return [];
  const { journal } = appendOnly;
  return [
    ['aof_current_size', appendOnly.currentBytes],
    ['aof_base_size', appendOnly.sizeAtRewrite],
    ['aof_pending_rewrite', 0],
    ['aof_buffer_length', journal.waitingBytes],
    ['aof_pending_bio_fsync', journal.isSyncing ? 1 : 0],
    ['aof_delayed_fsync', journal.delayedSyncs],
  ];
}

function loadFields(view: LoadView | undefined): InfoField[] {
  if (view === undefined) return [];
  const { startSeconds, totalBytes, usedMemoryBytes, loadedBytes, elapsedSeconds } = view;
  const share = totalBytes === 0 ? 0 : loadedBytes / totalBytes;
  const eta =
    loadedBytes === 0
      ? 1
      : Math.max(0, Math.round((elapsedSeconds * (totalBytes - loadedBytes)) / loadedBytes));
  return [
    ['loading_start_time', startSeconds],
    ['loading_total_bytes', totalBytes],
    ['loading_rdb_used_mem', usedMemoryBytes],
    ['loading_loaded_bytes', loadedBytes],
    ['loading_loaded_perc', (share * 100).toFixed(2)],
    ['loading_eta_seconds', eta],
  ];
}

function secondsSince(server: Server, ms: number): number {
  return Math.max(0, Math.floor((server.nowMs - ms) / MS_PER_SECOND));
}
