/** The grammar of redis.conf, case by case. */
import { describe, expect, test } from 'vitest';
import {
  fromBytes,
  parseLines,
  quote,
  splitWords,
  toBytes,
} from '../../../src/server/config/grammar.ts';

describe('splitWords', () => {
  test.each([
    ['', []],
    ['  \t ', []],
    ['port 6379', ['port', '6379']],
    ['a\tb\vc\fd', ['a', 'b\vc\fd']],
    ['a \v\fb "c"\vd', ['a', 'b', 'c', 'd']],
    ['save ""', ['save', '']],
    ["save ''", ['save', '']],
    ['a "b c" d', ['a', 'b c', 'd']],
    ['"\\n\\r\\t\\b\\a\\\\\\"\\q"', ['\n\r\t\b\x07\\"q']],
    ['"\\x41\\xfF\\x4g"', ['A\xffx4g']],
    ["'\\n\\''", ["\\n'"]],
    ['ab"cd"', ['abcd']],
    ['ab"cd" e', ['abcd', 'e']],
    ['#no comment', ['#no', 'comment']],
  ])('%j is %j', (line, words) => {
    expect(splitWords(line)).toEqual(words);
  });

  test.each(['"a', "'a", '"a\\"', 'a "b"c', "a 'b'c", '"', 'a "b\\'])(
    '%j is not closed',
    (line) => {
      expect(splitWords(line)).toBeNull();
    },
  );

  test('reads back what quote writes, for every byte', () => {
    const all = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).join('');
    expect(splitWords(quote(all))).toEqual([all]);
    expect(quote('a"\\\n\x01\xff')).toBe('"a\\"\\\\\\n\\x01\\xff"');
  });
});

test('parseLines numbers lines, drops comments and blanks, and lowers names', () => {
  const text = '# c\n\n  PORT 1  \r\n\t# c\nbad "quote\n""\nSave "" x';
  expect(parseLines(text)).toEqual([
    { number: 3, raw: 'PORT 1', words: ['port', '1'] },
    { number: 5, raw: 'bad "quote', words: null },
    { number: 6, raw: '""', words: [''] },
    { number: 7, raw: 'Save "" x', words: ['save', '', 'x'] },
  ]);
});

test('byte strings hold UTF-8', () => {
  expect(toBytes('é')).toBe('\xc3\xa9');
  expect(fromBytes('\xc3\xa9')).toBe('é');
});
