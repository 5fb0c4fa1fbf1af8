/**
 * What the nodes of a chain tell each other about its hops. A hop is the link between a node and
 * its primary.
 *
 *   head ──hop──▶ relay ──hop──▶ this node ──hop──▶ replica ──hop──▶ replica
 *        depth 2        depth 1            depth 1          depth 2
 *        ◀──────── above ────────▶         ◀──────── below ────────▶
 *
 * A list names a node before the nodes behind it: a path above, a tree below. As text it has a line
 * for each hop, of eight words:
 *
 *   depth  node  id  role  state  lag in bytes  lag in ms  age in ms
 *   1 10.0.0.7:6379 4f1a…9c replica online 0 0 412
 *
 *   node   address of the end that is further from this node; "-" when the reader knows it
 *   id     its run id; "-" when it has not told one: it is no headwater
 *   role   of that end: "primary" when it has no primary itself, "replica", "unknown"
 *   state  of the link, a word of INFO
 *   lag    of the lower end behind the upper one; -1 when not known
 *   age    since the lag was measured; the clocks of two nodes are never compared
 *
 * Everything here comes from other nodes. So the count of hops, their depth, their bytes and their
 * age are bounded, and a list ends where it comes back to a node that it has named: a ring does not
 * make it longer. Pure.
 */
import { KIB } from '../base/units.ts';

/** Hops of one list, and how far they may be away. */
export const HOPS_MAX = 64;
export const HOP_DEPTH_MAX = 16;
/** Bytes of one list as text. */
export const HOPS_BYTES_MAX = 32 * KIB;
/** What was measured longer ago is not told any more. */
export const HOP_AGE_MS_MAX = 30_000;
export const UNKNOWN = -1;

export type HopRole = 'primary' | 'replica' | 'unknown';

export interface Hop {
  readonly depth: number;
  readonly node: string;
  /** Empty when not known. */
  readonly id: string;
  readonly role: HopRole;
  readonly state: string;
  readonly lagBytes: number;
  readonly lagMs: number;
  /** When the lag was measured, by the monotonic clock of this node. */
  readonly measuredMs: number;
}

/** A replica of this node, and what it has told of the nodes below it. */
export interface Branch {
  readonly hop: Hop;
  readonly told: readonly Hop[];
}

/** A list of hops, and how many more there were. */
export interface HopList {
  readonly hops: readonly Hop[];
  readonly leftOut: number;
}

/** Of a state in bytes: the longest word of INFO has 20. */
const STATE_BYTES_MAX = 32;
/** The largest figure: it has fifteen digits. No lag comes near it but a forged one. */
const FIGURE_MAX = 999_999_999_999_999;
/** Neither "," nor "=", which separate the fields of INFO. */
const NODE = '[\\x21-\\x2b\\x2d-\\x3c\\x3e-\\x7e]{1,280}';
const FIGURE = '-1|\\d{1,15}';
const LINE = new RegExp(
  `^(\\d{1,2}) (${NODE}) ([0-9a-f]{40}|-) (primary|replica|unknown) ([a-z_]{1,${STATE_BYTES_MAX}}) ` +
    `(${FIGURE}) (${FIGURE}) (\\d{1,15})$`,
);

/** The hops as text, at most {@link HOPS_MAX} and {@link HOPS_BYTES_MAX}: the first ones. */
export function hopsText(hops: readonly Hop[], nowMs: number): string {
  let text = '';
  for (const hop of hops.slice(0, HOPS_MAX)) {
    const line = lineOf(hop, nowMs);
    if (text.length + line.length > HOPS_BYTES_MAX) break;
    text += line;
  }
  return text;
}

/** The address `node` as one word, which may stand in a field of INFO. */
export const nodeWord = (node: string): string => node.replace(/[^\x21-\x7e]|[,=]/g, '?');

function lineOf(hop: Hop, nowMs: number): string {
  const node = nodeWord(hop.node).slice(0, 280) || '-';
  const age = Math.max(0, Math.round(nowMs - hop.measuredMs));
  const figures = [hop.lagBytes, hop.lagMs].map((figure) =>
    Math.min(Math.round(figure), FIGURE_MAX),
  );
  const words = [hop.depth, node, hop.id || '-', hop.role, hop.state, ...figures, age];
  return `${words.join(' ')}\n`;
}

/**
 * The hops in `text`, which came at `nowMs`; undefined when they are none, or too many. The first
 * one has depth 1, and none is more than one deeper than the one before it.
 */
export function parseHops(text: string, nowMs: number): Hop[] | undefined {
  if (text.length > HOPS_BYTES_MAX) return undefined;
  const lines = text.split('\n');
  if (lines.pop() !== '' || lines.length > HOPS_MAX) return undefined;
  const hops: Hop[] = [];
  for (const line of lines) {
    const match = LINE.exec(line);
    if (match === null) return undefined;
    const [, depth, node, id, role, state, lagBytes, lagMs, age] = match as string[];
    const before = hops.at(-1)?.depth ?? 0;
    if (Number(depth) < 1 || Number(depth) > Math.min(before + 1, HOP_DEPTH_MAX)) return undefined;
    hops.push({
      depth: Number(depth),
      node: node!,
      id: id === '-' ? '' : id!,
      role: role as HopRole,
      state: state!,
      lagBytes: Number(lagBytes),
      lagMs: Number(lagMs),
      measuredMs: nowMs - Number(age),
    });
  }
  return hops;
}

/**
 * The part of `hops` that is a path from the node `ownId` upward. The first hop is that to its
 * primary, whatever its age. The path ends with the first node that it names twice, and `ownId`
 * counts as named.
 */
export function pathAbove(ownId: string, hops: readonly Hop[], nowMs: number): readonly Hop[] {
  const path: Hop[] = [];
  const named = new Set([ownId]);
  for (const hop of hops) {
    if (hop.depth !== path.length + 1 || hop.depth > HOP_DEPTH_MAX) break;
    if (path.length > 0 && isOld(hop, nowMs)) break;
    path.push(hop);
    if (named.has(hop.id)) break;
    if (hop.id !== '') named.add(hop.id);
  }
  return path;
}

/** Whether following `path` leads back to the node `ownId`. */
export function leadsBack(path: readonly Hop[], ownId: string): boolean {
  return path.at(-1)?.id === ownId;
}

/**
 * How far the end of `path` that is this node lags behind the head: the sum over its hops, -1 when
 * one of them is not known, or the head itself is not.
 */
export function lagBehindHead(path: readonly Hop[]): { bytes: number; ms: number } {
  let bytes = 0;
  let ms = 0;
  for (const { lagBytes, lagMs } of path) {
    if (lagBytes < 0 || lagMs < 0) return { bytes: UNKNOWN, ms: UNKNOWN };
    bytes += lagBytes;
    ms += lagMs;
  }
  return path.at(-1)?.role === 'primary' ? { bytes, ms } : { bytes: UNKNOWN, ms: UNKNOWN };
}

/**
 * The tree below this node, at most `max` hops of it. A node that was named already is left out,
 * with all that is told to be behind it.
 */
export function treeBelow(
  ownId: string,
  branches: Iterable<Branch>,
  nowMs: number,
  max = HOPS_MAX,
): HopList {
  const hops: Hop[] = [];
  const named = new Set([ownId]);
  let leftOut = 0;
  for (const { hop: first, told } of branches) {
    /** Hops deeper than this are behind one that was left out. */
    let cutDepth = Number.POSITIVE_INFINITY;
    for (const hop of [first, ...told.map(deeper)]) {
      if (hop.depth > cutDepth) continue;
      cutDepth = Number.POSITIVE_INFINITY;
      const isOut = hop !== first && isOld(hop, nowMs);
      if (isOut || hop.depth > HOP_DEPTH_MAX || named.has(hop.id)) {
        cutDepth = hop.depth;
        continue;
      }
      if (hop.id !== '') named.add(hop.id);
      if (hops.length < max) hops.push(hop);
      else leftOut++;
    }
  }
  return { hops, leftOut };
}

/** The hop as it is seen from one hop further away. */
export const deeper = (hop: Hop): Hop => ({ ...hop, depth: hop.depth + 1 });

/** The hop was measured too long ago to be told. */
export const isOld = (hop: Hop, nowMs: number): boolean => nowMs - hop.measuredMs > HOP_AGE_MS_MAX;
