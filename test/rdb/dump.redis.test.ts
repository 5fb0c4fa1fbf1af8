/** Dumps to and from a real redis-server. */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { bytesOf } from '../../src/base/bytes.ts';
import { Prng } from '../../src/base/prng.ts';
import type { Keyspace } from '../../src/keyspace/keyspace.ts';
import { PayloadCodec } from '../../src/rdb/payload.ts';
import type { SaveOptions } from '../../src/rdb/save.ts';
import { digestOf } from '../support/digest.ts';
import { findRedisServer, type RealRedis, startRedis } from '../support/real-redis.ts';
import type { RespClient } from '../support/resp-client.ts';
import { testSeed } from '../support/seed.ts';
import { temporaryDirectory } from '../support/server-process.ts';
import {
  dumpOf,
  LIMITS,
  loadBytes,
  loadOptions,
  type Model,
  modelOf,
  NOW_MS,
  newKeyspace,
  newModel,
  put,
  randomChange,
  randomDeadline,
  randomText,
  saveOptions,
} from './keyspaces.ts';

const servers: RealRedis[] = [];

async function redis(dir?: string): Promise<RealRedis> {
  const server = await startRedis(dir === undefined ? {} : { dir });
  servers.push(server);
  return server;
}

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

function randomKeyspace(prng: Prng): { keyspace: Keyspace; model: Model } {
  const keyspace = newKeyspace();
  const model = newModel();
  for (let i = 0; i < 2500; i++) randomChange(keyspace, model, prng, 1200);
  put(keyspace, model, 2, 'long', { value: 'so many words '.repeat(650_000), deadline: -1 });
  return { keyspace, model };
}

/** Puts a dump where a server finds it, once the checking tool has nothing to say against it. */
function placed(dump: Uint8Array): string {
  const dir = temporaryDirectory('dump');
  const path = join(dir, 'dump.rdb');
  writeFileSync(path, dump);
  // The tool and the server are one executable that looks at its name.
  const check = spawnSync(findRedisServer(), [path], {
    argv0: 'redis-check-rdb',
    encoding: 'utf8',
  });
  expect(check.stdout).toContain('\\o/ RDB looks OK! \\o/');
  expect(check.status).toBe(0);
  return dir;
}

/** What a server holds, asked key by key. */
async function expectHolds(client: RespClient, model: Model): Promise<void> {
  for (const [db, keys] of model.entries()) {
    await client.call('SELECT', db);
    expect(await client.call('DBSIZE')).toBe(keys.size);
    for (const [key, { value, deadline }] of keys) {
      const [got, expires] = await client.pipeline([
        ['GET', key],
        ['PEXPIRETIME', key],
      ]);
      expect(got === value && Number(expires) === deadline, `${db} ${key.slice(0, 60)}`).toBe(true);
    }
  }
}

const dumps: readonly (readonly [string, SaveOptions])[] = [
  ['of version 10', saveOptions()],
  ['of version 9 and plain types', saveOptions({ dialect: { version: 9, plainTypes: true } })],
  ['without compression and checksum', saveOptions({ compress: false, checksum: false })],
];

describe('our dump', () => {
  test.each(dumps)('%s is loaded by a real server', async (name, options) => {
    const { keyspace, model } = randomKeyspace(new Prng(testSeed(name)));
    const server = await redis(placed(dumpOf(keyspace, options)));
    const client = await server.client({ bulk: 'latin1' });
    await expectHolds(client, model);
    await client.close();
  });

  test('carries the history that it was given', async () => {
    const replid = 'd28bd808c0922b5679039db98a7493f76689084e';
    const aux = {
      ctime: 1,
      usedMemoryBytes: 2,
      replication: { streamDb: 0, replid, offset: 4321 },
    };
    const server = await redis(placed(dumpOf(newKeyspace(), saveOptions({ aux }))));
    const client = await server.client();
    expect(await client.infoField('replication', 'master_replid2')).toBe(replid);
    expect(await client.infoField('replication', 'second_repl_offset')).toBe('4322');
    await client.close();
  });
});

describe("a real server's dump", () => {
  test('loads here, and ours of it has the same digest there', async () => {
    const prng = new Prng(testSeed('from redis'));
    const server = await redis();
    const client = await server.client({ bulk: 'latin1' });
    const model = newModel();
    for (let i = 0; i < 800; i++) {
      const db = [0, 0, 1, 15][prng.below(4)]!;
      const item = { value: randomText(prng, 50_000), deadline: randomDeadline(prng) };
      const expiry = item.deadline < 0 ? [] : ['PXAT', item.deadline];
      await client.pipeline([
        ['SELECT', db],
        ['SET', `key:${i}`, item.value, ...expiry],
      ]);
      model[db]!.set(`key:${i}`, item);
    }
    await client.call('SAVE');
    const theirs = readFileSync(join(server.dir, 'dump.rdb'));
    const { keyspace, result } = loadBytes(theirs, loadOptions({ nowMs: Date.now() }));
    expect(modelOf(keyspace)).toEqual(model);
    expect(result).toMatchObject({ version: 10, keysLoaded: 800, bytes: theirs.length });
    expect(result.aux.redisVersion).toMatch(/^\d+\.\d+\.\d+$/);

    const second = await redis(placed(dumpOf(keyspace)));
    expect(await digestOf(second)).toBe(await digestOf(server));
    await client.close();
  });
});

describe('payloads', () => {
  test('are restored there, and theirs here', async () => {
    const prng = new Prng(testSeed('payloads'));
    const server = await redis();
    const client = await server.client({ bulk: 'latin1' });
    const codec = new PayloadCodec();
    const keyspace = newKeyspace();
    const database = keyspace.databases[0]!;
    const name = bytesOf('key');
    for (let i = 0; i < 200; i++) {
      const model = newModel();
      const value = randomText(prng, 50_000);
      put(keyspace, model, 0, 'key', { value, deadline: NOW_MS });
      const entry = database.find(name, 0, name.length);
      const ours = codec.dump(keyspace.arena, entry, { version: 10, plainTypes: false });
      expect(await client.call('RESTORE', 'key', 0, ours, 'REPLACE')).toBe('OK');
      expect((await client.call('GET', 'key')) === value).toBe(true);

      const theirs = bytesOf(String(await client.call('DUMP', 'key')));
      expect(codec.check(theirs, 0, theirs.length)).toBe(true);
      database.remove(entry);
      const loaded = codec.load(theirs, 0, theirs.length, keyspace, LIMITS);
      database.find(name, 0, name.length);
      loaded.add(database, name, 0, name.length);
      expect(modelOf(keyspace)[0]!.get('key')).toEqual({ value, deadline: -1 });
    }
    await client.close();
  });
});
