/**
 * Consumer groups: XGROUP and XACK. Main thread.
 */
import { NIL, type Ref } from '../../base/units.ts';
import { Encoding, ValueType } from '../../keyspace/entry.ts';
import { ENTRIES_READ_UNKNOWN } from '../../structs/stream-groups.ts';
import { StreamId } from '../../structs/stream-id.ts';
import { keptArgument } from '../arguments.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { EventClass } from '../ports.ts';
import {
  addStream,
  boundArgument,
  findConsumer,
  findGroup,
  groupsOf,
  idArgument,
  isByte,
  openStream,
  parseId,
} from './value.ts';

const DOLLAR = 0x24;
const NO_KEY =
  'ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option ' +
  'to create an empty stream automatically.';

const HELP = [
  'XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
  'CREATE <key> <groupname> <id|$> [option]',
  '    Makes a consumer group that reads from behind <id> on. Options are:',
  '    * MKSTREAM',
  '      Make the stream when there is none.',
  '    * ENTRIESREAD entries_read',
  '      Say how many entries the group has read.',
  'CREATECONSUMER <key> <groupname> <consumer>',
  '    Makes a consumer of a group.',
  'DELCONSUMER <key> <groupname> <consumer>',
  '    Removes a consumer, with what is pending of it.',
  'DESTROY <key> <groupname>',
  '    Removes a group.',
  'SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]',
  '    Sets from where on a group reads.',
  'HELP',
  '    Prints this help.',
] as const;

// State of the current command.
const id = new StreamId();

/** The options of CREATE and SETID. */
interface GroupOptions {
  readonly makeStream: boolean;
  readonly entriesRead: number;
}

/** Answers the error for a subcommand with wrong arguments. */
export function subcommandSyntax(context: CommandContext, command: string): void {
  const name = context.request.latin1(1).slice(0, 128);
  context.reply.error(
    `ERR unknown subcommand or wrong number of arguments for '${name}'. Try ${command} HELP.`,
  );
}

export function xgroupHelp(context: CommandContext): void {
  context.reply.array(HELP.length);
  for (const line of HELP) context.reply.simple(line);
}

function parseOptions(context: CommandContext, creates: boolean): GroupOptions | undefined {
  const { request, reply } = context;
  let makeStream = false;
  let entriesRead = ENTRIES_READ_UNKNOWN;
  for (let at = 5; at < request.argc; at++) {
    if (creates && request.equalsIgnoreCase(at, 'MKSTREAM')) {
      makeStream = true;
    } else if (at + 1 < request.argc && request.equalsIgnoreCase(at, 'ENTRIESREAD')) {
      entriesRead = keptArgument(context, ++at);
      if (Number.isNaN(entriesRead)) return undefined;
      if (entriesRead < 0 && entriesRead !== ENTRIES_READ_UNKNOWN) {
        reply.error('ERR value for ENTRIESREAD must be positive or -1');
        return undefined;
      }
    } else {
      subcommandSyntax(context, 'XGROUP');
      return undefined;
    }
  }
  return { makeStream, entriesRead };
}

/** Returns the entry of the key in argument 2, or NIL after an error reply. */
function needStream(context: CommandContext): Ref {
  const entry = context.writeTyped(2, ValueType.STREAM);
  if (entry === WRONG) return NIL;
  if (entry === NIL) context.reply.error(NO_KEY);
  return entry;
}

/** Returns the group in argument 3, or NIL after an error reply. */
function needGroup(context: CommandContext): Ref {
  const { request, reply, db } = context;
  const entry = needStream(context);
  if (entry === NIL) return NIL;
  const group = findGroup(context, db.value(entry), 3);
  if (group === NIL)
    reply.error(
      `NOGROUP No such consumer group '${request.latin1(3)}' for key name '${request.latin1(2)}'`,
    );
  return group;
}

export function xgroupCreate(context: CommandContext): void {
  const { request, reply } = context;
  const options = parseOptions(context, true);
  if (options === undefined) return;
  const entry = options.makeStream ? context.writeTyped(2, ValueType.STREAM) : needStream(context);
  if (entry === WRONG || (entry === NIL && !options.makeStream)) return;
  if (request.argc > 8) {
    subcommandSyntax(context, 'XGROUP');
    return;
  }
  const fromLast = isByte(context, 4, DOLLAR);
  if (!fromLast && !idArgument(context, 4, id, 0)) return;
  const entries = entry === NIL ? addStream(context, 2) : openStream(context, entry);
  if (entry === NIL) context.modified(2);
  if (fromLast) entries.readLastId(id);
  if (findGroup(context, entries.ref, 3) !== NIL) {
    reply.error('BUSYGROUP Consumer Group name already exists');
    return;
  }
  const groups = groupsOf(context);
  const group = groups.addGroup(
    entries.ref,
    request.bytes,
    request.position[3]!,
    request.length[3]!,
    id,
  );
  groups.setEntriesRead(group, options.entriesRead);
  reply.ok();
  context.changes++;
  context.notify(EventClass.STREAM, 'xgroup-create', 2);
}

export function xgroupSetId(context: CommandContext): void {
  const { request, reply, db } = context;
  const options = parseOptions(context, false);
  if (options === undefined) return;
  const group = needGroup(context);
  if (group === NIL) return;
  if (request.argc !== 5 && request.argc !== 7) {
    subcommandSyntax(context, 'XGROUP');
    return;
  }
  if (isByte(context, 4, DOLLAR))
    openStream(
      context,
      db.find(request.bytes, request.position[2]!, request.length[2]!),
    ).readLastId(id);
  // Unlike CREATE, this accepts `-` and `+`, too.
  else if (!boundArgument(context, 4, id, 0)) return;
  const groups = groupsOf(context);
  groups.setGroupLastId(group, id);
  groups.setEntriesRead(group, options.entriesRead);
  reply.ok();
  context.changes++;
  context.notify(EventClass.STREAM, 'xgroup-setid', 2);
}

export function xgroupDestroy(context: CommandContext): void {
  const { reply, db, server } = context;
  const entry = needStream(context);
  if (entry === NIL) return;
  const stream = db.value(entry);
  const group = findGroup(context, stream, 3);
  if (group === NIL) {
    reply.integer(0);
    return;
  }
  // A group with many pending entries is freed in slices, as the only group of a stream without a
  // key.
  const heir = server.keyspace.structures.streams.takeGroup(stream, group);
  if (heir !== NIL) server.keyspace.releaseObject(ValueType.STREAM, Encoding.STREAM, heir);
  reply.integer(1);
  context.changes++;
  // Clients that are blocked on the group are woken.
  context.wake(2);
  context.notify(EventClass.STREAM, 'xgroup-destroy', 2);
}

export function xgroupCreateConsumer(context: CommandContext): void {
  const { request, reply, server } = context;
  const group = needGroup(context);
  if (group === NIL) return;
  if (findConsumer(context, group, 4) !== NIL) {
    reply.integer(0);
    return;
  }
  const start = request.position[4]!;
  groupsOf(context).addConsumer(group, request.bytes, start, request.length[4]!, server.nowMs);
  reply.integer(1);
  context.changes++;
  context.notify(EventClass.STREAM, 'xgroup-createconsumer', 2);
}

export function xgroupDelConsumer(context: CommandContext): void {
  const { reply } = context;
  const group = needGroup(context);
  if (group === NIL) return;
  const consumer = findConsumer(context, group, 4);
  if (consumer === NIL) {
    reply.integer(0);
    return;
  }
  const groups = groupsOf(context);
  reply.integer(groups.pendingCount(consumer));
  groups.removeConsumer(group, consumer);
  context.changes++;
  context.notify(EventClass.STREAM, 'xgroup-delconsumer', 2);
}

export function xack(context: CommandContext): void {
  const { request, reply, db } = context;
  const entry = context.readTyped(1, ValueType.STREAM);
  if (entry === WRONG) return;
  const group = entry === NIL ? NIL : findGroup(context, db.value(entry), 2);
  if (group === NIL) {
    reply.integer(0);
    return;
  }
  for (let at = 3; at < request.argc; at++) if (!idArgument(context, at, id, 0)) return;
  const groups = groupsOf(context);
  let acknowledged = 0;
  for (let at = 3; at < request.argc; at++) {
    parseId(context, at, id, 0);
    if (groups.removeDelivery(group, id)) acknowledged++;
  }
  context.changes += acknowledged;
  reply.integer(acknowledged);
}
