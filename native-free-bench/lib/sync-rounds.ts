/**
 * Timed full syncs to fake replicas, one after another. The scenarios that measure full syncs share
 * this. One more sync follows without a clock. There every dump must have the checksum that it ends
 * with, the stream must be the same for all replicas, and dump and stream of one replica, played to
 * a stock replica, must give the primary's dataset.
 */
import type { Child } from './child.ts';
import { load, stringKeys } from './dataset.ts';
import { cpuSeconds } from './process-stats.ts';
import { proveMeasured } from './proof.ts';
import type { ReplicaApi, SyncResult } from './replica-child.ts';
import { timeSeries } from './sampling.ts';
import { type Context, until } from './scenario.ts';
import type { Server } from './server.ts';
import { median } from './statistics.ts';

export interface SyncRounds {
  /** From PSYNC to the last byte at the last replica. */
  readonly lastByteMs: number;
  /** From PSYNC to the first byte of the payload at the median replica. */
  readonly firstByteMs: number;
  /** Payload bytes to all replicas, divided by that time. */
  readonly megabytesPerSecond: number;
  /** Processor time of the server per round. */
  readonly cpuSeconds: number;
}

/** Incompressible writes that exceed the default backlog of 1 MB, even if it is kept compressed. */
const REWRITTEN = { keys: 20_000, valueBytes: 200, seed: 0xbac };

/**
 * Lets `replicas` replicas sync `rounds` times and returns the medians. Before each round enough is
 * written that no earlier snapshot can serve it, so each round measures a new snapshot.
 */
export async function syncRounds(
  context: Context,
  server: Server,
  child: Child<ReplicaApi>,
  replicas: number,
  rounds: number,
): Promise<SyncRounds> {
  const results: SyncResult[] = [];
  const cpu: number[] = [];
  const times = await timeSeries(`full sync to ${replicas}`, rounds, async () => {
    await rewrite(server);
    await idle(server);
    const cpuBefore = cpuSeconds(server.pid);
    const job = { port: server.port, replicas, ...context.proving('nothing') };
    const result = await child.call('attach', job);
    await child.call('detach', null);
    await idle(server);
    cpu.push(cpuSeconds(server.pid) - cpuBefore);
    results.push(result);
    return Math.max(...result.lastByteMs);
  });
  await child.call('attach', { port: server.port, replicas, ...context.proving('all') });
  await rewrite(server);
  await proveMeasured(context, server, child);
  await child.call('detach', null);
  await idle(server);
  const megabytes = (median(results.map((result) => result.payloadBytes)) * replicas) / 1e6;
  return {
    lastByteMs: median(times),
    firstByteMs: median(results.map((result) => median(result.firstByteMs))),
    megabytesPerSecond: megabytes / (median(times) / 1000),
    cpuSeconds: median(cpu),
  };
}

/** Writes {@link REWRITTEN}, which also goes to attached replicas. */
export async function rewrite(server: Server): Promise<void> {
  await load(server.port, stringKeys(REWRITTEN.keys, REWRITTEN.valueBytes, REWRITTEN.seed));
}

/** Resolves once no replica is attached and no snapshot runs. */
async function idle(server: Server): Promise<void> {
  await until('no replica, no snapshot', async () => {
    const attached = (await server.control.info('replication')).get('connected_slaves');
    const saving = (await server.control.info('persistence')).get('rdb_bgsave_in_progress');
    return attached === '0' && saving === '0';
  });
}
