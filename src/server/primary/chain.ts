/**
 * The chain that this node is a part of, as far as it is known: what it answers to the replicas
 * that ask, what it tells its own primary, and the lines of INFO. replication/hops.ts has the form
 * of all that; link/hop-asker.ts asks.
 *
 *   known of            from
 *   the own link        its phase, and the lag that the primary has measured
 *   the hops above      the primary, if it is a headwater that knows them
 *   own replicas        their ACKs, also those of other products
 *   the hops below      the replicas that are headwaters
 *
 * Nothing is known of what is behind a node of another product. Main thread.
 */
import {
  type Branch,
  deeper,
  HOPS_MAX,
  type Hop,
  type HopList,
  hopsText,
  isOld,
  lagBehindHead,
  leadsBack,
  nodeWord,
  parseHops,
  pathAbove,
  treeBelow,
  UNKNOWN,
} from '../../replication/hops.ts';
import { infoState, replicaName } from '../../replication/replica-state.ts';
import { isReplid } from '../../replication/replid.ts';
import type { StreamTimes } from '../../replication/stream-times.ts';
import type { HopAsker, HopTalk } from '../link/hop-asker.ts';
import type { Upstream } from '../link/upstream.ts';
import type { Server } from '../server.ts';
import type { ReplicaPeer } from './replica-peer.ts';

/** A replica acknowledges each second. After two silent ones the lag of the last ACK is too old. */
const ACK_AGE_MS_MAX = 2500;
/** In place of an address that the reader knows. */
const KNOWN_NODE = '-';

export class Chain implements HopTalk {
  /** Asks the primary; set once, when the node is wired. */
  asker: HopAsker | undefined = undefined;
  readonly #server: Server;
  readonly #peers: Iterable<ReplicaPeer>;
  readonly #times: StreamTimes;
  readonly #upstream: () => Upstream | undefined;
  /** What the primary has told: the hop to this node, then those above. */
  #told: readonly Hop[] = [];
  #heardMs = 0;
  /** What replicas have told of the nodes below them. */
  readonly #toldBelow = new WeakMap<ReplicaPeer, readonly Hop[]>();

  constructor(
    server: Server,
    peers: Iterable<ReplicaPeer>,
    times: StreamTimes,
    upstream: () => Upstream | undefined,
  ) {
    this.#server = server;
    this.#peers = peers;
    this.#times = times;
    this.#upstream = upstream;
  }

  /** A replica has acknowledged an offset: its lag is exact now. */
  acked({ state, record }: ReplicaPeer): void {
    const nowMs = this.#nowMs;
    const { endOffset } = this.#server.streamLog;
    record.ackLagBytes = Math.max(0, endOffset - state.ackOffset);
    record.ackLagMs = this.#times.lagMs(state.ackOffset, endOffset, nowMs);
    record.ackedMs = nowMs;
  }

  /**
   * The answer to the node `id` that asks for the chain above it, and tells `below`; undefined when
   * `id` is no run id, or `below` no list of hops.
   */
  answer(id: string, below: string): string | undefined {
    const nowMs = this.#nowMs;
    const told = parseHops(below, nowMs);
    // The id of a replica of another product is empty.
    if (told === undefined || !isReplid(id)) return undefined;
    // A new link may be there before the old one is known to be gone.
    const peer = [...this.#peers].findLast(({ state }) => state.nodeId === id);
    if (peer !== undefined) this.#toldBelow.set(peer, told);
    const first: Hop = {
      ...(peer === undefined ? noHop(nowMs) : this.#hopTo(peer, nowMs)),
      node: KNOWN_NODE,
      id: this.#server.runId,
      role: this.#server.isReplica ? 'replica' : 'primary',
    };
    const hops = [first, ...this.above(nowMs).map(deeper)];
    return hopsText(pathAbove(id, hops, nowMs), nowMs);
  }

  question(): string {
    const nowMs = this.#nowMs;
    return hopsText(this.#below(nowMs).hops, nowMs);
  }

  heard(answer: string): boolean {
    const upstream = this.#upstream();
    const told = parseHops(answer, this.#nowMs);
    const first = told?.[0];
    if (told === undefined || first === undefined || upstream === undefined) return false;
    // Another node may answer at the address of the primary.
    if (first.id !== upstream.link.primaryId) return false;
    this.#told = told;
    this.#heardMs = this.#nowMs;
    if (this.isLoop) upstream.loopSeen();
    return true;
  }

  forget(): void {
    this.#told = [];
  }

  /** The links are up, and following them upward leads back to this node. */
  get isLoop(): boolean {
    const upstream = this.#upstream();
    return upstream?.isUp === true && leadsBack(this.above(this.#nowMs), this.#server.runId);
  }

  /** The hops from this node to the head, as far as known; none on a primary. */
  above(nowMs: number): readonly Hop[] {
    const upstream = this.#upstream();
    if (upstream?.isReplica !== true) return [];
    const { host, port, link } = upstream;
    // What was told before the link came up again may have ended with the last link.
    const isStale = link.isUp && this.#heardMs < link.upSinceMs;
    const [told, ...rest] = isStale ? [] : this.#told;
    const first = told === undefined || isOld(told, nowMs) ? noHop(nowMs) : told;
    const own = { ...first, node: `${host}:${port}`, id: link.primaryId, state: link.phase };
    return pathAbove(this.#server.runId, [own, ...rest], nowMs);
  }

  /** The lines of INFO about the chain. docs/operations.md explains them. */
  info(): string {
    const nowMs = this.#nowMs;
    const above = this.above(nowMs);
    const behind = lagBehindHead(above);
    const { hops, leftOut } = this.#below(nowMs, true);
    const { answers, failures } = this.asker ?? { answers: 0, failures: 0 };
    let text =
      `headwater_chain_above:${above.length}\r\n` +
      `headwater_chain_behind_bytes:${behind.bytes}\r\n` +
      `headwater_chain_behind_ms:${behind.ms}\r\n` +
      `headwater_chain_below:${hops.length + leftOut}\r\n` +
      `headwater_chain_answers:${answers}\r\n` +
      `headwater_chain_failures:${failures}\r\n`;
    above.forEach((hop, index) => {
      text += `headwater_above${index}:${shown(hop, nowMs, ['role', hop.role])}\r\n`;
    });
    let index = 0;
    let via = '';
    for (const hop of hops) {
      // headwater_replica<N> tells of the replicas of this node.
      if (hop.depth === 1) via = nodeWord(hop.node);
      else
        text += `headwater_below${index++}:${shown(hop, nowMs, ['depth', hop.depth], ['via', via])}\r\n`;
    }
    return text;
  }

  #below(nowMs: number, isForInfo = false): HopList {
    const branches = [...this.#peers]
      .filter(({ state }) => state.isReplica)
      .map((peer): Branch => {
        const told = this.#toldBelow.get(peer) ?? [];
        return { hop: this.#hopTo(peer, nowMs), told };
      });
    const max = isForInfo ? branches.length + HOPS_MAX : undefined;
    return treeBelow(this.#server.runId, branches, nowMs, max);
  }

  /** The hop to a replica of this node. */
  #hopTo(peer: ReplicaPeer, nowMs: number): Hop {
    const { state, record } = peer;
    const hop = {
      ...noHop(nowMs),
      node: replicaName(state),
      id: state.nodeId,
      role: 'replica' as const,
      state: infoState(state),
    };
    if (!state.isOnline || !state.hasAcked) return hop;
    if (nowMs - record.ackedMs <= ACK_AGE_MS_MAX) {
      const { ackLagBytes: lagBytes, ackLagMs: lagMs, ackedMs: measuredMs } = record;
      return { ...hop, lagBytes, lagMs, measuredMs };
    }
    const { endOffset } = this.#server.streamLog;
    const lagBytes = Math.max(0, endOffset - state.ackOffset);
    return { ...hop, lagBytes, lagMs: this.#times.lagMs(state.ackOffset, endOffset, nowMs) };
  }

  get #nowMs(): number {
    return this.#server.clock.monotonicMs();
  }
}

function noHop(nowMs: number): Hop {
  return {
    depth: 1,
    node: KNOWN_NODE,
    id: '',
    role: 'unknown',
    state: 'none',
    lagBytes: UNKNOWN,
    lagMs: UNKNOWN,
    measuredMs: nowMs,
  };
}

function shown(
  hop: Hop,
  nowMs: number,
  ...more: readonly (readonly [string, string | number])[]
): string {
  const words: (readonly [string, string | number])[] = [
    ['node', nodeWord(hop.node)],
    ['id', hop.id],
    ...more,
    ['state', hop.state],
    ['lag_bytes', hop.lagBytes],
    ['lag_ms', Math.round(hop.lagMs)],
    ['age_ms', Math.max(0, Math.round(nowMs - hop.measuredMs))],
  ];
  return words.map(([name, value]) => `${name}=${value}`).join(',');
}
