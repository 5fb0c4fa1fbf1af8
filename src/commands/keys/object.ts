/** OBJECT: the encoding of a value, and the time of its last use. Main thread. */
import { NIL, type Ref } from '../../base/units.ts';
import { Encoding } from '../../keyspace/entry.ts';
import type { CommandContext } from '../context.ts';
import { type CommandTable, Flag, keyAt, NO_KEYS } from '../spec.ts';
import { encodingName } from './value-names.ts';

const { READONLY, LOADING, STALE } = Flag;
const GENERIC = { group: 'generic', categories: ['keyspace'] } as const;
const SUBCOMMAND = {
  ...GENERIC,
  arity: 3,
  flags: READONLY,
  keys: [keyAt(2, 'RO')],
  tips: ['nondeterministic_output'],
} as const;

export const objectCommands = {
  OBJECT: {
    group: 'generic',
    categories: [],
    arity: -2,
    flags: 0,
    keys: NO_KEYS,
    since: '2.2.3',
    summary: 'Looks at how a value is kept.',
    handler: help,
    subcommands: {
      ENCODING: {
        ...SUBCOMMAND,
        since: '2.2.3',
        summary: 'Answers the encoding of the value of a key.',
        handler: encoding,
      },
      FREQ: {
        ...SUBCOMMAND,
        since: '4.0.0',
        summary: 'Answers how often a key is used, under an LFU policy.',
        handler: freq,
      },
      HELP: {
        ...GENERIC,
        arity: 2,
        flags: LOADING | STALE,
        keys: NO_KEYS,
        since: '6.2.0',
        summary: 'Tells about the subcommands.',
        handler: help,
      },
      IDLETIME: {
        ...SUBCOMMAND,
        since: '2.2.3',
        summary: 'Answers for how many seconds a key was not used.',
        handler: idleTime,
      },
      REFCOUNT: {
        ...SUBCOMMAND,
        since: '2.2.3',
        summary: 'Answers how often the value of a key is referred to.',
        handler: refCount,
      },
    },
  },
} as const satisfies CommandTable;

const ACCESS_CLOCK_MASK = 0xffffff;
/** Redis usually shares the integers from 0 to 9999 and answers this reference count for them. */
const SHARED_REFCOUNT = 2_147_483_647;

const HELP = [
  'OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:',
  'ENCODING <key>',
  '    Tells in which internal form the value of <key> is kept.',
  'FREQ <key>',
  '    Tells the counter of how often <key> is used. It grows with the logarithm',
  '    of the uses, and only under an LFU policy.',
  'IDLETIME <key>',
  '    Tells for how many seconds <key> was not used.',
  'REFCOUNT <key>',
  '    Tells how often the value of <key> is referred to.',
  'HELP',
  '    Prints this help.',
] as const;

/**
 * Returns the entry of the key in argument 2, or NIL after answering nil. Updates the statistics,
 * but not the access clock.
 */
function lookUp(context: CommandContext): Ref {
  const entry = context.lookupQuiet(2);
  const { stats } = context.server;
  if (entry !== NIL) {
    stats.keyspaceHits++;
    return entry;
  }
  stats.keyspaceMisses++;
  context.reply.nil();
  return NIL;
}

function encoding(context: CommandContext): void {
  const entry = lookUp(context);
  if (entry !== NIL) context.reply.bulkLatin1(encodingName(context.db.encoding(entry)));
}

/** LFU policies do not exist here, so an existing key gets the error. */
function freq(context: CommandContext): void {
  if (lookUp(context) === NIL) return;
  context.reply.error(
    'ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching ' +
      'between policies at runtime LRU and LFU data will take some time to adjust.',
  );
}

function help(context: CommandContext): void {
  context.reply.array(HELP.length);
  for (const line of HELP) context.reply.simple(line);
}

function idleTime(context: CommandContext): void {
  const entry = lookUp(context);
  if (entry === NIL) return;
  // The clock has 24 bits of seconds and wraps around after 194 days.
  context.reply.integer(
    (context.server.accessClock - context.db.access(entry)) & ACCESS_CLOCK_MASK,
  );
}

function refCount(context: CommandContext): void {
  const entry = lookUp(context);
  if (entry === NIL) return;
  const { view } = context;
  let shared = false;
  if (context.db.encoding(entry) === Encoding.INT) {
    context.db.stringInto(entry, view);
    shared = view.length <= 4 && view.bytes[view.position] !== 0x2d;
  }
  context.reply.integer(shared ? SHARED_REFCOUNT : 1);
}
