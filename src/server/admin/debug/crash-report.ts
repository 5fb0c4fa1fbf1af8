/**
 * The log's report of a process that ended after a broken assertion or an unexpected error: the
 * place, the command that ran with its secrets hidden, its client, and INFO.
 *
 * Each part is made separately, since the state that a part describes may be the broken one.
 */
import { messageOf } from '../../../base/errors.ts';
import { quoted } from '../../../base/quoted.ts';
import type { Request } from '../../../resp/request.ts';
import type { CommandRow } from '../../dispatch/command-lookup.ts';
import type { Session } from '../../dispatch/session.ts';
import { isSecret, REDACTED } from '../observe/secrets.ts';

const ARGUMENTS_MAX = 32;
const ARGUMENT_CHARS_MAX = 128;

/** The call that failed. */
export interface BrokenCall {
  readonly error: unknown;
  readonly client: string;
  /** Words of the command, without line ends. */
  readonly words: readonly string[];
}

/** Keeps a call's data for the report: the request is stale when the report is written. */
export function noteBrokenCall(
  error: unknown,
  session: Session,
  row: CommandRow,
  request: Request,
): BrokenCall {
  const shown = Math.min(request.argc, ARGUMENTS_MAX);
  const words = Array.from({ length: shown }, (_, i) =>
    isSecret(row, request, i) ? REDACTED : quoted(request.latin1Start(i, ARGUMENT_CHARS_MAX)),
  );
  if (shown < request.argc) words.push(`... (${request.argc - shown} more arguments)`);
  return { error, client: session.describe(), words };
}

/**
 * The report's text. `call` is the failed call, when the error came from one; `info` makes the text
 * of INFO.
 */
export function crashReport(
  error: unknown,
  call: BrokenCall | undefined,
  info: () => string,
): string {
  const lines = [
    '=== HEADWATER BUG REPORT START: Cut & paste starting from here ===',
    `Node.js ${process.version}, process ${process.pid}`,
    '------ STACK TRACE ------',
    error instanceof Error ? (error.stack ?? error.message) : String(error),
  ];
  if (call !== undefined && call.error === error) {
    lines.push('------ CURRENT CLIENT INFO ------', call.client);
    call.words.forEach((word, i) => {
      lines.push(`argv[${i}] = ${word}`);
    });
  }
  lines.push('------ INFO OUTPUT ------', made(info));
  lines.push('=== HEADWATER BUG REPORT END ===');
  return lines.join('\n');
}

/** The text that `part` makes, or the reason of its failure: its data may be broken. */
function made(part: () => string): string {
  try {
    return part().replaceAll('\r\n', '\n');
  } catch (error) {
    return `not available: ${messageOf(error)}`;
  }
}
