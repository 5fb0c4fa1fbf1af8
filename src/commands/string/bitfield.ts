/**
 * BITFIELD: integers of 1 to 64 bits at any bit offset of a string. Main thread.
 *
 * All operations are parsed before the first one runs, so an error changes nothing. Values are
 * bigints, since they may have 64 bits and clarity matters more here than speed.
 */
import { parseInt64, parseInteger } from '../../base/bytes.ts';
import type { Ref } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import { NOT_AN_INTEGER, SYNTAX_ERROR } from '../arguments.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { EventClass } from '../ports.ts';
import { bitOffsetArgument } from './bit-offset.ts';
import { growString, stringLength } from './value.ts';

type Kind = 'get' | 'set' | 'incrby';
type Overflow = 'wrap' | 'sat' | 'fail';

interface Operation {
  readonly kind: Kind;
  readonly signed: boolean;
  readonly bits: number;
  readonly offset: number;
  readonly value: bigint;
  readonly overflow: Overflow;
}

const LOWER_I = 0x69;
const LOWER_U = 0x75;
const INVALID_TYPE =
  'ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.';

export function bitField(context: CommandContext): void {
  const operations = parseOperations(context);
  if (operations === undefined) return;
  if (operations.some((operation) => operation.kind !== 'get')) write(context, operations);
  else read(context, operations);
}

export function bitFieldReadOnly(context: CommandContext): void {
  const operations = parseOperations(context);
  if (operations === undefined) return;
  if (operations.some((operation) => operation.kind !== 'get')) {
    context.reply.error('ERR BITFIELD_RO only supports the GET subcommand');
  } else {
    read(context, operations);
  }
}

/** Reads the operations. Returns undefined after an error reply. */
function parseOperations(context: CommandContext): Operation[] | undefined {
  const { request } = context;
  const operations: Operation[] = [];
  let overflow: Overflow = 'wrap';
  for (let i = 2; i < request.argc; ) {
    const left = request.argc - i - 1;
    let kind: Kind;
    if (left >= 2 && request.equalsIgnoreCase(i, 'GET')) kind = 'get';
    else if (left >= 3 && request.equalsIgnoreCase(i, 'SET')) kind = 'set';
    else if (left >= 3 && request.equalsIgnoreCase(i, 'INCRBY')) kind = 'incrby';
    else if (left >= 1 && request.equalsIgnoreCase(i, 'OVERFLOW')) {
      const parsed = parseOverflow(context, i + 1);
      if (parsed === undefined) return refuse(context, 'ERR Invalid OVERFLOW type specified');
      overflow = parsed;
      i += 2;
      continue;
    } else return refuse(context, SYNTAX_ERROR);
    const bits = parseType(context, i + 1);
    if (bits === 0) return refuse(context, INVALID_TYPE);
    const width = Math.abs(bits);
    const offset = bitOffsetArgument(context, i + 2, width);
    if (Number.isNaN(offset)) return undefined;
    let value: bigint | undefined = 0n;
    if (kind !== 'get')
      value = parseInt64(request.bytes, request.position[i + 3]!, request.length[i + 3]!);
    if (value === undefined) return refuse(context, NOT_AN_INTEGER);
    operations.push({ kind, signed: bits < 0, bits: width, offset, value, overflow });
    i += kind === 'get' ? 3 : 4;
  }
  return operations;
}

function refuse(context: CommandContext, error: string): undefined {
  context.reply.error(error);
  return undefined;
}

function parseOverflow(context: CommandContext, index: number): Overflow | undefined {
  const { request } = context;
  if (request.equalsIgnoreCase(index, 'WRAP')) return 'wrap';
  if (request.equalsIgnoreCase(index, 'SAT')) return 'sat';
  return request.equalsIgnoreCase(index, 'FAIL') ? 'fail' : undefined;
}

/** Returns the width of `u<n>`, the negative width of `i<n>`, or 0 for anything else. */
function parseType(context: CommandContext, index: number): number {
  const { request } = context;
  const start = request.position[index]!;
  const length = request.length[index]!;
  const letter = length > 0 ? request.bytes[start] : 0;
  const bits = parseInteger(request.bytes, start + 1, length - 1);
  if (letter === LOWER_I && bits >= 1 && bits <= 64) return -bits;
  return letter === LOWER_U && bits >= 1 && bits <= 63 ? bits : 0;
}

function read(context: CommandContext, operations: readonly Operation[]): void {
  const entry = context.readTyped(1, ValueType.STRING);
  if (entry === WRONG) return;
  context.reply.array(operations.length);
  for (const operation of operations) context.reply.integer64(readField(context, entry, operation));
}

function write(context: CommandContext, operations: readonly Operation[]): void {
  const found = context.writeTyped(1, ValueType.STRING);
  if (found === WRONG) return;
  let end = 0;
  for (const { kind, offset, bits } of operations)
    if (kind !== 'get') end = Math.max(end, offset + bits);
  const before = stringLength(context, found);
  const bytes = Math.ceil(end / 8);
  const entry = growString(context, found, Math.max(before, bytes));
  const grew = before < bytes;
  let changes = 0;
  context.reply.array(operations.length);
  for (const operation of operations) if (run(context, entry, operation, grew)) changes++;
  // When all operations failed, but the string grew for them, Redis does not stream the command.
  // Here it is streamed, so that the string on the replica grows, too.
  if (changes === 0 && grew) changes = 1;
  if (changes === 0) return;
  context.changed(1);
  context.changes += changes - 1;
  context.notify(EventClass.STRING, 'setbit', 1);
}

/** Runs one operation and answers it. Returns whether it counts as a change. */
function run(context: CommandContext, entry: Ref, operation: Operation, grew: boolean): boolean {
  const { reply } = context;
  const old = readField(context, entry, operation);
  if (operation.kind === 'get') {
    reply.integer64(old);
    return false;
  }
  const sets = operation.kind === 'set';
  const next = sets
    ? sum(operation, targetValue(operation), 0n)
    : sum(operation, old, operation.value);
  if (next === undefined) {
    reply.nil();
    return false;
  }
  reply.integer64(sets ? old : next);
  writeField(context, entry, operation, next);
  return grew || old !== next;
}

/**
 * Returns the number that SET stores, before overflow. In an unsigned field a negative number is
 * read as unsigned 64 bits.
 */
function targetValue({ signed, value }: Operation): bigint {
  return signed ? value : BigInt.asUintN(64, value);
}

/**
 * Returns the sum as it is stored, or undefined when it does not fit and must fail. As in Redis,
 * the two differences are computed in 64 bits. So a SET of a number far below the range of a short
 * signed field counts as too great. A stock replica that runs the same command must get the same
 * value.
 */
function sum(
  { signed, bits, overflow }: Operation,
  value: bigint,
  increment: bigint,
): bigint | undefined {
  const max = (1n << BigInt(signed ? bits - 1 : bits)) - 1n;
  const min = signed ? -max - 1n : 0n;
  const room = BigInt.asIntN(64, max - value);
  const depth = BigInt.asIntN(64, min - value);
  const short = signed && bits < 64;
  const mayRise = short || (increment > 0n && value >= 0n);
  const maySink = short || (increment < 0n && (!signed || value < 0n));
  const tooGreat = value > max || (mayRise && increment > room);
  const tooSmall = value < min || (maySink && increment < depth);
  if (!tooGreat && !tooSmall) return value + increment;
  if (overflow === 'fail') return undefined;
  if (overflow === 'sat') return tooGreat ? max : min;
  return signed ? BigInt.asIntN(bits, value + increment) : BigInt.asUintN(bits, value + increment);
}

/** Returns the value of a field. Bits behind the end of the string are 0. */
function readField(
  context: CommandContext,
  entry: Ref,
  { signed, bits, offset }: Operation,
): bigint {
  const { view } = context;
  const length = Math.max(0, stringLength(context, entry));
  const first = Math.floor(offset / 8);
  const last = Math.floor((offset + bits - 1) / 8);
  let value = 0n;
  for (let at = first; at <= last; at++) {
    value = (value << 8n) | BigInt(at < length ? view.bytes[view.position + at]! : 0);
  }
  value >>= BigInt(7 - ((offset + bits - 1) % 8));
  return signed ? BigInt.asIntN(bits, value) : BigInt.asUintN(bits, value);
}

/** Stores the low bits of `value` in a field, which must be inside the string. */
function writeField(
  context: CommandContext,
  entry: Ref,
  { bits, offset }: Operation,
  value: bigint,
): void {
  const { view, scratch, db } = context;
  const first = Math.floor(offset / 8);
  const last = Math.floor((offset + bits - 1) / 8);
  const shift = BigInt(7 - ((offset + bits - 1) % 8));
  const mask = ((1n << BigInt(bits)) - 1n) << shift;
  db.stringInto(entry, view);
  let field = BigInt.asUintN(bits, value) << shift;
  let masked = mask;
  for (let at = last; at >= first; at--) {
    const byteMask = Number(masked & 0xffn);
    scratch[at - first] = (view.bytes[view.position + at]! & ~byteMask) | Number(field & 0xffn);
    field >>= 8n;
    masked >>= 8n;
  }
  db.writeString(entry, first, scratch, 0, last - first + 1);
}
