/**
 * Assertions: programmer errors end the process, since other threads read the same memory.
 *
 * `assert` guards entry points, transitions and arithmetic per command, page or chunk.
 * `debugAssert` guards elements and bytes, and is on in tests only (environment variable
 * HEADWATER_DEBUG=1).
 */
import { isMainThread } from 'node:worker_threads';

export class AssertionFailed extends Error {
  override readonly name = 'AssertionFailed';
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) fail(message);
}

/** True in tests. Structures then make checks that cost too much in production. */
export const debugChecks: boolean = process.env['HEADWATER_DEBUG'] === '1';

export function debugAssert(condition: unknown, message: string): asserts condition {
  if (debugChecks && !condition) fail(message);
}

export function onMainThread(): boolean {
  return isMainThread;
}

/**
 * For the `default` of a switch over a closed table. It does not compile while a member is
 * unhandled.
 */
export function unreachable(value: never): never {
  return fail(`unreachable: ${String(value)}`);
}

function fail(message: string): never {
  throw new AssertionFailed(message);
}
