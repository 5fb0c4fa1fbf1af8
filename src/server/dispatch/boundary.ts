/**
 * The failure boundary around a call: it decides which errors of a handler are answered, and which
 * end the process.
 *
 *   thrown by a handler                    then
 *   -------------------------------------  -------------------------------------------------------
 *   operating error ARENA_FULL             -OOM
 *   another operating error                -ERR with its message
 *   the engine has no memory for a buffer  -OOM, when the call has changed nothing; else as below
 *   anything else: a broken assertion      a crash report, and the process ends
 *
 * A guarded call is rolled back. Another call that has already changed something makes the
 * dispatcher call `onDiverged`. A broken assertion ends the process because other threads read the
 * same memory.
 */
import { codeOf, ErrorCode, OperatingError } from '../../base/errors.ts';

export const OOM_ERROR = "OOM command not allowed when used memory > 'maxmemory'.";

/**
 * Error codes of Node.js for a buffer or string that is too large, or that the system has no memory
 * for.
 */
const TOO_LARGE: ReadonlySet<string> = new Set([
  'ERR_BUFFER_TOO_LARGE',
  'ERR_MEMORY_ALLOCATION_FAILED',
  'ERR_OUT_OF_RANGE',
  'ERR_STRING_TOO_LONG',
]);
const REFUSED_ALLOCATION =
  /^(?:Array buffer allocation failed|Invalid (?:array buffer|string|typed array) length)/;

/** The error reply for what a command threw, or undefined when the process must end. */
export function answerFor(error: unknown, hasChanged: boolean): string | undefined {
  if (error instanceof OperatingError) {
    return error.code === ErrorCode.ARENA_FULL ? OOM_ERROR : `ERR ${error.message}`;
  }
  return isRefusedMemory(error) && !hasChanged ? OOM_ERROR : undefined;
}

function isRefusedMemory(error: unknown): boolean {
  if (TOO_LARGE.has(codeOf(error) ?? '')) return true;
  return error instanceof RangeError && REFUSED_ALLOCATION.test(error.message);
}
