/**
 * The end of a task, passed between threads as plain data.
 *
 * Structured clone keeps an Error's message and drops its `code`, so a worker entry wraps its work
 * in `asTask` and returns an outcome, which the pool turns back into a value or an error on the
 * main thread:
 *
 *   worker                           outcome                                 main
 *   returns r                     -> { kind: RESULT, result: r }          -> r
 *   throws OperatingError         -> { kind: OPERATING, code, message }   -> OperatingError,
 *                                                                            with the same code
 *   has no memory for a buffer    -> { kind: OPERATING, ARENA_FULL, … }   -> OperatingError
 *   throws anything else          -> { kind: PROGRAMMER, message, stack } -> AssertionFailed
 *   ends (exit, uncaught, memory)    none                                 -> OperatingError
 *                                                                            WORKER_DIED
 *
 * {@link COLLECT} is a task of every entry: the thread runs V8's collection, so that dead shared
 * memory of its last tasks goes back to the system.
 *
 * Separate from pool.ts, so that a worker does not load piscina to report its end.
 */
import { AssertionFailed, unreachable } from '../base/assert.ts';
import { collectAtOnce } from '../base/collection.ts';
import {
  codeOf,
  ErrorCode,
  isRefusedAllocation,
  messageOf,
  OperatingError,
} from '../base/errors.ts';

export const OutcomeKind = { RESULT: 0, OPERATING: 1, PROGRAMMER: 2 } as const;

export type Outcome<Result> =
  | { readonly kind: typeof OutcomeKind.RESULT; readonly result: Result }
  | {
      readonly kind: typeof OutcomeKind.OPERATING;
      readonly code: ErrorCode;
      readonly message: string;
    }
  | {
      readonly kind: typeof OutcomeKind.PROGRAMMER;
      readonly message: string;
      readonly stack: string;
    };

/** The task that collects. */
export const COLLECT = { collects: true } as const;

const isCollect = (task: unknown): boolean =>
  typeof task === 'object' && task !== null && (task as Partial<typeof COLLECT>).collects === true;

/** The `runTask` that an entry exports: runs `work` and reports its end. */
export function asTask<Task, Result>(
  work: (task: Task) => Result | Promise<Result>,
): (task: Task | typeof COLLECT) => Promise<Outcome<Result | undefined>> {
  return async (task) => {
    if (isCollect(task)) {
      collectAtOnce();
      return { kind: OutcomeKind.RESULT, result: undefined };
    }
    try {
      return { kind: OutcomeKind.RESULT, result: await work(task as Task) };
    } catch (error) {
      const code = codeOf(error);
      const message = messageOf(error);
      if (isErrorCode(code)) return { kind: OutcomeKind.OPERATING, code, message };
      // What a task has made until then is its own: nobody else reads it.
      if (isRefusedAllocation(error)) {
        const reason = `the system refuses memory: ${message}`;
        return { kind: OutcomeKind.OPERATING, code: ErrorCode.ARENA_FULL, message: reason };
      }
      return {
        kind: OutcomeKind.PROGRAMMER,
        message,
        stack: error instanceof Error ? (error.stack ?? message) : message,
      };
    }
  };
}

/** The result of an outcome; throws the error of a failed one. */
export function resultOf<Result>(outcome: Outcome<Result>, duty: string): Result {
  switch (outcome.kind) {
    case OutcomeKind.RESULT:
      return outcome.result;
    case OutcomeKind.OPERATING:
      throw new OperatingError(outcome.code, outcome.message);
    case OutcomeKind.PROGRAMMER: {
      const failure = new AssertionFailed(`${duty} worker: ${outcome.message}`);
      failure.cause = outcome.stack;
      throw failure;
    }
    default:
      return unreachable(outcome);
  }
}

function isErrorCode(code: string | undefined): code is ErrorCode {
  return code !== undefined && Object.hasOwn(ErrorCode, code);
}
