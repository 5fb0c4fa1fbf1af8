/**
 * DEBUG, for tests and for curious users. Allowed by `enable-debug-command`. HELP names the
 * subcommands without effect here. Other subcommands of Redis get the reply of an unknown one
 * (docs/compatibility.md names them).
 */

import { assert } from '../../../base/assert.ts';
import { bytesOf } from '../../../base/bytes.ts';
import { NIL } from '../../../base/units.ts';
import { replyHelp } from '../../../commands/container.ts';
import type { CommandContext } from '../../../commands/context.ts';
import { encodingName } from '../../../commands/keys/value-names.ts';
import { type CommandTable, Flag, NO_KEYS } from '../../../commands/spec.ts';
import { EMBSTR_BYTES_MAX, Encoding } from '../../../keyspace/entry.ts';
import type { Dialect } from '../../../rdb/dialect.ts';
import { PayloadCodec } from '../../../rdb/payload.ts';
import { Aggregate } from '../../../resp/reply.ts';
import { parseMemory } from '../../config/kinds.ts';
import { answerLate } from '../../dispatch/late-answer.ts';
import type { Housekeeping } from '../../housekeeping.ts';
import type { Connection } from '../../net/connection.ts';
import { connectionOf, isLocal } from '../../net/connection-of.ts';
import type { Server } from '../../server.ts';
import { debugClientBuckets } from './client-buckets.ts';
import { Digest, digestDataset, digestValue } from './digest.ts';
import { fuzzGlob } from './glob-fuzz.ts';
import {
  debugListpack,
  debugQuicklist,
  debugTableOf,
  debugTables,
  quicklistFields,
} from './inspect.ts';
import { debugRestart, type RestartPort } from './restart.ts';

const { ADMIN, NOSCRIPT, LOADING, STALE } = Flag;

export const notAllowed = (command: string, option: string): string =>
  `ERR ${command} command not allowed. If the ${option} option is set to "local", you can run it from a local ` +
  'connection, otherwise you need to set this option in the configuration file, and then restart the server.';

/** Whether an option of three values allows a client its guarded command. */
export const isAllowed = (option: 'no' | 'yes' | 'local', connection: Connection): boolean =>
  option === 'yes' || (option === 'local' && isLocal(connection));

const HELP = [
  'ASSERT',
  '    Crash by assertion failed.',
  'CHANGE-REPL-ID',
  '    Change the replication IDs of the instance.',
  'CLIENT-ENFORCE-REPLY-LIST <0|1>',
  '    Without effect: replies are never kept as lists.',
  'CLIENT-EVICTION',
  '    Show low level client eviction pools info (maxmemory-clients).',
  'CONFIG-REWRITE-FORCE-ALL',
  '    Like CONFIG REWRITE but writes all configuration options, including',
  '    keywords not listed in original configuration file or default values.',
  'CRASH-AND-RECOVER [<milliseconds>]',
  '    Hard crash and restart after a <milliseconds> delay (default 0).',
  'DICT-RESIZING <0|1>',
  '    Without effect: tables grow and shrink by one bucket at a time.',
  'DIGEST',
  '    Output a hex signature representing the current DB content.',
  'DIGEST-VALUE <key> [<key> ...]',
  '    Output a hex signature of the values of all the specified keys.',
  'ERROR <string>',
  '    Return a Redis protocol error with <string> as message.',
  'HTSTATS <dbid> [full]',
  '    Return hash table statistics of the specified Redis database.',
  'HTSTATS-KEY <key> [full]',
  "    Like HTSTATS but for the hash table stored at <key>'s value.",
  'LISTPACK <key>',
  '    Show low level info about the listpack encoding of <key>, in the log.',
  'LOADAOF',
  '    Flush the AOF buffers on disk and reload the AOF in memory.',
  'LOG <message>',
  '    Write <message> to the server log.',
  'OBJECT <key>',
  '    Show low level info about `key` and associated value.',
  'PANIC',
  '    Crash by a fault of the program.',
  'PAUSE-CRON <0|1>',
  '    Stop periodic cron job processing.',
  'POPULATE <count> [<prefix>] [<size>]',
  '    Create <count> string keys named key:<num>. If <prefix> is specified then',
  "    it is used instead of the 'key' prefix. These are not propagated to",
  '    replicas.',
  'PROTOCOL <type>',
  '    Reply with a test value of the specified type. <type> can be: string,',
  '    integer, double, bignum, null, array, set, map, attrib, push, verbatim,',
  '    true, false.',
  'QUICKLIST <key> [<0|1>]',
  '    Show low level info about the quicklist encoding of <key>, in the log.',
  '    The optional argument (0 by default) sets the level of detail',
  'QUICKLIST-PACKED-THRESHOLD <size>',
  '    Sets the threshold for elements to be inserted as plain vs packed nodes',
  '    By default those are plain that are longer than a node. 0 restores that.',
  'RELOAD [option ...]',
  '    Save the RDB on disk and reload it back to memory. Valid <option> values:',
  '    * NOSAVE: the database will be loaded from an existing RDB file.',
  'REPLICATE <string> [<string> ...]',
  '    Replicates the provided command to replicas, allowing data divergence.',
  'REPLYBUFFER PEAK-RESET-TIME <NEVER|RESET|time>',
  'REPLYBUFFER RESIZING <0|1>',
  '    Without effect: reply buffers come from a pool, and go back to it.',
  'RESTART [<milliseconds>]',
  '    Graceful restart: save config, db, restart after a <milliseconds> delay',
  '    (default 0).',
  'SEGFAULT',
  '    Crash the server with sigsegv.',
  'SET-ACTIVE-EXPIRE <0|1>',
  '    Setting it to 0 disables expiring keys in background when they are not',
  '    accessed (otherwise the Redis behavior). Setting it to 1 reenables back the',
  '    default.',
  'SLEEP <seconds>',
  '    Stop the server for <seconds>. Decimals allowed.',
  'STRINGMATCH-TEST',
  '    Match random strings with random patterns.',
];

/** As in Redis: not quite 4 GiB. */
const PACKED_THRESHOLD_MAX = 2n ** 32n - 2n ** 20n;

const unknownSubcommand = (name: string): string =>
  `ERR unknown subcommand or wrong number of arguments for '${name.slice(0, 128)}'. Try DEBUG HELP.`;

/** A switch, read as C's atoi reads it: a word that is no number is 0. */
const isOn = (text: string): boolean => /^[-+ ]*\d/.test(text) && Number.parseInt(text, 10) !== 0;

/** The dump format in which DEBUG OBJECT measures values. */
const DIALECT: Dialect = { version: 11, plainTypes: false };
/** Of a payload: the type before the value, version and checksum after it. */
const PAYLOAD_BYTES_BESIDE = 11;

/** Handlers by subcommand, each with its minimum and maximum of words. */
type Subcommand = readonly [
  least: number,
  most: number,
  handler: (context: CommandContext) => void,
];

export function debugCommands(parts: {
  readonly server: Server;
  /** Saves the dataset, if asked to, and loads it again; returns whether this succeeded. */
  readonly reload: (save: boolean) => Promise<boolean>;
  /** Replaces the dataset by that of the append only file; returns whether it could begin. */
  readonly loadAppendOnlyFile: () => Promise<boolean>;
  readonly housekeeping: Housekeeping;
  readonly restarts: RestartPort;
}): CommandTable {
  const { server } = parts;
  /** Made at its first use: it holds some megabytes of address space. */
  let codec: PayloadCodec | undefined;

  function digestValues(context: CommandContext): void {
    const { request, reply, db } = context;
    const digest = new Digest();
    reply.array(request.argc - 2);
    for (let i = 2; i < request.argc; i++) {
      digest.clear();
      const entry = db.find(request.bytes, request.position[i]!, request.length[i]!);
      if (entry !== NIL) digestValue(server.keyspace, db, entry, digest);
      reply.simple(digest.hex());
    }
  }

  function populate({ request, reply, db, client }: CommandContext): void {
    const count = request.integer(2);
    const size = request.argc > 4 ? request.integer(4) : 0;
    if (!(count >= 0 && size >= 0)) {
      reply.error('ERR value is out of range, must be positive');
      return;
    }
    const prefix = request.argc > 3 ? request.latin1(3) : 'key';
    for (let i = 0; i < count; i++) {
      const key = Buffer.from(`${prefix}:${i}`, 'latin1');
      if (db.find(key, 0, key.length) !== NIL) continue;
      const text = Buffer.from(`value:${i}`);
      // With a size, the text is cut to it or filled up with zeros.
      const value = size === 0 ? text : Buffer.concat([text], size);
      const encoding = value.length <= EMBSTR_BYTES_MAX ? Encoding.EMBSTR : Encoding.RAW;
      db.addString(key, 0, key.length, value, 0, value.length, encoding);
      server.keyModified(client.dbIndex, key, 0, key.length);
    }
    reply.ok();
  }

  function object(context: CommandContext): void {
    const { request, reply, db } = context;
    const entry = db.find(request.bytes, request.position[2]!, request.length[2]!);
    if (entry === NIL) {
      reply.error('ERR no such key');
      return;
    }
    const clock = db.access(entry);
    const idle = (server.accessClock - clock) & 0xffffff;
    const encoding = encodingName(db.encoding(entry));
    codec ??= new PayloadCodec();
    const serializedBytes = codec.dump(db.arena, entry, DIALECT).length - PAYLOAD_BYTES_BESIDE;
    reply.simple(
      `Value at:0x${entry.toString(16)} refcount:1 encoding:${encoding} ` +
        `serializedlength:${serializedBytes} lru:${clock} lru_seconds_idle:${idle}` +
        quicklistFields(db, entry, server),
    );
  }

  function reload(context: CommandContext): void {
    const { request, reply } = context;
    let save = true;
    for (let i = 2; i < request.argc; i++) {
      if (!request.equalsIgnoreCase(i, 'NOSAVE')) {
        reply.error('ERR headwater supports only the option NOSAVE of DEBUG RELOAD.');
        return;
      }
      save = false;
    }
    if (context.inUnit) {
      reply.error('ERR DEBUG RELOAD is not possible inside a transaction');
      return;
    }
    const connection = connectionOf(context);
    connection.blocked = true;
    parts.reload(save).then((succeeded) => {
      if (connection.closed) return;
      answerLate(server, connection, (late) => {
        if (succeeded) late.ok();
        else late.error('ERR Error trying to load the RDB dump, check server logs');
      });
      connection.resume();
    });
  }

  function loadAof(context: CommandContext): void {
    if (context.inUnit) {
      context.reply.error('ERR DEBUG LOADAOF is not possible inside a transaction');
      return;
    }
    const connection = connectionOf(context);
    connection.blocked = true;
    parts.loadAppendOnlyFile().then((hasBegun) => {
      if (connection.closed) return;
      answerLate(server, connection, (late) => {
        if (hasBegun) late.ok();
        else late.error('ERR There is no append only file, or it has not all of the dataset yet');
      });
      connection.resume();
    });
  }

  function sleep({ request, reply }: CommandContext): void {
    const seconds = Number.parseFloat(request.latin1(2));
    if (seconds > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, seconds * 1000);
    reply.ok();
  }

  function packedThreshold({ request, reply }: CommandContext): void {
    const bytes = parseMemory(request.latin1(2));
    if (bytes === null || bytes > PACKED_THRESHOLD_MAX) {
      reply.error('ERR argument must be a memory value bigger than 1 and smaller than 4gb');
      return;
    }
    server.listPlainBytesMin = bytes === 0n ? Number.POSITIVE_INFINITY : Number(bytes);
    server.keyspace.structures.quicklists.plainBytesMin = server.listPlainBytesMin;
    reply.ok();
  }

  function rewriteAll({ reply }: CommandContext): void {
    const error = server.config.rewrite(true);
    if (error === null) reply.ok();
    else reply.error(`ERR CONFIG-REWRITE-FORCE-ALL failed: ${error.replace(/^ERR /, '')}`);
  }

  /** A command that the stream carries and that does not run here. */
  function replicate(context: CommandContext): void {
    const { request, reply } = context;
    const words = Array.from({ length: request.argc - 2 }, (_, i) => request.copy(i + 2));
    context.replicateAs(...words);
    reply.ok();
  }

  function replyBuffer({ request, reply }: CommandContext): void {
    const isPeak = request.equalsIgnoreCase(2, 'PEAK-RESET-TIME');
    if (!isPeak && !request.equalsIgnoreCase(2, 'RESIZING')) {
      reply.error(unknownSubcommand(request.latin1(1)));
    } else if (
      isPeak &&
      !request.equalsIgnoreCase(3, 'NEVER') &&
      !request.equalsIgnoreCase(3, 'RESET') &&
      !Number.isInteger(request.integer(3))
    ) {
      reply.error('ERR value is not an integer or out of range');
    } else {
      reply.ok();
    }
  }

  const withoutEffect = ({ reply }: CommandContext): void => reply.ok();
  const restart =
    (isGraceful: boolean) =>
    (context: CommandContext): void =>
      debugRestart(context, server, parts.restarts, isGraceful);

  const subcommands: Readonly<Record<string, Subcommand>> = {
    assert: [2, 2, () => assert(false, 'DEBUG ASSERT')],
    'change-repl-id': [
      2,
      2,
      ({ reply }) => {
        server.log.notice('Changing replication IDs after receiving change-repl-id');
        server.history.renew();
        reply.ok();
      },
    ],
    'client-enforce-reply-list': [3, 3, withoutEffect],
    'client-eviction': [2, 2, (context) => debugClientBuckets(context, server.clientMemory)],
    'config-rewrite-force-all': [2, 2, rewriteAll],
    'crash-and-recover': [2, Number.POSITIVE_INFINITY, restart(false)],
    'dict-resizing': [3, 3, withoutEffect],
    digest: [2, 2, ({ reply }) => reply.simple(digestDataset(server.keyspace))],
    'digest-value': [2, Number.POSITIVE_INFINITY, digestValues],
    error: [3, 3, ({ request, reply }) => reply.error(request.latin1(2))],
    htstats: [3, 4, (context) => debugTables(context, server)],
    'htstats-key': [3, 4, (context) => debugTableOf(context, server)],
    help: [2, 2, (context) => replyHelp(context, 'DEBUG', HELP)],
    listpack: [3, 3, (context) => debugListpack(context, server)],
    loadaof: [2, 2, loadAof],
    log: [
      3,
      3,
      ({ request, reply }) => {
        server.log.warning(`DEBUG LOG: ${request.latin1(2)}`);
        reply.ok();
      },
    ],
    object: [3, 3, object],
    panic: [
      2,
      2,
      () => {
        throw new Error('DEBUG PANIC');
      },
    ],
    'pause-cron': [
      3,
      3,
      ({ request, reply }) => {
        parts.housekeeping.paused = isOn(request.latin1(2));
        reply.ok();
      },
    ],
    populate: [3, 5, populate],
    protocol: [3, 3, protocol],
    quicklist: [3, 4, (context) => debugQuicklist(context, server)],
    'quicklist-packed-threshold': [3, 3, packedThreshold],
    reload: [2, Number.POSITIVE_INFINITY, reload],
    replicate: [3, Number.POSITIVE_INFINITY, replicate],
    replybuffer: [4, 4, replyBuffer],
    restart: [2, Number.POSITIVE_INFINITY, restart(true)],
    segfault: [2, 2, () => process.kill(process.pid, 'SIGSEGV')],
    'set-active-expire': [
      3,
      3,
      ({ request, reply }) => {
        server.activeExpire = isOn(request.latin1(2));
        reply.ok();
      },
    ],
    sleep: [3, 3, sleep],
    'stringmatch-test': [
      2,
      2,
      ({ reply }) => {
        fuzzGlob(server.prng);
        reply.simple('Apparently Redis did not crash: test passed');
      },
    ],
  };

  function debug(context: CommandContext): void {
    const { request, reply } = context;
    if (!isAllowed(server.config.values.enableDebugCommand, connectionOf(context))) {
      reply.error(notAllowed('DEBUG', 'enable-debug-command'));
      return;
    }
    const name = request.latin1(1);
    const lower = name.toLowerCase();
    const subcommand = Object.hasOwn(subcommands, lower) ? subcommands[lower] : undefined;
    if (subcommand === undefined || request.argc < subcommand[0] || request.argc > subcommand[1]) {
      reply.error(unknownSubcommand(name));
      return;
    }
    subcommand[2](context);
  }

  return {
    DEBUG: {
      group: 'server',
      categories: [],
      keys: NO_KEYS,
      arity: -2,
      flags: ADMIN | NOSCRIPT | LOADING | STALE,
      since: '1.0.0',
      summary: 'Looks into the server and upsets it, for tests.',
      handler: debug,
    },
  };
}

const TYPES = 'string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false';

/** A reply of each type, the same as Redis'. */
function protocol({ request, reply }: CommandContext): void {
  const three = (kind: Aggregate): void => {
    reply.aggregate(kind, 3);
    for (let i = 0; i < 3; i++) {
      reply.integer(i);
      if (kind === Aggregate.MAP) reply.boolean(i === 1);
    }
  };
  switch (request.latin1(2).toLowerCase()) {
    case 'string':
      reply.bulkLatin1('Hello World');
      return;
    case 'integer':
      reply.integer(12345);
      return;
    case 'double':
      // biome-ignore lint/suspicious/noApproximativeNumericConstant: what Redis answers.
      reply.double(3.141);
      return;
    case 'null':
      reply.nil();
      return;
    case 'array':
      three(Aggregate.ARRAY);
      return;
    case 'set':
      three(Aggregate.SET);
      return;
    case 'map':
      three(Aggregate.MAP);
      return;
    case 'bignum':
      reply.bigNumber('1234567999999999999999999999999999999');
      return;
    case 'true':
      reply.boolean(true);
      return;
    case 'false':
      reply.boolean(false);
      return;
    case 'verbatim':
      reply.verbatim('txt', 'This is a verbatim\nstring');
      return;
    case 'attrib':
      if (reply.protocol === 3) {
        const attribute = bytesOf('|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n');
        reply.raw(attribute, 0, attribute.length);
      }
      reply.bulkLatin1('Some real reply following the attribute');
      return;
    case 'push':
      if (reply.protocol === 2) {
        reply.error('ERR RESP2 is not supported by this command');
        return;
      }
      reply.push(2);
      reply.bulkLatin1('server-cpu-usage');
      reply.integer(42);
      reply.bulkLatin1('Some real reply following the push reply');
      return;
    default:
      reply.error(`ERR Wrong protocol type name. Please use one of the following: ${TYPES}`);
  }
}
