/** Samples over time, and their plot as SVG. */
import { MIB } from '../../src/base/units.ts';
import type { TargetKind } from './server.ts';

export interface Line {
  /** What it shows. Empty where the only line needs no name. */
  readonly label: string;
  /** Milliseconds since the start, and MiB. */
  readonly points: [ms: number, mib: number][];
}

export interface Series {
  readonly lines: readonly Line[];
  readonly marks: [ms: number, text: string][];
}

/** Returns milliseconds and bytes as a point of a line, rounded to 0.1 MiB. */
export function pointOf(ms: number, bytes: number): [ms: number, mib: number] {
  return [Math.round(ms), Math.round((10 * bytes) / MIB) / 10];
}

const WIDTH = 960;
const ROW_HEIGHT = 220;
const LEFT = 60;
const RIGHT = 20;
const TOP = 30;
const ROW_GAP = 60;
const COLORS: Readonly<Record<TargetKind, string>> = { headwater: '#0b6e99', redis: '#b3261e' };
/** Lines behind the first of a server have these patterns. */
const DASHES = ['', '6 3', '2 3'];
const NAMES: Readonly<Record<TargetKind, string>> = {
  headwater: 'headwater',
  redis: 'redis-server',
};

/** Returns a plot with one row per server, one below another, on the same axes. */
export function plotOf(title: string, all: Readonly<Partial<Record<TargetKind, Series>>>): string {
  const rows = Object.entries(all) as [TargetKind, Series][];
  const points = rows.flatMap(([, { lines }]) => lines.flatMap((line) => line.points));
  const endMs = Math.max(1, ...points.map(([ms]) => ms));
  const topMib = Math.max(1, ...points.map(([, mib]) => mib)) * 1.05;
  const height = TOP + rows.length * (ROW_HEIGHT + ROW_GAP);
  const x = (ms: number): number => LEFT + (ms / endMs) * (WIDTH - LEFT - RIGHT);
  const parts: string[] = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<title>${title}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="white"/>`,
    textAt(LEFT, 18, title, 'font-weight="bold"'),
  ];
  for (const [index, [kind, series]] of rows.entries()) {
    const bottom = TOP + index * (ROW_HEIGHT + ROW_GAP) + ROW_GAP / 2 + ROW_HEIGHT;
    const y = (mib: number): number => bottom - (mib / topMib) * ROW_HEIGHT;
    for (let mib = 0; mib <= topMib; mib += stepOf(topMib)) {
      parts.push(lineFrom(LEFT, y(mib), WIDTH - RIGHT, y(mib), '#ddd'));
      parts.push(textAt(LEFT - 6, y(mib) + 4, `${mib}`, 'text-anchor="end"'));
    }
    for (let ms = 0; ms <= endMs; ms += stepOf(endMs / 1000) * 1000) {
      parts.push(textAt(x(ms), bottom + 16, `${ms / 1000} s`, 'text-anchor="middle" fill="#666"'));
    }
    for (const [ms, text] of series.marks) {
      parts.push(lineFrom(x(ms), bottom - ROW_HEIGHT, x(ms), bottom, '#999'));
      parts.push(textAt(x(ms) + 4, bottom - ROW_HEIGHT + 10, text, 'fill="#666"'));
    }
    const color = COLORS[kind];
    for (const [nth, { points: some }] of series.lines.entries()) {
      const path = some.map(([ms, mib]) => `${x(ms).toFixed(1)},${y(mib).toFixed(1)}`).join(' ');
      const dash = DASHES[nth % DASHES.length]!;
      const pattern = dash === '' ? '' : ` stroke-dasharray="${dash}"`;
      parts.push(
        `<polyline points="${path}" fill="none" stroke="${color}" stroke-width="1.5"${pattern}/>`,
      );
    }
    const labels = series.lines.map(({ label }) => label).filter((label) => label !== '');
    const names = [NAMES[kind], ...(labels.length === 0 ? [] : [labels.join(' - - ')]), 'MiB'];
    parts.push(
      textAt(
        WIDTH - RIGHT,
        bottom - ROW_HEIGHT - 6,
        names.join(', '),
        `text-anchor="end" fill="${color}"`,
      ),
    );
  }
  return `${[...parts, '</svg>'].join('\n')}\n`;
}

/** Returns a step of 1, 2 or 5 times a power of ten, so that about five steps fit into `range`. */
function stepOf(range: number): number {
  const power = 10 ** Math.floor(Math.log10(range / 4));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => range / step <= 8)!;
}

const lineFrom = (x1: number, y1: number, x2: number, y2: number, color: string): string =>
  `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" stroke="${color}"/>`;

const textAt = (x: number, y: number, text: string, attributes: string): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')}</text>`;
