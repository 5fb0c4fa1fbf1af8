/**
 * FAILOVER: this primary hands its role over to one of its replicas, without a lost write.
 *
 *   FAILOVER ─▶ writes wait ─▶ a replica has everything ─▶ this node follows it: PSYNC … FAILOVER
 *                                                             │ +CONTINUE, +FULLRESYNC   │ refused
 *                                                             ▼                          ▼
 *                                     writes are refused: a replica      a primary again, with a new id
 *
 * replication/failover-state.ts makes the decisions. Main thread.
 */
import { unreachable } from '../../base/assert.ts';
import { integerArgument, SYNTAX_ERROR } from '../../commands/arguments.ts';
import type { CommandContext } from '../../commands/context.ts';
import { type CommandTable, Flag, NO_KEYS } from '../../commands/spec.ts';
import type { FailoverRequest, FailoverTarget } from '../../replication/failover-state.ts';
import type { ReplicaState } from '../../replication/replica-state.ts';
import type { Housekeeping } from '../housekeeping.ts';
import type { Server } from '../server.ts';
import { becomePrimary, becomeReplica } from './roles.ts';
import type { Upstream } from './upstream.ts';

/** Holds the writes of clients back. */
export interface WritePause {
  begin(): void;
  end(): void;
}

export class Failover {
  readonly commands: CommandTable;
  readonly #server: Server;
  readonly #upstream: Upstream;
  readonly #replicas: Iterable<ReplicaState>;
  readonly #pause: WritePause;
  #checkDue = false;

  constructor(
    server: Server,
    upstream: Upstream,
    replicas: Iterable<ReplicaState>,
    pause: WritePause,
  ) {
    this.#server = server;
    this.#upstream = upstream;
    this.#replicas = replicas;
    this.#pause = pause;
    this.commands = {
      FAILOVER: {
        arity: -1,
        flags: Flag.ADMIN | Flag.NOSCRIPT | Flag.STALE,
        keys: NO_KEYS,
        since: '6.2.0',
        group: 'server',
        categories: ['admin', 'dangerous'],
        summary: 'Hands the role of the primary over to a replica that has everything.',
        handler: (context) => this.#command(context),
      },
    };
  }

  wire(housekeeping: Housekeeping): void {
    housekeeping.onTick(() => this.#check());
  }

  /** A replica has acknowledged something. */
  acked(): void {
    if (this.#server.failover.isActive) this.#checkSoon();
  }

  /** The target has answered. */
  answered(accepted: boolean): void {
    if (accepted) this.#end();
    else this.#abort('Failover target rejected psync request');
  }

  #command(context: CommandContext): void {
    const { request, reply } = context;
    const { failover, log, clock, isReplica } = this.#server;
    if (request.argc === 2 && request.equalsIgnoreCase(1, 'ABORT')) {
      if (!failover.isActive) {
        reply.error('ERR No failover in progress.');
        return;
      }
      this.#abort('Failover manually aborted');
      reply.ok();
      return;
    }
    const asked = parse(context);
    if (asked === undefined) return;
    const refusal = failover.refusal(asked, isReplica, this.#replicas);
    if (refusal !== undefined) {
      reply.error(refusal);
      return;
    }
    log.notice(failover.begin(asked, clock.monotonicMs()).text);
    this.#pause.begin();
    this.#checkSoon();
    reply.ok();
  }

  /** Checks in another turn: the role may change, and a request is still being read. */
  #checkSoon(): void {
    if (this.#checkDue) return;
    this.#checkDue = true;
    setImmediate(() => {
      this.#checkDue = false;
      this.#check();
    });
  }

  #check(): void {
    const { failover, streamLog, clock, log } = this.#server;
    const step = failover.check(streamLog.endOffset, this.#replicas, clock.monotonicMs());
    switch (step.kind) {
      case 'follow': {
        log.notice(step.log.text);
        const { host, port } = step.target;
        const refusal = becomeReplica(this.#server, this.#upstream, host, port);
        if (refusal !== null) this.#abort(refusal);
        break;
      }
      case 'abort':
        this.#abort(step.reason);
        break;
      case 'wait':
        break;
      default:
        unreachable(step);
    }
  }

  #abort(reason: string): void {
    const { failover, log } = this.#server;
    log.notice(failover.abortLine(reason).text);
    if (failover.isRunning) becomePrimary(this.#server, this.#upstream);
    this.#end();
  }

  #end(): void {
    this.#server.failover.end();
    this.#pause.end();
  }
}

/** FAILOVER [TO host port [FORCE]] [TIMEOUT ms], or undefined after an error was answered. */
function parse(context: CommandContext): FailoverRequest | undefined {
  const { request, reply } = context;
  let target: FailoverTarget | undefined;
  let force = false;
  let timeoutMs = 0;
  for (let i = 1; i < request.argc; i++) {
    if (request.equalsIgnoreCase(i, 'TIMEOUT') && i + 1 < request.argc && timeoutMs === 0) {
      i++;
      timeoutMs = integerArgument(context, i);
      if (Number.isNaN(timeoutMs)) return undefined;
      if (timeoutMs <= 0) {
        reply.error('ERR FAILOVER timeout must be greater than 0');
        return undefined;
      }
    } else if (request.equalsIgnoreCase(i, 'TO') && i + 2 < request.argc && target === undefined) {
      const port = integerArgument(context, i + 2);
      if (Number.isNaN(port)) return undefined;
      target = { host: request.latin1(i + 1), port };
      i += 2;
    } else if (request.equalsIgnoreCase(i, 'FORCE') && !force) {
      force = true;
    } else {
      reply.error(SYNTAX_ERROR);
      return undefined;
    }
  }
  return { target, force, timeoutMs };
}
