/**
 * Ranges of sorted sets: ZRANGE and its variants, and the commands that remove or count ranges.
 * Main thread.
 */
import { NIL } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import type { SortedSet } from '../../structs/sorted-set.ts';
import { integerArgument, SYNTAX_ERROR } from '../arguments.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { EventClass } from '../ports.ts';
import { RangeBounds, RangeKind } from './bounds.ts';
import { openSet, removeRanks, replyMember, storeSet } from './value.ts';

/** The options of a command. */
interface RangeRequest {
  /** Index of the argument with the key. The minimum and the maximum follow it. */
  readonly keyAt: number;
  /** Index of the argument with the key to store to, 0 for none. */
  readonly storeAt: number;
  /** Undefined when arguments give the kind. */
  kind: RangeKind | undefined;
  reverse: boolean | undefined;
  withScores: boolean;
  offset: number;
  /** A negative limit means no limit. */
  limit: number;
}

function rangeRequest(keyAt: number, kind?: RangeKind, reverse?: boolean): RangeRequest {
  const storeAt = keyAt === 2 ? 1 : 0;
  return { keyAt, storeAt, kind, reverse, withScores: false, offset: 0, limit: -1 };
}

export function zrange(context: CommandContext): void {
  range(context, rangeRequest(1));
}

export function zrevrange(context: CommandContext): void {
  range(context, rangeRequest(1, RangeKind.RANK, true));
}

export function zrangebyscore(context: CommandContext): void {
  range(context, rangeRequest(1, RangeKind.SCORE, false));
}

export function zrevrangebyscore(context: CommandContext): void {
  range(context, rangeRequest(1, RangeKind.SCORE, true));
}

export function zrangebylex(context: CommandContext): void {
  range(context, rangeRequest(1, RangeKind.MEMBER, false));
}

export function zrevrangebylex(context: CommandContext): void {
  range(context, rangeRequest(1, RangeKind.MEMBER, true));
}

export function zrangestore(context: CommandContext): void {
  range(context, rangeRequest(2));
}

export function zcount(context: CommandContext): void {
  count(context, RangeKind.SCORE);
}

export function zlexcount(context: CommandContext): void {
  count(context, RangeKind.MEMBER);
}

export function zremrangebyrank(context: CommandContext): void {
  remove(context, RangeKind.RANK, 'zremrangebyrank');
}

export function zremrangebyscore(context: CommandContext): void {
  remove(context, RangeKind.SCORE, 'zremrangebyscore');
}

export function zremrangebylex(context: CommandContext): void {
  remove(context, RangeKind.MEMBER, 'zremrangebylex');
}

function range(context: CommandContext, asked: RangeRequest): void {
  if (!parseOptions(context, asked)) return;
  const kind = asked.kind ?? RangeKind.RANK;
  const reverse = asked.reverse ?? false;
  const bounds = new RangeBounds();
  // In a reverse range the maximum comes first. Ranks keep their order, but count from the end.
  const swapped = reverse && kind !== RangeKind.RANK ? 1 : 0;
  if (!bounds.parse(context, kind, asked.keyAt + 1 + swapped, asked.keyAt + 2 - swapped)) return;
  const entry = context.readTyped(asked.keyAt, ValueType.ZSET);
  if (entry === WRONG) return;
  if (entry === NIL) {
    if (asked.storeAt === 0) context.reply.emptyArray();
    else storeRange(context, undefined, asked, 0, 0);
    return;
  }
  const set = openSet(context, entry);
  bounds.apply(context, set, reverse);
  let { from, until } = bounds;
  const skipped = asked.offset < 0 ? until - from : Math.min(asked.offset, until - from);
  const length =
    asked.limit < 0 ? until - from - skipped : Math.min(asked.limit, until - from - skipped);
  if (reverse) {
    until -= skipped;
    from = until - length;
  } else {
    from += skipped;
    until = from + length;
  }
  if (asked.storeAt !== 0) storeRange(context, set, asked, from, until);
  else replyRange(context, set, from, until, reverse, asked.withScores);
}

/** Answers the members of ranks [from, until). */
function replyRange(
  context: CommandContext,
  set: SortedSet,
  from: number,
  until: number,
  reverse: boolean,
  withScores: boolean,
): void {
  const { reply } = context;
  const count = until - from;
  const pairs = withScores && reply.protocol === 3;
  reply.array(withScores && !pairs ? count * 2 : count);
  let more = count > 0 && set.seek(reverse ? until - 1 : from);
  for (let left = count; more && left > 0; left--) {
    if (pairs) reply.array(2);
    replyMember(context, set);
    if (withScores) reply.double(set.score);
    more = left > 1 && (reverse ? set.previous() : set.next());
  }
}

function storeRange(
  context: CommandContext,
  source: SortedSet | undefined,
  asked: RangeRequest,
  from: number,
  until: number,
): void {
  const { keyspace, settings } = context.server;
  const { zsetMaxListpackEntries, zsetMaxListpackValue } = settings;
  const { kind = RangeKind.RANK, reverse } = asked;
  const target = keyspace.structures.newSortedSet();
  // A score that passes through a listpack loses the sign of -0. Replicas run the same command, so
  // the set must change its form at the same point as in Redis: a range of ranks is large from the
  // start if it is long, any other range becomes large on the way. Members come in the order of the
  // range.
  target.create(kind === RangeKind.RANK && until - from > zsetMaxListpackEntries);
  try {
    let more = source !== undefined && until > from && source.seek(reverse ? until - 1 : from);
    for (let left = until - from; source !== undefined && more; left--) {
      const { bytes, position, length } = source.member();
      const { score } = source;
      target.find(bytes, position, length);
      target.add(score, bytes, position, length, zsetMaxListpackEntries, zsetMaxListpackValue);
      more = left > 1 && (reverse ? source.previous() : source.next());
    }
  } catch (error) {
    // There is no memory for the whole result, so nothing is stored.
    target.free();
    throw error;
  }
  storeSet(context, asked.storeAt, target, 'zrangestore');
}

/** Reads the arguments behind key and bounds into `asked`. Returns false after an error reply. */
function parseOptions(context: CommandContext, asked: RangeRequest): boolean {
  const { request, reply } = context;
  for (let at = asked.keyAt + 3; at < request.argc; at++) {
    const left = request.argc - at - 1;
    if (asked.storeAt === 0 && request.equalsIgnoreCase(at, 'WITHSCORES')) {
      asked.withScores = true;
    } else if (left >= 2 && request.equalsIgnoreCase(at, 'LIMIT')) {
      asked.offset = integerArgument(context, at + 1);
      if (Number.isNaN(asked.offset)) return false;
      asked.limit = integerArgument(context, at + 2);
      if (Number.isNaN(asked.limit)) return false;
      at += 2;
    } else if (asked.reverse === undefined && request.equalsIgnoreCase(at, 'REV')) {
      asked.reverse = true;
    } else if (asked.kind === undefined && request.equalsIgnoreCase(at, 'BYLEX')) {
      asked.kind = RangeKind.MEMBER;
    } else if (asked.kind === undefined && request.equalsIgnoreCase(at, 'BYSCORE')) {
      asked.kind = RangeKind.SCORE;
    } else {
      reply.error(SYNTAX_ERROR);
      return false;
    }
  }
  const kind = asked.kind ?? RangeKind.RANK;
  if (asked.limit !== -1 && kind === RangeKind.RANK) {
    reply.error(
      'ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX',
    );
    return false;
  }
  if (asked.withScores && kind === RangeKind.MEMBER) {
    reply.error('ERR syntax error, WITHSCORES not supported in combination with BYLEX');
    return false;
  }
  if (kind === RangeKind.RANK) asked.offset = 0;
  return true;
}

function count(context: CommandContext, kind: RangeKind): void {
  const bounds = new RangeBounds();
  if (!bounds.parse(context, kind, 2, 3)) return;
  const entry = context.readTyped(1, ValueType.ZSET);
  if (entry === WRONG) return;
  if (entry !== NIL) bounds.apply(context, openSet(context, entry), false);
  context.reply.integer(bounds.until - bounds.from);
}

function remove(context: CommandContext, kind: RangeKind, event: string): void {
  const bounds = new RangeBounds();
  if (!bounds.parse(context, kind, 2, 3)) return;
  const entry = context.writeTyped(1, ValueType.ZSET);
  if (entry === WRONG) return;
  let removed = 0;
  if (entry !== NIL) {
    const set = openSet(context, entry);
    bounds.apply(context, set, false);
    removed = bounds.until - bounds.from;
    if (removed > 0) {
      const gone = removeRanks(context, entry, set, bounds.from, removed);
      context.changes += removed;
      context.modified(1);
      context.notify(EventClass.ZSET, event, 1);
      if (gone) context.notify(EventClass.GENERIC, 'del', 1);
    }
  }
  context.reply.integer(removed);
}
