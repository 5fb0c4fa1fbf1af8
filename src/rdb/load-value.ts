/**
 * Reads values of a dump by their type byte. A value is read first. It is added to a database only
 * when it is sound, so a bad payload changes nothing. Runs on the loading worker, and on the main
 * thread for RESTORE.
 *
 * Strings are read here. A loader per type reads collections, and builds them in the arena of the
 * keyspace. The caller owes either `add` or `discard` after each {@link ValueLoader.read} that
 * returned true. Hot path.
 */
import { parseInt64, parseInteger } from '../base/bytes.ts';
import { ErrorCode, OperatingError } from '../base/errors.ts';
import { NIL, type Ref } from '../base/units.ts';
import type { Database } from '../keyspace/database.ts';
import type { EncodingLimits } from '../keyspace/encoding-limits.ts';
import { BytesView, EMBSTR_BYTES_MAX, Encoding, ValueType } from '../keyspace/entry.ts';
import type { Keyspace } from '../keyspace/keyspace.ts';
import type { CollectionLoader } from './collection-loader.ts';
import { HashLoader } from './load-hash.ts';
import { ListLoader } from './load-list.ts';
import { SetLoader } from './load-set.ts';
import { StreamLoader } from './load-stream.ts';
import { SortedSetLoader } from './load-zset.ts';
import { moduleName } from './module-data.ts';
import { RdbType, rdbTypeName, ValkeyType } from './opcodes.ts';
import type { SkippedParts } from './skipped.ts';
import type { DumpSource } from './source.ts';

/** "-9223372036854775808" has 20 bytes; texts up to 15 bytes are within 2^53. */
const INT64_BYTES_MAX = 20;
const SAFE_INTEGER_BYTES_MAX = 15;

/** The encoding that Redis gives a string of these bytes. */
export function stringEncoding(bytes: Uint8Array, start: number, length: number): Encoding {
  if (length > EMBSTR_BYTES_MAX) return Encoding.RAW;
  if (length > INT64_BYTES_MAX) return Encoding.EMBSTR;
  const integer =
    length <= SAFE_INTEGER_BYTES_MAX
      ? !Number.isNaN(parseInteger(bytes, start, length))
      : parseInt64(bytes, start, length) !== undefined;
  return integer ? Encoding.INT : Encoding.EMBSTR;
}

export class ValueLoader {
  readonly #source: DumpSource;
  readonly #keyspace: Keyspace;
  readonly #string = new BytesView();
  readonly #lists: ListLoader;
  readonly #hashes: HashLoader;
  readonly #sets: SetLoader;
  readonly #sortedSets: SortedSetLoader;
  readonly #streams: StreamLoader;
  /** The value that was read last. */
  #type: ValueType = ValueType.STRING;
  #encoding: Encoding = Encoding.RAW;
  #value: Ref = NIL;
  #valkey = false;

  /** `skipped` is told of parts of values that have no counterpart here. */
  constructor(
    source: DumpSource,
    keyspace: Keyspace,
    limits: EncodingLimits,
    skipped: SkippedParts,
  ) {
    this.#source = source;
    this.#keyspace = keyspace;
    this.#lists = new ListLoader(source, keyspace, limits);
    this.#hashes = new HashLoader(source, keyspace, limits);
    this.#sets = new SetLoader(source, keyspace, limits);
    this.#sortedSets = new SortedSetLoader(source, keyspace, limits);
    this.#streams = new StreamLoader(source, keyspace, skipped);
  }

  /** Whether the dump is Valkey's own, where some type bytes have another meaning. */
  set valkey(valkey: boolean) {
    this.#valkey = valkey;
    this.#hashes.valkey = valkey;
  }

  /**
   * Reads a value whose type byte was `rdbType`. Returns false for an empty collection, which no
   * key may hold; some versions of Redis wrote them. Throws UNSUPPORTED for what cannot be held
   * here.
   */
  read(rdbType: number): boolean {
    if (rdbType === RdbType.STRING) {
      this.#source.string(this.#string);
      this.#type = ValueType.STRING;
      return true;
    }
    if (this.#valkey && rdbType > ValkeyType.HASH_2) throw this.#refusal(rdbType);
    switch (rdbType) {
      case RdbType.LIST:
      case RdbType.LIST_ZIPLIST:
      case RdbType.LIST_QUICKLIST:
      case RdbType.LIST_QUICKLIST_2:
        return this.#readWith(this.#lists, ValueType.LIST, rdbType);
      case RdbType.HASH:
      case RdbType.HASH_ZIPMAP:
      case RdbType.HASH_ZIPLIST:
      case RdbType.HASH_LISTPACK:
      case RdbType.HASH_METADATA_PRE_GA:
      case RdbType.HASH_LISTPACK_EX_PRE_GA:
      case RdbType.HASH_METADATA:
      case RdbType.HASH_LISTPACK_EX:
        return this.#readWith(this.#hashes, ValueType.HASH, rdbType);
      case RdbType.SET:
      case RdbType.SET_INTSET:
      case RdbType.SET_LISTPACK:
        return this.#readWith(this.#sets, ValueType.SET, rdbType);
      case RdbType.ZSET:
      case RdbType.ZSET_2:
      case RdbType.ZSET_ZIPLIST:
      case RdbType.ZSET_LISTPACK:
        return this.#readWith(this.#sortedSets, ValueType.ZSET, rdbType);
      case RdbType.STREAM_LISTPACKS:
      case RdbType.STREAM_LISTPACKS_2:
      case RdbType.STREAM_LISTPACKS_3:
      case RdbType.STREAM_LISTPACKS_4:
      case RdbType.STREAM_LISTPACKS_5:
        return this.#readWith(this.#streams, ValueType.STREAM, rdbType);
      default:
        throw this.#refusal(rdbType);
    }
  }

  /**
   * Adds the value that was read last to `database`. The caller has just looked for the key there,
   * and it is absent.
   */
  add(database: Database, key: Uint8Array, keyStart: number, keyLength: number): Ref {
    if (this.#type !== ValueType.STRING)
      return database.addObject(key, keyStart, keyLength, this.#type, this.#encoding, this.#value);
    const { bytes, position, length } = this.#string;
    const encoding = stringEncoding(bytes, position, length);
    return database.addString(key, keyStart, keyLength, bytes, position, length, encoding);
  }

  /** Frees the memory of the value that was read last. */
  discard(): void {
    if (this.#type !== ValueType.STRING)
      this.#keyspace.releaseObject(this.#type, this.#encoding, this.#value);
  }

  #readWith(loader: CollectionLoader, type: ValueType, rdbType: number): boolean {
    loader.read(rdbType);
    this.#type = type;
    this.#encoding = loader.encoding;
    this.#value = loader.value;
    return loader.value !== NIL;
  }

  #refusal(type: number): OperatingError {
    const source = this.#source;
    const name = rdbTypeName(type, this.#valkey);
    if (name === undefined) return source.corrupt(`Unknown RDB encoding type ${type}`);
    let module = '';
    if (type === RdbType.MODULE_2) {
      source.readLength();
      module = ` of the module type '${moduleName(source.lengthHigh, source.lengthLow)}'`;
    }
    return new OperatingError(
      ErrorCode.UNSUPPORTED,
      `a value of type ${type} (${name})${module}, at position ${source.position}`,
    );
  }
}
