/**
 * The system's clock steps while replicas follow: they are neither silent nor forgotten for that,
 * and keep getting the PINGs by which they know that the link is alive. Other times that only pass,
 * of pauses and of soft limits, are not changed by a step either.
 */
import { afterEach, expect, test, vi } from 'vitest';
import { FakeReplica } from '../../support/fake-replica.ts';
import { startNode } from '../../support/node-in-process.ts';
import { waitFor } from '../../support/wait-for.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

const HOUR_MS = 3_600_000;

test.each([
  ['forward', 10 * HOUR_MS],
  ['back', -10 * HOUR_MS],
])('a step %s costs no replica its link, and no history', async (_name, stepMs) => {
  const { node, port, messages, client, stop } = await startNode(
    'repl-timeout 60',
    'repl-ping-replica-period 1',
    'repl-backlog-ttl 3600',
    'client-output-buffer-limit replica 0 1 60',
  );
  const writer = await client();
  const away = await FakeReplica.attach(port, { listeningPort: 7001 });
  await away.waitForDump();
  const replica = await FakeReplica.attach(port, { listeningPort: 7002 });
  await replica.waitForDump();
  const { offset, replid } = away;
  await away.vanish();

  const { now } = Date;
  vi.spyOn(Date, 'now').mockImplementation(() => now() + stepMs);
  await waitFor(
    async () => {
      const [seconds] = (await writer.call('TIME')) as string[];
      return Math.abs(Number(seconds) * 1000 - now() - stepMs) < HOUR_MS;
    },
    { what: 'the node to see the step' },
  );
  const pings = (): number => replica.commands.filter(([name]) => name === 'PING').length;
  const before = pings();
  await waitFor(() => pings() >= before + 2, { what: 'PINGs after the step' });
  await writer.call('SET', 'k', 'v');
  expect(await writer.call('WAIT', '1', '0')).toBe(1);
  expect(replica.isClosed).toBe(false);
  expect((await writer.info('replication')).get('slave0')).toMatch(/state=online,.*lag=[01]$/);
  expect(messages.filter((line) => /timedout|output buffer/.test(line))).toEqual([]);

  // Without replicas the history is as old as before.
  await replica.close();
  await waitFor(() => node.primary.peers.size === 0);
  const back = await FakeReplica.attach(port, { replid, from: offset + 1 });
  expect(back.resync).toBe('partial');
  await back.waitForOffset(node.server.streamLog.endOffset);
  await back.close();
  await writer.close();
  await stop();
});

test('a step back makes no CLIENT PAUSE longer', async () => {
  const { client, stop } = await startNode();
  const writer = await client();
  await writer.call('CLIENT', 'PAUSE', '500', 'WRITE');
  const written = writer.call('SET', 'k', 'v');
  const { now } = Date;
  vi.spyOn(Date, 'now').mockImplementation(() => now() - 10 * HOUR_MS);
  expect(await written).toBe('OK');
  await writer.close();
  await stop();
});

test('a step forward cuts off no client that has been above its soft limit for a moment', async () => {
  const { node, messages, client, stop } = await startNode(
    'client-output-buffer-limit normal 0 1 3600',
  );
  const writer = await client();
  await writer.call('SET', 'large', 'x'.repeat(1 << 20));
  const slow = await client();
  slow.socket.pause();
  const output = (): number => waitingOutput(node.server.clients.values());
  for (let i = 0; i < 30; i++) slow.socket.write('GET large\r\n');
  await waitFor(() => output() > 0, { what: 'replies that wait' });
  const { now } = Date;
  vi.spyOn(Date, 'now').mockImplementation(() => now() + 10 * HOUR_MS);
  await waitFor(
    async () => {
      const [seconds] = (await writer.call('TIME')) as string[];
      return Number(seconds) * 1000 > now() + 9 * HOUR_MS;
    },
    { what: 'the node to see the step' },
  );
  const before = output();
  slow.socket.write('GET large\r\n');
  await waitFor(() => output() !== before, { what: 'one reply more, or the end' });
  expect(messages.filter((line) => line.includes('output buffer'))).toEqual([]);
  expect(output()).toBeGreaterThan(before);
  slow.socket.destroy();
  await writer.close();
  await stop();
});

/** Bytes of replies that wait for clients, all together. */
function waitingOutput(clients: Iterable<{ readonly pendingOutputBytes: number }>): number {
  let bytes = 0;
  for (const { pendingOutputBytes } of clients) bytes += pendingOutputBytes;
  return bytes;
}
