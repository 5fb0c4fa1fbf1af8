/** The dump's form of strings: cases by hand, and random ones beside a plain reader and writer. */
import { describe, expect, test, vi } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { Prng } from '../../src/base/prng.ts';
import { ByteKernels, RDB_STRING_ROOM_BYTES } from '../../src/kernels/kernels.ts';
import { plainLzfDecompress } from '../../src/kernels/plain-lzf.ts';
import { testSeed } from '../support/seed.ts';
import { mixedBytes, randomBytes, sameBytes } from './samples.ts';

/** The types of Node 20 leave it out. */
declare const WebAssembly: {
  readonly Memory: { readonly prototype: { grow(pages: number): number } };
};

const kernels = new ByteKernels(1024 * 1024);
const memory = kernels.memory;
const INPUT = kernels.freeStart;
const OUTPUT = INPUT + 256 * 1024;

function write(text: Uint8Array, compress: boolean): Buffer {
  memory.set(text, INPUT);
  const room = text.length + RDB_STRING_ROOM_BYTES;
  memory.fill(0xee, OUTPUT - 8, OUTPUT + room + 8);
  const written = kernels.rdbString(INPUT, text.length, OUTPUT, compress);
  for (let i = 1; i <= 8; i++) {
    if (memory[OUTPUT - i] !== 0xee || memory[OUTPUT + room + i - 1] !== 0xee)
      expect.fail('wrote outside');
  }
  return Buffer.from(memory.slice(OUTPUT, OUTPUT + written));
}

function plainLength(length: number): Buffer {
  if (length < 64) return Buffer.from([length]);
  if (length < 16384) return Buffer.from([0x40 | (length >> 8), length & 0xff]);
  const bytes = Buffer.from([0x80, 0, 0, 0, 0]);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

/** Everything but LZF: undefined when the string has no integer form. */
function plainInteger(text: string): Buffer | undefined {
  const value = Number(text);
  if (text.length > 11 || String(value | 0) !== text) return undefined;
  if (value === (value << 24) >> 24) return Buffer.from([0xc0, value & 0xff]);
  if (value === (value << 16) >> 16) return Buffer.from([0xc1, value & 0xff, (value >> 8) & 0xff]);
  const bytes = Buffer.from([0xc2, 0, 0, 0, 0]);
  bytes.writeInt32LE(value, 1);
  return bytes;
}

/** Reads an LZF form back: its parts. */
function readCompressed(form: Buffer): {
  bytes: Uint8Array | undefined;
  lengths: Buffer;
  rest: number;
} {
  let at = 1;
  const length = (): number => {
    const first = form[at]!;
    if (first < 64) {
      at += 1;
      return first;
    }
    at += first === 0x80 ? 5 : 2;
    return first === 0x80 ? form.readUInt32BE(at - 4) : form.readUInt16BE(at - 2) & 0x3fff;
  };
  const compressed = length();
  const original = length();
  return {
    bytes: plainLzfDecompress(form.subarray(at, at + compressed), original),
    lengths: Buffer.concat([plainLength(compressed), plainLength(original)]),
    rest: form.length - at - compressed,
  };
}

describe('a string in a dump', () => {
  test.each<[text: string, form: number[]]>([
    ['', [0]],
    ['a', [1, 97]],
    ['0', [0xc0, 0]],
    ['-1', [0xc0, 0xff]],
    ['127', [0xc0, 127]],
    ['-128', [0xc0, 0x80]],
    ['128', [0xc1, 128, 0]],
    ['-129', [0xc1, 0x7f, 0xff]],
    ['32767', [0xc1, 0xff, 0x7f]],
    ['-32768', [0xc1, 0x00, 0x80]],
    ['32768', [0xc2, 0, 0x80, 0, 0]],
    ['2147483647', [0xc2, 0xff, 0xff, 0xff, 0x7f]],
    ['-2147483648', [0xc2, 0, 0, 0, 0x80]],
  ])('%j is %j', (text, form) => {
    expect([...write(Buffer.from(text), true)]).toEqual(form);
  });

  test.each(
    [
      '2147483648',
      '-2147483649',
      '99999999999',
      '-9999999999',
      '007',
      '00',
      '+1',
      '-0',
      '-',
      '--1',
      '-01',
      '1a',
    ].concat([' 1', '1 ', '1.0', '1e3', '-2147483648 ', '/', ':']),
  )('%j stays text', (text) => {
    expect([...write(Buffer.from(text), true)]).toEqual([text.length, ...Buffer.from(text)]);
  });

  test.each([0, 1, 63, 64, 16383, 16384, 70_000])(
    '%i random bytes are raw behind their length',
    (size) => {
      const bytes = randomBytes(new Prng(testSeed('raw')), size).map((byte) => byte | 0x80);
      const raw = Buffer.concat([plainLength(size), bytes]);
      expect(write(bytes, true).equals(raw)).toBe(true);
      expect(write(bytes, false).equals(raw)).toBe(true);
    },
  );

  test('compression begins above 20 bytes, and can be off', () => {
    expect(write(Buffer.alloc(20, 97), true)).toEqual(
      Buffer.concat([Buffer.from([20]), Buffer.alloc(20, 97)]),
    );
    expect(write(Buffer.alloc(21, 97), true)[0]).toBe(0xc3);
    expect(write(Buffer.alloc(21, 97), false)[0]).toBe(21);
  });

  test('random strings agree with a plain writer and reader', () => {
    const prng = new Prng(testSeed('rdb strings'));
    let compressed = 0;
    for (let round = 0; round < 5000; round++) {
      const size = prng.below(8) === 0 ? prng.below(60_000) : prng.below(150);
      const bytes = mixedBytes(prng, size);
      const message = `round ${round}, ${size} bytes`;
      const form = write(bytes, true);
      if (form[0] !== 0xc3) {
        const integer = plainInteger(Buffer.from(bytes).toString('latin1'));
        const plain = integer ?? Buffer.concat([plainLength(size), bytes]);
        expect(form.equals(plain), message).toBe(true);
        continue;
      }
      compressed++;
      const { bytes: back, lengths, rest } = readCompressed(form);
      expect(sameBytes(back, bytes), message).toBe(true);
      expect(
        form.subarray(1, 1 + lengths.length).equals(lengths),
        `${message}: shortest lengths`,
      ).toBe(true);
      expect(rest, message).toBe(0);
      expect(form.length - 1 - lengths.length, `${message}: saves 4 bytes`).toBeLessThanOrEqual(
        size - 4,
      );
    }
    expect(compressed).toBeGreaterThan(1000);
  });

  test('random decimals agree with a plain writer', () => {
    const prng = new Prng(testSeed('rdb decimals'));
    for (let round = 0; round < 20_000; round++) {
      const value = Math.floor((prng.float() - 0.5) * 2 ** (1 + prng.below(38)));
      const text = Object.is(value, -0) ? '-0' : String(value);
      const plain =
        plainInteger(text) ?? Buffer.concat([plainLength(text.length), Buffer.from(text)]);
      expect(write(Buffer.from(text), true).equals(plain), text).toBe(true);
    }
  });

  test('a string in the last bytes of the memory is read without passing the end', () => {
    for (let size = 0; size < 300; size++) {
      const at = memory.length - size;
      memory.fill(97, at);
      expect(kernels.rdbString(at, size, OUTPUT, true)).toBeGreaterThan(0);
    }
  });

  test('refuses areas outside of the memory', () => {
    const end = memory.length;
    expect(() => kernels.rdbString(end - 4, 5, OUTPUT, true)).toThrow('inside the memory');
    expect(() => kernels.rdbString(INPUT, 4, end - 19, true)).toThrow('room for the string');
  });
});

test('memory that the system refuses is an operating error', () => {
  const grow = vi.spyOn(WebAssembly.Memory.prototype, 'grow').mockImplementation(() => {
    throw new RangeError('WebAssembly.Memory.grow(): Unable to grow instance memory');
  });
  let code: string | undefined;
  try {
    new ByteKernels(1024 * 1024);
  } catch (error) {
    code = codeOf(error);
  }
  expect(grow).toHaveBeenCalled();
  grow.mockRestore();
  expect(code).toBe('ARENA_FULL');
});
