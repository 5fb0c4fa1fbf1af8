/**
 * History: how much of the stream a backlog of 16 MB holds, while SETs of JSON of 300 bytes go to
 * 16 replicas, and what keeping it compressed costs.
 *
 * A writer with a fixed rate comes first, at several rates. Then clients write as fast as they can,
 * with and without compression by turns. The held and the stored bytes are sampled all the time;
 * their plot is written beside the report. redis-server stores what it holds.
 */
import { allCaughtUp, proveAttached, proveStreams } from '../lib/proof.ts';
import {
  type Context,
  type Figure,
  type Measurement,
  pause,
  type Scenario,
} from '../lib/scenario.ts';
import { type Line, pointOf, type Series } from '../lib/series.ts';
import type { Server } from '../lib/server.ts';
import { CLIENTS, DEPTH, NO_LIMIT, setRequests } from '../lib/sets.ts';
import { median } from '../lib/statistics.ts';
import { Checksum } from '../lib/workload.ts';

const MB = 1e6;
const VALUE_BYTES = 300;
const SEED = 0x415;
/** Fake replicas that are attached beside the stock one for the proof at the end. */
const FAKES_AT_THE_END = 4;
const OPTIONS = ['--repl-backlog-size', '16mb', ...NO_LIMIT];

/** A rate in SETs per second, and how long it takes to fill the backlog. */
const RATES = { full: [50_000, 100_000], smoke: [2_000, 4_000] } as const;
/** The bytes that are written at each rate, five times and more what is stored. */
const FILL_BYTES = { full: 130 * MB, smoke: MB };
const FULL = { replicas: 16, keys: 100_000, warmUpMs: 300, floodMs: 1000, floods: 8 };
const SMOKE = { replicas: 2, keys: 2_000, warmUpMs: 10, floodMs: 60, floods: 1 };
const COMMAND_BYTES = VALUE_BYTES + 45;
const SAMPLE_MS = 50;
/** The samples of the last part of each phase count. */
const COUNTED_SHARE = 0.5;
/** The backlog takes this long to be compressed once nobody writes. */
const REST_MS = { full: 2000, smoke: 20 };

interface Sample {
  readonly atMs: number;
  readonly held: number;
  readonly stored: number;
}

/** Samples what the backlog holds, until it is stopped. */
class Watch {
  readonly #held: Line = { label: 'held', points: [] };
  readonly #stored: Line = { label: 'stored', points: [] };
  readonly series: Series = { lines: [this.#held, this.#stored], marks: [] };
  readonly samples: Sample[] = [];
  readonly #server: Server;
  readonly #startMs = performance.now();
  #isOver = false;
  readonly #ended: Promise<void>;

  constructor(server: Server) {
    this.#server = server;
    this.#ended = this.#run();
  }

  mark(text: string): void {
    this.series.marks.push([Math.round(performance.now() - this.#startMs), text]);
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#ended;
  }

  /** Returns the median bytes held in the last part of the time since `sinceMs`. */
  heldSince(sinceMs: number): number {
    const countedMs = performance.now() - (performance.now() - sinceMs) * COUNTED_SHARE;
    const counted = this.samples.filter(({ atMs }) => atMs >= countedMs);
    return median((counted.length > 0 ? counted : this.samples).map(({ held }) => held));
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      const info = await this.#server.control.info('everything');
      const held = Number(info.get('repl_backlog_histlen'));
      const stored = Number(info.get('headwater_backlog_stored_bytes') ?? held);
      const atMs = performance.now();
      this.samples.push({ atMs, held, stored });
      this.#held.points.push(pointOf(atMs - this.#startMs, held));
      this.#stored.points.push(pointOf(atMs - this.#startMs, stored));
      await pause(SAMPLE_MS);
    }
  }
}

function figures(smoke: boolean): Figure[] {
  const must = { ratioAtLeast: 5 };
  return [
    ...RATES[smoke ? 'smoke' : 'full'].map(
      (rate, nth): Figure => ({
        id: `held.${nth}`,
        label: `held at ${rate.toLocaleString('en-US')} SETs per second`,
        unit: 'MB',
        must,
      }),
    ),
    { id: 'held.flood', label: 'held at full speed', unit: 'MB', must },
    { id: 'held.rest', label: '  and 2 s after it', unit: 'MB', must: null },
    { id: 'ops', label: 'SET at full speed', unit: 'ops/s', must: null },
    { id: 'ops.raw', label: '  without compression', unit: 'ops/s', must: null },
    { id: 'loss', label: '  loss by compression', unit: '%', must: { below: 8 } },
  ];
}

async function measure(context: Context): Promise<Measurement> {
  const sizes = context.smoke ? SMOKE : FULL;
  const size = context.smoke ? 'smoke' : 'full';
  const server = await context.start(...OPTIONS);
  const generator = context.loadGenerator();
  const replicas = context.replicas();
  const shape = { keys: sizes.keys, valueBytes: VALUE_BYTES, seed: SEED, isJson: true };
  const job = setRequests(server.port, shape);
  const flood = (durationMs: number) =>
    generator.call('closed', { ...job, clients: CLIENTS, depth: DEPTH, replies: 0, durationMs });
  const values: Record<string, number | null> = {};
  const notes: string[] = [];
  let floodSum = '';
  const checksum = new Checksum();
  await replicas.call('attach', {
    port: server.port,
    replicas: sizes.replicas,
    ...context.proving('streams'),
  });
  const watch = new Watch(server);
  try {
    for (const [nth, rate] of RATES[size].entries()) {
      watch.mark(`${rate.toLocaleString('en-US')} SETs/s`);
      const sinceMs = performance.now();
      await generator.call('pacedStart', { ...job, perSecond: rate });
      await pause((FILL_BYTES[size] / (rate * COMMAND_BYTES)) * 1000);
      values[`held.${nth}`] = watch.heldSince(sinceMs) / MB;
      checksum.add((await generator.call('pacedStop', null)).checksum);
      await allCaughtUp(server, replicas);
    }
    const floods = await floodByTurns(server, watch, sizes.floods, async () => {
      await flood(sizes.warmUpMs);
      const sinceMs = performance.now();
      const result = await flood(sizes.floodMs);
      floodSum = result.checksum;
      const ops = result.replies / result.seconds;
      return { ops, held: watch.heldSince(sinceMs) / MB };
    });
    checksum.add(floodSum);
    Object.assign(values, floods.values);
    notes.push(...floods.notes);
    await allCaughtUp(server, replicas);
    watch.mark('nothing');
    await pause(REST_MS[size]);
    values['held.rest'] = watch.samples.at(-1)!.held / MB;
  } finally {
    await watch.stop();
  }
  await proveStreams(context, server, replicas);
  await replicas.call('detach', null);
  await proveAttached(context, server, replicas, FAKES_AT_THE_END, () => flood(sizes.warmUpMs));
  return { checksum: checksum.text(), values, notes, series: watch.series };
}

interface Flood {
  readonly ops: number;
  readonly held: number;
}

/**
 * Writes at full speed, with and without compression by turns, whose order turns around from round
 * to round. redis-server has only one way.
 */
async function floodByTurns(
  server: Server,
  watch: Watch,
  rounds: number,
  flood: () => Promise<Flood>,
): Promise<Pick<Measurement, 'values' | 'notes'>> {
  const packed: Flood[] = [];
  const raw: Flood[] = [];
  if (server.target.kind === 'redis') {
    for (let round = 0; round < rounds; round++) {
      watch.mark('full speed');
      packed.push(await flood());
    }
  }
  const isOurs = server.target.kind === 'headwater';
  for (let round = 0; isOurs && round < rounds; round++) {
    for (const turn of round % 2 === 0 ? ['yes', 'no'] : ['no', 'yes']) {
      await server.control.must('CONFIG', 'SET', 'repl-backlog-compression', turn);
      watch.mark(turn === 'yes' ? 'full speed' : 'raw');
      (turn === 'yes' ? packed : raw).push(await flood());
    }
  }
  if (isOurs) await server.control.must('CONFIG', 'SET', 'repl-backlog-compression', 'yes');
  const opsOf = (floods: readonly Flood[]): number[] => floods.map(({ ops }) => ops);
  const text = (floods: readonly Flood[]): string =>
    opsOf(floods)
      .map((ops) => Math.round(ops).toLocaleString('en-US'))
      .join(', ');
  const ops = median(opsOf(packed));
  const opsRaw = isOurs ? median(opsOf(raw)) : null;
  const values = {
    'held.flood': median(packed.map(({ held }) => held)),
    ops,
    'ops.raw': opsRaw,
    loss: opsRaw === null ? null : 100 * (1 - ops / opsRaw),
  };
  const notes = isOurs ? [`SETs per second at full speed: ${text(packed)}; raw: ${text(raw)}`] : [];
  return { values, notes };
}

export const history: Scenario = {
  name: 'history',
  title: `What a backlog of 16 MB holds: SETs of JSON of ${VALUE_BYTES} bytes, 16 replicas.`,
  runs: 3,
  figures,
  measure,
};
