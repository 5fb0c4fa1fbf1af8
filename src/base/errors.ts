/**
 * Operating errors: errors that a correct program can meet. Each has a stable `code`. Match on the
 * code, never on the class or the message, because errors cross threads as plain data.
 */

export const ErrorCode = {
  /** Input ends before the data that it announces. */
  SHORT: 'SHORT',
  /** Input contradicts its format. */
  CORRUPT: 'CORRUPT',
  /** Input is of a newer version than this program reads. */
  TOO_NEW: 'TOO_NEW',
  /** Input is well formed, but of a kind that this program does not support. */
  UNSUPPORTED: 'UNSUPPORTED',
  /** The arena has no segment number or no memory left. */
  ARENA_FULL: 'ARENA_FULL',
  /** Shadow pages reached `snapshot-cow-max`. */
  COW_LIMIT: 'COW_LIMIT',
  /** A job was asked to stop and did. */
  CANCELLED: 'CANCELLED',
  /** Only one may run at a time, and one is running. */
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

/** The code of a value that was thrown or received from another thread; undefined without one. */
export function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  const { code } = error;
  return typeof code === 'string' ? code : undefined;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const REFUSED_ALLOCATION =
  /^(?:Array buffer allocation failed|WebAssembly\.Memory\.grow\(\): Unable to grow)/;

/** The system has refused the engine memory for a buffer, or for that of a WebAssembly instance. */
export function isRefusedAllocation(error: unknown): boolean {
  return error instanceof RangeError && REFUSED_ALLOCATION.test(error.message);
}

/** The C library's words for errors of the system, as Redis prints them. */
const SYSTEM_WORDS: Readonly<Record<string, string>> = {
  EACCES: 'Permission denied',
  EADDRINUSE: 'Address already in use',
  EADDRNOTAVAIL: 'Cannot assign requested address',
  EAFNOSUPPORT: 'Address family not supported by protocol',
  EBADF: 'Bad file descriptor',
  ECONNABORTED: 'Software caused connection abort',
  ECONNRESET: 'Connection reset by peer',
  EDQUOT: 'Disk quota exceeded',
  EEXIST: 'File exists',
  EFBIG: 'File too large',
  EIO: 'Input/output error',
  EISDIR: 'Is a directory',
  EMFILE: 'Too many open files',
  ENAMETOOLONG: 'File name too long',
  ENFILE: 'Too many open files in system',
  ENOBUFS: 'No buffer space available',
  ENOENT: 'No such file or directory',
  ENOMEM: 'Cannot allocate memory',
  ENOSPC: 'No space left on device',
  ENOTDIR: 'Not a directory',
  EPERM: 'Operation not permitted',
  EPIPE: 'Broken pipe',
  EROFS: 'Read-only file system',
  ETIMEDOUT: 'Connection timed out',
};

/** The C library's words for an error of the system. Rethrows an error that has no code. */
export function systemErrorText(error: unknown): string {
  const code = codeOf(error);
  if (code === undefined) throw error;
  return SYSTEM_WORDS[code] ?? messageOf(error);
}

/** The C library's words for an error code of the system; the code itself if it is unknown. */
export const systemWords = (code: string): string => SYSTEM_WORDS[code] ?? code;

/** The process, or the system, has no room for another open file. */
export function isTableFull(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'EMFILE' || code === 'ENFILE';
}
