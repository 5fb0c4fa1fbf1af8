/** Hot path. HINCRBY and HINCRBYFLOAT: fields that are numbers. Main thread. */
import { bytesOf, latin1, parseInt64, parseInteger, writeDecimal } from '../../base/bytes.ts';
import { parseLongDouble, printLongDouble, sumLongDouble } from '../../base/long-double.ts';
import { NIL, type Ref } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import type { ElementView } from '../../structs/listpack-read.ts';
import { NOT_AN_INTEGER } from '../arguments.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { EventClass } from '../ports.ts';
import { openHash, setField } from './value.ts';

const INT64_MAX = 0x7fff_ffff_ffff_ffffn;
const INT64_MIN = -0x8000_0000_0000_0000n;

export function hIncrBy(context: CommandContext): void {
  const { request, reply, scratch } = context;
  const delta = request.integer(3);
  const big = Number.isNaN(delta)
    ? parseInt64(request.bytes, request.position[3]!, request.length[3]!)
    : undefined;
  if (Number.isNaN(delta) && big === undefined) {
    reply.error(NOT_AN_INTEGER);
    return;
  }
  const entry = context.writeTyped(1, ValueType.HASH);
  if (entry === WRONG) return;
  const before = fieldValue(context, entry);
  const value =
    before === undefined ? 0 : parseInteger(before.bytes, before.position, before.length);
  const after = value + delta;
  if (!Number.isSafeInteger(after)) {
    addBig(context, entry, before, big ?? BigInt(delta));
    return;
  }
  setField(context, entry, scratch, writeDecimal(scratch, 0, after));
  context.changed(1);
  context.notify(EventClass.HASH, 'hincrby', 1);
  reply.integer(after);
}

/** Adds as bigint. Also answers the error when the value is not an integer. */
function addBig(
  context: CommandContext,
  entry: Ref,
  before: ElementView | undefined,
  delta: bigint,
): void {
  const { reply } = context;
  const value =
    before === undefined ? 0n : parseInt64(before.bytes, before.position, before.length);
  if (value === undefined) {
    reply.error('ERR hash value is not an integer');
    return;
  }
  const after = value + delta;
  if (after > INT64_MAX || after < INT64_MIN) {
    reply.error('ERR increment or decrement would overflow');
    return;
  }
  const text = bytesOf(after.toString());
  setField(context, entry, text, text.length);
  context.changed(1);
  context.notify(EventClass.HASH, 'hincrby', 1);
  reply.integer64(after);
}

export function hIncrByFloat(context: CommandContext): void {
  const { request, reply } = context;
  const delta = parseLongDouble(request.latin1(3));
  if (delta === undefined) {
    reply.error('ERR value is not a valid float');
    return;
  }
  if (delta.infinite) {
    reply.error('ERR value is NaN or Infinity');
    return;
  }
  const entry = context.writeTyped(1, ValueType.HASH);
  if (entry === WRONG) return;
  const before = fieldValue(context, entry);
  const value = parseLongDouble(
    before === undefined ? '0' : latin1(before.bytes, before.position, before.length),
  );
  if (value === undefined) {
    reply.error('ERR hash value is not a float');
    return;
  }
  const sum = sumLongDouble(value, delta);
  if (sum === undefined) {
    reply.error('ERR increment would produce NaN or Infinity');
    return;
  }
  const text = bytesOf(printLongDouble(sum));
  setField(context, entry, text, text.length);
  context.changed(1);
  context.notify(EventClass.HASH, 'hincrbyfloat', 1);
  reply.bulk(text, 0, text.length);
  // The stream carries the printed sum, so that a replica has the same digits even if its
  // arithmetic differs.
  context.replicateAs('HSET', request.copy(1), request.copy(2), text);
}

/** Returns the value of the field named by argument 2, or undefined. */
function fieldValue(context: CommandContext, entry: Ref): ElementView | undefined {
  if (entry === NIL) return undefined;
  const { request } = context;
  const map = openHash(context, entry);
  if (!map.find(request.bytes, request.position[2]!, request.length[2]!)) return undefined;
  map.readFound();
  return map.value;
}
