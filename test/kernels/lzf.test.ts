/** LZF by hand: the format's corners, and inputs that lie. */
import { describe, expect, test } from 'vitest';
import { ByteKernels } from '../../src/kernels/kernels.ts';
import { plainLzfDecompress } from '../../src/kernels/plain-lzf.ts';

const kernels = new ByteKernels(1024 * 1024);
const INPUT = kernels.freeStart;
const OUTPUT = kernels.freeStart + 512 * 1024;

function decompress(blob: readonly number[], outBytes: number): number[] | undefined {
  kernels.memory.set(blob, INPUT);
  const produced = kernels.lzfDecompress(INPUT, blob.length, OUTPUT, outBytes);
  const plain = plainLzfDecompress(Uint8Array.from(blob), outBytes);
  if (produced === -1) {
    expect(plain).toBeUndefined();
    return undefined;
  }
  const bytes = [...kernels.memory.subarray(OUTPUT, OUTPUT + produced)];
  expect(bytes).toEqual([...plain!]);
  return bytes;
}

describe('decompress', () => {
  test.each<[name: string, blob: number[], outBytes: number, result: number[]]>([
    ['nothing', [], 0, []],
    ['one literal', [0, 7], 1, [7]],
    ['a match of 3, one byte back', [0, 7, 0x20, 0], 4, [7, 7, 7, 7]],
    ['a match of 8, the longest short form', [0, 7, 0xc0, 0], 9, Array(9).fill(7)],
    ['a match of 9, the shortest long form', [0, 7, 0xe0, 0, 0], 10, Array(10).fill(7)],
    ['a match of 264, the longest', [0, 7, 0xe0, 255, 0], 265, Array(265).fill(7)],
    ['a match that overlaps itself', [1, 1, 2, 0x60, 1], 7, [1, 2, 1, 2, 1, 2, 1]],
  ])('%s', (_name, blob, outBytes, result) => {
    expect(decompress(blob, outBytes)).toEqual(result);
  });

  test('a match from 8192 bytes back, the farthest', () => {
    const blob: number[] = [];
    const bytes = Array.from({ length: 8192 }, (_, i) => (i * 31) & 0xff);
    for (let at = 0; at < bytes.length; at += 32) blob.push(31, ...bytes.slice(at, at + 32));
    blob.push(0x3f, 0xff);
    expect(decompress(blob, 8195)?.slice(8192)).toEqual(bytes.slice(0, 3));
  });

  test.each<[name: string, blob: number[], outBytes: number]>([
    ['literals that end early', [2, 1, 2], 3],
    ['a literal run without bytes', [0], 1],
    ['a match without its offset', [0, 7, 0x20], 4],
    ['a long match without its length', [0, 7, 0xe0], 10],
    ['a long match without its offset', [0, 7, 0xe0, 0], 10],
    ['a match before any output', [0x20, 0], 3],
    ['a match from before the start', [0, 7, 0x20, 1], 4],
    ['a match from far before the start', [0, 7, 0x3f, 0xff], 4],
    ['literals beyond the output', [1, 1, 2], 1],
    ['a match beyond the output', [0, 7, 0x20, 0], 3],
    ['less output than announced', [0, 7, 0x20, 0], 5],
    ['nothing for one byte', [], 1],
    ['one byte for nothing', [0, 7], 0],
  ])('refuses %s', (_name, blob, outBytes) => {
    expect(decompress(blob, outBytes)).toBeUndefined();
  });

  test('works in the very last bytes of the memory', () => {
    const end = kernels.memory.length;
    kernels.memory.set([0, 7, 0x20, 0], end - 4);
    expect(kernels.lzfDecompress(end - 4, 4, OUTPUT, 4)).toBe(4);
    kernels.memory.set([0, 7, 0x20, 0], INPUT);
    expect(kernels.lzfDecompress(INPUT, 4, end - 4, 4)).toBe(4);
    expect([...kernels.memory.subarray(end - 4)]).toEqual([7, 7, 7, 7]);
  });

  test('refuses areas outside of the memory', () => {
    const end = kernels.memory.length;
    expect(() => kernels.lzfDecompress(end - 4, 5, OUTPUT, 4)).toThrow('inside the memory');
    expect(() => kernels.lzfDecompress(INPUT, 4, end - 4, 5)).toThrow('inside the memory');
    expect(() => kernels.lzfDecompress(INPUT, 4, kernels.freeStart - 1, 4)).toThrow(
      'inside the memory',
    );
  });
});

describe('compress', () => {
  test('returns 0 for nothing, and when the result would not fit', () => {
    kernels.memory.fill(97, INPUT, INPUT + 1000);
    const bytes = kernels.lzfCompress(INPUT, 1000, OUTPUT, 1000);
    expect(bytes).toBeGreaterThan(0);
    expect(kernels.lzfCompress(INPUT, 1000, OUTPUT, bytes)).toBe(bytes);
    expect(kernels.lzfCompress(INPUT, 1000, OUTPUT, bytes - 1)).toBe(0);
    expect(kernels.lzfCompress(INPUT, 0, OUTPUT, 100)).toBe(0);
  });

  test('works in the very last bytes of the memory', () => {
    const at = kernels.memory.length - 300;
    kernels.memory.fill(97, at);
    const bytes = kernels.lzfCompress(at, 300, OUTPUT, 300);
    expect(plainLzfDecompress(kernels.memory.slice(OUTPUT, OUTPUT + bytes), 300)).toEqual(
      new Uint8Array(300).fill(97),
    );
  });
});
