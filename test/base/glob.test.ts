/** Cases of glob matching, one line each. */
import { describe, expect, test } from 'vitest';
import { globHasMagic, globMatch } from '../../src/base/glob.ts';

function match(pattern: string, text: string, ignoreCase = false): boolean {
  // Bytes around both show that only the given range is read.
  const p = Buffer.from(`*${pattern}*`, 'latin1');
  const t = Buffer.from(`x${text}x`, 'latin1');
  return globMatch(p, 1, p.length - 2, t, 1, t.length - 2, ignoreCase);
}

describe('globMatch', () => {
  test.each([
    ['', '', true],
    ['', 'a', false],
    ['a', '', false],
    ['abc', 'abc', true],
    ['abc', 'ab', false],
    ['abc', 'abcd', false],
    ['*', 'anything', true],
    ['*', '', true],
    ['**', '', false],
    ['**', 'a', true],
    ['a*', 'a', true],
    ['*c', 'abc', true],
    ['a*c', 'abcb', false],
    ['a*b*c', 'axbxbxc', true],
    ['?', '', false],
    ['??', 'ab', true],
    ['h?llo', 'hello', true],
    ['h[ae]llo', 'hallo', true],
    ['h[ae]llo', 'hillo', false],
    ['h[^e]llo', 'hello', false],
    ['h[^e]llo', 'hbllo', true],
    ['[a-c]', 'b', true],
    ['[c-a]', 'b', true],
    ['[a-c]', 'd', false],
    ['[^a-c]x', 'dx', true],
    ['[a-]', 'a', true],
    ['[a-]', '_', true],
    ['[a-]', '-', false],
    ['[-a]', '-', true],
    ['[]a]', 'a]', false],
    ['[]', 'a', false],
    ['[^]', 'a', true],
    ['[^]x', 'ax', true],
    ['[^', 'a', true],
    ['[', '[', false],
    ['[ab', 'b', true],
    ['[a\\]b]', ']', true],
    ['\\*', '*', true],
    ['\\*', 'a', false],
    ['\\', '\\', true],
    ['a\\', 'a\\', true],
    ['\\[a]', '[a]', true],
    ['[^\\]]', 'a', true],
    ['\xff?', '\xff\xfe', true],
    ['a*\0*b', 'a1\x002b', true],
  ])('%j on %j is %s', (pattern, text, expected) => {
    expect(match(pattern, text)).toBe(expected);
  });

  test.each([
    ['ABC', 'abc', true],
    ['a[B-D]e', 'aCE', true],
    ['[^B]', 'b', false],
    ['\\A', 'a', true],
    ['[\\A]', 'a', false],
    ['\xc4', '\xe4', false],
  ])('%j on %j without case is %s', (pattern, text, expected) => {
    expect(match(pattern, text, true)).toBe(expected);
  });

  test('takes time in proportion to pattern times text, whatever the stars', () => {
    expect(match(`${'a*'.repeat(200)}b`, 'a'.repeat(20_000))).toBe(false);
  });

  test('knows patterns that are plain text', () => {
    const has = (pattern: string): boolean => globHasMagic(Buffer.from(pattern), 0, pattern.length);
    expect(['plain', 'a]b', 'a-b^'].map(has)).toEqual([false, false, false]);
    expect(['a*', '?', '[a', '\\a'].map(has)).toEqual([true, true, true, true]);
  });
});
