/**
 * The row of a command table in the form of COMMAND INFO. Clients and proxies route by it. Flags
 * and categories have the order of Redis. Main thread.
 */
import type { Reply } from '../resp/reply.ts';
import { type CommandSpec, Flag, flagNames, type KeySpec } from './spec.ts';

/** All ACL categories, in the order of ACL CAT. */
export const CATEGORIES = [
  'keyspace',
  'read',
  'write',
  'set',
  'sortedset',
  'list',
  'hash',
  'string',
  'bitmap',
  'hyperloglog',
  'geo',
  'stream',
  'pubsub',
  'admin',
  'fast',
  'slow',
  'blocking',
  'dangerous',
  'connection',
  'transaction',
  'scripting',
] as const;

/** Categories that a flag implies. */
const IMPLIED: readonly (readonly [number, readonly string[]])[] = [
  [Flag.WRITE, ['write']],
  [Flag.READONLY, ['read']],
  [Flag.ADMIN, ['admin', 'dangerous']],
  [Flag.PUBSUB, ['pubsub']],
  [Flag.FAST, ['fast']],
  [Flag.BLOCKING, ['blocking']],
];

/** Returns the ACL categories of a command, including those that its flags imply. */
export function aclCategories(spec: CommandSpec): string[] {
  const all = new Set<string>(spec.categories);
  for (const [flag, implied] of IMPLIED) {
    // Scripting commands have the flag READONLY, but Redis does not give them the category `read`.
    if ((spec.flags & flag) === 0 || (flag === Flag.READONLY && all.has('scripting'))) continue;
    for (const category of implied) all.add(category);
  }
  if (!all.has('fast')) all.add('slow');
  return CATEGORIES.filter((category) => all.has(category));
}

/**
 * The place of a command's keys in the older form: first and last argument, and the step between
 * keys.
 */
export interface KeyRange {
  readonly first: number;
  readonly last: number;
  readonly step: number;
}

const NO_RANGE: KeyRange = { first: 0, last: 0, step: 0 };

/**
 * Returns the range for the key specifications. A single range is returned unchanged. Consecutive
 * ranges of step 1 are joined. Others are left out; then the command has movable keys.
 */
export function keyRange(keys: readonly KeySpec[]): KeyRange {
  const ranges = keys.flatMap((key) =>
    'index' in key.begin && key.find.kind === 'range'
      ? [{ first: key.begin.index, ...key.find }]
      : [],
  );
  const lone = ranges[0];
  if (keys.length === 1 && lone !== undefined) {
    return { first: lone.first, last: absoluteLast(lone.first, lone.last), step: lone.step };
  }
  let first = 0;
  let last = 0;
  for (const range of ranges) {
    if (range.step !== 1 || (first > 0 && range.first !== last + 1)) continue;
    if (first === 0) first = range.first;
    last = absoluteLast(range.first, range.last);
  }
  return first === 0 ? NO_RANGE : { first, last, step: 1 };
}

function absoluteLast(first: number, last: number): number {
  return last < 0 ? last : first + last;
}

/** Answers the ten elements of COMMAND INFO for one command. The last one lists its subcommands. */
export function replyCommandInfo(reply: Reply, fullName: string, spec: CommandSpec): void {
  const range = keyRange(spec.keys);
  const flags = flagNames.filter(([flag]) => (spec.flags & flag) !== 0);
  const categories = aclCategories(spec);
  const tips = spec.tips ?? [];
  const subcommands = Object.entries(spec.subcommands ?? {});
  reply.array(10);
  reply.bulkLatin1(fullName);
  reply.integer(spec.arity);
  reply.set(flags.length);
  for (const [, name] of flags) reply.simple(name);
  reply.integer(range.first);
  reply.integer(range.last);
  reply.integer(range.step);
  reply.set(categories.length);
  for (const category of categories) reply.simple(`@${category}`);
  reply.set(tips.length);
  for (const tip of tips) reply.bulkLatin1(tip);
  reply.set(spec.keys.length);
  for (const key of spec.keys) replyKeySpec(reply, key);
  if (subcommands.length === 0) reply.set(0);
  else reply.array(subcommands.length);
  for (const [name, sub] of subcommands)
    replyCommandInfo(reply, `${fullName}|${name.toLowerCase()}`, sub);
}

function replyKeySpec(reply: Reply, key: KeySpec): void {
  reply.map(key.notes === undefined ? 3 : 4);
  if (key.notes !== undefined) {
    reply.bulkLatin1('notes');
    reply.bulkLatin1(key.notes);
  }
  reply.bulkLatin1('flags');
  reply.set(key.flags.length + 1);
  reply.simple(key.access);
  for (const flag of key.flags) reply.simple(flag);
  reply.bulkLatin1('begin_search');
  if ('index' in key.begin) replyTyped(reply, 'index', [['index', key.begin.index]]);
  else if ('unknown' in key.begin) replyTyped(reply, 'unknown', []);
  else {
    const { keyword, startFrom } = key.begin;
    replyTyped(reply, 'keyword', [
      ['keyword', keyword],
      ['startfrom', startFrom],
    ]);
  }
  reply.bulkLatin1('find_keys');
  const { find } = key;
  if (find.kind === 'range') {
    replyTyped(reply, 'range', [
      ['lastkey', find.last],
      ['keystep', find.step],
      ['limit', find.limit],
    ]);
  } else if (find.kind === 'keynum') {
    replyTyped(reply, 'keynum', [
      ['keynumidx', find.numberAt],
      ['firstkey', find.firstKey],
      ['keystep', find.step],
    ]);
  } else replyTyped(reply, 'unknown', []);
}

function replyTyped(
  reply: Reply,
  type: string,
  fields: readonly (readonly [name: string, value: string | number])[],
): void {
  reply.map(2);
  reply.bulkLatin1('type');
  reply.bulkLatin1(type);
  reply.bulkLatin1('spec');
  reply.map(fields.length);
  for (const [name, value] of fields) {
    reply.bulkLatin1(name);
    if (typeof value === 'number') reply.integer(value);
    else reply.bulkLatin1(value);
  }
}
