/**
 * Hot path. Commands that change the entries of a stream: XADD, XTRIM, XDEL, XSETID. Main thread.
 */
import { NIL } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import type { StreamEntries } from '../../structs/stream-entries.ts';
import { StreamId } from '../../structs/stream-id.ts';
import { keptArgument, SYNTAX_ERROR } from '../arguments.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { EventClass } from '../ports.ts';
import { TrimOptions } from './trim.ts';
import {
  addStream,
  INVALID_ID,
  idArgument,
  isStar,
  openStream,
  parseId,
  replyId,
  Sequence,
} from './value.ts';

const TOO_LARGE = 'ERR Elements are too large to be stored';

// State of the current command. It is not used beyond one call.
const options = new TrimOptions();
const id = new StreamId();
const lastId = new StreamId();
const otherId = new StreamId();

export function xadd(context: CommandContext): void {
  const { request, reply, server } = context;
  if (!options.parse(context, true)) return;
  const idAt = options.end;
  let sequence: Sequence = Sequence.ANY;
  const generated = idAt < request.argc && isStar(context, idAt);
  if (!generated && idAt < request.argc) {
    const parsed = parseId(context, idAt, id, 0, true);
    if (parsed === undefined) {
      reply.error(INVALID_ID);
      return;
    }
    sequence = parsed === Sequence.ANY ? Sequence.ANY : Sequence.GIVEN;
  }
  if (!options.areConsistent(context, true)) return;
  const fields = (request.argc - idAt - 1) / 2;
  if (fields <= 0 || !Number.isInteger(fields)) {
    reply.error("ERR wrong number of arguments for 'xadd' command");
    return;
  }
  // The id 0-0 is refused here, before a stream is added.
  if (sequence === Sequence.GIVEN && id.isMin) {
    reply.error('ERR The ID specified in XADD must be greater than 0-0');
    return;
  }
  const entry = context.writeTyped(1, ValueType.STREAM);
  if (entry === WRONG) return;
  if (entry === NIL && options.noMakeStream) {
    reply.nil();
    return;
  }
  const entries = entry === NIL ? addStream(context, 1) : openStream(context, entry);
  entries.readLastId(lastId);
  if (lastId.isMax) {
    reply.error('ERR The stream has exhausted the last possible ID, unable to add more items');
    return;
  }
  if (generated) nextId(server.nowMs);
  else if (sequence === Sequence.ANY && id.sameMs(lastId)) {
    id.copyFrom(lastId);
    if (!id.incrementSeq()) id.setMin();
  }
  if (id.compare(lastId) <= 0) {
    reply.error('ERR The ID specified in XADD is equal or smaller than the target stream top item');
    return;
  }
  const { streamNodeMaxBytes, streamNodeMaxEntries } = server.settings;
  if (!entries.append(id, request, idAt + 1, fields, streamNodeMaxBytes, streamNodeMaxEntries)) {
    reply.error(TOO_LARGE);
    return;
  }
  replyId(reply, id);
  context.changed(1);
  context.notify(EventClass.STREAM, 'xadd', 1);
  if (options.trims && options.apply(context, entries) > 0)
    context.notify(EventClass.STREAM, 'xtrim', 1);
  if (sequence === Sequence.GIVEN && !(options.trims && options.approximate)) return;
  if (server.streaming) {
    const given = sequence === Sequence.ANY ? id : undefined;
    context.replicateIn(context.client.dbIndex, options.replicated(context, entries, given));
  } else context.replicateNothing();
}

/**
 * Sets `id` to the current time, or to the id behind the last one when the clock is behind that.
 */
function nextId(nowMs: number): void {
  id.setMs(nowMs);
  if (id.compare(lastId) > 0) return;
  id.copyFrom(lastId);
  id.increment();
}

export function xtrim(context: CommandContext): void {
  const { reply } = context;
  if (!options.parse(context, false)) return;
  if (!options.areConsistent(context, false)) return;
  const entry = context.writeTyped(1, ValueType.STREAM);
  if (entry === WRONG) return;
  if (entry === NIL) {
    reply.integer(0);
    return;
  }
  const entries = openStream(context, entry);
  const deleted = options.apply(context, entries);
  if (deleted > 0) {
    context.notify(EventClass.STREAM, 'xtrim', 1);
    if (options.approximate)
      context.replicateIn(context.client.dbIndex, options.replicated(context, entries, undefined));
    context.modified(1);
    context.changes += deleted;
  }
  reply.integer(deleted);
}

export function xdel(context: CommandContext): void {
  const { request, reply } = context;
  const entry = context.writeTyped(1, ValueType.STREAM);
  if (entry === WRONG) return;
  if (entry === NIL) {
    reply.integer(0);
    return;
  }
  for (let at = 2; at < request.argc; at++) if (!idArgument(context, at, id, 0)) return;
  const entries = openStream(context, entry);
  entries.readFirstId(lastId);
  let deleted = 0;
  let first = false;
  for (let at = 2; at < request.argc; at++) {
    parseId(context, at, id, 0);
    if (!entries.delete(id)) continue;
    deleted++;
    if (id.compare(lastId) === 0) first = true;
    entries.readMaxDeleted(otherId);
    if (id.compare(otherId) > 0) entries.setMaxDeleted(id);
  }
  if (deleted > 0) {
    if (first || entries.length === 0) entries.updateFirstId();
    context.modified(1);
    context.notify(EventClass.STREAM, 'xdel', 1);
    context.changes += deleted;
  }
  reply.integer(deleted);
}

export function xsetid(context: CommandContext): void {
  const { request, reply } = context;
  if (!idArgument(context, 2, id, 0)) return;
  let entriesAdded = -1;
  let maxDeletedGiven = false;
  for (let at = 3; at < request.argc; at += 2) {
    const more = at + 1 < request.argc;
    if (more && request.equalsIgnoreCase(at, 'ENTRIESADDED')) {
      entriesAdded = keptArgument(context, at + 1);
      if (Number.isNaN(entriesAdded)) return;
      if (entriesAdded < 0) {
        reply.error('ERR entries_added must be positive');
        return;
      }
    } else if (more && request.equalsIgnoreCase(at, 'MAXDELETEDID')) {
      if (!idArgument(context, at + 1, otherId, 0)) return;
      maxDeletedGiven = true;
      if (id.compare(otherId) < 0) {
        reply.error(
          'ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id',
        );
        return;
      }
    } else {
      reply.error(SYNTAX_ERROR);
      return;
    }
  }
  const entry = context.writeTyped(1, ValueType.STREAM);
  if (entry === WRONG) return;
  if (entry === NIL) {
    reply.error('ERR no such key');
    return;
  }
  const entries = openStream(context, entry);
  if (!maySetId(context, entries, entriesAdded)) return;
  entries.setLastId(id);
  if (entriesAdded !== -1) entries.entriesAdded = entriesAdded;
  if (maxDeletedGiven && !otherId.isMin) entries.setMaxDeleted(otherId);
  reply.ok();
  // The entries are the same: no transaction breaks.
  context.changes++;
  context.notify(EventClass.STREAM, 'xsetid', 1);
}

/**
 * Returns whether the existing entries allow the new last id and count. Otherwise answers the
 * error.
 */
function maySetId(context: CommandContext, entries: StreamEntries, entriesAdded: number): boolean {
  const { reply } = context;
  entries.readMaxDeleted(lastId);
  // A primary of Redis 7.0 does not check this: its replicas must follow it, or refuse what it adds.
  if (id.compare(lastId) < 0 && !context.client.fromPrimary) {
    reply.error('ERR The ID specified in XSETID is smaller than current max_deleted_entry_id');
    return false;
  }
  if (entries.length === 0) return true;
  entries.readEdgeId(true, lastId);
  if (id.compare(lastId) < 0) {
    reply.error('ERR The ID specified in XSETID is smaller than the target stream top item');
    return false;
  }
  if (entriesAdded !== -1 && entries.length > entriesAdded) {
    reply.error(
      'ERR The entries_added specified in XSETID is smaller than the target stream length',
    );
    return false;
  }
  return true;
}
