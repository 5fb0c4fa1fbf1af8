/** Hot path. Adds elements at the ends of lists, and moves elements between lists. Main thread. */
import { NIL } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import type { Reply } from '../../resp/reply.ts';
import { SYNTAX_ERROR } from '../arguments.ts';
import { timeoutArgument } from '../block-timeout.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { EventClass } from '../ports.ts';
import { addList, newList, openIn, openList, settleList, settleShrunk } from './value.ts';

export function lpush(context: CommandContext): void {
  push(context, true, false);
}

export function rpush(context: CommandContext): void {
  push(context, false, false);
}

export function lpushx(context: CommandContext): void {
  push(context, true, true);
}

export function rpushx(context: CommandContext): void {
  push(context, false, true);
}

function push(context: CommandContext, atHead: boolean, onlyIfPresent: boolean): void {
  const { request, reply, server } = context;
  const entry = context.writeTyped(1, ValueType.LIST);
  if (entry === WRONG) return;
  if (entry === NIL && onlyIfPresent) {
    reply.integer(0);
    return;
  }
  const { list } = server.keyspace.structures;
  if (entry === NIL) newList(context, list);
  else openList(context, entry);
  const { argc, bytes, position, length } = request;
  const wasLarge = list.large;
  if (!wasLarge) {
    let sum = 0;
    for (let i = 2; i < argc; i++) sum += length[i]!;
    list.prepareFor(argc - 2, sum);
  }
  let count = 0;
  for (let i = 2; i < argc; i++) count = list.push(atHead, bytes, position[i]!, length[i]!);
  if (entry === NIL) addList(context, 1, list);
  // A quicklist does not move.
  else if (!wasLarge) settleList(context, entry, list);
  reply.integer(count);
  context.changes += argc - 2;
  context.modified(1);
  context.notify(EventClass.LIST, atHead ? 'lpush' : 'rpush', 1);
}

export function lmove(context: CommandContext): void {
  const fromHead = sideArgument(context, 3);
  if (fromHead === undefined) return;
  const toHead = sideArgument(context, 4);
  if (toHead !== undefined && !move(context, fromHead, toHead)) context.reply.nil();
}

export function rpoplpush(context: CommandContext): void {
  if (!move(context, false, true)) context.reply.nil();
}

export function blmove(context: CommandContext): void {
  const { request } = context;
  const fromHead = sideArgument(context, 3);
  if (fromHead === undefined) return;
  const toHead = sideArgument(context, 4);
  if (toHead === undefined) return;
  if (!moveOrWait(context, fromHead, toHead, 5)) return;
  context.replicateAs('LMOVE', request.copy(1), request.copy(2), request.copy(3), request.copy(4));
}

export function brpoplpush(context: CommandContext): void {
  const { request } = context;
  if (!moveOrWait(context, false, true, 3)) return;
  context.replicateAs('RPOPLPUSH', request.copy(1), request.copy(2));
}

const replyNilArray = (reply: Reply): void => reply.nilArray();
const replyNil = (reply: Reply): void => reply.nil();

/** Moves an element or blocks. Returns whether an element was moved. */
function moveOrWait(
  context: CommandContext,
  fromHead: boolean,
  toHead: boolean,
  timeoutAt: number,
): boolean {
  const timeoutMs = timeoutArgument(context, timeoutAt);
  if (Number.isNaN(timeoutMs)) return false;
  if (move(context, fromHead, toHead)) return context.changes > 0;
  // As in Redis, the nil after a timeout differs from the nil where blocking is not allowed.
  context.block({
    type: ValueType.LIST,
    keys: [1],
    timeoutMs,
    onTimeout: replyNilArray,
    onRefused: replyNil,
  });
  return false;
}

/**
 * Moves an element from the list in argument 1 to the one in argument 2 and answers it. Returns
 * false without a reply when the first list does not exist. Returns true also after WRONGTYPE.
 */
function move(context: CommandContext, fromHead: boolean, toHead: boolean): boolean {
  const { server, reply } = context;
  const source = context.writeTyped(1, ValueType.LIST);
  if (source === NIL) return false;
  if (source === WRONG) return true;
  const target = context.writeTyped(2, ValueType.LIST);
  if (target === WRONG) return true;
  const { structures } = server.keyspace;
  const list = openList(context, source);
  list.take(fromHead);
  const { taken, takenLength } = list;
  let to = list;
  if (target !== source) {
    settleList(context, source, list);
    to = structures.otherList;
    if (target === NIL) newList(context, to);
    else openIn(context, target, to);
  }
  to.prepareFor(1, takenLength);
  to.push(toHead, taken, 0, takenLength);
  if (target === NIL) addList(context, 2, to);
  else settleList(context, target, to);
  reply.bulk(taken, 0, takenLength);
  context.modified(2);
  context.notify(EventClass.LIST, toHead ? 'lpush' : 'rpush', 2);
  context.changed(1);
  context.notify(EventClass.LIST, fromHead ? 'lpop' : 'rpop', 1);
  settleShrunk(context, source, list, 1);
  return true;
}

/**
 * Returns true when argument `index` is LEFT, the head, and false for RIGHT. Returns undefined
 * after an error reply.
 */
export function sideArgument(context: CommandContext, index: number): boolean | undefined {
  const { request } = context;
  if (request.equalsIgnoreCase(index, 'LEFT')) return true;
  if (request.equalsIgnoreCase(index, 'RIGHT')) return false;
  context.reply.error(SYNTAX_ERROR);
  return undefined;
}
