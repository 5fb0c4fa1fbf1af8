/** Commands of replication: those that replicas send, and those for clients and operators. */
import { integerArgument } from '../../commands/arguments.ts';
import type { CommandContext } from '../../commands/context.ts';
import type { CommandTable } from '../../commands/spec.ts';
import { Flag, NO_KEYS } from '../../commands/spec.ts';
import { replyReplicaRole } from '../link/info.ts';
import { connectionOf } from '../net/connection-of.ts';
import { replyRole } from './info.ts';
import type { Primary } from './primary.ts';

export const ERROR_NO_AOF =
  'ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.';
const ERROR_WAIT_ON_REPLICA =
  'ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to be ' +
  'writable (which is not the default) writes to replicas are just local and are not propagated.';
const ERROR_WAITAOF_ON_REPLICA =
  'ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are ' +
  'not propagated.';

/** Milliseconds in argument `index`; 0 means forever, NaN that an error was answered. */
function timeoutArgument(context: CommandContext, index: number): number {
  const timeoutMs = integerArgument(
    context,
    index,
    'ERR timeout is not an integer or out of range',
  );
  if (timeoutMs >= 0 || Number.isNaN(timeoutMs)) return timeoutMs;
  context.reply.error('ERR timeout is negative');
  return Number.NaN;
}

export function replicationCommands(primary: Primary): CommandTable {
  function replconf(context: CommandContext): void {
    const { request } = context;
    const words = Array.from({ length: request.argc - 1 }, (_, i) => request.latin1(i + 1));
    primary.replconf(connectionOf(context), words);
  }

  function psync(context: CommandContext): void {
    const { request } = context;
    primary.sync(connectionOf(context), {
      command: 'PSYNC',
      replid: request.latin1(1),
      offset: request.latin1(2),
      failover: request.argc > 3 && request.equalsIgnoreCase(3, 'FAILOVER'),
    });
  }

  function sync(context: CommandContext): void {
    primary.sync(connectionOf(context), {
      command: 'SYNC',
      replid: '',
      offset: '',
      failover: false,
    });
  }

  /** Answers the count of replicas at once, or makes the client wait. */
  function waitFor(
    context: CommandContext,
    replicas: number,
    timeoutMs: number,
    fsynced: boolean,
    local = 0,
  ): void {
    const { waiters } = primary;
    const connection = connectionOf(context);
    const offset = connection.lastOffset;
    const isThere =
      waiters.countOf(offset, fsynced) >= replicas && waiters.localOf(offset) >= local;
    if (isThere || connection.inTransaction || context.inUnit) {
      waiters.reply(context.reply, offset, fsynced);
      return;
    }
    waiters.add(connection, replicas, timeoutMs, fsynced, local);
    primary.askForAcks();
  }

  function wait(context: CommandContext): void {
    if (primary.server.isReplica) {
      context.reply.error(ERROR_WAIT_ON_REPLICA);
      return;
    }
    const replicas = integerArgument(context, 1);
    if (Number.isNaN(replicas)) return;
    const timeoutMs = timeoutArgument(context, 2);
    if (!Number.isNaN(timeoutMs)) waitFor(context, replicas, timeoutMs, false);
  }

  function waitaof(context: CommandContext): void {
    if (primary.server.isReplica) {
      context.reply.error(ERROR_WAITAOF_ON_REPLICA);
      return;
    }
    const local = integerArgument(context, 1);
    if (Number.isNaN(local)) return;
    if (local < 0 || local > 1) {
      context.reply.error('ERR value is out of range, value must between 0 and 1');
      return;
    }
    const replicas = integerArgument(context, 2);
    if (Number.isNaN(replicas)) return;
    if (replicas < 0) {
      context.reply.error('ERR value is out of range, must be positive');
      return;
    }
    const timeoutMs = timeoutArgument(context, 3);
    if (Number.isNaN(timeoutMs)) return;
    if (local > 0 && !primary.server.config.values.appendonly) context.reply.error(ERROR_NO_AOF);
    else waitFor(context, replicas, timeoutMs, true, local);
  }

  function role(context: CommandContext): void {
    const { server, upstream } = primary;
    if (upstream?.isReplica === true) replyReplicaRole(server, upstream, context.reply);
    else replyRole(primary, context.reply);
  }

  return {
    REPLCONF: {
      arity: -1,
      flags:
        Flag.ADMIN | Flag.NOSCRIPT | Flag.LOADING | Flag.STALE | Flag.ALLOW_BUSY | Flag.ON_LINK,
      keys: NO_KEYS,
      since: '3.0.0',
      group: 'server',
      categories: ['admin', 'dangerous'],
      summary: 'Tells what a replica is and can, and what it has applied.',
      handler: replconf,
    },
    PSYNC: {
      arity: -3,
      flags: Flag.ADMIN | Flag.NOSCRIPT | Flag.NO_ASYNC_LOADING | Flag.NO_MULTI | Flag.ON_LINK,
      keys: NO_KEYS,
      since: '2.8.0',
      group: 'server',
      categories: ['admin', 'dangerous'],
      summary: 'Asks for the replication stream, from an offset on or behind a full sync.',
      handler: psync,
    },
    SYNC: {
      arity: 1,
      flags: Flag.ADMIN | Flag.NOSCRIPT | Flag.NO_ASYNC_LOADING | Flag.NO_MULTI | Flag.ON_LINK,
      keys: NO_KEYS,
      since: '1.0.0',
      group: 'server',
      categories: ['admin', 'dangerous'],
      summary: 'Asks for a full sync and the replication stream.',
      handler: sync,
    },
    WAIT: {
      arity: 3,
      flags: Flag.BLOCKING,
      keys: NO_KEYS,
      since: '3.0.0',
      group: 'generic',
      categories: ['connection'],
      tips: ['request_policy:all_shards', 'response_policy:agg_min'],
      summary: 'Waits until so many replicas have acknowledged the writes of this connection.',
      handler: wait,
    },
    WAITAOF: {
      arity: 4,
      flags: Flag.BLOCKING,
      keys: NO_KEYS,
      since: '7.2.0',
      group: 'generic',
      categories: ['connection'],
      tips: ['request_policy:all_shards', 'response_policy:agg_min'],
      summary: 'Waits until so many replicas have the writes of this connection on disk.',
      handler: waitaof,
    },
    ROLE: {
      arity: 1,
      flags: Flag.NOSCRIPT | Flag.LOADING | Flag.STALE | Flag.FAST,
      keys: NO_KEYS,
      since: '2.8.12',
      group: 'server',
      categories: ['admin', 'dangerous'],
      summary: 'Answers the place in replication, and the replicas with their offsets.',
      handler: role,
    },
  };
}
