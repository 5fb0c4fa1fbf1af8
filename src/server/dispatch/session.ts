/**
 * A client whose requests the dispatcher runs, wherever they come from: a connection has a socket;
 * an upstream that streams to this node, and a script, will have none.
 *
 * A client may get messages while its command runs, when it publishes to itself. They are kept
 * aside and follow the reply of the outermost command, never inside it. A client that wants no
 * replies still gets its messages; confirmations of subscriptions are messages, too.
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

/** The limit of a client's output is judged for each 16 KiB of messages that are kept. */
const MESSAGES_ASKED_SHIFT = 14;

/** The replies that a client wants (CLIENT REPLY). SKIP: none to the next command. */
const ReplyMode = { ON: 0, OFF: 1, SKIP: 2 } as const;
type ReplyMode = (typeof ReplyMode)[keyof typeof ReplyMode];

export abstract class Session extends Client {
  abstract readonly reply: Reply;
  /** The row of the command that runs, or ran last. */
  lastRow: CommandRow | undefined = undefined;
  /** While set, no request of this client runs: the client waits. */
  blocked = false;
  /** A command that waits until clients are no longer paused. */
  postponed: Request | undefined = undefined;
  /** It waits because writers are slowed: not much more is read from it meanwhile. */
  slowed = false;
  /** The command that waits for a key. */
  waitingRequest: Request | undefined = undefined;
  /** The wait for a key, or for replicas, has a timeout. */
  waitEnds = false;
  /** The call that runs, or ran last, has found that it must wait for a key. */
  hasToWait = false;
  /** Microseconds of the calls of the command that waits for a key. */
  waitedMicros = 0;
  /** The reply of the command that runs, or of the one that waits, is not wanted. */
  isMuted = false;
  #replyMode: ReplyMode = ReplyMode.ON;
  /** CLIENT REPLY SKIP has just run: the next command is not answered. */
  #skipsNext = false;
  /** A command runs on the dispatcher's longer path; only on it can the client get messages. */
  #keepsMessages = false;
  readonly #confirmations: Uint8Array[] = [];
  readonly #messages: Uint8Array[] = [];
  /** Bytes of the messages and confirmations that are kept. */
  messageBytes = 0;

  /** Name of the last command, for CLIENT LIST. */
  get lastCommand(): string {
    return this.lastRow?.fullName ?? 'NULL';
  }

  /** Replies are sent from now on, also that of the present command. */
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

  /** For RESET: turns replies on again if they were off. A skipped reply stays skipped. */
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
   * The request has ended, or waits: takes back an unwanted reply, and releases the messages that
   * came meanwhile.
   */
  callEnded(mark: number): void {
    this.#keepsMessages = false;
    this.takeBack(mark);
    // A request that is held back has yet to run, and keeps its reply mode.
    if (this.postponed === undefined) {
      if (this.#replyMode === ReplyMode.SKIP) this.#replyMode = ReplyMode.ON;
      if (this.#skipsNext) this.#replyMode = ReplyMode.SKIP;
      this.#skipsNext = false;
    }
    this.setMode(ClientMode.MUTED, this.isMuted || this.#replyMode !== ReplyMode.ON);
    if (this.messageBytes === 0) return;
    this.messageBytes = 0;
    if (this.#confirmations.length > 0) this.#release(this.#confirmations);
    if (this.#messages.length > 0) this.#release(this.#messages);
  }

  /**
   * Takes back an unwanted answer since the mark. The reply of a closed client is already empty.
   */
  takeBack(mark: number): void {
    const { reply } = this;
    if (this.isMuted && reply.mark() > mark) reply.truncate(mark);
  }

  /** Takes a message. It follows the reply of the client's running command, if there is one. */
  deliver(message: Uint8Array): void {
    if (this.#keepsMessages) {
      this.#keep(this.#messages, message);
      return;
    }
    this.reply.raw(message, 0, message.length);
    this.flushSoon();
  }

  /** Takes a confirmation for a client whose reply is not wanted. */
  confirm(message: Uint8Array): void {
    this.#keep(this.#confirmations, message);
  }

  /** Keeps a message, unless it passes the limit of the client's output: then the reply is cut. */
  #keep(messages: Uint8Array[], message: Uint8Array): void {
    const { reply } = this;
    if (reply.isCut) return;
    const before = this.messageBytes;
    this.messageBytes += message.length;
    const isLonger = before >> MESSAGES_ASKED_SHIFT !== this.messageBytes >> MESSAGES_ASKED_SHIFT;
    if (isLonger && reply.gate?.mayGrow(reply.size + this.messageBytes) === false) {
      reply.cut();
      this.#messages.length = 0;
      this.#confirmations.length = 0;
      return;
    }
    messages.push(message);
  }

  #release(messages: Uint8Array[]): void {
    for (const message of messages) this.reply.raw(message, 0, message.length);
    messages.length = 0;
    this.flushSoon();
  }

  /** The client's address, as `host:port`. */
  abstract get address(): string;

  /** A short line for the log. */
  abstract describe(): string;

  /** Sends what has been answered so far. */
  abstract flush(): void;

  /** Sends soon what others have appended to the reply: a message, the end of a wait. */
  abstract flushSoon(): void;

  /** Goes on after the client was blocked. */
  abstract resume(): void;

  /** Ends the link of a replica whose `command` has an answer. */
  abstract endLink(command: string): void;

  /** Ends the client at once. Unsent bytes are lost. */
  abstract destroy(): void;
}

/** The session whose command runs. */
export function sessionOf({ client }: CommandContext): Session {
  assert(client instanceof Session, 'a command of the server is run for a session');
  return client;
}
