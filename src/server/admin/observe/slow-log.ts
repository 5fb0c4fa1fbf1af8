/**
 * SLOWLOG: the calls that took longer than `slowlog-log-slower-than`, newest first, at most
 * `slowlog-max-len`.
 */
import { container, replyHelp } from '../../../commands/container.ts';
import type { CommandContext } from '../../../commands/context.ts';
import { type CommandTable, Flag, NO_KEYS } from '../../../commands/spec.ts';
import type { Request } from '../../../resp/request.ts';
import type { CommandRow } from '../../dispatch/command-lookup.ts';
import type { Session } from '../../dispatch/session.ts';
import type { Server } from '../../server.ts';
import { isSecret, REDACTED } from './secrets.ts';

const ARGUMENTS_MAX = 32;
const ARGUMENT_CHARS_MAX = 128;
const SHOWN_BY_DEFAULT = 10;

interface SlowCall {
  readonly id: number;
  readonly atMs: number;
  readonly micros: number;
  readonly words: readonly string[];
  readonly address: string;
  readonly name: string;
}

export class SlowLog {
  readonly #server: Server;
  readonly #calls: SlowCall[] = [];
  #nextId = 0;

  constructor(server: Server) {
    this.#server = server;
  }

  get length(): number {
    return this.#calls.length;
  }

  newest(count: number): readonly SlowCall[] {
    return this.#calls.slice(0, count);
  }

  reset(): void {
    this.#calls.length = 0;
  }

  /** Drops what a smaller `slowlog-max-len` does not allow. */
  trim(): void {
    this.#calls.length = Math.min(this.#calls.length, this.#server.config.values.slowlogMaxLen);
  }

  note(session: Session, row: CommandRow, request: Request, micros: number): void {
    if ((row.spec.flags & Flag.SKIP_SLOWLOG) !== 0) return;
    const { argc } = request;
    const shown = argc > ARGUMENTS_MAX ? ARGUMENTS_MAX - 1 : argc;
    const words = Array.from({ length: shown }, (_, i) =>
      isSecret(row, request, i) ? REDACTED : shortened(request, i),
    );
    if (shown < argc) words.push(`... (${argc - shown} more arguments)`);
    this.#calls.unshift({
      id: this.#nextId++,
      atMs: this.#server.nowMs,
      micros: Math.floor(micros),
      words,
      address: session.address,
      name: session.name,
    });
    this.trim();
  }
}

/** No more of a large argument than is shown becomes a string. */
function shortened(request: Request, index: number): string {
  const start = request.latin1Start(index, ARGUMENT_CHARS_MAX);
  const more = request.length[index]! - ARGUMENT_CHARS_MAX;
  return more <= 0 ? start : `${start}... (${more} more bytes)`;
}

const { ADMIN, LOADING, STALE } = Flag;
const GROUP = { group: 'server', categories: [], keys: NO_KEYS } as const;

const HELP = [
  'GET [<count>]',
  '    Return top <count> entries from the slowlog (default: 10, -1 mean all).',
  '    Entries are made of:',
  '    id, timestamp, time in microseconds, arguments array, client IP and port,',
  '    client name',
  'LEN',
  '    Return the length of the slowlog.',
  'RESET',
  '    Reset the slowlog.',
];

export function slowLogCommands(slowLog: SlowLog): CommandTable {
  function get({ request, reply }: CommandContext): void {
    const given = request.argc > 2 ? request.integer(2) : SHOWN_BY_DEFAULT;
    if (request.argc > 3 || Number.isNaN(given) || given < -1) {
      reply.error('ERR count should be greater than or equal to -1');
      return;
    }
    const calls = slowLog.newest(given === -1 ? slowLog.length : given);
    reply.array(calls.length);
    for (const { id, atMs, micros, words, address, name } of calls) {
      reply.array(6);
      reply.integer(id);
      reply.integer(Math.floor(atMs / 1000));
      reply.integer(micros);
      reply.array(words.length);
      for (const word of words) reply.bulkLatin1(word);
      reply.bulkLatin1(address);
      reply.bulkLatin1(name);
    }
  }

  return {
    SLOWLOG: {
      ...GROUP,
      arity: -2,
      flags: 0,
      since: '2.2.12',
      summary: 'Tells of slow calls.',
      handler: container,
      subcommands: {
        GET: {
          ...GROUP,
          arity: -2,
          flags: ADMIN | LOADING | STALE,
          since: '2.2.12',
          tips: ['request_policy:all_nodes', 'nondeterministic_output'],
          summary: 'Lists slow calls, the newest first.',
          handler: get,
        },
        LEN: {
          ...GROUP,
          arity: 2,
          flags: ADMIN | LOADING | STALE,
          since: '2.2.12',
          tips: ['request_policy:all_nodes', 'response_policy:agg_sum', 'nondeterministic_output'],
          summary: 'Counts the calls in the log.',
          handler: ({ reply }) => reply.integer(slowLog.length),
        },
        RESET: {
          ...GROUP,
          arity: 2,
          flags: ADMIN | LOADING | STALE,
          since: '2.2.12',
          tips: ['request_policy:all_nodes', 'response_policy:all_succeeded'],
          summary: 'Empties the log.',
          handler: ({ reply }) => {
            slowLog.reset();
            reply.ok();
          },
        },
        HELP: {
          ...GROUP,
          arity: 2,
          flags: LOADING | STALE,
          since: '6.2.0',
          summary: 'Tells about the subcommands.',
          handler: (context) => replyHelp(context, 'SLOWLOG', HELP),
        },
      },
    },
  };
}
