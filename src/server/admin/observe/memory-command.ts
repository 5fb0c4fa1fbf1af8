/** MEMORY: what values and the server take. See memory-meter.ts for what is counted. */

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
import type { Server } from '../../server.ts';
import type { MemoryMeter } from './memory-meter.ts';

const { READONLY, LOADING, STALE } = Flag;
const GROUP = { group: 'server', categories: [], keys: NO_KEYS, flags: 0 } as const;
const TIPS = ['nondeterministic_output', 'request_policy:all_shards', 'response_policy:special'];
/** With less data than this the doctor has nothing to say. */
const DOCTOR_BYTES_MIN = 5 * 1024 * 1024;
/** Elements of a large value that MEMORY USAGE looks at unless it is told otherwise. */
const SAMPLES_DEFAULT = 5;
const HIGH_FRAGMENTATION = 1.4;

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

export function memoryCommands({
  server,
  memory,
}: {
  readonly server: Server;
  readonly memory: MemoryMeter;
}): CommandTable {
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
      bytes += server.keyspace.structures.valueBytes(type, db.encoding(entry), db.value(entry), all);
    }
    reply.integer(bytes);
  }

  function stats({ reply }: CommandContext): void {
    memory.tick();
    const { arena } = server.keyspace;
    const { usedBytes, datasetBytes, streamBytes, startupBytes, peakBytes, rssBytes, heapBytes } = memory;
    const keys = server.keyspace.keyCount;
    const net = Math.max(1, usedBytes - startupBytes);
    const fields: [string, number][] = [
      ['peak.allocated', peakBytes],
      ['total.allocated', usedBytes],
      ['startup.allocated', startupBytes],
      ['replication.backlog', streamBytes],
      ['clients.slaves', memory.clientBytes(true)],
      ['clients.normal', memory.clientBytes(false)],
      ['cluster.links', 0],
      ['aof.buffer', 0],
      ['lua.caches', 0],
      ['functions.caches', 0],
      ['overhead.total', usedBytes - datasetBytes],
      ['keys.count', keys],
      ['keys.bytes-per-key', keys === 0 ? 0 : Math.floor(datasetBytes / keys)],
      ['dataset.bytes', datasetBytes],
    ];
    const ratios: [string, number][] = [
      ['dataset.percentage', (100 * datasetBytes) / net],
      ['peak.percentage', (100 * usedBytes) / Math.max(1, peakBytes)],
    ];
    const allocator: [string, number][] = [
      ['allocator.allocated', arena.usedBytes + heapBytes],
      ['allocator.active', datasetBytes + heapBytes],
      ['allocator.resident', rssBytes],
    ];
    reply.map(fields.length + ratios.length + allocator.length + 2);
    for (const [name, value] of fields) {
      reply.bulkLatin1(name);
      reply.integer(value);
    }
    for (const [name, value] of ratios) {
      reply.bulkLatin1(name);
      reply.double(value);
    }
    for (const [name, value] of allocator) {
      reply.bulkLatin1(name);
      reply.integer(value);
    }
    reply.bulkLatin1('fragmentation');
    reply.double(rssBytes / Math.max(1, usedBytes));
    reply.bulkLatin1('fragmentation.bytes');
    reply.integer(rssBytes - usedBytes);
  }

  function doctor({ reply }: CommandContext): void {
    memory.tick();
    if (memory.datasetBytes < DOCTOR_BYTES_MIN) {
      reply.verbatim('txt', EMPTY_INSTANCE);
      return;
    }
    const { arena } = server.keyspace;
    const waste = memory.datasetBytes / Math.max(1, arena.usedBytes);
    if (waste <= HIGH_FRAGMENTATION) {
      reply.verbatim('txt', HEALTHY);
      return;
    }
    reply.verbatim(
      'txt',
      'Sam, I detected a few issues in this Redis instance memory implants:\n\n' +
        ` * High fragmentation: the pages of the dataset take ${waste.toFixed(2)} times what its objects need. Deleting ` +
        'many keys leaves pages half empty; they fill again as keys come, and a restart packs them.\n',
    );
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
          ...row(2, 'Gives free memory back to the system, as is done anyway.', ({ reply }) => reply.ok()),
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
