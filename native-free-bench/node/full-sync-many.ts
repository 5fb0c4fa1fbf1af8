/**
 * 64 replicas request a full sync of 500 MB at once: until the last of them has the last byte, and
 * how often the dataset was serialized for it.
 *
 * As in `full-sync`, redis-server gets its best case, too: it knows how many replicas it has to wait
 * for ("awaited"), and waits up to a second for its cron.
 */
import { load, stringKeys } from '../lib/dataset.ts';
import { cpuSeconds } from '../lib/process-stats.ts';
import { proveAttached, proveMeasured, proveStreams } from '../lib/proof.ts';
import {
  type Context,
  type Figure,
  type Measurement,
  type Scenario,
  until,
} from '../lib/scenario.ts';
import type { Server } from '../lib/server.ts';
import { NO_LIMIT } from '../lib/sets.ts';
import { median } from '../lib/statistics.ts';
import { rewrite } from '../lib/sync-rounds.ts';

const VALUE_BYTES = 1000;
const SEED = 0x64f;
const FULL = { replicas: 64, keys: 490_000 };
const SMOKE = { replicas: 6, keys: 2_000 };
/** Replicas whose whole dumps are checked. A checksum takes a second for each dump. */
const CHECKED = 2;
const FAKES_AT_THE_END = 2;
const IDLE_TIMEOUT_MS = 120_000;

const CASES = [
  { id: 'all', label: '64 replicas', awaited: false, must: { ratioAtMost: 0.4 } },
  { id: 'awaited', label: '64, awaited', awaited: true, must: null },
] as const;

function figures(): Figure[] {
  return CASES.flatMap(({ id, label, must }): Figure[] => [
    { id: `${id}.last`, label: `${label}: PSYNC to the last byte`, unit: 'ms', must },
    { id: `${id}.first`, label: '  PSYNC to first byte', unit: 'ms', must: null },
    { id: `${id}.rate`, label: '  payload to all of them', unit: 'MB/s', must: null },
    { id: `${id}.cpu`, label: '  processor time of the server', unit: 'CPU s', must: null },
    { id: `${id}.forks`, label: '  serializations', unit: 'count', must: { below: 2 } },
  ]);
}

async function measure(context: Context): Promise<Measurement> {
  const sizes = context.smoke ? SMOKE : FULL;
  const server = await context.start(...NO_LIMIT);
  const child = context.replicas();
  const { checksum } = await load(server.port, stringKeys(sizes.keys, VALUE_BYTES, SEED));
  const values: Record<string, number> = {};
  for (const { id, awaited } of CASES) {
    if (awaited) {
      const max = ['repl-diskless-sync-max-replicas', String(sizes.replicas)];
      await server.control.must('CONFIG', 'SET', ...max);
      await server.control.must('CONFIG', 'SET', 'repl-diskless-sync-delay', '5');
    }
    await rewrite(server);
    await idle(server);
    const [cpuBefore, forksBefore] = [cpuSeconds(server.pid), await snapshots(server)];
    const job = { port: server.port, replicas: sizes.replicas, ...context.proving('streams') };
    const result = await child.call('attach', job);
    values[`${id}.last`] = Math.max(...result.lastByteMs);
    values[`${id}.first`] = median(result.firstByteMs);
    values[`${id}.rate`] =
      (result.payloadBytes * sizes.replicas) / 1e3 / Math.max(...result.lastByteMs);
    values[`${id}.forks`] = (await snapshots(server)) - forksBefore;
    values[`${id}.cpu`] = cpuSeconds(server.pid) - cpuBefore;
    await rewrite(server);
    await proveStreams(context, server, child);
    await child.call('detach', null);
    await idle(server);
  }
  await child.call('attach', { port: server.port, replicas: CHECKED, ...context.proving('all') });
  await rewrite(server);
  await proveMeasured(context, server, child);
  await child.call('detach', null);
  await proveAttached(context, server, child, FAKES_AT_THE_END, () => rewrite(server));
  return { checksum, values, notes: [] };
}

/** Returns how many times the dataset was frozen or forked so far. */
async function snapshots(server: Server): Promise<number> {
  const info = await server.control.info('everything');
  return Number(info.get('headwater_snapshots_started') ?? info.get('total_forks'));
}

async function idle(server: Server): Promise<void> {
  await until(
    'no replica, no snapshot',
    async () => {
      const attached = (await server.control.info('replication')).get('connected_slaves');
      const saving = (await server.control.info('persistence')).get('rdb_bgsave_in_progress');
      return attached === '0' && saving === '0';
    },
    IDLE_TIMEOUT_MS,
  );
}

export const fullSyncMany: Scenario = {
  name: 'full-sync-many',
  title: 'Full sync of 500 MB to 64 replicas at once.',
  runs: 1,
  figures,
  measure,
};
