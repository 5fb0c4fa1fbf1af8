/** What is held for replicas has limits, on disk and in memory, whatever the replicas do. */
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { MIB } from '../../../src/base/units.ts';
import { DUMPS_OPEN_MAX } from '../../../src/server/persistence/snapshots.ts';
import { PIN_BYTES_MAX, pinnedLagMax } from '../../../src/server/primary/limits.ts';
import { FakeReplica, type FakeReplicaOptions } from '../../support/fake-replica.ts';
import { expectNothingHeld, fillWithNoise } from '../../support/links.ts';
import { type NodeInProcess, startNode } from '../../support/node-in-process.ts';
import type { RespClient } from '../../support/resp-client.ts';
import { waitFor } from '../../support/wait-for.ts';

/** More than sockets hold, and more than spools have memory for in these tests. */
const DUMP_BYTES = 24 * MIB;
const SMALL_SPOOL = ['snapshot-spool-memory 1mb', 'rdbcompression no'];
const RDB_ONLY: FakeReplicaOptions = {
  handshake: [['REPLCONF', 'rdb-only', '1']],
  ack: 'never',
  countOnly: true,
};

let primary: NodeInProcess;
let client: RespClient;
let replicas: FakeReplica[];

async function start(...lines: string[]): Promise<void> {
  primary = await startNode(...lines);
  client = await primary.client();
}

async function attach(options: FakeReplicaOptions = { countOnly: true }): Promise<FakeReplica> {
  const replica = await FakeReplica.attach(primary.port, options);
  replicas.push(replica);
  return replica;
}

async function attachStalled(options?: FakeReplicaOptions): Promise<FakeReplica> {
  const replica = await attach(options);
  replica.pause();
  return replica;
}

const fill = (): Promise<void> => fillWithNoise(client, DUMP_BYTES / 32768, 32768);
const snapshots = () => primary.node.dumps.snapshots;
const started = (): number => primary.node.primary.fullSyncs.snapshotsStarted;
const logged = (text: string): number =>
  primary.messages.filter((line) => line.includes(text)).length;
const directory = (): string => primary.node.server.config.values.dir;

/**
 * Begins a save in the turn in which the next replica asks for its dump, so that it joins the save.
 */
function saveBeforeNextSync(): void {
  const { fullSyncs } = primary.node.primary;
  const add = fullSyncs.add.bind(fullSyncs);
  fullSyncs.add = (peer) => {
    fullSyncs.add = add;
    primary.node.dumps.persistence.bgsave();
    add(peer);
  };
}

beforeEach(() => {
  replicas = [];
});
afterEach(async () => {
  for (const replica of replicas) await replica.close();
  await expectNothingHeld(primary.node);
  await client.close();
  await primary.stop();
});

describe('disk', () => {
  test('a save is never spilled', async () => {
    await start(...SMALL_SPOOL);
    await fill();
    expect(await client.call('SAVE')).toBe('OK');
    expect(snapshots().spilledBytes).toBe(0);
    expect(snapshots().lastFigures?.dumpBytes).toBeGreaterThan(DUMP_BYTES);
  });

  test('a dump that nobody waits for is not spilled', async () => {
    await start(...SMALL_SPOOL, 'snapshot-keep 3600');
    await fill();
    // It joins the save, and is gone before it has read much.
    saveBeforeNextSync();
    const replica = await attachStalled();
    await replica.vanish();
    await waitFor(() => primary.node.primary.peers.size === 0);
    const spilled = snapshots().spilledBytes;
    await waitFor(() => !primary.node.dumps.persistence.busy, { what: 'the save' });
    expect(snapshots().spilledBytes - spilled).toBeLessThan(DUMP_BYTES / 2);
    expect(primary.node.dumps.persistence.saveCount).toBe(1);
  });

  test('a save that a slow replica shares is spilled for the replica', async () => {
    await start(...SMALL_SPOOL);
    await fill();
    saveBeforeNextSync();
    const slow = await attachStalled();
    await waitFor(() => !primary.node.dumps.persistence.busy, { what: 'the save' });
    expect(started()).toBe(0);
    expect(snapshots().spilledBytes).toBeGreaterThan(0);
    slow.resume();
    await slow.waitForDump();
    expect(slow.dumpBytes).toBe(snapshots().lastFigures?.dumpBytes);
  });

  test('without a directory a slow replica is served at its pace, and nobody joins late', async () => {
    await start(...SMALL_SPOOL);
    await fill();
    rmSync(directory(), { recursive: true });
    const slow = await attachStalled();
    await waitFor(() => snapshots().filesRefused === 1, { what: 'the file to be refused' });
    const { spool } = snapshots().running!;
    let most = 0;
    const late: FakeReplica[] = [];
    slow.resume();
    slow.socket.on('data', () => {
      most = Math.max(most, spool.memoryBytes);
      if (late.length > 0 || slow.dumpBytes < DUMP_BYTES / 2) return;
      // It stands still for a while, again and again.
      slow.pause();
      setImmediate(() => slow.resume());
    });
    await waitFor(() => snapshots().running?.spool.hasFirstByte === false, {
      what: 'byte 0 to be gone',
    });
    late.push(await attach());
    await slow.waitForDump();
    await late[0]!.waitForDump();
    expect(slow.dumpBytes).toBeGreaterThan(DUMP_BYTES);
    expect([started(), primary.node.primary.fullSyncs.lateJoins]).toEqual([2, 0]);
    expect(most).toBeLessThanOrEqual(MIB);
    expect(logged('cannot be spooled to disk (ENOENT')).toBe(snapshots().filesRefused);
    mkdirSync(directory());
  });

  test('without a directory a replica that needs the length first is told to wait longer each time', async () => {
    await start(...SMALL_SPOOL);
    await fill();
    rmSync(directory(), { recursive: true });
    const options = { capa: ['psync2'], countOnly: true };
    await (await attach(options)).closed;
    expect(logged('Full syncs pause for 1 seconds after IO')).toBe(1);
    const again = attach(options);
    await waitFor(() => primary.node.primary.fullSyncs.waitingCount === 1);
    expect(Number(await client.infoField('headwater', 'headwater_sync_retry_ms'))).toBeGreaterThan(
      0,
    );
    // One that reads the dump as it is made needs no disk, and does not wait.
    await (await attach()).waitForDump();
    await (await again).closed;
    expect(logged('Full syncs pause for 2 seconds after IO')).toBe(1);
    mkdirSync(directory());
    const last = await attach(options);
    await last.waitForDump();
    expect(last.keepalives).toBeGreaterThan(0);
    expect(Number(await client.infoField('headwater', 'headwater_sync_retry_ms'))).toBe(0);
  });

  test('no file of a spool has a name', async () => {
    await start(...SMALL_SPOOL);
    await fill();
    await attachStalled();
    await waitFor(() => snapshots().spoolFileBytes > 4 * MIB, { what: 'the dump to be spilled' });
    expect(readdirSync(directory())).toEqual([]);
    const fields = await client.info('headwater');
    expect(Number(fields.get('headwater_spool_file_bytes'))).toBeGreaterThan(4 * MIB);
    expect(fields.get('headwater_syncs_reading')).toBe('1');
  });
});

describe('snapshot-keep', () => {
  test('0 leaves nothing open behind the last reader', async () => {
    await start('snapshot-keep 0');
    await (await attach()).waitForDump();
    await waitFor(() => snapshots().openCount === 0, { what: 'the dump to be closed' });
    await (await attach()).waitForDump();
    expect([started(), primary.node.primary.fullSyncs.lateJoins]).toEqual([2, 0]);
  });

  test('is taken over while the node runs', async () => {
    await start('snapshot-keep 3600');
    await (await attach()).waitForDump();
    expect(snapshots().openCount).toBe(1);
    expect(await client.call('CONFIG', 'GET', 'snapshot-keep')).toEqual(['snapshot-keep', '3600']);
    await client.call('CONFIG', 'SET', 'snapshot-keep', '0');
    await waitFor(() => snapshots().openCount === 0, { what: 'the dump to be closed' });
  });
});

describe('the log', () => {
  test('is not held beyond the limit of replicas for who might join a stalled dump', async () => {
    // The whole dump has room in memory, so nothing but the limit ends the wait for who might join.
    await start(
      'rdbcompression no',
      'snapshot-spool-memory 64mb',
      'client-output-buffer-limit replica 8mb 0 0',
      // What is pinned is counted as it is stored.
      'repl-backlog-compression no',
    );
    await fill();
    const stalled = await attachStalled(RDB_ONLY);
    const { streamLog } = primary.node.server;
    let most = 0;
    const value = 'x'.repeat(1000);
    for (let round = 0; round < 400; round++) {
      await client.pipeline(Array.from({ length: 100 }, (_, i) => ['SET', `k${i}`, value]));
      most = Math.max(most, streamLog.pinnedBytes);
    }
    // A MiB until the next look, a block of the log, and what one read event of the client brings.
    expect(most).toBeLessThanOrEqual(10 * MIB);
    expect(most).toBeGreaterThan(5 * MIB);
    expect(snapshots().pinsDropped).toBe(1);
    // Who comes now gets another snapshot; the stalled one loses nothing.
    await (await attach()).waitForDump();
    expect(primary.node.primary.fullSyncs.lateJoins).toBe(0);
    stalled.resume();
    await stalled.closed;
    expect(stalled.dumpBytes).toBeGreaterThan(DUMP_BYTES);
  });

  test('has a bound for that when replicas have no limit', async () => {
    await start('client-output-buffer-limit replica 0 0 0', 'repl-backlog-size 1mb');
    expect(pinnedLagMax(primary.node.server)).toBe(MIB + PIN_BYTES_MAX);
  });

  test('is let go as soon as a replica passes its limit within a pipeline', async () => {
    await start(...SMALL_SPOOL, 'client-output-buffer-limit replica 4mb 0 0');
    await fill();
    await attachStalled();
    const value = 'x'.repeat(10_000);
    await client.pipeline(Array.from({ length: 3000 }, (_, i) => ['SET', `k${i % 10}`, value]));
    expect(primary.node.server.stats.outputLimitDisconnections).toBe(1);
    expect(primary.node.server.streamLog.pinnedBytes).toBeLessThanOrEqual(6 * MIB);
  });

  test('is let go although a worker still compresses its oldest blocks', async () => {
    await start('snapshot-keep 0', 'repl-backlog-size 1mb');
    const { streamLog } = primary.node.server;
    const packed = streamLog.packed.bind(streamLog);
    const held: (() => void)[] = [];
    streamLog.packed = (...args) => void held.push(() => packed(...args));
    const replica = await attach();
    await replica.waitForDump();
    const value = 'x'.repeat(10_000);
    for (let round = 0; round < 10; round++)
      await client.pipeline(Array.from({ length: 100 }, (_, i) => ['SET', `k${i}`, value]));
    await waitFor(() => held.length > 0, { what: 'a block to be compressed' });
    for (let round = 0; round < 10; round++)
      await client.pipeline(Array.from({ length: 100 }, (_, i) => ['SET', `k${i}`, value]));
    await replica.waitForOffset(streamLog.endOffset);
    await waitFor(() => streamLog.histlen < 2 * MIB, { what: 'the log to be trimmed' });
    for (const end of held) end();
    streamLog.packed = packed;
    streamLog.validate();
  });
});

describe('dumps', () => {
  test('are read by replicas up to a count at a time, and the next one waits', async () => {
    await start(...SMALL_SPOOL, 'snapshot-keep 0');
    await fill();
    // None may get a dump that is older than its request, so each has its own.
    const stalled: FakeReplica[] = [];
    for (let i = 0; i < DUMPS_OPEN_MAX; i++) {
      stalled.push(await attachStalled(RDB_ONLY));
      await waitFor(() => snapshots().inProgress === undefined, { what: 'the dump to be spilled' });
      await client.call('SET', 'k', i);
    }
    expect(snapshots().openCount).toBe(DUMPS_OPEN_MAX);
    // A save may always begin.
    expect(snapshots().hasRoom).toBe(false);
    expect(await client.call('SAVE')).toBe('OK');
    await client.call('SET', 'k', 'last');
    const next = attach(RDB_ONLY);
    await waitFor(() => primary.node.primary.fullSyncs.waitingCount === 1);
    expect(started()).toBe(DUMPS_OPEN_MAX);
    await stalled[0]!.vanish();
    const served = await next;
    await served.closed;
    expect(started()).toBe(DUMPS_OPEN_MAX + 1);
    expect(logged('Too many dumps are still being read')).toBe(1);
  });

  test('that pass snapshot-cow-max are tried again with growing pauses, while replicas wait', async () => {
    await start(...SMALL_SPOOL, 'snapshot-cow-max 64kb');
    await fill();
    // Without a file the worker waits for the replica, and the image stays frozen.
    rmSync(directory(), { recursive: true });
    const ruin = async (replica: FakeReplica): Promise<void> => {
      await waitFor(() => snapshots().filesRefused > 0);
      let round = 0;
      while (!replica.isClosed && snapshots().inProgress !== undefined) {
        await client.pipeline(
          Array.from({ length: 100 }, (_, i) => ['APPEND', `noise:${i}`, `${round++}`]),
        );
      }
    };
    const first = await attachStalled();
    await ruin(first);
    await waitFor(() => logged('Full syncs pause for 1 seconds after COW_LIMIT') === 1);
    // On a busy machine the pause of a second may be over when it comes.
    const second = await attach();
    second.pause();
    await ruin(second);
    await waitFor(() => logged('Full syncs pause for 2 seconds after COW_LIMIT') === 1);
    expect(primary.node.primary.fullSyncs.failures).toBe(2);
    mkdirSync(directory());
    await client.call('CONFIG', 'SET', 'snapshot-cow-max', '0');
    const third = await attach();
    await third.waitForDump();
    expect(third.keepalives).toBeGreaterThan(0);
    expect(third.refusal).toBe('');
    expect(primary.node.primary.fullSyncs.retryMs).toBe(0);
  });
});
