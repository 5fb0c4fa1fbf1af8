/**
 * Hot path. Hashes as values of keys: opens them, sets fields, changes the encoding at its limits,
 * and notes the new place of a hash. Main thread.
 */
import { NIL, type Ref } from '../../base/units.ts';
import { Encoding, ValueType } from '../../keyspace/entry.ts';
import type { FieldMap } from '../../structs/field-map.ts';
import { type CommandContext, WRONG } from '../context.ts';
import { roomForArguments, roomForPair } from '../listpack-room.ts';
import { EventClass } from '../ports.ts';

/** Opens the hash of `entry`. Stale once another one is opened. */
export function openHash(context: CommandContext, entry: Ref): FieldMap {
  const { db } = context;
  const map = context.server.keyspace.structures.fieldMap;
  map.open(db.value(entry), db.encoding(entry) === Encoding.HASHTABLE);
  return map;
}

/**
 * Opens the hash of the key in argument 1 for reading. When the key is absent, calls `absent` and
 * returns undefined. Also returns undefined after WRONGTYPE.
 */
export function readHash(
  context: CommandContext,
  absent: (context: CommandContext) => void,
): FieldMap | undefined {
  const entry = context.readTyped(1, ValueType.HASH);
  if (entry === WRONG) return undefined;
  if (entry !== NIL) return openHash(context, entry);
  absent(context);
  return undefined;
}

/** Notes in `entry` the place of its hash after a change. */
export function settleHash(context: CommandContext, entry: Ref, map: FieldMap): void {
  const { db } = context;
  if (db.value(entry) !== map.ref) db.setObject(entry, encodingOf(map), map.ref);
}

/**
 * Sets the pairs in the arguments from `from` on, in the hash of `entry`. The key is argument 1 and
 * was looked up last; for NIL a new hash is made. Returns the number of new fields. Counts no
 * change and sends no event except that of a new key.
 */
export function setPairs(context: CommandContext, entry: Ref, from: number): number {
  const { request } = context;
  const { bytes } = request;
  const map = beginHash(
    context,
    entry,
    isLarge(context, from),
    entry === NIL ? roomForArguments(context, from) : 0,
  );
  let created = 0;
  try {
    for (let i = from; i < request.argc; i += 2) {
      const { position, length } = request;
      const value = position[i + 1]!;
      if (
        setPair(context, entry, map, bytes, position[i]!, length[i]!, bytes, value, length[i + 1]!)
      )
        created++;
    }
    if (entry === NIL) addHash(context, map);
  } catch (error) {
    // There is no memory, and a new hash has no owner yet.
    if (entry === NIL) map.free();
    throw error;
  }
  return created;
}

/**
 * Sets the field named by argument 2 to the first `length` bytes of `bytes`. Otherwise as
 * {@link setPairs}.
 */
export function setField(
  context: CommandContext,
  entry: Ref,
  bytes: Uint8Array,
  length: number,
): void {
  const { request, server } = context;
  const name = request.position[2]!;
  const nameLength = request.length[2]!;
  const large = Math.max(nameLength, length) > server.settings.hashMaxListpackValue;
  const room = roomForPair(nameLength, length);
  const map = beginHash(context, entry, large, room);
  try {
    setPair(context, entry, map, request.bytes, name, nameLength, bytes, 0, length);
    if (entry === NIL) addHash(context, map);
  } catch (error) {
    // There is no memory, and a new hash has no owner yet.
    if (entry === NIL) map.free();
    throw error;
  }
}

/**
 * Opens the hash of `entry`, or begins a new one for NIL. With `large` it is a table afterwards.
 */
function beginHash(
  context: CommandContext,
  entry: Ref,
  large: boolean,
  roomBytes: number,
): FieldMap {
  if (entry === NIL) {
    const map = context.server.keyspace.structures.fieldMap;
    map.create(large, large ? 0 : roomBytes);
    return map;
  }
  const map = openHash(context, entry);
  if (large && !map.large) {
    map.convert();
    settleHash(context, entry, map);
  }
  return map;
}

function setPair(
  context: CommandContext,
  entry: Ref,
  map: FieldMap,
  name: Uint8Array,
  nameStart: number,
  nameLength: number,
  value: Uint8Array,
  valueStart: number,
  valueLength: number,
): boolean {
  const created = map.set(name, nameStart, nameLength, value, valueStart, valueLength);
  if (entry !== NIL) settleHash(context, entry, map);
  if (created && !map.large && map.count() > context.server.settings.hashMaxListpackEntries) {
    map.convert();
    if (entry !== NIL) settleHash(context, entry, map);
  }
  return created;
}

/** Adds a new hash under the key in argument 1, which was looked up last and is absent. */
function addHash(context: CommandContext, map: FieldMap): void {
  const { request, db } = context;
  map.shrinkToFit();
  const key = request.position[1]!;
  db.addObject(request.bytes, key, request.length[1]!, ValueType.HASH, encodingOf(map), map.ref);
  context.notify(EventClass.NEW, 'new', 1);
}

const encodingOf = (map: FieldMap): Encoding =>
  map.large ? Encoding.HASHTABLE : Encoding.LISTPACK;

/**
 * Returns whether a hash that gets the arguments from `from` on must be a table, because of their
 * number or their lengths.
 */
function isLarge(context: CommandContext, from: number): boolean {
  const { argc, length } = context.request;
  const { hashMaxListpackEntries, hashMaxListpackValue } = context.server.settings;
  if ((argc - from) >>> 1 > hashMaxListpackEntries) return true;
  for (let i = from; i < argc; i++) if (length[i]! > hashMaxListpackValue) return true;
  return false;
}
