/** Deadlines that have already passed, as EXPIRE and GETEX may set them. Main thread. */
import type { Ref } from '../../base/units.ts';
import type { CommandContext } from '../context.ts';
import { EventClass } from '../ports.ts';

/**
 * Returns whether a new deadline deletes the key at once. Never on a replica, since the primary
 * decides about expiry.
 */
export function alreadyExpired(context: CommandContext, deadlineMs: number): boolean {
  return (
    deadlineMs <= context.server.nowMs &&
    context.server.deletesExpired &&
    !context.client.fromPrimary
  );
}

/** Deletes the key in argument 1, whose entry is `entry`. The stream carries the deletion. */
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
