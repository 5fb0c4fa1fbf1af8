/** The interface of the readers of the collection types, for the reader of values. */
import type { Ref } from '../base/units.ts';
import type { Encoding } from '../keyspace/entry.ts';

/** Reads the collections of one type. */
export interface CollectionLoader {
  /**
   * Encoding and place of the collection that was read last. The place is NIL when it is empty. The
   * collection belongs to the caller.
   */
  readonly encoding: Encoding;
  readonly value: Ref;
  /**
   * Reads what follows the key of a value of this type. When it throws, it leaves nothing in the
   * arena.
   */
  read(rdbType: number): void;
}
