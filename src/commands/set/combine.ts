/**
 * Unions, intersections and differences of sets, answered or stored; SMEMBERS, which is the
 * intersection of one. Main thread.
 *
 * Operands are opened at once, each in a MemberSet of its own. Keys that are the same share an
 * entry.
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
 * The operands in arguments [first, end), undefined for keys that are absent; or undefined after
 * WRONGTYPE. An intersection looks up all keys too, so that each has the right type.
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
  // A lookup may have deleted a key whose time had come, never another: the entries are good still.
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

/** The count of keys in argument 1, or NaN after the error has been answered. */
function keyCountArgument(context: CommandContext): number {
  const { request, reply } = context;
  const keys = integerArgument(context, 1, NO_KEYS);
  if (Number.isNaN(keys)) return keys;
  if (keys >= 1 && keys <= request.argc - 2) return keys;
  reply.error(keys < 1 ? NO_KEYS : "ERR Number of keys can't be greater than number of args");
  return Number.NaN;
}

/**
 * The sets of an intersection, the smallest first and each once; undefined when one is absent:
 * nothing is common.
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
 * Calls `visit` with the first set, which stands at a member of all of them, until that returns
 * false.
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

/** Calls `visit` with the first set, which stands at a member that no other set has. */
function eachOfFirstOnly(
  sets: readonly (Operand | undefined)[],
  visit: (set: MemberSet) => void,
): void {
  const [from, ...rest] = sets;
  if (from === undefined || rest.some((other) => other?.entry === from.entry)) return;
  const others = rest.filter((other) => other !== undefined);
  // A member is most likely to be found in the largest.
  others.sort((a, b) => b.set.count() - a.set.count());
  const { set } = from;
  for (let more = set.first(); more; more = set.next()) {
    const { bytes, position, length } = set.member();
    if (!others.some((other) => other.set.has(bytes, position, length))) visit(set);
  }
}

/**
 * Fills `target`, or frees it when there is no memory for the whole of it: nothing is stored then.
 */
function storing(target: MemberSet, fill: () => void): void {
  try {
    fill();
  } catch (error) {
    target.free();
    throw error;
  }
}

/** Adds the member that `set` stands at. */
function addMember(context: CommandContext, target: MemberSet, set: MemberSet): void {
  const { bytes, position, length } = set.member();
  target.add(bytes, position, length, context.server.settings);
}
