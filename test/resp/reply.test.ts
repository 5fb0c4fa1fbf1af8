import { describe, expect, test } from 'vitest';
import { MIB } from '../../src/base/units.ts';
import { BufferPool, partOf } from '../../src/resp/buffer-pool.ts';
import { Aggregate, CHUNK_BYTES_MAX, Reply } from '../../src/resp/reply.ts';

function written(protocol: 2 | 3, write: (reply: Reply) => void): string {
  const reply = new Reply(new BufferPool());
  reply.protocol = protocol;
  write(reply);
  return reply.take().toString('latin1');
}

const shared = new Uint8Array(new SharedArrayBuffer(300)).fill(0x41);

const cases: [string, (reply: Reply) => void, string, string?][] = [
  ['ok', (r) => r.ok(), '+OK\r\n'],
  ['pong', (r) => r.pong(), '+PONG\r\n'],
  ['queued', (r) => r.queued(), '+QUEUED\r\n'],
  ['simple', (r) => r.simple('FULLRESYNC x 1'), '+FULLRESYNC x 1\r\n'],
  ['error', (r) => r.error('ERR no\r\nsuch \xe9'), '-ERR no  such \xe9\r\n'],
  ['integer 0', (r) => r.integer(0), ':0\r\n'],
  ['integer 9', (r) => r.integer(9), ':9\r\n'],
  ['integer -1', (r) => r.integer(-1), ':-1\r\n'],
  ['integer 10', (r) => r.integer(10), ':10\r\n'],
  ['the largest safe integer', (r) => r.integer(Number.MAX_SAFE_INTEGER), ':9007199254740991\r\n'],
  [
    'the smallest safe integer',
    (r) => r.integer(Number.MIN_SAFE_INTEGER),
    ':-9007199254740991\r\n',
  ],
  ['integer64', (r) => r.integer64(-0x8000_0000_0000_0000n), ':-9223372036854775808\r\n'],
  ['bulk', (r) => r.bulk(new Uint8Array([1, 0x61, 13, 10, 2]), 1, 3), '$3\r\na\r\n\r\n'],
  ['an empty bulk', (r) => r.bulk(new Uint8Array(0), 0, 0), '$0\r\n\r\n'],
  ['a short bulk of shared memory', (r) => r.bulk(shared, 5, 12), `$12\r\n${'A'.repeat(12)}\r\n`],
  [
    'a longer bulk of shared memory',
    (r) => r.bulk(shared, 5, 200),
    `$200\r\n${'A'.repeat(200)}\r\n`,
  ],
  ['bulkString', (r) => r.bulkString('aé€'), '$6\r\na\xc3\xa9\xe2\x82\xac\r\n'],
  ['bulkString of ASCII', (r) => r.bulkString('field'), '$5\r\nfield\r\n'],
  [
    'a long bulkString',
    (r) => r.bulkString('é'.repeat(100)),
    `$200\r\n${'\xc3\xa9'.repeat(100)}\r\n`,
  ],
  ['bulkLatin1', (r) => r.bulkLatin1('a\xe9'), '$2\r\na\xe9\r\n'],
  ['a long bulkLatin1', (r) => r.bulkLatin1('\xe9'.repeat(99)), `$99\r\n${'\xe9'.repeat(99)}\r\n`],
  ['bulkInteger', (r) => r.bulkInteger(-1234), '$5\r\n-1234\r\n'],
  ['nil', (r) => r.nil(), '$-1\r\n', '_\r\n'],
  ['nilArray', (r) => r.nilArray(), '*-1\r\n', '_\r\n'],
  ['array', (r) => r.array(12), '*12\r\n'],
  ['emptyArray', (r) => r.emptyArray(), '*0\r\n'],
  ['map', (r) => r.map(3), '*6\r\n', '%3\r\n'],
  ['set', (r) => r.set(3), '*3\r\n', '~3\r\n'],
  ['push', (r) => r.push(3), '*3\r\n', '>3\r\n'],
  ['double', (r) => r.double(0.1), '$19\r\n0.10000000000000001\r\n', ',0.10000000000000001\r\n'],
  ['a whole double', (r) => r.double(3), '$1\r\n3\r\n', ',3\r\n'],
  ['infinity', (r) => r.double(-Infinity), '$4\r\n-inf\r\n', ',-inf\r\n'],
  ['true', (r) => r.boolean(true), ':1\r\n', '#t\r\n'],
  ['false', (r) => r.boolean(false), ':0\r\n', '#f\r\n'],
  [
    'bigNumber',
    (r) => r.bigNumber('12345678901234567890'),
    '$20\r\n12345678901234567890\r\n',
    '(12345678901234567890\r\n',
  ],
  ['verbatim', (r) => r.verbatim('txt', 'aé'), '$3\r\na\xc3\xa9\r\n', '=7\r\ntxt:a\xc3\xa9\r\n'],
  ['raw', (r) => r.raw(shared, 0, 60), 'A'.repeat(60)],
];

test.each(cases)('%s', (_, write, resp2, resp3 = resp2) => {
  expect(written(2, write)).toBe(resp2);
  expect(written(3, write)).toBe(resp3);
});

describe('deferred lengths', () => {
  test.each([0, 9, 10, 12_345])('%i elements', (count) => {
    const write = (reply: Reply) => {
      reply.ok();
      const token = reply.deferArray();
      for (let i = 0; i < count; i++) reply.integer(i % 10);
      reply.setDeferred(token, count, Aggregate.ARRAY);
      reply.ok();
    };
    const elements = Array.from({ length: count }, (_, i) => `:${i % 10}\r\n`).join('');
    expect(written(2, write)).toBe(`+OK\r\n*${count}\r\n${elements}+OK\r\n`);
  });

  test('nested, as a map', () => {
    const write = (reply: Reply) => {
      const outer = reply.deferArray();
      for (let i = 0; i < 5; i++) {
        reply.bulkLatin1('k');
        const inner = reply.deferArray();
        for (let j = 0; j < 11; j++) reply.integer(j);
        reply.setDeferred(inner, 11, Aggregate.SET);
      }
      reply.setDeferred(outer, 5, Aggregate.MAP);
    };
    const members = Array.from({ length: 11 }, (_, j) => `:${j}\r\n`).join('');
    expect(written(2, write)).toBe(`*10\r\n${`$1\r\nk\r\n*11\r\n${members}`.repeat(5)}`);
    expect(written(3, write)).toBe(`%5\r\n${`$1\r\nk\r\n~11\r\n${members}`.repeat(5)}`);
  });

  test.each([0, 100])('of %i elements at the very end of the buffer', (count) => {
    const filler = new Uint8Array(17 * 1024 - 4).fill(0x2e);
    const write = (reply: Reply) => {
      reply.raw(filler, 0, filler.length);
      reply.setDeferred(reply.deferArray(), count, Aggregate.ARRAY);
    };
    expect(written(2, write)).toBe(`${'.'.repeat(filler.length)}*${count}\r\n`);
  });
});

describe('the buffer', () => {
  test('grows with what is written', () => {
    const value = new Uint8Array(100).fill(0x78);
    const write = (reply: Reply) => {
      for (let i = 0; i < 30_000; i++) reply.bulk(value, 0, 100);
    };
    expect(written(2, write)).toBe(`$100\r\n${'x'.repeat(100)}\r\n`.repeat(30_000));
  });

  test('is given back by truncate, and taken once', () => {
    const reply = new Reply(new BufferPool());
    reply.ok();
    const mark = reply.mark();
    reply.error('ERR x');
    reply.truncate(mark);
    expect(reply.size).toBe(5);
    expect(reply.errors).toBe(1);
    expect(reply.take().toString()).toBe('+OK\r\n');
    expect(reply.size).toBe(0);
    expect(reply.take()).toHaveLength(0);
  });

  test('is not reused before it is recycled', () => {
    const pool = new BufferPool();
    const reply = new Reply(pool);
    const filler = new Uint8Array(2000).fill(0x61);
    reply.raw(filler, 0, 2000);
    const first = reply.take();
    reply.raw(filler.fill(0x62), 0, 2000);
    const second = reply.take();
    expect(first.buffer).not.toBe(second.buffer);
    expect(first.every((byte) => byte === 0x61)).toBe(true);
    reply.recycle(first);
    expect(pool.heldBytes).toBe(17 * 1024);
    reply.ok();
    expect(pool.heldBytes).toBe(0);
    const third = reply.take();
    expect(third.buffer).toBe(first.buffer);
    expect(third.toString()).toBe('+OK\r\n');
    reply.recycle(third);
    reply.ok();
    expect(reply.takeToKeep().buffer).not.toBe(first.buffer);
    expect(pool.heldBytes).toBe(17 * 1024);
    reply.ok();
    expect(reply.take()).toBe(third);
    reply.recycle(third);
    reply.ok();
    reply.discard();
    expect(reply.size).toBe(0);
    expect(pool.heldBytes).toBe(17 * 1024);
  });

  test('is not kept by a client that does not read, unless its bytes fill most of it', () => {
    const pool = new BufferPool();
    const reply = new Reply(pool);
    for (const size of [1, 100, 2047, 2048, 3000, 9000, 13_000, 17_000, 20_000, 60_000, 200_000]) {
      const text = new Uint8Array(size).fill(0x61);
      reply.raw(text, 0, size);
      const kept = reply.takeToKeep();
      expect(kept.length).toBe(size);
      expect(kept.every((byte) => byte === 0x61)).toBe(true);
      // Buffers of Node.js below 4 KiB share 8 KiB with others.
      const mostBytes = size < 4096 ? 8192 : (size * 4) / 3 + 1;
      expect(kept.buffer.byteLength, `for ${size} bytes`).toBeLessThanOrEqual(mostBytes);
    }
    // The chunks of those that were copied, each used again by the next one.
    expect(pool.heldBytes).toBeGreaterThan(0);
  });

  test('of a pool that is full is let go', () => {
    const pool = new BufferPool();
    const taken = Array.from({ length: 80 }, () => pool.take(600 * 1024));
    // A size of the pool has room for a header beside a value of its length.
    const size = MIB + 1024;
    expect(taken[0]).toHaveLength(size);
    for (const buffer of taken) pool.give(partOf(buffer, 10));
    expect(pool.heldBytes).toBe(63 * size);
    expect(pool.take(MIB)).toHaveLength(size);
    expect(pool.take(5 * MIB)).toHaveLength(5 * MIB);
    pool.give(Buffer.from('not from here'));
    expect(pool.heldBytes).toBe(62 * size);
  });

  test('that nobody has needed for a while is let go', () => {
    const pool = new BufferPool();
    const size = MIB + 1024;
    const taken = Array.from({ length: 10 }, () => pool.take(MIB));
    for (const buffer of taken) pool.give(buffer);
    pool.releaseIdle();
    expect(pool.heldBytes).toBe(10 * size);
    const three = [pool.take(MIB), pool.take(MIB), pool.take(MIB)];
    for (const buffer of three) pool.give(buffer);
    // Seven of ten lay ready all the time, and two may.
    pool.releaseIdle();
    expect(pool.heldBytes).toBe(5 * size);
    pool.releaseIdle();
    pool.releaseIdle();
    expect(pool.heldBytes).toBe(2 * size);
  });
});

describe('the gate', () => {
  /** A reply that may have so many bytes, and what its gate was asked. */
  function gated(bytesMax: number): { reply: Reply; asked: number[] } {
    const reply = new Reply(new BufferPool());
    const asked: number[] = [];
    reply.gate = {
      mayGrow(bytes) {
        asked.push(bytes);
        return bytes <= bytesMax;
      },
    };
    return { reply, asked };
  }

  test('is not asked for the first chunk, and once for each further one', () => {
    const { reply, asked } = gated(Number.POSITIVE_INFINITY);
    const value = new Uint8Array(1000);
    for (let i = 0; i < 16; i++) reply.bulk(value, 0, 1000);
    expect(asked).toEqual([]);
    for (let i = 0; i < 16; i++) reply.bulk(value, 0, 1000);
    expect(asked).toHaveLength(1);
    expect(reply.fullChunks).toBe(1);
  });

  test('a refusal drops what is there and what follows, whatever it is', () => {
    const { reply, asked } = gated(100_000);
    const large = new Uint8Array(20 * MIB);
    const token = reply.deferArray();
    const inner = reply.deferArray();
    const mark = reply.mark();
    for (let i = 0; i < 10; i++) reply.bulk(large, 0, 50_000);
    expect(reply.isCut).toBe(true);
    const questions = asked.length;
    reply.bulk(large, 0, large.length);
    reply.raw(large, 0, large.length);
    reply.bulkLatin1('x'.repeat(200_000));
    reply.bulkString('é'.repeat(200_000));
    reply.verbatim('txt', 'é'.repeat(200_000));
    reply.simple('x'.repeat(200_000));
    reply.error('ERR x');
    for (let i = 0; i < 30_000; i++) reply.integer(i);
    reply.setDeferred(inner, 12, Aggregate.ARRAY);
    reply.setDeferred(token, 1, Aggregate.ARRAY);
    reply.truncate(mark);
    expect(reply.isCut).toBe(true);
    expect(asked).toHaveLength(questions);
    expect(reply.fullChunks).toBe(0);
    expect(reply.size).toBeLessThan(MIB);
    expect(reply.heldBytes).toBeLessThan(MIB);
  });

  test('is asked before memory is taken', () => {
    const { reply, asked } = gated(MIB);
    const large = new Uint8Array(20 * MIB);
    reply.ok();
    reply.bulk(large, 0, large.length);
    expect(asked.at(-1)).toBeLessThan(5 * MIB);
    expect(reply.heldBytes).toBeLessThanOrEqual(CHUNK_BYTES_MAX);
  });
});
