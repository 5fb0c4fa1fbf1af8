import { Encoding, ValueType } from '../../src/keyspace/entry.ts';
import type { Keyspace } from '../../src/keyspace/keyspace.ts';

/** Checks databases and all values. Returns how many collections there are. */
export function validateValues(keyspace: Keyspace): number {
  keyspace.validate();
  const { structures } = keyspace;
  let collections = 0;
  for (const db of keyspace.databases) {
    let cursor = 0;
    do {
      cursor = db.scan(cursor, (entry) => {
        const value = db.value(entry);
        const encoding = db.encoding(entry);
        if (db.type(entry) === ValueType.STRING) return;
        collections++;
        if (encoding === Encoding.LISTPACK) structures.listpacks.validate(value);
        else if (encoding === Encoding.INTSET) structures.intsets.validate(value);
        else if (encoding === Encoding.QUICKLIST) structures.quicklists.validate(value);
        else if (encoding === Encoding.SKIPLIST) structures.sortedTables.validate(value);
        else if (encoding === Encoding.STREAM) structures.streams.validate(value);
        else if (db.type(entry) === ValueType.HASH) structures.fields.validate(value);
        else structures.members.validate(value);
      });
    } while (cursor !== 0);
  }
  return collections;
}
