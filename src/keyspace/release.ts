/**
 * Frees values: small ones at once, large ones in slices, so that no command and no cycle of expiry
 * stalls over a key with a million elements. Main thread, or the thread that owns the arena.
 *
 *   release ──first slice──▶ all of it: done
 *                └─ more ──▶ pending ──freeSome, slice by slice──▶ done
 *
 * The last value put aside is freed first: freeing a flushed database puts its large values aside,
 * and there are never more than one slice makes.
 */
import type { Arena } from '../arena/arena.ts';
import type { Ref } from '../base/units.ts';
import { Encoding, type ValueType } from './entry.ts';

/**
 * Frees a structure piece by piece: up to `steps` small pieces per call. Returns whether that was
 * all of it.
 */
export interface SlicedFree {
  freeSome(ref: Ref, steps: number): boolean;
}

/** Finds the {@link SlicedFree} of a large value. */
export interface SlicedFrees {
  slicedFree(type: ValueType, encoding: Encoding): SlicedFree;
}

export interface PendingFree {
  readonly how: SlicedFree;
  readonly ref: Ref;
}

/**
 * Steps that the release itself does. A step frees a bucket of a table or a node: some ten
 * elements.
 */
const FIRST_SLICE_STEPS = 8;

export class Releaser {
  readonly #arena: Arena;
  readonly #frees: SlicedFrees;
  readonly #pending: PendingFree[] = [];

  constructor(arena: Arena, frees: SlicedFrees) {
    this.#arena = arena;
    this.#frees = frees;
  }

  /** Whether {@link freeSome} has something to do. */
  get freeing(): boolean {
    return this.#pending.length > 0;
  }

  /** Frees the value of an entry that is not a string. */
  release(type: ValueType, encoding: Encoding, value: Ref): void {
    if (encoding === Encoding.LISTPACK || encoding === Encoding.INTSET) {
      this.#arena.free(value);
      return;
    }
    const how = this.#frees.slicedFree(type, encoding);
    if (!how.freeSome(value, FIRST_SLICE_STEPS)) this.defer(how, value);
  }

  /** Puts aside a structure that is no longer in use. */
  defer(how: SlicedFree, ref: Ref): void {
    this.#pending.push({ how, ref });
  }

  /** The pending frees, for {@link restorePending} when a guarded unit is rolled back. */
  copyPending(): PendingFree[] {
    return [...this.#pending];
  }

  restorePending(pending: readonly PendingFree[]): void {
    this.#pending.splice(0, this.#pending.length, ...pending);
  }

  /** Does up to `steps` steps; returns whether there is more to do. */
  freeSome(steps: number): boolean {
    const index = this.#pending.length - 1;
    if (index < 0) return false;
    const { how, ref } = this.#pending[index]!;
    // Others may have been pushed after it in the meantime.
    if (how.freeSome(ref, steps)) this.#pending.splice(index, 1);
    return this.#pending.length > 0;
  }
}
