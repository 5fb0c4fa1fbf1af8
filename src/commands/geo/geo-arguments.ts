/**
 * Reads places, distances and units from arguments, with Redis' error texts, and answers places.
 * Main thread.
 */
import { parseFloat64 } from '../../base/bytes.ts';
import { LATITUDE_MAX, LONGITUDE_MAX, type Place } from '../../base/geohash.ts';
import { formatLongDouble } from '../../base/long-double.ts';
import type { CommandContext } from '../context.ts';
import { NOT_A_FLOAT } from '../zset/value.ts';

const FIXED_DIGITS_MAX = 1e21;

/** Returns argument `index` as a number, or NaN after an error reply. */
export function floatArgument(context: CommandContext, index: number, error = NOT_A_FLOAT): number {
  const { request, reply } = context;
  const value = parseFloat64(request.bytes, request.position[index]!, request.length[index]!);
  if (value !== undefined) return value;
  reply.error(error);
  return Number.NaN;
}

/**
 * Reads longitude and latitude from argument `index` and the next one into `place`. Returns false
 * after an error reply.
 */
export function placeArgument(context: CommandContext, index: number, place: Place): boolean {
  place.longitude = floatArgument(context, index);
  if (Number.isNaN(place.longitude)) return false;
  place.latitude = floatArgument(context, index + 1);
  if (Number.isNaN(place.latitude)) return false;
  if (Math.abs(place.longitude) <= LONGITUDE_MAX && Math.abs(place.latitude) <= LATITUDE_MAX)
    return true;
  const pair = `${sixDigits(place.longitude)},${sixDigits(place.latitude)}`;
  context.reply.error(`ERR invalid longitude,latitude pair ${pair}`);
  return false;
}

/** Returns the meters of the unit in argument `index`, or NaN after an error reply. */
export function unitArgument(context: CommandContext, index: number): number {
  const { request, reply } = context;
  if (request.equalsIgnoreCase(index, 'M')) return 1;
  if (request.equalsIgnoreCase(index, 'KM')) return 1000;
  if (request.equalsIgnoreCase(index, 'FT')) return 0.3048;
  if (request.equalsIgnoreCase(index, 'MI')) return 1609.34;
  reply.error('ERR unsupported unit provided. please use M, KM, FT, MI');
  return Number.NaN;
}

/** Prints a number as printf's "%f" does. */
function sixDigits(value: number): string {
  if (!Number.isFinite(value)) return value < 0 ? '-inf' : 'inf';
  return Math.abs(value) < FIXED_DIGITS_MAX ? value.toFixed(6) : `${BigInt(value)}.000000`;
}

export function replyDistance(context: CommandContext, value: number): void {
  context.reply.bulkLatin1(value.toFixed(4));
}

export function replyPlace(context: CommandContext, place: Place): void {
  const { reply } = context;
  reply.array(2);
  reply.doubleText(formatLongDouble(place.longitude));
  reply.doubleText(formatLongDouble(place.latitude));
}
