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
import { handshake, type LinkOptions, request, type Step } from './link-handshake.ts';
import { type CachedStream, type LinkAction, LinkPhase, ROLE_STATES } from './link-phase.ts';
import { MARK_BYTES } from './link-reader.ts';
import { LinkTrouble, LinkTroubleKind, loopText } from './link-trouble.ts';
import { LoadWay } from './load-way.ts';
import { LogLevel, parseInt64 } from './psync.ts';
import { introducedId } from './replconf.ts';
import { isReplid } from './replid.ts';

/** Replicas below wait this long for the primary to grant this node a sync. */
const RISING_MS = 5000;
/**
 * The pause between attempts is a second. After a dump that this node cannot read, it is longer
 * each time.
 */
const RETRY_MS = 1000;
const RETRY_MS_MAX = 60_000;
/** The pause during FAILOVER: writes wait for its end. */
const FAILOVER_RETRY_MS = 100;
const SECOND_MS = 1000;
/** The timeout of one answer of the handshake. Redis' CONFIG_REPL_SYNCIO_TIMEOUT. */
const ANSWER_TIMEOUT_MS = 5000;
const NO_REPLID = '0'.repeat(40);
const SHOWN_CHARS = 256;
/** A larger size is invalid: no machine has this many bytes. */
const PAYLOAD_BYTES_MAX = 2 ** 47;

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
  /** Dumps in a row that this node cannot load, and the reason of the last one. */
  refusedDumps = 0;
  refusal = '';
  /** What keeps the link from coming up for good. */
  readonly trouble = new LinkTrouble();
  /** The run id of the primary, when it is a headwater that has told it; empty otherwise. */
  primaryId = '';
  #introducedId = '';
  /** When the present attempt began, by the monotonic clock. */
  #attemptMs = 0;
  /** The present attempt has taken longer than RISING_MS. */
  #isLong = false;
  readonly #options: () => LinkOptions;
  readonly #cached: () => CachedStream | undefined;
  #target = '';
  #nextAttemptMs = 0;
  #steps: Step[] = [];
  /** The primary does not know PSYNC: it gives no offsets, so this node sends no ACKs. */
  #isLegacy = false;
  /** How the present dump is loaded. */
  #way: LoadWay = LoadWay.BESIDE;
  /** PSYNC was written with FAILOVER. */
  #asksFailover = false;
  /** The steps of the next attempt are not logged: they are those of the last one. */
  #isQuiet = false;
  /** The last link ended by silence, and no byte of the stream has come since. */
  #wasSilent = false;
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

  /**
   * The link is up, and there is a stream on it. After a silence that ended the last link, only
   * bytes of the stream prove that: nodes in a circle continue each other's stream, and none has
   * one.
   */
  get isConfirmed(): boolean {
    return this.isUp && !this.#wasSilent;
  }

  /**
   * The link is not up, and an attempt to bring it up is under way. A primary that has granted
   * nothing for long may wait for this very node: those below ask again then.
   */
  get isRising(): boolean {
    const { phase } = this;
    if (phase === LinkPhase.NONE || phase === LinkPhase.WAITING || this.isUp) return false;
    return this.isSyncing || !this.#isLong;
  }

  /** Whether a dump is on its way or is being loaded. */
  get isSyncing(): boolean {
    return ROLE_STATES[this.phase] === 'sync';
  }

  /** REPLICAOF, or `replicaof` at the start: `target` is `host:port` for the log. */
  follow(target: string, nowMs: number): LinkAction[] {
    if (this.phase !== LinkPhase.NONE) this.#drop(nowMs);
    this.#target = target;
    this.#acceptDumps();
    this.trouble.reset();
    this.primaryId = '';
    this.#isQuiet = false;
    this.#wasSilent = false;
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
    this.#acceptDumps();
    this.trouble.reset();
    this.primaryId = '';
    return this.#take();
  }

  /** The nodes above have told, on links that are up, that they lead back to this one. */
  loopSeen(): LinkAction[] {
    this.#tellLoop();
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
    } else if (phase === LinkPhase.ASKED) {
      this.#warn('Master did not reply to PSYNC, will try later');
      if (this.#failoverRefused()) return this.#take();
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
        this.#garbled(`Unexpected line from MASTER: ${shown(text)}`, nowMs);
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
    this.#wasSilent = false;
    this.trouble.isLoopTold = false;
    this.lastHeardMs = nowMs;
  }

  /** This node reads nothing now, so the silence is not that of the primary. */
  heldBack(nowMs: number): void {
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
    if (this.#way === LoadWay.BESIDE) {
      this.#notice('MASTER <-> REPLICA sync: Swapping active DB with loaded DB');
      this.#notice('MASTER <-> REPLICA sync: Discarding old DB in background');
    }
    this.#wasSilent = false;
    this.#notice('MASTER <-> REPLICA sync: Finished with success');
    this.#up(nowMs);
    this.#ack(offset, -1, nowMs);
    return this.#take();
  }

  /**
   * The dump cannot be loaded. `isFinal` means that the next dump would most likely fail too, for
   * example because this node does not read its version. The pauses before the next attempts grow
   * then, and the log tells a reason once.
   */
  loadFailed(reason: string, isFinal: boolean, nowMs: number): LinkAction[] {
    // The next dump may have the same fault at another position.
    const cause = printable(reason.replace(/, at position \d+$/, ''));
    if (!isFinal || cause !== this.refusal)
      this.#warn(`Failed trying to load the MASTER synchronization DB: ${printable(reason)}`);
    if (isFinal) {
      if (cause !== this.refusal) {
        this.#notice(
          'A full sync is tried again after pauses of up to ' +
            `${RETRY_MS_MAX / SECOND_MS} seconds, until a dump of MASTER can be loaded.`,
        );
      }
      this.refusedDumps++;
      this.refusal = cause;
    } else {
      this.#acceptDumps();
    }
    this.#do({ kind: 'close' });
    this.#wait(nowMs, this.retryMs);
    return this.#take();
  }

  /**
   * Bytes have come that no primary sends. In the stream, they tell that the held stream cannot be
   * trusted. Before it, nothing was applied, and the held stream stays.
   */
  streamFailed(reason: string, nowMs: number): LinkAction[] {
    const wasApplied = this.phase === LinkPhase.CONNECTED;
    this.#garbled(`Protocol error from MASTER: ${shown(reason)}`, nowMs);
    if (wasApplied) this.#do({ kind: 'forget' });
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

  /** Milliseconds until the next attempt; 0 unless the link waits for it. */
  attemptInMs(nowMs: number): number {
    return this.phase === LinkPhase.WAITING ? Math.max(0, this.#nextAttemptMs - nowMs) : 0;
  }

  /** The pause in ms before the attempt after a dump that failed. */
  get retryMs(): number {
    return Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** Math.min(this.refusedDumps, 16));
  }

  /**
   * Called each second for attempts, timeouts and signs of life. `applied` is the offset to
   * acknowledge; `fsynced` is -1 for none.
   */
  tick(applied: Offset, fsynced: number, nowMs: number): LinkAction[] {
    const { replTimeoutMs } = this.#options();
    const silentMs = nowMs - this.lastHeardMs;
    if (nowMs - this.#attemptMs > RISING_MS) this.#isLong = true;
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
        if (silentMs > replTimeoutMs) {
          this.#warn('Master did not reply to PSYNC, will try later');
          if (!this.#failoverRefused()) this.#giveUp(nowMs);
        }
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
          this.#wasSilent = true;
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
    this.#attemptMs = nowMs;
    this.#isLong = false;
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
      const complaint = `Error reply to PING from master: '${shown(text)}'`;
      // An error may be one that passes, for example of a server that loads its dataset.
      if (text.startsWith('-')) this.#refuse(complaint, nowMs);
      else this.#garbled(complaint, nowMs);
      return;
    }
    this.#notice('Master replied to PING, replication can continue...');
    this.phase = LinkPhase.SHAKING;
    this.#introducedId = '';
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
      this.#garbled(`Unexpected reply to REPLCONF from master: ${shown(text)}`, nowMs);
      return;
    }
    this.#introducedId = introducedId(text) || this.#introducedId;
    if (this.#steps.length > 0) return;
    this.primaryId = this.#introducedId;
    this.#ask();
  }

  #ask(): void {
    const cached = this.#cached();
    this.phase = LinkPhase.ASKED;
    this.#asksFailover = this.#options().failover;
    const words = this.#asksFailover ? ['FAILOVER'] : [];
    if (cached === undefined) {
      this.#notice('Partial resynchronization not possible (no cached master)');
      this.#write(request('PSYNC', '?', '-1', ...words));
      return;
    }
    const next = String(cached.offset + 1);
    this.#notice(`Trying a partial resynchronization (request ${cached.replid}:${next}).`);
    this.#write(request('PSYNC', cached.replid, next, ...words));
  }

  /** The answer to PSYNC. */
  #answered(text: string, nowMs: number): void {
    if (text.startsWith('+')) this.#isQuiet = false;
    if (text.startsWith('+FULLRESYNC')) {
      this.#failoverAccepted();
      this.#fullResync(text);
    } else if (text.startsWith('+CONTINUE')) {
      this.#continue(text, nowMs);
    } else if (text.startsWith('-NOMASTERLINK') || text.startsWith('-LOADING')) {
      this.#later(text, nowMs);
    } else {
      if (text.startsWith('-ERR')) {
        this.#notice(`Master does not support PSYNC or is in error state (reply: ${shown(text)})`);
      } else {
        this.#warn(`Unexpected reply to PSYNC from master: ${shown(text)}`);
      }
      if (this.#failoverRefused()) return;
      this.#notice('Retrying with SYNC...');
      this.#isLegacy = true;
      this.phase = LinkPhase.HEADER;
      this.#write('SYNC\r\n');
      this.#do({ kind: 'full', replid: NO_REPLID, offset: asOffset(-1) });
    }
  }

  /** The primary cannot sync now. */
  #later(text: string, nowMs: number): void {
    const { trouble } = this;
    const isOrphaned = text.startsWith('-NOMASTERLINK');
    const pauseMs = isOrphaned ? trouble.refused(text, this.#options().ownId) : RETRY_MS;
    if (!isOrphaned) trouble.answered();
    const isLoop = trouble.kind === LinkTroubleKind.LOOP;
    if (!isLoop) {
      this.#isQuiet = false;
      this.#notice(
        `Master is currently unable to PSYNC but should be in the future: ${shown(text)}`,
      );
    } else {
      this.#tellLoop();
    }
    if (this.#failoverRefused()) return;
    this.#isQuiet = isLoop;
    this.#giveUp(nowMs, pauseMs);
  }

  #tellLoop(): void {
    if (!this.trouble.isLoopTold) this.#warn(loopText(this.#target));
    this.trouble.isLoopTold = true;
  }

  #fullResync(text: string): void {
    const [, replid = '', offsetText = ''] = text.split(' ');
    const offset = parseInt64(offsetText);
    this.phase = LinkPhase.HEADER;
    if (isReplid(replid) && offset >= 0) {
      // A node in a circle has nothing to give. The dump tells later whether this is a primary.
      if (this.trouble.kind === LinkTroubleKind.LOOP) this.trouble.answered();
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
      const complaint = `Unexpected reply to PSYNC from master: ${shown(text)}`;
      if (this.#asksFailover) this.#warn(complaint);
      if (!this.#failoverRefused()) this.#garbled(complaint, nowMs);
      return;
    }
    this.#failoverAccepted();
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
      this.#garbled(
        `Bad protocol from MASTER, the first byte is not '$' (we received '${shown(text)}'), ` +
          'are you sure the host and port are right?',
        nowMs,
      );
      return;
    }
    if (text.startsWith('$EOF:')) {
      const mark = text.slice('$EOF:'.length);
      if (mark.length !== MARK_BYTES) {
        this.#garbled(`Bad protocol from MASTER, a mark of ${mark.length} bytes`, nowMs);
        return;
      }
      this.#transfer(0, mark, 'streamed RDB from master with EOF');
      return;
    }
    const bytes = parseInt64(text.slice(1));
    if (!(bytes >= 0 && bytes <= PAYLOAD_BYTES_MAX)) {
      this.#garbled(`Bad protocol from MASTER, a dump of '${shown(text.slice(1))}' bytes`, nowMs);
      return;
    }
    this.#transfer(bytes, '', `${bytes} bytes from master`);
  }

  #transfer(bytes: number, mark: string, what: string): void {
    const way = this.#options().loadWay;
    const target = way === LoadWay.STORE_FIRST ? 'disk' : 'parser';
    this.#notice(`MASTER <-> REPLICA sync: receiving ${what} to ${target}`);
    this.#way = way;
    this.phase = LinkPhase.TRANSFER;
    this.payloadBytes = bytes;
    this.payloadReceived = 0;
    // In the other ways this line follows the flush of the old data.
    if (way === LoadWay.BESIDE) this.#notice('MASTER <-> REPLICA sync: Loading DB in memory');
    this.#do({ kind: 'payload', bytes, mark, way });
  }

  #up(nowMs: number): void {
    this.phase = LinkPhase.CONNECTED;
    this.#acceptDumps();
    this.#isQuiet = false;
    this.trouble.answered();
    this.upSinceMs = nowMs;
    this.downSinceMs = -1;
    this.lastHeardMs = nowMs;
    this.currentAttempts = 0;
  }

  /** Forgets about dumps that were refused. */
  #acceptDumps(): void {
    this.refusedDumps = 0;
    this.refusal = '';
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
   * moved on, unless such links end as soon as they begin.
   */
  #lost(nowMs: number): void {
    this.#notice('Connection with master lost.');
    if (this.#cached() !== undefined) this.#notice('Caching the disconnected master state.');
    const pauseMs = this.trouble.lost(nowMs - this.upSinceMs);
    this.#wait(nowMs, pauseMs);
    if (pauseMs > 0) return;
    this.#notice(`Reconnecting to MASTER ${this.#target} after failure`);
    this.#attempt(nowMs);
  }

  /** Gives up an attempt, with a warning; the next one starts in a second. */
  #refuse(text: string, nowMs: number): void {
    this.#warn(text);
    this.#giveUp(nowMs);
  }

  /** Gives up an attempt because of what no primary sends; each next one starts later. */
  #garbled(text: string, nowMs: number): void {
    const upMs = this.phase === LinkPhase.CONNECTED ? nowMs - this.upSinceMs : 0;
    this.#isQuiet = false;
    this.#warn(text);
    this.#giveUp(nowMs, this.trouble.garbled(upMs));
    // What is the same each time is told once.
    this.#isQuiet = true;
  }

  /** Gives up an attempt; the next one starts in `pauseMs`. */
  #giveUp(nowMs: number, pauseMs = RETRY_MS): void {
    this.#do({ kind: 'close' });
    this.#wait(nowMs, pauseMs);
  }

  /** The target of FAILOVER is the primary now. */
  #failoverAccepted(): void {
    if (this.#asksFailover) this.#do({ kind: 'failover', accepted: true });
    this.#asksFailover = false;
  }

  /** Ends a failover whose target does not obey. Returns whether there was one. */
  #failoverRefused(): boolean {
    if (!this.#asksFailover) return false;
    this.#asksFailover = false;
    this.#do({ kind: 'failover', accepted: false });
    return true;
  }

  #drop(nowMs: number): void {
    if (this.phase !== LinkPhase.WAITING) this.#do({ kind: 'close' });
    this.#wait(nowMs, 0);
  }

  #wait(nowMs: number, ms: number): void {
    if (this.downSinceMs < 0) this.downSinceMs = nowMs;
    this.phase = LinkPhase.WAITING;
    this.#steps = [];
    const isFailingOver = this.#options().failover;
    this.#nextAttemptMs = nowMs + (isFailingOver ? Math.min(ms, FAILOVER_RETRY_MS) : ms);
  }

  #write(text: string): void {
    this.#do({ kind: 'write', text });
  }

  #notice(text: string): void {
    if (this.#isQuiet) return;
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

/** The primary's words, in a form that cannot break or flood the log. */
function shown(text: string): string {
  return printable(text.slice(0, SHOWN_CHARS));
}

const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?');
