/**
 * What replicas may hold of the log: `client-output-buffer-limit replica`, and what stands in for
 * it where it is 0.
 */
import { MIB } from '../../base/units.ts';
import { type OutputLimit, replicaLimit } from '../../replication/output-limit.ts';
import type { Server } from '../server.ts';

const SECOND_MS = 1000;
/**
 * Bytes beyond the backlog that are kept for those who may still join a snapshot, when replicas
 * have no hard limit.
 */
export const PIN_BYTES_MAX = 256 * MIB;
/** Limits are looked at whenever the stream has grown by so much, and at each tick. */
export const LIMIT_CHECK_BYTES = MIB;

/** The limit of a replica's lag as it holds now. */
export function replicaOutputLimit({ config }: Server): OutputLimit {
  const { hardBytes, softBytes, softSeconds } = config.values.clientOutputBufferLimit.replica;
  const given: OutputLimit = { hardBytes, softBytes, softMs: softSeconds * SECOND_MS };
  return replicaLimit(given, config.values.replBacklogSize);
}

/**
 * The lag up to which the stream behind a snapshot is kept for who joins it: nobody could stay with
 * a longer one.
 */
export function pinnedLagMax(server: Server): number {
  const { hardBytes } = replicaOutputLimit(server);
  return hardBytes === 0 ? server.config.values.replBacklogSize + PIN_BYTES_MAX : hardBytes;
}
