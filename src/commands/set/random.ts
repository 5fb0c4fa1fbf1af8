/**
 * SPOP and SRANDMEMBER: random members. The stream carries the names of popped members. Main
 * thread.
 */
import { GIB, NIL, type Ref } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import type { MemberSet } from '../../structs/member-set.ts';
import { integerArgument, negatableArgument, SYNTAX_ERROR } from '../arguments.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { EventClass } from '../ports.ts';
import { openMembers, replySetMember, settleOrDrop } from './value.ts';

const NOT_POSITIVE = 'ERR value is out of range, must be positive';
const OUT_OF_RANGE = 'ERR value is out of range';

/** One SREM in the stream carries at most this many popped members. */
const REMOVED_AT_ONCE = 1024;
/** Limit of a reply with repetitions, in bytes. Without it a client could ask for any length. */
const REPLY_BYTES_MAX = GIB;
/**
 * When fewer than one in this many members is wanted, members are drawn. Otherwise all are visited.
 */
const SPARSE = 3;

export function spop(context: CommandContext): void {
  const { request, reply } = context;
  if (request.argc > 3) {
    reply.error(SYNTAX_ERROR);
    return;
  }
  if (request.argc === 3) {
    popMany(context);
    return;
  }
  const entry = context.writeTyped(1, ValueType.SET);
  if (entry === WRONG) return;
  if (entry === NIL) {
    reply.nil();
    return;
  }
  const set = openMembers(context, entry);
  set.random(context.server.prng);
  const { bytes, position, length } = set.member();
  reply.bulk(bytes, position, length);
  if (context.server.streaming) context.replicateAs('SREM', request.copy(1), set.copyMember());
  else context.replicateNothing();
  set.removeCurrent();
  context.notify(EventClass.SET, 'spop', 1);
  if (settleOrDrop(context, entry, set)) context.notify(EventClass.GENERIC, 'del', 1);
  context.changed(1);
}

function popMany(context: CommandContext): void {
  const { reply } = context;
  const count = integerArgument(context, 2, NOT_POSITIVE);
  if (Number.isNaN(count)) return;
  if (count < 0) {
    reply.error(NOT_POSITIVE);
    return;
  }
  const entry = context.writeTyped(1, ValueType.SET);
  if (entry === WRONG) return;
  if (entry === NIL || count === 0) {
    reply.set(0);
    return;
  }
  const set = openMembers(context, entry);
  context.notify(EventClass.SET, 'spop', 1);
  if (count >= set.count()) popAll(context, entry, set);
  else popSome(context, entry, set, count);
  context.modified(1);
}

function popAll(context: CommandContext, entry: Ref, set: MemberSet): void {
  const { request, reply, server } = context;
  const count = set.count();
  reply.set(count);
  for (let more = set.first(); more; more = set.next()) replySetMember(context, set);
  context.removeEntry(entry);
  context.changes += count;
  context.notify(EventClass.GENERIC, 'del', 1);
  context.replicateAs(server.settings.lazyfreeLazyServerDel ? 'UNLINK' : 'DEL', request.copy(1));
}

function popSome(context: CommandContext, entry: Ref, set: MemberSet, count: number): void {
  const { request, reply, server } = context;
  const key = request.copy(1);
  reply.set(count);
  let words: (Uint8Array | string)[] = ['SREM', key];
  for (let left = count; left > 0; left--) {
    set.random(server.prng);
    const member = set.copyMember();
    set.removeCurrent();
    reply.bulk(member, 0, member.length);
    if (words.length === 2 + REMOVED_AT_ONCE) {
      context.replicateIn(context.client.dbIndex, words);
      words = ['SREM', key];
    }
    words.push(member);
  }
  context.replicateIn(context.client.dbIndex, words);
  context.changes += count;
  settleOrDrop(context, entry, set);
}

export function srandmember(context: CommandContext): void {
  const { request, reply, server } = context;
  if (request.argc > 3) {
    reply.error(SYNTAX_ERROR);
    return;
  }
  const many = request.argc === 3;
  const wanted = many ? negatableArgument(context, 2) : 1;
  if (Number.isNaN(wanted)) return;
  const entry = context.readTyped(1, ValueType.SET);
  if (entry === WRONG) return;
  if (entry === NIL || wanted === 0) {
    if (many) reply.emptyArray();
    else reply.nil();
    return;
  }
  const set = openMembers(context, entry);
  if (!many) {
    set.random(server.prng);
    replySetMember(context, set);
  } else if (wanted < 0) {
    replyRepeating(context, set, -wanted);
  } else {
    replyDistinct(context, set, Math.min(wanted, set.count()));
  }
}

/** Answers `count` random members, possibly with repetitions. */
function replyRepeating(context: CommandContext, set: MemberSet, count: number): void {
  const { reply, server } = context;
  const mark = reply.mark();
  if (count <= REPLY_BYTES_MAX) reply.array(count);
  for (let left = count; left > 0; left--) {
    if (count > REPLY_BYTES_MAX || reply.size - mark > REPLY_BYTES_MAX) {
      reply.truncate(mark);
      reply.error(OUT_OF_RANGE);
      return;
    }
    set.random(server.prng);
    replySetMember(context, set);
  }
}

/** Answers `count` different random members. */
function replyDistinct(context: CommandContext, set: MemberSet, count: number): void {
  const { reply, server } = context;
  const { prng } = server;
  let left = set.count();
  if (count * SPARSE < left) {
    replyDrawn(context, set, count);
    return;
  }
  reply.array(count);
  let wanted = count;
  // A member is chosen with probability wanted / left: the number still wanted over the number of
  // members that are left.
  for (let more = set.first(); more && wanted > 0; more = set.next(), left--) {
    if (prng.below(left) >= wanted) continue;
    replySetMember(context, set);
    wanted--;
  }
}

/** Draws members until there are `count` different ones. */
function replyDrawn(context: CommandContext, set: MemberSet, count: number): void {
  const { reply, server } = context;
  const seen = new Set<number>();
  reply.array(count);
  while (seen.size < count) {
    set.random(server.prng);
    const place = set.place();
    if (seen.has(place)) continue;
    seen.add(place);
    replySetMember(context, set);
  }
}
