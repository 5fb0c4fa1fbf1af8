/**
 * Hot path. Commands on hashes. HINCRBY and HINCRBYFLOAT are in number.ts, HSCAN and HRANDFIELD in
 * scan.ts. Main thread.
 */
import { NIL } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import { Aggregate } from '../../resp/reply.ts';
import type { FieldMap } from '../../structs/field-map.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { EventClass } from '../ports.ts';
import { type CommandTable, Flag, keyAt, READ_KEY } from '../spec.ts';
import { hIncrBy, hIncrByFloat } from './number.ts';
import { hRandField, hScan } from './scan.ts';
import { openHash, readHash, setPairs, settleHash } from './value.ts';

const { WRITE, READONLY, DENYOOM, FAST } = Flag;
const HASH = { group: 'hash', categories: ['hash'] } as const;
const UPDATED_KEY = [keyAt(1, 'RW', 'update')];
const COUNTER_KEY = [keyAt(1, 'RW', 'access', 'update')];
const LOOKED_AT_KEY = [keyAt(1, 'RO')];
const ANY_ORDER = ['nondeterministic_output_order'] as const;
const AT_RANDOM = ['nondeterministic_output'] as const;

export const hashCommands = {
  HSET: {
    ...HASH,
    arity: -4,
    flags: WRITE | DENYOOM | FAST,
    keys: UPDATED_KEY,
    since: '2.0.0',
    summary: 'Sets fields of a hash, which is created when it is not there.',
    handler: hSet,
  },
  HSETNX: {
    ...HASH,
    arity: 4,
    flags: WRITE | DENYOOM | FAST,
    keys: [keyAt(1, 'RW', 'insert')],
    since: '2.0.0',
    summary: 'Sets a field of a hash unless it is there.',
    handler: hSetNx,
  },
  HMSET: {
    ...HASH,
    arity: -4,
    flags: WRITE | DENYOOM | FAST,
    keys: UPDATED_KEY,
    since: '2.0.0',
    summary: 'The old form of HSET, which answers OK.',
    handler: hMset,
  },
  HGET: {
    ...HASH,
    arity: 3,
    flags: READONLY | FAST,
    keys: READ_KEY,
    since: '2.0.0',
    summary: 'Answers the value of a field.',
    handler: hGet,
  },
  HMGET: {
    ...HASH,
    arity: -3,
    flags: READONLY | FAST,
    keys: READ_KEY,
    since: '2.0.0',
    summary: 'Answers the values of many fields.',
    handler: hMget,
  },
  HGETALL: {
    ...HASH,
    arity: 2,
    flags: READONLY,
    keys: READ_KEY,
    since: '2.0.0',
    tips: ANY_ORDER,
    summary: 'Answers all fields and their values.',
    handler: hGetAll,
  },
  HKEYS: {
    ...HASH,
    arity: 2,
    flags: READONLY,
    keys: READ_KEY,
    since: '2.0.0',
    tips: ANY_ORDER,
    summary: 'Answers the names of all fields.',
    handler: hKeys,
  },
  HVALS: {
    ...HASH,
    arity: 2,
    flags: READONLY,
    keys: READ_KEY,
    since: '2.0.0',
    tips: ANY_ORDER,
    summary: 'Answers the values of all fields.',
    handler: hVals,
  },
  HLEN: {
    ...HASH,
    arity: 2,
    flags: READONLY | FAST,
    keys: LOOKED_AT_KEY,
    since: '2.0.0',
    summary: 'Counts the fields of a hash.',
    handler: hLen,
  },
  HSTRLEN: {
    ...HASH,
    arity: 3,
    flags: READONLY | FAST,
    keys: LOOKED_AT_KEY,
    since: '3.2.0',
    summary: 'Answers how long the value of a field is.',
    handler: hStrLen,
  },
  HEXISTS: {
    ...HASH,
    arity: 3,
    flags: READONLY | FAST,
    keys: LOOKED_AT_KEY,
    since: '2.0.0',
    summary: 'Answers whether a hash has a field.',
    handler: hExists,
  },
  HDEL: {
    ...HASH,
    arity: -3,
    flags: WRITE | FAST,
    keys: [keyAt(1, 'RW', 'delete')],
    since: '2.0.0',
    summary: 'Deletes fields of a hash, which goes with its last one.',
    handler: hDel,
  },
  HINCRBY: {
    ...HASH,
    arity: 4,
    flags: WRITE | DENYOOM | FAST,
    keys: COUNTER_KEY,
    since: '2.0.0',
    summary: 'Adds to the integer of a field; 0 when it is not there.',
    handler: hIncrBy,
  },
  HINCRBYFLOAT: {
    ...HASH,
    arity: 4,
    flags: WRITE | DENYOOM | FAST,
    keys: COUNTER_KEY,
    since: '2.6.0',
    summary: 'Adds to the number of a field; 0 when it is not there.',
    handler: hIncrByFloat,
  },
  HRANDFIELD: {
    ...HASH,
    arity: -2,
    flags: READONLY,
    keys: READ_KEY,
    since: '6.2.0',
    tips: AT_RANDOM,
    summary: 'Answers fields at random, and their values if asked for.',
    handler: hRandField,
  },
  HSCAN: {
    ...HASH,
    arity: -3,
    flags: READONLY,
    keys: READ_KEY,
    since: '2.8.0',
    tips: AT_RANDOM,
    summary: 'Answers some of the fields with their values, and where to go on.',
    handler: hScan,
  },
} as const satisfies CommandTable;

function hSet(context: CommandContext): void {
  const created = setAll(context, 'hset');
  if (created >= 0) context.reply.integer(created);
}

function hMset(context: CommandContext): void {
  if (setAll(context, 'hmset') >= 0) context.reply.ok();
}

/** Sets all pairs of the request. Returns the number of new fields, or -1 after an error reply. */
function setAll(context: CommandContext, command: string): number {
  const { argc } = context.request;
  if ((argc & 1) === 1) {
    context.reply.error(`ERR wrong number of arguments for '${command}' command`);
    return -1;
  }
  const entry = context.writeTyped(1, ValueType.HASH);
  if (entry === WRONG) return -1;
  const created = setPairs(context, entry, 2);
  context.modified(1);
  context.changes += (argc - 2) >>> 1;
  context.notify(EventClass.HASH, 'hset', 1);
  return created;
}

function hSetNx(context: CommandContext): void {
  const entry = context.writeTyped(1, ValueType.HASH);
  if (entry === WRONG) return;
  const { request, reply } = context;
  if (
    entry !== NIL &&
    openHash(context, entry).find(request.bytes, request.position[2]!, request.length[2]!)
  ) {
    reply.integer(0);
    return;
  }
  setPairs(context, entry, 2);
  context.changed(1);
  context.notify(EventClass.HASH, 'hset', 1);
  reply.integer(1);
}

function hGet(context: CommandContext): void {
  const map = readHash(context, replyNil);
  if (map !== undefined) replyFieldOf(context, map, 2);
}

function hMget(context: CommandContext): void {
  const { request, reply } = context;
  const entry = context.readTyped(1, ValueType.HASH);
  if (entry === WRONG) return;
  reply.array(request.argc - 2);
  if (entry === NIL) {
    for (let i = 2; i < request.argc; i++) reply.nil();
    return;
  }
  const map = openHash(context, entry);
  for (let i = 2; i < request.argc; i++) replyFieldOf(context, map, i);
}

/** Answers the value of the field named by argument `index`. */
function replyFieldOf(context: CommandContext, map: FieldMap, index: number): void {
  const { request, reply } = context;
  if (!map.find(request.bytes, request.position[index]!, request.length[index]!)) {
    reply.nil();
    return;
  }
  map.readFound();
  reply.bulk(map.value.bytes, map.value.position, map.value.length);
}

function hGetAll(context: CommandContext): void {
  replyAll(context, true, true);
}

function hKeys(context: CommandContext): void {
  replyAll(context, true, false);
}

function hVals(context: CommandContext): void {
  replyAll(context, false, true);
}

function replyAll(context: CommandContext, fields: boolean, values: boolean): void {
  const { reply } = context;
  const kind = fields && values ? Aggregate.MAP : Aggregate.ARRAY;
  const map = readHash(context, () => reply.aggregate(kind, 0));
  if (map === undefined) return;
  const { field, value } = map;
  reply.aggregate(kind, map.count());
  map.forEach((handle) => {
    if (fields) {
      map.readField(handle);
      reply.bulk(field.bytes, field.position, field.length);
    }
    if (values) {
      map.readValue(handle);
      reply.bulk(value.bytes, value.position, value.length);
    }
  });
}

function hLen(context: CommandContext): void {
  const map = readHash(context, replyZero);
  if (map !== undefined) context.reply.integer(map.count());
}

function hStrLen(context: CommandContext): void {
  const map = readHash(context, replyZero);
  if (map === undefined) return;
  const { request, reply } = context;
  const found = map.find(request.bytes, request.position[2]!, request.length[2]!);
  if (found) map.readFound();
  reply.integer(found ? map.value.length : 0);
}

function hExists(context: CommandContext): void {
  const map = readHash(context, replyZero);
  if (map === undefined) return;
  const { request, reply } = context;
  reply.integer(map.find(request.bytes, request.position[2]!, request.length[2]!) ? 1 : 0);
}

function hDel(context: CommandContext): void {
  const { request, reply } = context;
  const entry = context.writeTyped(1, ValueType.HASH);
  if (entry === WRONG) return;
  if (entry === NIL) {
    reply.integer(0);
    return;
  }
  const map = openHash(context, entry);
  let deleted = 0;
  let fields = map.count();
  for (let i = 2; i < request.argc && fields > 0; i++) {
    if (!map.find(request.bytes, request.position[i]!, request.length[i]!)) continue;
    map.removeFound();
    settleHash(context, entry, map);
    deleted++;
    fields--;
  }
  if (deleted > 0) {
    if (fields === 0) {
      map.free();
      context.db.removeEmptied(entry);
    }
    context.modified(1);
    context.changes += deleted;
    context.notify(EventClass.HASH, 'hdel', 1);
    if (fields === 0) context.notify(EventClass.GENERIC, 'del', 1);
  }
  reply.integer(deleted);
}

function replyNil(context: CommandContext): void {
  context.reply.nil();
}

function replyZero(context: CommandContext): void {
  context.reply.integer(0);
}
