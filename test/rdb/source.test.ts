import { describe, expect, test } from 'vitest';
import { latin1 } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { ByteKernels, KERNELS_FREE_START } from '../../src/kernels/kernels.ts';
import { plainLzfCompress } from '../../src/kernels/plain-lzf.ts';
import { BytesView } from '../../src/keyspace/entry.ts';
import { type ByteFeed, BytesFeed } from '../../src/rdb/feed.ts';
import { DumpSink } from '../../src/rdb/sink.ts';
import { DumpSource, STRING_BYTES_MAX, sourceKernels } from '../../src/rdb/source.ts';
import { drippingFeed } from './keyspaces.ts';

const SMALL = { windowBytes: 64, unpackedBytes: 64 };

function sourceOf(feed: ByteFeed): DumpSource {
  return new DumpSource(feed, sourceKernels(SMALL), SMALL);
}

const fromBytes = (...bytes: number[]): DumpSource =>
  sourceOf(new BytesFeed(Uint8Array.from(bytes), 0, bytes.length));

function errorOf(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  return expect.unreachable('an error was to be thrown');
}

/** What a sink makes of what `write` does to it. */
function written(write: (sink: DumpSink) => void): Uint8Array {
  const parts: Uint8Array[] = [];
  const chunk = new Uint8Array(16);
  const target = {
    chunkBytes: 16,
    acquire: () => chunk,
    publish: (bytes: number) => void parts.push(chunk.slice(0, bytes)),
  };
  const sink = new DumpSink(
    new ByteKernels(KERNELS_FREE_START + 4096),
    KERNELS_FREE_START,
    256,
    target,
    true,
  );
  write(sink);
  sink.flush();
  return Buffer.concat(parts);
}

const lengths: readonly (readonly [number, string])[] = [
  [0, '00'],
  [63, '3f'],
  [64, '4040'],
  [16383, '7fff'],
  [16384, '8000004000'],
  [0xffffffff, '80ffffffff'],
  [0x1_0000_0000, '810000000100000000'],
  [Number.MAX_SAFE_INTEGER, '81001fffffffffffff'],
];

describe('a length of', () => {
  test.each(lengths)('%d is written as %s and read again', (length, hex) => {
    const bytes = written((sink) => sink.length(length));
    expect(Buffer.from(bytes).toString('hex')).toBe(hex);
    expect(fromBytes(...bytes).length('it')).toBe(length);
    expect(sourceOf(drippingFeed(bytes, 1)).length('it')).toBe(length);
  });

  test('64 bits keeps its halves', () => {
    const source = fromBytes(0x81, 0xff, 0xee, 0xdd, 0xcc, 1, 2, 3, 4);
    expect(source.readLength()).toBeGreaterThan(2 ** 53);
    expect([source.lengthHigh, source.lengthLow]).toEqual([0xffeeddcc, 0x01020304]);
  });

  test.each([
    ['a string form', [0xc0], 'CORRUPT'],
    ['more than 2^53', [0x81, 0xff, 0, 0, 0, 0, 0, 0, 0], 'CORRUPT'],
    ['an unknown form', [0x82, 0, 0, 0, 0], 'CORRUPT'],
    ['half the bytes', [0x80, 0, 0], 'SHORT'],
    ['nothing', [], 'SHORT'],
  ])('%s is refused with its position', (_name, bytes, code) => {
    const error = errorOf(() => fromBytes(...bytes).length('it'));
    expect(codeOf(error)).toBe(code);
    expect(String(error)).toMatch(/at position \d+$/);
  });
});

describe('integers of fixed width', () => {
  test.each([0, 1, 1_700_000_000_123, 2 ** 32, 2 ** 53 - 1])('%d passes as 64 bits', (value) => {
    const bytes = written((sink) => sink.i64(value));
    expect(Buffer.from(bytes).readBigInt64LE()).toBe(BigInt(value));
    expect(fromBytes(...bytes).i64()).toBe(value);
  });

  test('negative ones and doubles are read', () => {
    const bytes = Buffer.alloc(16);
    bytes.writeBigInt64LE(-123_456_789_012n);
    bytes.writeDoubleLE(-1.25, 8);
    const source = fromBytes(...bytes);
    expect([source.i64(), source.f64()]).toEqual([-123_456_789_012, -1.25]);
  });
});

/** A string behind its length. */
function plain(text: string): number[] {
  const bytes = Buffer.from(text, 'latin1');
  return [...written((sink) => sink.length(bytes.length)), ...bytes];
}

function compressed(text: string, claimed = text.length): number[] {
  const packed = plainLzfCompress(Buffer.from(text, 'latin1'));
  const head = written((sink) => {
    sink.byte(0xc3);
    sink.length(packed.length);
    sink.length(claimed);
  });
  return [...head, ...packed];
}

function readString(feed: ByteFeed): string {
  const view = new BytesView();
  sourceOf(feed).string(view);
  return latin1(view.bytes, view.position, view.length);
}

const long = 'abcdefgh'.repeat(40);
const strings: readonly (readonly [string, number[], string])[] = [
  ['an empty one', [0], ''],
  ['int8', [0xc0, 0x80], '-128'],
  ['int16', [0xc1, 0xff, 0x7f], '32767'],
  ['negative int16', [0xc1, 0x00, 0x80], '-32768'],
  ['int32', [0xc2, 0xff, 0xff, 0xff, 0x7f], '2147483647'],
  ['negative int32', [0xc2, 0x00, 0x00, 0x00, 0x80], '-2147483648'],
  ['one that just fits the window', plain('x'.repeat(64)), 'x'.repeat(64)],
  ['one longer than the window', plain(long), long],
  ['compressed', compressed('a'.repeat(60)), 'a'.repeat(60)],
  ['compressed, longer than the area for it', compressed(long), long],
  ['compressed to nothing', [0xc3, 0, 0], ''],
];

describe('a string', () => {
  test.each(strings)('%s is read', (_name, bytes, text) => {
    expect(readString(new BytesFeed(Uint8Array.from(bytes), 0, bytes.length))).toBe(text);
    for (const step of [1, 7])
      expect(readString(drippingFeed(Uint8Array.from(bytes), step))).toBe(text);
  });

  test('longer than the memory that it gets at first is read as it arrives', () => {
    const text = 'z'.repeat(9 * 1024 * 1024);
    expect(readString(drippingFeed(Uint8Array.from(plain(text)), 1 << 20)) === text).toBe(true);
  });

  test.each([
    ['that claims more than there is', [0x80, 0x20, 0, 0, 0, 1, 2], 'SHORT'],
    ['that claims 2^63 bytes', [0x81, 0x80, 0, 0, 0, 0, 0, 0, 0], 'SHORT'],
    ['of an unknown form', [0xc4, 0], 'CORRUPT'],
    ['that claims to expand 89 times', [0xc3, 1, 0x40, 89, 0, 0], 'CORRUPT'],
    ['whose LZF ends inside a match', [0xc3, 1, 8, 0xe0], 'CORRUPT'],
    ['whose LZF gives less', compressed('a'.repeat(60), 61), 'CORRUPT'],
    ['whose LZF gives less, apart', compressed(long, 321), 'CORRUPT'],
    ['whose compressed bytes are missing', [0xc3, 0x60, 0, 0x60, 0, 1], 'SHORT'],
  ])('%s is refused with its position', (_name, bytes, code) => {
    for (const feed of [
      new BytesFeed(Uint8Array.from(bytes), 0, bytes.length),
      drippingFeed(Uint8Array.from(bytes), 3),
    ]) {
      const error = errorOf(() => readString(feed));
      // Who does not know the total finds out that a string is too long before it finds the end.
      const tooLong = feed.totalBytes < 0 && bytes[0] === 0x81;
      expect(codeOf(error)).toBe(tooLong ? 'UNSUPPORTED' : code);
      expect(String(error)).toMatch(/at position \d+$/);
    }
  });

  test('beyond the limit is refused without a byte of memory', () => {
    const head = written((sink) => sink.length(STRING_BYTES_MAX + 1));
    expect(codeOf(errorOf(() => readString(drippingFeed(head, 8))))).toBe('UNSUPPORTED');
  });

  test('that claims 512 MiB allocates no more than has arrived', () => {
    const bytes = Uint8Array.from([0x80, 0x20, 0, 0, 0, ...Buffer.alloc(1000)]);
    const before = process.memoryUsage().arrayBuffers;
    expect(codeOf(errorOf(() => readString(drippingFeed(bytes, 100))))).toBe('SHORT');
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(32 * 1024 * 1024);
  });
});

describe('a source', () => {
  test('sums what it has consumed, whatever the pieces', () => {
    const bytes = Buffer.from('123456789');
    for (const step of [1, 4, 9]) {
      const kernels = sourceKernels(SMALL);
      const source = new DumpSource(drippingFeed(bytes, step), kernels, SMALL);
      source.skip(5);
      source.sum();
      source.skip(4);
      source.sum();
      source.sum();
      // The check value of the checksum.
      expect([kernels.crcHigh(), kernels.crcLow()]).toEqual([0xe9c6d914, 0xc4b8d9ca]);
      expect(source.position).toBe(9);
    }
  });
});

describe('a sink', () => {
  test('passes bytes of any count on, in chunks', () => {
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i & 0xff);
    expect(
      Buffer.compare(
        written((sink) => sink.raw(bytes)),
        bytes,
      ),
    ).toBe(0);
  });

  test('ends with CANCELLED when nobody takes its bytes', () => {
    const target = { chunkBytes: 16, acquire: () => undefined, publish: () => undefined };
    const kernels = new ByteKernels(KERNELS_FREE_START + 4096);
    const sink = new DumpSink(kernels, KERNELS_FREE_START, 256, target, true);
    expect(codeOf(errorOf(() => sink.raw(new Uint8Array(17))))).toBe('CANCELLED');
  });
});
