/**
 * The effect of a snapshot on clients: PING latency while BGSAVE writes 1 GB under 20,000 SETs per
 * second, with a million keys of 1,000 bytes and with four million of 256 bytes; and the memory
 * that the snapshot takes.
 *
 * The first snapshot after a start has its own figures: then a thread starts and compiles its code,
 * or the first fork copies a page table for the first time. The other figures are those of the
 * second snapshot.
 *
 * Writer and prober are separate processes. Memory is the proportional set size of the server and
 * its children (redis-server forks). It is sampled while the snapshot runs, and the last sample
 * before it is subtracted.
 */
import { MIB } from '../../src/base/units.ts';
import { load, stringKeys } from '../lib/dataset.ts';
import { PacedProbe } from '../lib/paced-probe.ts';
import type { ProbeResult } from '../lib/probe-child.ts';
import { cpuSeconds, familyResidentBytes } from '../lib/process-stats.ts';
import { proveAttached } from '../lib/proof.ts';
import {
  type Context,
  type Figure,
  type Measurement,
  type Must,
  pause,
  type Scenario,
} from '../lib/scenario.ts';
import type { Server } from '../lib/server.ts';
import { Checksum } from '../lib/workload.ts';

interface Shape {
  readonly id: string;
  readonly label: string;
  readonly valueBytes: number;
  readonly keys: { readonly full: number; readonly smoke: number };
  /** The goal for the tail of PING, beside redis-server's. */
  readonly p999Must: Must;
}

const SHAPES: readonly Shape[] = [
  {
    id: '1M',
    label: '1 M keys of 1,000 B',
    valueBytes: 1000,
    keys: { full: 1_000_000, smoke: 5_000 },
    p999Must: { ratioAtMost: 1 },
  },
  {
    id: '4M',
    label: '4 M keys of 256 B',
    valueBytes: 256,
    keys: { full: 4_000_000, smoke: 20_000 },
    p999Must: { ratioAtMost: 0.7 },
  },
];

const SEED = 0x57a;
const FULL = { writesPerSecond: 20_000, requests: 100_000, beforeMs: 2000, proofMs: 1000 };
const SMOKE = { writesPerSecond: 2_000, requests: 1_000, beforeMs: 100, proofMs: 100 };
/** Fake replicas that are attached beside the stock one for the proof at the end. */
const FAKES_AT_THE_END = 2;

const POLL_MS = 20;
const MEMORY_PERIOD_MS = 200;

function figuresOf({ id, label, p999Must }: Shape): Figure[] {
  const figure = (
    name: string,
    text: string,
    unit: Figure['unit'],
    must: Figure['must'] = null,
  ): Figure => ({
    id: `${id}.${name}`,
    label: text,
    unit,
    must,
  });
  return [
    figure('before.p999', `${label}: PING p99.9 before`, 'ms'),
    figure('first.p50', 'PING p50 during the first BGSAVE', 'ms'),
    figure('first.p99', '  p99', 'ms'),
    figure('first.p999', '  p99.9', 'ms', p999Must),
    figure('first.max', '  max', 'ms'),
    figure('first.freeze', '  stall at freeze or fork', 'ms', { below: 1 }),
    figure('first.save', '  BGSAVE', 'ms'),
    figure('during.p50', 'PING p50 during BGSAVE', 'ms'),
    figure('during.p99', '  p99', 'ms'),
    figure('during.p999', '  p99.9', 'ms', p999Must),
    figure('during.max', '  max', 'ms'),
    figure('freeze', '  stall at freeze or fork', 'ms', { below: 1 }),
    figure('save', '  BGSAVE', 'ms'),
    figure('save.cpu', '  processor time meanwhile', 'CPU s'),
    figure('writes', '  writes per second reached', 'ops/s'),
    figure('growth', '  memory growth', 'MiB'),
    figure('touched', '    of it pages touched', 'MiB'),
    figure('growth.rest', '    growth beyond touched pages', 'MiB', { below: 64 }),
  ];
}

interface SaveResult {
  readonly seconds: number;
  readonly cpu: number;
  readonly growthBytes: number;
}

async function measure(context: Context): Promise<Measurement> {
  const checksum = new Checksum();
  const values: Record<string, number | null> = {};
  for (const shape of SHAPES) {
    const measured = await measureShape(context, shape, checksum);
    for (const [name, value] of Object.entries(measured)) values[`${shape.id}.${name}`] = value;
  }
  return { checksum: checksum.text(), values, notes: [] };
}

async function measureShape(
  context: Context,
  shape: Shape,
  checksum: Checksum,
): Promise<Record<string, number | null>> {
  const sizes = context.smoke ? SMOKE : FULL;
  const keys = shape.keys[context.smoke ? 'smoke' : 'full'];
  const server = await context.start();
  checksum.add((await load(server.port, stringKeys(keys, shape.valueBytes, SEED))).checksum);

  const sets = { keys, valueBytes: shape.valueBytes, seed: SEED };
  const probe = await PacedProbe.start(context, server, sets, sizes);
  // A warm-up of the writes.
  await pause(sizes.beforeMs / 2);
  const before = await probe.takeFor(sizes.beforeMs / 2);
  const firstSave = await bgsave(server);
  const first = await probe.take();
  const { freeze: firstFreeze } = await memoryFigures(server, firstSave.growthBytes);
  await pause(sizes.beforeMs / 2);
  await probe.take();
  const save = await bgsave(server);
  const during = await probe.take();
  const written = await probe.stop();
  checksum.add(written.checksum);
  const memory = await memoryFigures(server, save.growthBytes);
  await proveAttached(context, server, context.replicas(), FAKES_AT_THE_END, () =>
    probe.writeOn(sizes.proofMs),
  );
  await context.stop(server);
  return {
    ...latencies('before', before),
    ...latencies('first', first),
    'first.freeze': firstFreeze ?? null,
    'first.save': firstSave.seconds * 1000,
    ...latencies('during', during),
    writes: written.replies / written.seconds,
    save: save.seconds * 1000,
    'save.cpu': save.cpu,
    ...memory,
  };
}

function latencies(prefix: string, probe: ProbeResult): Record<string, number> {
  return {
    [`${prefix}.p50`]: probe.p50Ms,
    [`${prefix}.p99`]: probe.p99Ms,
    [`${prefix}.p999`]: probe.p999Ms,
    [`${prefix}.max`]: probe.maxMs,
  };
}

/**
 * Runs BGSAVE to its end. Progress is polled. Memory is sampled less often, since that walks page
 * tables.
 */
async function bgsave(server: Server): Promise<SaveResult> {
  const residentBefore = familyResidentBytes(server.pid);
  const cpuBefore = cpuSeconds(server.pid);
  const startedMs = performance.now();
  let residentPeak = residentBefore;
  let nextSampleMs = startedMs;
  await server.control.must('BGSAVE');
  for (;;) {
    if (performance.now() >= nextSampleMs) {
      residentPeak = Math.max(residentPeak, familyResidentBytes(server.pid));
      nextSampleMs = performance.now() + MEMORY_PERIOD_MS;
    }
    const fields = await server.control.info('persistence');
    if (fields.get('rdb_bgsave_in_progress') === '0') {
      const status = fields.get('rdb_last_bgsave_status');
      if (status !== 'ok') throw new Error(`BGSAVE ended with ${status}`);
      break;
    }
    await pause(POLL_MS);
  }
  return {
    seconds: (performance.now() - startedMs) / 1000,
    cpu: cpuSeconds(server.pid) - cpuBefore,
    growthBytes: residentPeak - residentBefore,
  };
}

/**
 * headwater reports in INFO the duration of the freeze and the bytes of pages that were copied for
 * the snapshot. redis-server reports the duration of fork() and, from the child, the bytes of
 * copied pages.
 */
async function memoryFigures(
  server: Server,
  growthBytes: number,
): Promise<Record<string, number | null>> {
  const all = await server.control.info('everything');
  const number = (name: string): number | null => (all.has(name) ? Number(all.get(name)) : null);
  const touched = number('headwater_snapshot_touched_bytes') ?? number('rdb_last_cow_size');
  const freezeUs = number('headwater_last_freeze_usec') ?? number('latest_fork_usec');
  return {
    freeze: freezeUs === null ? null : freezeUs / 1000,
    growth: growthBytes / MIB,
    touched: touched === null ? null : touched / MIB,
    'growth.rest': touched === null ? null : (growthBytes - touched) / MIB,
  };
}

export const stall: Scenario = {
  name: 'stall',
  title: 'PING latency and memory while BGSAVE writes 1 GB under 20,000 writes per second.',
  runs: 5,
  figures: () => SHAPES.flatMap(figuresOf),
  measure,
};
