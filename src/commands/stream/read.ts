/**
 * Hot path. XREAD and XREADGROUP, including blocking for new entries. Main thread.
 *
 * The stream carries an XCLAIM for each entry that XREADGROUP delivers, and an XGROUP SETID.
 * Reading entries that are already pending sends nothing.
 */
import { NIL, type Ref } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import { Aggregate } from '../../resp/reply.ts';
import { Request } from '../../resp/request.ts';
import { IdCursor } from '../../structs/id-tree.ts';
import { entriesUpTo, isFragmentedFrom } from '../../structs/stream-counts.ts';
import type { StreamEntries } from '../../structs/stream-entries.ts';
import { ENTRIES_READ_UNKNOWN } from '../../structs/stream-groups.ts';
import { StreamId } from '../../structs/stream-id.ts';
import { integerArgument, SYNTAX_ERROR } from '../arguments.ts';
import { type CommandContext, WRONG } from '../context.ts';
import {
  copyName,
  findConsumer,
  findGroup,
  groupsOf,
  idArgument,
  isByte,
  needConsumer,
  openStream,
  replicateClaim,
  replicateGroupId,
  replyEntry,
  replyId,
} from './value.ts';

const DOLLAR = 0x24;
const GREATER = 0x3e;
const NO_BLOCK = -1;
/** The greatest 64-bit integer, rounded to a double. */
const TIMEOUT_MS_MAX = 2 ** 63;

/** The arguments of a read. All commands share one object. */
class ReadRequest {
  isGroup = false;
  timeoutMs = NO_BLOCK;
  count = 0;
  noAck = false;
  /** Argument of the group, which the consumer follows; 0 for none. */
  groupAt = 0;
  /** Argument of the first key, and the number of keys. As many ids follow. */
  first = 0;
  streams = 0;

  /** Reads the arguments. Returns false after an error reply. */
  parse(context: CommandContext, isGroup: boolean): boolean {
    this.isGroup = isGroup;
    this.timeoutMs = NO_BLOCK;
    this.count = 0;
    this.noAck = false;
    this.groupAt = 0;
    this.first = 0;
    const { request, reply } = context;
    for (let at = 1; at < request.argc && this.first === 0; at++) {
      const more = request.argc - 1 - at;
      if (more > 0 && request.equalsIgnoreCase(at, 'BLOCK')) {
        this.timeoutMs = timeoutMsArgument(context, ++at);
        if (Number.isNaN(this.timeoutMs)) return false;
      } else if (more > 0 && request.equalsIgnoreCase(at, 'COUNT')) {
        this.count = integerArgument(context, ++at);
        if (Number.isNaN(this.count)) return false;
      } else if (more > 0 && request.equalsIgnoreCase(at, 'STREAMS')) {
        this.first = at + 1;
      } else if (more >= 2 && request.equalsIgnoreCase(at, 'GROUP')) {
        if (!this.#groupsOnly(context, 'GROUP')) return false;
        this.groupAt = at + 1;
        at += 2;
      } else if (request.equalsIgnoreCase(at, 'NOACK')) {
        if (!this.#groupsOnly(context, 'NOACK')) return false;
        this.noAck = true;
      } else {
        reply.error(SYNTAX_ERROR);
        return false;
      }
    }
    return this.#consistent(context);
  }

  #groupsOnly(context: CommandContext, option: string): boolean {
    if (this.isGroup) return true;
    context.reply.error(
      `ERR The ${option} option is only supported by XREADGROUP. You called XREAD instead.`,
    );
    return false;
  }

  #consistent(context: CommandContext): boolean {
    const { request, reply } = context;
    const left = request.argc - this.first;
    if (this.first === 0) reply.error(SYNTAX_ERROR);
    else if (left % 2 !== 0) {
      const [name, symbol] = this.isGroup ? ['xreadgroup', '>'] : ['xread', '$'];
      reply.error(
        `ERR Unbalanced '${name}' list of streams: for each stream key an ID or '${symbol}' must be specified.`,
      );
    } else if (this.isGroup && this.groupAt === 0)
      reply.error('ERR Missing GROUP option for XREADGROUP');
    else {
      this.streams = left / 2;
      return true;
    }
    return false;
  }
}

/** Returns argument `index` in ms, or NaN after an error reply. */
function timeoutMsArgument(context: CommandContext, index: number): number {
  const { reply, server } = context;
  const timeoutMs = integerArgument(
    context,
    index,
    'ERR timeout is not an integer or out of range',
  );
  if (Number.isNaN(timeoutMs)) return timeoutMs;
  if (timeoutMs < 0) reply.error('ERR timeout is negative');
  else if (timeoutMs >= TIMEOUT_MS_MAX - server.nowMs) reply.error('ERR timeout is out of range');
  else return timeoutMs;
  return Number.NaN;
}

// State of the current command. It is not used beyond one call.
const asked = new ReadRequest();
const after = new StreamId();
const lastId = new StreamId();
const groupId = new StreamId();
const max = new StreamId();
max.setMax();

export function xread(context: CommandContext): void {
  read(context, false);
}

export function xreadgroup(context: CommandContext): void {
  // The stream carries the effects of the command instead.
  context.replicateNothing();
  read(context, true);
}

function read(context: CommandContext, isGroup: boolean): void {
  if (!asked.parse(context, isGroup)) return;
  const { reply } = context;
  const { first, streams } = asked;
  for (let i = 0; i < streams; i++) if (!checkStream(context, i)) return;
  const array = reply.deferArray();
  let answered = 0;
  for (let i = 0; i < streams; i++) {
    const entry = context.lookupRead(first + i);
    if (entry === NIL) continue;
    const entries = openStream(context, entry);
    if (isGroup ? readGroup(context, entries, i) : readStreamAfter(context, entries, i)) answered++;
  }
  if (answered > 0) {
    reply.setDeferred(array, answered, reply.protocol === 3 ? Aggregate.MAP : Aggregate.ARRAY);
    return;
  }
  reply.truncate(array);
  if (asked.timeoutMs === NO_BLOCK) reply.nilArray();
  else wait(context);
}

/**
 * Returns whether the key, the group and the id of stream `i` are valid. Otherwise answers the
 * error.
 */
function checkStream(context: CommandContext, i: number): boolean {
  const { request, reply } = context;
  const keyAt = asked.first + i;
  const idAt = keyAt + asked.streams;
  const entry = context.readTyped(keyAt, ValueType.STREAM);
  if (entry === WRONG) return false;
  if (
    asked.isGroup &&
    (entry === NIL || findGroup(context, context.db.value(entry), asked.groupAt) === NIL)
  ) {
    const [key, group] = [request.latin1(keyAt), request.latin1(asked.groupAt)];
    reply.error(
      `NOGROUP No such key '${key}' or consumer group '${group}' in XREADGROUP with GROUP option`,
    );
    return false;
  }
  if (isByte(context, idAt, DOLLAR)) {
    if (!asked.isGroup) return true;
    reply.error(
      'ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer ' +
        'by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return an empty ' +
        'result set.',
    );
    return false;
  }
  if (isByte(context, idAt, GREATER)) {
    if (asked.isGroup) return true;
    reply.error(
      'ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.',
    );
    return false;
  }
  return idArgument(context, idAt, after, 0);
}

function replyKey(context: CommandContext, keyAt: number): void {
  const { request, reply } = context;
  if (reply.protocol === 2) reply.array(2);
  reply.bulk(request.bytes, request.position[keyAt]!, request.length[keyAt]!);
}

/** Answers the entries behind the id of stream `i`. Returns false when there are none. */
function readStreamAfter(context: CommandContext, entries: StreamEntries, i: number): boolean {
  const { reply } = context;
  const idAt = asked.first + asked.streams + i;
  if (entries.length === 0 || isByte(context, idAt, DOLLAR)) return false;
  idArgument(context, idAt, after, 0);
  entries.readEdgeId(true, lastId);
  if (lastId.compare(after) <= 0) return false;
  after.increment();
  replyKey(context, asked.first + i);
  const cursor = entries.seek(after, max, false);
  const array = reply.deferArray();
  let shown = 0;
  while ((asked.count <= 0 || shown < asked.count) && cursor.next()) {
    replyEntry(reply, cursor);
    shown++;
  }
  reply.setDeferred(array, shown, Aggregate.ARRAY);
  return true;
}

/**
 * Delivers new entries of stream `i` to the consumer, or answers its pending entries. Returns false
 * when there is nothing to answer.
 */
function readGroup(context: CommandContext, entries: StreamEntries, i: number): boolean {
  const groups = groupsOf(context);
  const keyAt = asked.first + i;
  const idAt = keyAt + asked.streams;
  const group = findGroup(context, entries.ref, asked.groupAt);
  const isNew = findConsumer(context, group, asked.groupAt + 1) === NIL;
  const consumer = needConsumer(context, group, asked.groupAt + 1, keyAt);
  groups.setSeen(consumer, context.server.nowMs);
  let created = !isNew;
  if (isNew && asked.noAck) {
    replicateConsumer(context, keyAt, group, consumer);
    created = true;
  }
  if (!asksForNew(context, idAt)) {
    if (!created) replicateConsumer(context, keyAt, group, consumer);
    replyKey(context, keyAt);
    replyPending(context, entries, consumer);
    context.changes++;
    return true;
  }
  groups.readGroupLastId(group, groupId);
  const any = entries.length > 0 && entries.readEdgeId(true, lastId) && lastId.compare(groupId) > 0;
  if (!any) {
    if (!created) replicateConsumer(context, keyAt, group, consumer);
    return false;
  }
  replyKey(context, keyAt);
  deliver(context, entries, keyAt, group, consumer);
  context.changes++;
  return true;
}

/**
 * Returns whether the id is `>` or the greatest id, which Redis treats as `>`. Otherwise sets
 * `after` to the id.
 */
function asksForNew(context: CommandContext, idAt: number): boolean {
  if (isByte(context, idAt, GREATER)) return true;
  idArgument(context, idAt, after, 0);
  return after.isMax;
}

function replicateConsumer(
  context: CommandContext,
  keyAt: number,
  group: Ref,
  consumer: Ref,
): void {
  const key = context.request.copy(keyAt);
  context.replicateAs(
    'XGROUP',
    'CREATECONSUMER',
    key,
    copyName(context, group),
    copyName(context, consumer),
  );
}

/** Answers the entries behind the group's last id, and notes their deliveries. */
function deliver(
  context: CommandContext,
  entries: StreamEntries,
  keyAt: number,
  group: Ref,
  consumer: Ref,
): void {
  const { reply, server } = context;
  const groups = groupsOf(context);
  after.copyFrom(groupId);
  after.increment();
  const cursor = entries.seek(after, max, false);
  const array = reply.deferArray();
  let shown = 0;
  let moved = false;
  while ((asked.count <= 0 || shown < asked.count) && cursor.next()) {
    const { id } = cursor;
    noteRead(context, entries, group, id);
    moved = true;
    replyEntry(reply, cursor);
    shown++;
    if (asked.noAck) continue;
    let delivery = groups.findDelivery(group, id);
    if (delivery === NIL) delivery = groups.addDelivery(group, consumer, id);
    else groups.moveDelivery(delivery, id, consumer);
    groups.setDelivery(delivery, server.nowMs, 1);
    groups.setActive(consumer, server.nowMs);
    replicateClaim(context, keyAt, group, id.toString(), delivery);
  }
  reply.setDeferred(array, shown, Aggregate.ARRAY);
  if (moved) replicateGroupId(context, keyAt, group);
}

/** Notes that a group has read up to `id`, an entry behind its last id. */
function noteRead(context: CommandContext, entries: StreamEntries, group: Ref, id: StreamId): void {
  const groups = groupsOf(context);
  const read = groups.entriesRead(group);
  if (read !== ENTRIES_READ_UNKNOWN && !isFragmentedFrom(entries, id))
    groups.setEntriesRead(group, read + 1);
  else if (entries.entriesAdded > 0) groups.setEntriesRead(group, entriesUpTo(entries, id));
  groups.setGroupLastId(group, id);
}

/** Answers the pending entries of a consumer behind the id in `after`. Deleted entries are nil. */
function replyPending(context: CommandContext, entries: StreamEntries, consumer: Ref): void {
  const { reply, server } = context;
  const groups = groupsOf(context);
  const array = reply.deferArray();
  let shown = 0;
  after.increment();
  const pending = new IdCursor(server.keyspace.arena);
  let more = pending.seekCeiling(groups.pendingOf(consumer), after);
  for (; more && (asked.count <= 0 || shown < asked.count); more = pending.next()) {
    const cursor = entries.seek(pending.id, pending.id, false);
    if (cursor.next()) {
      replyEntry(reply, cursor);
      const delivery = pending.value;
      groups.setDelivery(delivery, server.nowMs, groups.deliveryCount(delivery) + 1);
    } else {
      reply.array(2);
      replyId(reply, pending.id);
      reply.nilArray();
    }
    shown++;
  }
  reply.setDeferred(array, shown, Aggregate.ARRAY);
}

function wait(context: CommandContext): void {
  const { first, streams, timeoutMs, isGroup } = asked;
  if (!isGroup) resolveLastIds(context);
  context.block({
    type: ValueType.STREAM,
    keys: Array.from({ length: streams }, (_, i) => first + i),
    timeoutMs,
    onTimeout: (reply) => reply.nilArray(),
    whenDeleted: isGroup,
  });
}

/**
 * Replaces each `$` by the id that it stands for, because the command runs again when entries are
 * added.
 */
function resolveLastIds(context: CommandContext): void {
  const { request } = context;
  const words: Uint8Array[] = [];
  for (let at = 0; at < request.argc; at++) {
    const keyAt = at - asked.streams;
    if (keyAt < asked.first || !isByte(context, at, DOLLAR)) {
      words.push(request.copy(at));
      continue;
    }
    const entry = context.lookupQuiet(keyAt);
    if (entry === NIL) lastId.setMin();
    else openStream(context, entry).readLastId(lastId);
    words.push(Buffer.from(lastId.toString(), 'latin1'));
  }
  const resolved = new Request();
  resolved.bytes = Buffer.concat(words);
  resolved.end = resolved.bytes.length;
  let position = 0;
  for (const word of words) {
    resolved.add(position, word.length);
    position += word.length;
  }
  context.request = resolved;
}
