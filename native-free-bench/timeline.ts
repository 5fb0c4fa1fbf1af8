/**
 * The timeline of a full sync through a chain of four, as a table and as a picture: when the dump
 * reaches each hop, and when its link is up. bin/timeline.js compiles and starts it.
 *
 *   npm run timeline                            300 MB; the picture goes to results/timeline.svg
 *   npm run timeline -- --keys 1000 --out a.svg
 *
 * Three chains are measured, one after another: a real primary with three headwaters, a headwater
 * with three headwaters, and redis-servers only. All nodes of a chain are attached at once. Their
 * digests must be equal in the end, or the exit code is 1. It is 2 for wrong arguments.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { MIB } from '../src/base/units.ts';
import { load, stringKeys } from './lib/dataset.ts';
import { digestOf } from './lib/follower.ts';
import { runProgram, UsageError } from './lib/program.ts';
import { redisVersion, Server, type Target } from './lib/server.ts';
import { SAMPLE_MS, type Timeline, watchSync } from './lib/sync-timeline.ts';
import { timelinePlot } from './lib/timeline-plot.ts';

const KEYS = 300_000;
const VALUE_BYTES = 1000;
const NODES = 3;
const SEED = 0xc4a;
const OPTIONS = ['--enable-debug-command', 'yes'];

const USAGE = `npm run timeline [-- [--keys N] [--out FILE]]

--keys N     keys of ${VALUE_BYTES} bytes (default ${KEYS})
--out FILE   the picture (default native-free-bench/results/timeline.svg)`;

interface Plan {
  readonly title: string;
  readonly head: Target;
  readonly below: Target;
}

async function measure(plan: Plan, keys: number): Promise<Timeline> {
  const servers: Server[] = [];
  const start = async (target: Target): Promise<Server> => {
    const server = await Server.start(target, OPTIONS, false);
    servers.push(server);
    return server;
  };
  try {
    const head = await start(plan.head);
    await load(head.port, stringKeys(keys, VALUE_BYTES, SEED));
    const nodes: Server[] = [];
    for (let i = 0; i < NODES; i++) nodes.push(await start(plan.below));
    const hops = await watchSync(head, nodes);
    const digest = await digestOf(head);
    for (const node of nodes) {
      if ((await digestOf(node)) !== digest) throw new Error(`${plan.title}: digests differ`);
    }
    return { title: plan.title, hops };
  } finally {
    for (const server of servers.reverse()) await server.stop();
  }
}

function print({ title, hops }: Timeline): void {
  console.log(`\n${title}\nhop  first byte  last byte    link up`);
  for (const [i, { firstMs, lastMs, upMs }] of hops.entries()) {
    const cells = [firstMs, lastMs, upMs].map((ms) => `${Math.round(ms)} ms`);
    console.log(
      `${String(i + 1).padStart(3)}  ${cells[0]!.padStart(10)}  ${cells[1]!.padStart(9)}  ${cells[2]!.padStart(9)}`,
    );
  }
}

async function main(argv: readonly string[], root: string): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      keys: { type: 'string', default: String(KEYS) },
      out: { type: 'string', default: join(root, 'native-free-bench', 'results', 'timeline.svg') },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const keys = Number(values.keys);
  if (!Number.isInteger(keys) || keys < 1) throw new UsageError('--keys takes a count');
  const path = process.env['HEADWATER_REDIS_SERVER'] ?? '';
  const version = path === '' ? null : redisVersion(path);
  if (version === null) throw new UsageError('there is no redis-server to compare with');
  const redis: Target = { kind: 'redis', command: [path], version };
  const command = [process.execPath, join(root, 'bin', 'headwater.js')] as const;
  const headwater: Target = { kind: 'headwater', command, version: '' };
  const plans: readonly Plan[] = [
    { title: `${version}, three headwaters below`, head: redis, below: headwater },
    { title: 'four headwaters', head: headwater, below: headwater },
    { title: `four servers of ${version}`, head: redis, below: redis },
  ];
  const timelines: Timeline[] = [];
  for (const plan of plans) {
    const timeline = await measure(plan, keys);
    print(timeline);
    timelines.push(timeline);
  }
  const out = resolve(values.out);
  const megabytes = Math.round((keys * VALUE_BYTES) / 1e6);
  const title = `A full sync of ${megabytes} MB through a chain of ${NODES + 1}, all attached at once`;
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, timelinePlot(title, remark(), timelines));
  console.log(`\npicture: ${out}`);
  return 0;
}

/** The machine, and how exact the times are. */
function remark(): string {
  const all = cpus();
  const memory = Math.round(totalmem() / (1024 * MIB));
  const day = new Date().toISOString().slice(0, 10);
  return (
    `${all.length} x ${all[0]?.model.trim() ?? 'unknown processor'}, ${memory} GiB, ` +
    `Node.js ${process.version}, ${day}; INFO of each node every ${SAMPLE_MS} ms; one run`
  );
}

await runProgram(main, USAGE);
