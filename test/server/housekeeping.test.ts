/** What a slice of background work does, and when a tick comes. */
import { describe, expect, test } from 'vitest';
import { sliceMicros } from '../../src/server/housekeeping.ts';
import { dumpOf } from '../support/fake-primary.ts';
import { FakeReplica } from '../support/fake-replica.ts';
import { FakePrimary } from '../support/manual-primary.ts';
import { type NodeInProcess, startNode } from '../support/node-in-process.ts';
import { encodeCommand } from '../support/resp-client.ts';
import { waitFor } from '../support/wait-for.ts';

const KEYS = 5000;
const LOOK_US = 100;
const DELETIONS_PER_LOOK = 16;

test.each([
  [1, 1000],
  [10, 2263],
])('active-expire-effort %d makes a slice as long as it says', async (effort, micros) => {
  expect(Math.round(sliceMicros(effort))).toBe(micros);
  const { node, client, stop } = await startNode(`active-expire-effort ${effort}`);
  node.housekeeping.stop();
  const own = await client();
  await own.pipeline(Array.from({ length: KEYS }, (_, i) => ['SET', `k${i}`, 'v', 'PX', '1']));
  await waitFor(() => Date.now() > node.server.nowMs + 2, {
    what: 'the keys to be past their deadline',
  });
  // Each look at the clock takes the same time.
  let us = 0;
  node.server.clock.micros = () => {
    us += LOOK_US;
    return us;
  };
  node.housekeeping.tick();
  const looks = Math.floor(micros / LOOK_US) + 1;
  expect(KEYS - node.server.keyspace.databases[0]!.keyCount).toBe(looks * DELETIONS_PER_LOOK);
  await own.close();
  await stop();
});

describe('a process that stood still for ten minutes', () => {
  /**
   * At the end of a turn something is sent, and ten minutes pass: a tick is due before any socket
   * is read.
   */
  async function standStill({ node }: NodeInProcess, send: () => void): Promise<void> {
    const { clock } = node.server;
    const stop = (): void => {
      send();
      for (const name of ['nowMs', 'turnMs', 'monotonicMs'] as const) {
        const read = clock[name].bind(clock);
        clock[name] = () => read() + 600_000;
      }
      for (const until = performance.now() + 60; performance.now() < until; );
    };
    let ticks = 0;
    node.housekeeping.onTick(() => {
      // No tick is due again so soon.
      if (ticks++ === 0) setImmediate(stop);
    });
    await waitFor(() => ticks > 3, { what: 'ticks' });
  }

  test('keeps a replica whose ACK has come meanwhile', async () => {
    const served = await startNode('hz 20', 'repl-ping-replica-period 3600');
    const replica = await FakeReplica.attach(served.port, { ack: 'asked' });
    await replica.waitForDump();
    await waitFor(() => served.node.primary.fanOut.targetCount === 1);
    await standStill(served, () => replica.ack());
    expect(replica.isClosed).toBe(false);
    expect(served.node.primary.peers.size).toBe(1);
    await replica.close();
    await served.stop();
  });

  test('keeps a primary whose PING has come meanwhile', async () => {
    const primary = await FakePrimary.listen();
    const served = await startNode('hz 20', `replicaof 127.0.0.1 ${primary.port}`);
    const link = await primary.nextSync();
    const dump = dumpOf('text');
    link.write(`+FULLRESYNC ${'ab'.repeat(20)} 1000\r\n$${dump.length}\r\n`, dump);
    await waitFor(() => link.acks.length > 0, { what: 'the link to be up' });
    await standStill(served, () => link.write(encodeCommand(['PING'])));
    expect(served.node.upstream.isUp).toBe(true);
    expect(primary.links.length).toBe(1);
    await served.stop();
    await primary.close();
  });
});
