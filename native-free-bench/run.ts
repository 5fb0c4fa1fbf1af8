/**
 * The bench: measures headwater and redis-server in turn, and reports medians and ratios.
 * bin/bench.js compiles and starts it. README.md tells how to use it and how to read the report.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { GIB } from '../src/base/units.ts';
import { runProgram, UsageError } from './lib/program.ts';
import {
  headerLines,
  type Machine,
  markdownOf,
  REPORT_SCHEMA,
  type Report,
  rowOf,
  type ScenarioReport,
  terminalTable,
} from './lib/report.ts';
import { Context, FALSIFICATIONS, type Falsification, type Scenario } from './lib/scenario.ts';
import { plotOf, type Series } from './lib/series.ts';
import { redisVersion, type Target, type TargetKind } from './lib/server.ts';
import { StreamProof } from './lib/stream-proof.ts';
import { appendOnly } from './node/append-only.ts';
import { backSync } from './node/back-sync.ts';
import { chainLatency } from './node/chain-latency.ts';
import { chainSync } from './node/chain-sync.ts';
import { diskStall } from './node/disk-stall.ts';
import { fanOut } from './node/fan-out.ts';
import { fanOutCost } from './node/fan-out-cost.ts';
import { fanOutSlow } from './node/fan-out-slow.ts';
import { fullSync } from './node/full-sync.ts';
import { fullSyncMany } from './node/full-sync-many.ts';
import { getSet } from './node/get-set.ts';
import { history } from './node/history.ts';
import { memory } from './node/memory.ts';
import { memoryTime } from './node/memory-time.ts';
import { overflow } from './node/overflow.ts';
import { relayFanOut } from './node/relay-fan-out.ts';
import { relayLag } from './node/relay-lag.ts';
import { relaySync } from './node/relay-sync.ts';
import { replace } from './node/replace.ts';
import { stall } from './node/stall.ts';
import { start } from './node/start.ts';
import { types } from './node/types.ts';
import { typesMemory } from './node/types-memory.ts';

const SCENARIOS: readonly Scenario[] = [
  getSet,
  fanOut,
  fullSync,
  stall,
  memory,
  memoryTime,
  types,
  typesMemory,
  start,
  relaySync,
  relayLag,
  replace,
  relayFanOut,
  chainSync,
  chainLatency,
  overflow,
  appendOnly,
  diskStall,
  history,
  backSync,
  fullSyncMany,
  fanOutSlow,
  fanOutCost,
];

const USAGE = `npm run bench [-- [scenario ...] [--smoke] [--runs N] [--json FILE] [--only headwater|redis] [--pin]]

scenarios: ${SCENARIOS.map((scenario) => scenario.name).join(' ')} (all of them when none is named)
--smoke      tiny sizes and one run: shows that it works, the figures mean nothing
--runs N     measurements of each server (default: as the scenario says, mostly 5)
--json FILE  where the report goes; FILE with .md for .json is written beside it, and plots as .svg
             (default: native-free-bench/results/report.json)
--only KIND  measures one of the two servers
--pin        the server on core 0, everything else on the other cores (taskset)
--falsify W  makes something wrong on purpose, to see that it is noticed: one byte of a stream, or a key of a stock
             replica's dataset (stream, dataset)`;

const SERVER_CORES = '0';

interface Options {
  readonly scenarios: readonly Scenario[];
  readonly smoke: boolean;
  readonly runs: number | null;
  readonly reportFile: string;
  readonly only: string | null;
  readonly pin: boolean;
  readonly falsify: Falsification | null;
}

/** The streams of a measured server were wrong. */
class ProofError extends Error {}

function optionsOf(argv: readonly string[], root: string): Options | null {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      smoke: { type: 'boolean', default: false },
      runs: { type: 'string' },
      json: { type: 'string', default: join(root, 'native-free-bench', 'results', 'report.json') },
      only: { type: 'string' },
      pin: { type: 'boolean', default: false },
      falsify: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const runs = values.runs === undefined ? null : Number(values.runs);
  if (runs !== null && !(Number.isInteger(runs) && runs >= 1))
    throw new UsageError('--runs takes a count');
  const only = values.only ?? null;
  if (only !== null && only !== 'headwater' && only !== 'redis') {
    throw new UsageError('--only takes headwater or redis');
  }
  const falsify = FALSIFICATIONS.find((each) => each === values.falsify) ?? null;
  if (values.falsify !== undefined && falsify === null) {
    throw new UsageError(`--falsify takes ${FALSIFICATIONS.join(' or ')}`);
  }
  if (!values.json.endsWith('.json'))
    throw new UsageError('--json takes a file that ends in .json');
  const scenarios = positionals.map((name) => {
    const scenario = SCENARIOS.find((candidate) => candidate.name === name);
    if (scenario === undefined) throw new UsageError(`no scenario ${name}`);
    return scenario;
  });
  return {
    scenarios: scenarios.length === 0 ? SCENARIOS : scenarios,
    smoke: values.smoke,
    runs,
    reportFile: resolve(values.json),
    only,
    pin: values.pin,
    falsify,
  };
}

/** Returns the servers to measure. bin/bench.js tells which ones exist. */
function targetsOf(options: Options, root: string): Target[] {
  const pin: string[] = options.pin ? ['taskset', '-c', SERVER_CORES] : [];
  const command = (...words: string[]): [string, ...string[]] =>
    [...pin, ...words] as [string, ...string[]];
  const targets: Target[] = [];
  if (process.env['HEADWATER_BENCH_SELF'] === '1') {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    const program = join(root, 'bin', 'headwater.js');
    targets.push({ kind: 'headwater', command: command(program), version });
  }
  const redis = process.env['HEADWATER_REDIS_SERVER'] ?? '';
  const version = redis === '' ? null : redisVersion(redis);
  if (version !== null) targets.push({ kind: 'redis', command: command(redis), version });
  return targets.filter((target) => options.only === null || options.only === target.kind);
}

/**
 * Measures `scenario`. Each run measures every target once. The order is reversed from run to run.
 */
async function runScenario(
  scenario: Scenario,
  targets: readonly Target[],
  options: Options,
): Promise<ScenarioReport> {
  const runs = options.runs ?? (options.smoke ? 1 : scenario.runs);
  const redis = process.env['HEADWATER_REDIS_SERVER'] ?? '';
  const figures = scenario.figures(options.smoke);
  const samples = new Map(
    figures.map((figure) => [figure.id, { headwater: [] as number[], redis: [] as number[] }]),
  );
  const checksums = new Set<string>();
  const notes = new Set<string>();
  const proofs = new Map<TargetKind, StreamProof>();
  const errors: string[] = [];
  const broken = new Set<TargetKind>();
  const series: Partial<Record<TargetKind, Series>> = {};
  for (let run = 0; run < runs; run++) {
    const order = run % 2 === 0 ? targets : [...targets].reverse();
    for (const target of order) {
      if (broken.has(target.kind)) continue;
      progress(`${scenario.name}: run ${run + 1} of ${runs}, ${target.kind}`);
      const context = new Context(target, options.smoke, redis, options.falsify);
      try {
        const measurement = await scenario.measure(context);
        const { faults } = context.proof;
        if (faults.length > 0) throw new ProofError(`${context.proof.text}: ${faults.join('; ')}`);
        checksums.add(measurement.checksum);
        if (measurement.series !== undefined) series[target.kind] = measurement.series;
        for (const note of measurement.notes) notes.add(`${target.kind}: ${note}`);
        for (const [id, values] of samples) {
          const value = measurement.values[id] ?? null;
          if (value !== null) values[target.kind].push(value);
        }
      } catch (error) {
        // Any failure of this server is reported. The other server and the other scenarios still
        // count.
        errors.push(`${target.kind}: ${error instanceof Error ? error.message : String(error)}`);
        broken.add(target.kind);
        // A server with a wrong stream has no valid speed, not even in earlier runs.
        if (error instanceof ProofError)
          for (const values of samples.values()) values[target.kind] = [];
      } finally {
        if (context.proof.isThere) {
          const sum = proofs.get(target.kind) ?? new StreamProof();
          sum.add(context.proof);
          proofs.set(target.kind, sum);
        }
        await context.end();
      }
    }
  }
  if (checksums.size > 1)
    errors.push(`the servers got different workloads: ${[...checksums].join(' ')}`);
  progress('');
  return {
    name: scenario.name,
    title: scenario.title,
    runs,
    checksum: [...checksums].join(' '),
    streams: [...proofs].map(([kind, proof]) => `${proof.text} (${kind})`),
    ranges: Object.fromEntries([...proofs].map(([kind, proof]) => [kind, proof.ranges])),
    notes: [...notes],
    errors,
    rows: figures.map((figure) => rowOf(figure, samples.get(figure.id)!)),
    ...(Object.keys(series).length === 0 ? {} : { series }),
  };
}

function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}

function machineLine(): Machine {
  return {
    cores: cpus().length,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    memoryGiB: Math.round(totalmem() / GIB),
    kernel: `Linux ${release()}`,
    node: process.versions.node,
  };
}

/**
 * Returns the measured commit, marked when the tree differs from it, or 'unknown' outside a
 * repository.
 */
function gitSha(root: string): string {
  const git = (...words: string[]): string =>
    execFileSync('git', words, {
      cwd: root,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    const isChanged = git('status', '--porcelain', '--untracked-files=no') !== '';
    return git('rev-parse', '--short=12', 'HEAD') + (isChanged ? ' with changes' : '');
  } catch {
    // There is no git, or no repository, as in a package from a registry.
    return 'unknown';
  }
}

async function main(argv: readonly string[], root: string): Promise<number> {
  const options = optionsOf(argv, root);
  if (options === null) {
    console.log(USAGE);
    return 0;
  }
  const targets = targetsOf(options, root);
  if (targets.length === 0) throw new UsageError('there is no server to measure');
  const versionOf = (kind: TargetKind): string | null =>
    targets.find((target) => target.kind === kind)?.version ?? null;
  const facts: Omit<Report, 'scenarios'> = {
    schema: REPORT_SCHEMA,
    date: new Date().toISOString(),
    machine: machineLine(),
    gitSha: gitSha(root),
    commandLine: ['npm run bench --', ...argv].join(' '),
    smoke: options.smoke,
    pinned: options.pin,
    headwater: versionOf('headwater'),
    redis: versionOf('redis'),
  };
  console.log(`${headerLines(facts).join('\n')}\n`);
  const scenarios: ScenarioReport[] = [];
  for (const scenario of options.scenarios) {
    const report = await runScenario(scenario, targets, options);
    scenarios.push(report);
    console.log(terminalTable(report));
  }
  const report: Report = { ...facts, scenarios };
  mkdirSync(dirname(options.reportFile), { recursive: true });
  writeFileSync(options.reportFile, `${JSON.stringify(report, null, 2)}\n`);
  writeFileSync(options.reportFile.replace(/\.json$/, '.md'), markdownOf(report));
  for (const { name, title, series } of scenarios) {
    if (series === undefined) continue;
    writeFileSync(options.reportFile.replace(/\.json$/, `.${name}.svg`), plotOf(title, series));
  }
  console.log(`report: ${options.reportFile}`);
  return scenarios.some((scenario) => scenario.errors.length > 0) ? 1 : 0;
}

await runProgram(main, USAGE);
