/** Random patterns against a plain model, and against a real server's KEYS. */
import { expect, test } from 'vitest';
import { globMatch } from '../../src/base/glob.ts';
import { Prng } from '../../src/base/prng.ts';
import { startRedis } from '../support/real-redis.ts';
import { testSeed } from '../support/seed.ts';

const PATTERN_LETTERS = ['a', 'b', 'c', 'B', '*', '*', '?', '[', ']', '^', '-', '\\'];
const TEXT_LETTERS = ['a', 'b', 'c', 'B', '*', ']', '-', '\\', '^'];

function word(random: Prng, letters: readonly string[], maxLength: number): string {
  let out = '';
  for (let n = random.below(maxLength + 1); n > 0; n--)
    out += letters[random.below(letters.length)]!;
  return out;
}

function match(pattern: string, text: string, ignoreCase: boolean): boolean {
  const p = Buffer.from(pattern, 'latin1');
  const t = Buffer.from(text, 'latin1');
  return globMatch(p, 0, p.length, t, 0, t.length, ignoreCase);
}

/** The same by an anchored regular expression. */
function model(pattern: string, text: string, ignoreCase: boolean): boolean {
  if (text === '') return pattern === '' || pattern === '*';
  const literal = (char: string): string =>
    `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`;
  const either = (char: string): string =>
    ignoreCase ? `[${literal(char.toLowerCase())}${literal(char.toUpperCase())}]` : literal(char);
  let source = '';
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern[i]!;
    if (char === '*') source += '[^]*';
    else if (char === '?') source += '[^]';
    else if (char === '\\' && i + 1 < pattern.length) source += either(pattern[++i]!);
    else if (char !== '[') source += either(char);
    else {
      const negated = pattern[i + 1] === '^';
      const members: string[] = [];
      for (i += negated ? 2 : 1; i < pattern.length && pattern[i] !== ']'; i++) {
        if (pattern[i] === '\\' && i + 1 < pattern.length) {
          members.push(literal(pattern[++i]!));
        } else if (i + 2 < pattern.length && pattern[i + 1] === '-') {
          members.push(...range(pattern[i]!, pattern[i + 2]!, ignoreCase).map(literal));
          i += 2;
        } else {
          const cases = ignoreCase
            ? [pattern[i]!.toLowerCase(), pattern[i]!.toUpperCase()]
            : [pattern[i]!];
          members.push(...cases.map(literal));
        }
      }
      source += negated
        ? `[^${members.join('')}]`
        : members.length === 0
          ? '(?!)'
          : `[${members.join('')}]`;
    }
  }
  return new RegExp(`^${source}$`).test(text);
}

/** The characters of a range; case is dropped after the ends are put in order, as Redis does. */
function range(from: string, to: string, ignoreCase: boolean): string[] {
  const fold = (char: string): string => (ignoreCase ? char.toLowerCase() : char);
  const [low, high] = [from, to].sort();
  const found: string[] = [];
  for (let code = 0; code < 128; code++) {
    const char = String.fromCharCode(code);
    if (fold(char) >= fold(low!) && fold(char) <= fold(high!)) found.push(char);
  }
  return found;
}

test('agrees with a regular expression', () => {
  const random = new Prng(testSeed('glob model'));
  let matches = 0;
  for (let i = 0; i < 60_000; i++) {
    const pattern = word(random, PATTERN_LETTERS, 8);
    const text = word(random, TEXT_LETTERS, 6);
    const ignoreCase = random.below(2) === 0;
    const got = match(pattern, text, ignoreCase);
    if (got) matches++;
    if (got !== model(pattern, text, ignoreCase))
      expect.fail(`${JSON.stringify([pattern, text, ignoreCase])}: ${got}`);
  }
  expect(matches).toBeGreaterThan(1000);
});

test('finds the keys that a real server finds', async () => {
  const random = new Prng(testSeed('glob KEYS'));
  const redis = await startRedis();
  const client = await redis.client();
  const keys = [...new Set(Array.from({ length: 150 }, () => word(random, TEXT_LETTERS, 5)))];
  await Promise.all(keys.map((key) => client.call('SET', key, '1')));
  const patterns = Array.from({ length: 3000 }, () => word(random, PATTERN_LETTERS, 7));
  const replies = await Promise.all(patterns.map((pattern) => client.call('KEYS', pattern)));
  patterns.forEach((pattern, i) => {
    const found = keys.filter((key) => match(pattern, key, false)).sort();
    expect(found, `KEYS ${pattern}`).toEqual((replies[i] as string[]).sort());
  });
  await client.close();
  await redis.stop();
});
