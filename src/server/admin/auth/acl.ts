/**
 * ACL, as far as a server with one user needs it. The user `default` may do everything once it has
 * given its password.
 */

import { createHash } from 'node:crypto';
import { aclCategories, CATEGORIES } from '../../../commands/command-info.ts';
import { container, replyHelp } from '../../../commands/container.ts';
import type { CommandContext } from '../../../commands/context.ts';
import {
  type CommandSpec,
  type CommandTable,
  Flag,
  type Handler,
  NO_KEYS,
} from '../../../commands/spec.ts';
import { DEFAULT_USER, rulesOf } from '../../config/default-user.ts';
import type { Dispatcher } from '../../dispatch/dispatcher.ts';
import type { Server } from '../../server.ts';

const { ADMIN, NOSCRIPT, LOADING, STALE } = Flag;
const GROUP = { group: 'server', categories: [], keys: NO_KEYS } as const;

const HELP = [
  'CAT [<category>]',
  '    List all commands that belong to <category>, or all command categories',
  '    when no category is specified.',
  'GETUSER <username>',
  "    Get the user's details.",
  'LIST',
  '    Show users details in config file format.',
  'USERS',
  '    List all the registered usernames.',
  'WHOAMI',
  '    Return the current connection username.',
];

export function aclCommands(parts: {
  readonly server: Server;
  readonly dispatcher: Dispatcher;
}): CommandTable {
  const { server } = parts;
  /** SHA-256 of the password, or undefined while there is none. */
  const passwordHash = (): string | undefined => {
    const password = server.config.bytes('requirepass');
    return password.length === 0 ? undefined : createHash('sha256').update(password).digest('hex');
  };

  function cat({ request, reply }: CommandContext): void {
    if (request.argc === 2) {
      reply.array(CATEGORIES.length);
      for (const category of CATEGORIES) reply.bulkLatin1(category);
      return;
    }
    const wanted = request.latin1(2).toLowerCase();
    if (request.argc > 3 || !CATEGORIES.some((category) => category === wanted)) {
      reply.error(`ERR Unknown category '${request.latin1(2)}'`);
      return;
    }
    const names = [...parts.dispatcher.lookup.rows.values()]
      .flatMap((row) => [row, ...row.subcommands.values()])
      .filter((row) => aclCategories(row.spec).includes(wanted))
      .map((row) => row.fullName);
    reply.array(names.length);
    for (const name of names) reply.bulkLatin1(name);
  }

  function getUser({ request, reply }: CommandContext): void {
    if (request.latin1(2) !== DEFAULT_USER) {
      reply.nil();
      return;
    }
    const hash = passwordHash();
    reply.map(6);
    reply.bulkLatin1('flags');
    reply.set(hash === undefined ? 2 : 1);
    reply.bulkLatin1('on');
    if (hash === undefined) reply.bulkLatin1('nopass');
    reply.bulkLatin1('passwords');
    reply.array(hash === undefined ? 0 : 1);
    if (hash !== undefined) reply.bulkLatin1(hash);
    for (const [name, rule] of [
      ['commands', '+@all'],
      ['keys', '~*'],
      ['channels', '&*'],
    ] as const) {
      reply.bulkLatin1(name);
      reply.bulkLatin1(rule);
    }
    reply.bulkLatin1('selectors');
    reply.emptyArray();
  }

  function list({ reply }: CommandContext): void {
    reply.array(1);
    reply.bulkLatin1(`user ${DEFAULT_USER} ${rulesOf(server.config.text('requirepass'))}`);
  }

  const row = (arity: number, flags: number, summary: string, handler: Handler): CommandSpec => ({
    ...GROUP,
    arity,
    flags,
    summary,
    handler,
    since: '6.0.0',
  });
  const OPEN = NOSCRIPT | LOADING | STALE;

  return {
    ACL: {
      ...row(-2, 0, 'Tells about the one user.', container),
      subcommands: {
        CAT: row(-2, OPEN, 'Lists categories of commands, or the commands of one.', cat),
        GETUSER: row(3, ADMIN | OPEN, 'Tells what a user may do.', getUser),
        LIST: row(2, ADMIN | OPEN, 'Lists users with what they may do.', list),
        USERS: row(2, ADMIN | OPEN, 'Lists the names of users.', ({ reply }) => {
          reply.array(1);
          reply.bulkLatin1(DEFAULT_USER);
        }),
        WHOAMI: row(2, OPEN, 'Answers the name of the user.', ({ reply }) =>
          reply.bulkLatin1(DEFAULT_USER),
        ),
        HELP: row(2, LOADING | STALE, 'Tells about the subcommands.', (context) =>
          replyHelp(context, 'ACL', HELP),
        ),
      },
    },
  };
}
