/**
 * The commands on streams. Handlers: add.ts (changing the entries), range.ts and read.ts (reading
 * them), group.ts and claim.ts (consumer groups), info.ts. Main thread.
 */
import type { CommandContext } from '../context.ts';
import {
  type CommandTable,
  Flag,
  type KeySpec,
  keyAt,
  LOOK_AT_KEY,
  NO_KEYS,
  READ_KEY,
} from '../spec.ts';
import { xadd, xdel, xsetid, xtrim } from './add.ts';
import { xautoclaim, xclaim, xpending } from './claim.ts';
import {
  xack,
  xgroupCreate,
  xgroupCreateConsumer,
  xgroupDelConsumer,
  xgroupDestroy,
  xgroupHelp,
  xgroupSetId,
} from './group.ts';
import { xinfoConsumers, xinfoGroups, xinfoHelp, xinfoStream } from './info.ts';
import { xlen, xrange, xrevrange } from './range.ts';
import { xread, xreadgroup } from './read.ts';

const { WRITE, READONLY, DENYOOM, FAST, BLOCKING, MOVABLEKEYS, LOADING, STALE } = Flag;
const STREAM = { group: 'stream', categories: ['stream'] } as const;
const CONTAINER = { group: 'stream', categories: [], arity: -2, flags: 0, keys: NO_KEYS } as const;
const HELP_ROW = {
  ...STREAM,
  arity: 2,
  flags: LOADING | STALE,
  keys: NO_KEYS,
  since: '5.0.0',
} as const;
const NONDETERMINISTIC = ['nondeterministic_output'];
const READ_INNER_KEY = [keyAt(2, 'RO', 'access')];
const ADDED_TO: readonly KeySpec[] = [
  {
    ...keyAt(1, 'RW', 'update'),
    notes: 'UPDATE instead of INSERT because of the optional trimming feature',
  },
];

/** Half of the arguments behind the word STREAMS are keys. */
const keysAfterStreams = (startFrom: number): readonly KeySpec[] => [
  {
    access: 'RO',
    flags: ['access'],
    begin: { keyword: 'STREAMS', startFrom },
    find: { kind: 'range', last: -1, step: 1, limit: 2 },
  },
];

/** The keys of XREAD and XREADGROUP. */
function findKeys({ request }: CommandContext): number[] | undefined {
  let at = 1;
  while (at < request.argc && !request.equalsIgnoreCase(at, 'STREAMS')) {
    // GROUP takes two arguments, which may be the word STREAMS.
    at += request.equalsIgnoreCase(at, 'GROUP') ? 3 : 1;
  }
  // A key without an id is not an error here.
  const keys = Math.floor((request.argc - at - 1) / 2);
  return keys < 1 ? undefined : Array.from({ length: keys }, (_, i) => at + 1 + i);
}

export const streamCommands = {
  XADD: {
    ...STREAM,
    arity: -5,
    flags: WRITE | DENYOOM | FAST,
    keys: ADDED_TO,
    since: '5.0.0',
    tips: NONDETERMINISTIC,
    summary: 'Adds an entry, and trims the stream if asked for.',
    handler: xadd,
  },
  XTRIM: {
    ...STREAM,
    arity: -4,
    flags: WRITE,
    keys: [keyAt(1, 'RW', 'delete')],
    since: '5.0.0',
    tips: NONDETERMINISTIC,
    summary: 'Deletes the oldest entries.',
    handler: xtrim,
  },
  XDEL: {
    ...STREAM,
    arity: -3,
    flags: WRITE | FAST,
    keys: [keyAt(1, 'RW', 'delete')],
    since: '5.0.0',
    summary: 'Deletes entries by their ids.',
    handler: xdel,
  },
  XSETID: {
    ...STREAM,
    arity: -3,
    flags: WRITE | DENYOOM | FAST,
    keys: [keyAt(1, 'RW', 'update')],
    since: '5.0.0',
    summary: 'Sets the last id of a stream; for replication.',
    handler: xsetid,
  },
  XLEN: {
    ...STREAM,
    arity: 2,
    flags: READONLY | FAST,
    keys: LOOK_AT_KEY,
    since: '5.0.0',
    summary: 'Answers how many entries there are.',
    handler: xlen,
  },
  XRANGE: {
    ...STREAM,
    arity: -4,
    flags: READONLY,
    keys: READ_KEY,
    since: '5.0.0',
    summary: 'Answers the entries of a range of ids.',
    handler: xrange,
  },
  XREVRANGE: {
    ...STREAM,
    arity: -4,
    flags: READONLY,
    keys: READ_KEY,
    since: '5.0.0',
    summary: 'Answers the entries of a range of ids, downwards.',
    handler: xrevrange,
  },
  XREAD: {
    ...STREAM,
    arity: -4,
    flags: READONLY | BLOCKING | MOVABLEKEYS,
    keys: keysAfterStreams(1),
    since: '5.0.0',
    summary: 'Answers the entries of streams that are behind an id, or waits for some.',
    handler: xread,
    findKeys,
  },
  XREADGROUP: {
    ...STREAM,
    arity: -7,
    flags: WRITE | BLOCKING | MOVABLEKEYS,
    keys: keysAfterStreams(4),
    since: '5.0.0',
    summary: 'Gives entries of streams to a consumer of a group, or answers those that it has.',
    handler: xreadgroup,
    findKeys,
  },
  XGROUP: {
    ...CONTAINER,
    since: '5.0.0',
    summary: 'Makes and changes consumer groups.',
    handler: xgroupHelp,
    subcommands: {
      CREATE: {
        ...STREAM,
        arity: -5,
        flags: WRITE | DENYOOM,
        keys: [keyAt(2, 'RW', 'insert')],
        since: '5.0.0',
        summary: 'Makes a group.',
        handler: xgroupCreate,
      },
      CREATECONSUMER: {
        ...STREAM,
        arity: 5,
        flags: WRITE | DENYOOM,
        keys: [keyAt(2, 'RW', 'insert')],
        since: '6.2.0',
        summary: 'Makes a consumer of a group.',
        handler: xgroupCreateConsumer,
      },
      DELCONSUMER: {
        ...STREAM,
        arity: 5,
        flags: WRITE,
        keys: [keyAt(2, 'RW', 'delete')],
        since: '5.0.0',
        summary: 'Removes a consumer of a group.',
        handler: xgroupDelConsumer,
      },
      DESTROY: {
        ...STREAM,
        arity: 4,
        flags: WRITE,
        keys: [keyAt(2, 'RW', 'delete')],
        since: '5.0.0',
        summary: 'Removes a group.',
        handler: xgroupDestroy,
      },
      HELP: { ...HELP_ROW, summary: 'Tells about the subcommands.', handler: xgroupHelp },
      SETID: {
        ...STREAM,
        arity: -5,
        flags: WRITE,
        keys: [keyAt(2, 'RW', 'update')],
        since: '5.0.0',
        summary: 'Sets from where on a group reads.',
        handler: xgroupSetId,
      },
    },
  },
  XACK: {
    ...STREAM,
    arity: -4,
    flags: WRITE | FAST,
    keys: [keyAt(1, 'RW', 'update')],
    since: '5.0.0',
    summary: 'Tells that entries are done with.',
    handler: xack,
  },
  XPENDING: {
    ...STREAM,
    arity: -3,
    flags: READONLY,
    keys: READ_KEY,
    since: '5.0.0',
    tips: NONDETERMINISTIC,
    summary: 'Answers what was given to consumers of a group and is not done with.',
    handler: xpending,
  },
  XCLAIM: {
    ...STREAM,
    arity: -6,
    flags: WRITE | FAST,
    keys: [keyAt(1, 'RW', 'update')],
    since: '5.0.0',
    tips: NONDETERMINISTIC,
    summary: 'Gives what is pending to another consumer.',
    handler: xclaim,
  },
  XAUTOCLAIM: {
    ...STREAM,
    arity: -6,
    flags: WRITE | FAST,
    keys: [keyAt(1, 'RW', 'delete')],
    since: '6.2.0',
    tips: NONDETERMINISTIC,
    summary: 'Gives what has been pending for long to another consumer.',
    handler: xautoclaim,
  },
  XINFO: {
    ...CONTAINER,
    since: '5.0.0',
    summary: 'Tells about streams, groups and consumers.',
    handler: xinfoHelp,
    subcommands: {
      CONSUMERS: {
        ...STREAM,
        arity: 4,
        flags: READONLY,
        keys: READ_INNER_KEY,
        since: '5.0.0',
        tips: NONDETERMINISTIC,
        summary: 'Shows the consumers of a group.',
        handler: xinfoConsumers,
      },
      GROUPS: {
        ...STREAM,
        arity: 3,
        flags: READONLY,
        keys: READ_INNER_KEY,
        since: '5.0.0',
        summary: 'Shows the groups of a stream.',
        handler: xinfoGroups,
      },
      HELP: { ...HELP_ROW, summary: 'Tells about the subcommands.', handler: xinfoHelp },
      STREAM: {
        ...STREAM,
        arity: -3,
        flags: READONLY,
        keys: READ_INNER_KEY,
        since: '5.0.0',
        summary: 'Shows a stream.',
        handler: xinfoStream,
      },
    },
  },
} as const satisfies CommandTable;
