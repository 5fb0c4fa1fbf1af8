/**
 * The commands on HyperLogLogs: strings that structs/hyperloglog.ts draws. A sparse one is changed
 * in a copy, a dense one in place. Main thread.
 */
import { NIL, type Ref } from '../../base/units.ts';
import { Encoding, ValueType } from '../../keyspace/entry.ts';
import {
  choice,
  choose,
  denseRegister,
  eachRun,
  estimate,
  estimateRegisters,
  HLL_CARD_AT,
  HLL_CARD_BYTES,
  HLL_DENSE_BYTES,
  HLL_ENCODING_AT,
  HLL_STALE,
  HLL_STALE_AT,
  HllEncoding,
  HyperLogLog,
  looksLikeHll,
  mergeRegisters,
  patch,
  Raised,
  REGISTERS,
  registerPatch,
} from '../../structs/hyperloglog.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { EventClass } from '../ports.ts';
import { type CommandTable, Flag, type KeySpec, keyAt, keysFrom, NO_KEYS } from '../spec.ts';
import { storeBytes } from '../string/value.ts';
import { selfTest } from './self-test.ts';

const { WRITE, READONLY, DENYOOM, FAST, ADMIN, MAY_REPLICATE } = Flag;
const HLL = { group: 'hyperloglog', categories: ['hyperloglog'] } as const;
const COUNTED: KeySpec = {
  ...keysFrom(1, -1, 1, 'RW', 'access'),
  notes:
    'RW because it may change the internal representation of the key, and propagate to replicas',
};

export const hyperloglogCommands = {
  PFADD: {
    ...HLL,
    arity: -2,
    flags: WRITE | DENYOOM | FAST,
    keys: [keyAt(1, 'RW', 'insert')],
    since: '2.8.9',
    summary: 'Adds elements.',
    handler: pfadd,
  },
  PFCOUNT: {
    ...HLL,
    arity: -2,
    flags: READONLY | MAY_REPLICATE,
    keys: [COUNTED],
    since: '2.8.9',
    summary: 'Answers about how many different elements were added to any of the keys.',
    handler: pfcount,
  },
  PFMERGE: {
    ...HLL,
    arity: -2,
    flags: WRITE | DENYOOM,
    keys: [keyAt(1, 'RW', 'access', 'insert'), keysFrom(2, -1, 1, 'RO', 'access')],
    since: '2.8.9',
    summary: 'Adds to a key what was added to the others.',
    handler: pfmerge,
  },
  PFDEBUG: {
    ...HLL,
    arity: 3,
    flags: WRITE | DENYOOM | ADMIN,
    keys: [keyAt(2, 'RW', 'access')],
    since: '2.8.9',
    summary: 'Looks into a key, or makes it dense.',
    handler: pfdebug,
  },
  PFSELFTEST: {
    ...HLL,
    arity: 1,
    flags: ADMIN,
    keys: NO_KEYS,
    since: '2.8.9',
    summary: 'Tests registers and estimates.',
    handler: pfselftest,
  },
} as const satisfies CommandTable;

const NOT_HLL = 'WRONGTYPE Key is not a valid HyperLogLog string value.';
const CORRUPT_HLL = 'INVALIDOBJ Corrupted HLL object detected';
const TWO_32 = 2 ** 32;

/** The copy that commands work on. It holds nothing between two commands. */
const hll = new HyperLogLog();
const registers = new Uint8Array(REGISTERS);
const scratch = new Uint8Array(HLL_CARD_BYTES);

/**
 * Sets the context's view to the string of `entry`, and returns whether it is a HyperLogLog.
 * Otherwise answers the error.
 */
function isHll(context: CommandContext, entry: Ref): boolean {
  const { db, view, reply } = context;
  db.stringInto(entry, view);
  if (db.encoding(entry) !== Encoding.INT && looksLikeHll(view.bytes, view.position, view.length))
    return true;
  reply.error(NOT_HLL);
  return false;
}

const isDense = ({ view }: CommandContext): boolean =>
  view.bytes[view.position + HLL_ENCODING_AT] === HllEncoding.DENSE;

function pfadd(context: CommandContext): void {
  const { reply, view } = context;
  const entry = context.writeTyped(1, ValueType.STRING);
  if (entry === WRONG) return;
  if (entry !== NIL && !isHll(context, entry)) return;
  let updated = 0;
  if (entry !== NIL && isDense(context)) {
    updated = addDense(context, entry);
  } else {
    if (entry === NIL) {
      hll.create();
      updated++;
    } else if (!hll.load(view.bytes, view.position, view.length)) {
      reply.error(CORRUPT_HLL);
      return;
    }
    const raised = addToCopy(context);
    if (raised < 0) {
      reply.error(CORRUPT_HLL);
      return;
    }
    updated += raised;
    if (updated > 0) storeCopy(context, entry);
  }
  if (updated > 0) {
    context.changes += updated;
    context.modified(1);
    context.notify(EventClass.STRING, 'pfadd', 1);
  }
  reply.integer(updated > 0 ? 1 : 0);
}

/**
 * Adds the arguments from 2 on to the copy. Returns the number of raised registers, or -1 when the
 * copy is not valid.
 */
function addToCopy(context: CommandContext): number {
  const { request, server } = context;
  const { hllSparseMaxBytes } = server.settings;
  let raised = 0;
  for (let at = 2; at < request.argc; at++) {
    choose(request.bytes, request.position[at]!, request.length[at]!);
    const result = hll.raise(choice.register, choice.value, hllSparseMaxBytes);
    if (result === Raised.CORRUPT) return -1;
    raised += result;
  }
  return raised;
}

/**
 * Stores the copy as the string of the key in argument 1, whose lookup returned `entry`. Marks its
 * estimate as stale.
 */
function storeCopy(context: CommandContext, entry: Ref): void {
  hll.markStale();
  storeBytes(context, entry, 1, hll.bytes, 0, hll.length, Encoding.RAW, true);
}

/** Adds the arguments from 2 on to a dense one in place. Returns the number of raised registers. */
function addDense(context: CommandContext, entry: Ref): number {
  const { request, db, view } = context;
  let target: Ref = NIL;
  for (let at = 2, raised = 0; ; at++) {
    if (at === request.argc) return raised;
    choose(request.bytes, request.position[at]!, request.length[at]!);
    if (denseRegister(view.bytes, view.position, choice.register) >= choice.value) continue;
    if (raised++ === 0) target = beginWriting(context, entry);
    patch(view.bytes, view.position, choice.register, choice.value);
    db.writeString(target, registerPatch.at, registerPatch.bytes, 0, registerPatch.count);
  }
}

/**
 * Makes the string of `entry` raw, so that it can be written in place, and marks its estimate as
 * stale. Returns the entry.
 */
function beginWriting(context: CommandContext, entry: Ref): Ref {
  const { db, view } = context;
  const target = db.growString(entry, view.length);
  db.stringInto(target, view);
  scratch[0] = view.bytes[view.position + HLL_STALE_AT]! | HLL_STALE;
  db.writeString(target, HLL_STALE_AT, scratch, 0, 1);
  return target;
}

function pfcount(context: CommandContext): void {
  const { request, reply } = context;
  if (request.argc > 2) {
    countUnion(context);
    return;
  }
  const entry = context.readTyped(1, ValueType.STRING);
  if (entry === WRONG) return;
  if (entry === NIL) reply.integer(0);
  else if (isHll(context, entry)) countOne(context, entry);
}

function countOne(context: CommandContext, entry: Ref): void {
  const { db, view, reply } = context;
  const { bytes, position, length } = view;
  if ((bytes[position + HLL_STALE_AT]! & HLL_STALE) === 0) {
    replyCached(context);
    return;
  }
  const count = estimate(bytes, position, length);
  if (Number.isNaN(count)) {
    reply.error(CORRUPT_HLL);
    return;
  }
  // The estimate is stored in the string. It must be streamed, since replicas must have the same
  // bytes.
  for (let i = 0, rest = count; i < HLL_CARD_BYTES; i++, rest = Math.floor(rest / 256))
    scratch[i] = rest % 256;
  const target = db.growString(entry, length);
  db.writeString(target, HLL_CARD_AT, scratch, 0, HLL_CARD_BYTES);
  context.changed(1);
  reply.integer(count);
}

/** Answers the estimate that is stored in the string in the view. */
function replyCached({ view, reply }: CommandContext): void {
  let low = 0;
  let high = 0;
  for (let i = HLL_CARD_BYTES - 1; i >= 0; i--) {
    const byte = view.bytes[view.position + HLL_CARD_AT + i]!;
    if (i < 4) low = low * 256 + byte;
    else high = high * 256 + byte;
  }
  const count = high * TWO_32 + low;
  if (Number.isSafeInteger(count)) reply.integer(count);
  else reply.integer64(BigInt(high) * BigInt(TWO_32) + BigInt(low));
}

/**
 * Merges the keys of all arguments into {@link registers}. Returns the encoding of the result, or
 * undefined after an error reply.
 */
function mergeArguments(context: CommandContext): HllEncoding | undefined {
  const { request, reply, view } = context;
  registers.fill(0);
  let encoding: HllEncoding = HllEncoding.SPARSE;
  for (let at = 1; at < request.argc; at++) {
    const entry = context.readTyped(at, ValueType.STRING);
    if (entry === WRONG) return undefined;
    if (entry === NIL) continue;
    if (!isHll(context, entry)) return undefined;
    if (isDense(context)) encoding = HllEncoding.DENSE;
    if (mergeRegisters(view.bytes, view.position, view.length, registers)) continue;
    reply.error(CORRUPT_HLL);
    return undefined;
  }
  return encoding;
}

function countUnion(context: CommandContext): void {
  if (mergeArguments(context) !== undefined) context.reply.integer(estimateRegisters(registers));
}

function pfmerge(context: CommandContext): void {
  const { reply, db, view, server } = context;
  const encoding = mergeArguments(context);
  if (encoding === undefined) return;
  const entry = context.lookupWrite(1);
  if (entry === NIL) {
    hll.create();
  } else {
    // This string was one of those merged, so it is valid.
    db.stringInto(entry, view);
    hll.load(view.bytes, view.position, view.length);
  }
  if (encoding === HllEncoding.DENSE) hll.toDense();
  for (let i = 0; i < REGISTERS; i++) {
    if (registers[i] !== 0) hll.raise(i, registers[i]!, server.settings.hllSparseMaxBytes);
  }
  storeCopy(context, entry);
  context.changed(1);
  context.notify(EventClass.STRING, 'pfadd', 1);
  reply.ok();
}

function pfdebug(context: CommandContext): void {
  const { request, reply } = context;
  const entry = context.writeTyped(2, ValueType.STRING);
  if (entry === WRONG) return;
  if (entry === NIL) {
    reply.error('ERR The specified key does not exist');
    return;
  }
  if (!isHll(context, entry)) return;
  if (request.equalsIgnoreCase(1, 'GETREG')) replyRegisters(context, entry);
  else if (request.equalsIgnoreCase(1, 'DECODE')) replyRuns(context);
  else if (request.equalsIgnoreCase(1, 'ENCODING'))
    reply.simple(isDense(context) ? 'dense' : 'sparse');
  else if (request.equalsIgnoreCase(1, 'TODENSE')) toDense(context, entry);
  else reply.error(`ERR Unknown PFDEBUG subcommand '${request.latin1(1)}'`);
}

/**
 * Makes the sparse string of `entry`, which is in the view, dense. Returns false after an error
 * reply.
 */
function densify(context: CommandContext, entry: Ref): boolean {
  const { db, view, reply } = context;
  if (!hll.load(view.bytes, view.position, view.length) || !hll.toDense()) {
    reply.error(CORRUPT_HLL);
    return false;
  }
  const dense = db.overwriteString(entry, hll.bytes, 0, HLL_DENSE_BYTES, Encoding.RAW, true);
  db.stringInto(dense, view);
  context.changes++;
  return true;
}

function replyRegisters(context: CommandContext, entry: Ref): void {
  const { view, reply } = context;
  if (!isDense(context) && !densify(context, entry)) return;
  reply.array(REGISTERS);
  for (let i = 0; i < REGISTERS; i++) reply.integer(denseRegister(view.bytes, view.position, i));
}

function replyRuns(context: CommandContext): void {
  const { view, reply } = context;
  if (isDense(context)) {
    reply.error('ERR HLL encoding is not sparse');
    return;
  }
  const runs: string[] = [];
  eachRun(view.bytes, view.position, view.length, (value, _from, length, wide) => {
    if (value > 0) runs.push(`v:${value},${length}`);
    else runs.push(wide ? `Z:${length}` : `z:${length}`);
  });
  reply.bulkLatin1(runs.join(' '));
}

function toDense(context: CommandContext, entry: Ref): void {
  const sparse = !isDense(context);
  if (!sparse || densify(context, entry)) context.reply.integer(sparse ? 1 : 0);
}

function pfselftest(context: CommandContext): void {
  const failure = selfTest(context.server.prng.u32());
  if (failure === undefined) context.reply.ok();
  else context.reply.error(`TESTFAILED ${failure}`);
}
