/**
 * Waits for conditions instead of sleeping. The time limit only ends a broken test with a clear
 * message. No test asserts a duration.
 *
 * The limit is about time in which this process ran: while a busy machine leaves it no processor,
 * nothing can be seen, and what is awaited may have happened long ago.
 */
import { setTimeout as delay } from 'node:timers/promises';

export interface WaitOptions {
  /** What is awaited, as it completes the sentence "waited 60000 ms for …". */
  readonly what?: string;
  readonly timeoutMs?: number;
}

/** A condition is unmet while it returns one of these. */
type Unmet = false | null | undefined;

const LAST_EAGER_POLL = 20;
const POLL_MS = 5;
/** A poll that took longer counts as this long. */
const POLL_MS_MAX = 1000;

/**
 * Polls until `condition` returns something other than false, null or undefined, and returns that.
 * An error that it throws ends the wait. The first polls come at once, each after a turn of the
 * event loop, later ones every few milliseconds.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  { what = 'a condition', timeoutMs = 60_000 }: WaitOptions = {},
): Promise<Exclude<T, Unmet>> {
  let waitedMs = 0;
  let seenMs = performance.now();
  for (let polls = 0; ; polls++) {
    const value = await condition();
    if (isMet(value)) return value;
    const nowMs = performance.now();
    waitedMs += Math.min(nowMs - seenMs, POLL_MS_MAX);
    seenMs = nowMs;
    if (waitedMs > timeoutMs) throw new Error(`waited ${timeoutMs} ms for ${what}`);
    await (polls < LAST_EAGER_POLL ? new Promise(setImmediate) : delay(POLL_MS));
  }
}

function isMet<T>(value: T): value is Exclude<T, Unmet> {
  return value !== false && value !== null && value !== undefined;
}
