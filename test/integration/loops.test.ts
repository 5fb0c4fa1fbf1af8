/**
 * Nodes that follow each other in a circle, and what is no primary at all: a clear state, pauses
 * that grow, a log that does not, and a way back.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { describe, expect } from 'vitest';
import { call } from '../support/ask.ts';
import { expectSameData, waitForSync } from '../support/digest.ts';
import { logRecords } from '../support/headwater.ts';
import type { TestServer } from '../support/server-process.ts';
import { type Servers, test } from '../support/servers.ts';
import { waitFor } from '../support/wait-for.ts';

const id = 'a'.repeat(40);
const TIMEOUTS = ['--repl-timeout', '3', '--repl-ping-replica-period', '1'];

const redis = (servers: Servers): Promise<TestServer> => servers.redis({ args: TIMEOUTS });

function headwater(servers: Servers, replicaOf?: number): Promise<TestServer> {
  const options = replicaOf === undefined ? {} : { replicaOf };
  return servers.headwater({ ...options, args: ['--enable-debug-command', 'yes', ...TIMEOUTS] });
}

async function field(server: TestServer, section: string, name: string): Promise<string> {
  const client = await server.client();
  const value = await client.infoField(section, name);
  await client.close();
  return value;
}

const follow = (node: TestServer, above: TestServer): Promise<unknown> =>
  call(node, 'REPLICAOF', '127.0.0.1', above.port);
/** The last answers of the nodes above may still be of before. */
const expectNoTrouble = (node: TestServer): Promise<unknown> =>
  waitFor(async () => (await troubleOf(node)) === 'none', { what: `no trouble at ${node.port}` });
const troubleOf = (node: TestServer): Promise<string> =>
  field(node, 'headwater', 'headwater_link_trouble');
const linkOf = (node: TestServer): Promise<string> =>
  field(node, 'replication', 'master_link_status');
const attempts = (node: TestServer): number =>
  logRecords(node).filter(({ msg }) => msg === 'MASTER <-> REPLICA sync started').length;
const warnings = (node: TestServer, text: string): number =>
  logRecords(node).filter(({ msg }) => msg.includes(text)).length;

const pathOf = async (node: TestServer): Promise<string[]> =>
  (await field(node, 'headwater', 'headwater_link_path')).split(',').filter((id) => id !== '');
const runId = (node: TestServer): Promise<string> => field(node, 'server', 'run_id');

/** Redis tries each second, also in a loop. */
async function expectNoStorm(stock: TestServer): Promise<void> {
  // By the times of its log, which may come here late and all at once.
  const tried = (): number[] =>
    stock.lines
      .filter((line) => line.includes('MASTER <-> REPLICA sync started'))
      .map((line) => Date.parse(/^\d+:\w (\d+ \w+ \d+ [\d:.]+) /.exec(line)![1]!));
  const before = tried().length;
  await waitFor(() => tried().length > before + 2, { what: 'attempts', timeoutMs: 60_000 });
  const [last, , , third] = tried().slice(before - 1);
  expect(third! - last!).toBeGreaterThan(1500);
}

/** Waits until the node has found the loop, and makes pauses of more than a second. */
async function expectLoop(node: TestServer): Promise<void> {
  await waitFor(async () => (await troubleOf(node)) === 'loop', {
    what: 'the loop to be found',
    timeoutMs: 60_000,
  });
  await waitFor(async () => (await linkOf(node)) === 'down', { timeoutMs: 60_000 });
  await waitFor(
    async () => Number(await field(node, 'headwater', 'headwater_upstream_retry_ms')) > 1500,
    { what: 'pauses that grow', timeoutMs: 60_000 },
  );
  await node.waitForLine('Replication loop: following');
  expect(warnings(node, 'Replication loop: following')).toBe(1);
}

describe.concurrent('a loop', { timeout: 180_000 }, () => {
  test('of one node: it says so once, and is itself again when it is promoted', async ({
    servers,
  }) => {
    const node = await headwater(servers);
    await call(node, 'SET', 'k', 'v');
    await follow(node, node);
    await expectLoop(node);
    const logged = attempts(node);
    expect(logged).toBeLessThan(5);
    expect(await call(node, 'GET', 'k')).toBe('v');
    expect(await call(node, 'REPLICAOF', 'NO', 'ONE')).toBe('OK');
    expect(await troubleOf(node)).toBe('none');
    expect(await call(node, 'SET', 'k', 'w')).toBe('OK');
    expect(attempts(node)).toBe(logged);
  });

  test('of two nodes ends when one is promoted, without a full sync', async ({ servers }) => {
    const first = await headwater(servers);
    const second = await headwater(servers, first.port);
    await waitForSync(first, second);
    await call(first, 'SET', 'k', 'v');
    await follow(first, second);
    for (const node of [first, second]) await expectLoop(node);
    expect(await call(first, 'REPLICAOF', 'NO', 'ONE')).toBe('OK');
    await call(first, 'SET', 'k', 'w');
    await expectSameData(first, second);
    await expectNoTrouble(second);
    expect(await field(first, 'stats', 'sync_full')).toBe('1');
  });

  test('of three nodes ends when one is promoted', async ({ servers }) => {
    const first = await headwater(servers);
    const second = await headwater(servers, first.port);
    const third = await headwater(servers, second.port);
    await waitForSync(first, third);
    await follow(first, third);
    for (const node of [first, second, third]) await expectLoop(node);
    expect((await field(first, 'headwater', 'headwater_link_path')).split(',').length).toBeLessThan(
      17,
    );
    expect(await call(second, 'REPLICAOF', 'NO', 'ONE')).toBe('OK');
    await call(second, 'SET', 'k', 'w');
    for (const node of [third, first]) await expectSameData(second, node);
    for (const node of [third, first]) await expectNoTrouble(node);
  });

  test('of a stock node and this one is found by what the stock node tells', async ({
    servers,
  }) => {
    const ours = await headwater(servers);
    const stock = await redis(servers);
    await follow(stock, ours);
    await waitForSync(ours, stock);
    await follow(ours, stock);
    await expectLoop(ours);
    expect(await pathOf(ours)).toEqual([await runId(stock), await runId(ours)]);
    await expectNoStorm(stock);
    expect(await call(stock, 'REPLICAOF', 'NO', 'ONE')).toBe('OK');
    await expectSameData(stock, ours);
    await expectNoTrouble(ours);
  });

  test('of three with a stock node among them is found by each of ours', async ({ servers }) => {
    const first = await headwater(servers);
    const stock = await redis(servers);
    await follow(stock, first);
    const third = await headwater(servers, stock.port);
    await waitForSync(first, third);
    await follow(first, third);
    for (const node of [first, third]) await expectLoop(node);
    await expectNoStorm(stock);
    expect(await call(first, 'REPLICAOF', 'NO', 'ONE')).toBe('OK');
    await call(first, 'SET', 'k', 'w');
    for (const node of [stock, third]) await expectSameData(first, node);
    await expectNoTrouble(third);
  });

  test('of three with two stock nodes is found', async ({ servers }) => {
    const ours = await headwater(servers);
    const second = await redis(servers);
    await follow(second, ours);
    const third = await redis(servers);
    await follow(third, second);
    await waitForSync(ours, third);
    await follow(ours, third);
    await expectLoop(ours);
    expect(await pathOf(ours)).toEqual(await Promise.all([third, second, ours].map(runId)));
    for (const node of [second, third]) await expectNoStorm(node);
    expect(await call(third, 'REPLICAOF', 'NO', 'ONE')).toBe('OK');
    await call(third, 'SET', 'k', 'w');
    for (const node of [ours, second]) await expectSameData(third, node);
  });

  test('of a stock node and this one is found when both want a password', async ({ servers }) => {
    const [ours, stock] = [await headwater(servers), await redis(servers)];
    await follow(stock, ours);
    await waitForSync(ours, stock);
    await follow(ours, stock);
    // Clients that are here before the password need none.
    const clients = await Promise.all([ours, stock].map((node) => node.client()));
    for (const client of clients)
      for (const name of ['masterauth', 'requirepass'])
        expect(await client.call('CONFIG', 'SET', name, 'secret')).toBe('OK');
    const ids = await Promise.all(clients.map((client) => client.infoField('server', 'run_id')));
    const seen = (name: string): Promise<string> => clients[0]!.infoField('headwater', name);
    await waitFor(async () => (await seen('headwater_link_path')) === `${ids[1]},${ids[0]}`, {
      what: 'the loop to be found',
      timeoutMs: 60_000,
    });
    expect(await seen('headwater_link_trouble')).toBe('loop');
    for (const client of clients) await client.close();
  });

  test('is not looked for with the password at an address that the primary has told', async ({
    servers,
  }) => {
    const received = ['', ''];
    const listen = async (at: number, answer: (words: string) => string): Promise<number> => {
      const server = createServer((socket) => {
        socket.on('error', () => {});
        socket.on('data', (bytes: Buffer) => {
          const words = bytes.toString('latin1');
          received[at] += words;
          socket.write(answer(words));
        });
      });
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      servers.atEnd(() => server.close());
      return (server.address() as { port: number }).port;
    };
    const stranger = await listen(1, () => '-NOAUTH Authentication required.\r\n');
    const told = `run_id:${id}\r\nrole:slave\r\nmaster_host:127.0.0.1\r\nmaster_port:${stranger}\r\n`;
    const primary = await listen(0, (words) => {
      let answer = '';
      for (const [word] of words.matchAll(/PING|AUTH|REPLCONF|PSYNC|INFO/g)) {
        if (word === 'INFO') answer += `$${told.length}\r\n${told}\r\n`;
        else if (word === 'PSYNC') answer += "-NOMASTERLINK Can't SYNC\r\n";
        else answer += '+OK\r\n';
      }
      return answer;
    });
    const node = await headwater(servers);
    await call(node, 'CONFIG', 'SET', 'masterauth', 'secret');
    await call(node, 'REPLICAOF', '127.0.0.1', primary);
    await waitFor(() => received[1] !== '', {
      what: 'the stranger to be asked',
      timeoutMs: 60_000,
    });
    expect(received[0]).toContain('secret');
    expect(received[1]).toBe('*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n');
    expect(await troubleOf(node)).toBe('none');
  });

  test('is not what a stock primary is in that has lost its own', async ({ servers }) => {
    const head = await redis(servers);
    const stock = await redis(servers);
    await follow(stock, head);
    await waitForSync(head, stock);
    const ours = await headwater(servers, stock.port);
    await waitForSync(head, ours);
    await head.kill();
    await waitFor(async () => (await linkOf(stock)) === 'down', { timeoutMs: 60_000 });
    // The link to the stock node stays up until the silence has lasted.
    await waitFor(async () => (await linkOf(ours)) === 'down', { timeoutMs: 60_000 });
    const before = attempts(ours);
    await waitFor(() => attempts(ours) > before + 5, { timeoutMs: 60_000 });
    expect(await troubleOf(ours)).toBe('none');
    expect(await pathOf(ours)).toEqual([]);
    expect(warnings(ours, 'Replication loop')).toBe(0);
    // It was asked for INFO, and has refused nothing but syncs.
    const client = await stock.client();
    expect([...(await client.info('errorstats')).keys()]).toEqual(['errorstat_NOMASTERLINK']);
    await client.close();
  });
});

describe.concurrent('what is no primary', { timeout: 180_000 }, () => {
  /** Answers the first words on each connection with `text`; `hangsUp` after it. */
  async function impostor(
    servers: Servers,
    text: string,
    hangsUp = false,
  ): Promise<{ port: number; seen: number }> {
    const sockets = new Set<Socket>();
    const state = { port: 0, seen: 0 };
    const server: Server = createServer((socket) => {
      sockets.add(socket);
      state.seen++;
      socket.on('error', () => {});
      socket.once('data', () => {
        socket.write(text);
        if (hangsUp) socket.end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    state.port = (server.address() as { port: number }).port;
    servers.atEnd(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return state;
  }

  const shake = '+PONG\r\n+OK\r\n+OK\r\n';
  test.for([
    ['speaks HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'Error reply to PING from master'],
    ['speaks no lines', 'x'.repeat(100_000), 'Protocol error from MASTER'],
    ['answers REPLCONF with numbers', '+PONG\r\n:1\r\n:1\r\n', 'Unexpected reply to REPLCONF'],
    ['answers PSYNC with a bulk', `${shake}$5\r\nhello\r\n*0\r\n`, 'Bad protocol from MASTER'],
    ['continues what was never held', `${shake}+CONTINUE ${id}\r\n`, 'Unexpected reply to PSYNC'],
    ['grants a dump without a size', `${shake}+FULLRESYNC ${id} 5\r\n$x\r\n`, 'Bad protocol'],
  ])('%s: it is told so, with pauses that grow', async ([, text, complaint], { servers }) => {
    const node = await headwater(servers);
    const server = await impostor(servers, text);
    await call(node, 'REPLICAOF', '127.0.0.1', server.port);
    let leftMs = 0;
    await waitFor(
      async () => {
        leftMs = Number(await field(node, 'headwater', 'headwater_upstream_retry_ms'));
        return leftMs > 3000;
      },
      { what: 'a pause of four seconds', timeoutMs: 60_000 },
    );
    // The third pause has four seconds; a later one is longer.
    const { seen } = server;
    expect(seen).toBeGreaterThanOrEqual(3);
    expect(leftMs).toBeLessThanOrEqual(1000 * 2 ** (seen - 1));
    expect(await troubleOf(node)).toBe('not-a-primary');
    await waitFor(() => warnings(node, complaint) >= seen, { what: 'a complaint for each' });
    expect(warnings(node, complaint)).toBeLessThanOrEqual(server.seen);
    expect(attempts(node)).toBe(1);
    // Another primary is tried at once.
    const head = await redis(servers);
    await follow(node, head);
    await waitForSync(head, node);
    expect(await troubleOf(node)).toBe('none');
  });

  test('continues the stream and hangs up, each time: no storm of reconnects', async ({
    servers,
  }) => {
    const head = await headwater(servers);
    const node = await headwater(servers, head.port);
    await waitForSync(head, node);
    const replid = await field(node, 'replication', 'master_replid');
    const server = await impostor(servers, `${shake}+CONTINUE ${replid}\r\n`, true);
    await call(node, 'REPLICAOF', '127.0.0.1', server.port);
    await waitFor(
      async () => Number(await field(node, 'headwater', 'headwater_upstream_retry_ms')) > 1500,
      { timeoutMs: 60_000 },
    );
    expect(server.seen).toBeLessThan(6);
    await follow(node, head);
    await waitForSync(head, node);
  });
});
