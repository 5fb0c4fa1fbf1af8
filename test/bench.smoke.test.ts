/**
 * The bench in its small size: every scenario runs to its end on every server there is, with the
 * same workload, and reports a well-formed row for each figure. No figure is looked at: a bench
 * never asserts a time.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compileBench } from '../bin/compile-bench.js';
import { checksumOf, stringKeys } from '../native-free-bench/lib/dataset.ts';
import { lagsOf } from '../native-free-bench/lib/lag.ts';
import { REPORT_SCHEMA, type Report, rowOf } from '../native-free-bench/lib/report.ts';
import { ReplySkimmer, RequestWriter } from '../native-free-bench/lib/resp.ts';
import type { TargetKind } from '../native-free-bench/lib/server.ts';
import { median, quantile } from '../native-free-bench/lib/statistics.ts';
import { findRedisServer } from './support/real-redis.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const hasHeadwater = existsSync(join(root, 'dist', 'cli.js'));
const TIMEOUT_MS = 600_000;

const SCENARIOS = [
  'get-set',
  'fan-out',
  'full-sync',
  'stall',
  'memory',
  'memory-time',
  'types',
  'types-memory',
  'start',
  'relay-sync',
  'relay-lag',
  'replace',
  'relay-fan-out',
  'chain-sync',
  'chain-latency',
  'overflow',
  'append-only',
  'disk-stall',
  'history',
  'back-sync',
  'full-sync-many',
  'fan-out-slow',
  'fan-out-cost',
];
const WITH_REPLICAS = [
  'fan-out',
  'full-sync',
  'stall',
  'types-memory',
  'relay-sync',
  'relay-lag',
  'replace',
  'relay-fan-out',
  'chain-sync',
  'chain-latency',
  'history',
  'back-sync',
  'full-sync-many',
  'fan-out-slow',
  'fan-out-cost',
];

/** Figures that only one of the servers has. */
const OPTIONAL = /(?:^|\.)(?:touched|growth\.rest|pause|free\.up|throttled\.\w+|raw|loss|c|times)$/;

const directory = mkdtempSync(join(tmpdir(), 'headwater-bench-smoke-'));

/** The compiled bench, which `bin/bench.js` compiles and runs. */
const PROGRAM = 'dist-bench/native-free-bench/run.js';

// Once for all runs, since the compiler writes what they load.
beforeAll(() => {
  expect(compileBench()).toBe(true);
}, TIMEOUT_MS);

afterAll(() => rmSync(directory, { recursive: true, force: true }));

interface BenchRun {
  readonly code: number;
  readonly output: string;
  readonly report: Report;
  readonly reportFile: string;
}

/** Runs `script`, and reads the report that it writes. */
async function runScript(script: string, name: string, args: readonly string[]): Promise<BenchRun> {
  const reportFile = join(directory, `${name}.json`);
  const words = [join(root, script), '--smoke', '--json', reportFile, ...args];
  const { code, output } = await outputOf(words);
  if (!existsSync(reportFile)) throw new Error(`no report:\n${output}`);
  const report = JSON.parse(readFileSync(reportFile, 'utf8')) as Report;
  return { code, output, report, reportFile };
}

async function outputOf(words: readonly string[]): Promise<{ code: number; output: string }> {
  const env = {
    ...process.env,
    HEADWATER_REDIS_SERVER: findRedisServer(),
    HEADWATER_BENCH_SELF: hasHeadwater ? '1' : '',
  };
  const bench = spawn(process.execPath, [...words], {
    cwd: root,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [bench.stdout, bench.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => {
      output += text;
    });
  }
  const [code] = await once(bench, 'close');
  return { code: Number(code), output };
}

describe('npm run bench -- --smoke', () => {
  /** All scenarios, by two processes side by side: much of their time is waiting. */
  let runs: readonly BenchRun[];
  let report: Report;
  let output: string;

  beforeAll(async () => {
    const half = (rest: number): string[] => SCENARIOS.filter((_, i) => i % 2 === rest);
    const halves = [half(0), half(1)];
    runs = await Promise.all(halves.map((names, i) => runScript(PROGRAM, `half-${i}`, names)));
    const scenarios = runs.flatMap((run) => run.report.scenarios);
    report = { ...runs[0]!.report, scenarios };
    output = runs.map((run) => run.output).join('\n');
  }, TIMEOUT_MS);

  test('measures all scenarios when none is named', async () => {
    const { output: help } = await outputOf([join(root, PROGRAM), '--help']);
    expect(help).toContain(`\nscenarios: ${SCENARIOS.join(' ')} (all of them`);
  });

  test('says what was measured, on what, and how', () => {
    expect(report.schema).toBe(REPORT_SCHEMA);
    expect(report.smoke).toBe(true);
    expect(report.machine.cores).toBeGreaterThan(0);
    expect(report.machine.node).toBe(process.versions.node);
    expect(report.commandLine).toContain('--smoke');
    expect(report.redis).toMatch(/^(Redis|Valkey) \d/);
    expect(report.headwater !== null).toBe(hasHeadwater);
    expect(report.scenarios.map(({ name }) => name).sort()).toEqual([...SCENARIOS].sort());
  });

  test.each(SCENARIOS)('%s measures every figure, on one workload', (name) => {
    const scenario = report.scenarios.find((candidate) => candidate.name === name)!;
    expect(scenario.errors, output).toEqual([]);
    expect(scenario.checksum).toMatch(/^[0-9a-f]{16}$/);
    expect(scenario.rows.length).toBeGreaterThan(0);
    for (const row of scenario.rows) {
      for (const [server, summary] of Object.entries({
        headwater: row.headwater,
        redis: row.redis,
      })) {
        const isWanted = server === 'redis' || (hasHeadwater && !hasNote(scenario.notes, server));
        if (isWanted && !OPTIONAL.test(row.id)) {
          expect(summary.samples, `${server}: ${row.label}`).toHaveLength(1);
        }
        expect(summary.samples.every(Number.isFinite), `${server}: ${row.label}`).toBe(true);
      }
    }
  });

  test.each(WITH_REPLICAS)('%s proves that all replicas got the same', (name) => {
    const scenario = report.scenarios.find((candidate) => candidate.name === name)!;
    const kinds = hasHeadwater ? ['headwater', 'redis'] : ['redis'];
    expect(scenario.streams).toHaveLength(kinds.length);
    for (const [i, kind] of kinds.entries()) {
      expect(scenario.streams[i]).toMatch(/^([1-9]\d*) of \1 replicas equal, digest equal /);
      expect(scenario.streams[i]).toContain(`(${kind})`);
      const ranges = scenario.ranges[kind as TargetKind]!;
      expect(ranges.length).toBeGreaterThan(0);
      for (const { first, end, crc64 } of ranges) {
        expect(end).toBeGreaterThan(first);
        expect(crc64).toMatch(/^[0-9a-f]{16}$/);
      }
    }
    expect(output).toContain(`streams: ${scenario.streams[0]}`);
  });

  test('ends well', () => {
    expect(
      runs.map(({ code }) => code),
      output,
    ).toEqual([0, 0]);
  });

  test('writes the tables for people too', () => {
    const markdown = runs
      .map(({ reportFile }) => readFileSync(reportFile.replace('.json', '.md'), 'utf8'))
      .join('\n');
    for (const name of SCENARIOS) {
      expect(output).toContain(`${name}: `);
      expect(markdown).toContain(`## ${name}`);
    }
  });
});

describe('npm run bench -- --smoke fan-out --falsify', () => {
  test.each([
    ['stream', 'bin/bench.js', / got another byte at offset \d+/],
    ['dataset', PROGRAM, /DEBUG DIGEST is \w+ at the replica and \w+ at its primary/],
  ])(
    '%s: the report is an error and has no figures',
    { timeout: TIMEOUT_MS },
    async (what, script, fault) => {
      const { code, output, report } = await runScript(script, what, [
        'fan-out',
        '--only',
        'redis',
        '--falsify',
        what,
      ]);
      const [scenario] = report.scenarios;
      expect(code).toBe(1);
      expect(output).toMatch(/^ERROR: redis: /m);
      expect(scenario!.errors).toHaveLength(1);
      expect(scenario!.errors[0]).toMatch(fault);
      expect(scenario!.streams[0]).not.toMatch(/^(\d+) of \1 replicas equal, digest equal /);
      expect(scenario!.rows.map((row) => row.redis.samples)).toEqual(scenario!.rows.map(() => []));
    },
  );
});

/** A note tells of figures that a server does not have yet. */
function hasNote(notes: readonly string[], server: string): boolean {
  return notes.some((note) => note.startsWith(`${server}: `));
}

describe('the parts of the bench that count', () => {
  test.each([
    { below: [[0, 0]], lags: [0], why: 'both have just begun' },
    { below: [[1000, 50]], lags: [500], why: 'the primary was there half a second ago' },
    { below: [[990, 100]], lags: [0], why: 'the primary was there not earlier' },
    {
      below: [
        [1500, 0],
        [1500, 100],
        [2600, 150],
      ],
      lags: [1500, 500, 1100],
      why: 'in turn',
    },
    { below: [[3000, 200]], lags: [0], why: 'it has everything' },
  ])('the lag of a replica at $below is $lags: $why', ({ below, lags }) => {
    const samples = (points: readonly number[][]) =>
      points.map(([atMs, offset]) => ({ atMs: atMs!, offset: offset! }));
    const above = samples([
      [0, 0],
      [1000, 100],
      [2000, 200],
    ]);
    expect(lagsOf(above, samples(below))).toEqual(lags);
  });

  test.each([
    { samples: [3], q: 0.5, value: 3 },
    { samples: [4, 1, 3, 2], q: 0.5, value: 2.5 },
    { samples: [5, 1, 3, 2, 4], q: 0.25, value: 2 },
    { samples: [1, 2], q: 1, value: 2 },
  ])('quantile $q of $samples is $value', ({ samples, q, value }) => {
    expect(quantile(samples, q)).toBe(value);
    expect(median([...samples].reverse())).toBe(quantile(samples, 0.5));
  });

  test.each([
    { must: { ratioAtLeast: 2 }, headwater: [20], redis: [10], verdict: 'pass' },
    { must: { ratioAtLeast: 2.1 }, headwater: [20], redis: [10], verdict: 'miss' },
    { must: { ratioAtMost: 0.6 }, headwater: [6], redis: [10], verdict: 'pass' },
    { must: { ratioAtMost: 0.6 }, headwater: [7], redis: [10], verdict: 'miss' },
    { must: { below: 1 }, headwater: [0.5], redis: [], verdict: 'pass' },
    { must: { below: 1 }, headwater: [1], redis: [], verdict: 'miss' },
    { must: { atLeast: 1 }, headwater: [1], redis: [], verdict: 'pass' },
    { must: { atLeast: 1 }, headwater: [0.9], redis: [2], verdict: 'miss' },
    { must: { atLeast: 1 }, headwater: [], redis: [2], verdict: null },
    { must: { ratioAtMost: 1 }, headwater: [1], redis: [], verdict: null },
    { must: { below: 1 }, headwater: [], redis: [0.1], verdict: null },
    { must: null, headwater: [1], redis: [1], verdict: null },
  ] as const)(
    '$must with $headwater and $redis is $verdict',
    ({ must, headwater, redis, verdict }) => {
      const row = rowOf({ id: 'x', label: 'x', unit: 'ms', must }, { headwater, redis });
      expect(row.verdict).toBe(verdict);
    },
  );

  test.each([
    { replies: '+OK\r\n:1\r\n$-1\r\n*-1\r\n', count: 4, errors: 0, firstError: '' },
    {
      replies: '*2\r\n$3\r\na\r\n\r\n*2\r\n:1\r\n*1\r\n$0\r\n\r\n*0\r\n',
      count: 2,
      errors: 0,
      firstError: '',
    },
    { replies: '-ERR \x01\r\n', count: 1, errors: 1, firstError: 'ERR ?' },
    { replies: '-ERR one\r\n*1\r\n-ERR two\r\n', count: 2, errors: 2, firstError: 'ERR one' },
  ])(
    'skims $count replies in one piece and byte by byte',
    ({ replies, count, errors, firstError }) => {
      const bytes = Buffer.from(replies);
      for (const piece of [bytes.length, 1]) {
        const skimmer = new ReplySkimmer();
        skimmer.expected = count;
        for (let at = 0; at < bytes.length; at += piece) {
          expect(skimmer.expected).toBeGreaterThan(0);
          skimmer.push(bytes.subarray(at, at + piece), piece);
        }
        expect([skimmer.expected, skimmer.errors, skimmer.firstError]).toEqual([
          0,
          errors,
          firstError,
        ]);
      }
    },
  );

  test('tells datasets apart by their checksum', () => {
    const sum = checksumOf(stringKeys(2000, 100, 1));
    expect(checksumOf(stringKeys(2000, 100, 1))).toBe(sum);
    expect(checksumOf(stringKeys(2000, 100, 2))).not.toBe(sum);
    expect(checksumOf(stringKeys(1999, 100, 1))).not.toBe(sum);
  });

  test('refuses a reply that nobody asked for', () => {
    expect(() => new ReplySkimmer().push(Buffer.from('+OK\r\n'), 5)).toThrow('nobody asked');
  });

  test('encodes commands, growing as it must', () => {
    const out = new RequestWriter(1);
    const value = 'v'.repeat(1234);
    out.command(3);
    out.text('SET');
    out.text('k');
    out.bytes(Buffer.from(`__${value}__`), 2, value.length);
    const text = out.buffer.toString('latin1', 0, out.length);
    expect(text).toBe(`*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1234\r\n${value}\r\n`);
  });
});
