/**
 * The append only file, by the program as it is run: killed under load with replicas below, loaded
 * again here and by a real server, damaged, turned on and off, followed by a relay.
 *
 * HEADWATER_AOF_ROUNDS sets the count of SIGKILLs.
 */

import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { RandomCommands } from '../../native-free-bench/lib/random-commands.ts';
import { Prng } from '../../src/base/prng.ts';
import { digestOf, expectSameData, syncCounts, waitForSync } from '../support/digest.ts';
import { EVERY_ENCODING_CONFIG, everyEncoding } from '../support/every-encoding.ts';
import { findRedisServer } from '../support/real-redis.ts';
import type { Argument, RespClient } from '../support/resp-client.ts';
import { testSeed } from '../support/seed.ts';
import { temporaryDirectory } from '../support/server-process.ts';
import { test } from '../support/servers.ts';
import { waitFor } from '../support/wait-for.ts';

const ROUNDS = Number(process.env['HEADWATER_AOF_ROUNDS'] ?? 3);
const APPEND = ['--appendonly', 'yes', '--enable-debug-command', 'yes'];
const WITHOUT_EXPIRY = new Set(['EXPIRE', 'PEXPIRE', 'EXPIREAT', 'PEXPIREAT', 'GETEX', 'SETEX']);

const folderOf = (dir: string): string => join(dir, 'appendonlydir');

function increments(dir: string): string[] {
  return readdirSync(folderOf(dir))
    .filter((name) => name.endsWith('.incr.aof'))
    .sort();
}

const lastIncrement = (dir: string): string => join(folderOf(dir), increments(dir).at(-1)!);

/** redis-check-aof is the server's executable under another name. */
function checkAof(dir: string): string {
  const link = join(temporaryDirectory('check'), 'redis-check-aof');
  copyFileSync(findRedisServer(), link);
  return execFileSync(link, [join(folderOf(dir), 'appendonly.aof.manifest')], { encoding: 'utf8' });
}

async function rewritten(client: RespClient): Promise<void> {
  const before = Number((await client.info('persistence')).get('aof_rewrites'));
  await client.call('BGREWRITEAOF');
  await waitFor(
    async () => {
      const info = await client.info('persistence');
      return (
        Number(info.get('aof_rewrites')) > before && info.get('aof_rewrite_in_progress') === '0'
      );
    },
    { what: 'a rewrite' },
  );
}

describe.concurrent('the append only file', () => {
  test('a node that is killed again and again loses nothing that WAITAOF confirmed', {
    timeout: 180_000 + ROUNDS * 20_000,
  }, async ({ servers }) => {
    const prng = new Prng(testSeed('kill'));
    const dir = temporaryDirectory('aof-kill');
    let node = await servers.headwater({ dir, args: APPEND });
    const { port } = node;
    const replica = await servers.redis({ replicaOf: port });
    await waitForSync(node, replica);
    let confirmed = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const client = await node.client();
      const random = new RandomCommands(prng, { without: WITHOUT_EXPIRY, connection: false });
      for (let i = 0; i < 5; i++) {
        await client.pipeline(random.batch(200));
        confirmed++;
        await client.call('SET', 'confirmed', String(confirmed));
        expect(await client.call('WAITAOF', '1', '0', '0')).toEqual(
          [1, 1].map((_, j) => (j === 0 ? 1 : expect.any(Number))),
        );
        if (i === 2 && round % 2 === 1) await client.call('BGREWRITEAOF');
      }
      // The kill comes in the middle of a flood that nobody waits for, but for the first one.
      if (round > 0) {
        const flood = Array.from({ length: 20_000 }, (_, i) => [
          'SET',
          `flood:${i % 500}`,
          String(i),
        ]);
        client.pipeline(flood).catch(() => {});
        await waitFor(() => readFileSync(lastIncrement(dir)).length > 0);
        for (let i = prng.below(4); i > 0; i--) await new Promise(setImmediate);
      }
      await node.kill();
      node = await servers.headwater({ dir, port, args: APPEND });
      const after = await node.client();
      expect(Number(await after.call('GET', 'confirmed'))).toBe(confirmed);
      await after.call('SET', 'round', String(round));
      await expectSameData(node, replica);
      const counts = await syncCounts(node);
      // In a flood the replica may be ahead of what the disk held: only then a full sync is right.
      if (round === 0) expect(counts.full).toBe(0);
      expect(counts.full + counts.partial).toBe(1);
      await after.close();
    }
    expect(checkAof(dir)).toContain('All AOF files and manifest are valid');
  });

  test('redis-server loads what headwater wrote, and headwater what redis-server wrote', {
    timeout: 180_000,
  }, async ({ servers }) => {
    const prng = new Prng(testSeed('both ways'));
    const node = await servers.headwater({ args: [...APPEND, '--aof-timestamp-enabled', 'yes'] });
    const client = await node.client();
    const random = new RandomCommands(prng, { without: WITHOUT_EXPIRY });
    await client.pipeline(random.batch(3000));
    await rewritten(client);
    await client.call('SELECT', '3');
    await client.pipeline(new RandomCommands(prng, { without: WITHOUT_EXPIRY }).batch(3000));
    await client.call('WAITAOF', '1', '0', '0');
    const digest = await digestOf(node);
    expect(checkAof(node.dir)).toContain('All AOF files and manifest are valid');
    expect(readFileSync(lastIncrement(node.dir), 'latin1')).toContain('#TS:');

    const dir = temporaryDirectory('aof-both');
    cpSync(folderOf(node.dir), folderOf(dir), { recursive: true });
    const redis = await servers.redis({ dir, args: ['--appendonly', 'yes'] });
    expect(await digestOf(redis)).toBe(digest);
    const other = await redis.client();
    await other.pipeline(new RandomCommands(prng, { without: WITHOUT_EXPIRY }).batch(2000));
    await other.call('SET', 'foreign', 'yes');
    const theirs = await digestOf(redis);
    await other.close();
    await redis.stop();

    const back = await servers.headwater({ dir, args: APPEND });
    expect(await digestOf(back)).toBe(theirs);
  });

  test('a base of commands, ours and that of redis-server, is loaded by both', async ({
    servers,
  }) => {
    const prng = new Prng(testSeed('plain base'));
    const args = [...APPEND, '--aof-use-rdb-preamble', 'no'];
    const dir = temporaryDirectory('aof-plain');
    let node = await servers.headwater({ dir, args: [...args, ...EVERY_ENCODING_CONFIG] });
    const replica = await servers.redis({ replicaOf: node.port });
    const client = await node.client();
    await client.pipeline(new RandomCommands(prng, { without: WITHOUT_EXPIRY }).batch(3000));
    await client.pipeline(everyEncoding as Argument[][]);
    // Its pending entry is beyond its last id.
    await client.call('XADD', 'beyond', '5-5', 'f', 'v');
    await client.call('XGROUP', 'CREATE', 'beyond', 'g', '0');
    await client.call('XREADGROUP', 'GROUP', 'g', 'one', 'STREAMS', 'beyond', '>');
    await client.call('XTRIM', 'beyond', 'MAXLEN', '0');
    await client.call('XSETID', 'beyond', '3-3');
    await client.call('XADD', 'beyond', '4-4', 'f', 'v');
    const long = 'x'.repeat(300_000);
    await client.call('HSET', 'long', 'a', long, long, 'b', 'c', 'd');
    await waitForSync(node, replica);
    await rewritten(client);
    await client.call('SET', 'behind', '1');
    await client.call('WAITAOF', '1', '0', '0');
    const digest = await digestOf(node);
    const bases = readdirSync(folderOf(dir)).filter((name) => name.includes('.base.'));
    expect(bases).toEqual(['appendonly.aof.2.base.aof']);
    expect(checkAof(dir)).toContain('All AOF files and manifest are valid');
    await client.close();
    await node.kill();

    const both = temporaryDirectory('aof-plain-both');
    cpSync(folderOf(dir), folderOf(both), { recursive: true });
    const redisArgs = [
      '--appendonly',
      'yes',
      '--aof-use-rdb-preamble',
      'no',
      ...EVERY_ENCODING_CONFIG,
    ];
    const redis = await servers.redis({ dir: both, args: redisArgs });
    expect(await digestOf(redis)).toBe(digest);
    expect(redis.output).not.toContain('CRITICAL');
    const loaded = await redis.client();
    const pending = await loaded.call('XPENDING', 'beyond', 'g', '-', '+', '10');
    expect(pending).toEqual([['5-5', 'one', expect.anything(), 1]]);
    await loaded.close();

    // Killed and started again, the node goes on: its replica needs no full sync.
    node = await servers.headwater({ dir, port: node.port, args });
    expect(await digestOf(node)).toBe(digest);
    await expectSameData(node, replica);
    expect((await syncCounts(node)).full).toBe(0);

    const other = await redis.client();
    await rewritten(other);
    await other.call('SET', 'foreign', 'yes');
    const theirs = await digestOf(redis);
    await other.close();
    await redis.stop();
    const back = await servers.headwater({ dir: both, args });
    expect(await digestOf(back)).toBe(theirs);
  });

  test('a replica of before gets a full sync when another server has written to the files', async ({
    servers,
  }) => {
    const dir = temporaryDirectory('aof-foreign');
    const first = await servers.headwater({ dir, args: APPEND });
    const client = await first.client();
    await client.call('SET', 'ours', '1');
    const replica = await servers.redis({ replicaOf: first.port });
    await waitForSync(first, replica);
    await client.close();
    await first.stop();
    const redis = await servers.redis({ dir, args: ['--appendonly', 'yes'] });
    const other = await redis.client();
    await other.call('SET', 'theirs', '1');
    await other.close();
    await redis.stop();
    const again = await servers.headwater({ dir, port: first.port, args: APPEND });
    await expectSameData(again, replica);
    expect((await syncCounts(again)).full).toBe(1);
    await again.waitForLine('Another server has written to the append only file');
  });

  test('a file that ends inside of a unit is cut back to it, or refused', {
    timeout: 180_000,
  }, async ({ servers }) => {
    const dir = temporaryDirectory('aof-tail');
    const first = await servers.headwater({ dir, args: APPEND });
    const client = await first.client();
    await client.call('SET', 'whole', '1');
    await client.call('WAITAOF', '1', '0', '0');
    const file = lastIncrement(dir);
    const whole = readFileSync(file).length;
    await client.call('MULTI');
    await client.call('SET', 'a', 'x'.repeat(100));
    await client.call('SET', 'b', '2');
    await client.call('EXEC');
    await client.call('WAITAOF', '1', '0', '0');
    await client.close();
    await first.kill();
    const bytes = readFileSync(file);
    const prng = new Prng(testSeed('tail'));
    for (let round = 0; round < 4; round++) {
      const cut = whole + 1 + prng.below(bytes.length - whole - 1);
      const copy = temporaryDirectory('aof-cut');
      cpSync(folderOf(dir), folderOf(copy), { recursive: true });
      truncateSync(lastIncrement(copy), cut);
      await expect(
        servers.headwater({ dir: copy, args: [...APPEND, '--aof-load-truncated', 'no'] }),
      ).rejects.toThrow();
      const node = await servers.headwater({ dir: copy, args: APPEND });
      const again = await node.client();
      expect(await again.call('MGET', 'whole', 'a', 'b')).toEqual(['1', null, null]);
      await node.waitForLine('!!! Truncating the AOF');
      await again.call('SET', 'after', '1');
      await again.close();
      await node.stop();
      expect(checkAof(copy)).toContain('All AOF files and manifest are valid');
    }
  });

  test('damage in the middle ends the start with its position, and leaves the files alone', async ({
    servers,
  }) => {
    const dir = temporaryDirectory('aof-middle');
    const first = await servers.headwater({ dir, args: APPEND });
    const client = await first.client();
    for (let i = 0; i < 50; i++) await client.call('SET', `key:${i}`, 'value');
    await client.call('WAITAOF', '1', '0', '0');
    await client.close();
    await first.kill();
    const file = lastIncrement(dir);
    const bytes = readFileSync(file);
    const at = bytes.indexOf('*3', Math.floor(bytes.length / 2));
    bytes[at] = 'X'.charCodeAt(0);
    writeFileSync(file, bytes);
    const error = await servers.headwater({ dir, args: APPEND }).then(
      () => '',
      (reason: Error) => reason.message,
    );
    expect(error).not.toBe('');
    expect(readFileSync(file).equals(bytes)).toBe(true);
  });

  test('turned on and off while the node runs; a restart has all of it', async ({ servers }) => {
    const dir = temporaryDirectory('aof-switch');
    const first = await servers.headwater({ dir, args: ['--enable-debug-command', 'yes'] });
    const client = await first.client();
    await client.call('SET', 'before', '1');
    expect(existsSync(folderOf(dir))).toBe(false);
    expect(await client.call('CONFIG', 'SET', 'appendonly', 'yes')).toBe('OK');
    await client.call('SET', 'after', '1');
    expect(await client.call('WAITAOF', '1', '0', '0')).toEqual([1, 0]);
    await client.close();
    await first.kill();
    const second = await servers.headwater({ dir, args: APPEND });
    const again = await second.client();
    expect(await again.call('MGET', 'before', 'after')).toEqual(['1', '1']);
    expect(await again.call('CONFIG', 'SET', 'appendonly', 'no')).toBe('OK');
    expect((await again.info('persistence')).get('aof_enabled')).toBe('0');
    const size = readFileSync(lastIncrement(dir)).length;
    await again.call('SET', 'lost', '1');
    expect(readFileSync(lastIncrement(dir)).length).toBe(size);
    expect(await again.call('CONFIG', 'SET', 'appendonly', 'yes')).toBe('OK');
    expect(await again.call('WAITAOF', '1', '0', '0')).toEqual([1, 0]);
    await again.close();
    await second.kill();
    const third = await servers.headwater({ dir, args: APPEND });
    const last = await third.client();
    expect(await last.call('MGET', 'before', 'after', 'lost')).toEqual(['1', '1', '1']);
  });

  test('a relay that is killed goes on with its primary and its replicas, by partial resyncs', {
    timeout: 180_000,
  }, async ({ servers }) => {
    const prng = new Prng(testSeed('relay'));
    const primary = await servers.redis();
    const client = await primary.client();
    await client.call('SELECT', '2');
    await client.pipeline(new RandomCommands(prng, { without: WITHOUT_EXPIRY }).batch(500));
    const dir = temporaryDirectory('aof-relay');
    const first = await servers.headwater({ dir, replicaOf: primary.port, args: APPEND });
    const below = await servers.redis({ replicaOf: first.port });
    await waitForSync(primary, first);
    await client.call('SELECT', '2');
    await client.pipeline(
      new RandomCommands(prng, { without: WITHOUT_EXPIRY, connection: false }).batch(500),
    );
    await waitForSync(primary, below);
    const link = await first.client();
    // A base of the dataset that the full sync has brought; the one at the start does not count.
    await waitFor(async () => {
      const info = await link.info('persistence');
      return (
        Number(info.get('aof_rewrites')) >= 1 &&
        info.get('aof_rewrite_in_progress') === '0' &&
        info.get('aof_rewrite_scheduled') === '0'
      );
    });
    await client.call('SET', 'mark', '1');
    await waitForSync(primary, below);
    await waitFor(() => readFileSync(lastIncrement(dir), 'latin1').includes('mark'));
    await first.kill();
    const second = await servers.headwater({
      dir,
      port: first.port,
      replicaOf: primary.port,
      args: APPEND,
    });
    await client.call('SET', 'later', '1');
    await expectSameData(primary, second);
    await expectSameData(second, below);
    expect((await syncCounts(primary)).full).toBe(1);
    expect((await syncCounts(second)).full).toBe(0);
  });

  test.for([
    ['begun its next increment', false],
    ['written the SELECT of its next increment', true],
  ])(
    'a relay that is killed before it has %s keeps the database of its stream',
    { timeout: 180_000 },
    async ([, hasLine], { servers }) => {
      const primary = await servers.redis();
      const client = await primary.client();
      const dir = temporaryDirectory('aof-select');
      const first = await servers.headwater({ dir, replicaOf: primary.port, args: APPEND });
      await waitForSync(primary, first);
      await waitFor(() => increments(dir).length > 0);
      await client.call('SELECT', '2');
      await waitFor(
        async () => {
          await client.call('SET', 'before', '1');
          return readFileSync(lastIncrement(dir), 'latin1').includes('before');
        },
        { what: 'the stream in an increment' },
      );
      await waitForSync(primary, first);
      const link = await first.client();
      await waitFor(async () => {
        const info = await link.info('persistence');
        return (
          info.get('aof_rewrite_in_progress') === '0' && info.get('aof_rewrite_scheduled') === '0'
        );
      });
      const [replid, offset] = [
        await link.infoField('replication', 'master_replid'),
        await link.infoField('replication', 'master_repl_offset'),
      ];
      await first.kill();
      // A rewrite names its increment in the manifest before it moves to it.
      const manifest = join(folderOf(dir), 'appendonly.aof.manifest');
      const next = 'appendonly.aof.99.incr.aof';
      const line = hasLine ? `#headwater:at ${replid} ${offset}\n` : '';
      writeFileSync(join(folderOf(dir), next), line);
      appendFileSync(manifest, `file ${next} seq 99 type i\n`);
      const start = () =>
        servers.headwater({ dir, port: first.port, replicaOf: primary.port, args: APPEND });
      const second = await start();
      await client.call('SET', 'after', '2');
      await expectSameData(primary, second);
      await waitFor(() => readFileSync(join(folderOf(dir), next), 'latin1').includes('after'));
      await second.kill();
      const third = await start();
      await expectSameData(primary, third);
      expect((await syncCounts(primary)).full).toBe(1);
    },
  );

  test('a file of before Redis 7 becomes the base', async ({ servers }) => {
    const dir = temporaryDirectory('aof-old');
    writeFileSync(join(dir, 'appendonly.aof'), '*3\r\n$3\r\nSET\r\n$3\r\nold\r\n$1\r\n1\r\n');
    const node = await servers.headwater({ dir, args: APPEND });
    const client = await node.client();
    expect(await client.call('GET', 'old')).toBe('1');
    await client.call('SET', 'new', '1');
    await rewritten(client);
    await client.close();
    await node.stop();
    expect(existsSync(join(dir, 'appendonly.aof'))).toBe(false);
    const again = await servers.headwater({ dir, args: APPEND });
    const after = await again.client();
    expect(await after.call('MGET', 'old', 'new')).toEqual(['1', '1']);
    expect(checkAof(dir)).toContain('All AOF files and manifest are valid');
  });

  test('a manifest that makes no sense ends the start with its line', async ({ servers }) => {
    const dir = temporaryDirectory('aof-manifest');
    mkdirSync(folderOf(dir));
    const manifest = join(folderOf(dir), 'appendonly.aof.manifest');
    writeFileSync(manifest, 'file a seq 1 type b\n');
    appendFileSync(manifest, 'file ../b seq 2 type i\n');
    await expect(servers.headwater({ dir, args: APPEND })).rejects.toThrow();
  });
});
