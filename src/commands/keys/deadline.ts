/** Deadlines that have passed already: what EXPIRE and GETEX make of them. Main thread. */
import type { Ref } from '../../base/units.ts';
import type { CommandContext } from '../context.ts';
import { EventClass } from '../ports.ts';

/**
 * Whether a new deadline deletes the key at once. Not on a replica, where the primary decides what
 * expires.
 */
export function alreadyExpired(context: CommandContext, deadlineMs: number): boolean {
  return (
    deadlineMs <= context.server.nowMs &&
    context.server.deletesExpired &&
    !context.client.fromPrimary
  );
}

/** Deletes the key in argument 1, whose entry this is; that is what the stream carries then. */
export function deleteInstead(context: CommandContext, entry: Ref): void {
  const { request } = context;
  context.removeEntry(entry);
  context.replicateAs(
    context.server.settings.lazyfreeLazyExpire ? 'UNLINK' : 'DEL',
    request.copy(1),
  );
  context.changed(1);
  context.notify(EventClass.GENERIC, 'del', 1);
}
