/** Timelines of full syncs through chains, as SVG: one panel for each, on the same axis. */
import type { Timeline } from './sync-timeline.ts';

const WIDTH = 960;
const LEFT = 150;
const RIGHT = 90;
const TOP = 62;
const BAR = 16;
const ROW = 26;
const PANEL_GAP = 58;
const STAGES = [
  { name: 'until the first byte of the dump', color: '#dddddd' },
  { name: 'the dump arrives', color: '#0b6e99' },
  { name: 'the rest of its load', color: '#e0a030' },
] as const;

/** Returns the picture, with `remark` below the title: where and how it was measured. */
export function timelinePlot(
  title: string,
  remark: string,
  timelines: readonly Timeline[],
): string {
  const endMs = Math.max(1, ...timelines.flatMap(({ hops }) => hops.map(({ upMs }) => upMs)));
  const rows = timelines.reduce((sum, { hops }) => sum + hops.length, 0);
  const height = TOP + timelines.length * PANEL_GAP + rows * ROW + 10;
  const x = (ms: number): number => LEFT + (ms / endMs) * (WIDTH - LEFT - RIGHT);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="white"/>`,
    textAt(20, 20, title, 'font-weight="bold" font-size="14"'),
    textAt(20, 38, remark, 'fill="#666"'),
  ];
  STAGES.forEach(({ name, color }, i) => {
    parts.push(box(20 + i * 220, 48, 12, 12, color), textAt(38 + i * 220, 58, name));
  });
  let y = TOP + 26;
  for (const { title: name, hops } of timelines) {
    parts.push(textAt(20, y, name, 'font-weight="bold"'));
    y += 10;
    const bottom = y + hops.length * ROW;
    for (let ms = 0; ms <= endMs; ms += stepMs(endMs)) {
      parts.push(lineFrom(x(ms), y, x(ms), bottom));
      parts.push(textAt(x(ms), bottom + 14, `${ms / 1000} s`, 'text-anchor="middle" fill="#666"'));
    }
    hops.forEach(({ firstMs, lastMs, upMs }, i) => {
      const top = y + i * ROW + (ROW - BAR) / 2;
      parts.push(textAt(20, top + BAR - 4, `hop ${i + 1}`));
      const ends = [0, firstMs, lastMs, upMs];
      STAGES.forEach(({ color }, stage) => {
        const [from, to] = [ends[stage]!, ends[stage + 1]!];
        if (to > from) parts.push(box(x(from), top, x(to) - x(from), BAR, color));
      });
      parts.push(textAt(x(upMs) + 6, top + BAR - 4, `up ${seconds(upMs)}`));
    });
    y = bottom + PANEL_GAP - 10;
  }
  return `${[...parts, '</svg>'].join('\n')}\n`;
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;

/** A step of whole or half seconds, so that at most twelve fit. */
function stepMs(endMs: number): number {
  return [100, 500, 1000, 2000, 5000, 10_000, 20_000].find((step) => endMs / step <= 12) ?? 60_000;
}

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

function box(x: number, y: number, width: number, height: number, color: string): string {
  const [left, wide] = [x, width].map((value) => value.toFixed(1));
  return `<rect x="${left}" y="${y}" width="${wide}" height="${height}" fill="${color}"/>`;
}

function textAt(x: number, y: number, text: string, attributes = ''): string {
  return `<text x="${x.toFixed(1)}" y="${y}" ${attributes}>${escaped(text)}</text>`;
}

function lineFrom(x1: number, y1: number, x2: number, y2: number): string {
  const ends = `x1="${x1.toFixed(1)}" y1="${y1}" x2="${x2.toFixed(1)}" y2="${y2}"`;
  return `<line ${ends} stroke="#eeeeee"/>`;
}
