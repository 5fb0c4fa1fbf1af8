/**
 * A pipeline is parsed and its keys are looked at before its first command runs. What the commands
 * before them change must not be missed: the same bytes to a real server get the same bytes back.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { startHeadwater } from '../../support/headwater.ts';
import { startRedis } from '../../support/real-redis.ts';
import { encodeCommand } from '../../support/resp-client.ts';
import { testSeed } from '../../support/seed.ts';
import type { TestServer } from '../../support/server-process.ts';

let ours: TestServer;
let theirs: TestServer;

beforeAll(async () => {
  [ours, theirs] = await Promise.all([startHeadwater(), startRedis()]);
});

afterAll(async () => {
  await Promise.all([ours.stop(), theirs.stop()]);
});

/** What a server answers to all of it in one write, until it closes the connection. */
async function answers(
  server: TestServer,
  commands: readonly (readonly string[])[],
): Promise<string> {
  const socket = connect(server.port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.write(
    Buffer.concat([...commands, ['QUIT']].map((words) => Buffer.from(encodeCommand(words)))),
  );
  await once(socket, 'close');
  return Buffer.concat(chunks).toString('latin1');
}

async function expectSame(commands: readonly (readonly string[])[]): Promise<void> {
  const [here, there] = await Promise.all([answers(ours, commands), answers(theirs, commands)]);
  expect(here).toBe(there);
}

const V = 'v'.repeat(100);

const again = (times: number, ...words: string[]): string[][] =>
  Array.from({ length: times }, () => words);

test.each<[string, string[][]]>([
  [
    'a key that is made, changed and removed',
    [
      ['SET', 'a', V],
      ['APPEND', 'a', 'x'],
      ['GET', 'a'],
      ['DEL', 'a'],
      ['GET', 'a'],
      ['SET', 'a', '1'],
      ['GET', 'a'],
    ],
  ],
  [
    'another database',
    [
      ['SET', 'b', '0'],
      ['SELECT', '3'],
      ['GET', 'b'],
      ['SET', 'b', '3'],
      ['SELECT', '0'],
      ['GET', 'b'],
    ],
  ],
  [
    'databases that are swapped',
    [
      ['SET', 'c', '0'],
      ['GET', 'c'],
      ['SWAPDB', '0', '5'],
      ['GET', 'c'],
      ['SET', 'c', '5'],
      ['SWAPDB', '0', '5'],
      ['GET', 'c'],
    ],
  ],
  [
    'a key that goes while its database is elsewhere',
    [
      ['SET', 'j', V],
      ['GET', 'j'],
      ['SWAPDB', '0', '7'],
      ['SELECT', '7'],
      ['DEL', 'j'],
      ['SET', 'other', V],
      ['SELECT', '0'],
      ['SWAPDB', '0', '7'],
      ['GET', 'j'],
      ['GET', 'other'],
      ['DEL', 'other'],
    ],
  ],
  [
    'a dataset that is flushed',
    [['SET', 'd', V], ['FLUSHALL'], ['GET', 'd'], ['SET', 'd', 'again'], ['GET', 'd'], ['DBSIZE']],
  ],
  [
    'a transaction',
    [
      ['MULTI'],
      ['SET', 'e', V],
      ['GET', 'e'],
      ['EXEC'],
      ['GET', 'e'],
      ['MULTI'],
      ['SET', 'e'],
      ['EXEC'],
      ['GET', 'e'],
    ],
  ],
  [
    'a type that changes',
    [
      ['SET', 'f', V],
      ['DEL', 'f'],
      ['RPUSH', 'f', 'x', 'y'],
      ['LRANGE', 'f', '0', '-1'],
      ['GET', 'f'],
      ['DEL', 'f'],
    ],
  ],
  [
    'silence',
    [
      ['SET', 'g', '1'],
      ['CLIENT', 'REPLY', 'OFF'],
      ['INCR', 'g'],
      ['INCR', 'g'],
      ['CLIENT', 'REPLY', 'ON'],
      ['GET', 'g'],
      ['CLIENT', 'REPLY', 'SKIP'],
      ['INCR', 'g'],
      ['GET', 'g'],
    ],
  ],
  [
    'a client that waits',
    [
      ['RPUSH', 'h', '1'],
      ['BLPOP', 'h', '0'],
      ['BLPOP', 'h', '0.01'],
      ['SET', 'h', V],
      ['GET', 'h'],
      ['DEL', 'h'],
    ],
  ],
  [
    'mistakes',
    [
      ['SET', 'i'],
      ['NOSUCH', 'i'],
      ['GET', 'i', 'j'],
      ['CLIENT', 'NOSUCH'],
      ['OBJECT', 'ENCODING'],
      ['SET', 'i', '1'],
      ['GET', 'i'],
    ],
  ],
  [
    'the same command again and again',
    [
      ...again(25, 'PING'),
      ...again(120, 'INCR', 'k'),
      ...again(9, 'GET', 'k'),
      ...again(3, 'DEL', 'k'),
      ...again(70, 'RPUSH', 'l', V),
      ...again(40, 'LPUSH', 'l', 'x'),
      ...again(60, 'LPOP', 'l'),
      ...again(60, 'RPOP', 'l'),
      ...again(3, 'LPOP', 'l'),
      ...again(3, 'GET'),
      ...again(3, 'NOSUCH', 'k'),
      ...again(3, 'PING'),
    ],
  ],
  [
    'the same command again, which changes what may follow',
    [
      ['RPUSH', 'm', 'a', 'b', 'c'],
      ...again(5, 'BLPOP', 'm', '0.01'),
      ...again(2, 'MULTI'),
      ...again(4, 'INCR', 'm'),
      ...again(2, 'EXEC'),
      ...again(3, 'CLIENT', 'REPLY', 'SKIP'),
      ...again(3, 'INCR', 'm'),
      ...again(2, 'SELECT', '4'),
      ...again(3, 'INCR', 'm'),
      ...again(2, 'CLIENT', 'REPLY', 'OFF'),
      ...again(3, 'INCR', 'm'),
      ...again(2, 'CLIENT', 'REPLY', 'ON'),
      ...again(3, 'GET', 'm'),
      ...again(3, 'QUIT'),
    ],
  ],
])('%s', async (_, commands) => {
  await expectSame(commands);
});

test('a client that is served within the pipeline of another runs its own', async () => {
  const reply = answers(ours, [
    ['BLPOP', 'w1', '0'],
    ['SET', 'w2', 'by the first'],
    ['GET', 'w2'],
  ]);
  const client = await ours.client();
  try {
    while (!String(await client.call('INFO', 'clients')).includes('blocked_clients:1'));
    const all = await answers(ours, [
      ['SET', 'w2', V],
      ['RPUSH', 'w1', 'x'],
      ['SET', 'w3', V],
      ['GET', 'w3'],
    ]);
    expect(all).toBe(`+OK\r\n:1\r\n+OK\r\n$100\r\n${V}\r\n+OK\r\n`);
    expect(await reply).toBe('*2\r\n$2\r\nw1\r\n$1\r\nx\r\n+OK\r\n$12\r\nby the first\r\n+OK\r\n');
    expect(await client.call('GET', 'w2')).toBe('by the first');
  } finally {
    await client.close();
  }
});

test('random pipelines over few keys', async () => {
  const prng = new Prng(testSeed('look-ahead'));
  const word = (): string => ['', 'x', '12', V, V.repeat(5)][prng.below(5)]!;
  const key = (): string => `key:${prng.below(6)}`;
  const makers: (() => string[])[] = [
    () => ['SET', key(), word()],
    () => ['GET', key()],
    () => ['DEL', key()],
    () => ['MSET', key(), word(), key(), word()],
    () => ['MGET', key(), key()],
    () => ['INCR', key()],
    () => ['INCRBY', key(), String(prng.below(2000) - 1000)],
    () => ['APPEND', key(), word()],
    () => ['RENAME', key(), key()],
    () => ['SETRANGE', key(), '90', 'zz'],
    () => ['GETDEL', key()],
    () => ['COPY', key(), key(), 'REPLACE'],
    () => ['SELECT', String(prng.below(2))],
    () => ['STRLEN', key()],
  ];
  for (let round = 0; round < 60; round++) {
    await expectSame(
      Array.from({ length: 1 + prng.below(100) }, () => {
        const words = makers[prng.below(makers.length)]!();
        return again(prng.below(6) === 0 ? 1 + prng.below(40) : 1, ...words);
      }).flat(),
    );
  }
});
