/**
 * Primaries that are killed in the middle of a full sync. What the node held before is served
 * whole, at every moment and after each of them.
 *
 * HEADWATER_KILLS sets the number of rounds.
 */
import { afterEach, expect, test } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { digestOf, expectSameData } from '../support/digest.ts';
import { startHeadwater } from '../support/headwater.ts';
import { startRedis } from '../support/real-redis.ts';
import type { RespClient } from '../support/resp-client.ts';
import { testSeed } from '../support/seed.ts';
import type { TestServer } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const ROUNDS = Number(process.env['HEADWATER_KILLS'] ?? 3);
const ROUND_TIMEOUT_MS = 30_000;
const OLD_KEYS = 5000;
const NEW_KEYS = 40_000;
const NEW_VALUE_BYTES = 200;
/** Less than the dump of the new keys has. */
const KILLED_BEFORE_BYTES = NEW_KEYS * NEW_VALUE_BYTES;
/** Slows the dump down, so that it can be met in the middle. */
const SAVE_DELAY_MICROS = 20;

const running: TestServer[] = [];

afterEach(async () => {
  for (const server of running.splice(0).reverse()) await server.stop();
});

async function primary(): Promise<TestServer> {
  const server = await startRedis({ args: ['--rdbcompression', 'no'] });
  running.push(server);
  const client = await server.client();
  await client.call('DEBUG', 'POPULATE', NEW_KEYS, 'new', NEW_VALUE_BYTES);
  await client.close();
  return server;
}

/** Reads old keys again and again until it is stopped; returns the replies that were none of them. */
function readOld(client: RespClient, prng: Prng): { stop(): Promise<unknown[]> } {
  let isStopped = false;
  const wrong: unknown[] = [];
  const loop = (async () => {
    while (!isStopped) {
      const n = prng.below(OLD_KEYS);
      const value = await client.command('GET', `old:${n}`);
      if (value !== `value:${n}`) wrong.push(value);
      const size = await client.command('DBSIZE');
      if (size !== OLD_KEYS) wrong.push(size);
    }
  })();
  // `stop` tells of it.
  loop.catch(() => {});
  return {
    async stop() {
      isStopped = true;
      await loop;
      return wrong;
    },
  };
}

test('the data of before is served whole, however often a primary is killed in a full sync', {
  timeout: (ROUNDS + 2) * ROUND_TIMEOUT_MS,
}, async () => {
  const prng = new Prng(testSeed('killed upstream'));
  const node = await startHeadwater({ args: ['--enable-debug-command', 'yes'] });
  running.push(node);
  const client = await node.client();
  const below = await startRedis({ replicaOf: node.port });
  running.push(below);
  const keys = Array.from({ length: OLD_KEYS }, (_, n) => ['SET', `old:${n}`, `value:${n}`]);
  await client.pipeline(keys);
  await expectSameData(node, below);
  const before = await digestOf(node);
  for (let round = 0; round < ROUNDS; round++) {
    const upstream = await primary();
    const above = await upstream.client();
    await above.call('CONFIG', 'SET', 'rdb-key-save-delay', SAVE_DELAY_MICROS);
    await above.close();
    const killedAt = prng.below(KILLED_BEFORE_BYTES);
    const reader = await node.client();
    const reads = readOld(reader, prng);
    await client.call('REPLICAOF', '127.0.0.1', upstream.port);
    await waitFor(
      async () => {
        const fields = await client.info('replication');
        return Number(fields.get('master_sync_read_bytes') ?? -1) > killedAt;
      },
      { what: `${killedAt} bytes of a dump`, timeoutMs: ROUND_TIMEOUT_MS },
    );
    await upstream.kill();
    running.splice(running.indexOf(upstream), 1);
    await waitFor(
      async () => (await client.infoField('replication', 'master_sync_in_progress')) === '0',
    );
    expect(await client.infoField('replication', 'master_link_status')).toBe('down');
    expect(await reads.stop(), `killed at ${killedAt}`).toEqual([]);
    await reader.close();
    expect(await digestOf(node)).toBe(before);
    expect(await digestOf(below)).toBe(before);
  }
  const last = await primary();
  await client.call('REPLICAOF', '127.0.0.1', last.port);
  await expectSameData(last, node, { timeoutMs: ROUND_TIMEOUT_MS });
  await expectSameData(node, below, { timeoutMs: ROUND_TIMEOUT_MS });
  await client.close();
});
