/**
 * Saves on a disk and a worker that fail: the old file stays, the status tells, the dataset is
 * thawed.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { ManualClock } from '../../../src/base/clock.ts';
import { ErrorCode } from '../../../src/base/errors.ts';
import type { Logger } from '../../../src/base/log.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { asOffset } from '../../../src/base/units.ts';
import { Encoding } from '../../../src/keyspace/entry.ts';
import { Config } from '../../../src/server/config/config.ts';
import { type DumpDisk, realDisk } from '../../../src/server/persistence/dump-file.ts';
import { Persistence } from '../../../src/server/persistence/persistence.ts';
import { Snapshots } from '../../../src/server/persistence/snapshots.ts';
import { Server } from '../../../src/server/server.ts';
import { ReaderNeed } from '../../../src/server/snapshot-source.ts';
import { createPool } from '../../../src/workers/pool.ts';
import { createSnapshotPool, type SnapshotPool } from '../../../src/workers/snapshot-job.ts';
import { temporaryDirectory } from '../../support/server-process.ts';
import { waitFor } from '../../support/wait-for.ts';

const OLD_DUMP = 'an older dump';

interface Setup {
  readonly server: Server;
  readonly clock: ManualClock;
  readonly snapshots: Snapshots;
  readonly persistence: Persistence;
  readonly dir: string;
  readonly lines: string[];
}

const open: Snapshots[] = [];
afterEach(async () => {
  for (const snapshots of open.splice(0)) await snapshots.close();
});

function setUp(
  disk: Partial<DumpDisk> = {},
  pool: SnapshotPool = createSnapshotPool(1),
  set: string[] = [],
): Setup {
  const dir = temporaryDirectory('saves');
  writeFileSync(join(dir, 'dump.rdb'), OLD_DUMP);
  const config = new Config(dir);
  for (let i = 0; i < set.length; i += 2) {
    expect(config.set([set[i]!, set[i + 1]!], { loading: false, local: true }).error).toBe(null);
  }
  const clock = new ManualClock();
  const lines: string[] = [];
  const note = (message: string): void => {
    lines.push(message);
  };
  const log: Logger = { ...silentLogger, notice: note, warning: note };
  const server = new Server(config, log, clock);
  const snapshots = new Snapshots(server, { pool });
  open.push(snapshots);
  return {
    server,
    clock,
    snapshots,
    persistence: new Persistence(server, snapshots, { ...realDisk, ...disk }),
    dir,
    lines,
  };
}

function fill(server: Server, keys: number, valueBytes: number): void {
  const db = server.keyspace.databases[0]!;
  const value = Buffer.alloc(valueBytes, 'v');
  for (let i = 0; i < keys; i++) {
    const key = Buffer.from(`key:${i}`);
    db.find(key, 0, key.length);
    db.addString(key, 0, key.length, value, 0, value.length, Encoding.RAW);
  }
  server.dirty += keys;
}

const enospc = (): never => {
  throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
};
const eacces = (): never => {
  throw Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' });
};

test('a save replaces the file, and counts what was written before it began', async () => {
  const { server, persistence, dir, clock } = setUp();
  fill(server, 100, 10);
  clock.advance(5000);
  const ended = persistence.save();
  server.dirty += 7;
  expect(await ended).toBe('saved');
  expect(server.dirty).toBe(7);
  expect(persistence.lastSucceeded).toBe(true);
  expect(persistence.lastSaveSeconds).toBe(Math.floor(clock.nowMs() / 1000));
  expect(readFileSync(join(dir, 'dump.rdb')).subarray(0, 9).toString()).toBe('REDIS0010');
  expect(readdirSync(dir)).toEqual(['dump.rdb']);
  expect(server.keyspace.arena.frozen).toBe(false);
});

test('a save that the system has no memory for fails, and the next one may succeed', async () => {
  const { server, persistence, lines } = setUp();
  fill(server, 1, 10);
  const take = server.memory.take;
  server.memory.take = () => {
    throw new RangeError('Array buffer allocation failed');
  };
  expect(await persistence.save()).toBe('failed');
  expect(persistence.busy).toBe(false);
  expect(persistence.lastSucceeded).toBe(false);
  expect(lines.some((line) => line.includes('no memory for a ring'))).toBe(true);
  server.memory.take = take;
  expect(await persistence.save()).toBe('saved');
  expect(persistence.lastSucceeded).toBe(true);
});

test.each<[name: string, disk: Partial<DumpDisk>, message: string]>([
  [
    'the file cannot be made',
    { create: async () => eacces() },
    'Failed opening the temp RDB file temp-%pid%-1.rdb (in server root dir %dir%) for saving: Permission denied',
  ],
  [
    'the disk is full from the first byte',
    {
      create: async (path) => {
        const file = await realDisk.create(path);
        return { write: async () => enospc(), sync: () => file.sync(), close: () => file.close() };
      },
    },
    'Write error saving DB on disk(rdbSaveRio): No space left on device',
  ],
  [
    'the disk is full at the last moment',
    {
      create: async (path) => {
        const file = await realDisk.create(path);
        return {
          write: (bytes, offset, length, position) => file.write(bytes, offset, length, position),
          sync: async () => enospc(),
          close: () => file.close(),
        };
      },
    },
    'Write error saving DB on disk(fsync): No space left on device',
  ],
  [
    'the rename is refused',
    { rename: async () => eacces() },
    'Error moving temp DB file temp-%pid%-1.rdb on the final destination dump.rdb (in server root dir %dir%): Permission denied',
  ],
])('when %s the old file stays and the status tells', async (_name, disk, message) => {
  const { server, persistence, dir, lines } = setUp(disk);
  fill(server, 2000, 1000);
  const dirty = server.dirty;
  expect(await persistence.save()).toBe('failed');
  expect(lines).toContain(message.replace('%pid%', `${process.pid}`).replace('%dir%', dir));
  expect(persistence.lastSucceeded).toBe(false);
  expect(persistence.writeRefusal).toMatch(
    /^MISCONF Redis is configured to save RDB snapshots, but it's currently unable/,
  );
  expect(server.dirty).toBe(dirty);
  expect(readFileSync(join(dir, 'dump.rdb'), 'utf8')).toBe(OLD_DUMP);
  expect(readdirSync(dir)).toEqual(['dump.rdb']);
  expect(server.keyspace.arena.frozen).toBe(false);
  expect(persistence.busy).toBe(false);
});

test('a missing directory is an error, and the next save in a good one clears the status', async () => {
  const { persistence, dir } = setUp();
  rmSync(dir, { recursive: true });
  expect(await persistence.save()).toBe('failed');
  mkdirSync(dir);
  expect(await persistence.save()).toBe('saved');
  expect(persistence.writeRefusal).toBe(undefined);
});

test('a worker that dies fails the save, and the dataset is thawed', async () => {
  const entry = new URL('../../support/dying-snapshot-task.mjs', import.meta.url);
  const { server, persistence, dir, lines, snapshots } = setUp(
    {},
    createPool({ duty: 'snapshot', entry, threads: 1 }),
  );
  fill(server, 10, 10);
  expect(await persistence.save()).toBe('failed');
  expect(lines.some((line) => line.includes('snapshot worker died'))).toBe(true);
  expect(server.keyspace.arena.frozen).toBe(false);
  expect(readFileSync(join(dir, 'dump.rdb'), 'utf8')).toBe(OLD_DUMP);
  expect(snapshots.running).toBe(undefined);
  expect(await persistence.save()).toBe('failed');
});

test('shadow memory that reaches snapshot-cow-max fails the save; the writes went on', async () => {
  const { server, persistence } = setUp({}, undefined, [
    'snapshot-cow-max',
    '8192',
    'snapshot-spool-memory',
    '65536',
  ]);
  fill(server, 3000, 1000);
  const ended = persistence.save();
  const db = server.keyspace.databases[0]!;
  for (let i = 0; i < 3000; i++) {
    const key = Buffer.from(`key:${i}`);
    const entry = db.find(key, 0, key.length);
    db.setDeadline(entry, 4_000_000_000_000);
  }
  expect(await ended).toBe('failed');
  expect(server.keyspace.arena.frozen).toBe(false);
  server.keyspace.validate();
});

test('FLUSHALL while a save runs leaves the save alone', async () => {
  const { server, persistence } = setUp({}, undefined, ['snapshot-spool-memory', '65536']);
  fill(server, 3000, 1000);
  const old = server.keyspace;
  const ended = persistence.save();
  server.flushAll();
  expect(server.keyspace.keyCount).toBe(0);
  expect(await ended).toBe('saved');
  expect(old.arena.frozen).toBe(false);
  expect(await persistence.save()).toBe('saved');
});

test('when nobody reads a snapshot any more it is cancelled', async () => {
  const { server, persistence, snapshots } = setUp({}, undefined, [
    'snapshot-spool-memory',
    '65536',
  ]);
  fill(server, 3000, 1000);
  const snapshot = snapshots.start(persistence.request('replication'));
  expect(() => snapshots.start(persistence.request('replication'))).toThrow('in progress');
  const reader = snapshot.spool.openReader(() => {}, ReaderNeed.OWN_PACE);
  reader.close();
  await waitFor(() => snapshot.state === 'failed');
  expect(snapshot.error?.code).toBe(ErrorCode.CANCELLED);
  expect(server.keyspace.arena.frozen).toBe(false);
  expect(snapshots.running).toBe(undefined);
});

test('a snapshot begins in one turn: offset, SELECT, and the stream behind it is kept', async () => {
  const { server, persistence, snapshots } = setUp();
  server.streamLog.start(asOffset(41));
  const command = Buffer.from('*1\r\n$4\r\nPING\r\n');
  server.feed.appendVerbatim(3, command, 0, command.length);
  const offset = server.streamLog.endOffset;
  const snapshot = snapshots.start(persistence.request('replication'));
  const reader = snapshot.spool.openReader(() => {}, ReaderNeed.OWN_PACE);
  expect(snapshot.startOffset).toBe(offset);
  expect(snapshot.replid).toBe(server.history.replid);
  expect(server.feed.selectedDb).toBe(-1);
  expect(server.streamLog.openCursors).toBe(1);
  await waitFor(() => snapshot.state === 'done');
  expect(snapshots.running).toBe(snapshot);
  expect(server.streamLog.openCursors).toBe(1);
  reader.close();
  expect(server.streamLog.openCursors).toBe(0);
  expect(snapshots.running).toBe(undefined);
});

test('save points: enough changes, enough time, and a pause behind a failure', async () => {
  let full = true;
  const { server, persistence, clock, lines } = setUp(
    { create: (path) => (full ? enospc() : realDisk.create(path)) },
    undefined,
    ['save', '60 10'],
  );
  fill(server, 10, 10);
  persistence.tick();
  expect(persistence.busy).toBe(false);
  clock.advance(61_000);
  server.dirty = 9;
  persistence.tick();
  expect(persistence.busy).toBe(false);
  server.dirty = 10;
  persistence.tick();
  expect(lines).toContain('10 changes in 60 seconds. Saving...');
  await waitFor(() => !persistence.busy);
  expect(persistence.lastSucceeded).toBe(false);
  full = false;
  clock.advance(5000);
  persistence.tick();
  expect(persistence.busy).toBe(false);
  clock.advance(1000);
  persistence.tick();
  await waitFor(() => !persistence.busy);
  expect(persistence.lastSucceeded).toBe(true);
  expect(server.dirty).toBe(0);
});
