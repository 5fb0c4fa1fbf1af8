/**
 * SET of 100 bytes at depth 16 while N replicas are attached: the cost of feeding them.
 *
 * The clock of the throughput stops when the clients stop, so a server could look fast by falling
 * behind. Therefore the time until the last replica has everything is also a figure, and the
 * processor time is counted until then. Every replica must get the same bytes. The bytes of one
 * replica, played to a stock replica, must give the primary's dataset.
 */
import { cpuSeconds } from '../lib/process-stats.ts';
import { allCaughtUp, proveAttached, proveMeasured } from '../lib/proof.ts';
import type { Context, Figure, Measurement, Must, Scenario } from '../lib/scenario.ts';
import { closedSets, DEPTH, NO_LIMIT } from '../lib/sets.ts';
import { Checksum } from '../lib/workload.ts';

const VALUE_BYTES = 100;
const SEED = 0xfa0;
const GB = 1e9;
/** Fake replicas that are attached beside the stock one for the proof at the end. */
const FAKES_AT_THE_END = 4;

const FULL = { replicas: [0, 1, 16, 64, 128], keys: 100_000, warmUpMs: 500, durationMs: 3000 };
const SMOKE = { replicas: [0, 1, 4], keys: 2_000, warmUpMs: 10, durationMs: 60 };

/**
 * Goals: at least this many times redis-server's throughput, and at most this share of its
 * processor time per byte sent.
 */
const MUST: Readonly<Record<number, { ops: Must; cpu: Must }>> = {
  64: { ops: { ratioAtLeast: 2.6 }, cpu: { ratioAtMost: 0.45 } },
  128: { ops: { ratioAtLeast: 2.6 }, cpu: { ratioAtMost: 0.45 } },
};

function figures(smoke: boolean): Figure[] {
  return (smoke ? SMOKE : FULL).replicas.flatMap((count): Figure[] => {
    const must = MUST[count];
    const throughput: Figure = {
      id: `ops.${count}`,
      label: `SET with ${count} ${count === 1 ? 'replica' : 'replicas'}`,
      unit: 'ops/s',
      must: must?.ops ?? null,
    };
    if (count === 0) return [throughput];
    return [
      throughput,
      {
        id: `cpu.${count}`,
        label: '  processor time per GB sent',
        unit: 'CPU s/GB',
        must: must?.cpu ?? null,
      },
      { id: `drain.${count}`, label: '  until all replicas have all', unit: 'ms', must: null },
    ];
  });
}

async function measure(context: Context): Promise<Measurement> {
  const sizes = context.smoke ? SMOKE : FULL;
  const server = await context.start(...NO_LIMIT);
  const generator = context.loadGenerator();
  const replicas = context.replicas();
  const shape = { keys: sizes.keys, valueBytes: VALUE_BYTES, seed: SEED };
  const job = closedSets(server.port, shape);
  const checksum = new Checksum();
  const values: Record<string, number> = {};
  for (const count of sizes.replicas) {
    const attach = { port: server.port, replicas: count, ...context.proving('all') };
    if (count > 0) await replicas.call('attach', attach);
    await generator.call('closed', { ...job, durationMs: sizes.warmUpMs });
    await allCaughtUp(server, replicas);
    const bytesBefore = (await replicas.call('state', null)).streamBytes;
    const cpuBefore = cpuSeconds(server.pid);
    const result = await generator.call('closed', { ...job, durationMs: sizes.durationMs });
    const stoppedMs = performance.now();
    await allCaughtUp(server, replicas);
    const drainMs = performance.now() - stoppedMs;
    const sent = (await replicas.call('state', null)).streamBytes - bytesBefore;
    values[`ops.${count}`] = result.replies / result.seconds;
    if (count > 0) {
      values[`cpu.${count}`] = ((cpuSeconds(server.pid) - cpuBefore) * GB) / sent;
      values[`drain.${count}`] = drainMs;
    }
    checksum.add(`${count} ${result.checksum}`);
    if (count > 0) await proveMeasured(context, server, replicas);
    await replicas.call('detach', null);
  }
  await proveAttached(context, server, replicas, FAKES_AT_THE_END, () =>
    generator.call('closed', { ...job, durationMs: sizes.warmUpMs }),
  );
  return { checksum: checksum.text(), values, notes: [] };
}

export const fanOut: Scenario = {
  name: 'fan-out',
  title: `SET of ${VALUE_BYTES} bytes at depth ${DEPTH} with replicas attached, all replicas in one process.`,
  runs: 5,
  figures,
  measure,
};
