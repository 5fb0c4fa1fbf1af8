/** XINFO: the state of a stream, its groups and their consumers. Main thread. */
import { NIL, type Ref } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import { Aggregate } from '../../resp/reply.ts';
import { IdCursor } from '../../structs/id-tree.ts';
import { groupLag } from '../../structs/stream-counts.ts';
import type { StreamEntries } from '../../structs/stream-entries.ts';
import { ENTRIES_READ_UNKNOWN, NEVER_ACTIVE } from '../../structs/stream-groups.ts';
import { StreamId } from '../../structs/stream-id.ts';
import { integerArgument, replyInteger } from '../arguments.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { subcommandSyntax } from './group.ts';
import { findGroup, groupsOf, openStream, replyEntry, replyId, replyName } from './value.ts';

/** The default number of entries that FULL shows. */
const COUNT = 10;
const HELP = [
  'XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
  'CONSUMERS <key> <groupname>',
  '    Shows the consumers of a group.',
  'GROUPS <key>',
  '    Shows the groups of a stream.',
  'STREAM <key> [FULL [COUNT <count>]]',
  '    Shows a stream; with FULL its entries, groups and consumers too.',
  'HELP',
  '    Prints this help.',
] as const;

// State of the current command.
const id = new StreamId();
const min = new StreamId();
const max = new StreamId();
max.setMax();

export function xinfoHelp(context: CommandContext): void {
  context.reply.array(HELP.length);
  for (const line of HELP) context.reply.simple(line);
}

/** Opens the stream in argument 2. Returns undefined after an error reply. */
function needStream(context: CommandContext): StreamEntries | undefined {
  const entry = context.readTyped(2, ValueType.STREAM);
  if (entry === WRONG) return undefined;
  if (entry !== NIL) return openStream(context, entry);
  context.reply.error('ERR no such key');
  return undefined;
}

export function xinfoStream(context: CommandContext): void {
  const { request, reply } = context;
  const entries = needStream(context);
  if (entries === undefined) return;
  if (request.argc === 3) {
    replyCommon(context, entries, 10);
    reply.bulkLatin1('groups');
    reply.integer(groupsOf(context).groupCount(entries.ref));
    replyEdge(context, entries, 'first-entry', false);
    replyEdge(context, entries, 'last-entry', true);
    return;
  }
  const counted = request.argc === 6 && request.equalsIgnoreCase(4, 'COUNT');
  if (!request.equalsIgnoreCase(3, 'FULL') || (request.argc !== 4 && !counted)) {
    subcommandSyntax(context, 'XINFO');
    return;
  }
  let count = counted ? integerArgument(context, 5) : COUNT;
  if (Number.isNaN(count)) return;
  if (count < 0) count = COUNT;
  replyCommon(context, entries, 9);
  reply.bulkLatin1('entries');
  const cursor = entries.seek(min, max, false);
  const array = reply.deferArray();
  let shown = 0;
  while ((count === 0 || shown < count) && cursor.next()) {
    replyEntry(reply, cursor);
    shown++;
  }
  reply.setDeferred(array, shown, Aggregate.ARRAY);
  reply.bulkLatin1('groups');
  const groups = groupsOf(context);
  const groupCount = groups.groupCount(entries.ref);
  reply.array(groupCount);
  for (let i = 0; i < groupCount; i++)
    replyFullGroup(context, entries, groups.groupAt(entries.ref, i), count);
}

function replyCommon(context: CommandContext, entries: StreamEntries, pairs: number): void {
  const { reply } = context;
  reply.map(pairs);
  reply.bulkLatin1('length');
  reply.integer(entries.length);
  reply.bulkLatin1('radix-tree-keys');
  reply.integer(entries.nodeCount);
  // There is no radix tree here. This is the number of nodes of one without common prefixes.
  reply.bulkLatin1('radix-tree-nodes');
  reply.integer(entries.nodeCount + 1);
  reply.bulkLatin1('last-generated-id');
  entries.readLastId(id);
  replyId(reply, id);
  reply.bulkLatin1('max-deleted-entry-id');
  entries.readMaxDeleted(id);
  replyId(reply, id);
  reply.bulkLatin1('entries-added');
  replyInteger(context, entries.entriesAdded);
  reply.bulkLatin1('recorded-first-entry-id');
  entries.readFirstId(id);
  replyId(reply, id);
}

function replyEdge(
  context: CommandContext,
  entries: StreamEntries,
  name: string,
  last: boolean,
): void {
  const { reply } = context;
  reply.bulkLatin1(name);
  const cursor = entries.seek(min, max, last);
  if (cursor.next()) replyEntry(reply, cursor);
  else reply.nil();
}

function replyFullGroup(
  context: CommandContext,
  entries: StreamEntries,
  group: Ref,
  count: number,
): void {
  const { reply } = context;
  const groups = groupsOf(context);
  reply.map(7);
  reply.bulkLatin1('name');
  replyName(context, group);
  replyProgress(context, entries, group);
  replyPending(context, group, count, true);
  const consumers = groups.consumerCount(group);
  reply.bulkLatin1('consumers');
  reply.array(consumers);
  for (let i = 0; i < consumers; i++) {
    const consumer = groups.consumerAt(group, i);
    reply.map(5);
    reply.bulkLatin1('name');
    replyName(context, consumer);
    reply.bulkLatin1('seen-time');
    reply.integer(groups.seen(consumer));
    reply.bulkLatin1('active-time');
    reply.integer(groups.active(consumer));
    replyPending(context, consumer, count, false);
  }
}

/** Answers the last id, the number of entries read, and the lag. */
function replyProgress(context: CommandContext, entries: StreamEntries, group: Ref): void {
  const { reply } = context;
  const groups = groupsOf(context);
  reply.bulkLatin1('last-delivered-id');
  groups.readGroupLastId(group, id);
  replyId(reply, id);
  reply.bulkLatin1('entries-read');
  const read = groups.entriesRead(group);
  if (read === ENTRIES_READ_UNKNOWN) reply.nil();
  else replyInteger(context, read);
  reply.bulkLatin1('lag');
  const lag = groupLag(entries, groups, group);
  if (Number.isNaN(lag)) reply.nil();
  else replyInteger(context, lag);
}

/** Answers the number of pending entries of a group or consumer, and some of these entries. */
function replyPending(
  context: CommandContext,
  named: Ref,
  count: number,
  withConsumer: boolean,
): void {
  const { reply, server } = context;
  const groups = groupsOf(context);
  reply.bulkLatin1('pel-count');
  reply.integer(groups.pendingCount(named));
  reply.bulkLatin1('pending');
  const array = reply.deferArray();
  let shown = 0;
  const cursor = new IdCursor(server.keyspace.arena);
  let more = cursor.seekFirst(groups.pendingOf(named));
  for (; more && (count === 0 || shown < count); more = cursor.next()) {
    const delivery = cursor.value;
    reply.array(withConsumer ? 4 : 3);
    replyId(reply, cursor.id);
    if (withConsumer) replyName(context, groups.consumerOf(delivery));
    reply.integer(groups.deliveryTime(delivery));
    replyInteger(context, groups.deliveryCount(delivery));
    shown++;
  }
  reply.setDeferred(array, shown, Aggregate.ARRAY);
}

export function xinfoGroups(context: CommandContext): void {
  const { reply } = context;
  const entries = needStream(context);
  if (entries === undefined) return;
  const groups = groupsOf(context);
  const count = groups.groupCount(entries.ref);
  reply.array(count);
  for (let i = 0; i < count; i++) {
    const group = groups.groupAt(entries.ref, i);
    reply.map(6);
    reply.bulkLatin1('name');
    replyName(context, group);
    reply.bulkLatin1('consumers');
    reply.integer(groups.consumerCount(group));
    reply.bulkLatin1('pending');
    reply.integer(groups.pendingCount(group));
    replyProgress(context, entries, group);
  }
}

export function xinfoConsumers(context: CommandContext): void {
  const { request, reply, server } = context;
  const entries = needStream(context);
  if (entries === undefined) return;
  const group = findGroup(context, entries.ref, 3);
  if (group === NIL) {
    reply.error(
      `NOGROUP No such consumer group '${request.latin1(3)}' for key name '${request.latin1(2)}'`,
    );
    return;
  }
  const groups = groupsOf(context);
  const count = groups.consumerCount(group);
  reply.array(count);
  for (let i = 0; i < count; i++) {
    const consumer = groups.consumerAt(group, i);
    const active = groups.active(consumer);
    reply.map(4);
    reply.bulkLatin1('name');
    replyName(context, consumer);
    reply.bulkLatin1('pending');
    reply.integer(groups.pendingCount(consumer));
    reply.bulkLatin1('idle');
    reply.integer(Math.max(server.nowMs - groups.seen(consumer), 0));
    reply.bulkLatin1('inactive');
    reply.integer(active === NEVER_ACTIVE ? -1 : Math.max(server.nowMs - active, 0));
  }
}
