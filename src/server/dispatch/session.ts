/**
 * A client whose requests the dispatcher runs, without a word about where they come from: a
 * connection has a socket; an upstream that streams to this node, and a script, will have none.
 *
 * A client may get messages while a command of its own runs: it publishes to itself. They are kept
 * aside and come behind the reply of the outermost command, never inside of it. A client that wants
 * no replies gets its messages all the same; that it subscribed is told by messages, too.
 *
 *   reply     │ EXEC: array … of replies │ confirmations of a muted client │ messages │
 *   muted     │ (taken back)             │ confirmations                   │ messages │
 */
import { assert } from '../../base/assert.ts';
import { Client, ClientMode } from '../../commands/client.ts';
import type { CommandContext } from '../../commands/context.ts';
import type { Reply } from '../../resp/reply.ts';
import type { Request } from '../../resp/request.ts';
import type { CommandRow } from './command-lookup.ts';

/** Which replies a client wants: CLIENT REPLY. SKIP is none to the next command. */
const ReplyMode = { ON: 0, OFF: 1, SKIP: 2 } as const;
type ReplyMode = (typeof ReplyMode)[keyof typeof ReplyMode];

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
  /** The reply of the command that runs, or of the one that waits, is not wanted. */
  isMuted = false;
  #replyMode: ReplyMode = ReplyMode.ON;
  /** CLIENT REPLY SKIP was just said: the next command is not answered. */
  #skipsNext = false;
  /**
   * A command runs that is not run by the shortest way: only such clients can get messages
   * meanwhile.
   */
  #keepsMessages = false;
  readonly #confirmations: Uint8Array[] = [];
  readonly #messages: Uint8Array[] = [];

  /** Name of the last command, as CLIENT LIST has it. */
  get lastCommand(): string {
    return this.lastRow?.fullName ?? 'NULL';
  }

  /** Replies are sent from now on, that of the present command among them. */
  unmute(): void {
    this.#replyMode = ReplyMode.ON;
    this.#skipsNext = false;
    this.isMuted = false;
  }

  /** No replies are sent from the next command on. */
  mute(): void {
    this.#replyMode = ReplyMode.OFF;
  }

  /** The next command is not answered. */
  skipNextReply(): void {
    this.#skipsNext = this.#replyMode !== ReplyMode.OFF;
  }

  /** What RESET does: replies that were off are on again. One that is skipped stays so. */
  resetReplies(): void {
    if (this.#replyMode === ReplyMode.OFF) this.unmute();
    this.#skipsNext = false;
  }

  /** A request begins. Returns the mark for {@link callEnded}. */
  callBegan(): number {
    this.isMuted = this.#replyMode !== ReplyMode.ON;
    return this.callResumed();
  }

  /** A command that has waited runs again. */
  callResumed(): number {
    this.#keepsMessages = true;
    return this.reply.mark();
  }

  /**
   * The request has ended, or waits: takes back what is not wanted, and lets go of the messages
   * that came meanwhile.
   */
  callEnded(mark: number): void {
    this.#keepsMessages = false;
    this.takeBack(mark);
    // A request that is held back has yet to run, and takes its mode along.
    if (this.postponed === undefined) {
      if (this.#replyMode === ReplyMode.SKIP) this.#replyMode = ReplyMode.ON;
      if (this.#skipsNext) this.#replyMode = ReplyMode.SKIP;
      this.#skipsNext = false;
    }
    this.setMode(ClientMode.MUTED, this.isMuted || this.#replyMode !== ReplyMode.ON);
    if (this.#confirmations.length > 0) this.#release(this.#confirmations);
    if (this.#messages.length > 0) this.#release(this.#messages);
  }

  /**
   * Takes back what was answered since the mark when nobody wants it. A client that has gone has no
   * reply any more.
   */
  takeBack(mark: number): void {
    const { reply } = this;
    if (this.isMuted && reply.mark() > mark) reply.truncate(mark);
  }

  /** Takes a message: behind the reply of the command that runs for this client, if one does. */
  deliver(message: Uint8Array): void {
    if (this.#keepsMessages) {
      this.#messages.push(message);
      return;
    }
    this.reply.raw(message, 0, message.length);
    this.flushSoon();
  }

  /** Takes a confirmation for a client whose reply is not wanted. */
  confirm(message: Uint8Array): void {
    this.#confirmations.push(message);
  }

  #release(messages: Uint8Array[]): void {
    for (const message of messages) this.reply.raw(message, 0, message.length);
    messages.length = 0;
    this.flushSoon();
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
