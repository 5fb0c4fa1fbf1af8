/**
 * Hot path for SET without options, GETSET and MSET. SET and its variants: they set a whole string.
 * Main thread.
 *
 * The stream: SETEX, PSETEX and SET with a deadline become `SET key value PXAT ms`; a SET that came
 * with PXAT stays as it is. SET with GET and without a deadline loses the word GET. GETSET becomes
 * SET, GETDEL becomes DEL, and GETEX becomes PEXPIREAT, PERSIST or DEL.
 */
import { NIL, type Ref } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import {
  deadlineArgument,
  integerText,
  MS_FROM_NOW,
  MS_SINCE_1970,
  SECONDS_FROM_NOW,
  SECONDS_SINCE_1970,
  SYNTAX_ERROR,
  type TimeUnit,
} from '../arguments.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { alreadyExpired, deleteInstead } from '../keys/deadline.ts';
import { EventClass } from '../ports.ts';
import { replyString, storeArgument } from './value.ts';

const Option = { NX: 1, XX: 2, GET: 4, KEEPTTL: 8, PERSIST: 16, TIME: 32 } as const;

/** The options behind SET's value or GETEX's key. */
interface Options {
  flags: number;
  /** With {@link Option.TIME}: the argument with the deadline, and its unit. */
  timeAt: number;
  unit: TimeUnit;
}

const VALUE = 2;

export function set(context: CommandContext): void {
  if (context.request.argc > 3) {
    setWithOptions(context);
    return;
  }
  storeArgument(context, context.lookupWrite(1), 1, VALUE, false);
  context.changed(1);
  context.notify(EventClass.STRING, 'set', 1);
  context.reply.ok();
}

function setWithOptions(context: CommandContext): void {
  const options = parseOptions(context, 3, Option.NX | Option.XX | Option.GET | Option.KEEPTTL);
  if (options === undefined) return;
  const { flags } = options;
  let deadline = -1;
  if ((flags & Option.TIME) !== 0) {
    deadline = deadlineArgument(context, options.timeAt, options.unit, false, 'set');
    if (Number.isNaN(deadline)) return;
  }
  const answersOld = (flags & Option.GET) !== 0;
  if (answersOld) {
    const old = context.readTyped(1, ValueType.STRING);
    if (old === WRONG) return;
    replyOld(context, old);
  }
  const entry = context.lookupWrite(1);
  if (entry === NIL ? (flags & Option.XX) !== 0 : (flags & Option.NX) !== 0) {
    if (!answersOld) context.reply.nil();
    return;
  }
  setAt(context, entry, VALUE, deadline, options.unit, (flags & Option.KEEPTTL) !== 0);
  if (!answersOld) context.reply.ok();
  else if (deadline < 0) replicateWithoutGet(context);
}

/**
 * Sets the key in argument 1, whose lookup returned `entry`. Also sets its deadline, which was
 * given in `unit`, unless `deadline` is negative.
 */
function setAt(
  context: CommandContext,
  entry: Ref,
  valueIndex: number,
  deadline: number,
  unit: TimeUnit,
  keepDeadline: boolean,
): void {
  const stored = storeArgument(context, entry, 1, valueIndex, keepDeadline || deadline >= 0);
  context.changed(1);
  context.notify(EventClass.STRING, 'set', 1);
  if (deadline < 0) return;
  context.db.setDeadline(stored, deadline);
  context.notify(EventClass.GENERIC, 'expire', 1);
  // A request that already has an absolute time in ms goes to the stream unchanged.
  if (unit === MS_SINCE_1970) return;
  const { request } = context;
  context.replicateAs(
    'SET',
    request.copy(1),
    request.copy(valueIndex),
    'PXAT',
    integerText(deadline),
  );
}

/**
 * Sends the request to the stream without the word GET, since only the primary answers the old
 * value.
 */
function replicateWithoutGet(context: CommandContext): void {
  const { request } = context;
  const words: Uint8Array[] = [];
  for (let i = 0; i < request.argc; i++) {
    if (i < 3 || !request.equalsIgnoreCase(i, 'GET')) words.push(request.copy(i));
  }
  context.replicateAs(...words);
}

export function setNx(context: CommandContext): void {
  const entry = context.lookupWrite(1);
  if (entry !== NIL) {
    context.reply.integer(0);
    return;
  }
  storeArgument(context, NIL, 1, VALUE, false);
  context.changed(1);
  context.notify(EventClass.STRING, 'set', 1);
  context.reply.integer(1);
}

export function setEx(context: CommandContext): void {
  setForTime(context, SECONDS_FROM_NOW, 'setex');
}

export function pSetEx(context: CommandContext): void {
  setForTime(context, MS_FROM_NOW, 'psetex');
}

function setForTime(context: CommandContext, unit: TimeUnit, command: string): void {
  const deadline = deadlineArgument(context, 2, unit, false, command);
  if (Number.isNaN(deadline)) return;
  setAt(context, context.lookupWrite(1), 3, deadline, unit, false);
  context.reply.ok();
}

export function getSet(context: CommandContext): void {
  const old = context.readTyped(1, ValueType.STRING);
  if (old === WRONG) return;
  replyOld(context, old);
  storeArgument(context, old, 1, VALUE, false);
  context.changed(1);
  context.notify(EventClass.STRING, 'set', 1);
  context.replicateAs('SET', context.request.copy(1), context.request.copy(VALUE));
}

export function getDel(context: CommandContext): void {
  const entry = context.readTyped(1, ValueType.STRING);
  if (entry === WRONG) return;
  replyOld(context, entry);
  if (entry === NIL) return;
  context.removeEntry(entry);
  context.changed(1);
  context.notify(EventClass.GENERIC, 'del', 1);
  context.replicateAs('DEL', context.request.copy(1));
}

export function getEx(context: CommandContext): void {
  const options = parseOptions(context, 2, Option.PERSIST);
  if (options === undefined) return;
  const entry = context.readTyped(1, ValueType.STRING);
  if (entry === WRONG) return;
  if (entry === NIL) {
    context.reply.nil();
    return;
  }
  let deadline = -1;
  if ((options.flags & Option.TIME) !== 0) {
    deadline = deadlineArgument(context, options.timeAt, options.unit, false, 'getex');
    if (Number.isNaN(deadline)) return;
  }
  replyString(context, entry);
  if (deadline >= 0) {
    if (!options.unit.relative && alreadyExpired(context, deadline)) {
      deleteInstead(context, entry);
      return;
    }
    context.db.setDeadline(entry, deadline);
    context.changed(1);
    context.notify(EventClass.GENERIC, 'expire', 1);
    context.replicateAs('PEXPIREAT', context.request.copy(1), integerText(deadline));
  } else if ((options.flags & Option.PERSIST) !== 0 && context.db.clearDeadline(entry)) {
    context.changed(1);
    context.notify(EventClass.GENERIC, 'persist', 1);
    context.replicateAs('PERSIST', context.request.copy(1));
  }
}

export function mset(context: CommandContext): void {
  if (!pairsComplete(context, 'mset')) return;
  storePairs(context);
  context.reply.ok();
}

export function msetNx(context: CommandContext): void {
  if (!pairsComplete(context, 'msetnx')) return;
  const { argc } = context.request;
  for (let i = 1; i < argc; i += 2) {
    if (context.lookupWrite(i) !== NIL) {
      context.reply.integer(0);
      return;
    }
  }
  storePairs(context);
  context.reply.integer(1);
}

function pairsComplete(context: CommandContext, command: string): boolean {
  if (context.request.argc % 2 === 1) return true;
  context.reply.error(`ERR wrong number of arguments for '${command}' command`);
  return false;
}

function storePairs(context: CommandContext): void {
  const { argc } = context.request;
  for (let i = 1; i < argc; i += 2) {
    storeArgument(context, context.lookupWrite(i), i, i + 1, false);
    context.changed(i);
    context.notify(EventClass.STRING, 'set', i);
  }
}

function replyOld(context: CommandContext, entry: Ref): void {
  if (entry === NIL) context.reply.nil();
  else replyString(context, entry);
}

/**
 * Reads the options from argument `from` on. `allowed` has the allowed options except those for
 * times. Returns undefined after a syntax error reply. As in Redis, an option may be repeated, and
 * the last of several equal time options counts.
 */
function parseOptions(context: CommandContext, from: number, allowed: number): Options | undefined {
  const { request } = context;
  const { argc } = request;
  const options: Options = { flags: 0, timeAt: 0, unit: MS_SINCE_1970 };
  for (let i = from; i < argc; i++) {
    const { flags } = options;
    const timeless = Option.KEEPTTL | Option.PERSIST;
    if (request.equalsIgnoreCase(i, 'NX') && (flags & Option.XX) === 0) options.flags |= Option.NX;
    else if (request.equalsIgnoreCase(i, 'XX') && (flags & Option.NX) === 0)
      options.flags |= Option.XX;
    else if (request.equalsIgnoreCase(i, 'GET')) options.flags |= Option.GET;
    else if (
      request.equalsIgnoreCase(i, 'KEEPTTL') &&
      (flags & (Option.PERSIST | Option.TIME)) === 0
    ) {
      options.flags |= Option.KEEPTTL;
    } else if (
      request.equalsIgnoreCase(i, 'PERSIST') &&
      (flags & (Option.KEEPTTL | Option.TIME)) === 0
    ) {
      options.flags |= Option.PERSIST;
    } else {
      const unit = timeUnit(context, i);
      const fits = unit !== undefined && (flags & timeless) === 0 && i + 1 < argc;
      if (!fits || ((flags & Option.TIME) !== 0 && options.unit !== unit)) return refuse(context);
      options.flags |= Option.TIME;
      options.unit = unit;
      options.timeAt = ++i;
    }
  }
  return (options.flags & ~(allowed | Option.TIME)) === 0 ? options : refuse(context);
}

function timeUnit(context: CommandContext, index: number): TimeUnit | undefined {
  const { request } = context;
  if (request.equalsIgnoreCase(index, 'EX')) return SECONDS_FROM_NOW;
  if (request.equalsIgnoreCase(index, 'PX')) return MS_FROM_NOW;
  if (request.equalsIgnoreCase(index, 'EXAT')) return SECONDS_SINCE_1970;
  return request.equalsIgnoreCase(index, 'PXAT') ? MS_SINCE_1970 : undefined;
}

function refuse(context: CommandContext): undefined {
  context.reply.error(SYNTAX_ERROR);
  return undefined;
}
