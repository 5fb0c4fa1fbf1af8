/**
 * Dumps on disk, by the program as it is run: saved under load, loaded again here and by a real
 * server, or refused.
 */
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { Prng } from '../../src/base/prng.ts';
import {
  dump,
  moduleId,
  newerDump,
  newerPayloads,
  pair,
  payload as payloadOf,
  str,
} from '../support/dump-writer.ts';
import { findRedisServer } from '../support/real-redis.ts';
import type { RespClient } from '../support/resp-client.ts';
import { RespError } from '../support/resp-parser.ts';
import { testSeed } from '../support/seed.ts';
import { type TestServer, temporaryDirectory } from '../support/server-process.ts';
import { test } from '../support/servers.ts';
import { waitFor } from '../support/wait-for.ts';

/** redis-check-rdb is the server's executable under another name. */
function checkRdb(file: string): string {
  const link = join(temporaryDirectory('check'), 'redis-check-rdb');
  copyFileSync(findRedisServer(), link);
  return execFileSync(link, [file], { encoding: 'utf8' });
}

async function contentOf(client: RespClient): Promise<Map<string, string>> {
  const keys = ((await client.call('KEYS', '*')) as string[]).sort();
  const replies = await client.pipeline(
    keys.flatMap((key) => [
      ['GET', key],
      ['PEXPIRETIME', key],
    ]),
  );
  return new Map(keys.map((key, i) => [key, `${replies[2 * i]} ${replies[2 * i + 1]}`]));
}

function randomWrites(prng: Prng, count: number): string[][] {
  return Array.from({ length: count }, () => {
    const key = `key:${prng.below(5000)}`;
    switch (prng.below(6)) {
      case 0:
        return ['DEL', key];
      case 1:
        return ['SET', key, String(prng.below(1_000_000))];
      case 2:
        return [
          'SET',
          key,
          'x'.repeat(prng.below(3000)),
          'PX',
          String(3_600_000 + prng.below(1000)),
        ];
      case 3:
        return ['APPEND', key, 'tail'.repeat(prng.below(20))];
      case 4:
        return ['SETRANGE', key, String(prng.below(5000)), 'middle'];
      default:
        return ['SET', key, `value ${prng.u32()}`];
    }
  });
}

async function saved(client: RespClient, server: TestServer, count: number): Promise<void> {
  await waitFor(
    () => server.lines.filter((line) => line.includes('DB saved on disk')).length >= count,
    {
      what: `${count} saves`,
    },
  );
  await client.call('PING');
}

describe.concurrent('dumps on disk', () => {
  test('a dump saved while writes go on is what the dataset was, to redis-check-rdb, to redis-server and to us', async ({
    servers,
  }) => {
    const prng = new Prng(testSeed('writes'));
    const server = await servers.headwater({ args: ['--snapshot-spool-memory', '64kb'] });
    const client = await server.client();
    await client.pipeline(randomWrites(prng, 20_000));
    const before = await contentOf(client);
    // The save begins in front of the writes that follow it, whatever its worker has done by then.
    const replies = await client.pipeline([['BGSAVE'], ...randomWrites(prng, 20_000)]);
    expect(replies[0]).toBe('Background saving started');
    await saved(client, server, 1);
    const dump = join(server.dir, 'dump.rdb');
    expect(checkRdb(dump)).toContain('RDB looks OK');
    expect(readdirSync(server.dir)).toEqual(['dump.rdb']);

    for (const kind of ['redis', 'headwater'] as const) {
      const dir = temporaryDirectory('restored');
      copyFileSync(dump, join(dir, 'dump.rdb'));
      const other = await servers[kind]({ dir });
      const otherClient = await other.client();
      expect(await contentOf(otherClient)).toEqual(before);
      await otherClient.close();
    }
    await client.close();
  });

  test('a dump of redis-server is loaded, in plain and in old versions of the format', async ({
    servers,
  }) => {
    const prng = new Prng(testSeed('writes'));
    const redis = await servers.redis();
    const client = await redis.client();
    await client.pipeline(randomWrites(prng, 5000));
    const before = await contentOf(client);
    await client.call('SAVE');
    const dir = temporaryDirectory('from-redis');
    copyFileSync(join(redis.dir, 'dump.rdb'), join(dir, 'dump.rdb'));
    const server = await servers.headwater({
      dir,
      args: ['--rdb-version', '9', '--rdb-plain-types', 'yes'],
    });
    const ours = await server.client();
    expect(await contentOf(ours)).toEqual(before);
    expect(await ours.call('SAVE')).toBe('OK');
    expect(readFileSync(join(dir, 'dump.rdb')).subarray(0, 9).toString()).toBe('REDIS0009');
    await server.waitForLine('Done loading RDB, keys loaded: ');
    await client.close();
    await ours.close();
  });

  test('kill -9 in the middle of a save keeps the dump before it; SIGTERM saves when there are save points', async ({
    servers,
  }) => {
    const dir = temporaryDirectory('killed');
    const first = await servers.headwater({ dir, args: ['--save', '3600', '1'] });
    const client = await first.client();
    await client.call('SET', 'generation', '1');
    expect(await client.call('SAVE')).toBe('OK');
    await client.pipeline(
      Array.from({ length: 20_000 }, (_, i) => ['SET', `key:${i}`, 'x'.repeat(1000)]),
    );
    await client.pipeline([['SET', 'generation', '2'], ['BGSAVE']]);
    await first.kill();

    const second = await servers.headwater({ dir, args: ['--save', '3600', '1'] });
    const again = await second.client();
    const generation = await again.call('GET', 'generation');
    // The save may have been through before the kill; then all of it is there.
    expect([
      ['1', 1],
      ['2', 20_001],
    ]).toContainEqual([generation, await again.call('DBSIZE')]);
    await again.call('SET', 'generation', '3');
    await second.stop();
    expect(second.exitCode).toBe(0);
    expect(second.output).toContain('Saving the final RDB snapshot before exiting.');

    const third = await servers.headwater({ dir });
    const last = await third.client();
    expect(await last.call('GET', 'generation')).toBe('3');
    await last.close();
  });

  test('keys that have expired meanwhile are not loaded', async ({ servers }) => {
    const server = await servers.headwater();
    const client = await server.client();
    // In one write: on a busy machine it had expired before the save began.
    const replies = await client.pipeline([
      ['SET', 'stays', 'a'],
      ['SET', 'goes', 'b', 'PX', '500'],
      ['SET', 'later', 'c', 'EX', '1000'],
      ['SAVE'],
    ]);
    expect(replies).toEqual(['OK', 'OK', 'OK', 'OK']);
    await waitFor(async () => (await client.call('EXISTS', 'goes')) === 0);
    const dir = temporaryDirectory('expired');
    copyFileSync(join(server.dir, 'dump.rdb'), join(dir, 'dump.rdb'));
    const second = await servers.headwater({ dir });
    await second.waitForLine('keys loaded: 2, keys expired: 1.');
    const again = await second.client();
    expect(await again.call('DBSIZE')).toBe(2);
    await client.close();
    await again.close();
  });

  test('a dump that is damaged is refused: exit code 1, position and reason, and the file is left alone', {
    timeout: 180_000,
  }, async ({ servers }) => {
    const server = await servers.headwater();
    const client = await server.client();
    await client.pipeline(
      Array.from({ length: 1000 }, (_, i) => ['SET', `key:${i}`, `a value, the ${i}th`]),
    );
    await client.call('SAVE');
    await client.close();
    const good = readFileSync(join(server.dir, 'dump.rdb'));
    const changed = (position: number, byte: number): Buffer => {
      const copy = Buffer.from(good);
      copy[position] = byte;
      return copy;
    };
    const cases: [name: string, bytes: Buffer, reason: RegExp][] = [
      ['truncated', good.subarray(0, good.length - 500), /\d+/],
      ['empty', Buffer.alloc(0), /./],
      [
        'no dump',
        Buffer.from('this is no dump at all, is it?'),
        /Wrong signature trying to load DB from file/,
      ],
      [
        'too new',
        Buffer.concat([Buffer.from('REDIS0099'), good.subarray(9)]),
        /Can't handle RDB format version 99/,
      ],
      ['wrong checksum', changed(good.length - 1, good.at(-1)! ^ 1), /checksum/i],
      ['changed value', changed(good.length >> 1, good[good.length >> 1]! ^ 0x55), /\d+|checksum/i],
      [
        'an array',
        dump('REDIS0014', pair('a', '1'), 28, str('my list'), 1),
        /RDB version 14 .*'my list' in DB 0, with a value of type 28 \(array\)[\s\S]*Unknown type or opcode when loading DB. Unrecoverable error, aborting now./,
      ],
      [
        'a module',
        dump('REDIS0012', 7, str('my vectors'), moduleId('vectorset', 1), 0),
        /RDB version 12 .*'my vectors' in DB 0, .*'vectorset'[\s\S]*Unknown type or opcode/,
      ],
    ];
    for (const [name, bytes, reason] of cases) {
      const dir = temporaryDirectory('damaged');
      const file = join(dir, 'dump.rdb');
      writeFileSync(file, bytes);
      const failure = await servers.headwater({ dir }).then(
        (started) => started.output,
        (error: Error) => error.message,
      );
      expect(failure, name).toContain('ended with code 1');
      expect(failure, name).toContain('Fatal error loading the DB, check server logs. Exiting.');
      expect(failure, name).toMatch(/Error loading .*dump\.rdb: /);
      expect(failure, name).toMatch(reason);
      expect(readFileSync(file).equals(bytes), name).toBe(true);
    }
  });

  test('a dump of Redis 8.8 loads at the start, and the log tells what was passed over', async ({
    servers,
  }) => {
    const dir = temporaryDirectory('newer');
    writeFileSync(join(dir, 'dump.rdb'), newerDump());
    const server = await servers.headwater({ dir });
    const client = await server.client({ bulk: 'buffer' });
    expect(((await client.call('KEYS', '*')) as Buffer[]).map(String).sort()).toEqual([
      ...['hash', 'other', 'stream', 'string'],
    ]);
    const pending = await client.call('XPENDING', 'other', 'group');
    expect(String(pending)).toBe('2,1-0,2-0,consumer,2');
    const linesWith = (text: string): string[] =>
      server.lines.filter((line) => line.includes(text));
    await waitFor(() => linesWith('was passed over').length >= 3, { what: 'three lines' });
    expect(linesWith('was passed over').map((line) => /over: (.*) times/.exec(line)?.[1])).toEqual([
      'slot info (2',
      "key metadata of class 'KMT1' (2",
      'idempotency data of stream producers (1',
    ]);
    // Payloads of these versions likewise. Each name is told once.
    for (const { key, payload } of [...newerPayloads(), ...newerPayloads()])
      expect(String(await client.call('RESTORE', key, 0, payload, 'REPLACE'))).toBe('OK');
    await waitFor(() => linesWith('RESTORE passes over').length >= 2, { what: 'two lines' });
    expect(
      linesWith('RESTORE passes over').map((line) => /use here: ([^"]*)/.exec(line)?.[1]),
    ).toEqual(['idempotency data of stream producers', "key metadata of class 'KMT1'"]);
    const array = payloadOf(14, 28, 1, 0, 5, 1, 7);
    expect(String(await client.command('RESTORE', 'string', 0, array, 'REPLACE'))).toBe(
      'ERR Bad data format',
    );
    const future = payloadOf(16, 0, str('v'));
    expect(String(await client.command('RESTORE', 'string', 0, future, 'REPLACE'))).toBe(
      'ERR DUMP payload version or checksum are wrong',
    );
    expect(String(await client.call('GET', 'string'))).toBe('v');
    await client.close();
  });

  test('save points save, and SAVE, BGSAVE and SHUTDOWN answer as Redis does', async ({
    servers,
  }) => {
    const server = await servers.headwater({ args: ['--save', '1', '5'] });
    const client = await server.client();
    const dump = join(server.dir, 'dump.rdb');
    const start = Number(await client.call('LASTSAVE'));
    await client.pipeline(Array.from({ length: 5 }, (_, i) => ['SET', `key:${i}`, 'v']));
    await server.waitForLine('5 changes in 1 seconds. Saving...');
    await waitFor(() => existsSync(dump));
    await saved(client, server, 1);
    expect(Number(await client.call('LASTSAVE'))).toBeGreaterThanOrEqual(start);
    const answers: [command: string[], reply: string | RegExp][] = [
      [['BGSAVE', 'SOMETIME'], 'ERR syntax error'],
      [['BGSAVE', 'SCHEDULE', 'NOW'], 'ERR syntax error'],
      [['SHUTDOWN', 'ABORT'], 'ERR No shutdown in progress.'],
      [['SHUTDOWN', 'SAVE', 'NOSAVE'], 'ERR syntax error'],
      [['SHUTDOWN', 'ABORT', 'NOW'], 'ERR syntax error'],
      [['SHUTDOWN', 'SLOWLY'], 'ERR syntax error'],
    ];
    for (const [command, expected] of answers) {
      const reply = await client.command(...command);
      expect(reply, command.join(' ')).toBeInstanceOf(RespError);
      expect((reply as RespError).message, command.join(' ')).toBe(expected);
    }
    // Two at once: the second is refused while the first is on its way.
    const [first, second] = await client.pipeline([['BGSAVE'], ['BGSAVE']]);
    expect(first).toBe('Background saving started');
    expect((second as RespError).message).toBe('ERR Background save already in progress');
    client.send('SHUTDOWN', 'NOSAVE');
    await server.exited;
    expect(server.exitCode).toBe(0);
    expect(server.output).toContain('User requested shutdown...');
    expect(server.output).toContain('Redis is now ready to exit, bye bye...');
  });

  test('SHUTDOWN that cannot save leaves the server running; FORCE ends it', async ({
    servers,
  }) => {
    const server = await servers.headwater({
      args: ['--save', '3600', '1', '--dbfilename', 'a-directory'],
    });
    const client = await server.client();
    mkdirSync(join(server.dir, 'a-directory'));
    await client.call('SET', 'key', 'value');
    const refused = await client.command('SHUTDOWN');
    expect((refused as RespError).message).toBe('ERR Errors trying to SHUTDOWN. Check logs.');
    await server.waitForLine("Error trying to save the DB, can't exit.");
    expect(await client.call('GET', 'key')).toBe('value');
    const write = await client.command('SET', 'key', 'other');
    expect((write as RespError).message).toMatch(/^MISCONF /);
    client.send('SHUTDOWN', 'FORCE');
    await server.exited;
    expect(server.exitCode).toBe(0);
    expect(server.output).toContain('Error trying to save the DB, but exiting anyway.');
  });
});
