/**
 * The numbers of the dump format: opcodes before records, types of values, forms of lengths and
 * strings. They reach disk and wire, so a golden test freezes them.
 *
 *   magic · AUX* · MODULE_AUX* · FUNCTION2* · databases · EOF · CRC64
 *   database  SELECTDB RESIZEDB record*
 *   record    [EXPIRETIME_MS i64] [IDLE len | FREQ u8] [KEY_META …] type key value
 *
 *   length    00LLLLLL
 *             01LLLLLL LLLLLLLL
 *             10000000 u32 big-endian
 *             10000001 u64 big-endian
 *   string    a length and so many bytes, or 11 and a form of {@link StringForm}
 */

export const Opcode = {
  /** Of Redis 8.10. See {@link ValkeyOpcode} for the same number in Valkey's dumps. */
  HASH_TEMPLATE: 242,
  /** Of Redis 8.6. See {@link ValkeyOpcode} for the same number in Valkey's dumps. */
  KEY_META: 243,
  SLOT_INFO: 244,
  FUNCTION2: 245,
  FUNCTION_PRE_GA: 246,
  MODULE_AUX: 247,
  IDLE: 248,
  FREQ: 249,
  AUX: 250,
  RESIZEDB: 251,
  EXPIRETIME_MS: 252,
  EXPIRETIME: 253,
  SELECTDB: 254,
  EOF: 255,
} as const;

/** The smallest opcode. All types are smaller. */
export const OPCODE_MIN = Opcode.HASH_TEMPLATE;

/** Only in dumps whose magic is VALKEY. Other dumps give these numbers another meaning. */
export const ValkeyOpcode = { UPDATE: 242, SLOT_IMPORT: 243 } as const;

/** The byte before a key that says how its value is written. */
export const RdbType = {
  STRING: 0,
  LIST: 1,
  SET: 2,
  ZSET: 3,
  HASH: 4,
  ZSET_2: 5,
  MODULE_PRE_GA: 6,
  MODULE_2: 7,
  HASH_ZIPMAP: 9,
  LIST_ZIPLIST: 10,
  SET_INTSET: 11,
  ZSET_ZIPLIST: 12,
  HASH_ZIPLIST: 13,
  LIST_QUICKLIST: 14,
  STREAM_LISTPACKS: 15,
  HASH_LISTPACK: 16,
  ZSET_LISTPACK: 17,
  LIST_QUICKLIST_2: 18,
  STREAM_LISTPACKS_2: 19,
  SET_LISTPACK: 20,
  STREAM_LISTPACKS_3: 21,
  HASH_METADATA_PRE_GA: 22,
  HASH_LISTPACK_EX_PRE_GA: 23,
  HASH_METADATA: 24,
  HASH_LISTPACK_EX: 25,
  STREAM_LISTPACKS_4: 26,
  STREAM_LISTPACKS_5: 27,
  ARRAY: 28,
  HASH_TEMPLATE_LISTPACK: 29,
  HASH_TEMPLATE_LISTPACK_REF: 30,
  HASH_TEMPLATE_FIELDS: 31,
  HASH_TEMPLATE_FIELDS_REF: 32,
} as const;
export type RdbType = (typeof RdbType)[keyof typeof RdbType];

/** Types of dumps whose magic is VALKEY. Beyond them Valkey knows the types up to 21. */
export const ValkeyType = { HASH_2: 22, PATH_HASH: 23 } as const;
const VALKEY_TYPE_MAX = ValkeyType.PATH_HASH;

/** The name of a type for messages, or undefined for a byte that is none. */
export function rdbTypeName(type: number, valkey = false): string | undefined {
  if (!valkey) return typeNames.get(type);
  return valkeyTypeNames.get(type) ?? (type > VALKEY_TYPE_MAX ? undefined : typeNames.get(type));
}
const namesOf = (types: Readonly<Record<string, number>>): ReadonlyMap<number, string> =>
  new Map(
    Object.entries(types).map(([name, type]) => [type, name.toLowerCase().replaceAll('_', '-')]),
  );
const typeNames = namesOf(RdbType);
const valkeyTypeNames = namesOf(ValkeyType);

export const LENGTH_14_BIT = 0x40;
export const LENGTH_32_BIT = 0x80;
export const LENGTH_64_BIT = 0x81;
/**
 * The two high bits of a string that is not a plain run of bytes. The low six bits are a
 * {@link StringForm}.
 */
export const SPECIAL_STRING = 0xc0;

export const StringForm = { INT8: 0, INT16: 1, INT32: 2, LZF: 3 } as const;

/** Before each node of a list: an element as a string, or a listpack. */
export const ListContainer = { PLAIN: 1, PACKED: 2 } as const;

export const MAGIC_BYTES = 9;
export const CHECKSUM_BYTES = 8;
/** From this version on a checksum follows the end. */
export const CHECKSUM_VERSION_MIN = 5;
/** The newest version that is read: that of Redis 8.10. */
export const RDB_VERSION_MAX = 15;
/** Valkey's own versions that are read: 80 is of Valkey 9.0 and 9.1, 81 of Valkey 9.2. */
export const VALKEY_VERSION_MIN = 80;
export const VALKEY_VERSION_MAX = 81;

/** Before each part of a module's data, as a length. */
export const ModuleOpcode = { EOF: 0, SINT: 1, UINT: 2, FLOAT: 3, DOUBLE: 4, STRING: 5 } as const;
