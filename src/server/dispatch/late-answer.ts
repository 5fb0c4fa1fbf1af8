/**
 * The answer to a command that has waited for something else than a key: time that is up, replicas,
 * a disk. It comes outside of any call, so what the dispatcher does with the answer of a call is
 * done here.
 */
import type { Reply } from '../../resp/reply.ts';
import type { Session } from './session.ts';

/** Where errors are counted. */
export interface ErrorCounter {
  noteError(error: string): void;
}

/**
 * Lets `write` answer the command of `session` that waits: an error counts as the command's
 * failure, and an answer that the client does not want is taken back. Sending it and going on are
 * the caller's.
 */
export function answerLate(
  server: ErrorCounter,
  session: Session,
  write: (reply: Reply) => void,
): void {
  const { reply, lastRow } = session;
  const mark = reply.mark();
  write(reply);
  if (reply.errors !== reply.errorsNoted) {
    reply.errorsNoted = reply.errors;
    if (lastRow !== undefined) lastRow.failedCalls++;
    server.noteError(reply.lastError);
  }
  session.takeBack(mark);
}
