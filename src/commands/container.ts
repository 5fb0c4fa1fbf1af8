/** What containers of subcommands share: CLIENT, CONFIG, DEBUG and their like. */
import { assert } from '../base/assert.ts';
import type { CommandContext } from './context.ts';

/** The handler of a container's row: its subcommands are called, never the container. */
export function container(): void {
  assert(false, 'a container of subcommands is not called itself');
}

/** Answers HELP of a container: its lines between the usual first and last ones. */
export function replyHelp(context: CommandContext, name: string, lines: readonly string[]): void {
  const { reply } = context;
  reply.array(lines.length + 3);
  reply.simple(`${name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`);
  for (const line of lines) reply.simple(line);
  reply.simple('HELP');
  reply.simple('    Prints this help.');
}
