/**
 * Geohashes as in Redis: a place on earth as an integer of 52 bits. A double can hold it, and a
 * sorted set can order it.
 *
 *   cell      column and row of a grid of 2^step by 2^step, west to east and south to north
 *   bits      … c1 r1 c0 r0        the bits of both, interleaved; a cell of fewer steps is a range
 *                                  of cells of more steps
 *
 * The grid ends at 85.05 degrees north and south, as on Mercator maps. No state, any thread. Uses
 * halves of 26 bits; bigint only for scores that are not a geohash. Behaviour is that of Redis'
 * geohash.c and geohash_helper.c.
 */
import { exactArcsine, exactCosine, exactSine } from './exact-trigonometry.ts';

export const LONGITUDE_MAX = 180;
export const LATITUDE_MAX = 85.05112878;
export const STEP_MAX = 26;

const HALF_BITS = 13;
const HALF_MASK = (1 << HALF_BITS) - 1;
const TWO_26 = 2 ** 26;
const TWO_52 = 2 ** 52;
const TWO_63 = 2 ** 63;
const TWO_64 = 2 ** 64;
const EARTH_RADIUS_METERS = 6372797.560856;
const RADIANS_PER_DEGREE = Math.PI / 180;

const radians = (degrees: number): number => degrees * RADIANS_PER_DEGREE;
const degrees = (angle: number): number => angle / RADIANS_PER_DEGREE;
/** The degrees of latitude that a distance spans. */
export const latitudeDegrees = (meters: number): number => degrees(meters / EARTH_RADIUS_METERS);
/** Degrees of longitude that a distance spans at a latitude. */
export const longitudeDegrees = (meters: number, latitude: number): number =>
  degrees(meters / EARTH_RADIUS_METERS / Math.cos(radians(latitude)));

/** A place in degrees. */
export class Place {
  longitude = 0;
  latitude = 0;
}

/** Sets bit 2i to bit i of `value`, which has up to 16 bits. */
function spread(value: number): number {
  let v = value;
  v = (v | (v << 8)) & 0x00ff00ff;
  v = (v | (v << 4)) & 0x0f0f0f0f;
  v = (v | (v << 2)) & 0x33333333;
  return (v | (v << 1)) & 0x55555555;
}

/** Sets bit i to bit 2i of `value`. */
function gather(value: number): number {
  let v = value & 0x55555555;
  v = (v | (v >>> 1)) & 0x33333333;
  v = (v | (v >>> 2)) & 0x0f0f0f0f;
  v = (v | (v >>> 4)) & 0x00ff00ff;
  return (v | (v >>> 8)) & 0x0000ffff;
}

/** The bits of a cell, whose column and row have up to 26 bits. */
export function interleave(column: number, row: number): number {
  const high = (spread(column >>> HALF_BITS) << 1) | spread(row >>> HALF_BITS);
  const low = (spread(column & HALF_MASK) << 1) | spread(row & HALF_MASK);
  return high * TWO_26 + low;
}

/** Column or row of a coordinate in a grid of 2^step over ±max. */
export function cellOf(coordinate: number, max: number, step: number): number {
  // The upper edge itself gives one beyond the last, as in Redis, where the conversion to 32 bits
  // cuts it off, or nothing does.
  return Math.floor(((coordinate + max) / (2 * max)) * 2 ** step);
}

/** The westerly or southerly edge of a column or row. */
export function edgeOf(cell: number, max: number, step: number): number {
  return -max + (cell / 2 ** step) * (2 * max);
}

/** The score of a place within the grid. */
export function encodePlace(longitude: number, latitude: number): number {
  return interleave(
    cellOf(longitude, LONGITUDE_MAX, STEP_MAX),
    cellOf(latitude, LATITUDE_MAX, STEP_MAX),
  );
}

/** Sets `place` to the middle of the cell of any score. */
export function decodePlace(score: number, place: Place): void {
  let column: number;
  let row: number;
  if (score >= 0 && score < TWO_52) {
    const high = Math.floor(score / TWO_26);
    const low = Math.floor(score) % TWO_26;
    column = (gather(high >>> 1) << HALF_BITS) | gather(low >>> 1);
    row = (gather(high) << HALF_BITS) | gather(low);
  } else {
    const bits = integerBits(score);
    const high = Number(bits >> 32n) | 0;
    const low = Number(bits & 0xffffffffn) | 0;
    column = ((gather(high >>> 1) << 16) | gather(low >>> 1)) >>> 0;
    row = ((gather(high) << 16) | gather(low)) >>> 0;
  }
  place.longitude = clamped(middle(column, LONGITUDE_MAX), LONGITUDE_MAX);
  place.latitude = clamped(middle(row, LATITUDE_MAX), LATITUDE_MAX);
}

function middle(cell: number, max: number): number {
  return (edgeOf(cell, max, STEP_MAX) + edgeOf((cell + 1) >>> 0, max, STEP_MAX)) / 2;
}

const clamped = (coordinate: number, max: number): number =>
  Math.max(-max, Math.min(max, coordinate));

/**
 * The 64 bits that x86 makes when it converts a double beyond 52 bits, or below zero, to an
 * unsigned integer.
 */
function integerBits(score: number): bigint {
  if (score >= TWO_64) return 0n;
  if (score < -TWO_63) return 1n << 63n;
  return BigInt.asUintN(64, BigInt(Math.trunc(score)));
}

/** Meters between two places, along a great circle (haversine). */
export function distance(
  longitude1: number,
  latitude1: number,
  longitude2: number,
  latitude2: number,
): number {
  return haversine(longitude1, latitude1, longitude2, latitude2, Math.sin, Math.cos, Math.asin);
}

/**
 * The same, nearly always exact to the last digit, for distances that are stored. Takes some 50
 * microseconds.
 */
export function exactDistance(
  longitude1: number,
  latitude1: number,
  longitude2: number,
  latitude2: number,
): number {
  return haversine(
    longitude1,
    latitude1,
    longitude2,
    latitude2,
    exactSine,
    exactCosine,
    exactArcsine,
  );
}

function haversine(
  longitude1: number,
  latitude1: number,
  longitude2: number,
  latitude2: number,
  sine: (angle: number) => number,
  cosine: (angle: number) => number,
  arcsine: (sine: number) => number,
): number {
  const v = sine((radians(longitude2) - radians(longitude1)) / 2);
  if (v === 0) return latitudeDistance(latitude1, latitude2);
  const from = radians(latitude1);
  const to = radians(latitude2);
  const u = sine((to - from) / 2);
  const a = u * u + cosine(from) * cosine(to) * v * v;
  return 2 * EARTH_RADIUS_METERS * arcsine(Math.sqrt(a));
}

/** Meters between two places of one longitude. */
export function latitudeDistance(latitude1: number, latitude2: number): number {
  return EARTH_RADIUS_METERS * Math.abs(radians(latitude2) - radians(latitude1));
}

const ALPHABET = '0123456789bcdefghjkmnpqrstuvwxyz';

/** The standard geohash of other programs: eleven letters, over ±90 degrees of latitude. */
export function standardGeohash(place: Place): string {
  const column = cellOf(place.longitude, LONGITUDE_MAX, STEP_MAX);
  const row = cellOf(place.latitude, 90, STEP_MAX);
  const bits = interleave(column, row);
  let text = '';
  for (let shift = 47; shift >= 2; shift -= 5) text += ALPHABET[Math.floor(bits / 2 ** shift) % 32];
  // 52 bits are ten letters and two bits; the two bits count as zeros.
  return `${text}0`;
}
