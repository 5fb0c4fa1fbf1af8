/**
 * Answers PSYNC and SYNC with continue, full resync or refusal. The answer depends on the request,
 * the history and the log's window.
 *
 *   request ─▶ already a replica? ── yes ─▶ ignore
 *     │
 *     ├─ FAILOVER ─▶ not a replica, or another id ─▶ refuse ; our id ─▶ promote, then decide again without FAILOVER
 *     ├─ failing over, link to the primary down, replies pending, filter without EOF, bad offset ─▶ refuse
 *     ├─ our id, an offset that we will have soon ─▶ refuse
 *     │
 *     └─ id known (replid, or replid2 up to its offset)  and  the log covers the offset ─▶ continue
 *                                                  else ─▶ full, or a second connection for the dump
 *
 *   While the link to the primary is down:
 *
 *     link                 request that could continue                 request for a full sync
 *     between attempts     continue by relay-serve-stale-psync,        refuse
 *                          else refuse
 *     rising               the same                                    full: the peer waits for what the link brings
 *     a dump is granted    continue by the option, else full           full: the peer gets that dump
 *
 * Pure. The order of the checks and every text are those of Redis (PSYNC2), since replicas, test
 * suites and operators read them. A refusal that means "not now" must not be a plain error: stock
 * replicas would fall back to SYNC.
 */
import { asOffset, type Offset } from '../base/units.ts';
import { Channel } from './replica-state.ts';
import type { ReplicationHistory } from './replid.ts';

export const LogLevel = { NOTICE: 'notice', WARNING: 'warning' } as const;
export type LogLevel = (typeof LogLevel)[keyof typeof LogLevel];

export interface LogLine {
  readonly level: LogLevel;
  readonly text: string;
}

export interface PsyncRequest {
  readonly command: 'PSYNC' | 'SYNC';
  /** As the client sent it: any bytes, read as latin1. Empty for SYNC. */
  readonly replid: string;
  /** As the client sent it, not checked yet. Empty for SYNC. */
  readonly offset: string;
  /** `PSYNC id offset FAILOVER`. */
  readonly failover: boolean;
}

/** The facts about the asking client. */
export interface PsyncClient {
  /** `ip:port` for the log, see `replicaName`. */
  readonly name: string;
  /** It is a replica already: the command is ignored. */
  readonly isReplica: boolean;
  readonly hasPendingReplies: boolean;
  readonly capaEof: boolean;
  readonly capaPsync2: boolean;
  /** It asked for less than the whole dump. */
  readonly filtered: boolean;
  /** It can open a second connection for its dump, and this node honours that. */
  readonly channel: Channel;
  /** It is such a second connection. */
  readonly isDumpChannel: boolean;
}

/** The facts about this node. */
export interface PsyncNode {
  /** This node has a primary itself. */
  readonly isReplica: boolean;
  /** The link to the primary is up and in sync. */
  readonly linkUp: boolean;
  /** The link is down, and an attempt is under way: a full sync waits for its outcome. */
  readonly linkRising: boolean;
  /** A dump was granted to this node and is not loaded yet: the present stream ends with it. */
  readonly resyncs: boolean;
  readonly failingOver: boolean;
  /**
   * Answer a PSYNC that the backlog covers although the link is down (`relay-serve-stale-psync`).
   */
  readonly serveStalePsync: boolean;
  /**
   * This node has a primary, and its link has been up for a short time: more of the stream is on
   * its way.
   */
  readonly catchingUp: boolean;
  /** The ids of this node and of those above it, for the refusal; empty while not known. */
  readonly path: string;
}

/** The part of the log that can be sent. A `StreamLog` is one. */
export interface LogWindow {
  readonly active: boolean;
  /** Offset of the first byte that can be sent. */
  readonly readableFrom: Offset;
  readonly endOffset: Offset;
}

export type PsyncDecision =
  | { readonly kind: 'ignore' }
  /** Become a primary (`ReplicationHistory.shift`), then ask again with `failover: false`. */
  | { readonly kind: 'promote'; readonly log: readonly LogLine[] }
  | { readonly kind: 'refuse'; readonly errorLine: string; readonly log: readonly LogLine[] }
  | {
      readonly kind: 'continue';
      /** First offset to send. */
      readonly from: Offset;
      /** The whole reply; stream bytes follow it directly, without a SELECT. */
      readonly replyLine: string;
      readonly log: readonly LogLine[];
    }
  | {
      readonly kind: 'full';
      /**
       * Without a backlog there is no past: renew the history and start the log before any answer
       * is sent. A node that waits for the stream of its primary makes no history itself.
       */
      readonly needsNewHistory: boolean;
      /** Counts in `sync_partial_err`. */
      readonly countsAsPartialError: boolean;
      /** The peer came by SYNC: expect no ACK from it, and send it no `+FULLRESYNC` line. */
      readonly legacy: boolean;
      readonly log: readonly LogLine[];
    }
  | {
      /** A full sync whose dump shall go by a second connection, which the peer opens. */
      readonly kind: 'channel';
      readonly channel: Channel;
      /** As in `full`; Valkey begins its history when the second connection asks. */
      readonly needsNewHistory: boolean;
      readonly countsAsPartialError: boolean;
      readonly log: readonly LogLine[];
    };

const ERROR_FAILOVER_TO_PRIMARY = "-ERR PSYNC FAILOVER can't be sent to a master.\r\n";
const ERROR_FAILOVER_REPLID = '-ERR PSYNC FAILOVER replid must match my replid.\r\n';
const ERROR_FAILING_OVER = "-NOMASTERLINK Can't SYNC while failing over\r\n";
const ERROR_LINK_DOWN = "-NOMASTERLINK Can't SYNC while not connected with my master";
const ERROR_PENDING_OUTPUT = '-ERR SYNC and PSYNC are invalid with pending output\r\n';
const ERROR_FILTER_NEEDS_EOF = '-ERR Filtered replica requires EOF capability\r\n';
const ERROR_NOT_AN_INTEGER = '-ERR value is not an integer or out of range\r\n';

const INT64_MAX = 2n ** 63n - 1n;
const INT64_MIN = -(2n ** 63n);

/**
 * The number in `text` when it is a canonical signed 64-bit decimal, as Redis reads it, else NaN.
 * Beyond 2^53 the value is rounded, which keeps its order against every offset here.
 */
export function parseInt64(text: string): number {
  if (text.length > 20 || !/^(0|-?[1-9][0-9]*)$/.test(text)) return Number.NaN;
  const value = BigInt(text);
  return value > INT64_MAX || value < INT64_MIN ? Number.NaN : Number(value);
}

export function decidePsync(
  request: PsyncRequest,
  client: PsyncClient,
  node: PsyncNode,
  history: ReplicationHistory,
  window: LogWindow,
): PsyncDecision {
  if (client.isReplica) return { kind: 'ignore' };

  const log: LogLine[] = [];
  if (request.failover) {
    log.push(warning(`Failover request received for replid ${shown(request.replid)}.`));
    if (!node.isReplica) return { kind: 'refuse', errorLine: ERROR_FAILOVER_TO_PRIMARY, log };
    if (!sameId(request.replid, history.replid))
      return { kind: 'refuse', errorLine: ERROR_FAILOVER_REPLID, log };
    return { kind: 'promote', log };
  }

  const stale = node.isReplica && !node.linkUp;
  if (node.failingOver) return { kind: 'refuse', errorLine: ERROR_FAILING_OVER, log };
  if (stale && !node.serveStalePsync && !node.linkRising)
    return { kind: 'refuse', errorLine: linkDownLine(node), log };
  if (client.hasPendingReplies) return { kind: 'refuse', errorLine: ERROR_PENDING_OUTPUT, log };
  if (client.filtered && !client.capaEof)
    return { kind: 'refuse', errorLine: ERROR_FILTER_NEEDS_EOF, log };

  log.push(notice(`Replica ${client.name} asks for synchronization`));
  if (request.command === 'SYNC') {
    if (stale && !node.linkRising) return { kind: 'refuse', errorLine: linkDownLine(node), log };
    return {
      kind: 'full',
      needsNewHistory: !stale && !window.active,
      countsAsPartialError: false,
      legacy: true,
      log,
    };
  }

  const offset = parseInt64(request.offset);
  if (Number.isNaN(offset)) {
    log.push(warning(`Replica ${client.name} asks for synchronization but with a wrong offset`));
    return { kind: 'refuse', errorLine: ERROR_NOT_AN_INTEGER, log };
  }

  const obstacle = obstacleToContinue(request, offset, client, history, window);
  const continues = obstacle.length === 0;
  if (continues && stale && !node.serveStalePsync && !node.resyncs)
    return { kind: 'refuse', errorLine: linkDownLine(node), log };
  if (continues && (!stale || node.serveStalePsync)) {
    const from = asOffset(offset);
    const bytes = window.endOffset - from + 1;
    log.push(
      notice(
        `Partial resynchronization request from ${client.name} accepted. ` +
          `Sending ${bytes} bytes of backlog starting from offset ${from}.`,
      ),
    );
    const replyLine = client.capaPsync2 ? `+CONTINUE ${history.replid}\r\n` : '+CONTINUE\r\n';
    return { kind: 'continue', from, replyLine, log };
  }

  // A relay that has restarted is behind those below it. Redis gives them a full sync.
  if (node.catchingUp && sameId(request.replid, history.replid) && offset > window.endOffset + 1) {
    log.push(notice(`Replica ${client.name} is ahead of this node, which catches up: not now`));
    return { kind: 'refuse', errorLine: linkDownLine(node), log };
  }

  log.push(...obstacle);
  // The stale relay can continue the stream correctly, but cannot vouch for its dataset.
  if (stale && !node.linkRising) return { kind: 'refuse', errorLine: linkDownLine(node), log };
  const countsAsPartialError = !asksForFull(request.replid);
  const needsNewHistory = !stale && !window.active;
  const { channel } = client;
  // A node that waits for its own dump passes that on, on the one connection that is there.
  if (channel !== Channel.NONE && !client.isDumpChannel && !stale) {
    log.push(notice(channelText(client.name, channel)));
    const begins = needsNewHistory && channel === Channel.REDIS;
    return { kind: 'channel', channel, needsNewHistory: begins, countsAsPartialError, log };
  }
  return { kind: 'full', needsNewHistory, countsAsPartialError, legacy: false, log };
}

function channelText(name: string, channel: Channel): string {
  const [sync, connection] =
    channel === Channel.REDIS ? ['rdb channel', 'rdb'] : ['dual channel', 'RDB'];
  return (
    `Replica ${name} is capable of ${sync} synchronization, and partial sync isn't possible. ` +
    `Full sync will continue with dedicated ${connection} channel.`
  );
}

/** The reason, in Redis' words, why the request cannot be continued; empty when it can. */
function obstacleToContinue(
  request: PsyncRequest,
  offset: number,
  { name, isDumpChannel }: PsyncClient,
  history: ReplicationHistory,
  window: LogWindow,
): LogLine[] {
  const isFirst = sameId(request.replid, history.replid);
  const isSecond = sameId(request.replid, history.replid2);
  if (!isFirst && !(isSecond && offset <= history.secondOffset)) {
    if (asksForFull(request.replid)) {
      const which = isDumpChannel ? ' (rdb-channel)' : '';
      return [notice(`Full resync requested by replica ${name}${which}`)];
    }
    if (isSecond) {
      return [
        notice(
          'Partial resynchronization not accepted: Requested offset for second ID was ' +
            `${request.offset}, but I can reply up to ${history.secondOffset}`,
        ),
      ];
    }
    return [
      notice(
        'Partial resynchronization not accepted: Replication ID mismatch (Replica asked for ' +
          `'${shown(request.replid)}', my replication IDs are '${history.replid}' and '${history.replid2}')`,
      ),
    ];
  }
  // One past the end is fine: nothing is missing then.
  if (window.active && offset >= window.readableFrom && offset <= window.endOffset + 1) return [];
  const lines = [
    notice(
      `Unable to partial resync with replica ${name} for lack of backlog (Replica request was: ${request.offset}).`,
    ),
  ];
  // Not in Redis. It tells by how much the history is too short.
  if (window.active) {
    const { readableFrom, endOffset } = window;
    lines.push(notice(`The backlog begins at offset ${readableFrom} and ends at ${endOffset}.`));
  }
  if (offset > window.endOffset) {
    lines.push(
      warning(
        `Warning: replica ${name} tried to PSYNC with an offset that is greater than the master replication offset.`,
      ),
    );
  }
  return lines;
}

/** Behind Redis' words stand the nodes that lead nowhere: see link-trouble.ts. */
export function linkDownLine({ path }: Pick<PsyncNode, 'path'>): string {
  return `${ERROR_LINK_DOWN}${path === '' ? '' : `: ${path}`}\r\n`;
}

/** The log line after `needsNewHistory` was acted on. */
export function backlogCreatedLine(history: ReplicationHistory): LogLine {
  return notice(
    'Replication backlog created, my new replication IDs are ' +
      `'${history.replid}' and '${history.replid2}'`,
  );
}

/** The log line after a promotion. */
export function secondIdLine(history: ReplicationHistory): LogLine {
  return warning(
    `Setting secondary replication ID to ${history.replid2}, valid up to offset: ${history.secondOffset}. ` +
      `New replication ID is ${history.replid}`,
  );
}

/** The first line of a full resync: the dump holds the stream `replid` up to `endOffset`. */
export function fullResyncLine(replid: string, endOffset: Offset): string {
  return `+FULLRESYNC ${replid} ${endOffset}\r\n`;
}

function asksForFull(replid: string): boolean {
  return replid.startsWith('?');
}

function sameId(asked: string, own: string): boolean {
  return asked.length === own.length && asked.toLowerCase() === own.toLowerCase();
}

/** An id as the client sent it, in a form that cannot break or flood the log. */
function shown(replid: string): string {
  return replid.slice(0, 128).replace(/[^\x20-\x7e]/g, '?');
}

function notice(text: string): LogLine {
  return { level: LogLevel.NOTICE, text };
}

function warning(text: string): LogLine {
  return { level: LogLevel.WARNING, text };
}
