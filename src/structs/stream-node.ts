/**
 * Hot path. The nodes of a stream: listpacks whose bytes are those that Redis keeps and dumps.
 *
 *   master   live · deleted · field count · field … · 0          beside the id that the node is kept under
 *   entry    flags · ms · seq · value … · element count          with SAME_FIELDS: the fields are those of the master
 *   entry    flags · ms · seq · field count · field · value … · element count
 *
 * `ms` and `seq` are counted from the master's id. The element count is that of all elements of the
 * entry before it; by it, and by the 0 of the master, a node is read backwards. A deleted entry
 * stays, and says so in its flags.
 *
 * All positions are those in `u8`. The bytes are trusted: what comes from elsewhere passes
 * stream-node-check.ts first.
 */
import {
  beforeEntry,
  behindEntry,
  ELEMENT_TEXT_BYTES_MAX,
  ElementView,
  elementToBytes,
  LISTPACK_HEADER_BYTES,
  listpackBytes,
  readElement,
  TERMINATOR,
} from './listpack-read.ts';
import { StreamId } from './stream-id.ts';

export const EntryFlag = { DELETED: 1, SAME_FIELDS: 2 } as const;

/** Elements of an entry beside fields and values: flags, ms and seq. */
export const ENTRY_ELEMENTS = 3;

const NO_BYTES = new Uint8Array(0);

export class StreamNode {
  u8: Uint8Array = NO_BYTES;
  readonly master = new StreamId();
  /** Entries that are live, and that are deleted. */
  live = 0;
  deleted = 0;
  masterFields = 0;
  masterFieldsAt = 0;
  /** Where the first entry begins. */
  firstAt = 0;
  /** Of the entry that was read last: where it begins and where the next one does. */
  at = 0;
  behind = 0;
  flags = 0;
  readonly id = new StreamId();
  fieldCount = 0;
  /** Field and value that {@link nextField} has read, as bytes. */
  readonly field = new ElementView();
  readonly value = new ElementView();
  #end = 0;
  #base = 0;
  #nextFieldAt = 0;
  #nextValueAt = 0;
  readonly #fieldText = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);
  readonly #valueText = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);
  readonly #number = new ElementView();

  /** Lets go of the bytes, so that their segment can go. */
  forget(): void {
    this.u8 = NO_BYTES;
    this.field.forget();
    this.value.forget();
    this.#number.forget();
  }

  /** Looks at the node at `base`, which is kept under `master`. */
  open(u8: Uint8Array, base: number, master: StreamId): void {
    this.u8 = u8;
    this.#base = base;
    this.#end = base + listpackBytes(u8, base) - 1;
    this.master.copyFrom(master);
    let at = base + LISTPACK_HEADER_BYTES;
    this.live = this.#integer(at);
    at = behindEntry(u8, at);
    this.deleted = this.#integer(at);
    at = behindEntry(u8, at);
    this.masterFields = this.#integer(at);
    at = behindEntry(u8, at);
    this.masterFieldsAt = at;
    for (let left = this.masterFields; left > 0; left--) at = behindEntry(u8, at);
    this.firstAt = behindEntry(u8, at);
  }

  /** Position of the count of deleted entries; that of the live ones is the first. */
  get deletedAt(): number {
    return behindEntry(this.u8, this.#base + LISTPACK_HEADER_BYTES);
  }

  /** Reads the first entry; false when there is none. */
  readFirst(): boolean {
    return this.#readAt(this.firstAt);
  }

  readNext(): boolean {
    return this.#readAt(this.behind);
  }

  readLast(): boolean {
    return this.#readBefore(this.#end);
  }

  readPrevious(): boolean {
    return this.#readBefore(this.at);
  }

  get isDeleted(): boolean {
    return (this.flags & EntryFlag.DELETED) !== 0;
  }

  /** Makes `field` and `value` those of the next pair of the entry, of which there is one. */
  nextField(): void {
    const { u8, field, value } = this;
    const fieldAt = this.#nextFieldAt;
    readElement(u8, fieldAt, field);
    elementToBytes(field, this.#fieldText);
    if ((this.flags & EntryFlag.SAME_FIELDS) !== 0) {
      this.#nextFieldAt = behindEntry(u8, fieldAt);
    } else {
      this.#nextValueAt = behindEntry(u8, fieldAt);
    }
    readElement(u8, this.#nextValueAt, value);
    elementToBytes(value, this.#valueText);
    const behind = behindEntry(u8, this.#nextValueAt);
    if ((this.flags & EntryFlag.SAME_FIELDS) !== 0) this.#nextValueAt = behind;
    else this.#nextFieldAt = behind;
  }

  #readAt(at: number): boolean {
    const { u8 } = this;
    if (u8[at] === TERMINATOR) return false;
    this.at = at;
    const number = this.#number;
    this.flags = this.#integer(at);
    let next = behindEntry(u8, at);
    readElement(u8, next, number);
    const msHigh = number.high;
    const msLow = number.low;
    next = behindEntry(u8, next);
    readElement(u8, next, number);
    this.id.setSum(this.master, msHigh, msLow, number.high, number.low);
    next = behindEntry(u8, next);
    let left: number;
    if ((this.flags & EntryFlag.SAME_FIELDS) !== 0) {
      this.fieldCount = this.masterFields;
      this.#nextFieldAt = this.masterFieldsAt;
      this.#nextValueAt = next;
      left = this.fieldCount;
    } else {
      this.fieldCount = this.#integer(next);
      next = behindEntry(u8, next);
      this.#nextFieldAt = next;
      left = this.fieldCount * 2;
    }
    for (; left > 0; left--) next = behindEntry(u8, next);
    this.behind = behindEntry(u8, next);
    return true;
  }

  /** Reads the entry whose element count stands before `at`. */
  #readBefore(at: number): boolean {
    const { u8 } = this;
    let back = beforeEntry(u8, at);
    const elements = this.#integer(back);
    if (elements === 0) return false;
    for (let left = elements; left > 0; left--) back = beforeEntry(u8, back);
    return this.#readAt(back);
  }

  #integer(at: number): number {
    readElement(this.u8, at, this.#number);
    return this.#number.int;
  }
}
