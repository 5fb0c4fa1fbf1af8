/**
 * Reads sets of a dump in all forms that Redis has written: member after member, intset, listpack.
 * A member that comes twice is an error. Runs on the loading worker, and on the main thread for
 * RESTORE.
 *
 * A set that comes member after member is built in the arena. As in Redis, it is an intset while
 * all members are integers and the set is small, then a listpack while it is within the limits, and
 * then a table. A blob within the limits is taken as it is. A larger blob is read member after
 * member. Hot path.
 */
import type { OperatingError } from '../base/errors.ts';
import { NIL, type Ref } from '../base/units.ts';
import type { EncodingLimits } from '../keyspace/encoding-limits.ts';
import { BytesView, Encoding } from '../keyspace/entry.ts';
import type { Keyspace } from '../keyspace/keyspace.ts';
import { Int64 } from '../structs/int64.ts';
import { intsetCount, readInteger, validateIntset } from '../structs/intset-read.ts';
import { hasDuplicates, validateListpack } from '../structs/listpack-check.ts';
import {
  behindEntry,
  countEntries,
  ELEMENT_TEXT_BYTES_MAX,
  ElementView,
  elementToBytes,
  LISTPACK_HEADER_BYTES,
  readElement,
  TERMINATOR,
} from '../structs/listpack-read.ts';
import { type MemberSet, SetForm } from '../structs/member-set.ts';
import type { CollectionLoader } from './collection-loader.ts';
import { RdbType } from './opcodes.ts';
import type { DumpSource } from './source.ts';

const ENCODING_OF_FORM = {
  [SetForm.INTSET]: Encoding.INTSET,
  [SetForm.LISTPACK]: Encoding.LISTPACK,
  [SetForm.TABLE]: Encoding.HASHTABLE,
} as const;

export class SetLoader implements CollectionLoader {
  encoding: Encoding = Encoding.HASHTABLE;
  value: Ref = NIL;
  readonly #source: DumpSource;
  readonly #keyspace: Keyspace;
  readonly #limits: EncodingLimits;
  readonly #set: MemberSet;
  readonly #view = new BytesView();
  readonly #element = new ElementView();
  readonly #integer = new Int64();
  readonly #text = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);

  constructor(source: DumpSource, keyspace: Keyspace, limits: EncodingLimits) {
    this.#source = source;
    this.#keyspace = keyspace;
    this.#limits = limits;
    this.#set = keyspace.structures.newMemberSet();
  }

  /** Reads what follows the key of a set whose type byte was `rdbType`. */
  read(rdbType: number): void {
    const set = this.#set;
    set.open(NIL, SetForm.INTSET);
    try {
      if (rdbType === RdbType.SET) this.#readMembers();
      else if (rdbType === RdbType.SET_INTSET) this.#readIntset();
      else this.#readListpack();
    } catch (error) {
      // Nothing owns the set, whatever the error is.
      if (set.ref !== NIL) set.free();
      throw error;
    }
    this.value = set.ref;
    this.encoding = ENCODING_OF_FORM[set.form];
  }

  /** A count, then the members. */
  #readMembers(): void {
    const source = this.#source;
    const view = this.#view;
    const count = source.length('the count of members of a set');
    if (count === 0) return;
    this.#set.create(count > this.#limits.setMaxIntsetEntries ? SetForm.TABLE : SetForm.INTSET);
    for (let i = 0; i < count; i++) {
      source.string(view);
      this.#add(view.bytes, view.position, view.length);
    }
  }

  #readIntset(): void {
    this.#source.string(this.#view);
    const { bytes, position, length } = this.#view;
    if (!validateIntset(bytes, position, length))
      throw this.#source.corrupt('Intset integrity check failed.');
    const count = intsetCount(bytes, position);
    if (count <= this.#limits.setMaxIntsetEntries) {
      const { intsets } = this.#keyspace.structures;
      this.#set.open(intsets.fromBytes(bytes, position, length), SetForm.INTSET);
      return;
    }
    this.#set.create(SetForm.TABLE);
    const element = this.#element;
    for (let i = 0; i < count; i++) {
      readInteger(bytes, position, i, this.#integer);
      element.isInteger = true;
      element.high = this.#integer.high;
      element.low = this.#integer.low;
      this.#addElement();
    }
  }

  #readListpack(): void {
    this.#source.string(this.#view);
    const { bytes, position, length } = this.#view;
    if (!validateListpack(bytes, position, length, true))
      throw this.#source.corrupt('Set listpack integrity check failed.');
    const count = countEntries(bytes, position);
    if (count === 0) return;
    if (count <= this.#limits.setMaxListpackEntries) {
      const { hashKey0, hashKey1, structures } = this.#keyspace;
      if (hasDuplicates(bytes, position, 1, hashKey0, hashKey1)) throw this.#duplicate();
      this.#set.open(structures.listpacks.fromBytes(bytes, position, length), SetForm.LISTPACK);
      return;
    }
    this.#set.create(SetForm.TABLE);
    let at = position + LISTPACK_HEADER_BYTES;
    for (; bytes[at] !== TERMINATOR; at = behindEntry(bytes, at)) {
      readElement(bytes, at, this.#element);
      this.#addElement();
    }
  }

  #addElement(): void {
    const element = this.#element;
    elementToBytes(element, this.#text);
    this.#add(element.bytes, element.position, element.length);
  }

  #add(bytes: Uint8Array, start: number, length: number): void {
    if (!this.#set.add(bytes, start, length, this.#limits)) throw this.#duplicate();
  }

  #duplicate(): OperatingError {
    return this.#source.corrupt('Duplicate set members detected');
  }
}
