/**
 * The lag of a replica while its primary, a real one, runs SETs as fast as it can: 50 clients at
 * depth 64, values of 3 bytes, as `redis-benchmark -t set -P 64 -r 100000`, for 10 seconds.
 */
import { caughtUp, follow } from '../lib/chain.ts';
import { LagMeter } from '../lib/lag.ts';
import { cpuSeconds } from '../lib/process-stats.ts';
import { proveAttached } from '../lib/proof.ts';
import type { Context, Measurement, Scenario } from '../lib/scenario.ts';
import { closedSets, NO_LIMIT } from '../lib/sets.ts';

const DURATION_MS = { full: 10_000, smoke: 300 };
const KEYS = { full: 100_000, smoke: 2_000 };
const PROOF_MS = 50;
const VALUE_BYTES = 3;
const SEED = 0x1a6;
const FAKES_AT_THE_END = 2;

async function measure(context: Context): Promise<Measurement> {
  const size = context.smoke ? 'smoke' : 'full';
  // A replica that were cut off would have no lag to measure: the primary keeps what it lacks.
  const head = await context.startStock(...NO_LIMIT);
  const node = await context.start();
  await follow(head, node);
  await caughtUp(head, node);
  const generator = context.loadGenerator();
  const keys = KEYS[size];
  const shape = { keys, valueBytes: VALUE_BYTES, seed: SEED };
  const job = { ...closedSets(head.port, shape), depth: 64 };
  const cpuBefore = cpuSeconds(node.pid);
  const meter = new LagMeter(head, node);
  const result = await generator.call('closed', { ...job, durationMs: DURATION_MS[size] });
  const lag = await meter.stop();
  const stoppedMs = performance.now();
  await caughtUp(head, node);
  const drain = performance.now() - stoppedMs;
  const cpu = cpuSeconds(node.pid) - cpuBefore;
  await proveAttached(
    context,
    node,
    context.replicas(),
    FAKES_AT_THE_END,
    () => generator.call('closed', { ...job, durationMs: PROOF_MS }),
    head,
  );
  const values = {
    end: lag.lastMs,
    max: lag.maxMs,
    median: lag.medianMs,
    drain,
    rate: result.replies / result.seconds,
    cpu: (cpu * 1e6) / result.replies,
  };
  return { checksum: result.checksum, values, notes: [] };
}

export const relayLag: Scenario = {
  name: 'relay-lag',
  title: 'Lag of a replica of a real primary that runs SETs of 3 bytes at depth 64 for 10 seconds.',
  runs: 3,
  figures: () => [
    { id: 'end', label: 'lag at the end', unit: 'ms', must: { below: 100 } },
    { id: 'max', label: '  at most', unit: 'ms', must: { below: 1000 } },
    { id: 'median', label: '  median', unit: 'ms', must: null },
    { id: 'drain', label: '  until it has everything, after the end', unit: 'ms', must: null },
    { id: 'rate', label: 'SETs that the primary ran', unit: 'ops/s', must: null },
    { id: 'cpu', label: '  processor time of the replica for each', unit: 'us/op', must: null },
  ],
  measure,
};
