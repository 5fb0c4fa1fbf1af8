/**
 * Commands that make values of every type in every encoding of Redis 7.0, with deadlines and in
 * several databases.
 */
import type { Argument } from './resp-client.ts';

const range = <T>(count: number, make: (i: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));
const LONG = 'a long text that is no number and compresses well, '.repeat(8);
const noise = (length: number): Buffer =>
  Buffer.from(range(length, (i) => (i * 7919 + (i >> 3) * 104_729) & 255));

/** The configuration that these commands need. */
export const EVERY_ENCODING_CONFIG = [
  ...['--list-max-listpack-size', '32', '--list-compress-depth', '1'],
  ...['--hash-max-listpack-entries', '64', '--zset-max-listpack-entries', '64'],
  ...['--set-max-intset-entries', '64', '--stream-node-max-entries', '20'],
];

export const everyEncoding: readonly Argument[][] = [
  ['SET', 'string:int8', 12],
  ['SET', 'string:int16', -3000],
  ['SET', 'string:int32', 2_000_000_000],
  ['SET', 'string:int64', '-9223372036854775808'],
  ['SET', 'string:embstr', 'hello'],
  ['SET', 'string:empty', ''],
  ['SET', 'string:raw', noise(500)],
  ['SET', 'string:compressed', LONG],
  ['SET', 'string:long', noise(70_000)],
  ['SET', 'string:deadline', 'x', 'PXAT', 4_102_444_800_000],
  ['RPUSH', 'list:short', 'a', 1, '', -70_000, '9223372036854775807'],
  ['RPUSH', 'list:nodes', ...range(300, (i) => (i % 3 === 0 ? i * 997 : `element ${i}`))],
  ['RPUSH', 'list:plain', noise(9000), 'x', LONG.repeat(40), noise(20_000)],
  ['SADD', 'set:int16', 1, -2, 300],
  ['SADD', 'set:int32', 1, -2, 300_000],
  ['SADD', 'set:int64', 1, -2, '9223372036854775807'],
  ['SADD', 'set:ints in a table', ...range(100, (i) => i * i)],
  ['SADD', 'set:small', 'a', 'b', 3, LONG],
  ['SADD', 'set:table', ...range(200, (i) => `member ${i}`)],
  ['HSET', 'hash:small', 'field', 'value', 'n', -5, '', LONG.slice(0, 60)],
  ['HSET', 'hash:long value', 'field', LONG],
  [
    'HSET',
    'hash:table',
    ...range(200, (i) => [`field ${i}`, i % 2 === 0 ? i * 31 : `v${i}`]).flat(),
  ],
  ['ZADD', 'zset:small', 1, 'a', '-1.5', 'b', 'inf', 'c', '-inf', 'd', '1e17', 'e', '0.1', 7],
  [
    'ZADD',
    'zset:index',
    ...range(200, (i) => [i / 7, `m${i}`]).flat(),
    '-inf',
    'low',
    'inf',
    'high',
  ],
  ['GEOADD', 'zset:geo', 13.361389, 38.115556, 'Palermo', 15.087269, 37.502669, 'Catania'],
  ['PFADD', 'hll:sparse', 'a', 'b', 'c'],
  ['PFADD', 'hll:dense', ...range(3000, (i) => i * 17)],
  ['PFMERGE', 'hll:dense', 'hll:dense', 'hll:sparse'],
  ...range(90, (i) => [
    'XADD',
    'stream:groups',
    `${1000 + i}-${i % 3}`,
    'same',
    i,
    'fields',
    `v${i}`,
  ]),
  ...range(30, (i) => [
    'XADD',
    'stream:groups',
    `${2000 + i}-0`,
    `other${i % 4}`,
    LONG.slice(0, i * 4),
  ]),
  ['XDEL', 'stream:groups', '1003-0', '1004-1', '2002-0', '1050-2'],
  ['XGROUP', 'CREATE', 'stream:groups', 'first', 0],
  ['XGROUP', 'CREATE', 'stream:groups', 'last', '$', 'ENTRIESREAD', 5],
  ['XGROUP', 'CREATECONSUMER', 'stream:groups', 'first', 'idle'],
  ['XREADGROUP', 'GROUP', 'first', 'alice', 'COUNT', 40, 'STREAMS', 'stream:groups', '>'],
  ['XREADGROUP', 'GROUP', 'first', 'bob', 'COUNT', 9, 'STREAMS', 'stream:groups', '>'],
  ['XACK', 'stream:groups', 'first', '1001-1', '1005-2', '1041-2'],
  ['XADD', 'stream:empty', '5-5', 'a', 'b'],
  ['XDEL', 'stream:empty', '5-5'],
  ['XGROUP', 'CREATE', 'stream:empty', 'group', '3-0'],
  ['PEXPIREAT', 'hash:table', 4_102_444_800_001],
  ['PEXPIREAT', 'stream:groups', 4_102_444_800_002],
  ['SELECT', 3],
  ['SET', 'elsewhere', 1],
  ['RPUSH', 'list', 1, 2, 3],
  ['SELECT', 15],
  ['SADD', 'last', 'x'],
  ['SELECT', 0],
];
