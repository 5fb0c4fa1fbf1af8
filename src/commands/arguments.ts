/**
 * What arguments say: integers in Redis' words of refusal, database numbers, deadlines. Main
 * thread.
 *
 * Everything here answers the error itself and then returns NaN. Beyond 2^53 numbers are rounded to
 * doubles: positions and counts of that size only have to be recognized as too big, and a deadline
 * there lies in the year 287396.
 */
import { parseInt64 } from '../base/bytes.ts';
import type { CommandContext } from './context.ts';

export const SYNTAX_ERROR = 'ERR syntax error';
export const NOT_AN_INTEGER = 'ERR value is not an integer or out of range';
const DATABASE_OUT_OF_RANGE = 'ERR DB index is out of range';

const INT_MIN = -2147483648;
const INT_MAX = 2147483647;
const INT64_MAX = 0x7fff_ffff_ffff_ffffn;
const INT64_MIN = -0x8000_0000_0000_0000n;
/** The last double that is a signed 64-bit integer. */
export const INT64_DOUBLE_MAX = 2 ** 63 - 1024;

/** Argument `index` as an integer of 64 bits, or NaN after the error has been answered. */
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
 * Argument `index` as an integer of 64 bits of which the negative is one too, or NaN after the
 * error has been answered.
 */
export function negatableArgument(context: CommandContext, index: number): number {
  const { request, reply } = context;
  const value = integerArgument(context, index);
  // The doubles of many integers are -2^63, of which one only is refused.
  if (value !== Number(INT64_MIN)) return value;
  if (parseInt64(request.bytes, request.position[index]!, request.length[index]!) !== INT64_MIN)
    return value;
  reply.error(`ERR value is out of range, value must between ${-INT64_MAX} and ${INT64_MAX}`);
  return Number.NaN;
}

/**
 * Argument `index` as a number that is kept, or NaN after the error has been answered: never so
 * great that the double is no integer of 64 bits, which a replica or a dump could not take.
 */
export function keptArgument(context: CommandContext, index: number, error?: string): number {
  return Math.min(integerArgument(context, index, error), INT64_DOUBLE_MAX);
}

/** Argument `index` as an integer of 32 bits, or NaN after the error has been answered. */
export function intArgument(context: CommandContext, index: number, error?: string): number {
  const value = integerArgument(context, index, error);
  if (Number.isNaN(value) || (value >= INT_MIN && value <= INT_MAX)) return value;
  context.reply.error(
    error ?? `ERR value is out of range, value must between ${INT_MIN} and ${INT_MAX}`,
  );
  return Number.NaN;
}

/**
 * Argument `index` as the number of a database that exists, or NaN after the error has been
 * answered.
 */
export function databaseArgument(context: CommandContext, index: number, error?: string): number {
  const dbIndex = intArgument(context, index, error);
  if (Number.isNaN(dbIndex) || databaseExists(context, dbIndex)) return dbIndex;
  context.reply.error(DATABASE_OUT_OF_RANGE);
  return Number.NaN;
}

export function databaseExists(context: CommandContext, dbIndex: number): boolean {
  return dbIndex >= 0 && dbIndex < context.server.keyspace.databases.length;
}

/** How an argument tells a time: in seconds or ms, from now or since 1970. */
export interface TimeUnit {
  readonly seconds: boolean;
  readonly relative: boolean;
}

export const SECONDS_FROM_NOW: TimeUnit = { seconds: true, relative: true };
export const MS_FROM_NOW: TimeUnit = { seconds: false, relative: true };
export const SECONDS_SINCE_1970: TimeUnit = { seconds: true, relative: false };
export const MS_SINCE_1970: TimeUnit = { seconds: false, relative: false };

/**
 * Argument `index` as a deadline in ms since 1970, or NaN after the error has been answered.
 * `mayPass` lets numbers below one through, as EXPIRE does: such a deadline has passed. `command`
 * is the name in the error.
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

/** The decimal digits of an integer that may be a double beyond 2^53, for the stream. */
export function integerText(value: number): string {
  return Number.isSafeInteger(value) ? String(value) : BigInt(value).toString();
}

/** Answers an integer that may be a double beyond 2^53. */
export function replyInteger(context: CommandContext, value: number): void {
  if (Number.isSafeInteger(value)) context.reply.integer(value);
  else context.reply.integer64(BigInt(value));
}
