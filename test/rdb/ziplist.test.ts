import { expect, test } from 'vitest';
import { latin1 } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import {
  firstInZiplist,
  readZiplistElement,
  validateZiplist,
  ZIPLIST_END,
} from '../../src/rdb/ziplist.ts';
import {
  ELEMENT_TEXT_BYTES_MAX,
  ElementView,
  elementToBytes,
} from '../../src/structs/listpack-read.ts';
import { testSeed } from '../support/seed.ts';
import { ziplistOf } from './ziplist-fixture.ts';

const view = new ElementView();
const scratch = new Uint8Array(ELEMENT_TEXT_BYTES_MAX);

function textsIn(bytes: Uint8Array, base: number): string[] {
  const texts: string[] = [];
  for (let at = firstInZiplist(base); bytes[at] !== ZIPLIST_END; ) {
    at = readZiplistElement(bytes, at, view);
    elementToBytes(view, scratch);
    texts.push(latin1(view.bytes, view.position, view.length));
  }
  return texts;
}

const TEXTS: readonly string[] = [
  ...[
    '',
    'a',
    'x'.repeat(63),
    'x'.repeat(64),
    'x'.repeat(249),
    'x'.repeat(260),
    'x'.repeat(16383),
    'x'.repeat(16384),
  ],
  ...[
    '0',
    '12',
    '13',
    '-1',
    '127',
    '128',
    '-128',
    '-129',
    '32767',
    '32768',
    '8388607',
    '8388608',
    '-8388609',
  ],
  ...['2147483647', '2147483648', '-2147483649', '9223372036854775807', '-9223372036854775808'],
  ...['007', '-0', '9223372036854775808', '1.5'],
];

test.each(TEXTS.map((text) => [text.slice(0, 30), text]))('%s is read', (_, text) => {
  const bytes = Buffer.concat([Buffer.from('before'), ziplistOf(['first', text, text, 'last'])]);
  expect(validateZiplist(bytes, 6, bytes.length - 6)).toBe(4);
  expect(textsIn(bytes, 6)).toEqual(['first', text, text, 'last']);
});

test('one without entries, and one whose header has lost the count', () => {
  const empty = ziplistOf([]);
  expect(validateZiplist(empty, 0, empty.length)).toBe(0);
  expect(textsIn(empty, 0)).toEqual([]);
  const bytes = ziplistOf(['a', 'b']);
  bytes.writeUInt16LE(65535, 8);
  expect(validateZiplist(bytes, 0, bytes.length)).toBe(2);
});

/** A sound ziplist with some bytes replaced. */
function broken(changes: readonly (readonly [at: number, byte: number])[]): Buffer {
  const bytes = ziplistOf(['abc', '500', 'x'.repeat(300)]);
  for (const [at, byte] of changes) bytes[at] = byte;
  return bytes;
}

test.each([
  ['a total that is too great', [[0, 77]]],
  ['a tail that is no entry', [[4, 11]]],
  ['a tail that is another entry', [[4, 10]]],
  ['a wrong count', [[8, 2]]],
  ['a wrong length of the entry before', [[15, 4]]],
  ['a terminator in the middle', [[10, 0xff]]],
  ['an encoding that is none', [[16, 0xff]]],
  ['a string that reaches too far', [[11, 63]]],
  ['a long string that reaches too far', [[11, 0x80]]],
] as const)('%s is refused', (_, changes) => {
  const bytes = broken(changes);
  expect(validateZiplist(bytes, 0, bytes.length)).toBe(-1);
});

test('any cut is refused', () => {
  const bytes = broken([]);
  expect(validateZiplist(bytes, 0, bytes.length)).toBe(3);
  for (let length = 0; length < bytes.length; length++)
    expect(validateZiplist(bytes, 0, length)).toBe(-1);
});

test('what is accepted after random damage is read to its end', () => {
  const prng = new Prng(testSeed('ziplist'));
  let accepted = 0;
  for (let round = 0; round < 3000; round++) {
    const bytes = ziplistOf(Array.from({ length: prng.below(8) }, () => TEXTS[prng.below(4)]!));
    for (let i = prng.below(3); i > 0; i--) bytes[prng.below(bytes.length)] = prng.below(256);
    const count = validateZiplist(bytes, 0, bytes.length);
    if (count < 0) continue;
    accepted++;
    expect(textsIn(bytes, 0).length).toBe(count);
  }
  expect(accepted).toBeGreaterThan(100);
});
