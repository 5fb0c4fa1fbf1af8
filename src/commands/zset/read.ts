/**
 * Hot path. Commands that read named members of a sorted set, or remove them. Also ZSCAN and
 * ZRANDMEMBER. Main thread.
 */
import { formatDouble } from '../../base/bytes.ts';
import { NIL } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import { isIntegerScore } from '../../structs/sorted-listpack.ts';
import type { SortedSet } from '../../structs/sorted-set.ts';
import { negatableArgument, SYNTAX_ERROR } from '../arguments.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { EventClass } from '../ports.ts';
import {
  cursorArgument,
  matchesPattern,
  SCAN_STEPS_PER_ELEMENT,
  type ScanOptions,
  scanOptions,
} from '../scan-options.ts';
import { dropIfEmpty, openSet, replyMember, settle } from './value.ts';

export function zcard(context: CommandContext): void {
  const entry = context.readTyped(1, ValueType.ZSET);
  if (entry !== WRONG) context.reply.integer(entry === NIL ? 0 : openSet(context, entry).count());
}

export function zscore(context: CommandContext): void {
  const entry = context.readTyped(1, ValueType.ZSET);
  if (entry === WRONG) return;
  if (entry === NIL) context.reply.nil();
  else replyScore(context, openSet(context, entry), 2);
}

export function zmscore(context: CommandContext): void {
  const { request, reply } = context;
  const entry = context.readTyped(1, ValueType.ZSET);
  if (entry === WRONG) return;
  const set = entry === NIL ? undefined : openSet(context, entry);
  reply.array(request.argc - 2);
  for (let at = 2; at < request.argc; at++) {
    if (set === undefined) reply.nil();
    else replyScore(context, set, at);
  }
}

/** Answers the score of the member in argument `at`, or nil. */
function replyScore(context: CommandContext, set: SortedSet, at: number): void {
  const { request, reply } = context;
  if (set.find(request.bytes, request.position[at]!, request.length[at]!)) reply.double(set.score);
  else reply.nil();
}

export function zrank(context: CommandContext): void {
  rank(context, false);
}

export function zrevrank(context: CommandContext): void {
  rank(context, true);
}

function rank(context: CommandContext, reverse: boolean): void {
  const { request, reply } = context;
  const withScore = request.argc === 4 && request.equalsIgnoreCase(3, 'WITHSCORE');
  if (request.argc > 3 && !withScore) {
    reply.error(SYNTAX_ERROR);
    return;
  }
  const entry = context.readTyped(1, ValueType.ZSET);
  if (entry === WRONG) return;
  const set = entry === NIL ? undefined : openSet(context, entry);
  if (set === undefined || !set.find(request.bytes, request.position[2]!, request.length[2]!)) {
    if (withScore) reply.nilArray();
    else reply.nil();
    return;
  }
  const { score } = set;
  const before = set.foundRank();
  if (withScore) reply.array(2);
  reply.integer(reverse ? set.count() - 1 - before : before);
  if (withScore) reply.double(score);
}

export function zrem(context: CommandContext): void {
  const { request } = context;
  const entry = context.writeTyped(1, ValueType.ZSET);
  if (entry === WRONG) return;
  let removed = 0;
  if (entry !== NIL) {
    const set = openSet(context, entry);
    for (let at = 2; at < request.argc && set.count() > 0; at++) {
      if (!set.find(request.bytes, request.position[at]!, request.length[at]!)) continue;
      set.removeFound();
      settle(context, entry, set);
      removed++;
    }
    if (removed > 0) {
      context.changes += removed;
      context.modified(1);
      context.notify(EventClass.ZSET, 'zrem', 1);
      dropIfEmpty(context, entry, set, 1);
    }
  }
  context.reply.integer(removed);
}

export function zscan(context: CommandContext): void {
  const { reply } = context;
  const cursor = cursorArgument(context, 2);
  if (cursor < 0) return;
  const entry = context.readTyped(1, ValueType.ZSET);
  if (entry === WRONG) return;
  if (entry === NIL) {
    reply.array(2);
    reply.bulkInteger(0);
    reply.emptyArray();
    return;
  }
  const options = scanOptions(context, 3, false);
  if (options !== undefined) scanMembers(context, openSet(context, entry), cursor, options);
}

function scanMembers(
  context: CommandContext,
  set: SortedSet,
  from: number,
  options: ScanOptions,
): void {
  const { reply } = context;
  const found: Uint8Array[] = [];
  const scores: number[] = [];
  let seen = 0;
  const visit = (): void => {
    seen++;
    const { bytes, position, length } = set.member();
    if (!matchesPattern(context, options.matchAt, bytes, position, length)) return;
    found.push(set.copyMember());
    scores.push(set.score);
  };
  let cursor = from;
  let steps = options.count * SCAN_STEPS_PER_ELEMENT;
  do cursor = set.scan(cursor, visit);
  while (cursor !== 0 && --steps > 0 && seen < options.count);
  reply.array(2);
  reply.bulkInteger(cursor);
  reply.array(found.length * 2);
  for (let i = 0; i < found.length; i++) {
    reply.bulk(found[i]!, 0, found[i]!.length);
    reply.bulkLatin1(scannedScore(scores[i]!, set.large));
  }
}

/**
 * Formats a score for ZSCAN. A listpack keeps whole numbers as integers, which are printed without
 * an exponent.
 */
function scannedScore(score: number, large: boolean): string {
  return !large && isIntegerScore(score) ? String(BigInt(score)) : formatDouble(score);
}

export function zrandmember(context: CommandContext): void {
  const { request, reply, server } = context;
  if (request.argc > 2) {
    randomMembers(context);
    return;
  }
  const entry = context.readTyped(1, ValueType.ZSET);
  if (entry === WRONG) return;
  if (entry === NIL) {
    reply.nil();
    return;
  }
  const set = openSet(context, entry);
  set.seek(server.prng.below(set.count()));
  replyMember(context, set);
}

/** The limit of the number of members in one reply that may repeat members. */
const REPEATED_MAX = 2 ** 31;
/**
 * With this many pairs or more the length of the reply would not fit into Redis' 64-bit integer.
 */
const PAIRS_COUNT_LIMIT = 2 ** 62;
const OUT_OF_RANGE = 'ERR value is out of range';

function randomMembers(context: CommandContext): void {
  const { request, reply, server } = context;
  const wanted = negatableArgument(context, 2);
  if (Number.isNaN(wanted)) return;
  const withScores = request.argc === 4 && request.equalsIgnoreCase(3, 'WITHSCORES');
  if (request.argc > 3 && !withScores) {
    reply.error(SYNTAX_ERROR);
    return;
  }
  if (withScores && Math.abs(wanted) >= PAIRS_COUNT_LIMIT) {
    reply.error(OUT_OF_RANGE);
    return;
  }
  const entry = context.readTyped(1, ValueType.ZSET);
  if (entry === WRONG) return;
  if (entry === NIL || wanted === 0) {
    reply.emptyArray();
    return;
  }
  if (wanted < -REPEATED_MAX) {
    reply.error(OUT_OF_RANGE);
    return;
  }
  const set = openSet(context, entry);
  const size = set.count();
  const { prng } = server;
  const count = wanted < 0 ? -wanted : Math.min(wanted, size);
  reply.array(withScores && reply.protocol === 2 ? count * 2 : count);
  if (wanted < 0) {
    for (let left = count; left > 0; left--) {
      set.seek(prng.below(size));
      replyRandom(context, set, withScores);
    }
    return;
  }
  // A member is chosen with probability wanted / left: the number still wanted over the number of
  // members that are left. The walk begins at the end, since this is the order of Redis when all
  // are wanted.
  let rank = size - 1;
  for (let left = count; left > 0; rank--) {
    if (prng.below(rank + 1) >= left) continue;
    set.seek(rank);
    replyRandom(context, set, withScores);
    left--;
  }
}

function replyRandom(context: CommandContext, set: SortedSet, withScores: boolean): void {
  const { reply } = context;
  if (withScores && reply.protocol === 3) reply.array(2);
  replyMember(context, set);
  if (withScores) reply.double(set.score);
}
