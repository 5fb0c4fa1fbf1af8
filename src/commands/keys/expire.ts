/**
 * Commands on deadlines. The stream carries absolute times: EXPIRE and its variants become
 * PEXPIREAT, or the deletion of the key when the deadline has passed. Main thread.
 */
import { NIL } from '../../base/units.ts';
import {
  deadlineArgument,
  integerText,
  MS_FROM_NOW,
  MS_SINCE_1970,
  replyInteger,
  SECONDS_FROM_NOW,
  SECONDS_SINCE_1970,
  type TimeUnit,
} from '../arguments.ts';
import type { CommandContext } from '../context.ts';
import { EventClass } from '../ports.ts';
import { type CommandTable, Flag, keyAt, READ_KEY } from '../spec.ts';
import { alreadyExpired, deleteInstead } from './deadline.ts';

const { WRITE, READONLY, FAST } = Flag;
const GENERIC = { group: 'generic', categories: ['keyspace'] } as const;
const UPDATED_KEY = [keyAt(1, 'RW', 'update')];
const CHANGES_BY_ITSELF = ['nondeterministic_output'] as const;

export const expireCommands = {
  EXPIRE: {
    ...GENERIC,
    arity: -3,
    flags: WRITE | FAST,
    keys: UPDATED_KEY,
    since: '1.0.0',
    summary: 'Lets a key live for so many seconds.',
    handler: expire,
  },
  PEXPIRE: {
    ...GENERIC,
    arity: -3,
    flags: WRITE | FAST,
    keys: UPDATED_KEY,
    since: '2.6.0',
    summary: 'Lets a key live for so many milliseconds.',
    handler: pExpire,
  },
  EXPIREAT: {
    ...GENERIC,
    arity: -3,
    flags: WRITE | FAST,
    keys: UPDATED_KEY,
    since: '1.2.0',
    summary: 'Lets a key live until a time in seconds since 1970.',
    handler: expireAt,
  },
  PEXPIREAT: {
    ...GENERIC,
    arity: -3,
    flags: WRITE | FAST,
    keys: UPDATED_KEY,
    since: '2.6.0',
    summary: 'Lets a key live until a time in milliseconds since 1970.',
    handler: pExpireAt,
  },
  TTL: {
    ...GENERIC,
    arity: 2,
    flags: READONLY | FAST,
    keys: READ_KEY,
    since: '1.0.0',
    tips: CHANGES_BY_ITSELF,
    summary: 'Answers how many seconds a key has to live, -1 without a deadline, -2 without a key.',
    handler: ttl,
  },
  PTTL: {
    ...GENERIC,
    arity: 2,
    flags: READONLY | FAST,
    keys: READ_KEY,
    since: '2.6.0',
    tips: CHANGES_BY_ITSELF,
    summary:
      'Answers how many milliseconds a key has to live, -1 without a deadline, -2 without a key.',
    handler: pTtl,
  },
  EXPIRETIME: {
    ...GENERIC,
    arity: 2,
    flags: READONLY | FAST,
    keys: READ_KEY,
    since: '7.0.0',
    summary:
      'Answers the deadline of a key in seconds since 1970, -1 without a deadline, -2 without a key.',
    handler: expireTime,
  },
  PEXPIRETIME: {
    ...GENERIC,
    arity: 2,
    flags: READONLY | FAST,
    keys: READ_KEY,
    since: '7.0.0',
    summary:
      'Answers the deadline of a key in milliseconds since 1970, -1 without a deadline, -2 without a key.',
    handler: pExpireTime,
  },
  PERSIST: {
    ...GENERIC,
    arity: 2,
    flags: WRITE | FAST,
    keys: UPDATED_KEY,
    since: '2.2.0',
    summary: 'Takes the deadline of a key away.',
    handler: persist,
  },
} as const satisfies CommandTable;

const Condition = { NX: 1, XX: 2, GT: 4, LT: 8 } as const;

function expire(context: CommandContext): void {
  setDeadline(context, SECONDS_FROM_NOW, 'expire');
}

function pExpire(context: CommandContext): void {
  setDeadline(context, MS_FROM_NOW, 'pexpire');
}

function expireAt(context: CommandContext): void {
  setDeadline(context, SECONDS_SINCE_1970, 'expireat');
}

function pExpireAt(context: CommandContext): void {
  setDeadline(context, MS_SINCE_1970, 'pexpireat');
}

function setDeadline(context: CommandContext, unit: TimeUnit, command: string): void {
  const conditions = parseConditions(context);
  if (conditions < 0) return;
  const deadline = deadlineArgument(context, 2, unit, true, command);
  if (Number.isNaN(deadline)) return;
  const { db, reply } = context;
  const entry = context.lookupWrite(1);
  if (entry === NIL || !conditionsHold(conditions, deadline, db.deadline(entry))) {
    reply.integer(0);
    return;
  }
  reply.integer(1);
  if (alreadyExpired(context, deadline)) {
    deleteInstead(context, entry);
    return;
  }
  // Only the stream of a primary can bring a time before 1970. The index of deadlines takes no
  // negative times.
  db.setDeadline(entry, Math.max(0, deadline));
  context.changed(1);
  context.notify(EventClass.GENERIC, 'expire', 1);
  if (unit !== MS_SINCE_1970) replicateAbsolute(context, deadline);
}

/** Sends PEXPIREAT to the stream. The conditions are kept: they hold on the replica, too. */
function replicateAbsolute(context: CommandContext, deadline: number): void {
  const { request } = context;
  const words: (Uint8Array | string)[] = ['PEXPIREAT', request.copy(1), integerText(deadline)];
  for (let i = 3; i < request.argc; i++) words.push(request.copy(i));
  context.replicateAs(...words);
}

/** A key without a deadline counts as one that never expires. */
function conditionsHold(conditions: number, deadline: number, present: number): boolean {
  const none = present < 0;
  if ((conditions & Condition.NX) !== 0 && !none) return false;
  if ((conditions & Condition.XX) !== 0 && none) return false;
  if ((conditions & Condition.GT) !== 0 && (none || deadline <= present)) return false;
  return (conditions & Condition.LT) === 0 || none || deadline < present;
}

/** Returns the set of {@link Condition} from argument 3 on, or -1 after an error reply. */
function parseConditions(context: CommandContext): number {
  const { request, reply } = context;
  let conditions = 0;
  for (let i = 3; i < request.argc; i++) {
    if (request.equalsIgnoreCase(i, 'NX')) conditions |= Condition.NX;
    else if (request.equalsIgnoreCase(i, 'XX')) conditions |= Condition.XX;
    else if (request.equalsIgnoreCase(i, 'GT')) conditions |= Condition.GT;
    else if (request.equalsIgnoreCase(i, 'LT')) conditions |= Condition.LT;
    else {
      reply.error(`ERR Unsupported option ${request.latin1(i)}`);
      return -1;
    }
  }
  if ((conditions & Condition.NX) !== 0 && conditions !== Condition.NX) {
    reply.error('ERR NX and XX, GT or LT options at the same time are not compatible');
    return -1;
  }
  if ((conditions & Condition.GT) !== 0 && (conditions & Condition.LT) !== 0) {
    reply.error('ERR GT and LT options at the same time are not compatible');
    return -1;
  }
  return conditions;
}

function ttl(context: CommandContext): void {
  replyDeadline(context, true, true);
}

function pTtl(context: CommandContext): void {
  replyDeadline(context, true, false);
}

function expireTime(context: CommandContext): void {
  replyDeadline(context, false, true);
}

function pExpireTime(context: CommandContext): void {
  replyDeadline(context, false, false);
}

function replyDeadline(context: CommandContext, relative: boolean, seconds: boolean): void {
  const { reply } = context;
  const entry = context.lookupUntouched(1);
  if (entry === NIL) {
    reply.integer(-2);
    return;
  }
  const deadline = context.db.deadline(entry);
  if (deadline < 0) {
    reply.integer(-1);
    return;
  }
  const ms = relative ? Math.max(0, deadline - context.server.nowMs) : deadline;
  replyInteger(context, seconds ? Math.floor((ms + 500) / 1000) : ms);
}

function persist(context: CommandContext): void {
  const entry = context.lookupWrite(1);
  if (entry === NIL || !context.db.clearDeadline(entry)) {
    context.reply.integer(0);
    return;
  }
  context.changed(1);
  context.notify(EventClass.GENERIC, 'persist', 1);
  context.reply.integer(1);
}
