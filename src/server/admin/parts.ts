/** What the server's own commands work on, and what several of their files need. */
import { assert } from '../../base/assert.ts';
import type { MemoryCollector } from '../../base/memory-collector.ts';
import type { CommandContext } from '../../commands/context.ts';
import { Connection } from '../connection.ts';
import type { Dispatcher } from '../dispatcher.ts';
import type { Housekeeping } from '../housekeeping.ts';
import type { Server } from '../server.ts';
import type { InfoRegistry } from './info-registry.ts';
import type { LatencyMonitor } from './latency-monitor.ts';
import type { LoopDelay } from './loop-delay.ts';
import type { MemoryMeter } from './memory-meter.ts';
import type { Monitors } from './monitors.ts';
import type { Pause } from './pause.ts';
import type { Rates } from './rates.ts';
import type { SlowLog } from './slow-log.ts';

export interface AdminParts {
  readonly server: Server;
  readonly dispatcher: Dispatcher;
  readonly housekeeping: Housekeeping;
  readonly info: InfoRegistry;
  readonly slowLog: SlowLog;
  readonly latency: LatencyMonitor;
  readonly loopDelay: LoopDelay;
  readonly monitors: Monitors;
  readonly pause: Pause;
  readonly rates: Rates;
  readonly memory: MemoryMeter;
  readonly collector: MemoryCollector;
  /** Gives back to the system what is held and not used. */
  purgeMemory(): void;
  /** The port that is listened on. */
  readonly port: () => number;
  /** Saves the dataset, if asked to, and loads it again; tells whether that went well. */
  readonly reload: (save: boolean) => Promise<boolean>;
  /** Ends a client's wait, with an error or as if its time were up; false when it does not wait. */
  readonly unblock: (connection: Connection, error?: string) => boolean;
}

/** The connection whose command runs. */
export function connectionOf(context: CommandContext): Connection {
  const { client } = context;
  assert(client instanceof Connection, 'a command of the server is run for a connection');
  return client;
}

/** Answers HELP of a container: its lines between the usual first and last ones. */
export function replyHelp(context: CommandContext, container: string, lines: readonly string[]): void {
  const { reply } = context;
  reply.array(lines.length + 3);
  reply.simple(`${container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:`);
  for (const line of lines) reply.simple(line);
  reply.simple('HELP');
  reply.simple('    Prints this help.');
}

/** The handler of a container's row: its subcommands are called, never the container. */
export function container(): void {
  assert(false, 'a container of subcommands is not called itself');
}

/** A client that may do what is allowed to local ones. */
export function isLocal(connection: Connection): boolean {
  const { remoteAddress } = connection;
  return (
    remoteAddress === '' || remoteAddress.startsWith('127.') || /^(::1|::ffff:127\..*)$/.test(remoteAddress)
  );
}

export const SYNTAX_ERROR = 'ERR syntax error';
