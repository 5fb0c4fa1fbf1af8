/**
 * Reads hashes of a dump in all forms that Redis has written: field after field, zipmap, ziplist,
 * listpack, and the forms of Redis 7.4 and Valkey 9 whose fields may have deadlines. A hash with a
 * field that has a deadline is refused, since it cannot be kept here. A field that comes twice is
 * an error. Runs on the loading worker, and on the main thread for RESTORE.
 *
 * A hash within the limits is built in the heap as one listpack. Any other is built in a table of
 * the arena. Hot path.
 */
import { copyBytes } from '../base/byte-copy.ts';
import { ErrorCode, OperatingError } from '../base/errors.ts';
import { NIL, type Ref } from '../base/units.ts';
import type { EncodingLimits } from '../keyspace/encoding-limits.ts';
import { BytesView, Encoding } from '../keyspace/entry.ts';
import type { Keyspace } from '../keyspace/keyspace.ts';
import { ListpackBuilder } from '../structs/listpack-builder.ts';
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
import type { CollectionLoader } from './collection-loader.ts';
import { RdbType, rdbTypeName } from './opcodes.ts';
import type { DumpSource } from './source.ts';
import { firstInZiplist, readZiplistElement, validateZiplist, ZIPLIST_END } from './ziplist.ts';
import { readZipmap } from './zipmap.ts';

const FIELD_FIRST_BYTES = 256;
const FIELD_KEPT_BYTES = 65536;

export class HashLoader implements CollectionLoader {
  encoding: Encoding = Encoding.LISTPACK;
  value: Ref = NIL;
  /** Type 22 differs between dumps of Valkey and of Redis. */
  valkey = false;
  readonly #source: DumpSource;
  readonly #keyspace: Keyspace;
  readonly #limits: EncodingLimits;
  readonly #view = new BytesView();
  readonly #builder = new ListpackBuilder();
  readonly #element = new ElementView();
  readonly #text = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);
  /** A field is copied: reading its value may move the window. */
  #field = new Uint8Array(FIELD_FIRST_BYTES);
  #fieldLength = 0;
  /** Length of the longest string of a zipmap or ziplist. */
  #longest = 0;

  constructor(source: DumpSource, keyspace: Keyspace, limits: EncodingLimits) {
    this.#source = source;
    this.#keyspace = keyspace;
    this.#limits = limits;
  }

  /** Reads what follows the key of a hash whose type byte was `rdbType`. */
  read(rdbType: number): void {
    this.value = NIL;
    this.encoding = Encoding.LISTPACK;
    try {
      this.#read(rdbType);
    } catch (error) {
      // Nothing owns the hash, whatever the error is.
      this.#freeTable();
      throw error;
    }
  }

  #read(rdbType: number): void {
    const source = this.#source;
    switch (rdbType) {
      case RdbType.HASH:
        this.#readFields(rdbType);
        return;
      case RdbType.HASH_METADATA:
        source.skip(8);
        this.#readFields(rdbType);
        return;
      case RdbType.HASH_METADATA_PRE_GA:
        // In Valkey's dumps it is a hash with deadlines. In Redis' it is of a release candidate.
        if (!this.valkey)
          throw this.#unsupported(`a value of type ${rdbType} (${rdbTypeName(rdbType)})`);
        this.#readFields(rdbType);
        return;
      case RdbType.HASH_ZIPMAP:
        this.#readZipmap();
        return;
      case RdbType.HASH_ZIPLIST:
        this.#readZiplist();
        return;
      case RdbType.HASH_LISTPACK:
        source.string(this.#view);
        this.#takeListpack(2);
        return;
      case RdbType.HASH_LISTPACK_EX:
        source.skip(8);
        source.string(this.#view);
        this.#takeListpack(3);
        return;
      default:
        throw this.#unsupported(`a value of type ${rdbType} (${rdbTypeName(rdbType)})`);
    }
  }

  /** A count, then the fields. */
  #readFields(rdbType: number): void {
    const source = this.#source;
    const view = this.#view;
    const { hashMaxListpackEntries, hashMaxListpackValue } = this.#limits;
    const count = source.length('the count of fields of a hash');
    const builder = this.#builder;
    builder.begin();
    if (count > hashMaxListpackEntries) this.#beginTable();
    for (let i = 0; i < count; i++) {
      if (rdbType === RdbType.HASH_METADATA)
        this.#refuseDeadline(source.length('the deadline of a field') !== 0);
      source.string(view);
      this.#copyField();
      source.string(view);
      if (this.value === NIL) {
        const longest = Math.max(this.#fieldLength, view.length);
        const fits =
          builder.hasRoomFor(this.#fieldLength) &&
          builder.hasRoomFor(this.#fieldLength + view.length);
        if (longest > hashMaxListpackValue || !fits) this.#moveToTable();
      }
      if (this.value !== NIL) {
        this.#addField(this.#field, 0, this.#fieldLength);
      } else {
        builder.append(this.#field, 0, this.#fieldLength);
        builder.append(view.bytes, view.position, view.length);
      }
      if (rdbType === RdbType.HASH_METADATA_PRE_GA) this.#refuseDeadline(source.i64() !== -1);
    }
    if (this.value !== NIL || count === 0) return;
    builder.finish();
    this.#takeBuilt();
  }

  #readZipmap(): void {
    const view = this.#view;
    this.#source.string(view);
    const { bytes, position, length } = view;
    const builder = this.#builder;
    builder.begin();
    this.#longest = 0;
    const sound = readZipmap(bytes, position, length, (at, bytesOfString) => {
      this.#longest = Math.max(this.#longest, bytesOfString);
      builder.append(bytes, at, bytesOfString);
    });
    if (!sound) throw this.#source.corrupt('Zipmap integrity check failed.');
    this.#finishOld(this.#longest);
  }

  #readZiplist(): void {
    this.#source.string(this.#view);
    const { bytes, position, length } = this.#view;
    if (validateZiplist(bytes, position, length) < 0)
      throw this.#source.corrupt('Hash ziplist integrity check failed.');
    const builder = this.#builder;
    const element = this.#element;
    builder.begin();
    for (let at = firstInZiplist(position); bytes[at] !== ZIPLIST_END; ) {
      at = readZiplistElement(bytes, at, element);
      if (element.isInteger) builder.appendInt64(element.high, element.low);
      else builder.append(element.bytes, element.position, element.length);
    }
    // Redis does not check the lengths here.
    this.#finishOld(0);
  }

  /** Takes the fields of an old form, which are in the builder. */
  #finishOld(longest: number): void {
    const builder = this.#builder;
    if (builder.count % 2 !== 0) throw this.#source.corrupt('a field of a hash has no value');
    if (builder.count === 0) return;
    builder.finish();
    if (
      builder.count / 2 <= this.#limits.hashMaxListpackEntries &&
      longest <= this.#limits.hashMaxListpackValue
    ) {
      this.#takeBuilt();
      return;
    }
    this.#beginTable();
    this.#addListpack(builder.bytes, 0, 2);
  }

  /**
   * Takes the listpack in the view. Its entries are fields, values and, with a stride of 3,
   * deadlines.
   */
  #takeListpack(stride: number): void {
    const { bytes, position, length } = this.#view;
    if (!validateListpack(bytes, position, length, true))
      throw this.#source.corrupt('Hash listpack integrity check failed.');
    const count = countEntries(bytes, position);
    if (count % stride !== 0) throw this.#source.corrupt('a field of a hash has no value');
    if (count === 0) return;
    if (count / stride > this.#limits.hashMaxListpackEntries) {
      this.#beginTable();
      this.#addListpack(bytes, position, stride);
    } else if (stride === 2) {
      this.#takeSmall(bytes, position, length);
    } else {
      this.#takeWithoutDeadlines(bytes, position);
    }
  }

  #takeBuilt(): void {
    this.#takeSmall(this.#builder.bytes, 0, this.#builder.length);
  }

  #takeSmall(bytes: Uint8Array, start: number, length: number): void {
    const { hashKey0, hashKey1, structures } = this.#keyspace;
    if (hasDuplicates(bytes, start, 2, hashKey0, hashKey1)) throw this.#duplicate();
    this.value = structures.listpacks.fromBytes(bytes, start, length);
  }

  #takeWithoutDeadlines(bytes: Uint8Array, start: number): void {
    const builder = this.#builder;
    builder.begin();
    for (let at = start + LISTPACK_HEADER_BYTES, i = 0; bytes[at] !== TERMINATOR; i++) {
      this.#readText(bytes, at);
      const { bytes: text, position, length } = this.#element;
      if (i % 3 === 2) this.#refuseDeadline(!isZero(this.#element));
      else builder.append(text, position, length);
      at = behindEntry(bytes, at);
    }
    builder.finish();
    this.#takeBuilt();
  }

  /** Adds the fields of a valid listpack to the table. */
  #addListpack(bytes: Uint8Array, start: number, stride: number): void {
    const view = this.#view;
    for (let at = start + LISTPACK_HEADER_BYTES; bytes[at] !== TERMINATOR; ) {
      this.#readText(bytes, at);
      view.bytes = this.#element.bytes;
      view.position = this.#element.position;
      view.length = this.#element.length;
      this.#copyField();
      at = behindEntry(bytes, at);
      this.#readText(bytes, at);
      view.bytes = this.#element.bytes;
      view.position = this.#element.position;
      view.length = this.#element.length;
      this.#addField(this.#field, 0, this.#fieldLength);
      at = behindEntry(bytes, at);
      if (stride === 2) continue;
      this.#readText(bytes, at);
      this.#refuseDeadline(!isZero(this.#element));
      at = behindEntry(bytes, at);
    }
  }

  #readText(bytes: Uint8Array, at: number): void {
    readElement(bytes, at, this.#element);
    elementToBytes(this.#element, this.#text);
  }

  #beginTable(): void {
    this.value = this.#keyspace.structures.fields.create();
    this.encoding = Encoding.HASHTABLE;
  }

  /**
   * Moves the fields that were built so far to a table. The field and the value at hand stay as
   * they are.
   */
  #moveToTable(): void {
    const builder = this.#builder;
    const { bytes, position, length } = this.#view;
    const field = this.#field;
    const fieldLength = this.#fieldLength;
    builder.finish();
    this.#field = new Uint8Array(FIELD_FIRST_BYTES);
    this.#beginTable();
    this.#addListpack(builder.bytes, 0, 2);
    this.#field = field;
    this.#fieldLength = fieldLength;
    this.#view.bytes = bytes;
    this.#view.position = position;
    this.#view.length = length;
  }

  /** Adds a field with the value in the view. */
  #addField(field: Uint8Array, start: number, length: number): void {
    const { fields } = this.#keyspace.structures;
    const view = this.#view;
    if (fields.find(this.value, field, start, length) !== NIL) throw this.#duplicate();
    fields.add(this.value, field, start, length, view.bytes, view.position, view.length);
  }

  #copyField(): void {
    const { bytes, position, length } = this.#view;
    if (length > this.#field.length) this.#field = new Uint8Array(length);
    else if (this.#field.length > FIELD_KEPT_BYTES && length <= FIELD_KEPT_BYTES)
      this.#field = new Uint8Array(FIELD_KEPT_BYTES);
    const field = this.#field;
    copyBytes(bytes, position, field, 0, length);
    this.#fieldLength = length;
  }

  #freeTable(): void {
    if (this.value === NIL) return;
    this.#keyspace.structures.fields.freeSome(this.value, Number.POSITIVE_INFINITY);
    this.value = NIL;
  }

  #refuseDeadline(hasDeadline: boolean): void {
    if (hasDeadline) throw this.#unsupported('a hash with fields that expire');
  }

  #duplicate(): OperatingError {
    return this.#source.corrupt('Duplicate hash fields detected');
  }

  #unsupported(what: string): OperatingError {
    return new OperatingError(
      ErrorCode.UNSUPPORTED,
      `${what}, at position ${this.#source.position}`,
    );
  }
}

const isZero = (element: ElementView): boolean => element.isInteger && element.int === 0;
