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
 *                           └─────────────────────── LOADING ◀─ TRANSFER ◀─ $ ── HEADER ◀───┤  │
 *                                                       │ loaded                 ▲          │  │
 *                                                       │                granted │          │  │
 *                                                       │                     CHANNEL ◀─────┘  │
 *                                                       │        +RDBCHANNELSYNC, +DUALCHANNELSYNC
 *                                                       ▼                                      │
 *                                                   CONNECTED ◀────────────────────────────────┘
 *
 * Behind CHANNEL there is a second connection, over which the dump comes (dump-channel.ts). The
 * stream comes over the main one meanwhile. What is held of it is applied once the dump is loaded.
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
import { ChannelKind, DumpChannel, mainClientId } from './dump-channel.ts';
import {
  type ChannelOffer,
  handshake,
  type LinkOptions,
  request,
  type Step,
} from './link-handshake.ts';
import { type CachedStream, type LinkAction, LinkPhase } from './link-phase.ts';
import {
  dumpHeader,
  isAlive,
  LinkProgress,
  overdueText,
  RETRY_MS,
  shown,
} from './link-progress.ts';
import { LinkTroubleKind } from './link-trouble.ts';
import { LoadWay } from './load-way.ts';
import { parseInt64 } from './psync.ts';
import { isReplid } from './replid.ts';

/** Replicas below wait this long for the primary to grant this node a sync. */
const RISING_MS = 5000;
/** The pause during FAILOVER: writes wait for its end. */
const FAILOVER_RETRY_MS = 100;
const SECOND_MS = 1000;
const NO_REPLID = '0'.repeat(40);
/**
 * After so many second connections in a row over which no dump was granted, the next full sync is
 * to be a classic one: something between the nodes may allow one connection only.
 */
const CHANNEL_FAILURES_MAX = 3;
const NO_CHANNELS: ChannelOffer = { rdbChannel: false, dualChannel: false };

export class LinkState extends LinkProgress {
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
  /** What this attempt has offered, and the second connection that it has led to. */
  #offer: ChannelOffer = NO_CHANNELS;
  #channel: DumpChannel | undefined = undefined;
  #channelFailures = 0;
  #nowMs = 0;
  /** PSYNC was written with FAILOVER. */
  #asksFailover = false;
  /** The last link ended by silence, and no byte of the stream has come since. */
  #wasSilent = false;
  #lastAckMs = 0;

  constructor(options: () => LinkOptions, cached: () => CachedStream | undefined) {
    super();
    this.#options = options;
    this.#cached = cached;
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

  /**
   * The stream behind the dump comes over this very connection, or comes over the main one already.
   * Without it a dump that is loaded does not take the place of the old dataset.
   */
  get hasStream(): boolean {
    return this.#channel?.hasStream !== false;
  }

  /** REPLICAOF, or `replicaof` at the start: `target` is `host:port` for the log. */
  follow(target: string, nowMs: number): LinkAction[] {
    if (this.phase !== LinkPhase.NONE) this.#drop(nowMs);
    this.#target = target;
    this.forgetPrimary();
    this.isQuiet = false;
    this.#wasSilent = false;
    this.#channelFailures = 0;
    this.currentAttempts = 0;
    this.downSinceMs = nowMs;
    this.notice(`Connecting to MASTER ${target}`);
    this.#attempt(nowMs);
    return this.take();
  }

  /** REPLICAOF NO ONE. */
  unfollow(nowMs: number): LinkAction[] {
    if (this.phase !== LinkPhase.NONE) this.#drop(nowMs);
    this.phase = LinkPhase.NONE;
    this.forgetPrimary();
    return this.take();
  }

  /** The nodes above have told, on links that are up, that they lead back to this one. */
  loopSeen(): LinkAction[] {
    this.tellLoop(this.#target);
    return this.take();
  }

  /** The connection is open. */
  opened(nowMs: number): LinkAction[] {
    assert(this.phase === LinkPhase.CONNECTING, 'a connection opens that was asked for');
    this.lastHeardMs = nowMs;
    this.phase = LinkPhase.PINGED;
    this.notice('Non blocking connect for SYNC fired the event.');
    this.write(request('PING'));
    return this.take();
  }

  /**
   * The connection failed or is gone. `reason` is empty when the primary has closed it.
   */
  closed(reason: string, nowMs: number): LinkAction[] {
    const { phase } = this;
    if (phase === LinkPhase.NONE || phase === LinkPhase.WAITING) return this.take();
    if (phase === LinkPhase.CONNECTED) {
      this.#lost(nowMs);
      return this.take();
    }
    if (this.#channel !== undefined) {
      this.warn(`${this.#channel.words.mainLost}: ${shown(reason || 'connection closed')}`);
      this.#giveUp(nowMs);
      return this.take();
    }
    if (phase === LinkPhase.CONNECTING) {
      this.warn(`Error condition on socket for SYNC: ${shown(reason || 'connection closed')}`);
    } else if (phase === LinkPhase.TRANSFER || phase === LinkPhase.HEADER) {
      this.warn(`I/O error trying to sync with MASTER: ${shown(reason || 'connection lost')}`);
    } else if (phase === LinkPhase.ASKED) {
      this.warn('Master did not reply to PSYNC, will try later');
      if (this.#failoverRefused()) return this.take();
    } else {
      this.warn('Master did not respond to command during SYNC handshake');
    }
    this.#wait(nowMs, RETRY_MS);
    return this.take();
  }

  /**
   * The whole dump is here, and what is held of the stream is to be applied even when the main
   * connection is gone: the link is {@link closed} after that.
   */
  get outlivesMain(): boolean {
    const isWhole = this.phase === LinkPhase.LOADING && this.#channel?.hasStream === true;
    return isWhole || this.phase === LinkPhase.CONNECTED;
  }

  /** The main connection is gone, and {@link outlivesMain}. */
  mainLost(reason: string): LinkAction[] {
    assert(this.outlivesMain, 'a link whose connection is lost has the whole dump');
    if (this.#channel !== undefined) {
      this.warn(`${this.#channel.words.mainLost}: ${shown(reason || 'connection closed')}`);
      this.notice('After loading RDB, replica will try psync with master.');
    }
    return this.take();
  }

  /** The second connection is open. */
  secondOpened(nowMs: number): LinkAction[] {
    this.lastHeardMs = nowMs;
    this.#channel?.opened();
    return this.take();
  }

  /** A line has come over the second connection. */
  secondLine(text: string, nowMs: number): LinkAction[] {
    this.lastHeardMs = nowMs;
    this.#nowMs = nowMs;
    if (this.phase === LinkPhase.CHANNEL) this.#channel?.line(text, nowMs);
    else if (this.phase !== LinkPhase.HEADER)
      this.#garbled(`Unexpected line from MASTER: ${shown(text)}`, nowMs);
    else if (text !== '') this.#header(text, nowMs);
    return this.take();
  }

  /** The second connection failed or is gone; harmless once the whole dump has come. */
  secondClosed(reason: string, nowMs: number): LinkAction[] {
    const { phase } = this;
    if (phase === LinkPhase.CHANNEL && this.#channel !== undefined) {
      this.#nowMs = nowMs;
      this.#channelFailed(this.#channel.lost(reason), false);
    } else if (phase === LinkPhase.HEADER || phase === LinkPhase.TRANSFER) {
      const why = shown(reason || 'connection lost');
      this.#refuse(`I/O error trying to sync with MASTER: ${why}`, nowMs);
    }
    return this.take();
  }

  /** A line has come while lines are expected. */
  line(text: string, nowMs: number): LinkAction[] {
    if (this.#channel !== undefined) {
      this.#nowMs = nowMs;
      this.#channel.mainLine(text, nowMs);
      return this.take();
    }
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
    return this.take();
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
    this.#channel?.heldBack(nowMs);
  }

  /** The dump is loaded, and is this node's dataset. */
  loaded(offset: Offset, nowMs: number): LinkAction[] {
    assert(this.phase === LinkPhase.LOADING, 'a dump was loaded that is complete');
    assert(this.hasStream, 'a dump that replaces the dataset has a stream behind it');
    if (this.#way === LoadWay.BESIDE) {
      this.notice('MASTER <-> REPLICA sync: Swapping active DB with loaded DB');
      this.notice('MASTER <-> REPLICA sync: Discarding old DB in background');
    }
    this.#wasSilent = false;
    this.notice('MASTER <-> REPLICA sync: Finished with success');
    if (this.#channel !== undefined) this.act({ kind: 'close-second' });
    this.#channel = undefined;
    this.#up(nowMs);
    this.#ack(offset, -1, nowMs);
    return this.take();
  }

  /**
   * The dump cannot be loaded. `isFinal` means that the next dump would most likely fail too, for
   * example because this node does not read its version. The pauses before the next attempts grow
   * then, and the log tells a reason once.
   */
  loadFailed(reason: string, isFinal: boolean, nowMs: number): LinkAction[] {
    this.refuseDump(reason, isFinal);
    this.act({ kind: 'close' });
    this.#wait(nowMs, this.retryMs);
    return this.take();
  }

  /**
   * Bytes have come that no primary sends. In the stream, they tell that the held stream cannot be
   * trusted. Before it, nothing was applied, and the held stream stays.
   */
  streamFailed(reason: string, nowMs: number): LinkAction[] {
    const wasApplied = this.phase === LinkPhase.CONNECTED;
    this.#garbled(`Protocol error from MASTER: ${shown(reason)}`, nowMs);
    if (wasApplied) this.act({ kind: 'forget' });
    return this.take();
  }

  /** Bytes of the primary could not be applied: the dataset does not match the stream. */
  datasetLost(reason: string, nowMs: number): LinkAction[] {
    this.warn(`The dataset is no longer that of MASTER, a full sync is needed: ${shown(reason)}`);
    this.act({ kind: 'close' });
    this.act({ kind: 'forget' });
    this.#wait(nowMs, RETRY_MS);
    return this.take();
  }

  /** Milliseconds until the next attempt; 0 unless the link waits for it. */
  attemptInMs(nowMs: number): number {
    return this.phase === LinkPhase.WAITING ? Math.max(0, this.#nextAttemptMs - nowMs) : 0;
  }

  /**
   * Called each second for attempts, timeouts and signs of life. `applied` is the offset to
   * acknowledge; `fsynced` is -1 for none.
   */
  tick(applied: Offset, fsynced: number, nowMs: number): LinkAction[] {
    const { replTimeoutMs } = this.#options();
    const silentMs = nowMs - this.lastHeardMs;
    if (nowMs - this.#attemptMs > RISING_MS) this.#isLong = true;
    if (this.#channel !== undefined) this.#tickChannel(this.#channel, silentMs, nowMs);
    const overdue = overdueText(this.phase, silentMs, replTimeoutMs);
    if (overdue !== '') this.#refuse(overdue, nowMs);
    switch (this.phase) {
      case LinkPhase.WAITING:
        if (nowMs >= this.#nextAttemptMs) {
          this.notice(`Connecting to MASTER ${this.#target}`);
          this.#attempt(nowMs);
        }
        break;
      case LinkPhase.ASKED:
        if (silentMs > replTimeoutMs) {
          this.warn('Master did not reply to PSYNC, will try later');
          if (!this.#failoverRefused()) this.#giveUp(nowMs);
        }
        break;
      case LinkPhase.LOADING:
        if (this.#channel === undefined) this.#showLife();
        break;
      case LinkPhase.CONNECTED:
        if (silentMs > replTimeoutMs) {
          this.warn('MASTER timeout: no data nor PING received...');
          this.#wasSilent = true;
          this.act({ kind: 'close' });
          this.#lost(nowMs);
        } else if (nowMs - this.#lastAckMs >= SECOND_MS) {
          this.#ack(applied, fsynced, nowMs);
        }
        break;
      default:
    }
    return this.take();
  }

  /** Sends an ACK at once: GETACK came. */
  acknowledge(applied: Offset, fsynced: number, nowMs: number): LinkAction[] {
    if (this.phase === LinkPhase.CONNECTED) this.#ack(applied, fsynced, nowMs);
    return this.take();
  }

  #attempt(nowMs: number): void {
    this.phase = LinkPhase.CONNECTING;
    this.#attemptMs = nowMs;
    this.#isLong = false;
    this.#isLegacy = false;
    const isClassic = this.#channelFailures >= CHANNEL_FAILURES_MAX;
    const { rdbChannel, dualChannel } = this.#options();
    this.#offer = isClassic ? NO_CHANNELS : { rdbChannel, dualChannel };
    this.lastHeardMs = nowMs;
    this.currentAttempts++;
    this.totalAttempts++;
    this.notice('MASTER <-> REPLICA sync started');
    this.act({ kind: 'connect' });
  }

  #pinged(text: string, nowMs: number): void {
    if (!isAlive(text)) {
      const complaint = `Error reply to PING from master: '${shown(text)}'`;
      // An error may be one that passes, for example of a server that loads its dataset.
      if (text.startsWith('-')) this.#refuse(complaint, nowMs);
      else this.#garbled(complaint, nowMs);
      return;
    }
    this.notice('Master replied to PING, replication can continue...');
    this.phase = LinkPhase.SHAKING;
    this.shakes();
    this.#steps = handshake(this.#options(), this.#offer);
    this.write(this.#steps.map((step) => step.text).join(''));
  }

  #shaken(text: string, nowMs: number): void {
    const step = this.#steps.shift();
    assert(step !== undefined, 'an answer belongs to a step');
    if (text.startsWith('-')) {
      if (step.isFatal) {
        this.#refuse(`${step.complaint}: ${shown(text)}`, nowMs);
        return;
      }
      this.notice(`(Non critical) ${step.complaint}: ${shown(text)}`);
    } else if (!text.startsWith('+')) {
      // The line does not answer REPLCONF: it is of another protocol, or another product.
      this.#garbled(`Unexpected reply to REPLCONF from master: ${shown(text)}`, nowMs);
      return;
    }
    const isLast = this.#steps.length === 0;
    this.shaken(text, isLast);
    if (isLast) this.#ask();
  }

  #ask(): void {
    const cached = this.#cached();
    this.phase = LinkPhase.ASKED;
    this.#asksFailover = this.#options().failover;
    const words = this.#asksFailover ? ['FAILOVER'] : [];
    if (cached === undefined) {
      this.notice('Partial resynchronization not possible (no cached master)');
      this.write(request('PSYNC', '?', '-1', ...words));
      return;
    }
    const next = String(cached.offset + 1);
    this.notice(`Trying a partial resynchronization (request ${cached.replid}:${next}).`);
    this.write(request('PSYNC', cached.replid, next, ...words));
  }

  /** The answer to PSYNC. */
  #answered(text: string, nowMs: number): void {
    if (text.startsWith('+')) this.isQuiet = false;
    if (text.startsWith('+FULLRESYNC')) {
      this.#failoverAccepted();
      this.#fullResync(text);
    } else if (text.startsWith('+RDBCHANNELSYNC') && this.#offer.rdbChannel) {
      this.#openChannel(ChannelKind.REDIS, text, nowMs);
    } else if (text === '+DUALCHANNELSYNC' && this.#offer.dualChannel) {
      this.#openChannel(ChannelKind.VALKEY, text, nowMs);
    } else if (text.startsWith('+CONTINUE')) {
      this.#continue(text, nowMs);
    } else if (text.startsWith('-NOMASTERLINK') || text.startsWith('-LOADING')) {
      this.#later(text, nowMs);
    } else {
      if (text.startsWith('-ERR')) {
        this.notice(`Master does not support PSYNC or is in error state (reply: ${shown(text)})`);
      } else {
        this.warn(`Unexpected reply to PSYNC from master: ${shown(text)}`);
      }
      if (this.#failoverRefused()) return;
      this.notice('Retrying with SYNC...');
      this.#isLegacy = true;
      this.phase = LinkPhase.HEADER;
      this.write('SYNC\r\n');
      this.#grant(NO_REPLID, asOffset(-1), -1);
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
      this.isQuiet = false;
      this.notice(
        `Master is currently unable to PSYNC but should be in the future: ${shown(text)}`,
      );
    } else {
      this.tellLoop(this.#target);
    }
    if (this.#failoverRefused()) return;
    this.isQuiet = isLoop;
    this.#giveUp(nowMs, pauseMs);
  }

  #fullResync(text: string): void {
    const [, replid = '', offsetText = ''] = text.split(' ');
    const offset = parseInt64(offsetText);
    if (isReplid(replid) && offset >= 0) {
      this.#granted(replid, asOffset(offset), -1);
      return;
    }
    // The dump is usable, but the offset of its stream is unknown.
    this.warn('Master replied with wrong +FULLRESYNC syntax.');
    this.#isLegacy = true;
    this.#grant(NO_REPLID, asOffset(-1), -1);
  }

  #granted(replid: string, offset: Offset, dbIndex: number): void {
    // A node in a circle has nothing to give. The dump tells later whether this is a primary.
    if (this.trouble.kind === LinkTroubleKind.LOOP) this.trouble.answered();
    this.notice(`Full resync from master: ${replid}:${offset}`);
    this.#grant(replid, offset, dbIndex);
  }

  #grant(replid: string, offset: Offset, dbIndex: number): void {
    this.phase = LinkPhase.HEADER;
    this.act({ kind: 'full', replid, offset, dbIndex });
  }

  /** The dump is to come over a second connection. `text` is the answer to PSYNC. */
  #openChannel(kind: ChannelKind, text: string, nowMs: number): void {
    const mainId = kind === ChannelKind.REDIS ? mainClientId(text) : '';
    if (mainId === undefined) {
      const complaint = `Master replied with wrong +RDBCHANNELSYNC syntax: ${shown(text)}`;
      if (this.#asksFailover) this.warn(complaint);
      if (!this.#failoverRefused()) this.#garbled(complaint, nowMs);
      return;
    }
    this.#failoverAccepted();
    this.phase = LinkPhase.CHANNEL;
    this.#channel = new DumpChannel(kind, mainId, this.#options(), {
      act: (action) => this.act(action),
      notice: (line) => this.notice(line),
      granted: (grant) => this.#granted(grant.replid, grant.offset, grant.dbIndex),
      failed: (line, isGarbage) => this.#channelFailed(shown(line), isGarbage),
    });
  }

  /** The second connection, or what belongs to it on the main one, has failed. */
  #channelFailed(text: string, isGarbage: boolean): void {
    if (++this.#channelFailures === CHANNEL_FAILURES_MAX) {
      this.notice(
        `${CHANNEL_FAILURES_MAX} full syncs over a second connection have failed before their ` +
          'dump, so the next one is to be a classic one.',
      );
    }
    if (isGarbage) this.#garbled(text, this.#nowMs);
    else this.#refuse(text, this.#nowMs);
  }

  #tickChannel(channel: DumpChannel, silentMs: number, nowMs: number): void {
    const { replTimeoutMs } = this.#options();
    const complaint =
      (this.phase === LinkPhase.CHANNEL ? channel.overdue(silentMs, replTimeoutMs) : '') ||
      channel.mainOverdue(nowMs, replTimeoutMs);
    this.#nowMs = nowMs;
    if (complaint !== '') this.#channelFailed(complaint, false);
    // The primary sends the stream, and hears of no offset before the dump is loaded.
    else if (channel.hasStream && this.phase !== LinkPhase.CHANNEL) this.#showLife();
  }

  /** The primary takes an empty line for a sign of life. */
  #showLife(): void {
    this.write('\n');
  }

  #continue(text: string, nowMs: number): void {
    const cached = this.#cached();
    const [, replid = ''] = text.split(' ');
    if (cached === undefined || (replid !== '' && !isReplid(replid))) {
      const complaint = `Unexpected reply to PSYNC from master: ${shown(text)}`;
      if (this.#asksFailover) this.warn(complaint);
      if (!this.#failoverRefused()) this.#garbled(complaint, nowMs);
      return;
    }
    this.#failoverAccepted();
    this.notice('Successful partial resynchronization with master.');
    const isNew = replid !== '' && replid !== cached.replid;
    if (isNew) this.warn(`Master replication ID changed to ${replid}`);
    this.act({ kind: 'continue', replid: isNew ? replid : '' });
    this.#up(nowMs);
    this.#ack(cached.offset, -1, nowMs);
  }

  /** The line before the dump. */
  #header(text: string, nowMs: number): void {
    if (text.startsWith('-')) {
      this.#refuse(`MASTER aborted replication with an error: ${shown(text)}`, nowMs);
      return;
    }
    const header = dumpHeader(text);
    if (typeof header === 'string') this.#garbled(header, nowMs);
    else this.#transfer(header.bytes, header.mark, header.what);
  }

  #transfer(bytes: number, mark: string, what: string): void {
    const way = this.#options().loadWay;
    const target = way === LoadWay.STORE_FIRST ? 'disk' : 'parser';
    this.notice(`MASTER <-> REPLICA sync: receiving ${what} to ${target}`);
    this.#way = way;
    this.phase = LinkPhase.TRANSFER;
    this.payloadBytes = bytes;
    this.payloadReceived = 0;
    // In the other ways this line follows the flush of the old data.
    if (way === LoadWay.BESIDE) this.notice('MASTER <-> REPLICA sync: Loading DB in memory');
    this.act({ kind: 'payload', bytes, mark, way });
  }

  #up(nowMs: number): void {
    this.phase = LinkPhase.CONNECTED;
    this.#channelFailures = 0;
    this.acceptDumps();
    this.isQuiet = false;
    this.trouble.answered();
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
    this.write(request(...words));
  }

  /**
   * A link that was up is gone. The next attempt comes at once, before the primary's backlog has
   * moved on, unless such links end as soon as they begin.
   */
  #lost(nowMs: number): void {
    this.notice('Connection with master lost.');
    if (this.#cached() !== undefined) this.notice('Caching the disconnected master state.');
    const pauseMs = this.trouble.lost(nowMs - this.upSinceMs);
    this.#wait(nowMs, pauseMs);
    if (pauseMs > 0) return;
    this.notice(`Reconnecting to MASTER ${this.#target} after failure`);
    this.#attempt(nowMs);
  }

  /** Gives up an attempt, with a warning; the next one starts in a second. */
  #refuse(text: string, nowMs: number): void {
    this.warn(text);
    this.#giveUp(nowMs);
  }

  /** Gives up an attempt because of what no primary sends; each next one starts later. */
  #garbled(text: string, nowMs: number): void {
    const upMs = this.phase === LinkPhase.CONNECTED ? nowMs - this.upSinceMs : 0;
    this.isQuiet = false;
    this.warn(text);
    this.#giveUp(nowMs, this.trouble.garbled(upMs));
    // What is the same each time is told once.
    this.isQuiet = true;
  }

  /** Gives up an attempt; the next one starts in `pauseMs`. */
  #giveUp(nowMs: number, pauseMs = RETRY_MS): void {
    this.act({ kind: 'close' });
    this.#wait(nowMs, pauseMs);
  }

  /** The target of FAILOVER is the primary now. */
  #failoverAccepted(): void {
    if (this.#asksFailover) this.act({ kind: 'failover', accepted: true });
    this.#asksFailover = false;
  }

  /** Ends a failover whose target does not obey. Returns whether there was one. */
  #failoverRefused(): boolean {
    if (!this.#asksFailover) return false;
    this.#asksFailover = false;
    this.act({ kind: 'failover', accepted: false });
    return true;
  }

  #drop(nowMs: number): void {
    if (this.phase !== LinkPhase.WAITING) this.act({ kind: 'close' });
    this.#wait(nowMs, 0);
  }

  #wait(nowMs: number, ms: number): void {
    if (this.downSinceMs < 0) this.downSinceMs = nowMs;
    this.phase = LinkPhase.WAITING;
    this.#steps = [];
    if (this.#channel !== undefined) this.notice(this.#channel.words.aborts);
    this.#channel = undefined;
    const isFailingOver = this.#options().failover;
    this.#nextAttemptMs = nowMs + (isFailingOver ? Math.min(ms, FAILOVER_RETRY_MS) : ms);
  }
}
