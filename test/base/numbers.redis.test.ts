/** Random numbers through a real server: what it accepts and what it prints. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bytesOf, formatDouble, parseFloat64 } from '../../src/base/bytes.ts';
import { parseLongDouble, printLongDouble, sumLongDouble } from '../../src/base/long-double.ts';
import { Prng } from '../../src/base/prng.ts';
import { type RealRedis, startRedis } from '../support/real-redis.ts';
import type { RespClient } from '../support/resp-client.ts';
import { RespError, type RespValue } from '../support/resp-parser.ts';
import { testSeed } from '../support/seed.ts';

const ROUNDS = 4000;
const BATCH = 500;

let redis: RealRedis;
let client: RespClient;
beforeAll(async () => {
  redis = await startRedis();
  client = await redis.client();
});
afterAll(() => redis.stop());

function digits(prng: Prng, most: number): string {
  let text = '';
  for (let i = prng.below(most + 1); i > 0; i--) text += prng.below(10);
  return text;
}

/** Mostly a number, of every size and form; one in twenty has a character that does not belong. */
function randomNumber(prng: Prng): string {
  const sign = ['', '', '-', '+'][prng.below(4)]!;
  let text: string;
  switch (prng.below(6)) {
    case 0:
      text = `${prng.below(1000)}.${prng.below(100)}`;
      break;
    case 1:
      text = `0x${prng.u32().toString(16)}.${prng.u32().toString(16)}p${prng.below(200) - 100}`;
      break;
    case 2:
      text = `${digits(prng, 25)}.${digits(prng, 25)}`;
      break;
    case 3:
      text = `${digits(prng, 20)}.${digits(prng, 5)}e${prng.below(60) - 30}`;
      break;
    case 4:
      text = `${digits(prng, 3)}e${prng.below(10_400) - 5200}`;
      break;
    default:
      // Odd multiples of small powers of two: ties of decimal rounding.
      text = String((prng.u32() * 2 + 1) / 2 ** prng.below(24));
  }
  if (prng.below(20) === 0) {
    const at = prng.below(text.length + 1);
    text = text.slice(0, at) + ' .ex-_'[prng.below(6)] + text.slice(at);
  }
  return sign + text;
}

async function inBatches(commands: string[][]): Promise<RespValue[]> {
  const replies: RespValue[] = [];
  for (let at = 0; at < commands.length; at += BATCH) {
    const batch = commands.slice(at, at + BATCH).map((command) => client.command(...command));
    replies.push(...(await Promise.all(batch)));
  }
  return replies;
}

const textOf = (reply: RespValue): string =>
  reply instanceof RespError ? `error: ${reply.message}` : String(reply);

test('INCRBYFLOAT of random numbers', async () => {
  const prng = new Prng(testSeed('long doubles'));
  const pairs = Array.from(
    { length: ROUNDS },
    () => [randomNumber(prng), randomNumber(prng)] as const,
  );
  const commands = pairs.flatMap(([a, b]) => [
    ['SET', 'k', a],
    ['INCRBYFLOAT', 'k', b],
  ]);
  const replies = (await inBatches(commands)).filter((_, i) => i % 2 === 1).map(textOf);
  const expected = pairs.map(([a, b]) => {
    const left = parseLongDouble(a);
    const right = parseLongDouble(b);
    if (left === undefined || right === undefined) return 'error: ERR value is not a valid float';
    const sum = sumLongDouble(left, right);
    return sum === undefined
      ? 'error: ERR increment would produce NaN or Infinity'
      : printLongDouble(sum);
  });
  const wrong = pairs
    .map((pair, i) => [...pair, replies[i], expected[i]])
    .filter(([, , a, b]) => a !== b);
  expect(wrong).toEqual([]);
  expect(replies.filter((reply) => !reply.startsWith('error')).length).toBeGreaterThan(ROUNDS / 2);
});

test('ZSCORE of random numbers', async () => {
  const prng = new Prng(testSeed('doubles'));
  // A sorted set of long members is no listpack, which would store -0 as an integer.
  await client.call('CONFIG', 'SET', 'zset-max-listpack-entries', '0');
  const texts = Array.from({ length: ROUNDS }, () => randomNumber(prng));
  const commands = texts.flatMap((text) => [
    ['DEL', 'z'],
    ['ZADD', 'z', text, 'm'],
    ['ZSCORE', 'z', 'm'],
  ]);
  const replies = (await inBatches(commands)).filter((_, i) => i % 3 === 2).map(textOf);
  const expected = texts.map((text) => {
    const value = parseFloat64(bytesOf(text), 0, text.length);
    return value === undefined ? 'null' : formatDouble(value);
  });
  const wrong = texts
    .map((text, i) => [text, replies[i], expected[i]])
    .filter(([, a, b]) => a !== b);
  expect(wrong).toEqual([]);
  expect(replies.filter((reply) => reply !== 'null').length).toBeGreaterThan(ROUNDS / 2);
});
