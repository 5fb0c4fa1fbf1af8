/**
 * SET and GET of values of four sizes by 50 clients, at several pipeline depths, and by 1,000
 * clients.
 *
 * The keys come from a full keyspace, so every GET finds its value and all replies have one size.
 * Each client sends a batch of `depth` requests, waits for the replies, and sends the next batch.
 * All clients together keep the server busy, so the latency of a batch is mostly the time of the
 * other clients' batches. While the host is slow a measurement is repeated (slow-host.ts).
 */
import { KIB, MIB } from '../../src/base/units.ts';
import { load, stringKeys } from '../lib/dataset.ts';
import type { ClosedResult } from '../lib/load-child.ts';
import { cpuSeconds } from '../lib/process-stats.ts';
import type { Context, Figure, Measurement, Must, Scenario } from '../lib/scenario.ts';
import { type Sample, SlowHost } from '../lib/slow-host.ts';
import { Checksum, RANDOM_PLACE, type Template } from '../lib/workload.ts';

const CLIENTS = 50;
const MANY_CLIENTS = { full: 1000, smoke: 40 };
const SEED = 0x5e7;

const COMMANDS = ['SET', 'GET'] as const;
type Command = (typeof COMMANDS)[number];
/** The goals of headwater at each depth. */
type Goals = Readonly<Record<Command, Readonly<Record<number, Must>>>>;

/** With values of 100 bytes and 50 clients. */
const MUST: Goals = {
  SET: { 1: { ratioAtLeast: 1 }, 16: { ratioAtLeast: 1.45 }, 64: { ratioAtLeast: 2.2 } },
  GET: { 1: { ratioAtLeast: 0.9 }, 16: { ratioAtLeast: 1.3 }, 64: { ratioAtLeast: 1.7 } },
};
const LARGE_MUST: Goals = { SET: { 1: { ratioAtLeast: 1 } }, GET: { 1: { ratioAtLeast: 1 } } };
const CROWD_P99_MUST: Must = { ratioAtMost: 1.2 };

interface Shape {
  /** A part of the figures' ids. */
  readonly id: string;
  readonly label: string;
  readonly valueBytes: number;
  readonly keys: { readonly full: number; readonly smoke: number };
  readonly depths: readonly number[];
  readonly isCrowd: boolean;
  readonly must: Goals | null;
}

const SMALL_KEYS = { full: 100_000, smoke: 2_000 };

/** Consecutive shapes with values of one size share a dataset. */
const SHAPES: readonly Shape[] = [
  {
    id: '.16B',
    label: '16 B',
    valueBytes: 16,
    keys: SMALL_KEYS,
    depths: [1, 16, 64],
    isCrowd: false,
    must: null,
  },
  {
    id: '',
    label: '100 B',
    valueBytes: 100,
    keys: SMALL_KEYS,
    depths: [1, 16, 64],
    isCrowd: false,
    must: MUST,
  },
  {
    id: '.crowd',
    label: '100 B, 1,000 clients',
    valueBytes: 100,
    keys: SMALL_KEYS,
    depths: [1, 16],
    isCrowd: true,
    must: null,
  },
  {
    id: '.64KiB',
    label: '64 KiB',
    valueBytes: 64 * KIB,
    keys: { full: 2_000, smoke: 20 },
    depths: [1],
    isCrowd: false,
    must: LARGE_MUST,
  },
  {
    id: '.1MiB',
    label: '1 MiB',
    valueBytes: MIB,
    keys: { full: 128, smoke: 4 },
    depths: [1],
    isCrowd: false,
    must: LARGE_MUST,
  },
];

/** A run ends after a time, or after this number of batches if it is not 0. */
const LIMITS = {
  full: { warmUp: { durationMs: 1000, batches: 0 }, run: { durationMs: 3000, batches: 0 } },
  smoke: { warmUp: { durationMs: 10_000, batches: 50 }, run: { durationMs: 10_000, batches: 100 } },
};

function idOf(command: Command, shape: Shape, depth: number): string {
  return `${command}${shape.id}.${depth}`;
}

function figures(): Figure[] {
  return SHAPES.flatMap((shape) =>
    COMMANDS.flatMap((command) =>
      shape.depths.flatMap((depth): Figure[] => {
        const id = idOf(command, shape, depth);
        const of = depth === 1 ? 'a request' : 'a batch';
        return [
          {
            id,
            label: `${command} of ${shape.label}, depth ${depth}`,
            unit: 'ops/s',
            must: shape.must?.[command][depth] ?? null,
          },
          { id: `${id}.p50`, label: `  latency of ${of}, p50`, unit: 'ms', must: null },
          {
            id: `${id}.p99`,
            label: `  latency of ${of}, p99`,
            unit: 'ms',
            must: shape.isCrowd ? CROWD_P99_MUST : null,
          },
          { id: `${id}.cpu`, label: '  processor time of the server', unit: 'us/op', must: null },
          { id: `${id}.generator`, label: '  and of the generator', unit: 'us/op', must: null },
        ];
      }),
    ),
  );
}

interface GetSetSample extends Sample {
  readonly result: ClosedResult;
  readonly serverMicros: number;
}

async function measure(context: Context): Promise<Measurement> {
  const size = context.smoke ? 'smoke' : 'full';
  const limits = LIMITS[size];
  const server = await context.start();
  const generator = context.loadGenerator();
  const host = new SlowHost('get-set', context.smoke);
  const checksum = new Checksum();
  const values: Record<string, number> = {};
  let loadedBytes = 0;

  async function measureOnce(command: Command, shape: Shape, depth: number): Promise<GetSetSample> {
    const { valueBytes, isCrowd } = shape;
    const keys = shape.keys[size];
    const isSet = command === 'SET';
    const template: Template = {
      words: [command, `key:${RANDOM_PLACE}`],
      randomBelow: keys,
      valueBytes: isSet ? valueBytes : 0,
      seed: SEED + depth,
    };
    const job = {
      port: server.port,
      clients: isCrowd ? MANY_CLIENTS[size] : CLIENTS,
      depth,
      template,
      replyBytes: isSet
        ? '+OK\r\n'.length
        : `$${valueBytes}\r\n`.length + valueBytes + '\r\n'.length,
      requests: keys,
    };
    const run = ({ durationMs, batches }: (typeof limits)['run']): Promise<ClosedResult> =>
      generator.call('closed', { ...job, durationMs, replies: batches * depth });
    await run(limits.warmUp);
    const cpuBefore = cpuSeconds(server.pid);
    const result = await run(limits.run);
    return {
      result,
      serverMicros: ((cpuSeconds(server.pid) - cpuBefore) * 1e6) / result.replies,
      generatorMicros: (result.cpuSeconds * 1e6) / result.replies,
      errors: result.errors,
    };
  }

  for (const shape of SHAPES) {
    if (shape.valueBytes !== loadedBytes) {
      await server.control.must('FLUSHALL');
      const dataset = stringKeys(shape.keys[size], shape.valueBytes, SEED);
      checksum.add((await load(server.port, dataset)).checksum);
      loadedBytes = shape.valueBytes;
    }
    for (const command of COMMANDS) {
      for (const depth of shape.depths) {
        const id = idOf(command, shape, depth);
        const best = await host.best(id, () => measureOnce(command, shape, depth));
        const { result, serverMicros, generatorMicros } = best;
        values[id] = result.replies / result.seconds;
        values[`${id}.p50`] = result.p50Ms;
        values[`${id}.p99`] = result.p99Ms;
        values[`${id}.cpu`] = serverMicros;
        values[`${id}.generator`] = generatorMicros;
        checksum.add(result.checksum);
      }
    }
  }
  return { checksum: checksum.text(), values, notes: host.notes };
}

export const getSet: Scenario = {
  name: 'get-set',
  title: `SET and GET, ${CLIENTS} clients where nothing else is said.`,
  runs: 5,
  figures,
  measure,
};
