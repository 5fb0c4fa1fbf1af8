/** DEBUG RESTART and DEBUG CRASH-AND-RECOVER. */
import type { CommandContext } from '../../../commands/context.ts';
import { answerLate } from '../../dispatch/late-answer.ts';
import { connectionOf } from '../../net/connection-of.ts';
import type { Server } from '../../server.ts';

/** The part of the node that a restart needs. */
export interface RestartPort {
  /** The reason why the program cannot begin again, or null. */
  obstacle(): string | null;
  /**
   * Saves the dataset as a shutdown does, then calls `atEnd`, or `onCancel` when that failed.
   * Returns false when a shutdown has begun already.
   */
  prepare(asker: unknown, onCancel: () => void, atEnd: () => void): boolean;
  /** Ends the node without a save, and begins the program again after the delay. */
  restart(delayMs: number): void;
}

const FAILED = 'ERR failed to restart the server. Check server logs.';
const UNPREPARED = 'error preparing for shutdown';

/**
 * Ends the node and starts it again. Gracefully: the configuration goes to its file, and the
 * dataset to its dump if there are save points. Otherwise what was not saved is lost. The client
 * gets no reply but an error.
 */
export function debugRestart(
  context: CommandContext,
  server: Server,
  port: RestartPort,
  isGraceful: boolean,
): void {
  const { request, reply } = context;
  const connection = connectionOf(context);
  const delayMs = request.argc > 2 ? request.integer(2) : 0;
  if (Number.isNaN(delayMs)) {
    reply.error('ERR value is not an integer or out of range');
    return;
  }
  const fail = (reason: string): void => {
    server.log.warning(`Can't restart: ${reason}`);
    reply.error(FAILED);
  };
  const go = (): void => port.restart(Math.max(0, delayMs));
  const obstacle = port.obstacle();
  if (obstacle !== null) {
    fail(obstacle);
  } else if (!isGraceful) {
    connection.blocked = true;
    go();
  } else if (context.inUnit) {
    reply.error('ERR DEBUG RESTART is not possible inside a transaction');
  } else {
    const rewriting = server.config.file === null ? null : server.config.rewrite();
    if (rewriting !== null) {
      fail(`configuration rewrite process failed: ${rewriting.replace(/^ERR /, '')}`);
      return;
    }
    const onCancel = (): void => {
      if (connection.closed) return;
      answerLate(server, connection, () => fail(UNPREPARED));
      connection.resume();
    };
    if (port.prepare(connection, onCancel, go)) connection.blocked = true;
    else fail(UNPREPARED);
  }
}
