import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RealRedis, startRedis } from './real-redis.ts';
import { RespClient } from './resp-client.ts';
import { INCOMPLETE, RespError, RespParser, RespPush, type RespValue } from './resp-parser.ts';

const replies: readonly [name: string, bytes: string, value: RespValue][] = [
  ['simple string', '+OK\r\n', 'OK'],
  ['error', '-ERR no\r\n', new RespError('ERR no')],
  ['integer', ':-7\r\n', -7],
  ['integer beyond 2^53', ':9223372036854775807\r\n', 9223372036854775807n],
  ['bulk with line ends', '$4\r\na\r\nb\r\n', 'a\r\nb'],
  ['empty bulk', '$0\r\n\r\n', ''],
  ['null bulk', '$-1\r\n', null],
  ['null array', '*-1\r\n', null],
  ['null', '_\r\n', null],
  ['empty array', '*0\r\n', []],
  ['nested arrays', '*2\r\n*1\r\n:1\r\n*0\r\n', [[1], []]],
  ['map', '%2\r\n+a\r\n:1\r\n+b\r\n*0\r\n', new Map<RespValue, RespValue>([['a', 1], ['b', []]])], // biome-ignore format: one case, one line
  ['set', '~2\r\n:1\r\n:2\r\n', new Set([1, 2])],
  ['push', '>2\r\n+message\r\n:1\r\n', new RespPush(['message', 1])],
  ['boolean', '#t\r\n', true],
  ['double', ',-1.5e3\r\n', -1500],
  ['infinity', ',-inf\r\n', Number.NEGATIVE_INFINITY],
  ['big number', '(123456789012345678901234567890\r\n', 123456789012345678901234567890n],
  ['verbatim', '=7\r\ntxt:abc\r\n', 'abc'],
  ['bulk error', '!6\r\nERR no\r\n', new RespError('ERR no')],
  ['attribute before a value', '|1\r\n+ttl\r\n:3\r\n$1\r\nv\r\n', 'v'],
];

describe('the parser reads', () => {
  test.each(replies)('%s in one chunk and byte by byte', (_name, bytes, value) => {
    const whole = new RespParser('utf8');
    whole.push(Buffer.from(bytes));
    expect(whole.next()).toEqual(value);
    expect(whole.next()).toBe(INCOMPLETE);

    const split = new RespParser('utf8');
    for (const byte of Buffer.from(bytes)) {
      expect(split.next()).toBe(INCOMPLETE);
      split.push(Buffer.from([byte]));
    }
    expect(split.next()).toEqual(value);
    expect(split.lastRaw.toString()).toBe(bytes);
    expect(split.pendingBytes).toBe(0);
  });

  test.each([['?\r\n'], ['$x\r\n'], [':1\n'], ['*1e3\r\n']])('nothing from %j', (bytes) => {
    const parser = new RespParser('utf8');
    parser.push(Buffer.from(bytes));
    expect(() => parser.next()).toThrow();
  });
});

describe('the client, with a real server', () => {
  let redis: RealRedis;
  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.stop());

  test('returns error replies as values, and throws them from call', async () => {
    const client = await redis.client();
    await client.call('SET', 'text', 'abc');
    const reply = await client.command('INCR', 'text');
    expect(reply).toBeInstanceOf(RespError);
    expect((reply as RespError).code).toBe('ERR');
    await expect(client.call('INCR', 'text')).rejects.toThrow('not an integer');
    await client.close();
  });

  test('keeps all bytes in buffer and latin1 mode', async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    const binary = await redis.client({ bulk: 'buffer' });
    expect(await binary.command('ECHO', bytes)).toEqual(bytes);
    const text = await redis.client({ bulk: 'latin1' });
    expect(await text.command('ECHO', bytes.toString('latin1'))).toBe(bytes.toString('latin1'));
    await Promise.all([binary.close(), text.close()]);
  });

  test('pipelines, and returns a reply of many chunks', async () => {
    const client = await redis.client();
    const big = 'x'.repeat(3_000_000);
    const got = await client.pipeline([['SET', 'big', big], ['GET', 'big'], ['NOSUCH'], ['DEL', 'big']]); // biome-ignore format: one line
    expect(got[0]).toBe('OK');
    expect(got[1]).toBe(big);
    expect(got[2]).toBeInstanceOf(RespError);
    expect(got[3]).toBe(1);
    expect((await client.raw('GET', 'none')).toString()).toBe('$-1\r\n');
    await client.close();
  });

  test.each([2, 3] as const)('queues messages apart from replies in RESP%i', async (protocol) => {
    const subscriber = await redis.client({ protocol });
    const publisher = await redis.client();
    subscriber.send('SUBSCRIBE', 'news');
    expect(await subscriber.nextPush()).toEqual(['subscribe', 'news', 1]);
    await publisher.call('PUBLISH', 'news', 'rain');
    expect(await subscriber.nextPush()).toEqual(['message', 'news', 'rain']);
    await Promise.all([subscriber.close(), publisher.close()]);
  });

  test('tells when the server ends the connection', async () => {
    const client = await redis.client();
    client.write('*1\r\n$x\r\n');
    expect(await client.reply()).toBeInstanceOf(RespError);
    await client.closed;
    await expect(client.command('PING')).rejects.toThrow('closed');
  });
});

test('nobody listens: connect rejects', async () => {
  await expect(RespClient.connect(1)).rejects.toThrow('ECONNREFUSED');
});
