/**
 * Commands on whole databases. FLUSHALL drops the arena; FLUSHDB detaches a table, which is freed
 * in slices later. Both take constant time, with SYNC and with ASYNC. Main thread.
 */
import { DATABASE_OUT_OF_RANGE, databaseExists, intArgument, SYNTAX_ERROR } from './arguments.ts';
import type { CommandContext } from './context.ts';
import { type CommandTable, Flag, NO_KEYS } from './spec.ts';

const { WRITE, READONLY, FAST } = Flag;
const SERVER = { group: 'server', keys: NO_KEYS } as const;
const ALL_SHARDS = ['request_policy:all_shards', 'response_policy:all_succeeded'] as const;

export const databaseCommands = {
  DBSIZE: {
    ...SERVER,
    arity: 1,
    flags: READONLY | FAST,
    since: '1.0.0',
    categories: ['keyspace'],
    tips: ['request_policy:all_shards', 'response_policy:agg_sum'],
    summary: 'Counts the keys of the database.',
    handler: dbSize,
  },
  SWAPDB: {
    ...SERVER,
    arity: 3,
    flags: WRITE | FAST,
    since: '4.0.0',
    categories: ['keyspace', 'dangerous'],
    summary: 'Swaps the keys of two databases.',
    handler: swapDb,
  },
  FLUSHDB: {
    ...SERVER,
    arity: -1,
    flags: WRITE,
    since: '1.0.0',
    categories: ['keyspace', 'dangerous'],
    tips: ALL_SHARDS,
    summary: 'Deletes all keys of the database.',
    handler: flushDb,
  },
  FLUSHALL: {
    ...SERVER,
    arity: -1,
    flags: WRITE,
    since: '1.0.0',
    categories: ['keyspace', 'dangerous'],
    tips: ALL_SHARDS,
    summary: 'Deletes all keys of all databases.',
    handler: flushAll,
  },
} as const satisfies CommandTable;

function dbSize(context: CommandContext): void {
  context.reply.integer(context.db.keyCount);
}

function swapDb(context: CommandContext): void {
  const first = intArgument(context, 1, 'ERR invalid first DB index');
  if (Number.isNaN(first)) return;
  const second = intArgument(context, 2, 'ERR invalid second DB index');
  if (Number.isNaN(second)) return;
  const { server, reply } = context;
  if (!databaseExists(context, first) || !databaseExists(context, second)) {
    reply.error(DATABASE_OUT_OF_RANGE);
    return;
  }
  if (first !== second) {
    server.databaseModified(first, second);
    server.databaseModified(second, first);
    server.keyspace.swap(first, second);
  }
  context.changes++;
  reply.ok();
}

function flushDb(context: CommandContext): void {
  if (!flushModeValid(context)) return;
  const { dbIndex } = context.client;
  context.changes += context.db.keyCount;
  context.server.databaseModified(dbIndex);
  context.server.keyspace.flush(dbIndex);
  context.replicateAlways();
  context.reply.ok();
}

function flushAll(context: CommandContext): void {
  if (!flushModeValid(context)) return;
  const { server } = context;
  const { keyCount } = server.keyspace;
  server.flushAll();
  if (!server.saveEmptied()) context.changes += keyCount;
  context.selectDatabase(context.client.dbIndex);
  context.replicateAlways();
  context.reply.ok();
}

/**
 * Returns whether the flush mode is valid. SYNC and ASYNC are, and make no difference. Any other
 * word gets an error reply.
 */
function flushModeValid(context: CommandContext): boolean {
  const { request } = context;
  const valid =
    request.argc === 1 ||
    (request.argc === 2 &&
      (request.equalsIgnoreCase(1, 'SYNC') || request.equalsIgnoreCase(1, 'ASYNC')));
  if (!valid) context.reply.error(SYNTAX_ERROR);
  return valid;
}
