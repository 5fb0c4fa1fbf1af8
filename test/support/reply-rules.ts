/**
 * The rules by which the replies of two servers to the same command are the same. They are equal;
 * or equal after sorting where the order is free; or similar where they are drawn at random; or
 * close where they are times. Any other difference is an error unless it is in
 * {@link KNOWN_DIFFERENCES}.
 */
import type { Argument } from './resp-client.ts';
import { RespError, type RespValue } from './resp-parser.ts';

export type Command = readonly Argument[];

/** Two servers run the same command at times that differ by at most this. */
const DRIFT_MS = 60_000;

/** Commands whose reply is a set, or a map as pairs. */
const ANY_ORDER = new Set([
  'KEYS',
  'SMEMBERS',
  'SINTER',
  'SUNION',
  'SDIFF',
  'HKEYS',
  'HVALS',
  'COMMAND',
]);
/**
 * `[cursor, elements]`, requested with a COUNT beyond all elements, so the cursor is 0. The number
 * is 2 for pairs.
 */
const SCANS: Readonly<Record<string, number>> = { SCAN: 1, SSCAN: 1, HSCAN: 2, ZSCAN: 2 };
/**
 * Commands whose reply is random. DUMP is one, since the elements have any order in a payload and
 * other code compresses it.
 */
const DRAWN = new Set(['DUMP', 'SPOP', 'SRANDMEMBER', 'HRANDFIELD', 'ZRANDMEMBER', 'RANDOMKEY']);
/**
 * Commands whose reply has times or ages at any depth. They may differ by this much, in their unit.
 */
const DRIFTS: Readonly<Record<string, number>> = {
  ...{ TTL: DRIFT_MS / 1000, EXPIRETIME: DRIFT_MS / 1000, OBJECT: DRIFT_MS / 1000 },
  ...{ PTTL: DRIFT_MS, PEXPIRETIME: DRIFT_MS, XPENDING: DRIFT_MS },
};

export interface KnownDifference {
  readonly what: string;
  readonly why: string;
  readonly holds: (command: Command, ours: RespValue, theirs: RespValue) => boolean;
}

/**
 * Replies of Redis 7.0 that differ from 7.2, which headwater follows. docs/compatibility.md has the
 * same list.
 */
export const KNOWN_DIFFERENCES: readonly KnownDifference[] = [
  {
    what: 'OBJECT ENCODING of short lists is listpack',
    why: 'since 7.2; a 7.0 has quicklists only',
    holds: (command, ours, theirs) =>
      isEncoding(command) && ours === 'listpack' && theirs === 'quicklist',
  },
  {
    what: 'OBJECT ENCODING of small sets of texts is listpack',
    why: 'since 7.2; a 7.0 has intsets and tables only',
    holds: (command, ours, theirs) =>
      isEncoding(command) && ours === 'listpack' && theirs === 'hashtable',
  },
  {
    what: 'OBJECT ENCODING of a set of few integers is listpack when its SADD had more words than an intset may have',
    why: 'since 7.2 the words count before it is known that some are the same',
    holds: (command, ours, theirs) =>
      isEncoding(command) && ours === 'listpack' && theirs === 'intset',
  },
  {
    what: 'LPOS RANK -9223372036854775808 is out of range',
    why: 'refused since 7.2; a 7.0 takes its absolute value, which there is none of',
    holds: (command, ours) =>
      String(command[0]).toUpperCase() === 'LPOS' &&
      command.includes('-9223372036854775808') &&
      isError(ours, 'ERR value is out of range, value must between'),
  },
  {
    what: 'BITCOUNT and BITPOS look at their arguments before they look for the key',
    why: 'since 7.2; a 7.0 answers 0, -1 or WRONGTYPE first',
    holds: (command, ours, theirs) =>
      /^BIT(?:COUNT|POS)$/i.test(String(command[0])) &&
      ours instanceof RespError &&
      (theirs === 0 || theirs === -1 || isError(theirs, 'WRONGTYPE')),
  },
  {
    what: "XREAD and XREADGROUP with keys and ids that do not pair: Unbalanced 'xread' list, or > in place of $",
    why: 'worded so since 7.2',
    holds: (_command, ours, theirs) =>
      isError(ours, "ERR Unbalanced '") && isError(theirs, 'ERR Unbalanced '),
  },
];

/**
 * Random commands leave out whatever Redis 7.0 does differently with the dataset. Consumers are
 * made before they read, since XREADGROUP, XCLAIM and XAUTOCLAIM of Redis 7.2 always make them.
 * XSETID sets no id below the last deleted one, which 7.2 refuses. GEO commands store no distances,
 * since their last bit depends on the C library. ZRANK has no words that 7.0 does not know. SORT
 * sorts a copy, since it gives a small sorted set the encoding of a large one.
 */

/** Whether the replies are the same, or differ in a known way. */
export function sameReply(command: Command, ours: RespValue, theirs: RespValue): boolean {
  const name = String(command[0]).toUpperCase();
  if (kindOf(ours) === kindOf(theirs) && same(name, command, asArray(ours), asArray(theirs)))
    return true;
  return KNOWN_DIFFERENCES.some(({ holds }) => holds(command, ours, theirs));
}

/** The types of RESP3 beside those of RESP2; doubles are numbers in either. */
function kindOf(value: RespValue): string {
  if (value instanceof Map) return '%';
  return value instanceof Set ? '~' : '';
}

/** Maps and sets of RESP3 as the arrays of RESP2. Inside of others they begin with their type. */
function asArray(value: RespValue): RespValue {
  if (value instanceof Map) return asArray([...value].flat());
  if (value instanceof Set) return asArray([...value]);
  if (!Array.isArray(value)) return value;
  return value.map((item) => {
    const inner = asArray(item);
    return kindOf(item) === '' ? inner : [kindOf(item), ...(inner as RespValue[])];
  });
}

function same(name: string, command: Command, ours: RespValue, theirs: RespValue): boolean {
  if (ours instanceof RespError || theirs instanceof RespError) return sameValue(ours, theirs, 0);
  if (DRAWN.has(name)) return sameDraw(ours, theirs);
  const width = SCANS[name];
  if (width !== undefined) {
    // A cursor other than 0 is only valid on the server that returned it.
    const fromStart = String(command[name === 'SCAN' ? 1 : 2]) === '0';
    return fromStart ? sameScan(ours, theirs, width) : sameDraw(ours, theirs);
  }
  if (ANY_ORDER.has(name)) return sameValue(sorted(ours, 1), sorted(theirs, 1), 0);
  if (name === 'HGETALL') return sameValue(sorted(ours, 2), sorted(theirs, 2), 0);
  if (name === 'XINFO') return sameStreamInfo(ours, theirs);
  return sameValue(ours, theirs, DRIFTS[name] ?? 0);
}

function isError(value: RespValue, start: string): boolean {
  return value instanceof RespError && value.message.startsWith(start);
}

function isEncoding(command: Command): boolean {
  return /^OBJECT ENCODING$/i.test(command.slice(0, 2).join(' '));
}

/** Deep equality. With `drift`, integers may be times or ages that differ by at most that. */
export function sameValue(ours: RespValue, theirs: RespValue, drift: number): boolean {
  if (Array.isArray(ours) && Array.isArray(theirs)) {
    return (
      ours.length === theirs.length && ours.every((value, i) => sameValue(value, theirs[i]!, drift))
    );
  }
  if (ours instanceof RespError && theirs instanceof RespError)
    return ours.message === theirs.message;
  if (ours === theirs) return true;
  if (drift === 0 || !isNumber(ours) || !isNumber(theirs)) return false;
  return nearTimes(Number(ours), Number(theirs), drift);
}

function isNumber(value: RespValue): value is number | bigint {
  return typeof value === 'number' || typeof value === 'bigint';
}

/**
 * Ours are doubles, so they are inexact beyond 2^53. Ages are small. A negative number is a code.
 */
function nearTimes(a: number, b: number, drift: number): boolean {
  if (a < 0 || b < 0) return false;
  return Math.abs(a - b) <= drift + a * Number.EPSILON;
}

/** As many members, or all of them when that many were asked for. */
function sameDraw(ours: RespValue, theirs: RespValue): boolean {
  if (Array.isArray(ours) && Array.isArray(theirs)) return ours.length === theirs.length;
  return (ours === null) === (theirs === null) && typeof ours === typeof theirs;
}

function sameScan(ours: RespValue, theirs: RespValue, width: number): boolean {
  if (!Array.isArray(ours) || !Array.isArray(theirs)) return ours === theirs;
  return ours[0] === theirs[0] && sameValue(sorted(ours[1]!, width), sorted(theirs[1]!, width), 0);
}

/** The elements in the order of their text, in groups of `width`. */
function sorted(value: RespValue, width: number): RespValue {
  if (!Array.isArray(value)) return value;
  const groups: RespValue[][] = [];
  for (let i = 0; i < value.length; i += width) groups.push(value.slice(i, i + width));
  const key = (group: RespValue[]): string => JSON.stringify(group);
  return groups.sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

/**
 * Left-out fields of maps, at any depth. The nodes of the radix tree are internal to Redis.
 * `inactive` and `active-time` are new in 7.2, and there `idle` and `seen-time` count every attempt
 * to read.
 */
const LEFT_OUT_OF_XINFO = new Set([
  'radix-tree-nodes',
  'inactive',
  'active-time',
  'idle',
  'seen-time',
]);

function sameStreamInfo(ours: RespValue, theirs: RespValue): boolean {
  return sameValue(withoutFields(ours), withoutFields(theirs), DRIFT_MS);
}

function withoutFields(value: RespValue): RespValue {
  if (!Array.isArray(value)) return value;
  const kept: RespValue[] = [];
  for (let i = 0; i < value.length; i++) {
    const name = value[i]!;
    if (typeof name === 'string' && LEFT_OUT_OF_XINFO.has(name)) i++;
    else kept.push(withoutFields(name));
  }
  return kept;
}

export function commandText(command: Command): string {
  const words = command.map((word) =>
    Buffer.isBuffer(word) ? word.toString('latin1') : String(word),
  );
  return words.map((word) => (/^[\x21-\x7e]+$/.test(word) ? word : JSON.stringify(word))).join(' ');
}

export function replyText(value: unknown): string {
  return JSON.stringify(value, (_, inner) => {
    if (inner instanceof RespError) return `-${inner.message}`;
    return typeof inner === 'bigint' ? `${inner}n` : inner;
  });
}
