/**
 * Follows the nodes above by what they tell in INFO, to find a circle that contains nodes of other
 * products. Their refusals do not name the nodes above them, as those of a headwater do.
 *
 *   this node ─▶ primary ─▶ its primary ─▶ … ─▶ this node again: a loop
 *                INFO: run_id, role, master_host, master_port
 *
 * A walk begins only while the primary refuses this node for want of its own link and names no
 * path. It asks each node twice, at most NODES_MAX of them, and is made again after pauses of 2 s,
 * 4 s, … 60 s, in a loop of 8 s. A node that does not answer, or may not be asked, ends it: nothing
 * is known then, and the link tries each second, as in Redis.
 *
 * Only the primary is given the name and password of the link: the address of any other node is
 * what somebody has told. So a node with a password ends the walk when it is neither the primary
 * nor this node itself. This node knows itself by the connection, which it has at both ends.
 *
 * A node names its primary as it sees it. A loopback address means the node's own machine, so the
 * walk asks there. Main thread.
 */
import { codeOf, ErrorCode, OperatingError } from '../../base/errors.ts';
import { KIB } from '../../base/units.ts';
import type { Housekeeping } from '../housekeeping.ts';
import type { Server } from '../server.ts';
import { Inquiry } from './inquiry.ts';
import type { Upstream } from './upstream.ts';

const NODES_MAX = 16;
const INFO_BYTES_MAX = 64 * KIB;
const PAUSE_MS = 2000;
const PAUSE_MS_MAX = 60_000;
const LOOP_PAUSE_MS = 8000;

const NO_ACCESS = { user: '', password: '' } as const;

interface Address {
  readonly host: string;
  readonly port: number;
}

/** What a node tells of itself. */
export interface Sighting {
  readonly id: string;
  /** The address of its primary; undefined when it has none. */
  readonly above: Address | undefined;
}

export class LoopWalk {
  readonly #server: Server;
  readonly #upstream: Upstream;
  #inquiry: Inquiry | undefined = undefined;
  #isWalking = false;
  /** Walks in a row that found no loop. */
  #vain = 0;
  /** When the next walk is due; -1 while none is needed. */
  #nextMs = -1;

  constructor(server: Server, upstream: Upstream) {
    this.#server = server;
    this.#upstream = upstream;
  }

  wire(housekeeping: Housekeeping): void {
    housekeeping.onTick(() => this.#tick(this.#server.clock.monotonicMs()));
  }

  stop(): void {
    this.#inquiry?.close();
  }

  #tick(nowMs: number): void {
    const { isReplica, link } = this.#upstream;
    if (!isReplica || !link.trouble.isUnnamed) {
      this.#nextMs = -1;
      this.#vain = 0;
    } else if (this.#nextMs < 0) {
      // Most refusals pass: a relay above has lost its link for a moment.
      this.#nextMs = nowMs + PAUSE_MS;
    } else if (nowMs >= this.#nextMs && !this.#isWalking) {
      void this.#walk();
    }
  }

  async #walk(): Promise<void> {
    const { link, host, port } = this.#upstream;
    this.#isWalking = true;
    let path: readonly string[] = [];
    try {
      path = await this.#follow(host, port);
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error;
    }
    this.#isWalking = false;
    const isSame = this.#upstream.host === host && this.#upstream.port === port;
    if (isSame && link.trouble.isUnnamed) link.trouble.walked(path);
    const isLoop = path.includes(this.#server.runId);
    this.#vain = isLoop ? 0 : this.#vain + 1;
    const pauseMs = isLoop ? LOOP_PAUSE_MS : PAUSE_MS * 2 ** Math.min(this.#vain, 16);
    this.#nextMs = this.#server.clock.monotonicMs() + Math.min(pauseMs, PAUSE_MS_MAX);
  }

  /** The run ids of the nodes above, up to the head, this node, or one that came before. */
  async #follow(host: string, port: number): Promise<readonly string[]> {
    const path: string[] = [];
    let at: Sighting['above'] = { host, port };
    while (at !== undefined && path.length < NODES_MAX) {
      const { id, above } = await this.#sight(at, path.length === 0);
      const isKnown = path.includes(id);
      path.push(id);
      if (isKnown || id === this.#server.runId) break;
      at = above === undefined ? undefined : { ...above, host: hostSeenFrom(at.host, above.host) };
    }
    return path;
  }

  async #sight({ host, port }: Address, isPrimary: boolean): Promise<Sighting> {
    const { masteruser, masterauth, bindSourceAddr } = this.#server.config.values;
    const access = isPrimary ? { user: masteruser, password: masterauth } : NO_ACCESS;
    const inquiry = new Inquiry({ host, port, source: bindSourceAddr, ...access }, INFO_BYTES_MAX);
    this.#inquiry = inquiry;
    try {
      return sighting(
        `${await inquiry.ask('INFO', 'server')}\r\n${await inquiry.ask('INFO', 'replication')}`,
      );
    } catch (error) {
      if (codeOf(error) !== ErrorCode.UNSUPPORTED || !this.#isOwn(inquiry)) throw error;
      return { id: this.#server.runId, above: undefined };
    } finally {
      inquiry.close();
    }
  }

  /** The other end of the connection is a client of this node. */
  #isOwn({ localAddress, localPort }: Inquiry): boolean {
    for (const { remoteAddress, remotePort } of this.#server.clients.values())
      if (remotePort === localPort && plainAddress(remoteAddress) === plainAddress(localAddress))
        return true;
    return false;
  }
}

/** An IPv4 address without what a socket for both families puts before it. */
const plainAddress = (address: string): string => address.replace(/^::ffff:/, '');

/** What the sections server and replication of INFO tell. A host is printable ASCII. */
export function sighting(info: string): Sighting {
  const field = (pattern: string): string =>
    new RegExp(`^${pattern}\\r?$`, 'm').exec(info)?.[1] ?? '';
  const id = field('run_id:([0-9a-f]{40})');
  const host = field('master_host:([\\x21-\\x7e]{1,255})');
  const port = Number(field('master_port:(\\d{1,5})'));
  const isReplica = field('role:(\\w+)') === 'slave' && host !== '' && port > 0 && port < 65_536;
  return { id, above: isReplica ? { host, port } : undefined };
}

/** The address `host`, which a node at `node` has told, as it is reached from here. */
export function hostSeenFrom(node: string, host: string): string {
  return isLoopback(host) && !isLoopback(node) ? node : host;
}

const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
