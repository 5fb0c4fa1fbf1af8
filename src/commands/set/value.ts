/**
 * Hot path. Sets as values of keys: opens them, notes their new places, and stores new sets. Main
 * thread.
 */
import { unreachable } from '../../base/assert.ts';
import { NIL, type Ref } from '../../base/units.ts';
import type { Database } from '../../keyspace/database.ts';
import { Encoding, ValueType } from '../../keyspace/entry.ts';
import { type MemberSet, SetForm } from '../../structs/member-set.ts';
import type { CommandContext } from '../context.ts';
import { EventClass } from '../ports.ts';

/** Opens the set of `entry`. Stale once another one is opened this way. */
export function openMembers(context: CommandContext, entry: Ref): MemberSet {
  return openMembersIn(context.db, entry, context.server.keyspace.structures.memberSet);
}

/** As {@link openMembers}, with a MemberSet of the caller. */
export function openMembersIn(db: Database, entry: Ref, set: MemberSet): MemberSet {
  set.open(db.value(entry), formOf(db.encoding(entry)));
  return set;
}

function formOf(encoding: Encoding): SetForm {
  if (encoding === Encoding.INTSET) return SetForm.INTSET;
  return encoding === Encoding.LISTPACK ? SetForm.LISTPACK : SetForm.TABLE;
}

export function setEncoding(form: SetForm): Encoding {
  switch (form) {
    case SetForm.INTSET:
      return Encoding.INTSET;
    case SetForm.LISTPACK:
      return Encoding.LISTPACK;
    case SetForm.TABLE:
      return Encoding.HASHTABLE;
    default:
      return unreachable(form);
  }
}

/** Notes in `entry` the place and form of its set after a change. */
export function settleMembers(context: CommandContext, entry: Ref, set: MemberSet): void {
  const { db } = context;
  const encoding = setEncoding(set.form);
  // A set that moved twice may be back in its first place, but in another form.
  if (db.value(entry) === set.ref && db.encoding(entry) === encoding) return;
  db.setObject(entry, encoding, set.ref);
}

/**
 * Notes the place of a set from which members were removed. Deletes the key when the set is empty.
 * Returns whether it did.
 */
export function settleOrDrop(context: CommandContext, entry: Ref, set: MemberSet): boolean {
  if (set.count() > 0) {
    settleMembers(context, entry, set);
    return false;
  }
  set.free();
  context.db.removeEmptied(entry);
  return true;
}

/**
 * Adds a new set under the key in argument `index`, which was looked up last and is absent. Sends
 * no event.
 */
export function addMemberSet(context: CommandContext, index: number, set: MemberSet): void {
  const { request, db } = context;
  db.addObject(
    request.bytes,
    request.position[index]!,
    request.length[index]!,
    ValueType.SET,
    setEncoding(set.form),
    set.ref,
  );
}

/**
 * Stores a new set under the key in argument 1, whatever its old value, and answers the length. An
 * empty set deletes the key. `event` is the name of the event. Afterwards the keyspace owns the
 * set, or it is freed.
 */
export function storeMemberSet(context: CommandContext, set: MemberSet, event: string): void {
  const { db, reply } = context;
  const count = set.count();
  const entry = context.lookupWrite(1);
  if (count === 0) {
    set.free();
    if (entry !== NIL) {
      context.removeEntry(entry);
      context.changed(1);
      context.notify(EventClass.GENERIC, 'del', 1);
    }
    reply.integer(0);
    return;
  }
  if (entry === NIL) {
    addMemberSet(context, 1, set);
    context.notify(EventClass.NEW, 'new', 1);
  } else db.overwriteObject(entry, ValueType.SET, setEncoding(set.form), set.ref, false);
  context.changed(1);
  context.notify(EventClass.SET, event, 1);
  reply.integer(count);
}

/** Answers the current member of the set. */
export function replySetMember(context: CommandContext, set: MemberSet): void {
  const { bytes, position, length } = set.member();
  context.reply.bulk(bytes, position, length);
}
