/**
 * The shapes of GEOSEARCH, and the ranges of scores that cover a shape. Main thread.
 *
 * The earth is divided into a grid of 2^step by 2^step cells (base/geohash.ts). A greater step has
 * smaller cells. All places of a cell have scores in one range.
 *
 *   nw  n  ne      the cell of the centre and its eight neighbours; the grid is so coarse that
 *   w   ·  e       these nine cells cover the shape
 *   sw  s  se      neighbours that lie outside the shape are left out
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

/** Half the way around the earth on a Mercator map, in meters. */
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

/**
 * Returns the distance in meters of a place from the centre, or -1 when it is outside the shape.
 */
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

/**
 * Returns the step of the grid whose cells are about as wide as `reach`, the radius of the shape in
 * meters.
 */
function stepsFor(reach: number, latitude: number): number {
  if (reach === 0) return STEP_MAX;
  let step = 1;
  for (let meters = reach; meters < MERCATOR_MAX; meters *= 2) step++;
  step -= 2;
  // Cells get narrow near the poles.
  if (Math.abs(latitude) > 66) step--;
  if (Math.abs(latitude) > 80) step--;
  return Math.max(1, Math.min(STEP_MAX, step));
}

/**
 * Returns the column or row `by` cells further, around the earth. With `by` 0 the cell is returned
 * unchanged, even when it is one beyond the last, as at the edge of the map.
 */
const moved = (cell: number, by: number, cells: number): number =>
  by === 0 ? cell : (cell + by + cells) % cells;

/**
 * The edges of a shape, in degrees. Beyond a pole they have no geographic meaning, but are computed
 * as in Redis.
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
  // The width is measured on the side that is farther from the equator, where it is more degrees.
  const side = latitude < 0 ? latitude - height : latitude + height;
  const width = longitudeDegrees(shape.circular ? shape.radius : shape.width / 2, side);
  return {
    west: longitude - width,
    south: latitude - height,
    east: longitude + width,
    north: latitude + height,
  };
}

/** Returns whether the neighbours of a cell cover the shape. */
function covers(bounds: Bounds, column: number, row: number, step: number): boolean {
  const cells = 2 ** step;
  return (
    edgeOf(moved(row, 1, cells) + 1, LATITUDE_MAX, step) >= bounds.north &&
    edgeOf(moved(row, -1, cells), LATITUDE_MAX, step) <= bounds.south &&
    edgeOf(moved(column, 1, cells) + 1, LONGITUDE_MAX, step) >= bounds.east &&
    edgeOf(moved(column, -1, cells), LONGITUDE_MAX, step) <= bounds.west
  );
}

/** Columns and rows relative to the centre's cell, in the order in which Redis visits them. */
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

/** Returns the ranges of scores that cover a shape, in the order in which Redis visits them. */
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
    // In a coarse grid two neighbours may be the same cell. As in Redis, the first one is not
    // compared.
    if (i > 0 && bits === previous) continue;
    if (i > 0) previous = bits;
    const unit = 2 ** (TOTAL_BITS - 2 * step);
    ranges.push({ from: bits * unit, until: (bits + 1) * unit });
  }
  return ranges;
}

/**
 * Returns the sides of the centre's cell that the shape does not reach, so that the neighbours
 * there are not needed: `x-1` is the west, `y1` the north.
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
