/**
 * The parts of a dataset that a database needs, and the data that it hands over to another thread.
 */
import type { Arena } from '../arena/arena.ts';
import type { Ref } from '../base/units.ts';
import type { Encoding, ValueType } from './entry.ts';
import type { ExpiryShare } from './expiry-index.ts';
import type { UndoLog } from './undo-log.ts';

/** The parts that all databases of one dataset share. */
export interface DatabaseContext {
  readonly arena: Arena;
  readonly hashKey0: number;
  readonly hashKey1: number;
  /** Notes changes outside of the arena while a unit is guarded. */
  readonly undo: UndoLog;
  /** Frees a value that is not a string, at once or in slices. */
  releaseObject(type: ValueType, encoding: Encoding, value: Ref): void;
}

export interface DatabaseShare {
  readonly table: Ref;
  readonly expiry: ExpiryShare;
}
