/**
 * The log lines about a dump that was loaded, from a file or from a primary. The texts are those of
 * Redis, but for the parts that were passed over. Main thread.
 */
import { ErrorCode } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { MIB } from '../base/units.ts';
import type { LoadResult } from '../rdb/load.ts';

const MS_PER_SECOND = 1000;

export function logLoaded(log: Logger, result: LoadResult, nowMs: number): void {
  const { aux, keysLoaded, keysExpired, keysEmpty } = result;
  if (aux.redisVersion !== undefined)
    log.notice(`Loading RDB produced by version ${aux.redisVersion}`);
  if (aux.ctime !== undefined) {
    const age = Math.max(0, Math.floor(nowMs / MS_PER_SECOND) - aux.ctime);
    log.notice(`RDB age ${age} seconds`);
  }
  if (aux.usedMemoryBytes !== undefined)
    log.notice(`RDB memory usage when created ${(aux.usedMemoryBytes / MIB).toFixed(2)} Mb`);
  for (const [name, value] of aux.others) {
    // In this format, a name with a percent sign is meant for people.
    if (name.startsWith('%')) log.notice(`RDB '${name}': ${value}`);
    else log.verbose(`RDB field '${name}' is of no use here: ${value}`);
  }
  for (const { name, count } of result.skipped)
    log.notice(`RDB part of no use here was passed over: ${name} (${count} times)`);
  const empty = keysEmpty > 0 ? `, empty keys skipped: ${keysEmpty}` : '';
  log.notice(`Done loading RDB, keys loaded: ${keysLoaded}, keys expired: ${keysExpired}${empty}.`);
}

/** Redis' words for a dump that ends the start, by the code of the error; undefined for others. */
export function fatalLoadLine(code: ErrorCode): string | undefined {
  if (code === ErrorCode.SHORT || code === ErrorCode.ARENA_FULL)
    return 'Short read or OOM loading DB. Unrecoverable error, aborting now.';
  if (code === ErrorCode.UNSUPPORTED)
    return 'Unknown type or opcode when loading DB. Unrecoverable error, aborting now.';
  return undefined;
}
