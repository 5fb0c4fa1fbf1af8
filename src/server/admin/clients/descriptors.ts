/**
 * The limit of open files and sockets of the process: `maxclients` is fitted to it, and the log
 * reports a table that is full nevertheless.
 *
 *   limit of the process      0 ........................ limit - RESERVED ............ limit
 *                             │ clients: `maxclients`    │ threads, files, listeners   │
 *
 * Node.js raises its soft limit to the hard one when it starts, so there is nothing left to raise.
 * When the table is full, libuv accepts a connection on a spare descriptor and closes it at once;
 * the program gets no event. So a tick checks whether a file can be opened. If libuv loses its
 * spare descriptor, connections wait in the kernel until there is room. Main thread. Redis:
 * adjustOpenFilesLimit.
 */
import { closeSync, openSync, readFileSync } from 'node:fs';
import { devNull } from 'node:os';
import {
  codeOf,
  ErrorCode,
  isTableFull,
  OperatingError,
  systemErrorText,
} from '../../../base/errors.ts';
import type { Server } from '../../server.ts';

/**
 * Descriptors that are not for clients. An idle node on Node.js 20 holds 25; each of its threads
 * takes 5, and there may be four; 32 are for files, as in Redis; the rest is for listening sockets,
 * the link to a primary, and clients that are being rejected.
 */
export const RESERVED_DESCRIPTORS = 96;
/** The default where the limit cannot be found, as in Redis. */
const LIMIT_ASSUMED = 1024;
const PROBE_MS = 1000;
/** A table that stays full is reported again after this time. */
const REPEAT_MS = 60_000;

/** Finds the limit of open files of this process; throws an error of the system, or undefined. */
export type FindLimit = () => number | undefined;

/** From /proc; undefined where there is none, as outside of Linux. */
export function limitFromProc(): number | undefined {
  const text = readFileSync('/proc/self/limits', 'latin1');
  const soft = /^Max open files\s+(\d+|unlimited)/m.exec(text)?.[1];
  if (soft === undefined) return undefined;
  return soft === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(soft);
}

export class Descriptors {
  readonly #server: Server;
  readonly #findLimit: FindLimit;
  #probeAtMs = 0;
  #toldAtMs = Number.NEGATIVE_INFINITY;
  #isFull = false;

  constructor(server: Server, findLimit: FindLimit = limitFromProc) {
    this.#server = server;
    this.#findLimit = findLimit;
  }

  /** Reduces `maxclients` to fit the limit. Throws IO when there is no room. */
  fit(): void {
    const { config, log } = this.#server;
    const wanted = config.values.maxclients;
    const limit = this.#limit();
    const room = limit - RESERVED_DESCRIPTORS;
    if (wanted <= room) return;
    const needed = wanted + RESERVED_DESCRIPTORS;
    if (room < 1) {
      throw new OperatingError(
        ErrorCode.IO,
        `Your current 'ulimit -n' of ${limit} is not enough for the server to start. ` +
          `Please increase your open file limit to at least ${needed}. Exiting.`,
      );
    }
    config.assign('maxclients', [String(room)]);
    log.warning(
      `You requested maxclients of ${wanted} requiring at least ${needed} max file descriptors.`,
    );
    log.warning(
      `Server can't set maximum open files to ${needed} because of OS error: Operation not permitted.`,
    );
    log.warning(
      `Current maximum open files is ${limit}. maxclients has been reduced to ${room} to compensate ` +
        "for low ulimit. If you need higher maxclients increase 'ulimit -n'.",
    );
  }

  /** Why CONFIG SET may not set `maxclients` to its present value; null when it may. */
  refusal(): string | null {
    const room = this.#limit() - RESERVED_DESCRIPTORS;
    if (this.#server.config.values.maxclients <= room) return null;
    return `The operating system is not able to handle the specified number of clients, try with ${room}`;
  }

  /** A listening socket could not accept. Others may, and it goes on. */
  acceptFailed(error: unknown): void {
    if (isTableFull(error)) this.#full(error);
    else this.#server.log.warning(`Accepting client connection: accept: ${systemErrorText(error)}`);
  }

  /** Checks about once per second whether there is room. */
  tick(): void {
    const nowMs = this.#server.clock.monotonicMs();
    if (nowMs < this.#probeAtMs) return;
    this.#probeAtMs = nowMs + PROBE_MS;
    try {
      closeSync(openSync(devNull, 'r'));
    } catch (error) {
      // Without that file the check shows nothing.
      if (codeOf(error) === undefined) throw error;
      if (isTableFull(error)) this.#full(error);
      return;
    }
    if (!this.#isFull) return;
    this.#isFull = false;
    this.#toldAtMs = Number.NEGATIVE_INFINITY;
    this.#server.log.notice('There is room for open files again: clients are accepted.');
  }

  #full(error: unknown): void {
    this.#isFull = true;
    const nowMs = this.#server.clock.monotonicMs();
    if (nowMs < this.#toldAtMs + REPEAT_MS) return;
    this.#toldAtMs = nowMs;
    this.#server.log.warning(
      `Accepting client connection: accept: ${systemErrorText(error)}. ` +
        'Clients that come now are cut off, and no file can be opened.',
    );
  }

  #limit(): number {
    try {
      const limit = this.#findLimit();
      if (limit !== undefined) return limit;
      this.#assumed('there is no such line in /proc/self/limits');
    } catch (error) {
      this.#assumed(systemErrorText(error));
    }
    return LIMIT_ASSUMED;
  }

  #assumed(why: string): void {
    this.#server.log.warning(
      `Unable to obtain the current NOFILE limit (${why}), assuming ${LIMIT_ASSUMED} and setting ` +
        'the max clients configuration accordingly.',
    );
  }
}
