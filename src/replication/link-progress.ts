/**
 * How far the link to a primary is, as INFO shows it, and what it asks to be done: the part of
 * link-state.ts that decides nothing. The header of a dump is read here, too. Main thread.
 */
import { assert } from '../base/assert.ts';
import { type LinkAction, LinkPhase, ROLE_STATES } from './link-phase.ts';
import { MARK_BYTES } from './link-reader.ts';
import { LinkTrouble, loopText } from './link-trouble.ts';
import { LogLevel, parseInt64 } from './psync.ts';
import { introducedId } from './replconf.ts';

/**
 * The pause between attempts is a second. After a dump that this node cannot read, it is longer
 * each time.
 */
export const RETRY_MS = 1000;
const RETRY_MS_MAX = 60_000;
const SECOND_MS = 1000;
const SHOWN_CHARS = 256;
/** The timeout of one answer of the handshake. Redis' CONFIG_REPL_SYNCIO_TIMEOUT. */
export const ANSWER_TIMEOUT_MS = 5000;
/** A larger size is invalid: no machine has this many bytes. */
const PAYLOAD_BYTES_MAX = 2 ** 47;

export class LinkProgress {
  phase: LinkPhase = LinkPhase.NONE;
  /** Sync attempts since the link was last up, and since the start; for INFO. */
  currentAttempts = 0;
  totalAttempts = 0;
  /** When the link came up, or went down, by the monotonic clock. -1 before that. */
  upSinceMs = -1;
  downSinceMs = -1;
  /** When the primary last sent something. */
  lastHeardMs = 0;
  /** The incoming dump: bytes announced, 0 when there is a mark, and bytes received. */
  payloadBytes = 0;
  payloadReceived = 0;
  /** Dumps in a row that this node cannot load, and the reason of the last one. */
  refusedDumps = 0;
  refusal = '';
  /** What keeps the link from coming up for good. */
  readonly trouble = new LinkTrouble();
  /** The run id of the primary, when it is a headwater that has told it; empty otherwise. */
  primaryId = '';
  #introducedId = '';
  /** The steps of the next attempt are not logged: they are those of the last one. */
  protected isQuiet = false;
  #actions: LinkAction[] = [];

  /** The phase in ROLE. */
  get roleState(): string {
    return ROLE_STATES[this.phase];
  }

  get isUp(): boolean {
    return this.phase === LinkPhase.CONNECTED;
  }

  /** Whether a dump is on its way or is being loaded. */
  get isSyncing(): boolean {
    return ROLE_STATES[this.phase] === 'sync';
  }

  /** Bytes of the dump have come. */
  received(bytes: number, nowMs: number): void {
    this.payloadReceived += bytes;
    this.lastHeardMs = nowMs;
  }

  /** The whole dump has come. */
  payloadEnded(nowMs: number): void {
    assert(this.phase === LinkPhase.TRANSFER, 'a dump ends that has begun');
    this.lastHeardMs = nowMs;
    this.phase = LinkPhase.LOADING;
  }

  /** The pause in ms before the attempt after a dump that failed. */
  get retryMs(): number {
    return Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** Math.min(this.refusedDumps, 16));
  }

  /** A dump cannot be loaded. `isFinal`: nor can the next one, most likely; the log tells it once. */
  protected refuseDump(reason: string, isFinal: boolean): void {
    // The next dump may have the same fault at another position.
    const cause = printable(reason.replace(/, at position \d+$/, ''));
    if (!isFinal || cause !== this.refusal)
      this.warn(`Failed trying to load the MASTER synchronization DB: ${printable(reason)}`);
    if (isFinal) {
      if (cause !== this.refusal) {
        this.notice(
          'A full sync is tried again after pauses of up to ' +
            `${RETRY_MS_MAX / SECOND_MS} seconds, until a dump of MASTER can be loaded.`,
        );
      }
      this.refusedDumps++;
      this.refusal = cause;
    } else {
      this.acceptDumps();
    }
  }

  /** Another primary is followed, or none. */
  protected forgetPrimary(): void {
    this.acceptDumps();
    this.trouble.reset();
    this.primaryId = '';
  }

  /** A handshake begins. */
  protected shakes(): void {
    this.#introducedId = '';
  }

  /** An answer of the handshake; `isLast` after the last one. */
  protected shaken(text: string, isLast: boolean): void {
    this.#introducedId = introducedId(text) || this.#introducedId;
    if (isLast) this.primaryId = this.#introducedId;
  }

  /** Tells of a loop, once until a stream comes. */
  protected tellLoop(target: string): void {
    if (!this.trouble.isLoopTold) this.warn(loopText(target));
    this.trouble.isLoopTold = true;
  }

  /** Forgets about dumps that were refused. */
  protected acceptDumps(): void {
    this.refusedDumps = 0;
    this.refusal = '';
  }

  protected write(text: string): void {
    this.act({ kind: 'write', text });
  }

  protected notice(text: string): void {
    if (this.isQuiet) return;
    this.act({ kind: 'log', line: { level: LogLevel.NOTICE, text } });
  }

  protected warn(text: string): void {
    this.act({ kind: 'log', line: { level: LogLevel.WARNING, text } });
  }

  protected act(action: LinkAction): void {
    this.#actions.push(action);
  }

  protected take(): LinkAction[] {
    const actions = this.#actions;
    this.#actions = [];
    return actions;
  }
}

/** Whether the answer to PING is one of a server that goes on. */
export function isAlive(text: string): boolean {
  return (
    text.startsWith('+') ||
    text.startsWith('-NOAUTH') ||
    text.startsWith('-NOPERM') ||
    text.startsWith('-ERR operation not permitted')
  );
}

/**
 * What to complain about once a primary was silent for `silentMs` in `phase`, or nothing. Phases
 * that need more than a complaint are not judged here.
 */
export function overdueText(phase: LinkPhase, silentMs: number, replTimeoutMs: number): string {
  const isShaking = phase === LinkPhase.PINGED || phase === LinkPhase.SHAKING;
  if (silentMs <= (isShaking ? Math.min(ANSWER_TIMEOUT_MS, replTimeoutMs) : replTimeoutMs))
    return '';
  if (isShaking) return 'Master did not respond to command during SYNC handshake';
  if (phase === LinkPhase.CONNECTING) return 'Timeout connecting to the MASTER...';
  if (phase !== LinkPhase.HEADER && phase !== LinkPhase.TRANSFER) return '';
  return (
    'Timeout receiving bulk data from MASTER... If the problem persists try to set the ' +
    "'repl-timeout' parameter in redis.conf to a larger value."
  );
}

export interface DumpHeader {
  /** 0 when the dump ends with `mark`, which is empty otherwise. */
  readonly bytes: number;
  readonly mark: string;
  /** For the log. */
  readonly what: string;
}

/** The line before a dump, or what is wrong with it. */
export function dumpHeader(text: string): DumpHeader | string {
  if (!text.startsWith('$')) {
    return (
      `Bad protocol from MASTER, the first byte is not '$' (we received '${shown(text)}'), ` +
      'are you sure the host and port are right?'
    );
  }
  if (text.startsWith('$EOF:')) {
    const mark = text.slice('$EOF:'.length);
    if (mark.length !== MARK_BYTES)
      return `Bad protocol from MASTER, a mark of ${mark.length} bytes`;
    return { bytes: 0, mark, what: 'streamed RDB from master with EOF' };
  }
  const bytes = parseInt64(text.slice(1));
  if (!(bytes >= 0 && bytes <= PAYLOAD_BYTES_MAX))
    return `Bad protocol from MASTER, a dump of '${shown(text.slice(1))}' bytes`;
  return { bytes, mark: '', what: `${bytes} bytes from master` };
}

/** The primary's words, in a form that cannot break or flood the log. */
export function shown(text: string): string {
  return printable(text.slice(0, SHOWN_CHARS));
}

const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?');
