/**
 * What the random comparison with a real server cannot tell: random order, replicas, other types,
 * limits.
 */
import { beforeEach, describe, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { asRef } from '../../../src/base/units.ts';
import { WRONGTYPE } from '../../../src/commands/context.ts';
import { Encoding, ValueType } from '../../../src/keyspace/entry.ts';
import { CommandHarness, HARNESS_NOW_MS } from '../../support/command-harness.ts';
import { RespError } from '../../support/resp-parser.ts';

let harness: CommandHarness;

beforeEach(() => {
  harness = new CommandHarness();
});

const PAST = ['PXAT', '1'] as const;
const message = (reply: unknown): string =>
  reply instanceof RespError ? reply.message : `no error: ${reply}`;

function fill(count: number): string[] {
  const names = Array.from({ length: count }, (_, i) => `key:${i}`);
  for (const name of names) harness.run('SET', name, 'x');
  return names;
}

function scanAll(...options: string[]): string[] {
  const found: string[] = [];
  let cursor = '0';
  do {
    const [next, keys] = harness.call('SCAN', cursor, ...options) as [string, string[]];
    found.push(...keys);
    cursor = next;
  } while (cursor !== '0');
  return found.sort();
}

describe('SCAN', () => {
  test.each([[[]], [['COUNT', '1']], [['COUNT', '1000']]])(
    '%j comes past every key once',
    (options) => {
      const names = fill(700);
      expect(scanAll(...options)).toEqual(names.sort());
    },
  );

  test('comes past every key that stays while others come and go', () => {
    const names = fill(300);
    const found = new Set<string>();
    const prng = new Prng(7);
    let cursor = '0';
    do {
      const [next, keys] = harness.call('SCAN', cursor) as [string, string[]];
      for (const key of keys) found.add(key);
      cursor = next;
      for (let i = 0; i < 40; i++) {
        const other = `o${prng.below(900)}`;
        if (prng.below(2) === 0) harness.run('SET', other, 'x');
        else harness.run('DEL', other);
      }
    } while (cursor !== '0');
    for (const name of names) expect(found.has(name), name).toBe(true);
  });

  test('answers keys of the type and the pattern', () => {
    fill(40);
    expect(scanAll('MATCH', 'key:1?')).toHaveLength(10);
    expect(scanAll('TYPE', 'STRING', 'MATCH', 'key:7')).toEqual(['key:7']);
    expect(scanAll('TYPE', 'list')).toEqual([]);
    expect(scanAll('TYPE', 'nothing')).toEqual([]);
  });

  test('deletes the expired keys that it meets, one by one', () => {
    harness.run('SET', 'a', '1', ...PAST);
    harness.run('SET', 'b', '2', ...PAST);
    harness.run('SET', 'c', '3');
    harness.stream.length = 0;
    expect(scanAll('COUNT', '100')).toEqual(['c']);
    expect(harness.stream.sort()).toEqual([
      ['DEL', 'a'],
      ['DEL', 'b'],
    ]);
  });

  test('looks at a bounded number of keys, whatever COUNT says', () => {
    fill(70_000);
    const [cursor, keys] = harness.call('SCAN', '0', 'COUNT', '9223372036854775807') as [
      string,
      string[],
    ];
    expect(cursor).not.toBe('0');
    expect(keys.length).toBeLessThan(66_000);
  });

  test.each([
    [['x'], 'ERR invalid cursor'],
    [['18446744073709551616'], 'ERR invalid cursor'],
    [['0', 'COUNT', '0'], 'ERR syntax error'],
    [['0', 'COUNT', 'x'], 'ERR value is not an integer or out of range'],
    [['0', 'MATCH'], 'ERR syntax error'],
    [['0', 'NONSENSE', '1'], 'ERR syntax error'],
  ])('%j is refused', (args, error) => {
    expect(message(harness.call('SCAN', ...args))).toBe(error);
  });
});

describe('RANDOMKEY', () => {
  test('comes past every key in the end', () => {
    const names = fill(20);
    const seen = new Set<unknown>();
    for (let i = 0; i < 2000 && seen.size < names.length; i++) seen.add(harness.call('RANDOMKEY'));
    expect([...seen].sort()).toEqual(names.sort());
  });

  test('deletes expired keys on its way and answers nil when nothing is left', () => {
    for (const key of ['a', 'b']) harness.run('SET', key, 'x', ...PAST);
    const { reply, stream } = harness.run('RANDOMKEY');
    expect(reply).toBeNull();
    expect(stream.map(({ words }) => words.join(' ')).sort()).toEqual(['DEL a', 'DEL b']);
  });

  test('ends on a replica where all keys have expired', () => {
    harness.run('SET', 'a', 'x', ...PAST);
    harness.server.deletesExpired = false;
    expect(harness.call('RANDOMKEY')).toBe('a');
  });
});

describe('keys past their deadline on a replica', () => {
  beforeEach(() => {
    harness.run('SET', 'k', '5', ...PAST);
    harness.server.deletesExpired = false;
  });

  test('are hidden from readers and stay', () => {
    expect(harness.call('GET', 'k')).toBeNull();
    expect(harness.call('TTL', 'k')).toBe(-2);
    expect(harness.call('KEYS', '*')).toEqual([]);
    expect(harness.call('DBSIZE')).toBe(1);
  });

  test('make way for a writer', () => {
    expect(harness.call('INCR', 'k')).toBe(1);
    expect(harness.call('DBSIZE')).toBe(1);
    harness.keyspace.validate();
  });

  test('are there for the stream of the primary, which decides', () => {
    harness.client.fromPrimary = true;
    expect(harness.call('INCR', 'k')).toBe(6);
    expect(harness.call('PEXPIREAT', 'k', '1')).toBe(1);
    expect(harness.call('PEXPIREAT', 'k', '-5')).toBe(1);
    expect(harness.call('DBSIZE')).toBe(1);
    harness.keyspace.validate();
  });
});

describe('what the stream carries', () => {
  test('is UNLINK for expired keys under lazyfree-lazy-expire', () => {
    harness = new CommandHarness({ settings: { lazyfreeLazyExpire: true } });
    harness.run('SET', 'a', 'x', ...PAST);
    harness.run('GET', 'a');
    harness.run('SET', 'a', 'x');
    harness.run('EXPIRE', 'a', '-1');
    harness.run('SET', 'a', 'x');
    harness.run('GETEX', 'a', 'EXAT', '1');
    expect(harness.stream.filter(([name]) => name !== 'SELECT' && name !== 'SET')).toEqual([
      ['UNLINK', 'a'],
      ['UNLINK', 'a'],
      ['UNLINK', 'a'],
    ]);
  });

  test('is a FLUSHALL of nothing, too, though it counts no change', () => {
    for (const name of ['FLUSHALL', 'FLUSHDB']) {
      const { changes, stream } = harness.run(name);
      expect(changes).toBe(0);
      expect(stream.map(({ words }) => words)).toEqual([[name]]);
    }
  });

  test('is a BITFIELD that grew the string for nothing', () => {
    const { reply, stream } = harness.run(
      'BITFIELD',
      'k',
      'OVERFLOW',
      'FAIL',
      'SET',
      'u2',
      '0',
      '9',
    );
    expect(reply).toEqual([null]);
    expect(harness.call('STRLEN', 'k')).toBe(1);
    expect(stream).toHaveLength(1);
  });
});

test.each([
  [
    ['SWAPDB', '0', '1'],
    ['0:*', '1:*'],
  ],
  [['FLUSHDB'], ['0:*']],
  [['FLUSHALL'], ['-1:*']],
  [
    ['RENAME', 'a', 'b'],
    ['0:a', '0:b'],
  ],
  [['COPY', 'a', 'b', 'DB', '2'], ['2:b']],
  [
    ['MOVE', 'a', '1'],
    ['0:a', '1:a'],
  ],
  [['GET', 'a'], []],
  [['SETBIT', 'a', '0', '0'], []],
])('%j tells the watchers of %j', (command, modified) => {
  harness.run('SET', 'a', '1');
  expect(harness.run(...command).modified).toEqual(modified);
});

test.each([
  'GET k',
  'GETSET k v',
  'GETDEL k',
  'GETEX k',
  'APPEND k v',
  'STRLEN k',
  'SETRANGE k 0 v',
  'GETRANGE k 0 1',
  'INCR k',
  'INCRBY k 9223372036854775807',
  'INCRBYFLOAT k 1',
  'SETBIT k 0 1',
  'GETBIT k 0',
  'BITCOUNT k',
  'BITPOS k 1',
  'BITOP NOT x k',
  'BITFIELD k GET u8 0',
  'BITFIELD k SET u8 0 1',
  'SET k v GET',
])('%s of another type is refused', (command) => {
  const { db } = harness.context;
  const key = Buffer.from('k');
  db.find(key, 0, 1);
  db.addObject(key, 0, 1, ValueType.LIST, Encoding.LISTPACK, asRef(1));
  expect(message(harness.call(...command.split(' ')))).toBe(WRONGTYPE);
  expect(harness.dirty).toBe(0);
});

test('arguments of BITCOUNT and BITPOS are refused before the key is looked for, as from Redis 7.2 on', () => {
  expect(message(harness.call('BITCOUNT', 'none', 'x', '1'))).toBe(
    'ERR value is not an integer or out of range',
  );
  expect(message(harness.call('BITCOUNT', 'none', '0'))).toBe('ERR syntax error');
  expect(message(harness.call('BITPOS', 'none', '1', '0', '1', 'x'))).toBe('ERR syntax error');
});

test('BITCOUNT and BITPOS of long strings agree with counting one by one', () => {
  const prng = new Prng(3);
  const bytes = Buffer.from(
    Array.from({ length: 5000 }, () => (prng.below(3) === 0 ? 0 : prng.below(256))),
  );
  harness.run('SET', 'k', bytes);
  const bit = (at: number): number => (bytes[at >> 3]! >> (7 - (at & 7))) & 1;
  for (let i = 0; i < 40; i++) {
    const start = prng.below(40_000);
    const end = start + prng.below(40_000 - start);
    let count = 0;
    for (let at = start; at <= end; at++) count += bit(at);
    expect(harness.call('BITCOUNT', 'k', start, end, 'BIT')).toBe(count);
    let first = start;
    while (first <= end && bit(first) === 0) first++;
    expect(harness.call('BITPOS', 'k', 1, start, end, 'BIT')).toBe(first > end ? -1 : first);
  }
});

describe('strings have a limit', () => {
  beforeEach(() => {
    harness = new CommandHarness({ settings: { protoMaxBulkLen: 1024 } });
    harness.run('SET', 'k', 'x'.repeat(1000));
  });

  test.each([
    [
      ['APPEND', 'k', 'y'.repeat(25)],
      'ERR string exceeds maximum allowed size (proto-max-bulk-len)',
    ],
    [
      ['SETRANGE', 'k', '1024', 'y'],
      'ERR string exceeds maximum allowed size (proto-max-bulk-len)',
    ],
    [
      ['SETRANGE', 'k', '9223372036854775807', 'y'],
      'ERR string exceeds maximum allowed size (proto-max-bulk-len)',
    ],
    [['SETBIT', 'k', '8192', '1'], 'ERR bit offset is not an integer or out of range'],
    [
      ['LCS', 'k', 'k'],
      'ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len',
    ],
  ])('%j is refused and changes nothing', (command, error) => {
    expect(message(harness.call(...command))).toBe(error);
    expect(harness.call('STRLEN', 'k')).toBe(1000);
  });

  test('which is no limit for the stream of a primary', () => {
    harness.client.fromPrimary = true;
    expect(harness.call('APPEND', 'k', 'y'.repeat(100))).toBe(1100);
    expect(harness.call('SETBIT', 'k', '16000', '1')).toBe(0);
  });
});

describe('OBJECT', () => {
  test.each([
    ['7', 2_147_483_647],
    ['9999', 2_147_483_647],
    ['10000', 1],
    ['-1', 1],
    ['abc', 1],
  ])('REFCOUNT of %s is %d', (value, count) => {
    harness.run('SET', 'k', value);
    expect(harness.call('OBJECT', 'REFCOUNT', 'k')).toBe(count);
  });

  test('IDLETIME counts from the last use, which TTL, TYPE and EXISTS are not', () => {
    harness.run('SET', 'k', 'x');
    harness.server.nowMs = HARNESS_NOW_MS + 60_000;
    for (const look of ['TTL', 'TYPE', 'EXISTS']) harness.run(look, 'k');
    expect(harness.call('OBJECT', 'IDLETIME', 'k')).toBe(60);
    harness.run('TOUCH', 'k');
    expect(harness.call('OBJECT', 'IDLETIME', 'k')).toBe(0);
  });

  test('HELP is a list of lines', () => {
    const lines = harness.call('OBJECT', 'HELP') as string[];
    expect(lines[0]).toBe('OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:');
    expect(lines).toContain('ENCODING <key>');
  });
});

test('EXISTS counts hits and misses, DEL does not', () => {
  harness.run('SET', 'a', '1');
  harness.run('EXISTS', 'a', 'b', 'a');
  harness.run('DEL', 'a', 'b');
  expect(harness.server.stats).toMatchObject({ keyspaceHits: 2, keyspaceMisses: 1 });
});

test('a copy keeps encoding and deadline, whatever the lengths of the keys', () => {
  const long = 'k'.repeat(3000);
  harness.run('SETRANGE', long, '5', 'x');
  harness.run('EXPIRE', long, '100');
  for (const key of ['a', 'b'.repeat(2500)]) {
    expect(harness.call('COPY', long, key)).toBe(1);
    expect(harness.call('OBJECT', 'ENCODING', key)).toBe('raw');
    expect(harness.call('TTL', key)).toBe(100);
    expect(harness.call('GET', key)).toBe('\0\0\0\0\0x');
    expect(harness.call('RENAME', key, `${key}2`)).toBe('OK');
  }
  harness.keyspace.validate();
});
