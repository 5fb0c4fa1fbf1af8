/**
 * A replica with fewer databases than its primary. A command that names a database which is not
 * there fails on the replica, and what follows a failed SELECT runs in the database before. Redis
 * does the same; a relay passes the bytes on unchanged.
 */
import { afterEach, expect, test } from 'vitest';
import { call } from '../support/ask.ts';
import { digestOf, waitForSync } from '../support/digest.ts';
import { logRecords, startHeadwater } from '../support/headwater.ts';
import { startRedis } from '../support/real-redis.ts';
import type { TestServer } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const MANY = 32;
const FEW = 16;
const TROUBLE = 'This replica is sending an error to its master';
const running: TestServer[] = [];

afterEach(async () => {
  for (const server of running.splice(0).reverse()) await server.stop();
});

async function started(server: Promise<TestServer>): Promise<TestServer> {
  running.push(await server);
  return server;
}

const headwater = (replicaOf: number, databases: number): Promise<TestServer> =>
  started(
    startHeadwater({
      replicaOf,
      args: ['--enable-debug-command', 'yes', '--databases', String(databases)],
    }),
  );

const redis = (databases: number, replicaOf?: number): Promise<TestServer> =>
  started(
    startRedis({
      ...(replicaOf === undefined ? {} : { replicaOf }),
      args: ['--databases', String(databases)],
    }),
  );

/** The names of the keys, of each database that has some. */
async function keysOf(server: TestServer): Promise<Record<number, string[]>> {
  const client = await server.client();
  const found: Record<number, string[]> = {};
  for (const name of (await client.info('keyspace')).keys()) {
    const index = Number(/^db(\d+)$/.exec(name)![1]);
    await client.call('SELECT', index);
    found[index] = ((await client.call('KEYS', '*')) as unknown[]).map(String).sort();
  }
  await client.close();
  return found;
}

async function statOf(server: TestServer, name: string): Promise<string> {
  const client = await server.client();
  const value = await client.infoField('stats', name);
  await client.close();
  return value;
}

/** The commands that the replica could not run, as its log tells them, and why. */
const complaints = (lines: readonly string[]): string[] =>
  lines
    .filter((line) => line.includes(TROUBLE))
    // Redis leaves out the code of some errors here.
    .map((line) => line.slice(line.indexOf(TROUBLE)).replace("'ERR ", "'"));

async function write(server: TestServer, requests: readonly string[]): Promise<void> {
  const client = await server.client();
  for (const request of requests) await client.call(...request.split(' '));
  await client.close();
}

test('of a stream runs what a replica of Redis runs, and passes it on as it came', async () => {
  const head = await redis(MANY);
  const stock = await redis(FEW, head.port);
  const relay = await headwater(head.port, FEW);
  const below = await redis(MANY, relay.port);
  for (const node of [stock, relay, below]) await waitForSync(head, node);
  await write(head, [
    'SET k0 v',
    'SELECT 20',
    'SET k20 v',
    'SELECT 1',
    'MSET k1 v moved v copied v swapped v',
    'MOVE moved 20',
    'COPY copied copy DB 20',
    'SWAPDB 1 21',
    'SELECT 2',
    'SET k2 v',
    'MULTI',
    'SELECT 22',
    'SET k22 v',
    'SELECT 3',
    'SET k3 v',
    'EXEC',
    'SELECT 4',
    'SET flushed v',
    'SELECT 24',
    'SET k24 v',
    'FLUSHDB',
    'SET k24 v',
  ]);
  for (const node of [stock, relay, below]) await waitForSync(head, node);
  const expected = {
    0: ['k0', 'k20'],
    1: ['copied', 'k1', 'moved', 'swapped'],
    2: ['k2', 'k22'],
    3: ['k3'],
    4: ['k24'],
  };
  expect(await keysOf(stock)).toEqual(expected);
  expect(await keysOf(relay)).toEqual(expected);
  expect(await digestOf(relay)).toBe(await digestOf(stock));
  expect(await digestOf(below)).toBe(await digestOf(head));
  const told = await waitFor(
    () => {
      const ours = complaints(logRecords(relay).map(({ msg }) => msg));
      return ours.length >= 6 && complaints(stock.lines).length >= 6 && ours;
    },
    { what: 'the complaints of both' },
  );
  expect(told).toEqual(complaints(stock.lines));
  expect(told.length).toBe(6);
  expect(await statOf(relay, 'unexpected_error_replies')).toBe('6');
  expect(await statOf(stock, 'unexpected_error_replies')).toBe('6');
  expect(await statOf(below, 'unexpected_error_replies')).toBe('0');
}, 180_000);

test('of a dump refuses it and keeps its data, where Redis exits', async () => {
  const head = await redis(MANY);
  await write(head, ['SELECT 20', 'SET k v']);
  const node = await headwater(head.port, FEW);
  const refusal = async (): Promise<string> => {
    const client = await node.client();
    const text = await client.infoField('headwater', 'headwater_upstream_refusal');
    await client.close();
    return text;
  };
  const words = `a Redis server configured to handle more than ${FEW} databases`;
  await waitFor(async () => (await refusal()).includes(words), { what: 'the refusal' });
  expect(await call(node, 'DBSIZE')).toBe(0);
  await write(head, ['SELECT 20', 'FLUSHDB', 'SELECT 15', 'SET k v']);
  await waitForSync(head, node);
  expect(await keysOf(node)).toEqual({ 15: ['k'] });
}, 180_000);
