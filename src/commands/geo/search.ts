/**
 * GEOSEARCH, GEORADIUS and their variants. They find the members of a sorted set of geohashes that
 * lie within a shape. Main thread.
 *
 * Up to nine ranges of scores (shape.ts) cover the shape. Every member in these ranges is checked.
 */
import { formatDouble } from '../../base/bytes.ts';
import { decodePlace, exactDistance, Place } from '../../base/geohash.ts';
import { NIL, type Ref } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import type { SortedSet } from '../../structs/sorted-set.ts';
import { integerArgument, replyInteger, SYNTAX_ERROR } from '../arguments.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { openSet, storeSet } from '../zset/value.ts';
import {
  floatArgument,
  placeArgument,
  replyDistance,
  replyPlace,
  unitArgument,
} from './geo-arguments.ts';
import { distanceWithin, rangesOf, type Shape } from './shape.ts';

const UNDECODABLE = 'ERR could not decode requested zset member';

/** The properties of a command that do not depend on its arguments. */
interface SearchForm {
  /** Index of the first option. */
  readonly optionsAt: number;
  /**
   * Whether options give the centre and the shape, as in GEOSEARCH. In GEORADIUS arguments give
   * them.
   */
  readonly search: boolean;
  readonly mayStore: boolean;
}

/** A search, read from the arguments. Distances are in meters. */
class Search implements Shape {
  readonly centre = new Place();
  circular = true;
  radius = 0;
  width = 0;
  height = 0;
  /** Meters of the unit in which distances are answered. */
  unit = 1;
  /** Whether these options of GEOSEARCH were given. */
  fromMember = false;
  fromPlace = false;
  byRadius = false;
  byBox = false;
  withDistance = false;
  withHash = false;
  withPlace = false;
  /** 1 is nearest first, -1 is farthest first, 0 is unordered. */
  order = 0;
  /** Maximum number of results, 0 for no limit. */
  count = 0;
  any = false;
  /** Argument of the key to store to, 0 for none. */
  storeAt = 0;
  storeDistance = false;
}

interface Match {
  readonly member: Uint8Array;
  readonly score: number;
  readonly meters: number;
}

export function geoRadius(context: CommandContext): void {
  radiusAround(context, true);
}

export function geoRadiusRo(context: CommandContext): void {
  radiusAround(context, false);
}

export function geoRadiusByMember(context: CommandContext): void {
  radiusAroundMember(context, true);
}

export function geoRadiusByMemberRo(context: CommandContext): void {
  radiusAroundMember(context, false);
}

export function geoSearch(context: CommandContext): void {
  const form = { optionsAt: 2, search: true, mayStore: false };
  const entry = context.readTyped(1, ValueType.ZSET);
  if (entry !== WRONG) run(context, entry, form, new Search());
}

export function geoSearchStore(context: CommandContext): void {
  const form = { optionsAt: 3, search: true, mayStore: true };
  const search = new Search();
  search.storeAt = 1;
  const entry = context.readTyped(2, ValueType.ZSET);
  if (entry !== WRONG) run(context, entry, form, search);
}

function radiusAround(context: CommandContext, mayStore: boolean): void {
  const search = new Search();
  const entry = context.readTyped(1, ValueType.ZSET);
  if (entry === WRONG || !placeArgument(context, 2, search.centre)) return;
  if (!radiusArgument(context, 4, search)) return;
  run(context, entry, { optionsAt: 6, search: false, mayStore }, search);
}

function radiusAroundMember(context: CommandContext, mayStore: boolean): void {
  const search = new Search();
  const entry = context.readTyped(1, ValueType.ZSET);
  if (entry === WRONG) return;
  // Without the key there is no centre, and Redis does not check the radius.
  if (entry !== NIL) {
    if (!memberPlace(context, entry, 2, search) || !radiusArgument(context, 3, search)) return;
  }
  run(context, entry, { optionsAt: 5, search: false, mayStore }, search);
}

function run(context: CommandContext, entry: Ref, form: SearchForm, search: Search): void {
  if (!parseOptions(context, entry, form, search) || !consistent(context, form, search)) return;
  if (entry === NIL) {
    if (search.storeAt === 0) context.reply.emptyArray();
    else storeMatches(context, search, form, []);
    return;
  }
  // COUNT without an order and without ANY means the nearest members.
  if (search.count > 0 && search.order === 0 && !search.any) search.order = 1;
  const matches = findMatches(openSet(context, entry), search);
  if (search.order !== 0) matches.sort((a, b) => (a.meters - b.meters) * search.order);
  if (search.count > 0 && matches.length > search.count) matches.length = search.count;
  if (search.storeAt === 0) replyMatches(context, search, matches);
  else storeMatches(context, search, form, matches);
}

/** Reads the options behind the fixed arguments. Returns false after an error reply. */
function parseOptions(
  context: CommandContext,
  entry: Ref,
  form: SearchForm,
  search: Search,
): boolean {
  const { request, reply } = context;
  const toStore = form.mayStore && !form.search;
  for (let at = form.optionsAt; at < request.argc; ) {
    const left = request.argc - at - 1;
    const is = (keyword: string): boolean => request.equalsIgnoreCase(at, keyword);
    let values = 0;
    if (is('WITHDIST')) search.withDistance = true;
    else if (is('WITHHASH')) search.withHash = true;
    else if (is('WITHCOORD')) search.withPlace = true;
    else if (is('ANY')) search.any = true;
    else if (is('ASC')) search.order = 1;
    else if (is('DESC')) search.order = -1;
    else if (left >= 1 && is('COUNT')) {
      if (!countArgument(context, at + 1, search)) return false;
      values = 1;
    } else if (toStore && left >= 1 && (is('STORE') || is('STOREDIST'))) {
      search.storeDistance = is('STOREDIST');
      search.storeAt = at + 1;
      values = 1;
    } else if (form.search && form.mayStore && is('STOREDIST')) {
      search.storeDistance = true;
    } else {
      values = form.search ? parseShape(context, entry, at, left, search) : 0;
      if (values < 0) return false;
      if (values === 0) {
        reply.error(SYNTAX_ERROR);
        return false;
      }
    }
    at += values + 1;
  }
  return true;
}

/**
 * Reads the option at `at` if it gives the centre or the shape. Returns the number of its values, 0
 * when it is another option, or -1 after an error reply.
 */
function parseShape(
  context: CommandContext,
  entry: Ref,
  at: number,
  left: number,
  search: Search,
): number {
  const { request } = context;
  const is = (keyword: string, values: number): boolean =>
    left >= values && request.equalsIgnoreCase(at, keyword);
  if (!search.fromPlace && is('FROMMEMBER', 1)) {
    search.fromMember = true;
    return entry === NIL || memberPlace(context, entry, at + 1, search) ? 1 : -1;
  }
  if (!search.fromMember && is('FROMLONLAT', 2)) {
    search.fromPlace = true;
    return placeArgument(context, at + 1, search.centre) ? 2 : -1;
  }
  if (!search.byBox && is('BYRADIUS', 2)) {
    search.byRadius = true;
    return radiusArgument(context, at + 1, search) ? 2 : -1;
  }
  if (!search.byRadius && is('BYBOX', 3)) {
    search.byBox = true;
    search.circular = false;
    return boxArgument(context, at + 1, search) ? 3 : -1;
  }
  return 0;
}

/** Returns whether the options are consistent. Otherwise answers the error. */
function consistent(context: CommandContext, form: SearchForm, search: Search): boolean {
  const { request, reply } = context;
  const name = (): string => request.latin1(0);
  if (search.storeAt !== 0 && (search.withDistance || search.withHash || search.withPlace)) {
    const what = form.search ? 'GEOSEARCHSTORE' : 'STORE option in GEORADIUS';
    reply.error(`ERR ${what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options`);
  } else if (form.search && !search.fromMember && !search.fromPlace) {
    reply.error(`ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for ${name()}`);
  } else if (form.search && !search.byRadius && !search.byBox) {
    reply.error(`ERR exactly one of BYRADIUS and BYBOX can be specified for ${name()}`);
  } else if (search.any && search.count === 0) {
    reply.error('ERR the ANY argument requires COUNT argument');
  } else {
    return true;
  }
  return false;
}

function countArgument(context: CommandContext, at: number, search: Search): boolean {
  search.count = integerArgument(context, at);
  if (Number.isNaN(search.count)) return false;
  if (search.count > 0) return true;
  context.reply.error('ERR COUNT must be > 0');
  return false;
}

/** Reads a radius and its unit. */
function radiusArgument(context: CommandContext, at: number, search: Search): boolean {
  const radius = floatArgument(context, at, 'ERR need numeric radius');
  if (Number.isNaN(radius)) return false;
  if (radius < 0) {
    context.reply.error('ERR radius cannot be negative');
    return false;
  }
  search.unit = unitArgument(context, at + 1);
  search.radius = radius * search.unit;
  return !Number.isNaN(search.unit);
}

/** Reads a width, a height and their unit. */
function boxArgument(context: CommandContext, at: number, search: Search): boolean {
  const width = floatArgument(context, at, 'ERR need numeric width');
  if (Number.isNaN(width)) return false;
  const height = floatArgument(context, at + 1, 'ERR need numeric height');
  if (Number.isNaN(height)) return false;
  if (width < 0 || height < 0) {
    context.reply.error('ERR height or width cannot be negative');
    return false;
  }
  search.unit = unitArgument(context, at + 2);
  search.width = width * search.unit;
  search.height = height * search.unit;
  return !Number.isNaN(search.unit);
}

/**
 * Sets the centre to the place of the member in argument `at`. Returns false after an error reply.
 */
function memberPlace(context: CommandContext, entry: Ref, at: number, search: Search): boolean {
  const { request } = context;
  const set = openSet(context, entry);
  if (set.find(request.bytes, request.position[at]!, request.length[at]!)) {
    decodePlace(set.score, search.centre);
    return true;
  }
  context.reply.error(UNDECODABLE);
  return false;
}

/**
 * Returns the members within the shape, range by range. With ANY stops as soon as there are enough.
 */
function findMatches(set: SortedSet, search: Search): Match[] {
  const matches: Match[] = [];
  const place = new Place();
  const limit = search.any ? search.count : Number.POSITIVE_INFINITY;
  for (const { from, until } of rangesOf(search)) {
    if (matches.length >= limit) return matches;
    let more = set.seek(set.countBeforeScore(from, false));
    for (; more && set.score < until; more = set.next()) {
      decodePlace(set.score, place);
      const meters = distanceWithin(search, place);
      if (meters < 0) continue;
      matches.push({ member: set.copyMember(), score: set.score, meters });
      if (matches.length >= limit) break;
    }
  }
  return matches;
}

function replyMatches(context: CommandContext, search: Search, matches: readonly Match[]): void {
  const { reply } = context;
  const { withDistance, withHash, withPlace } = search;
  const parts = 1 + Number(withDistance) + Number(withHash) + Number(withPlace);
  const place = new Place();
  reply.array(matches.length);
  for (const { member, score, meters } of matches) {
    if (parts > 1) reply.array(parts);
    reply.bulk(member, 0, member.length);
    if (withDistance) replyDistance(context, meters / search.unit);
    if (withHash) replyInteger(context, Math.trunc(score));
    if (!withPlace) continue;
    decodePlace(score, place);
    replyPlace(context, place);
  }
}

function storeMatches(
  context: CommandContext,
  search: Search,
  form: SearchForm,
  matches: readonly Match[],
): void {
  const { keyspace, settings } = context.server;
  const { zsetMaxListpackEntries, zsetMaxListpackValue } = settings;
  const result = keyspace.structures.newSortedSet();
  result.create(matches.length > zsetMaxListpackEntries);
  try {
    for (const { member, score } of matches) {
      const value = search.storeDistance ? exactMeters(search, score) / search.unit : score;
      result.find(member, 0, member.length);
      result.add(value, member, 0, member.length, zsetMaxListpackEntries, zsetMaxListpackValue);
    }
  } catch (error) {
    // There is no memory for the whole result.
    result.free();
    throw error;
  }
  if (search.storeDistance && matches.length > 0) replicateResult(context, search, result);
  storeSet(context, search.storeAt, result, form.search ? 'geosearchstore' : 'georadiusstore');
  // Redis counts every stored member as a change.
  context.changes += Math.max(0, matches.length - 1);
}

function exactMeters(search: Search, score: number): number {
  const place = new Place();
  decodePlace(score, place);
  const { longitude, latitude } = search.centre;
  return exactDistance(longitude, latitude, place.longitude, place.latitude);
}

/**
 * Sends the stored distances to the stream instead of the command. Redis sends the command, but the
 * last digit of a distance depends on the C library of the server, and replicas must have the same
 * digits.
 */
function replicateResult(context: CommandContext, search: Search, result: SortedSet): void {
  const key = context.request.copy(search.storeAt);
  const words: (Uint8Array | string)[] = ['ZADD', key];
  for (let more = result.seek(0); more; more = result.next())
    words.push(formatDouble(result.score), result.copyMember());
  context.replicateAs('DEL', key);
  context.replicateAs(...words);
}
