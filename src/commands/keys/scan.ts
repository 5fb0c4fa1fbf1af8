/**
 * Commands that walk over the keys of a database. SCAN visits a limited number of keys per call.
 * KEYS visits all of them in one turn, as in Redis. Main thread.
 */
import { asRef, NIL, type Ref } from '../../base/units.ts';
import { Aggregate } from '../../resp/reply.ts';
import type { CommandContext } from '../context.ts';
import {
  cursorArgument,
  matchesPattern,
  SCAN_STEPS_PER_ELEMENT,
  scanOptions,
} from '../scan-options.ts';
import { type CommandTable, Flag, NO_KEYS } from '../spec.ts';
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

/**
 * On a replica, and while writes are paused, expired keys are hidden but not deleted, so RANDOMKEY
 * may draw them again. After this many draws it stops looking for another key.
 */
const RANDOM_TRIES_MAX = 100;

function randomKey(context: CommandContext): void {
  const { db, reply, server, view } = context;
  for (let tries = 1; ; tries++) {
    const entry = db.random(server.prng);
    if (entry === NIL) {
      reply.nil();
      return;
    }
    const expired = context.isExpired(db, entry);
    if (expired && server.expiresKeys) {
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

/**
 * Returns whether the bytes in the context's view match the pattern in argument `index`. Everything
 * matches when that is 0.
 */
function matches(context: CommandContext, index: number): boolean {
  const { view } = context;
  return matchesPattern(context, index, view.bytes, view.position, view.length);
}

function scan(context: CommandContext): void {
  const start = cursorArgument(context, 1);
  if (start < 0) return;
  const options = scanOptions(context, 2, true);
  if (options === undefined) return;
  const { db, reply, view } = context;
  const found: number[] = [];
  const visit = (entry: Ref): void => {
    found.push(entry);
  };
  let cursor = start;
  let steps = options.count * SCAN_STEPS_PER_ELEMENT;
  do cursor = db.scan(cursor, visit);
  while (cursor !== 0 && --steps > 0 && found.length < options.count);
  reply.array(2);
  reply.bulkInteger(cursor);
  const token = reply.deferArray();
  let count = 0;
  for (let i = 0; i < found.length; i++) {
    const entry = asRef(found[i]!);
    db.keyInto(entry, view);
    if (!matches(context, options.matchAt)) continue;
    if (context.isExpired(db, entry)) {
      // The removal of an entry does not move other entries.
      if (context.server.expiresKeys) context.deleteExpired(db, entry);
      continue;
    }
    if (options.typeAt > 0 && !hasType(context, entry, options.typeAt)) continue;
    reply.bulk(view.bytes, view.position, view.length);
    count++;
  }
  reply.setDeferred(token, count, Aggregate.ARRAY);
}

function hasType(context: CommandContext, entry: Ref, typeAt: number): boolean {
  return context.request.equalsIgnoreCase(typeAt, typeName(context.db.type(entry)).toUpperCase());
}
