/**
 * Directives whose effect no other test sees. docs/directives.md says which test looks at which.
 */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { Server as NetServer, Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { type Headwater, startHeadwater } from '../../support/headwater.ts';
import { startNode } from '../../support/node-in-process.ts';
import { startRedis } from '../../support/real-redis.ts';
import type { RespClient } from '../../support/resp-client.ts';
import { RespError } from '../../support/resp-parser.ts';
import { waitFor } from '../../support/wait-for.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

const linkUp = async (client: RespClient): Promise<void> => {
  await waitFor(async () => (await client.info('replication')).get('master_link_status') === 'up', {
    what: 'the link',
  });
};

test('the host of REPLICAOF ends at a zero byte, as in Redis', async () => {
  const { client, stop } = await startNode();
  const redis = await startRedis();
  const [own, real] = [await client(), await redis.client()];
  for (const one of [own, real]) {
    await one.call('REPLICAOF', '127.0.0.1\0x', '1');
    expect(await one.call('CONFIG', 'GET', 'replicaof')).toEqual(['replicaof', '127.0.0.1 1']);
    expect((await one.info('replication')).get('master_host')).toBe('127.0.0.1');
    await one.call('REPLICAOF', 'NO', 'ONE');
    await one.close();
  }
  await redis.stop();
  await stop();
});

describe('sockets', () => {
  test('tcp-backlog and tcp-keepalive reach the system', async () => {
    const listen = vi.spyOn(NetServer.prototype, 'listen');
    const keepAlive = vi.spyOn(Socket.prototype, 'setKeepAlive');
    const { client, stop } = await startNode('tcp-backlog 7', 'tcp-keepalive 11');
    expect(listen.mock.calls[0]![0]).toMatchObject({ backlog: 7 });
    const one = await client();
    await one.call('PING');
    expect(keepAlive).toHaveBeenCalledWith(true, 11_000);
    await one.close();
    await stop();
  });

  test('repl-disable-tcp-nodelay lets the segments of a replica gather', async () => {
    const noDelay = vi.spyOn(Socket.prototype, 'setNoDelay');
    const { port, stop } = await startNode(
      'repl-disable-tcp-nodelay yes',
      'repl-diskless-sync-delay 0',
    );
    const replica = await startRedis({ replicaOf: port });
    const below = await replica.client();
    await linkUp(below);
    expect(noDelay).toHaveBeenCalledWith(false);
    await below.close();
    await replica.stop();
    await stop();
  });
});

describe.concurrent('a replica', () => {
  test('replicaof, masteruser, masterauth, bind-source-addr and what it announces', async () => {
    // To Redis 127.0.0.2 is no address of this machine.
    const primary = await startRedis({ args: ['--protected-mode', 'no'] });
    const above = await primary.client();
    await above.call('ACL', 'SETUSER', 'repl', 'on', '>pw', '+psync', '+replconf', '+ping');
    const replica = await startHeadwater({
      replicaOf: primary.port,
      args: [
        ...['--masteruser', 'repl', '--masterauth', 'pw', '--bind-source-addr', '127.0.0.2'],
        ...['--replica-announce-ip', '10.1.2.3', '--replica-announce-port', '7777'],
        ...['--replica-priority', '7', '--replica-announced', 'no'],
      ],
    });
    const own = await replica.client();
    await linkUp(own);
    const fields = await own.info('replication');
    expect(fields.get('slave_priority')).toBe('7');
    expect(fields.get('replica_announced')).toBe('0');
    expect((await above.info('replication')).get('slave0')).toContain('ip=10.1.2.3,port=7777,');
    const list = String(await above.call('CLIENT', 'LIST', 'TYPE', 'replica'));
    expect(list).toContain('addr=127.0.0.2:');
    expect(list).toContain('user=repl');
    await own.close();
    await replica.stop();
    await above.close();
    await primary.stop();
  });

  test.each(['localhost', '192.0.2.1', '::1', 'no.such.host.invalid', '*', '1'])(
    'bind-source-addr %j is a wish: the link comes up, as in Redis',
    async (source) => {
      const primary = await startRedis();
      const replicas = await Promise.all([startHeadwater(), startRedis()]);
      for (const replica of replicas) {
        const own = await replica.client();
        expect(await own.call('CONFIG', 'SET', 'bind-source-addr', source)).toBe('OK');
        expect(await own.call('REPLICAOF', '127.0.0.1', primary.port)).toBe('OK');
        await linkUp(own);
        await own.close();
        await replica.stop();
      }
      await primary.stop();
    },
  );

  test('replica-read-only no lets clients write, and relay-serve-stale-psync serves without a link', async () => {
    const primary = await startRedis();
    const replica = await startHeadwater({ replicaOf: primary.port });
    const own = await replica.client();
    await linkUp(own);
    expect(await own.command('SET', 'k', 'v')).toEqual(
      new RespError("READONLY You can't write against a read only replica."),
    );
    await own.call('CONFIG', 'SET', 'replica-read-only', 'no');
    expect(await own.call('SET', 'k', 'v')).toBe('OK');
    await primary.kill();
    await waitFor(
      async () => (await own.info('replication')).get('master_link_status') === 'down',
      {
        what: 'the link to be down',
      },
    );
    const fields = await own.info('replication');
    const ask = async (): Promise<unknown> => {
      const below = await replica.client();
      const offset = Number(fields.get('master_repl_offset')) + 1;
      const reply = await below.command('PSYNC', fields.get('master_replid')!, String(offset));
      await below.close();
      return reply;
    };
    expect(String(await ask())).toContain('NOMASTERLINK');
    await own.call('CONFIG', 'SET', 'relay-serve-stale-psync', 'yes');
    expect(String(await ask())).toMatch(/^CONTINUE/);
    await own.close();
    await replica.kill();
  });
});

describe.concurrent('dumps', () => {
  test('rdbchecksum no leaves the checksum out', async () => {
    for (const [value, isZero] of [
      ['yes', false],
      ['no', true],
    ] as const) {
      const server = await startHeadwater({ args: ['--rdbchecksum', value] });
      const client = await server.client();
      await client.call('SAVE');
      const dump = readFileSync(join(server.dir, 'dump.rdb'));
      expect(dump.readBigUInt64LE(dump.length - 8) === 0n).toBe(isZero);
      await client.close();
      await server.stop();
    }
  });

  test('stop-writes-on-bgsave-error refuses writes after a save that failed', async () => {
    const server = await startHeadwater({ args: ['--save', '3600', '1'] });
    const client = await server.client();
    mkdirSync(join(server.dir, 'dump.rdb'));
    await client.call('BGSAVE');
    await waitFor(
      async () => (await client.info('persistence')).get('rdb_last_bgsave_status') === 'err',
      {
        what: 'the save to fail',
      },
    );
    expect(((await client.command('SET', 'k', 'v')) as RespError).message).toMatch(/^MISCONF /);
    await client.call('CONFIG', 'SET', 'stop-writes-on-bgsave-error', 'no');
    expect(await client.call('SET', 'k', 'v')).toBe('OK');
    await server.kill();
  });
});

describe.concurrent('the end', () => {
  /** Ends a server that has a key and a save point, and tells whether it left a dump. */
  async function savesAt(signal: 'SIGINT' | 'SIGTERM', ...args: string[]): Promise<boolean> {
    const server: Headwater = await startHeadwater({ args: ['--save', '3600', '1', ...args] });
    const client = await server.client();
    await client.call('SET', 'k', 'v');
    const { dir, pid } = server;
    const dump = join(dir, 'dump.rdb');
    process.kill(pid, signal);
    await server.exited;
    expect(server.exitCode).toBe(0);
    return existsSync(dump);
  }

  test.each(['SIGINT', 'SIGTERM'] as const)('shutdown-on-%s', async (signal) => {
    const name = signal === 'SIGINT' ? '--shutdown-on-sigint' : '--shutdown-on-sigterm';
    expect(await savesAt(signal)).toBe(true);
    expect(await savesAt(signal, name, 'nosave')).toBe(false);
  });

  test('shutdown-timeout is how long it waits for replicas', async () => {
    const server = await startHeadwater({ args: ['--shutdown-timeout', '3'] });
    const replica = await startRedis({ replicaOf: server.port });
    const client = await server.client();
    await waitFor(
      async () => (await client.info('replication')).get('slave0')?.includes('state=online'),
      {
        what: 'the replica',
      },
    );
    replica.pause();
    await client.call('SET', 'k', 'v');
    const other = await server.client();
    other.write('SHUTDOWN NOSAVE\r\n');
    const ms = await waitFor(
      async () => (await client.info('server')).get('shutdown_in_milliseconds'),
      {
        what: 'the wait',
      },
    );
    expect(Number(ms)).toBeLessThanOrEqual(3000);
    await server.exited;
    await replica.kill();
  });
});

describe.concurrent('limits and modes', () => {
  test('databases, set-max-listpack-value and set-max-listpack-entries', async () => {
    const { client, stop } = await startNode(
      'databases 3',
      'set-max-listpack-value 4',
      'set-max-listpack-entries 2',
    );
    const one = await client();
    expect(await one.command('SELECT', '3')).toEqual(new RespError('ERR DB index is out of range'));
    const encodingOf = async (...members: string[]): Promise<unknown> => {
      await one.call('DEL', 's');
      await one.call('SADD', 's', ...members);
      return await one.call('OBJECT', 'ENCODING', 's');
    };
    expect(await encodingOf('a', 'four')).toBe('listpack');
    expect(await encodingOf('a', 'b', 'c')).toBe('hashtable');
    expect(await encodingOf('fives')).toBe('hashtable');
    await one.close();
    await stop();
  });

  test('enable-module-command says whether MODULE LOAD is forbidden, or fails', async () => {
    for (const [value, text] of [
      ['no', /^ERR MODULE command not allowed/],
      ['yes', /^ERR Error loading the extension/],
    ] as const) {
      const { client, stop } = await startNode(`enable-module-command ${value}`);
      const one = await client();
      const reply = await one.command('MODULE', 'LOAD', '/x.so');
      expect((reply as RespError).message).toMatch(text);
      await one.close();
      await stop();
    }
  });

  test('latency-tracking and latency-tracking-info-percentiles', async () => {
    const { client, stop } = await startNode('latency-tracking-info-percentiles 25 75.5');
    const one = await client();
    await one.call('SET', 'k', 'v');
    const text = String(await one.call('INFO', 'latencystats'));
    expect(text).toMatch(/latency_percentiles_usec_set:p25=[\d.]+,p75\.5=[\d.]+\r/);
    await one.call('CONFIG', 'SET', 'latency-tracking', 'no');
    await one.call('GET', 'k');
    expect(String(await one.call('INFO', 'latencystats'))).not.toContain('usec_get');
    await one.close();
    await stop();
  });

  test('lazyfree-lazy-server-del: replicas are told to UNLINK what a command removes', async () => {
    for (const [value, name] of [
      ['no', 'del'],
      ['yes', 'unlink'],
    ] as const) {
      const { port, client, stop } = await startNode(`lazyfree-lazy-server-del ${value}`);
      const replica = await startRedis({ replicaOf: port });
      const [one, below] = [await client(), await replica.client()];
      await linkUp(below);
      await one.call('SADD', 's', 'a');
      await one.call('SPOP', 's', '1');
      await waitFor(async () => (await below.info('commandstats')).has(`cmdstat_${name}`), {
        what: name,
      });
      await Promise.all([one.close(), below.close()]);
      await replica.stop();
      await stop();
    }
  });

  test.each([
    ['json', /^\{"level":30,.*Ready to accept connections tcp/m],
    ['redis', /^\d+:M \d\d \w{3} \d{4} [\d:.]+ \* Ready to accept connections tcp/m],
  ])('log-format %s', async (format, shape) => {
    const server = await startHeadwater({ args: ['--log-format', format] });
    await server.waitForLine('Ready to accept connections');
    expect(server.output).toMatch(shape);
    await server.stop();
  });

  test('rename-command tells of names that nobody knows, refuses one that is taken', async () => {
    const names = ['rename-command FLUSHAL ""', 'rename-command GET GET'];
    const { messages, client, stop } = await startNode(...names, 'rename-command SET PUT');
    expect(messages).toContain("rename-command: there is no command 'FLUSHAL' to rename");
    const one = await client();
    expect(await one.call('PUT', 'a', '1')).toBe('OK');
    expect(await one.call('GET', 'a')).toBe('1');
    await one.close();
    await stop();
    await expect(startNode('rename-command GET SET')).rejects.toThrow(
      "'rename-command GET SET'\nTarget command name already exists",
    );
  });

  test('CONFIG SET makes a backlog of 16 KiB of a smaller one', async () => {
    const { client, stop } = await startNode();
    const one = await client();
    await one.call('CONFIG', 'SET', 'repl-backlog-size', '1');
    expect(await one.call('CONFIG', 'GET', 'repl-backlog-size')).toContain('16384');
    await one.close();
    await stop();
  });

  test('lines of the log tell the role of their time', async () => {
    const server = await startHeadwater({
      args: ['--log-format', 'redis', '--replicaof', '127.0.0.1 1'],
    });
    const client = await server.client();
    await client.call('REPLICAOF', 'NO', 'ONE');
    await client.call('REPLICAOF', '127.0.0.1', '1');
    for (const line of ['S .*Connecting to MASTER', 'M .*MASTER MODE', 'S .*REPLICAOF 127.0.0.1:1'])
      await server.waitForLine(new RegExp(`^\\d+:${line}`));
    await client.close();
    await server.stop();
  });
});
