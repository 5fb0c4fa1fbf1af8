/**
 * Hot path. Commands on strings. SET and its variants are in set.ts, INCR and its variants in
 * number.ts, LCS in lcs.ts, and bits in bits.ts. Main thread.
 */
import { NIL } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import { integerArgument } from '../arguments.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { EventClass } from '../ports.ts';
import {
  type CommandTable,
  Flag,
  type KeySpec,
  keyAt,
  keysFrom,
  READ_KEY,
  READ_KEYS,
} from '../spec.ts';
import { lcs } from './lcs.ts';
import { decr, decrBy, incr, incrBy, incrByFloat } from './number.ts';
import { getDel, getEx, getSet, mset, msetNx, pSetEx, set, setEx, setNx } from './set.ts';
import { growString, lengthAllowed, replyString, storeArgument, stringLength } from './value.ts';

const { WRITE, READONLY, DENYOOM, FAST, BRIEF } = Flag;
const STRING = { group: 'string', categories: ['string'] } as const;
const SET_KEY: readonly KeySpec[] = [
  {
    ...keyAt(1, 'RW', 'access', 'update', 'variable_flags'),
    notes: 'RW and ACCESS due to the optional `GET` argument',
  },
];
const GETEX_KEY: readonly KeySpec[] = [
  { ...keyAt(1, 'RW', 'access', 'update'), notes: 'RW and UPDATE because it changes the TTL' },
];
const OVERWRITTEN_KEY = [keyAt(1, 'OW', 'update')];
const COUNTER_KEY = [keyAt(1, 'RW', 'access', 'update')];

export const stringCommands = {
  GET: {
    ...STRING,
    arity: 2,
    flags: READONLY | FAST,
    keys: READ_KEY,
    since: '1.0.0',
    summary: 'Answers the string of a key.',
    handler: get,
  },
  SET: {
    ...STRING,
    arity: -3,
    flags: WRITE | DENYOOM | BRIEF,
    keys: SET_KEY,
    keyOf: keyOfSet,
    since: '1.0.0',
    summary:
      'Sets a key to a string, whatever it held, on conditions and with a deadline if asked for.',
    handler: set,
  },
  SETNX: {
    ...STRING,
    arity: 3,
    flags: WRITE | DENYOOM | FAST,
    keys: [keyAt(1, 'OW', 'insert')],
    since: '1.0.0',
    summary: 'Sets a key to a string unless the key exists.',
    handler: setNx,
  },
  SETEX: {
    ...STRING,
    arity: 4,
    flags: WRITE | DENYOOM | BRIEF,
    keys: OVERWRITTEN_KEY,
    since: '2.0.0',
    summary: 'Sets a key to a string that lives for some seconds.',
    handler: setEx,
  },
  PSETEX: {
    ...STRING,
    arity: 4,
    flags: WRITE | DENYOOM | BRIEF,
    keys: OVERWRITTEN_KEY,
    since: '2.6.0',
    summary: 'Sets a key to a string that lives for some milliseconds.',
    handler: pSetEx,
  },
  GETSET: {
    ...STRING,
    arity: 3,
    flags: WRITE | DENYOOM | FAST,
    keys: COUNTER_KEY,
    since: '1.0.0',
    summary: 'Sets a key to a string and answers the one before.',
    handler: getSet,
  },
  GETDEL: {
    ...STRING,
    arity: 2,
    flags: WRITE | FAST,
    keys: [keyAt(1, 'RW', 'access', 'delete')],
    since: '6.2.0',
    summary: 'Answers the string of a key and deletes the key.',
    handler: getDel,
  },
  GETEX: {
    ...STRING,
    arity: -2,
    flags: WRITE | FAST,
    keys: GETEX_KEY,
    since: '6.2.0',
    summary: 'Answers the string of a key and gives the key a deadline, or takes it away.',
    handler: getEx,
  },
  MGET: {
    ...STRING,
    arity: -2,
    flags: READONLY | FAST,
    keys: READ_KEYS,
    since: '1.0.0',
    tips: ['request_policy:multi_shard'],
    summary: 'Answers the strings of many keys.',
    handler: mget,
  },
  MSET: {
    ...STRING,
    arity: -3,
    flags: WRITE | DENYOOM | BRIEF,
    keys: [keysFrom(1, -1, 2, 'OW', 'update')],
    since: '1.0.1',
    tips: ['request_policy:multi_shard', 'response_policy:all_succeeded'],
    summary: 'Sets many keys to strings at once.',
    handler: mset,
  },
  MSETNX: {
    ...STRING,
    arity: -3,
    flags: WRITE | DENYOOM,
    keys: [keysFrom(1, -1, 2, 'OW', 'insert')],
    since: '1.0.1',
    tips: ['request_policy:multi_shard', 'response_policy:agg_min'],
    summary: 'Sets many keys to strings at once unless one of them exists.',
    handler: msetNx,
  },
  APPEND: {
    ...STRING,
    arity: 3,
    flags: WRITE | DENYOOM | FAST,
    keys: [keyAt(1, 'RW', 'insert')],
    since: '2.0.0',
    summary: 'Appends to the string of a key, which is created when it is not there.',
    handler: append,
  },
  STRLEN: {
    ...STRING,
    arity: 2,
    flags: READONLY | FAST,
    keys: [keyAt(1, 'RO')],
    since: '2.2.0',
    summary: 'Answers how long the string of a key is.',
    handler: strlen,
  },
  SETRANGE: {
    ...STRING,
    arity: 4,
    flags: WRITE | DENYOOM,
    keys: [keyAt(1, 'RW', 'update')],
    since: '2.2.0',
    summary: 'Overwrites a part of a string, which grows with zero bytes as far as needed.',
    handler: setRange,
  },
  GETRANGE: {
    ...STRING,
    arity: 4,
    flags: READONLY,
    keys: READ_KEY,
    since: '2.4.0',
    summary: 'Answers a part of a string.',
    handler: getRange,
  },
  SUBSTR: {
    ...STRING,
    arity: 4,
    flags: READONLY,
    keys: READ_KEY,
    since: '1.0.0',
    summary: 'The old name of GETRANGE.',
    handler: getRange,
  },
  INCR: {
    ...STRING,
    arity: 2,
    flags: WRITE | DENYOOM | FAST,
    keys: COUNTER_KEY,
    since: '1.0.0',
    summary: 'Adds one to the integer of a key; 0 when it is not there.',
    handler: incr,
  },
  DECR: {
    ...STRING,
    arity: 2,
    flags: WRITE | DENYOOM | FAST,
    keys: COUNTER_KEY,
    since: '1.0.0',
    summary: 'Takes one from the integer of a key; 0 when it is not there.',
    handler: decr,
  },
  INCRBY: {
    ...STRING,
    arity: 3,
    flags: WRITE | DENYOOM | FAST,
    keys: COUNTER_KEY,
    since: '1.0.0',
    summary: 'Adds to the integer of a key; 0 when it is not there.',
    handler: incrBy,
  },
  DECRBY: {
    ...STRING,
    arity: 3,
    flags: WRITE | DENYOOM | FAST,
    keys: COUNTER_KEY,
    since: '1.0.0',
    summary: 'Takes from the integer of a key; 0 when it is not there.',
    handler: decrBy,
  },
  INCRBYFLOAT: {
    ...STRING,
    arity: 3,
    flags: WRITE | DENYOOM | FAST,
    keys: COUNTER_KEY,
    since: '2.6.0',
    summary: 'Adds to the number of a key, with a fraction; 0 when it is not there.',
    handler: incrByFloat,
  },
  LCS: {
    ...STRING,
    arity: -3,
    flags: READONLY,
    keys: [keysFrom(1, 1, 1, 'RO', 'access')],
    since: '7.0.0',
    summary: 'Finds the longest common subsequence of two strings.',
    handler: lcs,
  },
} as const satisfies CommandTable;

/** The key specification of a SET. With GET it also reads the key. */
function keyOfSet({ request }: CommandContext): KeySpec {
  for (let i = 3; i < request.argc; i++)
    if (request.equalsIgnoreCase(i, 'GET')) return COUNTER_KEY[0]!;
  return OVERWRITTEN_KEY[0]!;
}

function get(context: CommandContext): void {
  const entry = context.readTyped(1, ValueType.STRING);
  if (entry === WRONG) return;
  if (entry === NIL) context.reply.nil();
  else replyString(context, entry);
}

function mget(context: CommandContext): void {
  const { argc } = context.request;
  context.reply.array(argc - 1);
  for (let i = 1; i < argc; i++) {
    const entry = context.lookupRead(i);
    if (entry === NIL || context.db.type(entry) !== ValueType.STRING) context.reply.nil();
    else replyString(context, entry);
  }
}

function append(context: CommandContext): void {
  const entry = context.writeTyped(1, ValueType.STRING);
  if (entry === WRONG) return;
  const { request, db } = context;
  const added = request.length[2]!;
  let length = added;
  if (entry === NIL) {
    storeArgument(context, NIL, 1, 2, false);
  } else {
    const before = stringLength(context, entry);
    length = before + added;
    if (!lengthAllowed(context, length)) return;
    db.writeString(
      db.growString(entry, length),
      before,
      request.bytes,
      request.position[2]!,
      added,
    );
  }
  context.changed(1);
  context.notify(EventClass.STRING, 'append', 1);
  context.reply.integer(length);
}

function strlen(context: CommandContext): void {
  const entry = context.readTyped(1, ValueType.STRING);
  if (entry !== WRONG) context.reply.integer(Math.max(0, stringLength(context, entry)));
}

function setRange(context: CommandContext): void {
  const at = integerArgument(context, 2);
  if (Number.isNaN(at)) return;
  if (at < 0) {
    context.reply.error('ERR offset is out of range');
    return;
  }
  const found = context.writeTyped(1, ValueType.STRING);
  if (found === WRONG) return;
  const { request } = context;
  const before = stringLength(context, found);
  const written = request.length[3]!;
  if (written === 0) {
    context.reply.integer(Math.max(0, before));
    return;
  }
  if (!lengthAllowed(context, at + written)) return;
  const length = Math.max(before, at + written);
  const entry = growString(context, found, length);
  context.db.writeString(entry, at, request.bytes, request.position[3]!, written);
  context.changed(1);
  context.notify(EventClass.STRING, 'setrange', 1);
  context.reply.integer(length);
}

function getRange(context: CommandContext): void {
  let start = integerArgument(context, 2);
  if (Number.isNaN(start)) return;
  let end = integerArgument(context, 3);
  if (Number.isNaN(end)) return;
  const entry = context.readTyped(1, ValueType.STRING);
  if (entry === WRONG) return;
  const length = stringLength(context, entry);
  // When both are before the end, "start behind end" is checked before they are cut to the string.
  const inverted = start < 0 && end < 0 && start > end;
  if (start < 0) start = Math.max(0, length + start);
  if (end < 0) end = Math.max(0, length + end);
  end = Math.min(end, length - 1);
  const { view } = context;
  if (entry === NIL || inverted || start > end) context.reply.bulkLatin1('');
  else context.reply.bulk(view.bytes, view.position + start, end - start + 1);
}
