/**
 * How fast the host is just now. A virtual machine shares its cores with neighbours: while one of them is busy on the
 * other thread of a core, the same work takes up to twice its time there, for seconds, and nothing in /proc tells. So a
 * fixed piece of work is timed on both cores, and a measurement waits a while for both to be as fast as they have been.
 * The wait depends on the host alone, and is the same for each server.
 */
import { pause } from './scenario.ts';

const ITERATIONS = 10_000_000;
const TABLE_BYTES = 65536;
/** What takes more than this times the best is slow. */
const SLOW = 1.15;
const PATIENCE_MS = 5000;
const AGAIN_MS = 50;
const FIRST_SPINS = 8;

const table = new Uint8Array(TABLE_BYTES);
/** Of this process, and of the others: each has compiled the loop for itself. */
let bestHereMs = Number.POSITIVE_INFINITY;
let bestThereMs = Number.POSITIVE_INFINITY;

/** Does the fixed piece of work and returns its milliseconds. */
export function spin(): number {
  const startMs = performance.now();
  let x = 1;
  for (let i = 0; i < ITERATIONS; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    table[(x >>> 8) & (TABLE_BYTES - 1)]! += x;
  }
  return performance.now() - startMs;
}

/** Waits until the host is fast, here and where `spinThere` spins at the same time; returns false when patience ends. */
export async function untilFast(spinThere: () => Promise<number>): Promise<boolean> {
  if (bestHereMs === Number.POSITIVE_INFINITY)
    for (let i = 0; i < FIRST_SPINS; i++) await slowness(spinThere);
  const deadlineMs = performance.now() + PATIENCE_MS;
  while ((await slowness(spinThere)) > SLOW) {
    if (performance.now() > deadlineMs) return false;
    await pause(AGAIN_MS);
  }
  return true;
}

/** How many times the best it takes now, where it takes longer. */
async function slowness(spinThere: () => Promise<number>): Promise<number> {
  const there = spinThere();
  const hereMs = spin();
  const thereMs = await there;
  bestHereMs = Math.min(bestHereMs, hereMs);
  bestThereMs = Math.min(bestThereMs, thereMs);
  return Math.max(hereMs / bestHereMs, thereMs / bestThereMs);
}
