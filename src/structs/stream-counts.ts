/**
 * The number of entries that a group has read, and the number that it still has to read. Both are
 * exact as long as no entry was deleted that the group has yet to read; otherwise they are unknown.
 * Main thread.
 */
import type { Ref } from '../base/units.ts';
import type { StreamEntries } from './stream-entries.ts';
import { ENTRIES_READ_UNKNOWN, type StreamGroups } from './stream-groups.ts';
import { StreamId } from './stream-id.ts';

// Scratch ids. They are not used beyond one call.
const firstId = new StreamId();
const lastId = new StreamId();
const maxDeleted = new StreamId();
const groupId = new StreamId();

/** Returns whether an entry was deleted at or behind `id`. */
export function isFragmentedFrom(entries: StreamEntries, id: StreamId): boolean {
  entries.readMaxDeleted(maxDeleted);
  entries.readFirstId(firstId);
  // Entries that were deleted before the first entry count as trimmed.
  if (entries.length === 0 || maxDeleted.isMin || firstId.compare(maxDeleted) > 0) return false;
  return id.compare(maxDeleted) <= 0;
}

/** Returns the number of entries ever added up to `id`, or {@link ENTRIES_READ_UNKNOWN}. */
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
 * Returns the number of entries that a group has yet to read, or NaN when it is unknown. It is
 * negative when a client set ENTRIESREAD too high.
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
