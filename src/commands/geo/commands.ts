/**
 * Commands on geographic places: sorted sets whose scores are geohashes (base/geohash.ts).
 * GEOSEARCH and GEORADIUS are in search.ts. Main thread.
 */
import { bytesOf } from '../../base/bytes.ts';
import { decodePlace, distance, encodePlace, Place, standardGeohash } from '../../base/geohash.ts';
import { NIL } from '../../base/units.ts';
import { ValueType } from '../../keyspace/entry.ts';
import { Request } from '../../resp/request.ts';
import { SYNTAX_ERROR } from '../arguments.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { type CommandTable, Flag, type KeySpec, keyAt, READ_KEY } from '../spec.ts';
import { zadd } from '../zset/add.ts';
import { openSet } from '../zset/value.ts';
import { placeArgument, replyDistance, replyPlace, unitArgument } from './geo-arguments.ts';
import {
  geoRadius,
  geoRadiusByMember,
  geoRadiusByMemberRo,
  geoRadiusRo,
  geoSearch,
  geoSearchStore,
} from './search.ts';

const { WRITE, READONLY, DENYOOM, MOVABLEKEYS } = Flag;
const GEO = { group: 'geo', categories: ['geo'] } as const;

const storedTo = (keyword: string, startFrom: number): KeySpec => ({
  access: 'OW',
  flags: ['update'],
  begin: { keyword, startFrom },
  find: { kind: 'range', last: 0, step: 1, limit: 0 },
});

export const geoCommands = {
  GEOADD: {
    ...GEO,
    arity: -5,
    flags: WRITE | DENYOOM,
    keys: [keyAt(1, 'RW', 'update')],
    since: '3.2.0',
    summary: 'Adds members with their places, or moves them, on conditions if asked for.',
    handler: geoAdd,
  },
  GEODIST: {
    ...GEO,
    arity: -4,
    flags: READONLY,
    keys: READ_KEY,
    since: '3.2.0',
    summary: 'Answers how far two members are apart.',
    handler: geoDist,
  },
  GEOHASH: {
    ...GEO,
    arity: -2,
    flags: READONLY,
    keys: READ_KEY,
    since: '3.2.0',
    summary: 'Answers the places of members as standard geohashes.',
    handler: geoHash,
  },
  GEOPOS: {
    ...GEO,
    arity: -2,
    flags: READONLY,
    keys: READ_KEY,
    since: '3.2.0',
    summary: 'Answers longitudes and latitudes of members.',
    handler: geoPos,
  },
  GEORADIUS: {
    ...GEO,
    arity: -6,
    flags: WRITE | DENYOOM | MOVABLEKEYS,
    keys: [keyAt(1, 'RO', 'access'), storedTo('STORE', 6), storedTo('STOREDIST', 6)],
    since: '3.2.0',
    summary: 'Answers or stores the members within a circle around a place.',
    handler: geoRadius,
  },
  GEORADIUS_RO: {
    ...GEO,
    arity: -6,
    flags: READONLY,
    keys: READ_KEY,
    since: '3.2.10',
    summary: 'Answers the members within a circle around a place.',
    handler: geoRadiusRo,
  },
  GEORADIUSBYMEMBER: {
    ...GEO,
    arity: -5,
    flags: WRITE | DENYOOM | MOVABLEKEYS,
    keys: [keyAt(1, 'RO', 'access'), storedTo('STORE', 5), storedTo('STOREDIST', 5)],
    since: '3.2.0',
    summary: 'Answers or stores the members within a circle around one of them.',
    handler: geoRadiusByMember,
  },
  GEORADIUSBYMEMBER_RO: {
    ...GEO,
    arity: -5,
    flags: READONLY,
    keys: READ_KEY,
    since: '3.2.10',
    summary: 'Answers the members within a circle around one of them.',
    handler: geoRadiusByMemberRo,
  },
  GEOSEARCH: {
    ...GEO,
    arity: -7,
    flags: READONLY,
    keys: READ_KEY,
    since: '6.2.0',
    summary: 'Answers the members within a circle or a box.',
    handler: geoSearch,
  },
  GEOSEARCHSTORE: {
    ...GEO,
    arity: -8,
    flags: WRITE | DENYOOM,
    keys: [keyAt(1, 'OW', 'update'), keyAt(2, 'RO', 'access')],
    since: '6.2.0',
    summary: 'Stores the members within a circle or a box.',
    handler: geoSearchStore,
  },
} as const satisfies CommandTable;

/** Runs GEOADD as the ZADD that it stands for. The stream carries that ZADD, too. */
function geoAdd(context: CommandContext): void {
  const { request, reply } = context;
  let first = 2;
  let onlyNew = false;
  let onlyPresent = false;
  for (; first < request.argc; first++) {
    if (request.equalsIgnoreCase(first, 'NX')) onlyNew = true;
    else if (request.equalsIgnoreCase(first, 'XX')) onlyPresent = true;
    else if (!request.equalsIgnoreCase(first, 'CH')) break;
  }
  if ((request.argc - first) % 3 !== 0 || (onlyNew && onlyPresent)) {
    reply.error(SYNTAX_ERROR);
    return;
  }
  const words: Uint8Array[] = [bytesOf('zadd')];
  for (let at = 1; at < first; at++) words.push(request.copy(at));
  const place = new Place();
  for (let at = first; at < request.argc; at += 3) {
    if (!placeArgument(context, at, place)) return;
    words.push(bytesOf(String(encodePlace(place.longitude, place.latitude))), request.copy(at + 2));
  }
  const before = context.changes;
  context.request = requestOf(words);
  zadd(context);
  context.request = request;
  if (context.changes > before) context.replicateAs(...words);
}

function requestOf(words: readonly Uint8Array[]): Request {
  const request = new Request();
  request.bytes = Buffer.concat(words);
  let at = 0;
  for (const { length } of words) {
    request.add(at, length);
    at += length;
  }
  return request;
}

function geoDist(context: CommandContext): void {
  const { request, reply } = context;
  if (request.argc > 5) {
    reply.error(SYNTAX_ERROR);
    return;
  }
  const unit = request.argc === 5 ? unitArgument(context, 4) : 1;
  if (Number.isNaN(unit)) return;
  const entry = context.readTyped(1, ValueType.ZSET);
  if (entry === WRONG) return;
  if (entry === NIL) {
    reply.nil();
    return;
  }
  const set = openSet(context, entry);
  const from = new Place();
  const to = new Place();
  if (!set.find(request.bytes, request.position[2]!, request.length[2]!)) {
    reply.nil();
    return;
  }
  decodePlace(set.score, from);
  if (!set.find(request.bytes, request.position[3]!, request.length[3]!)) {
    reply.nil();
    return;
  }
  decodePlace(set.score, to);
  const meters = distance(from.longitude, from.latitude, to.longitude, to.latitude);
  replyDistance(context, meters / unit);
}

function geoHash(context: CommandContext): void {
  eachPlace(
    context,
    (place) => context.reply.bulkLatin1(standardGeohash(place)),
    () => context.reply.nil(),
  );
}

function geoPos(context: CommandContext): void {
  eachPlace(
    context,
    (place) => replyPlace(context, place),
    () => context.reply.nilArray(),
  );
}

/** Answers an array with one element for each named member. */
function eachPlace(
  context: CommandContext,
  present: (place: Place) => void,
  absent: () => void,
): void {
  const { request, reply } = context;
  const entry = context.readTyped(1, ValueType.ZSET);
  if (entry === WRONG) return;
  const set = entry === NIL ? undefined : openSet(context, entry);
  const place = new Place();
  reply.array(request.argc - 2);
  for (let at = 2; at < request.argc; at++) {
    if (set === undefined || !set.find(request.bytes, request.position[at]!, request.length[at]!)) {
      absent();
      continue;
    }
    decodePlace(set.score, place);
    present(place);
  }
}
