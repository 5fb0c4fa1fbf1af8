/**
 * FLUSHALL and FLUSHDB when the system has no more shared memory: the dataset is emptied within the
 * memory that it has.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MemoryKind } from '../../../src/base/shared-memory.ts';
import { FakeReplica } from '../../support/fake-replica.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import type { RespClient } from '../../support/resp-client.ts';
import { validateValues } from '../../support/validate-values.ts';
import { waitFor } from '../../support/wait-for.ts';

const MIB = 1 << 20;

let served: NodeInProcess;
let client: RespClient;
let refused = 0;

beforeEach(async () => {
  served = await startNode(
    ...['rehearsal no', 'enable-debug-command yes', 'enable-protected-configs yes'],
  );
  client = await served.client();
  refused = 0;
});

afterEach(async () => {
  allowMemory();
  await client.close();
  await served.stop();
});

/** From now on the system refuses all shared memory. */
function refuseMemory(): void {
  Object.defineProperty(served.node.server.memory, 'take', {
    configurable: true,
    value: () => {
      refused++;
      throw new RangeError('Array buffer allocation failed');
    },
  });
}

function allowMemory(): void {
  delete (served.node.server.memory as { take?: unknown }).take;
}

/** Values of all types in two databases, in several segments, some with a deadline. */
async function fill(): Promise<void> {
  for (const db of [0, 3]) {
    await client.call('SELECT', db);
    if (db === 0) await client.call('SET', 'large', Buffer.alloc(33 * MIB, 'l'));
    await client.pipeline(
      Array.from({ length: 1000 }, (_, i) => [
        ['SET', `key:${i}`, `value:${i}`, 'EX', 1000 + i],
        ['RPUSH', 'list', `${i}`.repeat(20)],
        ['HSET', 'hash', `f${i}`, `v${i}`],
        ['SADD', 'set', `m${i}`],
        ['ZADD', 'zset', i, `m${i}`],
        ['XADD', 'stream', `1-${i + 1}`, 'f', 'v'],
      ]).flat(),
    );
  }
  await client.call('SELECT', 0);
}

async function expectEmptyAndUsable(): Promise<void> {
  const { keyspace, memory } = served.node.server;
  expect(refused).toBeGreaterThan(0);
  expect(keyspace.keyCount).toBe(0);
  for (const db of keyspace.databases) expect(db.deadlineCount).toBe(0);
  expect(await client.call('GET', 'key:1')).toBe(null);
  await waitFor(() => !keyspace.freeing, { what: 'all of it to be freed' });
  keyspace.validate();
  expect(keyspace.arena.usedBytes).toBeLessThan(MIB);
  // The system still refuses: what was there is enough for a while.
  for (let i = 0; i < 15; i++)
    await client.call('SET', `again:${i}`, Buffer.alloc(MIB, `${i % 10}`));
  await client.call('RPUSH', 'list', 'a', 'b');
  expect(await client.call('GETRANGE', 'again:13', -2, -1)).toBe('33');
  validateValues(keyspace);
  allowMemory();
  await fill();
  validateValues(served.node.server.keyspace);
  await client.call('FLUSHALL');
  expect(memory.usedBytes(MemoryKind.SEGMENT)).toBeLessThan(200 * MIB);
}

test('FLUSHALL keeps a segment of the dataset', async () => {
  await fill();
  const before = served.node.server.memory.usedBytes(MemoryKind.SEGMENT);
  expect(before).toBeGreaterThan(97 * MIB);
  refuseMemory();
  expect(await client.call('FLUSHALL')).toBe('OK');
  expect(served.node.server.keyspace.arena.pageUseBytes).toBeLessThan(MIB);
  expect(served.node.server.memory.usedBytes(MemoryKind.SEGMENT)).toBeLessThan(70 * MIB);
  await expectEmptyAndUsable();
});

test('FLUSHALL again and again, and a snapshot of what came after it', async () => {
  await fill();
  refuseMemory();
  for (let i = 0; i < 20; i++) {
    expect(await client.pipeline([['SET', 'k', i], ['FLUSHALL'], ['DBSIZE']])).toEqual([
      'OK',
      'OK',
      0,
    ]);
  }
  allowMemory();
  // The marks of pages are older than the next image.
  await client.call('BGSAVE');
  await client.pipeline(Array.from({ length: 1000 }, (_, i) => ['SET', `key:${i}`, 'v']));
  await waitFor(
    async () => (await client.infoField('persistence', 'rdb_bgsave_in_progress')) === '0',
  );
  refuseMemory();
  expect(await client.call('FLUSHALL')).toBe('OK');
  allowMemory();
  await client.pipeline(Array.from({ length: 1000 }, (_, i) => ['SET', `key:${i}`, 'w']));
  await client.call('SAVE');
  await client.pipeline(Array.from({ length: 1000 }, (_, i) => ['SET', `key:${i}`, 'x']));
  await client.call('SAVE');
  expect(await client.infoField('persistence', 'rdb_last_bgsave_status')).toBe('ok');
  served.node.server.keyspace.validate();
});

describe('while a snapshot reads the dataset', () => {
  test.each([
    ['which is whole when there is room for the copies of pages', true],
    ['which fails when there is none, and is made again', false],
  ])('FLUSHALL frees it in slices: %s', async (_, hasRoom) => {
    await fill();
    const { server } = served.node;
    const replica = await FakeReplica.attach(served.port);
    replica.pause();
    await waitFor(() => server.keyspace.arena.frozen, { what: 'the snapshot' });
    if (hasRoom) await client.call('APPEND', 'key:1', 'x');
    refuseMemory();
    expect(await client.call('FLUSHALL')).toBe('OK');
    expect(await client.call('DBSIZE')).toBe(0);
    expect(server.keyspace.arena.frozen).toBe(hasRoom);
    allowMemory();
    replica.resume();
    if (hasRoom) {
      await replica.waitForDump();
      await replica.waitForCommand('FLUSHALL');
    } else {
      await replica.closed;
      const again = await FakeReplica.attach(served.port);
      await again.waitForDump();
      await again.close();
    }
    await waitFor(() => !server.keyspace.arena.frozen, { what: 'the end of the snapshot' });
    refuseMemory();
    refused++;
    await expectEmptyAndUsable();
    await replica.close();
  });
});

test('FLUSHDB of the only database frees it in slices', async () => {
  await fill();
  await client.call('SELECT', 3);
  await client.call('FLUSHDB');
  await client.call('SELECT', 0);
  await waitFor(() => !served.node.server.keyspace.freeing);
  refuseMemory();
  expect(await client.call('FLUSHDB')).toBe('OK');
  refused++;
  await expectEmptyAndUsable();
});

test('a transaction, watched keys and the stream see it as any other FLUSHALL', async () => {
  const replica = await FakeReplica.attach(served.port);
  await replica.waitForDump();
  await client.call('SET', 'watched', 1);
  const watcher = await served.client();
  await watcher.call('WATCH', 'watched');
  refuseMemory();
  const replies = await client.pipeline([
    ['MULTI'],
    ['SET', 'a', 1],
    ['FLUSHALL'],
    ['SET', 'b', 2],
    ['EXEC'],
    ['KEYS', '*'],
  ]);
  expect(replies.slice(4)).toEqual([['OK', 'OK', 'OK'], ['b']]);
  await watcher.call('MULTI');
  await watcher.call('PING');
  expect(await watcher.call('EXEC')).toBe(null);
  await replica.waitForCommand('SET', 'b', '2');
  await watcher.close();
  await replica.close();
});

test('a load that fails leaves the dataset', async () => {
  await client.call('SET', 'kept', 'value');
  await client.call('SAVE');
  await client.call('CONFIG', 'SET', 'dbfilename', 'missing.rdb');
  refuseMemory();
  expect(String(await client.command('DEBUG', 'RELOAD', 'NOSAVE'))).toContain('Error');
  expect(await client.call('GET', 'kept')).toBe('value');
});
