/** Which files there are: names, rewrites by growth, what is kept, and what a failing disk leaves. */
import { existsSync, mkdirSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { type NodeInProcess, startNode } from '../../../support/node-in-process.ts';
import type { RespClient } from '../../../support/resp-client.ts';
import { waitFor } from '../../../support/wait-for.ts';

let node: NodeInProcess;
let client: RespClient;

async function start(...lines: string[]): Promise<void> {
  node = await startNode('appendonly yes', ...lines);
  client = await node.client();
}

afterEach(async () => {
  await client.close();
  await node.node.dumps.appendOnly.close();
  await node.stop();
});

const appendOnly = () => node.node.dumps.appendOnly;
const names = (): string[] => readdirSync(appendOnly().files.directory).sort();

async function fill(count: number): Promise<void> {
  await client.pipeline(
    Array.from({ length: count }, (_, i) => ['SET', `key:${i % 10}`, 'x'.repeat(1000)]),
  );
}

test('names follow appendfilename and appenddirname', async () => {
  await start('appendfilename log.aof', 'appenddirname folder');
  await client.call('SET', 'a', '1');
  expect(names()).toEqual(['log.aof.1.base.rdb', 'log.aof.1.incr.aof', 'log.aof.manifest']);
  expect(appendOnly().files.directory.endsWith('/folder')).toBe(true);
});

test('grows until a rewrite is due, and begins from a small base again', async () => {
  await start('auto-aof-rewrite-percentage 100', 'auto-aof-rewrite-min-size 100kb');
  await fill(50);
  // The first base does not count, as in Redis.
  expect(appendOnly().rewrites).toBe(0);
  await fill(100);
  await waitFor(() => appendOnly().rewrites === 1 && !appendOnly().isRewriting);
  expect(node.messages.some((line) => /automatic rewriting of AOF on \d+% growth/.test(line))).toBe(
    true,
  );
  expect(names()).toEqual([
    'appendonly.aof.2.base.rdb',
    'appendonly.aof.2.incr.aof',
    'appendonly.aof.manifest',
  ]);
  expect(appendOnly().currentBytes).toBeLessThan(100 * 1024);
});

test('aof-disable-auto-gc keeps what a rewrite replaces', async () => {
  await start('aof-disable-auto-gc yes');
  await fill(10);
  await client.call('BGREWRITEAOF');
  await waitFor(() => appendOnly().rewrites === 1 && !appendOnly().isRewriting);
  expect(names()).toEqual([
    'appendonly.aof.1.base.rdb',
    'appendonly.aof.1.incr.aof',
    'appendonly.aof.2.base.rdb',
    'appendonly.aof.2.incr.aof',
    'appendonly.aof.manifest',
  ]);
});

test('a rewrite that fails leaves the files in use, and is told', async () => {
  await start();
  await fill(10);
  // A folder in the place of the temporary base cannot be opened as a file.
  const directory = appendOnly().files.directory;
  const place = join(directory, `temp-rewriteaof-bg-${process.pid}.aof`);
  mkdirSync(place);
  await client.call('BGREWRITEAOF');
  await waitFor(() => appendOnly().failures === 1 && !appendOnly().isRewriting);
  const info = await client.info('persistence');
  expect(info.get('aof_last_bgrewrite_status')).toBe('err');
  expect(info.get('aof_rewrites_consecutive_failures')).toBe('1');
  await client.call('SET', 'after', '1');
  expect(await client.call('WAITAOF', '1', '0', '0')).toEqual([1, 0]);
  rmdirSync(place);
  await client.call('BGREWRITEAOF');
  await waitFor(() => appendOnly().rewrites === 1 && !appendOnly().isRewriting);
  expect((await client.info('persistence')).get('aof_last_bgrewrite_status')).toBe('ok');
  expect(names()).toHaveLength(3);
});

test('BGREWRITEAOF says what Redis says', async () => {
  await start();
  await client.call('MULTI');
  await client.call('BGREWRITEAOF');
  expect(await client.call('EXEC')).toEqual(['Background append only file rewriting scheduled']);
  await waitFor(() => appendOnly().rewrites === 1 && !appendOnly().isRewriting);
  const [first, second] = await client.pipeline([['BGREWRITEAOF'], ['BGREWRITEAOF']]);
  expect(first).toBe('Background append only file rewriting started');
  expect(String(second)).toContain('Background append only file rewriting already in progress');
  await waitFor(() => !appendOnly().isRewriting);
});

test('a full sync from a primary begins the files again', async () => {
  const primary = await startNode();
  const above = await primary.client();
  await above.call('SET', 'theirs', '1');
  await start();
  await client.call('SET', 'ours', '1');
  const before = appendOnly().rewrites;
  await client.call('REPLICAOF', '127.0.0.1', String(primary.port));
  await waitFor(async () => (await client.call('GET', 'theirs')) === '1');
  await waitFor(() => appendOnly().rewrites > before && appendOnly().state === 'on');
  await above.call('SET', 'later', '1');
  await waitFor(async () => (await client.call('GET', 'later')) === '1');
  // While a thread syncs, a write is put off.
  await waitFor(() => appendOnly().journal.writtenOffset === node.node.server.streamLog.endOffset);
  expect(names()).toHaveLength(3);
  expect(existsSync(join(appendOnly().files.directory, 'appendonly.aof.2.base.rdb'))).toBe(true);
  await above.close();
  await primary.stop();
});
