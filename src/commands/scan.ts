/**
 * Commands that walk the keys of the database. SCAN looks at a bounded number of keys per call; KEYS looks at all of
 * them in one turn, as in Redis. Main thread.
 */
import { globMatch } from '../base/glob.ts';
import { asRef, NIL, type Ref } from '../base/units.ts';
import { Aggregate } from '../resp/reply.ts';
import { integerArgument, SYNTAX_ERROR } from './arguments.ts';
import type { CommandContext } from './context.ts';
import { type CommandTable, Flag, NO_KEYS } from './spec.ts';
import { typeName } from './value-names.ts';

const { READONLY, TOUCHES_ARBITRARY_KEYS } = Flag;
const GENERIC = { group: 'generic', keys: NO_KEYS } as const;

export const scanCommands = {
  RANDOMKEY: {
    ...GENERIC,
    arity: 1,
    flags: READONLY | TOUCHES_ARBITRARY_KEYS,
    since: '1.0.0',
    categories: ['keyspace'],
    tips: ['request_policy:all_shards', 'nondeterministic_output'],
    summary: 'Answers a key at random.',
    handler: randomKey,
  },
  KEYS: {
    ...GENERIC,
    arity: 2,
    flags: READONLY | TOUCHES_ARBITRARY_KEYS,
    since: '1.0.0',
    categories: ['keyspace', 'dangerous'],
    tips: ['request_policy:all_shards', 'nondeterministic_output_order'],
    summary: 'Answers all keys that match a pattern.',
    handler: keys,
  },
  SCAN: {
    ...GENERIC,
    arity: -2,
    flags: READONLY | TOUCHES_ARBITRARY_KEYS,
    since: '2.8.0',
    categories: ['keyspace'],
    tips: ['nondeterministic_output', 'request_policy:special'],
    summary: 'Answers some of the keys, and where to go on.',
    handler: scan,
  },
} as const satisfies CommandTable;

const COUNT_DEFAULT = 10;
/** A higher COUNT is taken for this: what one call does must not hold up all others. */
const COUNT_MAX = 65_536;
/** Positions of the table that a call looks at, per key asked for, before it answers with less. */
const STEPS_PER_KEY = 10;
/** A replica hides expired keys and cannot delete them: it gives up looking for another one after so many. */
const RANDOM_TRIES_MAX = 100;
const STAR = 0x2a;
const UINT64_MAX = 0xffff_ffff_ffff_ffffn;

function randomKey(context: CommandContext): void {
  const { db, reply, server, view } = context;
  for (let tries = 1; ; tries++) {
    const entry = db.random(server.prng);
    if (entry === NIL) {
      reply.nil();
      return;
    }
    const expired = context.isExpired(db, entry);
    if (expired && server.deletesExpired) {
      context.deleteExpired(db, entry);
    } else if (!expired || tries === RANDOM_TRIES_MAX) {
      db.keyInto(entry, view);
      reply.bulk(view.bytes, view.position, view.length);
      return;
    }
  }
}

function keys(context: CommandContext): void {
  const { db, reply, view } = context;
  const token = reply.deferArray();
  let count = 0;
  const visit = (entry: Ref): void => {
    db.keyInto(entry, view);
    if (!matches(context, 1) || context.isExpired(db, entry)) return;
    reply.bulk(view.bytes, view.position, view.length);
    count++;
  };
  let cursor = 0;
  do cursor = db.scan(cursor, visit);
  while (cursor !== 0);
  reply.setDeferred(token, count, Aggregate.ARRAY);
}

/** Whether the bytes in the context's view match the pattern in argument `index`. */
function matches(context: CommandContext, index: number): boolean {
  const { request, view } = context;
  const start = request.position[index]!;
  const length = request.length[index]!;
  if (length === 1 && request.bytes[start] === STAR) return true;
  return globMatch(request.bytes, start, length, view.bytes, view.position, view.length, false);
}

interface ScanOptions {
  count: number;
  /** Arguments of the pattern and the type; 0 for none. */
  matchAt: number;
  typeAt: number;
}

function scan(context: CommandContext): void {
  const start = parseCursor(context);
  if (start < 0) return;
  const options = parseOptions(context);
  if (options === undefined) return;
  const { db, reply, view } = context;
  const found: number[] = [];
  const visit = (entry: Ref): void => {
    found.push(entry);
  };
  let cursor = start;
  let steps = options.count * STEPS_PER_KEY;
  do cursor = db.scan(cursor, visit);
  while (cursor !== 0 && --steps > 0 && found.length < options.count);
  reply.array(2);
  reply.bulkInteger(cursor);
  const token = reply.deferArray();
  let count = 0;
  for (let i = 0; i < found.length; i++) {
    const entry = asRef(found[i]!);
    db.keyInto(entry, view);
    if (options.matchAt > 0 && !matches(context, options.matchAt)) continue;
    if (options.typeAt > 0 && !hasType(context, entry, options.typeAt)) continue;
    if (context.isExpired(db, entry)) {
      // Other entries stay where they are when one is removed.
      if (context.server.deletesExpired) context.deleteExpired(db, entry);
      continue;
    }
    reply.bulk(view.bytes, view.position, view.length);
    count++;
  }
  reply.setDeferred(token, count, Aggregate.ARRAY);
}

function hasType(context: CommandContext, entry: Ref, typeAt: number): boolean {
  return context.request.equalsIgnoreCase(typeAt, typeName(context.db.type(entry)).toUpperCase());
}

/** The cursor in argument 1, or -1 after the error has been answered. Only its low 32 bits can be ours. */
function parseCursor(context: CommandContext): number {
  const text = context.request.latin1(1);
  const value = /^\d{1,40}$/.test(text) ? BigInt(text) : -1n;
  if (value >= 0n && value <= UINT64_MAX) return Number(BigInt.asUintN(32, value));
  context.reply.error('ERR invalid cursor');
  return -1;
}

/** Undefined after the error has been answered. */
function parseOptions(context: CommandContext): ScanOptions | undefined {
  const { request, reply } = context;
  const options: ScanOptions = { count: COUNT_DEFAULT, matchAt: 0, typeAt: 0 };
  for (let i = 2; i < request.argc; i += 2) {
    const hasValue = i + 1 < request.argc;
    if (hasValue && request.equalsIgnoreCase(i, 'COUNT')) {
      const count = integerArgument(context, i + 1);
      if (Number.isNaN(count)) return undefined;
      if (count >= 1) {
        options.count = Math.min(count, COUNT_MAX);
        continue;
      }
    } else if (hasValue && request.equalsIgnoreCase(i, 'MATCH')) {
      options.matchAt = i + 1;
      continue;
    } else if (hasValue && request.equalsIgnoreCase(i, 'TYPE')) {
      options.typeAt = i + 1;
      continue;
    }
    reply.error(SYNTAX_ERROR);
    return undefined;
  }
  return options;
}
