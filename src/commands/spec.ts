/**
 * A row of a command table. The tables read like the manual; the dispatcher works from them, and
 * COMMAND answers from them.
 */
import type { CommandContext } from './context.ts';

/** Flags as COMMAND INFO names them. The bits are our own. */
export const Flag = {
  WRITE: 1 << 0,
  READONLY: 1 << 1,
  /** Refused while the used memory is above maxmemory. */
  DENYOOM: 1 << 2,
  ADMIN: 1 << 3,
  PUBSUB: 1 << 4,
  NOSCRIPT: 1 << 5,
  BLOCKING: 1 << 6,
  /** Runs while a dataset is being loaded. */
  LOADING: 1 << 7,
  /** Runs on a replica whose link is down. */
  STALE: 1 << 8,
  SKIP_MONITOR: 1 << 9,
  SKIP_SLOWLOG: 1 << 10,
  FAST: 1 << 11,
  NO_AUTH: 1 << 12,
  /**
   * Changes no replicated data, and yet needs a primary that accepts writes: PUBLISH and the like.
   */
  MAY_REPLICATE: 1 << 13,
  NO_ASYNC_LOADING: 1 << 14,
  NO_MULTI: 1 << 15,
  MOVABLEKEYS: 1 << 16,
  ALLOW_BUSY: 1 << 17,
  NO_MANDATORY_KEYS: 1 << 18,
  /**
   * Touches keys that are not among its arguments. Deletions that it causes are not wrapped in
   * MULTI.
   */
  TOUCHES_ARBITRARY_KEYS: 1 << 19,
  /**
   * Inside MULTI the command runs at once and is not queued: EXEC, DISCARD, WATCH, MULTI, QUIT,
   * RESET.
   */
  NOT_QUEUED: 1 << 20,
  /** Runs the commands of a transaction. It is refused when one of them would be. */
  RUNS_QUEUE: 1 << 21,
  /** Takes time in proportion to the bytes of its request, though Redis does not call it fast. */
  BRIEF: 1 << 22,
  /** A replica may send it on its link. Any other command ends the link and has no effect. */
  ON_LINK: 1 << 23,
} as const;

/** Flags in the spelling and order of COMMAND INFO. Bits that are missing here are not shown. */
export const flagNames: readonly (readonly [number, string])[] = [
  [Flag.WRITE, 'write'],
  [Flag.READONLY, 'readonly'],
  [Flag.DENYOOM, 'denyoom'],
  [Flag.ADMIN, 'admin'],
  [Flag.PUBSUB, 'pubsub'],
  [Flag.NOSCRIPT, 'noscript'],
  [Flag.BLOCKING, 'blocking'],
  [Flag.LOADING, 'loading'],
  [Flag.STALE, 'stale'],
  [Flag.SKIP_MONITOR, 'skip_monitor'],
  [Flag.SKIP_SLOWLOG, 'skip_slowlog'],
  [Flag.FAST, 'fast'],
  [Flag.NO_AUTH, 'no_auth'],
  [Flag.NO_ASYNC_LOADING, 'no_async_loading'],
  [Flag.NO_MULTI, 'no_multi'],
  [Flag.MOVABLEKEYS, 'movablekeys'],
  [Flag.ALLOW_BUSY, 'allow_busy'],
];

/**
 * The access of a command to the keys of one key specification, spelled as in COMMAND INFO.
 * `not_key` is a shard channel, which is routed like a key.
 */
export type KeyAccess = 'RO' | 'RW' | 'OW' | 'RM' | 'not_key';

/**
 * One key specification. `begin` is an argument index (negative: from the end) or a keyword before
 * the first key. `last` is relative to the first key (negative: from the end). `count` instead
 * gives the argument with the number of keys.
 */
export interface KeySpec {
  /** Remarks, with the text of COMMAND INFO. */
  readonly notes?: string;
  readonly access: KeyAccess;
  /**
   * access | update | insert | delete | not_key | incomplete | variable_flags, as COMMAND INFO
   * lists them.
   */
  readonly flags: readonly string[];
  readonly begin:
    | { readonly index: number }
    | { readonly keyword: string; readonly startFrom: number }
    | { readonly unknown: true };
  readonly find:
    | {
        readonly kind: 'range';
        readonly last: number;
        readonly step: number;
        readonly limit: number;
      }
    | {
        readonly kind: 'keynum';
        readonly numberAt: number;
        readonly firstKey: number;
        readonly step: number;
      }
    | { readonly kind: 'unknown' };
}

export type Handler = (context: CommandContext) => void;

export interface CommandSpec {
  /** Number of words, including the name. A negative number is a minimum. */
  readonly arity: number;
  readonly flags: number;
  readonly keys: readonly KeySpec[];
  readonly since: string;
  readonly group: string;
  /** ACL categories that flags do not imply, e.g. 'string', 'keyspace', 'dangerous'. */
  readonly categories: readonly string[];
  /** The tips of COMMAND INFO. */
  readonly tips?: readonly string[];
  readonly summary: string;
  readonly handler: Handler;
  readonly subcommands?: Readonly<Record<string, CommandSpec>>;
  /**
   * For movable keys: returns the argument indexes of the keys of the context's request, or
   * undefined when the request is malformed.
   */
  readonly findKeys?: (context: CommandContext) => number[] | undefined;
  /** For a key with `variable_flags`: returns the key specification for the context's request. */
  readonly keyOf?: (context: CommandContext) => KeySpec;
}

/** A command table: upper-case names and rows. */
export type CommandTable = Readonly<Record<string, CommandSpec>>;

function range(
  access: KeyAccess,
  flags: readonly string[],
  index: number,
  last: number,
  step: number,
): KeySpec {
  return { access, flags, begin: { index }, find: { kind: 'range', last, step, limit: 0 } };
}

export const NO_KEYS: readonly KeySpec[] = [];
/** The first argument is a key and is read. */
export const READ_KEY: readonly KeySpec[] = [range('RO', ['access'], 1, 0, 1)];
/** The first argument is a key. Only its metadata is read. */
export const LOOK_AT_KEY: readonly KeySpec[] = [range('RO', [], 1, 0, 1)];
/** All arguments are keys and are read. */
export const READ_KEYS: readonly KeySpec[] = [range('RO', ['access'], 1, -1, 1)];

/** One key at `index`, with the access and flags of COMMAND INFO. */
export const keyAt = (index: number, access: KeyAccess, ...flags: string[]): KeySpec =>
  range(access, flags, index, 0, 1);
/**
 * Keys from `index` to `last` (relative to the first; negative: from the end). Every `step`th
 * argument is a key.
 */
export const keysFrom = (
  index: number,
  last: number,
  step: number,
  access: KeyAccess,
  ...flags: string[]
): KeySpec => range(access, flags, index, last, step);
/** The argument at `index` is the number of keys, which follow it. */
export const countedKeys = (index: number, access: KeyAccess, ...flags: string[]): KeySpec => ({
  access,
  flags,
  begin: { index },
  find: { kind: 'keynum', numberAt: 0, firstKey: 1, step: 1 },
});
