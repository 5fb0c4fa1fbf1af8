/**
 * The pending entries of a group: XPENDING, XCLAIM, XAUTOCLAIM. Main thread.
 *
 * The stream carries an XCLAIM for each claimed entry, with its time and count. A claimed entry
 * that turns out to be deleted is sent in the same way, and the replica then drops it, too.
 */
import { NIL, type Ref } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import { Aggregate } from '../../resp/reply.ts';
import { IdCursor } from '../../structs/id-tree.ts';
import type { StreamEntries } from '../../structs/stream-entries.ts';
import { StreamId } from '../../structs/stream-id.ts';
import { integerArgument, keptArgument, replyInteger, SYNTAX_ERROR } from '../arguments.ts';
import { type CommandContext, WRONG, WRONGTYPE } from '../context.ts';
import {
  copyName,
  findConsumer,
  findGroup,
  groupsOf,
  idArgument,
  intervalArgument,
  needConsumer,
  openStream,
  parseId,
  replicateClaim,
  replicateGroupId,
  replyEntry,
  replyId,
  replyName,
} from './value.ts';

const AUTOCLAIM_COUNT = 100;
/** XAUTOCLAIM checks at most this many deliveries for each one that it may claim. */
const AUTOCLAIM_ATTEMPTS = 10;
/** With this limit, COUNT times AUTOCLAIM_ATTEMPTS is a 64-bit integer. */
const AUTOCLAIM_COUNT_MAX = Math.floor(2 ** 63 / 16);
const NO_TIME = -1;

// State of the current command. It is not used beyond one call.
const id = new StreamId();
const from = new StreamId();
const to = new StreamId();
const lastId = new StreamId();

/**
 * Opens the stream in argument 1 and returns the group in argument 2, or NIL after an error reply.
 */
function needGroup(context: CommandContext): Ref {
  const entry = context.readTyped(1, ValueType.STREAM);
  return entry === WRONG ? NIL : groupOf(context, entry);
}

/** As {@link needGroup}, for the stream of `entry`. */
function groupOf(context: CommandContext, entry: Ref): Ref {
  const { request, reply } = context;
  const group = entry === NIL ? NIL : findGroup(context, openStream(context, entry).ref, 2);
  if (group === NIL)
    reply.error(
      `NOGROUP No such key '${request.latin1(1)}' or consumer group '${request.latin1(2)}'`,
    );
  return group;
}

const openedEntries = (context: CommandContext): StreamEntries =>
  context.server.keyspace.structures.streams.entries;

export function xpending(context: CommandContext): void {
  const { request, reply } = context;
  if (request.argc === 3) {
    const group = needGroup(context);
    if (group !== NIL) replySummary(context, group);
    return;
  }
  if (request.argc < 6 || request.argc > 9) {
    reply.error(SYNTAX_ERROR);
    return;
  }
  let at = 3;
  let idleMin = 0;
  if (request.equalsIgnoreCase(3, 'IDLE')) {
    idleMin = integerArgument(context, 4);
    if (Number.isNaN(idleMin)) return;
    if (request.argc < 8) {
      reply.error(SYNTAX_ERROR);
      return;
    }
    at = 5;
  }
  const count = integerArgument(context, at + 2);
  if (Number.isNaN(count)) return;
  if (!intervalArgument(context, at, from, true) || !intervalArgument(context, at + 1, to, false))
    return;
  const group = needGroup(context);
  if (group === NIL) return;
  const consumerAt = at + 3;
  let named = group;
  if (consumerAt < request.argc) named = findConsumer(context, group, consumerAt);
  if (named === NIL) reply.emptyArray();
  else replyDeliveries(context, named, Math.max(count, 0), idleMin);
}

function replySummary(context: CommandContext, group: Ref): void {
  const { reply, server } = context;
  const groups = groupsOf(context);
  const pending = groups.pendingCount(group);
  reply.array(4);
  reply.integer(pending);
  if (pending === 0) {
    reply.nil();
    reply.nil();
    reply.nilArray();
    return;
  }
  const cursor = new IdCursor(server.keyspace.arena);
  cursor.seekFirst(groups.pendingOf(group));
  replyId(reply, cursor.id);
  cursor.seekLast(groups.pendingOf(group));
  replyId(reply, cursor.id);
  const array = reply.deferArray();
  let consumers = 0;
  for (let i = 0; i < groups.consumerCount(group); i++) {
    const consumer = groups.consumerAt(group, i);
    const count = groups.pendingCount(consumer);
    if (count === 0) continue;
    reply.array(2);
    replyName(context, consumer);
    reply.bulkInteger(count);
    consumers++;
  }
  reply.setDeferred(array, consumers, Aggregate.ARRAY);
}

/** Answers the pending entries of a group or consumer between the two bounds. */
function replyDeliveries(
  context: CommandContext,
  named: Ref,
  countMax: number,
  idleMin: number,
): void {
  const { reply, server } = context;
  const groups = groupsOf(context);
  const cursor = new IdCursor(server.keyspace.arena);
  const array = reply.deferArray();
  let count = 0;
  let more = countMax > 0 && cursor.seekCeiling(groups.pendingOf(named), from);
  for (; more && count < countMax && cursor.id.compare(to) <= 0; more = cursor.next()) {
    const delivery = cursor.value;
    const idle = server.nowMs - groups.deliveryTime(delivery);
    if (idleMin !== 0 && idle < idleMin) continue;
    reply.array(4);
    replyId(reply, cursor.id);
    replyName(context, groups.consumerOf(delivery));
    reply.integer(Math.max(idle, 0));
    replyInteger(context, groups.deliveryCount(delivery));
    count++;
  }
  reply.setDeferred(array, count, Aggregate.ARRAY);
}

/** The options behind the ids of XCLAIM. */
interface ClaimOptions {
  readonly idleMin: number;
  readonly force: boolean;
  readonly justId: boolean;
  /** -1 when not given. */
  readonly retryCount: number;
  readonly timeMs: number;
  /** Index of the argument behind the last id. */
  readonly idsEnd: number;
}

/**
 * Reads the arguments of XCLAIM from 4 on, and LASTID into `lastId`. Returns undefined after an
 * error reply.
 */
function parseClaim(context: CommandContext): ClaimOptions | undefined {
  const { request, reply, server } = context;
  const { nowMs } = server;
  const idleMin = integerArgument(context, 4, 'ERR Invalid min-idle-time argument for XCLAIM');
  if (Number.isNaN(idleMin)) return undefined;
  let at = 5;
  while (at < request.argc && parseId(context, at, id, 0) !== undefined) at++;
  const idsEnd = at;
  let force = false;
  let justId = false;
  let retryCount = -1;
  let timeMs = NO_TIME;
  lastId.setMin();
  for (; at < request.argc; at++) {
    const more = at + 1 < request.argc;
    if (request.equalsIgnoreCase(at, 'FORCE')) force = true;
    else if (request.equalsIgnoreCase(at, 'JUSTID')) justId = true;
    else if (more && request.equalsIgnoreCase(at, 'IDLE')) {
      timeMs =
        nowMs - integerArgument(context, ++at, 'ERR Invalid IDLE option argument for XCLAIM');
      if (Number.isNaN(timeMs)) return undefined;
    } else if (more && request.equalsIgnoreCase(at, 'TIME')) {
      timeMs = integerArgument(context, ++at, 'ERR Invalid TIME option argument for XCLAIM');
      if (Number.isNaN(timeMs)) return undefined;
    } else if (more && request.equalsIgnoreCase(at, 'RETRYCOUNT')) {
      retryCount = keptArgument(context, ++at, 'ERR Invalid RETRYCOUNT option argument for XCLAIM');
      if (Number.isNaN(retryCount)) return undefined;
    } else if (more && request.equalsIgnoreCase(at, 'LASTID')) {
      if (!idArgument(context, ++at, lastId, 0)) return undefined;
    } else {
      reply.error(`ERR Unrecognized XCLAIM option '${request.latin1(at)}'`);
      return undefined;
    }
  }
  // A time in the future is not an error, since clocks differ. It becomes the current time.
  if (timeMs < 0 || timeMs > nowMs) timeMs = nowMs;
  return { idleMin: Math.max(idleMin, 0), force, justId, retryCount, timeMs, idsEnd };
}

export function xclaim(context: CommandContext): void {
  context.replicateNothing();
  const { request, reply, server } = context;
  const group = needGroup(context);
  if (group === NIL) return;
  const options = parseClaim(context);
  if (options === undefined) return;
  const groups = groupsOf(context);
  groups.readGroupLastId(group, from);
  let moved = false;
  if (lastId.compare(from) > 0) {
    groups.setGroupLastId(group, lastId);
    moved = true;
  }
  const created = findConsumer(context, group, 3) === NIL;
  const consumer = needConsumer(context, group, 3, 1);
  groups.setSeen(consumer, server.nowMs);
  const entries = openedEntries(context);
  const array = reply.deferArray();
  let claimed = 0;
  let told = false;
  for (let at = 5; at < options.idsEnd; at++) {
    parseId(context, at, id, 0);
    let delivery = groups.findDelivery(group, id);
    if (!exists(entries, id)) {
      if (delivery === NIL) continue;
      dropDelivery(context, group, delivery, request.copy(at));
      told = true;
      continue;
    }
    if (delivery === NIL) {
      if (!options.force) continue;
      delivery = groups.addDelivery(group, consumer, id);
      groups.setDelivery(delivery, options.timeMs, 1);
    } else if (
      options.idleMin > 0 &&
      server.nowMs - groups.deliveryTime(delivery) < options.idleMin
    ) {
      continue;
    }
    let count = groups.deliveryCount(delivery);
    if (options.retryCount >= 0) count = options.retryCount;
    else if (!options.justId) count++;
    give(context, group, delivery, consumer, options.timeMs, count, request.copy(at));
    replyClaimed(context, entries, options.justId);
    claimed++;
    told = true;
  }
  reply.setDeferred(array, claimed, Aggregate.ARRAY);
  if (claimed === 0 && created) replicateConsumer(context, group, consumer);
  if (told || !moved) return;
  replicateGroupId(context, 1, group);
  context.changes++;
}

export function xautoclaim(context: CommandContext): void {
  context.replicateNothing();
  const { request, reply, server } = context;
  const entry = context.lookupRead(1);
  const idleMin = integerArgument(context, 4, 'ERR Invalid min-idle-time argument for XAUTOCLAIM');
  if (Number.isNaN(idleMin) || !intervalArgument(context, 5, from, true)) return;
  let count = AUTOCLAIM_COUNT;
  let justId = false;
  for (let at = 6; at < request.argc; at++) {
    if (at + 1 < request.argc && request.equalsIgnoreCase(at, 'COUNT')) {
      count = integerArgument(context, ++at, 'ERR COUNT must be > 0');
      if (Number.isNaN(count)) return;
      if (count < 1 || count > AUTOCLAIM_COUNT_MAX) {
        reply.error('ERR COUNT must be > 0');
        return;
      }
    } else if (request.equalsIgnoreCase(at, 'JUSTID')) {
      justId = true;
    } else {
      reply.error(SYNTAX_ERROR);
      return;
    }
  }
  if (entry !== NIL && context.db.type(entry) !== ValueType.STREAM) {
    reply.error(WRONGTYPE);
    return;
  }
  const group = groupOf(context, entry);
  if (group === NIL) return;
  const groups = groupsOf(context);
  const entries = openedEntries(context);
  const created = findConsumer(context, group, 3) === NIL;
  const consumer = needConsumer(context, group, 3, 1);
  groups.setSeen(consumer, server.nowMs);
  const found = findIdle(context, group, Math.max(idleMin, 0), count);
  reply.array(3);
  replyId(reply, found.next);
  reply.array(found.claimed.length);
  // The replies keep the order of the ids, in which the deliveries were found.
  for (const { id: each, live } of found.all) {
    id.copyFrom(each);
    const delivery = groups.findDelivery(group, id);
    if (!live) {
      dropDelivery(context, group, delivery, id.toString());
      continue;
    }
    const times = groups.deliveryCount(delivery) + (justId ? 0 : 1);
    give(context, group, delivery, consumer, server.nowMs, times, id.toString());
    replyClaimed(context, entries, justId);
  }
  reply.array(found.deleted.length);
  for (const each of found.deleted) replyId(reply, each);
  if (created && found.claimed.length === 0) replicateConsumer(context, group, consumer);
}

interface IdleDeliveries {
  readonly all: { readonly id: StreamId; readonly live: boolean }[];
  readonly claimed: StreamId[];
  readonly deleted: StreamId[];
  /** The id where the next search begins, or 0-0 at the end. */
  readonly next: StreamId;
}

/**
 * Finds up to `countMax` deliveries of a group, from the id in `from` on, that were idle for at
 * least `idleMin` ms or whose entry is deleted. Checks at most AUTOCLAIM_ATTEMPTS deliveries for
 * each.
 */
function findIdle(
  context: CommandContext,
  group: Ref,
  idleMin: number,
  countMax: number,
): IdleDeliveries {
  const { server } = context;
  const groups = groupsOf(context);
  const entries = openedEntries(context);
  const cursor = new IdCursor(server.keyspace.arena);
  const found: IdleDeliveries = { all: [], claimed: [], deleted: [], next: new StreamId() };
  let attempts = countMax * AUTOCLAIM_ATTEMPTS;
  let more = cursor.seekCeiling(groups.pendingOf(group), from);
  for (; more && attempts > 0 && found.all.length < countMax; more = cursor.next()) {
    attempts--;
    const live = exists(entries, cursor.id);
    if (live && idleMin > 0 && server.nowMs - groups.deliveryTime(cursor.value) < idleMin) continue;
    const each = new StreamId();
    each.copyFrom(cursor.id);
    found.all.push({ id: each, live });
    (live ? found.claimed : found.deleted).push(each);
  }
  if (more) found.next.copyFrom(cursor.id);
  return found;
}

function exists(entries: StreamEntries, entryId: StreamId): boolean {
  return entries.seek(entryId, entryId, false).next();
}

/** Removes the delivery of the entry in `id`, which is deleted. */
function dropDelivery(
  context: CommandContext,
  group: Ref,
  delivery: Ref,
  text: Uint8Array | string,
): void {
  replicateClaim(context, 1, group, text, delivery);
  groupsOf(context).removeDelivery(group, id);
  context.changes++;
}

/** Moves the delivery of the entry in `id` to a consumer. */
function give(
  context: CommandContext,
  group: Ref,
  delivery: Ref,
  consumer: Ref,
  timeMs: number,
  count: number,
  text: Uint8Array | string,
): void {
  const groups = groupsOf(context);
  groups.moveDelivery(delivery, id, consumer);
  groups.setDelivery(delivery, timeMs, count);
  groups.setActive(consumer, context.server.nowMs);
  replicateClaim(context, 1, group, text, delivery);
  context.changes++;
}

function replyClaimed(context: CommandContext, entries: StreamEntries, justId: boolean): void {
  const { reply } = context;
  if (justId) {
    replyId(reply, id);
    return;
  }
  const cursor = entries.seek(id, id, false);
  cursor.next();
  replyEntry(reply, cursor);
}

/**
 * Sends a new consumer that was given nothing to the stream. Otherwise replicas would not have it.
 */
function replicateConsumer(context: CommandContext, group: Ref, consumer: Ref): void {
  const key = context.request.copy(1);
  context.replicateAs(
    'XGROUP',
    'CREATECONSUMER',
    key,
    copyName(context, group),
    copyName(context, consumer),
  );
}
