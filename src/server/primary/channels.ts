/**
 * Replicas that get their dump by a second connection: who belongs to whom, and the stream that is
 * kept for a main connection which has not asked for it yet. replication/channels.ts has the
 * drawing. Main thread.
 */

import { offsetAfter } from '../../base/units.ts';
import {
  type ChannelDoor,
  endOffsetLine,
  inherit,
  pair,
  rdbChannelLine,
  unpair,
} from '../../replication/channels.ts';
import type { StreamCursor } from '../../replication/log-cursor.ts';
import type { OutputLimit } from '../../replication/output-limit.ts';
import { cutOffText, type OutputGauge, OutputVerdict } from '../../replication/output-limit.ts';
import { Channel, PeerEvent, Phase, replicaName } from '../../replication/replica-state.ts';
import type { Server } from '../server.ts';
import type { DumpSnapshot } from '../snapshot-source.ts';
import type { FanOut } from './fan-out.ts';
import type { ReplicaPeer } from './replica-peer.ts';

const SECOND_MS = 1000;
/** Reservations whose connection has ended; beyond, the oldest one goes. */
export const ORPHANS_MAX = 128;

/** The stream after the dump of a second connection that has ended. */
interface Orphan {
  readonly cursor: StreamCursor;
  readonly gauge: OutputGauge;
  /** The client, as CLIENT LIST describes it. */
  readonly client: string;
  /** By the monotonic clock. */
  readonly sinceMs: number;
}

export class Channels implements ChannelDoor {
  readonly #server: Server;
  readonly #fanOut: FanOut;
  /** Main connections, from the offer on, by client id. */
  readonly #mains = new Map<number, ReplicaPeer>();
  /** Second connections of Valkey whose stream no main connection has asked for, by client id. */
  readonly #reserving = new Map<number, ReplicaPeer>();
  /** The same once they have ended, in that order. */
  readonly #orphans = new Map<number, Orphan>();

  constructor(server: Server, fanOut: FanOut) {
    this.#server = server;
    this.#fanOut = fanOut;
  }

  get honoursRedis(): boolean {
    const { replRdbChannel, replDisklessSync } = this.#server.config.values;
    return replRdbChannel && replDisklessSync;
  }

  get honoursValkey(): boolean {
    const { dualChannelReplicationEnabled, replDisklessSync } = this.#server.config.values;
    return dualChannelReplicationEnabled && replDisklessSync;
  }

  waitsForDump(id: number): boolean {
    return this.#mains.get(id)?.state.phase === Phase.WAIT_CHANNEL;
  }

  reserves(id: number): boolean {
    return this.#reserving.has(id) || this.#orphans.has(id);
  }

  /** `replicas_waiting_psync` of INFO, as Valkey has it. */
  get reservedCount(): number {
    return this.#reserving.size + this.#orphans.size;
  }

  /** Main connections that have not acknowledged their dump. */
  get mainCount(): number {
    return this.#mains.size;
  }

  /** Tells `main`, of Redis, to open a second connection. It is a replica from now on. */
  offer(main: ReplicaPeer): void {
    const { id } = main.connection;
    main.state.channel = Channel.REDIS;
    this.#mains.set(id, main);
    main.answer(rdbChannelLine(id), PeerEvent.OFFER_CHANNEL);
  }

  /** `dump` is a second connection that asks for its dump; `isLegacy`: by SYNC. */
  asks(dump: ReplicaPeer, isLegacy: boolean): void {
    const { state } = dump;
    // It gets no stream, whatever it has told.
    state.rdbOnly = true;
    state.channel = isLegacy && state.mainId === 0 ? Channel.VALKEY : Channel.REDIS;
    const main = this.#mains.get(state.mainId);
    if (main?.state.phase !== Phase.WAIT_CHANNEL) return;
    inherit(state, main.state);
    this.#join(main, dump);
  }

  /**
   * `dump`, a second connection, is about to get the dump of `snapshot`. Returns the line before it
   * when that is not the usual one.
   */
  begins(dump: ReplicaPeer, snapshot: DumpSnapshot): string | undefined {
    const { log } = this.#server;
    const { state, connection } = dump;
    const from = offsetAfter(snapshot.startOffset, 1);
    const name = replicaName(state);
    if (state.channel === Channel.VALKEY) {
      dump.reserve(from);
      this.#reserving.set(connection.id, dump);
      log.notice(
        `Sending to replica ${name} RDB end offset ${snapshot.startOffset} and client-id ` +
          `${connection.id}`,
      );
      return endOffsetLine(snapshot.startOffset, snapshot.replid, snapshot.streamDb, connection.id);
    }
    const main = state.main === undefined ? undefined : this.#mains.get(state.mainId);
    if (main === undefined) {
      log.warning(
        `Starting to deliver RDB to replica ${name} but it has no associated main channel`,
      );
      return undefined;
    }
    main.streamBeside(from);
    this.#fanOut.add(main);
    log.notice(
      `Starting to deliver RDB and replication stream to replica: ${replicaName(main.state)}`,
    );
    return undefined;
  }

  /** Whether the stream that `main` asks for is kept for it, because its dump is on the way. */
  expects(main: ReplicaPeer): boolean {
    return main.state.dumpId !== 0 && this.reserves(main.state.dumpId);
  }

  /** `main`, of Valkey, has its place in the log: the one that was kept for it is free. */
  continued(main: ReplicaPeer): void {
    const { state, connection } = main;
    state.channel = Channel.VALKEY;
    this.#mains.set(connection.id, main);
    const dump = this.#reserving.get(state.dumpId);
    this.#release(state.dumpId);
    if (dump === undefined) return;
    // A dump that is sent ends its connection soon.
    if (dump.record.dumpSentMs >= 0) main.record = dump.record;
    else this.#join(main, dump);
  }

  /** The whole dump of `dump` is written. */
  dumpSent(dump: ReplicaPeer): void {
    const main = unpair(dump.state);
    // Its clock begins: the other connection was watched until now.
    if (main !== undefined) main.heardMs = main.wroteMs = this.#server.clock.turnMs();
  }

  /** `main` has acknowledged its dump. */
  synced(main: ReplicaPeer): void {
    this.#mains.delete(main.connection.id);
  }

  /** The connection of `peer` is gone. Call it before the peer is closed. */
  closed(peer: ReplicaPeer): void {
    const { id } = peer.connection;
    // A second connection may have asked for a stream as if it were a main one.
    this.#mains.delete(id);
    if (!peer.state.isDumpChannel) {
      unpair(peer.state);
      return;
    }
    const isWhole = peer.record.dumpSentMs >= 0;
    if (this.#reserving.has(id)) {
      if (isWhole) this.#orphan(id, peer);
      else this.#release(id);
    }
    const main = this.#mainOf(peer);
    unpair(peer.state);
    if (main === undefined || isWhole) return;
    main.state.heardMs = this.#server.clock.turnMs();
    if (main.state.phase !== Phase.BESIDE_DUMP) return;
    this.#server.log.notice(
      `Closing the main channel of replica ${replicaName(main.state)}: its RDB channel has ended ` +
        'before the whole dump was sent',
    );
    main.connection.destroy();
  }

  /** Called when the log may have grown: lets go of what passes the output limit of a replica. */
  checkLimits(limit: OutputLimit, nowMs: number): void {
    for (const [id, orphan] of this.#orphans) {
      if (orphan.gauge.judge(limit, orphan.cursor.lag, nowMs) === OutputVerdict.WITHIN) continue;
      this.#server.stats.outputLimitDisconnections++;
      this.#server.log.warning(cutOffText(orphan.client));
      this.#release(id);
    }
  }

  eachSecond(nowMs: number): void {
    for (const main of this.#mains.values()) main.noteProgress(nowMs);
    const monotonicMs = this.#server.clock.monotonicMs();
    const timeoutMs = this.#server.config.values.replTimeout * SECOND_MS;
    for (const [id, { sinceMs }] of this.#orphans) {
      const waitedMs = monotonicMs - sinceMs;
      if (waitedMs <= timeoutMs) break;
      this.#server.log.notice(
        'Replica main channel failed to establish PSYNC within the grace period ' +
          `(${Math.floor(waitedMs / SECOND_MS)} seconds). Freeing RDB client ${id}.`,
      );
      this.#release(id);
    }
  }

  /** The stream that is kept ends: nobody can continue it. */
  releaseAll(): void {
    for (const id of [...this.#reserving.keys(), ...this.#orphans.keys()]) this.#release(id);
  }

  #join(main: ReplicaPeer, dump: ReplicaPeer): void {
    pair(main.state, dump.state);
    // One replica, one record: of its dump, and of its stream.
    main.record = dump.record;
  }

  #mainOf(dump: ReplicaPeer): ReplicaPeer | undefined {
    const { main } = dump.state;
    if (main === undefined) return undefined;
    for (const peer of this.#mains.values()) if (peer.state === main) return peer;
    return undefined;
  }

  #orphan(id: number, dump: ReplicaPeer): void {
    this.#reserving.delete(id);
    const cursor = dump.yieldCursor();
    if (cursor === undefined) return;
    const client = dump.connection.describe();
    const sinceMs = this.#server.clock.monotonicMs();
    this.#orphans.set(id, { cursor, gauge: dump.gauge, client, sinceMs });
    if (this.#orphans.size > ORPHANS_MAX) this.#release(this.#orphans.keys().next().value!);
  }

  #release(id: number): void {
    const dump = this.#reserving.get(id);
    this.#reserving.delete(id);
    const cursor = dump?.yieldCursor() ?? this.#orphans.get(id)?.cursor;
    this.#orphans.delete(id);
    if (cursor !== undefined) this.#server.streamLog.closeCursor(cursor);
  }
}
