/** What the link to a primary needs of the rest of the node, and what it was granted. */
import { ErrorCode } from '../../base/errors.ts';
import type { Offset } from '../../base/units.ts';
import { Flag } from '../../commands/spec.ts';
import { RDB_VERSION_MAX, VALKEY_VERSION_MAX } from '../../rdb/opcodes.ts';
import type { LinkOptions } from '../../replication/link-handshake.ts';
import type { CachedStream } from '../../replication/link-phase.ts';
import { loadWay } from '../../replication/load-way.ts';
import { hopsCapability, readsCapability } from '../../replication/replconf.ts';
import { isReplid } from '../../replication/replid.ts';
import type { LoadPool } from '../../workers/load-job.ts';
import type { CommandRow } from '../dispatch/command-lookup.ts';
import type { Server } from '../server.ts';
import type { PassedDump } from '../snapshot-source.ts';

const SECOND_MS = 1000;
const READONLY = "READONLY You can't write against a read only replica.";
const MASTERDOWN =
  "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.";

/** Lines of the log. */
export const OWN_STREAM_KEPT =
  'Before turning into a replica, using my own master parameters to synthesize a cached master: ' +
  'I may be able to synchronize with the new master with just a partial transfer.';
export const NO_DATA_HELD =
  'The full sync has failed after the old data was flushed: no data is held';

/** Errors of a load that would most likely occur with the next dump of the same primary too. */
export const FINAL_ERRORS: ReadonlySet<ErrorCode> = new Set([
  ErrorCode.TOO_NEW,
  ErrorCode.UNSUPPORTED,
  ErrorCode.CORRUPT,
  ErrorCode.ARENA_FULL,
]);

export interface UpstreamParts {
  readonly pool: LoadPool;
  /** The port on which this node listens. */
  readonly port: () => number;
  /** Takes over the function libraries of a dump. */
  readonly takeFunctions: (libraries: readonly Uint8Array[]) => void;
  /** Ends the links of all replicas below, so that they ask again. */
  readonly dropReplicas: (reason: string) => void;
  /** Ends the readers of the log or dataset that is about to go, for example snapshots. */
  readonly leaveStream: () => void;
  /**
   * A full sync arrives, and is passed on to those below: the stream `replid` up to `offset`, in
   * `bytes` bytes, -1 when unknown. Undefined when it cannot be passed on.
   */
  readonly passOn: (replid: string, offset: Offset, bytes: number) => PassedDump | undefined;
  /** The dump is loaded and the log begins after it; `passed` is the same dump for those below. */
  readonly dumpLoaded: (passed: PassedDump | undefined) => void;
  /** No attempt to reach the primary is under way. */
  readonly linkFailed: () => void;
  /** Something was appended to the log. */
  readonly flush: () => void;
  /** Ends the waits of all clients with an error: the node's role has changed. */
  readonly unblockAll: (error: string) => void;
  /** The target of FAILOVER has answered. */
  readonly failoverAnswered: (accepted: boolean) => void;
}

/** A full sync that was granted. */
export interface Grant extends CachedStream {
  /** The database that the stream behind the dump has selected; -1 when the dump tells. */
  readonly dbIndex: number;
}

/** Whether the primary has told the id and the offset of its stream: one without PSYNC does not. */
export const isKnown = ({ replid, offset }: Grant): boolean => isReplid(replid) && offset >= 0;

/** The error for a client's command that a replica does not allow, when there is one. */
export function replicaRefusal(
  values: Server['config']['values'],
  isUp: boolean,
  row: CommandRow,
  flags: number,
): string | undefined {
  if ((flags & Flag.WRITE) !== 0 && values.replicaReadOnly) return READONLY;
  if (!isUp && !values.replicaServeStaleData && (row.flags & Flag.STALE) === 0) return MASTERDOWN;
  return undefined;
}

/** What the link tells of this node, which listens on `port`. */
export function linkOptions(server: Server, port: number): LinkOptions {
  const { config, keyspace } = server;
  const { values } = config;
  return {
    user: values.masteruser,
    password: values.masterauth,
    listeningPort: values.replicaAnnouncePort || port,
    announceIp: values.replicaAnnounceIp,
    version: '',
    capability: readsCapability(RDB_VERSION_MAX, VALKEY_VERSION_MAX),
    hopsCapability: values.chainReports ? hopsCapability(server.runId) : '',
    replTimeoutMs: values.replTimeout * SECOND_MS,
    ownId: server.runId,
    failover: server.failover.isRunning,
    loadWay: loadWay(values.replDisklessLoad, keyspace.keyCount === 0),
    rdbChannel: values.replRdbChannel,
    dualChannel: values.dualChannelReplicationEnabled,
  };
}
