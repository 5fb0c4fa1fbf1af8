/** MEMORY DOCTOR and LATENCY DOCTOR say what is so, and nothing that is not. */
import { connect } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MIB } from '../../../../src/base/units.ts';
import { FakeReplica } from '../../../support/fake-replica.ts';
import { fillWithNoise } from '../../../support/links.ts';
import { type NodeInProcess, startNode } from '../../../support/node-in-process.ts';
import type { RespClient } from '../../../support/resp-client.ts';
import { waitFor } from '../../../support/wait-for.ts';

let served: NodeInProcess;
let client: RespClient;

beforeEach(async () => {
  served = await startNode('enable-debug-command yes', 'repl-backlog-size 1mb');
  client = await served.client();
});
afterEach(async () => {
  await client.close();
  await served.stop();
});

const memoryDoctor = async (): Promise<string> => String(await client.call('MEMORY', 'DOCTOR'));
const latencyDoctor = async (): Promise<string> => String(await client.call('LATENCY', 'DOCTOR'));

test('memory: an empty node, a healthy one, and one that has lost most of its keys', async () => {
  expect(await memoryDoctor()).toContain('this instance is empty');
  await fillWithNoise(client, 4000, 16_000);
  expect(await memoryDoctor()).toContain("I can't find any memory issue");
  const keys = Array.from({ length: 4000 }, (_, i) => `noise:${i}`).filter((_, i) => i % 8 !== 0);
  await client.call('DEL', ...keys);
  await waitFor(async () => (await memoryDoctor()).includes(' * Peak memory: this node has used'));
  expect(await memoryDoctor()).toContain(' * High fragmentation: the pages of the dataset take');
  expect(await memoryDoctor()).not.toContain('buffers');
});

test('memory: a replica that does not read holds the stream', async () => {
  const replica = await FakeReplica.attach(served.port, { countOnly: true });
  await replica.waitForDump();
  expect(await memoryDoctor()).not.toContain('replica buffers');
  replica.pause();
  await fillWithNoise(client, 40 * 32, 32_768);
  await waitFor(async () =>
    /\* Big replica buffers: replicas that lag hold \d+\.\d MB of the stream beyond 'repl-backlog-size 1048576'/.test(
      await memoryDoctor(),
    ),
  );
  expect(served.node.server.streamLog.pinnedBytes).toBeGreaterThan(10 * MIB);
  await replica.vanish();
  await waitFor(async () => !(await memoryDoctor()).includes('replica buffers'));
});

test('memory: large requests on a node without data, whose many replicas are no clients', async () => {
  const replicas = await Promise.all(
    Array.from({ length: 40 }, () => FakeReplica.attach(served.port, { countOnly: true })),
  );
  for (const replica of replicas) await replica.waitForDump();
  const socket = connect({ host: '127.0.0.1', port: served.port });
  socket.write('*2\r\n$4\r\nECHO\r\n$8000000\r\n');
  socket.write(Buffer.alloc(6_000_000));
  await waitFor(async () =>
    / \* Big client buffers: clients take \d+\.\d MB, [2-9]\.\d MB each/.test(await memoryDoctor()),
  );
  socket.destroy();
  await waitFor(async () => !(await memoryDoctor()).includes('client buffers'));
  for (const replica of replicas) await replica.vanish();
});

test('latency: off, nothing seen, and what was seen', async () => {
  expect(await latencyDoctor()).toContain('Latency monitoring is disabled');
  await client.call('CONFIG', 'SET', 'latency-monitor-threshold', '1000');
  expect(await latencyDoctor()).toContain('no latency spike was observed');
  await client.call('CONFIG', 'SET', 'latency-monitor-threshold', '1');
  await client.pipeline(
    Array.from({ length: 50_000 }, (_, i) => ['SET', `expiring:${i}`, 'v', 'PX', 300]),
  );
  await waitFor(async () => (await client.call('DBSIZE')) === 0, { what: 'all keys to expire' });
  await client.call('CONFIG', 'SET', 'slowlog-log-slower-than', '-1');
  await client.call('DEBUG', 'SLEEP', '0.05');
  await waitFor(async () =>
    / event-loop: .*Worst all time event \d{2,}ms/.test(await latencyDoctor()),
  );
  const told = await latencyDoctor();
  expect(told).toMatch(/ expire-cycle: \d+ latency spikes/);
  expect(told).toMatch(
    / command: \d+ latency spikes \(average \d+ms\)\. Worst all time event \d{2,}ms/,
  );
  expect(told).toContain('SLOWLOG would tell which commands were slow, and is off');
  expect(told).toContain('Many keys expire at once');
  // Nothing was frozen, and nothing written to a file.
  expect(told).not.toMatch(/fork|aof/);
});
