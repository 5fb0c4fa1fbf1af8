/** REPLICAOF and SLAVEOF set the primary of this node. */
import type { CommandContext } from '../../commands/context.ts';
import { type CommandTable, Flag, NO_KEYS } from '../../commands/spec.ts';
import { upToZero } from '../config/grammar.ts';
import { sessionOf } from '../dispatch/session.ts';
import type { Server } from '../server.ts';
import { becomePrimary, becomeReplica } from './roles.ts';
import type { Upstream } from './upstream.ts';

const PORT_MAX = 65535;

export function linkCommands(server: Server, upstream: Upstream): CommandTable {
  function replicaof(context: CommandContext): void {
    const { request, reply } = context;
    const { log } = server;
    if (server.failover.isActive) {
      reply.error('ERR REPLICAOF not allowed while failing over.');
      return;
    }
    const asked = `'${sessionOf(context).describe()}'`;
    if (request.equalsIgnoreCase(1, 'NO') && request.equalsIgnoreCase(2, 'ONE')) {
      if (upstream.isReplica) {
        becomePrimary(server, upstream);
        log.notice(`MASTER MODE enabled (user request from ${asked})`);
      }
      reply.ok();
      return;
    }
    const host = upToZero(request.latin1(1));
    const port = request.integer(2);
    if (!(port >= 0 && port <= PORT_MAX)) {
      reply.error('ERR Invalid master port');
      return;
    }
    if (
      upstream.isReplica &&
      upstream.host.toLowerCase() === host.toLowerCase() &&
      upstream.port === port
    ) {
      log.notice(
        'REPLICAOF would result into synchronization with the master we are already connected with. No operation performed.',
      );
      reply.simple('OK Already connected to specified master');
      return;
    }
    const refusal = becomeReplica(server, upstream, host, port);
    if (refusal !== null) {
      reply.error(`ERR ${refusal}`);
      return;
    }
    log.notice(`REPLICAOF ${host}:${port} enabled (user request from ${asked})`);
    reply.ok();
  }

  const spec = {
    arity: 3,
    flags: Flag.ADMIN | Flag.NOSCRIPT | Flag.STALE | Flag.NO_ASYNC_LOADING,
    keys: NO_KEYS,
    group: 'server',
    categories: ['admin', 'dangerous'],
    handler: replicaof,
  } as const;
  return {
    REPLICAOF: {
      ...spec,
      since: '5.0.0',
      summary: 'Lets this node follow a primary, or makes it one: NO ONE.',
    },
    SLAVEOF: { ...spec, since: '1.0.0', summary: 'The older name of REPLICAOF.' },
  };
}
