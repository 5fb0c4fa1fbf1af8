/**
 * MULTI, EXEC, DISCARD, WATCH, UNWATCH. The dispatcher queues commands between MULTI and EXEC. The
 * commands that EXEC runs are one unit of the stream, within MULTI and EXEC if the unit has more
 * than one operation.
 */

import { NIL } from '../../base/units.ts';
import type { CommandContext } from '../../commands/context.ts';
import { type CommandTable, Flag, keysFrom, NO_KEYS } from '../../commands/spec.ts';
import type { Server } from '../server.ts';
import type { Dispatcher } from './dispatcher.ts';
import { sessionOf } from './session.ts';

const { NOSCRIPT, LOADING, STALE, FAST, ALLOW_BUSY, SKIP_SLOWLOG, NOT_QUEUED, RUNS_QUEUE } = Flag;
const TRANSACTION = { group: 'transactions', categories: ['transaction'], keys: NO_KEYS } as const;
const AT_ONCE = NOSCRIPT | LOADING | STALE | FAST | ALLOW_BUSY | NOT_QUEUED;

export function transactionCommands(parts: {
  readonly server: Server;
  readonly dispatcher: Dispatcher;
}): CommandTable {
  const { watchTable } = parts.server;

  function multi({ client, reply }: CommandContext): void {
    if (client.queued !== undefined) {
      reply.error('ERR MULTI calls can not be nested');
      return;
    }
    client.beginTransaction();
    reply.ok();
  }

  function exec(context: CommandContext): void {
    const { reply } = context;
    const session = sessionOf(context);
    const { queued, transactionBroken } = session;
    if (queued === undefined) {
      reply.error('ERR EXEC without MULTI');
      return;
    }
    const watchBroken = session.watchBroken || watchTable.anyExpired(session, context);
    session.endTransaction();
    watchTable.unwatchAll(session);
    if (transactionBroken) {
      reply.error('EXECABORT Transaction discarded because of previous errors.');
    } else if (watchBroken) {
      reply.nilArray();
    } else {
      reply.array(queued.length);
      parts.dispatcher.runQueued(session, queued);
    }
  }

  function discard({ client, reply }: CommandContext): void {
    if (client.queued === undefined) {
      reply.error('ERR DISCARD without MULTI');
      return;
    }
    client.endTransaction();
    watchTable.unwatchAll(client);
    reply.ok();
  }

  function watch(context: CommandContext): void {
    const { request, reply, client } = context;
    if (client.queued !== undefined) {
      reply.error('ERR WATCH inside MULTI is not allowed');
      return;
    }
    for (let i = 1; i < request.argc && !client.watchBroken; i++) {
      const key = request.copy(i);
      const entry = context.db.find(key, 0, key.length);
      watchTable.watch(
        client,
        client.dbIndex,
        key,
        entry !== NIL && context.isExpired(context.db, entry),
      );
    }
    reply.ok();
  }

  function unwatch({ client, reply }: CommandContext): void {
    watchTable.unwatchAll(client);
    reply.ok();
  }

  return {
    MULTI: {
      ...TRANSACTION,
      arity: 1,
      flags: AT_ONCE,
      since: '1.2.0',
      summary: 'Begins a transaction: commands are queued from here on.',
      handler: multi,
    },
    EXEC: {
      ...TRANSACTION,
      arity: 1,
      flags: NOSCRIPT | LOADING | STALE | SKIP_SLOWLOG | NOT_QUEUED | RUNS_QUEUE,
      since: '1.2.0',
      summary: 'Runs the commands of the transaction.',
      handler: exec,
    },
    DISCARD: {
      ...TRANSACTION,
      arity: 1,
      flags: AT_ONCE,
      since: '2.0.0',
      summary: 'Drops the commands of the transaction.',
      handler: discard,
    },
    WATCH: {
      ...TRANSACTION,
      arity: -2,
      flags: AT_ONCE,
      keys: [keysFrom(1, -1, 1, 'RO')],
      since: '2.2.0',
      summary: 'Lets the next EXEC run nothing if one of the keys changes before it.',
      handler: watch,
    },
    UNWATCH: {
      ...TRANSACTION,
      arity: 1,
      flags: AT_ONCE & ~NOT_QUEUED,
      since: '2.2.0',
      summary: 'Forgets the keys that are watched.',
      handler: unwatch,
    },
  };
}
