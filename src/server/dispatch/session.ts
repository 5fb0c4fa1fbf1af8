/**
 * A client whose requests the dispatcher runs, without a word about where they come from: a connection has a socket; an
 * upstream that streams to this node, and a script, will have none.
 */
import { assert } from '../../base/assert.ts';
import { Client } from '../../commands/client.ts';
import type { CommandContext } from '../../commands/context.ts';
import type { Reply } from '../../resp/reply.ts';
import type { Request } from '../../resp/request.ts';
import type { CommandRow } from './command-lookup.ts';

/** Which replies a client wants: CLIENT REPLY. SKIP is none to the next command. */
export const ReplyMode = { ON: 0, OFF: 1, SKIP: 2 } as const;
export type ReplyMode = (typeof ReplyMode)[keyof typeof ReplyMode];

export abstract class Session extends Client {
  abstract readonly reply: Reply;
  /** Of the command that runs, or ran last. */
  lastRow: CommandRow | undefined = undefined;
  /** While set, no request of this client runs: it waits for something. */
  blocked = false;
  /** A command that has to wait until clients are no longer paused. */
  postponed: Request | undefined = undefined;
  /** The command that waits for a key. */
  waitingRequest: Request | undefined = undefined;
  /** Which replies are sent: CLIENT REPLY. */
  replyMode: ReplyMode = ReplyMode.ON;

  /** Name of the last command, as CLIENT LIST has it. */
  get lastCommand(): string {
    return this.lastRow?.fullName ?? 'NULL';
  }

  /** Where the client is, as `host:port`. */
  abstract get address(): string;

  /** A short line for the log. */
  abstract describe(): string;

  /** Sends what has been answered so far. */
  abstract flush(): void;

  /** Sends soon what somebody else has appended to the reply: a message, the end of a wait. */
  abstract flushSoon(): void;

  /** Goes on after the client was blocked. */
  abstract resume(): void;

  /** Ends the link of a replica that sent a command which is answered. */
  abstract endLink(command: string): void;

  /** Ends the client at once. What is still to be sent is lost. */
  abstract destroy(): void;
}

/** The session whose command runs. */
export function sessionOf({ client }: CommandContext): Session {
  assert(client instanceof Session, 'a command of the server is run for a session');
  return client;
}
