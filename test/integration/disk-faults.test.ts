/** A disk that is full or may not be written: saves and the log fail, the node goes on. */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FakeReplica } from '../support/fake-replica.ts';
import { type Headwater, startHeadwater } from '../support/headwater.ts';
import type { RespClient } from '../support/resp-client.ts';
import { RespError } from '../support/resp-parser.ts';
import { temporaryDirectory } from '../support/server-process.ts';
import { waitFor } from '../support/wait-for.ts';

const TEMP_FILE = /temp-\d+-\d+\.rdb/;

/** Mounts a disk of 256 KiB at `dir`; false where this process may not. */
function mountSmallDisk(dir: string): boolean {
  return spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', dir]).status === 0;
}

const probe = temporaryDirectory('probe');
const mayMount = mountSmallDisk(probe);
if (mayMount) execFileSync('umount', [probe]);

describe.runIf(mayMount)('on a small disk', () => {
  let disk: string;
  let server: Headwater;
  let client: RespClient;

  beforeEach(async () => {
    disk = temporaryDirectory('disk');
    mountSmallDisk(disk);
    server = await startHeadwater({
      dir: disk,
      args: [
        '--logfile',
        join(disk, 'log'),
        '--rdbcompression',
        'no',
        '--enable-debug-command',
        'yes',
      ],
    });
    client = await server.client();
  });

  afterEach(async () => {
    await client.close();
    await server.stop();
    execFileSync('umount', [disk]);
  });

  const logged = (): string => readFileSync(join(disk, 'log'), 'latin1');

  test('that is full a save fails as in Redis, and the next one that fits succeeds', async () => {
    await client.call('SET', 'big', 'x'.repeat(300_000));
    expect(await client.call('BGSAVE')).toBe('Background saving started');
    await waitFor(
      async () => (await client.infoField('persistence', 'rdb_last_bgsave_status')) === 'err',
    );
    expect(logged()).toContain(
      'Write error saving DB on disk(rdbSaveRio): No space left on device',
    );
    expect(logged()).toContain('Background saving error');
    await client.call('DEL', 'big');
    expect(await client.call('SAVE')).toBe('OK');
    expect(await client.infoField('persistence', 'rdb_last_bgsave_status')).toBe('ok');
  });

  test('that may only be read a save says so', async () => {
    execFileSync('mount', ['-o', 'remount,ro', disk]);
    expect(await client.command('SAVE')).toBeInstanceOf(RespError);
    await server.waitForLine(
      `The log file ${join(disk, 'log')} cannot be written: Read-only file system.`,
    );
    expect(await client.infoField('persistence', 'rdb_last_bgsave_status')).toBe('err');
    execFileSync('mount', ['-o', 'remount,rw', disk]);
    expect(await client.call('SAVE')).toBe('OK');
    expect(logged()).toMatch(/^# \d+ log lines could not be written: Read-only file system$/m);
  });
});

test('a directory that is gone: the save tells, and the node goes on', async () => {
  const dir = join(temporaryDirectory('gone'), 'dir');
  mkdirSync(dir);
  const server = await startHeadwater({ dir });
  const client = await server.client();
  // Node.js starts no thread in a working directory that is gone, and there is no thread yet.
  rmSync(dir, { recursive: true });
  await client.call('SET', 'a', '1');
  expect(await client.command('SAVE')).toEqual(new RespError('ERR'));
  const line = await server.waitForLine('Failed opening the temp RDB file');
  expect(line).toMatch(TEMP_FILE);
  expect(line).toContain(`(in server root dir ${dir}) for saving: No such file or directory`);
  mkdirSync(dir);
  expect(await client.call('SAVE')).toBe('OK');
  await client.close();
  await server.stop();
});

test('a log on a full device costs lines and nothing else', async () => {
  const server = await startHeadwater({ args: ['--logfile', '/dev/full'] });
  const client = await server.client();
  expect(await client.call('SAVE')).toBe('OK');
  await server.waitForLine('cannot be written');
  const told = server.lines.filter((line) => line.includes('cannot be written'));
  expect(told).toEqual([
    '# The log file /dev/full cannot be written: No space left on device. Log lines are lost until it can.',
  ]);
  await client.close();
  await server.stop();
});

test('a log file that cannot be opened ends the start, as in Redis', async () => {
  const dir = temporaryDirectory('log');
  await expect(startHeadwater({ args: ['--logfile', dir] })).rejects.toThrow(
    "Can't open the log file: Is a directory",
  );
});

describe.runIf(mayMount)('with appendonly on a disk that fills up', () => {
  let disk: string;
  let server: Headwater;
  let client: RespClient;
  const args = [
    ...['--appendonly', 'yes', '--appendfsync', 'everysec', '--auto-aof-rewrite-percentage', '0'],
    ...['--rdbcompression', 'no', '--repl-diskless-sync', 'no', '--snapshot-spool-memory', '64kb'],
  ];

  beforeEach(async () => {
    disk = temporaryDirectory('disk');
    mountSmallDisk(disk);
    server = await startHeadwater({ dir: disk, args });
    client = await server.client();
    await client.call('SET', 'small', 'v');
    // It is taken away when there shall be room again.
    writeFileSync(join(disk, 'filler'), Buffer.alloc(160_000));
  });

  afterEach(async () => {
    await client.close();
    await server.stop();
    execFileSync('umount', [disk]);
  });

  const aofStatus = (name: string): Promise<string | undefined> =>
    client.infoField('persistence', name);

  test('writes are refused while it is full, go on behind that, and are all there', async () => {
    let accepted = 0;
    const refused = await waitFor(
      async () => {
        const reply = await client.command('SET', `k${accepted}`, 'x'.repeat(5000));
        if (reply instanceof RespError) return reply.message;
        accepted++;
        return undefined;
      },
      { what: 'a refused write' },
    );
    expect(refused).toMatch(/^MISCONF Errors writing to the AOF file: No space left on device/);
    expect(await aofStatus('aof_last_write_status')).toBe('err');
    expect(await client.call('GET', 'small')).toBe('v');
    rmSync(join(disk, 'filler'));
    await waitFor(async () => (await client.command('SET', 'after', 'v')) === 'OK', {
      what: 'writes to go on',
    });
    expect(await client.call('WAITAOF', '1', '0', '0')).toEqual([1, 0]);
    await server.kill();
    await client.close();
    server = await startHeadwater({ dir: disk, args });
    client = await server.client();
    expect(await client.call('DBSIZE')).toBe(accepted + 2);
    expect(await client.call('STRLEN', `k${accepted - 1}`)).toBe(5000);
  });

  test('a rewrite fails, and nothing that the files held is touched', async () => {
    await client.call('SET', 'large', 'x'.repeat(60_000));
    expect(await client.call('WAITAOF', '1', '0', '0')).toEqual([1, 0]);
    await client.call('BGREWRITEAOF');
    await waitFor(async () => (await aofStatus('aof_last_bgrewrite_status')) === 'err', {
      what: 'the rewrite to fail',
    });
    rmSync(join(disk, 'filler'));
    await client.call('SET', 'after', 'v');
    expect(await client.call('WAITAOF', '1', '0', '0')).toEqual([1, 0]);
    await server.kill();
    await client.close();
    server = await startHeadwater({ dir: disk, args });
    client = await server.client();
    expect(await client.call('DBSIZE')).toBe(3);
    await client.call('BGREWRITEAOF');
    await waitFor(async () => (await aofStatus('aof_last_bgrewrite_status')) === 'ok', {
      what: 'the next rewrite',
    });
  });

  test('a replica that needs the whole dump first waits, and gets it when there is room', async () => {
    await client.call('SET', 'large', 'x'.repeat(40_000));
    await client.call('SET', 'larger', 'x'.repeat(40_000));
    const replica = await FakeReplica.attach(server.port, { capa: ['psync2'] });
    await server.waitForLine('Full syncs pause for');
    await replica.closed;
    rmSync(join(disk, 'filler'));
    const again = await FakeReplica.attach(server.port, { capa: ['psync2'] });
    await again.waitForDump();
    expect(again.dumpBytes).toBeGreaterThan(80_000);
    await again.close();
  });
});

test.runIf(mayMount)('CONFIG REWRITE on a full disk leaves the file as it was', async () => {
  const disk = temporaryDirectory('disk');
  mountSmallDisk(disk);
  const server = await startHeadwater({ dir: disk, conf: '# mine\nmaxclients 100\n' });
  const client = await server.client();
  const file = join(disk, 'headwater.conf');
  const before = readFileSync(file, 'latin1');
  try {
    writeFileSync(join(disk, 'filler'), Buffer.alloc(256 << 10));
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
  }
  await client.call('CONFIG', 'SET', 'maxclients', '200');
  expect(await client.command('CONFIG', 'REWRITE')).toEqual(
    new RespError('ERR Rewriting config file: No space left on device'),
  );
  expect(readFileSync(file, 'latin1')).toBe(before);
  rmSync(join(disk, 'filler'));
  expect(await client.call('CONFIG', 'REWRITE')).toBe('OK');
  expect(readFileSync(file, 'latin1')).toContain('maxclients 200');
  await client.close();
  await server.stop();
  execFileSync('umount', [disk]);
});
