/** A node that has rehearsed its commands starts as empty as one that has not, whatever its configuration says. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startHeadwater } from '../support/headwater.ts';

test('nothing is left of a rehearsal', async () => {
  // Were its changes counted, this would save them within the second.
  const server = await startHeadwater({ rehearsal: true, args: ['--save', '1', '1'] });
  try {
    const client = await server.client();
    expect(await client.call('DBSIZE')).toBe(0);
    expect(await client.call('SLOWLOG', 'LEN')).toBe(0);
    expect(await client.infoField('clients', 'connected_clients')).toBe('1');
    expect(await client.infoField('persistence', 'rdb_changes_since_last_save')).toBe('0');
    expect(await client.infoField('replication', 'master_repl_offset')).toBe('0');
    expect(await client.infoField('stats', 'expired_keys')).toBe('0');
    expect(await client.call('INFO', 'commandstats')).not.toContain('cmdstat_lpush');
    // Who asks while the dataset is being loaded, as a test that waits for the start does, is told so.
    expect(await client.call('INFO', 'errorstats')).not.toMatch(/errorstat_(?!LOADING)/);
    expect(existsSync(join(server.dir, 'dump.rdb'))).toBe(false);
    await client.close();
  } finally {
    await server.stop();
  }
});

test.each([
  ['hardly any clients', ['--maxclients', '1']],
  ['replicas that are missing', ['--min-replicas-to-write', '1']],
  ['clients that may not be answered', ['--client-output-buffer-limit', 'normal', '1', '1', '1']],
])('a node starts with %s', async (_name, args) => {
  const server = await startHeadwater({ rehearsal: true, args });
  await server.stop();
});
