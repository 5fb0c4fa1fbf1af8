/**
 * Unions, intersections and differences of sets, answered or stored. SMEMBERS is the intersection
 * of one set. Main thread.
 *
 * All operands are open at the same time, each in its own MemberSet. Keys that are named twice have
 * the same entry.
 */
import { NIL, type Ref } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import { Aggregate } from '../../resp/reply.ts';
import { type MemberSet, SetForm } from '../../structs/member-set.ts';
import { integerArgument, SYNTAX_ERROR } from '../arguments.ts';
import { type CommandContext, WRONGTYPE } from '../context.ts';
import { openMembersIn, replySetMember, setEncoding, storeMemberSet } from './value.ts';

interface Operand {
  readonly entry: Ref;
  readonly set: MemberSet;
}

/**
 * Opens the operands in arguments [first, end). An absent key is undefined in the array. Returns
 * undefined after WRONGTYPE. An intersection also looks up all keys, to check their types.
 */
function operands(
  context: CommandContext,
  first: number,
  end: number,
): readonly (Operand | undefined)[] | undefined {
  const { db, reply, server } = context;
  const entries: Ref[] = [];
  for (let at = first; at < end; at++) {
    const entry = context.lookupRead(at);
    if (entry !== NIL && db.type(entry) !== ValueType.SET) {
      reply.error(WRONGTYPE);
      return undefined;
    }
    entries.push(entry);
  }
  // A lookup may have deleted its own expired key, but no other, so the entries are still valid.
  return entries.map((entry) => {
    if (entry === NIL) return undefined;
    return { entry, set: openMembersIn(db, entry, server.keyspace.structures.newMemberSet()) };
  });
}

export function sinter(context: CommandContext): void {
  const sets = operands(context, 1, context.request.argc);
  if (sets === undefined) return;
  const { reply } = context;
  const common = smallestFirst(sets);
  if (common === undefined) {
    reply.set(0);
    return;
  }
  const token = reply.deferArray();
  let count = 0;
  eachCommon(common, (set) => {
    replySetMember(context, set);
    count++;
    return true;
  });
  reply.setDeferred(token, count, Aggregate.SET);
}

export function sinterstore(context: CommandContext): void {
  const sets = operands(context, 2, context.request.argc);
  if (sets === undefined) return;
  const { structures } = context.server.keyspace;
  const { settings } = context.server;
  const target = structures.memberSet;
  const common = smallestFirst(sets);
  const integers = common?.[0]?.set.form === SetForm.INTSET;
  target.create(integers ? SetForm.INTSET : SetForm.LISTPACK);
  storing(target, () => {
    if (common === undefined) return;
    eachCommon(common, (set) => {
      addMember(context, target, set);
      return true;
    });
    if (target.count() > 0) target.reduceToIntset(settings);
  });
  storeMemberSet(context, target, 'sinterstore');
}

export function sintercard(context: CommandContext): void {
  const { request, reply } = context;
  const keys = keyCountArgument(context);
  if (Number.isNaN(keys)) return;
  let limit = 0;
  for (let at = 2 + keys; at < request.argc; at += 2) {
    if (at + 1 === request.argc || !request.equalsIgnoreCase(at, 'LIMIT')) {
      reply.error(SYNTAX_ERROR);
      return;
    }
    limit = integerArgument(context, at + 1, NEGATIVE_LIMIT);
    if (Number.isNaN(limit)) return;
    if (limit < 0) {
      reply.error(NEGATIVE_LIMIT);
      return;
    }
  }
  const sets = operands(context, 2, 2 + keys);
  if (sets === undefined) return;
  const common = smallestFirst(sets);
  let count = 0;
  if (common !== undefined) eachCommon(common, () => ++count !== limit);
  reply.integer(count);
}

const NEGATIVE_LIMIT = "ERR LIMIT can't be negative";
const NO_KEYS = 'ERR numkeys should be greater than 0';

/** Returns the number of keys in argument 1, or NaN after an error reply. */
function keyCountArgument(context: CommandContext): number {
  const { request, reply } = context;
  const keys = integerArgument(context, 1, NO_KEYS);
  if (Number.isNaN(keys)) return keys;
  if (keys >= 1 && keys <= request.argc - 2) return keys;
  reply.error(keys < 1 ? NO_KEYS : "ERR Number of keys can't be greater than number of args");
  return Number.NaN;
}

/**
 * Returns the sets of an intersection without duplicates, the smallest first. Returns undefined
 * when a set is absent, since then the intersection is empty.
 */
function smallestFirst(sets: readonly (Operand | undefined)[]): Operand[] | undefined {
  const distinct = new Map<Ref, Operand>();
  for (const operand of sets) {
    if (operand === undefined) return undefined;
    distinct.set(operand.entry, operand);
  }
  return [...distinct.values()].sort((a, b) => a.set.count() - b.set.count());
}

/**
 * Calls `visit` for each member that all sets have, until it returns false. The first set stands at
 * the member.
 */
function eachCommon(sets: readonly Operand[], visit: (set: MemberSet) => boolean): void {
  const { set } = sets[0]!;
  for (let more = set.first(); more; more = set.next()) {
    const { bytes, position, length } = set.member();
    let at = 1;
    while (at < sets.length && sets[at]!.set.has(bytes, position, length)) at++;
    if (at === sets.length && !visit(set)) return;
  }
}

export function sunion(context: CommandContext): void {
  const sets = operands(context, 1, context.request.argc);
  if (sets === undefined) return;
  const { reply } = context;
  const { keyspace } = context.server;
  const target = keyspace.structures.memberSet;
  const integers = sets.every(
    (operand) => operand === undefined || operand.set.form === SetForm.INTSET,
  );
  target.create(integers ? SetForm.INTSET : SetForm.TABLE);
  storing(target, () => unite(context, sets, target));
  reply.set(target.count());
  for (let more = target.first(); more; more = target.next()) replySetMember(context, target);
  keyspace.releaseObject(ValueType.SET, setEncoding(target.form), target.ref);
}

export function sunionstore(context: CommandContext): void {
  const sets = operands(context, 2, context.request.argc);
  if (sets === undefined) return;
  const target = context.server.keyspace.structures.memberSet;
  target.create(SetForm.INTSET);
  storing(target, () => unite(context, sets, target));
  storeMemberSet(context, target, 'sunionstore');
}

function unite(
  context: CommandContext,
  sets: readonly (Operand | undefined)[],
  target: MemberSet,
): void {
  for (const operand of sets) {
    if (operand === undefined) continue;
    const { set } = operand;
    for (let more = set.first(); more; more = set.next()) addMember(context, target, set);
  }
}

export function sdiff(context: CommandContext): void {
  const sets = operands(context, 1, context.request.argc);
  if (sets === undefined) return;
  const { reply } = context;
  const token = reply.deferArray();
  let count = 0;
  eachOfFirstOnly(sets, (set) => {
    replySetMember(context, set);
    count++;
  });
  reply.setDeferred(token, count, Aggregate.SET);
}

export function sdiffstore(context: CommandContext): void {
  const sets = operands(context, 2, context.request.argc);
  if (sets === undefined) return;
  const target = context.server.keyspace.structures.memberSet;
  target.create(SetForm.INTSET);
  storing(target, () => eachOfFirstOnly(sets, (set) => addMember(context, target, set)));
  storeMemberSet(context, target, 'sdiffstore');
}

/**
 * Calls `visit` for each member of the first set that no other set has. The first set stands at the
 * member.
 */
function eachOfFirstOnly(
  sets: readonly (Operand | undefined)[],
  visit: (set: MemberSet) => void,
): void {
  const [from, ...rest] = sets;
  if (from === undefined || rest.some((other) => other?.entry === from.entry)) return;
  const others = rest.filter((other) => other !== undefined);
  // The largest set is the most likely to have the member.
  others.sort((a, b) => b.set.count() - a.set.count());
  const { set } = from;
  for (let more = set.first(); more; more = set.next()) {
    const { bytes, position, length } = set.member();
    if (!others.some((other) => other.set.has(bytes, position, length))) visit(set);
  }
}

/** Fills `target`. Frees it when there is no memory; then nothing is stored. */
function storing(target: MemberSet, fill: () => void): void {
  try {
    fill();
  } catch (error) {
    target.free();
    throw error;
  }
}

/** Adds the current member of `set`. */
function addMember(context: CommandContext, target: MemberSet, set: MemberSet): void {
  const { bytes, position, length } = set.member();
  target.add(bytes, position, length, context.server.settings);
}
