/** COMMAND: the commands and their arguments, read from the tables. */

import { globMatch } from '../../../base/glob.ts';
import { SYNTAX_ERROR } from '../../../commands/arguments.ts';
import { aclCategories, replyCommandInfo } from '../../../commands/command-info.ts';
import { replyHelp } from '../../../commands/container.ts';
import type { CommandContext } from '../../../commands/context.ts';
import { replyDocs } from '../../../commands/docs/reply-docs.ts';
import {
  type CommandSpec,
  type CommandTable,
  Flag,
  type Handler,
  NO_KEYS,
} from '../../../commands/spec.ts';
import { Request } from '../../../resp/request.ts';
import type { CommandRow } from '../../dispatch/command-lookup.ts';
import type { Dispatcher } from '../../dispatch/dispatcher.ts';
import { type FoundKey, findKeys } from './command-keys.ts';

const { LOADING, STALE } = Flag;
const GROUP = {
  group: 'server',
  categories: ['connection'],
  keys: NO_KEYS,
  flags: LOADING | STALE,
} as const;
const UNORDERED = ['nondeterministic_output_order'];
/** Words before the command that GETKEYS inspects. */
const WORDS_BEFORE = 2;

const HELP = [
  '(no subcommand)',
  '    Return details about all Redis commands.',
  'COUNT',
  '    Return the total number of commands in this Redis server.',
  'LIST',
  '    Return a list of all commands in this Redis server.',
  'INFO [<command-name> ...]',
  '    Return details about multiple Redis commands.',
  '    If no command names are given, documentation details for all',
  '    commands are returned.',
  'DOCS [<command-name> ...]',
  '    Return documentation details about multiple Redis commands.',
  '    If no command names are given, documentation details for all',
  '    commands are returned.',
  'GETKEYS <full-command>',
  '    Return the keys from a full Redis command.',
  'GETKEYSANDFLAGS <full-command>',
  '    Return the keys and the access flags from a full Redis command.',
];

export function commandCommands(parts: { readonly dispatcher: Dispatcher }): CommandTable {
  /** A row by its name, that of a subcommand as `container|name`. */
  const find = (name: string): CommandRow | undefined => {
    const [command, sub, more] = name.split('|');
    const row = parts.dispatcher.lookup.byName(command!);
    if (sub === undefined || more !== undefined) return more === undefined ? row : undefined;
    return row?.subcommands.get(sub.toLowerCase());
  };
  const all = (): CommandRow[] => [...parts.dispatcher.lookup.rows.values()];
  /**
   * The rows named by the arguments from 2 on, undefined for unknown ones; all rows without
   * arguments.
   */
  const named = ({ request }: CommandContext): (CommandRow | undefined)[] => {
    if (request.argc <= 2) return all();
    return Array.from({ length: request.argc - 2 }, (_, i) => find(request.latin1(i + 2)));
  };

  function info(context: CommandContext): void {
    const { reply } = context;
    const rows = named(context);
    reply.array(rows.length);
    for (const row of rows) {
      if (row === undefined) reply.nil();
      else replyCommandInfo(reply, row.fullName, row.spec);
    }
  }

  function docs(context: CommandContext): void {
    const rows = named(context).filter((row) => row !== undefined);
    context.reply.map(rows.length);
    for (const row of rows) replyDocs(context.reply, row);
  }

  function list({ request, reply }: CommandContext): void {
    let keep: (row: CommandRow) => boolean = () => true;
    if (request.argc === 5 && request.equalsIgnoreCase(2, 'FILTERBY')) {
      const filter = filterOf(request.latin1(3), request.latin1(4));
      if (filter === undefined) {
        reply.error(SYNTAX_ERROR);
        return;
      }
      keep = filter;
    } else if (request.argc !== 2) {
      reply.error(SYNTAX_ERROR);
      return;
    }
    const names = all()
      .flatMap((row) => [row, ...row.subcommands.values()])
      .filter(keep)
      .map((row) => row.fullName);
    reply.array(names.length);
    for (const name of names) reply.bulkLatin1(name);
  }

  /**
   * The keys of the command after the first two words, or undefined after the error has been sent.
   */
  function keysOf(context: CommandContext): FoundKey[] | undefined {
    const { request, reply } = context;
    const asked = tailOf(request, WORDS_BEFORE);
    const container = find(asked.latin1(0));
    const isContainer = asked.argc > 1 && container !== undefined && container.subcommands.size > 0;
    const row = isContainer ? container.subcommands.get(asked.latin1(1).toLowerCase()) : container;
    if (row === undefined) {
      reply.error('ERR Invalid command specified');
      return undefined;
    }
    const { spec } = row;
    // A shard channel is routed like a key, and is none.
    if (spec.keys.every(({ access }) => access === 'not_key')) {
      reply.error('ERR The command has no key arguments');
      return undefined;
    }
    if (spec.arity >= 0 ? asked.argc !== spec.arity : asked.argc < -spec.arity) {
      reply.error('ERR Invalid number of arguments specified for command');
      return undefined;
    }
    context.request = asked;
    const found = findKeys(context, spec);
    context.request = request;
    if (found === undefined) reply.error('ERR Invalid arguments specified for command');
    return found?.map(({ index, spec: key }) => ({ index: index + WORDS_BEFORE, spec: key }));
  }

  function getKeys(context: CommandContext): void {
    const { request, reply } = context;
    const keys = keysOf(context);
    if (keys === undefined) return;
    reply.array(keys.length);
    for (const { index } of keys)
      reply.bulk(request.bytes, request.position[index]!, request.length[index]!);
  }

  function getKeysAndFlags(context: CommandContext): void {
    const { request, reply } = context;
    const keys = keysOf(context);
    if (keys === undefined) return;
    reply.array(keys.length);
    for (const { index, spec } of keys) {
      reply.array(2);
      reply.bulk(request.bytes, request.position[index]!, request.length[index]!);
      reply.set(spec.flags.length + 1);
      reply.simple(spec.access);
      for (const flag of spec.flags) reply.simple(flag);
    }
  }

  const row = (arity: number, since: string, summary: string, handler: Handler): CommandSpec => ({
    ...GROUP,
    arity,
    since,
    summary,
    handler,
  });

  return {
    COMMAND: {
      ...row(-1, '2.8.13', 'Tells about commands.', info),
      tips: UNORDERED,
      subcommands: {
        COUNT: row(2, '2.8.13', 'Counts the commands.', ({ reply }) => reply.integer(all().length)),
        DOCS: { ...row(-2, '7.0.0', 'Tells what commands are for.', docs), tips: UNORDERED },
        GETKEYS: row(-4, '2.8.13', 'Tells which words of a command are keys.', getKeys),
        GETKEYSANDFLAGS: row(-4, '7.0.0', 'Tells that, and what is done to them.', getKeysAndFlags),
        INFO: { ...row(-2, '2.8.13', 'Tells about commands.', info), tips: UNORDERED },
        LIST: { ...row(-2, '7.0.0', 'Lists the names of commands.', list), tips: UNORDERED },
        HELP: row(2, '5.0.0', 'Tells about the subcommands.', (context) =>
          replyHelp(context, 'COMMAND', HELP),
        ),
      },
    },
  };
}

/** The filter of FILTERBY, or undefined when it is unknown. */
function filterOf(kind: string, value: string): ((row: CommandRow) => boolean) | undefined {
  switch (kind.toLowerCase()) {
    case 'module':
      return () => false;
    case 'aclcat':
      return (row) => aclCategories(row.spec).includes(value.toLowerCase());
    case 'pattern': {
      const pattern = Buffer.from(value, 'latin1');
      return ({ fullName }) => {
        const name = Buffer.from(fullName, 'latin1');
        return globMatch(pattern, 0, pattern.length, name, 0, name.length, true);
      };
    }
    default:
      return undefined;
  }
}

/** The request without its first words, over the same bytes. */
function tailOf(request: Request, words: number): Request {
  const tail = new Request();
  tail.bytes = request.bytes;
  for (let i = words; i < request.argc; i++) tail.add(request.position[i]!, request.length[i]!);
  return tail;
}
