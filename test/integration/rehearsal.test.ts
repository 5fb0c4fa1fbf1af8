/**
 * A node that rehearses its commands stays as empty as one that does not, whatever its
 * configuration says.
 */
import { existsSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { type Rehearsal, rehearse } from '../../src/rehearsal/rehearsal.ts';
import { collectGarbage } from '../../src/rehearsal/v8-flags.ts';
import { startHeadwater } from '../support/headwater.ts';
import { type NodeInProcess, startNode } from '../support/node-in-process.ts';
import { RespError } from '../support/resp-parser.ts';
import { waitFor } from '../support/wait-for.ts';

let running: NodeInProcess | undefined;

afterEach(async () => {
  await running?.stop();
  running = undefined;
});

async function begun(...lines: readonly string[]): Promise<[NodeInProcess, Rehearsal]> {
  running = await startNode(...lines);
  return [running, rehearse(running.node)];
}

test('nothing is left of a rehearsal', async () => {
  // Were its changes counted, this would save them within the second.
  const [{ node, messages, client: connect }, rehearsal] = await begun('save 1 1', 'maxmemory 1gb');
  const stage = new WeakRef(await waitFor(() => rehearsal.stage));
  await rehearsal.over;
  expect(rehearsal.complete).toBe(true);
  expect(node.server.stats.connectionsReceived).toBe(0);
  expect(node.server.stats.commandsProcessed).toBe(0);
  const client = await connect();
  expect(await client.call('DBSIZE')).toBe(0);
  expect(await client.call('SLOWLOG', 'LEN')).toBe(0);
  expect(await client.infoField('clients', 'connected_clients')).toBe('1');
  expect(await client.infoField('persistence', 'rdb_changes_since_last_save')).toBe('0');
  expect(await client.infoField('replication', 'master_repl_offset')).toBe('0');
  expect(await client.infoField('stats', 'expired_keys')).toBe('0');
  expect(await client.call('INFO', 'commandstats')).not.toContain('cmdstat_lpush');
  expect(await client.call('INFO', 'errorstats')).not.toContain('errorstat_');
  expect(await client.call('CLIENT', 'ID')).toBe(1);
  expect(existsSync(`${node.server.config.values.dir}/dump.rdb`)).toBe(false);
  expect(messages).toHaveLength(2);
  await client.close();
  // Some turns later: what has looked at it may still hold it, a timer among others.
  const isGone = (): boolean => {
    collectGarbage();
    return stage.deref() === undefined;
  };
  await waitFor(isGone, { what: 'the stage to be collected' });
});

test('a client that comes in the middle ends it, and finds its own dataset', async () => {
  const [{ node, client: connect }, rehearsal] = await begun();
  const stage = await waitFor(() => rehearsal.stage);
  await waitFor(() => stage.server.stats.commandsProcessed > 100);
  const client = await connect();
  expect(await client.call('SET', 'mine', '1')).toBe('OK');
  expect(await client.call('DBSIZE')).toBe(1);
  await rehearsal.over;
  expect(rehearsal.complete).toBe(false);
  expect(rehearsal.stage).toBeUndefined();
  // Its side of the configuration is the stage's no more.
  expect(await client.call('CONFIG', 'SET', 'hz', '20', 'maxmemory', '1gb')).toBe('OK');
  expect(node.server.config.values.hz).toBe(20);
  expect(await client.call('GET', 'mine')).toBe('1');
  await client.close();
});

test('it does not begin once a client has come', async () => {
  running = await startNode();
  const client = await running.client();
  expect(await client.call('PING')).toBe('PONG');
  const rehearsal = rehearse(running.node);
  await rehearsal.over;
  expect(rehearsal.complete).toBe(false);
  await client.close();
});

test.each([
  ['hardly any clients', ['maxclients 1']],
  ['replicas that are missing', ['min-replicas-to-write 1']],
  ['clients that may not be answered', ['client-output-buffer-limit normal 1 1 1']],
  ['a password', ['requirepass secret']],
  ['commands of other names', ['rename-command SET ""', 'rename-command GET FETCH']],
])('it begins and ends with %s', async (_name, lines) => {
  const [{ client: connect }, rehearsal] = await begun(...lines);
  let isOver = false;
  rehearsal.over.then(() => {
    isOver = true;
  });
  // All commands have come by then, over sockets at least.
  const ran = (): boolean => (rehearsal.stage?.server.stats.commandsProcessed ?? 0) > 3000;
  await waitFor(() => isOver || ran());
  rehearsal.end();
  await rehearsal.over;
  expect(rehearsal.stage).toBeUndefined();
  const client = await connect();
  const reply = await client.command('PING').catch(() => undefined);
  expect(reply === 'PONG' || reply === undefined || reply instanceof RespError).toBe(true);
  await client.close();
});

test('the program answers while it rehearses', async () => {
  const server = await startHeadwater({ rehearsal: true });
  const client = await server.client();
  expect(await client.call('SET', 'a', '1')).toBe('OK');
  await client.close();
  await server.stop();
  expect(server.exitCode).toBe(0);
});
