/** The file that holds the process id while the process runs: `pidfile`. */
import { rmSync, writeFileSync } from 'node:fs';
import { systemErrorText } from '../../../base/errors.ts';

/**
 * Writes `pid` to the file, and removes it when the process exits. Returns the reason of a failure, or null.
 */
export function keepPidFile(path: string, pid: number): string | null {
  try {
    writeFileSync(path, `${pid}\n`);
  } catch (error) {
    return systemErrorText(error);
  }
  process.once('exit', () => rmSync(path, { force: true }));
  return null;
}
