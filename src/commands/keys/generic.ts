/** Commands on keys of any type: deleting, renaming, moving, copying. Main thread. */
import { equalBytes } from '../../base/byte-copy.ts';
import { NIL, type Ref } from '../../base/units.ts';
import { databaseArgument, SYNTAX_ERROR } from '../arguments.ts';
import type { CommandContext } from '../context.ts';
import { EventClass } from '../ports.ts';
import { type CommandTable, Flag, keyAt, keysFrom, LOOK_AT_KEY } from '../spec.ts';
import { copyValue } from './value-copiers.ts';
import { typeName } from './value-names.ts';

const { WRITE, READONLY, DENYOOM, FAST } = Flag;
const GENERIC = { group: 'generic', categories: ['keyspace'] } as const;
const DELETED_KEYS = [keysFrom(1, -1, 1, 'RM', 'delete')];
const LOOK_AT_KEYS = [keysFrom(1, -1, 1, 'RO')];
const SUMMED_OVER_SHARDS = ['request_policy:multi_shard', 'response_policy:agg_sum'] as const;

const NO_SUCH_KEY = 'ERR no such key';
const SAME_OBJECT = 'ERR source and destination objects are the same';

export const genericCommands = {
  DEL: {
    ...GENERIC,
    arity: -2,
    flags: WRITE,
    keys: DELETED_KEYS,
    since: '1.0.0',
    tips: SUMMED_OVER_SHARDS,
    summary: 'Deletes keys.',
    handler: del,
  },
  UNLINK: {
    ...GENERIC,
    arity: -2,
    flags: WRITE | FAST,
    keys: DELETED_KEYS,
    since: '4.0.0',
    tips: SUMMED_OVER_SHARDS,
    summary: 'Deletes keys and gives their memory back later. So does DEL here.',
    handler: del,
  },
  EXISTS: {
    ...GENERIC,
    arity: -2,
    flags: READONLY | FAST,
    keys: LOOK_AT_KEYS,
    since: '1.0.0',
    tips: SUMMED_OVER_SHARDS,
    summary: 'Counts which of the keys exist.',
    handler: exists,
  },
  TYPE: {
    ...GENERIC,
    arity: 2,
    flags: READONLY | FAST,
    keys: LOOK_AT_KEY,
    since: '1.0.0',
    summary: 'Answers the type of what a key holds.',
    handler: type,
  },
  TOUCH: {
    ...GENERIC,
    arity: -2,
    flags: READONLY | FAST,
    keys: LOOK_AT_KEYS,
    since: '3.2.1',
    tips: SUMMED_OVER_SHARDS,
    summary: 'Counts which of the keys exist and sets the time of their last use to now.',
    handler: touch,
  },
  RENAME: {
    ...GENERIC,
    arity: 3,
    flags: WRITE,
    keys: [keyAt(1, 'RW', 'access', 'delete'), keyAt(2, 'OW', 'update')],
    since: '1.0.0',
    summary: 'Gives a key another name; a key of that name goes.',
    handler: rename,
  },
  RENAMENX: {
    ...GENERIC,
    arity: 3,
    flags: WRITE | FAST,
    keys: [keyAt(1, 'RW', 'access', 'delete'), keyAt(2, 'OW', 'insert')],
    since: '1.0.0',
    summary: 'Gives a key another name unless there is a key of that name.',
    handler: renameNx,
  },
  COPY: {
    ...GENERIC,
    arity: -3,
    flags: WRITE | DENYOOM,
    keys: [keyAt(1, 'RO', 'access'), keyAt(2, 'OW', 'update')],
    since: '6.2.0',
    summary: 'Copies what a key holds to another key, of this or another database.',
    handler: copy,
  },
  MOVE: {
    ...GENERIC,
    arity: 3,
    flags: WRITE | FAST,
    keys: [keyAt(1, 'RW', 'access', 'update')],
    since: '1.0.0',
    summary: 'Moves a key to another database unless it exists there.',
    handler: move,
  },
} as const satisfies CommandTable;

function del(context: CommandContext): void {
  const { request, db } = context;
  let deleted = 0;
  for (let i = 1; i < request.argc; i++) {
    const entry = context.findLive(
      db,
      request.bytes,
      request.position[i]!,
      request.length[i]!,
      true,
    );
    if (entry === NIL) continue;
    context.removeEntry(entry);
    context.changed(i);
    context.notify(EventClass.GENERIC, 'del', i);
    deleted++;
  }
  context.reply.integer(deleted);
}

function exists(context: CommandContext): void {
  let found = 0;
  for (let i = 1; i < context.request.argc; i++) if (context.lookupUntouched(i) !== NIL) found++;
  context.reply.integer(found);
}

function type(context: CommandContext): void {
  const entry = context.lookupUntouched(1);
  context.reply.simple(entry === NIL ? 'none' : typeName(context.db.type(entry)));
}

function touch(context: CommandContext): void {
  let touched = 0;
  for (let i = 1; i < context.request.argc; i++) if (context.lookupRead(i) !== NIL) touched++;
  context.reply.integer(touched);
}

function rename(context: CommandContext): void {
  if (renameKey(context, false)) context.reply.ok();
}

function renameNx(context: CommandContext): void {
  if (renameKey(context, true)) context.reply.integer(1);
}

/**
 * Returns true when the key now has its new name, even if the names were equal before. Otherwise
 * the reply is already given.
 */
function renameKey(context: CommandContext, onlyIfAbsent: boolean): boolean {
  const { request, reply, db } = context;
  const source = context.lookupWrite(1);
  if (source === NIL) {
    reply.error(NO_SUCH_KEY);
    return false;
  }
  if (sameKeys(context)) {
    if (onlyIfAbsent) reply.integer(0);
    return !onlyIfAbsent;
  }
  const existing = context.lookupWrite(2);
  if (existing !== NIL) {
    if (onlyIfAbsent) {
      reply.integer(0);
      return false;
    }
    context.removeEntry(existing);
    context.lookupQuiet(2);
  }
  db.moveTo(source, db, request.bytes, request.position[2]!, request.length[2]!);
  context.notify(EventClass.NEW, 'new', 2);
  context.changed(1);
  context.modified(2);
  context.notify(EventClass.GENERIC, 'rename_from', 1);
  context.notify(EventClass.GENERIC, 'rename_to', 2);
  return true;
}

function sameKeys(context: CommandContext): boolean {
  const { bytes, position, length } = context.request;
  return (
    length[1] === length[2] && equalBytes(bytes, position[1]!, bytes, position[2]!, length[1]!)
  );
}

function copy(context: CommandContext): void {
  const { request, reply, server } = context;
  let replace = false;
  let dbIndex = context.client.dbIndex;
  for (let i = 3; i < request.argc; i++) {
    if (request.equalsIgnoreCase(i, 'REPLACE')) replace = true;
    else if (request.equalsIgnoreCase(i, 'DB') && i + 1 < request.argc) {
      dbIndex = databaseArgument(context, ++i);
      if (Number.isNaN(dbIndex)) return;
    } else {
      reply.error(SYNTAX_ERROR);
      return;
    }
  }
  const target = server.keyspace.databases[dbIndex]!;
  if (target === context.db && sameKeys(context)) {
    reply.error(SAME_OBJECT);
    return;
  }
  const source = context.lookupRead(1);
  if (source === NIL || !makePlace(context, dbIndex, 2, replace)) {
    reply.integer(0);
    return;
  }
  const deadline = context.db.deadline(source);
  const start = request.position[2]!;
  const length = request.length[2]!;
  const { structures } = server.keyspace;
  const copied = copyValue(structures, context.db, source, target, request.bytes, start, length);
  context.notifyKey(EventClass.NEW, 'new', dbIndex, request.bytes, start, length);
  if (deadline >= 0) target.setDeadline(copied, deadline);
  context.changedKey(dbIndex, request.bytes, start, length);
  context.notifyKey(EventClass.GENERIC, 'copy_to', dbIndex, request.bytes, start, length);
  reply.integer(1);
}

function move(context: CommandContext): void {
  const { request, reply, server } = context;
  const dbIndex = databaseArgument(context, 2);
  if (Number.isNaN(dbIndex)) return;
  const target = server.keyspace.databases[dbIndex]!;
  if (target === context.db) {
    reply.error(SAME_OBJECT);
    return;
  }
  const source = context.lookupWrite(1);
  if (source === NIL || !makePlace(context, dbIndex, 1, false)) {
    reply.integer(0);
    return;
  }
  const start = request.position[1]!;
  const length = request.length[1]!;
  context.db.moveTo(source, target, request.bytes, start, length);
  context.notifyKey(EventClass.NEW, 'new', dbIndex, request.bytes, start, length);
  context.changed(1);
  server.keyModified(dbIndex, request.bytes, start, length);
  context.notify(EventClass.GENERIC, 'move_from', 1);
  context.notifyKey(EventClass.GENERIC, 'move_to', dbIndex, request.bytes, start, length);
  reply.integer(1);
}

/**
 * Looks up the key in argument `index` in another database. Returns whether it is absent there, so
 * that it can be added. With `replace` it is removed first.
 */
function makePlace(
  context: CommandContext,
  dbIndex: number,
  index: number,
  replace: boolean,
): boolean {
  const { bytes, position, length } = context.request;
  const target = context.server.keyspace.databases[dbIndex]!;
  target.accessClock = context.server.accessClock;
  const existing: Ref = context.findLive(target, bytes, position[index]!, length[index]!, true);
  if (existing === NIL) return true;
  if (!replace) return false;
  target.remove(existing);
  target.find(bytes, position[index]!, length[index]!);
  return true;
}
