/**
 * FLUSHALL with save points: the empty dataset is saved, so that the old one does not come back
 * with a start.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { FakeReplica } from '../../support/fake-replica.ts';
import { startHeadwater } from '../../support/headwater.ts';
import { startNode } from '../../support/node-in-process.ts';
import type { RespClient } from '../../support/resp-client.ts';
import { type TestServer, temporaryDirectory } from '../../support/server-process.ts';
import { waitFor } from '../../support/wait-for.ts';

const stops: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

interface Started {
  readonly server: TestServer;
  readonly client: RespClient;
  readonly dir: string;
}

/** A server that would save by itself only after an hour. */
async function start(dir = temporaryDirectory('flushall')): Promise<Started> {
  const server = await startHeadwater({ dir, args: ['--save', '3600', '100000'] });
  const client = await server.client();
  stops.push(async () => {
    await client.close();
    await server.stop();
  });
  return { server, client, dir };
}

const persistence = (client: RespClient, name: string): Promise<string> =>
  client.infoField('persistence', name);

test('leaves no changes to be saved, and saves', async () => {
  const { client } = await start();
  const replies = await client.pipeline([
    ['SET', 'a', 1],
    ['SET', 'b', 2],
    ['FLUSHALL'],
    ['INFO', 'persistence'],
    ['SET', 'c', 3],
    ['INFO', 'persistence'],
  ]);
  expect(replies[3]).toContain('rdb_changes_since_last_save:0\r\n');
  expect(replies[5]).toContain('rdb_changes_since_last_save:1\r\n');
  await waitFor(async () => (await persistence(client, 'rdb_saves')) === '1', { what: 'the save' });
});

test('in a transaction forgets the changes before it, and counts those behind it', async () => {
  const { client } = await start();
  const replies = await client.pipeline([
    ['MULTI'],
    ['SET', 'a', 1],
    ['FLUSHALL'],
    ['SET', 'b', 2],
    ['SET', 'c', 2],
    ['EXEC'],
    ['INFO', 'persistence'],
  ]);
  expect(replies[6]).toContain('rdb_changes_since_last_save:2\r\n');
  await waitFor(async () => (await persistence(client, 'rdb_saves')) === '1', { what: 'the save' });
  expect(await persistence(client, 'rdb_changes_since_last_save')).toBe('0');
});

test('without save points saves nothing, and its deletions are changes', async () => {
  const server = await startHeadwater();
  const client = await server.client();
  stops.push(async () => {
    await client.close();
    await server.stop();
  });
  await client.pipeline([['SET', 'a', 1], ['SET', 'b', 2], ['FLUSHALL']]);
  expect(await persistence(client, 'rdb_changes_since_last_save')).toBe('4');
  expect(await persistence(client, 'rdb_bgsave_in_progress')).toBe('0');
});

test.each([
  ['killed', 'rdb_saves'],
  ['told to end without a save', undefined],
] as const)('is not undone when the server is %s', async (_, field) => {
  const { server, client, dir } = await start();
  await client.pipeline([['SET', 'old', 1], ['SAVE'], ['FLUSHALL']]);
  if (field !== undefined) {
    await waitFor(async () => (await persistence(client, field)) === '2', { what: 'the save' });
    await server.kill();
  } else {
    client.send('SHUTDOWN', 'NOSAVE');
    await client.closed;
  }
  await server.stop();
  const again = await start(dir);
  expect(await again.client.call('DBSIZE')).toBe(0);
});

test('refuses nobody who saves right behind it', async () => {
  const { client, dir } = await start();
  const replies = await client.pipeline([
    ['SET', 'a', 1],
    ['FLUSHALL'],
    ['SET', 'kept', 1],
    ['SAVE'],
    ['FLUSHALL'],
    ['BGSAVE'],
    ['FLUSHALL'],
    ['SET', 'kept', 1],
    ['INFO', 'persistence'],
  ]);
  expect(replies.slice(0, 8)).toEqual([
    'OK',
    'OK',
    'OK',
    'OK',
    'OK',
    'Background saving started',
    'OK',
    'OK',
  ]);
  await waitFor(async () => (await persistence(client, 'rdb_bgsave_in_progress')) === '0');
  await client.call('SAVE');
  expect(readFileSync(join(dir, 'dump.rdb')).includes('kept')).toBe(true);
});

test('cancels a save in the background, and lets a full sync end', async () => {
  const node = await startNode('save 3600 100000');
  const client = await node.client();
  stops.push(async () => {
    await client.close();
    await node.stop();
  });
  for (let i = 0; i < 20; i++) await client.call('SET', `key:${i}`, 'x'.repeat(100_000));
  await client.pipeline([['BGSAVE'], ['FLUSHALL']]);
  await waitFor(async () => (await persistence(client, 'rdb_saves')) === '1', {
    what: 'the save of nothing',
  });
  expect(node.messages).toContain('There is a child saving an .rdb. Killing it!');
  // Who saves meanwhile is not refused either.
  for (let i = 0; i < 20; i++) await client.call('SET', `key:${i}`, 'x'.repeat(100_000));
  expect(await client.pipeline([['BGSAVE'], ['FLUSHALL'], ['SAVE']])).toEqual([
    'Background saving started',
    'OK',
    'OK',
  ]);
  expect(await persistence(client, 'rdb_last_bgsave_status')).toBe('ok');
  expect(await persistence(client, 'rdb_changes_since_last_save')).toBe('0');

  const replica = await FakeReplica.attach(node.port);
  await client.call('FLUSHALL');
  await replica.waitForDump();
  await replica.waitForCommand('FLUSHALL');
  expect(replica.isClosed).toBe(false);
  await waitFor(async () => (await persistence(client, 'rdb_saves')) === '3', { what: 'one more' });
  await replica.close();
});
