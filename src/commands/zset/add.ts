/**
 * Hot path. ZADD and ZINCRBY. Main thread.
 */
import { parseFloat64 } from '../../base/bytes.ts';
import { NIL, type Ref } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import type { SortedSet } from '../../structs/sorted-set.ts';
import { SYNTAX_ERROR } from '../arguments.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { roomForArguments } from '../listpack-room.ts';
import { EventClass } from '../ports.ts';
import { addSet, NOT_A_FLOAT, openSet, settle } from './value.ts';

const Option = { NX: 1, XX: 2, GT: 4, LT: 8, CH: 16, INCR: 32 } as const;

/**
 * A longer listpack is not allocated in advance, in bytes. With so many or such long members the
 * set may become a table anyway.
 */
const WHOLE_BYTES_MAX = 8192;

/** The result for one member. */
const Done = { NOTHING: 0, UNCHANGED: 1, ADDED: 2, UPDATED: 3, NOT_A_NUMBER: 4 } as const;
type Done = (typeof Done)[keyof typeof Done];

export function zadd(context: CommandContext): void {
  addMembers(context, 0);
}

export function zincrby(context: CommandContext): void {
  addMembers(context, Option.INCR);
}

/** Reads the options from argument 2 on. The index of the first score is 2 plus their number. */
function countOptions(context: CommandContext): number {
  const { request } = context;
  let at = 2;
  while (at < request.argc && optionAt(context, at) !== 0) at++;
  return at - 2;
}

function optionAt(context: CommandContext, at: number): number {
  const { request } = context;
  // The lengths are checked first. A score of two or four bytes never spells an option, and most
  // scores have other lengths.
  const length = request.length[at]!;
  if (length === 2) {
    if (request.equalsIgnoreCase(at, 'NX')) return Option.NX;
    if (request.equalsIgnoreCase(at, 'XX')) return Option.XX;
    if (request.equalsIgnoreCase(at, 'GT')) return Option.GT;
    if (request.equalsIgnoreCase(at, 'LT')) return Option.LT;
    if (request.equalsIgnoreCase(at, 'CH')) return Option.CH;
  }
  return length === 4 && request.equalsIgnoreCase(at, 'INCR') ? Option.INCR : 0;
}

function addMembers(context: CommandContext, given: number): void {
  const { request, reply } = context;
  const first = 2 + countOptions(context);
  let options = given;
  for (let at = 2; at < first; at++) options |= optionAt(context, at);
  if (!plausible(context, options, first)) return;
  for (let at = first; at < request.argc; at += 2) {
    if (!Number.isNaN(scoreArgument(context, at))) continue;
    reply.error(NOT_A_FLOAT);
    return;
  }
  const entry = context.writeTyped(1, ValueType.ZSET);
  if (entry === WRONG) return;
  if (entry === NIL && (options & Option.XX) !== 0) {
    if ((options & Option.INCR) !== 0) reply.nil();
    else reply.integer(0);
    return;
  }
  if (entry === NIL) addToNew(context, options, first);
  else addToExisting(context, entry, options, first);
}

/** Returns whether options and number of arguments are consistent. Otherwise answers the error. */
function plausible(context: CommandContext, options: number, first: number): boolean {
  const { request, reply } = context;
  const left = request.argc - first;
  const exclusive = options & (Option.NX | Option.GT | Option.LT);
  if (left === 0 || left % 2 !== 0) {
    reply.error(SYNTAX_ERROR);
  } else if ((options & Option.NX) !== 0 && (options & Option.XX) !== 0) {
    reply.error('ERR XX and NX options at the same time are not compatible');
  } else if ((exclusive & (exclusive - 1)) !== 0) {
    reply.error('ERR GT, LT, and/or NX options at the same time are not compatible');
  } else if ((options & Option.INCR) !== 0 && left > 2) {
    reply.error('ERR INCR option supports a single increment-element pair');
  } else {
    return true;
  }
  return false;
}

/** A number with at most this many digits is below 2^53. */
const DIGITS_MAX = 15;
const ZERO = 0x30;

/** Returns the score in an argument, or NaN when it is not a number. */
function scoreArgument(context: CommandContext, at: number): number {
  const { request } = context;
  const { bytes } = request;
  const start = request.position[at]!;
  const length = request.length[at]!;
  // Most scores have only digits. Leading zeros are allowed.
  if (length > 0 && length <= DIGITS_MAX) {
    let value = 0;
    let i = start;
    for (const end = start + length; i < end; i++) {
      const digit = bytes[i]! - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    if (i === start + length) return value;
  }
  return parseFloat64(bytes, start, length) ?? Number.NaN;
}

function addToNew(context: CommandContext, options: number, first: number): void {
  const { request, server } = context;
  const { settings } = server;
  const set = server.keyspace.structures.sortedSet;
  const long = request.length[first + 1]! > settings.zsetMaxListpackValue;
  const large = long || settings.zsetMaxListpackEntries === 0;
  // A set that begins with one member usually grows. When several members are given, they are
  // probably all of it, so their room is allocated at once.
  const room = request.argc > first + 2 ? roomForArguments(context, first) : 0;
  if (room > 0 && room <= WHOLE_BYTES_MAX) set.create(large, room);
  else set.create(large);
  try {
    addAll(context, NIL, set, options, first);
  } catch (error) {
    // There is no memory for all members, so the key is not added.
    set.free();
    throw error;
  }
}

function addToExisting(context: CommandContext, entry: Ref, options: number, first: number): void {
  addAll(context, entry, openSet(context, entry), options, first);
}

function addAll(
  context: CommandContext,
  entry: Ref,
  set: SortedSet,
  options: number,
  first: number,
): void {
  const { request, reply } = context;
  let added = 0;
  let updated = 0;
  let done: Done = Done.NOTHING;
  for (let at = first; at < request.argc; at += 2) {
    done = addOne(context, set, options, at);
    // The place of the set must be noted before the next member, for which there may be no memory.
    if (entry !== NIL) settle(context, entry, set);
    if (done === Done.ADDED) added++;
    else if (done === Done.UPDATED) updated++;
  }
  // Only an increment can fail like this. It has one member, so nothing has changed.
  if (done === Done.NOT_A_NUMBER) {
    reply.error('ERR resulting score is not a number (NaN)');
    return;
  }
  if (entry === NIL) {
    if (added > 1) set.shrinkToFit();
    addSet(context, 1, set);
  }
  if (added + updated > 0) {
    context.changes += added + updated;
    context.modified(1);
    context.notify(EventClass.ZSET, (options & Option.INCR) !== 0 ? 'zincr' : 'zadd', 1);
  }
  if ((options & Option.INCR) === 0)
    reply.integer((options & Option.CH) !== 0 ? added + updated : added);
  else if (done === Done.NOTHING) reply.nil();
  else reply.double(set.score);
}

/** Adds or changes the member behind the score at `at`. Afterwards the score is in `set`. */
function addOne(context: CommandContext, set: SortedSet, options: number, at: number): Done {
  const { request, server } = context;
  const { bytes } = request;
  const start = request.position[at + 1]!;
  const length = request.length[at + 1]!;
  let score = scoreArgument(context, at);
  if (!set.find(bytes, start, length)) {
    if ((options & Option.XX) !== 0) return Done.NOTHING;
    const { zsetMaxListpackEntries, zsetMaxListpackValue } = server.settings;
    set.add(score, bytes, start, length, zsetMaxListpackEntries, zsetMaxListpackValue);
    set.score = score;
    return Done.ADDED;
  }
  if ((options & Option.NX) !== 0) return Done.NOTHING;
  const present = set.score;
  if ((options & Option.INCR) !== 0) {
    score += present;
    if (Number.isNaN(score)) return Done.NOT_A_NUMBER;
  }
  if ((options & Option.LT) !== 0 && score >= present) return Done.NOTHING;
  if ((options & Option.GT) !== 0 && score <= present) return Done.NOTHING;
  if (score === present) {
    set.score = score;
    return Done.UNCHANGED;
  }
  set.setFoundScore(score);
  set.score = score;
  return Done.UPDATED;
}
