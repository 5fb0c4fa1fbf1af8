/**
 * A replica of a real primary whose 400 MB are replaced by a full sync of as much: GETs at 200 Hz
 * meanwhile, and memory. redis-server gets `repl-diskless-load swapdb`.
 *
 *   1  the replica has the old dataset; then its link is cut
 *   2  the primary gets the new one, with the same keys: more than its backlog holds
 *   3  the link comes back ─▶ full sync, while the GETs go on
 *
 * Both datasets are of one history of the primary. Only then redis-server serves the old one while
 * it loads the new one.
 */
import { MIB } from '../../src/base/units.ts';
import { caughtUp, follow } from '../lib/chain.ts';
import { load, stringKeys } from '../lib/dataset.ts';
import { settledResidentBytes } from '../lib/process-stats.ts';
import { proveAttached } from '../lib/proof.ts';
import { ResidentPeak } from '../lib/resident-peak.ts';
import { type Context, type Measurement, pause, type Scenario, until } from '../lib/scenario.ts';
import { rewrite } from '../lib/sync-rounds.ts';
import { Checksum } from '../lib/workload.ts';

const KEYS = { full: 400_000, smoke: 4_000 };
const REST_MS = { full: 5000, smoke: 100 };
/** The reads go on for so long before and after the sync. */
const AROUND_MS = { full: 500, smoke: 50 };
const VALUE_BYTES = 1000;
const READS_PER_SECOND = 200;
const SEEDS = { old: 0x401, new: 0x402 };
const FAKES_AT_THE_END = 2;
/** Nothing listens there. */
const NOWHERE = '1';

async function measure(context: Context): Promise<Measurement> {
  const size = context.smoke ? 'smoke' : 'full';
  const keys = KEYS[size];
  const head = await context.startStock();
  const own = context.target.kind === 'redis' ? ['--repl-diskless-load', 'swapdb'] : [];
  const node = await context.start(...own);
  const empty = await settledResidentBytes(node.pid, context.smoke);
  const checksum = new Checksum();
  checksum.add((await load(head.port, stringKeys(keys, VALUE_BYTES, SEEDS.old))).checksum);
  await follow(head, node);
  await caughtUp(head, node);
  await pause(REST_MS[size]);
  const before = await settledResidentBytes(node.pid, context.smoke);
  await node.control.must('REPLICAOF', '127.0.0.1', NOWHERE);
  checksum.add((await load(head.port, stringKeys(keys, VALUE_BYTES, SEEDS.new))).checksum);

  const reader = context.reader();
  const job = { perSecond: READS_PER_SECOND, keys, valueBytes: VALUE_BYTES, seed: SEEDS.old };
  const fullsBefore = Number((await head.control.info('stats')).get('sync_full'));
  await reader.call('start', { port: node.port, ...job });
  await pause(AROUND_MS[size]);
  const peak = new ResidentPeak(node.pid);
  const startedMs = performance.now();
  await follow(head, node);
  await until('a second full sync', async () => {
    const fulls = Number((await head.control.info('stats')).get('sync_full'));
    return fulls > fullsBefore;
  });
  await caughtUp(head, node);
  const sync = performance.now() - startedMs;
  await pause(AROUND_MS[size]);
  const reads = await reader.call('stop', null);
  const most = peak.stop();
  await pause(REST_MS[size] - AROUND_MS[size]);
  const after = await settledResidentBytes(node.pid, context.smoke);
  await proveAttached(
    context,
    node,
    context.replicas(),
    FAKES_AT_THE_END,
    () => rewrite(head),
    head,
  );
  return {
    checksum: checksum.text(),
    values: {
      errors: reads.errors,
      p50: reads.p50Ms,
      p99: reads.p99Ms,
      p999: reads.p999Ms,
      'p999.ratio': reads.p999Ms,
      max: reads.maxMs,
      sync,
      'memory.one': (before - empty) / MIB,
      // Old and new dataset are as large as one another.
      'memory.beyond': (most - before - (before - empty)) / MIB,
      'memory.rest': (after - before) / MIB,
    },
    notes: reads.errors > 0 ? [`the first error of a GET was: ${reads.firstError}`] : [],
  };
}

export const replace: Scenario = {
  name: 'replace',
  title: 'A full sync of 400 MB replaces the dataset of a replica, under 200 GETs per second.',
  runs: 3,
  figures: () => [
    { id: 'errors', label: 'GETs that failed', unit: 'count', must: { below: 1 } },
    { id: 'p50', label: '  p50', unit: 'ms', must: null },
    { id: 'p99', label: '  p99', unit: 'ms', must: null },
    { id: 'p999', label: '  p99.9', unit: 'ms', must: { below: 20 } },
    { id: 'p999.ratio', label: '  p99.9, compared', unit: 'ms', must: { ratioAtMost: 0.5 } },
    { id: 'max', label: '  max', unit: 'ms', must: null },
    { id: 'sync', label: 'REPLICAOF until it has everything', unit: 'ms', must: null },
    { id: 'memory.one', label: 'memory of one dataset', unit: 'MiB', must: null },
    {
      id: 'memory.beyond',
      label: '  in the sync, beyond old + new',
      unit: 'MiB',
      must: { below: 128 },
    },
    {
      id: 'memory.rest',
      label: '  5 s after it, beyond one dataset',
      unit: 'MiB',
      must: { below: 96 },
    },
  ],
  measure,
};
