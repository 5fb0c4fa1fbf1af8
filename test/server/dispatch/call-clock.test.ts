/**
 * Calls of a pipeline share looks at the clock; what is counted and told of them must be as if they
 * did not.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { startHeadwater } from '../../support/headwater.ts';
import type { RespClient } from '../../support/resp-client.ts';
import type { TestServer } from '../../support/server-process.ts';

let server: TestServer;
let client: RespClient;

beforeAll(async () => {
  server = await startHeadwater({ args: ['--enable-debug-command', 'yes'] });
  client = await server.client();
});

afterAll(async () => {
  await client.close();
  await server.stop();
});

beforeEach(async () => {
  await client.pipeline([
    // Other commands take so long on no machine, however busy it is.
    ['CONFIG', 'SET', 'slowlog-log-slower-than', '150000'],
    ['SLOWLOG', 'RESET'],
    ['CONFIG', 'RESETSTAT'],
  ]);
});

/** `calls` and `usec` of a command. */
async function stats(command: string): Promise<[calls: number, usec: number]> {
  const line = await client.infoField('commandstats', `cmdstat_${command}`);
  const field = (name: string): number => Number(new RegExp(`${name}=([\\d.]+)`).exec(line)![1]);
  return [field('calls'), field('usec')];
}

test('each call is counted, and the histogram has as many', async () => {
  await client.pipeline(
    Array.from({ length: 1003 }, (_, i) => (i % 3 === 0 ? ['SET', 'k', 'v'] : ['GET', 'k'])),
  );
  expect((await stats('set'))[0]).toBe(335);
  expect((await stats('get'))[0]).toBe(668);
  const histogram = (await client.call('LATENCY', 'HISTOGRAM', 'get')) as unknown[];
  const [, figures] = histogram as [string, unknown[]];
  expect(figures[1]).toBe(668);
});

test('a command that takes its time has it alone', async () => {
  const before = performance.now();
  await client.pipeline([
    ['SET', 'k', 'v'],
    ['GET', 'k'],
    ['DEBUG', 'SLEEP', '0.2'],
    ['GET', 'k'],
    ['SET', 'k', 'w'],
  ]);
  const passedUs = (performance.now() - before) * 1000;
  const [, slept] = await stats('debug');
  expect(slept).toBeGreaterThanOrEqual(200_000);
  expect((await stats('get'))[1] + (await stats('set'))[1]).toBeLessThan(passedUs - slept);
  const slow = (await client.call('SLOWLOG', 'GET')) as [number, number, number, string[]][];
  expect(slow.map(([, , , words]) => words)).toEqual([['DEBUG', 'SLEEP', '0.2']]);
});

test('who asks for all calls gets each of them', async () => {
  await client.call('CONFIG', 'SET', 'slowlog-log-slower-than', '0');
  await client.pipeline(Array.from({ length: 20 }, (_, i) => ['SET', 'k', String(i)]));
  const slow = (await client.call('SLOWLOG', 'GET', '-1')) as [number, number, number, string[]][];
  const sets = slow.map(([, , , words]) => words).filter(([name]) => name === 'SET');
  expect(sets.map((words) => words[2])).toEqual(
    Array.from({ length: 20 }, (_, i) => String(19 - i)),
  );
});

test('the time of a transaction holds that of its commands', async () => {
  await client.pipeline([
    ['MULTI'],
    ['SET', 'k', 'v'],
    ['DEBUG', 'SLEEP', '0.02'],
    ['GET', 'k'],
    ['EXEC'],
  ]);
  const [calls, usec] = await stats('exec');
  expect(calls).toBe(1);
  expect(usec).toBeGreaterThanOrEqual((await stats('debug'))[1]);
  expect((await stats('get'))[0]).toBe(1);
});
