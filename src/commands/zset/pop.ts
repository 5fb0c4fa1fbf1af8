/**
 * Hot path. Pops of the lowest or highest members: ZPOPMIN, ZMPOP and the like, including the
 * blocking ones. Main thread.
 */
import { NIL, type Ref } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import type { SortedSet } from '../../structs/sorted-set.ts';
import { integerArgument, SYNTAX_ERROR } from '../arguments.ts';
import { timeoutArgument } from '../block-timeout.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { EventClass } from '../ports.ts';
import { openSet, removeRanks, replyMember } from './value.ts';

const NOT_POSITIVE = 'ERR value is out of range, must be positive';

/**
 * The form of the reply: one flat array, or an array of pairs. In two forms the key comes first.
 */
const Shape = { FLAT: 0, PAIRS: 1, KEY_FLAT: 2, KEY_PAIRS: 3 } as const;
type Shape = (typeof Shape)[keyof typeof Shape];

export function zpopmin(context: CommandContext): void {
  pop(context, false);
}

export function zpopmax(context: CommandContext): void {
  pop(context, true);
}

function pop(context: CommandContext, highest: boolean): void {
  const { request, reply } = context;
  let count = 1;
  if (request.argc > 3) {
    reply.error(SYNTAX_ERROR);
    return;
  }
  if (request.argc === 3) {
    count = integerArgument(context, 2, NOT_POSITIVE);
    if (Number.isNaN(count)) return;
    if (count < 0) {
      reply.error(NOT_POSITIVE);
      return;
    }
  }
  const entry = context.writeTyped(1, ValueType.ZSET);
  if (entry === WRONG) return;
  if (entry === NIL || count === 0) {
    reply.emptyArray();
    return;
  }
  const pairs = reply.protocol === 3 && request.argc === 3;
  popFrom(context, entry, 1, highest, count, pairs ? Shape.PAIRS : Shape.FLAT);
}

/**
 * Removes up to `count` members from the set of `entry` and answers them. The key is argument
 * `index`. Returns the number removed.
 */
function popFrom(
  context: CommandContext,
  entry: Ref,
  index: number,
  highest: boolean,
  count: number,
  shape: Shape,
): number {
  const set = openSet(context, entry);
  const size = set.count();
  const taken = Math.min(count, size);
  replyPopped(context, set, index, highest, taken, shape);
  const gone = removeRanks(context, entry, set, highest ? size - taken : 0, taken);
  context.changes += taken;
  context.modified(index);
  context.notify(EventClass.ZSET, highest ? 'zpopmax' : 'zpopmin', index);
  if (gone) context.notify(EventClass.GENERIC, 'del', index);
  return taken;
}

function replyPopped(
  context: CommandContext,
  set: SortedSet,
  index: number,
  highest: boolean,
  taken: number,
  shape: Shape,
): void {
  const { request, reply } = context;
  const pairs = shape === Shape.PAIRS || shape === Shape.KEY_PAIRS;
  if (shape === Shape.KEY_FLAT) reply.array(taken * 2 + 1);
  else if (shape === Shape.KEY_PAIRS) reply.array(2);
  if (shape === Shape.KEY_FLAT || shape === Shape.KEY_PAIRS)
    reply.bulk(request.bytes, request.position[index]!, request.length[index]!);
  if (pairs) reply.array(taken);
  else if (shape === Shape.FLAT) reply.array(taken * 2);
  set.seek(highest ? set.count() - 1 : 0);
  for (let left = taken; left > 0; left--) {
    if (pairs) reply.array(2);
    replyMember(context, set);
    reply.double(set.score);
    if (left === 1) return;
    if (highest) set.previous();
    else set.next();
  }
}

/**
 * The keys in `keys` arguments from `first` on, and the options for the pop from the first set that
 * exists.
 */
interface PopRequest {
  first: number;
  keys: number;
  highest: boolean;
  count: number;
  shape: Shape;
  /** Whether the command in the stream has a count. */
  counted: boolean;
}

/**
 * Pops from the first key that exists. Returns true when it popped, and also after WRONGTYPE. The
 * stream carries a pop from that key alone.
 */
function popFirst(context: CommandContext, asked: PopRequest): boolean {
  const { request } = context;
  for (let index = asked.first; index < asked.first + asked.keys; index++) {
    const entry = context.writeTyped(index, ValueType.ZSET);
    if (entry === NIL) continue;
    if (entry === WRONG) return true;
    const taken = popFrom(context, entry, index, asked.highest, asked.count, asked.shape);
    const name = asked.highest ? 'ZPOPMAX' : 'ZPOPMIN';
    if (asked.counted) context.replicateAs(name, request.copy(index), String(taken));
    else context.replicateAs(name, request.copy(index));
    return true;
  }
  return false;
}

export function zmpop(context: CommandContext): void {
  const asked = parseMany(context, 1);
  if (asked !== undefined && !popFirst(context, asked)) context.reply.nilArray();
}

export function bzmpop(context: CommandContext): void {
  const asked = parseMany(context, 2);
  if (asked !== undefined) popOrWait(context, asked, 1);
}

export function bzpopmin(context: CommandContext): void {
  popOneOrWait(context, false);
}

export function bzpopmax(context: CommandContext): void {
  popOneOrWait(context, true);
}

function popOneOrWait(context: CommandContext, highest: boolean): void {
  const last = context.request.argc - 1;
  const asked = {
    first: 1,
    keys: last - 1,
    highest,
    count: 1,
    shape: Shape.KEY_FLAT,
    counted: false,
  };
  popOrWait(context, asked, last);
}

function popOrWait(context: CommandContext, asked: PopRequest, timeoutAt: number): void {
  const timeoutMs = timeoutArgument(context, timeoutAt);
  if (Number.isNaN(timeoutMs) || popFirst(context, asked)) return;
  context.block({
    type: ValueType.ZSET,
    keys: Array.from({ length: asked.keys }, (_, i) => asked.first + i),
    timeoutMs,
    onTimeout: (reply) => reply.nilArray(),
  });
}

/**
 * Reads the arguments of ZMPOP from the number of keys on. Returns undefined after an error reply.
 */
function parseMany(context: CommandContext, countAt: number): PopRequest | undefined {
  const { request, reply } = context;
  const keys = atLeastOne(context, countAt, 'ERR numkeys should be greater than 0');
  if (Number.isNaN(keys)) return undefined;
  const sideAt = countAt + keys + 1;
  const highest = sideAt < request.argc && request.equalsIgnoreCase(sideAt, 'MAX');
  let valid = highest || (sideAt < request.argc && request.equalsIgnoreCase(sideAt, 'MIN'));
  let count = -1;
  for (let at = sideAt + 1; valid && at < request.argc; at += 2) {
    valid = count < 0 && at + 1 < request.argc && request.equalsIgnoreCase(at, 'COUNT');
    if (!valid) break;
    count = atLeastOne(context, at + 1, 'ERR count should be greater than 0');
    if (Number.isNaN(count)) return undefined;
  }
  if (!valid) {
    reply.error(SYNTAX_ERROR);
    return undefined;
  }
  return {
    first: countAt + 1,
    keys,
    highest,
    count: Math.max(count, 1),
    shape: Shape.KEY_PAIRS,
    counted: true,
  };
}

function atLeastOne(context: CommandContext, at: number, error: string): number {
  const value = integerArgument(context, at, error);
  if (Number.isNaN(value) || value >= 1) return value;
  context.reply.error(error);
  return Number.NaN;
}
