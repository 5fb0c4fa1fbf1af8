/** MEMORY: the memory of values and the server. See memory-meter.ts for the rows. */

import { NIL } from '../../../base/units.ts';
import { integerArgument, SYNTAX_ERROR } from '../../../commands/arguments.ts';
import { container, replyHelp } from '../../../commands/container.ts';
import type { CommandContext } from '../../../commands/context.ts';
import {
  type CommandSpec,
  type CommandTable,
  Flag,
  type Handler,
  keyAt,
  NO_KEYS,
} from '../../../commands/spec.ts';
import { ValueType } from '../../../keyspace/entry.ts';
import type { Reply } from '../../../resp/reply.ts';
import type { Server } from '../../server.ts';
import type { MemoryMeter } from './memory-meter.ts';

const { READONLY, LOADING, STALE } = Flag;
const GROUP = { group: 'server', categories: [], keys: NO_KEYS, flags: 0 } as const;
const TIPS = ['nondeterministic_output', 'request_policy:all_shards', 'response_policy:special'];
/** With less data than this the doctor reports nothing. */
const DOCTOR_BYTES_MIN = 5 * 1024 * 1024;
/** Elements of a large value that MEMORY USAGE samples by default. */
const SAMPLES_DEFAULT = 5;
const HIGH_FRAGMENTATION = 1.4;
/** Peak over present memory. */
const HIGH_PEAK = 1.5;
/** Mean bytes of a client, and bytes of the stream beyond the backlog, as in Redis. */
const CLIENT_BYTES_MANY = 200 * 1024;
const PINNED_BYTES_MANY = 10 * 1024 * 1024;
/** Part of all memory that is only there for a snapshot. */
const SNAPSHOT_SHARE_MANY = 0.5;

const HELP = [
  'DOCTOR',
  '    Return memory problems reports.',
  'MALLOC-STATS',
  '    Return internal statistics report from the memory allocator.',
  'PURGE',
  '    Attempt to purge dirty pages for reclamation by the allocator.',
  'STATS',
  '    Return information about the memory usage of the server.',
  'USAGE <key> [SAMPLES <count>]',
  '    Return memory in bytes used by <key> and its value. Nested values are',
  '    sampled up to <count> times (default: 5, 0 means sample all).',
];

const EMPTY_INSTANCE =
  "Hi Sam, this instance is empty or is using very little memory, my issues detector can't be used in these " +
  'conditions. Please, leave for your mission on Earth and fill it with some data. The new Sam and I will be back to ' +
  'our programming as soon as I finished rebooting.\n';
const HEALTHY =
  "Hi Sam, I can't find any memory issue in your instance. I can only account for what occurs on this base.\n";

export interface MemoryParts {
  readonly server: Server;
  readonly memory: MemoryMeter;
  /** Returns unused memory to the system. */
  purgeMemory(): void;
}

export function memoryCommands(parts: MemoryParts): CommandTable {
  const { server, memory } = parts;

  function usage(context: CommandContext): void {
    const { request, reply, db } = context;
    let samples = SAMPLES_DEFAULT;
    for (let i = 3; i < request.argc; i += 2) {
      if (!request.equalsIgnoreCase(i, 'SAMPLES') || i + 1 >= request.argc) {
        reply.error(SYNTAX_ERROR);
        return;
      }
      samples = integerArgument(context, i + 1);
      if (Number.isNaN(samples)) return;
      if (samples < 0) {
        reply.error(SYNTAX_ERROR);
        return;
      }
    }
    const entry = context.lookupQuiet(2);
    if (entry === NIL) {
      reply.nil();
      return;
    }
    const type = db.type(entry);
    let bytes = db.entryBytes(entry);
    if (type !== ValueType.STRING) {
      const all = samples === 0 ? Number.POSITIVE_INFINITY : samples;
      bytes += server.keyspace.structures.valueBytes(
        type,
        db.encoding(entry),
        db.value(entry),
        all,
      );
    }
    reply.integer(bytes);
  }

  function stats({ reply }: CommandContext): void {
    memory.tick();
    const fields = statsOf(server, memory);
    reply.map(fields.length);
    for (const field of fields) replyField(reply, field);
  }

  function doctor({ reply }: CommandContext): void {
    memory.tick();
    // V8's heap is that of an empty node too.
    const held = memory.countedBytes + memory.pinnedBytes + memory.copyBytes + memory.spoolBytes;
    if (held < DOCTOR_BYTES_MIN) {
      reply.verbatim('txt', EMPTY_INSTANCE);
      return;
    }
    const issues = issuesOf(server, memory);
    reply.verbatim(
      'txt',
      issues.length === 0
        ? HEALTHY
        : 'Sam, I detected a few issues in this Redis instance memory implants:\n\n' +
            `${issues.map((issue) => ` * ${issue}\n`).join('\n')}`,
    );
  }

  function purge({ reply }: CommandContext): void {
    parts.purgeMemory();
    reply.ok();
  }

  const row = (arity: number, summary: string, handler: Handler): CommandSpec => ({
    ...GROUP,
    arity,
    summary,
    handler,
    since: '4.0.0',
    tips: TIPS,
  });

  return {
    MEMORY: {
      ...GROUP,
      arity: -2,
      since: '4.0.0',
      summary: 'Tells about memory.',
      handler: container,
      subcommands: {
        DOCTOR: row(2, 'Tells what is wrong with memory, in words.', doctor),
        'MALLOC-STATS': row(2, 'Tells what the allocator counts.', ({ reply }) =>
          reply.verbatim('txt', 'Stats not supported for the current allocator'),
        ),
        PURGE: {
          ...row(2, 'Gives memory that is held and not used back to the system, soon.', purge),
          tips: ['request_policy:all_shards', 'response_policy:all_succeeded'],
        },
        STATS: row(2, 'Tells where memory goes.', stats),
        USAGE: {
          ...GROUP,
          arity: -3,
          flags: READONLY,
          keys: [keyAt(2, 'RO')],
          since: '4.0.0',
          summary: 'Tells the bytes that a key and its value take.',
          handler: usage,
        },
        HELP: {
          ...GROUP,
          arity: 2,
          flags: LOADING | STALE,
          since: '4.0.0',
          summary: 'Tells about the subcommands.',
          handler: (context) => replyHelp(context, 'MEMORY', HELP),
        },
      },
    },
  };
}

/** What MEMORY DOCTOR finds, in words with the figures. */
function issuesOf({ keyspace, config }: Server, memory: MemoryMeter): string[] {
  const { arena } = keyspace;
  const { usedBytes, peakBytes, pinnedBytes, spoolBytes, copyBytes, normal } = memory;
  const issues: string[] = [];
  if (peakBytes > HIGH_PEAK * usedBytes)
    issues.push(
      `Peak memory: this node has used ${inMb(peakBytes)}, and uses ${inMb(usedBytes)} now. What is ` +
        'not used goes back to the system when the node is quiet, or by MEMORY PURGE.',
    );
  const waste = arena.pageUseBytes / Math.max(1, arena.usedBytes);
  if (waste > HIGH_FRAGMENTATION)
    issues.push(
      `High fragmentation: the pages of the dataset take ${waste.toFixed(2)} times what its objects need. Deleting ` +
        'many keys leaves pages half empty; they fill again as keys come, and a restart packs them.',
    );
  const each = normal.bytes / Math.max(1, normal.count);
  if (each > CLIENT_BYTES_MANY)
    issues.push(
      `Big client buffers: clients take ${inMb(normal.bytes)}, ${inMb(each)} each. Replies that are not ` +
        'read and long pipelines do that; CLIENT LIST tells whose, maxmemory-clients bounds it.',
    );
  if (pinnedBytes > PINNED_BYTES_MANY)
    issues.push(
      `Big replica buffers: replicas that lag hold ${inMb(pinnedBytes)} of the stream beyond ` +
        `'repl-backlog-size ${config.values.replBacklogSize}'. INFO headwater tells the lag of each.`,
    );
  if (spoolBytes + copyBytes > usedBytes * SNAPSHOT_SHARE_MANY)
    issues.push(
      `Snapshot: ${inMb(copyBytes)} of copied pages and ${inMb(spoolBytes)} of the dump are held until the ` +
        "snapshot and its readers end. 'snapshot-cow-max' and 'snapshot-spool-memory' bound them.",
    );
  return issues;
}

const inMb = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

type Stat =
  | readonly [name: string, kind: 'integer' | 'double', value: number]
  | readonly [name: string, kind: 'map', value: readonly Stat[]];

/** Redis' names in Redis' order, then our own. */
function statsOf(server: Server, memory: MemoryMeter): Stat[] {
  const { keyspace } = server;
  const { usedBytes, startupBytes, peakBytes, rssBytes, datasetBytes } = memory;
  const { usedBytes: allocated, pageUseBytes: active, residentBytes: resident } = keyspace.arena;
  const keys = keyspace.keyCount;
  const net = Math.max(1, usedBytes - startupBytes);
  const int = (name: string, value: number): Stat => [name, 'integer', value];
  const double = (name: string, a: number, b: number): Stat => [name, 'double', a / Math.max(1, b)];
  return [
    int('peak.allocated', peakBytes),
    int('total.allocated', usedBytes),
    int('startup.allocated', startupBytes),
    int('replication.backlog', memory.backlogBytes),
    int('clients.slaves', memory.replicaBytes),
    int('clients.normal', memory.normalClientBytes),
    int('cluster.links', 0),
    int('aof.buffer', 0),
    int('lua.caches', 0),
    int('functions.caches', 0),
    ...databaseStats(server),
    int('overhead.total', usedBytes - datasetBytes),
    int('keys.count', keys),
    int('keys.bytes-per-key', keys === 0 ? 0 : Math.floor(net / keys)),
    int('dataset.bytes', datasetBytes),
    double('dataset.percentage', 100 * datasetBytes, net),
    double('peak.percentage', 100 * usedBytes, peakBytes),
    int('allocator.allocated', allocated),
    int('allocator.active', active),
    int('allocator.resident', resident),
    double('allocator-fragmentation.ratio', active, allocated),
    int('allocator-fragmentation.bytes', active - allocated),
    double('allocator-rss.ratio', resident, active),
    int('allocator-rss.bytes', resident - active),
    double('rss-overhead.ratio', rssBytes, resident),
    int('rss-overhead.bytes', rssBytes - resident),
    double('fragmentation', rssBytes, usedBytes),
    int('fragmentation.bytes', rssBytes - usedBytes),
    int('headwater.page-copies', memory.copyBytes),
    int('headwater.spool', memory.spoolBytes),
    int('headwater.clients.queries', memory.normal.queryBytes + memory.replicas.queryBytes),
    int('headwater.clients.replies', memory.normal.replyBytes + memory.replicas.replyBytes),
    int('headwater.clients.multi', memory.normal.queuedBytes + memory.replicas.queuedBytes),
    int('headwater.heap-growth', memory.heapGrowthBytes),
    int('headwater.pooled', server.memory.pooledBytes),
    int('headwater.dead', server.memory.deadBytes + server.memory.leavingBytes),
  ];
}

function databaseStats({ keyspace }: Server): Stat[] {
  const stats: Stat[] = [];
  for (const [index, { keyCount, tableBytes, expiry }] of keyspace.databases.entries()) {
    if (keyCount === 0) continue;
    const tables: Stat[] = [
      ['overhead.hashtable.main', 'integer', tableBytes],
      ['overhead.hashtable.expires', 'integer', expiry.bytes],
      ['overhead.hashtable.slot-to-keys', 'integer', 0],
    ];
    stats.push([`db.${index}`, 'map', tables]);
  }
  return stats;
}

function replyField(reply: Reply, [name, kind, value]: Stat): void {
  reply.bulkLatin1(name);
  if (typeof value === 'object') {
    reply.map(value.length);
    for (const field of value) replyField(reply, field);
  } else if (kind === 'integer') {
    reply.integer(value);
  } else {
    reply.double(value);
  }
}
