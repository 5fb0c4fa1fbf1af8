import { describe, expect, test } from 'vitest';
import { Encoding, ValueType } from '../../src/keyspace/entry.ts';
import { type Dialect, rdbTypeOf } from '../../src/rdb/dialect.ts';
import {
  ModuleOpcode,
  Opcode,
  RdbType,
  rdbTypeName,
  StringForm,
  ValkeyOpcode,
  ValkeyType,
} from '../../src/rdb/opcodes.ts';

const types: readonly (readonly [string, ValueType, Encoding, number[], number])[] = [
  // name, type, encoding, type bytes of versions 9 10 11 12, type byte of plain types
  ['a string', ValueType.STRING, Encoding.RAW, [0, 0, 0, 0], 0],
  ['a string apart', ValueType.STRING, Encoding.RAW_APART, [0, 0, 0, 0], 0],
  ['a list', ValueType.LIST, Encoding.LISTPACK, [1, 18, 18, 18], 1],
  ['a long list', ValueType.LIST, Encoding.QUICKLIST, [1, 18, 18, 18], 1],
  ['a set of integers', ValueType.SET, Encoding.INTSET, [11, 11, 11, 11], 2],
  ['a small set', ValueType.SET, Encoding.LISTPACK, [2, 2, 20, 20], 2],
  ['a set', ValueType.SET, Encoding.HASHTABLE, [2, 2, 2, 2], 2],
  ['a small sorted set', ValueType.ZSET, Encoding.LISTPACK, [5, 17, 17, 17], 5],
  ['a sorted set', ValueType.ZSET, Encoding.SKIPLIST, [5, 5, 5, 5], 5],
  ['a small hash', ValueType.HASH, Encoding.LISTPACK, [4, 16, 16, 16], 4],
  ['a hash', ValueType.HASH, Encoding.HASHTABLE, [4, 4, 4, 4], 4],
  ['a stream', ValueType.STREAM, Encoding.STREAM, [15, 19, 21, 21], 15],
];

describe('the type byte of', () => {
  test.each(types)('%s follows the dialect', (_name, type, encoding, versions, plain) => {
    const dialects: Dialect[] = ([9, 10, 11, 12] as const).map((version) => ({
      version,
      plainTypes: false,
    }));
    expect(dialects.map((dialect) => rdbTypeOf(type, encoding, dialect))).toEqual(versions);
    for (const { version } of dialects)
      expect(rdbTypeOf(type, encoding, { version, plainTypes: true })).toBe(plain);
  });
});

test('the numbers of the format never change', () => {
  expect(ValkeyOpcode).toEqual({ UPDATE: 242, SLOT_IMPORT: 243 });
  expect(ValkeyType).toEqual({ HASH_2: 22, PATH_HASH: 23 });
  expect(ModuleOpcode).toEqual({ EOF: 0, SINT: 1, UINT: 2, FLOAT: 3, DOUBLE: 4, STRING: 5 });
  expect(Opcode).toEqual({
    HASH_TEMPLATE: 242,
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
  });
  expect(Object.values(RdbType)).toEqual([
    0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
    27, 28, 29, 30, 31, 32,
  ]);
  expect(StringForm).toEqual({ INT8: 0, INT16: 1, INT32: 2, LZF: 3 });
  expect(rdbTypeName(19)).toBe('stream-listpacks-2');
  expect(rdbTypeName(8)).toBeUndefined();
  expect([rdbTypeName(22), rdbTypeName(22, true)]).toEqual(['hash-metadata-pre-ga', 'hash-2']);
  expect([rdbTypeName(26), rdbTypeName(26, true)]).toEqual(['stream-listpacks-4', undefined]);
  expect(rdbTypeName(21, true)).toBe('stream-listpacks-3');
});
