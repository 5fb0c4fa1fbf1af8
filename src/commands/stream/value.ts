/**
 * Hot path. Streams as values of keys: opens and adds them, reads ids from arguments, answers ids
 * and entries. Main thread.
 */
import { withView } from '../../base/byte-copy.ts';
import { NIL, type Ref } from '../../base/units.ts';
import { Encoding, ValueType } from '../../keyspace/entry.ts';
import type { Reply } from '../../resp/reply.ts';
import type { StreamCursor } from '../../structs/stream-cursor.ts';
import type { StreamEntries } from '../../structs/stream-entries.ts';
import type { StreamGroups } from '../../structs/stream-groups.ts';
import { ID_TEXT_BYTES_MAX, StreamId } from '../../structs/stream-id.ts';
import { integerText } from '../arguments.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { EventClass } from '../ports.ts';

export const INVALID_ID = 'ERR Invalid stream ID specified as stream command argument';

const MINUS = 0x2d;
const PLUS = 0x2b;
const STAR = 0x2a;
/** Longer ids are refused without parsing, in bytes. */
const ID_BYTES_MAX = 127;

/** The sequence number that {@link parseId} found: absent, given, or `*`. */
export const Sequence = { NONE: 0, GIVEN: 1, ANY: 2 } as const;
export type Sequence = (typeof Sequence)[keyof typeof Sequence];

/**
 * The id that was answered last, its text, and the position of the sequence number in the text. The
 * position is 0 before the first id.
 */
const textId = new StreamId();
const idText = withView(new Uint8Array(ID_TEXT_BYTES_MAX));
let textSeqAt = 0;

export const groupsOf = (context: CommandContext): StreamGroups =>
  context.server.keyspace.structures.streams.groups;

/** Opens the stream of `entry`. Stale once another one is opened. */
export function openStream(context: CommandContext, entry: Ref): StreamEntries {
  const { entries } = context.server.keyspace.structures.streams;
  entries.open(context.db.value(entry));
  return entries;
}

/**
 * Opens the stream of the key in argument `index` for reading. Returns undefined when the key is
 * absent, or after WRONGTYPE.
 */
export function readStream(
  context: CommandContext,
  index: number,
  absent: (context: CommandContext) => void,
): StreamEntries | undefined {
  const entry = context.readTyped(index, ValueType.STREAM);
  if (entry === WRONG) return undefined;
  if (entry !== NIL) return openStream(context, entry);
  absent(context);
  return undefined;
}

/**
 * Adds an empty stream under the key in argument `index`, which was looked up last and is absent.
 */
export function addStream(context: CommandContext, index: number): StreamEntries {
  const { request, db, server } = context;
  const { streams } = server.keyspace.structures;
  streams.entries.create();
  try {
    const { ref } = streams.entries;
    const position = request.position[index]!;
    db.addObject(
      request.bytes,
      position,
      request.length[index]!,
      ValueType.STREAM,
      Encoding.STREAM,
      ref,
    );
  } catch (error) {
    // There is no memory for the key.
    streams.freeSome(streams.entries.ref, Number.POSITIVE_INFINITY);
    throw error;
  }
  context.notify(EventClass.NEW, 'new', index);
  return streams.entries;
}

/**
 * Reads argument `index` as an id: `ms-seq`, `ms`, or with `anySeq` `ms-*`. A missing sequence
 * number is `missingSeq`: 0, or -1 for the greatest. Returns undefined when it is not an id. Never
 * answers.
 */
export function parseId(
  context: CommandContext,
  index: number,
  id: StreamId,
  missingSeq: number,
  anySeq = false,
): Sequence | undefined {
  const { bytes, position, length } = context.request;
  const start = position[index]!;
  if (length[index]! > ID_BYTES_MAX) return undefined;
  const end = start + length[index]!;
  let dash = start;
  while (dash < end && bytes[dash] !== MINUS) dash++;
  if (!id.parseMs(bytes, start, dash)) return undefined;
  id.seqHigh = missingSeq;
  id.seqLow = missingSeq;
  if (dash === end) return Sequence.NONE;
  if (anySeq && dash + 2 === end && bytes[dash + 1] === STAR) {
    id.seqHigh = 0;
    id.seqLow = 0;
    return Sequence.ANY;
  }
  return id.parseSeq(bytes, dash + 1, end) ? Sequence.GIVEN : undefined;
}

/** As {@link parseId}, but answers the error. */
export function idArgument(
  context: CommandContext,
  index: number,
  id: StreamId,
  missingSeq: number,
): boolean {
  if (parseId(context, index, id, missingSeq) !== undefined) return true;
  context.reply.error(INVALID_ID);
  return false;
}

/** As {@link idArgument}, but also accepts `-` and `+`, the least and the greatest id. */
export function boundArgument(
  context: CommandContext,
  index: number,
  id: StreamId,
  missingSeq: number,
): boolean {
  if (isByte(context, index, MINUS)) id.setMin();
  else if (isByte(context, index, PLUS)) id.setMax();
  else return idArgument(context, index, id, missingSeq);
  return true;
}

/**
 * As {@link boundArgument}, but also accepts a leading `(`, which excludes the bound itself.
 * `start` tells that it is a lower bound.
 */
export function intervalArgument(
  context: CommandContext,
  index: number,
  id: StreamId,
  start: boolean,
): boolean {
  const { request, reply } = context;
  const missing = start ? 0 : -1;
  const exclusive = request.length[index]! > 1 && request.bytes[request.position[index]!] === 0x28;
  if (!exclusive) return boundArgument(context, index, id, missing);
  request.position[index]!++;
  request.length[index]!--;
  const sound = parseId(context, index, id, missing) !== undefined;
  request.position[index]!--;
  request.length[index]!++;
  if (!sound) {
    reply.error(INVALID_ID);
    return false;
  }
  if (start ? id.increment() : id.decrement()) return true;
  reply.error(`ERR invalid ${start ? 'start' : 'end'} ID for the interval`);
  return false;
}

/** Returns whether argument `index` is this single byte. */
export function isByte(context: CommandContext, index: number, byte: number): boolean {
  const { request } = context;
  return request.length[index] === 1 && request.bytes[request.position[index]!] === byte;
}

export const isStar = (context: CommandContext, index: number): boolean =>
  isByte(context, index, STAR);

export function replyId(reply: Reply, id: StreamId): void {
  // Consecutive ids mostly have the same milliseconds.
  if (textSeqAt === 0 || !id.sameMs(textId)) {
    textId.copyFrom(id);
    textSeqAt = id.writeMs(idText, 0);
  }
  reply.bulk(idText, 0, id.writeSeq(idText, textSeqAt));
}

/** Answers the id, fields and values of the cursor's entry. */
export function replyEntry(reply: Reply, cursor: StreamCursor): void {
  const { node } = cursor;
  reply.array(2);
  replyId(reply, node.id);
  reply.array(node.fieldCount * 2);
  for (let left = node.fieldCount; left > 0; left--) {
    node.nextField();
    const { field, value } = node;
    reply.bulk(field.bytes, field.position, field.length);
    reply.bulk(value.bytes, value.position, value.length);
  }
}

/** Returns a copy of the name of a group or consumer. */
export function copyName(context: CommandContext, named: Ref): Uint8Array {
  const groups = groupsOf(context);
  const start = groups.namePosition(named);
  return Uint8Array.prototype.slice.call(
    groups.bytesOf(named),
    start,
    start + groups.nameLength(named),
  );
}

export function replyName(context: CommandContext, named: Ref): void {
  const groups = groupsOf(context);
  context.reply.bulk(groups.bytesOf(named), groups.namePosition(named), groups.nameLength(named));
}

/** Returns the group that argument `index` names, or NIL. `stream` is the ref of the stream. */
export function findGroup(context: CommandContext, stream: Ref, index: number): Ref {
  const { bytes, position, length } = context.request;
  return groupsOf(context).findGroup(stream, bytes, position[index]!, length[index]!);
}

/** Returns the consumer that argument `index` names, or NIL. */
export function findConsumer(context: CommandContext, group: Ref, index: number): Ref {
  const { bytes, position, length } = context.request;
  return groupsOf(context).findConsumer(group, bytes, position[index]!, length[index]!);
}

/**
 * As {@link findConsumer}, but adds an absent consumer. `keyIndex` is the argument of the key, for
 * the event.
 */
export function needConsumer(
  context: CommandContext,
  group: Ref,
  index: number,
  keyIndex: number,
): Ref {
  const { bytes, position, length } = context.request;
  const found = findConsumer(context, group, index);
  if (found !== NIL) return found;
  const { nowMs } = context.server;
  const made = groupsOf(context).addConsumer(group, bytes, position[index]!, length[index]!, nowMs);
  context.changes++;
  context.notify(EventClass.STREAM, 'xgroup-createconsumer', keyIndex);
  return made;
}

/** Sends to the stream, as XCLAIM, that an entry is pending for a consumer. */
export function replicateClaim(
  context: CommandContext,
  keyIndex: number,
  group: Ref,
  id: Uint8Array | string,
  delivery: Ref,
): void {
  const groups = groupsOf(context);
  groups.readGroupLastId(group, lastId);
  context.replicateAs(
    'XCLAIM',
    context.request.copy(keyIndex),
    copyName(context, group),
    copyName(context, groups.consumerOf(delivery)),
    '0',
    id,
    'TIME',
    integerText(groups.deliveryTime(delivery)),
    'RETRYCOUNT',
    integerText(groups.deliveryCount(delivery)),
    'FORCE',
    'JUSTID',
    'LASTID',
    lastId.toString(),
  );
}
const lastId = new StreamId();

/** Sends to the stream, as XGROUP SETID, the id up to which a group has read. */
export function replicateGroupId(context: CommandContext, keyIndex: number, group: Ref): void {
  const groups = groupsOf(context);
  groups.readGroupLastId(group, lastId);
  context.replicateAs(
    'XGROUP',
    'SETID',
    context.request.copy(keyIndex),
    copyName(context, group),
    lastId.toString(),
    'ENTRIESREAD',
    integerText(groups.entriesRead(group)),
  );
}
