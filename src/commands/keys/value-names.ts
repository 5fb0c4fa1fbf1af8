/** Names of types and encodings, as in TYPE, SCAN TYPE and OBJECT ENCODING. */
import { unreachable } from '../../base/assert.ts';
import { Encoding, ValueType } from '../../keyspace/entry.ts';

export function typeName(type: ValueType): string {
  switch (type) {
    case ValueType.STRING:
      return 'string';
    case ValueType.LIST:
      return 'list';
    case ValueType.SET:
      return 'set';
    case ValueType.ZSET:
      return 'zset';
    case ValueType.HASH:
      return 'hash';
    case ValueType.STREAM:
      return 'stream';
    default:
      return unreachable(type);
  }
}

export function encodingName(encoding: Encoding): string {
  switch (encoding) {
    case Encoding.INT:
      return 'int';
    case Encoding.EMBSTR:
      return 'embstr';
    case Encoding.RAW:
    case Encoding.RAW_APART:
      return 'raw';
    case Encoding.LISTPACK:
      return 'listpack';
    case Encoding.INTSET:
      return 'intset';
    case Encoding.HASHTABLE:
      return 'hashtable';
    case Encoding.QUICKLIST:
      return 'quicklist';
    case Encoding.SKIPLIST:
      return 'skiplist';
    case Encoding.STREAM:
      return 'stream';
    default:
      return unreachable(encoding);
  }
}
