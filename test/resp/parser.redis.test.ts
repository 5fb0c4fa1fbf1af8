/** The same bytes to a real server and to the parser: the same commands, the same errors. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { BufferPool } from '../../src/resp/buffer-pool.ts';
import { Parse } from '../../src/resp/parser.ts';
import { Reply } from '../../src/resp/reply.ts';
import { type RealRedis, startRedis } from '../support/real-redis.ts';
import { testSeed } from '../support/seed.ts';
import { bytes, makeReader, multibulk } from './requests.ts';

let redis: RealRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

const END = multibulk(['ECHO', 'the end']);
const END_REPLY = '$7\r\nthe end\r\n';

/**
 * What the server answers until it closes, or has answered END. `input` holds nothing behind an
 * error, END included: a server that closes with unread bytes resets the connection, and its reply
 * may be lost.
 */
async function ask(input: string): Promise<string> {
  const socket = connect({ port: redis.port, host: '127.0.0.1', noDelay: true });
  let reply = '';
  socket.on('data', (data) => {
    reply += data.toString('latin1');
    if (reply.endsWith(END_REPLY)) socket.end();
  });
  socket.write(Buffer.from(input, 'latin1'));
  await once(socket, 'close');
  return reply;
}

/** What our parser makes of it, with PING, ECHO and EVAL 'return ARGV' 0 … as the only commands. */
function answer(input: string): string {
  const reader = makeReader();
  const reply = new Reply(new BufferPool());
  const all = bytes(input);
  reader.push(all, 0, all.length);
  for (let parse = reader.next(); parse !== Parse.MORE; parse = reader.next()) {
    const { request } = reader;
    if (parse === Parse.ERROR) {
      reply.error(`ERR ${reader.error}`);
      break;
    }
    if (parse === Parse.EMPTY) continue;
    if (request.equalsIgnoreCase(0, 'PING') && request.argc === 1) reply.pong();
    else if (request.equalsIgnoreCase(0, 'EVAL')) {
      reply.array(request.argc - 3);
      for (let i = 3; i < request.argc; i++)
        reply.bulk(request.bytes, request.position[i]!, request.length[i]!);
    } else reply.bulk(request.bytes, request.position[1]!, request.length[1]!);
  }
  return reply.take().toString('latin1');
}

/** END tells when all has been answered; an error closes the connection anyway. */
function withEnd(input: string): string {
  return answer(input + END).endsWith(END_REPLY) ? input + END : input;
}

const PING = '*1\r\n$4\r\nPING\r\n';

const inputs = [
  PING + PING,
  `*-1\r\n*0\r\n*-7\r\n${PING}`,
  '*1\rx$4\ryPING\r\n',
  '*1\r\n$4\r\nPINGab',
  '*2\r\n$4\r\nPING\r\n$0\r\n\r\n',
  '\r\n\n \r\n',
  'PING\rx\r\n',
  'PING fo"o b"\r\n',
  "PING 'it\\'s'\r\n",
  'PING "a"b\r\n',
  'PING "a\r\n',
  "PING 'a\r\n",
  'PING "a\\\r\n',
  '*\r\n',
  '*01\r\n',
  '*-0\r\n',
  '*+1\r\n',
  '* 1\r\n',
  `${PING}*2x\r\n`,
  '*2147483648\r\n',
  '*9223372036854775808\r\n',
  '*1\r\n+4\r\n',
  '*1\r\n\r\n',
  '*1\r\n\n\r\n',
  '*1\r\n\xe9\r\n',
  '*1\r\n$-1\r\n',
  '*1\r\n$-0\r\n',
  '*1\r\n$\r\n',
  '*1\r\n$04\r\n',
  '*1\r\n$ 4\r\n',
  '*1\r\n$536870913\r\n',
  '*1\r\n$92233720368547758080\r\n',
  'X'.repeat(65_537),
  `*${'1'.repeat(65_536)}`,
  `*1\r\n$${'1'.repeat(65_536)}`,
];

test.each(inputs.map((input) => [input.slice(0, 40), input]))('%j', async (_, input) => {
  const ended = withEnd(input);
  expect(answer(ended)).toBe(await ask(ended));
});

test('words of random lines are the same', async () => {
  const prng = new Prng(testSeed('inline words'));
  const alphabet = 'ab4x\\\\""\'\'  \t\v\f\r';
  const inputs = Array.from({ length: 600 }, () => {
    let line = "EVAL 'return ARGV' 0 ";
    for (let i = prng.below(12); i >= 0; i--) line += alphabet[prng.below(alphabet.length)];
    return withEnd(`${line}\n`);
  });
  while (inputs.length > 0) {
    const some = inputs.splice(0, 50);
    expect(some.map(answer)).toEqual(await Promise.all(some.map(ask)));
  }
});

test('a client that has yet to authenticate', async () => {
  const admin = await redis.client();
  await admin.call('CONFIG', 'SET', 'requirepass', 'secret');
  for (const input of [multibulk(Array(11).fill('x')), multibulk(['x'.repeat(16_385)])]) {
    const reader = makeReader();
    reader.authRequired = true;
    const all = bytes(input);
    reader.push(all, 0, all.length);
    expect(reader.next()).toBe(Parse.ERROR);
    expect(await ask(input)).toBe(`-ERR ${reader.error}\r\n`);
  }
  await admin.call('CONFIG', 'SET', 'requirepass', '');
});
