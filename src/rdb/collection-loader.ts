/** What a reader of values needs of the readers of the collection types. */
import type { Ref } from '../base/units.ts';
import type { Encoding } from '../keyspace/entry.ts';

/** Reads the collections of one type. */
export interface CollectionLoader {
  /**
   * Of what was read last: how it is encoded and where it is; NIL when it is empty. It belongs to
   * the caller.
   */
  readonly encoding: Encoding;
  readonly value: Ref;
  /**
   * Reads what follows the key of a value of this type. Having thrown, it has left nothing in the
   * arena.
   */
  read(rdbType: number): void;
}
