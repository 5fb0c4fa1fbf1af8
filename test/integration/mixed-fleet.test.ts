/**
 * One primary and replicas of many kinds at once: each gets a dump that it can read. The dumps are
 * checked by redis-check-rdb and loaded by a real server.
 */
import { execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { digestOf, expectSameData } from '../support/digest.ts';
import { EVERY_ENCODING_CONFIG, everyEncoding } from '../support/every-encoding.ts';
import { FakeReplica, type FakeReplicaOptions } from '../support/fake-replica.ts';
import { type Headwater, startHeadwater } from '../support/headwater.ts';
import { findRedisServer, startRedis } from '../support/real-redis.ts';
import type { RespClient } from '../support/resp-client.ts';
import { type TestServer, temporaryDirectory } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const run = promisify(execFile);

let primary: Headwater;
let client: RespClient;
let servers: TestServer[];
let fakes: FakeReplica[];

beforeEach(async () => {
  servers = [];
  fakes = [];
  primary = await startHeadwater({
    args: [
      ...['--enable-debug-command', 'yes', '--rdb-version', '12', ...EVERY_ENCODING_CONFIG],
      // Redis 7.0 reads version 10, and does not announce that.
      ...['--replica-dialect', '10.0.0.70', '10', '--replica-dialect', '10.0.0.9', '9', 'plain'],
      ...['--replica-dialect', '127.0.0.1', '10'],
    ],
  });
  client = await primary.client();
  await client.pipeline(everyEncoding);
});
afterEach(async () => {
  for (const fake of fakes) await fake.close();
  await client.close();
  for (const server of servers) await server.stop();
  await primary.stop();
});

async function attach(options: FakeReplicaOptions): Promise<FakeReplica> {
  const replica = await FakeReplica.attach(primary.port, options);
  fakes.push(replica);
  return replica;
}

/** Checks a dump, and returns the digest of the server that loads it. */
async function digestOfDump(dump: Uint8Array): Promise<string> {
  const dir = temporaryDirectory('fleet');
  const path = join(dir, 'dump.rdb');
  writeFileSync(path, dump);
  // The tool and the server are one executable that looks at its name.
  const check = spawnSync(findRedisServer(), [path], {
    argv0: 'redis-check-rdb',
    encoding: 'utf8',
  });
  expect(check.stdout).toContain('\\o/ RDB looks OK! \\o/');
  const server = await startRedis({ dir, args: EVERY_ENCODING_CONFIG });
  servers.push(server);
  return digestOf(server);
}

/** The digest of a node that loads a dump. */
async function digestOfOwn(dump: Uint8Array): Promise<string> {
  const dir = temporaryDirectory('fleet');
  writeFileSync(join(dir, 'dump.rdb'), dump);
  const server = await startHeadwater({
    dir,
    args: ['--enable-debug-command', 'yes', ...EVERY_ENCODING_CONFIG],
  });
  servers.push(server);
  return digestOf(server);
}

test('each replica of a mixed fleet gets what it can read', { timeout: 180_000 }, async () => {
  const backup = join(temporaryDirectory('backup'), 'backup.rdb');
  const follower = spawn('redis-cli', ['-p', `${primary.port}`, '--replica']);
  let followed = '';
  for (const stream of [follower.stdout, follower.stderr]) {
    stream.setEncoding('latin1').on('data', (text: string) => {
      followed += text;
    });
  }
  const valkeyOptions: FakeReplicaOptions = {
    listeningPort: 7001,
    localAddress: '127.0.0.2',
    handshake: [['REPLCONF', 'version', '8.1.0']],
  };
  const plainOptions: FakeReplicaOptions = {
    listeningPort: 7002,
    capa: ['psync2'],
    handshake: [['REPLCONF', 'ip-address', '10.0.0.9']],
  };
  const onlyOptions: FakeReplicaOptions = {
    listeningPort: 7003,
    ack: 'never',
    handshake: [['REPLCONF', 'rdb-only', '1']],
  };
  const [stock, valkey, plain, only] = await Promise.all([
    startRedis({
      replicaOf: primary.port,
      args: ['--replica-announce-ip', '10.0.0.70', ...EVERY_ENCODING_CONFIG],
    }),
    attach(valkeyOptions),
    attach(plainOptions),
    attach(onlyOptions),
    run('redis-cli', ['-p', `${primary.port}`, '--rdb', backup]),
  ]);
  servers.push(stock);
  await Promise.all([valkey.waitForDump(), plain.waitForDump(), only.closed]);
  await waitFor(() => /SYNC done.*Logging commands from master/.test(followed), {
    what: 'redis-cli --replica',
  });
  expect(existsSync(backup)).toBe(true);
  const dumps = [valkey.dump, plain.dump, only.dump, readFileSync(backup)];
  const versions = dumps.map((dump) => Buffer.from(dump).toString('latin1', 0, 9));
  // 127.0.0.1 is configured; Valkey reads no version 12, which others would get.
  expect(versions).toEqual(['REDIS0011', 'REDIS0009', 'REDIS0010', 'REDIS0010']);

  await client.call('SET', 'after:all', 'dumps');
  await expectSameData(primary, stock);
  await Promise.all([valkey, plain].map((r) => r.waitForCommand('SET', 'after:all')));
  await waitFor(() => followed.includes('"after:all"'), { what: 'the stream at redis-cli' });
  await client.call('DEL', 'after:all');
  const expected = await digestOf(primary);
  for (const dump of dumps.slice(1)) expect(await digestOfDump(dump)).toBe(expected);
  // The real server here reads no version 11.
  expect(await digestOfOwn(valkey.dump)).toBe(expected);
  // Four dialects and kinds of request, and no full sync more than there were peers.
  expect(Number(await client.infoField('stats', 'sync_full'))).toBe(6);
  const ended = once(follower, 'close');
  follower.kill();
  await ended;
});
