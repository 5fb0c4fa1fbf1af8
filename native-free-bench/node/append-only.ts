/**
 * The append only file: SETs at several pipeline depths while each goes to disk (`everysec`), and
 * the time to load base and increments again (DEBUG LOADAOF, which both servers have).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { load, stringKeys } from '../lib/dataset.ts';
import type { ClosedResult } from '../lib/load-child.ts';
import { cpuSeconds } from '../lib/process-stats.ts';
import type { Context, Figure, Measurement, Must, Scenario } from '../lib/scenario.ts';
import { setRequests } from '../lib/sets.ts';
import { type Sample, SlowHost } from '../lib/slow-host.ts';
import { Checksum } from '../lib/workload.ts';

const CLIENTS = 50;
const SEED = 0xa0f;
const VALUE_BYTES = 100;
const KEYS = { full: 100_000, smoke: 2_000 };
/** The goals at each depth. */
const MUST: Readonly<Record<number, Must>> = {
  1: { ratioAtLeast: 1 },
  16: { ratioAtLeast: 1.4 },
  64: { ratioAtLeast: 2 },
};
const DEPTHS = [1, 16, 64] as const;
const LIMITS = {
  full: { warmUp: { durationMs: 1000, batches: 0 }, run: { durationMs: 3000, batches: 0 } },
  smoke: { warmUp: { durationMs: 10_000, batches: 50 }, run: { durationMs: 10_000, batches: 100 } },
};
/** The files to load: a base of about 700 MB, and increments of 300 MB. */
const BASE = { full: { keys: 650_000, bytes: 1000 }, smoke: { keys: 1000, bytes: 1000 } };
const INCREMENT_BATCHES = { full: 32_000, smoke: 10 };
const INCREMENT_DEPTH = 64;
const POLL_MS = 100;

const OPTIONS = [
  ['--appendonly', 'yes'],
  ['--appendfsync', 'everysec'],
  ['--auto-aof-rewrite-percentage', '0'],
].flat();

function figures(): Figure[] {
  return [
    ...DEPTHS.flatMap((depth): Figure[] => [
      {
        id: `SET.${depth}`,
        label: `SET of 100 B, depth ${depth}`,
        unit: 'ops/s',
        must: MUST[depth]!,
      },
      { id: `SET.${depth}.p99`, label: '  latency, p99', unit: 'ms', must: null },
      {
        id: `SET.${depth}.cpu`,
        label: '  processor time of the server',
        unit: 'us/op',
        must: null,
      },
    ]),
    { id: 'load', label: 'loading base and increments', unit: 'MB/s', must: { ratioAtLeast: 1 } },
    { id: 'load.cpu', label: '  processor time of the server', unit: 'CPU s', must: null },
  ];
}

interface SetSample extends Sample {
  readonly result: ClosedResult;
  readonly serverMicros: number;
}

async function measure(context: Context): Promise<Measurement> {
  const size = context.smoke ? 'smoke' : 'full';
  const limits = LIMITS[size];
  const server = await context.start(...OPTIONS);
  const generator = context.loadGenerator();
  const host = new SlowHost('append-only', context.smoke);
  const checksum = new Checksum();
  const values: Record<string, number> = {};

  function sets(depth: number, durationMs: number, batches: number): Promise<ClosedResult> {
    const shape = { keys: KEYS[size], valueBytes: VALUE_BYTES, seed: SEED + depth };
    return generator.call('closed', {
      ...setRequests(server.port, shape),
      clients: CLIENTS,
      depth,
      durationMs,
      replies: batches * depth,
    });
  }

  async function measureOnce(depth: number): Promise<SetSample> {
    await sets(depth, limits.warmUp.durationMs, limits.warmUp.batches);
    const before = cpuSeconds(server.pid);
    const result = await sets(depth, limits.run.durationMs, limits.run.batches);
    return {
      result,
      serverMicros: ((cpuSeconds(server.pid) - before) * 1e6) / result.replies,
      generatorMicros: (result.cpuSeconds * 1e6) / result.replies,
      errors: result.errors,
    };
  }

  checksum.add((await load(server.port, stringKeys(KEYS[size], VALUE_BYTES, SEED))).checksum);
  for (const depth of DEPTHS) {
    const best = await host.best(`SET.${depth}`, () => measureOnce(depth));
    values[`SET.${depth}`] = best.result.replies / best.result.seconds;
    values[`SET.${depth}.p99`] = best.result.p99Ms;
    values[`SET.${depth}.cpu`] = best.serverMicros;
    checksum.add(best.result.checksum);
  }

  const { keys, bytes } = BASE[size];
  await server.control.must('FLUSHALL');
  checksum.add((await load(server.port, stringKeys(keys, bytes, SEED))).checksum);
  await server.control.must('BGREWRITEAOF');
  const rewrites = async (): Promise<boolean> =>
    (await server.control.info('persistence')).get('aof_rewrite_in_progress') === '1';
  while (await rewrites()) await delay(POLL_MS);
  await sets(INCREMENT_DEPTH, 600_000, INCREMENT_BATCHES[size]);
  const fileBytes = Number((await server.control.info('persistence')).get('aof_current_size'));
  const cpuBefore = cpuSeconds(server.pid);
  const startMs = performance.now();
  await server.control.must('DEBUG', 'LOADAOF');
  const seconds = (performance.now() - startMs) / 1000;
  values['load'] = fileBytes / 1e6 / seconds;
  values['load.cpu'] = cpuSeconds(server.pid) - cpuBefore;
  return { checksum: checksum.text(), values, notes: host.notes };
}

export const appendOnly: Scenario = {
  name: 'append-only',
  title: `SET with the append only file on, everysec, ${CLIENTS} clients; loading it.`,
  runs: 5,
  figures,
  measure,
};
