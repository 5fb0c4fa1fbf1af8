/** The connection of a call, for commands about connections. */
import { assert } from '../../base/assert.ts';
import type { CommandContext } from '../../commands/context.ts';
import { Connection } from './connection.ts';

/** The connection whose command runs. */
export function connectionOf({ client }: CommandContext): Connection {
  assert(client instanceof Connection, 'a command of the server is run for a connection');
  return client;
}

/** Whether a client is on this machine, and so has the rights of local clients. */
export function isLocal({ remoteAddress }: Connection): boolean {
  return (
    remoteAddress === '' ||
    remoteAddress.startsWith('127.') ||
    /^(::1|::ffff:127\..*)$/.test(remoteAddress)
  );
}
