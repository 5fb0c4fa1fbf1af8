/**
 * HELLO, AUTH and RESET set a client's user and protocol. There is one user, `default`, with the
 * password of requirepass.
 */

import { createHash, timingSafeEqual } from 'node:crypto';
import { REDIS_VERSION } from '../../../base/redis-version.ts';
import { SYNTAX_ERROR } from '../../../commands/arguments.ts';
import { ClientMode } from '../../../commands/client.ts';
import type { CommandContext } from '../../../commands/context.ts';
import { type CommandTable, Flag, NO_KEYS } from '../../../commands/spec.ts';
import { DEFAULT_USER } from '../../config/default-user.ts';
import type { Connection } from '../../net/connection.ts';
import { connectionOf } from '../../net/connection-of.ts';
import type { Server } from '../../server.ts';
import { isValidName, NAME_ERROR } from '../clients/names.ts';
import type { Monitors } from '../observe/monitors.ts';

const { NOSCRIPT, LOADING, STALE, FAST, NO_AUTH, ALLOW_BUSY, NOT_QUEUED } = Flag;
const HANDSHAKE = {
  group: 'connection',
  categories: ['connection'],
  keys: NO_KEYS,
  flags: NOSCRIPT | LOADING | STALE | FAST | NO_AUTH | ALLOW_BUSY,
} as const;

const WRONGPASS = 'WRONGPASS invalid username-password pair or user is disabled.';
const NO_PASSWORD =
  'ERR AUTH <password> called without any password configured for the default user. ' +
  'Are you sure your configuration is correct?';
const HELLO_NOAUTH =
  'NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> ' +
  'option can be used to authenticate the client and select the RESP protocol version at the same time';

export function handshakeCommands({
  server,
  monitors,
}: {
  readonly server: Server;
  readonly monitors: Monitors;
}): CommandTable {
  function auth(context: CommandContext): void {
    const { request, reply } = context;
    if (request.argc > 3) {
      reply.error(SYNTAX_ERROR);
      return;
    }
    if (request.argc === 2 && server.config.values.requirepass === '') {
      reply.error(NO_PASSWORD);
      return;
    }
    const user = request.argc === 2 ? DEFAULT_USER : request.latin1(1);
    if (login(server, connectionOf(context), user, request.copy(request.argc - 1))) reply.ok();
    else reply.error(WRONGPASS);
  }

  function hello(context: CommandContext): void {
    const { request, reply } = context;
    const connection = connectionOf(context);
    let protocol = connection.protocol;
    if (request.argc > 1) {
      const wanted = request.integer(1);
      if (Number.isNaN(wanted)) {
        reply.error('ERR Protocol version is not an integer or out of range');
        return;
      }
      if (wanted !== 2 && wanted !== 3) {
        reply.error('NOPROTO unsupported protocol version');
        return;
      }
      protocol = wanted;
    }
    let credentials = 0;
    let name = 0;
    for (let i = 2; i < request.argc; i++) {
      const left = request.argc - 1 - i;
      if (request.equalsIgnoreCase(i, 'AUTH') && left >= 2) {
        credentials = i + 1;
        i += 2;
      } else if (request.equalsIgnoreCase(i, 'SETNAME') && left >= 1) {
        name = ++i;
        if (!isValidName(request.latin1(name))) {
          reply.error(NAME_ERROR);
          return;
        }
      } else {
        reply.error(`ERR Syntax error in HELLO option '${request.latin1(i)}'`);
        return;
      }
    }
    if (credentials > 0) {
      if (!login(server, connection, request.latin1(credentials), request.copy(credentials + 1))) {
        reply.error(WRONGPASS);
        return;
      }
    } else if (!connection.authenticated) {
      reply.error(HELLO_NOAUTH);
      return;
    }
    if (name > 0) connection.setName(request.latin1(name));
    setProtocol(connection, protocol);
    reply.map(7);
    reply.bulkLatin1('server');
    reply.bulkLatin1('redis');
    reply.bulkLatin1('version');
    reply.bulkLatin1(REDIS_VERSION);
    reply.bulkLatin1('proto');
    reply.integer(protocol);
    reply.bulkLatin1('id');
    reply.integer(connection.id);
    reply.bulkLatin1('mode');
    reply.bulkLatin1('standalone');
    reply.bulkLatin1('role');
    reply.bulkLatin1(server.isReplica ? 'replica' : 'master');
    reply.bulkLatin1('modules');
    reply.emptyArray();
  }

  function reset(context: CommandContext): void {
    const connection = connectionOf(context);
    connection.endTransaction();
    server.watchTable.unwatchAll(connection);
    server.pubsub.removeAll(connection);
    monitors.remove(connection);
    connection.dbIndex = 0;
    connection.setName('');
    connection.resetReplies();
    connection.noEvict = false;
    connection.noTouch = false;
    setProtocol(connection, 2);
    setAuthenticated(connection, server.config.values.requirepass === '');
    context.reply.simple('RESET');
  }

  return {
    HELLO: {
      ...HANDSHAKE,
      arity: -1,
      since: '6.0.0',
      summary: 'Greets the server and chooses the protocol.',
      handler: hello,
    },
    AUTH: {
      ...HANDSHAKE,
      arity: -2,
      since: '1.0.0',
      summary: 'Gives the password.',
      handler: auth,
    },
    RESET: {
      ...HANDSHAKE,
      arity: 1,
      flags: HANDSHAKE.flags | NOT_QUEUED,
      since: '6.2.0',
      summary: 'Brings the connection back to how it began.',
      handler: reset,
    },
  };
}

/**
 * Authenticates a client, or leaves it unchanged and returns false. Takes the same time for every
 * password.
 */
function login(
  server: Server,
  connection: Connection,
  user: string,
  password: Uint8Array,
): boolean {
  const wanted = server.config.bytes('requirepass');
  const isRight = wanted.length === 0 || timingSafeEqual(hashOf(password), hashOf(wanted));
  if (user !== DEFAULT_USER || !isRight) {
    server.stats.aclDeniedAuth++;
    return false;
  }
  setAuthenticated(connection, true);
  return true;
}

const hashOf = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/** An unauthenticated client may send few and short arguments only. */
export function setAuthenticated(connection: Connection, authenticated: boolean): void {
  connection.setMode(ClientMode.UNAUTHENTICATED, !authenticated);
  connection.reader.authRequired = !authenticated;
}

function setProtocol(connection: Connection, protocol: 2 | 3): void {
  connection.protocol = protocol;
  connection.reply.protocol = protocol;
}
