/**
 * Asks the primary each second for the hops of the chain above, and tells it those below, when both
 * are headwaters. It uses a connection of its own, because the link cannot carry that: behind PSYNC
 * each byte to a replica is a byte of the stream.
 *
 *   handshake of the link    REPLCONF capa … capa headwater-hops-<own run id>  ─▶
 *                                     ◀─  +OK headwater-hops <run id of the primary>
 *   this connection          REPLCONF headwater-hops <own run id> headwater-below <hops>  ─▶
 *                                     ◀─  $… the hop to this node, and those above it
 *
 * Other products ignore the capability and answer plain OK, and are never asked. A connection that
 * fails does not touch the link; it is made again after pauses of 1 s, 2 s, … 60 s. Main thread.
 */
import { OperatingError } from '../../base/errors.ts';
import { HOPS_BYTES_MAX } from '../../replication/hops.ts';
import type { Housekeeping } from '../housekeeping.ts';
import type { Server } from '../server.ts';
import { Inquiry, type InquiryTarget } from './inquiry.ts';
import type { Upstream } from './upstream.ts';

const SECOND_MS = 1000;
const PAUSE_MS_MAX = 60_000;

/** What is told and heard. */
export interface HopTalk {
  /** The hops below this node, as text. */
  question(): string;
  /** The answer of the primary. False when it is none. */
  heard(answer: string): boolean;
  /** What was heard is of another primary, or of none. */
  forget(): void;
}

export class HopAsker {
  /** Answers that came, and attempts that failed. */
  answers = 0;
  failures = 0;
  readonly #server: Server;
  readonly #upstream: Upstream;
  readonly #talk: HopTalk;
  #inquiry: Inquiry | undefined = undefined;
  /** The address and the run id of the primary that is asked. */
  #askedNode = '';
  #isWaiting = false;
  #nextMs = 0;
  /** Failures in a row. */
  #failed = 0;

  constructor(server: Server, upstream: Upstream, talk: HopTalk) {
    this.#server = server;
    this.#upstream = upstream;
    this.#talk = talk;
  }

  wire(housekeeping: Housekeeping): void {
    housekeeping.onTick(() => this.#tick(this.#server.clock.monotonicMs()));
  }

  stop(): void {
    this.#inquiry?.close();
    this.#inquiry = undefined;
  }

  #tick(nowMs: number): void {
    const { host, port, link, isReplica } = this.#upstream;
    const isOn = isReplica && link.primaryId !== '' && this.#server.config.values.chainReports;
    const node = isOn ? `${host}:${port} ${link.primaryId}` : '';
    if (node !== this.#askedNode) {
      this.stop();
      this.#talk.forget();
      this.#askedNode = node;
      this.#failed = 0;
      this.#nextMs = 0;
    }
    // While the link is down there is no hop to be told of.
    if (!isOn || !(link.isUp || link.isSyncing)) {
      this.stop();
      return;
    }
    if (this.#isWaiting || nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + SECOND_MS;
    void this.#ask();
  }

  async #ask(): Promise<void> {
    if (this.#inquiry?.isClosed !== false)
      this.#inquiry = new Inquiry(this.#target, HOPS_BYTES_MAX);
    const inquiry = this.#inquiry;
    const words = ['headwater-hops', this.#server.runId, 'headwater-below', this.#talk.question()];
    this.#isWaiting = true;
    try {
      const answer = await inquiry.ask('REPLCONF', ...words);
      // Another primary may be followed by now.
      if (this.#inquiry !== inquiry) return;
      if (!this.#talk.heard(answer)) {
        this.#pause();
        return;
      }
      this.answers++;
      this.#failed = 0;
    } catch (error) {
      if (!(error instanceof OperatingError)) throw error;
      if (this.#inquiry === inquiry) this.#pause();
    } finally {
      this.#isWaiting = false;
    }
  }

  #pause(): void {
    this.stop();
    this.failures++;
    const pauseMs = Math.min(PAUSE_MS_MAX, SECOND_MS * 2 ** Math.min(this.#failed, 16));
    this.#failed++;
    this.#nextMs = this.#server.clock.monotonicMs() + pauseMs;
  }

  get #target(): InquiryTarget {
    const { host, port } = this.#upstream;
    const { masteruser, masterauth, bindSourceAddr } = this.#server.config.values;
    return { host, port, source: bindSourceAddr, user: masteruser, password: masterauth };
  }
}
