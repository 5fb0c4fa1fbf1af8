/**
 * A replica whose full syncs lead to nothing waits before the next one, longer each time, and the
 * log tells what would help.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KIB } from '../../../src/base/units.ts';
import { FakeReplica, type FakeReplicaOptions } from '../../support/fake-replica.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import type { RespClient } from '../../support/resp-client.ts';
import { waitFor } from '../../support/wait-for.ts';

let primary: NodeInProcess;
let client: RespClient;
let replicas: FakeReplica[];

const LINES = [
  'client-output-buffer-limit replica 1mb 0 0',
  'repl-backlog-size 64kb',
  'snapshot-keep 0',
  'rdbcompression no',
];
const VALUE = 'x'.repeat(32 * KIB);

beforeEach(async () => {
  replicas = [];
  primary = await startNode(...LINES);
  client = await primary.client();
  await client.pipeline(Array.from({ length: 40 }, (_, i) => ['SET', `key:${i}`, VALUE]));
});
afterEach(async () => {
  for (const replica of replicas) await replica.close();
  await client.close();
  await primary.stop();
});

async function attach(options: FakeReplicaOptions = {}): Promise<FakeReplica> {
  const replica = await FakeReplica.attach(primary.port, { countOnly: true, ...options });
  replicas.push(replica);
  return replica;
}

const started = (): number => primary.node.primary.fullSyncs.snapshotsStarted;
const waiting = (): number => primary.node.primary.fullSyncs.waitingCount;
const logged = (text: string): string[] => primary.messages.filter((line) => line.includes(text));

/** A full sync of a replica that then reads nothing, and is cut off for its output limit. */
async function overflow(): Promise<void> {
  const { stats } = primary.node.server;
  const cuts = stats.outputLimitDisconnections;
  const replica = await attach();
  await replica.waitForDump();
  await waitFor(() => [...primary.node.primary.states].some((state) => state.takesStream));
  replica.pause();
  while (stats.outputLimitDisconnections === cuts) await client.call('SET', 'k', VALUE);
}

describe('a replica that was cut off for its output limit after a full sync', () => {
  test('twice in a row waits with keepalives, and gets its dump when writes have stopped', async () => {
    await overflow();
    expect(logged('full syncs in a row')).toEqual([]);
    await overflow();
    const [line] = logged('2 full syncs in a row');
    expect(line).toMatch(
      /^Replica 127\.0\.0\.1:6380 has passed its output limit \(hard 1048576, soft 0 bytes\)/,
    );
    expect(line).toMatch(/waits for up to 5 seconds/);
    const figure = Number(/'repl-backlog-size (\d+)'/.exec(line!)![1]);
    expect(figure).toBeGreaterThan(1_048_576);
    expect(line).toContain(`'client-output-buffer-limit replica ${figure} ${figure} 60'`);
    const third = attach();
    await waitFor(() => waiting() === 1);
    expect(logged('Full sync with 127.0.0.1:6380 waits for up to 5 seconds')).toHaveLength(1);
    // It waits while writes go on.
    const [peer] = primary.node.primary.peers;
    const { netOutputBytes } = peer!.connection;
    while (peer!.connection.netOutputBytes === netOutputBytes) await client.call('SET', 'k', VALUE);
    expect(waiting()).toBe(1);
    // Another replica is not kept waiting.
    const other = await attach({ listeningPort: 6381 });
    await other.waitForDump();
    const replica = await third;
    await replica.waitForDump();
    expect(replica.keepalives).toBeGreaterThan(0);
    expect(replica.refusal).toBe('');
    expect(started()).toBe(4);
    await waitFor(() => replica.offset === primary.node.server.streamLog.endOffset);
  });

  test('waits longer each time, and no longer once a limit has changed', async () => {
    await overflow();
    await overflow();
    const { syncWatch } = primary.node.primary;
    const third = attach();
    await waitFor(() => waiting() === 1);
    const [peer] = primary.node.primary.peers;
    expect(syncWatch.waitMs(peer!)).toBeGreaterThan(1000);
    await client.call('CONFIG', 'SET', 'client-output-buffer-limit', 'replica 64mb 0 0');
    await (await third).waitForDump();
    expect(syncWatch.waitMs(peer!)).toBe(0);
  });
});

describe('a replica that leaves after a whole dump without an ACK', () => {
  test('twice waits before the third one, and the log names the dialect', async () => {
    for (let i = 0; i < 2; i++) {
      const replica = await attach({ ack: 'never' });
      await replica.waitForDump();
      await waitFor(() => [...primary.node.primary.peers].every((p) => p.record.dumpSentMs > 0));
      await replica.close();
      await waitFor(() => primary.node.primary.peers.size === 0);
    }
    const [line] = logged('has left 2 times in a row after a whole dump');
    expect(line).toContain('RDB version 10');
    expect(line).toContain("'replica-dialect 127.0.0.1 9 plain'");
    const third = attach();
    await waitFor(() => waiting() === 1);
    await client.call('CONFIG', 'SET', 'replica-dialect', '127.0.0.1 9 plain');
    const replica = await third;
    await replica.waitForDump();
    await waitFor(() => [...primary.node.primary.states].some((state) => state.takesStream));
    expect(started()).toBe(3);
  });

  test('but not one that wants only the dump', async () => {
    for (let i = 0; i < 3; i++) {
      const replica = await attach({
        ack: 'never',
        handshake: [['REPLCONF', 'rdb-only', '1']],
      });
      await replica.closed;
    }
    expect(logged('times in a row')).toEqual([]);
    expect(started()).toBe(3);
  });
});
