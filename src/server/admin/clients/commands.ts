/**
 * CLIENT lists the connected clients, names them, and silences, holds or ends them.
 */

import { SYNTAX_ERROR } from '../../../commands/arguments.ts';
import { container, replyHelp } from '../../../commands/container.ts';
import type { CommandContext } from '../../../commands/context.ts';
import {
  type CommandSpec,
  type CommandTable,
  Flag,
  type Handler,
  NO_KEYS,
} from '../../../commands/spec.ts';
import { DEFAULT_USER } from '../../config/default-user.ts';
import type { Dispatcher } from '../../dispatch/dispatcher.ts';
import type { Upstream } from '../../link/upstream.ts';
import { Connection } from '../../net/connection.ts';
import { connectionOf } from '../../net/connection-of.ts';
import type { Server } from '../../server.ts';
import { classOf, clientClassOf, clientLine, type Listed, primaryLine } from './list.ts';
import { isValidName, NAME_ERROR } from './names.ts';
import type { Pause } from './pause.ts';

const { ADMIN, NOSCRIPT, LOADING, STALE } = Flag;
const GROUP = { group: 'connection', categories: ['connection'], keys: NO_KEYS } as const;
const NONDETERMINISTIC = ['nondeterministic_output'];
const BAD_ID = 'ERR client-id should be greater than 0';
const PAUSE_PURPOSE = 'client';
/** The maximum of a date. */
const PAUSE_MS_MAX = 2 ** 52;

const HELP = [
  'CACHING (YES|NO)',
  '    Enable/disable tracking of the keys for next command in OPTIN/OPTOUT modes.',
  'GETREDIR',
  '    Return the client ID we are redirecting to when tracking is enabled.',
  'GETNAME',
  '    Return the name of the current connection.',
  'ID',
  '    Return the ID of the current connection.',
  'INFO',
  '    Return information about the current client connection.',
  'KILL <ip:port>',
  '    Kill connection made from <ip:port>.',
  'KILL <option> <value> [<option> <value> [...]]',
  '    Kill connections. Options are:',
  '    * ADDR (<ip:port>|<unixsocket>:0)',
  '      Kill connections made from the specified address',
  '    * LADDR (<ip:port>|<unixsocket>:0)',
  '      Kill connections made to specified local address',
  '    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)',
  '      Kill connections by type.',
  '    * USER <username>',
  '      Kill connections authenticated by <username>.',
  '    * SKIPME (YES|NO)',
  '      Skip killing current connection (default: yes).',
  'LIST [options ...]',
  '    Return information about client connections. Options:',
  '    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)',
  '      Return clients of specified type.',
  'UNPAUSE',
  '    Stop the current client pause, resuming traffic.',
  'PAUSE <timeout> [WRITE|ALL]',
  '    Suspend all, or just write, clients for <timeout> milliseconds.',
  'REPLY (ON|OFF|SKIP)',
  '    Control the replies sent to the current connection.',
  'SETNAME <name>',
  '    Assign the name <name> to the current connection.',
  'SETINFO <option> <value>',
  '    Set client meta attr. Options are:',
  '    * LIB-NAME: the client lib name.',
  '    * LIB-VER: the client lib version.',
  'UNBLOCK <clientid> [TIMEOUT|ERROR]',
  '    Unblock the specified blocked client.',
  'TRACKINGINFO',
  '    Report tracking status for the current connection.',
  'NO-EVICT (ON|OFF)',
  '    Protect current client connection from eviction.',
  'NO-TOUCH (ON|OFF)',
  '    Will not touch LRU/LFU stats when this mode is on.',
];

/** The condition of CLIENT KILL and its filters on a client. */
type Filter = (client: Listed) => boolean;

export function clientCommands(parts: {
  readonly server: Server;
  readonly dispatcher: Dispatcher;
  readonly pause: Pause;
  readonly upstream: Upstream;
  /** Ends a client's wait, with an error or as a timeout; false when the client does not wait. */
  readonly unblock: (connection: Connection, error?: string) => boolean;
}): CommandTable {
  const { server, pause, upstream } = parts;

  /** The line of `client`; `self` is the asking client, whose command runs. */
  const line = (client: Listed, self: Connection): string => {
    if (!(client instanceof Connection))
      return `${primaryLine(client, upstream.silentMs, server.nowMs)}\n`;
    const requestBytes = client === self ? parts.dispatcher.requestBytes : 0;
    return `${clientLine(client, server.pubsub, server.nowMs, requestBytes)}\n`;
  };

  /** All connections, and the primary, by their ids. */
  function everyone(): Listed[] {
    const clients: Listed[] = [...server.clients.values()];
    const primary = upstream.client;
    if (primary === undefined) return clients;
    const after = clients.findIndex(({ id }) => id > primary.id);
    clients.splice(after < 0 ? clients.length : after, 0, primary);
    return clients;
  }

  /** The client with this id, if there is one. */
  const withId = (id: number): Listed | undefined =>
    upstream.client?.id === id ? upstream.client : server.clients.get(id);

  /**
   * Ends a client. The caller's own connection ends after its reply, also at the end of its
   * transaction. The connection to the primary is made again.
   */
  function end(victim: Listed, self: Connection): void {
    if (victim === self) self.closeAfterReply = true;
    else if (victim instanceof Connection) victim.destroy();
    else upstream.cut();
  }

  function list(context: CommandContext): void {
    const { request, reply } = context;
    let clients = everyone();
    if (request.argc === 4 && request.equalsIgnoreCase(2, 'TYPE')) {
      const wanted = clientClassOf(request.latin1(3));
      if (wanted === undefined) {
        reply.error(`ERR Unknown client type '${request.latin1(3)}'`);
        return;
      }
      clients = clients.filter((client) => classOf(client) === wanted);
    } else if (request.argc > 3 && request.equalsIgnoreCase(2, 'ID')) {
      clients = [];
      for (let i = 3; i < request.argc; i++) {
        const id = request.integer(i);
        if (Number.isNaN(id)) {
          reply.error('ERR Invalid client ID');
          return;
        }
        const client = withId(id);
        if (client !== undefined) clients.push(client);
      }
    } else if (request.argc !== 2) {
      reply.error(SYNTAX_ERROR);
      return;
    }
    const self = connectionOf(context);
    reply.verbatim('txt', clients.map((client) => line(client, self)).join(''));
  }

  function kill(context: CommandContext): void {
    const { request, reply } = context;
    const self = connectionOf(context);
    if (request.argc === 3) {
      const address = request.latin1(2);
      const victims = everyone().filter((client) => client.address === address);
      if (victims.length === 0) reply.error('ERR No such client');
      else {
        for (const victim of victims) end(victim, self);
        reply.ok();
      }
      return;
    }
    const filters: Filter[] = [];
    let skipMe = true;
    for (let i = 2; i < request.argc; i += 2) {
      const value = i + 1 < request.argc ? request.latin1(i + 1) : '';
      if (i + 1 >= request.argc) {
        reply.error(SYNTAX_ERROR);
        return;
      }
      if (request.equalsIgnoreCase(i, 'SKIPME')) {
        const answer = value.toLowerCase();
        if (answer !== 'yes' && answer !== 'no') {
          reply.error(SYNTAX_ERROR);
          return;
        }
        skipMe = answer === 'yes';
        continue;
      }
      const filter = killFilter(request.latin1(i), value, request.integer(i + 1));
      if (typeof filter === 'string') {
        reply.error(filter);
        return;
      }
      filters.push(filter);
    }
    let killed = 0;
    for (const client of everyone()) {
      if ((skipMe && client === self) || !filters.every((matches) => matches(client))) continue;
      end(client, self);
      killed++;
    }
    reply.integer(killed);
  }

  function pauseClients({ request, reply }: CommandContext): void {
    const scope = request.argc === 4 ? request.latin1(3).toLowerCase() : 'all';
    if (request.argc > 4) {
      reply.error(SYNTAX_ERROR);
      return;
    }
    if (scope !== 'all' && scope !== 'write') {
      reply.error('ERR CLIENT PAUSE mode must be WRITE or ALL');
      return;
    }
    const ms = request.integer(2);
    if (Number.isNaN(ms)) reply.error('ERR timeout is not an integer or out of range');
    else if (ms < 0) reply.error('ERR timeout is negative');
    else {
      pause.begin(PAUSE_PURPOSE, scope, server.clock.turnMs() + Math.min(ms, PAUSE_MS_MAX));
      reply.ok();
    }
  }

  function unblock({ request, reply }: CommandContext): void {
    const reason = request.argc === 4 ? request.latin1(3).toLowerCase() : 'timeout';
    if (request.argc > 4 || (reason !== 'timeout' && reason !== 'error')) {
      reply.error('ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR');
      return;
    }
    const id = request.integer(2);
    if (Number.isNaN(id)) {
      reply.error('ERR value is not an integer or out of range');
      return;
    }
    const connection = server.clients.get(id);
    const error = 'UNBLOCKED client unblocked via CLIENT UNBLOCK';
    const ended =
      connection !== undefined && parts.unblock(connection, reason === 'error' ? error : undefined);
    reply.integer(ended ? 1 : 0);
  }

  function reply(context: CommandContext): void {
    const connection = connectionOf(context);
    switch (context.request.latin1(2).toLowerCase()) {
      case 'on':
        connection.unmute();
        context.reply.ok();
        return;
      case 'off':
        connection.mute();
        return;
      case 'skip':
        connection.skipNextReply();
        return;
      default:
        context.reply.error(SYNTAX_ERROR);
    }
  }

  function setName(context: CommandContext): void {
    const name = context.request.latin1(2);
    if (!isValidName(name)) {
      context.reply.error(NAME_ERROR);
      return;
    }
    context.client.setName(name);
    context.reply.ok();
  }

  function setInfo({ request, reply, client }: CommandContext): void {
    const option = request.latin1(2).toLowerCase();
    const value = request.latin1(3);
    if (option !== 'lib-name' && option !== 'lib-ver') {
      reply.error(`ERR Unrecognized option '${request.latin1(2)}'`);
    } else if (!isValidName(value)) {
      reply.error(`ERR ${option} cannot contain spaces, newlines or special characters.`);
    } else {
      client.setLibrary(option, value);
      reply.ok();
    }
  }

  function tracking({ request, reply }: CommandContext): void {
    if (request.argc === 3 && request.equalsIgnoreCase(2, 'OFF')) reply.ok();
    else if (!request.equalsIgnoreCase(2, 'ON')) reply.error(SYNTAX_ERROR);
    else
      reply.error(
        'ERR CLIENT TRACKING is not supported: this server does not keep track of what clients cache',
      );
  }

  function trackingInfo({ reply }: CommandContext): void {
    reply.map(3);
    reply.bulkLatin1('flags');
    reply.set(1);
    reply.bulkLatin1('off');
    reply.bulkLatin1('redirect');
    reply.integer(-1);
    reply.bulkLatin1('prefixes');
    reply.emptyArray();
  }

  /** ON or OFF in argument 2, for `set`. */
  const onOff =
    (set: (connection: Connection, on: boolean) => void): Handler =>
    (context) => {
      const { request, reply: answer } = context;
      const on = request.equalsIgnoreCase(2, 'ON');
      if (!on && !request.equalsIgnoreCase(2, 'OFF')) {
        answer.error(SYNTAX_ERROR);
        return;
      }
      set(connectionOf(context), on);
      answer.ok();
    };

  const own = (arity: number, since: string, summary: string, handler: Handler): CommandSpec => ({
    ...GROUP,
    arity,
    since,
    summary,
    handler,
    flags: NOSCRIPT | LOADING | STALE,
  });
  const admin = (arity: number, since: string, summary: string, handler: Handler): CommandSpec => ({
    ...own(arity, since, summary, handler),
    flags: ADMIN | NOSCRIPT | LOADING | STALE,
  });

  return {
    CLIENT: {
      ...GROUP,
      categories: [],
      arity: -2,
      flags: 0,
      since: '2.4.0',
      summary: 'Tells about connections and changes them.',
      handler: container,
      subcommands: {
        CACHING: own(
          3,
          '6.0.0',
          'Says whether the keys of the next command are to be tracked.',
          ({ reply: answer }) =>
            answer.error(
              'ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled',
            ),
        ),
        GETNAME: own(
          2,
          '2.6.9',
          'Answers the name of the connection.',
          ({ client, reply: answer }) => {
            if (client.name === '') answer.nil();
            else answer.bulkLatin1(client.name);
          },
        ),
        GETREDIR: own(
          2,
          '6.0.0',
          'Answers which client gets the invalidations: none.',
          ({ reply: answer }) => answer.integer(-1),
        ),
        HELP: {
          ...GROUP,
          arity: 2,
          flags: LOADING | STALE,
          since: '5.0.0',
          summary: 'Tells about the subcommands.',
          handler: (context) => replyHelp(context, 'CLIENT', HELP),
        },
        ID: own(2, '5.0.0', 'Answers the number of the connection.', ({ client, reply: answer }) =>
          answer.integer(client.id),
        ),
        INFO: {
          ...own(2, '6.2.0', 'Tells about the connection.', (context) =>
            context.reply.verbatim('txt', line(connectionOf(context), connectionOf(context))),
          ),
          tips: NONDETERMINISTIC,
        },
        KILL: admin(-3, '2.4.0', 'Ends connections.', kill),
        LIST: { ...admin(-2, '2.4.0', 'Lists connections.', list), tips: NONDETERMINISTIC },
        'NO-EVICT': admin(
          3,
          '7.0.0',
          'Keeps the connection when memory of clients runs out.',
          onOff((connection, on) => {
            connection.noEvict = on;
            if (server.clientMemory.isOn) server.clientMemory.note(connection);
          }),
        ),
        'NO-TOUCH': own(
          3,
          '7.2.0',
          'Leaves the access clocks of keys alone.',
          onOff((connection, on) => {
            connection.noTouch = on;
          }),
        ),
        PAUSE: admin(-3, '2.9.50', 'Lets commands of clients wait for a while.', pauseClients),
        REPLY: own(3, '3.2.0', 'Says whether replies are sent.', reply),
        SETINFO: own(4, '7.2.0', 'Tells the name or version of the client library.', setInfo),
        SETNAME: own(3, '2.6.9', 'Names the connection.', setName),
        TRACKING: own(-3, '6.0.0', 'Client side caching, which is not supported.', tracking),
        TRACKINGINFO: own(2, '6.2.0', 'Tells that client side caching is off.', trackingInfo),
        UNBLOCK: admin(-3, '5.0.0', 'Ends the wait of a client that waits for a key.', unblock),
        UNPAUSE: admin(2, '6.2.0', 'Ends CLIENT PAUSE.', ({ reply: answer }) => {
          pause.end(PAUSE_PURPOSE);
          answer.ok();
        }),
      },
    },
  };
}

/** The filter of an option of CLIENT KILL, or the error. */
function killFilter(option: string, value: string, number: number): Filter | string {
  switch (option.toLowerCase()) {
    case 'id':
      return number > 0 ? (client) => client.id === number : BAD_ID;
    case 'type': {
      const wanted = clientClassOf(value);
      if (wanted === undefined) return `ERR Unknown client type '${value}'`;
      return (client) => classOf(client) === wanted;
    }
    case 'addr':
      return (client) => client.address === value;
    case 'laddr':
      return (client) => client.localAddressText === value;
    case 'user':
      return value === DEFAULT_USER
        ? (client) => !client.fromPrimary
        : `ERR No such user '${value}'`;
    default:
      return SYNTAX_ERROR;
  }
}
