import { expect, test } from 'vitest';
import {
  atLine,
  besideLine,
  endLine,
  parseAnnotation,
} from '../../../../src/server/persistence/aof/annotations.ts';
import {
  EMPTY_MANIFEST,
  formatManifest,
  nextBaseSeq,
  nextIncrementSeq,
  parseManifest,
  withBase,
  withIncrement,
  withoutHistory,
} from '../../../../src/server/persistence/aof/manifest.ts';

const base = { name: 'a.aof.1.base.rdb', seq: 1 };
const first = { name: 'a.aof.1.incr.aof', seq: 1 };
const second = { name: 'a.aof.2.incr.aof', seq: 2 };

test('a rewrite makes history of the base and the increments before it', () => {
  const before = withIncrement(withIncrement({ ...EMPTY_MANIFEST, base }, first), second);
  const next = { name: 'a.aof.2.base.rdb', seq: nextBaseSeq(before) };
  expect(next.seq).toBe(2);
  expect(nextIncrementSeq(before)).toBe(3);
  const after = withBase(before, next, second);
  expect(formatManifest(after)).toBe(
    'file a.aof.2.base.rdb seq 2 type b\nfile a.aof.1.base.rdb seq 1 type h\n' +
      'file a.aof.1.incr.aof seq 1 type h\nfile a.aof.2.incr.aof seq 2 type i\n',
  );
  expect(parseManifest(formatManifest(after))).toEqual(after);
  expect(nextBaseSeq(after)).toBe(3);
  expect(withoutHistory(after).history).toEqual([]);
});

test('names are quoted where they need it, comments and unknown pairs are passed over', () => {
  const odd = { name: 'my file "x".1.incr.aof', seq: 7 };
  const text = formatManifest(withIncrement(EMPTY_MANIFEST, odd));
  expect(text).toBe('file "my file \\"x\\".1.incr.aof" seq 7 type i\n');
  expect(parseManifest(`# a comment\n${text}`).increments).toEqual([odd]);
  expect(
    parseManifest('file a.1.incr.aof seq 1 type i startoffset 10 endoffset 20\n').increments,
  ).toEqual([{ name: 'a.1.incr.aof', seq: 1 }]);
});

test.each([
  ['', 'Found an empty AOF manifest'],
  ['file a seq 1\n', 'Invalid AOF manifest file format'],
  ['file a seq 0 type b\n', 'Invalid AOF manifest file format'],
  ['file ../a seq 1 type b\n', "File can't be a path, just a filename"],
  ['file a seq 1 type x\n', 'Unknown AOF file type'],
  ['file a seq 1 type b\nfile b seq 2 type b\n', 'Found duplicate base file information'],
  ['file a seq 2 type i\nfile b seq 2 type i\n', 'Found a non-monotonic sequence number'],
  [`file ${'a'.repeat(2000)} seq 1 type b\n`, 'The AOF manifest file contains too long line'],
])('refuses %j', (text, reason) => {
  expect(() => parseManifest(text)).toThrow(reason);
});

test('annotations come back as they were written, and others mean nothing', () => {
  const words = (line: string): string[] => line.trim().split(' ');
  const replid = `${'0123456789abcdef'.repeat(2)}01234567`;
  expect(parseAnnotation(words(atLine(replid, 12)))).toEqual({ kind: 'at', replid, offset: 12 });
  expect(parseAnnotation(words(besideLine(23)))).toEqual({ kind: 'beside', bytes: 23 });
  expect(parseAnnotation(words(endLine(5)))).toEqual({ kind: 'end', offset: 5 });
  for (const line of ['#TS:1', '#', '#headwater:at x 1', '#headwater:beside -1', '#headwater:end'])
    expect(parseAnnotation(words(line))).toEqual({ kind: 'other' });
});
