/** headwater as the primary of real replicas, from first attachment to the return after a cut. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect } from 'vitest';
import { CutLink } from '../support/cut-link.ts';
import { digestOf, expectSameData, syncCounts, waitForSync } from '../support/digest.ts';
import type { Headwater } from '../support/headwater.ts';
import { findRedisServer } from '../support/real-redis.ts';
import type { RespClient } from '../support/resp-client.ts';
import { type TestServer, temporaryDirectory } from '../support/server-process.ts';
import { type Servers, test } from '../support/servers.ts';
import { waitFor } from '../support/wait-for.ts';

const run = promisify(execFile);

interface Started {
  readonly primary: Headwater;
  readonly client: RespClient;
  /** The replicas that were started. */
  readonly replicas: TestServer[];
  replica(port?: number, ...args: string[]): Promise<TestServer>;
  /** Writes until `stop` is called; that resolves when the last write is answered. */
  keepWriting(): Promise<{ stop: () => Promise<void> }>;
}

async function start(servers: Servers, ...args: string[]): Promise<Started> {
  const primary = await servers.headwater({ args: ['--enable-debug-command', 'yes', ...args] });
  const client = await primary.client();
  servers.atEnd(() => client.close());
  const replicas: TestServer[] = [];
  return {
    primary,
    client,
    replicas,
    replica: async (port = primary.port, ...more) => {
      const server = await servers.redis({ replicaOf: port, args: more });
      replicas.push(server);
      return server;
    },
    keepWriting: async () => {
      const writer = await primary.client();
      servers.atEnd(() => writer.close());
      let stopped = false;
      const writing = (async () => {
        for (let round = 0; !stopped; round++) {
          await writer.pipeline(mixedCommands(500, round));
          await new Promise(setImmediate);
        }
      })();
      return {
        stop: async () => {
          stopped = true;
          await writing;
        },
      };
    },
  };
}

/** Commands of many kinds over a few databases. */
function mixedCommands(count: number, round: number): (string | number)[][] {
  const commands: (string | number)[][] = [];
  for (let i = 0; i < count; i++) {
    const key = `key:${(i * 7919 + round) % 500}`;
    if (i % 50 === 0) commands.push(['SELECT', (i / 50 + round) % 3]);
    if (i % 5 === 0) commands.push(['INCRBYFLOAT', `float:${i % 20}`, '1.5']);
    else if (i % 7 === 0) commands.push(['SET', key, `v${i}`, 'EX', 1000]);
    else if (i % 11 === 0) commands.push(['APPEND', key, 'x'.repeat(i % 100)]);
    else if (i % 13 === 0) commands.push(['DEL', key]);
    else if (i % 17 === 0) commands.push(['SETRANGE', key, i % 200, 'range']);
    else if (i % 19 === 0) commands.push(['GETEX', key, 'PERSIST']);
    else commands.push(['SET', key, `value ${round} ${i}`]);
  }
  return commands;
}

describe.concurrent('real replicas', () => {
  test('attach during writes and hold the same afterwards', async ({ servers }) => {
    const { primary, client, replica, keepWriting } = await start(servers);
    await client.pipeline(mixedCommands(3000, 1));
    const writing = await keepWriting();
    const below = await replica();
    await below.waitForLine('Finished with success');
    await waitFor(async () => Number(await client.infoField('stats', 'sync_full')) === 1);
    await writing.stop();
    await expectSameData(primary, below);
    expect(await syncCounts(primary)).toEqual({ full: 1, partial: 0, refused: 0 });
  });

  test('agree about keys that expire at any moment', async ({ servers }) => {
    const { primary, client, replica, keepWriting } = await start(servers);
    const writer = await keepWriting();
    const below = await replica();
    await below.waitForLine('Finished with success');
    for (let round = 0; round < 40; round++) {
      await client.pipeline(
        Array.from({ length: 100 }, (_, i) => {
          const key = `volatile:${(i * 31 + round) % 60}`;
          if (i % 3 === 0) return ['SET', key, `${round} ${i}`, 'PX', 1 + (i % 20)];
          if (i % 3 === 1) return ['APPEND', key, 'more'];
          return i % 2 === 0 ? ['GETEX', key, 'PX', 1 + (i % 5)] : ['INCR', `counter:${key}`];
        }),
      );
    }
    await writer.stop();
    await waitForSync(primary, below);
    // Deletions may be on their way between two looks; what differs for good never becomes equal.
    await waitFor(async () => (await digestOf(primary)) === (await digestOf(below)), {
      what: 'equal digests',
    });
    expect(Number(await client.infoField('stats', 'expired_keys'))).toBeGreaterThan(100);
  });

  test('ten at once during writes are served by one snapshot', { timeout: 180_000 }, async ({
    servers,
  }) => {
    const { primary, client, replica, replicas, keepWriting } = await start(servers);
    await client.pipeline(mixedCommands(3000, 1));
    const writing = await keepWriting();
    await Promise.all(
      Array.from({ length: 10 }, () => replica(primary.port, '--repl-diskless-load', 'disabled')),
    );
    for (const below of replicas) await below.waitForLine('Finished with success');
    await writing.stop();
    for (const below of replicas) await expectSameData(primary, below, { timeoutMs: 60_000 });
    expect(await syncCounts(primary)).toEqual({ full: 10, partial: 0, refused: 0 });
    expect(await client.infoField('everything', 'headwater_snapshots_started')).toBe('1');
  });

  test('come back after a cut under load with what they missed', async ({ servers }) => {
    const { primary, client, replica, keepWriting } = await start(
      servers,
      '--repl-backlog-size',
      '64mb',
    );
    const link = await CutLink.to(primary.port);
    const below = await replica(link.port);
    await below.waitForLine('Finished with success');
    const writing = await keepWriting();
    await waitFor(() => link.bytesDown > 100_000);
    link.cut();
    await below.waitForLine('Connection with master lost');
    const offset = Number(await client.infoField('replication', 'master_repl_offset'));
    await waitFor(
      async () =>
        Number(await client.infoField('replication', 'master_repl_offset')) > offset + 200_000,
    );
    link.mend();
    await below.waitForLine('Successful partial resynchronization with master.');
    await writing.stop();
    await expectSameData(primary, below);
    expect(await syncCounts(primary)).toEqual({ full: 1, partial: 1, refused: 0 });
    await link.close();
  });

  test('that missed more than the backlog holds get a full sync', async ({ servers }) => {
    const { primary, client, replica } = await start(servers, '--repl-backlog-size', '16kb');
    const link = await CutLink.to(primary.port);
    const below = await replica(link.port);
    await below.waitForLine('Finished with success');
    await client.call('SET', 'a', '1');
    link.cut();
    await below.waitForLine('Connection with master lost');
    await waitFor(async () => (await client.infoField('replication', 'connected_slaves')) === '0');
    await client.pipeline(mixedCommands(20_000, 3));
    link.mend();
    await primary.waitForLine('for lack of backlog');
    await expectSameData(primary, below);
    expect(await syncCounts(primary)).toEqual({ full: 2, partial: 0, refused: 1 });
    await link.close();
  });

  test.for([
    ['a dump to their disk, sent as it is made', [], ['--repl-diskless-load', 'disabled']],
    ['a dump that they parse from the socket', [], ['--repl-diskless-load', 'swapdb']],
    ['a dump of known length', ['--repl-diskless-sync', 'no'], []],
    ['a dump in plain types', ['--rdb-version', '9', '--rdb-plain-types', 'yes'], []],
  ])('take %s', async ([, primaryArgs, replicaArgs], { servers }) => {
    const { primary, client, replica } = await start(servers, ...primaryArgs);
    await client.pipeline(mixedCommands(2000, 5));
    const below = await replica(primary.port, ...replicaArgs);
    await below.waitForLine('Finished with success');
    await client.pipeline(mixedCommands(500, 6));
    await expectSameData(primary, below);
    expect((await syncCounts(primary)).full).toBe(1);
  });

  test('acknowledge to WAIT, and are named by INFO and CLIENT LIST', async ({ servers }) => {
    const { client, replica } = await start(servers);
    const below = await replica();
    await below.waitForLine('Finished with success');
    await client.call('SET', 'k', 'v');
    expect(await client.call('WAIT', 1, 30_000)).toBe(1);
    const slave = await client.infoField('replication', 'slave0');
    expect(slave).toMatch(
      new RegExp(`^ip=127\\.0\\.0\\.1,port=${below.port},state=online,offset=\\d+,lag=[01]$`),
    );
    expect(String(await client.call('CLIENT', 'LIST', 'TYPE', 'replica'))).toMatch(/ flags=S /);
  });

  test('get transactions as a whole, and nothing of WAIT inside of them', async ({ servers }) => {
    const { primary, client, replica } = await start(servers);
    const below = await replica();
    await below.waitForLine('Finished with success');
    const replies = await client.pipeline([
      ['MULTI'],
      ['SET', 'a', '1'],
      ['WAIT', 1, 0],
      ['INCR', 'a'],
      ['EXEC'],
    ]);
    expect(replies.at(-1)).toEqual(['OK', 1, 2]);
    expect(await client.call('WAIT', 1, 30_000)).toBe(1);
    await expectSameData(primary, below);
  });
});

describe.concurrent('tools', () => {
  test('redis-cli --rdb writes a dump that redis-check-rdb is content with', async ({
    servers,
  }) => {
    const { primary, client } = await start(servers);
    await client.pipeline(mixedCommands(2000, 1));
    const file = join(temporaryDirectory('rdb'), 'backup.rdb');
    const { stdout, stderr } = await run('redis-cli', ['-p', String(primary.port), '--rdb', file]);
    expect(stdout + stderr).toContain('Transfer finished with success');
    expect(readFileSync(file, 'latin1')).toMatch(/^REDIS0010/);
    const check = await run(findRedisServer().replace(/redis-server$/, 'redis-check-rdb'), [
      file,
    ]).catch(() => run('redis-check-rdb', [file]));
    expect(check.stdout).toContain('RDB looks OK!');
  });

  test('redis-cli --functions-rdb gets a dump without keys', async ({ servers }) => {
    const { primary, client } = await start(servers);
    await client.call('SET', 'secret', 'x');
    const file = join(temporaryDirectory('rdb'), 'functions.rdb');
    await run('redis-cli', ['-p', String(primary.port), '--functions-rdb', file]);
    expect(readFileSync(file, 'latin1')).not.toContain('secret');
  });

  test('redis-cli --replica shows the stream', async ({ servers }) => {
    const { primary, client } = await start(servers);
    const child = execFile('redis-cli', ['-p', String(primary.port), '--replica']);
    let output = '';
    child.stdout!.on('data', (text: string) => {
      output += text;
    });
    await waitFor(async () => (await client.infoField('replication', 'connected_slaves')) === '1');
    // A write before the snapshot is a part of it.
    await waitFor(
      async () => {
        await client.call('SET', 'shown', 'now');
        return output.toLowerCase().includes('"set","shown","now"');
      },
      { what: 'a write to be shown' },
    );
    child.kill();
  });
});
