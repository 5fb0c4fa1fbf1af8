/** Full syncs to fake replicas, timed, one after the other: shared by the scenarios that measure them. */
import type { Child } from './child.ts';
import { load, stringKeys } from './dataset.ts';
import { cpuSeconds } from './process-stats.ts';
import type { ReplicaApi, SyncResult } from './replica-child.ts';
import { timeSeries } from './sampling.ts';
import { until } from './scenario.ts';
import type { Server } from './server.ts';
import { median } from './statistics.ts';

export interface SyncRounds {
  /** From PSYNC to the last byte at the last replica. */
  readonly lastByteMs: number;
  /** From PSYNC to the first byte of the payload at the replica in the middle. */
  readonly firstByteMs: number;
  /** Payload bytes to all replicas over that time. */
  readonly megabytesPerSecond: number;
  /** Processor time of the server per round. */
  readonly cpuSeconds: number;
}

/** Incompressible writes that leave the default backlog of 1 MB behind, also where it is kept compressed. */
const REWRITTEN = { keys: 20_000, valueBytes: 200, seed: 0xbac };

/**
 * Has `replicas` replicas sync `rounds` times and returns medians. Before each round so much is written that no snapshot
 * of an earlier round can serve: each measures a snapshot of its own.
 */
export async function syncRounds(
  server: Server,
  child: Child<ReplicaApi>,
  replicas: number,
  rounds: number,
): Promise<SyncRounds> {
  const results: SyncResult[] = [];
  const cpu: number[] = [];
  const times = await timeSeries(`full sync to ${replicas}`, rounds, async () => {
    await load(server.port, stringKeys(REWRITTEN.keys, REWRITTEN.valueBytes, REWRITTEN.seed));
    await idle(server);
    const cpuBefore = cpuSeconds(server.pid);
    const result = await child.call('attach', { port: server.port, replicas });
    await child.call('detach', null);
    await idle(server);
    cpu.push(cpuSeconds(server.pid) - cpuBefore);
    results.push(result);
    return Math.max(...result.lastByteMs);
  });
  const megabytes = (median(results.map((result) => result.payloadBytes)) * replicas) / 1e6;
  return {
    lastByteMs: median(times),
    firstByteMs: median(results.map((result) => median(result.firstByteMs))),
    megabytesPerSecond: megabytes / (median(times) / 1000),
    cpuSeconds: median(cpu),
  };
}

/** No replica is attached and no snapshot runs. */
async function idle(server: Server): Promise<void> {
  await until('no replica, no snapshot', async () => {
    const attached = (await server.control.info('replication')).get('connected_slaves');
    const saving = (await server.control.info('persistence')).get('rdb_bgsave_in_progress');
    return attached === '0' && saving === '0';
  });
}
