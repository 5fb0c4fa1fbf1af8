/**
 * FAILOVER between headwater and the real server, in both directions, under writes: no write that
 * was answered is lost, and nobody needs a full sync. Each case runs with two real servers as well,
 * so that they tell what is expected.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { describe, expect } from 'vitest';
import { call } from '../support/ask.ts';
import { expectSameData, syncCounts, waitForSync } from '../support/digest.ts';
import { FakeReplica } from '../support/fake-replica.ts';
import type { RespClient } from '../support/resp-client.ts';
import { RespError } from '../support/resp-parser.ts';
import type { TestServer } from '../support/server-process.ts';
import { type Servers, test } from '../support/servers.ts';
import { SteadyWriter } from '../support/steady-writer.ts';
import { waitFor } from '../support/wait-for.ts';

/** A target that answers PSYNC with a line, or hangs up. */
class Impostor {
  /** The words of PSYNC. */
  asked = '';
  readonly port: number;
  readonly #server: Server;

  private constructor(server: Server, answer: string) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on('connection', (socket) => {
      socket.on('error', () => {});
      socket.on('data', (data) => {
        const words = data.toString('latin1').split('\r\n');
        const plain = words.filter((word) => word !== '' && !/^[*$]/.test(word));
        if (plain[0] === 'PING') socket.write('+PONG\r\n');
        for (const word of plain) if (word === 'REPLCONF') socket.write('+OK\r\n');
        if (plain[0] !== 'PSYNC') return;
        this.asked = plain.join(' ');
        if (answer === '') socket.destroy();
        else socket.write(answer);
      });
    });
  }

  static async listen(answer: string): Promise<Impostor> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Impostor(server, answer);
  }

  close(): void {
    this.#server.close();
  }
}

function start(servers: Servers, kind: string, replicaOf?: number): Promise<TestServer> {
  const options = replicaOf === undefined ? {} : { replicaOf };
  const args = ['--repl-backlog-size', '16mb'];
  if (kind === 'redis') return servers.redis({ ...options, args });
  return servers.headwater({ ...options, args: ['--enable-debug-command', 'yes', ...args] });
}

async function field(server: TestServer, name: string): Promise<string> {
  const client = await server.client();
  const value = await client.infoField('replication', name);
  await client.close();
  return value;
}

const stateOf = (server: TestServer): Promise<string> => field(server, 'master_failover_state');

const toTarget = (target: TestServer): (string | number)[] => ['TO', '127.0.0.1', target.port];

/** The error's text, or the reply. */
async function replyText(client: RespClient, ...words: (string | number)[]): Promise<string> {
  const reply = await client.command(...words);
  return reply instanceof RespError ? reply.message : String(reply);
}

/** Waits until the replica is in sync, and the primary knows it. */
async function waitForOnline(primary: TestServer, replica: TestServer): Promise<void> {
  await waitForSync(primary, replica);
  const client = await primary.client();
  const online = `port=${replica.port},state=online`;
  await waitFor(async () => String(await client.call('INFO', 'replication')).includes(online));
  await client.close();
}

/** Waits until the replica follows the stream of the primary under its present id. */
async function waitForId(primary: TestServer, replica: TestServer): Promise<void> {
  const what = `the replica at ${replica.port} to follow the stream of ${primary.port}`;
  await waitFor(
    async () =>
      (await field(replica, 'master_link_status')) === 'up' &&
      (await field(replica, 'master_replid')) === (await field(primary, 'master_replid')),
    { what },
  );
}

async function fullSyncs(...nodes: TestServer[]): Promise<number> {
  let full = 0;
  for (const node of nodes) full += (await syncCounts(node)).full;
  return full;
}

async function expectRoles(primary: TestServer, replica: TestServer): Promise<void> {
  await waitFor(async () => (await stateOf(replica)) === 'no-failover', { what: 'the end' });
  await waitFor(async () => (await field(primary, 'role')) === 'master');
  expect(await field(replica, 'role')).toBe('slave');
}

const pairs: [string, string][] = [
  ['redis', 'redis'],
  ['redis', 'headwater'],
  ['headwater', 'redis'],
  ['headwater', 'headwater'],
];

describe.concurrent.each(pairs)('from %s to %s', (above, below) => {
  test('the role goes to and fro under writes: no write lost, partial resyncs only', async ({
    servers,
  }) => {
    const head = await start(servers, above);
    const nodes = [head, await start(servers, below, head.port)];
    const third = await start(servers, 'redis', head.port);
    for (const replica of [nodes[1]!, third]) await waitForOnline(head, replica);
    let at = 0;
    const writer = new SteadyWriter(() => nodes[at]!.port);
    for (let round = 0; round < 4; round++) {
      const [from, to] = [nodes[at]!, nodes[1 - at]!];
      const seen = writer.confirmed;
      await waitFor(() => writer.confirmed > seen + 50);
      expect(await call(from, 'FAILOVER', ...toTarget(to))).toBe('OK');
      await expectRoles(to, from);
      at = 1 - at;
      await call(third, 'REPLICAOF', '127.0.0.1', to.port);
      await waitForId(to, third);
    }
    await writer.stop();
    await writer.expectAllThere(nodes[at]!);
    for (const replica of [nodes[1 - at]!, third]) await expectSameData(nodes[at]!, replica);
    expect(await fullSyncs(...nodes, third)).toBe(2);
  });

  test('a replica that misses two changes of the role needs a full sync: one old id is known', async ({
    servers,
  }) => {
    const head = await start(servers, above);
    const other = await start(servers, below, head.port);
    const third = await start(servers, 'redis', head.port);
    for (const replica of [other, third]) await waitForOnline(head, replica);
    third.pause();
    expect(await call(head, 'FAILOVER', ...toTarget(other))).toBe('OK');
    await expectRoles(other, head);
    await waitForId(other, head);
    expect(await call(other, 'FAILOVER', ...toTarget(head))).toBe('OK');
    await expectRoles(head, other);
    third.resume();
    await expectSameData(head, third);
    expect(await fullSyncs(head, other, third)).toBe(3);
  });
});

/** The node that hands over; what is expected of headwater is what the real server does. */
describe.concurrent.each(['redis', 'headwater'])('%s', (kind) => {
  /** A replica that is in sync when it has attached, and acknowledges no more. */
  async function mute(
    servers: Servers,
    head: TestServer,
    listeningPort = 6380,
  ): Promise<FakeReplica> {
    const replica = await FakeReplica.attach(head.port, { ack: 'never', listeningPort });
    servers.atEnd(() => replica.close());
    await replica.waitForDump();
    replica.ack();
    await waitFor(async () => (await field(head, 'slave0')).includes('state=online'));
    // The real server misses one that comes before it knows that the dump is sent.
    replica.ack();
    return replica;
  }

  test('refuses what may not begin, in the words of the real server', async ({ servers }) => {
    const head = await start(servers, kind);
    const client = await head.client();
    const said = async (...lines: string[]): Promise<string[]> => {
      const replies: string[] = [];
      for (const line of lines) replies.push(await replyText(client, ...line.split(' ')));
      return replies;
    };
    const syntax = 'ERR syntax error';
    const integer = 'ERR value is not an integer or out of range';
    expect(
      await said(
        'FAILOVER',
        'FAILOVER ABORT',
        'FAILOVER ABORT x',
        'FAILOVER x',
        'FAILOVER TIMEOUT',
        'FAILOVER TIMEOUT 0',
        'FAILOVER TIMEOUT -1',
        'FAILOVER TIMEOUT x',
        'FAILOVER TIMEOUT 1 TIMEOUT 1',
        'FAILOVER TO',
        'FAILOVER TO a',
        'FAILOVER TO a x',
        'FAILOVER TO a 99999999999999999999',
        'FAILOVER TO a 1 TO a 1',
        'FAILOVER FORCE FORCE',
        'FAILOVER FORCE',
        'FAILOVER TO a 1 FORCE TIMEOUT 1',
      ),
    ).toEqual([
      'ERR FAILOVER requires connected replicas.',
      'ERR No failover in progress.',
      syntax,
      syntax,
      syntax,
      'ERR FAILOVER timeout must be greater than 0',
      'ERR FAILOVER timeout must be greater than 0',
      integer,
      syntax,
      syntax,
      syntax,
      integer,
      integer,
      syntax,
      syntax,
      'ERR FAILOVER requires connected replicas.',
      'ERR FAILOVER requires connected replicas.',
    ]);
    await client.call('CONFIG', 'SET', 'rdbcompression', 'no');
    await client.call('DEBUG', 'POPULATE', 20_000, 'key', 1000);
    await mute(servers, head);
    // One that does not read its dump.
    const late = connect({ port: head.port, host: '127.0.0.1' });
    late.on('error', () => {});
    late.write('REPLCONF listening-port 6381 capa eof\r\n');
    await once(late, 'data');
    late.pause();
    late.write('PSYNC ? -1\r\n');
    await waitFor(async () => (await field(head, 'connected_slaves')) === '2');
    const force = 'ERR FAILOVER with force option requires both a timeout and target HOST and IP.';
    const none = 'ERR FAILOVER target HOST and PORT is not a replica.';
    expect(
      await said(
        'FAILOVER FORCE',
        'FAILOVER FORCE TIMEOUT 1',
        'FAILOVER TO 127.0.0.1 6380 FORCE',
        'FAILOVER TO 127.0.0.1 1',
        'FAILOVER TO 127.0.0.2 6380',
        'FAILOVER TO 127.0.0.1 6381',
        'PSYNC ? -1 FAILOVER',
      ),
    ).toEqual([
      force,
      force,
      force,
      none,
      none,
      'ERR FAILOVER target replica is not online.',
      "ERR PSYNC FAILOVER can't be sent to a master.",
    ]);
    expect(await stateOf(head)).toBe('no-failover');
    await client.call('SET', 'k', 'v');
    expect(
      await said(
        'FAILOVER TO 127.0.0.1 6380 TIMEOUT 60000',
        'FAILOVER',
        'FAILOVER FORCE',
        'FAILOVER x',
        'REPLICAOF NO ONE',
        'REPLICAOF 127.0.0.1 1',
        'SLAVEOF 127.0.0.1 1',
        'PSYNC ? -1',
        'SYNC',
        'PING',
        'GET k',
        'FAILOVER ABORT',
        'FAILOVER ABORT',
      ),
    ).toEqual([
      'OK',
      'ERR FAILOVER already in progress.',
      'ERR FAILOVER already in progress.',
      syntax,
      ...Array(3).fill('ERR REPLICAOF not allowed while failing over.'),
      "NOMASTERLINK Can't SYNC while failing over",
      "NOMASTERLINK Can't SYNC while failing over",
      'PONG',
      'v',
      'OK',
      'ERR No failover in progress.',
    ]);
    late.destroy();
    await client.close();
  });

  test('refuses as a replica, and by another id', async ({ servers }) => {
    const head = await start(servers, 'redis');
    const node = await start(servers, kind, head.port);
    await waitForSync(head, node);
    const client = await node.client();
    expect(await replyText(client, 'FAILOVER')).toBe(
      'ERR FAILOVER is not valid when server is a replica.',
    );
    expect(await replyText(client, 'FAILOVER', 'ABORT')).toBe('ERR No failover in progress.');
    expect(await replyText(client, 'PSYNC', 'a'.repeat(40), '1', 'FAILOVER')).toBe(
      'ERR PSYNC FAILOVER replid must match my replid.',
    );
    expect(await field(node, 'role')).toBe('slave');
    await client.close();
  });

  test('gives up when time is up, and what waited runs', async ({ servers }) => {
    const head = await start(servers, kind);
    const replica = await mute(servers, head);
    const [client, writer] = [await head.client(), await head.client()];
    const id = await field(head, 'master_replid');
    await client.call('SET', 'k', '1');
    await client.call('FAILOVER', 'TIMEOUT', 3000);
    expect(await stateOf(head)).toBe('waiting-for-sync');
    const write = writer.command('INCR', 'k');
    expect(await client.call('GET', 'k')).toBe('1');
    expect(await write).toBe(2);
    expect(await stateOf(head)).toBe('no-failover');
    expect(await field(head, 'role')).toBe('master');
    expect(await field(head, 'master_replid')).toBe(id);
    await head.waitForLine(
      'FAILOVER to any replica aborted: Replica never caught up before timeout',
    );
    // And the stream goes on.
    await replica.waitForCommand('INCR', 'k');
    await Promise.all([client.close(), writer.close()]);
  });

  test('holds the stream still while it waits, whatever clients do', async ({ servers }) => {
    const head = await start(servers, kind);
    const replica = await mute(servers, head);
    const [client, writer, waiter] = [
      await head.client(),
      await head.client(),
      await head.client(),
    ];
    await client.call('CONFIG', 'SET', 'repl-ping-replica-period', 1);
    await client.call('SET', 'short', '1', 'PX', 50);
    await writer.call('SET', 'k', '1');
    await writer.call('MULTI');
    await writer.call('INCR', 'k');
    const popper = await head.client();
    const pop = popper.command('BLPOP', 'list', 0);
    await waitFor(async () => (await blocked(client)) === 1, { what: 'A' });
    await client.call('FAILOVER', 'TIMEOUT', 60_000);
    const before = await field(head, 'master_repl_offset');
    const exec = writer.command('EXEC');
    const publisher = await head.client();
    const published = publisher.command('PUBLISH', 'channel', 'x');
    await waiter.call('GET', 'k');
    const wait = waiter.command('WAIT', 1, 0);
    await waitFor(async () => (await client.command('GET', 'short')) === null);
    // Longer than the period of PING, by the clock of the server.
    const [second] = (await client.call('TIME')) as string[];
    await waitFor(
      async () => Number(((await client.call('TIME')) as string[])[0]) > Number(second) + 2,
    );
    expect(await field(head, 'master_repl_offset')).toBe(before);
    expect(await client.call('GET', 'k')).toBe('1');
    expect(await client.call('FAILOVER', 'ABORT')).toBe('OK');
    expect(await exec).toEqual([2]);
    expect(await published).toBe(0);
    await replica.waitForCommand('REPLCONF', 'GETACK', '*');
    replica.ack();
    expect(await wait).toBe(1);
    await client.call('RPUSH', 'list', 'x');
    expect(await pop).toEqual(['list', 'x']);
    for (const each of [client, writer, waiter, publisher, popper]) await each.close();
  });

  test('hands over while clients wait: each gets its answer, as of a replica', async ({
    servers,
  }) => {
    const head = await start(servers, kind);
    const target = await start(servers, kind === 'redis' ? 'headwater' : 'redis', head.port);
    await waitForOnline(head, target);
    await call(head, 'SET', 'k', '1');
    const names = ['popper', 'waiter', 'writer', 'transaction', 'reader'] as const;
    const clients: RespClient[] = [];
    for (const _ of names) clients.push(await head.client());
    const [popper, waiter, writer, transaction, reader] = clients as [
      RespClient,
      RespClient,
      RespClient,
      RespClient,
      RespClient,
    ];
    const popped = replyText(popper, 'BLPOP', 'list', 0);
    await waiter.call('SET', 'w', 1);
    const waited = replyText(waiter, 'WAIT', 5, 0);
    await waitFor(async () => (await blocked(reader)) === 2);
    await transaction.call('MULTI');
    await transaction.call('SET', 'k', '2');
    target.pause();
    await reader.call('SET', 'last', '1');
    await reader.call('FAILOVER', ...toTarget(target));
    const written = replyText(writer, 'SET', 'k', '3');
    const executed = replyText(transaction, 'EXEC');
    await waitFor(async () => (await blocked(reader)) === 4);
    target.resume();
    const changed =
      'UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)';
    expect(await popped).toBe(changed);
    expect(await waited).toBe(changed);
    const readonly = "READONLY You can't write against a read only replica.";
    expect(await written).toBe(readonly);
    expect(await executed).toBe(`EXECABORT Transaction discarded because of: ${readonly}`);
    await Promise.all([popper.closed, waiter.closed]);
    expect(await reader.call('GET', 'k')).toBe('1');
    await expectRoles(target, head);
    await expectSameData(target, head);
    expect((await syncCounts(target)).full).toBe(0);
    for (const each of [writer, transaction, reader]) await each.close();
  });

  test('waits also for the end of CLIENT PAUSE', async ({ servers }) => {
    const head = await start(servers, kind);
    await mute(servers, head);
    const [client, writer] = [await head.client(), await head.client()];
    await client.call('SET', 'k', 'u');
    await client.call('CLIENT', 'PAUSE', 60_000, 'WRITE');
    await client.call('FAILOVER');
    const write = writer.command('SET', 'k', 'v');
    await client.call('FAILOVER', 'ABORT');
    expect(await client.call('GET', 'k')).toBe('u');
    await client.call('FAILOVER');
    await client.call('CLIENT', 'UNPAUSE');
    expect(await client.call('GET', 'k')).toBe('u');
    await client.call('FAILOVER', 'ABORT');
    expect(await write).toBe('OK');
    await Promise.all([client.close(), writer.close()]);
  });

  test('FORCE fails over to one that has less, and takes what that one has', async ({
    servers,
  }) => {
    const head = await start(servers, kind);
    const target = await start(servers, kind === 'redis' ? 'headwater' : 'redis', head.port);
    await waitForOnline(head, target);
    target.pause();
    await call(head, 'SET', 'k', 'v');
    expect(await call(head, 'FAILOVER', ...toTarget(target), 'FORCE', 'TIMEOUT', 500)).toBe('OK');
    const writer = await head.client();
    const write = replyText(writer, 'SET', 'k', 'w');
    await waitFor(async () => (await stateOf(head)) === 'failover-in-progress');
    expect(await field(head, 'role')).toBe('slave');
    expect(await replyText(await head.client(), 'SET', 'k', 'x')).toContain('READONLY');
    await head.waitForLine('time out exceeded, failing over.');
    target.resume();
    expect(await write).toContain('READONLY');
    await expectRoles(target, head);
    await expectSameData(target, head);
    await writer.close();
  });

  test('ABORT while the target is asked makes the node a primary again', async ({ servers }) => {
    const head = await start(servers, kind);
    const target = await start(servers, kind === 'redis' ? 'headwater' : 'redis', head.port);
    await waitForOnline(head, target);
    const id = await field(head, 'master_replid');
    target.pause();
    await call(head, 'SET', 'k', '1');
    // The write comes before the node has turned into a replica.
    const writer = await head.client();
    expect(await call(head, 'FAILOVER', ...toTarget(target), 'FORCE', 'TIMEOUT', 2000)).toBe('OK');
    const write = replyText(writer, 'INCR', 'k');
    await waitFor(async () => (await stateOf(head)) === 'failover-in-progress');
    expect(await call(head, 'FAILOVER', 'ABORT')).toBe('OK');
    expect(await write).toBe('2');
    expect(await field(head, 'role')).toBe('master');
    expect(await field(head, 'master_replid2')).toBe(id);
    await head.waitForLine(
      `FAILOVER to 127.0.0.1:${target.port} aborted: Failover manually aborted`,
    );
    target.resume();
    await expectSameData(head, target);
    expect((await syncCounts(head)).full).toBe(1);
    await writer.close();
  });

  test('tries a target that has died until ABORT', async ({ servers }) => {
    const head = await start(servers, kind);
    const target = await start(servers, 'redis', head.port);
    await waitForOnline(head, target);
    target.pause();
    await call(head, 'SET', 'k', '1');
    expect(await call(head, 'FAILOVER', ...toTarget(target), 'FORCE', 'TIMEOUT', 100)).toBe('OK');
    await waitFor(async () => (await stateOf(head)) === 'failover-in-progress');
    await target.kill();
    await waitFor(() => head.lines.filter((line) => line.includes('sync started')).length > 5);
    expect(await stateOf(head)).toBe('failover-in-progress');
    expect(await call(head, 'FAILOVER', 'ABORT')).toBe('OK');
    expect(await call(head, 'INCR', 'k')).toBe(2);
  });

  test.for([
    ['says no', '-ERR PSYNC FAILOVER replid must match my replid.\r\n'],
    ['cannot now', "-NOMASTERLINK Can't SYNC while failing over\r\n"],
    ['says something else', '+HELLO\r\n'],
    ['hangs up', ''],
  ])('is the primary again when the target %s', async ([, answer], { servers }) => {
    const head = await start(servers, kind);
    const target = await Impostor.listen(answer!);
    servers.atEnd(() => target.close());
    const replica = await mute(servers, head, target.port);
    const id = await field(head, 'master_replid');
    await call(head, 'SET', 'k', '1');
    await replica.waitForCommand('SET', 'k', '1');
    await call(head, 'FAILOVER');
    const writer = await head.client();
    const write = replyText(writer, 'INCR', 'k');
    const watcher = await head.client();
    await waitFor(async () => (await blocked(watcher)) === 1);
    replica.ack();
    expect(await write).toBe('2');
    expect(target.asked).toMatch(new RegExp(`^PSYNC ${id} [0-9]+ FAILOVER$`));
    expect(await stateOf(head)).toBe('no-failover');
    expect(await field(head, 'role')).toBe('master');
    expect(await field(head, 'master_replid2')).toBe(id);
    await head.waitForLine(
      `FAILOVER to 127.0.0.1:${target.port} aborted: Failover target rejected psync request`,
    );
    await Promise.all([watcher.close(), writer.close()]);
  });
});

async function blocked(client: RespClient): Promise<number> {
  return Number(await client.infoField('clients', 'blocked_clients'));
}
