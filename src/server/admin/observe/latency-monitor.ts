/**
 * LATENCY: samples per event of operations that took longer than `latency-monitor-threshold` ms,
 * and the distribution of the latencies of commands, which is kept anyway.
 *
 *   command, fast-command    a command, by its flag FAST
 *   event-loop               the loop stood still, for whatever reason: these and others
 *   fork                     the dataset was frozen for a snapshot; Redis forks for that
 *   expire-cycle             a slice of deletions of expired keys
 *   aof-write, aof-write-pending-fsync, aof-write-alone, aof-fsync-always   the append-only file
 */
import { container, replyHelp } from '../../../commands/container.ts';
import type { CommandContext } from '../../../commands/context.ts';
import {
  type CommandSpec,
  type CommandTable,
  Flag,
  type Handler,
  NO_KEYS,
} from '../../../commands/spec.ts';
import type { CommandRow } from '../../dispatch/command-lookup.ts';
import type { Dispatcher } from '../../dispatch/dispatcher.ts';
import type { Server } from '../../server.ts';

const SAMPLES_MAX = 160;

interface Sample {
  readonly second: number;
  ms: number;
}

interface EventSamples {
  readonly samples: Sample[];
  maxMs: number;
}

export class LatencyMonitor {
  readonly #server: Server;
  readonly events = new Map<string, EventSamples>();

  constructor(server: Server) {
    this.#server = server;
  }

  /** The samples of one second become one: the worst. */
  note(event: string, ms: number): void {
    const threshold = this.#server.config.values.latencyMonitorThreshold;
    if (threshold === 0 || ms < threshold) return;
    const second = Math.floor(this.#server.nowMs / 1000);
    const whole = Math.floor(ms);
    const entry = this.events.get(event) ?? { samples: [], maxMs: 0 };
    this.events.set(event, entry);
    entry.maxMs = Math.max(entry.maxMs, whole);
    const last = entry.samples.at(-1);
    if (last?.second === second) last.ms = Math.max(last.ms, whole);
    else entry.samples.push({ second, ms: whole });
    if (entry.samples.length > SAMPLES_MAX) entry.samples.shift();
  }
}

const { ADMIN, NOSCRIPT, LOADING, STALE } = Flag;
const GROUP = { group: 'server', categories: [], keys: NO_KEYS } as const;
const TIPS = ['nondeterministic_output', 'request_policy:all_nodes', 'response_policy:special'];
const MICROS_PER_MS = 1000;

const HELP = [
  'DOCTOR',
  '    Return a human readable latency analysis report.',
  'GRAPH <event>',
  '    Return an ASCII latency graph for the <event> class.',
  'HISTORY <event>',
  '    Return time-latency samples for the <event> class.',
  'LATEST',
  '    Return the latest latency samples for all events.',
  'RESET [<event> ...]',
  '    Reset latency data of one or more <event> classes.',
  '    (default: reset all data for all event classes)',
  'HISTOGRAM [COMMAND ...]',
  '    Return a cumulative distribution of latencies in the format of a histogram for the specified command names.',
  '    If no commands are specified then all histograms are replied.',
];

const DISABLED =
  "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Redis instance. You may use " +
  '"CONFIG SET latency-monitor-threshold <milliseconds>." in order to enable it. If we weren\'t in a deep space ' +
  "mission I'd suggest to take a look at https://redis.io/topics/latency-monitor.\n";
const NOTHING_SEEN =
  'Dave, no latency spike was observed during the lifetime of this Redis instance, not in the slightest bit. ' +
  'I honestly think you ought to sit down calmly, take a stress pill, and think things over.\n';

const GRAPH_ROWS = 4;
const GRAPH_MARKS = ['_', 'o', '#', '|'] as const;

export function latencyCommands(parts: {
  readonly server: Server;
  readonly dispatcher: Dispatcher;
  readonly latency: LatencyMonitor;
}): CommandTable {
  const { server, latency } = parts;

  function latest({ reply }: CommandContext): void {
    reply.array(latency.events.size);
    for (const [event, { samples, maxMs }] of latency.events) {
      const last = samples.at(-1)!;
      reply.array(4);
      reply.bulkLatin1(event);
      reply.integer(last.second);
      reply.integer(last.ms);
      reply.integer(maxMs);
    }
  }

  function history({ request, reply }: CommandContext): void {
    const samples = latency.events.get(request.latin1(2))?.samples ?? [];
    reply.array(samples.length);
    for (const { second, ms } of samples) {
      reply.array(2);
      reply.integer(second);
      reply.integer(ms);
    }
  }

  function reset({ request, reply }: CommandContext): void {
    const names = request.argc === 2 ? [...latency.events.keys()] : [];
    for (let i = 2; i < request.argc; i++) names.push(request.latin1(i));
    reply.integer(names.filter((name) => latency.events.delete(name)).length);
  }

  function graph({ request, reply }: CommandContext): void {
    const event = request.latin1(2);
    const entry = latency.events.get(event);
    if (entry === undefined) reply.error(`ERR No samples available for event '${event}'`);
    else reply.verbatim('txt', drawGraph(event, entry, Math.floor(server.nowMs / 1000)));
  }

  function doctor({ reply }: CommandContext): void {
    if (server.config.values.latencyMonitorThreshold === 0) reply.verbatim('txt', DISABLED);
    else if (latency.events.size === 0) reply.verbatim('txt', NOTHING_SEEN);
    else reply.verbatim('txt', report(server, latency.events));
  }

  function histogram({ request, reply }: CommandContext): void {
    const rows: CommandRow[] = [];
    const consider = (row: CommandRow): void => {
      if (row.latency.count > 0) rows.push(row);
      for (const sub of row.subcommands.values()) consider(sub);
    };
    if (request.argc === 2) for (const row of parts.dispatcher.lookup.rows.values()) consider(row);
    for (let i = 2; i < request.argc; i++) {
      const [name, sub] = request.latin1(i).split('|');
      const row = parts.dispatcher.lookup.byName(name!);
      if (row === undefined) continue;
      if (sub === undefined) consider(row);
      else if (row.subcommands.has(sub.toLowerCase()))
        consider(row.subcommands.get(sub.toLowerCase())!);
    }
    reply.map(rows.length);
    for (const row of rows) {
      const pairs = row.latency.cumulative();
      reply.bulkLatin1(row.fullName);
      reply.map(2);
      reply.bulkLatin1('calls');
      reply.integer(row.latency.count);
      reply.bulkLatin1('histogram_usec');
      reply.map(pairs.length);
      for (const [micros, calls] of pairs) {
        reply.integer(micros);
        reply.integer(calls);
      }
    }
  }

  const row = (arity: number, since: string, summary: string, handler: Handler): CommandSpec => ({
    ...GROUP,
    arity,
    since,
    summary,
    handler,
    flags: ADMIN | NOSCRIPT | LOADING | STALE,
    tips: TIPS,
  });

  return {
    LATENCY: {
      ...GROUP,
      arity: -2,
      flags: 0,
      since: '2.8.13',
      summary: 'Tells how long things took.',
      handler: container,
      subcommands: {
        DOCTOR: row(2, '2.8.13', 'Tells what was slow, in words.', doctor),
        GRAPH: row(3, '2.8.13', 'Draws the samples of an event.', graph),
        HISTOGRAM: row(-2, '7.0.0', 'Tells the distribution of latencies of commands.', histogram),
        HISTORY: row(3, '2.8.13', 'Lists the samples of an event.', history),
        LATEST: row(2, '2.8.13', 'Lists the last sample of each event.', latest),
        RESET: {
          ...row(-2, '2.8.13', 'Forgets the samples of events, or all.', reset),
          tips: ['request_policy:all_nodes', 'response_policy:all_succeeded'],
        },
        HELP: {
          ...GROUP,
          arity: 2,
          flags: LOADING | STALE,
          since: '2.8.13',
          summary: 'Tells about the subcommands.',
          handler: (context) => replyHelp(context, 'LATENCY', HELP),
        },
      },
    },
  };
}

/** Records a command's call under its event of the latency monitor, with its milliseconds. */
export function noteCall(latency: LatencyMonitor, row: CommandRow, micros: number): void {
  latency.note(
    (row.spec.flags & Flag.FAST) !== 0 ? 'fast-command' : 'command',
    micros / MICROS_PER_MS,
  );
}

/** Columns of samples, the oldest first, with their age below. */
function drawGraph(event: string, { samples, maxMs }: EventSamples, nowSecond: number): string {
  const shown = samples.slice(-80);
  const lowest = Math.min(...shown.map(({ ms }) => ms));
  const highest = Math.max(...shown.map(({ ms }) => ms));
  const levels = GRAPH_ROWS * GRAPH_MARKS.length;
  const heights = shown.map(({ ms }) =>
    Math.floor(((ms - lowest) / Math.max(1, highest - lowest)) * (levels - 1)),
  );
  const lines = [
    `${event} - high ${maxMs} ms, low ${lowest} ms (all time high ${maxMs} ms)`,
    '-'.repeat(80),
  ];
  for (let y = GRAPH_ROWS - 1; y >= 0; y--) {
    const marks = heights.map((height) => {
      const within = height - y * GRAPH_MARKS.length;
      if (within < 0) return ' ';
      return GRAPH_MARKS[Math.min(within, GRAPH_MARKS.length - 1)]!;
    });
    lines.push(marks.join('').trimEnd());
  }
  const ages = shown.map(({ second }) => ageText(nowSecond - second));
  const rows = Math.max(...ages.map((age) => age.length));
  lines.push('');
  for (let i = 0; i < rows; i++)
    lines.push(
      ages
        .map((age) => age[i] ?? ' ')
        .join('')
        .trimEnd(),
    );
  return `${lines.join('\n')}\n`;
}

function ageText(seconds: number): string {
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  return seconds < 86400 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86400)}d`;
}

function report(server: Server, events: ReadonlyMap<string, EventSamples>): string {
  const lines = [...events].map(([event, { samples, maxMs }], i) => {
    const mean = samples.reduce((sum, { ms }) => sum + ms, 0) / samples.length;
    return `${i + 1}. ${event}: ${samples.length} latency spikes (average ${mean.toFixed(0)}ms). Worst all time event ${maxMs}ms.`;
  });
  const advice = [...events.keys()].map((event) => adviceOn(event, server)).filter((a) => a !== '');
  return (
    "Dave, I have observed latency spikes in this Redis instance. You don't mind talking about it, do you Dave?\n\n" +
    `${lines.join('\n')}\n` +
    (advice.length === 0
      ? ''
      : `\nI have a few advices for you:\n\n${[...new Set(advice)].map((a) => `- ${a}`).join('\n')}\n`)
  );
}

/** What helps, as far as this node knows, or an empty text. */
function adviceOn(event: string, { config }: Server): string {
  const { slowlogLogSlowerThan, appendfsync } = config.values;
  switch (event) {
    case 'command':
      return slowlogLogSlowerThan < 0
        ? "SLOWLOG would tell which commands were slow, and is off: 'CONFIG SET slowlog-log-slower-than <microseconds>'."
        : `SLOWLOG GET tells which commands took longer than ${slowlogLogSlowerThan} microseconds. Commands on whole large values, KEYS, SORT and their like are better replaced, or run elsewhere.`;
    case 'fast-command':
      return 'Commands that never take long were slow: the machine is busy, swaps, or another virtual machine takes its processors.';
    case 'event-loop':
      return 'While the event loop stands still nobody is served. Events at the same second tell what it was; without one it may have been many short commands at once, a collection of garbage by V8, or a machine that had no processor for this process.';
    case 'fork':
      return "Freezing the dataset for a snapshot grows with the number of segments: fewer snapshots help, for replicas by a larger 'repl-backlog-size', for files by other save points.";
    case 'expire-cycle':
      return "Many keys expire at once: deadlines that are spread, or a lower 'active-expire-effort', make the slices shorter.";
    case 'aof-fsync-always':
      return "Each write waits for the disk: 'appendfsync everysec' does not.";
    case 'aof-write':
    case 'aof-write-alone':
    case 'aof-write-pending-fsync':
      return appendfsync === 'everysec'
        ? "The disk takes the append only file slowly: 'no-appendfsync-on-rewrite yes' helps while a dump or a rewrite is written, a faster disk always."
        : 'The disk takes the append only file slowly.';
    default:
      return '';
  }
}
