/** Commands about dumps and the end of the node: SAVE, BGSAVE, LASTSAVE, BGREWRITEAOF, SHUTDOWN. */

import { codeOf, ErrorCode } from '../../base/errors.ts';
import { SYNTAX_ERROR } from '../../commands/arguments.ts';
import type { CommandContext } from '../../commands/context.ts';
import { type CommandTable, Flag, NO_KEYS } from '../../commands/spec.ts';
import { answerLate, type ErrorCounter } from '../dispatch/late-answer.ts';
import { Connection } from '../net/connection.ts';
import type { AppendOnly } from './aof/append-only.ts';
import { ALREADY_SAVING, type Persistence } from './persistence.ts';
import { SHUTDOWN_FAILED, type Shutdown, type ShutdownFlags } from './shutdown.ts';

const ALREADY_REWRITING =
  "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a " +
  'BGSAVE whenever possible.';

export function snapshotCommands(
  server: ErrorCounter,
  persistence: Persistence,
  appendOnly: AppendOnly,
  shutdown: Shutdown,
): CommandTable {
  function save(context: CommandContext): void {
    const { client, reply } = context;
    if (!(client instanceof Connection) || persistence.refusesSaves) {
      reply.error(ALREADY_SAVING);
      return;
    }
    const ended = persistence.save();
    // The client waits, as it would for a server that saves before it does anything else.
    client.blocked = true;
    ended.then((end) => {
      if (client.closed) return;
      answerLate(server, client, (late) => {
        if (end === 'saved') late.ok();
        else late.error('ERR');
      });
      client.resume();
    });
  }

  function bgsave(context: CommandContext): void {
    const { request, reply } = context;
    const schedule = request.argc === 2 && request.latin1(1).toLowerCase() === 'schedule';
    if (request.argc > 1 && !schedule) {
      reply.error(SYNTAX_ERROR);
    } else if (persistence.isRewriting && !schedule && !context.inUnit) {
      reply.error(ALREADY_REWRITING);
    } else if (persistence.refusesSaves && !persistence.isRewriting) {
      reply.error(ALREADY_SAVING);
    } else if (context.inUnit || persistence.isRewriting) {
      // The effects of the transaction so far are not in the stream yet.
      persistence.scheduled = true;
      reply.simple('Background saving scheduled');
    } else {
      try {
        persistence.bgsave();
        reply.simple('Background saving started');
      } catch (error) {
        if (codeOf(error) !== ErrorCode.CANCELLED) throw error;
        reply.error('ERR');
      }
    }
  }

  function lastsave(context: CommandContext): void {
    context.reply.integer(persistence.lastSaveSeconds);
  }

  function bgrewriteaof(context: CommandContext): void {
    const { reply } = context;
    if (!appendOnly.isOn) {
      reply.error('ERR headwater writes no append only file: set appendonly yes');
    } else if (appendOnly.isRewriting) {
      reply.error('ERR Background append only file rewriting already in progress');
    } else if (context.inUnit) {
      // The effects of the transaction so far are not in the stream yet.
      appendOnly.scheduled = true;
      reply.simple('Background append only file rewriting scheduled');
    } else {
      const begins = appendOnly.rewriteSoon();
      reply.simple(`Background append only file rewriting ${begins ? 'started' : 'scheduled'}`);
    }
  }

  function shutdownCommand(context: CommandContext): void {
    const { request, reply, client } = context;
    const words = new Set<string>();
    for (let i = 1; i < request.argc; i++) words.add(request.latin1(i).toLowerCase());
    const flags: ShutdownFlags = {
      save: words.has('save'),
      nosave: words.has('nosave'),
      now: words.has('now'),
      force: words.has('force'),
    };
    const abort = words.delete('abort');
    for (const word of Object.keys(flags)) words.delete(word);
    const others = flags.save || flags.nosave || flags.now || flags.force;
    if (words.size > 0 || (flags.save && flags.nosave) || (abort && others)) {
      reply.error(SYNTAX_ERROR);
    } else if (abort) {
      if (shutdown.abort()) reply.ok();
      else reply.error('ERR No shutdown in progress.');
    } else if (!(client instanceof Connection)) {
      reply.error("ERR SHUTDOWN without NOW or ABORT isn't allowed for DENY BLOCKING client");
    } else {
      client.blocked = true;
      shutdown.begin(flags, client, () => {
        if (client.closed) return;
        answerLate(server, client, (late) => late.error(SHUTDOWN_FAILED));
        client.resume();
      });
    }
  }

  const admin = Flag.ADMIN | Flag.NOSCRIPT;
  return {
    SAVE: {
      arity: 1,
      flags: admin | Flag.NO_ASYNC_LOADING | Flag.NO_MULTI,
      keys: NO_KEYS,
      since: '1.0.0',
      group: 'server',
      categories: ['admin', 'dangerous'],
      summary: 'Writes the dump file and answers when it is on disk.',
      handler: save,
    },
    BGSAVE: {
      arity: -1,
      flags: admin | Flag.NO_ASYNC_LOADING,
      keys: NO_KEYS,
      since: '1.0.0',
      group: 'server',
      categories: ['admin', 'dangerous'],
      summary: 'Writes the dump file in the background.',
      handler: bgsave,
    },
    LASTSAVE: {
      arity: 1,
      flags: Flag.LOADING | Flag.STALE | Flag.FAST,
      keys: NO_KEYS,
      since: '1.0.0',
      group: 'server',
      categories: ['admin', 'dangerous'],
      tips: ['nondeterministic_output'],
      summary: 'Tells when the dump file was last written.',
      handler: lastsave,
    },
    BGREWRITEAOF: {
      arity: 1,
      flags: admin | Flag.NO_ASYNC_LOADING,
      keys: NO_KEYS,
      since: '1.0.0',
      group: 'server',
      categories: ['admin', 'dangerous'],
      summary: 'Writes the append only file anew in the background.',
      handler: bgrewriteaof,
    },
    SHUTDOWN: {
      arity: -1,
      flags: admin | Flag.LOADING | Flag.STALE | Flag.NO_MULTI | Flag.ALLOW_BUSY,
      keys: NO_KEYS,
      since: '1.0.0',
      group: 'server',
      categories: ['admin', 'dangerous'],
      summary: 'Writes the dump file when there are save points, and ends the server.',
      handler: shutdownCommand,
    },
  } satisfies CommandTable;
}
