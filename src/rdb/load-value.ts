/**
 * Values of a dump, by their type byte: read first, and added to a database only once they are known to be sound, so
 * that a bad payload changes nothing. For the loading worker, and on the main thread for RESTORE.
 * Hot path.
 */
import { parseInt64, parseInteger } from '../base/bytes.ts';
import { ErrorCode, OperatingError } from '../base/errors.ts';
import type { Ref } from '../base/units.ts';
import type { Database } from '../keyspace/database.ts';
import { BytesView, EMBSTR_BYTES_MAX, Encoding } from '../keyspace/entry.ts';
import { RdbType, rdbTypeName } from './opcodes.ts';
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
  readonly #string = new BytesView();

  constructor(source: DumpSource) {
    this.#source = source;
  }

  /** Reads a value whose type byte was `type`. Throws UNSUPPORTED for a type that cannot be held here. */
  read(type: number): void {
    if (type === RdbType.STRING) this.#source.string(this.#string);
    else throw this.#refusal(type);
  }

  /** Adds what was read last to `database`, under a key that has just been looked for there and is absent. */
  add(database: Database, key: Uint8Array, keyStart: number, keyLength: number): Ref {
    const { bytes, position, length } = this.#string;
    const encoding = stringEncoding(bytes, position, length);
    return database.addString(key, keyStart, keyLength, bytes, position, length, encoding);
  }

  #refusal(type: number): OperatingError {
    const name = rdbTypeName(type);
    if (name === undefined) return this.#source.corrupt(`Unknown RDB encoding type ${type}`);
    return new OperatingError(
      ErrorCode.UNSUPPORTED,
      `a value of type ${type} (${name}), at position ${this.#source.position}`,
    );
  }
}
