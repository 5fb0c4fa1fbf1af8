/** CONFIG SET takes effect at once, and DEBUG, SLOWLOG, LATENCY and MEMORY do what they say. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startHeadwater } from '../../support/headwater.ts';
import { startNode } from '../../support/node-in-process.ts';
import { startRedis } from '../../support/real-redis.ts';
import { RespClient } from '../../support/resp-client.ts';
import { RespError } from '../../support/resp-parser.ts';
import { freePort, type TestServer } from '../../support/server-process.ts';
import { waitFor } from '../../support/wait-for.ts';

let server: TestServer;
let client: RespClient;

beforeAll(async () => {
  server = await startHeadwater({ args: ['--enable-debug-command', 'local'] });
  client = await server.client();
});

afterAll(async () => {
  await client.close();
  await server.stop();
});

describe('CONFIG SET', () => {
  test('loglevel', async () => {
    await client.call('CONFIG', 'SET', 'loglevel', 'debug');
    const other = await server.client();
    other.write('*x\r\n');
    await other.closed;
    expect(
      await server.waitForLine('Protocol error (Protocol error: invalid multibulk length)'),
    ).toContain('"level":25');
    await client.call('CONFIG', 'SET', 'loglevel', 'notice');
  });

  test('proto-max-bulk-len and client-query-buffer-limit', async () => {
    await client.call(
      'CONFIG',
      'SET',
      'proto-max-bulk-len',
      '1mb',
      'client-query-buffer-limit',
      '1mb',
    );
    const other = await server.client();
    other.write('*2\r\n$4\r\nECHO\r\n$1048577\r\n');
    expect(await other.reply()).toEqual(new RespError('ERR Protocol error: invalid bulk length'));
    await other.closed;
    const greedy = await server.client();
    greedy.write(
      `*3\r\n$4\r\nECHO\r\n$1000000\r\n${'x'.repeat(1_000_000)}\r\n$1000000\r\n${'x'.repeat(900_000)}`,
    );
    await greedy.closed;
    await client.call(
      'CONFIG',
      'SET',
      'proto-max-bulk-len',
      '512mb',
      'client-query-buffer-limit',
      '1gb',
    );
    expect(await client.call('ECHO', 'x'.repeat(2_000_000))).toHaveLength(2_000_000);
  });

  test('maxmemory refuses what adds and lets through what frees', async () => {
    await client.call('SET', 'mm', '1');
    await client.call('CONFIG', 'SET', 'maxmemory', '1');
    const oom = new RespError("OOM command not allowed when used memory > 'maxmemory'.");
    expect(await client.command('SET', 'mm', '2')).toEqual(oom);
    expect(await client.call('GET', 'mm')).toBe('1');
    expect(await client.call('DEL', 'mm')).toBe(1);
    await client.call('CONFIG', 'SET', 'maxmemory', '0');
    expect(await client.call('SET', 'mm', '2')).toBe('OK');
    expect(await client.infoField('errorstats', 'errorstat_OOM')).toBe('count=1');
  });

  test('port and bind: clients stay, new ones find the new place', async () => {
    const own = await startHeadwater();
    const admin = await own.client();
    const port = await freePort();
    expect(
      await admin.call('CONFIG', 'SET', 'port', String(port), 'bind', '127.0.0.1 127.0.0.2'),
    ).toBe('OK');
    await expect(own.client()).rejects.toThrow('ECONNREFUSED');
    for (const host of ['127.0.0.1', '127.0.0.2']) {
      const moved = await RespClient.connect(port, { host });
      expect(await moved.call('PING')).toBe('PONG');
      expect(await moved.infoField('server', 'tcp_port')).toBe(String(port));
      await moved.close();
    }
    expect(await admin.call('CONFIG', 'SET', 'port', '0')).toBe('OK');
    await expect(RespClient.connect(port)).rejects.toThrow('ECONNREFUSED');
    expect(await admin.call('CONFIG', 'SET', 'port', String(own.port), 'bind', '* -::*')).toBe(
      'OK',
    );
    const back = await own.client();
    expect(await back.call('PING')).toBe('PONG');
    await own.stop();
  });

  test("port and bind that cannot be leave all as it was, in Redis' words", async () => {
    const real = await startRedis();
    const busy = await startHeadwater();
    const own = await startHeadwater();
    for (const words of [
      ['port', String(busy.port)],
      ['port', String(busy.port), 'timeout', '9'],
      ['bind', '10.255.255.1'],
      ['timeout', '9', 'bind', '127.0.0.1 10.255.255.1'],
      ['bind', '127.0.0.1 -10.255.255.1'],
      ['port', '70000'],
    ]) {
      const ask = async (server: TestServer): Promise<unknown[]> => {
        const one = await server.client();
        const reply = await one.command('CONFIG', 'SET', ...words);
        const rest = await one.call('CONFIG', 'GET', 'bind', 'timeout');
        await one.close();
        const again = await server.client();
        expect(await again.call('PING')).toBe('PONG');
        await again.close();
        return [reply, ...[(rest as string[]).sort()]];
      };
      expect(await ask(own)).toEqual(await ask(real));
    }
    await own.waitForLine('Could not create server TCP listening socket 10.255.255.1');
    await Promise.all([real.stop(), busy.stop(), own.stop()]);
  });

  test('bind takes names, as the real server does', async () => {
    const real = await startRedis();
    const own = await startHeadwater();
    for (const words of [
      ['bind', 'localhost'],
      ['bind', '-localhost 127.0.0.2'],
      ['port', String(own.port), 'bind', '127.1'],
      ['bind', 'a:b'],
      ['bind', '127.0.0.1 -a:b'],
      ['bind', 'localhost localhost'],
    ]) {
      const ask = async (server: TestServer): Promise<unknown[]> => {
        const one = await server.client();
        const set = words.map((word) => (word === String(own.port) ? String(server.port) : word));
        const reply = await one.command('CONFIG', 'SET', ...set);
        const rest = await one.call('CONFIG', 'GET', 'bind');
        await one.close();
        const again = await server.client();
        expect(await again.call('PING')).toBe('PONG');
        await again.close();
        return [reply, rest];
      };
      expect(await ask(own)).toEqual(await ask(real));
    }
    await own.waitForLine('Could not create server TCP listening socket a:b:');
    await Promise.all([real.stop(), own.stop()]);
  });

  test('bind: nobody waits for a name but its client, and a name without address changes nothing', async () => {
    const { node, client: connect, messages, port, stop } = await startNode();
    const { names } = node.listeners;
    let found: (address: string) => void = () => {};
    const asked: string[] = [];
    names.resolve = (name) => {
      asked.push(name);
      return new Promise((resolve) => {
        found = resolve;
      });
    };
    const [one, other] = [await connect(), await connect()];
    const late = one.command('CONFIG', 'SET', 'bind', 'slow.example 127.0.0.3', 'timeout', '7');
    const behind = one.command('PING');
    await waitFor(() => asked.length === 1, { what: 'the look-up' });
    expect(await other.call('CONFIG', 'GET', 'timeout')).toEqual(['timeout', '0']);
    found('127.0.0.2');
    expect([await late, await behind]).toEqual(['OK', 'PONG']);
    for (const host of ['127.0.0.2', '127.0.0.3']) {
      const moved = await RespClient.connect(node.port, { host });
      await moved.close();
    }
    await expect(connect()).rejects.toThrow('ECONNREFUSED');
    expect(asked).toEqual(['slow.example']);

    names.resolve = () => Promise.reject(Object.assign(new Error('no'), { code: 'ENOTFOUND' }));
    for (const bind of ['none.example', '127.0.0.1 -none.example']) {
      expect(await one.command('CONFIG', 'SET', 'bind', bind, 'timeout', '9')).toEqual(
        new RespError(
          "ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to specified addresses.",
        ),
      );
    }
    expect(messages).toContain(
      `Warning: Could not create server TCP listening socket none.example:${port}: Name or service not known`,
    );
    expect(await one.call('CONFIG', 'GET', 'timeout')).toEqual(['timeout', '7']);
    const back = await RespClient.connect(node.port, { host: '127.0.0.2' });
    await back.close();

    // Inside a transaction nothing can be looked up, but what is known already serves.
    const inUnit = async (bind: string): Promise<unknown> => {
      await one.call('MULTI');
      await one.call('CONFIG', 'SET', 'bind', bind);
      return await one.call('EXEC');
    };
    expect(await inUnit('unheard.example')).toEqual([expect.any(RespError)]);
    expect(await inUnit('slow.example')).toEqual(['OK']);
    await stop();
  });

  test('bind: too many names are not looked up, and names of earlier times are forgotten', async () => {
    const { node, client: connect, stop } = await startNode();
    const { names } = node.listeners;
    let asked = 0;
    names.resolve = (name) => {
      asked++;
      if (name === 'here.example') return Promise.resolve('127.0.0.1');
      return Promise.reject(Object.assign(new Error('no'), { code: 'ENOTFOUND' }));
    };
    const one = await connect();
    const many = Array.from({ length: 17 }, (_, i) => `name${i}.example`).join(' ');
    expect(String(await one.command('CONFIG', 'SET', 'bind', many))).toContain(
      'Too many bind addresses specified.',
    );
    expect(asked).toBe(0);
    await one.call('CONFIG', 'SET', 'bind', 'here.example');
    for (let i = 0; i < 50; i++) await one.command('CONFIG', 'SET', 'bind', `other${i}.example`);
    expect(asked).toBe(51);
    expect(names.knownCount).toBe(2);
    // The name in use is one of them.
    expect(names.addressOf('here.example')).toEqual({ address: '127.0.0.1' });
    await one.close();
    await stop();
  });

  test('bind: a look-up that ends behind the node opens nothing', async () => {
    const { node, client: connect, stop } = await startNode();
    let found: (address: string) => void = () => {};
    node.listeners.names.resolve = () =>
      new Promise((resolve) => {
        found = resolve;
      });
    const one = await connect();
    one.write('CONFIG SET bind slow.example\r\n');
    await waitFor(() => [...node.server.clients.values()].some((each) => each.blocked));
    await stop();
    found('127.0.0.1');
    await new Promise(setImmediate);
    expect(node.listeners.port).toBe(0);
  });

  test('REWRITE keeps what was set, for the next start', async () => {
    const own = await startHeadwater({ conf: '# mine\nmaxclients 50\n' });
    const admin = await own.client();
    await admin.call('CONFIG', 'SET', 'maxclients', '60', 'slowlog-max-len', '5');
    expect(await admin.call('CONFIG', 'REWRITE')).toBe('OK');
    await admin.close();
    await own.stop();
    expect(await client.command('CONFIG', 'REWRITE')).toEqual(
      new RespError('ERR The server is running without a config file'),
    );
  });
});

describe('DEBUG', () => {
  test('is refused unless the configuration allows it', async () => {
    const closed = await startHeadwater();
    const other = await closed.client();
    const refused = await other.command('DEBUG', 'SLEEP', '0');
    expect((refused as RespError).message).toMatch(
      /^ERR DEBUG command not allowed\. If the enable-debug-command option is set to "local", you can run it/,
    );
    await other.close();
    await closed.stop();
    expect(await client.call('DEBUG', 'SLEEP', '0')).toBe('OK');
  });

  test('POPULATE makes keys as Redis does', async () => {
    await client.call('FLUSHALL');
    await client.call('SET', 'p:1', 'stays');
    expect(await client.call('DEBUG', 'POPULATE', '3', 'p', '12')).toBe('OK');
    expect(await client.call('DBSIZE')).toBe(3);
    expect(await client.call('GET', 'p:0')).toBe('value:0\0\0\0\0\0');
    expect(await client.call('GET', 'p:1')).toBe('stays');
    await client.call('DEBUG', 'POPULATE', '2');
    expect(await client.call('GET', 'key:1')).toBe('value:1');
  });

  test('RELOAD keeps the dataset', async () => {
    await client.call('FLUSHALL');
    await client.pipeline([
      ['SET', 'a', '1'],
      ['SET', 'b', '2', 'PX', '10000000'],
      ['SELECT', '3'],
      ['SET', 'c', '3'],
      ['SELECT', '0'],
    ]);
    const before = await client.call('DEBUG', 'DIGEST');
    expect(await client.call('DEBUG', 'RELOAD')).toBe('OK');
    expect(await client.call('DEBUG', 'DIGEST')).toBe(before);
    expect(await client.call('GET', 'a')).toBe('1');
  });

  test('RELOAD of a file that is no dump says so and keeps the dataset', async () => {
    await client.call('SET', 'a', 'kept');
    writeFileSync(join(server.dir, 'dump.rdb'), 'no dump');
    expect(await client.command('DEBUG', 'RELOAD', 'NOSAVE')).toBeInstanceOf(RespError);
    expect(await client.call('GET', 'a')).toBe('kept');
  });

  test('CHANGE-REPL-ID makes a new history', async () => {
    const before = await client.infoField('replication', 'master_replid');
    await client.call('DEBUG', 'CHANGE-REPL-ID');
    expect(await client.infoField('replication', 'master_replid')).not.toBe(before);
  });

  test('SET-ACTIVE-EXPIRE 0 leaves expired keys in place', async () => {
    await client.call('FLUSHALL');
    await client.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0');
    await client.call('SET', 'e', '1', 'PX', '1');
    await client.call('DEBUG', 'SLEEP', '0.01');
    await client.call('PING');
    expect(await client.call('DBSIZE')).toBe(1);
    expect(await client.call('GET', 'e')).toBeNull();
    await client.call('DEBUG', 'SET-ACTIVE-EXPIRE', '1');
  });

  test('OBJECT tells what the dump would take', async () => {
    await client.call('SET', 'o', 'hello world');
    expect(await client.call('DEBUG', 'OBJECT', 'o')).toMatch(
      /^Value at:0x[0-9a-f]+ refcount:1 encoding:embstr serializedlength:12 lru:\d+ lru_seconds_idle:0$/,
    );
  });
});

describe('SLOWLOG', () => {
  test('keeps slow calls, shortened and without secrets', async () => {
    await client.call('CONFIG', 'SET', 'slowlog-log-slower-than', '0', 'slowlog-max-len', '4');
    await client.call('SLOWLOG', 'RESET');
    await client.call('SET', 'k', 'v'.repeat(200));
    await client.call('MSET', ...Array.from({ length: 40 }, (_, i) => `m${i}`));
    await client.command('AUTH', 'someone', 'secret');
    await client.call('CONFIG', 'SET', 'masterauth', 'secret');
    const calls = (await client.call('SLOWLOG', 'GET', '-1')) as [
      number,
      number,
      number,
      string[],
      string,
      string,
    ][];
    await client.call(
      'CONFIG',
      'SET',
      'slowlog-log-slower-than',
      '10000',
      'slowlog-max-len',
      '128',
    );
    expect(calls).toHaveLength(4);
    const [config, auth, mset, set] = calls.map(([, , , words]) => words);
    expect(config).toEqual(['CONFIG', 'SET', 'masterauth', '(redacted)']);
    expect(auth).toEqual(['AUTH', '(redacted)', '(redacted)']);
    expect(mset).toHaveLength(32);
    expect(mset!.at(-1)).toBe('... (10 more arguments)');
    expect(set![2]).toBe(`${'v'.repeat(128)}... (72 more bytes)`);
    expect(calls[0]![4]).toMatch(/^127\.0\.0\.1:\d+$/);
    const ids = calls.map(([id]) => id);
    expect(ids).toEqual([...ids].sort((a, b) => b - a));
  });
});

describe('LATENCY', () => {
  test('keeps samples of slow commands from its threshold on', async () => {
    await client.call('CONFIG', 'SET', 'latency-monitor-threshold', '150');
    // Far more than a busy machine makes of any other command.
    await client.call('DEBUG', 'SLEEP', '0.3');
    const latest = (await client.call('LATENCY', 'LATEST')) as [string, number, number, number][];
    const command = latest.find(([event]) => event === 'command')!;
    expect(command[2]).toBeGreaterThanOrEqual(300);
    expect(await client.call('LATENCY', 'HISTORY', 'command')).toHaveLength(1);
    expect(String(await client.call('LATENCY', 'GRAPH', 'command'))).toContain('command - high');
    const told = String(await client.call('LATENCY', 'DOCTOR'));
    expect(told).toContain('command: 1 latency spikes');
    expect(told).toContain('- SLOWLOG GET tells which commands took longer than');
    // The loop stood still meanwhile, which is seen at the next tick but for the first one.
    await waitFor(async () => {
      await client.call('DEBUG', 'SLEEP', '0.2');
      const rows = (await client.call('LATENCY', 'LATEST')) as [string, number, number, number][];
      return rows.some(([event, , , worst]) => event === 'event-loop' && worst >= 150);
    });
    expect(String(await client.call('LATENCY', 'DOCTOR'))).toContain(
      '- While the event loop stands still nobody is served.',
    );
    expect(await client.call('LATENCY', 'RESET')).toBeGreaterThanOrEqual(2);
    await client.call('CONFIG', 'SET', 'latency-monitor-threshold', '0');
  });

  test('HISTOGRAM counts every call', async () => {
    await client.call('CONFIG', 'RESETSTAT');
    await client.pipeline(Array.from({ length: 50 }, () => ['GET', 'k']));
    const [name, [, calls, , pairs]] = (await client.call('LATENCY', 'HISTOGRAM', 'get')) as [
      string,
      [string, number, string, number[]],
    ];
    expect([name, calls]).toEqual(['get', 50]);
    expect(pairs.at(-1)).toBe(50);
    for (let i = 2; i < pairs.length; i += 2) expect(pairs[i]).toBeGreaterThan(pairs[i - 2]!);
  });
});

test('MEMORY USAGE grows with the value', async () => {
  await client.pipeline([
    ['SET', 'small', 'x'],
    ['SET', 'large', 'x'.repeat(10_000)],
  ]);
  const small = Number(await client.call('MEMORY', 'USAGE', 'small'));
  const large = Number(await client.call('MEMORY', 'USAGE', 'large', 'SAMPLES', '0'));
  expect(small).toBeGreaterThan(16);
  expect(large).toBeGreaterThan(10_000);
});
