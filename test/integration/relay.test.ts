/**
 * headwater below a primary, and in the middle of a chain: real primary, two headwaters, real
 * replica. What counts is that ids, offsets and digests agree at each hop, and that nobody asks for
 * a full sync without need.
 */
import { createServer, type Socket } from 'node:net';
import { describe, expect } from 'vitest';
import { CutLink } from '../support/cut-link.ts';
import { digestOf, expectSameData, syncCounts, waitForSync } from '../support/digest.ts';
import { RespError } from '../support/resp-parser.ts';
import { type TestServer, temporaryDirectory } from '../support/server-process.ts';
import { type Servers, test } from '../support/servers.ts';
import { waitFor } from '../support/wait-for.ts';

const DEBUG = ['--enable-debug-command', 'yes'];

function redis(servers: Servers, replicaOf?: number, ...args: string[]): Promise<TestServer> {
  return servers.redis({ ...(replicaOf === undefined ? {} : { replicaOf }), args });
}

function headwater(servers: Servers, replicaOf?: number, ...args: string[]): Promise<TestServer> {
  const options = replicaOf === undefined ? {} : { replicaOf };
  return servers.headwater({ ...options, args: [...DEBUG, ...args] });
}

async function call(server: TestServer, ...words: (string | number)[]): Promise<unknown> {
  const client = await server.client();
  try {
    return await client.command(...words);
  } finally {
    await client.close();
  }
}

/** Writes of many kinds, transactions among them, in several databases. */
async function write(server: TestServer, round: number): Promise<void> {
  const client = await server.client();
  const commands: (string | number)[][] = [];
  for (let i = 0; i < 2000; i++) {
    const n = (i * 7919 + round) % 300;
    if (i % 97 === 0) commands.push(['SELECT', (i + round) % 4]);
    if (i % 41 === 0)
      commands.push(['MULTI'], ['INCR', 'a'], ['SELECT', i % 3], ['LPUSH', `t${n}`, i], ['EXEC']);
    else if (i % 5 === 0) commands.push(['SADD', `s${n}`, i]);
    else if (i % 7 === 0) commands.push(['ZADD', `z${n}`, i, `m${i}`]);
    else if (i % 11 === 0) commands.push(['HSET', `h${n}`, `f${i}`, i]);
    else if (i % 13 === 0) commands.push(['XADD', `x${n}`, `${round * 10_000 + i + 1}-1`, 'f', i]);
    else if (i % 17 === 0) commands.push(['SET', `e${n}`, i, 'EX', 1000]);
    else if (i % 19 === 0) commands.push(['SPOP', `s${n}`]);
    else if (i % 23 === 0) commands.push(['DEL', `k${n}`]);
    else commands.push(['SET', `k${n}`, `value ${round} ${i}`]);
  }
  await client.pipeline(commands);
  await client.close();
}

async function replidOf(server: TestServer): Promise<unknown> {
  const client = await server.client();
  const id = await client.infoField('replication', 'master_replid');
  await client.close();
  return id;
}

describe.concurrent('a chain of a real primary, two headwaters and a real replica', () => {
  test('holds the same at each hop, under one id, and so after cuts, with partial resyncs only', async ({
    servers,
  }) => {
    const head = await redis(servers);
    await write(head, 0);
    const upper = await CutLink.to(head.port);
    servers.atEnd(() => upper.close());
    const first = await headwater(servers, upper.port, '--repl-backlog-size', '16mb');
    const lower = await CutLink.to(first.port);
    servers.atEnd(() => lower.close());
    const second = await headwater(servers, lower.port, '--repl-backlog-size', '16mb');
    const tail = await redis(servers, second.port);
    await call(head, 'CONFIG', 'SET', 'repl-backlog-size', '16mb');
    for (const server of [first, second, tail]) await waitForSync(head, server);
    for (let round = 1; round <= 3; round++) {
      const writing = write(head, round);
      if (round > 1) for (const link of [upper, lower]) link.cut();
      await writing;
      for (const link of [upper, lower]) link.mend();
      for (const server of [first, second, tail]) await expectSameData(head, server);
    }
    expect(new Set(await Promise.all([head, first, second, tail].map(replidOf))).size).toBe(1);
    for (const server of [head, first, second]) expect((await syncCounts(server)).full).toBe(1);
    expect((await syncCounts(head)).partial).toBeGreaterThan(0);
    expect((await syncCounts(first)).partial).toBeGreaterThan(0);
  });

  test('acknowledges, so that WAIT at the head counts', async ({ servers }) => {
    const head = await redis(servers);
    const relay = await headwater(servers, head.port);
    await waitForSync(head, relay);
    const client = await head.client();
    for (let i = 0; i < 20; i++) {
      await client.call('SET', 'k', i);
      expect(await client.call('WAIT', 1, 30_000)).toBe(1);
    }
    await client.close();
    await expectSameData(head, relay);
  });

  test('goes on by partial resyncs when a node is promoted and the old head follows it', async ({
    servers,
  }) => {
    const head = await redis(servers);
    await write(head, 0);
    const first = await headwater(servers, head.port);
    const second = await headwater(servers, first.port);
    const tail = await redis(servers, second.port);
    for (const server of [first, second, tail]) await waitForSync(head, server);
    expect(await call(first, 'REPLICAOF', 'NO', 'ONE')).toBe('OK');
    await write(first, 1);
    for (const server of [second, tail]) await expectSameData(first, server);
    await call(head, 'REPLICAOF', '127.0.0.1', first.port);
    await expectSameData(first, head);
    expect((await syncCounts(first)).full).toBe(1);
    expect((await syncCounts(second)).full).toBe(1);
    // And back: the former head is one again.
    await call(head, 'REPLICAOF', 'NO', 'ONE');
    await call(first, 'REPLICAOF', '127.0.0.1', head.port);
    await write(head, 2);
    for (const server of [first, second, tail]) await expectSameData(head, server);
    expect((await syncCounts(head)).full).toBe(1);
  });
});

describe.concurrent('a replica', () => {
  test('refuses writes, WAIT, and says what it is', async ({ servers }) => {
    const head = await redis(servers);
    const node = await headwater(servers, head.port);
    await waitForSync(head, node);
    expect(String(await call(node, 'SET', 'k', 'v'))).toContain(
      "READONLY You can't write against a read only",
    );
    expect(String(await call(node, 'WAIT', 0, 0))).toContain(
      'WAIT cannot be used with replica instances',
    );
    expect(await call(node, 'REPLICAOF', '127.0.0.1', head.port)).toBe(
      'OK Already connected to specified master',
    );
    const role = (await call(node, 'ROLE')) as unknown[];
    expect(role.slice(0, 4)).toEqual(['slave', '127.0.0.1', head.port, 'connected']);
    const client = await node.client();
    const info = await client.info('replication');
    expect(info.get('role')).toBe('slave');
    expect(info.get('master_link_status')).toBe('up');
    expect(info.get('slave_read_only')).toBe('1');
    await client.close();
  });

  test('inside MULTI stops writing where it becomes one', async ({ servers }) => {
    const head = await redis(servers);
    const node = await headwater(servers);
    const client = await node.client();
    for (const words of [
      ['MULTI'],
      ['SET', 'mine', '1'],
      ['REPLICAOF', '127.0.0.1', String(head.port)],
    ]) {
      await client.command(...words);
    }
    await client.command('SET', 'late', '1');
    const replies = (await client.command('EXEC')) as unknown[];
    expect(replies.slice(0, 2)).toEqual(['OK', 'OK']);
    expect(String(replies[2])).toContain('READONLY');
    await client.close();
    await expectSameData(head, node);
  });

  test('answers from old data, or not, while the link is down', async ({ servers }) => {
    const head = await redis(servers);
    const node = await headwater(servers, head.port);
    await call(head, 'SET', 'k', 'v');
    await waitForSync(head, node);
    await head.stop();
    await waitFor(async () =>
      String(await call(node, 'INFO', 'replication')).includes('link_status:down'),
    );
    expect(await call(node, 'GET', 'k')).toBe('v');
    await call(node, 'CONFIG', 'SET', 'replica-serve-stale-data', 'no');
    expect(String(await call(node, 'GET', 'k'))).toContain('MASTERDOWN Link with MASTER is down');
    expect(String(await call(node, 'INFO', 'server'))).toContain('redis_version');
  });

  test('hides what has expired and leaves its deletion to the primary', async ({ servers }) => {
    const head = await redis(servers);
    const node = await headwater(servers, head.port);
    await call(head, 'DEBUG', 'SET-ACTIVE-EXPIRE', 0);
    await call(head, 'SET', 'k', 'v', 'PX', 50);
    await waitForSync(head, node);
    await waitFor(async () => (await call(node, 'GET', 'k')) === null);
    expect(await call(node, 'DBSIZE')).toBe(1);
    expect(await call(head, 'GET', 'k')).toBeNull();
    await waitForSync(head, node);
    expect(await call(node, 'DBSIZE')).toBe(0);
  });

  test('holds what its primary holds after it has reloaded its dump under the stream', async ({
    servers,
  }) => {
    const head = await redis(servers);
    await write(head, 0);
    const node = await headwater(servers, head.port);
    const tail = await redis(servers, node.port);
    await waitForSync(head, tail);
    for (let round = 1; round < 5; round++) {
      const [reloaded] = await Promise.all([call(node, 'DEBUG', 'RELOAD'), write(head, round)]);
      expect(reloaded).toBe('OK');
    }
    await expectSameData(head, node);
    await expectSameData(head, tail);
    expect((await syncCounts(head)).full).toBe(1);
  });

  test('is one again with those above and below after it has loaded another dump', async ({
    servers,
  }) => {
    const head = await headwater(servers);
    const node = await headwater(servers, head.port);
    const tail = await redis(servers, node.port);
    await call(head, 'SET', 'k', 'saved');
    await waitForSync(head, tail);
    for (const server of [head, node]) {
      await call(server, 'SAVE');
      // The same data: no replica loses its link.
      expect(await call(server, 'DEBUG', 'RELOAD', 'NOSAVE')).toBe('OK');
    }
    await expectSameData(head, tail);
    expect([await syncCounts(head), await syncCounts(node)].map(({ full }) => full)).toEqual([
      1, 1,
    ]);
    for (const server of [node, head]) {
      await call(head, 'SET', 'k', `after the save, ${server.port}`);
      await waitForSync(head, tail);
      expect(await call(server, 'DEBUG', 'RELOAD', 'NOSAVE')).toBe('OK');
      await expectSameData(head, node);
      await expectSameData(node, tail);
      expect(await call(tail, 'GET', 'k')).toBe(await call(head, 'GET', 'k'));
    }
    expect(await call(head, 'GET', 'k')).toBe('saved');
  });

  test('tells those below of what had expired when it reloaded its dump', async ({ servers }) => {
    const head = await headwater(servers);
    const tail = await redis(servers, head.port);
    await waitForSync(head, tail);
    await call(head, 'DEBUG', 'SET-ACTIVE-EXPIRE', 0);
    await call(head, 'SET', 'k', 'v', 'PX', 20);
    await waitFor(async () => (await call(tail, 'GET', 'k')) === null);
    expect(await call(head, 'DEBUG', 'RELOAD')).toBe('OK');
    expect(await call(head, 'GET', 'k')).toBeNull();
    await expectSameData(head, tail);
    expect(await call(tail, 'DBSIZE')).toBe(0);
  });

  test('comes back after a restart by a partial resync', async ({ servers }) => {
    const head = await redis(servers);
    await write(head, 0);
    const dir = temporaryDirectory('restarted');
    const node = await servers.headwater({ replicaOf: head.port, args: DEBUG, dir });
    await waitForSync(head, node);
    expect(await call(node, 'SAVE')).toBe('OK');
    await write(head, 1);
    await node.stop();
    const again = await servers.headwater({ replicaOf: head.port, args: DEBUG, dir });
    await expectSameData(head, again);
    expect((await syncCounts(head)).full).toBe(1);
    expect((await syncCounts(head)).partial).toBe(1);
  });

  test('keeps what it holds when a full sync is cut, at any place, and then gets the new one', async ({
    servers,
  }) => {
    const old = await redis(servers);
    await call(old, 'SET', 'old', '1');
    const node = await headwater(servers, old.port);
    await waitForSync(old, node);
    const head = await redis(servers);
    await call(head, 'DEBUG', 'POPULATE', 40_000, 'key', 200);
    await call(head, 'CONFIG', 'SET', 'rdb-key-save-delay', 20);
    const link = await CutLink.to(head.port);
    servers.atEnd(() => link.close());
    const before = await digestOf(node);
    await call(node, 'REPLICAOF', '127.0.0.1', link.port);
    for (let i = 0; i < 5; i++) {
      const seen = link.bytesDown;
      await waitFor(() => link.bytesDown > seen + 100_000 * (i + 1), {
        what: 'a part of the dump',
      });
      link.hold();
      expect(await call(node, 'GET', 'old')).toBe('1');
      link.cut();
      link.mend();
      expect(await digestOf(node)).toBe(before);
    }
    await call(head, 'CONFIG', 'SET', 'rdb-key-save-delay', 0);
    await expectSameData(head, node, { timeoutMs: 60_000 });
  });
});

describe.concurrent('a primary that is none', () => {
  interface Impostor {
    readonly port: number;
    /** Its connections, and what has happened on them, in order. */
    seen: number;
    readonly events: string[];
  }

  /** Answers each connection with `text` as soon as something comes. */
  async function impostor(servers: Servers, text: string): Promise<Impostor> {
    const sockets = new Set<Socket>();
    const events: string[] = [];
    const began = performance.now();
    const note = (event: string): void => {
      events.push(`${Math.round(performance.now() - began)} ms: ${event}`);
    };
    const server = createServer((socket) => {
      sockets.add(socket);
      const number = ++found.seen;
      note(`connection ${number}`);
      socket.on('error', ({ message }) => note(`${number}: ${message}`));
      socket.on('close', () => note(`${number} is closed`));
      socket.on('data', (bytes) => note(`${number} says ${JSON.stringify(String(bytes))}`));
      socket.once('data', () => socket.write(text));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    servers.atEnd(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    const found: Impostor = { port, seen: 0, events };
    return found;
  }

  const id = 'a'.repeat(40);
  const shake = '+PONG\r\n+OK\r\n+OK\r\n';
  test.for([
    ['speaks HTTP', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['sends a line without an end', 'x'.repeat(5000)],
    ['grants a dump of garbage', `${shake}+FULLRESYNC ${id} 5\r\n$20\r\nthis is no dump at al`],
    ['grants a dump that ends early', `${shake}+FULLRESYNC ${id} 5\r\n$9\r\nREDIS0009`],
    ['grants a dump of the future', `${shake}+FULLRESYNC ${id} 5\r\n$10\r\nREDIS0099\xff`],
    ['continues what was never held', `${shake}+CONTINUE ${id}\r\n`],
    [
      'announces a dump beyond all limits',
      `${shake}+FULLRESYNC ${id} 5\r\n$99999999999999999999\r\n`,
    ],
  ])('%s: the node goes on, holds what it held, and tries again', async ([, text], { servers }) => {
    const node = await headwater(servers);
    await call(node, 'SET', 'k', 'v');
    const server = await impostor(servers, text!);
    expect(await call(node, 'REPLICAOF', '127.0.0.1', server.port)).toBe('OK');
    await waitFor(() => server.seen >= 2, { what: 'a second attempt' }).catch(async (error) => {
      const info = await call(node, 'INFO', 'replication', 'headwater');
      throw new Error(
        `${error.message}\nseen: ${server.events.join('\n')}\nthe node: ${node.output}\n${info}`,
      );
    });
    expect(await call(node, 'GET', 'k')).toBe('v');
    expect(await call(node, 'REPLICAOF', 'NO', 'ONE')).toBe('OK');
    expect(await call(node, 'SET', 'k', 'w')).not.toBeInstanceOf(RespError);
  });
});
