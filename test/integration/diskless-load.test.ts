/**
 * `repl-diskless-load`: what becomes of the old dataset while the dump of a primary arrives and is
 * loaded, and when that fails.
 */
import { readdirSync } from 'node:fs';
import { beforeAll, describe, expect } from 'vitest';
import { expectSameData } from '../support/digest.ts';
import { FakeReplica } from '../support/fake-replica.ts';
import { fillWithNoise } from '../support/links.ts';
import { FakePrimary } from '../support/manual-primary.ts';
import { startNode } from '../support/node-in-process.ts';
import { type Servers, test } from '../support/servers.ts';
import { waitFor } from '../support/wait-for.ts';

const ID = 'ab'.repeat(20);
const KEYS = 2000;
const WAYS = ['swapdb', 'flush-before-load', 'disabled', 'on-empty-db'] as const;
type Way = (typeof WAYS)[number];

let dump: Buffer;

beforeAll(async () => {
  const node = await startNode();
  const client = await node.client();
  await fillWithNoise(client, KEYS, 500);
  const replica = await FakeReplica.attach(node.port);
  await replica.waitForDump();
  dump = replica.dump;
  await Promise.all([replica.close(), client.close()]);
  await node.stop();
});

/** A node that has sent PSYNC to a fake primary; with `old`, it holds one key. */
async function replica(servers: Servers, way: Way, old = true) {
  const primary = await FakePrimary.listen();
  servers.atEnd(() => primary.close());
  const node = await startNode(`repl-diskless-load ${way}`);
  servers.atEnd(() => node.stop());
  const client = await node.client();
  servers.atEnd(() => client.close());
  if (old) await client.call('SET', 'old', '1');
  await client.call('REPLICAOF', '127.0.0.1', primary.port);
  const link = await primary.nextSync();
  const state = async (): Promise<string> => {
    const info = await client.info('persistence');
    const held = await client.command('GET', 'old');
    const shown = held === '1' ? 'old data' : held === null ? 'no old data' : String(held);
    return `loading ${info.get('loading')}, async ${info.get('async_loading')}, ${shown}`;
  };
  const files = (): string[] =>
    readdirSync(node.node.server.config.values.dir).filter((name) => name.startsWith('temp-'));
  return { node, primary, client, link, state, files };
}

const half = (): Buffer => dump.subarray(0, dump.length / 2);
const rest = (): Buffer => dump.subarray(dump.length / 2);
const header = (): string => `+FULLRESYNC ${ID} 1000\r\n$${dump.length}\r\n`;
const LOADING = 'LOADING Redis is loading the dataset in memory';

describe.concurrent.each(WAYS)('%s', (way) => {
  test('while the dump arrives, and after it', async ({ servers }) => {
    const { node, client, link, state, files } = await replica(servers, way);
    const { upstream } = node.node;
    link.write(header(), half());
    await waitFor(() => upstream.link.payloadReceived === half().length);
    expect(await state()).toBe(
      {
        swapdb: 'loading 0, async 1, old data',
        'flush-before-load': `loading 1, async 0, ${LOADING}`,
        disabled: 'loading 0, async 1, old data',
        'on-empty-db': 'loading 0, async 1, old data',
      }[way],
    );
    const isStored = way === 'disabled' || way === 'on-empty-db';
    // The file is made while the first bytes wait for it.
    if (isStored) await waitFor(() => files().length === 1, { what: 'the file of the dump' });
    else expect(files()).toEqual([]);
    link.write(rest());
    await waitFor(() => upstream.isUp);
    expect(await state()).toBe('loading 0, async 0, no old data');
    expect(await client.call('DBSIZE')).toBe(KEYS);
    await waitFor(() => files().length === 0, { what: 'the file to be removed' });
    const isFlushed = node.messages.some((text) => text.endsWith('sync: Flushing old data'));
    expect(isFlushed).toBe(way !== 'swapdb');
  });

  test('when the link fails halfway, and the next sync goes well', async ({ servers }) => {
    const { node, primary, client, link, state, files } = await replica(servers, way);
    const { upstream } = node.node;
    link.write(header(), half());
    await waitFor(() => upstream.link.payloadReceived === half().length);
    link.cut();
    await waitFor(() => !upstream.link.isSyncing);
    const isGone = way === 'flush-before-load';
    expect(await state()).toBe(`loading 0, async 0, ${isGone ? 'no old data' : 'old data'}`);
    expect(await client.call('DBSIZE')).toBe(isGone ? 0 : 1);
    expect(node.messages.some((text) => text.includes('no data is held'))).toBe(isGone);
    await waitFor(() => files().length === 0, { what: 'the file to be removed' });
    const again = await primary.nextSync();
    if (isGone) expect(again.psync).toEqual(['PSYNC', '?', '-1']);
    again.write(header(), dump);
    await waitFor(() => upstream.isUp);
    expect(await client.call('DBSIZE')).toBe(KEYS);
  });

  test('when the dump turns out to be broken at its end', async ({ servers }) => {
    const { node, client, link, state, files } = await replica(servers, way);
    const broken = Buffer.from(dump);
    broken[broken.length - 1]! ^= 1;
    link.write(header(), broken);
    await waitFor(() => node.messages.some((text) => text.startsWith('Failed trying to load')));
    const isGone = way !== 'swapdb';
    expect(await state()).toBe(`loading 0, async 0, ${isGone ? 'no old data' : 'old data'}`);
    expect(await client.call('DBSIZE')).toBe(isGone ? 0 : 1);
    await waitFor(() => files().length === 0, { what: 'the file to be removed' });
  });

  test('passes the dump on all the same', async ({ servers }) => {
    const { node, link } = await replica(servers, way);
    link.write(header(), half());
    await waitFor(() => node.node.upstream.link.payloadReceived === half().length);
    const below = await FakeReplica.attach(node.port);
    servers.atEnd(() => below.close());
    await waitFor(() => below.dumpBytes > 0, { what: 'a part of the dump below' });
    link.write(rest());
    await below.waitForDump();
    expect(below.dump.equals(dump)).toBe(true);
    expect([below.replid, below.offset]).toEqual([ID, 1000]);
    await waitFor(() => node.node.upstream.isUp);
    expect(below.isClosed).toBe(false);
  });

  test('ends with what a real primary holds', async ({ servers }) => {
    const head = await servers.redis();
    const writer = await head.client();
    await writer.call('DEBUG', 'POPULATE', 5000, 'key', 100);
    const args = ['--enable-debug-command', 'yes', '--repl-diskless-load', way];
    const node = await servers.headwater({ args, replicaOf: head.port });
    await writer.pipeline(Array.from({ length: 500 }, (_, i) => ['INCRBY', `n${i % 7}`, i]));
    await writer.close();
    await expectSameData(head, node);
  });
});

test.concurrent('on-empty-db loads as the dump comes when there is no data to lose', async ({
  servers,
}) => {
  const { node, client, link, files } = await replica(servers, 'on-empty-db', false);
  link.write(header(), half());
  await waitFor(() => node.node.upstream.link.payloadReceived === half().length);
  expect((await client.info('persistence')).get('loading')).toBe('1');
  expect(files()).toEqual([]);
  link.write(rest());
  await waitFor(() => node.node.upstream.isUp);
  expect(await client.call('DBSIZE')).toBe(KEYS);
});

test.concurrent('a dump that cannot be written to disk ends the attempt, and the old data stays', async ({
  servers,
}) => {
  const { node, primary, client, link } = await replica(servers, 'disabled');
  // Nobody can make a file there.
  node.node.server.config.assign('dir', ['/proc']);
  link.write(header(), dump);
  await waitFor(() => node.messages.some((text) => text.includes('writing the dump of MASTER')));
  expect(await client.call('GET', 'old')).toBe('1');
  await client.call('CONFIG', 'SET', 'repl-diskless-load', 'swapdb');
  const again = await primary.nextSync();
  again.write(header(), dump);
  await waitFor(() => node.node.upstream.isUp);
  expect(await client.call('DBSIZE')).toBe(KEYS);
});
