/** Hot path. Commands that read the entries of a stream: XLEN, XRANGE, XREVRANGE. Main thread. */
import { Aggregate } from '../../resp/reply.ts';
import { StreamId } from '../../structs/stream-id.ts';
import { integerArgument, SYNTAX_ERROR } from '../arguments.ts';
import type { CommandContext } from '../context.ts';
import { intervalArgument, readStream, replyEntry } from './value.ts';

// State of the current command. It is not used beyond one call.
const from = new StreamId();
const to = new StreamId();

export function xlen(context: CommandContext): void {
  const entries = readStream(context, 1, replyZero);
  if (entries !== undefined) context.reply.integer(entries.length);
}

export function xrange(context: CommandContext): void {
  range(context, false);
}

export function xrevrange(context: CommandContext): void {
  range(context, true);
}

function range(context: CommandContext, backwards: boolean): void {
  const { request, reply } = context;
  if (!intervalArgument(context, backwards ? 3 : 2, from, true)) return;
  if (!intervalArgument(context, backwards ? 2 : 3, to, false)) return;
  let count = -1;
  for (let at = 4; at < request.argc; at += 2) {
    if (at + 1 === request.argc || !request.equalsIgnoreCase(at, 'COUNT')) {
      reply.error(SYNTAX_ERROR);
      return;
    }
    count = integerArgument(context, at + 1);
    if (Number.isNaN(count)) return;
    if (count < 0) count = 0;
  }
  const entries = readStream(context, 1, replyEmpty);
  if (entries === undefined) return;
  if (count === 0) {
    reply.nilArray();
    return;
  }
  const cursor = entries.seek(from, to, backwards);
  const array = reply.deferArray();
  let shown = 0;
  while (shown !== count && cursor.next()) {
    replyEntry(reply, cursor);
    shown++;
  }
  reply.setDeferred(array, shown, Aggregate.ARRAY);
}

const replyZero = (context: CommandContext): void => context.reply.integer(0);
const replyEmpty = (context: CommandContext): void => context.reply.emptyArray();
