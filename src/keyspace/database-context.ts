/** What a database needs of its dataset, and what it hands over to another thread. */
import type { Arena } from '../arena/arena.ts';
import type { Ref } from '../base/units.ts';
import type { Encoding, ValueType } from './entry.ts';
import type { ExpiryShare } from './expiry-index.ts';
import type { UndoLog } from './undo-log.ts';

/** What the databases of one dataset share. */
export interface DatabaseContext {
  readonly arena: Arena;
  readonly hashKey0: number;
  readonly hashKey1: number;
  /** Where changes outside of the arena are noted while a unit is guarded. */
  readonly undo: UndoLog;
  /** Gives the memory of a value back that is no string; may take its time over it. */
  releaseObject(type: ValueType, encoding: Encoding, value: Ref): void;
}

export interface DatabaseShare {
  readonly table: Ref;
  readonly expiry: ExpiryShare;
}
