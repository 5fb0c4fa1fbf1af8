/**
 * The two connections of a replica that gets its dump by a second one. Its stream comes by the main
 * connection meanwhile, and waits at the replica instead of here.
 *
 *   Redis 8    main      PSYNC ? -1 ─▶ +RDBCHANNELSYNC <client id of main>                 ┌─▶ stream from S+1
 *              second    REPLCONF … main-ch-client-id <id>, PSYNC ? -1 ─▶ +FULLRESYNC id S ┴─▶ dump
 *
 *   Valkey 8   main      PSYNC ? -1 ─▶ +DUALCHANNELSYNC
 *              second    SYNC ─▶ $ENDOFF:S id db <client id of second> ─▶ dump
 *              main      REPLCONF set-rdb-client-id <id>, PSYNC id S+1 ─▶ +CONTINUE id ─▶ stream
 *
 *   what waits        for                         for how long
 *   main, Redis       its second connection       repl-timeout
 *   stream, Valkey    PSYNC by main               until its output limit; repl-timeout behind the dump
 *
 * A connection that ends before its dump is sent takes the main one with it: the replica cannot use
 * that stream. The other way round the dump goes on: a replica that has stored it may ask for the
 * stream by another connection. Main thread, no I/O.
 */
import type { Offset } from '../base/units.ts';
import { Channel, type ReplicaState } from './replica-state.ts';

/** What REPLCONF has to know of the other connections of a node. */
export interface ChannelDoor {
  /** Whether the capability is honoured now. */
  readonly honoursRedis: boolean;
  readonly honoursValkey: boolean;
  /** The client `id` is a main connection that was told to open another one. */
  waitsForDump(id: number): boolean;
  /** The stream after the dump of client `id` is kept for a main connection. */
  reserves(id: number): boolean;
}

/** The kind of second connection that `peer` may be told to open. */
export function channelFor(peer: ReplicaState): Channel {
  if (peer.capaRdbChannel) return Channel.REDIS;
  return peer.capaDualChannel ? Channel.VALKEY : Channel.NONE;
}

/** The two are one replica from now on. An earlier second connection of `main` is left alone. */
export function pair(main: ReplicaState, dump: ReplicaState): void {
  if (main.dump !== undefined) main.dump.main = undefined;
  main.dump = dump;
  dump.main = main;
}

/** `peer` is gone, or its dump is sent. Returns the other one of the two. */
export function unpair(peer: ReplicaState): ReplicaState | undefined {
  const other = peer.main ?? peer.dump;
  if (other === undefined) return undefined;
  peer.main = other.main = undefined;
  peer.dump = other.dump = undefined;
  return other;
}

/** A second connection of Redis tells less than the main one, which speaks for it. */
export function inherit(dump: ReplicaState, main: ReplicaState): void {
  if (dump.listeningPort === 0) dump.listeningPort = main.listeningPort;
  if (dump.announcedAddress === '') dump.announcedAddress = main.announcedAddress;
  if (dump.version === 0) dump.version = main.version;
  dump.readsRedis ||= main.readsRedis;
  dump.readsValkey ||= main.readsValkey;
  dump.wantsNoCompression ||= main.wantsNoCompression;
  dump.wantsNoChecksum ||= main.wantsNoChecksum;
}

/** The answer to PSYNC. */
export function rdbChannelLine(mainId: number): string {
  return `+RDBCHANNELSYNC ${mainId}\r\n`;
}
export const DUAL_CHANNEL = 'DUALCHANNELSYNC';

/**
 * The line before a dump of Valkey's second connection: the dump holds the stream `replid` up to
 * `endOffset`, where it has database `db` selected.
 */
export function endOffsetLine(
  endOffset: Offset,
  replid: string,
  db: number,
  dumpId: number,
): string {
  return `$ENDOFF:${endOffset} ${replid} ${db} ${dumpId}\r\n`;
}
