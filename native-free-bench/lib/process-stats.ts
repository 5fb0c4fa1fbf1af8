/**
 * Processor time and resident memory of a server, from Linux' /proc. A server is a process and the
 * children that it forked (redis-server's snapshot), so both are counted.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { KIB } from '../../src/base/units.ts';

const TICKS_PER_SECOND = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/**
 * Fields of /proc/<pid>/stat, counted from the one behind the closing parenthesis of the command.
 */
const StatField = { PPID: 1, UTIME: 11, STIME: 12, CUTIME: 13, CSTIME: 14 } as const;

/** Returns the text of a file in /proc, or null when the process has ended. */
function readProc(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return null;
    throw error;
  }
}

function statFields(pid: number | string): number[] | null {
  const text = readProc(`/proc/${pid}/stat`);
  if (text === null) return null;
  return text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
}

/** Returns the running processes that `pid` forked. */
export function childrenOf(pid: number): number[] {
  const listed = readProc(`/proc/${pid}/task/${pid}/children`);
  if (listed !== null) return listed.split(' ').filter(Boolean).map(Number);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && statFields(name)?.[StatField.PPID] === pid)
    .map(Number);
}

/**
 * Returns the seconds of processor time so far, user and system, of `pid` and of its ended and
 * running children.
 */
export function cpuSeconds(pid: number): number {
  const own = statFields(pid);
  if (own === null) throw new Error(`process ${pid} is gone`);
  const at = (fields: number[], field: number): number => fields[field] ?? 0;
  let ticks =
    at(own, StatField.UTIME) +
    at(own, StatField.STIME) +
    at(own, StatField.CUTIME) +
    at(own, StatField.CSTIME);
  for (const child of childrenOf(pid)) {
    const fields = statFields(child);
    if (fields !== null) ticks += at(fields, StatField.UTIME) + at(fields, StatField.STIME);
  }
  return ticks / TICKS_PER_SECOND;
}

function kibField(text: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text);
  return match === null ? 0 : Number(match[1]) * KIB;
}

/** Returns the resident bytes of `pid` alone. Pages shared with a forked child count in full. */
function residentBytes(pid: number): number {
  const text = readProc(`/proc/${pid}/status`);
  if (text === null) throw new Error(`process ${pid} is gone`);
  return kibField(text, 'VmRSS');
}

/**
 * Time after which threads and allocators of a server are quiet, after its start or after it was
 * filled.
 */
const SETTLE_MS = { full: 500, smoke: 10 };

/** As {@link residentBytes}, but waits until the process is quiet. */
export async function settledResidentBytes(pid: number, smoke: boolean): Promise<number> {
  await delay(SETTLE_MS[smoke ? 'smoke' : 'full']);
  return residentBytes(pid);
}

/**
 * Returns the resident bytes of `pid` and of its forked children together. A shared page counts
 * once: this is the sum of their proportional set sizes. Without children it is the resident size.
 * The kernel walks all page tables for it (milliseconds per GB), so do not sample it more than a
 * few times per second.
 */
export function familyResidentBytes(pid: number): number {
  const children = childrenOf(pid);
  if (children.length === 0) return residentBytes(pid);
  let total = 0;
  for (const member of [pid, ...children]) {
    const text = readProc(`/proc/${member}/smaps_rollup`);
    if (text !== null) total += kibField(text, 'Pss');
  }
  return total;
}
