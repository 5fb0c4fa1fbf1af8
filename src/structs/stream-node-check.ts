/**
 * Checks whether bytes of unknown origin are a node of a stream. After {@link isValidStreamNode}
 * has returned true, stream-node.ts stays inside the bytes, in both directions, and its entries
 * ascend. No state, any thread.
 */
import { validateListpack } from './listpack-check.ts';
import {
  behindEntry,
  ElementView,
  LISTPACK_HEADER_BYTES,
  readElement,
  TERMINATOR,
} from './listpack-read.ts';
import { StreamId } from './stream-id.ts';
import { ENTRY_ELEMENTS, EntryFlag } from './stream-node.ts';

const ALL_FLAGS = EntryFlag.DELETED | EntryFlag.SAME_FIELDS;

/**
 * Reads one element after another. Sets `bad` once an element is missing or is not a plain integer.
 */
class Elements {
  at: number;
  bad = false;
  high = 0;
  low = 0;
  readonly #bytes: Uint8Array;
  readonly #view = new ElementView();

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  get ended(): boolean {
    return this.#bytes[this.at] === TERMINATOR;
  }

  /**
   * Reads an integer of any size. Its halves are in `high` and `low`. The result is rounded when it
   * is wide.
   */
  integer(): number {
    if (this.bad || this.ended) return this.#fail();
    const view = this.#view;
    readElement(this.#bytes, this.at, view);
    if (!view.isInteger) return this.#fail();
    this.at = behindEntry(this.#bytes, this.at);
    this.high = view.high;
    this.low = view.low;
    return view.int;
  }

  /** Reads a count from 0 to 2^30 - 1. */
  count(): number {
    const count = this.integer();
    return count >= 0 && count <= 0x3fff_ffff ? count : this.#fail();
  }

  skip(count: number): void {
    for (let left = count; left > 0 && !this.bad; left--) {
      if (this.ended) this.bad = true;
      else this.at = behindEntry(this.#bytes, this.at);
    }
  }

  #fail(): number {
    this.bad = true;
    return 0;
  }
}

/** Returns whether [start, start + length) of `bytes` is a node for the id `master`. */
export function isValidStreamNode(
  bytes: Uint8Array,
  start: number,
  length: number,
  master: StreamId,
): boolean {
  if (!validateListpack(bytes, start, length, true)) return false;
  const elements = new Elements(bytes, start + LISTPACK_HEADER_BYTES);
  const live = elements.count();
  const deleted = elements.count();
  const masterFields = elements.count();
  elements.skip(masterFields);
  if (elements.integer() !== 0 || elements.bad) return false;
  const id = new StreamId();
  const before = new StreamId();
  let foundDeleted = 0;
  let found = 0;
  for (; !elements.ended; found++) {
    const flags = elements.integer();
    if ((flags & ~ALL_FLAGS) !== 0) return false;
    elements.integer();
    const { high, low } = elements;
    elements.integer();
    id.setSum(master, high, low, elements.high, elements.low);
    if (found === 0 ? id.compare(master) < 0 : id.compare(before) <= 0) return false;
    before.copyFrom(id);
    if ((flags & EntryFlag.DELETED) !== 0) foundDeleted++;
    let count = ENTRY_ELEMENTS + masterFields;
    if ((flags & EntryFlag.SAME_FIELDS) !== 0) {
      elements.skip(masterFields);
    } else {
      const fields = elements.count();
      elements.skip(fields * 2);
      count = ENTRY_ELEMENTS + 1 + fields * 2;
    }
    if (elements.integer() !== count || elements.bad) return false;
  }
  return found > 0 && foundDeleted === deleted && found - foundDeleted === live;
}
