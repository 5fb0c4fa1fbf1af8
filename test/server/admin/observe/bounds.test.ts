/** What is remembered of clients' requests stays small, whatever they send. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LatencyMonitor } from '../../../../src/server/admin/observe/latency-monitor.ts';
import type { Server } from '../../../../src/server/server.ts';
import { type NodeInProcess, startNode } from '../../../support/node-in-process.ts';
import type { RespClient } from '../../../support/resp-client.ts';
import { waitFor } from '../../../support/wait-for.ts';

const MIB = 1 << 20;

let served: NodeInProcess;
let client: RespClient;

beforeAll(async () => {
  served = await startNode('rehearsal no', 'enable-debug-command yes');
  client = await served.client();
});

afterAll(async () => {
  await client.close();
  await served.stop();
});

const used = async (): Promise<number> => {
  const { admin } = served.node;
  const before = admin.collector.count;
  await client.call('MEMORY', 'PURGE');
  await waitFor(() => admin.collector.count > before, { what: 'a collection' });
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
};

test('SLOWLOG keeps the first bytes of an argument, and nothing of the rest', async () => {
  await client.call('CONFIG', 'SET', 'slowlog-log-slower-than', '0', 'slowlog-max-len', '128');
  const before = await used();
  for (let i = 0; i < 60; i++) await client.call('SET', 'k', Buffer.alloc(2 * MIB, `${i % 10}`));
  await client.call('CONFIG', 'SET', 'slowlog-log-slower-than', '-1');
  const slow = (await client.call('SLOWLOG', 'GET', 5)) as [number, number, number, string[]][];
  const set = slow.find(([, , , words]) => words[0] === 'SET')!;
  expect(set[3]).toEqual(['SET', 'k', `${'9'.repeat(128)}... (${2 * MIB - 128} more bytes)`]);
  expect((await used()) - before).toBeLessThan(30 * MIB);
  await client.call('SLOWLOG', 'RESET');
});

test('the history of an event has 160 samples at most', () => {
  const clock = { nowMs: 0, config: { values: { latencyMonitorThreshold: 1 } } };
  const monitor = new LatencyMonitor(clock as unknown as Server);
  for (let second = 0; second < 1000; second++) {
    clock.nowMs = second * 1000;
    monitor.note('command', 5);
    monitor.note('command', 7);
  }
  const { samples, maxMs } = monitor.events.get('command')!;
  expect([samples.length, samples[0]!.second, samples.at(-1)!.second, maxMs]).toEqual([
    160, 840, 999, 7,
  ]);
});

test('errors are counted under 128 words at most', async () => {
  await client.call('CONFIG', 'RESETSTAT');
  const lines = served.messages.length;
  for (let i = 0; i < 1100; i++) await client.command('DEBUG', 'ERROR', `CODE${i} my error`);
  const fields = await client.info('errorstats');
  expect([...fields]).toEqual([['errorstat_ERRORSTATS_DISABLED', 'count=1']]);
  expect(await client.infoField('stats', 'total_error_replies')).toBe('1100');
  const told = served.messages.slice(lines);
  expect(told.filter((line) => line.startsWith('Errorstats stopped adding new'))).toHaveLength(1);
  expect(
    told.filter((line) => /^Current errors code list: CODE0, CODE1, /.test(line)),
  ).toHaveLength(1);
  await client.call('CONFIG', 'RESETSTAT');
  await client.command('DEBUG', 'ERROR', 'AGAIN x');
  // A word that is too long, or all that there is, is none.
  await client.command('DEBUG', 'ERROR', `${'L'.repeat(40)} x`);
  await client.command('DEBUG', 'ERROR', 'alone');
  expect([...(await client.info('errorstats'))]).toEqual([
    ['errorstat_AGAIN', 'count=1'],
    ['errorstat_ERR', 'count=2'],
  ]);
});
