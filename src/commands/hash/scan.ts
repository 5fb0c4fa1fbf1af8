/** HSCAN, which lists the fields of a hash in steps, and HRANDFIELD. Main thread. */
import type { Prng } from '../../base/prng.ts';
import { Aggregate } from '../../resp/reply.ts';
import type { FieldMap } from '../../structs/field-map.ts';
import { negatableArgument, SYNTAX_ERROR } from '../arguments.ts';
import type { CommandContext } from '../context.ts';
import {
  cursorArgument,
  matchesPattern,
  SCAN_STEPS_PER_ELEMENT,
  scanOptions,
} from '../scan-options.ts';
import { readHash } from './value.ts';

/**
 * Random fields are drawn one by one when the hash has more than this many times the requested
 * number of fields. Otherwise all fields are listed and shuffled.
 */
const DRAWN_SHARE = 3;
/** The limit of the number of fields in one reply that may repeat fields. */
const REPEATED_COUNT_MAX = 2 ** 24;
/**
 * With this many pairs or more the length of the reply would not fit into Redis' 64-bit integer.
 */
const PAIRS_COUNT_LIMIT = 2 ** 62;
const OUT_OF_RANGE = 'ERR value is out of range';

export function hScan(context: CommandContext): void {
  const { reply } = context;
  const start = cursorArgument(context, 2);
  if (start < 0) return;
  const map = readHash(context, () => {
    reply.array(2);
    reply.bulkInteger(0);
    reply.emptyArray();
  });
  if (map === undefined) return;
  const options = scanOptions(context, 3, false);
  if (options === undefined) return;
  const found: number[] = [];
  const visit = (handle: number): void => {
    found.push(handle);
  };
  let cursor = start;
  let steps = options.count * SCAN_STEPS_PER_ELEMENT;
  do cursor = map.scan(cursor, visit);
  while (cursor !== 0 && --steps > 0 && found.length < options.count);
  reply.array(2);
  reply.bulkInteger(cursor);
  const token = reply.deferArray();
  let elements = 0;
  for (const handle of found) {
    map.readField(handle);
    const { bytes, position, length } = map.field;
    if (!matchesPattern(context, options.matchAt, bytes, position, length)) continue;
    reply.bulk(bytes, position, length);
    replyValue(context, map, handle);
    elements += 2;
  }
  reply.setDeferred(token, elements, Aggregate.ARRAY);
}

export function hRandField(context: CommandContext): void {
  const { request, reply } = context;
  if (request.argc === 2) {
    randomField(context);
    return;
  }
  const count = negatableArgument(context, 2);
  if (Number.isNaN(count)) return;
  const withValues = request.argc === 4;
  if (request.argc > 4 || (withValues && !request.equalsIgnoreCase(3, 'WITHVALUES'))) {
    reply.error(SYNTAX_ERROR);
    return;
  }
  if (withValues && Math.abs(count) >= PAIRS_COUNT_LIMIT) {
    reply.error(OUT_OF_RANGE);
    return;
  }
  const map = readHash(context, () => reply.emptyArray());
  if (map === undefined) return;
  if (count < -REPEATED_COUNT_MAX) {
    reply.error(OUT_OF_RANGE);
    return;
  }
  const handles =
    count < 0 ? drawn(map, -count, context.server.prng) : distinct(map, count, context.server.prng);
  reply.array(handles.length * (withValues && reply.protocol === 2 ? 2 : 1));
  for (const handle of handles) {
    if (withValues && reply.protocol === 3) reply.array(2);
    map.readField(handle);
    reply.bulk(map.field.bytes, map.field.position, map.field.length);
    if (withValues) replyValue(context, map, handle);
  }
}

function randomField(context: CommandContext): void {
  const { reply, server } = context;
  const map = readHash(context, () => reply.nil());
  if (map === undefined) return;
  map.readField(map.random(server.prng));
  reply.bulk(map.field.bytes, map.field.position, map.field.length);
}

/** Returns `count` random handles, possibly with repetitions. */
function drawn(map: FieldMap, count: number, prng: Prng): Int32Array {
  const handles = new Int32Array(count);
  // A small hash is walked once, instead of once for each draw.
  const all = map.large || count === 1 ? undefined : map.handles();
  for (let i = 0; i < count; i++)
    handles[i] = all === undefined ? map.random(prng) : all[prng.below(all.length)]!;
  return handles;
}

/** Returns `count` different random handles, or all handles when there are no more. */
function distinct(map: FieldMap, count: number, prng: Prng): Int32Array {
  const size = map.count();
  if (count >= size) return map.handles();
  if (map.large && count * DRAWN_SHARE < size) {
    const seen = new Set<number>();
    while (seen.size < count) seen.add(map.random(prng));
    return Int32Array.from(seen);
  }
  const handles = map.handles();
  for (let i = 0; i < count; i++) {
    const other = i + prng.below(size - i);
    const handle = handles[other]!;
    handles[other] = handles[i]!;
    handles[i] = handle;
  }
  return handles.subarray(0, count);
}

function replyValue(context: CommandContext, map: FieldMap, handle: number): void {
  map.readValue(handle);
  context.reply.bulk(map.value.bytes, map.value.position, map.value.length);
}
