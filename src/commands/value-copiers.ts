/**
 * How COPY duplicates a value, by its type: one function per type, which the file of the type exports. Main thread.
 */
import type { Ref } from '../base/units.ts';
import type { Database } from '../keyspace/database.ts';
import { BytesView, Encoding, ValueType } from '../keyspace/entry.ts';

/**
 * Adds a key to `target` that has just been looked for there and is absent, with a copy of the value of `entry`, an
 * entry of `source`. Returns the new entry. Both databases may be the same. The deadline is the caller's.
 */
export type ValueCopier = (
  source: Database,
  entry: Ref,
  target: Database,
  key: Uint8Array,
  keyStart: number,
  keyLength: number,
) => Ref;

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
  // Whether the copy lies apart depends on the length of its own key.
  const kept = encoding === Encoding.RAW_APART ? Encoding.RAW : encoding;
  return target.addString(key, keyStart, keyLength, view.bytes, view.position, view.length, kept);
}

/** Types that no command can make yet have none. */
export const valueCopiers: Readonly<Partial<Record<ValueType, ValueCopier>>> = {
  [ValueType.STRING]: copyString,
};
