import { describe, expect, test } from 'vitest';
import { addLongDouble, formatLongDouble, parseLongDouble } from '../../src/base/long-double.ts';

describe('sums as INCRBYFLOAT prints them', () => {
  test.each([
    ['10.5', '0.1', '10.6'],
    ['3.0e3', '200', '3200'],
    ['3.0e3', '0', '3000'],
    ['0.1', '0.2', '0.3'],
    ['-1.5', '1.5', '0'],
    ['5.0e3', '-2.0e2', '4800'],
    ['1', '-1.1', '-0.1'],
    ['1e-5', '0', '0.00001'],
    ['1e-30', '0', '0'],
    ['-1e-30', '0', '0'],
    ['0x1.8p3', '1', '13'],
    ['12345678901234567890', '1', '12345678901234567891'],
    ['18446744073709551616', '1', '18446744073709551616'],
    ['18446744073709551616', '3', '18446744073709551620'],
    ['1e21', '1e-3', '1000000000000000000000'],
    ['0x1.fffffffffffff8p0', '0', '1.99999999999999989'],
    ['0', '5e-4940', '0'],
  ])('%s + %s = %s', (a, b, sum) => {
    expect(addLongDouble(a, b)).toBe(sum);
    expect(addLongDouble(b, a)).toBe(sum);
  });

  test.each([
    ['inf', '1'],
    ['-infinity', 'inf'],
    ['1.18e4932', '1.18e4932'],
    ['x', '1'],
    ['1', ''],
  ])('%s + %s is none', (a, b) => {
    expect(addLongDouble(a, b)).toBeUndefined();
  });
});

test.each([
  '',
  ' 1',
  '1 ',
  'nan',
  '1e',
  '.',
  '0x',
  '1\n',
  '1e5000',
  '-1e99999999999',
  '1e-5000',
  '1'.repeat(5120),
])('%j is no long double', (text) => {
  expect(parseLongDouble(text)).toBeUndefined();
});

test('the longest text is one', () => {
  expect(addLongDouble(`0.${'0'.repeat(5116)}1`.slice(0, 5118), '2')).toBe('2');
  expect(addLongDouble(`1.${'0'.repeat(5117)}`, '2')).toBe('3');
});

test.each([
  [0, '0'],
  [-0, '0'],
  [3, '3'],
  [-0.5, '-0.5'],
  [0.1, '0.10000000000000001'],
  [15.087269008159637, '15.08726900815963745'],
  [1e22, '10000000000000000000000'],
  [5e-324, '0'],
  [2 ** -17, '0.00000762939453125'],
  [2 ** -18, '0.00000381469726562'],
  [3 * 2 ** -18, '0.00001144409179688'],
  [Infinity, 'inf'],
  [-Infinity, '-inf'],
])('the double %d prints as %s', (value, text) => {
  expect(formatLongDouble(value)).toBe(text);
});
