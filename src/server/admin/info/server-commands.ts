/** INFO, TIME, MONITOR, and the refusals of modules and cluster mode. */

import { container, replyHelp } from '../../../commands/container.ts';
import type { CommandContext } from '../../../commands/context.ts';
import {
  type CommandSpec,
  type CommandTable,
  Flag,
  type Handler,
  NO_KEYS,
} from '../../../commands/spec.ts';
import { connectionOf } from '../../net/connection-of.ts';
import type { Server } from '../../server.ts';
import { isAllowed, notAllowed } from '../debug/commands.ts';
import type { Monitors } from '../observe/monitors.ts';
import type { InfoRegistry } from './registry.ts';

const { ADMIN, NOSCRIPT, LOADING, STALE, FAST, NO_ASYNC_LOADING } = Flag;
const SERVER = { group: 'server', categories: [], keys: NO_KEYS } as const;
const CLUSTER = { group: 'cluster', keys: NO_KEYS, since: '3.0.0' } as const;
const MICROS_PER_SECOND = 1e6;

const MODULE_HELP = ['LIST', '    Return a list of loaded modules.'];

export function serverCommands(parts: {
  readonly server: Server;
  readonly info: InfoRegistry;
  readonly monitors: Monitors;
}): CommandTable {
  const { server, info, monitors } = parts;

  function replyInfo({ request, reply }: CommandContext): void {
    const names: string[] = [];
    for (let i = 1; i < request.argc; i++) names.push(request.latin1(i));
    reply.verbatim('txt', info.text(names));
  }

  function time({ reply }: CommandContext): void {
    const micros = server.clock.wallMicros();
    reply.array(2);
    reply.bulkInteger(Math.floor(micros / MICROS_PER_SECOND));
    reply.bulkInteger(micros % MICROS_PER_SECOND);
  }

  function monitor(context: CommandContext): void {
    if (context.inUnit) {
      context.reply.error("ERR MONITOR isn't allowed for DENY BLOCKING client");
      return;
    }
    monitors.add(connectionOf(context));
    context.reply.ok();
  }

  function changeModules(context: CommandContext): void {
    const allowed = isAllowed(server.config.values.enableModuleCommand, connectionOf(context));
    context.reply.error(
      allowed
        ? 'ERR Error loading the extension. Please check the server logs.'
        : notAllowed('MODULE', 'enable-module-command'),
    );
  }

  const noCluster = ({ reply }: CommandContext): void =>
    reply.error('ERR This instance has cluster support disabled');

  const moduleRow = (
    arity: number,
    since: string,
    summary: string,
    handler: Handler,
  ): CommandSpec => ({
    ...SERVER,
    arity,
    since,
    summary,
    handler,
    flags: ADMIN | NOSCRIPT | NO_ASYNC_LOADING,
  });
  const clusterRow = (summary: string, flags: number): CommandSpec => ({
    ...CLUSTER,
    arity: 1,
    flags,
    summary,
    categories: ['connection'],
    handler: noCluster,
  });

  return {
    INFO: {
      ...SERVER,
      arity: -1,
      flags: LOADING | STALE,
      categories: ['dangerous'],
      since: '1.0.0',
      tips: ['nondeterministic_output', 'request_policy:all_shards', 'response_policy:special'],
      summary: 'Tells how the server is and what it has done.',
      handler: replyInfo,
    },
    TIME: {
      ...SERVER,
      arity: 1,
      flags: LOADING | STALE | FAST,
      since: '2.6.0',
      tips: ['nondeterministic_output'],
      summary: 'Answers the time of the server, in seconds and microseconds.',
      handler: time,
    },
    MONITOR: {
      ...SERVER,
      arity: 1,
      flags: ADMIN | NOSCRIPT | LOADING | STALE,
      since: '1.0.0',
      summary: 'Shows the commands of all clients from here on.',
      handler: monitor,
    },
    MODULE: {
      ...SERVER,
      arity: -2,
      flags: 0,
      since: '4.0.0',
      summary: 'Tells about modules: there are none.',
      handler: container,
      subcommands: {
        LIST: {
          ...moduleRow(2, '4.0.0', 'Lists the modules.', ({ reply }) => reply.emptyArray()),
          flags: ADMIN | NOSCRIPT,
          tips: ['nondeterministic_output_order'],
        },
        LOAD: moduleRow(-3, '4.0.0', 'Is refused: modules cannot be loaded.', changeModules),
        LOADEX: moduleRow(-3, '7.0.0', 'Is refused: modules cannot be loaded.', changeModules),
        UNLOAD: moduleRow(3, '4.0.0', 'Is refused: there are no modules.', changeModules),
        HELP: {
          ...SERVER,
          arity: 2,
          flags: LOADING | STALE,
          since: '5.0.0',
          summary: 'Tells about the subcommands.',
          handler: (context) => replyHelp(context, 'MODULE', MODULE_HELP),
        },
      },
    },
    CLUSTER: {
      ...CLUSTER,
      arity: -2,
      flags: 0,
      categories: [],
      summary: 'Is refused: there is no cluster mode.',
      handler: noCluster,
    },
    ASKING: clusterRow('Is refused: there is no cluster mode.', FAST),
    READONLY: clusterRow('Is refused: there is no cluster mode.', LOADING | STALE | FAST),
    READWRITE: clusterRow('Is refused: there is no cluster mode.', LOADING | STALE | FAST),
  };
}
