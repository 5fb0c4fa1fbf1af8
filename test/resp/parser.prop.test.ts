import { expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { Parse } from '../../src/resp/parser.ts';
import { testSeed } from '../support/seed.ts';
import { bytes, drain, type Found, makeReader, multibulk, parseAll, record } from './requests.ts';

const ROUNDS = 150;

function randomWord(prng: Prng): string {
  const length = prng.below(8) === 0 ? prng.below(5000) : prng.below(20);
  let word = '';
  for (let i = 0; i < length; i++) word += String.fromCharCode(prng.below(256));
  return word;
}

function quoted(word: string): string {
  let text = '"';
  for (const char of word) {
    const code = char.charCodeAt(0);
    text +=
      code > 32 && code < 127 && char !== '"' && char !== '\\'
        ? char
        : `\\x${code.toString(16).padStart(2, '0')}`;
  }
  return `${text}"`;
}

/** A batch as text and as the requests in it. */
function randomBatch(prng: Prng): { input: string; expected: string[][] } {
  const expected: string[][] = [];
  let input = '';
  for (let i = prng.below(12); i >= 0; i--) {
    const kind = prng.below(10);
    const words = Array.from({ length: 1 + prng.below(prng.below(10) === 0 ? 300 : 6) }, () =>
      randomWord(prng),
    );
    if (kind === 0) {
      input += ['\r\n', '\n', '*0\r\n', '*-1\r\n'][prng.below(4)];
      expected.push([]);
    } else if (kind === 1) {
      const few = words.slice(0, 4);
      input += `${few.map(quoted).join(' ')}\r\n`;
      expected.push(few);
    } else {
      // Now and then the same again and again, sometimes up to its last byte only.
      for (let again = prng.below(3) === 0 ? prng.below(8) : 0; again >= 0; again--) {
        input += multibulk(words);
        expected.push(words);
      }
      if (prng.below(4) === 0) {
        const other = words.with(-1, `${words.at(-1)!.slice(0, -1)}!`);
        input += multibulk(other);
        expected.push(other);
      }
    }
  }
  return { input, expected };
}

test('random batches in random pieces give the same requests', () => {
  const prng = new Prng(testSeed('parser pieces'));
  const reader = makeReader();
  for (let round = 0; round < ROUNDS; round++) {
    const { input, expected } = randomBatch(prng);
    const most = [1, 3, 20, 300, 4000, 70_000][prng.below(6)]!;
    const outcome = parseAll(bytes(input), () => 1 + prng.below(most), reader);
    expect(outcome.error).toBeNull();
    expect(outcome.pending).toBe(0);
    expect(outcome.found.map((found) => found.words)).toEqual(expected);
    expect(outcome.found.map((found) => found.raw).join('')).toBe(input);
    for (const found of outcome.found) expect(found.canonical).toBe(found.raw.startsWith('*'));
    if (prng.below(10) === 0) reader.releaseIdle();
  }
});

test('a client that blocks now and then loses nothing', () => {
  const prng = new Prng(testSeed('parser blocking'));
  const reader = makeReader();
  for (let round = 0; round < ROUNDS; round++) {
    const { input, expected } = randomBatch(prng);
    const all = bytes(input);
    const found: Found[] = [];
    let returned = 0;
    let miscounted = 0;
    const most = [10, 50, 300, 4000][prng.below(4)]!;
    for (let at = 0; at < all.length; ) {
      const chunk = all.slice(at, at + 1 + prng.below(most));
      at += chunk.length;
      reader.push(chunk, 0, chunk.length);
      // Some requests, none, or all; then perhaps no keep before the next push.
      for (let budget = prng.below(4); budget > 0; budget--) {
        const parse = reader.next();
        if (parse === Parse.MORE) break;
        const each = record(reader.request);
        returned += each.raw.length;
        found.push(each);
      }
      if (reader.pendingBytes !== at - returned) miscounted++;
      if (prng.below(3) !== 0) {
        reader.keep();
        chunk.fill(0);
      }
    }
    expect(miscounted).toBe(0);
    expect(drain(reader, found)).toBe(Parse.MORE);
    reader.keep();
    expect(found.map((each) => each.words)).toEqual(expected);
    expect(reader.pendingBytes).toBe(0);
  }
});

test('hostile bytes give the same in any pieces and never throw', () => {
  const prng = new Prng(testSeed('parser noise'));
  const alphabet = '*$+-0123459\r\n\r\n\0 "\'\\xab\t';
  for (let round = 0; round < ROUNDS * 10; round++) {
    let input = prng.below(2) === 0 ? '' : '*2\r\n$';
    for (let i = prng.below(40); i >= 0; i--) input += alphabet[prng.below(alphabet.length)];
    const whole = parseAll(bytes(input), () => input.length);
    const pieces = parseAll(bytes(input), () => 1 + prng.below(4));
    expect(pieces, JSON.stringify(input)).toEqual(whole);
  }
});
