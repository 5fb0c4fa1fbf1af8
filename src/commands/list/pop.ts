/**
 * Hot path. Pops at the ends of lists: LPOP, LMPOP and the like, including the blocking ones. Main
 * thread.
 */
import { NIL, type Ref } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import type { List } from '../../structs/list.ts';
import { integerArgument, SYNTAX_ERROR } from '../arguments.ts';
import { timeoutArgument } from '../block-timeout.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { EventClass } from '../ports.ts';
import { sideArgument } from './push.ts';
import { openList, removeElements, replyElement, replyElements, settleShrunk } from './value.ts';

const NOT_POSITIVE = 'ERR value is out of range, must be positive';

export function lpop(context: CommandContext): void {
  pop(context, true);
}

export function rpop(context: CommandContext): void {
  pop(context, false);
}

function pop(context: CommandContext, head: boolean): void {
  const { request, reply } = context;
  if (request.argc > 3) {
    reply.error(`ERR wrong number of arguments for '${head ? 'lpop' : 'rpop'}' command`);
    return;
  }
  const counted = request.argc === 3;
  let count = 1;
  if (counted) {
    count = integerArgument(context, 2, NOT_POSITIVE);
    if (Number.isNaN(count)) return;
    if (count < 0) {
      reply.error(NOT_POSITIVE);
      return;
    }
  }
  const entry = context.writeTyped(1, ValueType.LIST);
  if (entry === WRONG) return;
  if (entry === NIL) {
    if (counted) reply.nilArray();
    else reply.nil();
    return;
  }
  if (count === 0) {
    reply.emptyArray();
    return;
  }
  const list = openList(context, entry);
  if (counted) popMany(context, entry, list, 1, head, count);
  else popOne(context, entry, list, 1, head);
}

/**
 * Removes the first or last element of the list of `entry` and answers it. The key is argument
 * `index`.
 */
function popOne(
  context: CommandContext,
  entry: Ref,
  list: List,
  index: number,
  head: boolean,
): void {
  list.seekEnd(head);
  replyElement(context, list);
  list.dropEnd(head);
  context.changed(index);
  context.notify(EventClass.LIST, head ? 'lpop' : 'rpop', index);
  settleShrunk(context, entry, list, index);
}

/** Removes up to `count` elements and answers them. Returns the number removed. */
function popMany(
  context: CommandContext,
  entry: Ref,
  list: List,
  index: number,
  head: boolean,
  count: number,
): number {
  const length = list.count;
  const taken = Math.min(count, length);
  replyElements(context, list, head ? 0 : length - 1, taken, !head);
  context.changes += taken;
  context.modified(index);
  if (taken === length) {
    // When all elements are popped, the key is removed; a long list is freed in slices.
    context.removeEntry(entry);
    context.notify(EventClass.LIST, head ? 'lpop' : 'rpop', index);
    context.notify(EventClass.GENERIC, 'del', index);
    return taken;
  }
  removeElements(context, list, head ? 0 : length - taken, taken);
  context.notify(EventClass.LIST, head ? 'lpop' : 'rpop', index);
  settleShrunk(context, entry, list, index);
  return taken;
}

/**
 * The keys in `keys` arguments from `first` on, and the number of elements to pop from the first
 * list that exists.
 */
interface PopRequest {
  readonly first: number;
  readonly keys: number;
  readonly head: boolean;
  /** Number of elements. 0 means one element, answered without an array around it. */
  readonly count: number;
}

/**
 * Pops from the first key that exists. Returns true when it popped, and also after WRONGTYPE. The
 * stream carries a pop from that key alone.
 */
function popFirst(context: CommandContext, asked: PopRequest): boolean {
  const { request, reply } = context;
  for (let index = asked.first; index < asked.first + asked.keys; index++) {
    const entry = context.writeTyped(index, ValueType.LIST);
    if (entry === NIL) continue;
    if (entry === WRONG) return true;
    const list = openList(context, entry);
    const name = asked.head ? 'LPOP' : 'RPOP';
    reply.array(2);
    reply.bulk(request.bytes, request.position[index]!, request.length[index]!);
    if (asked.count === 0) {
      popOne(context, entry, list, index, asked.head);
      context.replicateAs(name, request.copy(index));
    } else {
      const taken = popMany(context, entry, list, index, asked.head, asked.count);
      context.replicateAs(name, request.copy(index), String(taken));
    }
    return true;
  }
  return false;
}

export function lmpop(context: CommandContext): void {
  const asked = parseMany(context, 1);
  if (asked !== undefined && !popFirst(context, asked)) context.reply.nilArray();
}

export function blmpop(context: CommandContext): void {
  const asked = parseMany(context, 2);
  if (asked !== undefined) popOrWait(context, asked, 1);
}

export function blpop(context: CommandContext): void {
  popOneOrWait(context, true);
}

export function brpop(context: CommandContext): void {
  popOneOrWait(context, false);
}

function popOneOrWait(context: CommandContext, head: boolean): void {
  const last = context.request.argc - 1;
  popOrWait(context, { first: 1, keys: last - 1, head, count: 0 }, last);
}

function popOrWait(context: CommandContext, asked: PopRequest, timeoutAt: number): void {
  const timeoutMs = timeoutArgument(context, timeoutAt);
  if (Number.isNaN(timeoutMs) || popFirst(context, asked)) return;
  context.block({
    type: ValueType.LIST,
    keys: Array.from({ length: asked.keys }, (_, i) => asked.first + i),
    timeoutMs,
    onTimeout: (reply) => reply.nilArray(),
  });
}

/**
 * Reads the arguments of LMPOP from the count of keys on. Returns undefined after an error reply.
 */
function parseMany(context: CommandContext, countAt: number): PopRequest | undefined {
  const { request, reply } = context;
  const keys = atLeastOne(context, countAt, 'ERR numkeys should be greater than 0');
  if (Number.isNaN(keys)) return undefined;
  const sideAt = countAt + keys + 1;
  if (sideAt >= request.argc) {
    reply.error(SYNTAX_ERROR);
    return undefined;
  }
  const head = sideArgument(context, sideAt);
  if (head === undefined) return undefined;
  let count = 0;
  for (let at = sideAt + 1; at < request.argc; at += 2) {
    if (count > 0 || at + 1 === request.argc || !request.equalsIgnoreCase(at, 'COUNT')) {
      reply.error(SYNTAX_ERROR);
      return undefined;
    }
    count = atLeastOne(context, at + 1, 'ERR count should be greater than 0');
    if (Number.isNaN(count)) return undefined;
  }
  return { first: countAt + 1, keys, head, count: Math.max(count, 1) };
}

function atLeastOne(context: CommandContext, at: number, error: string): number {
  const value = integerArgument(context, at, error);
  if (Number.isNaN(value) || value >= 1) return value;
  context.reply.error(error);
  return Number.NaN;
}
