/** Commands that read lists, or change them in the middle. Main thread. */
import { NIL } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import { Aggregate, type Reply } from '../../resp/reply.ts';
import { integerArgument, negatableArgument, SYNTAX_ERROR } from '../arguments.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { EventClass } from '../ports.ts';
import {
  openList,
  removeElements,
  replyElement,
  replyElements,
  settleList,
  settleShrunk,
} from './value.ts';

const RANK_ZERO =
  "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start " +
  'from the end of the list';

export function llen(context: CommandContext): void {
  const entry = context.readTyped(1, ValueType.LIST);
  if (entry === WRONG) return;
  context.reply.integer(entry === NIL ? 0 : openList(context, entry).count);
}

export function lindex(context: CommandContext): void {
  const entry = context.readTyped(1, ValueType.LIST);
  if (entry === WRONG) return;
  if (entry === NIL) {
    context.reply.nil();
    return;
  }
  const index = integerArgument(context, 2);
  if (Number.isNaN(index)) return;
  const list = openList(context, entry);
  if (list.seek(index)) replyElement(context, list);
  else context.reply.nil();
}

export function lrange(context: CommandContext): void {
  const start = integerArgument(context, 2);
  if (Number.isNaN(start)) return;
  const end = integerArgument(context, 3);
  if (Number.isNaN(end)) return;
  const entry = context.readTyped(1, ValueType.LIST);
  if (entry === WRONG) return;
  if (entry === NIL) {
    context.reply.emptyArray();
    return;
  }
  const list = openList(context, entry);
  const length = list.count;
  const from = firstIndex(start, length);
  replyElements(context, list, from, rangeLength(from, end, length), false);
}

/** Converts an index that may count from the end to one from the start, at least 0. */
const firstIndex = (index: number, length: number): number =>
  Math.max(0, index < 0 ? index + length : index);

/** Returns the number of elements from `from` to `end`, which may count from the end. */
function rangeLength(from: number, end: number, length: number): number {
  const last = Math.min(end < 0 ? end + length : end, length - 1);
  return Math.max(0, last - from + 1);
}

export function ltrim(context: CommandContext): void {
  const { reply } = context;
  const start = integerArgument(context, 2);
  if (Number.isNaN(start)) return;
  const end = integerArgument(context, 3);
  if (Number.isNaN(end)) return;
  const entry = context.writeTyped(1, ValueType.LIST);
  if (entry === WRONG) return;
  reply.ok();
  if (entry === NIL) return;
  const list = openList(context, entry);
  const length = list.count;
  const from = firstIndex(start, length);
  const kept = rangeLength(from, end, length);
  context.changes += length - kept;
  context.modified(1);
  if (kept === 0) {
    context.removeEntry(entry);
    context.notify(EventClass.LIST, 'ltrim', 1);
    context.notify(EventClass.GENERIC, 'del', 1);
    return;
  }
  removeElements(context, list, from + kept, length - from - kept);
  removeElements(context, list, 0, from);
  context.notify(EventClass.LIST, 'ltrim', 1);
  settleShrunk(context, entry, list, 1);
}

export function lset(context: CommandContext): void {
  const { request, reply } = context;
  const entry = context.writeTyped(1, ValueType.LIST);
  if (entry === WRONG) return;
  if (entry === NIL) {
    reply.error('ERR no such key');
    return;
  }
  const index = integerArgument(context, 2);
  if (Number.isNaN(index)) return;
  const list = openList(context, entry);
  list.prepareFor(1, request.length[3]!);
  if (list.seek(index)) {
    list.replace(request.bytes, request.position[3]!, request.length[3]!);
    reply.ok();
    context.changed(1);
    context.notify(EventClass.LIST, 'lset', 1);
    // The new element may be shorter than the old one.
    list.shrink();
  } else {
    reply.error('ERR index out of range');
  }
  settleList(context, entry, list);
}

export function linsert(context: CommandContext): void {
  const { request, reply } = context;
  const { bytes, position, length } = request;
  const behind = request.equalsIgnoreCase(2, 'AFTER');
  if (!behind && !request.equalsIgnoreCase(2, 'BEFORE')) {
    reply.error(SYNTAX_ERROR);
    return;
  }
  const entry = context.writeTyped(1, ValueType.LIST);
  if (entry === WRONG) return;
  if (entry === NIL) {
    reply.integer(0);
    return;
  }
  const list = openList(context, entry);
  // Redis does this even if the pivot is not there.
  list.prepareFor(1, length[4]!);
  const { cursor } = list;
  let more = list.seek(0);
  while (more && !cursor.equals(bytes, position[3]!, length[3]!)) more = cursor.next();
  if (more) {
    list.insert(behind, bytes, position[4]!, length[4]!);
    reply.integer(list.count);
    context.changed(1);
    context.notify(EventClass.LIST, 'linsert', 1);
  } else {
    reply.integer(-1);
  }
  settleList(context, entry, list);
}

export function lrem(context: CommandContext): void {
  const { request, reply } = context;
  const count = integerArgument(context, 2);
  if (Number.isNaN(count)) return;
  const entry = context.writeTyped(1, ValueType.LIST);
  if (entry === WRONG) return;
  if (entry === NIL) {
    reply.integer(0);
    return;
  }
  const list = openList(context, entry);
  const max = count === 0 ? Number.POSITIVE_INFINITY : Math.abs(count);
  const { bytes, position, length } = request;
  const removed = list.removeEqual(bytes, position[3]!, length[3]!, max, count < 0);
  reply.integer(removed);
  if (removed === 0) return;
  context.changes += removed;
  context.modified(1);
  context.notify(EventClass.LIST, 'lrem', 1);
  settleShrunk(context, entry, list, 1);
}

/** The options of LPOS. */
interface PositionQuery {
  /** Number of matches to skip before the first result. */
  skip: number;
  fromTail: boolean;
  /**
   * Number of results. They are in an array, except for -1, which means one result without an
   * array. 0 means all.
   */
  count: number;
  /** Maximum number of elements to compare. */
  lookAt: number;
}

export function lpos(context: CommandContext): void {
  const { request, reply } = context;
  const query = parsePosition(context);
  if (query === undefined) return;
  const entry = context.readTyped(1, ValueType.LIST);
  if (entry === WRONG) return;
  if (entry === NIL) {
    replyNoPosition(reply, query);
    return;
  }
  const list = openList(context, entry);
  const token = query.count < 0 ? -1 : reply.deferArray();
  const { cursor } = list;
  const { bytes, position, length } = request;
  const size = list.count;
  const wanted = query.count === 0 ? Number.POSITIVE_INFINITY : Math.abs(query.count);
  let found = 0;
  let { skip } = query;
  let more = list.seek(query.fromTail ? -1 : 0);
  for (let seen = 0; more && seen < query.lookAt && found < wanted; seen++) {
    if (cursor.equals(bytes, position[2]!, length[2]!) && --skip < 0) {
      reply.integer(query.fromTail ? size - 1 - seen : seen);
      found++;
    }
    more = query.fromTail ? cursor.previous() : cursor.next();
  }
  if (token >= 0) reply.setDeferred(token, found, Aggregate.ARRAY);
  else if (found === 0) reply.nil();
}

function replyNoPosition(reply: Reply, query: PositionQuery): void {
  if (query.count < 0) reply.nil();
  else reply.emptyArray();
}

/** Reads the options of LPOS. Returns undefined after an error reply. */
function parsePosition(context: CommandContext): PositionQuery | undefined {
  const { request, reply } = context;
  const query: PositionQuery = {
    skip: 0,
    fromTail: false,
    count: -1,
    lookAt: Number.POSITIVE_INFINITY,
  };
  for (let i = 3; i < request.argc; i += 2) {
    const hasValue = i + 1 < request.argc;
    if (hasValue && request.equalsIgnoreCase(i, 'RANK')) {
      const rank = negatableArgument(context, i + 1);
      if (Number.isNaN(rank)) return undefined;
      if (rank === 0) {
        reply.error(RANK_ZERO);
        return undefined;
      }
      query.skip = Math.abs(rank) - 1;
      query.fromTail = rank < 0;
    } else if (hasValue && request.equalsIgnoreCase(i, 'COUNT')) {
      query.count = notNegative(context, i + 1, "ERR COUNT can't be negative");
      if (Number.isNaN(query.count)) return undefined;
    } else if (hasValue && request.equalsIgnoreCase(i, 'MAXLEN')) {
      const most = notNegative(context, i + 1, "ERR MAXLEN can't be negative");
      if (Number.isNaN(most)) return undefined;
      query.lookAt = most === 0 ? Number.POSITIVE_INFINITY : most;
    } else {
      reply.error(SYNTAX_ERROR);
      return undefined;
    }
  }
  return query;
}

function notNegative(context: CommandContext, index: number, error: string): number {
  const value = integerArgument(context, index, error);
  if (Number.isNaN(value) || value >= 0) return value;
  context.reply.error(error);
  return Number.NaN;
}
