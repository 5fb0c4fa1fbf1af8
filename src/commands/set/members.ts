/** Hot path. Commands on named members of one set. Main thread. */
import { equalBytes } from '../../base/byte-copy.ts';
import { NIL, type Ref } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import type { MemberSet } from '../../structs/member-set.ts';
import { type CommandContext, WRONG, WRONGTYPE } from '../context.ts';
import { EventClass } from '../ports.ts';
import {
  cursorArgument,
  matchesPattern,
  SCAN_STEPS_PER_ELEMENT,
  scanOptions,
} from '../scan-options.ts';
import { addMemberSet, openMembers, openMembersIn, settleMembers, settleOrDrop } from './value.ts';

export function sadd(context: CommandContext): void {
  const { reply } = context;
  const entry = context.writeTyped(1, ValueType.SET);
  if (entry === WRONG) return;
  const added = entry === NIL ? addToNew(context) : addToExisting(context, entry);
  if (added > 0) {
    context.changes += added;
    context.modified(1);
    if (entry === NIL) context.notify(EventClass.NEW, 'new', 1);
    context.notify(EventClass.SET, 'sadd', 1);
  }
  reply.integer(added);
}

/** Makes a set of the arguments from 2 on. Returns the number of its members. */
function addToNew(context: CommandContext): number {
  const { request, server } = context;
  const set = server.keyspace.structures.memberSet;
  const { bytes, position, length } = request;
  set.createFor(bytes, position[2]!, length[2]!, request.argc - 2, server.settings);
  try {
    const added = addArguments(context, set);
    addMemberSet(context, 1, set);
    return added;
  } catch (error) {
    // There is no memory for all members, so the key is not added.
    set.free();
    throw error;
  }
}

function addToExisting(context: CommandContext, entry: Ref): number {
  const set = openMembers(context, entry);
  try {
    set.makeRoom(context.request.argc - 2, context.server.settings);
    return addArguments(context, set);
  } finally {
    // The place of the set must be noted even when there was no memory for a member.
    settleMembers(context, entry, set);
  }
}

function addArguments(context: CommandContext, set: MemberSet): number {
  const { request } = context;
  const { settings } = context.server;
  let added = 0;
  for (let at = 2; at < request.argc; at++) {
    if (set.add(request.bytes, request.position[at]!, request.length[at]!, settings)) added++;
  }
  return added;
}

export function srem(context: CommandContext): void {
  const { request, reply } = context;
  const entry = context.writeTyped(1, ValueType.SET);
  if (entry === WRONG) return;
  let removed = 0;
  if (entry !== NIL) {
    const set = openMembers(context, entry);
    for (let at = 2; at < request.argc && set.count() > 0; at++) {
      if (set.remove(request.bytes, request.position[at]!, request.length[at]!)) removed++;
    }
    if (removed > 0) {
      const gone = settleOrDrop(context, entry, set);
      context.changes += removed;
      context.modified(1);
      context.notify(EventClass.SET, 'srem', 1);
      if (gone) context.notify(EventClass.GENERIC, 'del', 1);
    }
  }
  reply.integer(removed);
}

export function sismember(context: CommandContext): void {
  const entry = context.readTyped(1, ValueType.SET);
  if (entry === WRONG) return;
  context.reply.integer(
    entry !== NIL && hasArgument(context, openMembers(context, entry), 2) ? 1 : 0,
  );
}

export function smismember(context: CommandContext): void {
  const { request, reply } = context;
  const entry = context.readTyped(1, ValueType.SET);
  if (entry === WRONG) return;
  const set = entry === NIL ? undefined : openMembers(context, entry);
  reply.array(request.argc - 2);
  for (let at = 2; at < request.argc; at++) {
    reply.integer(set !== undefined && hasArgument(context, set, at) ? 1 : 0);
  }
}

function hasArgument(context: CommandContext, set: MemberSet, at: number): boolean {
  const { request } = context;
  return set.has(request.bytes, request.position[at]!, request.length[at]!);
}

export function scard(context: CommandContext): void {
  const entry = context.readTyped(1, ValueType.SET);
  if (entry !== WRONG)
    context.reply.integer(entry === NIL ? 0 : openMembers(context, entry).count());
}

export function smove(context: CommandContext): void {
  const { reply, db, server } = context;
  const from = context.lookupWrite(1);
  const to = context.lookupWrite(2);
  if (from === NIL) {
    reply.integer(0);
    return;
  }
  if (db.type(from) !== ValueType.SET || (to !== NIL && db.type(to) !== ValueType.SET)) {
    reply.error(WRONGTYPE);
    return;
  }
  const source = openMembers(context, from);
  const present = hasArgument(context, source, 3);
  if (!present || sameKeys(context)) {
    reply.integer(present ? 1 : 0);
    return;
  }
  // The member is added first, since only this can fail for lack of memory. The events have the
  // order of Redis.
  const target = server.keyspace.structures.otherMemberSet;
  const added = addMoved(context, to, target);
  const { request } = context;
  source.remove(request.bytes, request.position[3]!, request.length[3]!);
  const gone = settleOrDrop(context, from, source);
  context.notify(EventClass.SET, 'srem', 1);
  if (gone) context.notify(EventClass.GENERIC, 'del', 1);
  if (to === NIL) context.notify(EventClass.NEW, 'new', 2);
  context.changed(1);
  if (added) {
    context.changed(2);
    context.notify(EventClass.SET, 'sadd', 2);
  }
  reply.integer(1);
}

/**
 * Adds the member in argument 3 to the set of `to`, or to a new set under the key in argument 2.
 */
function addMoved(context: CommandContext, to: Ref, set: MemberSet): boolean {
  const { request, db, server } = context;
  const { bytes } = request;
  const start = request.position[3]!;
  const length = request.length[3]!;
  if (to !== NIL) {
    openMembersIn(db, to, set);
    try {
      return set.add(bytes, start, length, server.settings);
    } finally {
      settleMembers(context, to, set);
    }
  }
  set.createFor(bytes, start, length, 1, server.settings);
  try {
    set.add(bytes, start, length, server.settings);
    addMemberSet(context, 2, set);
  } catch (error) {
    set.free();
    throw error;
  }
  return true;
}

function sameKeys(context: CommandContext): boolean {
  const { bytes, position, length } = context.request;
  return (
    length[1] === length[2] && equalBytes(bytes, position[1]!, bytes, position[2]!, length[1]!)
  );
}

export function sscan(context: CommandContext): void {
  const { reply } = context;
  const start = cursorArgument(context, 2);
  if (start < 0) return;
  const entry = context.readTyped(1, ValueType.SET);
  if (entry === WRONG) return;
  if (entry === NIL) {
    reply.array(2);
    reply.bulkInteger(0);
    reply.emptyArray();
    return;
  }
  const options = scanOptions(context, 3, false);
  if (options === undefined) return;
  const set = openMembers(context, entry);
  const found: Uint8Array[] = [];
  let seen = 0;
  const visit = (): void => {
    seen++;
    const { bytes, position, length } = set.member();
    if (matchesPattern(context, options.matchAt, bytes, position, length))
      found.push(set.copyMember());
  };
  let cursor = start;
  let steps = options.count * SCAN_STEPS_PER_ELEMENT;
  do cursor = set.scan(cursor, visit);
  while (cursor !== 0 && --steps > 0 && seen < options.count);
  reply.array(2);
  reply.bulkInteger(cursor);
  reply.array(found.length);
  for (const member of found) reply.bulk(member, 0, member.length);
}
