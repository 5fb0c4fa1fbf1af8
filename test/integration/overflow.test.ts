/**
 * A replica that reads 2 MB/s, an output limit of 4 MB, and writers of 20 MB/s: with
 * `repl-throttling` it is never cut off, and without it comes back to an end as well. The figures of
 * a real server beside it are those of `npm run bench -- overflow`.
 */
import { expect } from 'vitest';
import { SlowLink } from '../../native-free-bench/lib/slow-link.ts';
import { expectSameData } from '../support/digest.ts';
import type { Headwater } from '../support/headwater.ts';
import { test } from '../support/servers.ts';
import { waitFor } from '../support/wait-for.ts';

const MB = 1_000_000;
const LIMIT = ['--client-output-buffer-limit', 'replica 4mb 4mb 1', '--repl-backlog-size', '1mb'];
const WRITERS = 4;

/** Writes `bytes` by several clients, at most 20 MB/s in all. Values cannot be compressed. */
async function write(primary: Headwater, bytes: number): Promise<void> {
  const startMs = performance.now();
  let written = 0;
  let state = 1;
  const value = Buffer.alloc(10_000);
  const writers = await Promise.all(Array.from({ length: WRITERS }, () => primary.client()));
  await Promise.all(
    writers.map(async (writer, w) => {
      for (let i = 0; written < bytes; i++) {
        written += value.length;
        for (let at = 0; at < value.length; at++) {
          state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
          value[at] = state >> 16;
        }
        await writer.call('SET', `w${w}:${i % 50}`, Buffer.from(value));
        const aheadMs = (written / (20 * MB)) * 1000 - (performance.now() - startMs);
        if (aheadMs > 5) await new Promise((resolve) => setTimeout(resolve, aheadMs));
      }
    }),
  );
  for (const writer of writers) await writer.close();
}

test.concurrent.for(['yes', 'no'])(
  'a slow replica under fast writes ends in sync with repl-throttling %s',
  { timeout: 180_000 },
  async (throttling, { servers }) => {
    const primary = await servers.headwater({
      args: [...LIMIT, '--enable-debug-command', 'yes', '--repl-throttling', throttling],
    });
    await write(primary, 4 * MB);
    const link = await SlowLink.to(primary.port, 2 * MB);
    servers.atEnd(() => link.close());
    const replica = await servers.redis({ replicaOf: link.port });
    const client = await primary.client();
    await waitFor(async () => Number(await client.infoField('stats', 'sync_full')) > 0);
    await write(primary, 16 * MB);
    await expectSameData(primary, replica, { timeoutMs: 60_000 });
    const stats = await client.info('stats');
    const own = await client.info('headwater');
    if (throttling === 'yes') {
      expect(stats.get('client_output_buffer_limit_disconnections')).toBe('0');
      expect(stats.get('sync_full')).toBe('1');
      expect(Number(own.get('headwater_throttled_writes'))).toBeGreaterThan(0);
    } else {
      expect(Number(stats.get('client_output_buffer_limit_disconnections'))).toBeGreaterThan(0);
      expect(own.get('headwater_throttled_writes')).toBe('0');
    }
    await client.close();
  },
);
