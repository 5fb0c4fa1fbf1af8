/**
 * Whether the limit of the process's address space (`ulimit -v`) leaves room for another thread.
 *
 * V8 reserves some hundred MiB of addresses for the heap and the code of a thread, and ends the
 * whole process when the system refuses them. So a thread is not even started then. Main thread.
 */
import { readFileSync } from 'node:fs';
import { codeOf } from '../base/errors.ts';
import { KIB, MIB } from '../base/units.ts';

/**
 * A thread takes 324 MiB of addresses with Node.js 20, and 100 more for a moment. The rest is for
 * what this thread takes while the other one starts.
 */
const THREAD_ADDRESS_BYTES = 2048 * MIB;

/** True where the limit, or what is used of it, cannot be found. */
export function hasRoomForThread(): boolean {
  try {
    return roomLeft(procFile('limits'), procFile('status')) >= THREAD_ADDRESS_BYTES;
  } catch (error) {
    // No /proc, or no room for an open file.
    if (codeOf(error) === undefined) throw error;
    return true;
  }
}

/** Bytes of addresses that are left, by /proc/self/limits and /proc/self/status; maybe Infinity. */
export function roomLeft(limits: string, status: string): number {
  const limit = /^Max address space\s+(\d+)/m.exec(limits)?.[1];
  const used = /^VmSize:\s+(\d+) kB/m.exec(status)?.[1];
  if (limit === undefined || used === undefined) return Number.POSITIVE_INFINITY;
  return Number(limit) - Number(used) * KIB;
}

const procFile = (name: string): string => readFileSync(`/proc/self/${name}`, 'latin1');
