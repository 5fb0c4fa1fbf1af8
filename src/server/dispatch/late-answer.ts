/**
 * The answer to a command that has waited and is not called again: on a timeout, for replicas, for
 * a disk. It comes outside of any call, so this does what the dispatcher does with a call's answer.
 */
import type { Reply } from '../../resp/reply.ts';
import type { Session } from './session.ts';

/** Where errors are counted. */
export interface ErrorCounter {
  noteError(error: string): void;
}

/**
 * Lets `write` answer the waiting command of `session`. An error counts as the command's failure,
 * and an answer that the client does not want is taken back. The caller sends it and lets the
 * client go on.
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
