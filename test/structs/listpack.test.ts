/** Encodings byte by byte, bounds, and what each operation leaves behind. */
import { beforeEach, describe, expect, test } from 'vitest';
import { bytePosition, SEGMENT_SHIFT } from '../../src/arena/layout.ts';
import { bytesOf } from '../../src/base/bytes.ts';
import { GIB, NIL } from '../../src/base/units.ts';
import { writeU32 } from '../../src/structs/listpack-encode.ts';
import { ElementView, END } from '../../src/structs/listpack-read.ts';
import { ListpackFixture } from './listpack-fixture.ts';

let fixture: ListpackFixture;
beforeEach(() => {
  fixture = new ListpackFixture();
});

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('an element is stored as', () => {
  test.each([
    ['0', '0001'],
    ['127', '7f01'],
    ['128', 'c08002'],
    ['-1', 'dfff02'],
    ['4095', 'cfff02'],
    ['-4096', 'd00002'],
    ['4096', 'f1001003'],
    ['-4097', 'f1ffef03'],
    ['32767', 'f1ff7f03'],
    ['-32768', 'f1008003'],
    ['32768', 'f200800004'],
    ['-32769', 'f2ff7fff04'],
    ['8388607', 'f2ffff7f04'],
    ['-8388608', 'f200008004'],
    ['8388608', 'f30000800005'],
    ['2147483647', 'f3ffffff7f05'],
    ['-2147483648', 'f30000008005'],
    ['2147483648', 'f4000000800000000009'],
    ['-2147483649', 'f4ffffff7fffffffff09'],
    ['9007199254740993', 'f4010000000000200009'],
    ['9223372036854775807', 'f4ffffffffffffff7f09'],
    ['-9223372036854775808', 'f4000000000000008009'],
    ['', '8001'],
    ['-0', '822d3003'],
    ['01', '82303103'],
    ['a', '816102'],
    ['-', '812d02'],
    ['9223372036854775808', `93${Buffer.from('9223372036854775808').toString('hex')}14`],
  ])('%s: %s', (text, expected) => {
    const ref = fixture.of([text]);
    const bytes = hex(fixture.bytes(ref));
    expect(bytes).toBe(`${hex(Uint8Array.of(7 + expected.length / 2))}0000000100${expected}ff`);
    expect(fixture.texts(ref)).toEqual([text]);
  });

  // Redis needs one byte more of back length one byte before its groups of 7 bits are full.
  test.each([
    [63, 'bf', '40'],
    [64, 'e040', '42'],
    [125, 'e07d', '7f'],
    [126, 'e07e', '0180'],
    [4095, 'efff', '2081'],
    [4096, 'f000100000', '2085'],
    [16377, 'f0f93f0000', '7ffe'],
    [16378, 'f0fa3f0000', '00ffff'],
    [2097145, 'f0f9ff1f00', '7ffffe'],
    [2097146, 'f0faff1f00', '00ffffff'],
  ])('a string of %i bytes: %s … %s', (length, before, behind) => {
    const ref = fixture.of(['x'.repeat(length)]);
    fixture.listpack.validate(ref);
    const bytes = hex(fixture.bytes(ref));
    expect(bytes.slice(12, 12 + before.length)).toBe(before);
    expect(bytes.slice(12 + before.length + length * 2)).toBe(`${behind}ff`);
    expect(fixture.textsBackwards(ref)[0]!.length).toBe(length);
  });
});

test('integers are inserted as numbers and halves as well as by their text', () => {
  const { listpack } = fixture;
  const values = [
    0,
    127,
    128,
    -1,
    -4097,
    1e6,
    2 ** 31,
    -(2 ** 31) - 1,
    2 ** 53 - 1,
    -(2 ** 53) + 1,
  ];
  let ref = listpack.create();
  for (const value of values) ref = listpack.appendInteger(ref, value);
  ref = listpack.appendInt64(ref, 0x7fffffff, -1);
  const texts = [...values.map(String), '9223372036854775807'];
  expect(hex(fixture.bytes(ref))).toBe(hex(fixture.bytes(fixture.of(texts))));
});

test('a view tells the value, and whether it is exact', () => {
  const ref = fixture.of([
    '-5',
    '9007199254740991',
    '9007199254740992',
    '-9223372036854775808',
    'text',
  ]);
  const view = new ElementView();
  const seen = [0, 1, 2, 3, 4].map((index) => {
    fixture.listpack.read(ref, fixture.listpack.seek(ref, index), view);
    return view.isInteger ? [view.int, view.isWide, view.high, view.low] : view.length;
  });
  expect(seen).toEqual([
    [-5, false, -1, -5],
    [9007199254740991, false, 0x1fffff, -1],
    [9007199254740992, true, 0x200000, 0],
    [-(2 ** 63), true, -(2 ** 31), 0],
    4,
  ]);
});

test('an empty listpack has neither first nor last', () => {
  const { listpack } = fixture;
  const ref = listpack.create();
  expect(hex(fixture.bytes(ref))).toBe('070000000000ff');
  expect([
    listpack.first(ref),
    listpack.last(ref),
    listpack.seek(ref, 0),
    listpack.seek(ref, -1),
  ]).toEqual([END, END, END, END]);
  expect(fixture.find(ref, listpack.first(ref), 'a', 0)).toBe(END);
});

test('an index counts from either end', () => {
  const texts = ['a', 'b', '3', 'd', 'e'];
  const ref = fixture.of(texts);
  const at = (index: number): string | undefined => {
    const position = fixture.listpack.seek(ref, index);
    return position === END ? undefined : fixture.textAt(ref, position);
  };
  for (let index = -6; index <= 5; index++) expect(at(index)).toBe(texts.at(index));
});

describe('finding', () => {
  test.each([
    ['a', 0, 0],
    ['12', 0, 1],
    ['012', 0, 2],
    ['5000000000', 0, 3],
    ['9223372036854775807', 0, 4],
    ['12', 1, -1],
    ['012', 1, 2],
    ['12', 2, -1],
    ['absent', 0, -1],
    ['', 0, -1],
    ['-', 0, -1],
    ['705032704', 0, -1],
  ])('%j, skipping %i, gives %i', (text, skip, index) => {
    const ref = fixture.of(['a', '12', '012', '5000000000', '9223372036854775807']);
    const found = fixture.find(ref, fixture.listpack.first(ref), text, skip);
    expect(found).toBe(index < 0 ? END : fixture.listpack.seek(ref, index));
  });

  test('an empty string is found', () => {
    const ref = fixture.of(['a', '']);
    expect(fixture.find(ref, fixture.listpack.first(ref), '', 0)).toBe(
      fixture.listpack.seek(ref, 1),
    );
  });

  test('equality takes a number for its text only', () => {
    const ref = fixture.of(['12']);
    const first = fixture.listpack.first(ref);
    for (const [text, equal] of [
      ['12', true],
      ['012', false],
      ['12.0', false],
      ['', false],
    ] as const)
      expect(fixture.listpack.equals(ref, first, bytesOf(text), 0, text.length)).toBe(equal);
  });
});

test('deletion leaves the position of what follows', () => {
  const { listpack } = fixture;
  let ref = fixture.of(['a', 'b', 'c', 'd']);
  ref = listpack.delete(ref, listpack.seek(ref, 1));
  expect(fixture.textAt(ref, listpack.at)).toBe('c');
  ref = listpack.deleteEntries(ref, listpack.at, 2);
  expect(listpack.at).toBe(END);
  expect(fixture.texts(ref)).toEqual(['a']);
  ref = listpack.deleteRange(ref, 7, 1);
  expect(fixture.texts(ref)).toEqual(['a']);
});

test('insertion and replacement leave the position of the new element', () => {
  const { listpack } = fixture;
  let ref = fixture.of(['a', 'c']);
  ref = listpack.insert(ref, listpack.seek(ref, 1), bytesOf('b'), 0, 1);
  expect(fixture.textAt(ref, listpack.at)).toBe('b');
  ref = listpack.replaceInteger(ref, listpack.at, 70000);
  expect(fixture.textAt(ref, listpack.at)).toBe('70000');
  ref = listpack.append(ref, bytesOf('end'), 0, 3);
  expect(fixture.textAt(ref, listpack.at)).toBe('end');
  expect(fixture.texts(ref)).toEqual(['a', '70000', 'c', 'end']);
});

test('a listpack is cut in two and joined again', () => {
  const { arena, listpack } = fixture;
  const texts = ['a', '1', 'c'.repeat(200), '-70000', 'e'];
  let head = fixture.of(texts);
  const before = fixture.bytes(head);
  const middle = listpack.seek(head, 2);
  const tail = listpack.copyFrom(head, middle);
  head = listpack.truncate(head, middle);
  expect([fixture.texts(head), fixture.texts(tail)]).toEqual([texts.slice(0, 2), texts.slice(2)]);
  listpack.validate(head);
  listpack.validate(tail);
  const used = arena.usedBytes;
  const joined = listpack.concat(head, tail);
  expect(fixture.bytes(joined)).toEqual(before);
  expect(arena.usedBytes).toBeLessThan(used + 300);
});

test('an emptied block is given up, and growth asks for more only now and then', () => {
  const { arena, listpack } = fixture;
  let ref = listpack.create();
  let moves = 0;
  for (let i = 0; i < 2000; i++) {
    const to = listpack.append(ref, bytesOf('abc'), 0, 3);
    if (to !== ref) moves++;
    ref = to;
  }
  expect(moves).toBeLessThan(50);
  const full = arena.blockBytes(ref);
  ref = listpack.shrinkToFit(ref);
  expect(arena.blockBytes(ref)).toBeLessThanOrEqual(full);
  ref = listpack.deleteRange(ref, 0, 1950);
  expect(arena.blockBytes(ref)).toBeLessThan(512);
  expect(listpack.count(ref)).toBe(50);
});

test('the count is lost at 65535 entries and comes back below', () => {
  const { listpack } = fixture;
  let ref = listpack.create();
  for (let i = 0; i < 65534; i++) ref = listpack.appendInteger(ref, 1);
  const noted = (): string => hex(fixture.bytes(ref).subarray(4, 6));
  expect([listpack.count(ref), noted()]).toEqual([65534, 'feff']);
  ref = listpack.appendInteger(listpack.appendInteger(ref, 2), 3);
  expect([listpack.count(ref), noted()]).toEqual([65536, 'ffff']);
  expect([listpack.seek(ref, 65536), listpack.seek(ref, -65537)]).toEqual([END, END]);
  expect(fixture.textAt(ref, listpack.seek(ref, 65535))).toBe('3');
  expect(fixture.textAt(ref, listpack.seek(ref, -2))).toBe('2');
  ref = listpack.deleteRange(ref, -3, 3);
  expect([noted(), listpack.count(ref), noted()]).toEqual(['ffff', 65533, 'fdff']);
  listpack.validate(ref);
});

test('a listpack that would pass 1 GiB stays as it is', () => {
  const { arena, listpack } = fixture;
  const ref = fixture.of(['a']);
  // Its header alone says that it is long.
  const u8 = arena.u8[ref >>> SEGMENT_SHIFT]!;
  writeU32(u8, bytePosition(ref), GIB - 4);
  expect([listpack.safeToAdd(ref, 4), listpack.safeToAdd(ref, 5)]).toEqual([true, false]);
  const before = u8.slice(bytePosition(ref), bytePosition(ref) + 16);
  expect(listpack.prepend(ref, bytesOf('abc'), 0, 3)).toBe(NIL);
  expect(listpack.concat(ref, fixture.of(['abc']))).toBe(NIL);
  expect(u8.slice(bytePosition(ref), bytePosition(ref) + 16)).toEqual(before);
});
