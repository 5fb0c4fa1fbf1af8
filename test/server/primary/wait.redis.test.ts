/**
 * WAIT behind commands that write nothing: who reads a value and then waits knows that replicas
 * have it. Both servers.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FakeReplica } from '../../support/fake-replica.ts';
import { startHeadwater } from '../../support/headwater.ts';
import { startRedis } from '../../support/real-redis.ts';
import type { RespClient } from '../../support/resp-client.ts';
import type { TestServer } from '../../support/server-process.ts';
import { waitFor } from '../../support/wait-for.ts';

/** A PING would be a part of the stream that a client waits for. */
const NO_PINGS = ['--repl-ping-replica-period', '3600'];

describe.each([
  ['headwater', () => startHeadwater({ args: NO_PINGS })],
  ['a real server', () => startRedis({ args: NO_PINGS })],
] as const)('%s', (_, start) => {
  let server: TestServer;
  let writer: RespClient;
  let replica: FakeReplica;

  beforeAll(async () => {
    server = await start();
    writer = await server.client();
    replica = await FakeReplica.attach(server.port, { ack: 'never' });
    await replica.waitForDump();
    // The real server misses an ACK that comes before it knows that the dump is sent.
    await waitFor(async () =>
      (await writer.infoField('replication', 'slave0')).includes('state=online'),
    );
    replica.ack();
  });

  afterAll(async () => {
    await Promise.all([writer.close(), replica.close()]);
    await server.stop();
  });

  test.each([
    ['one that wrote', [['SET', 'own', 'x']], 0],
    ['one that read', [['GET', 'k']], 0],
    ['one that said PING', [['PING']], 0],
    ['one whose command failed', [['INCR', 'k']], 0],
    ['one whose command was refused', [['NOSUCH']], 1],
    ['one that did nothing', [], 1],
    ['one that has only begun a transaction', [['MULTI'], ['DISCARD']], 0],
    ['one that read in a transaction', [['MULTI'], ['GET', 'k'], ['EXEC']], 0],
  ] as const)('%s waits for what was written before', async (_name, commands, acknowledged) => {
    const client = await server.client();
    await writer.call('SET', 'k', 'written');
    await replica.waitForCommand('SET', 'k', 'written');
    await client.pipeline(commands);
    expect(await client.call('WAIT', 1, 20)).toBe(acknowledged);
    replica.ack();
    await client.call('PING');
    await client.close();
  });

  test('a wait is not about the GETACK of the one before', async () => {
    const client = await server.client();
    await writer.call('SET', 'k', 'once');
    await replica.waitForCommand('SET', 'k', 'once');
    await client.call('GET', 'k');
    const first = client.command('WAIT', 1, 0);
    await replica.waitForCommand('REPLCONF', 'GETACK', '*');
    replica.ack();
    expect(await first).toBe(1);
    expect(await client.call('WAIT', 1, 0)).toBe(1);
    await client.close();
  });
});
