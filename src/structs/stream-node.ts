/**
 * Hot path. The nodes of a stream: listpacks with the bytes that Redis keeps and dumps.
 *
 *   master   live · deleted · field count · field … · 0
 *   entry    flags · ms · seq · value … · element count   SAME_FIELDS: those of the master
 *   entry    flags · ms · seq · field count · field · value … · element count
 *
 * The tree of nodes keeps a node under an id, the master's id. `ms` and `seq` are differences from
 * it. The element count is the number of the entry's elements before it. With it, and with the 0 of
 * the master, a node can be read backwards. A deleted entry stays in the node, with a flag.
 *
 * All positions are positions in `u8`. The bytes are trusted. Bytes of unknown origin must pass
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

/** The elements of an entry in addition to fields and values: flags, ms and seq. */
export const ENTRY_ELEMENTS = 3;

const NO_BYTES = new Uint8Array(0);

export class StreamNode {
  u8: Uint8Array = NO_BYTES;
  readonly master = new StreamId();
  /** The number of live entries, and of deleted ones. */
  live = 0;
  deleted = 0;
  masterFields = 0;
  masterFieldsAt = 0;
  /** Position of the first entry. */
  firstAt = 0;
  /** Position of the entry that was read last, and position behind it. */
  at = 0;
  behind = 0;
  flags = 0;
  readonly id = new StreamId();
  fieldCount = 0;
  /** The field and the value that {@link nextField} read. */
  readonly field = new ElementView();
  readonly value = new ElementView();
  #end = 0;
  #base = 0;
  #nextFieldAt = 0;
  #nextValueAt = 0;
  readonly #fieldText = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);
  readonly #valueText = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);
  readonly #number = new ElementView();

  /** Drops the reference to the bytes, so that their segment can be freed. */
  forget(): void {
    this.u8 = NO_BYTES;
    this.field.forget();
    this.value.forget();
    this.#number.forget();
  }

  /** Opens the node at `base`. `master` is the id that the node is kept under. */
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

  /** Position of the count of deleted entries. The count of live ones is the first element. */
  get deletedAt(): number {
    return behindEntry(this.u8, this.#base + LISTPACK_HEADER_BYTES);
  }

  /** Reads the first entry. Returns false when there is none. */
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

  /** Sets `field` and `value` to the next pair of the entry. There must be one. */
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

  /** Reads the entry whose element count ends at `at`. */
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
