/**
 * Upstreams that die, and values beyond all sizes, with real servers: the data of before is served
 * whole, and memory stays in proportion to what has come. TEST_KILLS sets the number of kills.
 */
import { readFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import { MIB } from '../../src/base/units.ts';
import { digestOf, expectSameData, waitForSync } from '../support/digest.ts';
import { dump, pair } from '../support/dump-writer.ts';
import { type FakePrimary, startFakePrimary } from '../support/fake-primary.ts';
import { encodeCommand } from '../support/resp-client.ts';
import { testSeed } from '../support/seed.ts';
import type { TestServer } from '../support/server-process.ts';
import { test } from '../support/servers.ts';
import { waitFor } from '../support/wait-for.ts';

const KILLS = Number(process.env.TEST_KILLS ?? 5);
const DEBUG = ['--enable-debug-command', 'yes'];

/** The most memory that a process has had resident. */
function peakBytes({ pid }: TestServer): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

describe.concurrent('with real servers', () => {
  test(`an upstream killed in the middle of a full sync ${KILLS} times: the data of before is served whole`, {
    timeout: 180_000 + KILLS * 10_000,
  }, async ({ servers }) => {
    const prng = new Prng(testSeed('kills'));
    const old = await servers.redis();
    const filler = await old.client();
    await filler.call('DEBUG', 'POPULATE', 5000, 'old', 50);
    await filler.close();
    const node = await servers.headwater({ replicaOf: old.port, args: DEBUG });
    await waitForSync(old, node);
    const before = await digestOf(node);
    const client = await node.client();
    // It grants no sync before its data is there: an empty dataset would replace that of before.
    const held = ['--repl-diskless-sync-delay', '3600'];
    let head: TestServer = await servers.redis({ args: held });
    const { port } = head;
    for (let kill = 0; kill < KILLS; kill++) {
      const above = await head.client();
      await above.call('DEBUG', 'POPULATE', 20_000, 'new', 100);
      // The dump takes five seconds, so that a kill lies within it, also when it comes late.
      // It is four times as long as any place of a kill.
      await above.call('CONFIG', 'SET', 'rdbcompression', 'no');
      await above.call('CONFIG', 'SET', 'rdb-key-save-delay', 200);
      await above.call('CONFIG', 'SET', 'repl-diskless-sync-delay', 0);
      await above.close();
      if (kill === 0) await client.call('REPLICAOF', '127.0.0.1', port);
      const wanted = 1 + prng.below(600_000);
      await waitFor(
        async () => {
          const info = await client.info('replication');
          expect(await client.call('GET', 'old:4999')).not.toBeNull();
          return Number(info.get('master_sync_read_bytes') ?? 0) >= wanted;
        },
        { timeoutMs: 60_000, what: `${wanted} bytes of a dump` },
      );
      await head.kill();
      await waitFor(
        async () => (await client.info('replication')).get('master_sync_in_progress') === '0',
      );
      expect(await client.call('DBSIZE')).toBe(5000);
      expect(await digestOf(node)).toBe(before);
      head = await servers.redis({ port, args: held });
    }
    const above = await head.client();
    await above.call('SET', 'new', '1');
    await above.call('CONFIG', 'SET', 'repl-diskless-sync-delay', 0);
    await above.close();
    await expectSameData(head, node, { timeoutMs: 60_000 });
    expect(await client.call('DBSIZE')).toBe(1);
    await client.close();
  });

  test('a value beyond proto-max-bulk-len, in a dump and in the stream, takes a few times its bytes', {
    timeout: 180_000,
  }, async ({ servers }) => {
    const value = Buffer.alloc(96 * MIB);
    for (let at = 0, word = 1; at < value.length; at += 4) {
      word = (Math.imul(word, 1664525) + 1013904223) | 0;
      value.writeInt32LE(word, at);
    }
    const text = value.toString('latin1');
    const node = await servers.headwater({ args: [...DEBUG, '--proto-max-bulk-len', '1mb'] });
    const client = await node.client();
    const idle = peakBytes(node);
    const primary: FakePrimary = await startFakePrimary(
      'the value',
      {
        dump: dump('REDIS0011', pair('in the dump', text)),
        stream: encodeCommand(['SET', 'in the stream', value]),
      },
      {},
    );
    servers.atEnd(() => primary.close());
    await client.call('REPLICAOF', '127.0.0.1', primary.port);
    await waitFor(async () => (await client.call('DBSIZE')) === 2, { timeoutMs: 60_000 });
    for (const key of ['in the dump', 'in the stream'])
      expect(await client.call('STRLEN', key)).toBe(value.length);
    const grown = peakBytes(node) - idle;
    // Both values are kept; 4.6 times the value was seen.
    expect(grown).toBeLessThan(6 * value.length);
    await client.close();
  });
});
