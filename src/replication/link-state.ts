/**
 * The decisions of the link to a primary above this node: writes, connection attempts and their
 * ends. It has no socket.
 *
 *            REPLICAOF                opened              +PONG               all replies
 *   NONE ───────────────▶ WAITING ─▶ CONNECTING ─▶ PINGED ─────▶ SHAKING ─────────────────▶ ASKED
 *     ▲                     ▲                                                               │  │
 *     │ NO ONE              │ closed, timed out, refused: at any place                      │  │ +CONTINUE
 *     └─ from any place     │                                                 +FULLRESYNC   │  │
 *                           │                                   or -ERR, then SYNC          ▼  │
 *                           └─────────────────────── LOADING ◀─ TRANSFER ◀─ $ ── HEADER ◀───┘  │
 *                                                       │ loaded                              ▼
 *                                                       └─────────────────────────────▶ CONNECTED
 *
 * Calls bring in events and return actions, in the order in which they are to be done. The texts of
 * requests and of the log are those of Redis. The primary's messages and their meaning follow
 * PSYNC2 of Redis 7.2.
 *
 * `cached` is the stream that this node holds: with it, the next PSYNC asks for the bytes after it.
 * Only the module that applies the stream changes it; the link asks for it. Main thread.
 */
import { assert } from '../base/assert.ts';
import { asOffset, type Offset } from '../base/units.ts';
import { MARK_BYTES } from './link-reader.ts';
import { LogLevel, type LogLine, parseInt64 } from './psync.ts';
import { isReplid } from './replid.ts';

export const LinkPhase = {
  /** This node has no primary. */
  NONE: 'none',
  /** The link waits for the next attempt. */
  WAITING: 'waiting',
  CONNECTING: 'connecting',
  /** PING was written. */
  PINGED: 'pinged',
  /** AUTH and REPLCONF were written, and not all of them are answered. */
  SHAKING: 'shaking',
  /** PSYNC was written. */
  ASKED: 'asked',
  /** A dump is granted; its header has not come yet. */
  HEADER: 'header',
  TRANSFER: 'transfer',
  /** The dump is here, and is not loaded yet. */
  LOADING: 'loading',
  /** The stream flows. */
  CONNECTED: 'connected',
} as const;
export type LinkPhase = (typeof LinkPhase)[keyof typeof LinkPhase];

/** The names of the phases in ROLE. */
const ROLE_STATES: Readonly<Record<LinkPhase, string>> = {
  none: 'none',
  waiting: 'connect',
  connecting: 'connecting',
  pinged: 'handshake',
  shaking: 'handshake',
  asked: 'handshake',
  header: 'sync',
  transfer: 'sync',
  loading: 'sync',
  connected: 'connected',
};

/** This node's data for the handshake, and its timeouts. Read again for each attempt. */
export interface LinkOptions {
  readonly user: string;
  /** `masterauth`; empty for no AUTH. */
  readonly password: string;
  readonly listeningPort: number;
  /** `replica-announce-ip`; empty for none. */
  readonly announceIp: string;
  /** The version for `REPLCONF version`; empty for none. */
  readonly version: string;
  /** A further capability; empty for none. */
  readonly capability: string;
  readonly replTimeoutMs: number;
}

/** A stream that this node holds: its id, and the offset of the last byte that was applied. */
export interface CachedStream {
  readonly replid: string;
  readonly offset: Offset;
}

export type LinkAction =
  | { readonly kind: 'connect' }
  | { readonly kind: 'write'; readonly text: string }
  /** Close the connection and ignore it from now on. */
  | { readonly kind: 'close' }
  | { readonly kind: 'log'; readonly line: LogLine }
  /** A dump is granted: once it is loaded, the stream that was held is worthless. */
  | { readonly kind: 'full'; readonly replid: string; readonly offset: Offset }
  /** The dump begins: it has `bytes` bytes, or ends with `mark`. */
  | { readonly kind: 'payload'; readonly bytes: number; readonly mark: string }
  /** The held stream goes on, under `replid`, or under its old id when that is empty. */
  | { readonly kind: 'continue'; readonly replid: string }
  /** The stream that is held may not be asked for again. */
  | { readonly kind: 'forget' };

/**
 * The pause between attempts is a second. After a dump that this node cannot read, it is longer
 * each time.
 */
const RETRY_MS = 1000;
const RETRY_MS_MAX = 60_000;
const SECOND_MS = 1000;
/** The timeout of one answer of the handshake. Redis' CONFIG_REPL_SYNCIO_TIMEOUT. */
const ANSWER_TIMEOUT_MS = 5000;
const NO_REPLID = '0'.repeat(40);
const SHOWN_CHARS = 256;
/** A larger size is invalid: no machine has this many bytes. */
const PAYLOAD_BYTES_MAX = 2 ** 47;

/** A step of the handshake that waits for its answer. */
interface Step {
  readonly text: string;
  /** An error ends the attempt. */
  readonly isFatal: boolean;
  /** The log's text before the error. */
  readonly complaint: string;
}

export class LinkState {
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
  readonly #options: () => LinkOptions;
  readonly #cached: () => CachedStream | undefined;
  #target = '';
  #nextAttemptMs = 0;
  /** Dumps in a row that could not be read. */
  #refusedDumps = 0;
  #steps: Step[] = [];
  /** The primary does not know PSYNC: it gives no offsets, so this node sends no ACKs. */
  #isLegacy = false;
  #lastAckMs = 0;
  #actions: LinkAction[] = [];

  constructor(options: () => LinkOptions, cached: () => CachedStream | undefined) {
    this.#options = options;
    this.#cached = cached;
  }

  /** The phase in ROLE. */
  get roleState(): string {
    return ROLE_STATES[this.phase];
  }

  get isUp(): boolean {
    return this.phase === LinkPhase.CONNECTED;
  }

  /** The link is not up, and an attempt to bring it up is under way. */
  get isRising(): boolean {
    const { phase } = this;
    return phase !== LinkPhase.NONE && phase !== LinkPhase.WAITING && phase !== LinkPhase.CONNECTED;
  }

  /** Whether a dump is on its way or is being loaded. */
  get isSyncing(): boolean {
    return ROLE_STATES[this.phase] === 'sync';
  }

  /** REPLICAOF, or `replicaof` at the start: `target` is `host:port` for the log. */
  follow(target: string, nowMs: number): LinkAction[] {
    if (this.phase !== LinkPhase.NONE) this.#drop(nowMs);
    this.#target = target;
    this.#refusedDumps = 0;
    this.currentAttempts = 0;
    this.downSinceMs = nowMs;
    this.#notice(`Connecting to MASTER ${target}`);
    this.#attempt(nowMs);
    return this.#take();
  }

  /** REPLICAOF NO ONE. */
  unfollow(nowMs: number): LinkAction[] {
    if (this.phase !== LinkPhase.NONE) this.#drop(nowMs);
    this.phase = LinkPhase.NONE;
    return this.#take();
  }

  /** The connection is open. */
  opened(nowMs: number): LinkAction[] {
    assert(this.phase === LinkPhase.CONNECTING, 'a connection opens that was asked for');
    this.lastHeardMs = nowMs;
    this.phase = LinkPhase.PINGED;
    this.#notice('Non blocking connect for SYNC fired the event.');
    this.#write(request('PING'));
    return this.#take();
  }

  /**
   * The connection failed or is gone. `reason` is empty when the primary has closed it.
   */
  closed(reason: string, nowMs: number): LinkAction[] {
    const { phase } = this;
    if (phase === LinkPhase.NONE || phase === LinkPhase.WAITING) return this.#take();
    if (phase === LinkPhase.CONNECTED) {
      this.#lost(nowMs);
      return this.#take();
    }
    if (phase === LinkPhase.CONNECTING) {
      this.#warn(`Error condition on socket for SYNC: ${shown(reason || 'connection closed')}`);
    } else if (phase === LinkPhase.TRANSFER || phase === LinkPhase.HEADER) {
      this.#warn(`I/O error trying to sync with MASTER: ${shown(reason || 'connection lost')}`);
    } else {
      this.#warn('Master did not respond to command during SYNC handshake');
    }
    this.#wait(nowMs, RETRY_MS);
    return this.#take();
  }

  /** A line has come while lines are expected. */
  line(text: string, nowMs: number): LinkAction[] {
    this.lastHeardMs = nowMs;
    switch (this.phase) {
      case LinkPhase.PINGED:
        this.#pinged(text, nowMs);
        break;
      case LinkPhase.SHAKING:
        this.#shaken(text, nowMs);
        break;
      case LinkPhase.ASKED:
        // An empty line is a sign of life.
        if (text !== '') this.#answered(text, nowMs);
        break;
      case LinkPhase.HEADER:
        if (text !== '') this.#header(text, nowMs);
        break;
      default:
        this.#refuse(`Unexpected line from MASTER: ${shown(text)}`, nowMs);
    }
    return this.#take();
  }

  /** Bytes of the dump have come. */
  received(bytes: number, nowMs: number): void {
    this.payloadReceived += bytes;
    this.lastHeardMs = nowMs;
  }

  /** Bytes of the stream have come. */
  heard(nowMs: number): void {
    this.lastHeardMs = nowMs;
  }

  /** The whole dump has come. */
  payloadEnded(nowMs: number): void {
    assert(this.phase === LinkPhase.TRANSFER, 'a dump ends that has begun');
    this.lastHeardMs = nowMs;
    this.phase = LinkPhase.LOADING;
  }

  /** The dump is loaded, and is this node's dataset. */
  loaded(offset: Offset, nowMs: number): LinkAction[] {
    assert(this.phase === LinkPhase.LOADING, 'a dump was loaded that is complete');
    this.#refusedDumps = 0;
    this.#notice('MASTER <-> REPLICA sync: Finished with success');
    this.#up(nowMs);
    this.#ack(offset, -1, nowMs);
    return this.#take();
  }

  /**
   * The dump cannot be loaded. `isFinal` means that another dump would fail too, for example
   * because this node does not read its version: the pauses before the next attempts grow.
   */
  loadFailed(reason: string, isFinal: boolean, nowMs: number): LinkAction[] {
    this.#warn(`Failed trying to load the MASTER synchronization DB: ${reason}`);
    this.#refusedDumps = isFinal ? this.#refusedDumps + 1 : 0;
    this.#do({ kind: 'close' });
    this.#wait(nowMs, this.retryMs);
    return this.#take();
  }

  /** The stream holds bytes that no primary sends: the held stream cannot be trusted. */
  streamFailed(reason: string, nowMs: number): LinkAction[] {
    this.#warn(`Protocol error from MASTER: ${shown(reason)}`);
    this.#do({ kind: 'close' });
    this.#do({ kind: 'forget' });
    this.#wait(nowMs, RETRY_MS);
    return this.#take();
  }

  /** Bytes of the primary could not be applied: the dataset does not match the stream. */
  datasetLost(reason: string, nowMs: number): LinkAction[] {
    this.#warn(`The dataset is no longer that of MASTER, a full sync is needed: ${shown(reason)}`);
    this.#do({ kind: 'close' });
    this.#do({ kind: 'forget' });
    this.#wait(nowMs, RETRY_MS);
    return this.#take();
  }

  /** Milliseconds until the attempt after a failed one. */
  get retryMs(): number {
    return Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** Math.min(this.#refusedDumps, 16));
  }

  /**
   * Called each second for attempts, timeouts and signs of life. `applied` is the offset to
   * acknowledge; `fsynced` is -1 for none.
   */
  tick(applied: Offset, fsynced: number, nowMs: number): LinkAction[] {
    const { replTimeoutMs } = this.#options();
    const silentMs = nowMs - this.lastHeardMs;
    switch (this.phase) {
      case LinkPhase.WAITING:
        if (nowMs >= this.#nextAttemptMs) {
          this.#notice(`Connecting to MASTER ${this.#target}`);
          this.#attempt(nowMs);
        }
        break;
      case LinkPhase.CONNECTING:
        if (silentMs > replTimeoutMs) this.#refuse('Timeout connecting to the MASTER...', nowMs);
        break;
      case LinkPhase.PINGED:
      case LinkPhase.SHAKING:
        if (silentMs > Math.min(ANSWER_TIMEOUT_MS, replTimeoutMs)) {
          this.#refuse('Master did not respond to command during SYNC handshake', nowMs);
        }
        break;
      case LinkPhase.ASKED:
        if (silentMs > replTimeoutMs)
          this.#later('Master did not reply to PSYNC, will try later', nowMs);
        break;
      case LinkPhase.HEADER:
      case LinkPhase.TRANSFER:
        if (silentMs > replTimeoutMs) {
          this.#refuse(
            'Timeout receiving bulk data from MASTER... If the problem persists try to set the ' +
              "'repl-timeout' parameter in redis.conf to a larger value.",
            nowMs,
          );
        }
        break;
      case LinkPhase.LOADING:
        // The primary takes an empty line for a sign of life.
        this.#write('\n');
        break;
      case LinkPhase.CONNECTED:
        if (silentMs > replTimeoutMs) {
          this.#warn('MASTER timeout: no data nor PING received...');
          this.#do({ kind: 'close' });
          this.#lost(nowMs);
        } else if (nowMs - this.#lastAckMs >= SECOND_MS) {
          this.#ack(applied, fsynced, nowMs);
        }
        break;
      default:
    }
    return this.#take();
  }

  /** Sends an ACK at once: GETACK came. */
  acknowledge(applied: Offset, fsynced: number, nowMs: number): LinkAction[] {
    if (this.phase === LinkPhase.CONNECTED) this.#ack(applied, fsynced, nowMs);
    return this.#take();
  }

  #attempt(nowMs: number): void {
    this.phase = LinkPhase.CONNECTING;
    this.#isLegacy = false;
    this.lastHeardMs = nowMs;
    this.currentAttempts++;
    this.totalAttempts++;
    this.#notice('MASTER <-> REPLICA sync started');
    this.#do({ kind: 'connect' });
  }

  #pinged(text: string, nowMs: number): void {
    const isAlive =
      text.startsWith('+') ||
      text.startsWith('-NOAUTH') ||
      text.startsWith('-NOPERM') ||
      text.startsWith('-ERR operation not permitted');
    if (!isAlive) {
      this.#refuse(`Error reply to PING from master: '${shown(text)}'`, nowMs);
      return;
    }
    this.#notice('Master replied to PING, replication can continue...');
    this.phase = LinkPhase.SHAKING;
    this.#steps = handshake(this.#options());
    this.#write(this.#steps.map((step) => step.text).join(''));
  }

  #shaken(text: string, nowMs: number): void {
    const step = this.#steps.shift();
    assert(step !== undefined, 'an answer belongs to a step');
    if (text.startsWith('-')) {
      if (step.isFatal) {
        this.#refuse(`${step.complaint}: ${shown(text)}`, nowMs);
        return;
      }
      this.#notice(`(Non critical) ${step.complaint}: ${shown(text)}`);
    } else if (!text.startsWith('+')) {
      // The line does not answer REPLCONF: it is of another protocol, or another product.
      this.#refuse(`Unexpected reply to REPLCONF from master: ${shown(text)}`, nowMs);
      return;
    }
    if (this.#steps.length === 0) this.#ask();
  }

  #ask(): void {
    const cached = this.#cached();
    this.phase = LinkPhase.ASKED;
    if (cached === undefined) {
      this.#notice('Partial resynchronization not possible (no cached master)');
      this.#write(request('PSYNC', '?', '-1'));
      return;
    }
    const next = String(cached.offset + 1);
    this.#notice(`Trying a partial resynchronization (request ${cached.replid}:${next}).`);
    this.#write(request('PSYNC', cached.replid, next));
  }

  /** The answer to PSYNC. */
  #answered(text: string, nowMs: number): void {
    if (text.startsWith('+FULLRESYNC')) {
      this.#fullResync(text);
    } else if (text.startsWith('+CONTINUE')) {
      this.#continue(text, nowMs);
    } else if (text.startsWith('-NOMASTERLINK') || text.startsWith('-LOADING')) {
      this.#later(
        `Master is currently unable to PSYNC but should be in the future: ${shown(text)}`,
        nowMs,
      );
    } else {
      if (text.startsWith('-ERR')) {
        this.#notice(`Master does not support PSYNC or is in error state (reply: ${shown(text)})`);
      } else {
        this.#warn(`Unexpected reply to PSYNC from master: ${shown(text)}`);
      }
      this.#notice('Retrying with SYNC...');
      this.#isLegacy = true;
      this.phase = LinkPhase.HEADER;
      this.#write('SYNC\r\n');
      this.#do({ kind: 'full', replid: NO_REPLID, offset: asOffset(-1) });
    }
  }

  #fullResync(text: string): void {
    const [, replid = '', offsetText = ''] = text.split(' ');
    const offset = parseInt64(offsetText);
    this.phase = LinkPhase.HEADER;
    if (isReplid(replid) && offset >= 0) {
      this.#notice(`Full resync from master: ${replid}:${offset}`);
      this.#do({ kind: 'full', replid, offset: asOffset(offset) });
      return;
    }
    // The dump is usable, but the offset of its stream is unknown.
    this.#warn('Master replied with wrong +FULLRESYNC syntax.');
    this.#isLegacy = true;
    this.#do({ kind: 'full', replid: NO_REPLID, offset: asOffset(-1) });
  }

  #continue(text: string, nowMs: number): void {
    const cached = this.#cached();
    const [, replid = ''] = text.split(' ');
    if (cached === undefined || (replid !== '' && !isReplid(replid))) {
      this.#refuse(`Unexpected reply to PSYNC from master: ${shown(text)}`, nowMs);
      return;
    }
    this.#notice('Successful partial resynchronization with master.');
    const isNew = replid !== '' && replid !== cached.replid;
    if (isNew) this.#warn(`Master replication ID changed to ${replid}`);
    this.#do({ kind: 'continue', replid: isNew ? replid : '' });
    this.#up(nowMs);
    this.#ack(cached.offset, -1, nowMs);
  }

  /** The line before the dump. */
  #header(text: string, nowMs: number): void {
    if (text.startsWith('-')) {
      this.#refuse(`MASTER aborted replication with an error: ${shown(text)}`, nowMs);
      return;
    }
    if (!text.startsWith('$')) {
      this.#refuse(
        `Bad protocol from MASTER, the first byte is not '$' (we received '${shown(text)}'), ` +
          'are you sure the host and port are right?',
        nowMs,
      );
      return;
    }
    if (text.startsWith('$EOF:')) {
      const mark = text.slice('$EOF:'.length);
      if (mark.length !== MARK_BYTES) {
        this.#refuse(`Bad protocol from MASTER, a mark of ${mark.length} bytes`, nowMs);
        return;
      }
      this.#notice(
        'MASTER <-> REPLICA sync: receiving streamed RDB from master with EOF to parser',
      );
      this.#transfer(0, mark);
      return;
    }
    const bytes = parseInt64(text.slice(1));
    if (!(bytes >= 0 && bytes <= PAYLOAD_BYTES_MAX)) {
      this.#refuse(`Bad protocol from MASTER, a dump of '${shown(text.slice(1))}' bytes`, nowMs);
      return;
    }
    this.#notice(`MASTER <-> REPLICA sync: receiving ${bytes} bytes from master to parser`);
    this.#transfer(bytes, '');
  }

  #transfer(bytes: number, mark: string): void {
    this.phase = LinkPhase.TRANSFER;
    this.payloadBytes = bytes;
    this.payloadReceived = 0;
    this.#do({ kind: 'payload', bytes, mark });
  }

  #up(nowMs: number): void {
    this.phase = LinkPhase.CONNECTED;
    this.upSinceMs = nowMs;
    this.downSinceMs = -1;
    this.lastHeardMs = nowMs;
    this.currentAttempts = 0;
  }

  #ack(applied: Offset, fsynced: number, nowMs: number): void {
    this.#lastAckMs = nowMs;
    if (this.#isLegacy) return;
    const words = ['REPLCONF', 'ACK', String(applied)];
    if (fsynced >= 0) words.push('FACK', String(fsynced));
    this.#write(request(...words));
  }

  /**
   * A link that was up is gone. The next attempt comes at once, before the primary's backlog has
   * moved on.
   */
  #lost(nowMs: number): void {
    this.#notice('Connection with master lost.');
    if (this.#cached() !== undefined) this.#notice('Caching the disconnected master state.');
    this.#wait(nowMs, 0);
    this.#notice(`Reconnecting to MASTER ${this.#target} after failure`);
    this.#attempt(nowMs);
  }

  /** Gives up an attempt, with a warning; the next one starts in a second. */
  #refuse(text: string, nowMs: number): void {
    this.#warn(text);
    this.#do({ kind: 'close' });
    this.#wait(nowMs, RETRY_MS);
  }

  /** Gives up an attempt without a fault: the primary will be able to sync later. */
  #later(text: string, nowMs: number): void {
    this.#notice(text);
    this.#do({ kind: 'close' });
    this.#wait(nowMs, RETRY_MS);
  }

  #drop(nowMs: number): void {
    if (this.phase !== LinkPhase.WAITING) this.#do({ kind: 'close' });
    this.#wait(nowMs, 0);
  }

  #wait(nowMs: number, ms: number): void {
    if (this.downSinceMs < 0) this.downSinceMs = nowMs;
    this.phase = LinkPhase.WAITING;
    this.#steps = [];
    this.#nextAttemptMs = nowMs + ms;
  }

  #write(text: string): void {
    this.#do({ kind: 'write', text });
  }

  #notice(text: string): void {
    this.#do({ kind: 'log', line: { level: LogLevel.NOTICE, text } });
  }

  #warn(text: string): void {
    this.#do({ kind: 'log', line: { level: LogLevel.WARNING, text } });
  }

  #do(action: LinkAction): void {
    this.#actions.push(action);
  }

  #take(): LinkAction[] {
    const actions = this.#actions;
    this.#actions = [];
    return actions;
  }
}

/** AUTH and REPLCONF, written without waiting in between. */
function handshake(options: LinkOptions): Step[] {
  const { user, password, listeningPort, announceIp, version, capability } = options;
  const steps: Step[] = [];
  const optional = (what: string, ...words: readonly string[]): void => {
    const complaint = `Master does not understand REPLCONF ${what}`;
    steps.push({ text: request('REPLCONF', ...words), isFatal: false, complaint });
  };
  if (password !== '') {
    const words = user === '' ? [password] : [user, password];
    steps.push({
      text: request('AUTH', ...words),
      isFatal: true,
      complaint: 'Unable to AUTH to MASTER',
    });
  }
  optional('listening-port', 'listening-port', String(listeningPort));
  if (announceIp !== '') optional('ip-address', 'ip-address', announceIp);
  const further = capability === '' ? [] : ['capa', capability];
  optional('capa', 'capa', 'eof', 'capa', 'psync2', ...further);
  if (version !== '') optional('VERSION', 'version', version);
  return steps;
}

/** A request of words in latin1. */
function request(...words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`;
}

/** The primary's words, in a form that cannot break or flood the log. */
function shown(text: string): string {
  return text.slice(0, SHOWN_CHARS).replace(/[^\x20-\x7e]/g, '?');
}
