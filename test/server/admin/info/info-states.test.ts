/** Fields of INFO that are there only in a state, and counters that only some event moves. */
import { expect, test } from 'vitest';
import { startHeadwater } from '../../../support/headwater.ts';
import { startNode } from '../../../support/node-in-process.ts';
import { startRedis } from '../../../support/real-redis.ts';
import { waitFor } from '../../../support/wait-for.ts';

test('shutdown_in_milliseconds while a shutdown waits for replicas', async () => {
  const server = await startHeadwater();
  const replica = await startRedis({ replicaOf: server.port });
  const [client, other] = [await server.client(), await server.client()];
  await waitFor(
    async () => (await client.info('replication')).get('slave0')?.includes('state=online'),
    {
      what: 'the replica to be online',
    },
  );
  replica.pause();
  await client.call('SET', 'k', 'v');
  expect((await client.info('server')).has('shutdown_in_milliseconds')).toBe(false);
  other.write('SHUTDOWN NOSAVE\r\n');
  const ms = await waitFor(
    async () => (await client.info('server')).get('shutdown_in_milliseconds'),
    {
      what: 'the shutdown to wait',
    },
  );
  expect(Number(ms)).toBeGreaterThan(5000);
  expect(Number(ms)).toBeLessThanOrEqual(10_000);
  expect(await client.call('SHUTDOWN', 'ABORT')).toBe('OK');
  expect((await client.info('server')).has('shutdown_in_milliseconds')).toBe(false);
  await Promise.all([client.close(), other.close()]);
  await replica.kill();
  await server.kill();
});

test('loading_* while a dump is loaded, with what its dataset took', async () => {
  const redis = await startRedis();
  const client = await redis.client();
  await client.call('DEBUG', 'POPULATE', '100000');
  await client.call('SAVE');
  await redis.kill();
  const { node, stop } = await startNode();
  node.server.config.set(['dbfilename', 'dump.rdb'], { loading: false, local: true });
  node.server.config.assign('dir', [redis.dir]);
  const loaded = node.dumps.dumpLoad.replaceFromFile();
  const text = await waitFor(
    () => {
      const info = node.admin.info.text(['persistence']);
      return info.includes('loading_total_bytes') ? info : undefined;
    },
    { what: 'the load' },
  );
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:(.*)\r$`, 'm').exec(text)?.[1]);
  expect(field('loading_rdb_used_mem')).toBeGreaterThan(1_000_000);
  expect(field('loading_total_bytes')).toBeGreaterThan(100_000);
  expect(field('loading_start_time')).toBeGreaterThan(1_600_000_000);
  for (const name of ['loading_loaded_bytes', 'loading_loaded_perc', 'loading_eta_seconds']) {
    expect(field(name)).not.toBeNaN();
  }
  await loaded;
  expect(node.admin.info.text(['persistence'])).not.toContain('loading_total_bytes');
  await stop();
});

test('a primary that is not followed by failover says so, a replica tells its link', async () => {
  const server = await startHeadwater();
  const below = await startHeadwater({ replicaOf: server.port });
  const client = await server.client();
  expect((await client.info('replication')).get('master_failover_state')).toBe('no-failover');
  const own = await below.client();
  const fields = await own.info('replication');
  for (const name of [
    'master_host',
    'master_link_status',
    'slave_repl_offset',
    'slave_read_only',
  ]) {
    expect([name, fields.has(name)]).toEqual([name, true]);
  }
  await Promise.all([below.kill(), server.kill()]);
});

test('wrong passwords, floods of a request, and turns of the loop are counted', async () => {
  const open = await startHeadwater();
  const client = await open.client();
  await client.call('CONFIG', 'SET', 'requirepass', 'right', 'client-query-buffer-limit', '1mb');
  const other = await open.client();
  await other.command('AUTH', 'wrong');
  await other.command('HELLO', '3', 'AUTH', 'nobody', 'right');
  await other.call('AUTH', 'right');
  const greedy = await open.client();
  await greedy.call('AUTH', 'right');
  greedy.write(
    `*3\r\n$4\r\nECHO\r\n$1000000\r\n${'x'.repeat(1_000_000)}\r\n$1000000\r\n${'x'.repeat(9e5)}`,
  );
  await greedy.closed;
  const fields = await other.info('stats');
  const value = (name: string): number => Number(fields.get(name));
  expect(value('acl_access_denied_auth')).toBe(2);
  expect(value('client_query_buffer_limit_disconnections')).toBe(1);
  expect(value('eventloop_cycles')).toBeGreaterThan(5);
  expect(value('eventloop_duration_sum')).toBeGreaterThan(value('eventloop_duration_cmd_sum'));
  expect(value('eventloop_duration_cmd_sum')).toBeGreaterThan(0);
  await waitFor(
    async () =>
      Number((await other.info('stats')).get('instantaneous_eventloop_cycles_per_sec')) > 0 &&
      Number((await other.info('stats')).get('instantaneous_eventloop_duration_usec')) > 0,
    { what: 'the rates of the loop' },
  );
  await other.call('CONFIG', 'RESETSTAT');
  expect(Number((await other.info('stats')).get('eventloop_cycles'))).toBeLessThan(
    value('eventloop_cycles') + 100,
  );
  await open.kill();
});
