/** Halves of 64-bit integers against bigint. */
import { expect, test } from 'vitest';
import { bytesOf, latin1, parseInt64 } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import {
  compareInt64,
  Int64,
  int64Number,
  parseInt64Halves,
  writeInt64,
} from '../../src/structs/int64.ts';
import { testSeed } from '../support/seed.ts';

const parsed = (text: string): bigint | undefined => {
  const value = new Int64();
  return parseInt64Halves(bytesOf(text), 0, text.length, value) ? joined(value) : undefined;
};
const joined = (value: Int64): bigint => (BigInt(value.high) << 32n) + BigInt(value.low >>> 0);
const written = (high: number, low: number): string => {
  const bytes = new Uint8Array(24);
  return latin1(bytes, 0, writeInt64(bytes, 0, high, low));
};

test.each([
  '0',
  '-1',
  '4294967295',
  '4294967296',
  '-4294967296',
  '9007199254740991',
  '9007199254740992',
  '9007199254740993',
  '-9007199254740991',
  '-9007199254740992',
  '-9007199254740993',
  '9223372036854775807',
  '-9223372036854775808',
  '1000000000000000000',
  '-1000000000000000000',
])('%s is read and printed', (text) => {
  const value = new Int64();
  expect(parseInt64Halves(bytesOf(text), 0, text.length, value)).toBe(true);
  expect(joined(value)).toBe(BigInt(text));
  expect(written(value.high, value.low)).toBe(text);
  expect(int64Number(value.high, value.low)).toBe(Number(text));
});

test.each([
  '',
  '-',
  '-0',
  '00',
  '0123456789012345678',
  '9223372036854775808',
  '-9223372036854775809',
  '9999999999999999999',
  '18446744073709551616',
  '18446744073709551617',
  '1234567890123456x',
  '12345678x0123456789',
  '+9007199254740993',
])('%j is none', (text) => {
  expect(parsed(text)).toBeUndefined();
});

test('random values agree with bigint', () => {
  const prng = new Prng(testSeed('halves'));
  let before = new Int64();
  for (let i = 0; i < 10_000; i++) {
    const value = new Int64();
    value.high = (prng.u32() | 0) >> prng.below(32);
    value.low = prng.u32() | 0;
    const big = joined(value);
    expect(written(value.high, value.low)).toBe(String(big));
    expect(parsed(String(big))).toBe(big);
    const order = compareInt64(before.high, before.low, value.high, value.low);
    expect(Math.sign(order)).toBe(joined(before) < big ? -1 : Number(joined(before) > big));
    before = value;
    const digits = `${prng.below(2) === 0 ? '-' : ''}${prng.u32()}${prng.u32()}`;
    expect(parsed(digits)).toBe(parseInt64(bytesOf(digits), 0, digits.length));
  }
});
