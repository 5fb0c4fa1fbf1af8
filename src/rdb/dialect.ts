/**
 * What a dump may contain depends on its reader. The version in the header says it, and with it the
 * kinds of values.
 *
 *   reader                          version   plainTypes
 *   Redis 5 and 6, KeyDB, old tools 9         either: without listpacks, collections are plain
 *   Redis 7.0, Valkey               10
 *   Redis 7.2, Valkey               11
 *   Redis 7.4 and later             12
 *
 * `plainTypes` writes collections element by element, even where the version knows blobs. That is
 * slower, and any reader can read it.
 */
import { unreachable } from '../base/assert.ts';
import { Encoding, ValueType } from '../keyspace/entry.ts';
import { RdbType } from './opcodes.ts';

export type RdbVersion = 9 | 10 | 11 | 12;

export interface Dialect {
  readonly version: RdbVersion;
  readonly plainTypes: boolean;
}

/** Whether dumps of both can be read by the same readers. */
export function isSameDialect(one: Dialect, other: Dialect): boolean {
  return one.version === other.version && one.plainTypes === other.plainTypes;
}

/** The first bytes of a dump, MAGIC_BYTES of them: whose it is, and its version. */
export interface Magic {
  readonly isValkey: boolean;
  readonly version: number;
}

/** Reads `magic`, such as `REDIS0011` or `VALKEY080`; undefined when it is none. */
export function readMagic(magic: string): Magic | undefined {
  const match = /^(?:REDIS(\d{4})|VALKEY(\d{3}))$/.exec(magic);
  if (match === null) return undefined;
  return { isValkey: match[1] === undefined, version: Number(match[1] ?? match[2]) };
}

/** Functions travel in dumps from this version on. */
export const FUNCTIONS_VERSION_MIN = 10;

/** The type byte that stands before a value of this type and encoding. */
export function rdbTypeOf(type: ValueType, encoding: Encoding, dialect: Dialect): RdbType {
  const { version, plainTypes } = dialect;
  const listpacks = version >= 10 && !plainTypes;
  switch (type) {
    case ValueType.STRING:
      return RdbType.STRING;
    case ValueType.LIST:
      return listpacks ? RdbType.LIST_QUICKLIST_2 : RdbType.LIST;
    case ValueType.SET:
      if (encoding === Encoding.INTSET && !plainTypes) return RdbType.SET_INTSET;
      return encoding === Encoding.LISTPACK && listpacks && version >= 11
        ? RdbType.SET_LISTPACK
        : RdbType.SET;
    case ValueType.ZSET:
      return encoding === Encoding.LISTPACK && listpacks ? RdbType.ZSET_LISTPACK : RdbType.ZSET_2;
    case ValueType.HASH:
      return encoding === Encoding.LISTPACK && listpacks ? RdbType.HASH_LISTPACK : RdbType.HASH;
    case ValueType.STREAM:
      if (version >= 11 && !plainTypes) return RdbType.STREAM_LISTPACKS_3;
      return listpacks ? RdbType.STREAM_LISTPACKS_2 : RdbType.STREAM_LISTPACKS;
    default:
      return unreachable(type);
  }
}
