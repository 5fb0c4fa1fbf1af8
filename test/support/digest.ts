/**
 * Checks that two servers hold the same data: they have the same offset in the same stream, and the
 * same DEBUG DIGEST.
 */
import { expect } from 'vitest';
import type { RespClient } from './resp-client.ts';
import type { TestServer } from './server-process.ts';
import { waitFor } from './wait-for.ts';

export interface SyncOptions {
  readonly timeoutMs?: number;
}

export async function digestOf(server: TestServer): Promise<string> {
  return withClient(server, async (client) => String(await client.call('DEBUG', 'DIGEST')));
}

/**
 * Waits until the replica's link is up and it has applied everything that the primary wrote. Writes
 * to the primary must have stopped, or the wait may never end.
 */
export async function waitForSync(
  primary: TestServer,
  replica: TestServer,
  { timeoutMs = 60_000 }: SyncOptions = {},
): Promise<void> {
  const what = `the replica at ${replica.port} to catch up with ${primary.port}`;
  await withClient(primary, (above) =>
    withClient(replica, (below) => waitFor(() => isInSync(above, below), { what, timeoutMs })),
  );
}

/** Waits for the sync, and then compares the datasets. */
export async function expectSameData(
  primary: TestServer,
  replica: TestServer,
  options?: SyncOptions,
): Promise<void> {
  await waitForSync(primary, replica, options);
  const [above, below] = await Promise.all([digestOf(primary), digestOf(replica)]);
  expect(below, `digest of the replica at ${replica.port}`).toBe(above);
}

/**
 * Returns the numbers of resyncs that a server has served. A test compares them to find an
 * unexpected full resync.
 */
export async function syncCounts(
  server: TestServer,
): Promise<{ full: number; partial: number; refused: number }> {
  const stats = await withClient(server, (client) => client.info('stats'));
  const count = (name: string): number => Number(stats.get(name));
  return {
    full: count('sync_full'),
    partial: count('sync_partial_ok'),
    refused: count('sync_partial_err'),
  };
}

async function isInSync(above: RespClient, below: RespClient): Promise<boolean> {
  const replica = await below.info('replication');
  if (replica.get('master_link_status') !== 'up') return false;
  const primary = await above.info('replication');
  return (
    replica.get('master_replid') === primary.get('master_replid') &&
    replica.get('slave_repl_offset') === primary.get('master_repl_offset')
  );
}

async function withClient<T>(
  server: TestServer,
  use: (client: RespClient) => Promise<T>,
): Promise<T> {
  const client = await server.client();
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}
