/**
 * Commands on the bits of strings. BITFIELD is in bitfield.ts. Bit 0 is the highest bit of the
 * first byte. A written string becomes `raw`, even if no bit changes. Main thread.
 */
import { NIL } from '../../base/units.ts';
import { BytesView, Encoding, ValueType } from '../../keyspace/entry.ts';
import { integerArgument, SYNTAX_ERROR } from '../arguments.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { EventClass } from '../ports.ts';
import { type CommandTable, Flag, type KeySpec, keyAt, keysFrom, READ_KEY } from '../spec.ts';
import { bitOffsetArgument } from './bit-offset.ts';
import { countBits, findBit } from './bit-search.ts';
import { bitField, bitFieldReadOnly } from './bitfield.ts';
import { growString, storeBytes, stringLength } from './value.ts';

const { WRITE, READONLY, DENYOOM, FAST } = Flag;
const BITMAP = { group: 'bitmap', categories: ['bitmap'] } as const;
const CHANGED_KEY = keyAt(1, 'RW', 'access', 'update');
const BITFIELD_KEY: readonly KeySpec[] = [
  {
    ...keyAt(1, 'RW', 'access', 'update', 'variable_flags'),
    notes: 'This command allows both access and modification of the key',
  },
];

export const bitCommands = {
  SETBIT: {
    ...BITMAP,
    arity: 4,
    flags: WRITE | DENYOOM,
    keys: [CHANGED_KEY],
    since: '2.2.0',
    summary: 'Sets or clears a bit of a string, which grows as far as needed.',
    handler: setBit,
  },
  GETBIT: {
    ...BITMAP,
    arity: 3,
    flags: READONLY | FAST,
    keys: READ_KEY,
    since: '2.2.0',
    summary: 'Answers a bit of a string.',
    handler: getBit,
  },
  BITCOUNT: {
    ...BITMAP,
    arity: -2,
    flags: READONLY,
    keys: READ_KEY,
    since: '2.6.0',
    summary: 'Counts the bits of a string, or of a part of it, that are set.',
    handler: bitCount,
  },
  BITPOS: {
    ...BITMAP,
    arity: -3,
    flags: READONLY,
    keys: READ_KEY,
    since: '2.8.7',
    summary: 'Finds the first bit of a string, or of a part of it, that is set or clear.',
    handler: bitPos,
  },
  BITOP: {
    ...BITMAP,
    arity: -4,
    flags: WRITE | DENYOOM,
    keys: [keyAt(2, 'OW', 'update'), keysFrom(3, -1, 1, 'RO', 'access')],
    since: '2.6.0',
    summary: 'Sets a key to the bitwise AND, OR, XOR or NOT of other strings.',
    handler: bitOp,
  },
  BITFIELD: {
    ...BITMAP,
    arity: -2,
    flags: WRITE | DENYOOM,
    keys: BITFIELD_KEY,
    since: '3.2.0',
    summary: 'Reads, sets and adds to integers of any width within a string.',
    handler: bitField,
    keyOf: keyOfBitField,
  },
  BITFIELD_RO: {
    ...BITMAP,
    arity: -2,
    flags: READONLY | FAST,
    keys: READ_KEY,
    since: '6.0.0',
    summary: 'Reads integers of any width within a string.',
    handler: bitFieldReadOnly,
  },
} as const satisfies CommandTable;

/**
 * The key specification of a BITFIELD. With only GET and OVERFLOW it reads its key; a malformed one
 * counts as writing.
 */
function keyOfBitField({ request }: CommandContext): KeySpec {
  for (let i = 2; i < request.argc; i++) {
    const left = request.argc - i - 1;
    if (left >= 2 && request.equalsIgnoreCase(i, 'GET')) i += 2;
    else if (left >= 1 && request.equalsIgnoreCase(i, 'OVERFLOW')) i++;
    else return CHANGED_KEY;
  }
  return READ_KEY[0]!;
}

function setBit(context: CommandContext): void {
  const offset = bitOffsetArgument(context, 2, 0);
  if (Number.isNaN(offset)) return;
  const { reply, request, view, scratch } = context;
  const on = request.integer(3);
  if (on !== 0 && on !== 1) {
    reply.error('ERR bit is not an integer or out of range');
    return;
  }
  const found = context.writeTyped(1, ValueType.STRING);
  if (found === WRONG) return;
  const before = stringLength(context, found);
  const at = Math.floor(offset / 8);
  const entry = growString(context, found, Math.max(before, at + 1));
  context.db.stringInto(entry, view);
  const byte = view.bytes[view.position + at]!;
  const mask = 0x80 >>> (offset % 8);
  const old = (byte & mask) === 0 ? 0 : 1;
  if (before <= at || old !== on) {
    scratch[0] = on === 1 ? byte | mask : byte & ~mask;
    context.db.writeString(entry, at, scratch, 0, 1);
    context.changed(1);
    context.notify(EventClass.STRING, 'setbit', 1);
  }
  reply.integer(old);
}

function getBit(context: CommandContext): void {
  const offset = bitOffsetArgument(context, 2, 0);
  if (Number.isNaN(offset)) return;
  const entry = context.readTyped(1, ValueType.STRING);
  if (entry === WRONG) return;
  const at = Math.floor(offset / 8);
  const { view } = context;
  const inside = at < stringLength(context, entry);
  context.reply.integer(inside ? (view.bytes[view.position + at]! >>> (7 - (offset % 8))) & 1 : 0);
}

/**
 * Returns true when argument `index` is BIT and false for BYTE. Returns undefined after a syntax
 * error reply.
 */
function parseUnit(context: CommandContext, index: number): boolean | undefined {
  const { request } = context;
  if (request.equalsIgnoreCase(index, 'BIT')) return true;
  if (request.equalsIgnoreCase(index, 'BYTE')) return false;
  context.reply.error(SYNTAX_ERROR);
  return undefined;
}

function bitCount(context: CommandContext): void {
  const { request, reply, view } = context;
  const { argc } = request;
  if (argc === 3 || argc > 5) {
    reply.error(SYNTAX_ERROR);
    return;
  }
  let start = 0;
  let end = -1;
  let inBits: boolean | undefined = false;
  if (argc > 2) {
    start = integerArgument(context, 2);
    if (Number.isNaN(start)) return;
    end = integerArgument(context, 3);
    if (Number.isNaN(end)) return;
    if (argc === 5) inBits = parseUnit(context, 4);
    if (inBits === undefined) return;
  }
  const entry = context.readTyped(1, ValueType.STRING);
  if (entry === WRONG) return;
  const inverted = start < 0 && end < 0 && start > end;
  if (entry === NIL || inverted) {
    reply.integer(0);
    return;
  }
  const units = stringLength(context, entry) * (inBits ? 8 : 1);
  if (start < 0) start = Math.max(0, units + start);
  if (end < 0) end = Math.max(0, units + end);
  end = Math.min(end, units - 1);
  if (start > end) reply.integer(0);
  else if (inBits) reply.integer(countBits(view, start, end + 1));
  else reply.integer(countBits(view, start * 8, (end + 1) * 8));
}

function bitPos(context: CommandContext): void {
  const { request, reply, view } = context;
  const { argc } = request;
  const bit = integerArgument(context, 2);
  if (Number.isNaN(bit)) return;
  if (bit !== 0 && bit !== 1) {
    reply.error('ERR The bit argument must be 1 or 0.');
    return;
  }
  if (argc > 6) {
    reply.error(SYNTAX_ERROR);
    return;
  }
  let start = argc > 3 ? integerArgument(context, 3) : 0;
  if (Number.isNaN(start)) return;
  const inBits = argc === 6 ? parseUnit(context, 5) : false;
  if (inBits === undefined) return;
  const endGiven = argc > 4;
  let end = endGiven ? integerArgument(context, 4) : -1;
  if (Number.isNaN(end)) return;
  const entry = context.readTyped(1, ValueType.STRING);
  if (entry === WRONG) return;
  if (entry === NIL) {
    // An absent key counts as an endless row of clear bits.
    reply.integer(bit === 1 ? -1 : 0);
    return;
  }
  const length = stringLength(context, entry);
  const units = length * (inBits ? 8 : 1);
  if (start < 0) start = Math.max(0, units + start);
  if (end < 0) end = Math.max(0, units + end);
  end = Math.min(end, units - 1);
  const unitBits = inBits ? 1 : 8;
  const found = start > end ? -1 : findBit(view, start * unitBits, (end + 1) * unitBits, bit);
  // When no end is given, the string counts as followed by clear bits.
  const behind = found < 0 && bit === 0 && !endGiven && start <= end;
  reply.integer(behind ? length * 8 : found);
}

const BitOp = { AND: 'AND', OR: 'OR', XOR: 'XOR', NOT: 'NOT' } as const;
type BitOp = (typeof BitOp)[keyof typeof BitOp];

function bitOp(context: CommandContext): void {
  const { request, reply } = context;
  const op = Object.values(BitOp).find((name) => request.equalsIgnoreCase(1, name));
  if (op === undefined) {
    reply.error(SYNTAX_ERROR);
    return;
  }
  if (op === BitOp.NOT && request.argc !== 4) {
    reply.error('ERR BITOP NOT must be called with a single source key.');
    return;
  }
  const sources: BytesView[] = [];
  let length = 0;
  for (let i = 3; i < request.argc; i++) {
    const entry = context.readTyped(i, ValueType.STRING);
    if (entry === WRONG) return;
    const source = new BytesView();
    if (entry !== NIL) context.db.stringInto(entry, source);
    sources.push(source);
    length = Math.max(length, source.length);
  }
  if (length > 0) storeResult(context, combine(op, sources, length));
  else deleteTarget(context);
  reply.integer(length);
}

function storeResult(context: CommandContext, result: Uint8Array): void {
  const entry = context.lookupWrite(2);
  storeBytes(context, entry, 2, result, 0, result.length, Encoding.RAW, false);
  context.changed(2);
  context.notify(EventClass.STRING, 'set', 2);
}

/**
 * The result is empty, so the target is deleted. It makes no difference whether that has expired.
 */
function deleteTarget(context: CommandContext): void {
  const { request, db } = context;
  const entry = db.find(request.bytes, request.position[2]!, request.length[2]!);
  if (entry === NIL) return;
  context.removeEntry(entry);
  context.changed(2);
  context.notify(EventClass.GENERIC, 'del', 2);
}

/**
 * Returns the combination of the strings. Shorter ones count as followed by zeros up to `length`.
 */
function combine(op: BitOp, sources: readonly BytesView[], length: number): Uint8Array {
  const result = new Uint8Array(length);
  const first = sources[0]!;
  result.set(first.bytes.subarray(first.position, first.position + first.length));
  if (op === BitOp.NOT) for (let i = 0; i < length; i++) result[i] = ~result[i]!;
  for (let i = 1; i < sources.length; i++) {
    const { bytes, position, length: bytesHere } = sources[i]!;
    if (op === BitOp.AND) {
      for (let j = 0; j < bytesHere; j++) result[j]! &= bytes[position + j]!;
      result.fill(0, bytesHere);
    } else if (op === BitOp.OR) {
      for (let j = 0; j < bytesHere; j++) result[j]! |= bytes[position + j]!;
    } else {
      for (let j = 0; j < bytesHere; j++) result[j]! ^= bytes[position + j]!;
    }
  }
  return result;
}
