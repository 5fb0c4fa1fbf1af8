/**
 * Makes it impossible for a running process to open another file, by lowering its limit (prlimit,
 * of util-linux). Clients alone cannot fill the table of descriptors, since `maxclients` is fitted
 * to the limit at the start.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

/** Descriptors that process `pid` holds. */
export function openDescriptors(pid: number): number[] {
  return readdirSync(`/proc/${pid}/fd`)
    .map(Number)
    .sort((a, b) => a - b);
}

/** Makes it impossible to open a file, even after others are closed. The hard limit stays. */
export function forbidOpening(pid: number): void {
  limit(pid, 0);
}

/** Makes it impossible to open a file until one that is open now is closed. */
export function fillTable(pid: number): void {
  const open = new Set(openDescriptors(pid));
  let lowestFree = 0;
  while (open.has(lowestFree)) lowestFree++;
  limit(pid, lowestFree);
}

/** Allows opening files again. */
export function emptyTable(pid: number, openFiles: number): void {
  limit(pid, openFiles);
}

function limit(pid: number, openFiles: number): void {
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${openFiles}:`]);
}
