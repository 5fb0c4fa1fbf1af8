/**
 * Reads arguments: integers, database numbers, deadlines. Main thread.
 *
 * After bad input these functions answer Redis' error and return NaN. Numbers beyond 2^53 are
 * rounded to doubles. This is exact enough: a position or count of that size is only compared with
 * a limit, and such a deadline lies in the year 287396.
 */
import { parseInt64 } from '../base/bytes.ts';
import { INT64_DOUBLE_MAX } from '../base/units.ts';
import type { CommandContext } from './context.ts';

export const SYNTAX_ERROR = 'ERR syntax error';
export const NOT_AN_INTEGER = 'ERR value is not an integer or out of range';
export const DATABASE_OUT_OF_RANGE = 'ERR DB index is out of range';

const INT_MIN = -2147483648;
const INT_MAX = 2147483647;
const INT64_MAX = 0x7fff_ffff_ffff_ffffn;
const INT64_MIN = -0x8000_0000_0000_0000n;

/** Returns argument `index` as a 64-bit integer, or NaN after an error reply. */
export function integerArgument(
  context: CommandContext,
  index: number,
  error = NOT_AN_INTEGER,
): number {
  const { request } = context;
  const value = request.integer(index);
  if (!Number.isNaN(value)) return value;
  const big = parseInt64(request.bytes, request.position[index]!, request.length[index]!);
  if (big !== undefined) return Number(big);
  context.reply.error(error);
  return Number.NaN;
}

/**
 * Returns argument `index` as a 64-bit integer whose negative is a 64-bit integer, too, or NaN
 * after an error reply.
 */
export function negatableArgument(context: CommandContext, index: number): number {
  const { request, reply } = context;
  const value = integerArgument(context, index);
  // Many integers round to the double -2^63. Only -2^63 itself is refused.
  if (value !== Number(INT64_MIN)) return value;
  if (parseInt64(request.bytes, request.position[index]!, request.length[index]!) !== INT64_MIN)
    return value;
  reply.error(`ERR value is out of range, value must between ${-INT64_MAX} and ${INT64_MAX}`);
  return Number.NaN;
}

/**
 * Returns argument `index` as a number that will be stored, or NaN after an error reply. It is
 * limited to {@link INT64_DOUBLE_MAX}, since replicas and dumps take only 64-bit integers.
 */
export function keptArgument(context: CommandContext, index: number, error?: string): number {
  return Math.min(integerArgument(context, index, error), INT64_DOUBLE_MAX);
}

/** Returns argument `index` as a 32-bit integer, or NaN after an error reply. */
export function intArgument(context: CommandContext, index: number, error?: string): number {
  const value = integerArgument(context, index, error);
  if (Number.isNaN(value) || (value >= INT_MIN && value <= INT_MAX)) return value;
  context.reply.error(
    error ?? `ERR value is out of range, value must between ${INT_MIN} and ${INT_MAX}`,
  );
  return Number.NaN;
}

/** Returns argument `index` as the number of an existing database, or NaN after an error reply. */
export function databaseArgument(context: CommandContext, index: number, error?: string): number {
  const dbIndex = intArgument(context, index, error);
  if (Number.isNaN(dbIndex) || databaseExists(context, dbIndex)) return dbIndex;
  context.reply.error(DATABASE_OUT_OF_RANGE);
  return Number.NaN;
}

export function databaseExists(context: CommandContext, dbIndex: number): boolean {
  return dbIndex >= 0 && dbIndex < context.server.keyspace.databases.length;
}

/** The unit of a time argument: seconds or ms, from now or since 1970. */
export interface TimeUnit {
  readonly seconds: boolean;
  readonly relative: boolean;
}

export const SECONDS_FROM_NOW: TimeUnit = { seconds: true, relative: true };
export const MS_FROM_NOW: TimeUnit = { seconds: false, relative: true };
export const SECONDS_SINCE_1970: TimeUnit = { seconds: true, relative: false };
export const MS_SINCE_1970: TimeUnit = { seconds: false, relative: false };

/**
 * Returns argument `index` as a deadline in ms since 1970, or NaN after an error reply. With
 * `mayPass`, numbers below one are accepted, as in EXPIRE: such a deadline has already passed.
 * `command` is the name in the error.
 */
export function deadlineArgument(
  context: CommandContext,
  index: number,
  unit: TimeUnit,
  mayPass: boolean,
  command: string,
): number {
  const { request, reply } = context;
  const base = unit.relative ? context.server.nowMs : 0;
  const small = request.integer(index);
  const deadline = (unit.seconds ? small * 1000 : small) + base;
  if (Number.isSafeInteger(deadline)) {
    if (mayPass || small > 0) return deadline;
  } else {
    const big = parseInt64(request.bytes, request.position[index]!, request.length[index]!);
    if (big === undefined) {
      reply.error(NOT_AN_INTEGER);
      return Number.NaN;
    }
    const ms = unit.seconds ? big * 1000n : big;
    const sum = ms + BigInt(base);
    const fits = ms >= INT64_MIN && ms <= INT64_MAX && sum <= INT64_MAX;
    if (fits && (mayPass || big > 0n)) return Math.min(Number(sum), INT64_DOUBLE_MAX);
  }
  reply.error(`ERR invalid expire time in '${command}' command`);
  return Number.NaN;
}

/** Returns the decimal digits of an integer, which may be a double beyond 2^53. For the stream. */
export function integerText(value: number): string {
  return Number.isSafeInteger(value) ? String(value) : BigInt(value).toString();
}

/** Answers an integer, which may be a double beyond 2^53. */
export function replyInteger(context: CommandContext, value: number): void {
  if (Number.isSafeInteger(value)) context.reply.integer(value);
  else context.reply.integer64(BigInt(value));
}
