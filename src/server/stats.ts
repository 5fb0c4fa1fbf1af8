/**
 * Counters of a node since its start, as INFO shows them. Plain fields: the hot path increments
 * them.
 */
import type { KeyspaceStats } from '../commands/ports.ts';

export const ERROR_CODES_MAX = 128;
/** A longer first word is none; the error counts as ERR. */
const CODE_CHARS_MAX = 32;
const ERRORS_DISABLED = 'ERRORSTATS_DISABLED';

export class ServerStats implements KeyspaceStats {
  keyspaceHits = 0;
  keyspaceMisses = 0;
  expiredKeys = 0;
  evictedKeys = 0;
  /** Clients that ended because of `maxmemory-clients`. */
  evictedClients = 0;
  connectionsReceived = 0;
  connectionsRejected = 0;
  commandsProcessed = 0;
  netInputBytes = 0;
  netOutputBytes = 0;
  netReplOutputBytes = 0;
  netReplInputBytes = 0;
  syncFull = 0;
  syncPartialOk = 0;
  syncPartialErr = 0;
  errorReplies = 0;
  /** Errors of commands that a primary has streamed. */
  unexpectedErrorReplies = 0;
  outputLimitDisconnections = 0;
  /** Links that ended because the replica sent a command that is answered. */
  linksEnded = 0;
  queryLimitDisconnections = 0;
  /** Wrong passwords and unknown users. */
  aclDeniedAuth = 0;
  /** Reads and writes of sockets, for total_reads_processed and total_writes_processed. */
  readsProcessed = 0;
  writesProcessed = 0;
  /** Expiry cycles that ended for lack of time. */
  expireCyclesCut = 0;
  /**
   * Errors by their first word, for INFO errorstats; at most ERROR_CODES_MAX. Beyond that it has
   * ERRORSTATS_DISABLED alone, until it is reset.
   */
  readonly errorsByCode = new Map<string, number>();

  /** Counts an error by its first word. Returns false when this word was one too many. */
  noteError(error: string): boolean {
    this.errorReplies++;
    const { errorsByCode } = this;
    if (errorsByCode.has(ERRORS_DISABLED)) return true;
    const space = error.indexOf(' ');
    const hasCode = space > 0 && space < CODE_CHARS_MAX;
    const code = hasCode ? error.slice(0, space) : 'ERR';
    const count = errorsByCode.get(code);
    if (count === undefined && errorsByCode.size >= ERROR_CODES_MAX) return false;
    errorsByCode.set(code, (count ?? 0) + 1);
    return true;
  }

  /** Forgets the errors by their words, and counts none until {@link reset}. */
  stopErrorCodes(): void {
    this.errorsByCode.clear();
    this.errorsByCode.set(ERRORS_DISABLED, 1);
  }

  reset(): void {
    Object.assign(this, new ServerStats());
    this.errorsByCode.clear();
  }
}
