/**
 * Limits for the part of the log that replicas hold: `client-output-buffer-limit replica`, and its
 * substitute where it is 0.
 */
import { MIB } from '../../base/units.ts';
import { type OutputLimit, replicaLimit } from '../../replication/output-limit.ts';
import type { Server } from '../server.ts';

const SECOND_MS = 1000;
/**
 * Bytes beyond the backlog that are kept for peers that may join a snapshot, when replicas have no
 * hard limit.
 */
export const PIN_BYTES_MAX = 256 * MIB;
/** Limits are checked whenever the stream has grown by this much, and at each tick. */
export const LIMIT_CHECK_BYTES = MIB;

/** The present limit of a replica's lag. */
export function replicaOutputLimit({ config }: Server): OutputLimit {
  const { hardBytes, softBytes, softSeconds } = config.values.clientOutputBufferLimit.replica;
  const given: OutputLimit = { hardBytes, softBytes, softMs: softSeconds * SECOND_MS };
  return replicaLimit(given, config.values.replBacklogSize);
}

/**
 * The lag up to which the stream after a snapshot is kept for joining peers. A peer with a longer
 * lag would be cut off.
 */
export function pinnedLagMax(server: Server): number {
  const { hardBytes } = replicaOutputLimit(server);
  return hardBytes === 0 ? server.config.values.replBacklogSize + PIN_BYTES_MAX : hardBytes;
}
