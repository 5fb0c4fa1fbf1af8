/**
 * How many entries a group has read, and how many it still has to: exact while no entry was deleted
 * where the group has yet to read, unknown else. Main thread.
 */
import type { Ref } from '../base/units.ts';
import type { StreamEntries } from './stream-entries.ts';
import { ENTRIES_READ_UNKNOWN, type StreamGroups } from './stream-groups.ts';
import { StreamId } from './stream-id.ts';

// None outlives a call.
const firstId = new StreamId();
const lastId = new StreamId();
const maxDeleted = new StreamId();
const groupId = new StreamId();

/** Whether an entry was deleted at or behind `id`. */
export function isFragmentedFrom(entries: StreamEntries, id: StreamId): boolean {
  entries.readMaxDeleted(maxDeleted);
  entries.readFirstId(firstId);
  // What was deleted before the first entry is gone like what was trimmed.
  if (entries.length === 0 || maxDeleted.isMin || firstId.compare(maxDeleted) > 0) return false;
  return id.compare(maxDeleted) <= 0;
}

/** Entries ever added up to `id`, or {@link ENTRIES_READ_UNKNOWN}. */
export function entriesUpTo(entries: StreamEntries, id: StreamId): number {
  const { entriesAdded, length } = entries;
  if (entriesAdded === 0) return 0;
  entries.readLastId(lastId);
  const order = id.compare(lastId);
  if ((length === 0 && order <= 0) || order === 0) return entriesAdded;
  if (order > 0) return ENTRIES_READ_UNKNOWN;
  entries.readFirstId(firstId);
  entries.readMaxDeleted(maxDeleted);
  if (maxDeleted.isMin || maxDeleted.compare(firstId) < 0) {
    const fromFirst = id.compare(firstId);
    if (fromFirst < 0) return entriesAdded - length;
    if (fromFirst === 0) return entriesAdded - length + 1;
  }
  return ENTRIES_READ_UNKNOWN;
}

/**
 * Entries that a group has yet to read, or NaN when that is unknown. Negative where a client
 * claimed to have read more.
 */
export function groupLag(entries: StreamEntries, groups: StreamGroups, group: Ref): number {
  const { entriesAdded } = entries;
  if (entriesAdded === 0) return 0;
  groups.readGroupLastId(group, groupId);
  const read = groups.entriesRead(group);
  if (read !== ENTRIES_READ_UNKNOWN && !isFragmentedFrom(entries, groupId))
    return entriesAdded - read;
  const estimated = entriesUpTo(entries, groupId);
  return estimated === ENTRIES_READ_UNKNOWN ? Number.NaN : entriesAdded - estimated;
}
