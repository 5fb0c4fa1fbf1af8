/** DEBUG LOADAOF: the dataset is that of the files again, and the stream goes on as if nothing was. */
import { afterEach, expect, test } from 'vitest';
import { RandomCommands } from '../../../../native-free-bench/lib/random-commands.ts';
import { Prng } from '../../../../src/base/prng.ts';
import { type NodeInProcess, startNode } from '../../../support/node-in-process.ts';
import { testSeed } from '../../../support/seed.ts';
import { waitFor } from '../../../support/wait-for.ts';

const nodes: NodeInProcess[] = [];
afterEach(async () => {
  for (const node of nodes.splice(0)) await node.stop();
});

async function start(...lines: string[]): Promise<NodeInProcess> {
  const node = await startNode('enable-debug-command yes', 'repl-diskless-sync-delay 0', ...lines);
  nodes.push(node);
  return node;
}

test('loads what was written, and the replicas below notice nothing', async () => {
  const node = await start('appendonly yes');
  const client = await node.client();
  await client.pipeline(
    new RandomCommands(new Prng(testSeed('load again')), {
      connection: false,
      without: new Set(['EXPIRE', 'PEXPIRE', 'EXPIREAT', 'PEXPIREAT', 'GETEX', 'SETEX']),
    }).batch(1000),
  );
  await client.call('BGREWRITEAOF');
  await client.call('SET', 'after', '1');
  const replica = await start(`replicaof 127.0.0.1 ${node.port}`);
  const below = await replica.client();
  await waitFor(async () => (await below.call('GET', 'after')) === '1');
  const before = (await client.call('DEBUG', 'DIGEST')) as string;
  const { endOffset } = node.node.server.streamLog;
  // A key that no stream has brought is gone afterwards.
  await client.call('DEBUG', 'POPULATE', '10', 'beside');
  expect(await client.call('DEBUG', 'LOADAOF')).toBe('OK');
  expect(await client.call('DEBUG', 'DIGEST')).toBe(before);
  expect(await client.call('EXISTS', 'beside:1')).toBe(0);
  expect(node.node.server.streamLog.endOffset).toBeGreaterThanOrEqual(endOffset);
  expect(node.messages).toContain('Append Only File loaded by DEBUG LOADAOF');
  await client.call('SET', 'later', '1');
  await waitFor(async () => (await below.call('GET', 'later')) === '1');
  expect(await below.call('DEBUG', 'DIGEST')).toBe(await client.call('DEBUG', 'DIGEST'));
  const stats = await client.info('stats');
  expect(stats.get('sync_full')).toBe('1');
  expect(await client.call('WAITAOF', '1', '0', '0')).toEqual([1, 0]);
  await client.close();
  await below.close();
});

test('files that were left behind end the history: a primary and its replica agree', async () => {
  const node = await start('appendonly yes');
  const client = await node.client();
  await client.call('SET', 'old', '1');
  const replica = await start(`replicaof 127.0.0.1 ${node.port}`);
  const below = await replica.client();
  await waitFor(async () => (await below.call('GET', 'old')) === '1');
  await client.call('CONFIG', 'SET', 'appendonly', 'no');
  await client.call('SET', 'new', '1');
  await waitFor(async () => (await below.call('GET', 'new')) === '1');
  const { replid } = node.node.server.history;
  expect(await client.call('DEBUG', 'LOADAOF')).toBe('OK');
  expect(await client.call('GET', 'new')).toBeNull();
  expect(node.node.server.history.replid).not.toBe(replid);
  await client.call('SET', 'later', '1');
  await waitFor(async () => (await below.call('GET', 'later')) === '1');
  expect(await below.call('DEBUG', 'DIGEST')).toBe(await client.call('DEBUG', 'DIGEST'));
  await client.close();
  await below.close();
});

test('files that were left behind are no data of a replica: it asks for a full sync', async () => {
  const node = await start();
  const client = await node.client();
  const replica = await start('appendonly yes', `replicaof 127.0.0.1 ${node.port}`);
  const below = await replica.client();
  await client.call('SET', 'old', '1');
  await waitFor(async () => (await below.call('GET', 'old')) === '1');
  await waitFor(() => replica.node.dumps.appendOnly.state === 'on');
  await below.call('CONFIG', 'SET', 'appendonly', 'no');
  await client.call('SET', 'new', '1');
  await waitFor(async () => (await below.call('GET', 'new')) === '1');
  expect(await below.call('DEBUG', 'LOADAOF')).toBe('OK');
  await waitFor(async () => (await below.call('GET', 'new')) === '1');
  expect(await below.call('DEBUG', 'DIGEST')).toBe(await client.call('DEBUG', 'DIGEST'));
  await client.close();
  await below.close();
});

test('without files nothing is loaded, and nothing is lost', async () => {
  const node = await start();
  const client = await node.client();
  await client.call('SET', 'a', '1');
  await expect(client.call('DEBUG', 'LOADAOF')).rejects.toThrow('There is no append only file');
  expect(await client.call('GET', 'a')).toBe('1');
  await client.close();
});

test('WAITAOF counts a replica that has the write in its own file', async () => {
  const primary = await start('appendonly yes');
  const replica = await start('appendonly yes', `replicaof 127.0.0.1 ${primary.port}`);
  const client = await primary.client();
  await waitFor(() => replica.node.upstream.isUp);
  await client.call('SET', 'a', '1');
  expect(await client.call('WAITAOF', '1', '1', '0')).toEqual([1, 1]);
  // The stream has a request for an ACK behind the write.
  const { appendOnly } = replica.node.dumps;
  const { streamLog } = primary.node.server;
  await waitFor(() => appendOnly.syncedOffset === streamLog.endOffset);
  await client.close();
});
