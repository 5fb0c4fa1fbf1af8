/** Commands about the connection itself. They need no other part of the server. */
import { databaseArgument } from './arguments.ts';
import type { CommandContext } from './context.ts';
import type { CommandTable } from './spec.ts';
import { Flag, NO_KEYS } from './spec.ts';

function ping(context: CommandContext): void {
  const { request, reply, client } = context;
  if (request.argc > 2) {
    reply.error("ERR wrong number of arguments for 'ping' command");
    return;
  }
  if (client.subscribed && client.protocol === 2) {
    reply.array(2);
    reply.bulkLatin1('pong');
    if (request.argc === 2) reply.bulk(request.bytes, request.position[1]!, request.length[1]!);
    else reply.bulkLatin1('');
    return;
  }
  if (request.argc === 2) reply.bulk(request.bytes, request.position[1]!, request.length[1]!);
  else reply.pong();
}

function echo(context: CommandContext): void {
  const { request, reply } = context;
  reply.bulk(request.bytes, request.position[1]!, request.length[1]!);
}

function select(context: CommandContext): void {
  const index = databaseArgument(context, 1);
  if (Number.isNaN(index)) return;
  context.selectDatabase(index);
  context.reply.ok();
}

function quit(context: CommandContext): void {
  context.reply.ok();
  context.client.closeAfterReply = true;
}

export const connectionCommands = {
  PING: {
    arity: -1,
    flags: Flag.FAST,
    keys: NO_KEYS,
    since: '1.0.0',
    group: 'connection',
    categories: ['connection'],
    tips: ['request_policy:all_shards', 'response_policy:all_succeeded'],
    summary: 'Answers PONG, or the message given.',
    handler: ping,
  },
  ECHO: {
    arity: 2,
    flags: Flag.LOADING | Flag.STALE | Flag.FAST,
    keys: NO_KEYS,
    since: '1.0.0',
    group: 'connection',
    categories: ['connection'],
    summary: 'Answers the message given.',
    handler: echo,
  },
  SELECT: {
    arity: 2,
    flags: Flag.LOADING | Flag.STALE | Flag.FAST,
    keys: NO_KEYS,
    since: '1.0.0',
    group: 'connection',
    categories: ['connection'],
    summary: 'Changes the database of the connection.',
    handler: select,
  },
  QUIT: {
    arity: -1,
    flags:
      Flag.ALLOW_BUSY |
      Flag.FAST |
      Flag.LOADING |
      Flag.NOSCRIPT |
      Flag.NO_AUTH |
      Flag.STALE |
      Flag.NOT_QUEUED,
    keys: NO_KEYS,
    since: '1.0.0',
    group: 'connection',
    categories: ['connection'],
    summary: 'Closes the connection after the replies so far.',
    handler: quit,
  },
} as const satisfies CommandTable;
