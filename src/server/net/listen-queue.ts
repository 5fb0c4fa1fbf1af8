/** The kernel's limit of `tcp-backlog`. */
import { readFileSync } from 'node:fs';
import { systemErrorText } from '../../base/errors.ts';

const LIMIT_FILE = '/proc/sys/net/core/somaxconn';

/** The warning that the kernel cuts a queue of `backlog` connections short, or null. */
export function shortQueueWarning(backlog: number, file = LIMIT_FILE): string | null {
  let limit: number;
  try {
    limit = Number.parseInt(readFileSync(file, 'latin1'), 10);
  } catch (error) {
    // Throws again unless it is an error of the file system: other systems have no such file.
    systemErrorText(error);
    return null;
  }
  if (!(limit > 0 && limit < backlog)) return null;
  return `WARNING: The TCP backlog setting of ${backlog} cannot be enforced because ${LIMIT_FILE} is set to the lower value of ${limit}.`;
}
