/**
 * Operating errors: things that happen to a correct program. Each carries a stable `code`; match on it and never on
 * the class or the message, because errors cross threads as plain data.
 */

export const ErrorCode = {
  /** Input ends before the thing that it announces. */
  SHORT: 'SHORT',
  /** Input contradicts its format. */
  CORRUPT: 'CORRUPT',
  /** Input is of a newer version than this program reads. */
  TOO_NEW: 'TOO_NEW',
  /** Input is well formed and of a kind that this program does not hold. */
  UNSUPPORTED: 'UNSUPPORTED',
  /** The arena has no segment number or no memory left. */
  ARENA_FULL: 'ARENA_FULL',
  /** Shadow pages reached `snapshot-cow-max`. */
  COW_LIMIT: 'COW_LIMIT',
  /** A job was asked to stop and did. */
  CANCELLED: 'CANCELLED',
  /** There may be one at a time, and there is one. */
  BUSY: 'BUSY',
  /** A worker thread ended while it had a job. */
  WORKER_DIED: 'WORKER_DIED',
  /** The operating system refused a read, a write, a rename. */
  IO: 'IO',
  /** Command line or configuration file cannot be used. */
  CONFIG: 'CONFIG',
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

export class OperatingError extends Error {
  override readonly name = 'OperatingError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

/** The code of anything thrown or received from another thread, or undefined when it carries none. */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  const { code } = error;
  return typeof code === 'string' ? code : undefined;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
