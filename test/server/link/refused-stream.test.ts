/**
 * The system refuses the memory for the stream, and gives all other memory: the old dataset stays,
 * and the next attempts bring the new one.
 */
import { afterEach, expect, test } from 'vitest';
import { MemoryKind, type SharedMemory } from '../../../src/base/shared-memory.ts';
import { type FakePrimary, startFakePrimary } from '../../support/fake-primary.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import { waitFor } from '../../support/wait-for.ts';

let served: NodeInProcess | undefined;
let primary: FakePrimary | undefined;

afterEach(async () => {
  await served?.stop();
  await primary?.close();
});

/** From now on there is no memory for blocks of the stream. Returns the end of that. */
function refuseStream({ node }: NodeInProcess): () => void {
  const { memory } = node.server;
  const take: SharedMemory['take'] = (kind, bytes) => {
    if (kind === MemoryKind.LOG) throw new RangeError('Array buffer allocation failed');
    return Object.getPrototypeOf(memory).take.call(memory, kind, bytes);
  };
  Object.defineProperty(memory, 'take', { configurable: true, value: take });
  return () => delete (memory as { take?: unknown }).take;
}

const REFUSED = 'the system refuses memory for the stream';

test('a full sync that is loaded waits for it', async () => {
  served = await startNode('rehearsal no');
  const { messages } = served;
  const client = await served.client();
  await client.call('SET', 'k', 'old');
  const allow = refuseStream(served);
  primary = await startFakePrimary('new');
  await client.call('REPLICAOF', '127.0.0.1', primary.port);
  await waitFor(
    () => messages.includes(`Failed trying to load the MASTER synchronization DB: ${REFUSED}`),
    { what: 'the refusal' },
  );
  expect(await client.call('GET', 'k')).toBe('old');
  allow();
  await waitFor(async () => (await client.call('GET', 's')) === 'new', {
    what: 'the new dataset',
  });
  expect(await client.call('GET', 'k')).toBe('new');
  expect(served.node.server.keyspace.keyCount).toBe(2);
  await client.close();
});

test('an append only file that begins again waits for it', async () => {
  served = await startNode('rehearsal no', 'appendonly yes');
  const { messages, node } = served;
  const client = await served.client();
  await waitFor(() => node.dumps.appendOnly.state === 'on', { what: 'the append only file' });
  await client.call('SET', 'k', 'v');
  // As after a full sync that has failed, and REPLICAOF NO ONE.
  node.dumps.appendOnly.streamLost();
  node.server.streamLog.drop();
  const allow = refuseStream(served);
  await waitFor(
    () => messages.includes(`Background AOF rewrite terminated with error: ${REFUSED}`),
    { what: 'the refusal' },
  );
  const { rewrites } = node.dumps.appendOnly;
  expect(await client.infoField('persistence', 'aof_last_bgrewrite_status')).toBe('err');
  allow();
  await waitFor(() => node.dumps.appendOnly.rewrites > rewrites, {
    what: 'the file to begin again',
  });
  await client.close();
});
