/**
 * Two headwaters speak both protocols of a second connection with each other: full syncs under
 * writes, a relay and a stock replica below, cut connections.
 */
import { describe, expect } from 'vitest';
import { expectSameData, syncCounts } from '../support/digest.ts';
import { test } from '../support/servers.ts';
import { mixedWrites, SteadyWriter } from '../support/steady-writer.ts';
import { waitFor } from '../support/wait-for.ts';

const KINDS = {
  redis: ['--repl-rdb-channel', 'yes'],
  valkey: ['--dual-channel-replication-enabled', 'yes'],
} as const;
const REQUESTS = 50_000;
const TIMEOUT_MS = 180_000;

describe.each(['redis', 'valkey'] as const)('%s', { timeout: TIMEOUT_MS }, (kind) => {
  const args = ['--enable-debug-command', 'yes', '--repl-diskless-sync-delay', '0', ...KINDS[kind]];

  test('a full sync beside writes of all types, passed on to a relay and a stock replica', async ({
    servers,
  }) => {
    const head = await servers.headwater({ args });
    const client = await head.client();
    await client.call('DEBUG', 'POPULATE', 30_000, 'key', 200);
    const writer = new SteadyWriter(() => head.port, { before: mixedWrites });
    await waitFor(() => writer.confirmed > 10);
    const relay = await servers.headwater({ replicaOf: head.port, args });
    const tail = await servers.headwater({ replicaOf: relay.port, args });
    const stock = await servers.redis({ replicaOf: relay.port });
    const classic = await servers.redis({ replicaOf: head.port });
    const seen = writer.confirmed;
    await waitFor(() => writer.confirmed > seen + 100);
    await writer.stop();
    for (const node of [relay, tail, stock, classic]) await expectSameData(head, node);
    await writer.expectAllThere(relay);
    // The dump has come over a connection of its own, and each replica counts once.
    await relay.waitForLine(kind === 'redis' ? /RDB channel|rdb channel/i : /[Dd]ual channel/);
    expect(await client.infoField('replication', 'connected_slaves')).toBe('2');
    expect(await client.infoField('stats', 'unexpected_error_replies')).toBe('0');
    expect((await syncCounts(head)).full).toBe(2);
    await client.close();
  });

  test('a flood of small requests in one write while the dump is on its way', async ({
    servers,
  }) => {
    const head = await servers.headwater({ args });
    const client = await head.client();
    await client.call('DEBUG', 'POPULATE', 50_000, 'key', 100);
    const replica = await servers.headwater({ args });
    const other = await replica.client();
    await other.call('REPLICAOF', '127.0.0.1', head.port);
    await client.pipeline(Array.from({ length: REQUESTS }, (_, i) => ['INCR', `k${i % 5000}`]));
    await expectSameData(head, replica);
    expect(await other.call('GET', 'k1')).toBe(String(REQUESTS / 5000));
    await Promise.all([client.close(), other.close()]);
  });
});
