import { describe, expect, test } from 'vitest';
import { type ControlRecord, packInto, unpackFrom } from '../../src/workers/messages.ts';

const RECORDS: readonly [string, ControlRecord][] = [
  ['nothing', {}],
  ['scalars', { yes: true, no: false, none: null, text: 'a', empty: '' }],
  ['numbers', { zero: 0, small: -5, big: 2 ** 32 + 1, most: Number.MAX_SAFE_INTEGER, half: 0.5 }],
  ['a long text', { text: 'größer '.repeat(100) }],
  ['nested', { list: [1, 'two', [3]], inner: { deep: { deeper: null } } }],
];

describe('a record', () => {
  test.each(RECORDS)('with %s lies in shared memory and comes back', (_name, record) => {
    for (const bytesTotal of [1500, 8192]) {
      const bytes = new Uint8Array(new SharedArrayBuffer(bytesTotal), 8).fill(0xaa);
      const length = packInto(bytes, 13, bytes.length, record);
      expect(length).toBeGreaterThan(0);
      expect(unpackFrom(bytes, 13, 13 + length)).toEqual(record);
      expect([...bytes.subarray(0, 13)]).toEqual(Array(13).fill(0xaa));
    }
  });

  test('gives byte strings of its own, not views of the shared memory', () => {
    const bytes = new Uint8Array(new SharedArrayBuffer(4096));
    const length = packInto(bytes, 0, bytes.length, { sum: new Uint8Array([1, 2, 3]) });
    const { sum } = unpackFrom<{ sum: Uint8Array }>(bytes, 0, length);
    bytes.fill(0);
    expect([...sum]).toEqual([1, 2, 3]);
    expect(sum.buffer).not.toBe(bytes.buffer);
  });

  test.each([0, 100, 3000, 9000])(
    'that does not fit %i bytes is refused and stays inside its limit',
    (room) => {
      const bytes = new Uint8Array(new SharedArrayBuffer(room + 64)).fill(0xaa);
      expect(packInto(bytes, 0, room, { text: 'x'.repeat(room + 1) })).toBe(-1);
      expect([...bytes.subarray(room)]).toEqual(Array(64).fill(0xaa));
    },
  );

  test('fits to the last byte', () => {
    const bytes = new Uint8Array(new SharedArrayBuffer(4096));
    const record = { text: 'x'.repeat(200) };
    const length = packInto(bytes, 0, 4096, record);
    expect(packInto(bytes, 0, length, record)).toBe(length);
    expect(packInto(bytes, 0, length - 1, record)).toBe(-1);
  });

  test('is refused outside of its bytes', () => {
    expect(() => packInto(new Uint8Array(8), 4, 9, {})).toThrow('packInto: range within the bytes');
    expect(() => unpackFrom(new Uint8Array(8), 4, 4)).toThrow('unpackFrom: range within the bytes');
  });

  test('is MessagePack', () => {
    const bytes = new Uint8Array(64);
    const length = packInto(bytes, 0, 64, { a: 1 });
    expect([...bytes.subarray(0, length)]).toEqual([0x81, 0xa1, 0x61, 0x01]);
  });
});
