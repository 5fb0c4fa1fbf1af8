/**
 * A node that has flushed its dataset for a full sync holds no stream until the sync is whole:
 * nobody may go on from the id and offset that it had before.
 */
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { FakeReplica } from '../support/fake-replica.ts';
import { FakePrimary } from '../support/manual-primary.ts';
import { startNode } from '../support/node-in-process.ts';
import { waitFor } from '../support/wait-for.ts';

const ID = 'ab'.repeat(20);
const END = 1000;

const closing: (() => Promise<unknown>)[] = [];
let dump: Buffer;

beforeAll(async () => {
  const node = await startNode();
  const client = await node.client();
  await client.call('SET', 'key', 'value');
  const replica = await FakeReplica.attach(node.port);
  await replica.waitForDump();
  dump = replica.dump;
  await Promise.all([replica.close(), client.close()]);
  await node.stop();
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A node that has held the stream ID up to END, and lost a full sync halfway after the flush. */
async function flushed(...lines: readonly string[]) {
  const primary = await FakePrimary.listen();
  closing.push(() => primary.close());
  const node = await startNode('repl-diskless-load flush-before-load', ...lines);
  closing.push(() => node.stop());
  const client = await node.client();
  closing.push(() => client.close());
  await client.call('REPLICAOF', '127.0.0.1', primary.port);
  const { upstream } = node.node;
  const first = await primary.nextSync();
  first.write(`+FULLRESYNC ${ID} ${END}\r\n$${dump.length}\r\n`, dump);
  await waitFor(() => upstream.isUp);
  first.cut();
  const second = await primary.nextSync();
  expect(second.psync).toEqual(['PSYNC', ID, String(END + 1)]);
  second.write(`+FULLRESYNC ${'cd'.repeat(20)} 77\r\n$${dump.length}\r\n`, dump.subarray(0, 20));
  await waitFor(() => upstream.link.payloadReceived === 20);
  second.cut();
  await waitFor(() => !upstream.link.isSyncing);
  expect(await client.call('DBSIZE')).toBe(0);
  return { node, primary, client };
}

describe('after a full sync that failed behind the flush', () => {
  test('CONFIG SET appendonly yes makes no stream of the old one', async () => {
    const { primary, client } = await flushed();
    await client.call('CONFIG', 'SET', 'appendonly', 'yes');
    const link = await primary.nextSync();
    expect(link.psync).not.toContain(ID);
  });

  test('FAILOVER of the old primary does not promote the empty node', async () => {
    const { client } = await flushed();
    const answer = await client.command('PSYNC', ID, END + 1, 'FAILOVER');
    expect(String(answer)).toContain('PSYNC FAILOVER replid must match my replid.');
    expect(await client.infoField('replication', 'role')).toBe('slave');
  });

  test.each([['appendonly no'], ['appendonly yes']])(
    'a promoted node goes on under an id that nobody knows, %s',
    async (line) => {
      const { node, client } = await flushed(line);
      await client.call('REPLICAOF', 'NO', 'ONE');
      await client.call('CONFIG', 'SET', 'appendonly', 'yes');
      await waitFor(async () => (await client.infoField('persistence', 'aof_enabled')) === '1');
      await waitFor(() => node.node.server.streamLog.active);
      const replica = await FakeReplica.attach(node.port, { replid: ID, from: END + 1 });
      closing.push(() => replica.close());
      expect(replica.resync).toBe('full');
      expect(replica.replid).not.toBe(ID);
    },
  );
});
