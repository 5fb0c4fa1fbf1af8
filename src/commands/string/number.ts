/**
 * Hot path. INCR and its variants: strings that are numbers. Main thread.
 *
 * Integers within 2^53 are added as doubles and printed into scratch memory. Only greater ones are
 * added as bigints. Fractions are added as Redis' long doubles (base/long-double.ts), and the
 * stream carries the sum.
 */
import { bytesOf, latin1, parseInt64, parseInteger, writeDecimal } from '../../base/bytes.ts';
import { parseLongDouble, printLongDouble, sumLongDouble } from '../../base/long-double.ts';
import { NIL, type Ref } from '../../base/units.ts';
import { EMBSTR_BYTES_MAX, Encoding, ValueType } from '../../keyspace/entry.ts';
import { addInPlace, incrementInPlace } from '../../keyspace/integer-entry.ts';
import { NOT_AN_INTEGER } from '../arguments.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { EventClass } from '../ports.ts';
import { storeBytes } from './value.ts';

const INT64_MAX = 0x7fff_ffff_ffff_ffffn;
const INT64_MIN = -0x8000_0000_0000_0000n;
const NOT_A_FLOAT = 'ERR value is not a valid float';
const SUM_OVERFLOWS = 'ERR increment or decrement would overflow';

export function incr(context: CommandContext): void {
  const { db, view } = context;
  const entry = context.writeTyped(1, ValueType.STRING);
  if (entry === WRONG) return;
  if (entry !== NIL && incrementInPlace(db.arena, entry, view)) {
    changed(context);
    context.reply.integerDigits(view.bytes, view.position, view.length);
  } else {
    addTo(context, entry, 1);
  }
}

export function decr(context: CommandContext): void {
  add(context, -1);
}

export function incrBy(context: CommandContext): void {
  const { request } = context;
  const delta = request.integer(2);
  if (!Number.isNaN(delta)) {
    add(context, delta);
    return;
  }
  const big = parseInt64(request.bytes, request.position[2]!, request.length[2]!);
  if (big === undefined) context.reply.error(NOT_AN_INTEGER);
  else addBig(context, big);
}

export function decrBy(context: CommandContext): void {
  const { request } = context;
  const delta = request.integer(2);
  if (!Number.isNaN(delta)) {
    add(context, -delta);
    return;
  }
  const big = parseInt64(request.bytes, request.position[2]!, request.length[2]!);
  if (big === undefined) context.reply.error(NOT_AN_INTEGER);
  else if (big === INT64_MIN) context.reply.error('ERR decrement would overflow');
  else addBig(context, -big);
}

function add(context: CommandContext, delta: number): void {
  const entry = context.writeTyped(1, ValueType.STRING);
  if (entry !== WRONG) addTo(context, entry, delta);
}

function addTo(context: CommandContext, entry: Ref, delta: number): void {
  const { view, scratch, db } = context;
  let before = 0;
  if (entry !== NIL) {
    // When the number of digits stays the same, the digits are changed in place.
    const sum = addInPlace(db.arena, entry, delta);
    if (!Number.isNaN(sum)) {
      changed(context);
      context.reply.integer(sum);
      return;
    }
    db.stringInto(entry, view);
    before = parseInteger(view.bytes, view.position, view.length);
  }
  const after = before + delta;
  if (!Number.isSafeInteger(after)) {
    addBigTo(context, entry, BigInt(delta));
    return;
  }
  storeBytes(context, entry, 1, scratch, 0, writeDecimal(scratch, 0, after), Encoding.INT, true);
  changed(context);
  context.reply.integer(after);
}

function changed(context: CommandContext): void {
  context.changed(1);
  context.notify(EventClass.STRING, 'incrby', 1);
}

function addBig(context: CommandContext, delta: bigint): void {
  const entry = context.writeTyped(1, ValueType.STRING);
  if (entry !== WRONG) addBigTo(context, entry, delta);
}

/** Adds as bigint. Also answers the error when the string is not an integer. */
function addBigTo(context: CommandContext, entry: Ref, delta: bigint): void {
  const { view, reply } = context;
  let before: bigint | undefined = 0n;
  if (entry !== NIL) {
    context.db.stringInto(entry, view);
    before = parseInt64(view.bytes, view.position, view.length);
  }
  if (before === undefined) {
    reply.error(NOT_AN_INTEGER);
    return;
  }
  const after = before + delta;
  if (after > INT64_MAX || after < INT64_MIN) {
    reply.error(SUM_OVERFLOWS);
    return;
  }
  const text = bytesOf(after.toString());
  storeBytes(context, entry, 1, text, 0, text.length, Encoding.INT, true);
  changed(context);
  reply.integer64(after);
}

export function incrByFloat(context: CommandContext): void {
  const entry = context.writeTyped(1, ValueType.STRING);
  if (entry === WRONG) return;
  const { request, reply, view } = context;
  let before = '0';
  if (entry !== NIL) {
    context.db.stringInto(entry, view);
    before = latin1(view.bytes, view.position, view.length);
  }
  const left = parseLongDouble(before);
  const right = left === undefined ? undefined : parseLongDouble(request.latin1(2));
  if (left === undefined || right === undefined) {
    reply.error(NOT_A_FLOAT);
    return;
  }
  const sum = sumLongDouble(left, right);
  if (sum === undefined) {
    reply.error('ERR increment would produce NaN or Infinity');
    return;
  }
  const text = bytesOf(printLongDouble(sum));
  // As in Redis, the encoding is never `int`, even for a whole number.
  const encoding = text.length <= EMBSTR_BYTES_MAX ? Encoding.EMBSTR : Encoding.RAW;
  storeBytes(context, entry, 1, text, 0, text.length, encoding, true);
  context.changed(1);
  context.notify(EventClass.STRING, 'incrbyfloat', 1);
  reply.bulk(text, 0, text.length);
  // The stream carries the printed sum, so that a replica has the same digits even if its
  // arithmetic differs.
  context.replicateAs('SET', request.copy(1), text, 'KEEPTTL');
}
