import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { codeOf, messageOf } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { crc64 } from '../../src/kernels/plain-crc64.ts';
import type { LoadOptions } from '../../src/rdb/load.ts';
import { testSeed } from '../support/seed.ts';
import {
  dumpOf,
  loadBytes,
  loadOptions,
  modelOf,
  newKeyspace,
  newModel,
  randomChange,
} from './keyspaces.ts';

const NOW_MS = 1_700_000_000_000;
const fixture = readFileSync(new URL('../fixtures/replication/handshake.rdb', import.meta.url));

type Part = string | number | readonly number[] | Buffer;

/** Bytes of a dump: texts as they are, numbers as single bytes. */
function bytesOfParts(parts: readonly Part[]): Buffer {
  return Buffer.concat(
    parts.map((part) => {
      if (typeof part === 'string') return Buffer.from(part, 'latin1');
      return Buffer.from(typeof part === 'number' ? [part] : part);
    }),
  );
}

/** A dump with these records, its end and its checksum. */
function dump(...parts: Part[]): Buffer {
  const head =
    typeof parts[0] === 'string' && /^(REDIS|VALKEY)/.test(parts[0]) ? [] : ['REDIS0010'];
  return closed(bytesOfParts([...head, ...parts, 255]));
}

function closed(body: Buffer): Buffer {
  const { low, high } = crc64(body);
  const sum = Buffer.alloc(8);
  sum.writeUInt32LE(low);
  sum.writeUInt32LE(high, 4);
  return Buffer.concat([body, sum]);
}

/** A string behind its length, below 64 bytes. */
const str = (text: string): string => String.fromCharCode(text.length) + text;
const pair = (key: string, value: string): Part[] => [0, str(key) + str(value)];

const seconds = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
};
const milliseconds = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return bytes;
};

const load = (bytes: Buffer, changes: Partial<LoadOptions> = {}) =>
  loadBytes(bytes, loadOptions({ nowMs: NOW_MS, ...changes }));
const keysOf = (bytes: Buffer, db = 0, changes: Partial<LoadOptions> = {}) =>
  Object.fromEntries(
    [...modelOf(load(bytes, changes).keyspace)[db]!].map(([key, item]) => [key, item.value]),
  );

function failureOf(
  bytes: Buffer,
  changes: Partial<LoadOptions> = {},
): { code: unknown; message: string } {
  try {
    load(bytes, changes);
  } catch (error) {
    return { code: codeOf(error), message: messageOf(error) };
  }
  return expect.unreachable('the load was to fail');
}

test('the dump that a primary sent in 2020 loads', () => {
  const { keyspace, result } = load(fixture);
  expect(result).toMatchObject({
    version: 9,
    keysLoaded: 6,
    keysExpired: 0,
    bytes: 276,
    functions: [],
  });
  expect(result.aux).toEqual({
    redisVersion: '5.9.104',
    ctime: 1589928788,
    others: [],
    usedMemoryBytes: 1914040,
    replication: { streamDb: 0, replid: 'd28bd808c0922b5679039db98a7493f76689084e', offset: 0 },
  });
  expect(keyspace.keyCount).toBe(6);
  expect(modelOf(keyspace)[0]!.size).toBe(6);
});

describe('a dump', () => {
  test.each(['REDIS0001', 'REDIS0006', 'REDIS0012', 'REDIS0015', 'VALKEY080', 'VALKEY081'])(
    'with the header %s loads',
    (magic) => {
      expect(keysOf(dump(magic, ...pair('k', 'v')))).toEqual({ k: 'v' });
    },
  );

  test('before version 5 ends without a checksum', () => {
    expect(keysOf(bytesOfParts(['REDIS0004', ...pair('k', 'v'), 255]))).toEqual({ k: 'v' });
  });

  test('selects databases', () => {
    const bytes = dump(
      ...pair('a', '1'),
      [254, 3, 251, 2, 0],
      ...pair('b', '2'),
      [254, 0],
      ...pair('c', '3'),
    );
    expect(keysOf(bytes)).toEqual({ a: '1', c: '3' });
    expect(keysOf(bytes, 3)).toEqual({ b: '2' });
  });

  test('gives deadlines in seconds or milliseconds to the next key only', () => {
    const bytes = dump(
      ...[253, seconds(1_800_000_000), ...pair('s', '1')],
      ...[252, milliseconds(NOW_MS + 5), ...pair('ms', '2')],
      ...pair('none', '3'),
      ...[252, milliseconds(-1), ...pair('redis-none', '4')],
      ...[252, milliseconds(NOW_MS - 5), 248, 9, ...pair('past', '5')],
      ...[252, milliseconds(-7), 249, 200, ...pair('long past', '6')],
    );
    const { keyspace, result } = load(bytes, { keepExpired: true });
    const deadlines = [...modelOf(keyspace)[0]!].map(([key, { deadline }]) => [key, deadline]);
    expect(Object.fromEntries(deadlines)).toEqual({
      s: 1_800_000_000_000,
      ms: NOW_MS + 5,
      none: -1,
      'redis-none': -1,
      past: NOW_MS - 5,
      'long past': 0,
    });
    expect(result).toMatchObject({ keysLoaded: 6, keysExpired: 0 });
    expect(load(bytes).result).toMatchObject({ keysLoaded: 4, keysExpired: 2 });
  });

  test('passes over what is of no use here', () => {
    const bytes = dump(
      ...[250, str('unknown') + str('field'), 250, str('redis-bits'), 0xc0, 64],
      ...[250, `${str('%note')}\x41\x2c${'x'.repeat(300)}`],
      ...[244, [0x7f, 0xff], 5, 0],
      ...pair('k', 'v'),
    );
    expect(keysOf(bytes)).toEqual({ k: 'v' });
    expect(load(bytes).result.aux.others).toEqual([
      ['unknown', 'field'],
      ['%note', '(a long text)'],
    ]);
  });

  test('keeps how long a key was not used', () => {
    const { keyspace } = load(dump(248, 9, ...pair('idle', '1'), ...pair('now', '2')));
    const db = keyspace.databases[0]!;
    const clockOf = (key: string): number => {
      const entry = db.find(Buffer.from(key), 0, key.length);
      return db.access(entry);
    };
    expect(clockOf('now') - clockOf('idle')).toBe(9);
  });

  test("carries Valkey's slots on the move", () => {
    expect(
      keysOf(
        dump('VALKEY080', 243, str('job'), [2, 0, 5, 0x40, 64, 0x7f, 0xff], ...pair('k', 'v')),
      ),
    ).toEqual({
      k: 'v',
    });
  });

  test('gives its functions back', () => {
    const { result } = load(dump(245, str('#!lua name=a'), 245, [0xc0, 7]));
    expect(result.functions.map((bytes) => Buffer.from(bytes).toString())).toEqual([
      '#!lua name=a',
      '7',
    ]);
  });

  test.each([
    ['the replid is short', ['repl-id', 'abc'], ['repl-offset', '5'], ['repl-stream-db', '0']],
    [
      'the offset is no number',
      ['repl-id', 'a'.repeat(40)],
      ['repl-offset', 'x'],
      ['repl-stream-db', '0'],
    ],
    [
      'the database does not exist',
      ['repl-id', 'a'.repeat(40)],
      ['repl-offset', '5'],
      ['repl-stream-db', '99'],
    ],
    ['a field is missing', ['repl-id', 'a'.repeat(40)], ['repl-offset', '5']],
  ])('has no history when %s', (_name, ...fields) => {
    const aux = fields.flatMap(([name, value]) => [250, str(name!) + str(value!)]);
    expect(load(dump(...aux)).result.aux.replication).toBeUndefined();
  });

  test('with the checksum 0, or a wrong one that nobody asks for, loads', () => {
    const bytes = dump(...pair('k', 'v'));
    bytes.fill(0, bytes.length - 8);
    expect(keysOf(bytes)).toEqual({ k: 'v' });
    bytes[bytes.length - 1] = 1;
    expect(keysOf(bytes, 0, { verifyChecksum: false })).toEqual({ k: 'v' });
  });
});

describe('a dump is refused', () => {
  const wrongSum = dump(...pair('k', 'v'));
  wrongSum[wrongSum.length - 1]! ^= 0x40;

  test.each<[string, Buffer, string, RegExp]>([
    ['when it is empty', Buffer.alloc(0), 'SHORT', /^Unexpected end of the dump: .*position 0$/],
    [
      'with a wrong magic',
      Buffer.from('REDIX0009....'),
      'CORRUPT',
      /^Wrong signature trying to load DB from file$/,
    ],
    ['with letters as its version', Buffer.from('REDIS00x9....'), 'CORRUPT', /^Wrong signature/],
    ['of version 0', Buffer.from('REDIS0000'), 'CORRUPT', /^Can't handle RDB format version 0$/],
    [
      'of a newer version',
      Buffer.from('REDIS0099'),
      'TOO_NEW',
      /^Can't handle RDB format version 99$/,
    ],
    ['of version 16', Buffer.from('REDIS0016'), 'TOO_NEW', /^Can't handle RDB format version 16$/],
    [
      'of a newer Valkey',
      Buffer.from('VALKEY082'),
      'TOO_NEW',
      /^Can't handle RDB format version 82$/,
    ],
    [
      'with a wrong checksum',
      wrongSum,
      'CORRUPT',
      /^Wrong RDB checksum expected: \([0-9a-f]+\) but got \([0-9a-f]+\)\. Aborting now\.$/,
    ],
    [
      'with a duplicate key',
      dump(...pair('k', 'a'), ...pair('k', 'b')),
      'CORRUPT',
      /duplicated key 'k' in DB 0/,
    ],
    [
      'with an unknown type',
      dump(99, str('k')),
      'CORRUPT',
      /^Unknown RDB encoding type 99, at position 12$/,
    ],
    [
      'with an unknown opcode',
      dump(241, str('k')),
      'CORRUPT',
      /^Unknown RDB encoding type 241, at position 12$/,
    ],
    [
      'with a module',
      dump(7, str('k'), [0x81, 0x2b, 0x1d, 0x40, 0x8a, 0x5f, 0x33, 0x20, 0x01]),
      'UNSUPPORTED',
      /type 7 \(module-2\) of the module type 'Kx1Ail8zI', at position 21$/,
    ],
    [
      'with a pre-release function',
      dump(246),
      'UNSUPPORTED',
      /^Pre-release function format not supported/,
    ],
    [
      'with a slot too high',
      dump(244, [0x80, 0, 0, 0x40, 0], 0, 0),
      'CORRUPT',
      /^Invalid slot number/,
    ],
    [
      'with slots out of order',
      dump('VALKEY080', 243, str('j'), [1, 6, 5]),
      'CORRUPT',
      /^Invalid slot range/,
    ],
    ['with a database too high', dump([254, 16]), 'UNSUPPORTED', /more than 16 databases/],
    [
      'with data of a module beside the keys',
      dump(247, [0x81, 0x2b, 0x1d, 0x40, 0x8a, 0x5f, 0x33, 0x20, 0x01], [2, 2], str('text'), 0),
      'UNSUPPORTED',
      /^The RDB file contains AUX module data I can't load: no matching module 'Kx1Ail8zI'$/,
    ],
    ['without an end', bytesOfParts(['REDIS0010', ...pair('k', 'v')]), 'SHORT', /position 14$/],
    ['that ends in its checksum', dump(...pair('k', 'v')).subarray(0, -3), 'SHORT', /position/],
  ])('%s', (_name, bytes, code, message) => {
    const failure = failureOf(bytes);
    expect(failure.code).toBe(code);
    expect(failure.message).toMatch(message);
  });

  test.each([6, 7, 22, 23, 28, 29, 30, 31, 32])('that holds type %d', (type) => {
    expect(failureOf(dump(type, str('k'), 0))).toMatchObject({ code: 'UNSUPPORTED' });
  });
});

const ENDINGS: ReadonlySet<unknown> = new Set(['SHORT', 'CORRUPT', 'TOO_NEW', 'UNSUPPORTED']);

/** Loads, or ends as it should: with an operating error and its position. */
function survives(bytes: Buffer): string {
  try {
    const { keyspace } = load(bytes, { verifyChecksum: false });
    keyspace.validate();
    return 'loaded';
  } catch (error) {
    expect(ENDINGS, messageOf(error)).toContain(codeOf(error));
    expect(messageOf(error)).toMatch(/at position \d+$|^Wrong signature|^Can't handle RDB/);
    return String(codeOf(error));
  }
}

describe('damage at random', () => {
  test('is refused or does no harm, in little memory', () => {
    const prng = new Prng(testSeed('damage'));
    const keyspace = newKeyspace();
    const model = newModel();
    for (let i = 0; i < 60; i++) randomChange(keyspace, model, prng, 60);
    const whole = dumpOf(keyspace);
    const before = process.memoryUsage().arrayBuffers;
    const seen = new Set<string>();
    for (let i = 0; i < 200; i++) {
      const bytes = Buffer.from(whole);
      const flips = 1 + prng.below(4);
      for (let flip = 0; flip < flips; flip++) bytes[prng.below(bytes.length)] = prng.below(256);
      seen.add(survives(prng.below(4) === 0 ? bytes.subarray(0, prng.below(bytes.length)) : bytes));
    }
    expect(seen).toContain('SHORT');
    // Address space of a load is 4 MiB of kernels; what a hostile length may add would show here as
    // gigabytes.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 31);
  });

  test('is found by the checksum wherever it is', () => {
    const prng = new Prng(testSeed('checksum'));
    for (let i = 0; i < 40; i++) {
      const bytes = Buffer.from(fixture);
      bytes[9 + prng.below(bytes.length - 9)]! ^= 1 << prng.below(8);
      expect(() => load(bytes)).toThrow();
    }
  });

  test('that cuts a dump short is told from corruption', () => {
    for (let end = 9; end < fixture.length; end += 3) {
      const failure = failureOf(fixture.subarray(0, end));
      expect(failure.code).toBe('SHORT');
      expect(failure.message).toMatch(/at position \d+$/);
    }
  });
});
