/**
 * DUMP and RESTORE: a value as bytes that other servers can read (rdb/payload.ts), if they know its
 * RDB version. Main thread.
 *
 * The stream carries a payload unchanged, unless its version is newer than the version that
 * replicas can read. Then the value is encoded again in that version.
 */
import { codeOf, ErrorCode } from '../../base/errors.ts';
import { INT64_DOUBLE_MAX, NIL, type Ref } from '../../base/units.ts';
import { accessBefore } from '../../keyspace/access-clock.ts';
import type { Dialect } from '../../rdb/dialect.ts';
import { type LoadedValue, PayloadCodec, payloadVersion } from '../../rdb/payload.ts';
import { integerArgument, integerText, keptArgument, SYNTAX_ERROR } from '../arguments.ts';
import type { CommandContext } from '../context.ts';
import { EventClass } from '../ports.ts';
import { type CommandTable, Flag, keyAt, READ_KEY } from '../spec.ts';
import { alreadyExpired } from './deadline.ts';

const { WRITE, READONLY, DENYOOM } = Flag;
const GENERIC = { group: 'generic' } as const;

const BUSY_KEY = 'BUSYKEY Target key name already exists.';
const BAD_PAYLOAD = 'ERR DUMP payload version or checksum are wrong';
const BAD_DATA = 'ERR Bad data format';

interface RestoreOptions {
  replace: boolean;
  absolute: boolean;
  /** Seconds, -1 when not given. */
  idle: number;
}

/**
 * Returns the table. `dialect` returns the RDB version of new payloads. `notice` writes to the log
 * what was left out of a payload, once for each name.
 */
export function payloadCommands(
  dialect: () => Dialect,
  notice: (text: string) => void,
): CommandTable {
  /** Made at its first use, since it takes some megabytes of address space. */
  let codec: PayloadCodec | undefined;
  const told = new Set<string>();

  function dump(context: CommandContext): void {
    const entry = context.lookupRead(1);
    if (entry === NIL) {
      context.reply.nil();
      return;
    }
    codec ??= new PayloadCodec();
    const payload = codec.dump(context.db.arena, entry, dialect());
    context.reply.bulk(payload, 0, payload.length);
  }

  function restore(context: CommandContext): void {
    const { request, reply, server } = context;
    const options = restoreOptions(context);
    if (options === undefined) return;
    if (!options.replace && context.lookupWrite(1) !== NIL) {
      reply.error(BUSY_KEY);
      return;
    }
    const ttl = keptArgument(context, 2);
    if (Number.isNaN(ttl)) return;
    if (ttl < 0) {
      reply.error('ERR Invalid TTL value, must be >= 0');
      return;
    }
    codec ??= new PayloadCodec();
    if (!codec.check(request.bytes, request.position[3]!, request.length[3]!)) {
      reply.error(BAD_PAYLOAD);
      return;
    }
    const value = loadValue(context, codec);
    if (value === undefined) {
      reply.error(BAD_DATA);
      return;
    }
    if (codec.skipped.nameCount > told.size) tellSkipped(codec);
    const replaced = options.replace && removeKey(context);
    const deadline = ttl > 0 && !options.absolute ? deadlineAfter(ttl, server.nowMs) : ttl;
    if (ttl > 0 && alreadyExpired(context, deadline)) {
      value.discard();
      if (replaced) tellRemoved(context);
    } else {
      let entry = addValue(context, value);
      if (ttl > 0) entry = context.db.setDeadline(entry, deadline);
      if (options.idle >= 0)
        context.db.setAccess(entry, accessBefore(server.accessClock, options.idle));
      context.changed(1);
      context.notify(EventClass.GENERIC, 'restore', 1);
      replicate(context, codec, entry, ttl > 0 && !options.absolute ? deadline : -1);
    }
    reply.ok();
  }

  function tellSkipped({ skipped }: PayloadCodec): void {
    for (const { name } of skipped.list()) {
      if (!told.has(name)) notice(`RESTORE passes over what has no use here: ${name}`);
      told.add(name);
    }
  }

  /**
   * Sends the command to the stream with an absolute deadline, and with a payload that replicas can
   * read.
   */
  function replicate(
    context: CommandContext,
    used: PayloadCodec,
    entry: Ref,
    deadlineMs: number,
  ): void {
    const { request, db } = context;
    const end = request.position[3]! + request.length[3]!;
    const version = payloadVersion(request.bytes, end);
    const tooNew = version > dialect().version;
    if (deadlineMs < 0 && !tooNew) return;
    const words: (Uint8Array | string)[] = Array.from({ length: request.argc }, (_, i) =>
      request.copy(i),
    );
    if (tooNew) words[3] = used.dump(db.arena, entry, dialect());
    if (deadlineMs >= 0) {
      words[2] = integerText(deadlineMs);
      words.push('ABSTTL');
    }
    context.replicateAs(...words);
  }

  return {
    DUMP: {
      ...GENERIC,
      arity: 2,
      flags: READONLY,
      keys: READ_KEY,
      since: '2.6.0',
      categories: ['keyspace'],
      tips: ['nondeterministic_output'],
      summary: 'Answers the value of a key as bytes for RESTORE.',
      handler: dump,
    },
    RESTORE: {
      ...GENERIC,
      arity: -4,
      flags: WRITE | DENYOOM,
      keys: [keyAt(1, 'OW', 'update')],
      since: '2.6.0',
      categories: ['keyspace', 'dangerous'],
      summary: 'Makes bytes that DUMP has answered the value of a key.',
      handler: restore,
    },
  };
}

/** Redis adds in 64 bits. A time that is too far away overflows and becomes a time in the past. */
function deadlineAfter(ttl: number, nowMs: number): number {
  const deadline = ttl + nowMs;
  return deadline > INT64_DOUBLE_MAX ? -1 : deadline;
}

/** Reads the options from argument 4 on. Returns undefined after an error reply. */
function restoreOptions(context: CommandContext): RestoreOptions | undefined {
  const { request, reply } = context;
  const options: RestoreOptions = { replace: false, absolute: false, idle: -1 };
  let frequency = -1;
  for (let at = 4; at < request.argc; at++) {
    const more = at + 1 < request.argc;
    if (request.equalsIgnoreCase(at, 'REPLACE')) {
      options.replace = true;
    } else if (request.equalsIgnoreCase(at, 'ABSTTL')) {
      options.absolute = true;
    } else if (more && frequency === -1 && request.equalsIgnoreCase(at, 'IDLETIME')) {
      options.idle = boundedArgument(
        context,
        ++at,
        Number.POSITIVE_INFINITY,
        'IDLETIME value, must be >= 0',
      );
      if (Number.isNaN(options.idle)) return undefined;
    } else if (more && options.idle === -1 && request.equalsIgnoreCase(at, 'FREQ')) {
      // Only checked, since there are no LFU policies.
      frequency = boundedArgument(context, ++at, 255, 'FREQ value, must be >= 0 and <= 255');
      if (Number.isNaN(frequency)) return undefined;
    } else {
      reply.error(SYNTAX_ERROR);
      return undefined;
    }
  }
  return options;
}

/** Returns an argument as a number from 0 to `most`, or NaN after an error reply. */
function boundedArgument(context: CommandContext, at: number, most: number, what: string): number {
  const value = integerArgument(context, at);
  if (Number.isNaN(value) || (value >= 0 && value <= most)) return value;
  context.reply.error(`ERR Invalid ${what}`);
  return Number.NaN;
}

/** Returns the value in the payload in argument 3, or undefined after an error reply. */
function loadValue(context: CommandContext, codec: PayloadCodec): LoadedValue | undefined {
  const { request, server } = context;
  const { keyspace, settings } = server;
  try {
    return codec.load(request.bytes, request.position[3]!, request.length[3]!, keyspace, settings);
  } catch (error) {
    const code = codeOf(error);
    if (code !== ErrorCode.SHORT && code !== ErrorCode.CORRUPT && code !== ErrorCode.UNSUPPORTED)
      throw error;
    return undefined;
  }
}

/**
 * Removes the key in argument 1, even if it has expired, and tells nobody. Returns whether it was
 * there.
 */
function removeKey(context: CommandContext): boolean {
  const { request, db } = context;
  const entry = db.find(request.bytes, request.position[1]!, request.length[1]!);
  if (entry !== NIL) context.removeEntry(entry);
  return entry !== NIL;
}

/** Reports that a key was replaced by a value that has already expired. */
function tellRemoved(context: CommandContext): void {
  const { request, server } = context;
  context.replicateAs(server.settings.lazyfreeLazyServerDel ? 'UNLINK' : 'DEL', request.copy(1));
  context.changed(1);
  context.notify(EventClass.GENERIC, 'del', 1);
}

function addValue(context: CommandContext, value: LoadedValue): Ref {
  const { request, db } = context;
  const start = request.position[1]!;
  const length = request.length[1]!;
  db.find(request.bytes, start, length);
  let entry: Ref;
  try {
    entry = value.add(db, request.bytes, start, length);
  } catch (error) {
    // There is no memory for the entry, so the value has no owner.
    value.discard();
    throw error;
  }
  context.notify(EventClass.NEW, 'new', 1);
  return entry;
}
