/** What is refused, byte by byte, and what random damage can and cannot do. */
import { describe, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { hasDuplicates, isScore, validateListpack } from '../../src/structs/listpack-check.ts';
import {
  beforeEntry,
  behindEntry,
  countEntries,
  ElementView,
  findElement,
  LISTPACK_HEADER_BYTES,
  readElement,
} from '../../src/structs/listpack-read.ts';
import { testSeed } from '../support/seed.ts';
import { ListpackFixture, randomText } from './listpack-fixture.ts';

const blob = (text: string): Uint8Array =>
  Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

describe('validation', () => {
  test.each([
    ['empty', '07000000 0000 ff', true],
    ['a number', '09000000 0100 0501 ff', true],
    ['count not known', '09000000 ffff 0501 ff', true],
    ['a number in a longer form', '0b000000 0100 f1050003 ff', true],
    ['a count too high', '09000000 0200 0501 ff', false],
    ['a count too low', '09000000 0000 0501 ff', false],
    ['no terminator', '08000000 0100 0501', false],
    ['a terminator before the end', '0b000000 0100 0501 ff 0501', false],
    ['an entry behind a terminator', '0b000000 0100 ff01 0501 ff', false],
    ['a total below the length', '08000000 0100 0501 ff', false],
    ['a total above the length', '0a000000 0100 0501 ff', false],
    ['a wrong back length', '09000000 0100 0502 ff', false],
    ['a back length of zero', '09000000 0100 0500 ff', false],
    ['a back length without end', '0d000000 0100 85 808080808080 ff', false],
    ['a string that reaches beyond', '09000000 0100 bf01 ff', false],
    ['a string that reaches the terminator', '09000000 0100 8101 ff', false],
    ['half a length', '08000000 0100 e0 ff', false],
    ['half a long length', '0b000000 0100 f0ffffff ff', false],
    ['the longest length', '0d000000 0100 f0ffffffff 05 ff', false],
    ['half an integer', '09000000 0100 f401 ff', false],
    ['an encoding that does not exist', '09000000 0100 f501 ff', false],
    ['too short for a header', '0600', false],
    ['nothing', '', false],
  ])('of %s', (_, text, valid) => {
    const bytes = blob(text);
    expect(validateListpack(bytes, 0, bytes.length, true)).toBe(valid);
    const among = new Uint8Array(bytes.length + 40).fill(1);
    among.set(bytes, 20);
    expect(validateListpack(among, 20, bytes.length, true)).toBe(valid);
  });

  test('that is shallow looks at total and terminator only', () => {
    const bytes = blob('09000000 0900 f501 ff');
    expect(validateListpack(bytes, 0, bytes.length, false)).toBe(true);
    expect(validateListpack(bytes, 0, bytes.length - 1, false)).toBe(false);
  });

  test('asks about each entry', () => {
    const fixture = new ListpackFixture();
    const bytes = fixture.bytes(fixture.of(['1', 'b', '3']));
    const asked: number[] = [];
    const upTo = (last: number) =>
      validateListpack(bytes, 0, bytes.length, true, (_, at, index) => {
        asked.push(at);
        return index < last;
      });
    expect([upTo(3), upTo(1)]).toEqual([true, false]);
    expect(asked).toEqual([6, 8, 11, 6, 8]);
  });
});

describe('duplicates', () => {
  const many = Array.from({ length: 500 }, (_, i) => (i % 2 === 0 ? `field${i}` : String(i)));
  test.each([
    [['a', 'b', 'c'], 1, false],
    [['a', 'b', 'a'], 1, true],
    [['a', '1', 'b', '1'], 2, false],
    [['a', '1', 'a', '2'], 2, true],
    [['12', '1', '012', '2'], 2, false],
    [['9223372036854775807', '9223372036854775806'], 1, false],
    [[], 1, false],
    [many, 1, false],
    [[...many, 'field498'], 1, true],
    [[...many, '499'], 1, true],
  ])('among %j, stride %i: %s', (texts, stride, expected) => {
    const fixture = new ListpackFixture();
    expect(hasDuplicates(fixture.bytes(fixture.of(texts)), 0, stride, 1, 2)).toBe(expected);
  });

  test('are seen whatever their encoding', () => {
    const asText = blob('0d000000 0200 0c01 82313203 ff');
    const asInteger = blob('0d000000 0200 0c01 f10c0003 ff');
    for (const bytes of [asText, asInteger]) {
      expect(validateListpack(bytes, 0, bytes.length, true)).toBe(true);
      expect(hasDuplicates(bytes, 0, 1, 1, 2)).toBe(true);
    }
  });
});

test.each([
  ['1', true],
  ['9223372036854775807', true],
  ['1.5', true],
  ['inf', true],
  ['-inf', true],
  ['nan', false],
  ['', false],
  ['abc', false],
])('as a score, %j: %s', (text, expected) => {
  const fixture = new ListpackFixture();
  expect(isScore(fixture.bytes(fixture.of([text])), LISTPACK_HEADER_BYTES)).toBe(expected);
});

const BLOBS = 150;
const DAMAGES = 60;

test('damage is refused, or leaves a listpack that can be read to both ends', () => {
  const prng = new Prng(testSeed('damaged listpacks'));
  const view = new ElementView();
  let accepted = 0;
  for (let i = 0; i < BLOBS; i++) {
    const fixture = new ListpackFixture();
    const texts = Array.from({ length: prng.below(12) }, () => randomText(prng, 100));
    const whole = fixture.bytes(fixture.of(texts));
    for (let j = 0; j < DAMAGES; j++) {
      const bytes = damaged(whole, prng);
      if (!validateListpack(bytes, 0, bytes.length, true)) continue;
      accepted++;
      const end = bytes.length - 1;
      const forwards: number[] = [];
      for (let at = LISTPACK_HEADER_BYTES; at < end; at = behindEntry(bytes, at)) {
        forwards.push(at);
        readElement(bytes, at, view);
        if (!view.isInteger) expect(view.position + view.length).toBeLessThan(end);
        const found = findElement(bytes, LISTPACK_HEADER_BYTES, whole, 7, prng.below(20), 0);
        expect(found).toBeLessThan(end);
      }
      const backwards: number[] = [];
      for (let at = end; at > LISTPACK_HEADER_BYTES; ) {
        at = beforeEntry(bytes, at);
        backwards.push(at);
      }
      expect(backwards.reverse()).toEqual(forwards);
      expect(countEntries(bytes, 0)).toBe(forwards.length);
      hasDuplicates(bytes, 0, 1 + prng.below(2), 3, 4);
    }
  }
  expect(accepted).toBeGreaterThan(BLOBS / 2);
});

/**
 * A copy with one to three bytes changed, or cut off, the total made right again in half of the
 * cases.
 */
function damaged(whole: Uint8Array, prng: Prng): Uint8Array {
  const bytes = whole.slice(0, prng.below(8) === 0 ? prng.below(whole.length) : whole.length);
  for (let left = 1 + prng.below(3); left > 0 && bytes.length > 0; left--) {
    const at = prng.below(bytes.length);
    if (prng.below(2) === 0) bytes[at]! ^= 1 << prng.below(8);
    else bytes[at] = prng.below(256);
  }
  if (bytes.length > 6 && prng.below(2) === 0) {
    new DataView(bytes.buffer).setUint32(0, bytes.length, true);
    bytes[bytes.length - 1] = 0xff;
  }
  return bytes;
}
