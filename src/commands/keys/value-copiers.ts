/** The copying of values for COPY, by type and encoding. Main thread. */
import type { Ref } from '../../base/units.ts';
import type { Database } from '../../keyspace/database.ts';
import { BytesView, Encoding, ValueType } from '../../keyspace/entry.ts';
import type { Structures } from '../../keyspace/structures.ts';

function copyString(
  source: Database,
  entry: Ref,
  target: Database,
  key: Uint8Array,
  keyStart: number,
  keyLength: number,
): Ref {
  const view = new BytesView();
  source.stringInto(entry, view);
  const encoding = source.encoding(entry);
  // The length of the new key decides whether the copy is kept apart.
  const kept = encoding === Encoding.RAW_APART ? Encoding.RAW : encoding;
  return target.addString(key, keyStart, keyLength, view.bytes, view.position, view.length, kept);
}

/**
 * Copies a value that is not a string. Both keys belong to one dataset, which has these structures.
 */
function copyObject(structures: Structures, type: ValueType, encoding: Encoding, value: Ref): Ref {
  if (encoding === Encoding.LISTPACK) return structures.listpacks.copy(value);
  if (encoding === Encoding.INTSET) return structures.intsets.copy(value);
  if (encoding === Encoding.QUICKLIST) return structures.quicklists.copy(value);
  if (encoding === Encoding.SKIPLIST) return structures.sortedTables.copy(value);
  if (encoding === Encoding.HASHTABLE && type === ValueType.HASH)
    return structures.fields.copy(value);
  if (encoding === Encoding.HASHTABLE && type === ValueType.SET)
    return structures.members.copy(value);
  if (type === ValueType.STREAM) return structures.streams.copy(value);
  throw new Error(`no structure of type ${type} and encoding ${encoding} is copied`);
}

/**
 * Adds to `target` a key that was just looked up there and is absent, with a copy of the value of
 * `entry`, an entry of `source`. Returns the new entry. Both databases may be the same. The caller
 * sets the deadline.
 */
export function copyValue(
  structures: Structures,
  source: Database,
  entry: Ref,
  target: Database,
  key: Uint8Array,
  keyStart: number,
  keyLength: number,
): Ref {
  const type = source.type(entry);
  if (type === ValueType.STRING) return copyString(source, entry, target, key, keyStart, keyLength);
  const encoding = source.encoding(entry);
  const copy = copyObject(structures, type, encoding, source.value(entry));
  return target.addObject(key, keyStart, keyLength, type, encoding, copy);
}
