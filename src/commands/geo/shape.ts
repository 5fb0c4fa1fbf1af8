/**
 * The shapes that GEOSEARCH looks into, and the ranges of scores that cover one. Main thread.
 *
 *   nw  n  ne      the cell that the centre is in and its eight neighbours, in a grid so coarse that they cover the
 *   w   ·  e       shape; those that lie outside of it are left out
 *   sw  s  se
 */
import {
  cellOf,
  distance,
  edgeOf,
  interleave,
  LATITUDE_MAX,
  LONGITUDE_MAX,
  latitudeDegrees,
  latitudeDistance,
  longitudeDegrees,
  type Place,
  STEP_MAX,
} from '../../base/geohash.ts';

/** Half the way around the earth on a Mercator map. */
const MERCATOR_MAX = 20037726.37;
const TOTAL_BITS = 2 * STEP_MAX;

/** A circle or a box around a centre, in meters. */
export interface Shape {
  readonly centre: Place;
  circular: boolean;
  radius: number;
  width: number;
  height: number;
}

/** Scores [from, until). */
export interface ScoreRange {
  readonly from: number;
  readonly until: number;
}

/** Distance of a place from the centre, or -1 when it lies outside of the shape. */
export function distanceWithin(shape: Shape, place: Place): number {
  const { longitude, latitude } = shape.centre;
  if (!shape.circular) {
    if (latitudeDistance(place.latitude, latitude) > shape.height / 2) return -1;
    const across = distance(place.longitude, place.latitude, longitude, place.latitude);
    if (across > shape.width / 2) return -1;
  }
  const meters = distance(longitude, latitude, place.longitude, place.latitude);
  return shape.circular && meters > shape.radius ? -1 : meters;
}

/** Steps of a grid whose cells are about as wide as a shape reaches. */
function stepsFor(reach: number, latitude: number): number {
  if (reach === 0) return STEP_MAX;
  let step = 1;
  for (let meters = reach; meters < MERCATOR_MAX; meters *= 2) step++;
  step -= 2;
  // Cells narrow towards the poles.
  if (Math.abs(latitude) > 66) step--;
  if (Math.abs(latitude) > 80) step--;
  return Math.max(1, Math.min(STEP_MAX, step));
}

/**
 * The column or row beside another, around the earth. One that does not move may lie beyond the
 * last: at its edge.
 */
const moved = (cell: number, by: number, cells: number): number =>
  by === 0 ? cell : (cell + by + cells) % cells;

/**
 * The edges of a shape, in degrees; beyond a pole they mean little, but what Redis makes of them.
 */
interface Bounds {
  readonly west: number;
  readonly south: number;
  readonly east: number;
  readonly north: number;
}

function boundsOf(shape: Shape): Bounds {
  const { longitude, latitude } = shape.centre;
  const height = latitudeDegrees(shape.circular ? shape.radius : shape.height / 2);
  // The longer of the two sides, seen from the equator.
  const side = latitude < 0 ? latitude - height : latitude + height;
  const width = longitudeDegrees(shape.circular ? shape.radius : shape.width / 2, side);
  return {
    west: longitude - width,
    south: latitude - height,
    east: longitude + width,
    north: latitude + height,
  };
}

/** Whether the neighbours of a cell reach as far as the shape does. */
function covers(bounds: Bounds, column: number, row: number, step: number): boolean {
  const cells = 2 ** step;
  return (
    edgeOf(moved(row, 1, cells) + 1, LATITUDE_MAX, step) >= bounds.north &&
    edgeOf(moved(row, -1, cells), LATITUDE_MAX, step) <= bounds.south &&
    edgeOf(moved(column, 1, cells) + 1, LONGITUDE_MAX, step) >= bounds.east &&
    edgeOf(moved(column, -1, cells), LONGITUDE_MAX, step) <= bounds.west
  );
}

/** Columns and rows from the centre's cell, in the order in which Redis looks at them. */
const NEIGHBOURS = [
  [0, 0],
  [0, 1],
  [0, -1],
  [1, 0],
  [-1, 0],
  [1, 1],
  [-1, 1],
  [1, -1],
  [-1, -1],
] as const;

/** The ranges of scores that a shape lies in, in the order in which Redis looks at them. */
export function rangesOf(shape: Shape): ScoreRange[] {
  const { longitude, latitude } = shape.centre;
  const reach = shape.circular
    ? shape.radius
    : Math.sqrt((shape.width / 2) * (shape.width / 2) + (shape.height / 2) * (shape.height / 2));
  const bounds = boundsOf(shape);
  let step = stepsFor(reach, latitude);
  let column = cellOf(longitude, LONGITUDE_MAX, step);
  let row = cellOf(latitude, LATITUDE_MAX, step);
  if (step > 1 && !covers(bounds, column, row, step)) {
    step--;
    column = cellOf(longitude, LONGITUDE_MAX, step);
    row = cellOf(latitude, LATITUDE_MAX, step);
  }
  const cells = 2 ** step;
  const useless = uselessSides(bounds, column, row, step);
  const ranges: ScoreRange[] = [];
  let previous = -1;
  for (const [i, [east, north]] of NEIGHBOURS.entries()) {
    if (i > 0 && (useless.has(`x${east}`) || useless.has(`y${north}`))) continue;
    const bits = interleave(moved(column, east, cells), moved(row, north, cells));
    // In a coarse grid neighbours may be the same. The first is not compared with, as in Redis.
    if (i > 0 && bits === previous) continue;
    if (i > 0) previous = bits;
    const unit = 2 ** (TOTAL_BITS - 2 * step);
    ranges.push({ from: bits * unit, until: (bits + 1) * unit });
  }
  return ranges;
}

/**
 * The sides of the centre's cell on which the shape ends inside of it: `x-1` is the west, `y1` the
 * north.
 */
function uselessSides(bounds: Bounds, column: number, row: number, step: number): Set<string> {
  const sides = new Set<string>();
  if (step < 2) return sides;
  if (edgeOf(row, LATITUDE_MAX, step) < bounds.south) sides.add('y-1');
  if (edgeOf(row + 1, LATITUDE_MAX, step) > bounds.north) sides.add('y1');
  if (edgeOf(column, LONGITUDE_MAX, step) < bounds.west) sides.add('x-1');
  if (edgeOf(column + 1, LONGITUDE_MAX, step) > bounds.east) sides.add('x1');
  return sides;
}
