/**
 * Resident memory over time: 1 GB of strings and FLUSHALL, then half as many and 20 BGSAVEs, one
 * after another, under 5,000 SETs per second. The samples go into the report, and their plot is
 * written beside it.
 *
 * Memory is the proportional set size of the server and its children, as in `stall`. redis-server's
 * page copies belong to its child and are freed when that ends, so they show as peaks here, like
 * headwater's.
 */
import { MIB } from '../../src/base/units.ts';
import { load, stringKeys } from '../lib/dataset.ts';
import { familyResidentBytes } from '../lib/process-stats.ts';
import {
  type Context,
  type Figure,
  type Measurement,
  pause,
  type Scenario,
  until,
} from '../lib/scenario.ts';
import { type Line, pointOf, type Series } from '../lib/series.ts';
import type { Server } from '../lib/server.ts';
import { setRequests } from '../lib/sets.ts';
import { Checksum } from '../lib/workload.ts';

const VALUE_BYTES = 900;
const SEED = 0x3e7;
const FULL = {
  keys: 1_000_000,
  saves: 20,
  writesPerSecond: 5_000,
  requests: 100_000,
  restMs: 5000,
};
const SMOKE = { keys: 5_000, saves: 2, writesPerSecond: 1_000, requests: 1_000, restMs: 100 };
const SAMPLE_MS = 100;
/** After the test memory must come this near to the size before. */
const NEAR_BYTES = 96 * MIB;

const FIGURES: readonly Figure[] = [
  { id: 'empty', label: 'empty process', unit: 'MiB', must: { below: 80 } },
  {
    id: 'flush',
    label: 'FLUSHALL of 1 GB: back within 96 MiB of before',
    unit: 'ms',
    must: { below: 5000 },
  },
  { id: 'flush.rest', label: '  growth over before, 5 s later', unit: 'MiB', must: { below: 96 } },
  { id: 'saves.first', label: 'growth by the first BGSAVE', unit: 'MiB', must: null },
  {
    id: 'saves.growth',
    label: '  by the others, after the first',
    unit: 'MiB',
    must: { below: 64 },
  },
  {
    id: 'saves.rest',
    label: '  over before, 5 s after the last',
    unit: 'MiB',
    must: { below: 96 },
  },
  { id: 'pause', label: 'longest pause by a collection', unit: 'ms', must: { below: 10 } },
];

/** Samples memory until it is stopped. */
class Sampler {
  readonly #line: Line = { label: '', points: [] };
  readonly series: Series = { lines: [this.#line], marks: [] };
  readonly #pid: number;
  readonly #startMs = performance.now();
  readonly #timer: NodeJS.Timeout;

  constructor(pid: number) {
    this.#pid = pid;
    this.#timer = setInterval(() => this.take(), SAMPLE_MS);
  }

  /** Returns the current size and adds it to the series. */
  take(): number {
    const bytes = familyResidentBytes(this.#pid);
    this.#line.points.push(pointOf(performance.now() - this.#startMs, bytes));
    return bytes;
  }

  mark(text: string): void {
    this.series.marks.push([Math.round(performance.now() - this.#startMs), text]);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

async function measure(context: Context): Promise<Measurement> {
  const sizes = context.smoke ? SMOKE : FULL;
  const server = await context.start();
  const sampler = new Sampler(server.pid);
  try {
    const checksum = new Checksum();
    await pause(sizes.restMs / 5);
    const empty = sampler.take();
    checksum.add((await load(server.port, stringKeys(sizes.keys, VALUE_BYTES, SEED))).checksum);
    const flush = await flushAll(server, sampler, empty);
    await pause(sizes.restMs);
    const flushRest = sampler.take() - empty;

    checksum.add((await load(server.port, stringKeys(sizes.keys / 2, VALUE_BYTES, SEED))).checksum);
    const writer = context.loadGenerator();
    const shape = { keys: sizes.keys / 2, valueBytes: VALUE_BYTES, seed: SEED };
    await writer.call('pacedStart', {
      ...setRequests(server.port, shape, sizes.requests),
      perSecond: sizes.writesPerSecond,
    });
    await pause(sizes.restMs / 5);
    // The writer's keys exist now or will soon. Waiting for them keeps their growth out of the
    // saves' figures.
    const before = sampler.take();
    const after: number[] = [];
    sampler.mark('BGSAVE');
    for (let i = 0; i < sizes.saves; i++) {
      await bgsave(server);
      after.push(sampler.take());
    }
    sampler.mark('last BGSAVE ends');
    await pause(sizes.restMs);
    const savesRest = sampler.take() - before;
    checksum.add((await writer.call('pacedStop', null)).checksum);
    const pauseMicros = await infoNumber(server, 'headwater_worst_collection_pause_usec');
    return {
      checksum: checksum.text(),
      values: {
        empty: empty / MIB,
        flush,
        'flush.rest': flushRest / MIB,
        'saves.first': (after[0]! - before) / MIB,
        'saves.growth': (after.at(-1)! - after[0]!) / MIB,
        'saves.rest': savesRest / MIB,
        pause: pauseMicros === null ? null : pauseMicros / 1000,
      },
      notes: [],
      series: sampler.series,
    };
  } finally {
    sampler.stop();
  }
}

/** Returns the milliseconds from FLUSHALL until memory is near the size before. */
async function flushAll(server: Server, sampler: Sampler, emptyBytes: number): Promise<number> {
  sampler.mark('FLUSHALL');
  const startMs = performance.now();
  await server.control.must('FLUSHALL');
  await until('memory to go back', async () => sampler.take() < emptyBytes + NEAR_BYTES);
  return performance.now() - startMs;
}

async function bgsave(server: Server): Promise<void> {
  await server.control.must('BGSAVE');
  await until(
    'the end of BGSAVE',
    async () => (await infoNumber(server, 'rdb_bgsave_in_progress')) === 0,
  );
}

/** Returns a number of INFO, or null when the server does not have it. */
async function infoNumber(server: Server, name: string): Promise<number | null> {
  const match = new RegExp(`^${name}:(\\d+)`, 'm').exec(
    String(await server.control.must('INFO', 'everything')),
  );
  return match === null ? null : Number(match[1]);
}

export const memoryTime: Scenario = {
  name: 'memory-time',
  title:
    'Resident memory over time: FLUSHALL of 1 GB, and 20 BGSAVEs under 5,000 writes per second.',
  runs: 1,
  figures: () => FIGURES,
  measure,
};
