/**
 * What clients feel of a snapshot: PING latency while BGSAVE writes 1 GB under 20,000 SETs per second, and what the
 * snapshot costs in memory.
 *
 * Writer and prober are processes of their own. Memory is the proportional set size of the server and its children
 * (redis-server forks), sampled while the snapshot runs, over the last sample before it.
 */
import { MIB } from '../../src/base/units.ts';
import { load, stringKeys } from '../lib/dataset.ts';
import type { ProbeResult } from '../lib/probe-child.ts';
import { cpuSeconds, familyResidentBytes } from '../lib/process-stats.ts';
import { type Context, type Figure, type Measurement, pause, type Scenario } from '../lib/scenario.ts';
import type { Server } from '../lib/server.ts';
import { Checksum, RANDOM_PLACE, type Template } from '../lib/workload.ts';

const VALUE_BYTES = 1000;
const SEED = 0x57a;
const FULL = { keys: 1_000_000, writesPerSecond: 20_000, requests: 100_000, beforeMs: 2000 };
const SMOKE = { keys: 5_000, writesPerSecond: 2_000, requests: 1_000, beforeMs: 100 };

const POLL_MS = 20;
const MEMORY_PERIOD_MS = 200;

const FIGURES: readonly Figure[] = [
  { id: 'freeze', label: 'stall at freeze or fork', unit: 'ms', must: { below: 1 } },
  { id: 'before.p999', label: 'PING p99.9 before', unit: 'ms', must: null },
  { id: 'during.p50', label: 'PING p50 during BGSAVE', unit: 'ms', must: null },
  { id: 'during.p99', label: 'PING p99 during BGSAVE', unit: 'ms', must: null },
  { id: 'during.p999', label: 'PING p99.9 during BGSAVE', unit: 'ms', must: { ratioAtMost: 1 } },
  { id: 'during.max', label: 'PING max during BGSAVE', unit: 'ms', must: null },
  { id: 'writes', label: 'writes per second reached', unit: 'ops/s', must: null },
  { id: 'save', label: 'BGSAVE', unit: 'ms', must: null },
  { id: 'save.cpu', label: '  processor time meanwhile', unit: 'CPU s', must: null },
  { id: 'growth', label: 'memory growth during BGSAVE', unit: 'MiB', must: null },
  { id: 'touched', label: '  of it pages touched', unit: 'MiB', must: null },
  { id: 'growth.rest', label: '  growth beyond touched pages', unit: 'MiB', must: { below: 64 } },
];

interface SaveResult {
  readonly seconds: number;
  readonly cpu: number;
  readonly growthBytes: number;
}

async function measure(context: Context): Promise<Measurement> {
  const sizes = context.smoke ? SMOKE : FULL;
  const server = await context.start();
  const writer = context.loadGenerator();
  const prober = context.prober();
  const checksum = new Checksum();
  checksum.add((await load(server.port, stringKeys(sizes.keys, VALUE_BYTES, SEED))).checksum);

  const template: Template = {
    words: ['SET', `key:${RANDOM_PLACE}`],
    randomBelow: sizes.keys,
    valueBytes: VALUE_BYTES,
    seed: SEED,
  };
  await writer.call('pacedStart', {
    port: server.port,
    perSecond: sizes.writesPerSecond,
    template,
    requests: sizes.requests,
    replyBytes: '+OK\r\n'.length,
  });
  await prober.call('start', server.port);
  await pause(sizes.beforeMs / 2);
  // The first half warmed up the writes' path.
  await prober.call('take', null);
  await pause(sizes.beforeMs / 2);
  const before = await prober.call('take', null);
  const save = await bgsave(server);
  const during = await prober.call('take', null);
  const written = await writer.call('pacedStop', null);
  await prober.call('stop', null);
  checksum.add(written.checksum);
  return {
    checksum: checksum.text(),
    values: {
      ...latencies('before', before),
      ...latencies('during', during),
      writes: written.replies / written.seconds,
      save: save.seconds * 1000,
      'save.cpu': save.cpu,
      ...(await memoryFigures(server, save.growthBytes)),
    },
    notes: [],
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

/** Runs BGSAVE to its end. Progress is polled; memory is sampled less often, since that walks page tables. */
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
 * headwater tells in INFO how long the freeze took and how many bytes of pages were copied for the snapshot; redis-server
 * tells the duration of fork() and, from the child, the bytes of pages that were copied.
 */
async function memoryFigures(server: Server, growthBytes: number): Promise<Record<string, number | null>> {
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
  figures: () => FIGURES,
  measure,
};
