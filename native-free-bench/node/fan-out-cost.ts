/**
 * Processor time per GB that 128 replicas get, of SETs of 100 bytes at depth 16, beside the time
 * that a C program takes that only writes the same bytes to them, in pieces of 64 KiB
 * (c/write-pieces.c). The server also runs the commands. The replicas are the same for both.
 */

import { PieceWriter } from '../lib/piece-writer.ts';
import { cpuSeconds } from '../lib/process-stats.ts';
import { allCaughtUp, proveAttached, proveStreams } from '../lib/proof.ts';
import {
  type Context,
  type Figure,
  type Measurement,
  type Scenario,
  until,
} from '../lib/scenario.ts';
import { closedSets, NO_LIMIT } from '../lib/sets.ts';
import { median } from '../lib/statistics.ts';
import { encodeRequests } from '../lib/workload.ts';

const GB = 1e9;
const VALUE_BYTES = 100;
const SEED = 0xc05;
const FAKES_AT_THE_END = 4;
const FULL = { replicas: 128, keys: 100_000, warmUpMs: 500, durationMs: 3000, rounds: 3 };
const SMOKE = { replicas: 4, keys: 2_000, warmUpMs: 10, durationMs: 60, rounds: 1 };

const FIGURES: readonly Figure[] = [
  { id: 'cpu', label: 'processor time per GB sent', unit: 'CPU s/GB', must: { below: 0.25 } },
  { id: 'c', label: '  of a C program that only writes', unit: 'CPU s/GB', must: null },
  { id: 'times', label: '  the server compared with it', unit: 'x', must: { below: 1.2 } },
  { id: 'ops', label: 'SETs meanwhile', unit: 'ops/s', must: null },
];

async function measure(context: Context): Promise<Measurement> {
  const sizes = context.smoke ? SMOKE : FULL;
  const server = await context.start(...NO_LIMIT);
  const generator = context.loadGenerator();
  const replicas = context.replicas();
  const shape = { keys: sizes.keys, valueBytes: VALUE_BYTES, seed: SEED };
  const job = closedSets(server.port, shape);
  const attach = { replicas: sizes.replicas, ...context.proving('streams') };
  const content = encodeRequests(job.template, sizes.keys).bytes;
  const cpu: number[] = [];
  const c: number[] = [];
  const speeds: number[] = [];
  let checksum = '';
  for (let round = 0; round < sizes.rounds; round++) {
    await replicas.call('attach', { port: server.port, ...attach });
    await generator.call('closed', { ...job, durationMs: sizes.warmUpMs });
    await allCaughtUp(server, replicas);
    const bytesBefore = (await replicas.call('state', null)).streamBytes;
    const cpuBefore = cpuSeconds(server.pid);
    const result = await generator.call('closed', { ...job, durationMs: sizes.durationMs });
    await allCaughtUp(server, replicas);
    const sent = (await replicas.call('state', null)).streamBytes - bytesBefore;
    cpu.push(((cpuSeconds(server.pid) - cpuBefore) * GB) / sent);
    speeds.push(result.replies / result.seconds);
    checksum = result.checksum;
    await proveStreams(context, server, replicas);
    await replicas.call('detach', null);

    const bytes = Math.round(sent / sizes.replicas);
    const writer = await PieceWriter.start(sizes.replicas, bytes, content);
    if (writer === null) continue;
    try {
      await replicas.call('attach', { port: writer.port, ...attach });
      c.push(((await writer.cpuSeconds()) * GB) / (bytes * sizes.replicas));
      await until('all bytes of the C program', async () => {
        const { offsets } = await replicas.call('state', null);
        return offsets.every((offset) => offset === bytes);
      });
      await replicas.call('detach', null);
    } finally {
      writer.kill();
    }
  }
  await proveAttached(context, server, replicas, FAKES_AT_THE_END, () =>
    generator.call('closed', { ...job, durationMs: sizes.warmUpMs }),
  );
  const floor = c.length === 0 ? null : median(c);
  const values = {
    cpu: median(cpu),
    c: floor,
    times: floor === null ? null : median(cpu) / floor,
    ops: median(speeds),
  };
  return { checksum, values, notes: floor === null ? ['there is no C compiler'] : [] };
}

export const fanOutCost: Scenario = {
  name: 'fan-out-cost',
  title: 'Processor time per GB to 128 replicas, beside a C program that only writes.',
  runs: 3,
  figures: () => FIGURES,
  measure,
};
