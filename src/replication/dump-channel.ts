/**
 * The second connection of a full sync: the dump comes over it, and the stream behind the dump over
 * the first one, the main connection, at the same time.
 *
 *            Redis 8: `capa rdb-channel-repl`         Valkey 8: `capa dual-channel`
 *
 *   main     +RDBCHANNELSYNC <id of this client>      +DUALCHANNELSYNC
 *   second   AUTH · REPLCONF … main-ch-client-id      AUTH · REPLCONF … · REPLCONF ip-address
 *            PSYNC ? -1                               SYNC
 *            +FULLRESYNC <replid> <offset>            $ENDOFF:<offset> <replid> <db> <id of this client>
 *            the dump                                 the dump
 *   main     the stream behind that offset, without   REPLCONF set-rdb-client-id <id>
 *            a word before it                         PSYNC <replid> <offset + 1> ▶ +CONTINUE, the stream
 *
 *   second   CONNECTING ──opened──▶ SHAKING ──all answered──▶ ASKED ──granted──▶ GRANTED
 *   main     IDLE ──granted──▶ IDENTIFYING ──+OK──▶ ASKED ──+CONTINUE──▶ STREAM      Valkey
 *            STREAM                                                                  Redis
 *
 * It has no socket. Events come in, and its owner, the state of the link, hears what is to be done.
 * The words for the log are those of the two servers. Main thread.
 */
import { assert } from '../base/assert.ts';
import { asOffset, type Offset } from '../base/units.ts';
import { channelHandshake, type LinkOptions, request, type Step } from './link-handshake.ts';
import type { LinkAction } from './link-phase.ts';
import { ANSWER_TIMEOUT_MS } from './link-progress.ts';
import { parseInt64 } from './psync.ts';
import { isReplid } from './replid.ts';

export const ChannelKind = { REDIS: 'rdb-channel', VALKEY: 'dual-channel' } as const;
export type ChannelKind = (typeof ChannelKind)[keyof typeof ChannelKind];

export const Second = { CONNECTING: 0, SHAKING: 1, ASKED: 2, GRANTED: 3 } as const;
export type Second = (typeof Second)[keyof typeof Second];

export const Main = { IDLE: 0, IDENTIFYING: 1, ASKED: 2, STREAM: 3 } as const;
export type Main = (typeof Main)[keyof typeof Main];

/** Ids of clients have 64 bits. */
const CLIENT_ID = /^\d{1,20}$/;
const DB_INDEX_MAX = 2 ** 31 - 1;

const DUAL = 'Dual channel replication: ';
const WORDS = {
  'rdb-channel': {
    begins: 'PSYNC is not possible, initialize RDB channel.',
    noConnection: 'Error condition on socket for rdb channel replication',
    noAnswer: 'Master did not respond to replconf command during rdb channel handshake',
    wrongGrant: 'Received unexpected psync reply',
    mainLost: 'Main channel error while reading from master',
    aborts: 'Aborting rdb channel sync',
  },
  'dual-channel': {
    begins: `${DUAL}PSYNC is not possible, initialize RDB channel.`,
    noConnection: `${DUAL}Error condition on socket for dual channel replication`,
    noAnswer: `${DUAL}Primary did not respond to replconf command during SYNC handshake`,
    wrongGrant: `${DUAL}Received unexpected $ENDOFF response`,
    mainLost: `${DUAL}Provisional primary closed connection`,
    aborts: `${DUAL}Aborting dual channel sync`,
  },
} as const;

/** A full sync as it was granted. */
export interface ChannelGrant {
  readonly replid: string;
  /** The dump holds the stream up to here. */
  readonly offset: Offset;
  /** The database that the stream behind it has selected; -1 when the dump tells. */
  readonly dbIndex: number;
}

export interface ChannelOwner {
  act(action: LinkAction): void;
  notice(text: string): void;
  granted(grant: ChannelGrant): void;
  /**
   * The attempt has failed. `isGarbage`: the other side sent what no primary sends. `text` is for
   * the log, and may hold words of the primary.
   */
  failed(text: string, isGarbage: boolean): void;
}

export class DumpChannel {
  readonly kind: ChannelKind;
  readonly words: (typeof WORDS)[ChannelKind];
  second: Second = Second.CONNECTING;
  main: Main;
  readonly #owner: ChannelOwner;
  readonly #steps: Step[];
  #grant: ChannelGrant | undefined = undefined;
  /** When the main connection was last asked something. */
  #mainAskedMs = 0;

  /** `clientId` is the id that the main connection has there; only Redis tells it. */
  constructor(kind: ChannelKind, clientId: string, options: LinkOptions, owner: ChannelOwner) {
    this.kind = kind;
    this.words = WORDS[kind];
    this.#owner = owner;
    this.#steps = channelHandshake(options, clientId);
    this.main = kind === ChannelKind.REDIS ? Main.STREAM : Main.IDLE;
    owner.notice(this.words.begins);
    if (this.hasStream) owner.act({ kind: 'hold-stream' });
    owner.act({ kind: 'connect-second' });
  }

  /** The stream comes over the main connection: it needs nothing but the dump. */
  get hasStream(): boolean {
    return this.main === Main.STREAM;
  }

  /** The second connection is open. */
  opened(): void {
    assert(this.second === Second.CONNECTING, 'a second connection opens that was asked for');
    this.second = Second.SHAKING;
    this.#write(this.#steps.map((step) => step.text).join(''));
  }

  /** A line has come over the second connection, before the dump. */
  line(text: string, nowMs: number): void {
    if (this.second === Second.SHAKING) this.#shaken(text);
    else if (this.second === Second.ASKED) this.#answered(text, nowMs);
    else this.#owner.failed(`${this.words.wrongGrant}: ${text}`, true);
  }

  /** A line has come over the main connection, before the stream. */
  mainLine(text: string, nowMs: number): void {
    // An empty line is a sign of life.
    if (text === '') return;
    if (this.main === Main.IDENTIFYING) {
      if (text.startsWith('-')) {
        this.#owner.failed(`${DUAL}Primary does not understand REPLCONF identify: ${text}`, false);
        return;
      }
      const { replid, offset } = this.#granted;
      const next = String(offset + 1);
      this.main = Main.ASKED;
      this.#mainAskedMs = nowMs;
      this.#owner.notice(
        `${DUAL}Trying a partial resynchronization using main channel (request ${replid}:${next}).`,
      );
      this.#owner.act({ kind: 'write', text: request('PSYNC', replid, next) });
    } else if (this.main === Main.ASKED) {
      this.#continued(text);
    } else {
      this.#owner.failed(`Unexpected line from MASTER: ${text}`, true);
    }
  }

  /** What to complain about once the second connection is lost before the dump has begun. */
  lost(reason: string): string {
    const why = reason || 'connection closed';
    if (this.second === Second.CONNECTING) return `${this.words.noConnection}: ${why}`;
    if (this.second === Second.SHAKING) return this.words.noAnswer;
    return `${this.words.wrongGrant}: ${why}`;
  }

  /** What to complain about when the second connection was silent for too long, or nothing. */
  overdue(silentMs: number, replTimeoutMs: number): string {
    const isShaking = this.second === Second.SHAKING;
    const limitMs = isShaking ? Math.min(ANSWER_TIMEOUT_MS, replTimeoutMs) : replTimeoutMs;
    if (silentMs <= limitMs) return '';
    return isShaking ? this.words.noAnswer : 'Timeout connecting to the MASTER...';
  }

  /** The same for an answer on the main connection. */
  mainOverdue(nowMs: number, replTimeoutMs: number): string {
    const isShaking = this.main === Main.IDENTIFYING;
    if (!isShaking && this.main !== Main.ASKED) return '';
    const limitMs = isShaking ? Math.min(ANSWER_TIMEOUT_MS, replTimeoutMs) : replTimeoutMs;
    return nowMs - this.#mainAskedMs > limitMs
      ? `${DUAL}Aborting dual channel sync. Primary did not reply on the main channel`
      : '';
  }

  /** This node reads nothing now. */
  heldBack(nowMs: number): void {
    this.#mainAskedMs = nowMs;
  }

  get #granted(): ChannelGrant {
    assert(this.#grant !== undefined, 'a stream is asked for behind a dump that was granted');
    return this.#grant;
  }

  #shaken(text: string): void {
    const step = this.#steps.shift();
    assert(step !== undefined, 'an answer belongs to a step');
    if (!text.startsWith('+')) {
      const isError = text.startsWith('-');
      this.#owner.failed(`${step.complaint}: ${text}`, !isError);
      return;
    }
    if (this.#steps.length > 0) return;
    this.second = Second.ASKED;
    this.#write(this.kind === ChannelKind.REDIS ? request('PSYNC', '?', '-1') : 'SYNC\r\n');
  }

  #answered(text: string, nowMs: number): void {
    if (text === '') return;
    const grant = this.kind === ChannelKind.REDIS ? fullResync(text) : endOffset(text);
    if (grant === undefined) {
      this.#owner.failed(`${this.words.wrongGrant}: ${text}`, !text.startsWith('-'));
      return;
    }
    this.second = Second.GRANTED;
    this.#grant = grant;
    this.#owner.granted(grant);
    if (this.hasStream) {
      this.#owner.notice('Starting to receive RDB and replication stream in parallel.');
      return;
    }
    const secondId = text.slice(text.lastIndexOf(' ') + 1);
    this.main = Main.IDENTIFYING;
    this.#mainAskedMs = nowMs;
    this.#owner.act({ kind: 'write', text: request('REPLCONF', 'set-rdb-client-id', secondId) });
  }

  /** The answer to PSYNC on the main connection. */
  #continued(text: string): void {
    const [word, replid = ''] = text.split(' ');
    if (word !== '+CONTINUE' || (replid !== '' && replid !== this.#granted.replid)) {
      const isKnown = text.startsWith('-') || text.startsWith('+');
      const complaint = `${DUAL}Aborting dual channel sync. Main channel psync result ${text}`;
      this.#owner.failed(complaint, !isKnown);
      return;
    }
    this.main = Main.STREAM;
    this.#owner.notice(
      `${DUAL}MASTER <-> REPLICA sync: Primary accepted a Partial Resynchronization, RDB load in background.`,
    );
    this.#owner.act({ kind: 'hold-stream' });
  }

  #write(text: string): void {
    this.#owner.act({ kind: 'write-second', text });
  }
}

/** The id of this client in `+RDBCHANNELSYNC <id>`, or undefined. */
export function mainClientId(text: string): string | undefined {
  const [, id = '', ...others] = text.split(' ');
  return CLIENT_ID.test(id) && others.length === 0 ? id : undefined;
}

/** `+FULLRESYNC <replid> <offset>` */
function fullResync(text: string): ChannelGrant | undefined {
  const [word, replid = '', offsetText = '', ...others] = text.split(' ');
  const offset = parseInt64(offsetText);
  if (word !== '+FULLRESYNC' || !isReplid(replid) || !(offset >= 0) || others.length > 0)
    return undefined;
  return { replid, offset: asOffset(offset), dbIndex: -1 };
}

/** `$ENDOFF:<offset> <replid> <db> <id of this client>` */
function endOffset(text: string): ChannelGrant | undefined {
  if (!text.startsWith('$ENDOFF:')) return undefined;
  const [offsetText = '', replid = '', dbText = '', id = '', ...others] = text
    .slice('$ENDOFF:'.length)
    .split(' ');
  const offset = parseInt64(offsetText);
  const dbIndex = parseInt64(dbText);
  const isWhole =
    offset >= 0 &&
    isReplid(replid) &&
    dbIndex >= -1 &&
    dbIndex <= DB_INDEX_MAX &&
    CLIENT_ID.test(id) &&
    others.length === 0;
  return isWhole ? { replid, offset: asOffset(offset), dbIndex } : undefined;
}
