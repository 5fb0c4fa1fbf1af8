/**
 * What the log tells at the levels verbose and debug, and counters of what happens to clients beside
 * their commands: as the real server.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { StateLog } from '../../../src/server/admin/observe/state-log.ts';
import { startHeadwater } from '../../support/headwater.ts';
import { startNode } from '../../support/node-in-process.ts';
import { startRedis } from '../../support/real-redis.ts';
import { RespClient } from '../../support/resp-client.ts';
import type { TestServer } from '../../support/server-process.ts';
import { waitFor } from '../../support/wait-for.ts';

let servers: TestServer[];

beforeAll(async () => {
  const args = ['--loglevel', 'verbose', '--unixsocket', 'own.sock'];
  servers = await Promise.all([startHeadwater({ args }), startRedis({ args })]);
});

afterAll(async () => {
  await Promise.all(servers.map((server) => server.stop()));
});

describe('loglevel verbose', () => {
  test('tells of clients that come and go', async () => {
    for (const server of servers) {
      const client = await server.client();
      await client.call('CLIENT', 'SETNAME', 'me');
      const own = `127.0.0.1:${client.socket.localPort}`;
      await server.waitForLine(new RegExp(`Accepted ${own}("|$)`));
      await client.close();
      const line = await server.waitForLine(`addr=${own} `);
      expect(line).toMatch(
        new RegExp(
          `Client closed connection id=\\d+ addr=${own} laddr=127.0.0.1:${server.port} fd=\\d+ name=me age=\\d+ ` +
            'idle=\\d+ flags=N db=0 .* cmd=client\\|setname user=default redir=-1 resp=2',
        ),
      );
    }
  });

  test('tells of clients of the Unix socket', async () => {
    for (const server of servers) {
      const client = await RespClient.connect(`${server.dir}/own.sock`);
      await client.close();
      await server.waitForLine('Accepted connection to own.sock');
      await server.waitForLine('addr=own.sock:0 laddr=own.sock:0');
    }
  });

  test('tells of clients that cut the connection', async () => {
    for (const server of servers) {
      const client = await server.client();
      await client.call('PING');
      client.socket.resetAndDestroy();
      await server.waitForLine('Reading from client: Connection reset by peer');
    }
  });
});

test('broken requests count as errors of the server, and of no command', async () => {
  const counted: unknown[] = [];
  for (const server of servers) {
    const client = await server.client();
    await client.call('CONFIG', 'RESETSTAT');
    for (const bytes of [
      '*1\r\n$-5\r\n',
      '*x\r\n',
      '*1\r\nx\r\n',
      'get "a\r\n',
      '*1\r\n$4\r\nPING\r\n*-x\r\n',
    ]) {
      const broken = await server.client();
      broken.write(bytes);
      await broken.closed;
    }
    const calls = await client.info('commandstats');
    counted.push([
      await client.infoField('stats', 'total_error_replies'),
      [...(await client.info('errorstats'))],
      (calls.get('cmdstat_ping') ?? '').replace(/usec.*?,usec.*?,/, ''),
    ]);
    await client.close();
  }
  expect(counted[0]).toEqual(counted[1]);
  expect((counted[0] as unknown[])[0]).toBe('5');
});

test('clients_in_timeout_table counts waits that end by themselves', async () => {
  const counts: string[][] = [];
  for (const server of servers) {
    const client = await server.client();
    const seen: string[] = [];
    const waiting: RespClient[] = [];
    for (const words of [
      ['BLPOP', 'k', '0'],
      ['BLPOP', 'k', '1000'],
      ['WAIT', '1', '0'],
      ['WAIT', '1', '1000000'],
      ['XREAD', 'BLOCK', '1000000', 'STREAMS', 's', '$'],
    ]) {
      const each = await server.client();
      waiting.push(each);
      each.command(...words).catch(() => {});
      await waitFor(
        async () =>
          (await client.infoField('clients', 'blocked_clients')) === String(waiting.length),
      );
      seen.push(String(await client.infoField('clients', 'clients_in_timeout_table')));
    }
    for (const each of waiting) await each.close();
    await waitFor(async () => (await client.infoField('clients', 'blocked_clients')) === '0');
    seen.push(String(await client.infoField('clients', 'clients_in_timeout_table')));
    counts.push(seen);
    await client.close();
  }
  expect(counts[0]).toEqual(counts[1]);
  expect(counts[0]).toEqual(['0', '1', '1', '2', '3', '0']);
});

test('databases and clients are told of every five seconds, as the level allows', async () => {
  const { node, client: connect, messages, stop } = await startNode();
  const client = await connect();
  await client.pipeline([
    ['MSET', 'a', '1', 'b', '2', 'c', '3'],
    ['EXPIRE', 'a', '100'],
    ['SELECT', '3'],
    ['SET', 'd', '4'],
  ]);
  const log = new StateLog(node.server, node.admin.memory);
  const told = (level: 'notice' | 'verbose' | 'debug', nowMs: number): string[] => {
    node.server.log.level = level;
    const from = messages.length;
    log.tick(nowMs);
    return messages.slice(from);
  };
  const databases = [
    expect.stringMatching(/^DB 0: 3 keys \(1 volatile\) in \d+ slots HT\.$/),
    expect.stringMatching(/^DB 3: 1 keys \(0 volatile\) in \d+ slots HT\.$/),
  ];
  expect(told('notice', 1000)).toEqual([]);
  expect(told('verbose', 6000)).toEqual(databases);
  expect(told('verbose', 10_999)).toEqual([]);
  expect(told('debug', 11_000)).toEqual([
    ...databases,
    expect.stringMatching(/^1 clients connected \(0 replicas\), \d+ bytes in use$/),
  ]);
  await stop();
});
