import { describe, expect, test } from 'vitest';
import { equalBytes } from '../../src/base/byte-copy.ts';
import {
  bytesOf,
  compareBytes,
  decimalLength,
  equalsIgnoreCase,
  formatDouble,
  latin1,
  parseFloat64,
  parseInt64,
  parseInteger,
  writeDecimal,
} from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import { testSeed } from '../support/seed.ts';

/** The text with other digits on both sides, which must not be looked at. */
function within<T>(
  parse: (bytes: Uint8Array, start: number, length: number) => T,
  text: string,
): T {
  return parse(bytesOf(`7${text}7`), 1, text.length);
}

describe('integers', () => {
  test.each([
    ['0', 0],
    ['7', 7],
    ['-1', -1],
    ['100', 100],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
    ['-9007199254740991', Number.MIN_SAFE_INTEGER],
  ])('%s', (text, value) => {
    expect(within(parseInteger, text)).toBe(value);
    expect(within(parseInt64, text)).toBe(BigInt(value));
  });

  test.each([
    '',
    '-',
    '+1',
    '-0',
    '00',
    '01',
    '-01',
    ' 1',
    '1 ',
    '1.0',
    '1e3',
    '0x1',
    '--1',
    '1-',
    '\0',
    '/',
    ':',
    '9'.repeat(21),
    `0${'1'.repeat(18)}`,
    `-${'0'.repeat(18)}`,
  ])('%j is none', (text) => {
    expect(within(parseInteger, text)).toBeNaN();
    expect(within(parseInt64, text)).toBeUndefined();
  });

  test.each([
    ['9007199254740992', 9007199254740992n],
    ['-9007199254740993', -9007199254740993n],
    ['9223372036854775807', 9223372036854775807n],
    ['-9223372036854775808', -9223372036854775808n],
    ['9223372036854775808', undefined],
    ['-9223372036854775809', undefined],
    ['99999999999999999999', undefined],
    ['10000000000000000x', undefined],
  ])('%s has no exact number', (text, value) => {
    expect(within(parseInteger, text)).toBeNaN();
    expect(within(parseInt64, text)).toBe(value);
  });

  test('are written as they are read', () => {
    const prng = new Prng(testSeed('decimals'));
    const bytes = new Uint8Array(24);
    const values = [
      0,
      Number.MAX_SAFE_INTEGER,
      Number.MIN_SAFE_INTEGER,
      2 ** 31 - 1,
      2 ** 31,
      -(2 ** 31),
    ];
    for (let power = 1; power < 1e16; power *= 10)
      values.push(power - 1, power, power + 1, -power, 1 - power);
    for (let i = 0; i < 2000; i++)
      values.push(Math.floor((prng.float() - 0.5) * 10 ** prng.below(16)));
    for (const value of values) {
      const end = writeDecimal(bytes, 2, value);
      expect(latin1(bytes, 2, end - 2)).toBe(String(value === 0 ? 0 : value));
      expect(decimalLength(value)).toBe(end - 2);
      expect(parseInteger(bytes, 2, end - 2)).toBe(value === 0 ? 0 : value);
    }
  });
});

describe('fractions', () => {
  test.each([
    ['3', 3],
    ['+5', 5],
    ['-0', -0],
    ['.5', 0.5],
    ['5.', 5],
    ['007.5', 7.5],
    ['1e3', 1000],
    ['1E+03', 1000],
    ['-2.5e-3', -0.0025],
    ['0e999999999', 0],
    ['5e-324', 5e-324],
    ['1.7976931348623157e308', Number.MAX_VALUE],
    ['inf', Infinity],
    ['+INF', Infinity],
    ['-Infinity', -Infinity],
    ['0x10', 16],
    ['0x1.8p3', 12],
    ['-0X.8', -0.5],
    ['0x1.fffffffffffff8p0', 2],
    ['0x1.fffffffffffff7p0', 1.9999999999999998],
    ['0x1.00000000000008p0', 1],
    [`0x1.00000000000008${'0'.repeat(60)}1p0`, 1.0000000000000002],
    ['0x1.8p-1075', 5e-324],
    ['0x0p-9999', 0],
    [`0x1${'0'.repeat(50)}p-200`, 1],
    ['123456789012345678901234567890', 1.2345678901234568e29],
  ])('%s', (text, value) => {
    expect(within(parseFloat64, text)).toBe(value);
  });

  test.each([
    '',
    '-',
    '.',
    '1e',
    '1e+',
    'e5',
    ' 1',
    '1 ',
    '1_0',
    '1d0',
    '1.2.3',
    'nan',
    '-nan',
    'infinit',
    '--1',
    '1e400',
    '-1e400',
    '1e-400',
    '0x',
    '0x.',
    '0x1p',
    '0x1p+',
    '0x1p1024',
    '0x1p-1075',
    '0xg',
    '0x1p99999999999',
    'x1',
  ])('%j is none', (text) => {
    expect(within(parseFloat64, text)).toBeUndefined();
  });

  test('megabytes of digits are only long', () => {
    const digits = '1'.repeat(4 << 20);
    expect(within(parseFloat64, `0.${digits}`)).toBe(0.1111111111111111);
    expect(within(parseFloat64, `${digits}x`)).toBeUndefined();
    expect(within(parseFloat64, `0x0.${digits}`)).toBeCloseTo(1 / 15, 12);
  });
});

test.each([
  [0, '0'],
  [-0, '-0'],
  [3, '3'],
  [0.1, '0.10000000000000001'],
  [-1.5, '-1.5'],
  [1e-4, '0.0001'],
  [1e-5, '1.0000000000000001e-05'],
  [5e-324, '4.9406564584124654e-324'],
  [1e16, '10000000000000000'],
  [1e17, '1e+17'],
  [1e21, '1e+21'],
  [2 ** 56, '72057594037927936'],
  [123456789012345680, '1.2345678901234568e+17'],
  [1e300, '1.0000000000000001e+300'],
  [Number.MAX_VALUE, '1.7976931348623157e+308'],
  // Ties between two decimals of 17 digits go to the even one.
  [12345678901234 + 1 / 16, '12345678901234.062'],
  [12345678901234 + 3 / 16, '12345678901234.188'],
  [Infinity, 'inf'],
  [-Infinity, '-inf'],
])('%d prints as %s', (value, text) => {
  expect(formatDouble(value)).toBe(text);
});

describe('comparisons', () => {
  test.each([
    ['', '', 0],
    ['a', 'a', 0],
    ['a', 'b', -1],
    ['a', 'ab', -1],
    ['b', 'ab', 1],
    ['\xff', 'a', 1],
    ['', 'a', -1],
  ])('%j and %j', (a, b, sign) => {
    const [left, right] = [bytesOf(`xx${a}`), bytesOf(`y${b}z`)];
    expect(Math.sign(compareBytes(left, 2, a.length, right, 1, b.length))).toBe(sign);
    expect(Math.sign(compareBytes(right, 1, b.length, left, 2, a.length))).toBe(0 - sign);
    if (a.length === b.length) expect(equalBytes(left, 2, right, 1, a.length)).toBe(sign === 0);
  });

  test.each([
    ['get', 'GET', true],
    ['GeT', 'GET', true],
    ['ge', 'GET', false],
    ['gets', 'GET', false],
    ['@', '`', false],
    ['`', '@', false],
    ['{', '[', false],
    ['ch-1_x', 'CH-1_X', true],
  ])('%j spells %j: %j', (text, keyword, equal) => {
    expect(within((b, s, l) => equalsIgnoreCase(b, s, l, keyword), text)).toBe(equal);
  });

  test.each([0, 1, 16, 17, 1000])('latin1 of %i bytes', (length) => {
    const bytes = Uint8Array.from({ length: length + 2 }, (_, i) => i * 7);
    const text = latin1(bytes, 1, length);
    expect(bytesOf(text)).toEqual(bytes.subarray(1, length + 1));
  });
});
