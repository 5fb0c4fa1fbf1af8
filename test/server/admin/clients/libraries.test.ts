/** What people connect with: ioredis, node-redis, redis-cli and redis-benchmark, as they come. */
import { spawn } from 'node:child_process';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startHeadwater } from '../../../support/headwater.ts';
import type { TestServer } from '../../../support/server-process.ts';

const PASSWORD = 'open-sesame';
let server: TestServer;

beforeAll(async () => {
  server = await startHeadwater();
  const client = await server.client();
  await client.call('CONFIG', 'SET', 'requirepass', PASSWORD);
  await client.close();
});

afterAll(async () => {
  await server.stop();
});

/** The output of a program that ran to its end, given `input`. */
async function run(command: string, args: readonly string[], input = ''): Promise<string> {
  const child = spawn(command, ['-p', String(server.port), '-a', PASSWORD, ...args], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  child.stdin.end(input);
  let output = '';
  for await (const chunk of child.stdout.setEncoding('utf8')) output += chunk as string;
  return output;
}

test('ioredis connects, works, subscribes and runs transactions', async () => {
  const redis = new Redis({ port: server.port, password: PASSWORD, connectionName: 'io', db: 2 });
  await redis.set('io', 'works', 'EX', 100);
  expect(await redis.get('io')).toBe('works');
  expect(await redis.multi().incr('n').incr('n').exec()).toEqual([
    [null, 1],
    [null, 2],
  ]);
  const subscriber = redis.duplicate();
  const message = new Promise((resolve) => subscriber.once('message', (...args) => resolve(args)));
  await subscriber.subscribe('news');
  await redis.publish('news', 'hello');
  expect(await message).toEqual(['news', 'hello']);
  expect(await redis.client('GETNAME')).toBe('io');
  redis.disconnect();
  subscriber.disconnect();
});

test('node-redis connects, works, subscribes and runs transactions', async () => {
  const redis = createClient({
    url: `redis://:${PASSWORD}@127.0.0.1:${server.port}/3`,
    name: 'nr',
  });
  await redis.connect();
  await redis.set('nr', 'works');
  expect(await redis.get('nr')).toBe('works');
  expect(await redis.multi().incr('n').incr('n').exec()).toEqual([1, 2]);
  const subscriber = redis.duplicate();
  await subscriber.connect();
  const message = new Promise((resolve) => {
    subscriber.subscribe('news', (text, channel) => resolve([channel, text])).catch(resolve);
  });
  await redis.publish('news', 'hello');
  expect(await message).toEqual(['news', 'hello']);
  expect(await redis.clientGetName()).toBe('nr');
  expect(await redis.info('server')).toContain('redis_version:7.2');
  redis.destroy();
  subscriber.destroy();
});

describe('redis-cli', () => {
  test('runs commands in both protocols', async () => {
    expect(await run('redis-cli', ['-n', '5', 'SET', 'cli', '1'])).toBe('OK\n');
    expect(await run('redis-cli', ['-3', '-n', '5', 'GET', 'cli'])).toBe('1\n');
    expect(await run('redis-cli', ['--no-raw', 'CONFIG', 'GET', 'appendonly'])).toContain(
      '"appendonly"',
    );
  });

  test('--pipe loads a mass of commands of both forms', async () => {
    const inline = Array.from({ length: 500 }, (_, i) => `SET pipe:${i} ${i}\r\n`).join('');
    const multibulk = '*3\r\n$3\r\nSET\r\n$8\r\npipe:end\r\n$3\r\nyes\r\n'.repeat(500);
    const output = await run('redis-cli', ['--pipe'], inline + multibulk);
    expect(output).toContain('errors: 0, replies: 1000');
  });

  test('--scan, --bigkeys and --memkeys finish', async () => {
    expect((await run('redis-cli', ['--scan', '--pattern', 'pipe:1*'])).split('\n')).toContain(
      'pipe:100',
    );
    expect(await run('redis-cli', ['--bigkeys', '-i', '0'])).toContain('-------- summary -------');
    expect(await run('redis-cli', ['--memkeys', '-i', '0'])).toContain('-------- summary -------');
  });

  test('--hotkeys is refused in the words that it knows', async () => {
    expect(await run('redis-cli', ['OBJECT', 'FREQ', 'pipe:1'])).toContain(
      'An LFU maxmemory policy is not selected',
    );
  });
});

test('redis-benchmark finds what it asks for and runs its simple tests', async () => {
  const output = await run('redis-benchmark', [
    '-t',
    'ping,set,get,incr,mset',
    '-n',
    '2000',
    '-P',
    '16',
    '-q',
    '--csv',
  ]);
  for (const name of ['PING_INLINE', 'PING_MBULK', 'SET', 'GET', 'INCR', 'MSET (10 keys)']) {
    expect(output).toContain(`"${name}"`);
  }
});
