/**
 * Hot path. Sorted sets as values of keys: opens them, notes their new places, and stores new sets.
 * Main thread.
 */
import { NIL, type Ref } from '../../base/units.ts';
import { Encoding, ValueType } from '../../keyspace/entry.ts';
import type { SortedSet } from '../../structs/sorted-set.ts';
import type { CommandContext } from '../context.ts';
import { EventClass } from '../ports.ts';

export const NOT_A_FLOAT = 'ERR value is not a valid float';

/** Opens the sorted set of `entry`. Stale once another one is opened. */
export function openSet(context: CommandContext, entry: Ref): SortedSet {
  return openIn(context, entry, context.server.keyspace.structures.sortedSet);
}

/** As {@link openSet}, with a SortedSet of the caller. */
export function openIn(context: CommandContext, entry: Ref, set: SortedSet): SortedSet {
  const { db } = context;
  set.open(db.value(entry), db.encoding(entry) === Encoding.SKIPLIST);
  return set;
}

/** Notes in `entry` the place and form of its set after a change. */
export function settle(context: CommandContext, entry: Ref, set: SortedSet): void {
  const { db } = context;
  if (db.value(entry) !== set.ref) db.setObject(entry, encodingOf(set), set.ref);
}

export function encodingOf(set: SortedSet): Encoding {
  return set.large ? Encoding.SKIPLIST : Encoding.LISTPACK;
}

/**
 * Deletes the key in argument `index` if its set is empty, and sends the event. Call it when all
 * other events are sent.
 */
export function dropIfEmpty(
  context: CommandContext,
  entry: Ref,
  set: SortedSet,
  index: number,
): void {
  if (set.count() > 0) return;
  set.free();
  context.db.removeEmptied(entry);
  context.notify(EventClass.GENERIC, 'del', index);
}

/**
 * Removes a range of ranks from the set of `entry`. When all members go, the key is removed, and a
 * large set is freed in slices.
 */
export function removeRanks(
  context: CommandContext,
  entry: Ref,
  set: SortedSet,
  rank: number,
  count: number,
): boolean {
  if (count === set.count()) {
    context.removeEntry(entry);
    return true;
  }
  set.removeRange(rank, count);
  settle(context, entry, set);
  return false;
}

/** Adds a new set under the key in argument `index`, which was looked up last and is absent. */
export function addSet(context: CommandContext, index: number, set: SortedSet): void {
  const { request, db } = context;
  db.addObject(
    request.bytes,
    request.position[index]!,
    request.length[index]!,
    ValueType.ZSET,
    encodingOf(set),
    set.ref,
  );
  context.notify(EventClass.NEW, 'new', index);
}

/**
 * Stores a new set under the key in argument `index`, whatever its old value, and answers the
 * length. An empty set deletes the key. `event` is the name of the event. Afterwards the keyspace
 * owns the set, or it is freed.
 */
export function storeSet(
  context: CommandContext,
  index: number,
  set: SortedSet,
  event: string,
): void {
  const { request, db, reply, server } = context;
  const count = set.count();
  if (count === 0) {
    set.free();
    const entry = db.find(request.bytes, request.position[index]!, request.length[index]!);
    if (entry !== NIL) {
      context.removeEntry(entry);
      context.changed(index);
      context.notify(EventClass.GENERIC, 'del', index);
    }
    reply.integer(0);
    return;
  }
  set.reduce(server.settings.zsetMaxListpackEntries, server.settings.zsetMaxListpackValue);
  const entry = context.lookupWrite(index);
  if (entry === NIL) addSet(context, index, set);
  else db.overwriteObject(entry, ValueType.ZSET, encodingOf(set), set.ref, false);
  context.changed(index);
  context.notify(EventClass.ZSET, event, index);
  reply.integer(count);
}

/** Answers the current member of the set. */
export function replyMember(context: CommandContext, set: SortedSet): void {
  const { bytes, position, length } = set.member();
  context.reply.bulk(bytes, position, length);
}
