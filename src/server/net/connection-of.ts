/** The connection behind a call, for commands that are about connections. */
import { ErrorCode, OperatingError } from '../../base/errors.ts';
import type { CommandContext } from '../../commands/context.ts';
import { Connection } from './connection.ts';

/**
 * The connection whose command runs. Throws UNSUPPORTED, which is answered, when the command came
 * in a primary's stream: no primary sends such, but who calls itself one may.
 */
export function connectionOf({ client }: CommandContext): Connection {
  if (client instanceof Connection) return client;
  throw new OperatingError(
    ErrorCode.UNSUPPORTED,
    'a command about connections came from a primary',
  );
}

/** Whether a client is on this machine, and may do what is allowed to such. */
export function isLocal({ remoteAddress }: Connection): boolean {
  return (
    remoteAddress === '' ||
    remoteAddress.startsWith('127.') ||
    /^(::1|::ffff:127\..*)$/.test(remoteAddress)
  );
}
