/**
 * SET of 100 bytes at depth 16 with 128 replicas, and the same while 4 of them read 1 MB per second:
 * what slow replicas cost the clients and the other replicas. Both by turns. Between the turns the
 * slow replicas read as the others do, until they have everything.
 */
import { allCaughtUp, proveAttached, proveStreams } from '../lib/proof.ts';
import type { Context, Figure, Measurement, Scenario } from '../lib/scenario.ts';
import { closedSets, NO_LIMIT } from '../lib/sets.ts';
import { median } from '../lib/statistics.ts';
import { Checksum } from '../lib/workload.ts';

const VALUE_BYTES = 100;
const SEED = 0x510;
const FAKES_AT_THE_END = 4;
const BYTES_PER_SECOND = 1e6;
const FULL = { replicas: 128, slow: 4, keys: 100_000, warmUpMs: 500, durationMs: 3000, rounds: 4 };
const SMOKE = { replicas: 4, slow: 1, keys: 2_000, warmUpMs: 10, durationMs: 60, rounds: 1 };

const FIGURES: readonly Figure[] = [
  { id: 'ops', label: 'SET with 128 replicas', unit: 'ops/s', must: null },
  { id: 'ops.slow', label: '  while 4 of them are slow', unit: 'ops/s', must: null },
  { id: 'kept', label: '  of the figure without', unit: 'x', must: { atLeast: 0.95 } },
  { id: 'behind', label: 'a slow one is behind at the end', unit: 'MB', must: null },
];

async function measure(context: Context): Promise<Measurement> {
  const sizes = context.smoke ? SMOKE : FULL;
  const server = await context.start(...NO_LIMIT);
  const generator = context.loadGenerator();
  const replicas = context.replicas();
  const shape = { keys: sizes.keys, valueBytes: VALUE_BYTES, seed: SEED };
  const job = closedSets(server.port, shape);
  const checksum = new Checksum();
  const speeds = { fast: [] as number[], slow: [] as number[] };
  const behind: number[] = [];
  await replicas.call('attach', {
    port: server.port,
    replicas: sizes.replicas,
    slow: sizes.slow,
    ...context.proving('streams'),
  });
  for (let round = 0; round < sizes.rounds; round++) {
    // The order turns around, so that a slower host does not meet one of the two only.
    for (const turn of round % 2 === 0
      ? (['fast', 'slow'] as const)
      : (['slow', 'fast'] as const)) {
      await replicas.call('slowDown', turn === 'slow' ? BYTES_PER_SECOND : 0);
      await generator.call('closed', { ...job, durationMs: sizes.warmUpMs });
      const result = await generator.call('closed', { ...job, durationMs: sizes.durationMs });
      speeds[turn].push(result.replies / result.seconds);
      checksum.add(result.checksum);
      if (turn === 'slow') {
        const { offsets } = await replicas.call('state', null);
        behind.push(Math.max(...offsets) - Math.min(...offsets));
      }
      await replicas.call('slowDown', 0);
      await allCaughtUp(server, replicas);
    }
  }
  await proveStreams(context, server, replicas);
  await replicas.call('detach', null);
  await proveAttached(context, server, replicas, FAKES_AT_THE_END, () =>
    generator.call('closed', { ...job, durationMs: sizes.warmUpMs }),
  );
  const [ops, slow] = [median(speeds.fast), median(speeds.slow)];
  const values = { ops, 'ops.slow': slow, kept: slow / ops, behind: median(behind) / 1e6 };
  return { checksum: checksum.text(), values, notes: [] };
}

export const fanOutSlow: Scenario = {
  name: 'fan-out-slow',
  title: 'SET of 100 bytes at depth 16 with 128 replicas, and with 4 of them at 1 MB per second.',
  runs: 3,
  figures: () => FIGURES,
  measure,
};
