/** Common code of containers of subcommands, such as CLIENT, CONFIG and DEBUG. */
import { assert } from '../base/assert.ts';
import type { CommandContext } from './context.ts';

/** The handler of a container's row. It is never called, since the dispatcher calls subcommands. */
export function container(): void {
  assert(false, 'a container of subcommands is not called itself');
}

/** Answers HELP of a container: `lines` between the common first and last lines. */
export function replyHelp(context: CommandContext, name: string, lines: readonly string[]): void {
  const { reply } = context;
  reply.array(lines.length + 3);
  reply.simple(`${name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`);
  for (const line of lines) reply.simple(line);
  reply.simple('HELP');
  reply.simple('    Prints this help.');
}
