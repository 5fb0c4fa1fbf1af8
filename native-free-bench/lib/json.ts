/** Values that look like those of applications: JSON with ids, words and numbers. */
import type { Prng } from '../../src/base/prng.ts';

const WORDS = ['alpha', 'bravo', 'charlie', 'delta', 'echo', 'foxtrot', 'golf', 'hotel', 'india'];

export function hexDigits(prng: Prng, count: number): string {
  return Array.from({ length: count }, () => prng.below(16).toString(16)).join('');
}

/** Returns an object of about 240 bytes as JSON, with spaces behind it up to `bytes`. */
export function jsonValue(prng: Prng, bytes: number): string {
  const word = (): string => WORDS[prng.below(WORDS.length)]!;
  return JSON.stringify({
    id: prng.below(1e7),
    user: `user-${prng.below(50_000)}`,
    session: hexDigits(prng, 16),
    created: 1_700_000_000_000 + prng.below(1e9),
    status: word(),
    tags: [word(), word(), word()],
    address: {
      city: word(),
      street: `${word()} street ${prng.below(200)}`,
      zip: `${prng.below(90_000)}`,
    },
    amount: prng.below(100_000) / 100,
    active: prng.below(2) === 0,
  }).padEnd(bytes);
}
