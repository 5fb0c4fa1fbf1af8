/**
 * Turns samples into a report: medians, ratios and verdicts, as a table for the terminal, as
 * Markdown and as JSON.
 */
import type { Figure, Must, Unit } from './scenario.ts';
import type { Series } from './series.ts';
import type { TargetKind } from './server.ts';
import { median, quantile } from './statistics.ts';
import type { StreamRange } from './stream-proof.ts';

export const REPORT_SCHEMA = 3;

export interface Machine {
  readonly cores: number;
  readonly cpu: string;
  readonly memoryGiB: number;
  readonly kernel: string;
  readonly node: string;
}

export interface Summary {
  /** One value per run, in the order of the runs. Empty for n/a. */
  readonly samples: readonly number[];
  readonly median: number | null;
  readonly quartiles: readonly [number, number] | null;
}

export interface Row {
  readonly id: string;
  readonly label: string;
  readonly unit: Unit;
  readonly headwater: Summary;
  readonly redis: Summary;
  /** headwater's median divided by redis-server's. */
  readonly ratio: number | null;
  readonly must: string | null;
  readonly verdict: 'pass' | 'miss' | null;
}

export interface ScenarioReport {
  readonly name: string;
  readonly title: string;
  readonly runs: number;
  readonly checksum: string;
  /**
   * The proof of the streams to replicas, one line for each server. Empty in a scenario without
   * replicas.
   */
  readonly streams: readonly string[];
  /** The ranges of the stream that were compared. */
  readonly ranges: Readonly<Partial<Record<TargetKind, readonly StreamRange[]>>>;
  readonly notes: readonly string[];
  readonly errors: readonly string[];
  /** Samples over time from the last run of each server. */
  readonly series?: Readonly<Partial<Record<TargetKind, Series>>>;
  readonly rows: readonly Row[];
}

export interface Report {
  readonly schema: number;
  readonly date: string;
  readonly machine: Machine;
  readonly gitSha: string;
  readonly commandLine: string;
  readonly smoke: boolean;
  readonly pinned: boolean;
  readonly headwater: string | null;
  readonly redis: string | null;
  readonly scenarios: readonly ScenarioReport[];
}

/** The samples of one figure, by target. */
export type Samples = Readonly<Record<TargetKind, readonly number[]>>;

export function rowOf(figure: Figure, samples: Samples): Row {
  const headwater = summaryOf(samples.headwater);
  const redis = summaryOf(samples.redis);
  const isRatio = headwater.median !== null && redis.median !== null && redis.median !== 0;
  const ratio = isRatio ? headwater.median! / redis.median! : null;
  return {
    id: figure.id,
    label: figure.label,
    unit: figure.unit,
    headwater,
    redis,
    ratio,
    must: figure.must === null ? null : textOf(figure.must, figure.unit),
    verdict: figure.must === null ? null : verdictOf(figure.must, headwater.median, ratio),
  };
}

function summaryOf(samples: readonly number[]): Summary {
  if (samples.length === 0) return { samples, median: null, quartiles: null };
  return {
    samples,
    median: median(samples),
    quartiles: [quantile(samples, 0.25), quantile(samples, 0.75)],
  };
}

function textOf(must: Must, unit: Unit): string {
  if ('below' in must) return `< ${must.below} ${unit}`;
  if ('atLeast' in must) return `>= ${must.atLeast} ${unit}`;
  return 'ratioAtLeast' in must
    ? `>= ${must.ratioAtLeast.toFixed(2)} x`
    : `<= ${must.ratioAtMost.toFixed(2)} x`;
}

function verdictOf(must: Must, value: number | null, ratio: number | null): 'pass' | 'miss' | null {
  if ('below' in must) return value === null ? null : value < must.below ? 'pass' : 'miss';
  if ('atLeast' in must) return value === null ? null : value >= must.atLeast ? 'pass' : 'miss';
  if (ratio === null) return null;
  const isReached = 'ratioAtLeast' in must ? ratio >= must.ratioAtLeast : ratio <= must.ratioAtMost;
  return isReached ? 'pass' : 'miss';
}

const HEADINGS = [
  'figure',
  'unit',
  'headwater',
  '(q1 - q3)',
  'redis-server',
  '(q1 - q3)',
  'ratio',
  'must',
  '',
];

function cellsOf(row: Row): string[] {
  return [
    row.label,
    row.unit,
    numberText(row.headwater.median),
    rangeText(row.headwater),
    numberText(row.redis.median),
    rangeText(row.redis),
    row.ratio === null ? '' : `${row.ratio.toFixed(2)} x`,
    row.must ?? '',
    row.verdict ?? '',
  ];
}

function rangeText(summary: Summary): string {
  if (summary.quartiles === null || summary.samples.length < 3) return '';
  return `(${numberText(summary.quartiles[0])} - ${numberText(summary.quartiles[1])})`;
}

/** Returns three significant digits, without an exponent. */
export function numberText(value: number | null): string {
  if (value === null) return 'n/a';
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString('en-US');
  return value.toFixed(size >= 10 ? 1 : size >= 1 ? 2 : 3);
}

/** Returns the table of a scenario for a terminal, with aligned columns. */
export function terminalTable(scenario: ScenarioReport): string {
  const lines = [HEADINGS, ...scenario.rows.map(cellsOf)];
  const widths = HEADINGS.map((_, column) =>
    Math.max(...lines.map((line) => line[column]!.length)),
  );
  const isText = (column: number): boolean => column < 2 || column === 8;
  const table = lines.map((line) =>
    line
      .map((cell, column) =>
        isText(column) ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
      )
      .join('  ')
      .trimEnd(),
  );
  const heading = `${scenario.name}: ${scenario.title}`;
  return [heading, factsOf(scenario), '', ...table, ...remarksOf(scenario), ''].join('\n');
}

function factsOf(scenario: ScenarioReport): string {
  return `${scenario.runs} ${scenario.runs === 1 ? 'run' : 'runs'} of each server, alternating; workload ${scenario.checksum || 'unknown'}`;
}

function remarksOf(scenario: ScenarioReport): string[] {
  return [
    ...scenario.streams.map((text) => `streams: ${text}`),
    ...scenario.notes.map((note) => `note: ${note}`),
    ...scenario.errors.map((error) => `ERROR: ${error}`),
  ];
}

/** Returns lines about the machine, the versions, and the options of this run. */
export function headerLines(report: Omit<Report, 'scenarios'>): string[] {
  const { machine } = report;
  const smoke = 'SMOKE RUN: sizes are a small share of those named, and the figures mean nothing.';
  return [
    ...(report.smoke ? [smoke] : []),
    `${machine.cores} cores of ${machine.cpu}, ${machine.memoryGiB} GiB, ${machine.kernel}, Node.js ${machine.node}`,
    `headwater ${report.headwater ?? 'not measured'} (${report.gitSha}); redis-server: ${report.redis ?? 'not measured'}`,
    `${report.commandLine}${report.pinned ? ' (server pinned to core 0, everything else to the others)' : ''}`,
    'Load generator, replicas and server share these cores. Figures are medians over the runs.',
  ];
}

export function markdownOf(report: Report): string {
  const lines = ['# headwater beside redis-server', '', report.date, ''];
  for (const line of headerLines(report)) lines.push(`- ${line}`);
  for (const scenario of report.scenarios) {
    lines.push('', `## ${scenario.name}`, '', `${scenario.title} ${factsOf(scenario)}.`, '');
    lines.push(`| ${HEADINGS.join(' | ')} |`, `|${HEADINGS.map(() => '---').join('|')}|`);
    for (const row of scenario.rows) lines.push(`| ${cellsOf(row).join(' | ')} |`);
    for (const remark of remarksOf(scenario)) lines.push('', remark.replaceAll('\n', ' '));
  }
  return `${lines.join('\n')}\n`;
}
