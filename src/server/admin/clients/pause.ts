/**
 * CLIENT PAUSE: commands of clients wait, all of them or those that may write, until a time. A
 * failover or a shutdown may pause writes as well; a command waits while any pause holds it.
 *
 *   gate closed ──the command is kept, the client blocked──▶ time is up or UNPAUSE ──▶ it runs
 */
import { Flag } from '../../../commands/spec.ts';
import type { Dispatcher, Gate } from '../../dispatch/dispatcher.ts';
import type { Connection } from '../../net/connection.ts';
import type { Server } from '../../server.ts';

export type PauseScope = 'write' | 'all';

interface Entry {
  readonly scope: PauseScope;
  /** By the monotonic clock: a step of the system's clock makes no pause longer. */
  readonly untilMs: number;
}

const TIMER_MS_MAX = 0x7fff_ffff;
const MAY_WRITE = Flag.WRITE | Flag.MAY_REPLICATE;

export class Pause {
  readonly #server: Server;
  readonly #dispatcher: () => Dispatcher;
  readonly #entries = new Map<string, Entry>();
  readonly #gate: Gate = (connection, flags) =>
    (this.#all || (flags & MAY_WRITE) !== 0) && !connection.isReplica && !connection.fromPrimary;
  #all = false;
  #holds = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(server: Server, dispatcher: () => Dispatcher) {
    this.#server = server;
    this.#dispatcher = dispatcher;
  }

  /**
   * Pauses until `untilMs` of the monotonic clock, for `purpose`; a longer or wider pause of the
   * same purpose stays.
   */
  begin(purpose: string, scope: PauseScope, untilMs: number): void {
    const before = this.#entries.get(purpose);
    this.#entries.set(purpose, {
      scope: before?.scope === 'all' ? 'all' : scope,
      untilMs: Math.max(untilMs, before?.untilMs ?? 0),
    });
    this.#update();
  }

  end(purpose: string): void {
    if (this.#entries.delete(purpose)) this.#update();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #update(): void {
    const { clock } = this.#server;
    clock.tick();
    const nowMs = clock.turnMs();
    for (const [purpose, { untilMs }] of this.#entries)
      if (untilMs <= nowMs) this.#entries.delete(purpose);
    clearTimeout(this.#timer);
    const dispatcher = this.#dispatcher();
    const entries = [...this.#entries.values()];
    this.#hold(entries.length > 0);
    if (entries.length === 0) {
      dispatcher.removeGate(this.#gate);
      this.#release();
      return;
    }
    this.#all = entries.some(({ scope }) => scope === 'all');
    dispatcher.addGate(this.#gate);
    const nextMs = Math.min(...entries.map(({ untilMs }) => untilMs)) - nowMs;
    this.#timer = setTimeout(() => this.#update(), Math.min(nextMs, TIMER_MS_MAX));
    // Some may run again when a pause of all commands has become one of writes; the others meet the
    // gate again.
    if (!this.#all) this.#release();
  }

  /** Tells the server whether writes are paused here. */
  #hold(holds: boolean): void {
    if (holds === this.#holds) return;
    this.#holds = holds;
    this.#server.writePauses += holds ? 1 : -1;
  }

  /** Runs all waiting commands, each in a separate turn. */
  #release(): void {
    for (const connection of this.#server.clients.values()) {
      if (connection.postponed !== undefined) setImmediate(() => this.#run(connection));
    }
  }

  #run(connection: Connection): void {
    if (connection.closed) return;
    this.#server.clock.tick();
    this.#dispatcher().runPostponed(connection);
  }
}
