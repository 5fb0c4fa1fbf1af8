/** CONFIG. The effects of changed values are in config-hooks.ts. */

import { container, replyHelp } from '../../commands/container.ts';
import type { CommandContext } from '../../commands/context.ts';
import {
  type CommandSpec,
  type CommandTable,
  Flag,
  type Handler,
  NO_KEYS,
} from '../../commands/spec.ts';
import type { Reply } from '../../resp/reply.ts';
import { BIND_ADDRESSES_MAX } from '../config/kinds.ts';
import type { Dispatcher } from '../dispatch/dispatcher.ts';
import { answerLate } from '../dispatch/late-answer.ts';
import { connectionOf, isLocal } from '../net/connection-of.ts';
import type { Listeners } from '../net/listeners.ts';
import type { Server } from '../server.ts';
import type { LoopDelay } from './observe/loop-delay.ts';
import type { LoopTime } from './observe/loop-time.ts';
import type { MemoryMeter } from './observe/memory-meter.ts';

const { ADMIN, NOSCRIPT, LOADING, STALE } = Flag;
const GROUP = { group: 'server', categories: [], keys: NO_KEYS } as const;

const HELP = [
  'GET <pattern>',
  '    Return parameters matching the glob-like <pattern> and their values.',
  'SET <directive> <value>',
  '    Set the configuration <directive> to <value>.',
  'RESETSTAT',
  '    Reset statistics reported by the INFO command.',
  'REWRITE',
  '    Rewrite the configuration file.',
];

export function configCommands(parts: {
  readonly server: Server;
  readonly dispatcher: Dispatcher;
  readonly loopDelay: LoopDelay;
  readonly loopTime: LoopTime;
  readonly memory: MemoryMeter;
  readonly listeners: Listeners;
}): CommandTable {
  const { server, loopDelay, loopTime, memory } = parts;
  const { names } = parts.listeners;

  function get({ request, reply }: CommandContext): void {
    const patterns: string[] = [];
    for (let i = 2; i < request.argc; i++) patterns.push(request.latin1(i));
    const found = server.config.get(patterns);
    reply.map(found.length);
    for (const [name, text] of found) {
      reply.bulkLatin1(name);
      reply.bulkLatin1(text);
    }
  }

  function set(context: CommandContext): void {
    const { request, reply } = context;
    const connection = connectionOf(context);
    const words: string[] = [];
    for (let i = 2; i < request.argc; i++) words.push(request.latin1(i));
    const local = isLocal(connection);
    const hosts = hostsToOpen(words);
    if (context.inUnit || !names.anyName(hosts)) {
      answer(reply, assign(words, local));
      return;
    }
    connection.blocked = true;
    names.lookUp(hosts, server.config.values.bind).then(() => {
      const error = assign(words, local);
      if (connection.closed) return;
      answerLate(server, connection, (late) => answer(late, error));
      connection.resume();
    });
  }

  /**
   * The words of `bind` whose sockets a CONFIG SET of these pairs would open. None when there are too
   * many: it will be refused.
   */
  function hostsToOpen(pairs: readonly string[]): readonly string[] {
    const hosts = hostsOf(pairs);
    return hosts.length > BIND_ADDRESSES_MAX ? [] : hosts;
  }

  function hostsOf(pairs: readonly string[]): readonly string[] {
    let hosts: readonly string[] = [];
    for (let i = 0; i + 1 < pairs.length; i += 2) {
      const name = pairs[i]!.toLowerCase();
      if (name === 'bind') return pairs[i + 1]!.split(' ').filter((word) => word !== '');
      if (name === 'port') hosts = server.config.values.bind;
    }
    return hosts;
  }

  /** Sets directives; returns the error, or null. */
  function assign(words: readonly string[], local: boolean): string | null {
    const { error } = server.config.set(words, { loading: server.loading, local });
    for (const warning of server.config.warnings.splice(0)) server.log.warning(warning);
    return error;
  }

  function answer(reply: Reply, error: string | null): void {
    if (error === null) reply.ok();
    else reply.error(error);
  }

  function rewrite({ reply }: CommandContext): void {
    const error = server.config.rewrite();
    if (error === null) {
      server.log.notice('CONFIG REWRITE executed with success.');
      reply.ok();
    } else {
      server.log.warning(`CONFIG REWRITE failed: ${error}`);
      reply.error(error);
    }
  }

  function resetStat({ reply }: CommandContext): void {
    parts.dispatcher.resetStats();
    loopDelay.reset();
    loopTime.reset();
    memory.peakBytes = memory.usedBytes;
    reply.ok();
  }

  const row = (arity: number, since: string, summary: string, handler: Handler): CommandSpec => ({
    ...GROUP,
    arity,
    since,
    summary,
    handler,
    flags: ADMIN | NOSCRIPT | LOADING | STALE,
  });

  return {
    CONFIG: {
      ...GROUP,
      arity: -2,
      flags: 0,
      since: '2.0.0',
      summary: 'Looks at the configuration and changes it.',
      handler: container,
      subcommands: {
        GET: row(-3, '2.0.0', 'Answers directives that match patterns.', get),
        SET: {
          ...row(-4, '2.0.0', 'Sets directives: all of them or none.', set),
          tips: ['request_policy:all_nodes', 'response_policy:all_succeeded'],
        },
        RESETSTAT: row(2, '2.0.0', 'Begins the statistics of INFO anew.', resetStat),
        REWRITE: row(2, '2.8.0', 'Writes the configuration to its file.', rewrite),
        HELP: {
          ...GROUP,
          arity: 2,
          flags: LOADING | STALE,
          since: '5.0.0',
          summary: 'Tells about the subcommands.',
          handler: (context) => replyHelp(context, 'CONFIG', HELP),
        },
      },
    },
  };
}
