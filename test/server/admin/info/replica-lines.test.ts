/** `headwater_replica<N>` of INFO: the fields that docs/operations.md explains, and what they tell. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KIB, MIB } from '../../../../src/base/units.ts';
import { FakeReplica, type FakeReplicaOptions } from '../../../support/fake-replica.ts';
import { type NodeInProcess, startNode } from '../../../support/node-in-process.ts';
import type { RespClient } from '../../../support/resp-client.ts';
import { waitFor } from '../../../support/wait-for.ts';

const VALUE = 'x'.repeat(10_000);
const DOCUMENT = fileURLToPath(new URL('../../../../docs/operations.md', import.meta.url));

let primary: NodeInProcess;
let client: RespClient;
let replicas: FakeReplica[];

async function attach(options: FakeReplicaOptions = {}): Promise<FakeReplica> {
  const replica = await FakeReplica.attach(primary.port, { countOnly: true, ...options });
  replicas.push(replica);
  return replica;
}

async function fields(index = 0): Promise<Map<string, string>> {
  const line = await client.infoField('headwater', `headwater_replica${index}`);
  return new Map((line ?? '').split(',').map((pair) => pair.split('=') as [string, string]));
}

const figure = async (name: string): Promise<number> => Number((await fields()).get(name));

beforeEach(async () => {
  replicas = [];
  primary = await startNode(
    'repl-backlog-size 1mb',
    'repl-backlog-compression no',
    'rdbcompression no',
  );
  client = await primary.client();
});
afterEach(async () => {
  for (const replica of replicas) await replica.close();
  await client.close();
  await primary.stop();
});

test('docs/operations.md explains each field of a replica, and no other', async () => {
  await attach();
  await waitFor(async () => (await fields()).get('peer') !== undefined);
  const text = readFileSync(DOCUMENT, 'utf8');
  const from = text.indexOf('`headwater_replica0`');
  expect(from).toBeGreaterThan(0);
  const to = text.indexOf('\n#', from);
  const rows = [...text.slice(from, to).matchAll(/^\| `(\w+)`/gm)].map((match) => match[1]);
  expect(rows).toEqual([...(await fields()).keys()]);
});

describe('a replica', () => {
  test('that follows has no lag, and a first byte', async () => {
    const replica = await attach({ handshake: [['REPLCONF', 'version', '8.1.0']] });
    await replica.waitForDump();
    await client.call('SET', 'k', 'v');
    await waitFor(async () => (await figure('lag_bytes')) === 0);
    const now = await fields();
    expect(now.get('peer')).toBe('127.0.0.1:6380');
    expect([now.get('lag_ms'), now.get('unsent'), now.get('in_flight')]).toEqual(['0', '0', '0']);
    expect(now.get('snapshot')).toBe('none');
    expect(now.get('dialect')).toBe('10');
    expect(Number(now.get('ttfb_ms'))).toBeGreaterThan(0);
    expect(Number(now.get('dump_sent'))).toBe(replica.dumpBytes);
    // Once nothing has been written for a while.
    await waitFor(async () => (await figure('overrun_s')) === -1);
    // The backlog holds 1 MiB that the replica does not lack.
    expect(Number(now.get('history_left'))).toBe(MIB);
    await attach({ listeningPort: 6381 });
    await waitFor(async () => (await fields(1)).get('peer') === '127.0.0.1:6381');
  });

  test('that stands still lags, and has less and less history left', async () => {
    const replica = await attach();
    await replica.waitForDump();
    await waitFor(() => [...primary.node.primary.states].some((state) => state.takesStream));
    replica.pause();
    while ((await figure('unsent')) < 64 * KIB)
      await client.pipeline(Array.from({ length: 10 }, () => ['SET', 'k', VALUE]));
    const now = await fields();
    const lag = Number(now.get('lag_bytes'));
    const [state] = primary.node.primary.states;
    expect(lag).toBe(primary.node.server.streamLog.endOffset - state!.ackOffset);
    expect(Number(now.get('in_flight'))).toBe(lag - Number(now.get('unsent')));
    expect(Number(now.get('history_left'))).toBe(Math.max(0, MIB - lag));
    const lagMs = Number(now.get('lag_ms'));
    expect(lagMs).toBeGreaterThan(0);
    await waitFor(async () => (await figure('lag_ms')) > lagMs + 100);
    expect(await figure('history_left')).toBeLessThan(MIB);
    replica.resume();
    await waitFor(async () => (await figure('lag_bytes')) === 0);
    expect(await figure('lag_ms')).toBe(0);
    expect(await figure('history_left')).toBe(MIB);
  });

  test('has so many seconds left as history holds of the present writes', async () => {
    const replica = await attach();
    await replica.waitForDump();
    await waitFor(() => [...primary.node.primary.states].some((state) => state.takesStream));
    let overrun = -1;
    await waitFor(async () => {
      await client.call('SET', 'k', VALUE);
      overrun = await figure('overrun_s');
      // Fast writes leave less than a second.
      return overrun >= 0;
    });
    const { writeRate } = primary.node.primary;
    expect(overrun).toBeLessThanOrEqual((2 * MIB) / writeRate + 1);
    await waitFor(async () => {
      await client.call('SET', 'k', VALUE);
      return (await figure('rate')) > 0;
    });
  });

  test('that gets its dump shows how much of it', async () => {
    await client.pipeline(Array.from({ length: 2000 }, (_, i) => ['SET', `key:${i}`, VALUE]));
    const replica = await attach();
    replica.pause();
    await waitFor(async () => (await figure('dump_total')) > 0);
    const now = await fields();
    expect(now.get('snapshot')).toBe('done');
    expect(Number(now.get('dump_sent'))).toBeGreaterThan(0);
    expect(Number(now.get('dump_sent'))).toBeLessThan(Number(now.get('dump_total')));
    expect(Number(now.get('spool_bytes'))).toBeGreaterThan(0);
    await client.call('SET', 'k', VALUE);
    expect(await figure('lag_bytes')).toBeGreaterThan(VALUE.length);
    expect(await figure('in_flight')).toBe(0);
    replica.resume();
    await replica.waitForDump();
    expect(await figure('dump_sent')).toBe(replica.dumpBytes);
  });
});
