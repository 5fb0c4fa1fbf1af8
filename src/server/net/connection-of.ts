/** The connection of a call, for commands about connections. */
import { ErrorCode, OperatingError } from '../../base/errors.ts';
import type { CommandContext } from '../../commands/context.ts';
import { Connection } from './connection.ts';

/**
 * The connection whose command runs. Throws UNSUPPORTED, which becomes the reply, when the command
 * came in the stream of a primary. A real primary sends no command about connections.
 */
export function connectionOf({ client }: CommandContext): Connection {
  if (client instanceof Connection) return client;
  throw new OperatingError(
    ErrorCode.UNSUPPORTED,
    'a command about connections came from a primary',
  );
}

/** Whether a client is on this machine, and so has the rights of local clients. */
export function isLocal({ remoteAddress }: Connection): boolean {
  return (
    remoteAddress === '' ||
    remoteAddress.startsWith('127.') ||
    /^(::1|::ffff:127\..*)$/.test(remoteAddress)
  );
}
